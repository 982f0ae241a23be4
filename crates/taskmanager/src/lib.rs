//! The TaskManager: a process that offers slots, runs tasks in them and exchanges data with
//! other TaskManagers. Started by `streamctl taskmanager` and by the embedded cluster.
//!
//! | file | does |
//! |---|---|
//! | `heartbeat.rs`, `session.rs` | registration, and what happens when the leader is lost |
//! | `rpc.rs`, `task_executor.rs` | the job manager's calls; tasks from deployment to end |
//! | `slot_table.rs`, `attempts.rs` | who holds which slot; what was deployed before |
//! | `exchange.rs`, `data_server.rs` | the data plane, producing and consuming side |
//! | `metrics_server.rs` | `/metrics` |

mod attempts;
mod credits;
mod data_server;
mod exchange;
mod gates;
mod heartbeat;
mod job_manager;
mod metrics_server;
mod process;
mod results;
mod rpc;
mod session;
mod slot_table;
mod snapshots;
mod tap;
mod task_executor;
mod traffic;
mod wire;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::config::StateBackendKind;
use model::connector::Connectors;
use model::expression::Expressions;
use model::{Clock, Error, Result, SystemClock, TaskManagerId};
use proto::v1::data_service_server::DataServiceServer;
use proto::v1::task_manager_service_server::TaskManagerServiceServer;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use runtime::core_threads::CoreThreads;
use safety::{GuardLayer, Listener, Safety};
use state::StateBackend;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use crate::data_server::DataServer;
use crate::exchange::DataExchange;
use crate::gates::GateRegistry;
use crate::heartbeat::Introduction;
use crate::job_manager::JobManagerClient;
use crate::rpc::TaskManagerRpc;
use crate::session::Sessions;
use crate::slot_table::SlotTable;
use crate::snapshots::Storages;
use crate::task_executor::{TaskExecutor, Tasks};

/// How long canceled tasks and open connections may take when we stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// A peer that stands still without closing its socket is noticed after about this long.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// How a TaskManager is run.
#[derive(Clone)]
pub struct TaskManagerOptions {
    /// Names this process; a restarted process takes a new one ([`random_id`]).
    pub id: TaskManagerId,
    /// `host:port` of the job manager's RPC.
    pub jobmanager: String,
    /// Where to listen, for calls and for data. Port 0: any.
    pub rpc_addr: SocketAddr,
    /// Under which host others reach us; `None`: the address listened on, or, when that is
    /// all of them, the one from which the job manager is reached.
    pub advertised_host: Option<String>,
    pub slots: u32,
    /// Core threads; `None`: as many as slots, at most as many as the machine has cores.
    pub cores: Option<usize>,
    /// Where to serve `/metrics`; `None`: nowhere. Port 0: any.
    pub metrics_addr: Option<SocketAddr>,
    /// Folder that local state is written to; its disk is watched.
    pub state_dir: Option<PathBuf>,
    /// Whether people may look at rows that pass.
    pub taps: bool,
    /// Off: tasks leave out the figures that cost something. For measuring what they cost.
    pub task_metrics: bool,
    /// Who may talk to it, and how it proves that it belongs to its cluster.
    pub safety: Safety,
    pub clock: Arc<dyn Clock>,
}

impl TaskManagerOptions {
    /// Loopback, any port, the wall clock, a random id.
    pub fn new(jobmanager: impl Into<String>, slots: u32) -> Self {
        Self {
            id: random_id(),
            jobmanager: jobmanager.into(),
            rpc_addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            advertised_host: None,
            slots,
            cores: None,
            metrics_addr: None,
            state_dir: None,
            taps: true,
            task_metrics: true,
            safety: Safety::default(),
            clock: Arc::new(SystemClock),
        }
    }
}

/// What tasks need and only the binary knows.
#[derive(Clone)]
pub struct TaskManagerParts {
    pub connectors: Arc<dyn Connectors>,
    pub expressions: Arc<dyn Expressions>,
    /// Opens the backend of a kind; called once per task.
    pub backends: Backends,
}

/// Fails with kind User when the kind is not built in.
pub type Backends = Arc<dyn Fn(StateBackendKind) -> Result<Arc<dyn StateBackend>> + Send + Sync>;

/// A new TaskManager's id: `tm-` and 12 hexadecimal digits.
pub fn random_id() -> TaskManagerId {
    let number: u64 = SmallRng::from_os_rng().random();
    TaskManagerId(format!("tm-{:012x}", number >> 16))
}

/// A running TaskManager. Dropping it ends it at once, as a crash would; see [`Self::shutdown`].
pub struct RunningTaskManager {
    /// `host:port` under which it is known to the others, for calls and for data.
    pub rpc_addr: String,
    /// Where `/metrics` is served, if it is.
    pub metrics_addr: Option<SocketAddr>,
    pub id: TaskManagerId,
    executor: Arc<TaskExecutor>,
    stopping: CancellationToken,
    server: Mutex<Option<JoinHandle<Result<()>>>>,
}

impl RunningTaskManager {
    /// Stops in good order: cancels the tasks, tells the job manager, closes connections.
    pub async fn shutdown(&self) {
        self.executor.stop(STOP_TIMEOUT).await;
        self.stopping.cancel();
        let server = self.take_server();
        if let Some(mut server) = server
            && tokio::time::timeout(STOP_TIMEOUT, &mut server).await.is_err()
        {
            server.abort();
        }
    }

    /// Waits until it stops: after [`Self::shutdown`] from elsewhere, or because its server
    /// failed (External).
    pub async fn wait(&self) -> Result<()> {
        match self.take_server() {
            Some(server) => server
                .await
                .map_err(|e| Error::internal("the server was cut short").caused_by(e))?,
            None => {
                self.stopping.cancelled().await;
                Ok(())
            }
        }
    }

    fn take_server(&self) -> Option<JoinHandle<Result<()>>> {
        self.server.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
    }
}

impl Drop for RunningTaskManager {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

/// Binds, starts to listen and to register, and returns; the job manager need not be there
/// yet. Must be called on a multi-threaded tokio runtime, which carries all I/O.
/// Fails with kind User when an address or option cannot be used.
pub async fn start(
    options: TaskManagerOptions,
    parts: TaskManagerParts,
) -> Result<RunningTaskManager> {
    if options.slots == 0 {
        return Err(Error::user("a task manager needs at least one slot; set --slots"));
    }
    let safety = &options.safety;
    safety.admit_task_manager(Listener { flag: "--rpc-addr", addr: options.rpc_addr })?;
    let metrics = metrics_server::bind(safety, options.metrics_addr).await?;
    let secret = safety.cluster_secret.clone();
    let client = JobManagerClient::new(options.id.clone(), &options.jobmanager, secret.clone())?;
    let listener = TcpListener::bind(options.rpc_addr).await.map_err(|e| {
        Error::user(format!("cannot listen on {}; choose another --rpc-addr", options.rpc_addr))
            .caused_by(e)
    })?;
    let bound = listener
        .local_addr()
        .map_err(|e| Error::external("a listening socket has no address").caused_by(e))?;
    let rpc_addr = advertised(&options, bound).await;
    let stopping = CancellationToken::new();
    let gates = Arc::<GateRegistry>::default();
    let io = tokio::runtime::Handle::current();
    let exchange = Arc::new(DataExchange::new(
        rpc_addr.clone(),
        io.clone(),
        Arc::clone(&gates),
        secret.clone(),
        stopping.clone(),
    ));
    let cores = CoreThreads::new(core_count(&options))?;
    let slots = SlotTable::new(options.slots, cores.count());
    let executor = Arc::new(TaskExecutor {
        sessions: Sessions::new(stopping.clone()),
        client: client.clone(),
        parts,
        clock: Arc::clone(&options.clock),
        taps: options.taps,
        task_metrics: options.task_metrics,
        started_at_ms: options.clock.now_ms(),
        slots: options.slots,
        exchange,
        cores,
        io,
        storages: Storages::default(),
        alignment: Arc::default(),
        tasks: Mutex::new(Tasks::new(slots)),
        ended: Notify::new(),
        stopping: AtomicBool::new(false),
    });
    let metrics_addr = metrics.map(|listener| {
        let folders = options.state_dir.clone().into_iter().collect();
        listener.serve(Arc::clone(&executor), folders, stopping.clone())
    });
    let data = DataServer { gates, stopping: stopping.clone() };
    let guard = GuardLayer::new(secret);
    let server = serve(listener, Arc::clone(&executor), (data, guard), stopping.clone());
    let introduction = Introduction { addr: rpc_addr.clone(), slots: options.slots };
    tokio::spawn(heartbeat::run(client, Arc::clone(&executor), introduction, stopping.clone()));
    tracing::info!(id = %options.id, addr = rpc_addr, slots = options.slots, "task manager started");
    let server = Mutex::new(Some(server));
    Ok(RunningTaskManager { rpc_addr, metrics_addr, id: options.id, executor, stopping, server })
}

fn serve(
    listener: TcpListener,
    executor: Arc<TaskExecutor>,
    (data, guard): (DataServer, GuardLayer),
    stopping: CancellationToken,
) -> JoinHandle<Result<()>> {
    let calls = TaskManagerServiceServer::new(TaskManagerRpc { executor })
        .max_decoding_message_size(wire::MAX_CONTROL_MESSAGE_BYTES)
        .max_encoding_message_size(wire::MAX_CONTROL_MESSAGE_BYTES);
    let data = DataServiceServer::new(data).max_decoding_message_size(wire::MAX_DATA_MESSAGE_BYTES);
    let server = Server::builder()
        .initial_stream_window_size(wire::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(wire::CONNECTION_WINDOW_BYTES)
        .max_frame_size(wire::HTTP2_FRAME_BYTES)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        // Before every service, whatever is added below.
        .layer(guard)
        .add_service(calls)
        .add_service(data)
        .serve_with_incoming_shutdown(
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            stopping.cancelled_owned(),
        );
    tokio::spawn(async move {
        server.await.map_err(|e| Error::external("the task manager's server failed").caused_by(e))
    })
}

fn core_count(options: &TaskManagerOptions) -> usize {
    let slots = usize::try_from(options.slots).unwrap_or(usize::MAX);
    let machine = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    options.cores.unwrap_or_else(|| slots.min(machine)).max(1)
}

async fn advertised(options: &TaskManagerOptions, bound: SocketAddr) -> String {
    match &options.advertised_host {
        Some(host) => match host.parse::<IpAddr>() {
            Ok(ip) => SocketAddr::new(ip, bound.port()).to_string(),
            Err(_) => format!("{host}:{}", bound.port()),
        },
        None if bound.ip().is_unspecified() => {
            let ip = route_to(&options.jobmanager).await.unwrap_or(IpAddr::from([127, 0, 0, 1]));
            SocketAddr::new(ip, bound.port()).to_string()
        }
        None => bound.to_string(),
    }
}

/// Our own address on the way to `peer`. Sends nothing: connecting a datagram socket only
/// asks for the route.
async fn route_to(peer: &str) -> Option<IpAddr> {
    let peer = tokio::net::lookup_host(peer).await.ok()?.next()?;
    let any: SocketAddr = if peer.is_ipv4() {
        SocketAddr::from(([0, 0, 0, 0], 0))
    } else {
        SocketAddr::from(([0_u16; 8], 0))
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(peer).ok()?;
    socket.local_addr().ok().map(|addr| addr.ip())
}

#[cfg(test)]
mod tests;
