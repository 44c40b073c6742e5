//! The path under which a client reaches the embedded Redis' socket.
//!
//! A unix socket's path holds about 104 bytes at most, and the Redis client takes it from a URL without decoding it. A
//! path that is longer, or has a character that a URL would encode, is reached through a link in a short private folder.
//! That folder is noted in the data folder, so that one left by a killed process is removed at the next start.

use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The shortest limit of the systems we run on (macOS: 104 with the zero at its end).
const LONGEST: usize = 100;
const SOCKET: &str = "redis.sock";
const NOTE: &str = "link";

/// Removes its link when dropped.
#[derive(Debug)]
pub(super) struct SocketPath {
    path: PathBuf,
    _link: Option<TempDir>,
}

impl SocketPath {
    /// `folder` is absolute, and the working directory of the Redis that binds the socket by its bare name.
    pub(super) fn of(folder: &Path) -> io::Result<Self> {
        let note = folder.join(NOTE);
        if let Ok(left) = std::fs::read_to_string(&note) {
            remove_left(Path::new(left.trim()));
            std::fs::remove_file(&note)?;
        }
        let path = folder.join(SOCKET);
        if is_plain(&path) {
            return Ok(Self { path, _link: None });
        }
        // Not TMPDIR, which may be as long.
        let link = tempfile::Builder::new().prefix("subiteya-").tempdir_in("/tmp")?;
        std::os::unix::fs::symlink(&path, link.path().join(SOCKET))?;
        std::fs::write(&note, link.path().as_os_str().as_encoded_bytes())?;
        Ok(Self { path: link.path().join(SOCKET), _link: Some(link) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

fn is_plain(path: &Path) -> bool {
    let bytes = path.as_os_str().as_encoded_bytes();
    bytes.len() <= LONGEST && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(b))
}

/// Only what we could have made: a link of our name in a folder of our name. Anything else stays.
fn remove_left(folder: &Path) {
    let ours = folder.parent() == Some(Path::new("/tmp"))
        && folder.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"subiteya-"));
    if ours && folder.join(SOCKET).is_symlink() {
        std::fs::remove_file(folder.join(SOCKET)).ok();
        std::fs::remove_dir(folder).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_or_unusual_path_is_reached_through_a_short_link_that_is_removed() {
        let parent = tempfile::tempdir_in("/tmp").expect("folder");
        let plain = SocketPath::of(parent.path()).expect("plain");
        assert_eq!(plain.path(), parent.path().join(SOCKET));
        for name in ["a".repeat(120), "with space".to_owned(), "ümlaut".to_owned()] {
            let folder = parent.path().join(name);
            std::fs::create_dir(&folder).expect("folder");
            let killed = SocketPath::of(&folder).expect("linked");
            let left = killed.path().to_owned();
            assert!(is_plain(&left));
            assert_eq!(std::fs::read_link(&left).expect("a link"), folder.join(SOCKET));
            std::mem::forget(killed);
            let next = SocketPath::of(&folder).expect("linked");
            assert!(!left.parent().expect("parent").exists(), "what a killed process left is gone");
            let path = next.path().to_owned();
            drop(next);
            assert!(!path.is_symlink());
        }
    }
}
