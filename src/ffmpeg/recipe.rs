//! What is done to a source, as the arguments of one run. Pure: the same probe and brand give the same arguments.
//!
//! Picture and sound are decided apart. Each is copied where the source already is what TikTok takes and the brand asks
//! nothing of it; otherwise the plan says why it is encoded. A silent clip gets a silent AAC track: TikTok says nothing
//! of videos without sound, and takes those with.

use std::time::Duration;

use super::brand::{Brand, Effect};
use super::container::Container;
use super::frame::{Layout, fit, steady, vertical};
use super::graph::{Picture, silence, sound};
use super::image::Image;
use super::probe::Probe;
use super::report::Fps;
use super::setup::{Encoding, OutputRules};
use super::tools::guards;

/// Seconds from one key frame of ours to the next, at the most.
pub(super) const LONGEST_GROUP: f64 = 2.0;

#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// For ffmpeg, in the private folder.
    pub args: Vec<String>,
    pub video: Treatment,
    pub audio: Treatment,
    /// Of the result.
    pub width: u32,
    pub height: u32,
    pub duration: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Treatment {
    Copied,
    /// Why: for logs and people.
    Encoded(Vec<&'static str>),
}

impl std::fmt::Display for Treatment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Treatment::Copied => f.write_str("copied"),
            Treatment::Encoded(why) => write!(f, "encoded: {}", why.join(", ")),
        }
    }
}

impl Treatment {
    fn from(why: Vec<&'static str>) -> Self {
        if why.is_empty() { Self::Copied } else { Self::Encoded(why) }
    }
}

/// `captions`: there are cues to burn. `watermark`: the image's header, when the brand has one. `tone_maps`: this FFmpeg
/// has `zscale`.
pub fn plan(
    probe: &Probe,
    brand: &Brand,
    captions: bool,
    watermark: Option<Image>,
    rules: &OutputRules,
    encoding: &Encoding,
    tone_maps: bool,
) -> Plan {
    let captions = captions && brand.captions.is_some();
    let watermark = watermark.filter(|_| brand.watermark.is_some());
    let video = Treatment::from(why_video(probe, brand, captions, watermark.is_some(), rules));
    let audio = Treatment::from(why_audio(probe, brand));
    let mut graphs = Vec::new();
    let (mut maps, mut codecs): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    let layout = if video == Treatment::Copied {
        maps.extend(words(&format!("-map 0:{}", probe.video_stream)));
        codecs.extend(words("-c:v copy"));
        Layout { canvas: (probe.width, probe.height), picture: (probe.width, probe.height) }
    } else {
        let layout = if brand.has(Effect::Vertical) {
            vertical(probe.width, probe.height, encoding.short_edge)
        } else {
            fit(probe.width, probe.height, rules, encoding.short_edge)
        };
        let fps = steady(probe.fps, rules);
        graphs.push(Picture { probe, brand, layout, fps, captions, watermark, tone_maps }.graph());
        maps.extend(words("-map [v]"));
        codecs.extend(x264(encoding, fps));
        layout
    };
    match (&probe.audio, &audio) {
        (Some(from), Treatment::Copied) => {
            maps.extend(words(&format!("-map 0:{}", from.stream)));
            codecs.extend(words("-c:a copy"));
        }
        (from, _) => {
            let filters = from.as_ref().map(|from| sound(probe, brand, from.stream, encoding.loudness));
            graphs.push(filters.unwrap_or_else(|| silence(probe)));
            maps.extend(words("-map [a]"));
            codecs.extend(words(&format!("-c:a aac -b:a {}k -ar 48000 -ac 2", encoding.audio_kbps)));
        }
    }
    let mut args = opening(probe, encoding);
    if let Some(image) = watermark.filter(|_| video != Treatment::Copied) {
        args.extend(image.guards().map(str::to_owned));
        args.extend(words("-i watermark"));
    }
    if !graphs.is_empty() {
        args.extend(["-filter_complex".to_owned(), graphs.join(";")]);
    }
    args.extend(maps);
    args.extend(codecs);
    args.extend(closing(probe));
    Plan { args, video, audio, width: layout.canvas.0, height: layout.canvas.1, duration: probe.duration }
}

fn opening(probe: &Probe, encoding: &Encoding) -> Vec<String> {
    let threads = encoding.threads;
    let mut args = words("-hide_banner -nostdin -nostats -y -loglevel error -progress pipe:1 -stats_period 0.5");
    args.extend(words(&format!("-filter_threads {threads} -filter_complex_threads {threads}")));
    args.extend(guards(probe.container).into_iter().map(str::to_owned));
    args.extend(words(&format!("-threads {threads} -i input")));
    args
}

/// `-t` holds against a file whose packets go on long after its header says it ends.
fn closing(probe: &Probe) -> Vec<String> {
    let most = probe.duration.as_secs_f64() + 2.0;
    let mut args = words("-map_metadata -1 -map_chapters -1 -dn -sn -movflags +faststart");
    args.extend(words(&format!("-t {most:.3} -f mp4 output.mp4")));
    args
}

fn x264(encoding: &Encoding, fps: Fps) -> Vec<String> {
    let Encoding { preset, crf, most_kbps, threads, .. } = encoding;
    let (buffer, group) = (most_kbps * 2, (fps.value() * LONGEST_GROUP).round());
    words(&format!(
        "-c:v libx264 -preset {preset} -crf {crf} -maxrate {most_kbps}k -bufsize {buffer}k -profile:v high \
         -pix_fmt yuv420p -g {group} -threads {threads} -color_range tv -colorspace bt709 -color_primaries bt709 \
         -color_trc bt709"
    ))
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn why_video(probe: &Probe, brand: &Brand, captions: bool, watermark: bool, rules: &OutputRules) -> Vec<&'static str> {
    let edges = rules.least_edge..=rules.most_edge;
    let fps = probe.fps.map_or(0.0, Fps::value);
    let odd = probe.width % 2 == 1 || probe.height % 2 == 1;
    [
        (watermark, "watermark"),
        (captions, "captions"),
        (brand.has(Effect::Fade), "fade"),
        (brand.has(Effect::Grade), "grade"),
        (brand.has(Effect::Vertical), "vertical"),
        (probe.video_codec != "h264", "codec"),
        (probe.pixel_format != "yuv420p" || probe.full_range, "pixel format"),
        (probe.hdr, "HDR"),
        (probe.rotation != 0, "rotation"),
        (!probe.square_pixels, "pixel shape"),
        (probe.interlaced, "interlaced"),
        (odd || !edges.contains(&probe.width) || !edges.contains(&probe.height), "size"),
        (!(f64::from(rules.least_fps)..=f64::from(rules.most_fps)).contains(&fps), "frame rate"),
        (probe.variable_fps, "varying frame rate"),
        (!matches!(probe.container, Container::Mov | Container::Matroska), "container"),
    ]
    .into_iter()
    .filter_map(|(is, why)| is.then_some(why))
    .collect()
}

fn why_audio(probe: &Probe, brand: &Brand) -> Vec<&'static str> {
    let Some(audio) = &probe.audio else { return vec!["silent"] };
    let known_rate = [44_100, 48_000].contains(&audio.sample_rate);
    [
        (brand.has(Effect::Fade), "fade"),
        (brand.has(Effect::Loudness), "loudness"),
        (audio.codec != "aac" || audio.profile != "LC", "codec"),
        (audio.channels > 2, "channels"),
        (!known_rate, "sample rate"),
        (!matches!(probe.container, Container::Mov | Container::Matroska), "container"),
    ]
    .into_iter()
    .filter_map(|(is, why)| is.then_some(why))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ffmpeg::probe::Audio;

    fn phone() -> Probe {
        Probe {
            container: Container::Mov,
            duration: Duration::from_secs(10),
            video_duration: Duration::from_secs(10),
            size_bytes: 1,
            width: 1080,
            height: 1920,
            rotation: 0,
            square_pixels: true,
            fps: Some(Fps::new(30, 1)),
            variable_fps: false,
            interlaced: false,
            video_stream: 0,
            video_codec: "h264".into(),
            pixel_format: "yuv420p".into(),
            bit_depth: 8,
            full_range: false,
            hdr: false,
            color_matrix: "bt709".into(),
            color_transfer: "bt709".into(),
            audio: Some(Audio {
                stream: 1,
                codec: "aac".into(),
                profile: "LC".into(),
                channels: 2,
                sample_rate: 48_000,
            }),
        }
    }

    fn planned(probe: &Probe, effects: &[Effect]) -> Plan {
        let brand = Brand { effects: effects.into(), ..Brand::default() };
        plan(probe, &brand, false, None, &OutputRules::default(), &Encoding::default(), true)
    }

    #[test]
    fn with_nothing_on_a_good_source_is_copied_without_a_graph() {
        let plan = planned(&phone(), &[]);
        assert_eq!((plan.video, plan.audio), (Treatment::Copied, Treatment::Copied));
        assert!(!plan.args.contains(&"-filter_complex".to_owned()));
    }

    #[test]
    fn loudness_alone_leaves_the_picture_as_it_is() {
        let plan = planned(&phone(), &[Effect::Loudness]);
        assert_eq!((plan.video, plan.audio), (Treatment::Copied, Treatment::Encoded(vec!["loudness"])));
    }

    #[test]
    fn what_tiktok_would_not_take_is_encoded_and_says_why() {
        let odd = Probe { width: 1081, rotation: 90, fps: Some(Fps::new(15, 1)), audio: None, ..phone() };
        let plan = planned(&odd, &[]);
        assert_eq!(plan.video, Treatment::Encoded(vec!["rotation", "size", "frame rate"]));
        assert_eq!(plan.audio, Treatment::Encoded(vec!["silent"]));
        assert!(plan.args.iter().any(|arg| arg.contains("fps=30/1") && arg.contains("anullsrc")));
    }

    #[test]
    fn hdr_is_mapped_where_ffmpeg_can_and_converted_where_not() {
        let hdr = Probe { hdr: true, color_transfer: "smpte2084".into(), color_matrix: "bt2020nc".into(), ..phone() };
        let graph = |tone_maps| {
            let (rules, encoding) = (OutputRules::default(), Encoding::default());
            plan(&hdr, &Brand::default(), false, None, &rules, &encoding, tone_maps).args.join(" ")
        };
        assert!(graph(true).contains("tonemap"));
        assert!(graph(false).contains("in_color_matrix=bt2020:out_color_matrix=bt709"));
    }
}
