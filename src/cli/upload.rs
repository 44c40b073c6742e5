//! `upload`: one file, streamed, with a bar; then, where asked, followed to its end.

use std::path::Path;

use futures::TryStreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method};
use tokio::fs::File;
use tokio_util::io::ReaderStream;

use super::args::{Priority, Upload};
use super::client::Api;
use super::moment::Moment;
use super::video::Video;
use super::{print, watch};
use crate::app::{Failure, Manner, Output};

pub(super) async fn run(api: &Api, upload: Upload, manner: Manner) -> Result<(), Failure> {
    let file = open(&upload.file).await?;
    let captions = match &upload.captions {
        Some(path) => Some((path, open(path).await?)),
        None => None,
    };
    if manner.dry_run {
        let size = indicatif::DecimalBytes(file.1);
        return print::line(&format!("would upload {} ({size}) to {}", upload.file.display(), upload.account));
    }
    // A key that is refused is better known before gigabytes are on their way, and a server that refuses midway may be
    // gone before its answer is read.
    api.get(&["api", "videos"], &[("limit", "1")]).await?;
    let bar = bar("upload", file.1);
    let mut form = fields(&upload);
    if let Some((path, (file, size))) = captions {
        form = form.part("captions", part(path, file, size, ProgressBar::hidden())?);
    }
    form = form.part("video", part(&upload.file, file.0, file.1, bar.clone())?);
    let mut request = api.request(Method::POST, &["api", "videos"]).multipart(form);
    if let Some(key) = &upload.idempotency_key {
        request = request.header("idempotency-key", key);
    }
    let answer = api.json(request).await;
    bar.finish_and_clear();
    let answer = answer?;
    let video = Video::of(&answer)?;
    if !upload.watch {
        return video.show(&answer, manner.output);
    }
    if manner.output == Output::Table {
        eprintln!("uploaded as {}", video.id());
    }
    let answer = watch::follow(api, &video.id()).await?;
    let video = Video::of(&answer)?;
    video.show(&answer, manner.output)?;
    if video.status() == "POSTED" { Ok(()) } else { Err(Failure::failed(video.sentence())) }
}

async fn open(path: &Path) -> Result<(File, u64), Failure> {
    let at = |error| Failure::failed(format!("{}: {error}", path.display()));
    let file = File::open(path).await.map_err(at)?;
    let metadata = file.metadata().await.map_err(at)?;
    if !metadata.is_file() {
        return Err(Failure::failed(format!("{} is not a file", path.display())));
    }
    Ok((file, metadata.len()))
}

/// The small fields come first, so that the server can refuse them before the bytes.
fn fields(upload: &Upload) -> Form {
    let mut form = Form::new().text("accountId", upload.account.clone()).text("title", upload.title.clone());
    for (name, set) in [
        ("allowComment", upload.allow_comment),
        ("allowDuet", upload.allow_duet),
        ("allowStitch", upload.allow_stitch),
        ("brandedContent", upload.branded_content),
        ("yourBrand", upload.your_brand),
        ("aiGenerated", upload.ai_generated),
    ] {
        if set {
            form = form.text(name, "true");
        }
    }
    let priority = upload.priority.map(|priority| match priority {
        Priority::High => "high".to_owned(),
        Priority::Normal => "normal".to_owned(),
        Priority::Low => "low".to_owned(),
    });
    let publish_at = upload.at.map(Moment::to_text);
    for (name, value) in [
        ("privacyLevel", upload.privacy.clone()),
        ("publishAt", publish_at),
        ("priority", priority),
        ("brand", upload.brand.clone()),
    ] {
        if let Some(value) = value {
            form = form.text(name, value);
        }
    }
    form
}

fn part(path: &Path, file: File, size: u64, bar: ProgressBar) -> Result<Part, Failure> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let kind = match path.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase).as_deref() {
        Some("mp4" | "m4v") => "video/mp4",
        Some("mov") => "video/quicktime",
        Some("webm") => "video/webm",
        Some("mkv") => "video/x-matroska",
        Some("srt") => "application/x-subrip",
        Some("vtt") => "text/vtt",
        _ => "application/octet-stream",
    };
    let bytes = ReaderStream::with_capacity(file, 64 * 1024).inspect_ok(move |chunk| bar.inc(chunk.len() as u64));
    Part::stream_with_length(Body::wrap_stream(bytes), size)
        .file_name(name)
        .mime_str(kind)
        .map_err(|error| Failure::failed(error.to_string()))
}

/// Shows itself on a terminal only.
pub(super) fn bar(what: &'static str, size: u64) -> ProgressBar {
    let bar = ProgressBar::new(size);
    let style = ProgressStyle::with_template(
        "{prefix:>8} [{bar:30}] {percent:>3} % {bytes}/{total_bytes} {bytes_per_sec} {eta}",
    );
    if let Ok(style) = style {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(what);
    bar
}
