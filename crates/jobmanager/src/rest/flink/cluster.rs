//! The cluster in the facade: overview, configuration, the job manager's process. Pages that
//! Flink has and Weir has nothing for (jars, data sets) are there and empty.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use model::execution_state::JobStatus;
use serde_json::{Value, json};

use super::{Answer, Facade, Shared, request};

/// The version of Flink whose API this is; ours stands beside it.
const FLINK_VERSION: &str = "2.2-compatible";
const OUR_VERSION: &str = env!("CARGO_PKG_VERSION");

/// How often pages ask again, milliseconds.
const REFRESH_MS: u32 = 3_000;

pub async fn overview(State(facade): Shared) -> Json<Value> {
    let (mut running, mut finished, mut canceled, mut failed) = (0, 0, 0, 0);
    for job in facade.dispatcher.snapshots().await {
        match job.details.status {
            JobStatus::Finished => finished += 1,
            JobStatus::Canceled => canceled += 1,
            JobStatus::Failed => failed += 1,
            _ => running += 1,
        }
    }
    let cluster = &facade.dispatcher.context().cluster;
    let (total, free) = cluster.slots();
    Json(json!({
        "taskmanagers": cluster.task_managers().len(),
        "slots-total": total,
        "slots-available": free,
        "jobs-running": running,
        "jobs-finished": finished,
        "jobs-cancelled": canceled,
        "jobs-failed": failed,
        "flink-version": FLINK_VERSION,
        "flink-commit": format!("weir-{OUR_VERSION}"),
        "weir-version": OUR_VERSION,
    }))
}

pub async fn config() -> Json<Value> {
    Json(json!({
        "refresh-interval": REFRESH_MS,
        "timezone-name": "Coordinated Universal Time",
        "timezone-offset": 0,
        "flink-version": FLINK_VERSION,
        "flink-revision": format!("weir-{OUR_VERSION}"),
        "weir-version": OUR_VERSION,
        "features": {
            "web-submit": false,
            "web-cancel": true,
            "web-rescale": false,
            "web-history": false,
        },
    }))
}

pub async fn datasets() -> Json<Value> {
    Json(json!({ "dataSets": [] }))
}

/// The address at which the client found us.
fn address(headers: &HeaderMap) -> String {
    let host = headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    format!("http://{host}")
}

pub async fn jars(headers: HeaderMap) -> Json<Value> {
    Json(json!({ "address": address(&headers), "files": [] }))
}

fn configuration(facade: &Facade) -> Value {
    let context = facade.dispatcher.context();
    let entry = |key: &str, value: String| json!({ "key": key, "value": value });
    json!([
        entry("execution.checkpointing.dir", context.checkpoints.uri().to_owned()),
        entry("execution.checkpointing.storage", "filesystem".to_owned()),
        entry("web.submit.enable", "false".to_owned()),
        entry("web.cancel.enable", "true".to_owned()),
        entry("web.refresh-interval", REFRESH_MS.to_string()),
        entry("weir.version", OUR_VERSION.to_owned()),
        entry("weir.leader-epoch", context.leader_epoch.to_string()),
    ])
}

pub async fn job_manager_config(State(facade): Shared) -> Json<Value> {
    Json(configuration(&facade))
}

pub async fn job_manager_config_of_job(State(facade): Shared, Path(job): Path<String>) -> Answer {
    request::job(&facade, &job).await?;
    Ok(Json(configuration(&facade)))
}

/// There is no JVM: the version says so, and there are neither options nor a class path.
fn process() -> Value {
    json!({
        "jvm": {
            "version": format!("none (weir {OUR_VERSION})"),
            "arch": std::env::consts::ARCH,
            "options": [],
        },
        "classpath": [],
    })
}

pub async fn environment() -> Json<Value> {
    Json(process())
}

pub async fn environment_of_job(State(facade): Shared, Path(job): Path<String>) -> Answer {
    request::job(&facade, &job).await?;
    Ok(Json(process()))
}

pub async fn job_manager_log_url(
    State(facade): Shared,
    Path(job): Path<String>,
    headers: HeaderMap,
) -> Answer {
    request::job(&facade, &job).await?;
    Ok(Json(json!({ "url": format!("{}/jobmanager/logs", address(&headers)) })))
}

pub async fn task_manager_log_url(
    State(facade): Shared,
    Path((job, task_manager)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    request::job(&facade, &job).await?;
    let managers = facade.dispatcher.context().cluster.task_managers();
    let found = managers.iter().find(|t| t.info.id.0 == task_manager);
    let found = found.ok_or_else(|| super::task_managers::missing(&task_manager))?;
    let id = &found.info.id;
    Ok(Json(json!({ "url": format!("{}/taskmanagers/{id}/logs", address(&headers)) })))
}
