#!/usr/bin/env bash
# Installs system packages: `install.sh "NAMES FOR APT" "NAMES FOR BREW"`. Asks nothing, and leaves no service running.
set -euo pipefail

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

has() { command -v "$1" >/dev/null 2>&1; }

# Debian's packages start their service at once. policy-rc.d is how a system says no to that.
install_with_apt() {
  local as_root="" policy=/usr/sbin/policy-rc.d
  if [ "$(id -u)" -ne 0 ]; then
    if ! has sudo || ! sudo -n true 2>/dev/null; then
      die "not root, and sudo would ask for a password; run this, then try again:  sudo apt-get install -y $1"
    fi
    as_root="sudo -n"
  fi
  say "installing $1"
  # shellcheck disable=SC2086 # $as_root and the packages are lists of words
  $as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 bash -euc '
    policy=$1; shift
    if [ ! -e "$policy" ]; then
      trap "rm -f \"$policy\"" EXIT
      printf "#!/bin/sh\nexit 101\n" >"$policy"
      chmod 755 "$policy"
    fi
    apt-get update -qq || echo "setup: the package lists could not be brought up to date; trying with those that are there" >&2
    apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold "$@" >&2
    # Not at the next boot either: SubiteYa and its tests start servers of their own.
    if [ -d /run/systemd/system ]; then
      for package in "$@"; do
        case "$package" in redis-server | postgresql) systemctl disable --now "$package" >/dev/null 2>&1 || : ;; esac
      done
    fi
  ' setup "$policy" $1 </dev/null || die "apt-get could not install $1; the reason stands above"
}

install_with_brew() {
  say "installing $1"
  # shellcheck disable=SC2086 # a list of words
  NONINTERACTIVE=1 HOMEBREW_NO_AUTO_UPDATE=1 HOMEBREW_NO_ENV_HINTS=1 brew install --quiet $1 </dev/null >&2 ||
    die "brew could not install $1; the reason stands above"
}

if has apt-get; then
  install_with_apt "$1"
elif has brew; then
  install_with_brew "$2"
else
  die "neither apt-get nor brew is here; install $1 in your system's own way, then try again"
fi
