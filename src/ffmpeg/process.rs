//! One contained run of ffmpeg or ffprobe: its lines as they come, the end of its errors, and an end it can't evade.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{ChildStderr, ChildStdout};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::fault::Fault;
use crate::child::{Contained, Limits, Running};

/// Longer lines of output are cut: nothing that we read has such.
const LONGEST_LINE: usize = 64 * 1024;
/// How much of the end of stderr is kept.
const TAIL: usize = 4096;

pub(super) struct Task<'a> {
    pub(super) program: &'a Path,
    pub(super) folder: &'a Path,
    pub(super) args: Vec<OsString>,
    pub(super) limits: Limits,
    pub(super) wall: Duration,
    pub(super) stall: Option<Stall>,
    pub(super) cancel: &'a CancellationToken,
}

/// Killed after this long without a sign of life: a line that counts as one, or a change of the output file (while
/// `+faststart` moves the index to the front, FFmpeg reports nothing).
pub(super) struct Stall {
    pub(super) after: Duration,
    pub(super) output: PathBuf,
}

/// A run that came to its own end, well or not.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) code: i32,
    pub(super) errors: String,
}

struct Pipes {
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
}

impl Task<'_> {
    /// Runs to the end. `on_line` gets each line of stdout and says whether it is a sign of life. On every way out but
    /// a lost future the group is dead and its pipes are closed; a lost future kills it too.
    pub(super) async fn run(self, on_line: impl FnMut(&str) -> bool + Send) -> Result<Ended, Fault> {
        if self.cancel.is_cancelled() {
            return Err(Fault::Canceled);
        }
        let mut running = Contained::new(self.program, self.folder, self.limits)
            .args(self.args.iter().cloned())
            .start()
            .map_err(|error| Fault::io("starting ffmpeg", &error))?;
        let mut pipes = Pipes { stdout: running.stdout(), stderr: running.stderr() };
        let ended = self.follow(&mut running, &mut pipes, on_line).await;
        if ended.is_err() {
            running.kill().await.map_err(|error| Fault::io("ending ffmpeg", &error))?;
            pipes.drain().await;
        }
        ended
    }

    async fn follow(
        &self,
        running: &mut Running,
        pipes: &mut Pipes,
        mut on_line: impl FnMut(&str) -> bool + Send,
    ) -> Result<Ended, Fault> {
        let deadline = Instant::now() + self.wall;
        let mut alive = Instant::now();
        let mut written: Option<SystemTime> = None;
        let (mut lines, mut tail) = (Lines::default(), Tail::default());
        let (mut out, mut err) = (vec![0u8; 8192], vec![0u8; 4096]);
        loop {
            let quiet = self.stall.as_ref().map_or(deadline, |stall| alive + stall.after);
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Err(Fault::Canceled),
                () = sleep_until(deadline) => {
                    let text = format!("FFmpeg was not done after {} s and was ended", self.wall.as_secs());
                    return Err(Fault::failed("ffmpeg_timeout", text));
                }
                () = sleep_until(quiet) => {
                    let changed = self.stall.as_ref().and_then(|stall| modified(&stall.output));
                    if changed == written {
                        return Err(Fault::failed("ffmpeg_stalled", "FFmpeg made no progress and was ended"));
                    }
                    (written, alive) = (changed, Instant::now());
                }
                read = read_some(&mut pipes.stdout, &mut out), if pipes.stdout.is_some() => {
                    if lines.take(&out[..read], &mut on_line) {
                        alive = Instant::now();
                    }
                }
                read = read_some(&mut pipes.stderr, &mut err), if pipes.stderr.is_some() => tail.take(&err[..read]),
                status = running.wait(), if pipes.stdout.is_none() && pipes.stderr.is_none() => {
                    let status = status.map_err(|error| Fault::io("waiting for ffmpeg", &error))?;
                    lines.end(&mut on_line);
                    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
                    return Ok(Ended { code, errors: tail.text() });
                }
            }
        }
    }
}

fn modified(file: &Path) -> Option<SystemTime> {
    std::fs::metadata(file).and_then(|meta| meta.modified()).ok()
}

/// Reads what is there; at the end of the pipe, or when it breaks, takes it away.
async fn read_some<R: AsyncRead + Unpin>(pipe: &mut Option<R>, into: &mut [u8]) -> usize {
    let Some(reader) = pipe else { return 0 };
    let read = reader.read(into).await.unwrap_or(0);
    if read == 0 {
        *pipe = None;
    }
    read
}

impl Pipes {
    /// A pipe's end means that nobody of the killed group is left to write. The kernel needs a moment for that, at most
    /// seconds when the machine is busy.
    async fn drain(&mut self) {
        let mut bin = vec![0u8; 8192];
        let all = async {
            while self.stdout.is_some() {
                read_some(&mut self.stdout, &mut bin).await;
            }
            while self.stderr.is_some() {
                read_some(&mut self.stderr, &mut bin).await;
            }
        };
        timeout(Duration::from_secs(10), all).await.ok();
    }
}

#[derive(Default)]
struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    fn take(&mut self, bytes: &[u8], on_line: &mut impl FnMut(&str) -> bool) -> bool {
        let mut alive = false;
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LONGEST_LINE.saturating_sub(self.rest.len());
            self.rest.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                alive |= self.end(on_line);
            }
        }
        alive
    }

    fn end(&mut self, on_line: &mut impl FnMut(&str) -> bool) -> bool {
        let line = std::mem::take(&mut self.rest);
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end_matches(['\r', '\n']);
        !line.is_empty() && on_line(line)
    }
}

#[derive(Default)]
struct Tail {
    bytes: VecDeque<u8>,
}

impl Tail {
    fn take(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        let over = self.bytes.len().saturating_sub(TAIL);
        self.bytes.drain(..over);
    }

    fn text(self) -> String {
        String::from_utf8_lossy(&Vec::from(self.bytes)).into_owned()
    }
}

impl Ended {
    pub(super) fn says(&self, what: &str) -> bool {
        self.errors.contains(what)
    }

    /// The run's fault, if it had one. A full disk shows only in what FFmpeg says: `Error writing trailer: No space
    /// left on device` ends with exit code 0.
    pub(super) fn fault(&self) -> Option<Fault> {
        if ["No space left on device", "Disk quota exceeded"].iter().any(|text| self.says(text)) {
            return Some(Fault::environment("disk_full", "The disk for edits is full"));
        }
        let fault = match self.code {
            0 => return None,
            125..=127 => Fault::environment("ffmpeg_missing", "FFmpeg could not be started"),
            153 => Fault::refused("edited_too_large", "The edited video would be larger than TikTok takes"),
            137 | 152 => {
                Fault::failed("ffmpeg_killed", "FFmpeg was killed: out of memory, or over its limit of CPU time")
            }
            134 | 136 | 139 => Fault::failed("ffmpeg_crashed", format!("FFmpeg crashed. {}", self.brief())),
            _ if self.says("Cannot allocate memory") => Fault::failed("ffmpeg_memory", "FFmpeg had too little memory"),
            _ if self.says("not on whitelist") => {
                Fault::refused("unsupported_codec", "The video has a codec that is not supported")
            }
            _ if self.says("Invalid data found") => {
                Fault::refused("undecodable", format!("The video can't be decoded. {}", self.brief()))
            }
            code => Fault::failed("ffmpeg_failed", format!("FFmpeg ended with code {code}. {}", self.brief())),
        };
        Some(fault)
    }

    /// The last lines of stderr without addresses and absolute paths.
    pub(super) fn brief(&self) -> String {
        let lines: Vec<String> = self.errors.lines().map(scrub).filter(|line| !line.is_empty()).collect();
        let text = lines[lines.len().saturating_sub(4)..].join("; ");
        let skip = text.chars().count().saturating_sub(500);
        text.chars().skip(skip).filter(|letter| !letter.is_control()).collect()
    }
}

/// `[mov @ 0x55e0841a8f00] stream 0: /a/b` becomes `[mov] stream 0: …`.
fn scrub(line: &str) -> String {
    let mut words = Vec::new();
    for word in line.split_whitespace() {
        if word == "@" {
            continue;
        }
        match (word.strip_prefix("0x"), word.find('/')) {
            (Some(address), _) if address.ends_with(']') => words.push("]".to_owned()),
            (_, Some(at)) if at == 0 || word[..at].ends_with(['\'', '"', ':', '(', '=']) => {
                words.push(format!("{}…", &word[..at]));
            }
            _ => words.push(word.to_owned()),
        }
    }
    words.join(" ").replace(" ]", "]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_errors_names_no_path() {
        let ended = Ended {
            code: 1,
            errors: "noise\n[mov,mp4 @ 0x55e0841a8f00] moov atom not found\n'/var/spool/a b/input': Invalid\n".into(),
        };
        assert_eq!(ended.brief(), "noise; [mov,mp4] moov atom not found; '… b/input': Invalid");
    }

    #[test]
    fn a_full_disk_is_seen_although_ffmpeg_ends_with_code_0() {
        let errors = "Error writing trailer of output.mp4: No space left on device\n".to_owned();
        let fault = Ended { code: 0, errors }.fault().expect("a fault");
        assert!(matches!(fault, Fault::Environment(reason) if reason.code == "disk_full"));
    }

    #[test]
    fn lines_come_whole_however_they_are_cut_and_an_endless_one_takes_no_memory() {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        let mut on_line = |line: &str| {
            seen.push(line.len());
            true
        };
        lines.take(b"ab", &mut on_line);
        lines.take(b"c\r\nd", &mut on_line);
        lines.take(&vec![b'x'; 3 * LONGEST_LINE], &mut on_line);
        lines.take(b"\n", &mut on_line);
        assert_eq!(seen[0], 3);
        assert!(seen[1] <= LONGEST_LINE);
    }
}
