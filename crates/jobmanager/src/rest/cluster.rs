//! `/api/v1/taskmanagers`, `/api/v1/overview` and the probes.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::details::status_name;
use crate::dispatcher::Dispatcher;

type Jobs = State<Arc<Dispatcher>>;

pub async fn task_managers(State(jobs): Jobs) -> Json<Value> {
    let list: Vec<Value> = jobs
        .context()
        .cluster
        .task_managers()
        .into_iter()
        .map(|t| {
            json!({
                "id": t.info.id,
                "rpcAddr": t.info.rpc_addr,
                "dataAddr": t.info.data_addr,
                "slots": t.info.slots,
                "freeSlots": t.free_slots,
                "version": t.info.version,
                "registeredAtMs": t.registered_at_ms,
                "lastHeartbeatMs": t.last_heartbeat_ms,
                "process": t.process,
                "jobs": t.jobs,
            })
        })
        .collect();
    Json(json!({ "taskManagers": list }))
}

pub async fn overview(State(jobs): Jobs) -> Json<Value> {
    let mut by_status: BTreeMap<String, usize> = BTreeMap::new();
    for snapshot in jobs.snapshots().await {
        *by_status.entry(status_name(snapshot.details.status)).or_default() += 1;
    }
    let context = jobs.context();
    let (total, free) = context.cluster.slots();
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "leaderEpoch": context.leader_epoch,
        "checkpointStorage": context.checkpoints.uri(),
        "taskManagers": context.cluster.task_managers().len(),
        "slots": { "total": total, "free": free },
        "jobs": by_status,
    }))
}

/// The process answers.
pub async fn alive() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// It takes jobs. A job manager without TaskManagers does: jobs wait for slots.
pub async fn ready() -> Json<Value> {
    Json(json!({ "status": "ready" }))
}
