//! What processes show of themselves when asked: logs by opaque id, what tasks and threads
//! do, where processor time goes. Of TaskManagers over RPC, of the job manager directly.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::dispatcher::Dispatcher;
use crate::gateway::GatewayError;
use crate::rest::{ApiError, bounds, cluster};

type Jobs = State<Arc<Dispatcher>>;
type Answer = Result<Json<Value>, ApiError>;

/// Bytes of a log's end unless `tail` says otherwise, and at most.
const TAIL_BYTES: u64 = 64 << 10;
const MAX_TAIL_BYTES: u64 = 4 << 20;
/// How long a profile takes unless `seconds` says otherwise.
const PROFILE_SECONDS: u32 = 5;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TailQuery {
    tail: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileQuery {
    seconds: Option<u32>,
}

/// The TaskManager may have gone, or have other things to do.
fn refused(error: GatewayError) -> ApiError {
    let error = error.into_error();
    match error.kind() {
        model::ErrorKind::User => error.into(),
        _ => ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", error.chain()),
    }
}

fn text(found: Option<String>, log: &str) -> Result<Response, ApiError> {
    match found {
        Some(text) => {
            Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
        }
        None => {
            let text = format!("there is no log `{log}`");
            Err(ApiError::new(StatusCode::NOT_FOUND, "NOT_FOUND", text)
                .help("GET .../logs lists the logs with their ids"))
        }
    }
}

pub async fn task_manager_logs(State(jobs): Jobs, Path(id): Path<String>) -> Answer {
    let addr = cluster::find(&jobs, &id)?.info.rpc_addr;
    let logs = jobs.context().gateway.logs(&addr).await.map_err(refused)?;
    Ok(Json(json!({ "logs": logs })))
}

pub async fn task_manager_log(
    State(jobs): Jobs,
    Path((id, log)): Path<(String, String)>,
    query: Result<Query<TailQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query?;
    let addr = cluster::find(&jobs, &id)?.info.rpc_addr;
    bounds::check("tail", query.tail, 0)?;
    let tail = query.tail.unwrap_or(TAIL_BYTES).min(MAX_TAIL_BYTES);
    let found = jobs.context().gateway.log_text(&addr, &log, tail).await.map_err(refused)?;
    text(found, &log)
}

pub async fn job_manager_logs() -> Json<Value> {
    Json(json!({ "logs": telemetry::log_ring().list() }))
}

pub async fn job_manager_log(
    Path(log): Path<String>,
    query: Result<Query<TailQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query?;
    bounds::check("tail", query.tail, 0)?;
    let tail = query.tail.unwrap_or(TAIL_BYTES).min(MAX_TAIL_BYTES);
    text(telemetry::log_ring().tail(&log, tail), &log)
}

pub async fn dump(State(jobs): Jobs, Path(id): Path<String>) -> Answer {
    let addr = cluster::find(&jobs, &id)?.info.rpc_addr;
    let dump = jobs.context().gateway.dump(&addr).await.map_err(refused)?;
    Ok(Json(json!({ "threads": dump.threads, "tasks": dump.tasks })))
}

pub async fn profile(
    State(jobs): Jobs,
    Path(id): Path<String>,
    query: Result<Query<ProfileQuery>, QueryRejection>,
) -> Answer {
    let Query(query) = query?;
    let addr = cluster::find(&jobs, &id)?.info.rpc_addr;
    let seconds = query.seconds.unwrap_or(PROFILE_SECONDS);
    let profile = jobs.context().gateway.profile(&addr, seconds).await.map_err(refused)?;
    Ok(Json(json!(profile)))
}
