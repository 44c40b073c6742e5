//! The bytes: sources, captions, watermarks, renditions and thumbnails, in an object store.
//!
//! Keys are made from ids only. What comes in is streamed ([`Upload`]) and is there as a whole or not at all; what is
//! there is never replaced, and what a worker makes gets a key that names its lease besides, so a late worker overwrites
//! nobody's. A local folder is read in place.

mod ask;
mod bucket;
mod keys;
mod listing;
mod read;
mod store;
mod write;

pub use ask::OpenUpload;
pub use keys::{
    captions_key, rendition_key, source_key, thumbnail_key, video_folder, video_of, watermark_key, watermark_name,
};
pub use listing::Listed;
pub use read::Bytestream;
pub use store::{Media, S3};
pub use write::{PART, Stored, Upload};

#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    #[error("the object {0} is not there")]
    Missing(String),
    #[error("there is an object {0} already")]
    Exists(String),
    #[error("the object store is full")]
    Full,
    /// Not the store, but the disk on which a copy is made.
    #[error(
        "there is no room for a copy of {0} bytes in the folder for copies; make room, or set SUBITEYA_DATA to a larger disk"
    )]
    NoRoom(u64),
    #[error("the object store is not available: {0}")]
    Unavailable(String),
    /// Wrong credentials, no such bucket: won't change by waiting.
    #[error("the object store refused: {0}")]
    Refused(String),
}

impl From<object_store::Error> for MediaError {
    fn from(error: object_store::Error) -> Self {
        use object_store::Error;
        match error {
            Error::NotFound { path, .. } => Self::Missing(path),
            Error::AlreadyExists { path, .. } => Self::Exists(path),
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } | Error::InvalidPath { .. } => {
                Self::Refused(error.to_string())
            }
            other if is_full(&other) => Self::Full,
            other => Self::Unavailable(other.to_string()),
        }
    }
}

impl From<std::io::Error> for MediaError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

fn is_full(error: &object_store::Error) -> bool {
    // S3 has no code for it; this status is what stores answer.
    if error.to_string().contains("507 Insufficient Storage") {
        return true;
    }
    let mut source: Option<&dyn std::error::Error> = Some(error);
    while let Some(one) = source {
        if let Some(io) = one.downcast_ref::<std::io::Error>()
            && matches!(io.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
        {
            return true;
        }
        source = one.source();
    }
    false
}

pub type Result<T, E = MediaError> = std::result::Result<T, E>;
