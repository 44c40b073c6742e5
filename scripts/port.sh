#!/usr/bin/env bash
# Prints the port to use: PORT where it is set, else the first free one from 3000 on.
set -euo pipefail

if [ -n "${PORT:-}" ]; then
  printf '%s\n' "$PORT"
  exit
fi
for port in $(seq 3000 3099); do
  if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    printf '%s\n' "$port"
    exit
  fi
done
echo "port: 3000 to 3099 are all taken; set PORT" >&2
exit 1
