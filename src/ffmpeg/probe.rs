//! What a source is, found out contained: our own look at the bytes, and ffprobe's at header and last packets. Starting it
//! takes longer than its look, so one run does both where the file is small enough to be read as a whole.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::container::{self, Container};
use super::fault::Fault;
use super::process::{Ended, Task};
use super::report::{Fps, Packet, Report, Stream, seconds};
use super::setup::SourceRules;
use super::tools::{Tools, guards};
use crate::child::Limits;

/// Up to this size all packets are read with the header. What is beyond that is read in the page cache for as long as a
/// second ffprobe takes to start.
const WHOLE: u64 = 64 << 20;
/// Of what ffprobe says of a header, and of all packets of a file that isn't larger than [`WHOLE`].
const LONGEST_HEADER: usize = 1 << 20;
const LONGEST_WHOLE: usize = 8 << 20;

const HEADER: [&str; 2] = ["-show_format", "-show_streams"];
const PACKETS: [&str; 2] = ["-show_entries", "packet=stream_index,pts_time,dts_time,duration_time"];

/// A source that can be edited.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    pub container: Container,
    /// Of the whole: the longer of picture and sound.
    pub duration: Duration,
    /// Of the picture alone.
    pub video_duration: Duration,
    pub size_bytes: u64,
    /// As seen: after rotation, with square pixels.
    pub width: u32,
    pub height: u32,
    /// Clockwise degrees that the frames still have to be turned by.
    pub rotation: u16,
    pub square_pixels: bool,
    /// The average; `None` where the file doesn't tell.
    pub fps: Option<Fps>,
    pub variable_fps: bool,
    pub interlaced: bool,
    pub video_stream: u32,
    pub video_codec: String,
    pub pixel_format: String,
    pub bit_depth: u8,
    pub full_range: bool,
    /// PQ (`smpte2084`) or HLG (`arib-std-b67`).
    pub hdr: bool,
    /// ffprobe's names; empty where the file doesn't tell.
    pub color_matrix: String,
    pub color_transfer: String,
    pub audio: Option<Audio>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Audio {
    pub stream: u32,
    pub codec: String,
    pub profile: String,
    pub channels: u32,
    pub sample_rate: u32,
}

/// What the last packets told.
#[derive(Debug, Default)]
struct Packets {
    video: u64,
    end: Option<f64>,
}

impl Tools {
    /// Probes a local file. Refuses what can't be mended by editing.
    pub async fn probe(&self, source: &Path) -> Result<Probe, Fault> {
        self.probe_until(source, &self.setup.source, &CancellationToken::new()).await
    }

    pub(super) async fn probe_until(
        &self,
        source: &Path,
        rules: &SourceRules,
        cancel: &CancellationToken,
    ) -> Result<Probe, Fault> {
        let size_bytes =
            tokio::fs::metadata(source).await.map_err(|error| Fault::io("opening the video", &error))?.len();
        if size_bytes == 0 {
            return Err(Fault::refused("empty", "The file is empty"));
        }
        if size_bytes > rules.largest_bytes {
            let (is, most) = (size_bytes / 1_000_000, rules.largest_bytes / 1_000_000);
            return Err(Fault::refused("too_large", format!("The video has {is} MB; at most {most} MB are taken")));
        }
        let container = examine(source.to_owned()).await?;
        let folder = self.private_folder()?;
        self.lay_in(folder.path(), source, "input")?;
        let look = Look { tools: self, folder: folder.path(), container, rules, cancel };
        let whole = if size_bytes <= WHOLE { look.whole().await? } else { None };
        let report = match whole {
            Some(report) => report,
            None => look.header().await?,
        };
        let (video, audio) = choose(&report)?;
        let declared = seconds(report.format.duration.as_deref()).filter(|seconds| *seconds > 0.0);
        let start = seconds(report.format.start_time.as_deref()).unwrap_or(0.0);
        let expected_end = declared.map(|length| start + length);
        let packets = match &report.packets {
            Some(packets) => Packets::of(packets, video.index),
            None => look.packets(video, expected_end).await?,
        };
        packets.reach(expected_end)?;
        let length = declared.or(packets.end.map(|end| end - start)).filter(|length| *length > 0.0);
        let Some(length) = length.filter(|_| packets.video > 0 || declared.is_some()) else {
            return Err(Fault::refused("not_a_video", "The video has no frames"));
        };
        let duration = Duration::from_secs_f64(length.min(1e9));
        if duration > rules.longest {
            let (is, most) = (duration.as_secs(), rules.longest.as_secs());
            return Err(Fault::refused("too_long", format!("The video lasts {is} s; at most {most} s are taken")));
        }
        describe(container, size_bytes, duration, video, audio, rules)
    }
}

async fn examine(source: std::path::PathBuf) -> Result<Container, Fault> {
    let looked = tokio::task::spawn_blocking(move || container::examine(&mut std::fs::File::open(source)?)).await;
    match looked {
        Ok(Ok(container)) => container.map_err(Fault::Refused),
        Ok(Err(error)) => Err(Fault::io("reading the video", &error)),
        Err(_) => Err(Fault::environment("io", "reading the video was interrupted")),
    }
}

fn choose(report: &Report) -> Result<(&Stream, Option<&Stream>), Fault> {
    let video = report.stream("video").filter(|video| video.width > 0 && video.height > 0);
    let video =
        video.ok_or_else(|| Fault::refused("no_video_stream", "The file has no picture, only sound or data"))?;
    Ok((video, report.stream("audio").filter(|audio| audio.channels > 0)))
}

struct Look<'a> {
    tools: &'a Tools,
    folder: &'a Path,
    container: Container,
    rules: &'a SourceRules,
    cancel: &'a CancellationToken,
}

impl Look<'_> {
    async fn header(&self) -> Result<Report, Fault> {
        let report = self.report(&HEADER, LONGEST_HEADER).await?;
        report.ok_or_else(|| Fault::refused("not_a_video", "The file's header can't be read"))
    }

    /// Header and all packets; `None` where that is too much to keep.
    async fn whole(&self) -> Result<Option<Report>, Fault> {
        self.report(&[HEADER, PACKETS].concat(), LONGEST_WHOLE).await
    }

    async fn report(&self, what: &[&str], longest: usize) -> Result<Option<Report>, Fault> {
        let mut json = String::new();
        let ended = self
            .ffprobe(&[what, &["-of", "json=c=1"]].concat(), |line| {
                if json.len() < longest {
                    json.push_str(line);
                }
                true
            })
            .await?;
        self.refuse_what_it_says(&ended)?;
        Ok(serde_json::from_str(&json).ok())
    }

    /// Reads the last two seconds' packets, or all of them where the header tells no duration (browsers' recordings).
    async fn packets(&self, video: &Stream, expected_end: Option<f64>) -> Result<Packets, Fault> {
        let mut found = Packets::default();
        let from = expected_end.map_or(0.0, |end| (end - 2.0).max(0.0));
        let interval = format!("{from:.3}%");
        let interval = if expected_end.is_some() { vec!["-read_intervals", &interval] } else { vec![] };
        let ended = self
            .ffprobe(&[&PACKETS[..], &["-of", "compact=p=0:nk=0"], &interval].concat(), |line| {
                found.take(&Packet::from_line(line), video.index);
                true
            })
            .await?;
        self.refuse_what_it_says(&ended)?;
        Ok(found)
    }

    async fn ffprobe(&self, what: &[&str], on_line: impl FnMut(&str) -> bool + Send) -> Result<Ended, Fault> {
        let mut args: Vec<OsString> =
            ["-hide_banner", "-loglevel", "warning", "-threads", "1"].map(OsString::from).into();
        args.extend(guards(self.container).into_iter().map(OsString::from));
        args.extend(what.iter().map(OsString::from));
        args.extend(["-i", "input"].map(OsString::from));
        let limits = Limits { cpu: Some(self.rules.probe_time), memory_bytes: Some(2 << 30), file_bytes: Some(512) };
        let (program, wall) = (self.tools.ffprobe.as_path(), self.rules.probe_time);
        Task { program, folder: self.folder, args, limits, wall, stall: None, cancel: self.cancel }.run(on_line).await
    }

    fn refuse_what_it_says(&self, ended: &Ended) -> Result<(), Fault> {
        if ended.says("moov atom not found") || ended.says("partial file") || ended.says("File ended prematurely") {
            return Err(Fault::Refused(container::truncated()));
        }
        if ended.says("external track") {
            let text = "The video's data lies in another file; please export it as one file";
            return Err(Fault::refused("external_reference", text));
        }
        match ended.fault() {
            Some(Fault::Refused(reason)) if reason.code == "undecodable" => {
                Err(Fault::refused("not_a_video", "The file says that it is a video, but can't be read as one"))
            }
            Some(fault) => Err(fault),
            None => Ok(()),
        }
    }
}

impl Packets {
    fn of(packets: &[Packet], video: u32) -> Self {
        let mut found = Self::default();
        packets.iter().for_each(|packet| found.take(packet, video));
        found
    }

    fn take(&mut self, packet: &Packet, video: u32) {
        if packet.stream_index == Some(video) {
            self.video += 1;
        }
        if let Some(end) = packet.end() {
            self.end = Some(self.end.map_or(end, |last| last.max(end)));
        }
    }

    /// Whether they go on to where the header says that the file ends.
    fn reach(&self, expected_end: Option<f64>) -> Result<(), Fault> {
        let Some(expected) = expected_end else { return Ok(()) };
        let missing = self.end.map_or(f64::INFINITY, |end| expected - end);
        if missing > (expected * 0.03).max(1.0) { Err(Fault::Refused(container::truncated())) } else { Ok(()) }
    }
}

fn describe(
    container: Container,
    size_bytes: u64,
    duration: Duration,
    video: &Stream,
    audio: Option<&Stream>,
    rules: &SourceRules,
) -> Result<Probe, Fault> {
    if u64::from(video.width) * u64::from(video.height) > rules.most_pixels {
        let text = format!("The video has {} x {} pixels, which is too large to edit", video.width, video.height);
        return Err(Fault::refused("too_many_pixels", text));
    }
    let Some(pixel_format) = video.pix_fmt.clone() else {
        let text = format!("The video's codec ({}) is not supported", video.codec_name);
        return Err(Fault::refused("unsupported_codec", text));
    };
    let aspect = video.pixel_aspect();
    let square_pixels = (aspect - 1.0).abs() < 0.005;
    let wide = if square_pixels { video.width } else { (f64::from(video.width) * aspect).round().max(1.0) as u32 };
    let rotation = video.rotation();
    let turned = rotation == 90 || rotation == 270;
    let (width, height) = if turned { (video.height, wide) } else { (wide, video.height) };
    let (average, base) = (video.average_fps(), video.base_fps());
    let variable_fps = match (average, base) {
        (Some(average), Some(base)) => (average.value() / base.value() - 1.0).abs() > 0.01,
        _ => true,
    };
    let color_transfer = video.color_transfer.clone().unwrap_or_default();
    Ok(Probe {
        container,
        duration,
        video_duration: video
            .seconds()
            .filter(|s| *s > 0.0)
            .map_or(duration, |s| Duration::from_secs_f64(s).min(duration)),
        size_bytes,
        width,
        height,
        rotation,
        square_pixels,
        fps: average.or(base),
        variable_fps,
        interlaced: video.field_order.as_deref().is_some_and(|order| ["tt", "bb", "tb", "bt"].contains(&order)),
        video_stream: video.index,
        video_codec: video.codec_name.clone(),
        bit_depth: bit_depth(&pixel_format),
        full_range: video.color_range.as_deref() == Some("pc") || pixel_format.starts_with("yuvj"),
        hdr: ["smpte2084", "arib-std-b67"].contains(&color_transfer.as_str()),
        color_matrix: video.color_space.clone().unwrap_or_default(),
        color_transfer,
        pixel_format,
        audio: audio.map(|audio| Audio {
            stream: audio.index,
            codec: audio.codec_name.clone(),
            profile: audio.profile.clone().unwrap_or_default(),
            channels: audio.channels,
            sample_rate: audio.sample_rate.as_deref().and_then(|rate| rate.parse().ok()).unwrap_or(0),
        }),
    })
}

/// `yuv420p10le` has 10, `yuv420p` has 8.
fn bit_depth(pixel_format: &str) -> u8 {
    let name = pixel_format.trim_end_matches("le").trim_end_matches("be");
    [16, 14, 12, 10, 9]
        .into_iter()
        .find(|depth| name.ends_with(&format!("p{depth}")) || name == format!("p0{depth}"))
        .unwrap_or(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_read_from_the_pixel_format() {
        assert_eq!(bit_depth("yuv420p"), 8);
        assert_eq!(bit_depth("yuv420p10le"), 10);
        assert_eq!(bit_depth("p010le"), 10);
        assert_eq!(bit_depth("gbrp12be"), 12);
    }
}
