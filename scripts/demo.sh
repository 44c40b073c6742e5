#!/usr/bin/env bash
# One clip from upload to POSTED, on embedded defaults and the TikTok sandbox. Leaves everything in ./data.
set -euo pipefail
cd "$(dirname "$0")/.."

# What the demo's clip is branded with.
BRAND='{"watermark":null,"captions":null,"effects":["fade","grade","vertical","loudness"]}'
READY_WITHIN=120 # seconds

say() { printf 'demo: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# Nothing of a real installation takes part.
for name in REDIS_URL ENABLE_REDIS DATABASE_URL S3_BUCKET AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_REGION \
  AWS_ENDPOINT_URL ENCRYPTION_KEY TIKTOK_CLIENT_KEY TIKTOK_CLIENT_SECRET TIKTOK_API_URL TIKTOK_AUTH_URL \
  SUBITEYA_API_KEY SUBITEYA_URL SUBITEYA_STREAMS HOST; do
  unset "$name" "${name}_FILE"
done
export SUBITEYA_DATA="$PWD/data"

# Speaks HTTP through bash, since curl need not be there: `http METHOD PORT PATH [JSON]` prints status line and body.
http() {
  local method=$1 port=$2 path=$3 body=${4:-} line status
  exec 3<>"/dev/tcp/127.0.0.1/$port" || return 1
  printf '%s %s HTTP/1.0\r\nHost: 127.0.0.1:%s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s' \
    "$method" "$path" "$port" "${#body}" "$body" >&3
  IFS= read -r -t 30 status <&3 || return 1
  while IFS= read -r -t 30 line <&3 && [ "${line%$'\r'}" != "" ]; do :; done
  printf '%s\n' "${status%$'\r'}"
  cat <&3
  exec 3>&-
}
is_ready() { [[ "$(http GET "$PORT" /readyz 2>/dev/null || :)" == "HTTP/1."?" 200"* ]]; }
# The value of a text field in compact or pretty JSON that has it once.
field() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" | head -n 1; }

up=""
stop() {
  trap - EXIT
  if [ -n "$up" ] && kill -0 "$up" 2>/dev/null; then
    kill -TERM "$up"
    wait "$up" || :
  fi
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

binary=$(scripts/build.sh)
PORT=$(scripts/port.sh)
export PORT SUBITEYA_URL="http://127.0.0.1:$PORT"
(umask 077 && mkdir -p "$SUBITEYA_DATA/demo")
log="$SUBITEYA_DATA/demo/up.log"

say "starting everything on $SUBITEYA_URL (its log: $log)"
"$binary" up >"$log" 2>&1 </dev/null &
up=$!
deadline=$((SECONDS + READY_WITHIN))
until is_ready; do
  if ! kill -0 "$up" 2>/dev/null; then
    tail -n 5 "$log" >&2
    die "it ended at its start; the last lines of its log stand above"
  fi
  [ "$SECONDS" -lt "$deadline" ] || die "it was not ready within $READY_WITHIN s; see $log"
  sleep 0.2
done

run=$(date +%Y%m%d-%H%M%S)
clip="$SUBITEYA_DATA/demo/$run-clip.mp4"
say "making a test clip"
ffmpeg -nostdin -hide_banner -loglevel error -y \
  -f lavfi -i testsrc2=size=1280x720:rate=30:duration=6 -f lavfi -i sine=frequency=440:sample_rate=48000:duration=6 \
  -c:v libx264 -preset veryfast -pix_fmt yuv420p -c:a aac -shortest -movflags +faststart "$clip"

# A creator of its own, since an account may post once in five minutes and the next demo shall not wait.
sandbox=$(cat "$SUBITEYA_DATA/sandbox.url")
sandbox_port=$(printf '%s' "$sandbox" | sed 's|^http://[^/]*:\([0-9]*\)/*$|\1|')
creator=$(http POST "$sandbox_port" /sandbox/creators "{\"name\":\"Demo $run\"}") || die "the sandbox at $sandbox does not answer"
[[ "$creator" == "HTTP/1."?" 2"* ]] || die "the sandbox made no creator: ${creator%%$'\n'*}"
creator=${creator#*$'\n'}
printf '%s' "$creator" | "$binary" accounts add --id "demo_$run" --open-id "$(printf '%s' "$creator" | field open_id)" \
  --display-name "Demo $run" >&2

answer="$SUBITEYA_DATA/demo/$run-video.json"
"$binary" upload "$clip" --account "demo_$run" --title "SubiteYa demo $run" --brand "$BRAND" --watch --output json >"$answer"
# The video's own fields stand four columns in.
video=$(sed -n 's/^    "id": "\([^"]*\)".*/\1/p' "$answer")
result="$SUBITEYA_DATA/demo/$run-result.mp4"
"$binary" videos download "$video" --to "$result" >&2

say "POSTED"
cat <<END
video      $video
post       $(field postUrl <"$answer" | grep . || echo "not public")
result     $result
dashboard  make up, then http://127.0.0.1:$PORT (it prints a link to sign in with)
END
