//! The Flink-compatible facade: Flink's REST API as its dashboards, clients and scripts know
//! it, answered from what Weir knows. Mounted at `/` and `/v1` by `rest/mod.rs`; every error
//! is Flink's `{"errors": [..]}`. What is answered and what is refused is listed in
//! `docs/operations/flink-rest.md`; `tests/facade` holds the shapes to those of a real Flink.

mod checkpoints;
mod cluster;
mod error;
mod exceptions;
mod figures;
mod flame_graph;
mod inspection;
mod jobs;
mod metric_names;
mod metrics;
mod plan;
mod refused;
mod request;
mod states;
mod subtasks;
mod task_managers;
mod triggers;
mod vertices;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, patch, post};

use crate::dispatcher::Dispatcher;

pub(super) use error::unknown_path;
use error::{FlinkError, not_found};
use triggers::Triggers;

/// What every handler of the facade works with.
pub(crate) struct Facade {
    dispatcher: Arc<Dispatcher>,
    triggers: Triggers,
    flame_graphs: flame_graph::FlameGraphs,
}

type Shared = State<Arc<Facade>>;
type Answer = Result<axum::Json<serde_json::Value>, FlinkError>;

impl Facade {
    fn now_ms(&self) -> i64 {
        self.dispatcher.context().clock.now_ms()
    }
}

/// Every route of the facade, at `/` and at `/v1`.
pub(super) fn router<S: Clone + Send + Sync + 'static>(dispatcher: Arc<Dispatcher>) -> Router<S> {
    let facade = Arc::new(Facade {
        dispatcher,
        triggers: Triggers::default(),
        flame_graphs: Default::default(),
    });
    let routes = cluster_routes()
        .merge(job_routes())
        .merge(vertex_routes())
        .method_not_allowed_fallback(not_found);
    Router::new().merge(routes.clone()).nest("/v1", routes).with_state(facade)
}

fn cluster_routes() -> Router<Arc<Facade>> {
    Router::new()
        .route("/overview", get(cluster::overview))
        .route("/config", get(cluster::config))
        .route("/cluster", axum::routing::delete(refused::shutdown))
        .route("/datasets", get(cluster::datasets))
        .route("/jars", get(cluster::jars))
        .route("/jobmanager/config", get(cluster::job_manager_config))
        .route("/jobmanager/environment", get(cluster::environment))
        .route("/jobmanager/log", get(inspection::job_manager_main_log))
        .route("/jobmanager/logs", get(inspection::job_manager_logs))
        .route("/jobmanager/logs/{log}", get(inspection::job_manager_log))
        .route("/jobmanager/metrics", get(metrics::job_manager))
        .route("/jobmanager/stdout", get(inspection::job_manager_stdout))
        .route("/jobmanager/thread-dump", get(inspection::job_manager_threads))
        .route("/savepoint-disposal", post(refused::savepoint_disposal))
        .route("/savepoint-disposal/{trigger}", get(refused::savepoint_status))
        .route("/taskmanagers", get(task_managers::list))
        .route("/taskmanagers/metrics", get(metrics::task_managers))
        .route("/taskmanagers/{taskmanager}", get(task_managers::details))
        .route("/taskmanagers/{taskmanager}/log", get(inspection::task_manager_main_log))
        .route("/taskmanagers/{taskmanager}/logs", get(inspection::task_manager_logs))
        .route("/taskmanagers/{taskmanager}/logs/{log}", get(inspection::task_manager_log))
        .route("/taskmanagers/{taskmanager}/metrics", get(metrics::task_manager))
        .route("/taskmanagers/{taskmanager}/stdout", get(inspection::task_manager_stdout))
        .route("/taskmanagers/{taskmanager}/thread-dump", get(inspection::task_manager_threads))
}

fn job_routes() -> Router<Arc<Facade>> {
    Router::new()
        .route("/jobs", get(jobs::list))
        .route("/jobs/metrics", get(metrics::jobs))
        .route("/jobs/overview", get(jobs::overview))
        .route("/jobs/{job}", get(jobs::details).patch(jobs::cancel))
        .route("/jobs/{job}/accumulators", get(jobs::accumulators))
        .route("/jobs/{job}/checkpoints", get(checkpoints::statistics).post(triggers::checkpoint))
        .route("/jobs/{job}/checkpoints/config", get(checkpoints::config))
        .route("/jobs/{job}/checkpoints/details/{checkpoint}", get(checkpoints::details))
        .route(
            "/jobs/{job}/checkpoints/details/{checkpoint}/subtasks/{vertex}",
            get(checkpoints::subtasks),
        )
        .route("/jobs/{job}/checkpoints/{trigger}", get(triggers::checkpoint_status))
        .route("/jobs/{job}/config", get(jobs::config))
        .route("/jobs/{job}/exceptions", get(exceptions::history))
        .route("/jobs/{job}/execution-result", get(jobs::execution_result))
        .route("/jobs/{job}/jobmanager/config", get(cluster::job_manager_config_of_job))
        .route("/jobs/{job}/jobmanager/environment", get(cluster::environment_of_job))
        .route("/jobs/{job}/jobmanager/log-url", get(cluster::job_manager_log_url))
        .route("/jobs/{job}/metrics", get(metrics::job))
        .route("/jobs/{job}/plan", get(plan::of_job))
        .route("/jobs/{job}/rescaling", patch(refused::rescaling))
        .route(
            "/jobs/{job}/resource-requirements",
            get(refused::requirements).put(refused::requirements),
        )
        .route("/jobs/{job}/savepoints", post(refused::savepoint))
        .route("/jobs/{job}/savepoints/{trigger}", get(refused::savepoint_of_job))
        .route("/jobs/{job}/status", get(jobs::status))
        .route("/jobs/{job}/stop", post(refused::savepoint))
        .route("/jobs/{job}/taskmanagers/{taskmanager}/log-url", get(cluster::task_manager_log_url))
        .route("/jobs/{job}/yarn-cancel", get(jobs::yarn_cancel).delete(jobs::yarn_cancel))
}

fn vertex_routes() -> Router<Arc<Facade>> {
    let vertex = Router::new()
        .route("/", get(vertices::details))
        .route("/accumulators", get(vertices::accumulators))
        .route("/backpressure", get(vertices::backpressure))
        .route("/flamegraph", get(flame_graph::of_vertex))
        .route("/jm-operator-metrics", get(vertices::job_manager_metrics))
        .route("/metrics", get(metrics::vertex))
        .route("/subtasks/accumulators", get(subtasks::accumulators))
        .route("/subtasks/metrics", get(metrics::subtasks))
        .route("/subtasks/{subtask}", get(subtasks::details))
        .route("/subtasks/{subtask}/metrics", get(metrics::subtask))
        .route("/subtasks/{subtask}/attempts/{attempt}", get(subtasks::attempt))
        .route(
            "/subtasks/{subtask}/attempts/{attempt}/accumulators",
            get(subtasks::attempt_accumulators),
        )
        .route("/subtasktimes", get(subtasks::times))
        .route("/taskmanagers", get(vertices::task_managers))
        .route("/watermarks", get(vertices::watermarks));
    Router::new().nest("/jobs/{job}/vertices/{vertex}", vertex)
}

#[cfg(test)]
mod tests;
