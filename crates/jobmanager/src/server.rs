//! Puts the job manager together and on the network. Called by `cli`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::checkpoint::CheckpointStorage;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use model::connector::Connectors;
use model::job_graph::{JobFileFormat, JobGraph};
use model::{Clock, Error, LeaderEpoch, Result, SystemClock, TaskManagerId};
use rand::TryRngCore;
use rand::rngs::OsRng;
use safety::{ClusterSecret, GuardLayer, HttpGuard, Listener, Safety};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::dispatcher::Dispatcher;
use crate::ha::job_store::InMemoryJobStore;
use crate::job_environment::JobEnvironment;
use crate::job_master::JobContext;
use crate::rest;
use crate::rpc::{self, HeartbeatTiming, TonicGateway};

/// How long open requests may take to end at shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);
/// How long the last spans may take to be sent.
const TRACES_GRACE: Duration = Duration::from_secs(3);

/// How a job manager runs. Port 0 means any free port.
#[derive(Clone)]
pub struct JobManagerOptions {
    /// For TaskManagers (gRPC).
    pub rpc_addr: SocketAddr,
    /// For people and `streamctl` (HTTP).
    pub http_addr: SocketAddr,
    /// Where checkpoints go: an object store URI with prefix.
    pub storage: String,
    pub heartbeat_interval_ms: u32,
    /// A TaskManager silent for longer is lost.
    pub heartbeat_timeout_ms: u32,
    /// Whether people may look at rows that pass (`POST .../taps`).
    pub taps: bool,
    /// Which of its environment variables jobs may read.
    pub job_environment: JobEnvironment,
    /// Who may talk to it; needed beyond loopback.
    pub safety: Safety,
    pub clock: Arc<dyn Clock>,
}

impl JobManagerOptions {
    /// Loopback, any ports, the wall clock, heartbeats every 200 ms, lost after 1500 ms.
    pub fn new(storage: impl Into<String>) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            rpc_addr: any,
            http_addr: any,
            storage: storage.into(),
            heartbeat_interval_ms: 200,
            heartbeat_timeout_ms: 1500,
            taps: true,
            job_environment: JobEnvironment::default(),
            safety: Safety::default(),
            clock: Arc::new(SystemClock),
        }
    }
}

/// What the job manager is given and does not know.
#[derive(Clone)]
pub struct JobManagerParts {
    pub connectors: Arc<dyn Connectors>,
    pub planner: Arc<dyn Planner>,
}

/// From the text of a job file to a JobGraph.
pub trait Planner: Send + Sync {
    /// May take as long as planning takes; called on a thread that may block.
    fn plan(&self, job_file: &str) -> std::result::Result<JobGraph, PlanFailure>;

    /// As [`Self::plan`], for a text in that language, with the doubts about a good one.
    /// `env` gives the variables that the text may name.
    fn plan_as(
        &self,
        format: JobFileFormat,
        text: &str,
        _env: &dyn Fn(&str) -> Option<String>,
    ) -> std::result::Result<PlannedJob, PlanFailure> {
        match format {
            JobFileFormat::Yaml => {
                self.plan(text).map(|graph| PlannedJob { graph, warnings: Vec::new() })
            }
            JobFileFormat::Sql => {
                let text = "this job manager plans no SQL scripts; submit a job file".to_owned();
                let diagnostics = serde_json::json!([{
                    "code": "E0101", "message": text, "line": 1, "column": 1, "length": 1,
                }]);
                Err(PlanFailure { text, diagnostics })
            }
        }
    }

    /// The JSON Schema of job files.
    fn schema(&self) -> serde_json::Value {
        serde_json::json!({ "type": "object" })
    }
}

/// A job file that is one.
#[derive(Clone, Debug)]
pub struct PlannedJob {
    pub graph: JobGraph,
    /// For programs, in the form of [`PlanFailure::diagnostics`].
    pub warnings: Vec<serde_json::Value>,
}

/// Why a job file is no job.
#[derive(Clone, Debug)]
pub struct PlanFailure {
    /// The diagnostics as shown in a terminal.
    pub text: String,
    /// The same for programs.
    pub diagnostics: serde_json::Value,
}

/// A job manager that serves.
pub struct RunningJobManager {
    pub rpc_addr: SocketAddr,
    pub http_addr: SocketAddr,
    dispatcher: Arc<Dispatcher>,
    stop: CancellationToken,
    servers: Vec<(&'static str, JoinHandle<Result<()>>)>,
}

impl RunningJobManager {
    /// For a process that holds the job manager itself (`streamctl run`).
    pub fn dispatcher(&self) -> &Arc<Dispatcher> {
        &self.dispatcher
    }

    /// Stops serving. Running jobs end with their TaskManagers, which miss the heartbeats;
    /// their checkpoints stay.
    pub async fn shutdown(self) -> Result<()> {
        self.stop.cancel();
        let ended = self.wait().await;
        telemetry::flush_traces(TRACES_GRACE).await;
        ended
    }

    /// Ends when the job manager does: after a shutdown, or because it cannot serve any more.
    pub async fn wait(mut self) -> Result<()> {
        let servers = std::mem::take(&mut self.servers);
        let stops: Vec<_> = servers.iter().map(|(_, server)| server.abort_handle()).collect();
        let mut ends: FuturesUnordered<_> = servers
            .into_iter()
            .map(|(name, server)| async move {
                match server.await {
                    Ok(ended) => ended.map_err(|e| e.at(name)),
                    Err(e) if e.is_cancelled() => Ok(()),
                    Err(e) => Err(Error::internal(format!("{name} broke off")).caused_by(e)),
                }
            })
            .collect();
        let stop = self.stop.clone();
        let late = async move {
            stop.cancelled().await;
            tokio::time::sleep(SHUTDOWN_GRACE).await;
            stops.iter().for_each(tokio::task::AbortHandle::abort);
            std::future::pending::<()>().await;
        };
        tokio::pin!(late);
        let mut outcome = Ok(());
        loop {
            tokio::select! { biased;
                ended = ends.next() => match ended {
                    // One that ends takes the others with it.
                    Some(ended) => {
                        self.stop.cancel();
                        outcome = outcome.and(ended);
                    }
                    None => break,
                },
                () = &mut late => {}
            }
        }
        outcome
    }
}

impl Drop for RunningJobManager {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Binds both addresses and serves.
///
/// # Errors
/// User: an address or the storage cannot be used, or an address can be reached from other
/// machines without what that needs; the text names it.
pub async fn start(
    options: JobManagerOptions,
    parts: JobManagerParts,
) -> Result<RunningJobManager> {
    let safety = options.safety;
    safety.admit_job_manager(&[
        Listener { flag: "--http-addr", addr: options.http_addr },
        Listener { flag: "--rpc-addr", addr: options.rpc_addr },
    ])?;
    let storage = CheckpointStorage::open(&options.storage)
        .map_err(|e| e.at(format!("checkpoint storage {}", options.storage)))?;
    let rpc_listener = bind("--rpc-addr", options.rpc_addr).await?;
    let http_listener = bind("--http-addr", options.http_addr).await?;
    let rpc_addr = local_addr(&rpc_listener)?;
    let http_addr = local_addr(&http_listener)?;

    let clock = options.clock;
    let leader_epoch = LeaderEpoch(u64::try_from(clock.now_ms()).unwrap_or_default().max(1));
    let timeout_ms = options.heartbeat_timeout_ms;
    let cluster = Arc::new(Cluster::new(leader_epoch, i64::from(timeout_ms), clock.clone()));
    let context = JobContext {
        leader_epoch,
        cluster: cluster.clone(),
        gateway: Arc::new(TonicGateway::new(leader_epoch, safety.cluster_secret.clone())),
        checkpoints: Arc::new(storage),
        connectors: parts.connectors,
        clock,
        random: Arc::new(random),
    };
    let store = Arc::new(InMemoryJobStore::default());
    let dispatcher = Dispatcher::new(context, parts.planner, store)
        .with_taps(options.taps)
        .with_job_environment(options.job_environment);
    let dispatcher = Arc::new(dispatcher);

    let stop = CancellationToken::new();
    let timing = HeartbeatTiming { interval_ms: options.heartbeat_interval_ms, timeout_ms };
    let guard = HttpGuard::new(&safety, http_addr);
    let rpc_rules = RpcRules { timing, secret: safety.cluster_secret };
    let servers = vec![
        ("RPC server", serve_rpc(rpc_listener, dispatcher.clone(), rpc_rules, stop.clone())),
        ("HTTP server", serve_http(http_listener, dispatcher.clone(), guard, stop.clone())),
        ("observer", observe(dispatcher.clone(), stop.clone())),
        ("heartbeat watch", watch(cluster, timing, stop.clone())),
    ];
    tracing::info!(%rpc_addr, %http_addr, %leader_epoch, "job manager started");
    Ok(RunningJobManager { rpc_addr, http_addr, dispatcher, stop, servers })
}

/// From the operating system: ids must not repeat over job manager lives.
fn random() -> u128 {
    let mut bytes = [0; 16];
    OsRng.try_fill_bytes(&mut bytes).expect("the operating system has randomness");
    u128::from_be_bytes(bytes)
}

async fn bind(flag: &str, addr: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(addr).await.map_err(|e| {
        Error::user(format!("cannot listen on {addr}; choose another {flag} (port 0: any)"))
            .caused_by(e)
    })
}

fn local_addr(listener: &TcpListener) -> Result<SocketAddr> {
    listener.local_addr().map_err(|e| Error::internal("a bound socket has no address").caused_by(e))
}

/// What TaskManagers are told, and what they must know.
struct RpcRules {
    timing: HeartbeatTiming,
    secret: Option<ClusterSecret>,
}

fn serve_rpc(
    listener: TcpListener,
    dispatcher: Arc<Dispatcher>,
    rules: RpcRules,
    stop: CancellationToken,
) -> JoinHandle<Result<()>> {
    tokio::spawn(async move {
        // tonic sets options such as TCP_NODELAY only on connections it accepts itself.
        let incoming = tokio_stream::StreamExt::map(TcpListenerStream::new(listener), |stream| {
            stream.inspect(|s| {
                if let Err(error) = s.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY is not set");
                }
            })
        });
        tonic::transport::Server::builder()
            // Before every service, whatever is added below.
            .layer(GuardLayer::new(rules.secret))
            .serve_with_incoming_shutdown(
                rpc::service(dispatcher, rules.timing),
                incoming,
                stop.cancelled_owned(),
            )
            .await
            .map_err(|e| Error::external("stopped serving").caused_by(e))
    })
}

fn serve_http(
    listener: TcpListener,
    dispatcher: Arc<Dispatcher>,
    guard: HttpGuard,
    stop: CancellationToken,
) -> JoinHandle<Result<()>> {
    tokio::spawn(async move {
        let router = rest::auth::guarded(rest::router(dispatcher), guard);
        axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>())
            .with_graceful_shutdown(stop.cancelled_owned())
            .await
            .map_err(|e| Error::external("stopped serving").caused_by(e))
    })
}

/// Looks at the jobs once a second, and tells who wants to know.
fn observe(dispatcher: Arc<Dispatcher>, stop: CancellationToken) -> JoinHandle<Result<()>> {
    let observer = dispatcher.observer().clone();
    tokio::spawn(observer.run(dispatcher, stop))
}

/// Looks for silent TaskManagers often enough that one is found soon after its timeout, and
/// knocks at those that missed two heartbeats: a killed process is found before it.
fn watch(
    cluster: Arc<Cluster>,
    timing: HeartbeatTiming,
    stop: CancellationToken,
) -> JoinHandle<Result<()>> {
    tokio::spawn(async move {
        let pause = Duration::from_millis(u64::from(timing.timeout_ms / 10).max(10));
        let mut ticks = tokio::time::interval(pause);
        let missed_two_ms = i64::from(timing.interval_ms) * 5 / 2;
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! { biased;
                () = stop.cancelled() => return Ok(()),
                _ = ticks.tick() => {
                    cluster.tick();
                    for (id, addr) in cluster.silent(missed_two_ms) {
                        tokio::spawn(knock(cluster.clone(), id, addr, pause));
                    }
                }
            }
        }
    })
}

/// A refused connection means that the process is gone; no answer may mean anything.
async fn knock(cluster: Arc<Cluster>, id: TaskManagerId, addr: String, within: Duration) {
    if let Ok(Err(error)) = tokio::time::timeout(within, TcpStream::connect(&addr)).await
        && error.kind() == std::io::ErrorKind::ConnectionRefused
    {
        cluster.unreachable(None, id, format!("silent, and nobody listens at {addr}"));
    }
}
