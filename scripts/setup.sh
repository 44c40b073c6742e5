#!/usr/bin/env bash
# Installs what SubiteYa runs on, as far as it is missing: redis-server (or valkey-server), ffmpeg with libx264 and
# libass, a font. With apt or brew; asks nothing, and leaves no service running.
set -euo pipefail
install="$(dirname "$0")/install.sh"

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

has() { command -v "$1" >/dev/null 2>&1; }
# Without a pipe into `grep -q`, which would end the writer early and fail under pipefail.
ffmpeg_lists() { [[ "$(ffmpeg -hide_banner "$1" 2>/dev/null)" == *" $2 "* ]]; }

has_redis() { has redis-server || has valkey-server; }
has_ffmpeg() { has ffmpeg && has ffprobe && ffmpeg_lists -encoders libx264 && ffmpeg_lists -filters ass; }
# One of the families that captions may be set in, as src/ffmpeg/fonts.rs lists them.
has_font() {
  local folder
  for folder in /usr/share/fonts /usr/local/share/fonts "$HOME/.local/share/fonts" \
    /opt/homebrew/share/fonts /System/Library/Fonts /Library/Fonts "$HOME/Library/Fonts"; do
    [ -d "$folder" ] || continue
    [ -z "$(find -L "$folder" \( -name DejaVuSans.ttf -o -name NotoSans-Regular.ttf \
      -o -name LiberationSans-Regular.ttf -o -name Arial.ttf \) -print 2>/dev/null)" ] || return 0
  done
  return 1
}

# The names of the packages that are missing, for apt or brew.
missing() {
  local packages=""
  has_redis || packages="$packages $1"
  has_ffmpeg || packages="$packages $2"
  has_font || packages="$packages $3"
  printf '%s' "${packages# }"
}

check() {
  has_redis || die "there is still no redis-server or valkey-server on PATH"
  has_ffmpeg || die "the ffmpeg on PATH ($(command -v ffmpeg || echo none)) has no libx264 or no libass; put one with both first on PATH"
  has_font || die "there is still no font"
}

if ! has cargo && ! [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
  die "there is no Rust toolchain (cargo); install one with rustup, then try again"
fi
if ! has cc && ! has gcc && ! has clang; then
  die "there is no C compiler (cc), which some crates need; install gcc or clang, then try again"
fi

if has apt-get; then
  packages=$(missing redis-server ffmpeg fonts-dejavu-core)
  [ -z "$packages" ] || "$install" "$packages" ""
elif has brew; then
  packages=$(missing redis ffmpeg font-dejavu)
  [ -z "$packages" ] || "$install" "" "$packages"
else
  packages=$(missing "redis-server (or valkey-server)," "ffmpeg with libx264 and libass," "a font")
  [ -z "$packages" ] || die "neither apt-get nor brew is here; install ${packages%,} in your system's own way, then try again"
fi
check
