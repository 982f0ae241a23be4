//! `/api/v1/jobs`: submit, look at and cancel jobs; their graphs, files and exceptions.

use std::collections::BTreeMap;

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use model::config::RestartStrategy;
use model::job_graph::{JobFileFormat, JobGraph};
use model::{Error, VertexId};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::details::JobSnapshot;
use crate::dispatcher::{Dispatcher, Submission};
use crate::metrics_history::{JOB_METRICS, VERTEX_METRICS};
use crate::rest::body::Object;
use crate::rest::{ApiError, bounds, checkpoints, secrets};
use crate::slo::exact_ms;

pub type Answer = Result<Json<Value>, ApiError>;
pub type Jobs = State<Arc<Dispatcher>>;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SubmitBody {
    /// The job file, YAML.
    #[serde(default, deserialize_with = "present")]
    job_file: Option<String>,
    /// The same under its other name, in `format`.
    #[serde(default, deserialize_with = "present")]
    text: Option<String>,
    #[serde(default)]
    format: JobFileFormat,
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    allow_dropped_state: bool,
    /// Values for `${env:NAME}`, where the client has them.
    #[serde(default)]
    variables: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HistoryQuery {
    vertex: Option<String>,
    metric: String,
    since_ms: Option<i64>,
}

/// A field that may be missing, but not null.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    String::deserialize(deserializer).map(Some)
}

pub fn encoded<T: serde::Serialize>(value: &T) -> Answer {
    serde_json::to_value(value)
        .map(Json)
        .map_err(|e| Error::internal("the answer cannot be encoded").caused_by(e).into())
}

pub async fn snapshot(jobs: &Arc<Dispatcher>, job: &str) -> Result<Arc<JobSnapshot>, ApiError> {
    let found = jobs.snapshot(job).await;
    found.map_err(|e| match e.kind() {
        model::ErrorKind::User => ApiError::missing(&e),
        _ => e.into(),
    })
}

pub async fn submit(
    State(jobs): Jobs,
    body: Result<Json<Object<SubmitBody>>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let Json(Object(body)) = body?;
    if body.name.as_ref().is_some_and(|n| n.trim().is_empty()) {
        return Err(Error::user("`name` must not be empty").into());
    }
    let job_file = match (body.job_file, body.text) {
        (Some(text), None) | (None, Some(text)) => text,
        _ => return Err(Error::user("send the job file as `text` (or as `jobFile`)").into()),
    };
    let submission = Submission {
        job_file,
        format: body.format,
        from: body.from,
        name: body.name,
        allow_dropped_state: body.allow_dropped_state,
        variables: body.variables,
    };
    let (id, name) = jobs.submit(submission).await?;
    Ok((StatusCode::CREATED, Json(json!({ "id": id, "name": name }))))
}

pub async fn list(State(jobs): Jobs) -> Json<Value> {
    Json(listing(&jobs).await)
}

/// All jobs, newest first.
pub async fn listing(jobs: &Dispatcher) -> Value {
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
                "health": d.health,
                "slosBreached": d.slos.iter().filter(|s| s.breached).count(),
            })
        })
        .collect();
    json!({ "jobs": list })
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
    let Json(mut graph) = encoded(snapshot(&jobs, &job).await?.graph.as_ref())?;
    if let Some(text) = graph["jobFile"].as_str() {
        graph["jobFile"] = secrets::hide_in_text(text).into();
    }
    secrets::hide(&mut graph);
    Ok(Json(graph))
}

pub async fn source(State(jobs): Jobs, Path(job): Path<String>) -> Answer {
    let snapshot = snapshot(&jobs, &job).await?;
    let graph = &snapshot.graph;
    if graph.job_file.is_empty() {
        return Ok(Json(json!({ "format": "graph", "text": null })));
    }
    let text = secrets::hide_in_text(&graph.job_file);
    Ok(Json(json!({ "format": graph.origin.format, "text": text })))
}

pub async fn config(State(jobs): Jobs, Path(job): Path<String>) -> Answer {
    let snapshot = snapshot(&jobs, &job).await?;
    let graph = &snapshot.graph;
    let parallelism = graph.vertices.iter().map(|v| v.parallelism).max().unwrap_or(0);
    let mut checkpoint = checkpoints::config(graph);
    checkpoint["storage"] = jobs.context().checkpoints.uri().into();
    Ok(Json(json!({
        "parallelism": parallelism,
        "maxParallelism": graph.max_parallelism,
        "stateBackend": graph.state.backend,
        "stateMemoryBytes": graph.state.memory_bytes,
        "checkpoint": checkpoint,
        "restart": restart(&graph.restart),
        "slo": slo(graph),
    })))
}

fn restart(strategy: &RestartStrategy) -> Value {
    match strategy {
        RestartStrategy::None => json!({ "strategy": "none" }),
        RestartStrategy::FixedDelay { attempts, delay_ms } => {
            json!({ "strategy": "fixed-delay", "attempts": attempts, "delayMs": delay_ms })
        }
        RestartStrategy::Exponential {
            initial_ms,
            max_ms,
            multiplier,
            reset_after_ms,
            attempts,
        } => json!({
            "strategy": "exponential",
            "initialMs": initial_ms,
            "maxMs": max_ms,
            "multiplier": multiplier,
            "resetAfterMs": reset_after_ms,
            "attempts": attempts,
        }),
        RestartStrategy::FailureRate { max_failures, interval_ms, delay_ms } => json!({
            "strategy": "failure-rate",
            "maxFailures": max_failures,
            "intervalMs": interval_ms,
            "delayMs": delay_ms,
        }),
    }
}

fn slo(graph: &JobGraph) -> Value {
    let slo = &graph.slo;
    let rate = |rate: Option<model::config::SloRate>| {
        rate.map(|r| format!("{}/{}", r.count, exact_ms(r.per_ms)))
    };
    let webhook = slo.webhook.as_ref().map(|hook| {
        // What follows the host is often a secret.
        let host_end = hook.url.find("://").map_or(0, |at| at + 3);
        let end = hook.url[host_end..].find('/').map(|at| host_end + at);
        let url = match end {
            Some(end) if hook.url.len() > end + 1 => {
                format!("{}/{}", &hook.url[..end], secrets::HIDDEN)
            }
            _ => hook.url.clone(),
        };
        json!({ "url": url, "secret": hook.secret.as_ref().map(|_| secrets::HIDDEN) })
    });
    json!({
        "freshness": slo.freshness_ms.map(exact_ms),
        "silence": slo.silence_ms.map(exact_ms),
        "checkpointAge": slo.checkpoint_age_ms.map(exact_ms),
        "restartRate": rate(slo.restart_rate),
        "deadLetterRate": rate(slo.dead_letter_rate),
        "webhook": webhook,
    })
}

pub async fn timeline(State(jobs): Jobs, Path(job): Path<String>) -> Answer {
    let snapshot = snapshot(&jobs, &job).await?;
    Ok(Json(json!({ "attempts": snapshot.attempts })))
}

pub async fn why(State(jobs): Jobs, Path(job): Path<String>) -> Answer {
    let snapshot = snapshot(&jobs, &job).await?;
    encoded(&jobs.observer().why(&snapshot))
}

pub async fn history(
    State(jobs): Jobs,
    Path(job): Path<String>,
    query: Result<Query<HistoryQuery>, QueryRejection>,
) -> Answer {
    let Query(query) = query?;
    bounds::check("sinceMs", query.since_ms.map(i64::unsigned_abs), 0)?;
    let snapshot = snapshot(&jobs, &job).await?;
    let vertex: Option<VertexId> =
        query.vertex.as_deref().filter(|v| !v.is_empty()).map(str::parse).transpose()?;
    let names: &[&str] = if vertex.is_some() { &VERTEX_METRICS } else { &JOB_METRICS };
    if !names.contains(&query.metric.as_str()) {
        let text = format!("there is no history of `{}`; of: {}", query.metric, names.join(", "));
        return Err(Error::user(text).into());
    }
    if let Some(id) = vertex
        && snapshot.graph.vertex(id).is_none()
    {
        let text = format!("job {} has no vertex {id}", snapshot.details.id);
        return Err(ApiError::new(StatusCode::NOT_FOUND, "NOT_FOUND", text)
            .help("GET .../jobs/{job} lists the vertices"));
    }
    let since_ms = query.since_ms.unwrap_or(i64::MIN);
    let id = snapshot.details.id;
    // Nothing yet is an empty history.
    let points = jobs.observer().history(id, vertex, &query.metric, since_ms).unwrap_or_default();
    Ok(Json(json!({ "metric": query.metric, "points": points })))
}

/// Every SLO of every job.
pub async fn slos(State(jobs): Jobs) -> Answer {
    let mut all = Vec::new();
    for snapshot in jobs.snapshots().await {
        let details = &snapshot.details;
        for status in &details.slos {
            let Json(mut value) = encoded(status)?;
            value["job"] =
                json!({ "id": details.id, "name": details.name, "status": details.status });
            all.push(value);
        }
    }
    Ok(Json(json!({ "slos": all })))
}

pub async fn exceptions(State(jobs): Jobs, Path(job): Path<String>) -> Answer {
    let snapshot = snapshot(&jobs, &job).await?;
    let newest_first: Vec<_> = snapshot.exceptions.iter().rev().collect();
    Ok(Json(json!({ "failure": snapshot.details.failure, "exceptions": newest_first })))
}
