#!/usr/bin/env bash
# Makes the secrets of compose.yaml, a file each, in deploy/secrets. What is there already stays.
# TikTok's client secret comes from the developer portal: TIKTOK_CLIENT_SECRET=… deploy/secrets.sh
set -euo pipefail
cd "$(dirname "$0")"

folder=secrets
# The files are mounted into containers of several users, so it is the folder that keeps others out.
(umask 077 && mkdir -p "$folder")
chmod 700 "$folder"

# put NAME: stdin, unless it is there.
put() {
  if [ -s "$folder/$1" ]; then cat >/dev/null; else cat >"$folder/$1"; fi
  chmod 444 "$folder/$1"
}
random() { head -c "$1" /dev/urandom | base64 | tr -d '\n=' | tr '+/' '-_'; }

if [ ! -s "$folder/TIKTOK_CLIENT_SECRET" ] && [ -z "${TIKTOK_CLIENT_SECRET:-}" ]; then
  echo "secrets: TIKTOK_CLIENT_SECRET is not set; expected the client secret that TikTok's developer portal shows" >&2
  exit 2
fi
printf '%s' "${TIKTOK_CLIENT_SECRET:-}" | put TIKTOK_CLIENT_SECRET
head -c 32 /dev/urandom | base64 | put ENCRYPTION_KEY
random 24 | put postgres_password
printf 'postgres://subiteya:%s@postgres:5432/subiteya\n' "$(cat "$folder/postgres_password")" | put DATABASE_URL
random 24 | put redis_password
printf 'redis://:%s@redis:6379\n' "$(cat "$folder/redis_password")" | put REDIS_URL
random 24 | put AWS_SECRET_ACCESS_KEY
printf '{"identities":[{"name":"subiteya","credentials":[{"accessKey":"subiteya","secretKey":"%s"}],"actions":["Admin","Read","Write","List","Tagging"]}]}\n' \
  "$(cat "$folder/AWS_SECRET_ACCESS_KEY")" | put s3.json
echo "secrets: they stand in deploy/$folder; back up ENCRYPTION_KEY, without it no account's tokens can be read" >&2
