//! A video as its callers see it.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::attempts::{AttemptView, attempts};
use super::post_state::PostState;
use crate::event::Stage;
use crate::http::waiting::WaitingFor;
use crate::http::{AppState, Caller, Problem, estimate};
use crate::ledger::{HistoryLine, Video};
use crate::outcome::Reason;

#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct VideoAnswer {
    pub(super) video: VideoView,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct VideoView {
    id: String,
    account_id: String,
    /// Not for viewers.
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    /// EDITING_QUEUED, EDITING, EDITED, PUBLISHING, PROCESSING, POSTED, FAILED, CANCELED or NEEDS_REVIEW.
    status: &'static str,
    /// 0 to 100 within the stage.
    progress: i64,
    /// high, normal or low.
    #[schema(value_type = String)]
    priority: crate::ledger::Priority,
    /// privacyLevel, allowComment, allowDuet, allowStitch, brandedContent, yourBrand, aiGenerated.
    #[schema(value_type = Object)]
    options: Value,
    publish_at: Option<String>,
    src_url: Option<String>,
    edited_url: Option<String>,
    thumbnail_url: Option<String>,
    source_size: i64,
    edited_size: Option<i64>,
    /// Not for viewers: it leads to the bytes.
    post_url: Option<String>,
    post_ids: Vec<String>,
    /// What there is to see of the post. Null before it is posted.
    post_state: Option<PostState>,
    reason: Option<WhyView>,
    waiting_for: Option<WaitingFor>,
    /// When its post is likely to be begun, by what stands before it and the limits as they are now. Null: it has begun or
    /// ended, or waits for something of which nobody knows when it is over.
    estimated_post_at: Option<String>,
    created_at: String,
    updated_at: String,
    ended_at: Option<String>,
    /// Oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    timeline: Option<Vec<TimelineLine>>,
    /// Each run of each stage, oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<Vec<AttemptView>>,
}

/// `code` for programs, `text` for people.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(in crate::http) struct WhyView {
    code: String,
    text: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct TimelineLine {
    at: String,
    #[schema(value_type = Option<String>)]
    stage: Option<Stage>,
    event: String,
    #[schema(value_type = Object)]
    detail: Value,
}

impl VideoView {
    pub(super) fn of(
        video: &Video,
        caller: &Caller,
        (waiting_for, estimate): (Option<WaitingFor>, Option<i64>),
    ) -> Self {
        let bytes = |there: bool, name: &str| {
            (there && caller.reads_content()).then(|| format!("/api/videos/{}/{name}", video.id))
        };
        Self {
            id: video.id.to_string(),
            account_id: video.account.clone(),
            title: caller.reads_content().then(|| video.title.clone()),
            status: video.status.as_str(),
            progress: video.progress,
            priority: video.priority,
            options: video.options.clone(),
            publish_at: video.publish_at.map(time),
            src_url: bytes(true, "source"),
            edited_url: bytes(video.edited_key.is_some(), "edited"),
            thumbnail_url: bytes(video.thumbnail_key.is_some(), "thumbnail"),
            source_size: video.source_size,
            edited_size: video.edited_size,
            post_url: video.post_url.clone().filter(|_| caller.reads_content()),
            post_ids: video.post_ids.clone(),
            post_state: PostState::of(video),
            reason: video.reason.clone().map(WhyView::from),
            waiting_for,
            estimated_post_at: estimate.map(time),
            created_at: time(video.created_at),
            updated_at: time(video.updated_at),
            ended_at: video.ended_at.map(time),
            timeline: None,
            attempts: None,
        }
    }

    pub(super) fn with_timeline(self, mut lines: Vec<HistoryLine>, caller: &Caller) -> Self {
        let attempts = Some(attempts(&lines));
        if !caller.reads_content() {
            lines.iter_mut().filter_map(|line| line.detail.as_object_mut()).for_each(|detail| {
                detail.remove("postUrl");
            });
        }
        Self { timeline: Some(lines.into_iter().map(TimelineLine::from).collect()), attempts, ..self }
    }

    /// With what it waits for, and for how long.
    pub(super) async fn now(state: &AppState, caller: &Caller, video: &Video) -> Result<Self, Problem> {
        let waiting = WaitingFor::of(state, std::slice::from_ref(video)).await?;
        let estimate = estimate::of(state, video).await?;
        Ok(Self::of(video, caller, (waiting.into_values().next(), estimate)))
    }
}

impl From<HistoryLine> for TimelineLine {
    fn from(line: HistoryLine) -> Self {
        Self { at: time(line.at), stage: line.stage, event: line.event, detail: line.detail }
    }
}

impl WhyView {
    pub(in crate::http) fn new(code: &str, text: &str) -> Self {
        Self { code: code.to_owned(), text: text.to_owned() }
    }
}

impl From<Reason> for WhyView {
    fn from(reason: Reason) -> Self {
        Self { code: reason.code, text: reason.text }
    }
}

/// RFC 3339 in UTC, of milliseconds since 1970.
pub(in crate::http) fn time(millis: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(millis).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true)
}
