//! What uploads that never ended leave behind in a local store.
//!
//! The store writes an object as `key#1` (or `#2`, …) beside its place and moves it there when it is whole. A process that
//! is killed in between leaves that file, which no listing shows and nobody asks for.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::Media;

/// Nobody writes to an upload that has been still for so long.
const STILL: Duration = Duration::from_secs(3600);

impl Media {
    /// Removes what broken uploads of dead processes left. Walks the whole folder, so once, at start.
    pub async fn remove_left_behind(&self) {
        let Some(folder) = self.folder.clone() else { return };
        let removed = tokio::task::spawn_blocking(move || remove_in(&folder, SystemTime::now() - STILL)).await;
        match removed.map_err(io::Error::other).and_then(|removed| removed) {
            Ok(0) => {}
            Ok(files) => tracing::info!(files, "removed what broken uploads left"),
            Err(error) => tracing::warn!(%error, "what broken uploads left can't be removed"),
        }
    }
}

fn remove_in(folder: &Path, still_since: SystemTime) -> io::Result<usize> {
    let mut removed = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let done = if entry.file_type()?.is_dir() {
            remove_in(&entry.path(), still_since)
        } else if is_staged(&entry.file_name().to_string_lossy()) {
            remove_still(&entry, still_since).map(usize::from)
        } else {
            Ok(0)
        };
        match done {
            Ok(files) => removed += files,
            // Moved to its place, or removed by another process.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(removed)
}

fn remove_still(entry: &std::fs::DirEntry, still_since: SystemTime) -> io::Result<bool> {
    let is_still = entry.metadata()?.modified()? < still_since;
    if is_still {
        std::fs::remove_file(entry.path())?;
    }
    Ok(is_still)
}

/// `key#1`: no key of ours has a `#`.
fn is_staged(name: &str) -> bool {
    name.rsplit_once('#')
        .is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_staged_file_that_has_been_still_for_an_hour_goes_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let media = Media::local(folder.path()).expect("a store");
        media.put("videos/1/source", bytes::Bytes::from_static(b"whole")).await.expect("stored");
        // A process that is killed drops nothing.
        let mut broken = media.upload("videos/2/source").await.expect("begun");
        broken.write(&vec![0; 6 << 20]).await.expect("written");
        let find = || {
            let videos = std::fs::read_dir(folder.path().join("videos")).expect("a folder").flatten();
            let files = videos.flat_map(|video| std::fs::read_dir(video.path()).expect("a folder").flatten());
            files.map(|file| file.path()).collect::<Vec<_>>()
        };
        let staged: Vec<_> = find().into_iter().filter(|file| file.to_string_lossy().contains('#')).collect();
        assert_eq!(staged.len(), 1, "the store still stages as we know it: {:?}", find());
        media.remove_left_behind().await;
        assert_eq!(find().len(), 2, "it may be under way");
        let two_hours_ago = SystemTime::now() - 2 * STILL;
        for file in find() {
            std::fs::File::options()
                .write(true)
                .open(file)
                .and_then(|file| file.set_modified(two_hours_ago))
                .expect("set");
        }
        media.remove_left_behind().await;
        assert_eq!(find(), [folder.path().join("videos/1/source")]);
    }
}
