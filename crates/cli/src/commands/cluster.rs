//! The long-running roles: `jobmanager`, `taskmanager`, `local up`. Each prints the
//! addresses it bound, one `name address` a line, and then runs until interrupted.

use jobmanager::JobManagerOptions;
use taskmanager::TaskManagerOptions;

use super::{interrupted, processors};
use crate::access;
use crate::arguments::{JobManagerArguments, LocalUpArguments, Switch, TaskManagerArguments};
use crate::composition;
use crate::exit::{Exit, Failure};
use crate::local::{LocalCluster, LocalOptions};
use crate::settings::Settings;

pub const DEFAULT_HTTP: &str = "127.0.0.1:8081";
pub const DEFAULT_RPC: &str = "127.0.0.1:6123";

pub async fn job_manager(
    arguments: JobManagerArguments,
    settings: &Settings,
) -> Result<Exit, Failure> {
    let http_addr = settings.address("http-addr", arguments.http_addr.as_deref(), DEFAULT_HTTP)?;
    let defaults = JobManagerOptions::new(settings.storage(arguments.storage.as_deref()));
    let options = JobManagerOptions {
        http_addr,
        taps: settings.taps(arguments.taps, http_addr)?,
        rpc_addr: settings.address("rpc-addr", arguments.rpc_addr.as_deref(), DEFAULT_RPC)?,
        safety: access::safety(&arguments.safety, settings)?,
        job_environment: settings.job_environment(arguments.job_env.as_deref()),
        heartbeat_timeout_ms: settings.heartbeat_timeout_ms(
            arguments.heartbeat_timeout.as_deref(),
            defaults.heartbeat_timeout_ms,
        )?,
        ..defaults
    };
    let running = jobmanager::start(options, composition::job_manager_parts()).await?;
    println!("http-addr {}", running.http_addr);
    println!("rpc-addr {}", running.rpc_addr);
    interrupted().await;
    running.shutdown().await?;
    Ok(Exit::Ok)
}

pub async fn task_manager(
    arguments: TaskManagerArguments,
    settings: &Settings,
) -> Result<Exit, Failure> {
    let state_dir = settings.state_dir(arguments.state_dir.as_deref());
    let job_manager = settings.text("jobmanager", arguments.jobmanager.as_deref());
    let slots = settings.slots(arguments.slots, processors())?;
    let rpc_addr = settings.address("rpc-addr", arguments.rpc_addr.as_deref(), "127.0.0.1:0")?;
    let options = TaskManagerOptions {
        rpc_addr,
        taps: settings.taps(arguments.taps, rpc_addr)?,
        task_metrics: arguments.task_metrics != Some(Switch::Off),
        advertised_host: settings.text("advertised-host", arguments.advertised_host.as_deref()),
        metrics_addr: settings.some_address("metrics-addr", arguments.metrics_addr.as_deref())?,
        state_dir: Some(state_dir.clone()),
        safety: access::safety(&arguments.safety, settings)?,
        ..TaskManagerOptions::new(job_manager.unwrap_or_else(|| DEFAULT_RPC.to_owned()), slots)
    };
    let running = taskmanager::start(options, composition::task_manager_parts(state_dir)).await?;
    println!("id {}", running.id);
    println!("rpc-addr {}", running.rpc_addr);
    if let Some(addr) = running.metrics_addr {
        println!("metrics-addr {addr}");
    }
    interrupted().await;
    running.shutdown().await;
    Ok(Exit::Ok)
}

pub async fn local_up(arguments: LocalUpArguments, settings: &Settings) -> Result<Exit, Failure> {
    let http_addr = settings.address("http-addr", arguments.http_addr.as_deref(), DEFAULT_HTTP)?;
    let cluster = LocalCluster::start(LocalOptions {
        http_addr,
        taps: settings.taps(arguments.taps, http_addr)?,
        rpc_addr: settings.address("rpc-addr", arguments.rpc_addr.as_deref(), DEFAULT_RPC)?,
        slots: settings.slots(arguments.slots, processors())?,
        storage: settings.storage(arguments.storage.as_deref()),
        state_dir: settings.state_dir(None),
        job_environment: settings.job_environment(arguments.job_env.as_deref()),
        safety: access::safety(&arguments.safety, settings)?,
    })
    .await?;
    println!("http-addr {}", cluster.job_manager.http_addr);
    println!("rpc-addr {}", cluster.job_manager.rpc_addr);
    eprintln!("submit a job with: streamctl submit JOB.yaml --server {}", cluster.url());
    interrupted().await;
    cluster.shutdown().await?;
    Ok(Exit::Ok)
}
