//! `POST /api/v1/jobs/{job}/taps`: rows that pass an operator, live, sampled and bounded.
//! The rows come from the TaskManagers that run the operator's subtasks.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use futures::StreamExt;
use futures::stream::{SelectAll, select_all};
use model::execution_state::ExecutionState;
use model::{ExecutionAttemptId, VertexId};
use serde::Deserialize;
use serde_json::json;

use crate::details::{JobSnapshot, VertexDetails};
use crate::dispatcher::Dispatcher;
use crate::gateway::{TapRequest, TapStream};
use crate::rest::ApiError;
use crate::rest::body::Object;
use crate::rest::events::{self, Events, Gone, Stream};
use crate::rest::jobs::{Jobs, snapshot};

/// Rows of one tap, whatever is asked for.
const MAX_ROWS: u32 = 10_000;
/// Of all subtasks together.
const ROWS_PER_SECOND: u32 = 100;
/// Subtasks looked at; further ones have rows like these.
const MAX_SUBTASKS: usize = 50;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TapBody {
    /// Id or name of a vertex, or the name or uid of an operator.
    vertex: String,
    operator: Option<String>,
    limit: Option<u32>,
}

pub async fn open(
    State(jobs): Jobs,
    Path(job): Path<String>,
    body: Result<Json<Object<TapBody>>, JsonRejection>,
) -> Result<Stream, ApiError> {
    let Json(Object(body)) = body?;
    let snapshot = snapshot(&jobs, &job).await?;
    if !jobs.taps() {
        let text = "this job manager does not show rows";
        return Err(ApiError::new(StatusCode::FORBIDDEN, "tapsOff", text)
            .help("start it with --taps on, if whoever reaches it may see the data"));
    }
    let (vertex, operator) = target(&snapshot, &body)?;
    let limit = body.limit.unwrap_or(MAX_ROWS);
    if !(1..=MAX_ROWS).contains(&limit) {
        let text = format!("`limit` is {limit}; a tap shows 1 to {MAX_ROWS} rows");
        return Err(model::Error::user(text).into());
    }
    let streams = connect(&jobs, &snapshot, vertex, &operator, limit).await?;
    events::open(&jobs, async move |events: Events| relay(streams, limit, events).await)
}

/// The vertex that is meant, and the uid of the operator in it (empty: the last).
fn target<'a>(
    snapshot: &'a JobSnapshot,
    body: &TapBody,
) -> Result<(&'a VertexDetails, String), ApiError> {
    let missing = |what: String| {
        ApiError::new(StatusCode::NOT_FOUND, "NOT_FOUND", what)
            .help("`streamctl describe job` lists the vertices and operators")
    };
    let vertices = &snapshot.details.vertices;
    let id: Option<VertexId> = body.vertex.parse().ok();
    let whole = vertices.iter().find(|v| Some(v.id) == id || v.name == body.vertex);
    let named = |v: &VertexDetails, name: &str| {
        let mut operators = v.operators.iter();
        operators.find(|o| o.name == name || o.uid == name).map(|o| o.uid.clone())
    };
    if let Some(vertex) = whole {
        let operator = match &body.operator {
            None => String::new(),
            Some(name) => named(vertex, name)
                .ok_or_else(|| missing(format!("`{}` has no operator `{name}`", vertex.name)))?,
        };
        return Ok((vertex, operator));
    }
    let found = vertices.iter().find_map(|v| Some((v, named(v, &body.vertex)?)));
    found.ok_or_else(|| {
        missing(format!("job {} has no node `{}`", snapshot.details.id, body.vertex))
    })
}

async fn connect(
    jobs: &Dispatcher,
    snapshot: &JobSnapshot,
    vertex: &VertexDetails,
    operator: &str,
    limit: u32,
) -> Result<SelectAll<TapStream>, ApiError> {
    let context = jobs.context();
    let managers = context.cluster.task_managers();
    let addr_of: BTreeMap<_, _> =
        managers.into_iter().map(|t| (t.info.id, t.info.rpc_addr)).collect();
    let running = vertex.subtasks.iter().filter(|s| s.state == ExecutionState::Running);
    let running: Vec<_> = running.take(MAX_SUBTASKS).collect();
    let rows_per_second = (ROWS_PER_SECOND / (running.len().max(1) as u32)).max(1);
    let calls = running.iter().filter_map(|subtask| {
        let addr = addr_of.get(subtask.task_manager.as_ref()?)?;
        let attempt = ExecutionAttemptId {
            job: snapshot.details.id,
            vertex: vertex.id,
            subtask: subtask.subtask,
            attempt: subtask.attempt,
        };
        let operator = operator.to_owned();
        let request = TapRequest { attempt, operator, rows_per_second, limit };
        Some(async move { context.gateway.tap(addr, &request).await })
    });
    let mut streams = Vec::new();
    let mut failed = None;
    for outcome in futures::future::join_all(calls).await {
        match outcome {
            Ok(stream) => streams.push(stream),
            Err(error) => failed = Some(error.into_error()),
        }
    }
    match (streams.is_empty(), failed) {
        (false, _) => Ok(select_all(streams)),
        (true, Some(error)) => Err(error.into()),
        (true, None) => {
            let text = format!("`{}` does not run now, so no rows pass", vertex.name);
            Err(ApiError::new(StatusCode::CONFLICT, "CONFLICT", text))
        }
    }
}

async fn relay(
    mut streams: SelectAll<TapStream>,
    limit: u32,
    mut events: Events,
) -> Result<(), Gone> {
    let mut left = limit as usize;
    let mut end = json!({ "reason": "ended", "message": null });
    // Says that the tap is open, also when no row passes for long.
    events.send("open", json!({ "limit": limit }).to_string()).await?;
    while left > 0 {
        let Some(batch) = streams.next().await else { break };
        match batch {
            Ok(mut batch) => {
                let more = batch.rows.len().saturating_sub(left);
                batch.rows.truncate(left);
                left -= batch.rows.len();
                let rows = json!({
                    "schema": batch.schema,
                    "rows": batch.rows,
                    "dropped": batch.dropped + more as u64,
                });
                events.send("rows", rows.to_string()).await?;
            }
            // The other subtasks go on.
            Err(error) => end = json!({ "reason": "failed", "message": error.chain() }),
        }
    }
    if left == 0 {
        end = json!({ "reason": "limit", "message": null });
    }
    events.send("end", end.to_string()).await
}
