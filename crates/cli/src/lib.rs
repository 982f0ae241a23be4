//! `streamctl`: every role and every command in one binary. The composition root: the
//! only place that names concrete connectors, state backends and the SQL library.
//! `main.rs` and the tests call [`main_with`].

// Printing is what a command line tool does; everything below it logs instead.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the user interface is the terminal")]

pub mod access;
pub mod arguments;
pub mod client;
pub mod commands;
pub mod composition;
pub mod exit;
pub mod local;
pub mod output;
pub mod settings;
mod sql_shell;

use clap::Parser;

use crate::arguments::Arguments;
use crate::exit::Exit;

/// Parses `args` (the first is the program's name), runs the command, and returns the
/// process's exit code.
pub fn main_with(args: impl IntoIterator<Item = std::ffi::OsString>) -> i32 {
    let arguments = match Arguments::try_parse_from(args) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are answers, not errors.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.code() } else { Exit::Ok.code() };
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // Control and I/O only: operators run on core threads of their own.
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return Exit::Failed.code();
        }
    };
    let code = match runtime.block_on(commands::run(arguments)) {
        Ok(exit) => exit.code(),
        Err(failure) => {
            failure.print();
            failure.exit.code()
        }
    };
    // Tasks of a failed command must not hold the exit up.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    code
}
