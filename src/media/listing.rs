//! What lies in the store, a page at a time, with what no row names and no reader sees: staged files of a folder, open
//! multiparts of a bucket.

use std::io::ErrorKind;
use std::path::Path as FilePath;

use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::multipart::MultipartStore;

use super::ask::OpenUpload;
use super::store::Place;
use super::{Media, MediaError, Result};

/// Something that lies under a key, whole or staged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// A staged file's ends in `#` and a number, as object_store names it.
    pub key: String,
    /// Milliseconds since 1970, by the store's clock.
    pub written: i64,
}

impl Media {
    /// What lies in a folder and its sub-folders, in the order of its keys, from behind `after`: up to about `most`.
    pub async fn listed(&self, folder: &str, after: &str, most: usize) -> Result<Vec<Listed>> {
        let bucket = match &self.place {
            Place::Folder(root) => {
                let (root, folder, after) = (root.clone(), folder.to_owned(), after.to_owned());
                let walk = tokio::task::spawn_blocking(move || walk(&root, &folder, &after, most)).await;
                return walk.map_err(|error| MediaError::Unavailable(error.to_string()))?;
            }
            Place::Bucket(bucket) => bucket,
        };
        let options = PaginatedListOptions {
            offset: (!after.is_empty()).then(|| after.to_owned()),
            max_keys: Some(most),
            ..PaginatedListOptions::default()
        };
        let page = bucket.s3.list_paginated(Some(&format!("{folder}/")), options).await?;
        let listed = page.result.objects.into_iter().map(|object| Listed {
            key: object.location.to_string(),
            written: object.last_modified.timestamp_millis(),
        });
        let mut listed: Vec<_> = listed.collect();
        listed.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(listed)
    }

    /// Takes away what was listed.
    pub async fn delete_listed(&self, listed: &Listed) -> Result<()> {
        let Some(file) = self.file(&listed.key) else { return self.delete(&listed.key).await };
        match tokio::fs::remove_file(&file).await {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
        if let Some(folder) = file.parent() {
            // Fails where something else lies in it, which is well.
            tokio::fs::remove_dir(folder).await.ok();
        }
        Ok(())
    }

    /// Uploads in parts that are open under a folder of keys; a folder has none.
    pub async fn open_uploads(&self, folder: &str) -> Result<Vec<OpenUpload>> {
        match &self.place {
            Place::Folder(_) => Ok(Vec::new()),
            Place::Bucket(bucket) => bucket.open_uploads(&format!("{folder}/")).await,
        }
    }

    /// When a part of it was last stored, or else when it was begun.
    pub async fn last_part(&self, upload: &OpenUpload) -> Result<i64> {
        match &self.place {
            Place::Folder(_) => Ok(upload.begun),
            Place::Bucket(bucket) => Ok(bucket.last_part(upload).await?.unwrap_or(upload.begun).max(upload.begun)),
        }
    }

    /// Takes an open upload back. One that is no longer there is no error.
    pub async fn abort_upload(&self, upload: &OpenUpload) -> Result<()> {
        let Place::Bucket(bucket) = &self.place else { return Ok(()) };
        match bucket.s3.abort_multipart(&self.path(&upload.key)?, &upload.id).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn walk(root: &FilePath, folder: &str, after: &str, most: usize) -> Result<Vec<Listed>> {
    let mut found = Vec::new();
    // The folder of `after` may have been read in part.
    let begin = after.rsplit_once('/').map_or("", |(folder, _)| folder);
    for name in names(&root.join(folder))? {
        let inner = format!("{folder}/{name}");
        if inner.as_str() < begin || found.len() >= most {
            continue;
        }
        let inside = names(&root.join(&inner))?.into_iter().map(|file| format!("{inner}/{file}")).collect();
        let keys: Vec<String> = if root.join(&inner).is_file() { vec![inner] } else { inside };
        for key in keys {
            let Ok(about) = std::fs::metadata(root.join(&key)) else { continue };
            if key.as_str() > after && about.is_file() {
                let written = chrono::DateTime::<chrono::Utc>::from(about.modified()?).timestamp_millis();
                found.push(Listed { key, written });
            }
        }
    }
    Ok(found)
}

/// Sorted; none where there is no such folder.
fn names(folder: &FilePath) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}
