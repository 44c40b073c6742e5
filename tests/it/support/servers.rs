//! Where the servers are that only the tests need; `make test` installs them (scripts/test-servers.sh).

use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Mutex;

use subiteya::child::find;

/// Below what Linux and macOS give to those who bind port 0.
const FIRST_PORT: u16 = 20_000;
const PORTS: u16 = 12_000;

/// What scripts/test-servers.sh fetched: `weed`, `redis-server-8.2`, `valkey-server-9.1`.
pub(crate) fn fetched(name: &str) -> PathBuf {
    // CARGO_TARGET_TMPDIR is the target folder's `tmp`.
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("..");
    let file = target.join("tools/servers").join(name);
    file.canonicalize().unwrap_or_else(|_| panic!("{} is missing: run `make test-servers`", file.display()))
}

/// A program of PostgreSQL's, which Debian keeps off PATH.
pub(crate) fn postgres(name: &str) -> PathBuf {
    let packaged = ["/usr/lib/postgresql", "/opt/homebrew/opt"].into_iter().flat_map(|folder| {
        let versions = std::fs::read_dir(folder).into_iter().flatten().flatten();
        versions.map(|version| version.path().join("bin").join(name)).filter(|file| file.is_file())
    });
    packaged
        .max()
        .or_else(|| find(&[name]))
        .unwrap_or_else(|| panic!("PostgreSQL's {name} is missing: run `make test-servers`"))
}

/// A port for a server that is about to start, this process's until it ends. The kernel gives ports from the range above
/// these to whoever binds port 0 in the meantime, so that no other test's server can take it in between.
pub(crate) fn free_port() -> u16 {
    static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());
    let folder = std::env::temp_dir().join("subiteya-test-ports");
    std::fs::create_dir_all(&folder).expect("a folder");
    let mut held = HELD.lock().expect("lock");
    let start = std::process::id() as u16 % PORTS;
    let mut offsets = (0..PORTS).map(|step| start.wrapping_mul(7).wrapping_add(step) % PORTS);
    offsets
        .find_map(|offset| {
            let port = FIRST_PORT + offset;
            let lock = File::create(folder.join(port.to_string())).expect("a lock file");
            lock.try_lock().ok()?;
            TcpListener::bind(("127.0.0.1", port)).ok()?;
            held.push(lock);
            Some(port)
        })
        .expect("a free port")
}
