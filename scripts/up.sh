#!/usr/bin/env bash
# Builds and runs everything until Ctrl-C.
set -euo pipefail
cd "$(dirname "$0")/.."

binary=$(scripts/build.sh)
PORT=$(scripts/port.sh)
export PORT
exec "$binary" up "$@"
