//! The data folder: made private, held by one `up` at a time, and the small private files in it.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::config::{EncryptionKeys, WrongKey};

/// The file that keeps the encryption key which `up` made.
pub const ENCRYPTION_KEY: &str = "encryption.key";
/// The file that keeps the API key which the CLI finds: one line.
pub const OPERATOR_KEY: &str = "operator.key";
/// The file that says where the sandbox listens: one line.
pub const SANDBOX_URL: &str = "sandbox.url";

#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Exit code 1.
    #[error("another `subiteya up`{} runs on the data folder {}; stop it first, or set SUBITEYA_DATA to another folder", .pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(), .folder.display())]
    Held { folder: PathBuf, pid: Option<u32> },
    #[error("{}: {error}", .path.display())]
    Io { path: PathBuf, error: io::Error },
    /// Exit code 78.
    #[error("SUBITEYA_DATA: expected a folder that can be made and written to, got {} ({error}); set it like SUBITEYA_DATA=./data", .path.display())]
    Unusable { path: PathBuf, error: io::Error },
    #[error("the encryption key in {}: {error}; restore the file, since tokens sealed with it can't be read without it", .path.display())]
    WrongKey { path: PathBuf, error: WrongKey },
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> FolderError {
    let path = path.to_owned();
    |error| FolderError::Io { path, error }
}

/// A data folder that is ours until this is dropped.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    _lock: File,
}

impl DataFolder {
    /// Makes the folder (0700) where it isn't there, and takes its lock.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let unusable = |error| FolderError::Unusable { path: path.to_owned(), error };
        make_private_folder(path).map_err(unusable)?;
        let path = path.canonicalize().map_err(unusable)?;
        let lock_path = path.join("lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                lock.read_to_string(&mut text).map_err(at(&lock_path))?;
                return Err(FolderError::Held { folder: path, pid: text.trim().parse().ok() });
            }
            Err(TryLockError::Error(error)) => return Err(at(&lock_path)(error)),
        }
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(at(&lock_path))?;
        Ok(Self { path, _lock: lock })
    }

    /// Absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The key of this folder, made at the first time.
    pub fn encryption_keys(&self) -> Result<EncryptionKeys, FolderError> {
        if let Some(keys) = existing_encryption_keys(&self.path)? {
            return Ok(keys);
        }
        let mut key = Zeroizing::new([0u8; 32]);
        rand::Rng::fill_bytes(&mut rand::rng(), key.as_mut_slice());
        let text = Zeroizing::new(STANDARD.encode(key.as_slice()) + "\n");
        self.write_private(ENCRYPTION_KEY, &text)?;
        // Read back, so that what seals is what the next start will find.
        existing_encryption_keys(&self.path)?
            .ok_or_else(|| at(&self.path.join(ENCRYPTION_KEY))(io::ErrorKind::NotFound.into()))
    }

    /// Writes a file (0600) that is there whole or not at all, and on the disk when this returns.
    pub fn write_private(&self, name: &str, text: &str) -> Result<(), FolderError> {
        let path = self.path.join(name);
        let write = || -> io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&self.path)?;
            file.write_all(text.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(at(&path))
    }
}

/// The key that an `up` made in this folder, for whoever works on its stores beside it.
pub fn existing_encryption_keys(data: &Path) -> Result<Option<EncryptionKeys>, FolderError> {
    let path = data.join(ENCRYPTION_KEY);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(&path)(error)),
    };
    EncryptionKeys::parse(&bytes).map(Some).map_err(|error| FolderError::WrongKey { path, error })
}

pub(super) fn make_private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).expect("metadata").permissions().mode() & 0o777
    }

    #[test]
    fn one_up_at_a_time_holds_a_folder_and_the_second_is_told_whose_it_is() {
        let parent = tempfile::tempdir().expect("folder");
        let path = parent.path().join("data");
        let first = DataFolder::open(&path).expect("ours");
        assert_eq!(mode(&path), 0o700);
        let message = DataFolder::open(&path).expect_err("held").to_string();
        assert!(message.contains(&format!("process {}", std::process::id())), "{message}");
        assert!(message.contains(path.to_str().expect("path")), "{message}");
        drop(first);
        DataFolder::open(&path).expect("free again");
    }

    #[test]
    fn a_path_that_can_be_no_folder_is_a_wrong_value_of_its_variable() {
        let file = tempfile::NamedTempFile::new().expect("file");
        let error = DataFolder::open(file.path()).expect_err("a file");
        assert!(matches!(error, FolderError::Unusable { .. }), "{error:?}");
        assert!(error.to_string().starts_with("SUBITEYA_DATA: expected a folder"), "{error}");
    }

    #[test]
    fn the_key_is_made_once_and_is_nobody_elses_to_read() {
        let parent = tempfile::tempdir().expect("folder");
        let folder = DataFolder::open(parent.path()).expect("ours");
        assert!(existing_encryption_keys(parent.path()).expect("readable").is_none());
        let first = folder.encryption_keys().expect("a key");
        let again = folder.encryption_keys().expect("a key");
        assert!(first.iter().eq(again.iter()));
        assert_eq!(mode(&folder.path().join(ENCRYPTION_KEY)), 0o600);
        folder.write_private(ENCRYPTION_KEY, "short").expect("written");
        let message = folder.encryption_keys().expect_err("damaged").to_string();
        assert!(message.contains("32 bytes, got 5") && message.contains(ENCRYPTION_KEY), "{message}");
    }
}
