//! A watermark's image: what it is, told from its header before anything decodes it.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::fault::Fault;
use super::process::Task;
use super::tools::Tools;
use crate::child::Limits;

const MOST_BYTES: u64 = 5 << 20;
const MOST_EDGE: u32 = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Image {
    pub format: ImageFormat,
    pub width: u32,
    pub height: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageFormat {
    Png,
    Jpeg,
    WebP,
}

impl ImageFormat {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::WebP => "image/webp",
        }
    }
}

impl Image {
    /// Options before `-i watermark`.
    pub(super) fn guards(self) -> [&'static str; 8] {
        let (demuxer, codec) = match self.format {
            ImageFormat::Png => ("png_pipe", "png"),
            ImageFormat::Jpeg => ("jpeg_pipe", "mjpeg"),
            ImageFormat::WebP => ("webp_pipe", "webp"),
        };
        ["-f", demuxer, "-protocol_whitelist", "file", "-format_whitelist", demuxer, "-codec_whitelist", codec]
    }

    /// By magic and header: PNG, JPEG or WebP (not animated), at most 4096 x 4096.
    fn from_header(bytes: &[u8]) -> Result<Self, Fault> {
        let found = png(bytes).or_else(|| jpeg(bytes)).or_else(|| webp(bytes));
        let Some(image) = found.filter(|image| image.width > 0 && image.height > 0) else {
            return Err(refused("The watermark is no PNG, JPEG or still WebP image"));
        };
        if image.width > MOST_EDGE || image.height > MOST_EDGE {
            let text =
                format!("The watermark has {} x {} pixels; at most 4096 x 4096 are taken", image.width, image.height);
            return Err(refused(text));
        }
        Ok(image)
    }
}

fn refused(text: impl Into<String>) -> Fault {
    Fault::refused("watermark_invalid", text)
}

impl Tools {
    /// Checks an uploaded watermark: size, header, and that it decodes, contained. Refused with `watermark_invalid`.
    pub async fn check_image(&self, file: &Path) -> Result<Image, Fault> {
        let image = read_header(file).await?;
        let folder = self.private_folder()?;
        self.lay_in(folder.path(), file, "watermark")?;
        let options = ["-hide_banner", "-nostdin", "-loglevel", "error", "-xerror"];
        let mut args: Vec<OsString> = options.map(OsString::from).into();
        args.extend(image.guards().map(OsString::from));
        args.extend(["-threads", "1", "-i", "watermark", "-frames:v", "1", "-f", "null", "-"].map(OsString::from));
        let task = Task {
            program: &self.ffmpeg,
            folder: folder.path(),
            args,
            limits: Limits { cpu: Some(Duration::from_secs(20)), memory_bytes: Some(2 << 30), file_bytes: Some(512) },
            wall: Duration::from_secs(30),
            stall: None,
            cancel: &CancellationToken::new(),
        };
        match task.run(|_| true).await?.fault() {
            None => Ok(image),
            Some(fault @ (Fault::Environment(_) | Fault::Canceled)) => Err(fault),
            Some(Fault::Refused(_) | Fault::Failed(_)) => Err(refused("The watermark can't be decoded")),
        }
    }
}

pub(super) async fn read_header(file: &Path) -> Result<Image, Fault> {
    let reading = |error: std::io::Error| Fault::io("reading the watermark", &error);
    if tokio::fs::metadata(file).await.map_err(reading)?.len() > MOST_BYTES {
        return Err(refused("The watermark is larger than 5 MiB"));
    }
    Image::from_header(&tokio::fs::read(file).await.map_err(reading)?)
}

fn number(bytes: &[u8], at: usize, length: usize) -> Option<u32> {
    bytes.get(at..at + length).map(|bytes| bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
}

fn little(bytes: &[u8], at: usize, length: usize) -> Option<u32> {
    bytes.get(at..at + length).map(|bytes| bytes.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte)))
}

fn png(bytes: &[u8]) -> Option<Image> {
    let header = bytes.starts_with(b"\x89PNG\r\n\x1a\n") && bytes.get(12..16) == Some(b"IHDR");
    header.then_some(())?;
    Some(Image { format: ImageFormat::Png, width: number(bytes, 16, 4)?, height: number(bytes, 20, 4)? })
}

/// Walks the segments up to the frame header.
fn jpeg(bytes: &[u8]) -> Option<Image> {
    bytes.starts_with(b"\xff\xd8\xff").then_some(())?;
    let mut at = 2;
    loop {
        while bytes.get(at) == Some(&0xff) && bytes.get(at + 1) == Some(&0xff) {
            at += 1;
        }
        (bytes.get(at) == Some(&0xff)).then_some(())?;
        let marker = *bytes.get(at + 1)?;
        if (0xc0..=0xcf).contains(&marker) && ![0xc4, 0xc8, 0xcc].contains(&marker) {
            let (height, width) = (number(bytes, at + 5, 2)?, number(bytes, at + 7, 2)?);
            return Some(Image { format: ImageFormat::Jpeg, width, height });
        }
        at += 2 + usize::try_from(number(bytes, at + 2, 2)?.max(2)).ok()?;
    }
}

fn webp(bytes: &[u8]) -> Option<Image> {
    (bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP")).then_some(())?;
    let (width, height) = match bytes.get(12..16)? {
        b"VP8 " => (little(bytes, 26, 2)? & 0x3fff, little(bytes, 28, 2)? & 0x3fff),
        b"VP8L" => {
            let bits = little(bytes, 21, 4)?;
            ((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1)
        }
        b"VP8X" if bytes.get(20)? & 0x02 == 0 => (little(bytes, 24, 3)? + 1, little(bytes, 27, 3)? + 1),
        _ => return None,
    };
    Some(Image { format: ImageFormat::WebP, width, height })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png_of(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
        bytes.extend(width.to_be_bytes());
        bytes.extend(height.to_be_bytes());
        bytes
    }

    #[test]
    fn sizes_are_read_from_headers() {
        let image = Image::from_header(&png_of(640, 480)).expect("an image");
        assert_eq!((image.format, image.width, image.height), (ImageFormat::Png, 640, 480));
        let jpeg = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xff\xc2\x00\x0b\x08\x00\x10\x00\x20\x03";
        assert_eq!(Image::from_header(jpeg).map(|image| (image.width, image.height)), Ok((32, 16)));
        let webp = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\x10\0\0\0\x3f\0\0\x1f\0\0";
        assert_eq!(Image::from_header(webp).map(|image| (image.width, image.height)), Ok((64, 32)));
    }

    #[test]
    fn too_large_animated_and_foreign_images_are_refused() {
        assert!(Image::from_header(&png_of(4097, 10)).expect_err("too large").to_string().contains("4096"));
        assert!(Image::from_header(b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0\x3f\0\0\x1f\0\0").is_err(), "animated");
        for bytes in [&b"GIF89a"[..], b"<svg xmlns=''/>", b"", b"\xff\xd8\xff", b"\xff\xd8\xff\xe0\0\0"] {
            assert!(Image::from_header(bytes).is_err());
        }
    }
}
