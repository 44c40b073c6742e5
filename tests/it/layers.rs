//! Imports point one way: the layers of ARCHITECTURE.md, held against the source.

use std::fs;
use std::path::Path;

/// Each module, and which others of ours it may name.
const MAY_NAME: [(&str, &[&str]); 16] = [
    ("budget", &[]),
    ("event", &[]),
    ("metrics", &["event", "outcome"]),
    ("outage", &[]),
    ("outcome", &[]),
    ("task", &["event", "outcome"]),
    ("torture", &[]),
    ("child", &[]),
    ("health", &[]),
    ("config", &["event"]),
    ("ledger", &["event", "metrics", "outage", "outcome", "task", "migrations"]),
    ("stream", &["event", "outage", "outcome"]),
    ("media", &["event"]),
    ("ffmpeg", &["child", "outcome", "torture"]),
    ("seal", &["config"]),
    ("tiktok", &["outcome"]),
];

#[test]
fn the_lower_modules_name_only_those_below_them() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for (module, may_name) in MAY_NAME {
        for (file, text) in files(&source, module) {
            for named in named_modules(&text) {
                if named != module && !may_name.contains(&named.as_str()) {
                    wrong.push(format!("{file} names crate::{named}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What each given crate is the business of one module alone.
#[test]
fn each_store_and_service_has_one_module_that_speaks_to_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let owners = [
        ("sea_orm", "ledger"),
        ("fred", "stream"),
        ("object_store", "media"),
        ("governor", "limit"),
        ("chacha20poly1305", "seal"),
    ];
    let mut wrong = Vec::new();
    for module in modules(&source) {
        for (file, text) in files(&source, &module) {
            for (library, owner) in owners {
                let uses = text.lines().any(|line| {
                    line.trim_start().starts_with(&format!("use {library}::"))
                        || line.contains(&format!(" {library}::"))
                });
                if uses && module != owner {
                    wrong.push(format!("{file} uses {library}, which is {owner}'s"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn modules(source: &Path) -> Vec<String> {
    let entries = fs::read_dir(source).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    entries.map(|name| name.trim_end_matches(".rs").to_owned()).filter(|name| name != "lib" && name != "main").collect()
}

/// The files of a module, without their tests.
fn files(source: &Path, module: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![source.join(module)];
    let single = source.join(format!("{module}.rs"));
    if single.is_file() {
        found.push(single);
    }
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "there is no module {module}");
    let read = |path: std::path::PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned();
        (path.strip_prefix(source).unwrap().display().to_string(), code)
    };
    found.into_iter().map(read).collect()
}

fn named_modules(code: &str) -> Vec<String> {
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines
        .flat_map(|line| {
            line.match_indices("crate::").map(|(at, found)| line[at + found.len()..].to_owned()).collect::<Vec<_>>()
        })
        .map(|rest| rest.chars().take_while(|&letter| letter.is_ascii_lowercase() || letter == '_').collect::<String>())
        .filter(|name| !name.is_empty())
        .collect()
}
