//! The commands that work on the stores, as the command line reads them. All others are clients of the HTTP API.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::config::Role;
use crate::event::Stage;
use crate::sandbox::Fault;

#[derive(Debug, Clone)]
pub enum ServerCommand {
    Up,
    Serve,
    Work(Workers),
    Migrate(Migrate),
    /// None: what the configuration looks like.
    Doctor(Option<Judged>),
    Sandbox(SandboxArgs),
    Keys(Keys),
    AccountsAdd(AccountAdd),
    /// JSON lines from stdin.
    AccountsImport,
}

impl ServerCommand {
    /// What its configuration has to hold.
    pub fn role(&self) -> Role {
        match self {
            Self::Up => Role::Up,
            Self::Serve => Role::Serve,
            Self::Work(_) => Role::Work,
            Self::Migrate(_) => Role::Migrate,
            Self::Doctor(_) => Role::Doctor,
            Self::Sandbox(_) => Role::Sandbox,
            Self::Keys(_) | Self::AccountsAdd(_) | Self::AccountsImport => Role::Stores,
        }
    }
}

#[derive(Debug, Clone, Args)]
pub struct SandboxArgs {
    /// Address and port to listen on
    #[arg(long, default_value = "127.0.0.1:3100")]
    pub listen: String,
    /// Break on request: `TARGET[@NTH]:ACTION[=VALUE][*COUNT]`, such as chunk@2:cut-after or init:error=500*2; may be
    /// given several times, and asked for while it runs, too (POST /sandbox/faults)
    #[arg(long, value_name = "FAULT")]
    pub fault: Vec<Fault>,
    /// A file of faults, one a line
    #[arg(long, value_name = "FILE")]
    pub faults: Option<PathBuf>,
    /// Answer as to an app that TikTok has audited: public posts, public accounts
    #[arg(long)]
    pub audited: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Workers {
    /// Brand videos with FFmpeg
    Edit,
    /// Hand videos to TikTok
    Publish,
    /// Both
    All,
}

impl Workers {
    /// The stages whose streams are read.
    pub fn stages(self) -> &'static [Stage] {
        match self {
            Self::Edit => &[Stage::Edit],
            Self::Publish => &[Stage::Publish],
            Self::All => &Stage::STREAMED,
        }
    }
}

/// What `doctor` judges for: what one may do without, the other needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Judged {
    /// Everything in one process, which brings along what is not given
    Up,
    /// serve, work edit and work publish
    Fleet,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Migrate {
    /// Apply what is missing
    Up,
    /// Take the last one back
    Down,
    /// Say which are applied
    Status,
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Keys {
    /// Make an API key and print it once
    Create {
        #[arg(long)]
        user: String,
        #[arg(long, value_enum, default_value = "operator")]
        role: RoleName,
    },
    /// List the keys; they themselves are not kept
    List,
    /// End keys
    Revoke {
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
    },
    /// Encrypt all tokens again under the newest encryption key
    Rewrap,
}

/// What an API key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleName {
    /// Own videos and accounts
    Creator,
    /// Everything
    Operator,
    /// Monitoring, read-only, without titles and bytes
    Viewer,
}

impl RoleName {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creator => "creator",
            Self::Operator => "operator",
            Self::Viewer => "viewer",
        }
    }
}

/// Its tokens come from stdin, as one JSON object.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct AccountAdd {
    /// The account's id with us, such as conn_1
    #[arg(long)]
    pub id: String,
    /// TikTok's id of the creator; it may begin with a hyphen
    #[arg(long, allow_hyphen_values = true)]
    pub open_id: String,
    #[arg(long)]
    pub display_name: String,
    /// Whose account it is; default: the only user there is
    #[arg(long)]
    pub user: Option<String>,
}

/// How a command is to behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manner {
    pub output: Output,
    /// Say what would be done, and change nothing.
    pub dry_run: bool,
    /// Don't ask.
    pub yes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Table,
    Json,
}
