#!/usr/bin/env bash
# Checks the dependencies after deny.toml. Without cargo-deny, and without a way to install it, says so and passes.
set -euo pipefail
cd "$(dirname "$0")/.."

tools="$PWD/target/tools"
PATH="$tools/bin:$PATH"
if ! command -v cargo-deny >/dev/null 2>&1; then
  echo "deny: installing cargo-deny into target/tools" >&2
  if ! cargo install --locked --quiet --root "$tools" cargo-deny; then
    echo "deny: skipped, since cargo-deny could not be installed" >&2
    exit 0
  fi
fi

cargo deny --locked check bans licenses sources
# Advisories come from a database elsewhere, and not to reach it is no fault of the code.
if cargo deny --locked fetch db >/dev/null 2>&1; then
  cargo deny --locked check --disable-fetch advisories
else
  echo "deny: advisories skipped, since their database could not be fetched" >&2
fi
