//! One file per command; this one chooses. Called by `main_with`.

mod cluster;
mod files;
mod jobs;
mod run;

use std::time::Duration;

use clap::CommandFactory;

use crate::arguments::{
    Arguments, CheckpointCommand, Command, DescribeCommand, GetWhat, LocalCommand, ServerArguments,
};
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::settings::Settings;

/// Runs one command to its end.
pub async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let settings = Settings::load(arguments.config.as_deref())?;
    let is_role = matches!(
        arguments.command,
        Command::Jobmanager(_) | Command::Taskmanager(_) | Command::Local { .. }
    );
    start_logging(settings.text("log", arguments.log.as_deref()), is_role)?;
    match arguments.command {
        Command::Run(arguments) => run::run(arguments, &settings).await,
        Command::Local { command: LocalCommand::Up(arguments) } => {
            cluster::local_up(arguments, &settings).await
        }
        Command::Jobmanager(arguments) => cluster::job_manager(arguments, &settings).await,
        Command::Taskmanager(arguments) => cluster::task_manager(arguments, &settings).await,
        Command::Submit(arguments) => jobs::submit(arguments, &settings).await,
        Command::Get(arguments) => match arguments.what {
            GetWhat::Jobs(list) => jobs::list(list, &settings).await,
            GetWhat::Taskmanagers(list) => jobs::task_managers(list, &settings).await,
            GetWhat::Checkpoints(job) => jobs::checkpoints(job, &settings).await,
        },
        Command::Describe { command: DescribeCommand::Job(job) } => {
            jobs::describe(job, &settings).await
        }
        Command::Cancel(job) => jobs::cancel(job, &settings).await,
        Command::Checkpoint { command: CheckpointCommand::Trigger(job) } => {
            jobs::trigger_checkpoint(job, &settings).await
        }
        Command::Checkpoint { command: CheckpointCommand::Verify { uri, output } } => {
            files::verify_checkpoint(&uri, output).await
        }
        Command::Exceptions(job) => jobs::exceptions(job, &settings).await,
        Command::Validate(file) => files::validate(&file),
        Command::Plan(plan) => files::plan(&plan),
        Command::Schema => files::schema(),
        Command::Completions { shell } => {
            let mut command = Arguments::command();
            clap_complete::generate(shell, &mut command, "streamctl", &mut std::io::stdout());
            Ok(Exit::Ok)
        }
    }
}

/// Logs go to stderr. Commands are quiet unless asked; roles log what operators need.
fn start_logging(filter: Option<String>, is_role: bool) -> Result<(), Failure> {
    let default = if is_role { "info" } else { "error" };
    let text = filter.unwrap_or_else(|| default.to_owned());
    let filter = tracing_subscriber::EnvFilter::try_new(&text).map_err(|e| {
        Failure::new(Exit::Usage, format!("--log `{text}` is not a filter: {e}"))
            .help("write a level (info) or target=level pairs (jobmanager=debug,info)")
    })?;
    // A second call in one process (tests) keeps the first subscriber.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .try_init();
    Ok(())
}

/// The job manager a command talks to.
fn client(
    arguments: &ServerArguments,
    settings: &Settings,
    wait: Duration,
) -> Result<Client, Failure> {
    let timeout = settings.timeout(arguments.timeout.as_deref(), wait)?;
    Client::new(settings.server(arguments.server.as_deref()), timeout)
}

/// Until SIGINT or SIGTERM.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! { biased;
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// How many slots a task manager offers when nobody says.
fn processors() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| n.get() as u32)
}
