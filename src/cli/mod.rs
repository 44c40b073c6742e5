//! The command line. Results go to stdout, talk to stderr; with `--output json` stdout holds the API's own answer.
//!
//! There are two kinds of commands: those of the server's side, which get a checked [`Config`] and go to [`app::run`],
//! and the rest, which are clients of the HTTP API (`client`) and work against any server.

mod accounts;
mod args;
mod client;
mod confirm;
mod connect;
mod dead;
mod download;
mod explain;
mod flags;
mod moment;
mod pause;
mod pending;
mod plan;
mod print;
mod redraw;
mod replay;
mod streams;
mod upload;
mod video;
mod videos;
mod watch;

use std::io;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use self::args::{Accounts, Cli, Command, Shell};
use self::client::Api;
use self::confirm::confirm;
use self::flags::ServerFlags;
use crate::app::{self, Failure, Keys, Manner, ServerCommand};
use crate::config::{Config, Environment, Role};

/// Reads the command line, runs it, and gives its exit code. Wrong usage ends the process with 2.
pub async fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            for line in failure.message.lines() {
                eprintln!("subiteya: {line}");
            }
            failure.exit.into()
        }
    }
}

async fn run(cli: Cli) -> Result<(), Failure> {
    let manner = Manner { output: cli.output, dry_run: cli.dry_run, yes: cli.yes };
    let env = Environment::of_process();
    let api = || Api::connect(&env, cli.url.as_deref());
    match cli.command {
        Command::Up { flags } => server(ServerCommand::Up, &flags, env, manner).await,
        Command::Serve { flags } => server(ServerCommand::Serve, &flags, env, manner).await,
        Command::Work { stages, flags } => server(ServerCommand::Work(stages), &flags, env, manner).await,
        Command::Migrate { step, flags } => server(ServerCommand::Migrate(step), &flags, env, manner).await,
        Command::Doctor { judged, flags } => server(ServerCommand::Doctor(judged), &flags, env, manner).await,
        Command::Sandbox { sandbox, flags } => server(ServerCommand::Sandbox(sandbox), &flags, env, manner).await,
        Command::Keys { command, flags } => {
            agree_to(&command, manner)?;
            server(ServerCommand::Keys(command), &flags, env, manner).await
        }
        Command::Accounts { command } => match command.unwrap_or(Accounts::List) {
            Accounts::Add { account, flags } => server(ServerCommand::AccountsAdd(account), &flags, env, manner).await,
            Accounts::Import { flags } => server(ServerCommand::AccountsImport, &flags, env, manner).await,
            Accounts::Connect { account, port, no_browser } => {
                connect::run(&api()?, account.as_deref(), port, no_browser, manner).await
            }
            Accounts::List => accounts::list(&api()?, manner).await,
            Accounts::Open { ids, app } => accounts::open(&api()?, &ids, app, manner).await,
            Accounts::Remove { ids } => accounts::remove(&api()?, &ids, manner).await,
        },
        Command::Upload(upload) => upload::run(&api()?, upload, manner).await,
        Command::Videos { command } => videos::run(&api()?, command.unwrap_or_default(), manner).await,
        Command::Streams { watch } => streams::run(&api()?, watch, manner).await,
        Command::Pending { stream, min_idle, watch } => pending::list(&api()?, stream, min_idle, watch, manner).await,
        Command::Claim { stream, min_idle, ids } => pending::claim(&api()?, stream, min_idle, ids, manner).await,
        Command::Pause(what) => pause::pause(&api()?, what, manner).await,
        Command::Resume { what } => pause::resume(&api()?, &what, manner).await,
        Command::Dead { command } => dead::run(&api()?, command.unwrap_or_default(), manner).await,
        Command::Replay(wanted) => replay::run(&api()?, wanted, manner).await,
        Command::Explain { video } => explain::run(&api()?, &video, manner).await,
        Command::Completions { shell } => completions(shell),
    }
}

/// A key that was revoked doesn't come back.
fn agree_to(command: &Keys, manner: Manner) -> Result<(), Failure> {
    match command {
        Keys::Revoke { ids } if !manner.dry_run => {
            confirm(&format!("This ends {}, and whoever uses it stands outside.", ids.join(", ")), "revoke", manner)
        }
        Keys::Create { .. } | Keys::List | Keys::Revoke { .. } | Keys::Rewrap => Ok(()),
    }
}

async fn server(
    command: ServerCommand,
    flags: &ServerFlags,
    mut env: Environment,
    manner: Manner,
) -> Result<(), Failure> {
    flags.lay_over(&mut env);
    let config = Config::load(command.role(), &env).map_err(|problems| Failure::configuration(&problems))?;
    app::log_to_stderr(&config.log);
    if config.role == Role::Work && !config.redis.enabled {
        eprintln!("subiteya: Redis is disabled (ENABLE_REDIS=false), so no worker starts; uploads wait in the ledger");
        return Ok(());
    }
    Box::pin(app::run(command, config, manner)).await
}

fn completions(shell: Shell) -> Result<(), Failure> {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "subiteya", &mut script);
    print::bytes(&script, &mut io::stdout())
}
