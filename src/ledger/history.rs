//! What happened to a video, line by line: its timeline.

use std::collections::HashMap;

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

/// Lines that are looked at for how long runs take.
const RECENT: i64 = 500;

impl Session {
    /// What a run of each stage took on the average of late, where one has ended: milliseconds.
    pub async fn typical_runs(&self) -> Result<HashMap<Stage, i64>> {
        let sql = "select video_id, at, stage, event from history order by id desc limit $1";
        let mut ends: HashMap<(String, Stage), i64> = HashMap::new();
        let mut runs: HashMap<Stage, Vec<i64>> = HashMap::new();
        for row in self.all(sql, [RECENT.into()]).await? {
            let Some(stage) = parsed_option(&row, "stage")? else { continue };
            let (video, at): (String, i64) = (row.try_get("", "video_id")?, row.try_get("", "at")?);
            match row.try_get::<String>("", "event")?.as_str() {
                "done" => drop(ends.insert((video, stage), at)),
                "started" => runs.entry(stage).or_default().extend(ends.remove(&(video, stage)).map(|end| end - at)),
                _ => {}
            }
        }
        let mean = |(stage, runs): (Stage, Vec<i64>)| {
            let number = i64::try_from(runs.len()).ok().filter(|&number| number > 0)?;
            Some((stage, runs.iter().sum::<i64>() / number))
        };
        Ok(runs.into_iter().filter_map(mean).collect())
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
