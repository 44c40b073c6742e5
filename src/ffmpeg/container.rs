//! Which container a file is, told from its first bytes, and whether the file is as long as its own header says.
//!
//! FFmpeg would guess among hundreds of formats, some of which open other files and addresses (playlists, concat
//! scripts, SDP). So we tell the few that we take apart, and name the demuxer ourselves.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use serde::{Deserialize, Serialize};

use crate::outcome::Reason;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Container {
    /// MP4, MOV, 3GP.
    Mov,
    /// Matroska and WebM.
    Matroska,
    Avi,
    MpegTs,
    Flv,
}

impl Container {
    /// The name that `-f` takes.
    pub fn demuxer(self) -> &'static str {
        match self {
            Self::Mov => "mov",
            Self::Matroska => "matroska",
            Self::Avi => "avi",
            Self::MpegTs => "mpegts",
            Self::Flv => "flv",
        }
    }
}

/// Looks at the file's beginning and, where that is cheap, at its outline.
pub(super) fn examine(file: &mut File) -> io::Result<Result<Container, Reason>> {
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(0))?;
    let mut head = Vec::new();
    file.by_ref().take(4096).read_to_end(&mut head)?;
    let container = match recognise(&head) {
        Ok(container) => container,
        Err(reason) => return Ok(Err(reason)),
    };
    let whole = match container {
        Container::Mov => boxes_are_whole(file, length)?,
        Container::Matroska => segment_is_whole(&head, length),
        Container::Avi => u64::from(u32::from_le_bytes(four(&head, 4))) <= length.saturating_sub(8),
        Container::MpegTs | Container::Flv => true,
    };
    Ok(if whole { Ok(container) } else { Err(truncated()) })
}

pub(super) fn truncated() -> Reason {
    Reason::new("truncated", "The video is cut off: the file ends before its own header says it does")
}

fn recognise(head: &[u8]) -> Result<Container, Reason> {
    let at = |offset: usize, magic: &[u8]| head.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    if at(4, b"ftyp") && IMAGE_BRANDS.iter().any(|brand| at(8, *brand)) {
        return Err(not_a_video("an image"));
    }
    if FIRST_BOXES.iter().any(|name| at(4, *name)) {
        return Ok(Container::Mov);
    }
    if at(0, b"\x1a\x45\xdf\xa3") {
        return Ok(Container::Matroska);
    }
    if at(0, b"RIFF") && at(8, b"AVI ") {
        return Ok(Container::Avi);
    }
    if at(0, b"FLV\x01") {
        return Ok(Container::Flv);
    }
    let packets = |first: usize, step: usize| (0..3).all(|n| at(first + n * step, b"\x47"));
    if packets(0, 188) || packets(4, 192) {
        return Ok(Container::MpegTs);
    }
    Err(what_else(head))
}

const FIRST_BOXES: [&[u8; 4]; 7] = [b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"];
const IMAGE_BRANDS: [&[u8; 4]; 6] = [b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis"];

/// What a refused file seems to be, so that the user sees which file was chosen by mistake.
fn what_else(head: &[u8]) -> Reason {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let starts = |magics: &[&[u8]]| magics.iter().any(|magic| text.starts_with(magic));
    let riff = |kind: &[u8]| head.starts_with(b"RIFF") && head.get(8..12) == Some(kind);
    if starts(&[b"#EXT", b"ffconcat", b"file ", b"v=0", b"<MPD", b"<?xml", b"[playlist]", b"<ASX", b"<smil"]) {
        return Reason::new("playlist", "The file is a playlist that points elsewhere, not a video");
    }
    if starts(&[b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"<svg"]) || riff(b"WEBP") {
        return not_a_video("an image");
    }
    if starts(&[b"ID3", b"fLaC", b"OggS", b"\xff\xfb", b"\xff\xf3", b"\xff\xf1", b"\xff\xf9"]) || riff(b"WAVE") {
        return Reason::new("no_video_stream", "The file is a sound file: it has no picture");
    }
    if std::str::from_utf8(text.get(..64).unwrap_or(text)).is_ok_and(|text| !text.contains('\0')) {
        return not_a_video("text");
    }
    Reason::new("not_a_video", "The file is no video that is supported (MP4, MOV, WebM, MKV, AVI, MPEG-TS, FLV)")
}

fn not_a_video(what: &str) -> Reason {
    Reason::new("not_a_video", format!("The file is {what}, not a video"))
}

fn four(bytes: &[u8], at: usize) -> [u8; 4] {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).unwrap_or_default()
}

/// Walks the top-level boxes. Junk after a movie that has both index and data is common and does no harm.
fn boxes_are_whole(file: &mut File, length: u64) -> io::Result<bool> {
    let (mut at, mut index, mut data) = (0u64, false, false);
    for _ in 0..100_000 {
        if at + 8 > length {
            break;
        }
        let mut header = [0u8; 16];
        file.seek(SeekFrom::Start(at))?;
        let read = file.by_ref().take(16).read(&mut header)?;
        let name = four(&header, 4);
        let size = match u32::from_be_bytes(four(&header, 0)) {
            0 => length - at,
            1 if read == 16 => u64::from_be_bytes(header[8..].try_into().unwrap_or_default()),
            short => u64::from(short),
        };
        let end = at.saturating_add(size);
        let sound = size >= 8 && end <= length && name.iter().all(|byte| (b' '..=b'~').contains(byte) || *byte == 0xa9);
        if !sound {
            return Ok(index && data);
        }
        index |= &name == b"moov";
        data |= &name == b"mdat";
        at = end;
    }
    Ok(index)
}

/// A Matroska file is an EBML header and a segment, whose size is written unless it was streamed.
fn segment_is_whole(head: &[u8], length: u64) -> bool {
    let Some((header_size, width)) = vint(head, 4) else { return true };
    let segment = 4 + width + usize::try_from(header_size.unwrap_or(0)).unwrap_or(usize::MAX / 2);
    if four(head, segment) != *b"\x18\x53\x80\x67" {
        return true;
    }
    match vint(head, segment + 4) {
        Some((Some(size), width)) => (segment + 4 + width) as u64 + size <= length,
        _ => true,
    }
}

/// EBML's variable-size number: its value, none where it says "unknown", and how many bytes it takes.
fn vint(bytes: &[u8], at: usize) -> Option<(Option<u64>, usize)> {
    let first = *bytes.get(at)?;
    let width = first.leading_zeros() as usize + 1;
    if width > 8 {
        return None;
    }
    let all = bytes.get(at..at + width)?;
    let value = all.iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte)) & ((1u64 << (7 * width)) - 1);
    Some(((value != (1u64 << (7 * width)) - 1).then_some(value), width))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn code(head: &[u8]) -> String {
        recognise(head).expect_err("refused").code
    }

    #[test]
    fn what_points_elsewhere_is_a_playlist() {
        for text in [
            "#EXTM3U\nhttp://127.0.0.1/",
            "ffconcat version 1.0",
            "\u{feff}#EXTM3U",
            "\n\nfile '/etc/passwd'",
            "v=0\r\no=-",
            "<MPD>",
        ] {
            assert_eq!(code(text.as_bytes()), "playlist", "{text}");
        }
    }

    #[test]
    fn images_sounds_texts_and_noise_are_told_apart() {
        assert_eq!(code(b"\xff\xd8\xff\xe0"), "not_a_video");
        assert_eq!(code(b"\0\0\0\x18ftypheic"), "not_a_video");
        assert_eq!(code(b"ID3\x04"), "no_video_stream");
        assert_eq!(code(b"hello world"), "not_a_video");
        assert_eq!(code(b""), "not_a_video");
        assert_eq!(code(&[0u8; 600]), "not_a_video");
    }

    fn movie(boxes: &[(&[u8; 4], u32, usize)]) -> Result<Container, Reason> {
        let mut file = tempfile::tempfile().expect("file");
        for (name, size, bytes) in boxes {
            file.write_all(&size.to_be_bytes()).expect("size");
            file.write_all(*name).expect("name");
            file.write_all(&vec![0u8; *bytes]).expect("body");
        }
        examine(&mut file).expect("read")
    }

    #[test]
    fn a_movie_whose_data_or_index_is_cut_is_truncated() {
        assert!(movie(&[(b"ftyp", 16, 8), (b"moov", 32, 24), (b"mdat", 1008, 1000)]).is_ok());
        assert!(movie(&[(b"ftyp", 16, 8), (b"mdat", 0, 1000), (b"junk", 7, 0)]).is_err(), "no index");
        for cut in [
            movie(&[(b"ftyp", 16, 8), (b"moov", 32, 24), (b"mdat", 1008, 900)]),
            movie(&[(b"ftyp", 16, 8), (b"mdat", 1008, 1000), (b"moov", 32, 10)]),
        ] {
            assert_eq!(cut.expect_err("cut").code, "truncated");
        }
    }

    #[test]
    fn a_movie_with_junk_behind_it_is_whole() {
        assert!(movie(&[(b"ftyp", 16, 8), (b"moov", 32, 24), (b"mdat", 108, 100), (b"\0\xff\0\0", 9999, 3)]).is_ok());
    }

    #[test]
    fn ebml_numbers_are_read_with_their_unknown() {
        assert_eq!(vint(b"\x81", 0), Some((Some(1), 1)));
        assert_eq!(vint(b"\x40\x02", 0), Some((Some(2), 2)));
        assert_eq!(vint(b"\x01\xff\xff\xff\xff\xff\xff\xff", 0), Some((None, 8)));
        assert_eq!(vint(b"\x00", 0), None);
    }
}
