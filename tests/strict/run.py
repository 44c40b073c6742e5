#!/usr/bin/env python3
"""SubiteYa against the strict TikTok of tiktok.py: every reading and every fault has an account and a video of its own.

    tests/strict/run.py [--only NAME,…] [--part readings|walk|apps|stopped|lost|limits|all] [--keep] [--binary target/debug/subiteya]

Needs redis-server and ffmpeg. Uses a temporary folder, a Redis on a unix socket and free ports. Exits 0 if all is well.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from tiktok import PRIVATE, Fault, Reading, TikTok  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
R, F = Reading, Fault
SECRET = "cs_strict_secret"


@dataclass
class Case:
    name: str
    reading: Reading = field(default_factory=Reading)
    faults: list = field(default_factory=list)
    want: str = "POSTED"  # a status, or WAIT: it must not end
    code: str | None = None  # the reason's or the wait's code, as a pattern
    posts: int = 1
    public: bool = False
    big: bool = False
    warp: int = 0  # how many times the account's clock and the task's due time may be moved ahead
    state: str | None = None  # the account's at the end
    token: str = "fresh"  # fresh, refresh (no lifetimes: refreshed before first use)
    url: bool = False  # postUrl must come
    wait: float = 25  # how long a WAIT is looked at
    allow: str | None = None  # violations that this case provokes
    privacy: str | None = None
    inits: int | None = None
    mend: bool = False  # once the account is RECONNECT, its person connects it again, and TikTok has no more faults


def walk():
    """A 401 at every call in turn: alone, again after a fresh token, for a scope that is missing, and without an envelope."""
    for on, nth in [("creator_info", 0), ("init", 0), ("status", 0), ("status", 1), ("status", 2), ("put", 0), ("last", 0)]:
        reading = {"process": 8} if on == "status" else {}
        at = f"401-{on}-{nth}"
        if on in ("put", "last"):
            # No token is sent there, so a new one is no answer to it.
            yield Case(at, R(**reading), [F(on, "answer", http=401, times=2)])
            yield Case(f"{at}-code", R(**reading), [F(on, "answer", http=401, code="access_token_invalid", times=2)])
            continue
        invalid = {"http": 401, "code": "access_token_invalid", "nth": nth}
        yield Case(at, R(**reading), [F(on, "answer", **invalid)])
        yield Case(f"{at}-html", R(**reading), [F(on, "answer", http=401, nth=nth)])
        yield Case(f"{at}-again", R(**reading), [F(on, "answer", **invalid, times=99)], mend=True)
        yield Case(f"{at}-scope", R(**reading), [F(on, "answer", http=401, code="scope_not_authorized", nth=nth, times=99)], mend=True)
    yield Case("401-refresh", faults=[F("refresh", "answer", http=401, code="access_token_invalid", times=2)], token="refresh")
    yield Case("401-refresh-html", faults=[F("refresh", "answer", http=401, times=2)], token="refresh")
    yield Case("401-refresh-grant", faults=[F("refresh", "answer", http=401, code="invalid_grant", times=99)], token="refresh", mend=True)
    yield Case("401-init-refresh-lost", faults=[F("init", "answer", http=401, code="access_token_invalid"), F("refresh", "lose")], mend=True)


def cases():
    yield Case("base", url=True, public=True)
    yield Case("range-last", R(range_is_last=True))
    yield Case("ids-str", R(ids="str"), public=True, url=True)
    yield Case("ids-bare", R(ids="bare"), public=True, url=True)
    yield Case("ids-publicly", R(id_key="publicly"), public=True, url=True)
    yield Case("ids-both-spellings", R(id_key="both"), public=True, url=True)
    yield Case("ids-late", R(id_late=8), public=True, url=True)
    for log in ("logid", "both", "none"):
        yield Case(f"log-{log}", R(log=log))
    yield Case("expires-10", R(expires_in=10, process=20), token="refresh")
    yield Case("expires-60", R(expires_in=60), token="refresh")
    yield Case("expires-2h", R(expires_in=7200), token="refresh")
    yield Case("expires-24h", R(expires_in=86400), token="refresh")
    yield Case("expires-missing", R(expires_in=None), token="refresh")
    yield Case("no-rotation", R(expires_in=8, rotate=False, process=15), token="refresh")
    yield Case("no-refresh-token-back", R(expires_in=8, rotate=None, process=15), token="refresh")
    yield Case("skew+5h", R(skew=18000))
    yield Case("skew-5h", R(skew=-18000))
    yield Case("no-date", R(date=False))
    yield Case("nulls", R(nulls=True))
    yield Case("nulls-public", R(nulls=True), public=True, url=True)
    yield Case("long-processing", R(process=25))
    yield Case("no-uploaded-bytes", R(uploaded_bytes=False))
    yield Case("unknown-words", R(words=["UNDER_REVIEW", "SEND_TO_USER_INBOX", "PROCESSING_DOWNLOAD"]))
    yield Case("self-only-options", R(options=["SELF_ONLY"]))
    yield Case("private-creator", R(options=list(PRIVATE)), privacy="FOLLOWER_OF_CREATOR")
    yield Case("private-creator-public", R(options=list(PRIVATE)), public=True, want="WAIT",
               code="privacy_level_option_mismatch", posts=0, inits=0)
    # answers lost
    yield Case("init-lost", faults=[F("init", "lose")], inits=2)
    yield Case("init-lost-3", faults=[F("init", "lose", times=3)], want="NEEDS_REVIEW", code="init_answers_lost", posts=0, inits=3)
    yield Case("init-cut", faults=[F("init", "cut")])
    yield Case("init-500", faults=[F("init", "answer", http=500, code="internal_error")])
    yield Case("init-502-html", faults=[F("init", "answer", http=502, times=4)])
    yield Case("init-429-after", faults=[F("init", "answer", http=429, code="rate_limit_exceeded", headers={"Retry-After": "3"})])
    yield Case("init-429", faults=[F("init", "answer", http=429, code="rate_limit_exceeded")])
    yield Case("init-401", faults=[F("init", "answer", http=401, code="access_token_invalid")])
    yield Case("init-401-twice", faults=[F("init", "answer", http=401, code="access_token_invalid", times=2)])
    yield Case("init-500-stored", faults=[F("init", "stored_answer", http=500)], allow="init of .* while")
    yield Case("last-lost", faults=[F("last", "lose")])
    yield Case("last-cut", faults=[F("last", "cut")])
    yield Case("last-mid", faults=[F("last", "mid", times=2)])
    yield Case("last-500-stored", faults=[F("last", "stored_answer", http=500)])
    yield Case("last-502-html", faults=[F("last", "answer", http=502)])
    yield Case("last-503-many", faults=[F("last", "answer", http=503, times=5)])
    yield Case("last-lost-no-bytes", R(uploaded_bytes=False), [F("last", "lose")])
    yield Case("last-403-stored", faults=[F("last", "stored_answer", http=403)])
    yield Case("last-404-stored", faults=[F("last", "stored_answer", http=404)])
    yield Case("last-416-stored", faults=[F("last", "stored_answer", http=416)])
    yield Case("last-400-stored", faults=[F("last", "stored_answer", http=400)])
    yield Case("last-429", faults=[F("last", "answer", http=429, headers={"Retry-After": "2"})])
    yield Case("last-401", faults=[F("last", "answer", http=401)])
    yield Case("last-307", faults=[F("last", "answer", http=307, headers={"Location": "http://127.0.0.2:FOREIGN/"})])
    yield Case("last-416", faults=[F("last", "answer", http=416)])
    yield Case("last-403-early", R(url_life=1800), [F("last", "answer", http=403, jump=1900)], warp=16, inits=2)
    yield Case("last-403-expired", faults=[F("last", "answer", http=403, jump=3700)], warp=12, inits=2)
    yield Case("last-403-expired-no-bytes", R(uploaded_bytes=False), [F("last", "answer", http=403, jump=3700)], want="WAIT", posts=0, inits=1)
    yield Case("last-hung-cut-then-lost", faults=[F("last", "mid"), F("last", "lose")])
    yield Case("status-500", faults=[F("status", "answer", http=500, code="internal_error", times=2)])
    yield Case("status-html", faults=[F("status", "answer", http=502, times=2)])
    yield Case("status-cut", faults=[F("status", "cut", times=2)])
    yield Case("status-401", faults=[F("status", "answer", http=401, code="access_token_invalid")])
    yield Case("status-429-after", faults=[F("status", "answer", http=429, code="rate_limit_exceeded", headers={"Retry-After": "3"})])
    yield Case("status-unknown-code", faults=[F("status", "answer", http=400, code="moon_phase", times=2)])
    yield Case("status-200-unknown-code", faults=[F("status", "answer", http=200, code="moon_phase", times=2)])
    yield Case("status-invalid-id", faults=[F("status", "answer", http=400, code="invalid_publish_id", times=99)], want="WAIT")
    yield Case("status-403-ban", faults=[F("status", "answer", http=403, code="spam_risk_user_banned_from_posting", times=2)])
    yield Case("revoked-midway", faults=[F("status", "answer", http=401, code="access_token_invalid", times=99)],
               want="WAIT", state="RECONNECT", posts=1)
    # creator_info
    yield Case("ci-500", faults=[F("creator_info", "answer", http=500, code="internal_error")])
    yield Case("ci-html", faults=[F("creator_info", "answer", http=503)])
    yield Case("ci-cut", faults=[F("creator_info", "cut")])
    yield Case("ci-401", faults=[F("creator_info", "answer", http=401, code="access_token_invalid")])
    yield Case("ci-401-html", faults=[F("creator_info", "answer", http=401)])
    yield Case("ci-429-after", faults=[F("creator_info", "answer", http=429, code="rate_limit_exceeded", headers={"Retry-After": "3"})])
    yield Case("ci-200-too-many", faults=[F("creator_info", "answer", http=200, code="spam_risk_too_many_posts", times=99)],
               want="WAIT", code="spam_risk_too_many_posts", posts=0, inits=0)
    yield Case("ci-200-banned", faults=[F("creator_info", "answer", http=200, code="spam_risk_user_banned_from_posting", times=99)],
               want="WAIT", code="spam_risk_user_banned", posts=0, inits=0)
    yield Case("ci-scope", R(scopes="user.info.basic"), want="WAIT", posts=0, state="RECONNECT")
    yield Case("ci-200-unknown", faults=[F("creator_info", "answer", http=200, code="brand_new_code", times=1)])
    yield Case("ci-302", faults=[F("creator_info", "answer", http=302, headers={"Location": "/trap/"})])
    yield Case("ci-404-html", faults=[F("creator_info", "answer", http=404)])
    yield Case("init-403-html", faults=[F("init", "answer", http=403)])
    yield Case("init-200-unknown", faults=[F("init", "answer", http=200, code="brand_new_code", times=1)])
    yield Case("init-unknown-400", faults=[F("init", "answer", http=400, code="brand_new_code")], inits=1)
    yield Case("init-unknown-400-always", faults=[F("init", "answer", http=400, code="brand_new_code", times=99)], want="NEEDS_REVIEW",
               code="brand_new_code|init_answers_lost", posts=0)
    yield Case("init-unknown-503", faults=[F("init", "answer", http=503, code="brand_new_code")])
    yield Case("init-too-many", faults=[F("init", "answer", http=403, code="spam_risk_too_many_posts", times=99)], want="WAIT", posts=0)
    yield Case("init-invalid-params", faults=[F("init", "answer", http=400, code="invalid_params", times=99)], want="FAILED",
               code="invalid_params", posts=0)
    yield Case("init-mismatch", faults=[F("init", "answer", http=403, code="privacy_level_option_mismatch")], want="WAIT",
               code="privacy_level_option_mismatch", posts=0)
    # failed at the end
    for reason in ("file_format_check_failed", "duration_check_failed", "frame_rate_check_failed", "picture_size_check_failed",
                   "spam_risk", "spam_risk_text", "spam_risk_user_banned_from_posting", "auth_removed", "never_heard_of"):
        state = "RECONNECT" if reason == "auth_removed" else None
        yield Case(f"fail-{reason}", R(fail_reason=reason), want="FAILED", code=reason, posts=0, state=state)
    for reason in ("internal", "publish_cancelled", "video_pull_failed"):
        yield Case(f"fail-{reason}-once", R(fail_reason=reason, fails=1), posts=1, warp=6, inits=2)
    yield Case("fail-internal-always", R(fail_reason="internal"), want="FAILED", code="internal", posts=0, warp=30, inits=4)
    yield Case("fail-too-many", R(fail_reason="spam_risk_too_many_posts"), want="WAIT", posts=0, inits=1)
    # tokens
    yield Case("refresh-lost", faults=[F("refresh", "lose")], token="refresh", want="WAIT", state="RECONNECT", posts=0)
    yield Case("refresh-lost-grace", R(reuse_grace=2), [F("refresh", "lose")], token="refresh")
    yield Case("refresh-cut", faults=[F("refresh", "cut")], token="refresh")
    yield Case("refresh-500", faults=[F("refresh", "answer", http=500, code="internal_error")], token="refresh")
    yield Case("refresh-html", faults=[F("refresh", "answer", http=502, times=3)], token="refresh")
    yield Case("refresh-429", faults=[F("refresh", "answer", http=429, headers={"Retry-After": "3"})], token="refresh")
    yield Case("refresh-grant-200", R(oauth_200=True), [F("refresh", "answer", http=200, code="invalid_grant")], token="refresh",
               want="WAIT", state="RECONNECT", posts=0)
    yield Case("refresh-grant-400", faults=[F("refresh", "answer", http=400, code="invalid_grant")], token="refresh",
               want="WAIT", state="RECONNECT", posts=0)
    yield Case("refresh-client", faults=[F("refresh", "answer", http=401, code="invalid_client", times=2)], token="refresh")
    yield Case("refresh-403-html", faults=[F("refresh", "answer", http=403, times=2)], token="refresh")
    yield Case("refresh-unknown-200", faults=[F("refresh", "answer", http=200, code="moon_phase", times=2)], token="refresh")
    yield Case("refresh-slow", R(expires_in=600), [F("refresh", "none", delay=12)], token="refresh")
    # many chunks
    yield Case("big", big=True, url=True, public=True)
    yield Case("big-range-last", R(range_is_last=True), [F("put", "lose", nth=2)], big=True)
    yield Case("big-lost-416", R(again=416), [F("put", "lose", nth=1), F("put", "mid", nth=3)], big=True)
    yield Case("big-lost-206", R(again=206, uploaded_bytes=False), [F("put", "lose", nth=1)], big=True)
    yield Case("big-502", faults=[F("put", "answer", http=502, nth=1), F("put", "stored_answer", http=500, nth=3)], big=True)
    yield Case("big-404-midway", faults=[F("put", "answer", http=404, nth=2)], big=True)
    yield Case("big-last-lost", faults=[F("last", "lose")], big=True)
    yield Case("big-403-expired", faults=[F("put", "answer", http=403, nth=2, jump=3700)], big=True, warp=6, inits=2)
    yield Case("big-400-midway", faults=[F("put", "answer", http=400, nth=1)], big=True, want="FAILED", posts=0)
    yield Case("big-lost-416-no-bytes", R(again=416, uploaded_bytes=False), [F("put", "lose", nth=1)], big=True, warp=12)


STREAMS = """
[redis]
block = "5s"
monthly_commands = 0
[streams."video.uploaded"]
concurrency = 2
limit = ""
attempts = 3
backoff = "1s"
lease = "10s"
stalled_check = "20s"
[streams."video.edited"]
concurrency = {concurrency}
limit = "{limit}"
limit_per_account = "{per_account}"
attempts = 2
backoff = "1s"
lease = "5s"
stalled_check = "10s"
"""

# Only the limits differ from what everybody gets.
DEFAULT_TIMES = """
[redis]
monthly_commands = 0
[streams."video.edited"]
concurrency = {concurrency}
limit = "{limit}"
limit_per_account = "{per_account}"
"""


class Rig:
    """A folder, a Redis, a strict TikTok, and SubiteYa's processes."""

    def __init__(self, binary, limit="", per_account="", concurrency=8, streams=STREAMS):
        self.binary = str(binary)
        self.dir = Path(tempfile.mkdtemp(prefix="strict-"))
        self.tiktok = TikTok(client_secret=SECRET)
        self.tiktok.start()
        (self.dir / "streams.toml").write_text(streams.format(limit=limit, per_account=per_account, concurrency=concurrency))
        self.children = []
        sock = self.dir / "redis.sock"
        self.spawn("redis", ["redis-server", "--port", "0", "--unixsocket", str(sock), "--save", "", "--appendonly", "yes",
                             "--dir", str(self.dir)], {})
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.env = {
            "PATH": os.environ["PATH"], "HOME": str(self.dir), "REDIS_URL": f"redis+unix://{sock}",
            "DATABASE_URL": f"sqlite://{self.dir}/subiteya.db", "SUBITEYA_DATA": str(self.dir / "data"),
            "SUBITEYA_STREAMS": str(self.dir / "streams.toml"), "ENCRYPTION_KEY": "0123456789abcdef0123456789abcdef",
            "TIKTOK_API_URL": f"http://127.0.0.1:{self.tiktok.ports['api']}",
            "TIKTOK_AUTH_URL": f"http://127.0.0.1:{self.tiktok.ports['api']}",
            "TIKTOK_CLIENT_KEY": self.tiktok.client_key, "TIKTOK_CLIENT_SECRET": SECRET, "PORT": str(self.port),
            "RUST_LOG": "debug,sqlx=warn,fred=warn",
        }
        while not sock.exists():
            time.sleep(0.05)
        self.cli("migrate", "up")
        self.key = json.loads(self.cli("keys", "create", "--user", "ana", "--output", "json"))["key"]
        self.env |= {"SUBITEYA_URL": f"http://127.0.0.1:{self.port}", "SUBITEYA_API_KEY": self.key}

    def spawn(self, name, command, env):
        log = open(self.dir / f"{name}.log", "ab")
        child = subprocess.Popen(command, env={**os.environ, **env} if env == {} else env, stdout=log, stderr=log, cwd=self.dir)
        self.children.append(child)
        return child

    def start(self, name, *args):
        return self.spawn(name, [self.binary, *args], self.env)

    def up(self):
        self.serve()
        self.worker = self.start("work", "work", "all")

    def serve(self):
        self.start("serve", "serve")
        for _ in range(200):
            try:
                self.get("/readyz")
                return
            except OSError:
                time.sleep(0.2)
        raise SystemExit(f"serve did not come up, see {self.dir}")

    def cli(self, *args, stdin=None):
        done = subprocess.run([self.binary, *args], env=self.env, cwd=self.dir, input=stdin, text=True, capture_output=True)
        if done.returncode:
            raise SystemExit(f"{args}: {done.returncode} {done.stdout} {done.stderr}")
        return done.stdout

    def get(self, path):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers={"Authorization": f"Bearer {self.key}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            body = answer.read()
            return json.loads(body) if body[:1] in b"{[" else body

    def account(self, name, reading, faults, fresh):
        open_id = "open-" + name
        account = self.tiktok.add(open_id, reading, faults)
        self.connect(account, name, reading, fresh)
        return account

    def connect(self, account, name, reading, fresh):
        """Also again: the account stays, with its videos."""
        access, refresh = self.tiktok.pair(account)
        pair = {"access_token": access, "refresh_token": refresh}
        if fresh:
            pair |= {"expires_in": reading.expires_in or 7200, "refresh_expires_in": 15552000}
        self.cli("accounts", "add", "--id", safe(name), "--open-id", account.open_id, "--display-name", name, stdin=json.dumps(pair))

    def shown(self, name):
        return next(a for a in self.get("/api/accounts")["accounts"] if a["id"] == safe(name))

    def spent(self, id):
        """The attempts that a video's tasks have used up at TikTok's side."""
        with self.database() as db:
            rows = db.execute("select coalesce(max(attempts), 0) from tasks where video_id = ? and stage <> 'edit'", (id,)).fetchone()
        db.close()
        return rows[0]

    def upload(self, account, title, clip, privacy):
        done = subprocess.run(
            ["curl", "-sS", "--fail-with-body", "-H", f"Authorization: Bearer {self.key}", "-F", f"video=@{clip}",
             "-F", f"accountId={safe(account)}", "-F", f"title={title}", "-F", f"privacyLevel={privacy}",
             f"http://127.0.0.1:{self.port}/api/videos"], text=True, capture_output=True)
        if done.returncode:
            raise SystemExit(f"upload of {title}: {done.stdout} {done.stderr}")
        return json.loads(done.stdout)["video"]["id"]

    def video(self, id):
        return self.get(f"/api/videos/{id}")["video"]

    def database(self):
        return sqlite3.connect(self.dir / "subiteya.db", timeout=30)

    def warp(self, id, account):
        """Moves the account's TikTok and its parked task to the task's due time."""
        with self.database() as db:
            now = time.time() * 1000
            row = db.execute("select id, due_at from tasks where video_id = ? and state = 'waiting' "
                             "and due_at > ? order by due_at limit 1", (id, now + 8000)).fetchone()
            if not row:
                return False
            account.offset += (row[1] - now) / 1000
            db.execute("update tasks set due_at = ? where id = ?", (int(now), row[0]))
        db.close()
        return True

    def leaks(self):
        """Secrets in logs, in the database and in Redis."""
        found = []
        secrets = [s.encode() for s in self.tiktok.secrets] + [SECRET.encode()]
        pattern = re.compile(b"|".join(map(re.escape, secrets)))
        for path in self.dir.rglob("*"):
            if path.is_file() and "media" not in path.parts and path.suffix not in (".mp4",) and path.stat().st_size < 1 << 29:
                for hit in set(pattern.findall(path.read_bytes())):
                    found.append(f"{path.relative_to(self.dir)}: {hit.decode()[:12]}…")
        return found

    def stop(self):
        for child in reversed(self.children):
            if child.poll() is None:
                child.terminate()
        for child in reversed(self.children):
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                child.kill()


def safe(name):
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)


def clips(folder):
    tiny, big = folder / "tiny.mp4", folder / "big.mp4"
    base = ["ffmpeg", "-nostdin", "-v", "error", "-y"]
    if not tiny.exists():
        subprocess.run([*base, "-f", "lavfi", "-i", "testsrc2=s=360x640:r=30:d=2", "-c:v", "libx264", "-preset", "ultrafast",
                        "-pix_fmt", "yuv420p", "-movflags", "+faststart", str(tiny)], check=True)
    if not big.exists():
        subprocess.run([*base, "-f", "lavfi", "-i", "nullsrc=s=720x1280:r=30:d=1.6,geq=random(1)*255:128:128", "-c:v", "libx264",
                        "-preset", "ultrafast", "-qp", "1", "-pix_fmt", "yuv420p", "-movflags", "+faststart", str(big)], check=True)
    assert big.stat().st_size > 66_000_000, big.stat().st_size
    return tiny, big


def walked(args, tiny, big):
    return readings(args, tiny, big, walk)


def readings(args, tiny, big, cases=cases):
    only = args.only.split(",") if args.only else None
    chosen = [case for case in cases() if not only or any(re.fullmatch(part, case.name) for part in only)]
    rig = Rig(args.binary)
    print(f"{len(chosen)} cases in {rig.dir}", flush=True)
    bad = []
    try:
        for case in chosen:
            for fault in case.faults:
                if "Location" in fault.headers:
                    fault.headers["Location"] = fault.headers["Location"].replace("FOREIGN", str(rig.tiktok.ports["foreign"]))
        with ThreadPoolExecutor(2) as pool:
            made = list(pool.map(lambda case: rig.account(case.name, case.reading, case.faults, case.token == "fresh"), chosen))
        rig.up()

        def send(case):
            privacy = case.privacy or ("PUBLIC_TO_EVERYONE" if case.public else "SELF_ONLY")
            return rig.upload(case.name, f"T {case.name}", big if case.big else tiny, privacy)

        with ThreadPoolExecutor(2) as pool:
            ids = list(pool.map(send, chosen))
        print("uploaded", flush=True)
        left = {case.name: (case, account, id) for case, account, id in zip(chosen, made, ids)}
        quiet, start, result, mended = {}, time.time(), {}, {}
        while left and time.time() - start < args.time:
            for name, (case, account, id) in list(left.items()):
                video = rig.video(id)
                ended = video["status"] in ("POSTED", "FAILED", "CANCELED", "NEEDS_REVIEW")
                if ended and (video["status"] != "POSTED" or not case.url or video["postUrl"]):
                    # A moment for what should not come any more.
                    if time.time() - quiet.setdefault(name, time.time()) > 3:
                        result[name] = video
                        del left[name]
                elif not ended and case.mend and name not in mended:
                    shown = rig.shown(name)
                    if shown["state"] == "RECONNECT":
                        mended[name] = shown["stateReason"]
                        account.faults.clear()
                        rig.connect(account, name, case.reading, True)
                elif not ended and case.warp and not case.want == "WAIT":
                    if rig.warp(id, account):
                        case.warp -= 1
                elif not ended and "WAIT" in case.want:
                    busy = not account.log or time.time() - account.log[-1][0] < case.wait
                    if not busy:
                        result[name] = video
                        del left[name]
            time.sleep(1)
        for name, (case, account, id) in left.items():
            result[name] = rig.video(id)
        accounts = {a["id"]: a for a in rig.get("/api/accounts")["accounts"]}
        for case, account, id in zip(chosen, made, ids):
            video = result[case.name]
            posts = sum(post[0] == account.open_id for post in rig.tiktok.posts)
            inits = sum(init[0] == account.open_id for init in rig.tiktok.inits)
            rules = [v for v in rig.tiktok.violations if v.startswith(account.open_id + ":")]
            reason = (video.get("reason") or video.get("waitingFor") or {})
            said = json.dumps(reason)
            wrong = []
            ended = video["status"] if video["status"] in ("POSTED", "FAILED", "CANCELED", "NEEDS_REVIEW") else "WAIT"
            if ended not in case.want.split("|"):
                wrong.append(f"ended as {video['status']}, wanted {case.want}")
            if case.code and not re.search(case.code, said):
                wrong.append(f"the reason lacks {case.code}")
            if posts > 1 or (case.posts >= 0 and posts != case.posts):
                wrong.append(f"{posts} posts, wanted {case.posts}")
            if case.inits is not None and inits != case.inits:
                wrong.append(f"{inits} inits, wanted {case.inits}")
            if case.state and accounts[safe(case.name)]["state"] != case.state:
                wrong.append(f"the account is {accounts[safe(case.name)]['state']}")
            if case.url and not video["postUrl"]:
                wrong.append("no postUrl")
            if case.url and video["postUrl"]:
                post_id = next(u.post_id for u in rig.tiktok.uploads.values() if u.account is account and u.post_id)
                if video["postUrl"] != f"https://www.tiktok.com/@{account.username}/video/{post_id}":
                    wrong.append(f"postUrl {video['postUrl']}")
            if case.mend:
                wrong += [] if case.name in mended else ["the account was never RECONNECT"]
                if case.name in mended and not mended[case.name]:
                    wrong.append("nobody was told why")
            if case.name.startswith("401"):
                spent = rig.spent(id)
                wrong += [f"{spent} attempts spent"] if spent else []
                if not case.mend and account.calls["refresh"] > max(1, sum(f.times for f in case.faults if f.on == "refresh") + 1):
                    wrong.append(f"{account.calls['refresh']} refreshes")
            for fault in case.faults:
                if not fault.hits:
                    wrong.append(f"the fault {fault.on} {fault.do} was never met")
            wrong += [v for v in rules if not (case.allow and re.search(case.allow, v))]
            calls = dict(account.calls)
            print(f"{'FAIL' if wrong else 'ok  '} {case.name:28} {video['status']:12} posts {posts} inits {inits} {calls} {said[:150] if said != '{}' else ''}")
            for line in wrong:
                print(f"       - {line}")
            if wrong:
                bad.append(case.name)
                begin = account.log[0][0] if account.log else 0
                print("       " + ", ".join(f"{at - begin:.1f} {what}" for at, what in account.log[:40]))
        others = [v for v in rig.tiktok.violations if v.startswith("-:")]
        leaks = rig.leaks()
        for line in others + leaks:
            print("FAIL", line)
        bad += others + leaks
    finally:
        rig.stop()
        if not args.keep and not bad:
            shutil.rmtree(rig.dir, ignore_errors=True)
    return bad


def apps(args, tiny, big):
    """What concerns the whole app: foreign upload hosts, the app's user cap."""
    bad = []
    rig = Rig(args.binary)
    try:
        foreign = rig.tiktok.ports["foreign"]
        bases = {
            "foreign-http": f"http://127.0.0.2:{foreign}", "foreign-https": f"https://127.0.0.2:{foreign}",
            "login-in-url": f"http://127.0.0.1@127.0.0.2:{foreign}", "lookalike": "https://tiktokapis.com.evil.invalid",
            "localhost": f"http://localhost:{rig.tiktok.ports['upload']}",
        }
        made = {name: rig.account(name, R(upload_base=base), [], True) for name, base in bases.items()}
        rig.account("cap", R(), [F("creator_info", "answer", http=200, code="reached_active_user_cap", times=99)], True)
        rig.account("later", R(), [], True)
        rig.up()
        ids = {name: rig.upload(name, f"T {name}", tiny, "SELF_ONLY") for name in bases}
        time.sleep(15)
        for name, id in ids.items():
            video = rig.video(id)
            inits = sum(init[0] == made[name].open_id for init in rig.tiktok.inits)
            ok = video["status"] != "POSTED" and not made[name].calls["put"] and inits == 1
            print("ok  " if ok else "FAIL", name, video["status"], f"inits {inits}", video.get("reason"), video.get("waitingFor"))
            bad += [] if ok else [name]
        cap = rig.upload("cap", "T cap", tiny, "SELF_ONLY")
        time.sleep(8)
        later = rig.upload("later", "T later", tiny, "SELF_ONLY")
        time.sleep(8)
        for name, id in (("cap", cap), ("later", later)):
            video = rig.video(id)
            ok = "reached_active_user_cap" in json.dumps(video.get("waitingFor")) and video["status"] not in ("FAILED", "POSTED")
            print("ok  " if ok else "FAIL", name, video["status"], video.get("waitingFor"))
            bad += [] if ok else [name]
        if rig.tiktok.foreign or rig.tiktok.posts:
            bad.append(f"{rig.tiktok.foreign} foreign connections, {len(rig.tiktok.posts)} posts")
        bad += rig.tiktok.violations + rig.leaks()
    finally:
        rig.stop()
    for line in bad:
        print("FAIL", line)
    return bad


def stopped(args, tiny, big):
    """A publisher stands still between TikTok's answer to a refresh and its commit, and its lease is taken meanwhile."""
    bad = []
    rig = Rig(args.binary)
    try:
        account = rig.account("stop", R(expires_in=600), [F("refresh", "none", delay=3)], False)
        rig.serve()
        rig.start("edit", "work", "edit")
        first = rig.start("publish1", "work", "publish")
        id = rig.upload("stop", "T stop", tiny, "SELF_ONLY")
        while not account.calls["refresh"]:
            time.sleep(0.1)
        second = rig.start("publish2", "work", "publish")
        time.sleep(1)
        first.send_signal(signal.SIGSTOP)
        time.sleep(20)
        first.send_signal(signal.SIGCONT)
        start = time.time()
        while time.time() - start < 90 and rig.video(id)["status"] != "POSTED":
            time.sleep(1)
        video = rig.video(id)
        ok = video["status"] == "POSTED" and len(rig.tiktok.posts) == 1 and account.calls["refresh"] == 1
        print("ok  " if ok else "FAIL", "stopped", video["status"], video.get("waitingFor"), dict(account.calls))
        bad += ([] if ok else ["stopped"]) + rig.tiktok.violations + rig.leaks()
        assert second.poll() is None
    finally:
        rig.stop()
    return bad


def lost(args, tiny, big):
    """A publisher is killed between TikTok's answer to a refresh and its commit, with the default times: the account is
    RECONNECT within a minute, its person is told, another's video goes on meanwhile, and all is posted when it is
    connected again. Once with a second publisher that is there already, once with one that is started after the kill."""
    bad = []
    for there in (False, True):
        rig = Rig(args.binary, concurrency=2, streams=DEFAULT_TIMES)
        try:
            name = "with a second publisher" if there else "with one that starts later"
            account = rig.account("lost", R(), [F("refresh", "hold")], False)
            rig.account("other", R(), [], True)
            rig.serve()
            rig.start("edit", "work", "edit")
            first = rig.start("publish1", "work", "publish")
            id = rig.upload("lost", "T lost", tiny, "SELF_ONLY")
            while not account.calls["refresh"]:
                time.sleep(0.05)
            if there:
                rig.start("publish2", "work", "publish")
                time.sleep(2)
            first.kill()
            first.wait()
            killed = time.time()
            if not there:
                rig.start("publish2", "work", "publish")
            beside = rig.upload("other", "T other", tiny, "SELF_ONLY")
            posted = reconnect = None
            while time.time() - killed < 150 and not (posted and reconnect):
                if not posted and rig.video(beside)["status"] == "POSTED":
                    posted = time.time() - killed
                if not reconnect and rig.shown("lost")["state"] == "RECONNECT":
                    reconnect = time.time() - killed
                time.sleep(0.2)
            told = rig.cli("accounts", "list")
            time.sleep(6)
            waits = rig.video(id)
            rig.connect(account, "lost", R(), True)
            again = time.time()
            while time.time() - again < 60 and rig.video(id)["status"] != "POSTED":
                time.sleep(0.5)
            after = rig.video(id)["status"]
            print(f"RECONNECT {name} after {reconnect and round(reconnect, 1)} s, the other's video posted after "
                  f"{posted and round(posted, 1)} s; {waits['status']} {waits.get('waitingFor')}; then {after} "
                  f"{time.time() - again:.1f} s after it was connected; refreshes {account.calls['refresh']}")
            for line in told.splitlines():
                print("    " + line)
            wrong = []
            if not reconnect or reconnect > 60:
                wrong.append("not RECONNECT within a minute")
            if not posted or (reconnect and posted > reconnect):
                wrong.append("another's video did not go on meanwhile")
            if "RECONNECT" not in told or not waits.get("waitingFor"):
                wrong.append("nobody is told")
            if after != "POSTED" or len(rig.tiktok.posts) != 2 or rig.spent(id):
                wrong.append(f"{after}, {len(rig.tiktok.posts)} posts, {rig.spent(id)} attempts spent")
            wrong += rig.tiktok.violations + rig.leaks()
            for line in wrong:
                print("FAIL", line)
            bad += wrong
        finally:
            rig.stop()
    return bad


def limits(args, tiny, big):
    """3 a minute over two publishers, 1 per 5 minutes and account, the processes killed and started again."""
    rig = Rig(args.binary, limit="3/1m", per_account="1/5m", concurrency=2)
    bad = []
    try:
        for n in range(8):
            rig.account(f"a{n}", R(), [], True)
        rig.up()
        second = rig.start("publish2", "work", "publish")
        ids = [rig.upload(f"a{n}", f"T a{n} {k}", tiny, "SELF_ONLY") for k in range(2) for n in range(8)]
        start = time.time()
        kills = 0
        while time.time() - start < args.limits_time:
            time.sleep(5)
            due = (time.time() - start) // 70
            if due > kills:
                kills += 1
                victim, name = (second, "publish2") if kills % 2 else (rig.worker, "work")
                victim.send_signal(signal.SIGKILL)
                victim.wait()
                if name == "work":
                    rig.worker = rig.start(name, "work", "all")
                else:
                    second = rig.start(name, "work", "publish")
            if all(rig.video(id)["status"] == "POSTED" for id in ids):
                break
        times = sorted(at for _, _, at in rig.tiktok.inits)
        for i, at in enumerate(times[3:], 3):
            if at - times[i - 3] < 60:
                bad.append(f"four inits in {at - times[i - 3]:.2f} s")
        for n in range(8):
            own = sorted(at for open_id, _, at in rig.tiktok.inits if open_id == f"open-a{n}")
            gaps = [b - a for a, b in zip(own, own[1:])]
            if any(gap < 300 for gap in gaps):
                bad.append(f"a{n}: {gaps}")
        posts = [post[:2] for post in rig.tiktok.posts]
        if len(posts) != len(set(posts)):
            bad.append("a second post")
        begin = times[0] if times else 0
        print(f"{len(posts)} posts of {len(ids)} in {time.time() - start:.0f} s, {kills} kills; inits at",
              [round(at - begin, 1) for at in times])
        bad += rig.tiktok.violations + rig.leaks()
    finally:
        rig.stop()
    for line in bad:
        print("FAIL", line)
    return bad


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only")
    parser.add_argument("--part", default="all", choices=["readings", "walk", "apps", "stopped", "lost", "limits", "all"])
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--time", type=float, default=300)
    parser.add_argument("--limits-time", type=float, default=420)
    parser.add_argument("--binary", default=str(ROOT / "target/debug/subiteya"))
    args = parser.parse_args()
    args.binary = Path(args.binary).resolve()
    folder = Path(tempfile.gettempdir()) / "strict-clips"
    folder.mkdir(exist_ok=True)
    tiny, big = clips(folder)
    bad = []
    for name, part in (("readings", readings), ("walk", walked), ("apps", apps), ("stopped", stopped), ("lost", lost), ("limits", limits)):
        if args.part in (name, "all"):
            print(f"--- {name}", flush=True)
            bad += part(args, tiny, big)
    print("all is well" if not bad else f"{len(bad)} wrong: {bad}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
