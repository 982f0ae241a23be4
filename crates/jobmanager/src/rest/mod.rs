//! The HTTP API, `/api/v1`: what `streamctl` and people talk to. JSON in camelCase; every
//! error is `{"error": {"code", "message", "help"}}`. Served by `server.rs`.

pub(crate) mod auth;
mod authoring;
mod body;
mod bounds;
mod checkpoints;
mod cluster;
mod error;
mod events;
mod flink;
mod inspection;
mod jobs;
mod metrics;
pub mod openapi;
mod results;
mod secrets;
mod taps;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::map_response;
use axum::routing::{get, post};

use crate::dispatcher::Dispatcher;

pub use cluster::figure;
pub use error::ApiError;

/// Greatest request body, bytes.
const BODY_LIMIT: usize = 4 << 20;

/// Every route. `openapi.rs` describes each (a test holds them equal).
pub fn router(dispatcher: Arc<Dispatcher>) -> Router {
    Router::new()
        .route("/api/v1/jobs", get(jobs::list).post(jobs::submit))
        .route("/api/v1/jobs/validate", post(authoring::validate))
        .route("/api/v1/jobs/{job}", get(jobs::describe).delete(jobs::cancel))
        .route("/api/v1/jobs/{job}/cancel", post(jobs::cancel))
        .route("/api/v1/jobs/{job}/graph", get(jobs::graph))
        .route("/api/v1/jobs/{job}/exceptions", get(jobs::exceptions))
        .route("/api/v1/jobs/{job}/source", get(jobs::source))
        .route("/api/v1/jobs/{job}/config", get(jobs::config))
        .route("/api/v1/jobs/{job}/timeline", get(jobs::timeline))
        .route("/api/v1/jobs/{job}/why", get(jobs::why))
        .route("/api/v1/jobs/{job}/metrics/history", get(jobs::history))
        .route("/api/v1/jobs/{job}/events", get(events::job))
        .route("/api/v1/jobs/{job}/taps", post(taps::open))
        .route("/api/v1/jobs/{job}/results", post(results::open))
        .route("/api/v1/jobs/{job}/checkpoints", get(checkpoints::list).post(checkpoints::trigger))
        .route("/api/v1/jobs/{job}/checkpoints/summary", get(checkpoints::summary))
        .route("/api/v1/jobs/{job}/checkpoints/{checkpoint}", get(checkpoints::get))
        .route("/api/v1/slos", get(jobs::slos))
        .route("/api/v1/events", get(events::all))
        .route("/api/v1/schema/job.json", get(authoring::schema))
        .route("/api/v1/taskmanagers", get(cluster::task_managers))
        .route("/api/v1/taskmanagers/{taskManager}", get(cluster::task_manager))
        .route("/api/v1/taskmanagers/{taskManager}/logs", get(inspection::task_manager_logs))
        .route("/api/v1/taskmanagers/{taskManager}/logs/{log}", get(inspection::task_manager_log))
        .route("/api/v1/taskmanagers/{taskManager}/dump", get(inspection::dump))
        .route("/api/v1/taskmanagers/{taskManager}/profile", get(inspection::profile))
        .route("/api/v1/jobmanager/logs", get(inspection::job_manager_logs))
        .route("/api/v1/jobmanager/logs/{log}", get(inspection::job_manager_log))
        .route("/api/v1/overview", get(cluster::overview))
        .route("/api/v1/openapi.json", get(openapi::serve))
        .route("/metrics", get(metrics::scrape))
        .route("/healthz", get(cluster::alive))
        .route("/readyz", get(cluster::ready))
        .merge(webui::router())
        .merge(flink::router(dispatcher.clone()))
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(map_response(error::as_json))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(dispatcher)
}

#[cfg(test)]
mod tests;
