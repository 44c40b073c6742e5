//! A folder's objects are read where they lie.

use std::path::{Path, PathBuf};

use crate::support::eventually;
use crate::support::fleet::{Fleet, LOOSE, SOON, long_clip};

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_reads_a_local_source_without_a_copy() {
    let fleet = Fleet::started(LOOSE).await;
    fleet.account("ada").await;
    let video = fleet.upload_slow("ada", "in place").await;
    let source = fleet.data().join("objects/videos").join(&video).join("source").canonicalize().expect("a source");
    let size = long_clip().metadata().expect("a clip").len();
    eventually("FFmpeg has the source open", SOON, || async {
        fleet.ffmpegs().iter().any(|&pid| open_files(pid).contains(&source))
    })
    .await;
    let copies: Vec<_> = files(&fleet.data().join("spool")).into_iter().filter(|(_, held)| *held == size).collect();
    assert!(copies.is_empty(), "{copies:?}");
    fleet.posted(&video).await;
}

fn open_files(pid: u32) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    entries.filter_map(|entry| std::fs::read_link(entry.path()).ok()).collect()
}

/// Without what is only a link.
fn files(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(about) = entry.path().symlink_metadata() else { continue };
        if about.is_dir() {
            found.extend(files(&entry.path()));
        } else if about.is_file() {
            found.push((entry.path(), about.len()));
        }
    }
    found
}
