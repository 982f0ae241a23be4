//! Subtasks in the facade. A Weir job restarts as a whole, so that the present attempt is
//! the only one there is to show; the earlier ones are in the exception history.

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Map, Value, json};

use crate::details::SubtaskDetails;

use super::task_managers::Endpoints;
use super::{Answer, FlinkError, Shared, figures, request, states};

/// Flink counts attempts from 0.
fn attempt_number(task: &SubtaskDetails) -> u32 {
    task.attempt.0.saturating_sub(1)
}

/// One subtask's present attempt.
pub(super) fn shown(task: &SubtaskDetails, endpoints: &Endpoints, now_ms: i64) -> Value {
    let span = states::span(std::iter::once(task), now_ms);
    let durations: Map<String, Value> = states::TIMED
        .iter()
        .zip(states::durations(task, now_ms))
        .map(|(state, ms)| (states::name(*state).to_owned(), ms.into()))
        .collect();
    json!({
        "subtask": task.subtask,
        "status": states::name(task.state),
        "attempt": attempt_number(task),
        "endpoint": endpoints.of_task_manager(task.task_manager.as_ref()),
        "start-time": span.start,
        "start_time": span.start,
        "end-time": span.end,
        "duration": span.duration,
        "metrics": figures::io(&task.metrics, true),
        "taskmanager-id": task.task_manager.as_ref().map_or("(unassigned)", |id| id.0.as_str()),
        "status-duration": durations,
    })
}

pub async fn details(
    State(facade): Shared,
    Path((job, vertex, subtask)): Path<(String, String, String)>,
) -> Answer {
    let job = request::job(&facade, &job).await?;
    let task = request::subtask(request::vertex(&job, &vertex)?, &subtask)?;
    Ok(Json(shown(task, &Endpoints::of(&facade), facade.now_ms())))
}

fn is_present(task: &SubtaskDetails, attempt: &str) -> Result<(), FlinkError> {
    let number: u32 =
        attempt.parse().map_err(|_| FlinkError::bad_parameter("path", "attempt", attempt))?;
    if number == attempt_number(task) {
        return Ok(());
    }
    Err(FlinkError::not_found(format!("Invalid attempt num {number}")))
}

pub async fn attempt(
    State(facade): Shared,
    Path((job, vertex, subtask, attempt)): Path<(String, String, String, String)>,
) -> Answer {
    let job = request::job(&facade, &job).await?;
    let task = request::subtask(request::vertex(&job, &vertex)?, &subtask)?;
    is_present(task, &attempt)?;
    Ok(Json(shown(task, &Endpoints::of(&facade), facade.now_ms())))
}

pub async fn attempt_accumulators(
    State(facade): Shared,
    Path((job, vertex, subtask, attempt)): Path<(String, String, String, String)>,
) -> Answer {
    let job = request::job(&facade, &job).await?;
    let vertex = request::vertex(&job, &vertex)?;
    let task = request::subtask(vertex, &subtask)?;
    is_present(task, &attempt)?;
    let number = attempt_number(task);
    Ok(Json(json!({
        "subtask": task.subtask,
        "attempt": number,
        "id": format!("{}_{}_{}_{number}", job.details.id, vertex.id, task.subtask),
        "user-accumulators": [],
    })))
}

pub async fn accumulators(
    State(facade): Shared,
    Path((job, vertex)): Path<(String, String)>,
) -> Answer {
    let job = request::job(&facade, &job).await?;
    let vertex = request::vertex(&job, &vertex)?;
    let endpoints = Endpoints::of(&facade);
    let tasks: Vec<Value> = vertex
        .subtasks
        .iter()
        .map(|s| {
            json!({
                "subtask": s.subtask,
                "attempt": attempt_number(s),
                "endpoint": endpoints.of_task_manager(s.task_manager.as_ref()),
                "user-accumulators": [],
            })
        })
        .collect();
    Ok(Json(json!({ "id": vertex.id, "parallelism": vertex.parallelism, "subtasks": tasks })))
}

pub async fn times(State(facade): Shared, Path((job, vertex)): Path<(String, String)>) -> Answer {
    let job = request::job(&facade, &job).await?;
    let vertex = request::vertex(&job, &vertex)?;
    let (now_ms, endpoints) = (facade.now_ms(), Endpoints::of(&facade));
    let tasks: Vec<Value> = vertex
        .subtasks
        .iter()
        .map(|s| {
            let begun = s.timestamps.values().min().copied().unwrap_or(now_ms);
            let over = s.timestamps.get(&s.state).filter(|_| s.state.is_terminal());
            json!({
                "subtask": s.subtask,
                "endpoint": endpoints.of_task_manager(s.task_manager.as_ref()),
                "duration": (over.copied().unwrap_or(now_ms) - begun).max(0),
                "timestamps": states::timestamps(s),
            })
        })
        .collect();
    Ok(Json(json!({
        "id": vertex.id,
        "name": states::vertex_name(vertex),
        "now": now_ms,
        "subtasks": tasks,
    })))
}
