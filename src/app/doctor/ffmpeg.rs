//! FFmpeg and the fonts, which `serve` needs to look at uploads and `work edit` to brand them.

use super::database::takes_files;
use super::report::Report;
use crate::config::Config;
use crate::ffmpeg::{Setup, Tools};

const PART: &str = "ffmpeg";

pub(super) async fn look(config: &Config, report: &mut Report) {
    let spool = config.data.join("spool");
    match Tools::find(Setup::new(&spool)).await {
        Ok(_) => report.well(PART, "found, with all that editing needs"),
        Err(missing) => report.ill(
            PART,
            format!("it can't be used here: {} missing", missing.what.join(", ")),
            "apt-get install ffmpeg fonts-dejavu-core (macOS: brew install ffmpeg-full, brew install --cask font-dejavu)",
        ),
    }
    if let Err(error) = takes_files(&spool) {
        report.ill(
            PART,
            format!("its working folder {} takes no files: {error}", spool.display()),
            "set SUBITEYA_DATA to a folder where this user may write, with room for two copies of an upload",
        );
    }
}
