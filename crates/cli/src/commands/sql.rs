//! `streamctl sql`: hands over to the shell.

use crate::arguments::SqlArguments;
use crate::exit::{Exit, Failure};
use crate::settings::Settings;
use crate::sql_shell;

/// Runs every statement; exits with 0 when all went well, 78 when one is wrong, 1 when a job
/// failed, 130 when the user interrupted.
pub async fn sql(arguments: SqlArguments, settings: &Settings) -> Result<Exit, Failure> {
    sql_shell::run(arguments, settings).await
}
