//! The commands and their flags.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::flags::ServerFlags;
use super::moment::Moment;
use super::replay::Past;
use crate::app::{AccountAdd, Judged, Keys, Migrate, Output, SandboxArgs, Workers};
use crate::config::Written;

/// As `event::Stage::stream` names them.
const STREAMS: [&str; 2] = ["video.uploaded", "video.edited"];

/// From a creator's upload, through branding with FFmpeg, to a TikTok post.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage, 3 nothing matched, 69 service unavailable, 78 configuration. Every
/// variable of the environment can be read from a file instead: NAME_FILE. Secrets, REDIS_URL and DATABASE_URL come
/// from there only.
#[derive(Debug, Parser)]
#[command(name = "subiteya", version, max_term_width = 100)]
pub(super) struct Cli {
    /// How results are printed; json is the API's own answer
    #[arg(long, global = true, help_heading = "Everywhere", value_enum, default_value = "table")]
    pub(super) output: Output,
    /// Say what would be done, and change nothing
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub(super) dry_run: bool,
    /// Don't ask
    #[arg(long, short, global = true, help_heading = "Everywhere")]
    pub(super) yes: bool,
    /// The server that client commands talk to (SUBITEYA_URL) [default: http://127.0.0.1:3000]
    #[arg(long, global = true, help_heading = "Everywhere", alias = "subiteya-url")]
    pub(super) url: Option<String>,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run everything in one process, with embedded parts for what is not given
    Up {
        #[command(flatten)]
        flags: ServerFlags,
    },
    /// Run the HTTP API, the pages and the relay
    Serve {
        #[command(flatten)]
        flags: ServerFlags,
    },
    /// Run workers
    Work {
        #[arg(value_enum)]
        stages: Workers,
        #[command(flatten)]
        flags: ServerFlags,
    },
    /// Bring the database's tables up to date
    Migrate {
        #[arg(value_enum, default_value = "up")]
        step: Migrate,
        #[command(flatten)]
        flags: ServerFlags,
    },
    /// Check the configuration, the services and FFmpeg; changes nothing
    Doctor {
        /// What to judge for [default: fleet where REDIS_URL and ENCRYPTION_KEY are set, else up]
        #[arg(long = "for", value_enum, value_name = "WHAT")]
        judged: Option<Judged>,
        #[command(flatten)]
        flags: ServerFlags,
    },
    /// Run the TikTok sandbox on its own
    Sandbox {
        #[command(flatten)]
        sandbox: SandboxArgs,
        #[command(flatten)]
        flags: ServerFlags,
    },
    /// API keys, and the encryption of tokens
    Keys {
        #[command(subcommand)]
        command: Keys,
        #[command(flatten)]
        flags: ServerFlags,
    },
    /// TikTok accounts [default: list]
    Accounts {
        #[command(subcommand)]
        command: Option<Accounts>,
    },
    /// Upload a video
    Upload(Upload),
    /// Videos [default: list]
    Videos {
        #[command(subcommand)]
        command: Option<Videos>,
    },
    /// Streams, groups, lag, pending, parked, dead
    Streams {
        /// Show it again every two seconds
        #[arg(long)]
        watch: bool,
    },
    /// What is being worked on, by whom and for how long
    Pending {
        #[arg(long, value_parser = STREAMS)]
        stream: Option<String>,
        /// Only what has been idle for so long
        #[arg(long, value_name = "DURATION")]
        min_idle: Option<Written>,
        /// Show it again every two seconds
        #[arg(long)]
        watch: bool,
    },
    /// Take stalled entries from their dead owner
    Claim {
        #[arg(long, value_parser = STREAMS)]
        stream: Option<String>,
        /// Only what has been idle for so long
        #[arg(long, value_name = "DURATION", default_value = "5m")]
        min_idle: Written,
        /// Only these
        #[arg(value_name = "ID")]
        ids: Vec<String>,
    },
    /// Begin nothing new in a stage (edit, publish) or for an account; what is under way finishes
    Pause(Pause),
    /// Let a paused stage or account go on
    Resume {
        #[arg(value_name = "STAGE|ACCOUNT")]
        what: String,
    },
    /// What failed for good: why, try it again, drop it [default: list]
    Dead {
        #[command(subcommand)]
        command: Option<Dead>,
    },
    /// Give ended work of a stream another turn; what may have been posted is refused
    Replay(Replay),
    /// The one thing that a video waits for, and until when
    Explain { video: String },
    /// Print a completion script
    Completions {
        #[arg(value_enum)]
        shell: Shell,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Accounts {
    /// Add an account whose tokens come from stdin as JSON; needs no running server
    Add {
        #[command(flatten)]
        account: AccountAdd,
        #[command(flatten)]
        flags: ServerFlags,
    },
    /// Add accounts from JSON lines on stdin; needs no running server
    Import {
        #[command(flatten)]
        flags: ServerFlags,
    },
    /// Connect an account: opens TikTok's page in a browser, or prints its address
    Connect {
        /// Connect this account again, and no other
        #[arg(long, value_name = "ID")]
        account: Option<String>,
        /// The port on this machine that TikTok sends the browser back to [default: a free one]
        #[arg(long, default_value_t = 0, hide_default_value = true)]
        port: u16,
        /// Only print the address
        #[arg(long)]
        no_browser: bool,
    },
    List,
    /// Open early what TikTok has closed: accounts, or the whole app; limits of our own hold
    Open {
        #[arg(value_name = "ID", required_unless_present = "app")]
        ids: Vec<String>,
        /// What is closed for all accounts, or for all that have not posted within the day
        #[arg(long)]
        app: bool,
    },
    Remove {
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub(super) struct Upload {
    pub(super) file: PathBuf,
    /// The account's id
    #[arg(long)]
    pub(super) account: String,
    #[arg(long, allow_hyphen_values = true)]
    pub(super) title: String,
    /// An SRT or VTT file to burn in
    #[arg(long, value_name = "FILE")]
    pub(super) captions: Option<PathBuf>,
    /// When to post: RFC 3339, or from now on, such as +2h
    #[arg(long, value_name = "TIME")]
    pub(super) at: Option<Moment>,
    /// TikTok's privacy level [default: SELF_ONLY]
    #[arg(long, value_name = "LEVEL")]
    pub(super) privacy: Option<String>,
    #[arg(long)]
    pub(super) allow_comment: bool,
    #[arg(long)]
    pub(super) allow_duet: bool,
    #[arg(long)]
    pub(super) allow_stitch: bool,
    #[arg(long)]
    pub(super) branded_content: bool,
    #[arg(long)]
    pub(super) your_brand: bool,
    #[arg(long)]
    pub(super) ai_generated: bool,
    #[arg(long, value_enum)]
    pub(super) priority: Option<Priority>,
    /// The brand of this video alone, as the API takes it
    #[arg(long, value_name = "JSON")]
    pub(super) brand: Option<String>,
    /// Sent again with the same key, it is not uploaded twice
    #[arg(long, value_name = "KEY")]
    pub(super) idempotency_key: Option<String>,
    /// Follow it until it is posted; exit code 0 only then
    #[arg(long)]
    pub(super) watch: bool,
}

#[derive(Debug, Args)]
pub(super) struct Pause {
    #[arg(value_name = "STAGE|ACCOUNT")]
    pub(super) what: String,
    /// RFC 3339, or from now on, such as +2h [default: until it is resumed]
    #[arg(long, value_name = "TIME")]
    pub(super) until: Option<Moment>,
    /// Shown wherever somebody asks why nothing moves
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Priority {
    High,
    Normal,
    Low,
}

#[derive(Debug, Subcommand)]
pub(super) enum Videos {
    /// Own videos, newest first
    List {
        #[arg(long)]
        status: Option<String>,
        #[arg(long)]
        account: Option<String>,
        /// Part of a title
        #[arg(long, short)]
        query: Option<String>,
        #[arg(long)]
        limit: Option<u32>,
        /// Where the last list ended
        #[arg(long)]
        cursor: Option<String>,
        /// Show it again every two seconds
        #[arg(long)]
        watch: bool,
    },
    /// One video, its attempts and its history
    Show { id: String },
    /// Fetch the branded video, or its source
    Download {
        id: String,
        /// The file to write [default: the video's id, as .mp4]
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
        #[arg(long)]
        source: bool,
    },
    Cancel {
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
    },
    Retry {
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
    },
    /// Change how a video is to be posted; a held one looks again at once
    Options {
        id: String,
        #[command(flatten)]
        change: OptionsChange,
    },
    /// Post a video at another time, as long as publishing has not begun
    Schedule {
        id: String,
        #[command(flatten)]
        when: When,
    },
    /// End a video that needs review
    Resolve {
        id: String,
        #[command(flatten)]
        answer: Answer,
    },
}

impl Default for Videos {
    fn default() -> Self {
        Self::List { status: None, account: None, query: None, limit: None, cursor: None, watch: false }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Dead {
    /// Newest upload first
    List {
        #[arg(long, value_parser = STREAMS)]
        stream: Option<String>,
        /// Part of a title, a reason or an account
        #[arg(long, short)]
        query: Option<String>,
        #[arg(long)]
        limit: Option<u32>,
        /// Where the last list ended
        #[arg(long)]
        cursor: Option<String>,
        /// Show it again every two seconds
        #[arg(long)]
        watch: bool,
    },
    /// One of them: why, its history, and whether it can be tried again
    Show { id: String },
    /// Try them again where they ended
    Retry(DeadOnes),
    /// Leave them at that: the videos stay failed, with their reasons and history
    Drop(DeadOnes),
}

impl Default for Dead {
    fn default() -> Self {
        Self::List { stream: None, query: None, limit: None, cursor: None, watch: false }
    }
}

#[derive(Debug, Args)]
pub(super) struct DeadOnes {
    /// Videos, tasks or entries
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    pub(super) ids: Vec<String>,
    /// All that --stream and --query leave
    #[arg(long)]
    pub(super) all: bool,
    #[arg(long, requires = "all", value_parser = STREAMS)]
    pub(super) stream: Option<String>,
    /// Part of a title, a reason or an account
    #[arg(long, short, requires = "all")]
    pub(super) query: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Replay {
    /// video.uploaded edits again, video.edited publishes again
    #[arg(long, value_parser = STREAMS)]
    pub(super) stream: String,
    /// Put on the stream then or later: RFC 3339, or so long ago, such as 2h
    #[arg(long, value_name = "TIME", conflicts_with = "ids")]
    pub(super) from: Option<Past>,
    /// Put on the stream before: RFC 3339, or so long ago, such as 2h
    #[arg(long, value_name = "TIME", conflicts_with = "ids")]
    pub(super) to: Option<Past>,
    /// What became of the videos; several with commas [default: FAILED]
    #[arg(long, value_delimiter = ',', conflicts_with = "ids")]
    pub(super) status: Vec<String>,
    /// These videos, tasks or entries, whatever became of them
    #[arg(value_name = "ID")]
    pub(super) ids: Vec<String>,
}

/// What is not named stays.
#[derive(Debug, Args)]
pub(super) struct OptionsChange {
    /// TikTok's privacy level
    #[arg(long, value_name = "LEVEL")]
    pub(super) privacy: Option<String>,
    #[arg(long, value_name = "true|false")]
    pub(super) allow_comment: Option<bool>,
    #[arg(long, value_name = "true|false")]
    pub(super) allow_duet: Option<bool>,
    #[arg(long, value_name = "true|false")]
    pub(super) allow_stitch: Option<bool>,
    #[arg(long, value_name = "true|false")]
    pub(super) branded_content: Option<bool>,
    #[arg(long, value_name = "true|false")]
    pub(super) your_brand: Option<bool>,
    #[arg(long, value_name = "true|false")]
    pub(super) ai_generated: Option<bool>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct When {
    /// RFC 3339, or from now on, such as +2h; at most 36,500 days ahead
    #[arg(long, value_name = "TIME")]
    pub(super) at: Option<Moment>,
    /// As soon as the limits allow it
    #[arg(long)]
    pub(super) now: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Answer {
    /// It is there, as this post
    #[arg(long, value_name = "POST_ID")]
    pub(super) posted: Option<String>,
    /// It is not there: post it again
    #[arg(long)]
    pub(super) again: bool,
    /// It shall fail
    #[arg(long)]
    pub(super) give_up: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Shell {
    Bash,
    Zsh,
    Fish,
}
