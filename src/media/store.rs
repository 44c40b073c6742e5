//! The object store: a local folder, or anything that speaks S3.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use secrecy::SecretString;

use super::bucket::Bucket;
use super::{MediaError, Result};

/// How long a store that was away may take to show that it is back.
const ANSWER: Duration = Duration::from_secs(2);

/// Cheap to clone.
#[derive(Clone)]
pub struct Media {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) place: Place,
    away: Arc<AtomicBool>,
}

#[derive(Clone)]
pub(super) enum Place {
    Folder(PathBuf),
    Bucket(Arc<Bucket>),
}

#[derive(Debug, Clone)]
pub struct S3 {
    pub bucket: String,
    pub region: String,
    /// An S3-compatible server's address; none is Amazon's.
    pub endpoint: Option<String>,
    pub access_key_id: String,
    pub secret_access_key: SecretString,
}

impl Media {
    /// A folder, made if it isn't there. What is written is on the disk when its upload ends.
    pub fn local(folder: &FilePath) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let folder = folder.canonicalize()?;
        let store = LocalFileSystem::new_with_prefix(&folder)?.with_fsync(true).with_automatic_cleanup(true);
        Ok(Self { store: Arc::new(store), place: Place::Folder(folder), away: Arc::default() })
    }

    pub fn s3(s3: &S3) -> Result<Self> {
        let bucket = Bucket::open(s3)?;
        Ok(Self { store: bucket.s3.clone(), place: Place::Bucket(Arc::new(bucket)), away: Arc::default() })
    }

    /// Whether the store can be used: a folder takes a file, S3 answers as what it should be.
    pub async fn check(&self) -> Result<()> {
        match &self.place {
            Place::Folder(folder) => {
                let folder = folder.clone();
                let made = tokio::task::spawn_blocking(move || tempfile::tempfile_in(folder).map(drop));
                Ok(made.await.map_err(std::io::Error::other)??)
            }
            Place::Bucket(bucket) => bucket.check().await,
        }
    }

    /// Asks the store itself, and remembers for [`Media::is_away`] what it said.
    pub async fn answers(&self) -> bool {
        let answers = matches!(tokio::time::timeout(ANSWER, self.check()).await, Ok(Ok(())));
        if self.away.swap(!answers, Ordering::Relaxed) == answers {
            if answers {
                tracing::info!("the object store is back");
            } else {
                tracing::warn!("the object store is away; nothing that needs it is begun until it is back");
            }
        }
        answers
    }

    /// What the last question to the store itself showed.
    pub fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    /// Where an object lies as a file, if the store is a folder.
    pub fn file(&self, key: &str) -> Option<PathBuf> {
        match &self.place {
            Place::Folder(folder) => Some(folder.join(key)),
            Place::Bucket(_) => None,
        }
    }

    pub async fn size(&self, key: &str) -> Result<u64> {
        Ok(self.store.head(&self.path(key)?).await?.size)
    }

    pub async fn is_there(&self, key: &str) -> Result<bool> {
        match self.size(key).await {
            Ok(_) => Ok(true),
            Err(MediaError::Missing(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Deleting what isn't there is no error.
    pub async fn delete(&self, key: &str) -> Result<()> {
        match self.store.delete(&self.path(key)?).await.map_err(MediaError::from) {
            Ok(()) | Err(MediaError::Missing(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Deletes everything under a folder of keys.
    pub async fn delete_folder(&self, folder: &str) -> Result<()> {
        if let Some(path) = self.file(folder) {
            // With what was only staged, which a listing doesn't show.
            return match tokio::fs::remove_dir_all(path).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
                Ok(()) | Err(_) => Ok(()),
            };
        }
        let listed: Vec<_> = self.store.list(Some(&self.path(folder)?)).try_collect().await?;
        for object in listed {
            match self.store.delete(&object.location).await.map_err(MediaError::from) {
                Ok(()) | Err(MediaError::Missing(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(super) fn path(&self, key: &str) -> Result<Path> {
        Path::parse(key).map_err(|error| MediaError::Refused(error.to_string()))
    }
}
