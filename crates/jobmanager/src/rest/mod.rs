//! The HTTP API, `/api/v1`: what `streamctl` and people talk to. JSON in camelCase; every
//! error is `{"error": {"code", "message", "help"}}`. Served by `server.rs`.

mod cluster;
mod error;
mod jobs;
pub mod openapi;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};

use crate::dispatcher::Dispatcher;

pub use error::ApiError;

/// Greatest request body, bytes.
const BODY_LIMIT: usize = 4 << 20;

/// Every route. `openapi.rs` describes each (a test holds them equal).
pub fn router(dispatcher: Arc<Dispatcher>) -> Router {
    Router::new()
        .route("/api/v1/jobs", get(jobs::list).post(jobs::submit))
        .route("/api/v1/jobs/{job}", get(jobs::describe).delete(jobs::cancel))
        .route("/api/v1/jobs/{job}/cancel", post(jobs::cancel))
        .route("/api/v1/jobs/{job}/graph", get(jobs::graph))
        .route("/api/v1/jobs/{job}/exceptions", get(jobs::exceptions))
        .route("/api/v1/jobs/{job}/checkpoints", get(jobs::checkpoints).post(jobs::trigger))
        .route("/api/v1/jobs/{job}/checkpoints/{checkpoint}", get(jobs::checkpoint))
        .route("/api/v1/taskmanagers", get(cluster::task_managers))
        .route("/api/v1/overview", get(cluster::overview))
        .route("/api/v1/openapi.json", get(openapi::serve))
        .route("/healthz", get(cluster::alive))
        .route("/readyz", get(cluster::ready))
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(dispatcher)
}

#[cfg(test)]
mod tests;
