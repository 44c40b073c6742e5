//! Streams bytes out.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use object_store::{GetOptions, GetRange, ObjectStore};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio_util::io::ReaderStream;

use super::{Media, MediaError, Result};

pub type Bytestream = BoxStream<'static, io::Result<Bytes>>;

/// Local reads in pieces of this size: object_store's own are of 8 KiB, which is slow.
const PIECE: usize = 256 * 1024;

impl Media {
    /// The bytes of a range (the end is exclusive).
    pub async fn read(&self, key: &str, range: Range<u64>) -> Result<Bytestream> {
        if let Some(path) = self.file(key) {
            let mut file = tokio::fs::File::open(&path).await.map_err(|error| missing(error, key))?;
            let size = file.metadata().await?.len();
            if range.start >= size && !range.is_empty() {
                return Err(MediaError::Unavailable(format!(
                    "{key} has {size} bytes, none of the range that was asked for"
                )));
            }
            file.seek(io::SeekFrom::Start(range.start)).await?;
            let part = file.take(range.end.saturating_sub(range.start));
            return Ok(ReaderStream::with_capacity(part, PIECE).boxed());
        }
        if range.is_empty() {
            // S3 has no word for it.
            return Ok(futures::stream::empty().boxed());
        }
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let got = self.store.get_opts(&self.path(key)?, options).await?;
        Ok(got.into_stream().map_err(io::Error::from).boxed())
    }

    /// A small object as a whole.
    pub async fn read_all(&self, key: &str) -> Result<Bytes> {
        let size = self.size(key).await?;
        let mut whole = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        let mut stream = self.read(key, 0..size).await?;
        while let Some(piece) = stream.try_next().await? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole.into())
    }

    /// Where an object is as a file: in place where the store is a folder, copied to `copy` where it isn't.
    pub async fn as_file(&self, key: &str, copy: &Path) -> Result<PathBuf> {
        if let Some(path) = self.file(key) {
            tokio::fs::metadata(&path).await.map_err(|error| missing(error, key))?;
            return Ok(path);
        }
        let size = self.size(key).await?;
        if copy.parent().is_some_and(|folder| room(folder).is_some_and(|room| room < size)) {
            return Err(MediaError::NoRoom(size));
        }
        let mut stream = self.read(key, 0..size).await?;
        let mut file = tokio::fs::File::create(copy).await?;
        let written = async {
            // An error of the stream is the store's, one of the file the disk's.
            while let Some(piece) =
                stream.try_next().await.map_err(|error| MediaError::Unavailable(error.to_string()))?
            {
                file.write_all(&piece).await?;
            }
            Ok(file.flush().await?)
        };
        match written.await {
            Ok(()) => Ok(copy.to_owned()),
            Err(error) => {
                tokio::fs::remove_file(copy).await.ok();
                Err(if matches!(error, MediaError::Full) { MediaError::NoRoom(size) } else { error })
            }
        }
    }
}

/// Bytes that may still be written in a folder, where that can be told.
fn room(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn missing(error: io::Error, key: &str) -> MediaError {
    if error.kind() == io::ErrorKind::NotFound { MediaError::Missing(key.to_owned()) } else { error.into() }
}
