#!/usr/bin/env bash
# Installs what only the benches need, as far as it is missing: curl, and nginx with its dav module. Starts nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

stores() { /usr/sbin/nginx -V 2>&1 | grep -c http_dav_module >/dev/null; }

command -v curl >/dev/null 2>&1 || scripts/install.sh curl curl
if ! { [ -x /usr/sbin/nginx ] && stores; }; then
  scripts/install.sh nginx-light nginx
  [ -x /usr/sbin/nginx ] && stores || { echo "bench-servers: there is still no /usr/sbin/nginx with http_dav_module" >&2; exit 1; }
fi
