//! `/api/v1/taskmanagers`, `/api/v1/overview` and the probes.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::details::status_name;
use crate::dispatcher::Dispatcher;
use crate::resource_manager::TaskManagerView;
use crate::rest::ApiError;

type Jobs = State<Arc<Dispatcher>>;

pub async fn task_managers(State(jobs): Jobs) -> Json<Value> {
    let managers = jobs.context().cluster.task_managers();
    let list: Vec<Value> = managers.iter().map(|t| shown(&jobs, t)).collect();
    Json(json!({ "taskManagers": list }))
}

/// What the list has of each, and the details begin with.
fn shown(jobs: &Dispatcher, t: &TaskManagerView) -> Value {
    let process = &t.process;
    let rates = jobs.observer().process_rates(&t.info.id);
    let since = figure(process, "startedAtMs").unwrap_or(t.registered_at_ms);
    json!({
        "id": t.info.id,
        "rpcAddr": t.info.rpc_addr,
        "dataAddr": t.info.data_addr,
        "slots": t.info.slots,
        "freeSlots": t.free_slots,
        "version": t.info.version,
        "registeredAtMs": t.registered_at_ms,
        "lastHeartbeatMs": t.last_heartbeat_ms,
        "process": t.process,
        "jobs": t.jobs,
        "memory": {
            "heapState": figure(process, "heapStateBytes"),
            "network": figure(process, "networkBufferBytes"),
            "rocksdb": figure(process, "rocksdbBytes"),
            "process": figure(process, "rssBytes"),
        },
        "cpu": {
            "seconds": figure(process, "cpuMs").map(|ms| ms as f64 / 1000.0),
            "percent": rates.map(|r| r.cpu_percent),
        },
        "machine": {
            "memoryBytes": figure(process, "physicalBytes"),
            "availableBytes": figure(process, "freeBytes"),
            "processors": figure(process, "processors"),
            "cpuPercent": rates.map(|r| r.machine_percent),
        },
        "network": {
            "inBytes": figure(process, "networkInBytes"),
            "outBytes": figure(process, "networkOutBytes"),
            "inBytesPerSecond": rates.map(|r| r.in_per_second),
            "outBytesPerSecond": rates.map(|r| r.out_per_second),
        },
        "pid": figure(process, "pid"),
        "uptimeMs": (jobs.observer().now_ms() - since).max(0),
    })
}

/// One TaskManager.
///
/// # Errors
/// 404: it is not registered.
pub fn find(jobs: &Dispatcher, id: &str) -> Result<TaskManagerView, ApiError> {
    let managers = jobs.context().cluster.task_managers();
    managers.into_iter().find(|t| t.info.id.0 == id).ok_or_else(|| {
        let text = format!("there is no TaskManager `{id}`");
        ApiError::new(StatusCode::NOT_FOUND, "NOT_FOUND", text)
            .help("`streamctl get taskmanagers` lists those there are")
    })
}

pub async fn task_manager(
    State(jobs): Jobs,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let manager = find(&jobs, &id)?;
    let mut value = shown(&jobs, &manager);
    value["tasks"] = tasks_at(&jobs, &id).await.into();
    Ok(Json(value))
}

async fn tasks_at(jobs: &Dispatcher, task_manager: &str) -> Vec<Value> {
    let mut tasks = Vec::new();
    for snapshot in jobs.running_snapshots().await {
        for vertex in &snapshot.details.vertices {
            let here = vertex.subtasks.iter().filter(|s| {
                let there = s.task_manager.as_ref().is_some_and(|t| t.0 == task_manager);
                there && !s.state.is_terminal()
            });
            tasks.extend(here.map(|s| {
                json!({
                    "job": snapshot.details.id,
                    "jobName": snapshot.details.name,
                    "vertex": vertex.id,
                    "name": vertex.name,
                    "subtask": s.subtask,
                    "state": s.state,
                })
            }));
        }
    }
    tasks
}

/// A figure that the TaskManager sent, in either spelling of its name.
pub fn figure(process: &Value, name: &str) -> Option<i64> {
    let mut snake = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    process.get(name).or_else(|| process.get(&snake)).and_then(Value::as_i64)
}

pub async fn overview(State(jobs): Jobs) -> Json<Value> {
    Json(overview_of(&jobs).await)
}

/// The cluster in a few figures.
pub async fn overview_of(jobs: &Dispatcher) -> Value {
    let mut by_status: BTreeMap<String, usize> = BTreeMap::new();
    for snapshot in jobs.snapshots().await {
        *by_status.entry(status_name(snapshot.details.status)).or_default() += 1;
    }
    let context = jobs.context();
    let (total, free) = context.cluster.slots();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "leaderEpoch": context.leader_epoch,
        "checkpointStorage": context.checkpoints.uri(),
        "taskManagers": context.cluster.task_managers().len(),
        "slots": { "total": total, "free": free },
        "jobs": by_status,
        "taps": jobs.taps(),
    })
}

/// The process answers.
pub async fn alive() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// It takes jobs. A job manager without TaskManagers does: jobs wait for slots.
pub async fn ready() -> Json<Value> {
    Json(json!({ "status": "ready" }))
}
