//! Building everything from a [`Config`]: roles, and the parts that `up` starts itself.

mod accounts;
mod command;
mod doctor;
pub mod embedded;
mod failure;
mod files;
mod logging;
mod metering;
mod parts;
mod patience;
mod process;
mod roles;
mod sandbox;
mod signals;
mod stores;
mod surroundings;
mod table;
mod up;

pub use self::command::{
    AccountAdd, Judged, Keys, Manner, Migrate, Output, RoleName, SandboxArgs, ServerCommand, Workers,
};
pub use self::failure::{Exit, Failure};
pub use self::logging::log_to_stderr;
pub(crate) use self::table::{drawn, printable};
use crate::config::Config;

/// Runs one command of the server's side to its end. `config` was loaded for [`ServerCommand::role`].
pub async fn run(command: ServerCommand, config: Config, manner: Manner) -> Result<(), Failure> {
    // `doctor` has them among its findings.
    if !matches!(command, ServerCommand::Doctor(_)) {
        for doubt in &config.doubts {
            tracing::warn!("{doubt}");
        }
    }
    match command {
        ServerCommand::Up => Box::pin(up::up(config)).await,
        ServerCommand::Serve => Box::pin(roles::serve(config)).await,
        ServerCommand::Work(workers) => Box::pin(roles::work(config, workers)).await,
        ServerCommand::Migrate(step) => stores::migrate(&config, step, manner).await,
        ServerCommand::Doctor(judged) => doctor::doctor(config, judged, manner).await,
        ServerCommand::Sandbox(args) => sandbox::run(&config, args).await,
        ServerCommand::Keys(command) => stores::keys(&config, command, manner).await,
        ServerCommand::AccountsAdd(add) => accounts::add(&config, add, manner).await,
        ServerCommand::AccountsImport => accounts::import(&config, manner).await,
    }
}
