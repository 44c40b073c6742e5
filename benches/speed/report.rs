//! What was measured: a line of the table, and the file that keeps the last figure of each.

use std::path::PathBuf;
use std::process::Command;

pub(crate) struct Line {
    pub(crate) what: String,
    /// What it is held against, with its figure.
    pub(crate) anchor: String,
    pub(crate) ours: String,
    /// What was to be reached, and how it stands to that.
    pub(crate) reach: String,
    /// None where nothing was to be reached but to be shown.
    pub(crate) holds: Option<bool>,
}

impl Line {
    pub(crate) fn said(&self) -> String {
        format!("{} | {} | {} | {} | {}", self.what, self.anchor, self.ours, self.reach, self.verdict())
    }

    fn verdict(&self) -> &'static str {
        match self.holds {
            Some(true) => "holds",
            Some(false) => "**misses**",
            None => "shown",
        }
    }
}

const HEAD: &str = "\
# Speed

Written by `make bench`, a line at a time: each says when, on which commit and on what machine it was measured. The rows are
`benches/speed/`; `cargo bench --bench speed -- NAME` measures one of them again.

| | beside | ours | reach | | row | measured |
|---|---|---|---|---|---|---|
";

/// Puts the lines into the file that `SPEED_RESULTS` names, in the place of what an earlier run of this row said.
pub(crate) fn keep(row: &str, lines: &[Line]) {
    let Some(file) = std::env::var_os("SPEED_RESULTS").map(PathBuf::from) else { return };
    let before = std::fs::read_to_string(&file).unwrap_or_default();
    let of_row = format!("| `{row}` |");
    let mut kept: Vec<String> =
        before.lines().skip_while(|line| !line.starts_with("|---")).skip(1).map(str::to_owned).collect();
    let place = kept.iter().position(|line| line.contains(&of_row)).unwrap_or(kept.len());
    kept.retain(|line| !line.contains(&of_row));
    let origin = origin();
    let new = lines.iter().map(|line| {
        let Line { what, anchor, ours, reach, .. } = line;
        format!("| {what} | {anchor} | {ours} | {reach} | {} {of_row} {origin} |", line.verdict())
    });
    kept.splice(place..place, new);
    std::fs::write(&file, format!("{HEAD}{}\n", kept.join("\n"))).expect("the results are written");
    if let Some(readme) = std::env::var_os("SPEED_README").map(PathBuf::from) {
        let text = std::fs::read_to_string(&readme).expect("a README");
        std::fs::write(&readme, shown(&text, &kept)).expect("the README is written");
    }
}

/// The README with its table made anew from all that the results hold, but for where and when.
fn shown(readme: &str, kept: &[String]) -> String {
    let (before, rest) = readme.split_once(BEGIN).expect("the README says where the table begins");
    let (_, after) = rest.split_once(END).expect("the README says where the table ends");
    let mut table =
        String::from("\n| | beside | ours | reach | | `cargo bench --bench speed --` |\n|---|---|---|---|---|---|\n");
    for line in kept {
        let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
        table.push_str(&format!("|{}|\n", cells[..cells.len() - 1].join("|")));
    }
    format!("{before}{BEGIN}{table}{END}{after}")
}

const BEGIN: &str = "<!-- The speed table is written by `make bench`. -->";
const END: &str = "<!-- Until here. -->";

/// Commit, build, day and machine.
fn origin() -> String {
    let told = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).output();
        output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("?", |(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let build = if cfg!(debug_assertions) { ", debug build" } else { "" };
    let changed =
        if told("git", &["status", "--porcelain", "src", "benches"]).is_empty() { "" } else { " with changes" };
    let (commit, day) = (told("git", &["rev-parse", "--short", "HEAD"]), chrono::Utc::now().format("%Y-%m-%d"));
    format!("{commit}{changed}{build}, {day}, {cores} cores of {}", model.trim())
}

pub(crate) fn median(values: &[f64]) -> f64 {
    at(values, 0.5)
}

/// The value below which that share of all lies.
pub(crate) fn at(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(((sorted.len() - 1) as f64) * share).round() as usize]
}
