//! The very command that an edit runs, taken from the process while it works, to be run once more without us.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::fleet::Fleet;

pub(crate) struct Bare {
    args: Vec<String>,
    /// A copy of the run's private folder.
    folder: TempDir,
}

/// Wall and processor seconds.
#[derive(Clone, Copy)]
pub(crate) struct Took {
    pub(crate) wall: f64,
    pub(crate) cpu: f64,
}

impl Bare {
    /// Of the edit that is about to begin.
    pub(crate) async fn of_next_edit(fleet: &Fleet) -> Option<Self> {
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            for pid in fleet.ffmpegs() {
                if let Some(bare) = Self::of(pid) {
                    return Some(bare);
                }
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        None
    }

    fn of(pid: u32) -> Option<Self> {
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let mut words = command.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
        let program = words.next().filter(|program| program.ends_with("/ffmpeg"))?;
        let mut args: Vec<String> = words.collect();
        args.pop_if(|last| last.is_empty());
        if !program.starts_with('/') || args.last()? != "output.mp4" {
            return None;
        }
        let folder = tempfile::tempdir().ok()?;
        let from = format!("/proc/{pid}/cwd/.");
        let copied = Command::new("cp").args(["-rL", &from]).arg(folder.path()).stderr(Stdio::null()).status();
        copied.ok()?.success().then_some(Self { args, folder })
    }

    pub(crate) fn run(&self) -> Took {
        let (began, before) = (Instant::now(), children());
        let mut command = Command::new("ffmpeg");
        command.args(&self.args).current_dir(self.folder.path()).stdin(Stdio::null()).stdout(Stdio::null());
        assert!(command.status().expect("ffmpeg").success(), "the bare command fails");
        Took { wall: began.elapsed().as_secs_f64(), cpu: children() - before }
    }

    pub(crate) fn source(&self) -> std::path::PathBuf {
        Path::new(self.folder.path()).join("input")
    }
}

/// Processor seconds of all children of this process that have ended.
pub(crate) fn children() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("/proc");
    let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    let ticks = |place: usize| fields[place].parse::<f64>().expect("a number");
    // Behind the name; cutime and cstime are the 16th and 17th of all.
    (ticks(13) + ticks(14)) / 100.0
}
