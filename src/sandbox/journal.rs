//! The journal: `journal.jsonl` in the sandbox's folder, one [`Entry`] a line, only ever appended. It is the truth: the
//! state is what comes of applying it from the top, and the record is read from it. A line that a crash tore off at
//! the end is cut away at the next start; a broken line elsewhere is an error, for then nothing in it can be trusted.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Error;
use super::clock::Anchor;
use super::creator::Creator;
use super::oauth::{Code, Grant};
use super::record::{Call, Post};
use super::task::{Fate, Task};

/// Something that happened and must not be forgotten. Times are Unix milliseconds on the sandbox's clock.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub(super) enum Entry {
    /// The clock was started or set.
    Clock(Anchor),
    /// A creator as they are from now on.
    Creator(Creator),
    /// Consent was given.
    Code(Code),
    /// A token pair was issued; with `replaces` it came from that refresh token, which is used up by it.
    Grant(Grant),
    /// This access token is dead.
    AccessDead { access_token: String },
    /// All tokens of this creator are dead.
    Revoked { open_id: String },
    /// An init succeeded.
    Init(Task),
    /// The upload URL of this post died early.
    Expired { publish_id: String, at: i64 },
    /// This is how the post will end once all bytes are in.
    Fate { publish_id: String, fate: Fate },
    /// A chunk was stored. With `completed` it was the last one: one line, so that no crash falls between the two.
    Chunk { publish_id: String, uploaded: u64, at: i64, completed: Option<Completed> },
    /// A request was answered, or was not. The window limits are counted from these after a restart.
    Call(Box<Call>),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Completed {
    pub(super) fate: Fate,
    pub(super) sha256: String,
    /// The post that comes of it, unless its fate is another.
    pub(super) post: Option<Post>,
}

pub(super) struct Journal {
    path: PathBuf,
    /// `None` once closed.
    file: Option<Arc<File>>,
    length: u64,
}

impl Journal {
    /// Takes the folder for this process and hands every entry to `apply`, oldest first.
    pub(super) fn open(folder: &Path, mut apply: impl FnMut(Entry)) -> Result<Self, Error> {
        let path = folder.join("journal.jsonl");
        let broken = |source| Error::Journal { path: path.clone(), source };
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path).map_err(broken)?;
        file.try_lock().map_err(|_| Error::InUse(folder.to_owned()))?;
        let mut lines = BufReader::new(&file);
        let mut length = 0;
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = lines.read_until(b'\n', &mut line).map_err(broken)?;
            if read == 0 || line.last() != Some(&b'\n') {
                break;
            }
            match serde_json::from_slice(&line) {
                Ok(entry) => apply(entry),
                // A power cut can also leave the tail as zeros with a newline after them.
                Err(_) if lines.fill_buf().map_err(broken)?.is_empty() => break,
                Err(error) => return Err(broken(error.into())),
            }
            length += read as u64;
        }
        file.set_len(length).map_err(broken)?;
        Ok(Self { path, file: Some(Arc::new(file)), length })
    }

    /// Appends all entries or none. They survive the process from here on, and the machine after a [`sync`].
    pub(super) fn append(&mut self, entries: &[Entry]) -> io::Result<()> {
        let mut file = self.file.as_deref().ok_or_else(closed)?;
        let mut lines = Vec::new();
        for entry in entries {
            serde_json::to_writer(&mut lines, entry)?;
            lines.push(b'\n');
        }
        if let Err(error) = file.write_all(&lines) {
            // Half a line would make the next one unreadable too.
            file.set_len(self.length)?;
            return Err(error);
        }
        self.length += lines.len() as u64;
        Ok(())
    }

    /// What [`sync`] needs, so that it can run without the state's lock.
    pub(super) fn file(&self) -> io::Result<Arc<File>> {
        self.file.clone().ok_or_else(closed)
    }

    /// What [`read`] needs.
    pub(super) fn extent(&self) -> (PathBuf, u64) {
        (self.path.clone(), self.length)
    }

    /// Gives the folder free.
    pub(super) fn close(&mut self) {
        if let Some(file) = self.file.take() {
            drop(file.unlock());
        }
    }
}

fn closed() -> io::Error {
    io::Error::other("the sandbox is shut down")
}

/// Blocks until everything appended so far is on the disk.
pub(super) fn sync(file: &File) -> io::Result<()> {
    file.sync_data()
}

/// Hands the journal's first `length` bytes, entry by entry, to `each`. Blocks.
pub(super) fn read(path: &Path, length: u64, mut each: impl FnMut(Entry)) -> io::Result<()> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(0))?;
    for line in BufReader::new(io::Read::take(file, length)).lines() {
        each(serde_json::from_str(&line?)?);
    }
    Ok(())
}
