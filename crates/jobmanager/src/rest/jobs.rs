//! `/api/v1/jobs`: submit, look at and cancel jobs; their graphs, checkpoints and exceptions.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use model::{CheckpointId, Error};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::details::{JobSnapshot, status_name};
use crate::dispatcher::{Dispatcher, Found, Submission};
use crate::job_master::JobMessage;
use crate::rest::ApiError;

type Answer = Result<Json<Value>, ApiError>;
type Jobs = State<Arc<Dispatcher>>;

/// How long a triggered checkpoint is waited for unless `timeoutMs` says otherwise.
const TRIGGER_TIMEOUT_MS: u64 = 60_000;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SubmitBody {
    job_file: String,
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    allow_dropped_state: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TriggerQuery {
    timeout_ms: Option<u64>,
}

fn encoded<T: serde::Serialize>(value: &T) -> Answer {
    serde_json::to_value(value)
        .map(Json)
        .map_err(|e| Error::internal("the answer cannot be encoded").caused_by(e).into())
}

async fn snapshot(jobs: &Arc<Dispatcher>, job: &str) -> Result<Arc<JobSnapshot>, ApiError> {
    let found = jobs.snapshot(job).await;
    found.map_err(|e| match e.kind() {
        model::ErrorKind::User => ApiError::missing(&e),
        _ => e.into(),
    })
}

pub async fn submit(
    State(jobs): Jobs,
    body: Result<Json<SubmitBody>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let Json(body) = body?;
    if body.name.as_ref().is_some_and(|n| n.trim().is_empty()) {
        return Err(Error::user("`name` must not be empty").into());
    }
    let submission = Submission {
        job_file: body.job_file,
        from: body.from,
        name: body.name,
        allow_dropped_state: body.allow_dropped_state,
    };
    let (id, name) = jobs.submit(submission).await?;
    Ok((StatusCode::CREATED, Json(json!({ "id": id, "name": name }))))
}

pub async fn list(State(jobs): Jobs) -> Answer {
    let snapshots = jobs.snapshots().await;
    let list: Vec<Value> = snapshots
        .iter()
        .map(|s| {
            let d = &s.details;
            json!({
                "id": d.id,
                "name": d.name,
                "status": d.status,
                "message": d.message,
                "failure": d.failure,
                "submittedAtMs": d.submitted_at_ms,
                "startedAtMs": d.started_at_ms,
                "endedAtMs": d.ended_at_ms,
                "attempt": d.attempt,
                "restarts": d.restarts,
                "slots": d.slots,
                "tasks": d.vertices.iter().map(|v| v.subtasks.len()).sum::<usize>(),
                "sources": d.sources,
                "checkpoints": d.checkpoints,
            })
        })
        .collect();
    Ok(Json(json!({ "jobs": list })))
}

pub async fn describe(State(jobs): Jobs, Path(job): Path<String>) -> Answer {
    encoded(&snapshot(&jobs, &job).await?.details)
}

pub async fn cancel(
    State(jobs): Jobs,
    Path(job): Path<String>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let id = jobs.cancel(&job).await.map_err(|e| ApiError::missing(&e))?;
    let status = jobs.snapshot(&id.to_string()).await?.details.status;
    Ok((StatusCode::ACCEPTED, Json(json!({ "id": id, "status": status }))))
}

pub async fn graph(State(jobs): Jobs, Path(job): Path<String>) -> Answer {
    encoded(snapshot(&jobs, &job).await?.graph.as_ref())
}

pub async fn exceptions(State(jobs): Jobs, Path(job): Path<String>) -> Answer {
    let snapshot = snapshot(&jobs, &job).await?;
    let newest_first: Vec<_> = snapshot.exceptions.iter().rev().collect();
    Ok(Json(json!({ "failure": snapshot.details.failure, "exceptions": newest_first })))
}

pub async fn checkpoints(State(jobs): Jobs, Path(job): Path<String>) -> Answer {
    let snapshot = snapshot(&jobs, &job).await?;
    let mut newest_first = Vec::with_capacity(snapshot.checkpoints.len());
    for record in snapshot.checkpoints.iter().rev() {
        let Json(mut value) = encoded(record)?;
        if let Some(fields) = value.as_object_mut() {
            fields.remove("subtasks");
        }
        newest_first.push(value);
    }
    Ok(Json(json!({ "summary": snapshot.details.checkpoints, "checkpoints": newest_first })))
}

fn checkpoint_of(snapshot: &JobSnapshot, id: CheckpointId) -> Answer {
    match snapshot.checkpoints.iter().find(|r| r.id == id) {
        Some(record) => encoded(record),
        None => {
            let text = format!("checkpoint {id} of job {} is not known", snapshot.details.id);
            let help = "the last 50 checkpoints are remembered";
            Err(ApiError::new(StatusCode::NOT_FOUND, "NOT_FOUND", text).help(help))
        }
    }
}

pub async fn checkpoint(
    State(jobs): Jobs,
    Path((job, checkpoint)): Path<(String, String)>,
) -> Answer {
    let id = checkpoint.trim_start_matches("chk-").parse().map_err(|_| {
        Error::user(format!("`{checkpoint}` is not a checkpoint's number, such as 7 or chk-7"))
    })?;
    checkpoint_of(snapshot(&jobs, &job).await?.as_ref(), CheckpointId(id))
}

pub async fn trigger(
    State(jobs): Jobs,
    Path(job): Path<String>,
    query: Result<Query<TriggerQuery>, QueryRejection>,
) -> Answer {
    let Query(query) = query?;
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
    checkpoint_of(snapshot(&jobs, &handle.id.to_string()).await?.as_ref(), id)
}
