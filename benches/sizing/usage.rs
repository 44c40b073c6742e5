//! What a process used, as Linux tells it under /proc: processor time with that of its children, and memory at its peak.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};

/// Linux' USER_HZ, which is 100 on every machine that this is for.
const TICKS_A_SECOND: f64 = 100.0;

/// Processor seconds so far: its own, and those of children that have ended.
pub(crate) fn cpu(pid: u32) -> Result<(f64, f64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // Behind the name, which may hold anything; utime is the 14th field, the first one here is the 3rd.
    let fields: Vec<&str> = stat.rsplit_once(')').context("a stat line")?.1.split_whitespace().collect();
    let seconds =
        |at: usize| -> Result<f64> { Ok(fields.get(at).context("a field")?.parse::<f64>()? / TICKS_A_SECOND) };
    Ok((seconds(11)? + seconds(12)?, seconds(13)? + seconds(14)?))
}

/// Bytes of memory at the peak.
pub(crate) fn peak(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

/// Watches for every FFmpeg that works below a folder, and keeps the largest one's peak.
pub(crate) struct FfmpegWatch {
    largest: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
}

impl FfmpegWatch {
    pub(crate) fn below(folder: &Path) -> Self {
        let watch = Self { largest: Arc::default(), ended: Arc::default() };
        let (largest, ended, folder) = (watch.largest.clone(), watch.ended.clone(), folder.to_owned());
        std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                for pid in ffmpegs(&folder) {
                    largest.fetch_max(peak(pid).unwrap_or(0), Ordering::Relaxed);
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        watch
    }

    pub(crate) fn end(self) -> u64 {
        self.ended.store(true, Ordering::Relaxed);
        self.largest.load(Ordering::Relaxed)
    }
}

fn ffmpegs(folder: &Path) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    pids.filter(|pid| {
        let link = |name: &str| std::fs::read_link(format!("/proc/{pid}/{name}")).unwrap_or_default();
        link("exe").ends_with("ffmpeg") && link("cwd").starts_with(folder)
    })
    .collect()
}
