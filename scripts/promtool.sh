#!/usr/bin/env bash
# Prints where promtool is: on PATH, or taken out of Debian's package `prometheus` into target/tools/servers. Installs nothing and
# starts nothing. Ends with 1 where there is neither.
set -euo pipefail
cd "$(dirname "$0")/.."

folder="$PWD/target/tools/servers"
if [ ! -x "$folder/promtool" ]; then
  mkdir -p "$folder"
  if found=$(command -v promtool); then
    ln -sf "$found" "$folder/promtool"
  else
    work=$(mktemp -d "$folder/fetch.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    # As root apt would hand the download to a user of its own, who may not write here.
    if ! (cd "$work" && apt-get -o APT::Sandbox::User=root download -qq prometheus && dpkg -x prometheus_*.deb .) >&2; then
      printf 'promtool: not on PATH, and the package prometheus could not be fetched with apt-get\n' >&2
      exit 1
    fi
    mv "$work/usr/bin/promtool" "$folder/promtool"
  fi
fi
printf '%s\n' "$folder/promtool"
