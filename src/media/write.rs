//! Streams bytes in, hashing on the way, in constant memory. What is there is never replaced.

use bytes::Bytes;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, WriteMultipart};
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;

use super::store::Place;
use super::{Media, MediaError, Result};

/// S3's smallest part; two of them at most are under way. What fits into one is stored by one request.
pub const PART: usize = 5 * 1024 * 1024;
/// Of a file, which has no smallest: a thousand uploads at once hold as many of these.
const PIECE: usize = 256 * 1024;
const PARTS_AT_ONCE: usize = 2;

/// What was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub size: u64,
    /// Lower-case hex.
    pub sha256: String,
}

/// An object that is being written. It is there once [`Upload::finish`] returns, and never in part; dropped or aborted
/// it leaves nothing.
pub struct Upload {
    media: Media,
    key: String,
    writer: Writer,
    hash: Sha256,
    size: u64,
}

enum Writer {
    /// Not more than a part so far.
    Small(Vec<u8>),
    Parts(WriteMultipart),
    Ended,
}

impl Media {
    pub async fn upload(&self, key: &str) -> Result<Upload> {
        let writer = match &self.place {
            Place::Folder(_) => Writer::Parts(self.begin(key).await?),
            Place::Bucket(_) => Writer::Small(Vec::new()),
        };
        Ok(Upload { media: self.clone(), key: key.to_owned(), writer, hash: Sha256::new(), size: 0 })
    }

    async fn begin(&self, key: &str) -> Result<WriteMultipart> {
        let path = self.path(key)?;
        Ok(match &self.place {
            Place::Folder(_) => {
                let upload = self.store.put_multipart(&path).await.map_err(unwritten)?;
                WriteMultipart::new_with_chunk_size(upload, PIECE)
            }
            Place::Bucket(bucket) => {
                let upload = Box::new(bucket.begin(&path).await.map_err(unwritten)?);
                WriteMultipart::new_with_chunk_size(upload, PART)
            }
        })
    }

    /// A small object as a whole. The same bytes once more are no error.
    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<Stored> {
        let stored = Stored { size: number(bytes.len()), sha256: hex(&Sha256::digest(&bytes)) };
        self.create(key, &bytes).await?;
        Ok(stored)
    }

    /// A lost answer is asked for once more: an object that is there with the same bytes is the one that we wrote.
    async fn create(&self, key: &str, bytes: &Bytes) -> Result<()> {
        let mut done = self.create_once(key, bytes).await;
        if matches!(done, Err(MediaError::Unavailable(_))) && matches!(self.place, Place::Bucket(_)) {
            done = self.create_once(key, bytes).await;
        }
        match done {
            Err(MediaError::Exists(_)) if self.holds(key, bytes).await? => Ok(()),
            done => done,
        }
    }

    async fn holds(&self, key: &str, bytes: &Bytes) -> Result<bool> {
        Ok(self.size(key).await? == number(bytes.len()) && self.read_all(key).await? == bytes)
    }

    async fn create_once(&self, key: &str, bytes: &Bytes) -> Result<()> {
        let path = self.path(key)?;
        let done = match &self.place {
            Place::Folder(_) => self.store.put_opts(&path, bytes.clone().into(), PutMode::Create.into()).await,
            Place::Bucket(bucket) => bucket.create(&path, bytes.clone().into()).await,
        };
        done.map(drop).map_err(unwritten)
    }

    pub async fn put_file(&self, key: &str, file: &std::path::Path) -> Result<Stored> {
        let mut file = tokio::fs::File::open(file).await?;
        let mut upload = self.upload(key).await?;
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match file.read(&mut buffer).await {
                Ok(0) => return upload.finish().await,
                Ok(read) => upload.write(&buffer[..read]).await?,
                Err(error) => {
                    upload.abort().await;
                    return Err(error.into());
                }
            }
        }
    }
}

impl Upload {
    pub fn size(&self) -> u64 {
        self.size
    }

    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.take(bytes).await;
        if written.is_err() {
            self.abort().await;
        }
        written
    }

    async fn take(&mut self, bytes: &[u8]) -> Result<()> {
        self.hash.update(bytes);
        self.size += number(bytes.len());
        if let Writer::Small(small) = &mut self.writer {
            if small.len() + bytes.len() <= PART {
                small.extend_from_slice(bytes);
                return Ok(());
            }
            let mut writer = self.media.begin(&self.key).await?;
            writer.write(small);
            self.writer = Writer::Parts(writer);
        }
        let Writer::Parts(writer) = &mut self.writer else { return Err(ended()) };
        writer.write(bytes);
        writer.wait_for_capacity(PARTS_AT_ONCE).await.map_err(unwritten)
    }

    pub async fn finish(mut self) -> Result<Stored> {
        match std::mem::replace(&mut self.writer, Writer::Ended) {
            Writer::Small(bytes) => self.media.create(&self.key, &bytes.into()).await?,
            Writer::Parts(mut writer) => {
                if matches!(self.media.place, Place::Folder(_)) && self.media.is_there(&self.key).await? {
                    writer.abort().await?;
                    return Err(MediaError::Exists(self.key));
                }
                // It aborts by itself when a part fails.
                writer.wait_for_capacity(PARTS_AT_ONCE).await.map_err(unwritten)?;
                writer.finish().await.map_err(unwritten)?;
            }
            Writer::Ended => return Err(ended()),
        }
        Ok(Stored { size: self.size, sha256: hex(&std::mem::take(&mut self.hash).finalize()) })
    }

    pub async fn abort(&mut self) {
        if let Writer::Parts(writer) = std::mem::replace(&mut self.writer, Writer::Ended)
            && let Err(error) = writer.abort().await
        {
            tracing::warn!(%error, "a broken upload could not be taken back; the sweep will");
        }
    }
}

/// What is missing while it is written is the upload itself, which somebody took back: no word about the object.
fn unwritten(error: object_store::Error) -> MediaError {
    match MediaError::from(error) {
        MediaError::Missing(path) => MediaError::Unavailable(format!("the upload of {path} was taken back")),
        other => other,
    }
}

fn ended() -> MediaError {
    MediaError::Unavailable("the upload has ended already".to_owned())
}

fn number(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").ok();
        text
    })
}
