//! What a run counted, a line of JSON for each batch, so that it can be stopped and continued.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Mutex;

use serde_json::{Value, json};

use crate::pipeline::Database;

/// One batch of a row of what the torture proves.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) row: &'static str,
    pub(crate) seed: u64,
    pub(crate) histories: u32,
    pub(crate) kills: u32,
    /// Milliseconds from a worker's death to its successor's lease.
    pub(crate) takeovers: Vec<i64>,
    pub(crate) wrong: Vec<String>,
}

pub(crate) struct Results {
    file: PathBuf,
    commit: String,
    lock: Mutex<()>,
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
        Self { file, commit: git(&["rev-parse", "--short=10", "HEAD"]) + changed, lock: Mutex::default() }
    }

    pub(crate) fn append(&self, database: Database, batch: &Batch) {
        let _held = self.lock.lock().expect("the lock");
        let line = json!({
            "row": batch.row, "database": database.name(), "seed": batch.seed, "commit": self.commit,
            "histories": batch.histories, "kills": batch.kills, "takeoverMs": batch.takeovers, "wrong": batch.wrong,
        });
        let mut file = std::fs::File::options().create(true).append(true).open(&self.file).expect("the results file");
        writeln!(file, "{line}").expect("written");
    }

    fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// How many batches there are of a row, so that the next one has another seed.
    pub(crate) fn batches(&self, row: &str, database: Database) -> u64 {
        let _held = self.lock.lock().expect("the lock");
        let of = |line: &&Value| line["row"] == row && line["database"] == database.name();
        self.lines().iter().filter(of).count() as u64
    }

    /// The table in Markdown, over all runs in the file.
    pub(crate) fn table(&self) -> String {
        #[derive(Default)]
        struct Sum {
            histories: u64,
            kills: u64,
            wrong: usize,
            takeovers: Vec<i64>,
        }
        let mut sums: BTreeMap<(String, String), Sum> = BTreeMap::new();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        for line in self.lines() {
            let sum = sums.entry((text(&line["row"]), text(&line["database"]))).or_default();
            sum.histories += line["histories"].as_u64().unwrap_or(0);
            sum.kills += line["kills"].as_u64().unwrap_or(0);
            sum.wrong += line["wrong"].as_array().map_or(0, Vec::len);
            sum.takeovers.extend(line["takeoverMs"].as_array().into_iter().flatten().filter_map(Value::as_i64));
        }
        let mut table = String::from(
            "| row | database | histories | kills | broken promises | takeover p99 |\n|---|---|---|---|---|---|\n",
        );
        for ((row, database), mut sum) in sums {
            sum.takeovers.sort_unstable();
            let p99 = sum.takeovers.get((sum.takeovers.len() * 99 / 100).min(sum.takeovers.len().saturating_sub(1)));
            let p99 = p99.map_or("–".to_owned(), |millis| format!("{millis} ms of {}", sum.takeovers.len()));
            let Sum { histories, kills, wrong, .. } = sum;
            table.push_str(&format!("| {row} | {database} | {histories} | {kills} | {wrong} | {p99} |\n"));
        }
        table
    }
}
