//! Task managers in the facade. Figures that only a JVM has (heap, direct memory, garbage
//! collectors) are zero; what the process reports of itself is given where Flink has a
//! place for it.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use model::{JobId, TaskManagerId};
use serde_json::{Value, json};

use crate::resource_manager::TaskManagerView;

use super::{Answer, Facade, FlinkError, Shared};

/// Where the data planes of the task managers listen, by id.
pub(super) struct Endpoints(BTreeMap<TaskManagerId, String>);

impl Endpoints {
    pub fn of(facade: &Facade) -> Self {
        let managers = facade.dispatcher.context().cluster.task_managers();
        Self(managers.into_iter().map(|t| (t.info.id, t.info.data_addr)).collect())
    }

    /// `host:port`; `(unassigned)` for none and for one that is gone.
    pub fn of_task_manager(&self, id: Option<&TaskManagerId>) -> String {
        let found = id.and_then(|id| self.0.get(id));
        found.map_or_else(|| "(unassigned)".to_owned(), Clone::clone)
    }
}

pub(super) fn missing(id: &str) -> FlinkError {
    FlinkError::not_found(format!("Could not find TaskExecutor {id}"))
}

/// The task manager of that id.
pub(super) fn find(facade: &Facade, id: &str) -> Result<TaskManagerView, FlinkError> {
    let managers = facade.dispatcher.context().cluster.task_managers();
    managers.into_iter().find(|t| t.info.id.0 == id).ok_or_else(|| missing(id))
}

/// Tasks that have not ended, by task manager, job and subtask index. With slot sharing, a
/// job's slot holds the tasks of one index.
type Assigned = BTreeMap<TaskManagerId, BTreeMap<JobId, BTreeMap<u32, Vec<String>>>>;

async fn assigned(facade: &Facade) -> Assigned {
    let mut assigned = Assigned::new();
    for job in facade.dispatcher.snapshots().await {
        for vertex in &job.details.vertices {
            for task in vertex.subtasks.iter().filter(|s| !s.state.is_terminal()) {
                let Some(manager) = &task.task_manager else { continue };
                let slots = assigned.entry(manager.clone()).or_default();
                let slot = slots.entry(job.details.id).or_default();
                let (index, of) = (task.subtask.0 + 1, vertex.parallelism);
                let name = format!("{} ({index}/{of})", vertex.name);
                slot.entry(task.subtask.0).or_default().push(name);
            }
        }
    }
    assigned
}

/// A figure that the process reports of itself; 0 when it does not.
pub(super) fn figure(manager: &TaskManagerView, name: &str) -> u64 {
    crate::rest::figure(&manager.process, name).and_then(|n| u64::try_from(n).ok()).unwrap_or(0)
}

/// Slots are what Weir divides; memory and processors are not promised to any of them.
fn resource(slots: usize) -> Value {
    json!({
        "cpuCores": slots as f64,
        "taskHeapMemory": 0,
        "taskOffHeapMemory": 0,
        "managedMemory": 0,
        "networkMemory": 0,
        "extendedResources": {},
    })
}

fn shown(manager: &TaskManagerView, assigned: &Assigned) -> Value {
    let info = &manager.info;
    let data_port = info.data_addr.rsplit_once(':').and_then(|(_, p)| p.parse::<u16>().ok());
    let jobs = assigned.get(&info.id);
    let tasks: usize = jobs
        .into_iter()
        .flat_map(|jobs| jobs.values())
        .flat_map(BTreeMap::values)
        .map(Vec::len)
        .sum();
    let resident = figure(manager, "rssBytes");
    json!({
        "id": info.id,
        "path": format!("grpc://{}", info.rpc_addr),
        "dataPort": data_port.map_or(-1, i32::from),
        "jmxPort": -1,
        "timeSinceLastHeartbeat": manager.last_heartbeat_ms,
        "slotsNumber": info.slots,
        "freeSlots": manager.free_slots,
        "assignedTasks": tasks,
        "totalResource": resource(info.slots as usize),
        "freeResource": resource(manager.free_slots),
        "hardware": {
            "cpuCores": figure(manager, "processors"),
            "physicalMemory": figure(manager, "physicalBytes"),
            "freeMemory": figure(manager, "freeBytes"),
            "managedMemory": 0,
        },
        "memoryConfiguration": {
            "frameworkHeap": 0,
            "taskHeap": 0,
            "frameworkOffHeap": 0,
            "taskOffHeap": 0,
            "networkMemory": 0,
            "managedMemory": 0,
            "jvmMetaspace": 0,
            "jvmOverhead": 0,
            "totalFlinkMemory": resident,
            "totalProcessMemory": resident,
        },
    })
}

pub async fn list(State(facade): Shared) -> Json<Value> {
    let assigned = assigned(&facade).await;
    let managers = facade.dispatcher.context().cluster.task_managers();
    let managers: Vec<Value> = managers.iter().map(|t| shown(t, &assigned)).collect();
    Json(json!({ "taskmanagers": managers }))
}

pub async fn details(State(facade): Shared, Path(id): Path<String>) -> Answer {
    let manager = find(&facade, &id)?;
    let assigned = assigned(&facade).await;
    let mut answer = shown(&manager, &assigned);
    let jobs = assigned.get(&manager.info.id);
    let slots: Vec<Value> = jobs
        .into_iter()
        .flatten()
        .flat_map(|(job, slots)| slots.values().map(move |tasks| (job, tasks)))
        .map(|(job, tasks)| {
            json!({ "jobId": job, "resource": resource(1), "assignedTasks": tasks.len() })
        })
        .collect();
    answer["allocatedSlots"] = slots.into();
    answer["metrics"] = memory(&manager);
    Ok(Json(answer))
}

/// The resident memory of the process stands as heap; the rest only a JVM has.
fn memory(manager: &TaskManagerView) -> Value {
    let resident = figure(manager, "rssBytes");
    let mut metrics = json!({
        "heapUsed": resident,
        "heapCommitted": resident,
        "heapMax": figure(manager, "physicalBytes").max(resident),
        "garbageCollectors": [],
        "nettyShuffleMemoryUsed": figure(manager, "networkBufferBytes"),
    });
    let absent = [
        "nonHeapUsed",
        "nonHeapCommitted",
        "nonHeapMax",
        "directCount",
        "directUsed",
        "directMax",
        "mappedCount",
        "mappedUsed",
        "mappedMax",
        "nettyShuffleMemorySegmentsAvailable",
        "nettyShuffleMemorySegmentsUsed",
        "nettyShuffleMemorySegmentsTotal",
        "nettyShuffleMemoryAvailable",
        "nettyShuffleMemoryTotal",
    ];
    for name in absent {
        metrics[name] = 0.into();
    }
    metrics
}
