//! FFmpeg and ffprobe as they are on this machine, checked once at start.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::container::Container;
use super::fault::Fault;
use super::fonts::Fonts;
use super::process::Task;
use super::setup::Setup;
use crate::child::{self, Limits};

/// What was found. Cheap to share; every run starts here.
#[derive(Debug, Clone)]
pub struct Tools {
    pub(super) ffmpeg: PathBuf,
    pub(super) ffprobe: PathBuf,
    pub(super) fonts: Fonts,
    pub(super) setup: Setup,
    /// HDR is mapped properly with zimg (`zscale`); without it, only converted.
    pub(super) tone_maps: bool,
}

/// Everything that is missing, at once, and how to get it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("FFmpeg can't be used here: {} missing.\n  Debian, Ubuntu: apt-get install ffmpeg fonts-dejavu-core\n  macOS: brew install ffmpeg-full && brew install --cask font-dejavu (plain `ffmpeg` has no libass in newer releases)", .what.join(", "))]
pub struct Missing {
    pub what: Vec<String>,
}

const ENCODERS: [&str; 3] = ["libx264", "aac", "mjpeg"];
const DECODERS: [&str; 8] = ["h264", "hevc", "vp8", "vp9", "aac", "png", "mjpeg", "webp"];
const DEMUXERS: [&str; 8] = ["mov", "matroska", "avi", "mpegts", "flv", "png_pipe", "jpeg_pipe", "webp_pipe"];
const MUXERS: [&str; 3] = ["mp4", "image2", "null"];
const FILTERS: [&str; 22] = [
    "ass",
    "overlay",
    "scale",
    "crop",
    "pad",
    "boxblur",
    "split",
    "eq",
    "fade",
    "fps",
    "format",
    "setsar",
    "yadif",
    "colorchannelmixer",
    "loudnorm",
    "afade",
    "aresample",
    "aformat",
    "anullsrc",
    "atrim",
    "setparams",
    "null",
];

/// Decoders by FFmpeg's names: what cameras, phones, browsers and editors write.
const CODECS: &str = "h264,hevc,vp8,libvpx,vp9,libvpx-vp9,av1,libdav1d,libaom-av1,mpeg4,msmpeg4,mpeg2video,mpeg1video,\
    mjpeg,prores,dnxhd,h263,flv,rawvideo,png,aac,aac_fixed,mp3,mp3float,mp2,mp2float,ac3,eac3,opus,libopus,vorbis,\
    libvorbis,flac,alac,pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,pcm_f32le,pcm_u8,pcm_s8,pcm_alaw,\
    pcm_mulaw,amrnb,amrwb,nellymoser,speex,libspeex,mov_text,subrip,srt,ass,ssa,webvtt,text";

/// Options before `-i` that leave FFmpeg nothing to guess and nowhere to go.
pub(super) fn guards(container: Container) -> Vec<&'static str> {
    let demuxer = container.demuxer();
    let mut options = vec!["-f", demuxer, "-protocol_whitelist", "file", "-format_whitelist", demuxer];
    options.extend(["-codec_whitelist", CODECS]);
    if container == Container::Mov {
        options.extend(["-enable_drefs", "0", "-use_absolute_path", "0"]);
    }
    options
}

impl Tools {
    /// Looks for the programs on `PATH` and asks them what they can do.
    pub async fn find(setup: Setup) -> Result<Self, Missing> {
        let mut what = Vec::new();
        let (ffmpeg, ffprobe) = (child::find(&["ffmpeg"]), child::find(&["ffprobe"]));
        let fonts = Fonts::find(&setup.font_folders);
        if ffprobe.is_none() {
            what.push("ffprobe".to_owned());
        }
        if fonts.is_empty() {
            what.push("a font for captions (DejaVu, Noto, Liberation or Arial)".to_owned());
        }
        let mut filters = HashSet::new();
        match &ffmpeg {
            None => what.push("ffmpeg".to_owned()),
            Some(program) => {
                let lists: [(&str, &str, &[&str]); 4] = [
                    ("-encoders", "encoder", &ENCODERS),
                    ("-decoders", "decoder", &DECODERS),
                    ("-demuxers", "demuxer", &DEMUXERS),
                    ("-muxers", "muxer", &MUXERS),
                ];
                for (list, kind, wanted) in lists {
                    lacking(&mut what, kind, wanted, &names(program, list).await);
                }
                filters = names(program, "-filters").await;
                lacking(&mut what, "filter", &FILTERS, &filters);
            }
        }
        match (ffmpeg, ffprobe) {
            (Some(ffmpeg), Some(ffprobe)) if what.is_empty() => {
                let tone_maps = filters.contains("zscale") && filters.contains("tonemap");
                Ok(Self { ffmpeg, ffprobe, fonts, setup, tone_maps })
            }
            _ => Err(Missing { what }),
        }
    }

    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// The same tools under other rules and limits.
    pub fn with_setup(mut self, change: impl FnOnce(&mut Setup)) -> Self {
        change(&mut self.setup);
        self
    }

    /// A folder that only we may enter, removed when dropped.
    pub(super) fn private_folder(&self) -> Result<TempDir, Fault> {
        let spool = &self.setup.spool;
        std::fs::create_dir_all(spool)
            .and_then(|()| tempfile::Builder::new().prefix("edit-").tempdir_in(spool))
            .map_err(|error| Fault::io("making a private folder", &error))
    }

    /// Lays a local file into a private folder under a fixed name, without copying it.
    pub(super) fn lay_in(&self, folder: &Path, file: &Path, name: &str) -> Result<(), Fault> {
        let link = std::fs::canonicalize(file).and_then(|file| symlink(file, folder.join(name)));
        link.map_err(|error| Fault::io("laying a file into the private folder", &error))
    }
}

fn lacking(what: &mut Vec<String>, kind: &str, wanted: &[&str], found: &HashSet<String>) {
    let missing = wanted.iter().filter(|name| !found.contains(**name));
    what.extend(missing.map(|name| format!("the {kind} {name}")));
}

/// The names in one of FFmpeg's lists: the second word of a line; a demuxer has several, with commas between.
async fn names(program: &Path, list: &str) -> HashSet<String> {
    let mut names = HashSet::new();
    let task = Task {
        program,
        folder: Path::new("/"),
        args: ["-hide_banner", list].map(OsString::from).into(),
        limits: Limits { cpu: Some(Duration::from_secs(30)), memory_bytes: None, file_bytes: Some(512) },
        wall: Duration::from_secs(30),
        stall: None,
        cancel: &CancellationToken::new(),
    };
    let listed = task
        .run(|line| {
            if let Some(word) = line.split_whitespace().nth(1) {
                names.extend(word.split(',').map(str::to_owned));
            }
            true
        })
        .await;
    if listed.is_err() {
        names.clear();
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_at_once_with_the_way_to_get_it() {
        let mut what = vec!["ffprobe".to_owned()];
        lacking(&mut what, "encoder", &ENCODERS, &HashSet::from(["aac".to_owned(), "mjpeg".to_owned()]));
        let text = Missing { what }.to_string();
        assert!(text.contains("ffprobe, the encoder libx264 missing"), "{text}");
        assert!(text.contains("apt-get install") && text.contains("brew install"));
    }

    #[tokio::test]
    async fn without_fonts_the_start_fails() {
        let mut setup = Setup::new(std::env::temp_dir());
        setup.font_folders.clear();
        let missing = Tools::find(setup).await.expect_err("no fonts");
        assert_eq!(missing.what.len(), 1, "{missing}");
    }
}
