//! The wall clock of a process, shifted by libfaketime; all other clocks stay.

use std::path::Path;

type Variables = Vec<(&'static str, String)>;

/// For a process whose wall clock is off by so much from its start on.
pub(crate) fn shifted(by: &str) -> Variables {
    [base(), vec![("FAKETIME", by.to_owned())]].concat()
}

/// For a process whose wall clock follows what [`jump`] writes.
pub(crate) fn jumping(file: &Path) -> Variables {
    jump(file, "+0");
    let file = file.display().to_string();
    [base(), vec![("FAKETIME_TIMESTAMP_FILE", file), ("FAKETIME_NO_CACHE", "1".to_owned())]].concat()
}

pub(crate) fn jump(file: &Path, by: &str) {
    std::fs::write(file, format!("{by}\n")).expect("written");
}

fn base() -> Variables {
    let folders = std::fs::read_dir("/usr/lib").expect("a folder").flatten();
    let library = folders.map(|folder| folder.path().join("faketime/libfaketime.so.1")).find(|file| file.is_file());
    let library = library.expect("libfaketime is missing: run `make test-servers`");
    vec![("LD_PRELOAD", library.display().to_string()), ("DONT_FAKE_MONOTONIC", "1".to_owned())]
}
