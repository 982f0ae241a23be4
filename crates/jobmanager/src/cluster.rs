//! The shell around the ResourceManager: one lock, and the jobs' mailboxes to which its
//! actions go. Used by `rpc.rs` (registration, heartbeats), `job_master` (requests) and the
//! ticker in `server.rs`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{AllocationId, Clock, JobId, LeaderEpoch, TaskManagerId};
use tokio::sync::mpsc;

use crate::job_master::JobMessage;
use crate::job_state::JobEvent;
use crate::resource_manager::{ResourceAction, ResourceEvent, ResourceManager, TaskManagerView};
use crate::slot_pool::TaskManagerInfo;

/// TaskManagers, slots, and who waits for them.
pub struct Cluster {
    clock: Arc<dyn Clock>,
    core: Mutex<ResourceManager>,
    mailboxes: Mutex<BTreeMap<JobId, mpsc::Sender<JobMessage>>>,
    lost: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cluster {
    pub fn new(epoch: LeaderEpoch, heartbeat_timeout_ms: i64, clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            core: Mutex::new(ResourceManager::new(epoch, heartbeat_timeout_ms)),
            mailboxes: Mutex::new(BTreeMap::new()),
            lost: AtomicU64::new(0),
        }
    }

    /// From now on `job` hears what concerns it.
    pub fn join(&self, job: JobId, mailbox: mpsc::Sender<JobMessage>) {
        lock(&self.mailboxes).insert(job, mailbox);
    }

    /// The job is over: takes back its slots.
    pub fn leave(&self, job: JobId) {
        lock(&self.mailboxes).remove(&job);
        self.apply(ResourceEvent::ReleaseJob { job });
    }

    pub fn register(&self, info: TaskManagerInfo) {
        tracing::info!(task_manager = %info.id, slots = info.slots, addr = info.rpc_addr, "registered");
        self.apply(ResourceEvent::Register(info));
    }

    /// False: unknown, it must register.
    pub fn heartbeat(&self, id: &TaskManagerId, process: serde_json::Value) -> bool {
        let known = self.knows(id);
        if known {
            self.apply(ResourceEvent::Heartbeat { id: id.clone(), process });
        }
        known
    }

    pub fn knows(&self, id: &TaskManagerId) -> bool {
        lock(&self.core).knows(id)
    }

    /// Looks for silent TaskManagers. To be called several times per heartbeat timeout.
    pub fn tick(&self) {
        self.apply(ResourceEvent::Tick);
    }

    pub fn request_slots(&self, job: JobId, slots: usize) {
        self.apply(ResourceEvent::Request { job, slots });
    }

    pub fn release_slot(&self, allocation: AllocationId) {
        self.apply(ResourceEvent::ReleaseSlot { allocation });
    }

    /// TaskManagers silent for longer than `ms`, with their control address.
    pub fn silent(&self, ms: i64) -> Vec<(TaskManagerId, String)> {
        lock(&self.core).silent(self.clock.now_ms(), ms)
    }

    /// Nobody listens there, as `job` found (or the heartbeat watch).
    pub fn unreachable(&self, job: Option<JobId>, id: TaskManagerId, reason: String) {
        self.apply(ResourceEvent::Unreachable { id, job, reason });
    }

    /// How many TaskManagers were lost so far.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// (total, free).
    pub fn slots(&self) -> (usize, usize) {
        lock(&self.core).slots()
    }

    pub fn task_managers(&self) -> Vec<TaskManagerView> {
        lock(&self.core).task_managers()
    }

    /// Holds the lock until everything is delivered, so that a job sees grants and losses in
    /// their order. Never waits.
    fn apply(&self, event: ResourceEvent) {
        let mut core = lock(&self.core);
        for action in core.on_event(self.clock.now_ms(), event) {
            match action {
                ResourceAction::Granted { job, slots } => {
                    self.deliver(job, JobEvent::SlotsGranted(slots));
                }
                ResourceAction::Waiting { job, needed, free } => {
                    self.deliver(job, JobEvent::SlotsWaiting { needed, free });
                }
                ResourceAction::Lost { id, jobs, reason } => {
                    self.lost.fetch_add(1, Relaxed);
                    tracing::warn!(task_manager = %id, reason, "lost");
                    for job in jobs {
                        let (id, reason) = (id.clone(), reason.clone());
                        self.deliver(job, JobEvent::TaskManagerLost { id, reason });
                    }
                }
            }
        }
    }

    fn deliver(&self, job: JobId, event: JobEvent) {
        let Some(mailbox) = lock(&self.mailboxes).get(&job).cloned() else { return };
        let message = JobMessage::Event(event);
        if let Err(mpsc::error::TrySendError::Full(message)) = mailbox.try_send(message) {
            // Must arrive all the same. Should it overtake another one, the job finds a
            // TaskManager unreachable and is told again that it is lost.
            tokio::spawn(async move {
                let _ = mailbox.send(message).await;
            });
        }
    }
}
