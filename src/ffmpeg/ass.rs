//! Cues as an ASS file of our own, the only form in which a user's text reaches FFmpeg.
//!
//! The script's pixels are the video's. Two things in a text could be more than text to libass: `{`, which opens
//! override tags, and `\`, which begins `\N`, `\n`, `\h`. The first is written `\{`; a word joiner, which has no width,
//! parts the second from what follows, as FFmpeg's own converter does it.

use std::fmt::Write;
use std::time::Duration;

use super::brand::{CaptionStyle, Place};
use super::captions::Cue;
use super::fonts::Face;

pub(super) fn script(cues: &[Cue], style: &CaptionStyle, face: &Face, width: u32, height: u32) -> String {
    let size = style.pixels(width, height).max(6.0);
    let outline = (size / 16.0).max(1.0);
    let (alignment, margin) = match style.place {
        Place::Top => (8, 0.08),
        Place::Middle => (5, 0.0),
        // TikTok lays its own text over the lower part of a tall picture.
        Place::Bottom if height > width => (2, 0.14),
        Place::Bottom => (2, 0.06),
    };
    let (sides, vertical) = (f64::from(width) * 0.06, f64::from(height) * margin);
    let (red, green, blue) = (style.color.red, style.color.green, style.color.blue);
    let bold = if face.bold { -1 } else { 0 };
    let family = face.family;
    let mut out = format!(
        "[Script Info]\nScriptType: v4.00+\nPlayResX: {width}\nPlayResY: {height}\nWrapStyle: 0\n\
         ScaledBorderAndShadow: yes\n\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize, PrimaryColour, OutlineColour, \
         BackColour, Bold, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding\n\
         Style: c,{family},{size:.1},&H00{blue:02X}{green:02X}{red:02X},&H00000000,&H80000000,{bold},1,{outline:.1},0,\
         {alignment},{sides:.0},{sides:.0},{vertical:.0},1\n\n[Events]\n\
         Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
    );
    for cue in cues {
        let (start, end, text) = (clock(cue.start), clock(cue.end), escape(&cue.text));
        // Writing to a string can't fail.
        writeln!(out, "Dialogue: 0,{start},{end},c,,0,0,0,,{text}").ok();
    }
    out
}

/// `H:MM:SS.cc`
fn clock(time: Duration) -> String {
    let centis = time.as_millis() / 10;
    let (seconds, rest) = (centis / 100, centis % 100);
    format!("{}:{:02}:{:02}.{rest:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        match letter {
            '\n' => out.push_str("\\N"),
            '\\' => out.push_str("\\\u{2060}"),
            '{' => out.push_str("\\{"),
            '}' => out.push_str("\\}"),
            letter if letter.is_control() => {}
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ffmpeg::brand::Color;
    use crate::ffmpeg::fonts::Font;

    #[test]
    fn no_text_can_open_a_tag_or_break_a_line_of_the_script() {
        assert_eq!(escape(r"{\p1}m 0 0"), "\\{\\\u{2060}p1\\}m 0 0");
        assert_eq!(escape("a\\Nb\nc\r\u{0}"), "a\\\u{2060}Nb\\Nc");
        assert_eq!(escape(r"\{\b1}"), "\\\u{2060}\\{\\\u{2060}b1\\}");
    }

    #[test]
    fn a_script_has_the_size_of_the_picture_and_the_color_backwards() {
        let style = CaptionStyle {
            font: Font::SansBold,
            size: 0.05,
            color: Color { red: 0xff, green: 0xcc, blue: 0 },
            place: Place::Bottom,
        };
        let face = Face { file: "x".into(), family: "DejaVu Sans", bold: true };
        let cue = Cue { start: Duration::from_millis(1234), end: Duration::from_secs(3725), text: "a, b".into() };
        let text = script(&[cue], &style, &face, 540, 960);
        assert!(text.contains("PlayResX: 540\nPlayResY: 960\n"));
        assert!(text.contains("Style: c,DejaVu Sans,48.0,&H0000CCFF,&H00000000,&H80000000,-1,1,3.0,0,2,32,32,134,1\n"));
        assert!(text.ends_with("Dialogue: 0,0:00:01.23,1:02:05.00,c,,0,0,0,,a, b\n"));
    }
}
