//! What is kept of videos that have ended, and what nothing needs any more.
//!
//! Bytes are given up first (a mark, after which no retry counts on them), then deleted, then the rows. Each condition is
//! part of the statement that writes, so a retry that comes between wins.

use std::collections::{HashMap, HashSet};

use sea_orm::{QueryResult, Value};

use super::{Result, Session, Tx, parsed, parsed_option};
use crate::event::{LeaseToken, VideoId};

/// Which bytes of a video are given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bytes {
    /// What was uploaded: the source and its captions.
    Source,
    /// What was made of it: the rendition and its thumbnail.
    Result,
}

impl Bytes {
    fn mark(self) -> &'static str {
        match self {
            Bytes::Source => "source_removed_at",
            Bytes::Result => "result_removed_at",
        }
    }

    fn keys(self) -> [&'static str; 2] {
        match self {
            Bytes::Source => ["source_key", "captions_key"],
            Bytes::Result => ["edited_key", "thumbnail_key"],
        }
    }
}

/// The keys that a video's row stands for, and the lease under which more may be written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holding {
    pub keys: HashSet<String>,
    pub lease: Option<LeaseToken>,
}

impl Session {
    pub async fn is_given_up(&self, id: VideoId, bytes: Bytes) -> Result<bool> {
        let sql = format!("select 1 as one from videos where id = $1 and {} is not null", bytes.mark());
        Ok(self.one(&sql, [id.to_string().into()]).await?.is_some())
    }

    /// Of those videos that there are.
    pub async fn holdings(&self, ids: &[VideoId]) -> Result<HashMap<VideoId, Holding>> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let sql = format!(
            "select v.id, v.source_key, v.captions_key, v.edited_key, v.thumbnail_key, v.source_removed_at, v.result_removed_at,
             case when t.state = 'running' then t.token end as lease
             from videos v left join tasks t on t.video_id = v.id and t.stage = 'edit' where v.id in ({})",
            places(1, ids.len())
        );
        let rows = self.all(&sql, ids.iter().map(|id| id.to_string().into())).await?;
        rows.iter().map(|row| Ok((parsed(row, "id")?, holding(row)?))).collect()
    }

    /// Videos of which nothing but rows is kept, that ended before, longest ago first.
    pub async fn rows_to_remove(&self, ended_before: i64, most: i64) -> Result<Vec<VideoId>> {
        let sql = "select id from videos where ended_at < $1 and status <> 'NEEDS_REVIEW'
                   and source_removed_at is not null and result_removed_at is not null order by ended_at limit $2";
        let rows = self.all(sql, [ended_before.into(), most.into()]).await?;
        rows.iter().map(|row| parsed(row, "id")).collect()
    }

    /// The brands that may still be put on a video: the accounts', and those that videos were sent with.
    pub async fn brands_in_use(&self) -> Result<Vec<String>> {
        let sql = "select brand from accounts where watermark_key is not null
                   union all select brand from videos where brand is not null and edited_key is null";
        self.all(sql, []).await?.iter().map(|row| Ok(row.try_get("", "brand")?)).collect()
    }

    pub async fn watermark_keys(&self) -> Result<HashSet<String>> {
        let rows = self.all("select distinct watermark_key from accounts where watermark_key is not null", []).await?;
        rows.iter().map(|row| Ok(row.try_get("", "watermark_key")?)).collect()
    }
}

impl Tx {
    /// Gives up bytes of videos that ended before; gives the keys under which they lie.
    pub async fn give_up(&self, bytes: Bytes, ended_before: i64, most: i64) -> Result<(usize, Vec<String>)> {
        let (mark, [first, second]) = (bytes.mark(), bytes.keys());
        let old = format!("ended_at < $2 and {mark} is null and status <> 'NEEDS_REVIEW'");
        let sql = format!(
            "update videos set {mark} = $1 where {old} and id in (select id from videos where {old} order by ended_at limit $3)
             returning {first} as first, {second} as second"
        );
        let rows = self.all(&sql, [self.now.into(), ended_before.into(), most.into()]).await?;
        let mut keys = Vec::new();
        for row in &rows {
            keys.extend(row.try_get::<Option<String>>("", "first")?);
            keys.extend(row.try_get::<Option<String>>("", "second")?);
        }
        Ok((rows.len(), keys))
    }

    /// The rows of videos that ended before and whose bytes are given up. How many there were.
    pub async fn remove_videos(&self, ids: &[VideoId], ended_before: i64) -> Result<u64> {
        if ids.is_empty() {
            return Ok(0);
        }
        let sql = format!(
            "delete from videos where ended_at < $1 and status <> 'NEEDS_REVIEW' and source_removed_at is not null
             and result_removed_at is not null and id in ({}) returning id",
            places(2, ids.len())
        );
        let values = std::iter::once(Value::from(ended_before)).chain(ids.iter().map(|id| id.to_string().into()));
        let rows = self.all(&sql, values).await?;
        let removed = rows.iter().map(|row| Ok(row.try_get::<String>("", "id")?)).collect::<Result<Vec<_>>>()?;
        if !removed.is_empty() {
            for table in ["history", "tasks", "publications"] {
                let sql = format!("delete from {table} where video_id in ({})", places(1, removed.len()));
                self.run(&sql, removed.iter().map(|id| id.as_str().into())).await?;
            }
        }
        Ok(removed.len() as u64)
    }

    /// What a removed account's videos looked like.
    pub async fn forget_brands(&self, removed_before: i64) -> Result<u64> {
        let sql = "update accounts set watermark_key = null, brand = $2
                   where removed_at < $1 and watermark_key is not null";
        self.run(sql, [removed_before.into(), super::accounts::EMPTY_BRAND.into()]).await
    }

    pub async fn forget_requests(&self, made_before: i64) -> Result<u64> {
        self.run("delete from idempotency where created_at < $1", [made_before.into()]).await
    }

    pub async fn forget_sessions(&self) -> Result<u64> {
        self.run("delete from sessions where expires_at < $1", [self.now.into()]).await
    }

    pub async fn forget_dead_entries(&self, stream: &str, before: i64) -> Result<u64> {
        self.run("delete from dead_entries where at < $1 and stream = $2", [before.into(), stream.into()]).await
    }

    /// `month` as `2026-11`: it and all that follow stay.
    pub async fn forget_usage(&self, before: &str) -> Result<u64> {
        self.run("delete from redis_usage_days where substr(day, 1, 7) < $1", [before.into()]).await?;
        self.run("delete from redis_usage where month < $1", [before.into()]).await
    }
}

fn holding(row: &QueryResult) -> Result<Holding> {
    let mut keys = HashSet::new();
    for bytes in [Bytes::Source, Bytes::Result] {
        if row.try_get::<Option<i64>>("", bytes.mark())?.is_none() {
            for column in bytes.keys() {
                keys.extend(row.try_get::<Option<String>>("", column)?);
            }
        }
    }
    Ok(Holding { keys, lease: parsed_option(row, "lease")? })
}

/// `$2, $3, $4`
fn places(first: usize, number: usize) -> String {
    (first..first + number).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ")
}
