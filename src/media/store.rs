//! The object store: a local folder, or anything that speaks S3.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, ObjectStoreExt, RetryConfig};
use secrecy::{ExposeSecret, SecretString};

use super::{MediaError, Result};

#[derive(Clone)]
pub struct Media {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) folder: Option<PathBuf>,
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
        Ok(Self { store: Arc::new(store), folder: Some(folder) })
    }

    pub fn s3(s3: &S3) -> Result<Self> {
        let retry =
            RetryConfig { backoff: BackoffConfig::default(), max_retries: 3, retry_timeout: Duration::from_secs(20) };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&s3.bucket)
            .with_region(&s3.region)
            .with_access_key_id(&s3.access_key_id)
            .with_secret_access_key(s3.secret_access_key.expose_secret())
            .with_retry(retry)
            .with_client_options(
                ClientOptions::new()
                    .with_connect_timeout(Duration::from_secs(5))
                    .with_timeout(Duration::from_secs(120)),
            );
        if let Some(endpoint) = &s3.endpoint {
            builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
        }
        Ok(Self { store: Arc::new(builder.build()?), folder: None })
    }

    /// Whether the store can be used: a folder takes a file, S3 answers a listing of nothing.
    pub async fn check(&self) -> Result<()> {
        if let Some(folder) = &self.folder {
            let folder = folder.clone();
            let made = tokio::task::spawn_blocking(move || tempfile::tempfile_in(folder).map(drop));
            return Ok(made.await.map_err(std::io::Error::other)??);
        }
        let prefix = Path::from("watermarks");
        self.store.list(Some(&prefix)).try_next().await?;
        Ok(())
    }

    /// Where an object lies as a file, if the store is a folder.
    pub fn file(&self, key: &str) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(key))
    }

    pub async fn size(&self, key: &str) -> Result<u64> {
        Ok(self.store.head(&self.path(key)?).await?.size)
    }

    /// Deleting what isn't there is no error.
    pub async fn delete(&self, key: &str) -> Result<()> {
        match self.store.delete(&self.path(key)?).await.map_err(MediaError::from) {
            Ok(()) | Err(MediaError::Missing(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The names of the folders right under this one.
    pub async fn folders(&self, under: &str) -> Result<Vec<String>> {
        let listed = self.store.list_with_delimiter(Some(&self.path(under)?)).await?;
        let name = |path: &Path| path.parts().next_back().map(|part| part.as_ref().to_owned());
        Ok(listed.common_prefixes.iter().filter_map(name).collect())
    }

    /// When anything in a folder of keys was last written, in milliseconds since 1970; also what is only staged yet, where
    /// the store is a folder. None: nothing is there.
    pub async fn last_written(&self, folder: &str) -> Result<Option<i64>> {
        let Some(path) = self.file(folder) else {
            let listed: Vec<_> = self.store.list(Some(&self.path(folder)?)).try_collect().await?;
            return Ok(listed.iter().map(|object| object.last_modified.timestamp_millis()).max());
        };
        let mut entries = tokio::fs::read_dir(path).await?;
        let mut latest = None;
        while let Some(entry) = entries.next_entry().await? {
            let written = chrono::DateTime::<chrono::Utc>::from(entry.metadata().await?.modified()?);
            latest = latest.max(Some(written.timestamp_millis()));
        }
        Ok(latest)
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
