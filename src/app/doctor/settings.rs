//! What can be said of the configuration by itself. What is wrong in it has ended the command already, with 78.

use super::report::Report;
use crate::config::Config;

const PART: &str = "settings";

pub(super) fn look(config: &Config, report: &mut Report) {
    for doubt in &config.doubts {
        report.doubt(PART, doubt.to_string(), "correct the variable, or unset it");
    }
    for (stage, limit, what) in
        [("video.uploaded", config.stages.edit.limit, "edits"), ("video.edited", config.stages.publish.limit, "posts")]
    {
        if limit.is_none() {
            let text = format!("{what} have no limit (limit is empty under [streams.\"{stage}\"])");
            report.doubt(PART, text, "set it in streams.toml, like limit = \"3/1m\"");
        }
    }
    if config.stages.publish.limit_per_account.is_none() {
        report.doubt(
            PART,
            "an account's posts have no limit: TikTok refuses what comes too fast",
            "set it under [streams.\"video.edited\"] in streams.toml, like limit_per_account = \"1/5m\"",
        );
    }
    if report.is_well(PART) {
        report.well(PART, "read, and sound");
    }
}
