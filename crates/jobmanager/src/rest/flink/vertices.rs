//! A vertex in the facade: its subtasks, backpressure, watermarks, task managers.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use model::execution_state::ExecutionState;
use serde_json::{Map, Value, json};

use crate::details::{SubtaskDetails, VertexDetails};
use crate::job_metrics::combine;

use super::subtasks::shown;
use super::task_managers::Endpoints;
use super::{Answer, Shared, figures, request, states};

/// Job and vertex.
type Ids = Path<(String, String)>;

/// Backpressure up to this share of the time is OK, up to the second LOW, above it HIGH.
const OK_SHARE: f64 = 0.10;
const LOW_SHARE: f64 = 0.5;

pub async fn details(State(facade): Shared, Path((job, vertex)): Ids) -> Answer {
    let job = request::job(&facade, &job).await?;
    let vertex = request::vertex(&job, &vertex)?;
    let (now_ms, endpoints) = (facade.now_ms(), Endpoints::of(&facade));
    let tasks: Vec<Value> = vertex.subtasks.iter().map(|s| shown(s, &endpoints, now_ms)).collect();
    Ok(Json(json!({
        "id": vertex.id,
        "name": states::vertex_name(vertex),
        "parallelism": vertex.parallelism,
        "maxParallelism": job.graph.max_parallelism,
        "now": now_ms,
        "subtasks": tasks,
        "aggregated": aggregated(&vertex.subtasks.iter().collect::<Vec<_>>(), now_ms),
    })))
}

/// Counters and times in each state, summarised over tasks.
fn aggregated(tasks: &[&SubtaskDetails], now_ms: i64) -> Value {
    let times: Vec<_> = tasks.iter().map(|s| states::durations(s, now_ms)).collect();
    let durations: Map<String, Value> = states::TIMED
        .iter()
        .enumerate()
        .map(|(index, state)| {
            let of_state = times.iter().map(|t| t[index]).collect();
            (states::name(*state).to_owned(), figures::spread(of_state))
        })
        .collect();
    json!({
        "metrics": figures::io_summary(tasks.iter().map(|s| &s.metrics)),
        "status-duration": durations,
    })
}

pub async fn task_managers(State(facade): Shared, Path((job, vertex)): Ids) -> Answer {
    let job = request::job(&facade, &job).await?;
    let vertex = request::vertex(&job, &vertex)?;
    let (now_ms, endpoints) = (facade.now_ms(), Endpoints::of(&facade));
    let mut by_manager: BTreeMap<&str, Vec<&SubtaskDetails>> = BTreeMap::new();
    for task in &vertex.subtasks {
        let manager = task.task_manager.as_ref().map_or("(unassigned)", |id| id.0.as_str());
        by_manager.entry(manager).or_default().push(task);
    }
    let managers: Vec<Value> = by_manager
        .into_iter()
        .map(|(id, tasks)| {
            let span = states::span(tasks.iter().copied(), now_ms);
            let of_tasks: Vec<ExecutionState> = tasks.iter().map(|s| s.state).collect();
            let status = states::of_many(&of_tasks, ExecutionState::Created);
            let total = combine(tasks.iter().map(|s| &s.metrics));
            json!({
                "endpoint": endpoints.of_task_manager(tasks[0].task_manager.as_ref()),
                "status": states::name(status),
                "start-time": span.start,
                "end-time": span.end,
                "duration": span.duration,
                "metrics": figures::io(&total, true),
                "status-counts": states::counts(of_tasks.iter().map(|s| states::name(*s))),
                "taskmanager-id": id,
                "aggregated": aggregated(&tasks, now_ms),
            })
        })
        .collect();
    Ok(Json(json!({
        "id": vertex.id,
        "name": states::vertex_name(vertex),
        "now": now_ms,
        "taskmanagers": managers,
    })))
}

fn level(share: f64) -> &'static str {
    match share {
        s if s <= OK_SHARE => "ok",
        s if s <= LOW_SHARE => "low",
        _ => "high",
    }
}

/// Always of the newest figures: Flink's first answer, `deprecated`, is never given.
pub async fn backpressure(State(facade): Shared, Path((job, vertex)): Ids) -> Answer {
    let job = request::job(&facade, &job).await?;
    let vertex = request::vertex(&job, &vertex)?;
    let share = |s: &SubtaskDetails| s.rates.backpressured_percent / 100.0;
    let tasks: Vec<Value> = vertex
        .subtasks
        .iter()
        .map(|s| {
            let level = level(share(s));
            json!({
                "subtask": s.subtask,
                "backpressureLevel": level,
                "backpressure-level": level,
                "ratio": figures::float(share(s)),
                "idleRatio": figures::float(s.rates.idle_percent / 100.0),
                "busyRatio": figures::float(s.rates.busy_percent / 100.0),
            })
        })
        .collect();
    let worst = level(vertex.subtasks.iter().map(share).fold(0.0, f64::max));
    Ok(Json(json!({
        "status": "ok",
        "backpressureLevel": worst,
        "backpressure-level": worst,
        "end-timestamp": facade.now_ms(),
        "subtasks": tasks,
    })))
}

/// The watermark that each subtask has reached; sources have no input and are left out, as
/// in Flink.
pub async fn watermarks(State(facade): Shared, Path((job, vertex)): Ids) -> Answer {
    let job = request::job(&facade, &job).await?;
    let vertex = request::vertex(&job, &vertex)?;
    let reached = |v: &VertexDetails| -> Vec<Value> {
        let marks = v.subtasks.iter().filter_map(|s| Some((s.subtask, s.metrics.watermark?)));
        marks
            .map(|(subtask, mark)| {
                json!({
                    "id": format!("{subtask}.currentInputWatermark"),
                    "value": mark.to_string(),
                })
            })
            .collect()
    };
    let is_source = job.graph.vertex(vertex.id).is_some_and(|v| v.is_source());
    Ok(Json(if is_source { json!([]) } else { reached(vertex).into() }))
}

pub async fn accumulators(State(facade): Shared, Path((job, vertex)): Ids) -> Answer {
    let job = request::job(&facade, &job).await?;
    let vertex = request::vertex(&job, &vertex)?;
    Ok(Json(json!({ "id": vertex.id, "user-accumulators": [] })))
}

/// What runs of a vertex in the job manager has no metrics of its own.
pub async fn job_manager_metrics(State(facade): Shared, Path((job, vertex)): Ids) -> Answer {
    let job = request::job(&facade, &job).await?;
    request::vertex(&job, &vertex)?;
    Ok(Json(json!([])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backpressure_levels_are_flinks() {
        assert_eq!(["ok", "ok", "low", "low", "high"], [0.0, 0.1, 0.11, 0.5, 0.51].map(level));
    }
}
