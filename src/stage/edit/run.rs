//! One run: bytes in, FFmpeg, bytes out.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{Edit, Rendition};
use crate::event::Stage;
use crate::ffmpeg::{self, Brand, Captions, Fault, Probe, Rendered};
use crate::ledger::{Account, Edited, HistoryLine, LedgerError, Video};
use crate::media::{self, MediaError, Stored};
use crate::metrics::metrics;
use crate::outcome::{Outcome, Reason, backoff};
use crate::stage::traced::{self, Said};
use crate::stage::{Lease, Run, millis, store};
use crate::torture::{self, Point};
use crate::trace::Kind;

/// How long a video waits for a machine, a store or a database that has trouble: the first pause, which doubles, and the
/// longest.
const OUTAGE: Duration = Duration::from_secs(15);
const LONGEST_OUTAGE: Duration = Duration::from_secs(600);

/// Why a run made nothing.
enum Failed {
    Outcome(Outcome),
    /// Nobody's fault: parked.
    Outage(Reason),
    Interrupted,
}

impl Failed {
    fn text(&self) -> String {
        match self {
            Self::Outcome(Outcome::Dead(reason) | Outcome::Retry(reason)) | Self::Outage(reason) => reason.text.clone(),
            Self::Outcome(outcome) => format!("{outcome:?}"),
            Self::Interrupted => "interrupted".to_owned(),
        }
    }
}

pub(super) async fn run(edit: &Edit, lease: &Lease) -> Run<Rendition> {
    match render(edit, lease).await {
        Ok(made) => Run::Ended(Outcome::Done, Some(made)),
        Err(Failed::Interrupted) => Run::Interrupted,
        Err(Failed::Outcome(outcome)) => Run::Ended(outcome, None),
        Err(Failed::Outage(reason)) => {
            let now = edit.ledger.now().await.unwrap_or(lease.row.task.lease_until);
            let away = if reason.code == store::AWAY { store::pause(&edit.media).await } else { None };
            let pause = match away {
                Some(pause) => pause,
                None => {
                    let before = edit.ledger.history(lease.video()).await.map_or(0, |lines| outages(&lines));
                    backoff(OUTAGE, LONGEST_OUTAGE, before + 1, rand::random())
                }
            };
            Run::Ended(Outcome::Parked { until: now + millis(pause), reason }, None)
        }
    }
}

/// How often in a row this video was parked while it was edited.
fn outages(lines: &[HistoryLine]) -> u32 {
    let edits = lines.iter().rev().take_while(|line| {
        line.stage == Some(Stage::Edit) && matches!(line.event.as_str(), "started" | "taken over" | "parked")
    });
    u32::try_from(edits.filter(|line| line.event == "parked").count()).unwrap_or(u32::MAX)
}

async fn render(edit: &Edit, lease: &Lease) -> Result<Rendition, Failed> {
    let gone = |code, text: &str| Failed::Outcome(Outcome::Dead(Reason::new(code, text)));
    let video = edit.ledger.video(lease.video()).await?;
    let video = video.ok_or_else(|| gone("video_missing", "the video is no longer in the ledger"))?;
    let account = edit.ledger.account(&video.account).await?;
    let account = account.ok_or_else(|| gone("account_removed", "the account was removed; upload to another one"))?;
    let brand = brand(&video, &account)?;
    let folder = spool(edit)?;
    let traced = (lease, video.trace);
    let copy = folder.path().join("source");
    let fetching = edit.media.as_file(&video.source_key, &copy);
    let source =
        traced::part(traced, ("fetch", Kind::Client), fetching, |out| Said::of(out, MediaError::to_string)).await?;
    torture::at(Point::EditFetched);
    let watermark = match &brand.watermark {
        Some(watermark) => {
            let key = media::watermark_key(&watermark.image);
            Some(edit.media.as_file(&key, &folder.path().join("watermark")).await?)
        }
        None => None,
    };
    let captions = captions(edit, &video).await?;
    let known = known(&video, &source).await;
    let request = ffmpeg::Edit {
        source: &source,
        brand: &brand,
        watermark: watermark.as_deref(),
        captions: captions.as_ref(),
        known: known.as_ref(),
    };
    let started = std::time::Instant::now();
    let progress = lease.progress_sender();
    torture::soon(Point::EditFfmpegStarted);
    let rendering = edit.tools.render(&request, progress.sender(), &lease.over);
    let rendered =
        traced::part(traced, ("ffmpeg", Kind::Internal), rendering, |out| Said::of(out, Fault::to_string)).await?;
    torture::at(Point::EditFfmpegDone);
    let seconds = started.elapsed().as_secs_f64();
    let key = media::rendition_key(video.id, lease.token);
    let thumbnail_key = media::thumbnail_key(video.id, lease.token);
    let storing = async {
        let (result, stored) = finish(edit, &key, rendered, &lease.over).await?;
        edit.media.put_file(&thumbnail_key, &result.thumbnail).await?;
        Ok::<_, Failed>((result, stored))
    };
    let (result, stored) =
        traced::part(traced, ("store", Kind::Client), storing, |out| Said::of(out, Failed::text)).await?;
    progress.raise(100);
    metrics().encoded(result.probe.duration, Duration::from_secs_f64(seconds));
    torture::at(Point::EditStored);
    let size = i64::try_from(stored.size).unwrap_or(i64::MAX);
    let detail = json!({
        "seconds": (seconds * 10.0).round() / 10.0,
        "video": result.plan.video.to_string(),
        "audio": result.plan.audio.to_string(),
        "width": result.probe.width,
        "height": result.probe.height,
        "bytes": size,
    });
    Ok(Rendition { edited: Edited { key, size, sha256: stored.sha256 }, thumbnail_key, detail })
}

/// What the door's probe said, where it is of the bytes that are here.
async fn known(video: &Video, source: &Path) -> Option<Probe> {
    let known: Probe = serde_json::from_value(video.probe.get("source")?.clone()).ok()?;
    let size = tokio::fs::metadata(source).await.ok()?.len();
    Some(known).filter(|known| known.size_bytes == size)
}

/// Stores the result while it is looked at: its key names the lease, so until the settlement nobody reads it there. What
/// is found wanting goes again.
async fn finish(
    edit: &Edit,
    key: &str,
    rendered: Rendered,
    over: &CancellationToken,
) -> Result<(ffmpeg::Edited, Stored), Failed> {
    let video = rendered.video().to_owned();
    let looked = edit.tools.finish(rendered, over);
    let (looked, stored) = tokio::join!(looked, edit.media.put_file(key, &video));
    match looked {
        Ok(result) => Ok((result, stored?)),
        Err(fault) => {
            if stored.is_ok()
                && let Err(error) = edit.media.delete(key).await
            {
                tracing::warn!(%error, "a result that is no good could not be deleted; the sweep will");
            }
            Err(fault.into())
        }
    }
}

/// The upload's own brand, or the account's as it is now.
fn brand(video: &Video, account: &Account) -> Result<Brand, Failed> {
    let chosen = video.brand.as_ref().unwrap_or(&account.brand);
    Brand::from_json(chosen.to_string().as_bytes()).map_err(|error| {
        let text = format!("the brand can't be used: {error}; set the account's brand anew and retry");
        Failed::Outcome(Outcome::Dead(Reason::new("brand_invalid", text)))
    })
}

fn spool(edit: &Edit) -> Result<tempfile::TempDir, Failed> {
    let made = tempfile::Builder::new().prefix("fetch-").tempdir_in(&edit.tools.setup().spool);
    made.map_err(|error| Failed::Outage(Reason::new("spool", format!("no folder to work in: {error}"))))
}

async fn captions(edit: &Edit, video: &Video) -> Result<Option<Captions>, Failed> {
    let Some(key) = &video.captions_key else { return Ok(None) };
    let bytes = edit.media.read_all(key).await?;
    Captions::parse(&bytes).map(Some).map_err(|reason| Failed::Outcome(Outcome::Dead(reason)))
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Refused(reason) => Self::Outcome(Outcome::Dead(reason)),
            Fault::Failed(reason) => Self::Outcome(Outcome::Retry(reason)),
            Fault::Environment(reason) => Self::Outage(reason),
            Fault::Canceled => Self::Interrupted,
        }
    }
}

impl From<MediaError> for Failed {
    fn from(error: MediaError) -> Self {
        let reason = |code: &str| Reason::new(code, error.to_string());
        match error {
            MediaError::Missing(_) => Self::Outcome(Outcome::Dead(reason("object_missing"))),
            MediaError::Full => Self::Outage(reason("store_full")),
            MediaError::NoRoom(_) => Self::Outage(reason("spool_full")),
            MediaError::Unavailable(_) | MediaError::Refused(_) | MediaError::Exists(_) => {
                Self::Outage(reason(store::AWAY))
            }
        }
    }
}

impl From<LedgerError> for Failed {
    fn from(error: LedgerError) -> Self {
        Self::Outage(Reason::new("ledger_away", error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outages_are_counted_from_the_last_thing_that_was_none() {
        let line = |event: &str| HistoryLine {
            at: 0,
            stage: Some(Stage::Edit),
            event: event.to_owned(),
            detail: serde_json::Value::Null,
        };
        let lines = |events: &[&str]| events.iter().map(|event| line(event)).collect::<Vec<_>>();
        assert_eq!(outages(&lines(&["started"])), 0);
        assert_eq!(outages(&lines(&["started", "parked", "started", "parked", "started"])), 2);
        assert_eq!(outages(&lines(&["parked", "started", "retry", "started", "parked", "started"])), 1);
    }
}
