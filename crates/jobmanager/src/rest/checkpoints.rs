//! `/api/v1/jobs/{job}/checkpoints`: the history, one checkpoint with its subtasks, the
//! spread over the last ones, and taking one now.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use model::job_graph::JobGraph;
use model::{CheckpointId, Error};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::checkpoint::history::{CheckpointRecord, CheckpointStatus};
use crate::checkpoint::straggler::{self, Spread};
use crate::details::{JobSnapshot, status_name};
use crate::dispatcher::Found;
use crate::job_master::JobMessage;
use crate::rest::jobs::{Answer, Jobs, encoded, snapshot};
use crate::rest::{ApiError, bounds};

/// How long a triggered checkpoint is waited for unless `timeoutMs` says otherwise.
const TRIGGER_TIMEOUT_MS: u64 = 60_000;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TriggerQuery {
    timeout_ms: Option<u64>,
}

/// One checkpoint without its subtasks.
pub fn entry(record: &CheckpointRecord) -> Result<Value, ApiError> {
    let Json(mut value) = encoded(record)?;
    if let Some(fields) = value.as_object_mut() {
        fields.remove("subtasks");
    }
    value["straggler"] = json!(straggler::of(record));
    Ok(value)
}

pub async fn list(State(jobs): Jobs, Path(job): Path<String>) -> Answer {
    let snapshot = snapshot(&jobs, &job).await?;
    let newest_first: Result<Vec<Value>, ApiError> =
        snapshot.checkpoints.iter().rev().map(entry).collect();
    let newest_first = newest_first?;
    Ok(Json(json!({ "summary": snapshot.details.checkpoints, "checkpoints": newest_first })))
}

/// `spec.checkpoint` as the API shows it.
pub fn config(graph: &JobGraph) -> Value {
    let config = &graph.checkpoint;
    json!({
        "mode": "exactly-once",
        "intervalMs": config.interval_ms,
        "timeoutMs": config.timeout_ms,
        "minPauseMs": config.min_pause_ms,
        "tolerableFailures": config.tolerable_failures,
        "retain": config.retain,
        "retainOnCancellation": config.retain_on_cancellation,
        "retainOnFinish": config.retain_on_finish,
        "maxConcurrent": 1,
    })
}

pub async fn summary(State(jobs): Jobs, Path(job): Path<String>) -> Answer {
    let snapshot = snapshot(&jobs, &job).await?;
    let newest = |status| {
        let mut records = snapshot.checkpoints.iter().rev();
        records.find(|r| r.status == status).map(entry).transpose()
    };
    let summary = &snapshot.details.checkpoints;
    Ok(Json(json!({
        "config": config(&snapshot.graph),
        "counts": {
            "triggered": summary.triggered,
            "completed": summary.completed,
            "failed": summary.failed,
            "inProgress": u32::from(summary.in_progress.is_some()),
        },
        "percentiles": Spread::of(&snapshot.checkpoints),
        "latest": {
            "completed": newest(CheckpointStatus::Completed)?,
            "failed": newest(CheckpointStatus::Failed)?,
            "savepoint": Value::Null,
            "restored": snapshot.restored,
        },
    })))
}

fn with_subtasks(record: &CheckpointRecord) -> Answer {
    let mut value = entry(record)?;
    let mut subtasks = Vec::with_capacity(record.subtasks.len());
    for subtask in &record.subtasks {
        let Json(mut shown) = encoded(subtask)?;
        let Json(times) = encoded(&straggler::times(record, subtask))?;
        if let (Some(shown), Value::Object(times)) = (shown.as_object_mut(), times) {
            shown.extend(times);
        }
        subtasks.push(shown);
    }
    value["subtasks"] = subtasks.into();
    Ok(Json(value))
}

fn of(snapshot: &JobSnapshot, id: CheckpointId) -> Answer {
    match snapshot.checkpoints.iter().find(|r| r.id == id) {
        Some(record) => with_subtasks(record),
        None => {
            let text = format!("checkpoint {id} of job {} is not known", snapshot.details.id);
            let help = "the last 50 checkpoints are remembered";
            Err(ApiError::new(StatusCode::NOT_FOUND, "NOT_FOUND", text).help(help))
        }
    }
}

pub async fn get(State(jobs): Jobs, Path((job, checkpoint)): Path<(String, String)>) -> Answer {
    let id = checkpoint.trim_start_matches("chk-").parse().map_err(|_| {
        Error::user(format!("`{checkpoint}` is not a checkpoint's number, such as 7 or chk-7"))
    })?;
    of(snapshot(&jobs, &job).await?.as_ref(), CheckpointId(id))
}

pub async fn trigger(
    State(jobs): Jobs,
    Path(job): Path<String>,
    query: Result<Query<TriggerQuery>, QueryRejection>,
) -> Answer {
    let Query(query) = query?;
    bounds::check("timeoutMs", query.timeout_ms, 1)?;
    let handle = match jobs.find(&job).map_err(|e| ApiError::missing(&e))? {
        Found::Running(handle) => handle,
        Found::Ended(ended) => {
            let status = status_name(ended.details.status);
            let text = format!("job {} is {status}; it takes no checkpoints", ended.details.id);
            return Err(ApiError::new(StatusCode::CONFLICT, "CONFLICT", text));
        }
    };
    let timeout = Duration::from_millis(query.timeout_ms.unwrap_or(TRIGGER_TIMEOUT_MS));
    let asked = handle.ask(|reply| JobMessage::TriggerCheckpoint { reply });
    let outcome = tokio::time::timeout(timeout, asked).await.map_err(|_| {
        let text = format!("the checkpoint was not complete within {} ms", timeout.as_millis());
        ApiError::new(StatusCode::GATEWAY_TIMEOUT, "TIMEOUT", text)
            .help("it may still complete: see GET .../checkpoints")
    })?;
    let id = outcome.and_then(|r| r).map_err(|e| match e.kind() {
        model::ErrorKind::Internal => e.into(),
        _ => ApiError::new(StatusCode::CONFLICT, "CHECKPOINT_FAILED", e.chain()),
    })?;
    of(snapshot(&jobs, &handle.id.to_string()).await?.as_ref(), id)
}
