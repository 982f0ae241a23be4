//! `GET /metrics` of a task manager, on a port of its own (`--metrics-addr`): its slots,
//! network, storage and process. Its tasks are shown by the job manager, which hears of them
//! with every heartbeat. Started by `lib.rs`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use model::{Error, Result};
use safety::{HttpGuard, Listener, Safety};
use telemetry::catalog;
use telemetry::prometheus::{CONTENT_TYPE, Exposition};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::task_executor::TaskExecutor;
use crate::traffic;

/// A bound listener that does not serve yet.
pub(crate) struct MetricsListener {
    listener: TcpListener,
    addr: SocketAddr,
    guard: HttpGuard,
}

/// Binds `addr`, if one is wanted. Fails with kind User when it cannot be listened on, or
/// can be reached from elsewhere without what that needs.
pub(crate) async fn bind(
    safety: &Safety,
    addr: Option<SocketAddr>,
) -> Result<Option<MetricsListener>> {
    let Some(addr) = addr else { return Ok(None) };
    safety.admit_metrics(Listener { flag: "--metrics-addr", addr })?;
    let unusable = |e: std::io::Error| {
        Error::user(format!("cannot listen on {addr}; choose another --metrics-addr")).caused_by(e)
    };
    let listener = TcpListener::bind(addr).await.map_err(unusable)?;
    let addr = listener.local_addr().map_err(unusable)?;
    Ok(Some(MetricsListener { listener, addr, guard: HttpGuard::new(safety, addr) }))
}

#[derive(Clone)]
struct Served {
    executor: Arc<TaskExecutor>,
    folders: Arc<[PathBuf]>,
}

impl MetricsListener {
    /// Serves until `stopping`; answers where.
    pub(crate) fn serve(
        self,
        executor: Arc<TaskExecutor>,
        folders: Vec<PathBuf>,
        stopping: CancellationToken,
    ) -> SocketAddr {
        let served = Served { executor, folders: folders.into() };
        let router = Router::new()
            .route("/metrics", get(scrape))
            .route("/healthz", get(|| async { "ok" }))
            .with_state(served)
            .layer(middleware::from_fn_with_state(self.guard, gate));
        tokio::spawn(async move {
            let server = axum::serve(self.listener, router)
                .with_graceful_shutdown(stopping.cancelled_owned());
            if let Err(error) = server.await {
                tracing::error!(%error, "metrics are not served any more");
            }
        });
        self.addr
    }
}

async fn gate(State(guard): State<HttpGuard>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    match guard.check(request.method(), &path, request.headers()) {
        Ok(_) => next.run(request).await,
        Err(refusal) => {
            tracing::debug!(path, ?refusal, "refused a request");
            let status = match refusal {
                safety::Refusal::Host(_) | safety::Refusal::Origin(_) => StatusCode::FORBIDDEN,
                _ => StatusCode::UNAUTHORIZED,
            };
            status.into_response()
        }
    }
}

async fn scrape(State(served): State<Served>) -> Response {
    let text = render(&served.executor, &served.folders);
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response()
}

fn render(executor: &TaskExecutor, folders: &[PathBuf]) -> String {
    let mut exposition = Exposition::new();
    let totals = executor.totals();
    let slots = executor.slots as usize;
    let free = slots.saturating_sub(totals.slots_taken);
    for (state, count) in [("total", slots), ("free", free)] {
        exposition.add(&catalog::TASKMANAGER_SLOTS, &[("state", state)], count as f64);
    }
    exposition.add(&catalog::TASKMANAGER_TASKS, &[], totals.tasks as f64);
    let consumers = [
        ("state", totals.state_bytes),
        ("network", totals.queued_bytes),
        ("rocksdb", totals.cold_bytes),
    ];
    for (consumer, bytes) in consumers {
        let labels = [("consumer", consumer)];
        exposition.add(&catalog::TASKMANAGER_MEMORY, &labels, bytes as f64);
    }
    let (received, sent) = traffic::totals();
    for (direction, bytes) in [("in", received), ("out", sent)] {
        let labels = [("direction", direction)];
        exposition.add(&catalog::TASKMANAGER_NETWORK, &labels, bytes as f64);
    }
    storage::requests::add_metrics(&mut exposition);
    let folders: Vec<&Path> = folders.iter().map(PathBuf::as_path).collect();
    telemetry::add_process_metrics(&mut exposition, &folders);
    exposition.render()
}
