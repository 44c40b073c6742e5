#!/usr/bin/env bash
# Builds subiteya and prints the path of the binary.
#
# A debug build, unless PROFILE=release: from nothing it takes less than half the time of a release build, and what is slow
# in this pipeline is FFmpeg, which is not ours to build.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"

profile=${PROFILE:-dev}
folder=$profile
[ "$profile" != dev ] || folder=debug
cargo build --locked --profile "$profile" --bin subiteya >&2
target=$(cargo metadata --locked --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
printf '%s/%s/subiteya\n' "$target" "$folder"
