//! Logs and threads in the facade: of the job manager directly, of task managers over RPC.
//! Logs are asked for by the name that the list of logs gives them, and looked up in that
//! list: never by path.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use model::inspection::{LogInfo, ProcessDump, TaskDump, ThreadDump};
use serde_json::{Value, json};

use crate::gateway::GatewayError;

use super::task_managers::find;
use super::{Answer, Facade, FlinkError, Shared};

/// All that a process keeps of a log.
const WHOLE: u64 = 4 << 20;

type Text = Result<Response, FlinkError>;

/// The task manager may have gone, or have other things to do.
fn refused(error: GatewayError) -> FlinkError {
    error.into_error().into()
}

fn plain(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

fn no_log(role: &str) -> FlinkError {
    FlinkError::not_found(format!("This file does not exist in {role} log dir."))
}

/// What is printed besides the log is the addresses that the process bound, once.
fn no_stdout(role: &str) -> FlinkError {
    FlinkError::not_found(format!(
        "The {role} keeps no standard output: everything it has to say is in its log."
    ))
}

fn listed(logs: &[LogInfo]) -> Json<Value> {
    let logs: Vec<Value> = logs
        .iter()
        .map(|log| json!({ "name": log.name, "size": log.bytes, "mtime": log.modified_at_ms }))
        .collect();
    Json(json!({ "logs": logs }))
}

pub async fn job_manager_logs() -> Json<Value> {
    listed(&telemetry::log_ring().list())
}

fn own_log(chosen: impl Fn(&LogInfo) -> bool) -> Text {
    let ring = telemetry::log_ring();
    let text = ring.list().iter().find(|l| chosen(l)).and_then(|l| ring.tail(&l.id, WHOLE));
    text.map(plain).ok_or_else(|| no_log("JobManager"))
}

pub async fn job_manager_log(Path(name): Path<String>) -> Text {
    own_log(|log| log.name == name)
}

pub async fn job_manager_main_log() -> Text {
    own_log(|_| true)
}

pub async fn job_manager_stdout() -> FlinkError {
    no_stdout("job manager")
}

/// One entry per thread of this process: its name and what it does.
pub async fn job_manager_threads() -> Answer {
    let threads = tokio::task::spawn_blocking(telemetry::threads).await;
    let threads = threads
        .map_err(|e| model::Error::internal("listing the threads broke off").caused_by(e))?;
    Ok(infos(&ProcessDump { threads, tasks: Vec::new() }))
}

pub async fn task_manager_logs(State(facade): Shared, Path(id): Path<String>) -> Answer {
    let addr = find(&facade, &id)?.info.rpc_addr;
    let logs = facade.dispatcher.context().gateway.logs(&addr).await.map_err(refused)?;
    Ok(listed(&logs))
}

async fn log_of(facade: &Facade, id: &str, chosen: impl Fn(&LogInfo) -> bool) -> Text {
    let addr = find(facade, id)?.info.rpc_addr;
    let gateway = &facade.dispatcher.context().gateway;
    let logs = gateway.logs(&addr).await.map_err(refused)?;
    let log = logs.iter().find(|l| chosen(l)).ok_or_else(|| no_log("TaskManager"))?;
    let text = gateway.log_text(&addr, &log.id, WHOLE).await.map_err(refused)?;
    text.map(plain).ok_or_else(|| no_log("TaskManager"))
}

pub async fn task_manager_log(
    State(facade): Shared,
    Path((id, name)): Path<(String, String)>,
) -> Text {
    log_of(&facade, &id, |log| log.name == name).await
}

pub async fn task_manager_main_log(State(facade): Shared, Path(id): Path<String>) -> Text {
    log_of(&facade, &id, |_| true).await
}

pub async fn task_manager_stdout(
    State(facade): Shared,
    Path(id): Path<String>,
) -> Result<(), FlinkError> {
    find(&facade, &id)?;
    Err(no_stdout("task manager"))
}

/// One entry per thread, then one per task: tasks, not threads, are what a task manager runs.
pub async fn task_manager_threads(State(facade): Shared, Path(id): Path<String>) -> Answer {
    let addr = find(&facade, &id)?.info.rpc_addr;
    let dump = facade.dispatcher.context().gateway.dump(&addr).await.map_err(refused)?;
    Ok(infos(&dump))
}

fn infos(dump: &ProcessDump) -> Json<Value> {
    let threads = dump.threads.iter().map(|t| (t.name.clone(), of_thread(t)));
    let tasks = dump.tasks.iter().map(|t| (task_name(t), of_task(t)));
    let infos: Vec<Value> = threads
        .chain(tasks)
        .enumerate()
        .map(|(index, (name, (state, lines)))| {
            let id = index + 1;
            let stack: String = lines.iter().map(|line| format!("\tat {line}\n")).collect();
            let text = format!("\"{name}\" Id={id} {state}\n{stack}\n");
            json!({ "threadName": name, "stringifiedThreadInfo": text })
        })
        .collect();
    Json(json!({ "threadInfos": infos }))
}

/// As Flink calls the thread of a task; attempts count from 0 there.
fn task_name(task: &TaskDump) -> String {
    format!("{} ({})#{}", task.name, task.subtask.0 + 1, task.attempt.0.saturating_sub(1))
}

/// In Java's words.
fn of_thread(thread: &ThreadDump) -> (&'static str, Vec<String>) {
    let state = match thread.state.as_str() {
        "running" => "RUNNABLE",
        "ended" => "TERMINATED",
        _ => "WAITING",
    };
    (state, thread.stack.clone())
}

fn of_task(task: &TaskDump) -> (&'static str, Vec<String>) {
    let state = if task.doing.starts_with("waiting") { "WAITING" } else { "RUNNABLE" };
    (state, vec![task.doing.clone(), format!("job {}, {:?}", task.job, task.state)])
}
