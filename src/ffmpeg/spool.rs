//! Where a process makes the private folders of its runs.
//!
//! ```text
//! spool/            of any number of processes
//!   lock            held while one of them makes or removes folders in here
//!   run-a1b2c3/     one process' own, 0700; its runs' folders are in here
//!     lock          held for as long as that process lives
//! ```
//!
//! A process that is killed removes nothing, and what it leaves may be gigabytes. So the next one that starts, and those
//! that live, remove the folders whose lock nobody holds any more.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

const LOCK: &str = "lock";

/// This process' folder; cheap to clone. Removed with the last clone.
#[derive(Debug, Clone)]
pub struct Spool {
    own: Arc<Own>,
}

#[derive(Debug)]
struct Own {
    folder: TempDir,
    _lock: File,
}

impl Spool {
    /// Makes a folder in `root`, which is made where it isn't there, and removes those of dead processes.
    pub fn open(root: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(root)?;
        let root = root.canonicalize()?;
        let _gate = gate(&root)?;
        remove_abandoned(&root)?;
        let folder = tempfile::Builder::new().prefix("run-").tempdir_in(&root)?;
        let lock = File::create(folder.path().join(LOCK))?;
        lock.lock()?;
        Ok(Self { own: Arc::new(Own { folder, _lock: lock }) })
    }

    /// Removes what processes left that have died since.
    pub fn tidy(&self) -> io::Result<()> {
        let Some(root) = self.path().parent() else { return Ok(()) };
        let _gate = gate(root)?;
        remove_abandoned(root)
    }

    pub fn path(&self) -> &Path {
        self.own.folder.path()
    }
}

/// A folder that is seen while this is held has its own lock held by its process, or by nobody.
fn gate(root: &Path) -> io::Result<File> {
    let gate = File::create(root.join(LOCK))?;
    gate.lock()?;
    Ok(gate)
}

fn remove_abandoned(root: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(root)?.flatten() {
        let path = entry.path();
        if path.is_dir() && is_abandoned(&path) {
            match std::fs::remove_dir_all(&path) {
                Ok(()) => tracing::info!(folder = %path.display(), "removed what a dead process left"),
                Err(error) => {
                    tracing::warn!(folder = %path.display(), %error, "what a dead process left can't be removed");
                }
            }
        }
    }
    Ok(())
}

fn is_abandoned(folder: &Path) -> bool {
    match File::open(folder.join(LOCK)) {
        Ok(lock) => lock.try_lock().is_ok(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_process_left_is_removed_and_what_a_living_one_has_stays() {
        let root = tempfile::tempdir().expect("a folder");
        let dead = root.path().join("run-dead");
        std::fs::create_dir_all(dead.join("edit-1")).expect("a folder");
        std::fs::write(dead.join(LOCK), "").expect("a lock that nobody holds");
        let first = Spool::open(root.path()).expect("a spool");
        assert!(!dead.exists());
        let second = Spool::open(root.path()).expect("another one");
        assert!(first.path().is_dir() && second.path().is_dir() && first.path() != second.path());
        std::fs::create_dir(&dead).expect("a folder");
        std::fs::write(dead.join(LOCK), "").expect("a lock that nobody holds");
        first.tidy().expect("tidied");
        assert!(!dead.exists() && first.path().is_dir() && second.path().is_dir());
        let left = first.path().to_owned();
        drop(first);
        assert!(!left.exists() && second.path().is_dir());
    }
}
