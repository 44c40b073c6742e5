//! Questions that S3 answers and object_store doesn't ask: whether it is S3 at all, and what was begun there.

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use object_store::path::Path;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::bucket::Bucket;
use super::{MediaError, Result};

/// More than any answer that we ask for.
const LONGEST: usize = 4 * 1024 * 1024;

/// A multipart upload that was begun and is neither complete nor aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenUpload {
    pub key: String,
    pub id: String,
    /// Milliseconds since 1970, by the store's clock.
    pub begun: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Uploads {
    #[serde(rename = "Upload", default)]
    uploads: Vec<Upload>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Upload {
    key: String,
    upload_id: String,
    initiated: DateTime<Utc>,
}

#[derive(Deserialize)]
struct Parts {
    #[serde(rename = "Part", default)]
    parts: Vec<Part>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Part {
    last_modified: DateTime<Utc>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Complaint {
    code: String,
    #[serde(default)]
    message: String,
}

impl Bucket {
    /// Whether what answers is S3, has the bucket, and takes our keys.
    pub(super) async fn check(&self) -> Result<()> {
        let body =
            self.ask(&Path::default(), &[("list-type", "2"), ("max-keys", "1"), ("prefix", "watermarks/")]).await?;
        if body.contains("<ListBucketResult") { Ok(()) } else { Err(not_s3(&body)) }
    }

    /// Up to a thousand uploads in parts that are open under a prefix.
    pub(super) async fn open_uploads(&self, prefix: &str) -> Result<Vec<OpenUpload>> {
        let body = self.ask(&Path::default(), &[("uploads", ""), ("prefix", prefix)]).await?;
        let listed: Uploads = read(&body)?;
        let open = |upload: Upload| OpenUpload {
            key: upload.key,
            id: upload.upload_id,
            begun: upload.initiated.timestamp_millis(),
        };
        Ok(listed.uploads.into_iter().map(open).collect())
    }

    /// When its last part was stored. None: it has none, or is gone.
    pub(super) async fn last_part(&self, upload: &OpenUpload) -> Result<Option<i64>> {
        let path = Path::parse(&upload.key).map_err(|error| MediaError::Refused(error.to_string()))?;
        match self.ask(&path, &[("uploadId", &upload.id)]).await {
            Ok(body) => {
                let listed: Parts = read(&body)?;
                Ok(listed.parts.iter().map(|part| part.last_modified.timestamp_millis()).max())
            }
            Err(MediaError::Refused(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn ask(&self, path: &Path, query: &[(&str, &str)]) -> Result<String> {
        let url = self.signed(path, query).await?;
        let answer = self.http.get(url).send().await.map_err(|error| unanswered(&error))?;
        let status = answer.status();
        let mut pieces = answer.bytes_stream();
        let mut body = Vec::new();
        while let Some(piece) = pieces.try_next().await.map_err(|error| unanswered(&error))? {
            body.extend_from_slice(&piece);
            if body.len() > LONGEST {
                return Err(not_s3(""));
            }
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        if status.is_success() {
            return Ok(body);
        }
        let Ok(complaint) = read::<Complaint>(&body) else {
            // A gateway that stands before the store, or something else altogether.
            let text = format!("{status} without an S3 error");
            let away = status.is_server_error() || status == 429;
            return Err(if away { MediaError::Unavailable(text) } else { MediaError::Refused(text) });
        };
        let text = format!("{}: {}", complaint.code, complaint.message);
        let later = status.is_server_error() || status == 429 || status == 408;
        Err(if later { MediaError::Unavailable(text) } else { MediaError::Refused(text) })
    }
}

fn read<T: DeserializeOwned>(body: &str) -> Result<T> {
    quick_xml::de::from_str(body).map_err(|_| not_s3(body))
}

fn not_s3(body: &str) -> MediaError {
    let begin: String = body.chars().take(40).collect();
    MediaError::Refused(format!(
        "what answers does not speak S3 (it says {begin:?}); AWS_ENDPOINT_URL is the store's address"
    ))
}

/// Who isn't there may come; who speaks another protocol, or shows a certificate that we don't trust, won't change.
fn unanswered(error: &reqwest::Error) -> MediaError {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    let mut wrong = false;
    while let Some(one) = source {
        let wrapped = one.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        wrong |= one.is::<rustls::Error>() || wrapped.is_some_and(|inner| inner.is::<rustls::Error>());
        wrong |= one.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse);
        text = one.to_string();
        source = one.source();
    }
    if wrong { MediaError::Refused(text) } else { MediaError::Unavailable(text) }
}
