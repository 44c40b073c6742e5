//! A port in front of a test's Redis that has Upstash's manners: it refuses the commands that Upstash doesn't have, holds
//! its limits, closes idle connections, and bills every command until the plan is used up. What it does and doesn't
//! take is from Upstash's documentation, see docs/upstash.md.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::resp::{command, encode, reply};

/// As far as anybody here could want them.
const WHOLE: [&str; 25] = [
    "AUTH",
    "DBSIZE",
    "DEL",
    "DISCARD",
    "EXEC",
    "EXISTS",
    "FLUSHALL",
    "HELLO",
    "INFO",
    "MULTI",
    "PING",
    "QUIT",
    "RESET",
    "SELECT",
    "TIME",
    "XACK",
    "XADD",
    "XAUTOCLAIM",
    "XCLAIM",
    "XDEL",
    "XLEN",
    "XPENDING",
    "XRANGE",
    "XREADGROUP",
    "XTRIM",
];
const PARTED: [(&str, &[&str]); 3] = [
    ("CLIENT", &["GETNAME", "ID", "INFO", "LIST", "SETINFO", "SETNAME"]),
    ("XGROUP", &["CREATE", "CREATECONSUMER", "DELCONSUMER", "DESTROY", "SETID"]),
    ("XINFO", &["CONSUMERS", "GROUPS", "STREAM"]),
];
const SECTIONS: [&str; 5] = ["server", "clients", "memory", "stats", "keyspace"];

/// The limits that a database has. By default those of the free plan, and connections that stay.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    cap: Option<u64>,
    idle: Option<Duration>,
    /// A blocked read counts as idle too.
    closes_reads: bool,
    pending: u64,
    request: usize,
    connections: usize,
}

impl Plan {
    pub(crate) fn free() -> Self {
        let request = 10 * 1024 * 1024;
        Self { cap: None, idle: None, closes_reads: false, pending: 1_000, request, connections: 10_000 }
    }

    /// So many commands, and no more.
    pub(crate) fn cap(self, commands: u64) -> Self {
        Self { cap: Some(commands), ..self }
    }

    pub(crate) fn closes_idle(self, after: Duration) -> Self {
        Self { idle: Some(after), ..self }
    }

    pub(crate) fn closes_reads_too(self) -> Self {
        Self { closes_reads: true, ..self }
    }

    pub(crate) fn largest_request(self, bytes: usize) -> Self {
        Self { request: bytes, ..self }
    }

    pub(crate) fn most_connections(self, connections: usize) -> Self {
        Self { connections, ..self }
    }

    pub(crate) async fn before(self, redis: &Path) -> Upstash {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared { redis: redis.to_owned(), state: Mutex::new(State::new(self)) });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, shared.clone()));
        Upstash { port, shared, _tasks: tasks }
    }
}

pub(crate) struct Upstash {
    port: u16,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

impl Upstash {
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A higher cap, or the month that begins.
    pub(crate) fn cap(&self, commands: Option<u64>) {
        self.shared.state().plan.cap = commands;
    }

    /// What was billed, by command; subcommands as in `CLIENT ID`.
    pub(crate) fn billed(&self) -> BTreeMap<String, u64> {
        self.shared.state().billed.clone()
    }

    pub(crate) fn usage(&self) -> u64 {
        self.shared.state().billed.values().sum()
    }

    /// What it doesn't have, and was asked for.
    pub(crate) fn refused(&self) -> BTreeMap<String, u64> {
        self.shared.state().refused.clone()
    }

    /// The commands that were sent although the plan is used up.
    pub(crate) fn turned_away(&self) -> BTreeMap<String, u64> {
        self.shared.state().turned_away.clone()
    }

    /// Forgets what was billed, refused and turned away.
    pub(crate) fn forget(&self) {
        let mut state = self.shared.state();
        state.billed.clear();
        state.refused.clear();
        state.turned_away.clear();
    }

    /// The longest pending list that any consumer ever had after a read.
    pub(crate) fn most_pending(&self) -> u64 {
        self.shared.state().most_pending
    }

    pub(crate) fn idle_closes(&self) -> u64 {
        self.shared.state().idle_closes
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.state().open
    }
}

struct Shared {
    redis: PathBuf,
    state: Mutex<State>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("lock")
    }
}

struct State {
    plan: Plan,
    billed: BTreeMap<String, u64>,
    refused: BTreeMap<String, u64>,
    turned_away: BTreeMap<String, u64>,
    most_pending: u64,
    idle_closes: u64,
    open: usize,
}

impl State {
    fn new(plan: Plan) -> Self {
        Self {
            plan,
            billed: BTreeMap::new(),
            refused: BTreeMap::new(),
            turned_away: BTreeMap::new(),
            most_pending: 0,
            idle_closes: 0,
            open: 0,
        }
    }

    /// Bills a command, or says why it is not taken.
    fn take(&mut self, name: &str, known: bool) -> Result<(), String> {
        let usage = self.billed.values().sum::<u64>();
        if let Some(limit) = self.plan.cap.filter(|limit| usage >= *limit) {
            *self.turned_away.entry(name.to_owned()).or_default() += 1;
            let page = "https://upstash.com/docs/redis/troubleshooting/max_requests_limit";
            return Err(format!(
                "ERR max requests limit exceeded. Limit: {limit}, Usage: {usage}. See {page} for details"
            ));
        }
        *self.billed.entry(name.to_owned()).or_default() += 1;
        if known {
            return Ok(());
        }
        *self.refused.entry(name.to_owned()).or_default() += 1;
        let page = "https://upstash.com/docs/redis/overall/rediscompatibility";
        Err(format!("ERR Command is not available: '{name}'. See {page} for details"))
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let full = {
            let mut state = shared.state();
            state.open += 1;
            state.open > state.plan.connections
        };
        let shared = shared.clone();
        connections.spawn(async move {
            serve(client, &shared, full).await;
            shared.state().open -= 1;
        });
    }
}

async fn serve(client: TcpStream, shared: &Shared, full: bool) {
    let Ok(server) = UnixStream::connect(&shared.redis).await else { return };
    let mut session = Session { client, server, asked: Vec::new(), told: Vec::new(), quiet_since: Instant::now() };
    if full {
        session.say(b"-ERR max concurrent connections exceeded\r\n").await.ok();
        return;
    }
    while let Ok(words) = session.next(shared).await {
        let done = match judge(&words, shared).await {
            Verdict::Say(answer) => session.say(&answer).await,
            Verdict::Ask(words) => session.ask(&words, shared).await,
        };
        if done.is_err() {
            return;
        }
        if let Some(read) = Read::of(&words) {
            let held = read.pending(&shared.redis).await;
            let mut state = shared.state();
            state.most_pending = state.most_pending.max(held);
        }
    }
}

/// One command at a time: each is answered before the next is looked at, so that a refusal has its place.
struct Session {
    client: TcpStream,
    server: UnixStream,
    asked: Vec<u8>,
    told: Vec<u8>,
    quiet_since: Instant,
}

/// The connection is at its end.
struct Closed;

impl From<std::io::Error> for Closed {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

impl Session {
    async fn next(&mut self, shared: &Shared) -> Result<Vec<String>, Closed> {
        let idle = shared.state().plan.idle;
        loop {
            if let Some((words, length)) = command(&self.asked) {
                self.asked.drain(..length).for_each(drop);
                return Ok(words);
            }
            tokio::select! {
                read = self.client.read_buf(&mut self.asked) => if read? == 0 { return Err(Closed) },
                closed = idle_since(self.quiet_since, idle) => return closed.of(shared),
            }
        }
    }

    async fn say(&mut self, answer: &[u8]) -> Result<(), Closed> {
        self.quiet_since = Instant::now();
        Ok(self.client.write_all(answer).await?)
    }

    async fn ask(&mut self, words: &[String], shared: &Shared) -> Result<(), Closed> {
        self.server.write_all(&encode(words)).await?;
        let idle = Some(shared.state().plan.clone()).filter(|plan| plan.closes_reads).and_then(|plan| plan.idle);
        self.quiet_since = Instant::now();
        loop {
            if let Some(length) = reply(&self.told) {
                let answer: Vec<u8> = self.told.drain(..length).collect();
                return self.say(&answer).await;
            }
            tokio::select! {
                read = self.server.read_buf(&mut self.told) => if read? == 0 { return Err(Closed) },
                // A client that goes away takes its blocked read with it.
                read = self.client.read_buf(&mut self.asked) => if read? == 0 { return Err(Closed) },
                closed = idle_since(self.quiet_since, idle) => return closed.of(shared),
            }
        }
    }
}

struct Idle;

impl Idle {
    fn of<T>(self, shared: &Shared) -> Result<T, Closed> {
        shared.state().idle_closes += 1;
        Err(Closed)
    }
}

async fn idle_since(since: Instant, idle: Option<Duration>) -> Idle {
    match idle {
        Some(idle) => sleep_until(since + idle).await,
        None => std::future::pending().await,
    }
    Idle
}

enum Verdict {
    Ask(Vec<String>),
    Say(Vec<u8>),
}

async fn judge(words: &[String], shared: &Shared) -> Verdict {
    let refuse = |text: String| Verdict::Say(format!("-{text}\r\n").into_bytes());
    let first = words.first().map(|word| word.to_uppercase()).unwrap_or_default();
    let second = words.get(1).map(|word| word.to_uppercase()).unwrap_or_default();
    let parts = PARTED.iter().find(|(name, _)| *name == first).map(|(_, parts)| *parts);
    let (name, known) = match parts {
        Some(parts) => (format!("{first} {second}"), parts.contains(&second.as_str())),
        None => (first.clone(), WHOLE.contains(&first.as_str())),
    };
    if let Err(refusal) = shared.state().take(&name, known) {
        return refuse(refusal);
    }
    let plan = shared.state().plan.clone();
    let size = encode(words).len();
    if size > plan.request {
        return refuse(format!("ERR max request size exceeded. Limit: {} bytes, Actual: {size} bytes", plan.request));
    }
    if let Some(read) = Read::of(words) {
        let held = read.pending(&shared.redis).await;
        if held + read.count > plan.pending {
            return refuse(format!(
                "ERR XReadGroup is cancelled. Pending Entries List limit per consumer is about to be reached. Limit: {}, \
                 Current PEL size: {held}, Requested Read: {}, Key: {}, Group: {}, Consumer: {}",
                plan.pending, read.count, read.stream, read.group, read.consumer
            ));
        }
    }
    match (first.as_str(), second.to_lowercase().as_str()) {
        ("INFO", "" | "default" | "all") => {
            Verdict::Ask(["INFO"].iter().chain(&SECTIONS).map(|&word| word.to_owned()).collect())
        }
        ("INFO", section) if !SECTIONS.contains(&section) => {
            let heading = format!("# {section}\r\n");
            Verdict::Say(format!("${}\r\n{heading}\r\n", heading.len()).into_bytes())
        }
        _ => Verdict::Ask(words.to_vec()),
    }
}

/// An XREADGROUP of new entries.
struct Read {
    group: String,
    consumer: String,
    stream: String,
    count: u64,
}

impl Read {
    fn of(words: &[String]) -> Option<Self> {
        let after = |name: &str| words.iter().position(|word| word.eq_ignore_ascii_case(name)).map(|at| at + 1);
        if !words.first()?.eq_ignore_ascii_case("XREADGROUP") || words.last()? != ">" {
            return None;
        }
        let group = after("GROUP")?;
        Some(Self {
            group: words.get(group)?.clone(),
            consumer: words.get(group + 1)?.clone(),
            stream: words.get(after("STREAMS")?)?.clone(),
            count: after("COUNT").and_then(|at| words.get(at)?.parse().ok()).unwrap_or(1),
        })
    }

    /// How many entries the consumer has.
    async fn pending(&self, redis: &Path) -> u64 {
        let words = ["XPENDING", &self.stream, &self.group, "-", "+", "100000", &self.consumer];
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let Ok(mut server) = UnixStream::connect(redis).await else { return 0 };
        let mut told = Vec::new();
        if server.write_all(&encode(&words)).await.is_err() {
            return 0;
        }
        while reply(&told).is_none() {
            if !matches!(server.read_buf(&mut told).await, Ok(1..)) {
                return 0;
            }
        }
        let head = told.strip_prefix(b"*").and_then(|rest| rest.split(|&byte| byte == b'\r').next());
        head.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok()).unwrap_or(0)
    }
}
