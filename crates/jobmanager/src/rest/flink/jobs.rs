//! Jobs in the facade: the lists, a job's details, its configuration, its end.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use model::config::RestartStrategy;
use model::execution_state::JobStatus;
use serde_json::{Map, Value, json};

use crate::details::{JobDetails, JobSnapshot, VertexDetails};

use super::request::{Pairs, job, value};
use super::{Answer, FlinkError, Shared, figures, plan, states};

pub async fn list(State(facade): Shared) -> Json<Value> {
    let jobs = facade.dispatcher.snapshots().await;
    let jobs: Vec<Value> = jobs
        .iter()
        .map(|j| json!({ "id": j.details.id, "status": states::job_status(j.details.status) }))
        .collect();
    Json(json!({ "jobs": jobs }))
}

pub async fn overview(State(facade): Shared) -> Json<Value> {
    let now_ms = facade.now_ms();
    let jobs = facade.dispatcher.snapshots().await;
    let jobs: Vec<Value> = jobs.iter().map(|j| in_overview(&j.details, now_ms)).collect();
    Json(json!({ "jobs": jobs }))
}

fn in_overview(job: &JobDetails, now_ms: i64) -> Value {
    let tasks = job.vertices.iter().flat_map(|v| &v.subtasks);
    let counts = states::counts(tasks.map(|s| states::name(s.state)));
    let mut tasks: Map<String, Value> =
        counts.into_iter().map(|(state, n)| (state.to_ascii_lowercase(), n)).collect();
    let total: usize = job.vertices.iter().map(|v| v.subtasks.len()).sum();
    tasks.insert("total".to_owned(), total.into());
    json!({
        "jid": job.id,
        "name": job.name,
        "jobType": "STREAMING",
        "schedulerType": "Default",
        "start-time": job.submitted_at_ms,
        "end-time": job.ended_at_ms.unwrap_or(-1),
        "duration": duration(job, now_ms),
        "state": states::job_status(job.status),
        "last-modification": states::last_modification(job),
        "tasks": tasks,
        "pending-operators": 0,
    })
}

fn duration(job: &JobDetails, now_ms: i64) -> i64 {
    (job.ended_at_ms.unwrap_or(now_ms) - job.submitted_at_ms).max(0)
}

pub async fn status(State(facade): Shared, Path(id): Path<String>) -> Answer {
    let job = job(&facade, &id).await?;
    Ok(Json(json!({ "status": states::job_status(job.details.status) })))
}

pub async fn details(State(facade): Shared, Path(id): Path<String>) -> Answer {
    let job = job(&facade, &id).await?;
    let now_ms = facade.now_ms();
    let details = &job.details;
    let vertices: Vec<Value> = details.vertices.iter().map(|v| vertex(&job, v, now_ms)).collect();
    let of_vertices = details.vertices.iter().map(|v| states::name(states::of_vertex(v)));
    Ok(Json(json!({
        "jid": details.id,
        "application-id": details.id,
        "name": details.name,
        "isStoppable": false,
        "state": states::job_status(details.status),
        "job-type": "STREAMING",
        "schedulerType": "Default",
        "start-time": details.submitted_at_ms,
        "end-time": details.ended_at_ms.unwrap_or(-1),
        "duration": duration(details, now_ms),
        "maxParallelism": job.graph.max_parallelism,
        "now": now_ms,
        "timestamps": states::job_timestamps(details),
        "vertices": vertices,
        "status-counts": states::counts(of_vertices),
        "plan": plan::of(&job),
        "pending-operators": 0,
    })))
}

fn vertex(job: &JobSnapshot, vertex: &VertexDetails, now_ms: i64) -> Value {
    let span = states::span(vertex.subtasks.iter(), now_ms);
    json!({
        "id": vertex.id,
        // All vertices of a job share its slots.
        "slotSharingGroupId": job.details.id,
        "name": states::vertex_name(vertex),
        "maxParallelism": job.graph.max_parallelism,
        "parallelism": vertex.parallelism,
        "status": states::name(states::of_vertex(vertex)),
        "start-time": span.start,
        "end-time": span.end,
        "duration": span.duration,
        "tasks": states::counts(vertex.subtasks.iter().map(|s| states::name(s.state))),
        "metrics": figures::io(&vertex.metrics, true),
    })
}

pub async fn config(State(facade): Shared, Path(id): Path<String>) -> Answer {
    let job = job(&facade, &id).await?;
    Ok(Json(json!({
        "jid": job.details.id,
        "name": job.details.name,
        "execution-config": {
            "restart-strategy": restart_strategy(&job.graph.restart),
            "job-parallelism": job.graph.slots_needed(),
            // Batches go from operator to operator by reference.
            "object-reuse-mode": true,
            "user-config": {},
        },
    })))
}

fn restart_strategy(strategy: &RestartStrategy) -> String {
    match strategy {
        RestartStrategy::None => "Restart deactivated.".to_owned(),
        RestartStrategy::FixedDelay { attempts, delay_ms } => {
            format!("Restart with fixed delay ({delay_ms} ms). #{attempts} restart attempts.")
        }
        RestartStrategy::Exponential { initial_ms, max_ms, multiplier, attempts, .. } => {
            let attempts = attempts.map_or_else(|| "unlimited".to_owned(), |n| format!("#{n}"));
            format!(
                "Restart with exponential delay: starting at {initial_ms} ms, times {multiplier} \
                 up to {max_ms} ms, {attempts} restart attempts."
            )
        }
        RestartStrategy::FailureRate { max_failures, interval_ms, delay_ms } => format!(
            "Restart with failure rate: at most {max_failures} failures in {interval_ms} ms, \
             fixed delay {delay_ms} ms."
        ),
    }
}

/// Weir has no user accumulators.
pub async fn accumulators(State(facade): Shared, Path(id): Path<String>) -> Answer {
    job(&facade, &id).await?;
    Ok(Json(json!({
        "job-accumulators": [],
        "user-task-accumulators": [],
        "serialized-user-task-accumulators": {},
    })))
}

pub async fn execution_result(State(facade): Shared, Path(id): Path<String>) -> Answer {
    let job = job(&facade, &id).await?;
    let details = &job.details;
    let outcome = match details.status {
        JobStatus::Finished => "SUCCEEDED",
        JobStatus::Canceled => "CANCELED",
        JobStatus::Failed => "FAILED",
        _ => return Ok(Json(json!({ "status": { "id": "IN_PROGRESS" } }))),
    };
    let mut result = json!({
        "id": details.id,
        "name": details.name,
        "application-id": details.id,
        "application-status": outcome,
        "accumulator-results": {},
        "net-runtime": duration(details, facade.now_ms()),
        "start-time": details.submitted_at_ms,
        "end-time": details.ended_at_ms.unwrap_or(-1),
    });
    if let Some(cause) = details.failure.as_ref().filter(|_| outcome == "FAILED") {
        result["failure-cause"] = super::exceptions::throwable(cause);
    }
    Ok(Json(json!({ "status": { "id": "COMPLETED" }, "job-execution-result": result })))
}

/// `PATCH /jobs/:id?mode=cancel`; the mode may be left out.
pub async fn cancel(
    State(facade): Shared,
    Path(id): Path<String>,
    pairs: Pairs,
) -> Result<(StatusCode, Json<Value>), FlinkError> {
    match value(&pairs, "mode").map(str::to_ascii_lowercase).as_deref() {
        None | Some("cancel") => {}
        Some("stop") => {
            let text = "The termination mode \"stop\" has been removed. For an ungraceful \
                        shutdown, please use \"cancel\" instead.";
            return Err(FlinkError::new(StatusCode::PERMANENT_REDIRECT, text));
        }
        Some(other) => return Err(FlinkError::bad_parameter("query", "mode", other)),
    }
    end(&facade, &id).await
}

/// `GET` as YARN's proxy, which knows no other method, sends it; `DELETE` too.
pub async fn yarn_cancel(
    State(facade): Shared,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<Value>), FlinkError> {
    end(&facade, &id).await
}

async fn end(facade: &super::Facade, id: &str) -> Result<(StatusCode, Json<Value>), FlinkError> {
    let job = job(facade, id).await?;
    facade.dispatcher.cancel(&job.details.id.to_string()).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({}))))
}
