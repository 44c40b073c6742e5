//! A TCP port in front of a test's Redis or PostgreSQL that breaks what passes, as networks do.
//!
//! Each connection remembers which commands it has carried, so that a fault can be aimed at the reader (`XREADGROUP`) or at
//! the commands' connection (`XADD`). A swallowed reply is followed by a cut, since TCP loses nothing in the middle.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

const COMMANDS: [&str; 7] = ["XADD", "XREADGROUP", "XACK", "XPENDING", "XCLAIM", "XGROUP", "CLIENT"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Open,
    /// New connections are closed at once.
    Closed,
    /// New connections are accepted and never answered.
    Mute,
}

struct Shared {
    door: Mutex<Door>,
    swallow: Mutex<Option<&'static str>>,
    swallowed: AtomicUsize,
    connects: AtomicUsize,
    socket: Mutex<PathBuf>,
    delay: Mutex<Duration>,
    /// Counts up: connections that were there before are cut.
    cuts: watch::Sender<usize>,
    /// Counts up with a command: connections that carried it go silent for ever.
    silences: watch::Sender<(usize, &'static str)>,
}

pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn before(socket: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared {
            door: Mutex::new(Door::Open),
            swallow: Mutex::default(),
            swallowed: AtomicUsize::new(0),
            connects: AtomicUsize::new(0),
            socket: Mutex::new(socket.to_owned()),
            delay: Mutex::default(),
            cuts: watch::Sender::new(0),
            silences: watch::Sender::new((0, "")),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, shared.clone()));
        Self { port, shared, _tasks: tasks }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// New connections go to another server; those that stand stay where they are.
    pub(crate) fn lead_to(&self, socket: &Path) {
        *self.shared.socket.lock().expect("lock") = socket.to_owned();
    }

    /// Everything takes this long, each way.
    pub(crate) fn delay(&self, each_way: Duration) {
        *self.shared.delay.lock().expect("lock") = each_way;
    }

    pub(crate) fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Cuts all, and lets nobody in.
    pub(crate) fn close(&self) {
        *self.shared.door.lock().expect("lock") = Door::Closed;
        self.cut();
    }

    pub(crate) fn open(&self) {
        *self.shared.door.lock().expect("lock") = Door::Open;
    }

    /// Connections that carried this command stay open and answer no more; new ones are served.
    pub(crate) fn silence(&self, command: &'static str) {
        self.shared.silences.send_modify(|(count, which)| {
            *count += 1;
            *which = command;
        });
    }

    /// Every connection, also each new one, is accepted and never answered.
    pub(crate) fn mute(&self) {
        *self.shared.door.lock().expect("lock") = Door::Mute;
        self.silence("");
    }

    /// The next reply to this command is lost, with its connection.
    pub(crate) fn swallow_reply(&self, command: &'static str) {
        *self.shared.swallow.lock().expect("lock") = Some(command);
    }

    pub(crate) fn swallowed(&self) -> usize {
        self.shared.swallowed.load(Ordering::SeqCst)
    }

    pub(crate) fn connects(&self) -> usize {
        self.shared.connects.load(Ordering::SeqCst)
    }
}

impl Shared {
    async fn wait(&self) {
        let delay = *self.delay.lock().expect("lock");
        tokio::time::sleep(delay).await;
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        shared.connects.fetch_add(1, Ordering::SeqCst);
        let door = *shared.door.lock().expect("lock");
        match door {
            Door::Open => {
                let socket = shared.socket.lock().expect("lock").clone();
                connections.spawn(carry(client, socket, shared.clone()));
            }
            Door::Closed => {}
            Door::Mute => {
                let mut cuts = shared.cuts.subscribe();
                connections.spawn(async move {
                    cuts.changed().await.ok();
                    drop(client);
                });
            }
        }
    }
}

async fn carry(mut client: TcpStream, socket: PathBuf, shared: Arc<Shared>) {
    let Ok(mut server) = UnixStream::connect(socket).await else { return };
    let (mut cuts, mut silences) = (shared.cuts.subscribe(), shared.silences.subscribe());
    let (mut up, mut down) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    let (mut carried, mut open) = (BTreeSet::new(), BTreeSet::new());
    loop {
        tokio::select! {
            _ = cuts.changed() => return,
            changed = silences.changed() => {
                let silenced = changed.is_ok() && {
                    let which = silences.borrow_and_update().1;
                    which.is_empty() || carried.contains(which)
                };
                if silenced {
                    cuts.changed().await.ok();
                    return;
                }
            }
            read = client.read(&mut up) => {
                let Ok(read @ 1..) = read else { return };
                for name in COMMANDS.into_iter().filter(|name| names(&up[..read], name)) {
                    carried.insert(name);
                    open.insert(name);
                }
                shared.wait().await;
                if server.write_all(&up[..read]).await.is_err() { return }
            }
            read = server.read(&mut down) => {
                let Ok(read @ 1..) = read else { return };
                let lost = {
                    let mut swallow = shared.swallow.lock().expect("lock");
                    let hit = swallow.is_some_and(|name| open.contains(name));
                    if hit { *swallow = None; }
                    hit
                };
                if lost {
                    shared.swallowed.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                open.clear();
                shared.wait().await;
                if client.write_all(&down[..read]).await.is_err() { return }
            }
        }
    }
}

fn names(bytes: &[u8], command: &str) -> bool {
    let word = format!("\r\n{command}\r\n");
    bytes.windows(word.len()).any(|window| window == word.as_bytes())
}
