//! What was measured, with machine and commit: on the screen, and behind what stands in the file.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Command;

use anyhow::Result;

use crate::peer::Theirs;
use crate::turn::Latency;

#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<String>,
}

impl Table {
    pub(crate) fn flow(&mut self, part: &str, ours: &[f64], theirs: &[f64]) {
        let (what, with) = match part {
            "sqlite" => ("SQLite, synchronous=FULL", "BullMQ, no database"),
            _ => ("PostgreSQL", "BullMQ, the same rows by `pg`"),
        };
        let mut row = format!("| no-op flow, {what} | {:.0} videos/s ({})", middle(ours, 50), list(ours));
        if theirs.is_empty() {
            row += " | not run | – |";
        } else {
            let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
            let (median, ratio) = (middle(theirs, 50), middle(&ratios, 50));
            write!(row, " | {median:.0} ({with}; {}) | **{ratio:.2}** |", list(theirs)).ok();
        }
        self.rows.push(row);
    }

    pub(crate) fn latency(&mut self, ours: &Latency, theirs: Option<&Theirs>) {
        let said = |times: &[f64]| format!("p50 {:.2} ms, p99 {:.2} ms", middle(times, 50), middle(times, 99));
        let theirs = theirs.map_or("not run".to_owned(), |it| {
            format!("p50 {:.2} ms, p99 {:.2} ms (BullMQ, from `add`)", it.p50, it.p99)
        });
        self.rows.push(format!(
            "| commit of the upload → stage's code, idle, SQLite | {} | {theirs} | – |",
            said(&ours.from_commit)
        ));
        self.rows.push(format!(
            "| the same from the begin of the upload's transaction | {} | {theirs} | – |",
            said(&ours.from_begin)
        ));
    }

    fn text(&self) -> String {
        let head =
            "| | ours, median (turns) | theirs, median (turns) | ratio, median of the pairs |\n|---|---|---|--:|";
        format!("{head}\n{}\n", self.rows.join("\n"))
    }

    pub(crate) fn print(&self) {
        println!("{}", self.text());
    }

    pub(crate) fn keep(&self) -> Result<()> {
        let Some(file) = std::env::var_os("FLOW_RESULTS") else { return Ok(()) };
        let mut file = std::fs::File::options().create(true).append(true).open(file)?;
        let said = |program: &str, args: &[&str]| {
            let output = Command::new(program).args(args).output().map(|output| output.stdout).unwrap_or_default();
            String::from_utf8_lossy(&output).trim().to_owned()
        };
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        writeln!(
            file,
            "\nCommit {}, {}; {}, {cores} cores, load at the end {}\n\n{}",
            said("git", &["rev-parse", "--short", "HEAD"]),
            said("date", &["-u", "+%Y-%m-%d %H:%M"]),
            model.trim_start_matches([' ', '\t', ':']),
            load.split(' ').next().unwrap_or_default(),
            self.text()
        )?;
        Ok(())
    }
}

fn list(rates: &[f64]) -> String {
    rates.iter().map(|rate| format!("{rate:.0}")).collect::<Vec<_>>().join(" ")
}

fn middle(values: &[f64], percent: usize) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get((values.len() * percent / 100).min(values.len().saturating_sub(1))).copied().unwrap_or(0.0)
}
