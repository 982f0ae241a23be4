//! Failures of a job in the facade: the exception history, newest first.

use axum::Json;
use axum::extract::{Path, State};
use model::ErrorKind;
use serde_json::{Value, json};

use crate::execution_graph::ExceptionEntry;

use super::request::{self, Pairs, value};
use super::task_managers::Endpoints;
use super::{Answer, FlinkError, Shared};

/// Entries unless `maxExceptions` says otherwise, as Flink.
const DEFAULT_ENTRIES: usize = 20;

pub async fn history(State(facade): Shared, Path(job): Path<String>, pairs: Pairs) -> Answer {
    let job = request::job(&facade, &job).await?;
    let most = match value(&pairs, "maxExceptions") {
        None => DEFAULT_ENTRIES,
        Some(text) => match text.parse::<usize>() {
            Ok(most) if most > 0 => most,
            _ => return Err(FlinkError::bad_parameter("query", "maxExceptions", text)),
        },
    };
    let endpoints = Endpoints::of(&facade);
    let entries: Vec<Value> =
        job.exceptions.iter().rev().take(most).map(|e| entry(e, &endpoints)).collect();
    let truncated = job.exceptions.len() > most;
    Ok(Json(json!({ "exceptionHistory": { "entries": entries, "truncated": truncated } })))
}

fn entry(exception: &ExceptionEntry, endpoints: &Endpoints) -> Value {
    let class = class(exception.kind);
    let attempt = exception.attempt.0.saturating_sub(1);
    let task = exception.task.as_ref().map(|task| format!("{task} - execution #{attempt}"));
    let manager = exception.task_manager.as_ref();
    let mut entry = json!({
        "exceptionName": class,
        "stacktrace": format!("{class}: {}\n", exception.message),
        "timestamp": exception.timestamp_ms,
        "failureLabels": { "kind": kind(exception.kind) },
        "endpoint": endpoints.of_task_manager(manager),
        "taskManagerId": manager.map_or("(unassigned)", |id| id.0.as_str()),
        "concurrentExceptions": [],
    });
    // A failure of the job itself names no task.
    if let Some(task) = task {
        entry["taskName"] = task.into();
    }
    entry
}

/// What Flink has a Java class for.
fn class(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::User => "weir.UserException",
        ErrorKind::External => "weir.ExternalException",
        ErrorKind::Internal => "weir.InternalException",
        ErrorKind::Fenced => "weir.FencedException",
    }
}

fn kind(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::User => "USER",
        ErrorKind::External => "EXTERNAL",
        ErrorKind::Internal | ErrorKind::Fenced => "SYSTEM",
    }
}

/// A failure in the form in which asynchronous operations carry one.
pub(super) fn throwable(message: &str) -> Value {
    json!({
        "class": "weir.Exception",
        "stack-trace": format!("weir.Exception: {message}\n"),
        "serialized-throwable": "",
    })
}
