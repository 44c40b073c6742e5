//! What processes use of the machine, as `/proc` tells it.

use std::collections::HashMap;
use std::ops::Sub;

/// Linux reports CPU time to everybody in hundredths of a second.
const TICKS: f64 = 100.0;

/// Seconds of CPU time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cpu {
    pub(crate) own: f64,
    /// Of its children and theirs, also of those that are gone.
    pub(crate) children: f64,
}

impl Cpu {
    pub(crate) fn total(self) -> f64 {
        self.own + self.children
    }
}

impl Sub for Cpu {
    type Output = Self;
    fn sub(self, before: Self) -> Self {
        // A child that nobody waited for takes its time along.
        Self { own: self.own - before.own, children: (self.children - before.children).max(0.0) }
    }
}

struct Process {
    parent: u32,
    own: f64,
    reaped: f64,
}

/// All processes at one moment.
pub(crate) struct Processes(HashMap<u32, Process>);

impl Processes {
    pub(crate) fn now() -> Self {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        Self(pids.filter_map(|pid: u32| Some((pid, read(pid)?))).collect())
    }

    pub(crate) fn cpu(&self, pid: u32) -> Cpu {
        let own = self.0.get(&pid).map_or(0.0, |process| process.own);
        Cpu { own, children: self.tree(pid) - own }
    }

    fn tree(&self, pid: u32) -> f64 {
        let this = self.0.get(&pid).map_or(0.0, |process| process.own + process.reaped);
        let children = self.0.iter().filter(|(_, process)| process.parent == pid);
        this + children.map(|(child, _)| self.tree(*child)).sum::<f64>()
    }
}

fn read(pid: u32) -> Option<Process> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold spaces; after it come state, parent, …, and utime, stime, cutime, cstime as 14th to 17th of all.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let seconds = |place: usize| fields.get(place)?.parse::<f64>().ok().map(|ticks| ticks / TICKS);
    Some(Process {
        parent: fields.get(1)?.parse().ok()?,
        own: seconds(11)? + seconds(12)?,
        reaped: seconds(13)? + seconds(14)?,
    })
}

/// Seconds of CPU time that the whole machine was at work, and that it had.
pub(crate) fn machine() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = line.split_whitespace().skip(1).take(8).filter_map(|field| field.parse().ok()).collect();
    let all: f64 = ticks.iter().sum();
    let idle: f64 = ticks.iter().skip(3).take(2).sum();
    ((all - idle) / TICKS, all / TICKS)
}
