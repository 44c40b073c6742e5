//! The publish protocol's rows. `record` is the protocol's own state; see `stage::publish::protocol`.

use super::{Result, Session, Tx, parsed};
use crate::event::VideoId;

/// By name, since a statement that was prepared before a migration keeps what `*` was then.
const COLUMNS: &str = "\
    video_id, account_id, generation, version, publish_id, upload_url, final_started, inits, record, updated_at";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicationRow {
    pub video: VideoId,
    pub account: String,
    pub generation: i64,
    /// Grows with every write.
    pub version: i64,
    pub publish_id: Option<String>,
    /// Sealed.
    pub upload_url: Option<String>,
    pub final_started: bool,
    /// Inits that were sent, over all generations.
    pub inits: i64,
    /// JSON.
    pub record: String,
}

impl Session {
    /// Sealed, of posts that have not all of their bytes at TikTok yet.
    pub async fn upload_urls_in_use(&self) -> Result<Vec<(VideoId, String)>> {
        let sql = "select p.video_id, p.upload_url from videos v join publications p on p.video_id = v.id
                   where v.status in ('PUBLISHING', 'EDITED') and p.upload_url is not null";
        let rows = self.all(sql, []).await?;
        rows.iter().map(|row| Ok((parsed(row, "video_id")?, row.try_get("", "upload_url")?))).collect()
    }

    pub async fn publication(&self, video: VideoId) -> Result<Option<PublicationRow>> {
        let sql = format!("select {COLUMNS} from publications where video_id = $1{}", self.for_update());
        let Some(row) = self.one(&sql, [video.to_string().into()]).await? else { return Ok(None) };
        let final_started: i64 = row.try_get("", "final_started")?;
        Ok(Some(PublicationRow {
            video,
            account: row.try_get("", "account_id")?,
            generation: row.try_get("", "generation")?,
            version: row.try_get("", "version")?,
            publish_id: row.try_get("", "publish_id")?,
            upload_url: row.try_get("", "upload_url")?,
            final_started: final_started != 0,
            inits: row.try_get("", "inits")?,
            record: row.try_get("", "record")?,
        }))
    }
}

impl Tx {
    pub async fn insert_publication(&self, row: &PublicationRow) -> Result<()> {
        let sql = "insert into publications (video_id, account_id, generation, version, publish_id, upload_url, final_started, inits, record, updated_at)
                   values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        let values = [
            row.video.to_string().into(),
            row.account.as_str().into(),
            row.generation.into(),
            row.version.into(),
            row.publish_id.clone().into(),
            row.upload_url.clone().into(),
            i64::from(row.final_started).into(),
            row.inits.into(),
            row.record.as_str().into(),
            self.now.into(),
        ];
        self.run_one(sql, values).await
    }

    /// Compare-and-set: the row must stand in the generation and version in which it was read.
    pub async fn put_publication(&self, old: &PublicationRow, new: &PublicationRow) -> Result<()> {
        let sql = "update publications set generation = $1, version = $2, publish_id = $3, upload_url = $4, final_started = $5,
                   inits = $6, record = $7, updated_at = $8 where video_id = $9 and generation = $10 and version = $11";
        let values = [
            new.generation.into(),
            (old.version + 1).into(),
            new.publish_id.clone().into(),
            new.upload_url.clone().into(),
            i64::from(new.final_started).into(),
            new.inits.into(),
            new.record.as_str().into(),
            self.now.into(),
            old.video.to_string().into(),
            old.generation.into(),
            old.version.into(),
        ];
        self.run_one(sql, values).await
    }
}
