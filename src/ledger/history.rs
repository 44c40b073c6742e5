//! What happened to a video, line by line: its timeline.

use serde::Serialize;

use super::{Result, Session, Tx, json, parsed_option};
use crate::event::{Stage, VideoId};

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryLine {
    pub at: i64,
    pub stage: Option<Stage>,
    /// A word for programs: `uploaded`, `started`, `retry`, `parked`, `taken over`, …
    pub event: String,
    pub detail: serde_json::Value,
}

impl Session {
    /// Oldest first.
    pub async fn history(&self, video: VideoId) -> Result<Vec<HistoryLine>> {
        let sql = "select at, stage, event, detail from history where video_id = $1 order by id limit 1000";
        let rows = self.all(sql, [video.to_string().into()]).await?;
        rows.iter()
            .map(|row| {
                Ok(HistoryLine {
                    at: row.try_get("", "at")?,
                    stage: parsed_option(row, "stage")?,
                    event: row.try_get("", "event")?,
                    detail: json(row, "detail")?,
                })
            })
            .collect()
    }
}

impl Tx {
    pub async fn note(
        &self,
        video: VideoId,
        stage: Option<Stage>,
        event: &str,
        detail: serde_json::Value,
    ) -> Result<()> {
        let sql = "insert into history (id, video_id, at, stage, event, detail) values ($1, $2, $3, $4, $5, $6)";
        let values = [
            format!("{:015}-{}", self.now, uuid::Uuid::now_v7().simple()).into(),
            video.to_string().into(),
            self.now.into(),
            stage.map(Stage::as_str).into(),
            event.into(),
            detail.to_string().into(),
        ];
        self.run_one(sql, values).await
    }
}
