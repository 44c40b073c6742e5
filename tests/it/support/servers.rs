//! Where the servers are that only the tests need; `make test` installs them (scripts/test-servers.sh).

use std::net::TcpListener;
use std::path::PathBuf;

use subiteya::child::find;

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

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}
