//! What S3 can do beyond an object store's common ways: writes that never replace, and uploads that were begun and
//! never ended.
//!
//! object_store completes a multipart unconditionally. Its client sends default headers along, though, so the one that
//! completes is a client of its own, whose default header is `If-None-Match: *`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderMap, HeaderValue, Method, header};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, MultipartId, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutPayload,
    PutResult, RetryConfig, UploadPart,
};
use secrecy::ExposeSecret;

use super::{Result, S3};

/// Silence, not length, ends a request: a source of 4 GB may take its time.
const SILENCE: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) s3: Arc<AmazonS3>,
    /// Completes multiparts, and nothing else.
    completing: AmazonS3,
    pub(super) http: reqwest::Client,
    /// The store answered that it doesn't know conditional writes.
    unconditional: AtomicBool,
}

impl Bucket {
    pub(super) fn open(s3: &S3) -> Result<Self> {
        let once = HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_static("*"))]);
        let http = reqwest::Client::builder().connect_timeout(CONNECT).read_timeout(SILENCE).build();
        Ok(Self {
            s3: Arc::new(client(s3, HeaderMap::new())?),
            completing: client(s3, once)?,
            http: http.map_err(|error| super::MediaError::Refused(error.to_string()))?,
            unconditional: AtomicBool::new(false),
        })
    }

    /// Where there is an object already, it stays and this is an error. A store that knows no conditions is asked first:
    /// keys are one writer's own, so nobody comes between.
    pub(super) async fn create(&self, path: &Path, bytes: PutPayload) -> object_store::Result<PutResult> {
        if self.conditional() {
            match self.s3.put_opts(path, bytes.clone(), PutMode::Create.into()).await {
                Err(error) if is_unknown(&error) => self.unconditional(),
                done => return done,
            }
        }
        self.absent(path).await?;
        self.s3.put(path, bytes).await
    }

    pub(super) async fn begin(self: &Arc<Self>, path: &Path) -> object_store::Result<Multipart> {
        let id = self.s3.create_multipart(path).await?;
        Ok(Multipart { bucket: self.clone(), path: path.clone(), id: Some(id), begun: 0, stored: Arc::default() })
    }

    async fn complete(&self, path: &Path, id: &MultipartId, parts: Vec<PartId>) -> object_store::Result<PutResult> {
        use object_store::Error::{AlreadyExists, NotModified, Precondition};
        if self.conditional() {
            match self.completing.complete_multipart(path, id, parts.clone()).await {
                Err(error) if is_unknown(&error) => self.unconditional(),
                Err(Precondition { path, source } | NotModified { path, source }) => {
                    return Err(AlreadyExists { path, source });
                }
                done => return done,
            }
        }
        self.absent(path).await?;
        self.s3.complete_multipart(path, id, parts).await
    }

    async fn absent(&self, path: &Path) -> object_store::Result<()> {
        match self.s3.head(path).await {
            Ok(_) => Err(object_store::Error::AlreadyExists {
                path: path.to_string(),
                source: "the store knows no conditional writes, so it was asked before".into(),
            }),
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn conditional(&self) -> bool {
        !self.unconditional.load(Ordering::Relaxed)
    }

    fn unconditional(&self) {
        if !self.unconditional.swap(true, Ordering::Relaxed) {
            tracing::warn!("the object store knows no conditional writes; it is asked before each write instead");
        }
    }
}

fn client(s3: &S3, headers: HeaderMap) -> Result<AmazonS3> {
    let retry = RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: 3,
        // What has been silent for so long is not tried again.
        retry_timeout: SILENCE / 2,
    };
    let options = ClientOptions::new()
        .with_connect_timeout(CONNECT)
        .with_read_timeout(SILENCE)
        .with_timeout_disabled()
        .with_default_headers(headers);
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&s3.bucket)
        .with_region(&s3.region)
        .with_access_key_id(&s3.access_key_id)
        .with_secret_access_key(s3.secret_access_key.expose_secret())
        .with_retry(retry)
        .with_client_options(options);
    if let Some(endpoint) = &s3.endpoint {
        builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
    }
    Ok(builder.build()?)
}

/// 501, which object_store has no word for.
fn is_unknown(error: &object_store::Error) -> bool {
    error.to_string().contains("501 Not Implemented")
}

/// An upload in parts. Dropped before it is complete, it is taken back.
#[derive(Debug)]
pub(super) struct Multipart {
    bucket: Arc<Bucket>,
    path: Path,
    /// None once it has ended.
    id: Option<MultipartId>,
    begun: usize,
    stored: Arc<Mutex<BTreeMap<usize, PartId>>>,
}

impl Multipart {
    fn ended() -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: "the upload has ended already".into() }
    }
}

#[async_trait]
impl MultipartUpload for Multipart {
    fn put_part(&mut self, bytes: PutPayload) -> UploadPart {
        let number = self.begun;
        self.begun += 1;
        let (bucket, path, id, stored) = (self.bucket.clone(), self.path.clone(), self.id.clone(), self.stored.clone());
        Box::pin(async move {
            let id = id.ok_or_else(Self::ended)?;
            let part = bucket.s3.put_part(&path, &id, number, bytes).await?;
            stored.lock().unwrap_or_else(PoisonError::into_inner).insert(number, part);
            Ok(())
        })
    }

    async fn complete(&mut self) -> object_store::Result<PutResult> {
        let id = self.id.clone().ok_or_else(Self::ended)?;
        let parts = std::mem::take(&mut *self.stored.lock().unwrap_or_else(PoisonError::into_inner));
        let done = self.bucket.complete(&self.path, &id, parts.into_values().collect()).await?;
        self.id = None;
        Ok(done)
    }

    /// Says nothing of its own failure, which would hide why it was aborted.
    async fn abort(&mut self) -> object_store::Result<()> {
        if let Some(id) = self.id.take() {
            abort(&self.bucket, &self.path, &id).await;
        }
        Ok(())
    }
}

impl Drop for Multipart {
    fn drop(&mut self) {
        if let Some(id) = self.id.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let (bucket, path) = (self.bucket.clone(), self.path.clone());
            runtime.spawn(async move { abort(&bucket, &path, &id).await });
        }
    }
}

async fn abort(bucket: &Bucket, path: &Path, id: &MultipartId) {
    match bucket.s3.abort_multipart(path, id).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
        Err(error) => tracing::warn!(%error, "a broken upload could not be taken back; the sweep will"),
    }
}

/// A question to the bucket itself, or to one of its keys, signed.
impl Bucket {
    pub(super) async fn signed(&self, path: &Path, query: &[(&str, &str)]) -> Result<url::Url> {
        use object_store::signer::{SignedUrlOptions, Signer};
        let options = SignedUrlOptions::new().with_query(query.iter().copied());
        Ok(self.s3.signed_url_opts(Method::GET, path, Duration::from_secs(60), &options).await?)
    }
}
