//! Which slot of which TaskManager belongs to which job. Pure.
//!
//! A slot here is a right to run one subtask of every vertex of a job (slot sharing), so a
//! job needs as many slots as its greatest parallelism. Owned by `resource_manager.rs`.

use std::collections::BTreeMap;

use model::{AllocationId, JobId, LeaderEpoch, TaskManagerId};

/// What a TaskManager said of itself when it registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskManagerInfo {
    pub id: TaskManagerId,
    /// `host:port` of its control service.
    pub rpc_addr: String,
    /// `host:port` of its data plane.
    pub data_addr: String,
    pub slots: u32,
    pub version: String,
}

/// A slot granted to a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    pub allocation: AllocationId,
    pub task_manager: TaskManagerId,
    pub rpc_addr: String,
    pub data_addr: String,
}

#[derive(Debug)]
struct Member {
    info: TaskManagerInfo,
    allocations: BTreeMap<AllocationId, JobId>,
}

impl Member {
    fn free(&self) -> usize {
        (self.info.slots as usize).saturating_sub(self.allocations.len())
    }
}

/// All slots of the cluster.
#[derive(Debug)]
pub struct SlotPool {
    epoch: LeaderEpoch,
    drawn: u64,
    members: BTreeMap<TaskManagerId, Member>,
}

impl SlotPool {
    /// Allocation ids are `epoch`, then a counter: unique over job manager lives.
    pub fn new(epoch: LeaderEpoch) -> Self {
        Self { epoch, drawn: 0, members: BTreeMap::new() }
    }

    pub fn add(&mut self, info: TaskManagerInfo) {
        self.members.insert(info.id.clone(), Member { info, allocations: BTreeMap::new() });
    }

    /// Takes the TaskManager out; returns the jobs that had slots there.
    pub fn remove(&mut self, id: &TaskManagerId) -> Vec<JobId> {
        let Some(member) = self.members.remove(id) else { return Vec::new() };
        let mut jobs: Vec<JobId> = member.allocations.into_values().collect();
        jobs.sort_unstable();
        jobs.dedup();
        jobs
    }

    pub fn total(&self) -> usize {
        self.members.values().map(|m| m.info.slots as usize).sum()
    }

    pub fn free(&self) -> usize {
        self.members.values().map(Member::free).sum()
    }

    /// Free slots of one TaskManager.
    pub fn free_at(&self, id: &TaskManagerId) -> usize {
        self.members.get(id).map_or(0, Member::free)
    }

    /// How many slots `job` holds.
    pub fn held_by(&self, job: JobId) -> usize {
        self.members.values().flat_map(|m| m.allocations.values()).filter(|j| **j == job).count()
    }

    /// Jobs with a slot at one TaskManager.
    pub fn jobs_at(&self, id: &TaskManagerId) -> Vec<JobId> {
        let Some(member) = self.members.get(id) else { return Vec::new() };
        let mut jobs: Vec<JobId> = member.allocations.values().copied().collect();
        jobs.sort_unstable();
        jobs.dedup();
        jobs
    }

    /// Gives `count` slots to `job`, or none when there are fewer. Spreads: every slot comes
    /// from the TaskManager where the job has least, then where most is free.
    pub fn allocate(&mut self, job: JobId, count: usize) -> Option<Vec<Slot>> {
        if self.free() < count {
            return None;
        }
        let mut slots = Vec::with_capacity(count);
        for _ in 0..count {
            let drawn = self.drawn + 1;
            let member = self.members.values_mut().filter(|m| m.free() > 0).min_by_key(|m| {
                let mine = m.allocations.values().filter(|j| **j == job).count();
                (mine, usize::MAX - m.free())
            })?;
            self.drawn = drawn;
            let allocation = AllocationId((u128::from(self.epoch.0) << 64) | u128::from(drawn));
            member.allocations.insert(allocation, job);
            slots.push(Slot {
                allocation,
                task_manager: member.info.id.clone(),
                rpc_addr: member.info.rpc_addr.clone(),
                data_addr: member.info.data_addr.clone(),
            });
        }
        Some(slots)
    }

    /// Gives back one slot. Harmless when it is gone already.
    pub fn release(&mut self, allocation: AllocationId) {
        for member in self.members.values_mut() {
            member.allocations.remove(&allocation);
        }
    }

    /// Gives back every slot of `job`.
    pub fn release_job(&mut self, job: JobId) {
        for member in self.members.values_mut() {
            member.allocations.retain(|_, j| *j != job);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(id: &str, slots: u32) -> TaskManagerInfo {
        TaskManagerInfo {
            id: TaskManagerId(id.into()),
            rpc_addr: format!("{id}:1"),
            data_addr: format!("{id}:2"),
            slots,
            version: "test".into(),
        }
    }

    #[test]
    fn slots_spread_over_task_managers() {
        let mut pool = SlotPool::new(LeaderEpoch(1));
        pool.add(info("a", 4));
        pool.add(info("b", 4));
        let slots = pool.allocate(JobId(1), 4).unwrap();
        let on_a = slots.iter().filter(|s| s.task_manager.0 == "a").count();
        assert_eq!(on_a, 2);
        assert_eq!((pool.free(), pool.total(), pool.held_by(JobId(1))), (4, 8, 4));
    }

    #[test]
    fn too_few_slots_give_none_at_all() {
        let mut pool = SlotPool::new(LeaderEpoch(1));
        pool.add(info("a", 2));
        assert!(pool.allocate(JobId(1), 3).is_none());
        assert_eq!(pool.free(), 2);
    }

    #[test]
    fn removal_names_the_jobs_and_release_frees() {
        let mut pool = SlotPool::new(LeaderEpoch(1));
        pool.add(info("a", 2));
        let slots = pool.allocate(JobId(1), 1).unwrap();
        pool.allocate(JobId(2), 1).unwrap();
        pool.release(slots[0].allocation);
        assert_eq!(pool.free(), 1);
        assert_eq!(pool.remove(&TaskManagerId("a".into())), vec![JobId(2)]);
        assert_eq!(pool.total(), 0);
    }
}
