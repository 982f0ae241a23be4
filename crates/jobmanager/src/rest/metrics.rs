//! `GET /metrics` of the job manager: the cluster, every job and its tasks, requests to object
//! stores, this process. In Prometheus' text format.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use model::LeaderEpoch;
use model::execution_state::JobStatus;
use telemetry::catalog as names;
use telemetry::prometheus::{CONTENT_TYPE, Exposition};

use crate::details::{JobSnapshot, status_name};
use crate::dispatcher::Dispatcher;
use crate::job_exposition::{Surroundings, add_job};

const STATUSES: [JobStatus; 8] = [
    JobStatus::Created,
    JobStatus::Running,
    JobStatus::Restarting,
    JobStatus::Failing,
    JobStatus::Failed,
    JobStatus::Cancelling,
    JobStatus::Canceled,
    JobStatus::Finished,
];

pub async fn scrape(State(dispatcher): State<Arc<Dispatcher>>) -> Response {
    let text = render(&dispatcher).await;
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response()
}

async fn render(dispatcher: &Dispatcher) -> String {
    let snapshots = dispatcher.snapshots().await;
    let mut out = Exposition::new();
    let context = dispatcher.context();
    let hosts: BTreeMap<String, String> = context
        .cluster
        .task_managers()
        .into_iter()
        .map(|t| (t.info.id.0, host_of(&t.info.rpc_addr).to_owned()))
        .collect();
    let cluster = ClusterFigures {
        slots: context.cluster.slots(),
        task_managers: hosts.len(),
        lost: context.cluster.lost(),
        leader_epoch: context.leader_epoch,
    };
    add_cluster(&mut out, &cluster, &snapshots);
    let now_ms = dispatcher.observer().now_ms();
    for snapshot in &snapshots {
        dispatcher.observer().progress(snapshot.details.id, |progress| {
            let around = Surroundings { now_ms, host: own_host(), hosts: &hosts, progress };
            add_job(&mut out, snapshot, &around);
        });
    }
    storage::requests::add_metrics(&mut out);
    let uri = context.checkpoints.uri();
    let folder = uri.strip_prefix("file://").map(Path::new);
    telemetry::add_process_metrics(&mut out, folder.as_slice());
    out.render()
}

struct ClusterFigures {
    /// (total, free).
    slots: (usize, usize),
    task_managers: usize,
    lost: u64,
    leader_epoch: LeaderEpoch,
}

fn add_cluster(out: &mut Exposition, cluster: &ClusterFigures, jobs: &[Arc<JobSnapshot>]) {
    let count = |status| jobs.iter().filter(|j| j.details.status == status).count() as f64;
    for status in STATUSES {
        out.add(&names::JOBMANAGER_JOBS, &[("status", &status_name(status))], count(status));
    }
    let (total, free) = cluster.slots;
    out.add(&names::JOBMANAGER_SLOTS, &[("state", "total")], total as f64);
    out.add(&names::JOBMANAGER_SLOTS, &[("state", "free")], free as f64);
    let task_managers = cluster.task_managers as f64;
    out.add(&names::JOBMANAGER_TASKMANAGERS, &[], task_managers);
    out.add(&names::JOBMANAGER_TASKMANAGERS_LOST, &[], cluster.lost as f64);
    out.add(&names::JOBMANAGER_LEADER_EPOCH, &[], cluster.leader_epoch.0 as f64);
    let host = [("host", own_host())];
    out.add(&names::FLINK_RUNNING_JOBS, &host, count(JobStatus::Running));
    out.add(&names::FLINK_SLOTS_TOTAL, &host, total as f64);
    out.add(&names::FLINK_SLOTS_AVAILABLE, &host, free as f64);
    out.add(&names::FLINK_TASKMANAGERS, &host, task_managers);
}

/// Without the port.
fn host_of(addr: &str) -> &str {
    addr.rsplit_once(':').map_or(addr, |(host, _)| host)
}

fn own_host() -> &'static str {
    static HOST: OnceLock<String> = OnceLock::new();
    HOST.get_or_init(|| {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let name = name.trim();
        if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
    })
}

#[cfg(test)]
mod tests;
