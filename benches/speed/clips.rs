//! Videos to work on, made by FFmpeg.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Moving shapes under noise, which are about as hard to encode as a handheld shot.
pub(crate) fn noisy(folder: &Path, size: &str, seconds: u32) -> PathBuf {
    let file = folder.join(format!("{size}-{seconds}.mp4"));
    let picture = format!("testsrc2=size={size}:rate=30:duration={seconds},noise=alls=8:allf=t");
    let sound = format!("sine=frequency=440:sample_rate=48000:duration={seconds}");
    let codecs = "-c:v libx264 -preset ultrafast -b:v 8M -maxrate 8M -bufsize 16M -pix_fmt yuv420p -c:a aac -movflags +faststart";
    ffmpeg(&["-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &sound], codecs, &file);
    file
}

pub(crate) fn watermark(folder: &Path) -> PathBuf {
    let file = folder.join("watermark.png");
    ffmpeg(&["-f", "lavfi", "-i", "color=white:size=400x200"], "-frames:v 1", &file);
    file
}

fn ffmpeg(input: &[&str], output: &str, file: &Path) {
    let mut command = Command::new("ffmpeg");
    command
        .args(["-nostdin", "-hide_banner", "-loglevel", "error", "-y"])
        .args(input)
        .args(output.split(' '))
        .arg(file);
    assert!(command.status().expect("ffmpeg").success(), "FFmpeg could not make {}", file.display());
}

/// The head of a `free` box that fills a clip of so many bytes up to `size`: zeros follow. A player skips it.
pub(crate) fn filler(clip: usize, size: u64) -> Vec<u8> {
    let rest = u32::try_from(size - clip as u64).expect("below 4 GiB");
    assert!(rest >= 8, "the clip is smaller than what it is filled up to");
    [&rest.to_be_bytes()[..], b"free"].concat()
}
