//! Captions as the user uploads them: SRT or WebVTT to cues of plain text.
//!
//! Both are read line by line. A line with `-->` begins a cue. In SRT everything up to the next cue, but its number, is
//! text, blank lines too, as many files have them; in WebVTT a blank line ends it. Markup is taken out.

use std::time::Duration;

use crate::outcome::Reason;

const MOST_BYTES: usize = 1 << 20;
const MOST_CUES: usize = 5_000;
const MOST_LETTERS: usize = 1_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captions {
    cues: Vec<Cue>,
}

/// Plain text, its lines parted by `\n`, shown from `start` until `end`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cue {
    pub start: Duration,
    pub end: Duration,
    pub text: String,
}

impl Captions {
    pub(super) fn of(cues: Vec<Cue>) -> Self {
        Self { cues }
    }

    /// At most 1 MiB, 5,000 cues of 1,000 letters; UTF-8, or UTF-16 with its mark. The reason's code is
    /// `captions_invalid`, its text names the line.
    pub fn parse(bytes: &[u8]) -> Result<Self, Reason> {
        if bytes.len() > MOST_BYTES {
            return Err(invalid("The captions are larger than 1 MiB"));
        }
        let text = decode(bytes)?;
        let lines: Vec<&str> = text.split('\n').map(|line| line.trim_end_matches('\r')).collect();
        let vtt = lines.first().is_some_and(|line| {
            line.strip_prefix("WEBVTT").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
        });
        let timings: Vec<usize> = (0..lines.len()).filter(|at| is_timing(lines[*at])).collect();
        let Some(first) = timings.first() else {
            return Err(invalid("The captions have no cue: no line with `-->`"));
        };
        if timings.len() > MOST_CUES {
            return Err(invalid(format!("The captions have more than {MOST_CUES} cues")));
        }
        if !vtt {
            refuse_talk(&lines[..*first])?;
        }
        let mut cues = Vec::new();
        for (n, at) in timings.iter().enumerate() {
            let next = timings.get(n + 1).copied();
            let (start, end) = times(lines[*at]).map_err(|what| at_line(*at, what))?;
            let text = if vtt { vtt_text(&lines[at + 1..]) } else { srt_text(&lines, *at, next) };
            let text = plain(&text);
            if text.chars().count() > MOST_LETTERS {
                return Err(at_line(*at, format!("the cue has more than {MOST_LETTERS} letters")));
            }
            if !text.is_empty() && end > start {
                cues.push(Cue { start, end, text });
            }
        }
        cues.sort_by_key(|cue| cue.start);
        Ok(Self { cues })
    }

    pub fn cues(&self) -> &[Cue] {
        &self.cues
    }
}

fn invalid(text: impl Into<String>) -> Reason {
    Reason::new("captions_invalid", text)
}

fn at_line(index: usize, what: impl std::fmt::Display) -> Reason {
    invalid(format!("Captions, line {}: {what}", index + 1))
}

fn decode(bytes: &[u8]) -> Result<String, Reason> {
    let wide = |from_bytes: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes[2..].chunks_exact(2).map(|pair| from_bytes([pair[0], pair[1]])).collect();
        String::from_utf16(&units).map_err(|_| invalid("The captions are no valid UTF-16"))
    };
    let text = match bytes {
        [0xff, 0xfe, ..] => wide(u16::from_le_bytes)?,
        [0xfe, 0xff, ..] => wide(u16::from_be_bytes)?,
        _ => std::str::from_utf8(bytes)
            .map_err(|error| {
                let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
                at_line(line, "not UTF-8; please save the captions as UTF-8")
            })?
            .to_owned(),
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    // A lone CR is a line's end too (old Macs, and WebVTT's own rule).
    Ok(text.replace("\r\n", "\n").replace('\r', "\n"))
}

fn is_timing(line: &str) -> bool {
    line.contains("-->")
}

fn is_number(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit())
}

/// Before SRT's first cue stands its number and nothing else.
fn refuse_talk(lines: &[&str]) -> Result<(), Reason> {
    let talk = lines.iter().position(|line| !line.trim().is_empty() && !is_number(line));
    talk.map_or(Ok(()), |at| Err(at_line(at, "neither SRT nor WebVTT")))
}

fn vtt_text(rest: &[&str]) -> String {
    let lines: Vec<&str> =
        rest.iter().take_while(|line| !line.trim().is_empty() && !is_timing(line)).copied().collect();
    lines.join("\n")
}

fn srt_text(lines: &[&str], at: usize, next: Option<usize>) -> String {
    let until = next.unwrap_or(lines.len());
    let mut text: Vec<&str> = lines[at + 1..until].iter().map(|line| line.trim()).collect();
    while text.last().is_some_and(|line| line.is_empty()) {
        text.pop();
    }
    if next.is_some() && text.last().is_some_and(|line| is_number(line)) {
        text.pop();
    }
    text.retain(|line| !line.is_empty());
    text.join("\n")
}

/// `00:01:02,345 --> 00:01:04.5 X1:0 align:start`
fn times(line: &str) -> Result<(Duration, Duration), String> {
    let (start, rest) = line.split_once("-->").ok_or("no `-->`")?;
    let end = rest.split_whitespace().next().ok_or("the end time is missing")?;
    let (start, end) = (time(start.trim())?, time(end)?);
    if end < start {
        return Err("the cue ends before it starts".to_owned());
    }
    Ok((start, end))
}

/// Hours may be missing, and so may the fraction; it follows a comma or a point.
fn time(text: &str) -> Result<Duration, String> {
    let wrong = || {
        let shown: String = text.chars().take(40).collect();
        format!("`{}` is not a time like 00:01:02,345", shown.escape_debug())
    };
    let (clock, fraction) = text.split_once([',', '.']).unwrap_or((text, "0"));
    let parts: Vec<u64> = clock.split(':').map(|part| digits(part, 4).ok_or_else(wrong)).collect::<Result<_, _>>()?;
    let seconds = match parts[..] {
        [minutes, seconds] if seconds < 60 => minutes * 60 + seconds,
        [hours, minutes, seconds] if minutes < 60 && seconds < 60 => hours * 3600 + minutes * 60 + seconds,
        _ => return Err(wrong()),
    };
    let places = u32::try_from(fraction.len()).map_err(|_| wrong())?;
    let value = digits(fraction, 9).ok_or_else(wrong)?;
    Ok(Duration::from_secs(seconds) + Duration::from_nanos(value * 10u64.pow(9 - places)))
}

fn digits(text: &str, most: usize) -> Option<u64> {
    let text = text.trim();
    (!text.is_empty() && text.len() <= most && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())?
}

/// Takes out markup (`<i>`, `</font>`, `<v Ann>`, `<00:00:01.000>`), resolves WebVTT's entities, drops control letters.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        out.push_str(&rest[..at]);
        match rest[at..].find('>').filter(|end| is_tag(&rest[at + 1..at + end])) {
            Some(end) => rest = &rest[at + end + 1..],
            None => {
                out.push('<');
                rest = &rest[at + 1..];
            }
        }
    }
    out.push_str(rest);
    for (entity, letter) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&nbsp;", "\u{a0}"),
        ("&lrm;", "\u{200e}"),
        ("&rlm;", "\u{200f}"),
        ("&amp;", "&"),
    ] {
        out = out.replace(entity, letter);
    }
    out.retain(|letter| letter == '\n' || !letter.is_control());
    out.trim().to_owned()
}

fn is_tag(inside: &str) -> bool {
    let name = inside.trim_start_matches('/').split([' ', '.', '\t', '\n']).next().unwrap_or("").to_ascii_lowercase();
    let known = ["i", "b", "u", "s", "font", "c", "v", "lang", "ruby", "rt", ""].contains(&name.as_str());
    known || (inside.contains(':') && inside.bytes().all(|byte| byte.is_ascii_digit() || b":.".contains(&byte)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cues(text: &str) -> Vec<(u128, u128, String)> {
        let captions = Captions::parse(text.as_bytes()).expect("captions");
        captions.cues.into_iter().map(|cue| (cue.start.as_millis(), cue.end.as_millis(), cue.text)).collect()
    }

    fn refusal(text: &[u8]) -> String {
        Captions::parse(text).expect_err("refused").text
    }

    #[test]
    fn srt_is_read_in_the_variants_that_are_about() {
        let text = "\u{feff}1\r\n00:00:01,000 --> 00:00:02,500\r\n<i>Hello</i>,\r\nworld\r\n\r\n\r\n2\r\n\
            0:00:03.5-->00:04 X1:10\r\nsecond\r\n3\r\n00:00:05,000 --> 00:00:06,000 \r\nwith\r\n\r\na gap";
        let expected = [(1000, 2500, "Hello,\nworld"), (3500, 4000, "second"), (5000, 6000, "with\na gap")];
        assert_eq!(cues(text), expected.map(|(start, end, text)| (start, end, text.to_owned())));
    }

    #[test]
    fn webvtt_is_read_with_its_notes_styles_ids_and_settings() {
        let text = "WEBVTT - a title\nKind: captions\n\nSTYLE\n::cue { color: red }\n\nNOTE a note\n\nintro\n\
            00:01.000 --> 00:02.000 align:start position:10%\n<v Ann>Hi &amp; <c.red>bye</c> <00:00:01.500>1 < 2 &lt;b&gt;\n\n\
            NOTE another\n\n01:00:03.000 --> 01:00:04.000\n- x";
        let expected = [(1000, 2000, "Hi & bye 1 < 2 <b>"), (3_603_000, 3_604_000, "- x")];
        assert_eq!(cues(text), expected.map(|(start, end, text)| (start, end, text.to_owned())));
    }

    #[test]
    fn nonsense_is_refused_with_its_line() {
        assert!(refusal(b"hello").contains("no cue"));
        assert!(refusal(b"").contains("no cue"));
        assert!(refusal(b"#EXTM3U\nx\n00:00:01,000 --> 00:00:02,000\nx").contains("line 1: neither"));
        assert!(refusal(b"1\n00:00:01,000 --> banana\nx").contains("line 2: `banana` is not a time"));
        assert!(refusal(b"1\n00:00:03,000 --> 00:00:02,000\nx").contains("line 2: the cue ends before"));
        assert!(refusal(b"1\n00:00:01,000 --> 00:00:02,000\n\xff\xfa").contains("line 3: not UTF-8"));
        assert!(refusal(&vec![b'a'; MOST_BYTES + 1]).contains("1 MiB"));
        assert!(refusal("00:01 --> 00:02\nx\n\n".repeat(MOST_CUES + 1).as_bytes()).contains("cues"));
        assert!(refusal(format!("00:01 --> 00:02\n{}", "x".repeat(MOST_LETTERS + 1)).as_bytes()).contains("letters"));
    }

    #[test]
    fn utf_16_with_its_mark_is_read() {
        let wide: Vec<u8> = "\u{feff}00:01 --> 00:02\nПривет".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(Captions::parse(&wide).expect("captions").cues[0].text, "Привет");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_fall(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            Captions::parse(&bytes).ok();
        }

        #[test]
        fn no_text_makes_the_reader_fall(text in "(WEBVTT\n)?([0-9:,.<>& \n-]|-->|\\PC){0,80}") {
            Captions::parse(text.as_bytes()).ok();
        }
    }
}
