//! An upload while it arrives.

use std::collections::BTreeMap;
use std::time::Instant;

use super::accept::{Accepted, accept, account};
use super::form::{self, Wish};
use super::{Ingest, Refusal, Uploader};
use crate::event::VideoId;
use crate::media::{self, Upload};
use crate::torture::{self, Point};
use crate::trace::Parent;

/// Bytes of captions.
pub const MAX_CAPTIONS: usize = 1024 * 1024;
/// Bytes of any other field.
pub const MAX_FIELD: usize = 64 * 1024;
/// The form's fields that hold the file.
pub const FILE_FIELDS: [&str; 2] = ["video", "file"];
/// All others.
pub const FIELDS: [&str; 13] = [
    "accountId",
    "title",
    "captions",
    "privacyLevel",
    "allowComment",
    "allowDuet",
    "allowStitch",
    "brandedContent",
    "yourBrand",
    "aiGenerated",
    "publishAt",
    "priority",
    "brand",
];

/// Dropped without [`Draft::accept`], it leaves nothing in the store.
pub struct Draft {
    upload: Option<Upload>,
    about: About,
}

/// What is known beside the file's bytes.
pub(super) struct About {
    pub(super) ingest: Ingest,
    pub(super) uploader: Uploader,
    pub(super) id: VideoId,
    pub(super) captions: Option<Vec<u8>>,
    pub(super) fields: BTreeMap<String, String>,
    pub(super) began: Instant,
    pub(super) parent: Option<Parent>,
}

impl Draft {
    pub(super) fn new(ingest: Ingest, uploader: Uploader) -> Self {
        let about = About {
            ingest,
            uploader,
            id: VideoId::new(),
            captions: None,
            fields: BTreeMap::new(),
            began: Instant::now(),
            parent: None,
        };
        Self { upload: None, about }
    }

    /// The sender is in a trace already: the video goes on with it.
    pub fn traced_under(&mut self, parent: Option<Parent>) {
        self.about.parent = parent;
    }

    pub async fn begin_file(&mut self) -> Result<(), Refusal> {
        if self.upload.is_some() {
            return Err(Refusal::form("two_files", "the form holds two files; send one, as `video`"));
        }
        if let Some(id) = self.about.fields.get("accountId") {
            account(&self.about.ingest.ledger, &self.about.uploader, id).await?;
        }
        self.upload = Some(self.about.ingest.media.upload(&media::source_key(self.about.id)).await?);
        Ok(())
    }

    /// The next bytes of the file that was begun.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let limit = self.about.ingest.max_upload;
        let upload = self.upload.as_mut().ok_or(Refusal::Broken)?;
        if upload.size().saturating_add(bytes.len() as u64) > limit {
            return Err(Refusal::TooLarge { limit });
        }
        upload.write(bytes).await?;
        torture::at(Point::IngestPart);
        Ok(())
    }

    /// Whether the form may have this field, before it is read.
    pub fn expects(&self, name: &str) -> Result<(), Refusal> {
        if !FIELDS.contains(&name) {
            let known = FIELDS.join(", ");
            let text = format!("the form has the field {name:?}, which is none of video, file, {known}");
            return Err(Refusal::form("unknown_field", text));
        }
        if self.about.fields.contains_key(name) || (name == "captions" && self.about.captions.is_some()) {
            return Err(Refusal::form("field_twice", format!("the form has the field {name:?} twice; send it once")));
        }
        Ok(())
    }

    /// A whole field that is not the file.
    pub fn field(&mut self, name: &str, value: Vec<u8>) -> Result<(), Refusal> {
        self.expects(name)?;
        if name == "captions" {
            self.about.captions = Some(value);
            return Ok(());
        }
        let text = String::from_utf8(value)
            .map_err(|_| Refusal::content("not_text", format!("the field {name:?} is not UTF-8 text")))?;
        self.about.fields.insert(name.to_owned(), text);
        form::check(&self.about.fields, name)
    }

    /// After the form's end. `key` is the request's `Idempotency-Key`.
    pub async fn accept(self, key: Option<String>) -> Result<Accepted, Refusal> {
        let Self { upload, about } = self;
        let Some(upload) = upload else {
            return Err(Refusal::form("no_file", "the form holds no file; send it as `video`"));
        };
        let wish = Wish::read(&about.fields, about.captions.as_deref())?;
        let accepting = about.ingest.accepting.clone();
        // Not the request's future, which ends with its connection.
        let done = accepting.spawn(accept(upload, about, wish, key)).await;
        done.unwrap_or_else(|error| {
            tracing::error!(%error, "accepting an upload ended without an answer");
            Err(Refusal::Broken)
        })
    }
}
