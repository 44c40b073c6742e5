//! The servers of a turn: gone with it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use subiteya::child::{Contained, Limits, Running, find};
use tempfile::TempDir;

use crate::turn::Kind;

const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Redis {
    pub(crate) socket: PathBuf,
    _server: Running,
    _folder: TempDir,
}

impl Redis {
    /// In memory only, as the peers' figures were taken.
    pub(crate) async fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let program =
            find(&["redis-server", "valkey-server"]).context("redis-server or valkey-server is not installed")?;
        let server = Contained::new(&program, folder.path(), Limits::default())
            .args(["--port", "0", "--unixsocket", "redis.sock", "--save", "", "--appendonly", "no"])
            .start()?;
        let socket = folder.path().join("redis.sock");
        let deadline = Instant::now() + PATIENCE;
        while tokio::net::UnixStream::connect(&socket).await.is_err() {
            ensure!(Instant::now() < deadline, "redis-server does not listen");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(Self { socket, _server: server, _folder: folder })
    }

    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.socket.display())
    }
}

pub(crate) struct Database {
    pub(crate) url: String,
    /// What Node's driver calls it: the folder of the socket.
    pub(crate) folder: TempDir,
    _server: Option<Running>,
}

impl Database {
    /// On the disk that builds go to, since a temporary folder may lie in memory. Both sync each commit.
    pub(crate) async fn start(kind: Kind) -> Result<Self> {
        let disk = Path::new(env!("CARGO_TARGET_TMPDIR"));
        std::fs::create_dir_all(disk)?;
        match kind {
            Kind::Sqlite => {
                let folder = tempfile::Builder::new().prefix("flow").tempdir_in(disk)?;
                let url = format!("sqlite://{}", folder.path().join("ledger.db").display());
                Ok(Self { url, folder, _server: None })
            }
            Kind::Postgres => Self::postgres().await,
        }
    }

    async fn postgres() -> Result<Self> {
        // A socket's path may not be long, so the data lie elsewhere than on the build's disk only by name.
        let folder = tempfile::Builder::new().prefix("pg").tempdir()?;
        let mut words = Vec::new();
        if rustix::process::geteuid().is_root() {
            ran(Command::new("chown").arg("postgres").arg(folder.path()))?;
            let setpriv = find(&["setpriv"]).context("setpriv, of util-linux, is not installed")?;
            words = vec![setpriv.display().to_string()];
            words.extend(["--reuid=postgres", "--regid=postgres", "--clear-groups"].map(str::to_owned));
        }
        let run = |program: &str, more: &[&str]| -> Result<()> {
            let mut all = words.clone();
            all.push(postgres(program)?.display().to_string());
            ran(Command::new(&all[0]).args(&all[1..]).args(more).current_dir(folder.path()))
        };
        run("initdb", &["-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale", "-D", "data"])?;
        let mut all = words.clone();
        all.push(postgres("postgres")?.display().to_string());
        let socket = format!("unix_socket_directories={}", folder.path().display());
        let args = ["-D", "data", "-c", "listen_addresses=", "-c", &socket].map(str::to_owned);
        let server = Contained::new(Path::new(&all[0]), folder.path(), Limits::default())
            .args(all[1..].iter().cloned().chain(args).collect::<Vec<_>>())
            .start()?;
        let deadline = Instant::now() + PATIENCE;
        let ready =
            || Command::new(postgres("pg_isready")?).arg("-q").arg("-h").arg(folder.path()).status().context("");
        while !ready()?.success() {
            ensure!(Instant::now() < deadline, "postgres does not answer");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let url = format!("postgres://postgres@localhost/postgres?host={}", folder.path().display());
        Ok(Self { url, folder, _server: Some(server) })
    }
}

pub(crate) fn has_postgres() -> bool {
    postgres("postgres").is_ok()
}

/// A program of PostgreSQL's, which Debian keeps off PATH.
fn postgres(name: &str) -> Result<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let packaged = versions.map(|version| version.path().join("bin").join(name)).filter(|file| file.is_file());
    packaged.max().or_else(|| find(&[name])).with_context(|| format!("PostgreSQL's {name} is not installed"))
}

pub(crate) fn ran(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
