//! The embedded cluster: a job manager and a task manager in this process, over loopback
//! RPC like any other. Used by `run`, `local up` and the tests; not a second way to run
//! the control plane.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use jobmanager::job_environment::JobEnvironment;
use jobmanager::{JobManagerOptions, RunningJobManager};
use safety::Safety;
use taskmanager::{RunningTaskManager, TaskManagerOptions};

use crate::composition;
use crate::exit::Failure;

/// How to start an embedded cluster.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    pub http_addr: SocketAddr,
    pub rpc_addr: SocketAddr,
    pub slots: u32,
    pub storage: String,
    pub state_dir: PathBuf,
    /// Whether rows that pass may be looked at.
    pub taps: bool,
    /// Variables of this process that jobs may read.
    pub job_environment: JobEnvironment,
    pub safety: Safety,
}

/// A running embedded cluster. Stops when told to, or when dropped with its runtime.
pub struct LocalCluster {
    pub job_manager: RunningJobManager,
    pub task_manager: RunningTaskManager,
}

impl LocalCluster {
    pub async fn start(options: LocalOptions) -> Result<Self, Failure> {
        let job_manager = jobmanager::start(
            JobManagerOptions {
                rpc_addr: options.rpc_addr,
                http_addr: options.http_addr,
                taps: options.taps,
                job_environment: options.job_environment,
                safety: options.safety.clone(),
                // Of one's own process: it is not lost, the machine is busy.
                heartbeat_timeout_ms: 10_000,
                ..JobManagerOptions::new(options.storage)
            },
            composition::job_manager_parts(),
        )
        .await?;
        let task_manager = taskmanager::start(
            TaskManagerOptions {
                taps: options.taps,
                safety: options.safety,
                ..TaskManagerOptions::new(reachable(job_manager.rpc_addr), options.slots)
            },
            composition::task_manager_parts(options.state_dir),
        )
        .await?;
        Ok(Self { job_manager, task_manager })
    }

    /// URL of the HTTP API.
    pub fn url(&self) -> String {
        format!("http://{}", reachable(self.job_manager.http_addr))
    }

    pub async fn shutdown(self) -> Result<(), Failure> {
        self.task_manager.shutdown().await;
        self.job_manager.shutdown().await?;
        Ok(())
    }
}

/// How this process reaches its own listener: one on all addresses, over loopback.
fn reachable(mut addr: SocketAddr) -> String {
    if addr.ip().is_unspecified() {
        addr.set_ip(match addr.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    addr.to_string()
}
