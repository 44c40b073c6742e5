//! The videos' table.

use std::fmt;
use std::str::FromStr;

use sea_orm::{QueryResult, Value};
use serde::{Deserialize, Serialize};

use super::{LedgerError, Result, Session, Tx, json, parsed, to_json};
use crate::event::{TraceId, VideoId};
use crate::outcome::Reason;

/// By name, since a statement that was prepared before a migration keeps what `*` was then.
pub(super) const COLUMNS: &str = "\
    id, trace, user_id, account_id, title, options, priority, publish_at, status, progress, source_key, \
    source_size, source_sha256, captions_key, brand, probe, edited_key, edited_size, edited_sha256, \
    thumbnail_key, post_ids, post_url, reason_code, reason_text, created_at, updated_at, ended_at";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    EditingQueued,
    Editing,
    Edited,
    Publishing,
    Processing,
    Posted,
    Failed,
    Canceled,
    NeedsReview,
}

impl Status {
    pub const ALL: [Status; 9] = [
        Status::EditingQueued,
        Status::Editing,
        Status::Edited,
        Status::Publishing,
        Status::Processing,
        Status::Posted,
        Status::Failed,
        Status::Canceled,
        Status::NeedsReview,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Status::EditingQueued => "EDITING_QUEUED",
            Status::Editing => "EDITING",
            Status::Edited => "EDITED",
            Status::Publishing => "PUBLISHING",
            Status::Processing => "PROCESSING",
            Status::Posted => "POSTED",
            Status::Failed => "FAILED",
            Status::Canceled => "CANCELED",
            Status::NeedsReview => "NEEDS_REVIEW",
        }
    }

    pub fn ended(self) -> bool {
        matches!(self, Status::Posted | Status::Failed | Status::Canceled | Status::NeedsReview)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Status {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Status::ALL.into_iter().find(|status| status.as_str() == text).ok_or_else(|| {
            let known = Status::ALL.map(Status::as_str).join(", ");
            format!("\"{text}\" is no status; one of {known}")
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    #[default]
    High,
    Normal,
    Low,
}

impl Priority {
    pub fn as_number(self) -> i64 {
        match self {
            Priority::High => 0,
            Priority::Normal => 1,
            Priority::Low => 2,
        }
    }

    pub fn from_number(number: i64) -> Self {
        match number {
            0 => Priority::High,
            1 => Priority::Normal,
            _ => Priority::Low,
        }
    }
}

/// `options`, `brand` and `probe` are JSON that their own modules write and read.
#[derive(Debug, Clone, PartialEq)]
pub struct Video {
    pub id: VideoId,
    pub trace: TraceId,
    pub user: String,
    pub account: String,
    pub title: String,
    pub options: serde_json::Value,
    pub priority: Priority,
    pub publish_at: Option<i64>,
    pub status: Status,
    pub progress: i64,
    pub source_key: String,
    pub source_size: i64,
    pub source_sha256: String,
    pub captions_key: Option<String>,
    pub brand: Option<serde_json::Value>,
    pub probe: serde_json::Value,
    pub edited_key: Option<String>,
    pub edited_size: Option<i64>,
    pub edited_sha256: Option<String>,
    pub thumbnail_key: Option<String>,
    pub post_ids: Vec<String>,
    pub post_url: Option<String>,
    pub reason: Option<Reason>,
    pub created_at: i64,
    pub updated_at: i64,
    pub ended_at: Option<i64>,
}

/// What a step changes about a video. `None` leaves a field as it is.
#[derive(Debug, Clone, Default)]
pub struct VideoPatch {
    pub status: Option<Status>,
    pub progress: Option<i64>,
    pub edited: Option<Edited>,
    pub thumbnail_key: Option<String>,
    pub post_ids: Option<Vec<String>>,
    pub post_url: Option<String>,
    /// `Some(None)` takes the reason away.
    pub reason: Option<Option<Reason>>,
    /// `Some(None)`: when TikTok would have it is open again (now).
    pub publish_at: Option<Option<i64>>,
    pub options: Option<serde_json::Value>,
}

#[derive(Debug, Clone)]
pub struct Edited {
    pub key: String,
    pub size: i64,
    pub sha256: String,
}

/// Which videos to list, newest first. `user` None is everybody's.
#[derive(Debug, Clone, Default)]
pub struct ListFilter {
    pub user: Option<String>,
    pub status: Option<Status>,
    pub account: Option<String>,
    /// Part of the title, or the whole id.
    pub text: Option<String>,
    /// Only videos before this one.
    pub cursor: Option<VideoId>,
    pub limit: u32,
}

#[derive(Debug, Clone, Default)]
pub struct VideoPage {
    pub videos: Vec<Video>,
    /// Where the next page goes on; None on the last one.
    pub next: Option<VideoId>,
}

impl Session {
    pub async fn video(&self, id: VideoId) -> Result<Option<Video>> {
        let sql = format!("select {COLUMNS} from videos where id = $1{}", self.for_update());
        self.one(&sql, [id.to_string().into()]).await?.as_ref().map(read).transpose()
    }

    /// How many videos stand where: of those that go on, and of those that need review, all; of the others, those that ended
    /// since then. So it costs what is live, however many were posted.
    pub async fn status_counts(&self, since: i64) -> Result<Vec<(Status, i64)>> {
        let sql = "select status, count(*) as number from videos
                   where status in ('EDITING_QUEUED', 'EDITING', 'EDITED', 'PUBLISHING', 'PROCESSING', 'NEEDS_REVIEW')
                   group by status
                   union all
                   select status, count(*) as number from videos
                   where status in ('POSTED', 'FAILED', 'CANCELED') and ended_at > $1 group by status";
        let rows = self.all(sql, [since.into()]).await?;
        rows.iter().map(|row| Ok((parsed(row, "status")?, row.try_get("", "number")?))).collect()
    }

    /// The video that this user's earlier request with the same key made, and the fingerprint of its content.
    pub async fn idempotent(&self, user: &str, key: &str, since: i64) -> Result<Option<(String, VideoId)>> {
        let sql = "select fingerprint, video_id from idempotency where user_id = $1 and idempotency_key = $2 and created_at >= $3";
        let row = self.one(sql, [user.into(), key.into(), since.into()]).await?;
        row.map(|row| Ok((row.try_get("", "fingerprint")?, parsed(&row, "video_id")?))).transpose()
    }
}

impl Tx {
    pub async fn insert_video(&self, video: &Video) -> Result<()> {
        let sql = "insert into videos (id, trace, user_id, account_id, title, options, priority, publish_at, status, progress,
            source_key, source_size, source_sha256, captions_key, brand, probe, edited_key, edited_size, edited_sha256, thumbnail_key,
            post_ids, post_url, reason_code, reason_text, created_at, updated_at, ended_at)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27)";
        let values: Vec<Value> = vec![
            video.id.to_string().into(),
            video.trace.to_string().into(),
            video.user.as_str().into(),
            video.account.as_str().into(),
            video.title.as_str().into(),
            video.options.to_string().into(),
            video.priority.as_number().into(),
            video.publish_at.into(),
            video.status.as_str().into(),
            video.progress.into(),
            video.source_key.as_str().into(),
            video.source_size.into(),
            video.source_sha256.as_str().into(),
            video.captions_key.clone().into(),
            video.brand.as_ref().map(ToString::to_string).into(),
            video.probe.to_string().into(),
            video.edited_key.clone().into(),
            video.edited_size.into(),
            video.edited_sha256.clone().into(),
            video.thumbnail_key.clone().into(),
            to_json(&video.post_ids)?.into(),
            video.post_url.clone().into(),
            video.reason.as_ref().map(|reason| reason.code.clone()).into(),
            video.reason.as_ref().map(|reason| reason.text.clone()).into(),
            video.created_at.into(),
            video.updated_at.into(),
            video.ended_at.into(),
        ];
        self.run_one(sql, values).await
    }

    pub async fn patch_video(&self, id: VideoId, patch: VideoPatch) -> Result<()> {
        let mut sets = vec!["updated_at = $2".to_owned()];
        let mut values: Vec<Value> = vec![id.to_string().into(), self.now.into()];
        let mut set = |column: &str, value: Value| {
            values.push(value);
            sets.push(format!("{column} = ${}", values.len()));
        };
        if let Some(status) = patch.status {
            set("status", status.as_str().into());
            set("ended_at", status.ended().then_some(self.now).into());
        }
        if let Some(progress) = patch.progress {
            set("progress", progress.into());
        }
        if let Some(edited) = patch.edited {
            set("edited_key", edited.key.into());
            set("edited_size", edited.size.into());
            set("edited_sha256", edited.sha256.into());
        }
        if let Some(key) = patch.thumbnail_key {
            set("thumbnail_key", key.into());
        }
        if let Some(ids) = patch.post_ids {
            set("post_ids", to_json(&ids)?.into());
        }
        if let Some(url) = patch.post_url {
            set("post_url", url.into());
        }
        if let Some(publish_at) = patch.publish_at {
            set("publish_at", publish_at.into());
        }
        if let Some(options) = patch.options {
            set("options", options.to_string().into());
        }
        if let Some(reason) = patch.reason {
            let (code, text) = reason.map(|reason| (reason.code, reason.text)).unzip();
            set("reason_code", code.into());
            set("reason_text", text.into());
        }
        let sql = format!("update videos set {} where id = $1", sets.join(", "));
        self.run_one(&sql, values).await
    }

    /// Progress never goes back.
    pub async fn raise_progress(&self, id: VideoId, percent: i64) -> Result<()> {
        let sql = "update videos set progress = $2, updated_at = $3 where id = $1 and progress < $2";
        self.run(sql, [id.to_string().into(), percent.into(), self.now.into()]).await?;
        Ok(())
    }

    /// Keeps what an `Idempotency-Key` stands for from now on. False: a request since then has it already, also one
    /// that another transaction has only just committed.
    pub async fn remember_request(
        &self,
        user: &str,
        key: &str,
        fingerprint: &str,
        video: VideoId,
        since: i64,
    ) -> Result<bool> {
        let sql = "insert into idempotency (user_id, idempotency_key, fingerprint, video_id, created_at) values ($1, $2, $3, $4, $5)
                   on conflict (user_id, idempotency_key) do update set fingerprint = excluded.fingerprint,
                   video_id = excluded.video_id, created_at = excluded.created_at where idempotency.created_at < $6";
        let values =
            [user.into(), key.into(), fingerprint.into(), video.to_string().into(), self.now.into(), since.into()];
        Ok(self.run(sql, values).await? == 1)
    }
}

pub(super) fn read(row: &QueryResult) -> Result<Video> {
    let reason_code: Option<String> = row.try_get("", "reason_code")?;
    let reason_text: Option<String> = row.try_get("", "reason_text")?;
    let brand: Option<String> = row.try_get("", "brand")?;
    Ok(Video {
        id: parsed(row, "id")?,
        trace: parsed(row, "trace")?,
        user: row.try_get("", "user_id")?,
        account: row.try_get("", "account_id")?,
        title: row.try_get("", "title")?,
        options: json(row, "options")?,
        priority: Priority::from_number(row.try_get("", "priority")?),
        publish_at: row.try_get("", "publish_at")?,
        status: parsed(row, "status")?,
        progress: row.try_get("", "progress")?,
        source_key: row.try_get("", "source_key")?,
        source_size: row.try_get("", "source_size")?,
        source_sha256: row.try_get("", "source_sha256")?,
        captions_key: row.try_get("", "captions_key")?,
        brand: brand
            .map(|text| {
                serde_json::from_str(&text).map_err(|error| LedgerError::Corrupt(format!("the column brand: {error}")))
            })
            .transpose()?,
        probe: json(row, "probe")?,
        edited_key: row.try_get("", "edited_key")?,
        edited_size: row.try_get("", "edited_size")?,
        edited_sha256: row.try_get("", "edited_sha256")?,
        thumbnail_key: row.try_get("", "thumbnail_key")?,
        post_ids: json(row, "post_ids")?,
        post_url: row.try_get("", "post_url")?,
        reason: reason_code.map(|code| Reason::new(code, reason_text.unwrap_or_default())),
        created_at: row.try_get("", "created_at")?,
        updated_at: row.try_get("", "updated_at")?,
        ended_at: row.try_get("", "ended_at")?,
    })
}
