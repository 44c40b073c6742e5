//! A PostgreSQL of the test's own, on a unix socket in a temporary folder; gone with it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use subiteya::child::{Contained, Limits, Running};

use super::servers;

pub(crate) struct Postgres {
    folder: tempfile::TempDir,
    server: Running,
}

impl Postgres {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("pg").tempdir().expect("a folder");
        run(Command::new("cp").arg("-a").arg(template()).arg(folder.path().join("data")));
        if rustix::process::geteuid().is_root() {
            run(Command::new("chown").arg("postgres").arg(folder.path()));
        }
        let server = launch(folder.path()).await;
        let postgres = Self { folder, server };
        postgres.sql("postgres", "create database subiteya");
        postgres
    }

    /// A database of this server; `subiteya` is there from the start.
    pub(crate) fn url_of(&self, database: &str) -> String {
        format!("postgres://postgres@localhost/{database}?host={}", self.folder.path().display())
    }

    pub(crate) fn url(&self) -> String {
        self.url_of("subiteya")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join(".s.PGSQL.5432")
    }

    /// Runs statements with psql and gives what they print, unaligned and without headers.
    pub(crate) fn sql(&self, database: &str, statements: &str) -> String {
        let mut psql = Command::new(servers::postgres("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database, "-h"]);
        let output = psql.arg(self.folder.path()).args(["-c", statements]).output().expect("psql runs");
        assert!(output.status.success(), "{statements}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// The process that all of its processes descend from.
    pub(crate) fn pid(&self) -> u32 {
        self.server.group().unsigned_abs()
    }

    /// Whoever comes as this role from now on has to know its password.
    pub(crate) fn ask_for_passwords_of(&self, role: &str) {
        let file = self.folder.path().join("data/pg_hba.conf");
        let rules = std::fs::read_to_string(&file).expect("rules");
        std::fs::write(&file, format!("local all {role} scram-sha-256\n{rules}")).expect("written");
        self.sql("postgres", "select pg_reload_conf()");
    }

    /// SIGKILL, as a crash of the server would be.
    pub(crate) async fn kill(&mut self) {
        self.server.kill().await.expect("killed");
        // Its backends leave when they see that it is gone; a new one won't start before.
        let data = self.folder.path().join("data");
        std::fs::remove_file(data.join("postmaster.pid")).ok();
    }

    pub(crate) async fn restart(&mut self) {
        self.server = launch(self.folder.path()).await;
    }

    /// Its data stand in this folder from now on.
    pub(crate) async fn move_to(&mut self, folder: &Path) {
        self.kill().await;
        let data = self.folder.path().join("data");
        run(Command::new("cp").arg("-a").arg(&data).arg(folder));
        std::fs::remove_dir_all(&data).expect("removed");
        std::os::unix::fs::symlink(folder.join("data"), &data).expect("linked");
        self.restart().await;
    }

    /// As its supervisor would, if it has given up.
    pub(crate) async fn restart_if_down(&mut self) {
        if !is_ready(self.folder.path()) {
            self.kill().await;
            self.restart().await;
        }
    }

    /// SIGSTOP or SIGCONT to the server and all its backends.
    pub(crate) fn signal(&self, signal: Signal) {
        // Each backend leads a group of its own.
        for backend in self.backends() {
            kill_process(backend, signal).ok();
        }
        let group = Pid::from_raw(self.server.group()).expect("a group");
        kill_process_group(group, signal).ok();
    }

    /// By their parent, in all of `/proc`: the kernel's list of a process's children may leave some out while others end,
    /// and one backend that stays frozen keeps its locks for ever.
    fn backends(&self) -> Vec<Pid> {
        let file = std::fs::read_to_string(self.folder.path().join("data/postmaster.pid")).unwrap_or_default();
        let postmaster = file.lines().next().unwrap_or_default().to_owned();
        let parent = |pid: i32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            stat.rsplit(") ").next()?.split_whitespace().nth(1).map(str::to_owned)
        };
        let processes = std::fs::read_dir("/proc").expect("processes").flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        pids.filter(|&pid| !postmaster.is_empty() && parent(pid).as_deref() == Some(&postmaster))
            .filter_map(Pid::from_raw)
            .collect()
    }
}

/// A frozen backend would outlive its server.
impl Drop for Postgres {
    fn drop(&mut self) {
        if self.folder.path().join("data/postmaster.pid").exists() {
            self.signal(Signal::CONT);
        }
    }
}

/// Tries again while a killed server's backends still hold what a new one needs.
async fn launch(folder: &Path) -> Running {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let mut server = start(folder);
        let ready = async {
            while !is_ready(folder) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            () = ready => return server,
            ended = server.wait() => assert!(Instant::now() < deadline, "postgres does not start: {ended:?}"),
            () = tokio::time::sleep_until(deadline.into()) => panic!("postgres does not answer"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn is_ready(folder: &Path) -> bool {
    let ready = Command::new(servers::postgres("pg_isready")).arg("-q").arg("-h").arg(folder).status();
    ready.is_ok_and(|status| status.success())
}

fn start(folder: &Path) -> Running {
    let mut words: Vec<String> = as_postgres();
    words.push(servers::postgres("postgres").display().to_string());
    let socket = format!("unix_socket_directories={}", folder.display());
    words.extend(
        ["-D", "data", "-c", "listen_addresses=", "-c", &socket, "-c", "max_connections=300"].map(str::to_owned),
    );
    // What a killed server had committed is in the kernel's hands; only the machine's own crash would lose it.
    words.extend(["-c", "fsync=off"].map(str::to_owned));
    let (program, args) = words.split_first().expect("a program");
    Contained::new(Path::new(program), folder, Limits::default()).args(args.to_vec()).start().expect("postgres starts")
}

/// PostgreSQL refuses to run as root.
fn as_postgres() -> Vec<String> {
    if !rustix::process::geteuid().is_root() {
        return Vec::new();
    }
    let setpriv = subiteya::child::find(&["setpriv"]).expect("setpriv, of util-linux");
    let words = [&setpriv.display().to_string(), "--reuid=postgres", "--regid=postgres", "--clear-groups"];
    words.map(str::to_owned).to_vec()
}

/// A database cluster as initdb leaves it, made once for all tests.
fn template() -> PathBuf {
    let made = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("postgres-small-wal");
    if made.is_dir() {
        return made;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let root = rustix::process::geteuid().is_root();
    if root {
        run(Command::new("chown").arg("postgres").arg(folder.path()));
    }
    let mut words = as_postgres();
    words.push(servers::postgres("initdb").display().to_string());
    // Segments of 16 MiB, of which it keeps several, would by themselves fill the small disks that tests fill.
    let options = ["-N", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale", "--wal-segsize=1", "-D"];
    words.extend(options.map(str::to_owned));
    run(Command::new(&words[0]).args(&words[1..]).arg(folder.path().join("data")));
    // Another test may be making it too: the first to be named so is taken.
    let beside = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    run(Command::new("cp").arg("-a").arg(folder.path().join("data")).arg(beside.path().join("data")));
    std::fs::rename(beside.path().join("data"), &made).ok();
    assert!(made.is_dir(), "the template is there");
    made
}

fn run(command: &mut Command) {
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
