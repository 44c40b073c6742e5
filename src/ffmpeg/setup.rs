//! What the module is told by its caller: folders, rules and limits, each with a documented default.

use std::path::PathBuf;
use std::time::Duration;

use super::spool::Spool;

#[derive(Debug, Clone)]
pub struct Setup {
    /// Private folders are made in here, one a run, and removed after it. On a disk with room for a source and a result.
    pub spool: PathBuf,
    /// Keeps the spool ours, where it is one that processes share.
    pub held: Option<Spool>,
    /// Where fonts are looked for, sub-folders too.
    pub font_folders: Vec<PathBuf>,
    pub source: SourceRules,
    pub output: OutputRules,
    pub encoding: Encoding,
    pub limits: EditLimits,
}

impl Setup {
    pub fn new(spool: impl Into<PathBuf>) -> Self {
        Self {
            spool: spool.into(),
            held: None,
            font_folders: default_font_folders(),
            source: SourceRules::default(),
            output: OutputRules::default(),
            encoding: Encoding::default(),
            limits: EditLimits::default(),
        }
    }
}

impl From<Spool> for Setup {
    fn from(spool: Spool) -> Self {
        Self { held: Some(spool.clone()), ..Self::new(spool.path()) }
    }
}

fn default_font_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = [
        "/usr/share/fonts",
        "/usr/local/share/fonts",
        "/opt/homebrew/share/fonts",
        "/System/Library/Fonts",
        "/Library/Fonts",
    ]
    .map(PathBuf::from)
    .into();
    if let Some(home) = std::env::var_os("HOME") {
        folders.push(PathBuf::from(&home).join(".local/share/fonts"));
        folders.push(PathBuf::from(&home).join("Library/Fonts"));
    }
    folders
}

/// What is accepted. Only what editing can't mend is refused: length, size of the file, more pixels than a machine of
/// ours should decode.
#[derive(Debug, Clone)]
pub struct SourceRules {
    /// The longest video. TikTok gives some creators 10 minutes, none more.
    pub longest: Duration,
    /// The largest file. TikTok takes 4 GB.
    pub largest_bytes: u64,
    /// Width times height of a frame; 8192 × 4320 by default.
    pub most_pixels: u64,
    /// How long one run of ffprobe may take.
    pub probe_time: Duration,
}

impl Default for SourceRules {
    fn default() -> Self {
        Self {
            longest: Duration::from_secs(600),
            largest_bytes: 4_000_000_000,
            most_pixels: 8192 * 4320,
            probe_time: Duration::from_secs(60),
        }
    }
}

/// What TikTok takes (MP4, H.264): the figures of its media transfer guide.
#[derive(Debug, Clone)]
pub struct OutputRules {
    pub least_edge: u32,
    pub most_edge: u32,
    pub least_fps: u32,
    pub most_fps: u32,
    pub largest_bytes: u64,
}

impl Default for OutputRules {
    fn default() -> Self {
        Self { least_edge: 360, most_edge: 4096, least_fps: 23, most_fps: 60, largest_bytes: 4_000_000_000 }
    }
}

/// How frames are encoded, when they have to be.
#[derive(Debug, Clone)]
pub struct Encoding {
    /// x264's preset. `veryfast` costs 0.8 CPU seconds a second of 1080x1920 video.
    pub preset: String,
    /// x264's constant rate factor: lower is better and larger.
    pub crf: u8,
    /// A ceiling on the video's bit rate, so that 10 minutes stay below 1 GB.
    pub most_kbps: u32,
    pub audio_kbps: u32,
    /// The short side is brought down to this when frames are encoded; TikTok shows no more than 1080.
    pub short_edge: u32,
    /// Threads of decoder, filters and encoder each. Never all of a large machine: memory grows with them.
    pub threads: usize,
    /// What `loudness` aims at, in LUFS.
    pub loudness: f32,
}

impl Default for Encoding {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(2, |cores| cores.get().min(8));
        Self {
            preset: "veryfast".to_owned(),
            crf: 21,
            most_kbps: 12_000,
            audio_kbps: 160,
            short_edge: 1080,
            threads,
            loudness: -14.0,
        }
    }
}

/// What one run of FFmpeg may use.
#[derive(Debug, Clone)]
pub struct EditLimits {
    /// CPU time over all threads.
    pub cpu: Duration,
    /// Address space, which is two to three times what is really used.
    pub memory_bytes: u64,
    pub wall: Duration,
    /// Neither progress nor a write to the output for this long: it hangs and is killed.
    pub stall: Duration,
}

impl Default for EditLimits {
    fn default() -> Self {
        Self {
            cpu: Duration::from_secs(2 * 3600),
            memory_bytes: 6 << 30,
            wall: Duration::from_secs(3600),
            stall: Duration::from_secs(60),
        }
    }
}
