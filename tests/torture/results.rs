//! What a run counted, a line of JSON for each batch, so that it can be stopped and continued.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Mutex;

use serde_json::{Value, json};

use crate::pipeline::{Database, LEASE};

/// One batch of a row of what the torture proves.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) row: &'static str,
    pub(crate) seed: u64,
    pub(crate) histories: u32,
    pub(crate) kills: u32,
    /// Milliseconds from a worker's death to its successor's lease.
    pub(crate) takeovers: Vec<i64>,
    /// Milliseconds from a Redis' return until all that it had forgotten was under way.
    pub(crate) moved: Vec<i64>,
    pub(crate) wrong: Vec<String>,
}

pub(crate) struct Results {
    file: PathBuf,
    commit: String,
    machine: String,
    /// Of each row and database, how many batches were begun.
    begun: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
}

impl Results {
    pub(crate) fn open() -> Self {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let git = |args: &[&str]| {
            let output = std::process::Command::new("git").args(args).current_dir(&root).output();
            output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
        };
        let changed = if git(&["status", "--porcelain", "src", "migrations"]).is_empty() { "" } else { "+changes" };
        let file = std::env::var_os("TORTURE_RESULTS").map_or_else(|| root.join("docs/torture.jsonl"), PathBuf::from);
        let commit = git(&["rev-parse", "--short=10", "HEAD"]) + changed;
        Self { file, commit, machine: machine(), begun: Mutex::default() }
    }

    /// The next seed of a row: as many after the first as the file and this run have batches.
    pub(crate) fn next_seed(&self, first: u64, row: &'static str, database: Database) -> u64 {
        let mut begun = self.begun.lock().expect("the lock");
        let count = begun.entry((row, database.name())).or_insert_with(|| {
            let of = |line: &&Value| line["row"] == row && line["database"] == database.name();
            self.lines().iter().filter(of).count() as u64
        });
        *count += 1;
        first + *count - 1
    }

    pub(crate) fn append(&self, database: Database, seconds: u64, batch: &Batch) {
        // Its logs were printed; here it is enough to know what to look for.
        let wrong: Vec<String> = batch.wrong.iter().map(|wrong| wrong.chars().take(2_000).collect()).collect();
        let line = json!({
            "row": batch.row, "database": database.name(), "seed": batch.seed, "commit": self.commit,
            "machine": self.machine, "seconds": seconds, "histories": batch.histories, "kills": batch.kills,
            "leaseMs": LEASE, "takeoverMs": batch.takeovers, "movedMs": batch.moved, "wrong": wrong,
        });
        let mut file = std::fs::File::options().create(true).append(true).open(&self.file).expect("the results file");
        file.write_all(format!("{line}\n").as_bytes()).expect("written");
    }

    fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The README's table over all batches in the file: what was counted and nothing else.
    pub(crate) fn table(&self) -> String {
        let lines = self.lines();
        let of = |row: &'static str, database: &'static str| {
            lines.iter().filter(move |line| line["row"] == row && line["database"] == database)
        };
        let all = |field: &str| -> Vec<i64> {
            let of_line = |line: &Value| line[field].as_array().cloned().unwrap_or_default();
            let mut all: Vec<i64> = lines.iter().flat_map(of_line).filter_map(|millis| millis.as_i64()).collect();
            all.sort_unstable();
            all
        };
        let mut table = String::from("| | SQLite | PostgreSQL | the whole table | broken |\n|---|---|---|---|---|\n");
        for row in &ROWS {
            let count = |database| -> u64 {
                let sum: u64 = of(row.name, database).filter_map(|line| line[row.counts].as_u64()).sum();
                sum.min(row.most)
            };
            let wrong = |database| -> usize {
                of(row.name, database).map(|line| line["wrong"].as_array().map_or(0, Vec::len)).sum()
            };
            let told = |count: u64| match row.goal {
                Some(goal) if count >= goal => format!("{count}, in full"),
                Some(_) => format!("{count}, in part"),
                None => count.to_string(),
            };
            let [sqlite, postgres] = ["SQLite", "PostgreSQL"].map(|database| (count(database), wrong(database)));
            let goal = row.goal.map_or("–".to_owned(), |goal| goal.to_string());
            let broken = sqlite.1 + postgres.1;
            let (sqlite, postgres) = (told(sqlite.0), told(postgres.0));
            table.push_str(&format!("| {} | {sqlite} | {postgres} | {goal} each | {broken} |\n", row.title));
        }
        let takeovers = all("takeoverMs");
        if let (Some(p99), Some(longest)) = (p99(&takeovers), takeovers.last()) {
            table.push_str(&format!(
                "\nA dead worker's task was taken over after {:.1} s in 99 of 100 cases, {:.1} s at the longest, of {} (lease {:.1} s). ",
                seconds(p99), seconds(*longest), takeovers.len(), LEASE as f64 / 1000.0
            ));
        }
        if let Some(longest) = all("movedMs").last() {
            table.push_str(&format!("After Redis came back all was moving again within {:.1} s.\n", seconds(*longest)));
        }
        table
    }
}

struct Row {
    name: &'static str,
    title: &'static str,
    /// The field that is counted.
    counts: &'static str,
    goal: Option<u64>,
    /// Where more are repetitions.
    most: u64,
}

const fn row(name: &'static str, title: &'static str, counts: &'static str, goal: u64) -> Row {
    Row { name, title, counts, goal: Some(goal), most: u64::MAX }
}

const ROWS: [Row; 7] = [
    row("points", "SIGKILL at a crash point", "kills", 10_000),
    Row { most: 1_681, ..row("pairs", "ordered pairs of crash points", "histories", 1_681) },
    row("storms", "random SIGKILLs under load", "kills", 2_000),
    row("wipes", "Redis wiped, killed, full, silent or failed over under load", "histories", 500),
    row("zombies", "workers frozen at a publish point that wake up later", "histories", 950),
    row("answers", "answers of Redis and TikTok lost, late or doubled", "histories", 5_000),
    Row { goal: None, ..row("outages", "database away, disks full, a clock that jumps, under load", "histories", 0) },
];

fn p99(sorted: &[i64]) -> Option<i64> {
    sorted.get((sorted.len() * 99).div_ceil(100).saturating_sub(1)).copied()
}

fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let told = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = told.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name));
    format!("{cores} × {}", model.unwrap_or(std::env::consts::ARCH))
}

#[test]
#[ignore = "prints what docs/torture.jsonl holds: make torture-report"]
fn report() {
    println!("{}", Results::open().table());
}
