"""A strict TikTok: Direct Post (FILE_UPLOAD) and OAuth v2, written from shared/tiktok-api.md alone.

One asyncio server, Python's standard library only. Every account has a `Reading` (how the points that the page calls
unconfirmed are read) and a list of `Fault`s. Each broken rule is recorded in `TikTok.violations`, each post in `posts`.
The driver runs it in a thread of its own process and looks into its state.
"""

from __future__ import annotations

import asyncio
import email.utils
import hashlib
import json
import secrets
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from urllib.parse import parse_qs, parse_qsl, urlsplit

MB_SMALL, MB = 5_242_880, 64_000_000  # inside both readings of "5 MB" and "64 MB"
LAST_MAX, VIDEO_MAX = 128_000_000, 4_000_000_000
PUBLIC = ["PUBLIC_TO_EVERYONE", "MUTUAL_FOLLOW_FRIENDS", "SELF_ONLY"]
PRIVATE = ["FOLLOWER_OF_CREATOR", "MUTUAL_FOLLOW_FRIENDS", "SELF_ONLY"]


@dataclass
class Reading:
    """How one account's TikTok reads what is unconfirmed. Defaults: the most literal reading of the pages."""

    range_is_last: bool = False  # Content-Range of an answer: a count, or the last index
    again: int = 416  # a second PUT of a stored range
    after_201: int = 416  # a PUT when everything is in
    ids: str = "int"  # int, str, bare (no list), null
    id_key: str = "publicaly"  # publicaly, publicly, both
    log: str = "log_id"  # log_id, logid, both, none, int
    expires_in: object = 7200  # None: missing
    rotate: object = True  # False: the same one comes back; None: no refresh token in the answer
    reuse_grace: int = 0  # how often a used refresh token still works
    oauth_200: bool = False  # OAuth errors with HTTP 200
    skew: float = 0.0  # of the Date header, seconds
    date: bool = True
    process: float = 0.5  # seconds of processing
    id_late: float = 0.0  # seconds from the post to its public id
    uploaded_bytes: bool = True  # False: missing
    nulls: bool = False  # optional fields come as null, not missing
    options: list = field(default_factory=lambda: list(PUBLIC))
    url_life: float = 3600.0
    fail_reason: str | None = None
    fails: int = 99  # how many publish ids fail with it
    words: list = field(default_factory=list)  # status words before the real one
    day: int = 15
    scopes: str = "user.info.basic,video.publish"
    upload_base: str | None = None


@dataclass
class Fault:
    """At the `nth` (0 first) request that matches `on`, `times` times in a row."""

    on: str  # creator_info, init, put, last, status, refresh, user_info
    do: str  # lose, cut, mid, answer, stored_answer, hang; hold (refresh: the pair is turned, its answer never comes)
    nth: int = 0
    times: int = 1
    http: int = 500
    code: str | None = None  # an envelope with this code; None: HTML
    headers: dict = field(default_factory=dict)
    jump: float = 0.0  # the account's clock goes ahead by so much
    delay: float = 0.0
    hits: int = 0
    seen: int = 0


@dataclass
class Token:
    account: "Account"
    family: int
    expires: float | None
    alive: bool = True
    used: bool = False
    uses_after: int = 0
    lost: bool = False  # its refresh's answer was lost by us


@dataclass
class Account:
    open_id: str
    username: str
    reading: Reading
    faults: list
    offset: float = 0.0
    families_revoked: set = field(default_factory=set)
    family: int = 0
    windows: dict = field(default_factory=dict)
    day: deque = field(default_factory=deque)
    creator_asked: float = 0.0
    refreshing: int = 0
    calls: Counter = field(default_factory=Counter)
    log: list = field(default_factory=list)

    def now(self) -> float:
        return time.time() + self.reading.skew + self.offset


@dataclass
class Upload:
    id: str
    token: str
    account: Account
    title: str
    privacy: str
    size: int
    chunk: int
    count: int
    made: float
    answered: bool = True
    stored: int = 0
    hash: object = field(default_factory=hashlib.sha256)
    complete_at: float | None = None
    said_201: bool = False
    post_id: int | None = None
    failed: str | None = None
    says: int = 0


class Drop(Exception):
    """The connection is closed without an answer."""


class TikTok:
    def __init__(self, client_key="ck_strict", client_secret="cs_strict_secret"):
        self.client_key, self.client_secret = client_key, client_secret
        self.accounts: dict[str, Account] = {}
        self.access: dict[str, Token] = {}
        self.refresh: dict[str, Token] = {}
        self.uploads: dict[str, Upload] = {}
        self.by_token: dict[str, Upload] = {}
        self.posts: list[tuple[str, str, str, float]] = []  # open id, title, sha256, when
        self.inits: list[tuple[str, str, float]] = []
        self.violations: list[str] = []
        self.secrets: list[str] = []
        self.foreign = 0
        self.ids = 7527234567890123456
        self.ports = {}
        self.lock = threading.Lock()

    # ---- set-up

    def add(self, open_id, reading=None, faults=()):
        account = Account(open_id, "u_" + open_id.replace("-", "_"), reading or Reading(), list(faults))
        self.accounts[open_id] = account
        return account

    def pair(self, account: Account, family: int | None = None, expires: object = "reading"):
        if family is None:
            account.family += 1
            family = account.family
        life = account.reading.expires_in if expires == "reading" else expires
        access, refresh = "act." + secrets.token_hex(24), "rft." + secrets.token_hex(24)
        until = None if life is None else account.now() + float(life)
        self.access[access] = Token(account, family, until)
        self.refresh[refresh] = Token(account, family, None)
        self.secrets += [access, refresh]
        return access, refresh

    def revoke(self, account: Account):
        account.families_revoked.add(account.family)

    def start(self):
        ready = threading.Event()

        def run():
            self.loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self.loop)
            self.loop.run_until_complete(self.listen())
            ready.set()
            self.loop.run_forever()

        threading.Thread(target=run, daemon=True).start()
        ready.wait()

    async def listen(self):
        for name, host, handler in [
            ("api", "127.0.0.1", self.serve),
            ("upload", "127.0.0.1", self.serve_upload),
            ("foreign", "127.0.0.2", self.serve_foreign),
        ]:
            server = await asyncio.start_server(handler, host, 0, limit=1 << 20)
            self.ports[name] = server.sockets[0].getsockname()[1]

    async def serve_foreign(self, reader, writer):
        self.foreign += 1
        self.broke(None, "a connection to a foreign host")
        writer.close()

    async def serve(self, reader, writer):
        await self.connection(reader, writer, self.api)

    async def serve_upload(self, reader, writer):
        await self.connection(reader, writer, self.put)

    def broke(self, account, rule):
        self.violations.append(f"{account.open_id if account else '-'}: {rule}")

    # ---- HTTP

    async def connection(self, reader, writer, handler):
        try:
            while True:
                try:
                    head = await reader.readuntil(b"\r\n\r\n")
                except (asyncio.IncompleteReadError, ConnectionError):
                    return
                lines = head.decode("latin-1").split("\r\n")
                method, target, version = lines[0].split(" ")
                headers = {}
                for line in lines[1:]:
                    if line:
                        key, _, value = line.partition(":")
                        key = key.strip().lower()
                        if key in headers and key in ("content-type", "content-length", "content-range", "authorization"):
                            self.broke(None, f"the header {key} twice at {method} {urlsplit(target).path}")
                        headers[key] = value.strip()
                if version != "HTTP/1.1":
                    self.broke(None, f"version {version}")
                if headers.get("expect", "").lower() == "100-continue":
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                status, extra, body, account = await handler(method, target, headers, reader)
                out = {"Content-Length": str(len(body)), "Connection": "keep-alive", **extra}
                if account is None:
                    out["Date"] = email.utils.formatdate(time.time(), usegmt=True)
                elif account.reading.date:
                    out["Date"] = email.utils.formatdate(account.now(), usegmt=True)
                lines = [f"HTTP/1.1 {status} X"] + [f"{key}: {value}" for key, value in out.items()]
                writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
                await writer.drain()
        except Drop:
            pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def body(self, headers, reader, account, where):
        if "transfer-encoding" in headers:
            self.broke(account, f"chunked transfer at {where}")
            raise Drop
        length = headers.get("content-length")
        if length is None or not length.isdigit():
            if length is not None:
                self.broke(account, f"bad Content-Length at {where}")
            return b""
        return await reader.readexactly(int(length))

    def envelope(self, account, http, code="ok", message="", data=None, extra=None):
        kind = account.reading.log if account else "log_id"
        error = {"code": code, "message": None if account and account.reading.nulls and code == "ok" else message}
        log = "2026" + secrets.token_hex(8)
        for key in {"log_id": ["log_id"], "logid": ["logid"], "both": ["log_id", "logid"]}.get(kind, []):
            error[key] = log
        answer = {"error": error}
        if data is not None:
            answer["data"] = data
        elif kind != "logid":
            answer["data"] = {}
        headers = {"Content-Type": "application/json; charset=utf-8", **(extra or {})}
        return http, headers, json.dumps(answer).encode(), account

    def flat(self, account, error, description, http=400):
        http = 200 if account and account.reading.oauth_200 else http
        body = {"error": error, "error_description": description, "log_id": "L" + secrets.token_hex(6)}
        return http, {"Content-Type": "application/json"}, json.dumps(body).encode(), account

    async def fault(self, account, on):
        """The fault that this request has run into, or None."""
        for fault in account.faults:
            if fault.on != on:
                continue
            fault.seen += 1
            if fault.nth < fault.seen <= fault.nth + fault.times:
                fault.hits += 1
                account.offset += fault.jump
                account.log.append((time.time(), f"fault {on} {fault.do} {fault.http}"))
                if fault.delay:
                    await asyncio.sleep(fault.delay)
                return fault
        return None

    def faulty(self, account, fault):
        if fault.code is None:
            body = b"<html><head><title>Bad Gateway</title></head><body>upstream</body></html>"
            return fault.http, {"Content-Type": "text/html", **fault.headers}, body, account
        if fault.on == "refresh":
            return (*self.flat(account, fault.code, "asked for", fault.http)[:3], account)
        return self.envelope(account, fault.http, fault.code, "asked for", None, fault.headers)

    # ---- the API

    ROUTES = {
        "/v2/post/publish/creator_info/query/": ("POST", "creator_info"),
        "/v2/post/publish/video/init/": ("POST", "init"),
        "/v2/post/publish/status/fetch/": ("POST", "status"),
        "/v2/oauth/token/": ("POST", "token"),
        "/v2/oauth/revoke/": ("POST", "revoke"),
        "/v2/user/info/": ("GET", "user_info"),
    }

    async def api(self, method, target, headers, reader):
        url = urlsplit(target)
        route = self.ROUTES.get(url.path)
        if route is None:
            self.broke(None, f"no such path: {method} {url.path}")
            await self.body(headers, reader, None, url.path)
            return self.envelope(None, 404, "not_found", "no such path")
        if method != route[0]:
            self.broke(None, f"wrong method: {method} {url.path}")
            await self.body(headers, reader, None, url.path)
            return self.envelope(None, 405, "method_not_allowed", "wrong method")
        if method == "POST" and url.query:
            self.broke(None, f"a query at {url.path}")
        name = route[1]
        raw = await self.body(headers, reader, None, name)
        if name in ("token", "revoke"):
            return await self.token(name, headers, raw)
        if name == "user_info":
            fields = parse_qs(url.query).get("fields", [""])[0].split(",")
            unknown = set(fields) - {"open_id", "union_id", "avatar_url", "display_name"}
            if unknown:
                self.broke(None, f"user/info asks for {unknown}")
        account, refusal = self.bearer(name, headers)
        if refusal:
            return refusal
        if name != "user_info":
            kind = headers.get("content-type", "").lower().replace(" ", "")
            if name == "creator_info" and not raw and not kind:
                pass
            elif kind not in ("application/json", "application/json;charset=utf-8"):
                self.broke(account, f"Content-Type {headers.get('content-type')!r} at {name}")
                return self.envelope(account, 400, "invalid_params", "content type")
        with self.lock:
            limited = self.window(account, name, {"init": 6, "creator_info": 20, "status": 30}.get(name))
        if limited:
            return limited
        account.calls[name] += 1
        account.log.append((time.time(), name))
        if fault := await self.fault(account, name):
            if fault.do == "cut":
                raise Drop
            if fault.do == "hang":
                await asyncio.sleep(3600)
            if fault.do == "answer":
                return self.faulty(account, fault)
        answer = await getattr(self, name)(account, raw, fault)
        if fault and fault.do == "lose":
            raise Drop
        if fault and fault.do == "stored_answer":
            return self.faulty(account, fault)
        return answer

    def bearer(self, name, headers):
        auth = headers.get("authorization", "")
        token = self.access.get(auth[7:]) if auth.startswith("Bearer ") else None
        if token is None:
            self.broke(None, f"no or an unknown bearer token at {name}")
            return None, self.envelope(None, 401, "access_token_invalid", "unknown token")
        account = token.account
        if token.expires is not None and account.now() > token.expires:
            late = account.now() - token.expires
            # A clock that we made jump is not the client's fault; nor is a second of travel.
            if account.offset == 0 and late > 2:
                self.broke(account, f"a token {late:.0f} s past its expires_in at {name}")
            return None, self.envelope(account, 401, "access_token_invalid", "expired")
        if token.family in account.families_revoked or not token.alive:
            return None, self.envelope(account, 401, "access_token_invalid", "revoked")
        need = "user.info.basic" if name == "user_info" else "video.publish"
        if need not in account.reading.scopes.split(","):
            return None, self.envelope(account, 401, "scope_not_authorized", f"needs {need}")
        return account, None

    def window(self, account, name, most):
        if most is None:
            return None
        seen = account.windows.setdefault(name, deque())
        now = time.monotonic()
        while seen and seen[0] <= now - 60:
            seen.popleft()
        if len(seen) >= most:
            self.broke(account, f"more than {most} {name} in a minute")
            return self.envelope(account, 429, "rate_limit_exceeded", "too many")
        seen.append(now)
        return None

    def parsed(self, account, raw, where):
        try:
            body = json.loads(raw)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            self.broke(account, f"no JSON object at {where}")
            return None
        return body

    async def creator_info(self, account, raw, fault):
        if raw and self.parsed(account, raw, "creator_info") is None:
            return self.envelope(account, 400, "invalid_params", "body")
        account.creator_asked = time.monotonic()
        public = "PUBLIC_TO_EVERYONE" in account.reading.options
        data = {
            "creator_avatar_url": "https://p.example/a.jpeg",
            "creator_username": account.username,
            "creator_nickname": "Nick " + account.username,
            "privacy_level_options": account.reading.options,
            "comment_disabled": False,
            "duet_disabled": not public,
            "stitch_disabled": not public,
            "max_video_post_duration_sec": 600,
        }
        if account.reading.nulls:
            data["creator_avatar_url"] = None
        return self.envelope(account, 200, data=data)

    async def init(self, account, raw, fault):
        def refused(rule, http=400, code="invalid_params"):
            self.broke(account, f"init: {rule}")
            return self.envelope(account, http, code, rule)

        body = self.parsed(account, raw, "init")
        if body is None:
            return self.envelope(account, 400, "invalid_params", "body")
        if set(body) != {"post_info", "source_info"}:
            return refused(f"top-level fields {sorted(body)}")
        post, source = body["post_info"], body["source_info"]
        if not isinstance(post, dict) or not isinstance(source, dict):
            return refused("post_info and source_info must be objects")
        types = {
            "title": str, "privacy_level": str, "disable_duet": bool, "disable_comment": bool, "disable_stitch": bool,
            "video_cover_timestamp_ms": int, "brand_content_toggle": bool, "brand_organic_toggle": bool, "is_aigc": bool,
        }
        for key, value in post.items():
            if key not in types:
                return refused(f"unknown field {key}")
            if type(value) is not types[key]:
                return refused(f"{key} is {type(value).__name__}")
        for key in ("privacy_level", "brand_content_toggle"):
            if key not in post:
                return refused(f"{key} is missing")
        title = post.get("title", "")
        if len(title.encode("utf-16-le")) // 2 > 2200:
            return refused("the title is too long")
        if not 0 <= post.get("video_cover_timestamp_ms", 0) < 1 << 31:
            return refused("video_cover_timestamp_ms is no int32")
        if source.get("source") != "FILE_UPLOAD" or set(source) != {"source", "video_size", "chunk_size", "total_chunk_count"}:
            return refused(f"source_info {sorted(source)}")
        for key in ("video_size", "chunk_size", "total_chunk_count"):
            if type(source[key]) is not int or source[key] <= 0:
                return refused(f"{key} is not a positive integer")
        size, chunk, count = source["video_size"], source["chunk_size"], source["total_chunk_count"]
        if size > VIDEO_MAX:
            return refused("the video is too large")
        if chunk > size or count != size // chunk or count > 1000:
            return refused(f"The total chunk count is invalid: {size} {chunk} {count}")
        if count == 1 and (chunk != size or size > MB):
            return refused(f"The chunk size is invalid: {size} {chunk} {count}")
        if count > 1 and not MB_SMALL <= chunk <= MB:
            return refused(f"The chunk size is invalid: {size} {chunk} {count}")
        if size - (count - 1) * chunk > LAST_MAX:
            return refused("the last chunk is too large")
        if post["privacy_level"] not in account.reading.options:
            return refused("privacy_level_option_mismatch", 403, "privacy_level_option_mismatch")
        if post["brand_content_toggle"] and post["privacy_level"] == "SELF_ONLY":
            return refused("branded content with SELF_ONLY")
        if time.monotonic() - account.creator_asked > 60:
            self.broke(account, "init without a fresh creator_info")
        account.creator_asked = -1e9
        for upload in self.uploads.values():
            if upload.account is account and upload.title == title and upload.answered:
                dead = upload.failed is not None or (
                    upload.complete_at is None and account.now() > upload.made + account.reading.url_life
                )
                if not dead:
                    self.broke(account, f"init of {title!r} while {upload.id} is alive")
        now = account.now()
        while account.day and account.day[0] <= now - 86400:
            account.day.popleft()
        if len(account.day) >= account.reading.day:
            return self.envelope(account, 403, "spam_risk_too_many_posts", "the day is full")
        self.ids += 1
        publish_id, token = f"v_pub_file~v2-1.{self.ids}", secrets.token_urlsafe(24)
        upload = Upload(publish_id, token, account, title, post["privacy_level"], size, chunk, count, account.now())
        upload.answered = not (fault and fault.do == "lose")
        self.uploads[publish_id] = self.by_token[token] = upload
        self.inits.append((account.open_id, title, time.monotonic()))
        self.secrets.append(token)
        base = account.reading.upload_base or f"http://127.0.0.1:{self.ports['upload']}"
        url = f"{base}/video/?upload_id={self.ids}&upload_token={token}"
        return self.envelope(account, 200, data={"publish_id": publish_id, "upload_url": url})

    async def status(self, account, raw, fault):
        body = self.parsed(account, raw, "status")
        if body is None or set(body) != {"publish_id"} or not isinstance(body["publish_id"], str):
            self.broke(account, f"status: body {body}")
            return self.envelope(account, 400, "invalid_params", "publish_id")
        upload = self.uploads.get(body["publish_id"])
        if upload is None:
            self.broke(account, "status of an unknown publish id")
            return self.envelope(account, 400, "invalid_publish_id", "unknown")
        if upload.account is not account:
            self.broke(account, "status of another account's publish id")
            return self.envelope(account, 400, "token_not_authorized_for_specified_publish_id", "not yours")
        reading = account.reading
        data = {"status": "PROCESSING_UPLOAD"}
        if reading.uploaded_bytes:
            data["uploaded_bytes"] = upload.stored
        if reading.nulls:
            data |= {"fail_reason": None, "publicaly_available_post_id": None, "downloaded_bytes": None}
            if not reading.uploaded_bytes:
                data["uploaded_bytes"] = None
        done = upload.complete_at is not None and time.monotonic() >= upload.complete_at + reading.process
        if done and upload.says < len(reading.words):
            data["status"] = reading.words[upload.says]
            upload.says += 1
        elif done and upload.failed:
            data |= {"status": "FAILED", "fail_reason": upload.failed}
        elif done:
            data["status"] = "PUBLISH_COMPLETE"
            known = time.monotonic() >= upload.complete_at + reading.process + reading.id_late
            if upload.privacy == "PUBLIC_TO_EVERYONE" and known:
                number = upload.post_id
                ids = {"int": [number], "str": [str(number)], "bare": number}[reading.ids]
                keys = {"publicaly": ["publicaly"], "publicly": ["publicly"], "both": ["publicaly", "publicly"]}
                for key in keys[reading.id_key]:
                    data[f"{key}_available_post_id"] = ids
            elif not reading.nulls:
                data["publicaly_available_post_id"] = []
        return self.envelope(account, 200, data=data)

    async def user_info(self, account, raw, fault):
        user = {"open_id": account.open_id, "display_name": account.username, "avatar_url": "https://p.example/a"}
        return self.envelope(account, 200, data={"user": user})

    # ---- OAuth

    async def token(self, name, headers, raw):
        kind = headers.get("content-type", "").lower().split(";")[0].strip()
        if kind != "application/x-www-form-urlencoded":
            self.broke(None, f"Content-Type {kind!r} at oauth/{name}")
            return self.flat(None, "invalid_request", "content type")
        if "authorization" in headers:
            self.broke(None, f"Authorization at oauth/{name}")
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, strict_parsing=True)
        form = dict(pairs)
        if len(form) != len(pairs):
            self.broke(None, f"a field twice at oauth/{name}")
        if form.get("client_key") != self.client_key or form.get("client_secret") != self.client_secret:
            self.broke(None, f"oauth/{name}: client_key or client_secret is wrong")
            return self.flat(None, "invalid_client", "unknown client", 401)
        if name == "revoke":
            token = self.access.get(form.get("token", ""))
            if token:
                token.account.families_revoked.add(token.family)
            return 200, {"Content-Type": "application/json"}, b"{}", None
        if form.get("grant_type") != "refresh_token" or set(form) != {"client_key", "client_secret", "grant_type", "refresh_token"}:
            self.broke(None, f"oauth/token: fields {sorted(form)} grant {form.get('grant_type')}")
            return self.flat(None, "unsupported_grant_type", "only refresh_token here")
        token = self.refresh.get(form["refresh_token"])
        if token is None:
            self.broke(None, "an unknown refresh token")
            return self.flat(None, "invalid_grant", "unknown")
        account = token.account
        account.calls["refresh"] += 1
        account.log.append((time.time(), "refresh"))
        if account.refreshing:
            self.broke(account, "two refreshes at once")
        account.refreshing += 1
        try:
            answer, held = await self.turn(account, token, form["refresh_token"])
        finally:
            account.refreshing -= 1
        if held:
            # Who asked may be killed meanwhile: that is no second refresh at once.
            await asyncio.sleep(3600)
        return answer

    async def turn(self, account, token, used):
        """The answer to a refresh, and whether it is held back."""
        reading = account.reading
        if token.family in account.families_revoked:
            return self.flat(account, "invalid_grant", "revoked"), False
        if token.used and not (reading.reuse_grace and token.uses_after < reading.reuse_grace):
            # The page allows one more try when an answer was lost.
            if not (token.lost and token.uses_after == 0):
                self.broke(account, "a used refresh token again")
            token.uses_after += 1
            account.families_revoked.add(token.family)
            return self.flat(account, "invalid_grant", "used"), False
        if token.used:
            token.uses_after += 1
        fault = await self.fault(account, "refresh")
        if fault and fault.do == "cut":
            raise Drop
        if fault and fault.do == "answer":
            return self.faulty(account, fault), False
        access, refresh = self.pair(account, token.family)
        if reading.rotate is True:
            token.used = True
        else:
            refresh = used
        answer = {
            "access_token": access, "refresh_token": refresh, "expires_in": reading.expires_in,
            "refresh_expires_in": 15552000, "open_id": account.open_id, "scope": reading.scopes, "token_type": "Bearer",
        }
        if reading.expires_in is None:
            del answer["expires_in"], answer["refresh_expires_in"]
        if reading.rotate is None:
            del answer["refresh_token"]
        if fault and fault.do == "lose":
            token.lost = True
            raise Drop
        # Who asks again with this token could not know better: the process that has the answer is dead.
        token.lost = bool(fault and fault.do == "hold")
        return (200, {"Content-Type": "application/json"}, json.dumps(answer).encode(), account), token.lost

    # ---- the upload host

    async def put(self, method, target, headers, reader):
        url = urlsplit(target)
        query = parse_qs(url.query)
        upload = self.by_token.get(query.get("upload_token", [""])[0])
        account = upload.account if upload else None

        def answer(http, body=b"", extra=None):
            # Error pages like to repeat the address.
            return http, {"Content-Type": "text/plain", **(extra or {})}, body or f"{http} {target}".encode(), account

        length = headers.get("content-length", "")
        if "transfer-encoding" in headers or not length.isdigit():
            self.broke(account, "a PUT without Content-Length, or chunked")
            raise Drop
        length = int(length)
        if method != "PUT" or url.path != "/video/" or set(query) != {"upload_id", "upload_token"}:
            self.broke(account, f"{method} {url.path} with {sorted(query)} at the upload host")
        if "authorization" in headers:
            self.broke(account, "Authorization at the upload host")
        if "cookie" in headers or "referer" in headers:
            self.broke(account, "a cookie or referer at the upload host")
        if upload is None:
            self.broke(None, "a PUT to an unknown upload URL")
            await self.swallow(reader, length)
            return answer(404)
        account.log.append((time.time(), f"put {headers.get('content-range')}"))
        account.calls["put"] += 1
        if headers.get("content-type") not in ("video/mp4", "video/quicktime", "video/webm"):
            self.broke(account, f"a PUT with Content-Type {headers.get('content-type')}")
            await self.swallow(reader, length)
            return answer(400)
        try:
            unit, _, rest = headers.get("content-range", "").partition(" ")
            span, _, total = rest.partition("/")
            first, last = (int(part) for part in span.split("-"))
            total = int(total)
            if unit != "bytes":
                raise ValueError
        except ValueError:
            self.broke(account, f"Content-Range {headers.get('content-range')!r}")
            await self.swallow(reader, length)
            return answer(400)
        if total != upload.size or last - first + 1 != length or last >= total:
            self.broke(account, f"Content-Range {headers['content-range']} with {length} bytes of {upload.size}")
            await self.swallow(reader, length)
            return answer(400)
        index = first // upload.chunk
        end = upload.size if index >= upload.count - 1 else (index + 1) * upload.chunk
        if first % upload.chunk or index >= upload.count or last + 1 != end:
            self.broke(account, f"{headers['content-range']} is no chunk of {upload.size}/{upload.chunk}/{upload.count}")
            await self.swallow(reader, length)
            return answer(416)
        is_last = index == upload.count - 1
        fault = await self.fault(account, "put")
        if is_last and fault is None:
            fault = await self.fault(account, "last")
        if fault and fault.do == "cut":
            raise Drop
        if fault and fault.do == "mid":
            await reader.readexactly(length // 2)
            raise Drop
        if fault and fault.do == "hang":
            await asyncio.sleep(3600)
        if upload.said_201:
            self.broke(account, "a PUT after the 201")
        if fault and fault.do == "answer":
            await self.swallow(reader, length)
            return (*self.faulty(account, fault)[:3], account)
        if account.now() > upload.made + account.reading.url_life:
            await self.swallow(reader, length)
            return answer(403)
        if upload.complete_at is not None:
            await self.swallow(reader, length)
            return self.progress(upload, account.reading.after_201)
        if first < upload.stored:
            await self.swallow(reader, length)
            return self.progress(upload, account.reading.again)
        if first > upload.stored:
            self.broke(account, f"chunk at {first} while {upload.stored} are stored")
            await self.swallow(reader, length)
            return self.progress(upload, 416)
        hasher = upload.hash.copy()
        left = length
        while left:
            piece = await reader.read(min(left, 1 << 18))
            if not piece:
                raise Drop
            hasher.update(piece)
            left -= len(piece)
        with self.lock:
            if upload.stored != first:
                return self.progress(upload, 416)
            upload.hash, upload.stored = hasher, last + 1
            if upload.stored == upload.size:
                self.completed(upload)
        if fault and fault.do == "lose":
            raise Drop
        if fault and fault.do == "stored_answer":
            return (*self.faulty(account, fault)[:3], account)
        if upload.complete_at is not None:
            upload.said_201 = True
        return self.progress(upload, 201 if upload.complete_at is not None else 206)

    def completed(self, upload):
        reading = upload.account.reading
        upload.complete_at = time.monotonic()
        if reading.fail_reason and reading.fails > 0:
            reading.fails -= 1
            upload.failed = reading.fail_reason
            return
        self.ids += 1
        upload.post_id = self.ids
        upload.account.day.append(upload.account.now())
        self.posts.append((upload.account.open_id, upload.title, upload.hash.hexdigest(), time.time()))

    def progress(self, upload, http):
        shown = upload.stored - 1 if upload.account.reading.range_is_last else upload.stored
        return http, {"Content-Range": f"bytes 0-{max(shown, 0)}/{upload.size}"}, b"", upload.account

    async def swallow(self, reader, length):
        while length:
            piece = await reader.read(min(length, 1 << 18))
            if not piece:
                raise Drop
            length -= len(piece)


if __name__ == "__main__":
    server = TikTok()
    account = server.add("open_1")
    server.start()
    print(json.dumps({"ports": server.ports, "tokens": server.pair(account)}), flush=True)
    while True:
        time.sleep(10)
        for rule in server.violations:
            print(rule, flush=True)
