//! A Redis of our own: one child on a unix socket, which a supervisor starts, watches and starts again.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::folder::{DataFolder, make_private_folder};
use super::socket::SocketPath;
use crate::child::{Contained, Limits, Running, find};
use crate::config::RedisUrl;

/// Loading a large append-only file takes a while; a Redis that says nothing for so long is broken.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// Writing the rest of the append-only file takes far less.
const STOP_DEADLINE: Duration = Duration::from_secs(10);
/// A group that was killed is gone after far less.
const DYING: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// After running so long, a death is a new trouble and not the last one again.
const SETTLED: Duration = Duration::from_secs(60);

/// Names relative to the working directory, which is the folder of this file: a socket's path is limited in length.
const CONFIG: &str = "\
port 0
unixsocket redis.sock
unixsocketperm 700
daemonize no
dir .
logfile redis.log
databases 1
save \"\"
appendonly yes
appendfsync everysec
maxmemory-policy noeviction
";

#[derive(Debug, thiserror::Error)]
pub enum EmbeddedRedisError {
    #[error(
        "neither redis-server nor valkey-server is installed; run scripts/setup.sh, or set REDIS_URL to a Redis that runs elsewhere"
    )]
    NotInstalled,
    #[error("{}: {error}", .path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("{} ended at its start with {status}; the reason stands in {}", .program.display(), .log.display())]
    Ended { program: PathBuf, status: std::process::ExitStatus, log: PathBuf },
    #[error("another Redis still answers on {}", .socket.display())]
    InTheWay { socket: PathBuf },
    #[error("{} did not answer within {} s; see {}", .program.display(), START_DEADLINE.as_secs(), .log.display())]
    Silent { program: PathBuf, log: PathBuf },
}

/// Runs until [`stop`](Self::stop); dropping it kills the child.
#[derive(Debug)]
pub struct EmbeddedRedis {
    url: RedisUrl,
    stopping: CancellationToken,
    supervisor: AbortOnDropHandle<()>,
    _socket: SocketPath,
}

impl EmbeddedRedis {
    /// Returns when it answers. The lock of the data folder makes it the only one there.
    pub async fn start(data: &DataFolder) -> Result<Self, EmbeddedRedisError> {
        let program = find(&["redis-server", "valkey-server"]).ok_or(EmbeddedRedisError::NotInstalled)?;
        let folder = data.path().join("redis");
        let at = |error| EmbeddedRedisError::Io { path: folder.clone(), error };
        make_private_folder(&folder).map_err(at)?;
        std::fs::write(folder.join("redis.conf"), CONFIG).map_err(at)?;
        let socket = SocketPath::of(&folder).map_err(at)?;
        let place = Place { program, socket: socket.path().to_owned(), folder };
        let running = place.start().await?;
        tracing::info!(program = %place.program.display(), socket = %place.socket.display(), "embedded redis is up");

        let url = RedisUrl::of_socket(&socket.path().to_string_lossy());
        let stopping = CancellationToken::new();
        let supervisor = AbortOnDropHandle::new(tokio::spawn(supervise(place, running, stopping.clone())));
        Ok(Self { url, stopping, supervisor, _socket: socket })
    }

    pub fn url(&self) -> &RedisUrl {
        &self.url
    }

    /// Asks it to end, waits until it has written everything, and reaps it.
    pub async fn stop(self) {
        self.stopping.cancel();
        if let Err(error) = self.supervisor.await {
            tracing::error!(%error, "the supervisor of the embedded redis broke off");
        }
    }
}

/// Where it runs, which a restart doesn't change.
#[derive(Debug)]
struct Place {
    program: PathBuf,
    folder: PathBuf,
    socket: PathBuf,
}

impl Place {
    async fn start(&self) -> Result<Running, EmbeddedRedisError> {
        self.wait_for_the_last_one().await?;
        let at = |error| EmbeddedRedisError::Io { path: self.program.clone(), error };
        let started = Contained::new(&self.program, &self.folder, Limits::default()).arg("redis.conf").start();
        let mut running = started.map_err(at)?;
        // It logs into its file; what it says before it has one must not fill a pipe.
        tokio::spawn(drain(running.stdout()));
        tokio::spawn(drain(running.stderr()));
        let log = self.folder.join("redis.log");
        tokio::select! {
            status = running.wait() => {
                Err(EmbeddedRedisError::Ended { program: self.program.clone(), status: status.map_err(at)?, log })
            }
            ready = timeout(START_DEADLINE, answers(&self.socket)) => match ready {
                Ok(()) => Ok(running),
                Err(_) => Err(EmbeddedRedisError::Silent { program: self.program.clone(), log }),
            },
        }
    }

    /// The child of a process that was killed a moment ago may still be dying, and two must not write one file. One whose
    /// supervising shell was killed lives on; whatever answers here is ours, so it is told to end.
    async fn wait_for_the_last_one(&self) -> Result<(), EmbeddedRedisError> {
        let start = Instant::now();
        let mut told = false;
        while let Ok(mut left) = UnixStream::connect(&self.socket).await {
            if start.elapsed() > STOP_DEADLINE {
                return Err(EmbeddedRedisError::InTheWay { socket: self.socket.clone() });
            }
            if start.elapsed() > DYING && !told {
                tracing::warn!(socket = %self.socket.display(), "a redis that nobody watches is told to end");
                told = left.write_all(b"SHUTDOWN NOSAVE\r\n").await.is_ok();
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

async fn drain(pipe: Option<impl AsyncRead + Unpin>) {
    if let Some(mut pipe) = pipe {
        tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await.ok();
    }
}

async fn supervise(place: Place, mut running: Running, stopping: CancellationToken) {
    let mut pause = FIRST_PAUSE;
    loop {
        let since = Instant::now();
        tokio::select! {
            () = stopping.cancelled() => return end(&mut running).await,
            status = running.wait() => match status {
                Ok(status) => tracing::error!(%status, "embedded redis ended by itself and is started again"),
                Err(error) => tracing::error!(%error, "embedded redis can't be watched and is started again"),
            },
        }
        // Closes its lifeline, which kills what is left of its group.
        drop(running);
        if since.elapsed() > SETTLED {
            pause = FIRST_PAUSE;
        }
        running = loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                () = sleep(pause) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
            let started = tokio::select! {
                () = stopping.cancelled() => return,
                started = place.start() => started,
            };
            match started {
                Ok(running) => break running,
                Err(error) => tracing::error!(%error, pause.ms = pause.as_millis(), "embedded redis did not start"),
            }
        };
        tracing::info!("embedded redis is up again");
    }
}

async fn end(running: &mut Running) {
    let ended = match running.ask_to_end() {
        Ok(()) => timeout(STOP_DEADLINE, running.wait()).await.is_ok(),
        Err(_) => false,
    };
    if ended {
        tracing::info!("embedded redis has ended");
    } else if let Err(error) = running.kill().await {
        tracing::error!(%error, "embedded redis could not be reaped");
    } else {
        tracing::warn!("embedded redis did not end when asked and was killed");
    }
}

/// Ends when a PING is answered. A Redis that still loads its file answers something else.
async fn answers(socket: &Path) {
    async fn ping(socket: &Path) -> io::Result<bool> {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(b"PING\r\n").await?;
        let mut answer = [0u8; 7];
        stream.read_exact(&mut answer).await?;
        Ok(&answer == b"+PONG\r\n")
    }
    while !matches!(timeout(Duration::from_secs(5), ping(socket)).await, Ok(Ok(true))) {
        sleep(Duration::from_millis(20)).await;
    }
}
