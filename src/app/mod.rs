//! Building everything from a [`Config`]: roles, and the parts that `up` starts itself.

mod command;
pub mod embedded;
mod failure;
mod logging;

pub use self::command::{AccountAdd, Keys, Manner, Migrate, Output, RoleName, ServerCommand, Workers};
pub use self::failure::{Exit, Failure};
pub use self::logging::log_to_stderr;
use crate::config::Config;

/// Runs one command of the server's side to its end. `config` was loaded for [`ServerCommand::role`].
pub async fn run(command: ServerCommand, _config: Config, _manner: Manner) -> Result<(), Failure> {
    Err(Failure::failed(format!("{command:?} is not built yet")))
}
