//! A disk of a test's own, small enough to be filled.

use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    /// None, said loudly, where this user may not mount.
    pub(crate) fn of(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        if mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "none"], folder.path()) {
            return Some(Self { folder });
        }
        eprintln!("SKIPPED: this user can't mount a tmpfs, so that no disk can be filled");
        None
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub(crate) fn fill(&self) {
        let mut rest = std::fs::File::create(self.folder.path().join("rest")).expect("a file");
        while std::io::Write::write_all(&mut rest, &[1; 4096]).is_ok() {}
    }

    pub(crate) fn empty(&self) {
        std::fs::remove_file(self.folder.path().join("rest")).expect("removed");
    }

    pub(crate) fn remount(&self, how: &str) {
        assert!(mount(&["-o", &format!("remount,{how}")], self.folder.path()), "remounted {how}");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(self.folder.path()).status().ok();
    }
}

fn mount(options: &[&str], folder: &Path) -> bool {
    let output = Command::new("mount").args(options).arg(folder).output();
    output.is_ok_and(|output| output.status.success())
}
