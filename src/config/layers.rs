//! `streams.toml` as layers: the compiled-in file, and over it the operator's.
//!
//! The compiled-in file names every key there is, so it is the schema too: a key of the operator's that it hasn't got is
//! unknown. Values are taken by their path, and each knows its path for the message.

use std::path::Path;
use std::time::Duration;

use toml::{Table, Value};

use super::duration::Written;
use super::problem::Problem;
use super::rate::Rate;
use super::size;

/// The documented default configuration.
pub const DEFAULTS: &str = include_str!("../../streams.toml");

/// What the layers add up to.
#[derive(Debug)]
pub(super) struct Layers {
    table: Table,
    /// The file that messages name.
    source: String,
}

impl Layers {
    /// The defaults, with the operator's file over them where there is one.
    pub(super) fn load(file: Option<(&Path, &str)>, problems: &mut Vec<Problem>) -> Self {
        let mut layers = Self {
            table: DEFAULTS.parse().unwrap_or_default(),
            source: file.map_or("streams.toml".to_owned(), |(path, _)| path.display().to_string()),
        };
        let Some((_, text)) = file else { return layers };
        match text.parse::<Table>() {
            Ok(over) => lay_over(&mut layers.table, over, &[], &layers.source, problems),
            Err(error) => {
                // Not the error's own text: that quotes the line, which may hold anything.
                let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
                let what = error.message().lines().next().unwrap_or_default().to_owned();
                problems.push(Problem::new(&layers.source, format!("line {line} is not TOML ({what})")));
            }
        }
        layers
    }

    pub(super) fn section<'a>(&'a self, path: &[&str], problems: &'a mut Vec<Problem>) -> Section<'a> {
        let table = path.iter().try_fold(&self.table, |table, name| table.get(*name)?.as_table());
        Section { table, title: title(path), source: &self.source, problems }
    }
}

/// A section's path as TOML writes it: `[streams."video.uploaded"]`.
fn title(path: &[&str]) -> String {
    let quoted = path.iter().map(|part| if part.contains('.') { format!("\"{part}\"") } else { (*part).to_owned() });
    format!("[{}]", quoted.collect::<Vec<_>>().join("."))
}

fn lay_over(base: &mut Table, over: Table, path: &[&str], source: &str, problems: &mut Vec<Problem>) {
    let known = base.keys().cloned().collect::<Vec<_>>().join(", ");
    let here = if path.is_empty() { String::new() } else { format!(" in {}", title(path)) };
    let kind = match path {
        [] => "section",
        ["streams"] => "stream",
        _ => "key",
    };
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (None, _) => {
                let text = format!("unknown {kind} \"{}\"{here}; expected one of {known}", key.escape_default());
                problems.push(Problem::new(source, text));
            }
            (Some(Value::Table(inner)), Value::Table(over)) => {
                lay_over(inner, over, &[path, &[key.as_str()]].concat(), source, problems);
            }
            (Some(Value::Table(_)), _) => {
                let text = format!("expected {} to be a section", title(&[path, &[key.as_str()]].concat()));
                problems.push(Problem::new(source, text));
            }
            (Some(slot), value) => *slot = value,
        }
    }
}

/// One section, whose values are taken with their bounds. What is wrong is noted, and a stand-in given for it, so that
/// all problems come to light at once.
pub(super) struct Section<'a> {
    table: Option<&'a Table>,
    title: String,
    source: &'a str,
    problems: &'a mut Vec<Problem>,
}

impl Section<'_> {
    fn wrong(&mut self, key: &str, expected: &str) {
        let got = self.table.and_then(|table| table.get(key)).map_or("nothing".to_owned(), ToString::to_string);
        let got: String = got.chars().take(60).collect();
        self.problems.push(Problem::new(
            format!("{} in {} of {}", key, self.title, self.source),
            format!("expected {expected}, got {got}"),
        ));
    }

    fn value(&self, key: &str) -> Option<&Value> {
        self.table.and_then(|table| table.get(key))
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.value(key).and_then(Value::as_str)
    }

    pub(super) fn duration(&mut self, key: &str, least: Duration, most: Duration) -> Duration {
        let read = self.text(key).and_then(|text| text.parse::<Written>().ok()).map(|written| written.0);
        if let Some(duration) = read.filter(|duration| (least..=most).contains(duration)) {
            return duration;
        }
        let (least, most) = (Written(least), Written(most));
        self.wrong(key, &format!("a duration from \"{least}\" to \"{most}\", written like \"10s\" or \"5m\""));
        least.0
    }

    /// A lease is renewed every third of it, and a renewal a second is the most that is sane.
    pub(super) fn lease(&mut self, most: Duration) -> Duration {
        const LEAST: Duration = Duration::from_millis(if cfg!(feature = "torture") { 500 } else { 3_000 });
        let read = self.text("lease").and_then(|text| text.parse::<Written>().ok()).map(|written| written.0);
        if let Some(lease) = read.filter(|lease| (LEAST..=most).contains(lease)) {
            return lease;
        }
        let most = Written(most);
        self.wrong(
            "lease",
            &format!("a duration from \"3s\", three renewals of a second each, to \"{most}\", written like \"30s\""),
        );
        LEAST
    }

    pub(super) fn number(&mut self, key: &str, least: u32, most: u64) -> u64 {
        let read = self.value(key).and_then(Value::as_integer).and_then(|number| u64::try_from(number).ok());
        if let Some(number) = read.filter(|number| (u64::from(least)..=most).contains(number)) {
            return number;
        }
        self.wrong(key, &format!("a whole number from {least} to {most}"));
        u64::from(least)
    }

    pub(super) fn rate(&mut self, key: &str) -> Option<Rate> {
        match self.text(key) {
            Some("") => None,
            Some(text) => match text.parse() {
                Ok(rate) => Some(rate),
                Err(error) => {
                    self.wrong(key, &format!("\"\" for none, or a rate: {error}"));
                    None
                }
            },
            None => {
                self.wrong(key, "a rate written like \"3/1m\", or \"\" for none");
                None
            }
        }
    }

    pub(super) fn size(&mut self, key: &str, least: u64) -> u64 {
        if let Some(bytes) = self.text(key).and_then(size::parse).filter(|bytes| *bytes >= least) {
            return bytes;
        }
        self.wrong(key, &format!("a size of {least} bytes or more, written like \"4GB\" or \"512MiB\""));
        least
    }

    pub(super) fn fixed(&mut self, key: &str, only: &str) {
        if self.text(key) != Some(only) {
            self.wrong(key, &format!("\"{only}\", which is fixed"));
        }
    }

    pub(super) fn string(&mut self, key: &str) -> String {
        match self.text(key) {
            Some(text) => text.to_owned(),
            None => {
                self.wrong(key, "a text in quotes");
                String::new()
            }
        }
    }

    pub(super) fn strings(&mut self, key: &str) -> Vec<String> {
        let read = self.value(key).and_then(Value::as_array).and_then(|values| {
            values.iter().map(|value| value.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        });
        read.unwrap_or_else(|| {
            self.wrong(key, "a list of texts, such as [\"https://studio.example\"]");
            Vec::new()
        })
    }
}
