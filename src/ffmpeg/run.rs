//! One edit from end to end: probe, plan, run; then check and thumbnail at once. It all happens in one private folder.

use std::ffi::OsString;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::ass;
use super::brand::{Brand, CaptionStyle};
use super::captions::Captions;
use super::container::Container;
use super::fault::Fault;
use super::graph::LONGEST_FADE;
use super::image::{Image, read_header};
use super::probe::Probe;
use super::process::{Stall, Task};
use super::recipe::{LONGEST_GROUP, Plan, Treatment, plan};
use super::setup::{Setup, SourceRules};
use super::tools::{Tools, guards};
use crate::child::Limits;
use crate::torture::{self, Point};

/// What is asked for. The files are local and stay untouched.
#[derive(Debug, Clone, Copy)]
pub struct Edit<'a> {
    pub source: &'a Path,
    pub brand: &'a Brand,
    /// The bytes behind the brand's watermark; needed where the brand has one.
    pub watermark: Option<&'a Path>,
    /// Burned only where the brand has captions.
    pub captions: Option<&'a Captions>,
    /// What an earlier probe of these very bytes said.
    pub known: Option<&'a Probe>,
}

/// A result that FFmpeg has made and nobody has looked at. Its file goes when it is dropped.
#[derive(Debug)]
pub struct Rendered {
    video: PathBuf,
    plan: Plan,
    /// Of the source's picture.
    lasts: Duration,
    folder: TempDir,
}

/// The result. Its files go when it is dropped.
#[derive(Debug)]
pub struct Edited {
    /// MP4, checked.
    pub video: PathBuf,
    /// JPEG, at most 540 wide.
    pub thumbnail: PathBuf,
    pub probe: Probe,
    pub plan: Plan,
    _folder: TempDir,
}

impl Rendered {
    pub fn video(&self) -> &Path {
        &self.video
    }
}

impl Tools {
    /// Edits a video. `progress` gets 0 to 100, never a smaller number than before, and 100 only when all is checked.
    /// When this returns, with whatever, no process of it is left.
    pub async fn edit(
        &self,
        edit: &Edit<'_>,
        progress: &watch::Sender<u8>,
        cancel: &CancellationToken,
    ) -> Result<Edited, Fault> {
        let rendered = self.render(edit, progress, cancel).await?;
        let edited = self.finish(rendered, cancel).await?;
        raise(progress, 100);
        Ok(edited)
    }

    /// The first half of [`Tools::edit`]. What it gives may be stored while [`Tools::finish`] looks at it.
    pub async fn render(
        &self,
        edit: &Edit<'_>,
        progress: &watch::Sender<u8>,
        cancel: &CancellationToken,
    ) -> Result<Rendered, Fault> {
        let probe = match edit.known {
            Some(known) => known.clone(),
            None => self.probe_until(edit.source, &self.setup.source, cancel).await?,
        };
        let folder = self.private_folder()?;
        let plan = self.prepare(edit, &probe, folder.path()).await?;
        let video = folder.path().join("output.mp4");
        self.encode(&plan, folder.path(), &video, progress, cancel).await?;
        Ok(Rendered { video, plan, lasts: probe.video_duration, folder })
    }

    /// Starting a program takes longer than what the check and the thumbnail then do, so they run side by side.
    pub async fn finish(&self, rendered: Rendered, cancel: &CancellationToken) -> Result<Edited, Fault> {
        let Rendered { video, plan, lasts, folder } = rendered;
        let check = self.check(&video, &plan, cancel);
        let (probe, thumbnail) = tokio::join!(check, self.thumbnail(lasts, &plan, folder.path(), cancel));
        // What the check says of a result explains why it has no thumbnail.
        let (probe, thumbnail) = (probe?, thumbnail?);
        Ok(Edited { video, thumbnail, probe, plan, _folder: folder })
    }

    /// Lays everything that the run needs into the folder.
    async fn prepare(&self, edit: &Edit<'_>, probe: &Probe, folder: &Path) -> Result<Plan, Fault> {
        self.lay_in(folder, edit.source, "input")?;
        let image = self.lay_watermark(edit.brand, edit.watermark, folder).await?;
        let captions = edit.captions.filter(|captions| !captions.cues().is_empty());
        let Setup { output, encoding, .. } = &self.setup;
        let plan = plan(probe, edit.brand, captions.is_some(), image, output, encoding, self.tone_maps);
        if let (Some(captions), Some(style)) = (captions, &edit.brand.captions) {
            self.lay_captions(captions, style, (plan.width, plan.height), folder)?;
        }
        Ok(plan)
    }

    pub(super) async fn lay_watermark(
        &self,
        brand: &Brand,
        file: Option<&Path>,
        folder: &Path,
    ) -> Result<Option<Image>, Fault> {
        match (&brand.watermark, file) {
            (None, _) => Ok(None),
            (Some(_), None) => Err(Fault::refused("watermark_missing", "The brand's watermark has no image")),
            (Some(_), Some(file)) => {
                self.lay_in(folder, file, "watermark")?;
                Ok(Some(read_header(file).await?))
            }
        }
    }

    /// As a script for a picture of this size, and the font that it names.
    pub(super) fn lay_captions(
        &self,
        captions: &Captions,
        style: &CaptionStyle,
        (width, height): (u32, u32),
        folder: &Path,
    ) -> Result<(), Fault> {
        let face = self.fonts.face(style.font);
        let face = face.ok_or_else(|| Fault::environment("ffmpeg_missing", "No font for captions is installed"))?;
        let script = ass::script(captions.cues(), style, face, width, height);
        let fonts = folder.join("fonts");
        let laid = std::fs::create_dir(&fonts)
            .and_then(|()| symlink(&face.file, fonts.join("font")))
            .and_then(|()| std::fs::write(folder.join("captions.ass"), script));
        laid.map_err(|error| Fault::io("writing the captions", &error))
    }

    async fn encode(
        &self,
        plan: &Plan,
        folder: &Path,
        output: &Path,
        progress: &watch::Sender<u8>,
        cancel: &CancellationToken,
    ) -> Result<(), Fault> {
        raise(progress, 0);
        let limits = &self.setup.limits;
        let mut follow = Follow { total: plan.duration, furthest: 0, progress };
        let task = Task {
            program: &self.ffmpeg,
            folder,
            args: plan.args.iter().map(OsString::from).collect(),
            limits: Limits {
                cpu: Some(limits.cpu),
                memory_bytes: Some(limits.memory_bytes),
                file_bytes: Some(self.setup.output.largest_bytes),
            },
            wall: limits.wall,
            stall: Some(Stall { after: limits.stall, output: output.to_owned() }),
            cancel,
        };
        task.run(|line| follow.line(line)).await?.fault().map_or(Ok(()), Err)
    }

    /// Exit code 0 and a file that is there prove little: probe the result and hold it against the plan.
    async fn check(&self, video: &Path, plan: &Plan, cancel: &CancellationToken) -> Result<Probe, Fault> {
        let output = &self.setup.output;
        let any_length =
            SourceRules { longest: Duration::MAX, largest_bytes: output.largest_bytes, ..self.setup.source.clone() };
        let probe = match self.probe_until(video, &any_length, cancel).await {
            Err(Fault::Refused(reason)) => return Err(invalid(&format!("can't be read back: {}", reason.text))),
            other => other?,
        };
        let (is, wanted) = (probe.duration.as_secs_f64(), plan.duration.as_secs_f64());
        let fps = probe.fps.map_or(0.0, |fps| fps.value());
        let rates = f64::from(output.least_fps) - 0.5..=f64::from(output.most_fps) + 0.5;
        let problem = if (is - wanted).abs() > (wanted * 0.03).max(0.75) {
            format!("lasts {is:.1} s instead of {wanted:.1} s")
        } else if (probe.width, probe.height) != (plan.width, plan.height) || probe.rotation != 0 {
            format!("has {} x {} pixels instead of {} x {}", probe.width, probe.height, plan.width, plan.height)
        } else if probe.video_codec != "h264" || probe.pixel_format != "yuv420p" {
            format!("is {} in {}", probe.video_codec, probe.pixel_format)
        } else if !rates.contains(&fps) {
            format!("has {fps:.2} frames a second")
        } else if probe.audio.as_ref().is_none_or(|audio| audio.codec != "aac") {
            "has no AAC sound".to_owned()
        } else {
            return Ok(probe);
        };
        Err(invalid(&problem))
    }

    /// From a third of the result, where a fade is over. A run of its own, well under a second, since a copied picture
    /// is never decoded by the first; it also shows that the result decodes.
    async fn thumbnail(
        &self,
        lasts: Duration,
        plan: &Plan,
        folder: &Path,
        cancel: &CancellationToken,
    ) -> Result<PathBuf, Fault> {
        let third = lasts.as_secs_f64() / 3.0;
        let at = format!("{third:.3}");
        let mut args: Vec<&str> =
            "-hide_banner -nostdin -y -loglevel error -filter_threads 1 -threads 1".split(' ').collect();
        // The key frame before is as good, and is decoded alone; but not one inside a fade.
        if plan.video == Treatment::Copied || third >= LONGEST_GROUP + LONGEST_FADE {
            args.push("-noaccurate_seek");
        }
        args.extend(["-ss", &at]);
        args.extend(guards(Container::Mov));
        args.extend("-i output.mp4 -map 0:v:0 -frames:v 1 -vf scale=w='min(540,iw)':h=-2:out_range=pc".split(' '));
        args.extend("-pix_fmt yuvj420p -c:v mjpeg -q:v 4 -f image2 -update 1 thumbnail.jpg".split(' '));
        let task = Task {
            program: &self.ffmpeg,
            folder,
            args: args.into_iter().map(OsString::from).collect(),
            limits: Limits {
                cpu: Some(Duration::from_secs(60)),
                memory_bytes: Some(self.setup.limits.memory_bytes),
                file_bytes: Some(8 << 20),
            },
            wall: self.setup.source.probe_time,
            stall: None,
            cancel,
        };
        if let Some(fault) = task.run(|_| true).await?.fault() {
            return Err(fault);
        }
        let file = folder.join("thumbnail.jpg");
        let bytes = std::fs::metadata(&file).map_or(0, |meta| meta.len());
        if bytes == 0 { Err(invalid("has no frame for a thumbnail")) } else { Ok(file) }
    }
}

fn invalid(what: &str) -> Fault {
    Fault::failed("result_invalid", format!("The edited video {what}"))
}

/// Reads FFmpeg's `-progress` lines.
struct Follow<'a> {
    total: Duration,
    furthest: u64,
    progress: &'a watch::Sender<u8>,
}

impl Follow<'_> {
    /// A sign of life is a time, a size or a count of frames that grew. A repeated one is not: FFmpeg reports on while it hangs.
    fn line(&mut self, line: &str) -> bool {
        let Some(micros) = line.strip_prefix("out_time_us=").and_then(|micros| micros.trim().parse::<u64>().ok())
        else {
            return false;
        };
        let moved = micros > self.furthest;
        self.furthest = self.furthest.max(micros);
        let share = micros as f64 / (self.total.as_micros() as f64).max(1.0);
        if share >= 0.5 {
            torture::at(Point::EditFfmpegMidway);
        }
        raise(self.progress, (share * 100.0).clamp(0.0, 99.0) as u8);
        moved
    }
}

fn raise(progress: &watch::Sender<u8>, to: u8) {
    progress.send_if_modified(|now| {
        let higher = to > *now;
        *now = to.max(*now);
        higher
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_never_goes_back_and_leaves_100_to_the_check() {
        let (sender, receiver) = watch::channel(0);
        let mut follow = Follow { total: Duration::from_secs(10), furthest: 0, progress: &sender };
        let mut seen = Vec::new();
        for line in ["out_time_us=N/A", "out_time_us=5000000", "out_time_us=4000000", "out_time_us=99000000", "fps=30"]
        {
            seen.push((follow.line(line), *receiver.borrow()));
        }
        assert_eq!(seen, [(false, 0), (true, 50), (false, 50), (true, 99), (false, 99)]);
    }
}
