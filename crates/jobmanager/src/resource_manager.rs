//! Which TaskManagers live, and which job gets slots next. Pure: time is passed in.
//!
//! The shell around it is `cluster.rs`. Jobs wait in order of arrival; a job that already
//! holds slots (it lost some in a failure) goes before those that hold none, and a job that
//! could not run on all of today's slots does not hold up the ones behind it.

use std::collections::BTreeMap;

use model::{AllocationId, JobId, LeaderEpoch, TaskManagerId};

use crate::slot_pool::{Slot, SlotPool, TaskManagerInfo};

/// What happened.
#[derive(Debug)]
pub enum ResourceEvent {
    /// A new TaskManager, or one that starts anew under its old id.
    Register(TaskManagerInfo),
    Heartbeat {
        id: TaskManagerId,
        process: serde_json::Value,
    },
    /// It does not take connections any more; `job` found out, or the heartbeat watch.
    Unreachable {
        id: TaskManagerId,
        job: Option<JobId>,
        reason: String,
    },
    /// `job` needs `slots` more than it holds. Replaces its earlier request.
    Request {
        job: JobId,
        slots: usize,
    },
    /// The job gives back one slot.
    ReleaseSlot {
        allocation: AllocationId,
    },
    /// The job is over: gives back everything and waits no more.
    ReleaseJob {
        job: JobId,
    },
    Tick,
}

/// What is to be done about it.
#[derive(Debug, PartialEq, Eq)]
pub enum ResourceAction {
    /// `jobs` had slots there.
    Lost {
        id: TaskManagerId,
        jobs: Vec<JobId>,
        reason: String,
    },
    Granted {
        job: JobId,
        slots: Vec<Slot>,
    },
    /// The job waits. Said whenever the numbers change.
    Waiting {
        job: JobId,
        needed: usize,
        free: usize,
    },
}

#[derive(Debug)]
struct Registered {
    info: TaskManagerInfo,
    registered_at_ms: i64,
    last_heartbeat_ms: i64,
    process: serde_json::Value,
}

#[derive(Debug)]
struct Request {
    job: JobId,
    slots: usize,
    told: Option<(usize, usize)>,
}

/// One TaskManager as shown to people.
#[derive(Clone, Debug)]
pub struct TaskManagerView {
    pub info: TaskManagerInfo,
    pub free_slots: usize,
    pub registered_at_ms: i64,
    pub last_heartbeat_ms: i64,
    pub process: serde_json::Value,
    pub jobs: Vec<JobId>,
}

/// The core.
#[derive(Debug)]
pub struct ResourceManager {
    heartbeat_timeout_ms: i64,
    task_managers: BTreeMap<TaskManagerId, Registered>,
    pool: SlotPool,
    waiting: Vec<Request>,
}

impl ResourceManager {
    pub fn new(epoch: LeaderEpoch, heartbeat_timeout_ms: i64) -> Self {
        Self {
            heartbeat_timeout_ms,
            task_managers: BTreeMap::new(),
            pool: SlotPool::new(epoch),
            waiting: Vec::new(),
        }
    }

    pub fn knows(&self, id: &TaskManagerId) -> bool {
        self.task_managers.contains_key(id)
    }

    /// Those that have said nothing for longer than `ms`, with their control address.
    pub fn silent(&self, now_ms: i64, ms: i64) -> Vec<(TaskManagerId, String)> {
        let silent = self.task_managers.values().filter(|t| now_ms - t.last_heartbeat_ms > ms);
        silent.map(|t| (t.info.id.clone(), t.info.rpc_addr.clone())).collect()
    }

    /// (total, free).
    pub fn slots(&self) -> (usize, usize) {
        (self.pool.total(), self.pool.free())
    }

    pub fn task_managers(&self) -> Vec<TaskManagerView> {
        self.task_managers
            .values()
            .map(|t| TaskManagerView {
                info: t.info.clone(),
                free_slots: self.pool.free_at(&t.info.id),
                registered_at_ms: t.registered_at_ms,
                last_heartbeat_ms: t.last_heartbeat_ms,
                process: t.process.clone(),
                jobs: self.pool.jobs_at(&t.info.id),
            })
            .collect()
    }

    pub fn on_event(&mut self, now_ms: i64, event: ResourceEvent) -> Vec<ResourceAction> {
        let mut actions = Vec::new();
        match event {
            ResourceEvent::Register(info) => self.register(now_ms, info, &mut actions),
            ResourceEvent::Heartbeat { id, process } => {
                if let Some(known) = self.task_managers.get_mut(&id) {
                    known.last_heartbeat_ms = now_ms;
                    known.process = process;
                }
            }
            ResourceEvent::Unreachable { id, job, reason } => {
                if self.knows(&id) {
                    self.lose(&id, reason, &mut actions);
                } else {
                    // Gone before: the job must have missed it.
                    let jobs = job.into_iter().collect();
                    actions.push(ResourceAction::Lost { id, jobs, reason });
                }
            }
            ResourceEvent::Request { job, slots } => self.enqueue(job, slots),
            ResourceEvent::ReleaseSlot { allocation } => self.pool.release(allocation),
            ResourceEvent::ReleaseJob { job } => {
                self.pool.release_job(job);
                self.waiting.retain(|r| r.job != job);
            }
            ResourceEvent::Tick => self.expire(now_ms, &mut actions),
        }
        self.grant(&mut actions);
        actions
    }

    fn register(&mut self, now_ms: i64, info: TaskManagerInfo, actions: &mut Vec<ResourceAction>) {
        if self.knows(&info.id) {
            self.lose(&info.id, "it registered anew".to_owned(), actions);
        }
        self.pool.add(info.clone());
        self.task_managers.insert(
            info.id.clone(),
            Registered {
                info,
                registered_at_ms: now_ms,
                last_heartbeat_ms: now_ms,
                process: serde_json::Value::Null,
            },
        );
    }

    fn lose(&mut self, id: &TaskManagerId, reason: String, actions: &mut Vec<ResourceAction>) {
        if self.task_managers.remove(id).is_some() {
            let jobs = self.pool.remove(id);
            actions.push(ResourceAction::Lost { id: id.clone(), jobs, reason });
        }
    }

    fn expire(&mut self, now_ms: i64, actions: &mut Vec<ResourceAction>) {
        let limit = self.heartbeat_timeout_ms;
        let silent: Vec<TaskManagerId> = self
            .task_managers
            .values()
            .filter(|t| now_ms - t.last_heartbeat_ms > limit)
            .map(|t| t.info.id.clone())
            .collect();
        for id in silent {
            self.lose(&id, format!("no heartbeat for {limit} ms"), actions);
        }
    }

    fn enqueue(&mut self, job: JobId, slots: usize) {
        if slots == 0 {
            self.waiting.retain(|r| r.job != job);
            return;
        }
        if let Some(request) = self.waiting.iter_mut().find(|r| r.job == job) {
            request.slots = slots;
            request.told = None;
            return;
        }
        self.waiting.push(Request { job, slots, told: None });
    }

    /// Serves the queue from its front as far as the free slots go.
    fn grant(&mut self, actions: &mut Vec<ResourceAction>) {
        let total = self.pool.total();
        let pool = &mut self.pool;
        self.waiting.sort_by_key(|r| pool.held_by(r.job) == 0);
        let mut blocked = false;
        self.waiting.retain_mut(|request| {
            if !blocked && let Some(slots) = pool.allocate(request.job, request.slots) {
                actions.push(ResourceAction::Granted { job: request.job, slots });
                return false;
            }
            blocked |= request.slots + pool.held_by(request.job) <= total;
            let numbers = (request.slots, pool.free());
            if request.told != Some(numbers) {
                request.told = Some(numbers);
                actions.push(ResourceAction::Waiting {
                    job: request.job,
                    needed: numbers.0,
                    free: numbers.1,
                });
            }
            true
        });
    }
}

#[cfg(test)]
mod tests;
