//! Streams bytes in, hashing on the way, in constant memory.

use bytes::Bytes;
use object_store::{ObjectStoreExt, WriteMultipart};
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;

use super::{Media, Result};

/// S3's smallest part; two of them at most are under way.
const PART: usize = 5 * 1024 * 1024;
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
    writer: Option<WriteMultipart>,
    hash: Sha256,
    size: u64,
}

impl Media {
    pub async fn upload(&self, key: &str) -> Result<Upload> {
        let upload = self.store.put_multipart(&self.path(key)?).await?;
        let writer = WriteMultipart::new_with_chunk_size(upload, PART);
        Ok(Upload { writer: Some(writer), hash: Sha256::new(), size: 0 })
    }

    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<Stored> {
        let mut hash = Sha256::new();
        hash.update(&bytes);
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.store.put(&self.path(key)?, bytes.into()).await?;
        Ok(Stored { size, sha256: hex(&hash.finalize()) })
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
        let Some(writer) = &mut self.writer else { return Ok(()) };
        self.hash.update(bytes);
        self.size += u64::try_from(bytes.len()).unwrap_or(0);
        writer.write(bytes);
        if let Err(error) = writer.wait_for_capacity(PARTS_AT_ONCE).await {
            self.abort().await;
            return Err(error.into());
        }
        Ok(())
    }

    pub async fn finish(mut self) -> Result<Stored> {
        if let Some(writer) = self.writer.take() {
            // It aborts by itself when a part fails.
            writer.finish().await?;
        }
        Ok(Stored { size: self.size, sha256: hex(&std::mem::take(&mut self.hash).finalize()) })
    }

    pub async fn abort(&mut self) {
        if let Some(writer) = self.writer.take()
            && let Err(error) = writer.abort().await
        {
            tracing::warn!(%error, "a broken upload could not be taken back; the sweep will");
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move { writer.abort().await.ok() });
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").ok();
        text
    })
}
