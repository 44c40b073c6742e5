//! One frame of what a brand does, over a picture of our own: the edit's filter graph, layers and containment, without a
//! video.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::brand::{Brand, Effect};
use super::captions::{Captions, Cue};
use super::container::Container;
use super::fault::Fault;
use super::frame::{fit, vertical};
use super::graph::Picture;
use super::image::{Image, ImageFormat};
use super::probe::Probe;
use super::process::Task;
use super::report::Fps;
use super::tools::Tools;
use crate::child::Limits;

/// What its captions say: nobody's text but ours.
const WORDS: &str = "This is how your captions look";
/// Pixels of the result's width, at most.
const WIDEST: u32 = 720;

/// Of the source that the brand is shown on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Shape {
    /// As a phone films.
    #[default]
    Upright,
    /// As a camera films: here `vertical` shows.
    Wide,
}

impl Shape {
    /// A JPEG and its sides.
    fn picture(self) -> (&'static [u8], (u32, u32)) {
        match self {
            Self::Upright => (include_bytes!("samples/upright.jpg"), (720, 1280)),
            Self::Wide => (include_bytes!("samples/wide.jpg"), (1280, 720)),
        }
    }
}

impl Tools {
    /// A JPEG. What a still frame can't show, fades and loudness, it leaves out.
    pub async fn preview(&self, brand: &Brand, watermark: Option<&Path>, shape: Shape) -> Result<Vec<u8>, Fault> {
        let (bytes, (width, height)) = shape.picture();
        let folder = self.private_folder()?;
        std::fs::write(folder.path().join("input"), bytes).map_err(|error| Fault::io("writing the sample", &error))?;
        let effects = brand.effects.iter().copied().filter(|effect| *effect != Effect::Fade).collect();
        let brand = Brand { effects, ..brand.clone() };
        let encoding = &self.setup.encoding;
        let layout = if brand.has(Effect::Vertical) {
            vertical(width, height, encoding.short_edge)
        } else {
            fit(width, height, &self.setup.output, encoding.short_edge)
        };
        let image = self.lay_watermark(&brand, watermark, folder.path()).await?;
        if let Some(style) = &brand.captions {
            let cue = Cue { start: Duration::ZERO, end: Duration::from_secs(60), text: WORDS.to_owned() };
            let captions = Captions::of(vec![cue]);
            self.lay_captions(&captions, style, layout.canvas, folder.path())?;
        }
        let probe = still(width, height, bytes.len());
        let graph = Picture {
            probe: &probe,
            brand: &brand,
            layout,
            fps: Fps::new(25, 1),
            captions: brand.captions.is_some(),
            watermark: image,
            tone_maps: false,
        };
        let sample = Image { format: ImageFormat::Jpeg, width, height };
        let mut args: Vec<String> = words("-hide_banner -nostdin -y -loglevel error -filter_complex_threads 1");
        args.extend(sample.guards().map(str::to_owned));
        args.extend(words("-threads 1 -i input"));
        if let Some(image) = image {
            args.extend(image.guards().map(str::to_owned));
            args.extend(words("-i watermark"));
        }
        let shown = format!("[v]scale=w='min({WIDEST},iw)':h=-2:out_color_matrix=bt601:out_range=pc[shown]");
        args.extend(["-filter_complex".to_owned(), format!("{};{shown}", graph.graph())]);
        args.extend(words("-map [shown] -frames:v 1 -threads 1 -pix_fmt yuvj420p -c:v mjpeg -q:v 3"));
        args.extend(words("-f image2 -update 1 preview.jpg"));
        let task = Task {
            program: &self.ffmpeg,
            folder: folder.path(),
            args: args.into_iter().map(OsString::from).collect(),
            limits: Limits {
                cpu: Some(Duration::from_secs(20)),
                memory_bytes: Some(2 << 30),
                file_bytes: Some(8 << 20),
            },
            wall: Duration::from_secs(20),
            stall: None,
            cancel: &CancellationToken::new(),
        };
        if let Some(fault) = task.run(|_| true).await?.fault() {
            return Err(fault);
        }
        std::fs::read(folder.path().join("preview.jpg")).map_err(|error| Fault::io("reading the preview", &error))
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// What ffprobe would say of a sample.
fn still(width: u32, height: u32, bytes: usize) -> Probe {
    Probe {
        container: Container::Mov,
        duration: Duration::from_secs(1),
        video_duration: Duration::from_secs(1),
        size_bytes: u64::try_from(bytes).unwrap_or(0),
        width,
        height,
        rotation: 0,
        square_pixels: true,
        fps: Some(Fps::new(25, 1)),
        variable_fps: false,
        interlaced: false,
        video_stream: 0,
        video_codec: "mjpeg".to_owned(),
        pixel_format: "yuvj420p".to_owned(),
        bit_depth: 8,
        full_range: true,
        hdr: false,
        color_matrix: "bt470bg".to_owned(),
        color_transfer: String::new(),
        audio: None,
    }
}
