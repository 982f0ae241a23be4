//! One file per command; this one chooses. Called by `main_with`.

mod cluster;
mod files;
mod insight;
mod jobs;
mod run;
mod sql;
mod stay;
mod task_manager;

use std::time::Duration;

use clap::CommandFactory;
use telemetry::{LogFormat, LogOptions};

use crate::access;
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
    let role = match arguments.command {
        Command::Taskmanager(_) => "taskmanager",
        Command::Jobmanager(_) => "jobmanager",
        _ => "streamctl",
    };
    start_logging(&arguments, &settings, is_role, role)?;
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
            GetWhat::Slos(list) => insight::slos(list, &settings).await,
        },
        Command::Describe { command: DescribeCommand::Job(job) } => {
            jobs::describe(job, &settings).await
        }
        Command::Describe { command: DescribeCommand::Taskmanager(id) } => {
            task_manager::describe(id, &settings).await
        }
        Command::Cancel(job) => jobs::cancel(job, &settings).await,
        Command::Checkpoint { command: CheckpointCommand::Trigger(job) } => {
            jobs::trigger_checkpoint(job, &settings).await
        }
        Command::Checkpoint { command: CheckpointCommand::Verify { uri, output } } => {
            files::verify_checkpoint(&uri, output).await
        }
        Command::Exceptions(job) => jobs::exceptions(job, &settings).await,
        Command::Why(job) => insight::why(job, &settings).await,
        Command::Tap(tap) => insight::tap(tap, &settings).await,
        Command::Logs(logs) => insight::logs(logs, &settings).await,
        Command::Sql(arguments) => sql::sql(arguments, &settings).await,
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
fn start_logging(
    arguments: &Arguments,
    settings: &Settings,
    is_role: bool,
    name: &str,
) -> Result<(), Failure> {
    let default = if is_role { "info" } else { "error" };
    let filter = settings.text("log", arguments.log.as_deref());
    let filter = filter.unwrap_or_else(|| default.to_owned());
    let format = settings.text("log-format", arguments.log_format.as_deref());
    let format = match format.as_deref() {
        None | Some("text") => LogFormat::Text,
        Some("json") => LogFormat::Json,
        Some(other) => {
            let text = format!("--log-format `{other}` is not a format");
            return Err(Failure::new(Exit::Usage, text).help("write text or json"));
        }
    };
    let options = LogOptions { filter, format, name: name.to_owned() };
    telemetry::start_logging(&options).map(drop).map_err(|e| {
        Failure::new(Exit::Usage, format!("--log `{}` is not a filter: {e}", options.filter))
            .help("write a level (info) or target=level pairs (jobmanager=debug,info)")
    })
}

/// The job manager a command talks to.
pub(crate) fn client(
    arguments: &ServerArguments,
    settings: &Settings,
    wait: Duration,
) -> Result<Client, Failure> {
    let timeout = settings.duration("timeout", arguments.timeout.as_deref(), wait)?;
    let token = access::token("token-file", arguments.token_file.as_deref(), settings)?;
    Ok(Client::new(settings.server(arguments.server.as_deref()), timeout)?.with_token(token))
}

/// Until SIGINT or SIGTERM.
pub(crate) async fn interrupted() {
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
