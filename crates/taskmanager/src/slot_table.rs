//! Which allocations hold this TaskManager's slots, and on which core thread each runs.
//! All subtasks of one allocation (a slot is shared by one subtask of every vertex) run on
//! one core. Called by `task_executor.rs`. Pure.

use std::collections::{BTreeMap, BTreeSet};

use model::{AllocationId, Error, ExecutionAttemptId, Result};

pub(crate) struct SlotTable {
    slots: usize,
    /// How many allocations each core thread has.
    cores: Vec<usize>,
    allocations: BTreeMap<AllocationId, Slot>,
}

struct Slot {
    core: usize,
    attempts: BTreeSet<ExecutionAttemptId>,
}

impl SlotTable {
    pub(crate) fn new(slots: u32, cores: usize) -> Self {
        Self {
            slots: usize::try_from(slots).unwrap_or(usize::MAX),
            cores: vec![0; cores.max(1)],
            allocations: BTreeMap::new(),
        }
    }

    /// How many slots are taken.
    pub(crate) fn taken(&self) -> usize {
        self.allocations.len()
    }

    /// Puts an attempt into its slot and says on which core it runs: the one of its
    /// allocation, for a new one the least used. Fails with kind External when all slots
    /// are taken.
    pub(crate) fn acquire(
        &mut self,
        allocation: AllocationId,
        attempt: ExecutionAttemptId,
    ) -> Result<usize> {
        if let Some(slot) = self.allocations.get_mut(&allocation) {
            slot.attempts.insert(attempt);
            return Ok(slot.core);
        }
        if self.allocations.len() >= self.slots {
            return Err(Error::external(format!(
                "all {} slots are taken: {attempt} cannot run here",
                self.slots
            )));
        }
        let least = self.cores.iter().enumerate().min_by_key(|(_, used)| **used);
        let core = least.map_or(0, |(core, _)| core);
        self.cores[core] += 1;
        self.allocations.insert(allocation, Slot { core, attempts: BTreeSet::from([attempt]) });
        Ok(core)
    }

    /// The attempt has ended; the last one of an allocation frees the slot.
    pub(crate) fn release(&mut self, allocation: AllocationId, attempt: &ExecutionAttemptId) {
        let Some(slot) = self.allocations.get_mut(&allocation) else { return };
        slot.attempts.remove(attempt);
        if slot.attempts.is_empty() {
            self.cores[slot.core] -= 1;
            self.allocations.remove(&allocation);
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{Attempt, JobId, SubtaskIndex, VertexId};

    use super::*;

    fn attempt(vertex: u128, subtask: u32) -> ExecutionAttemptId {
        ExecutionAttemptId {
            job: JobId(1),
            vertex: VertexId(vertex),
            subtask: SubtaskIndex(subtask),
            attempt: Attempt(1),
        }
    }

    #[test]
    fn an_allocation_shares_a_core_and_cores_fill_evenly() {
        let mut table = SlotTable::new(4, 2);
        let cores: Vec<usize> =
            (0..4).map(|a| table.acquire(AllocationId(a), attempt(1, a as u32)).unwrap()).collect();
        assert_eq!(cores, [0, 1, 0, 1]);
        assert_eq!(table.acquire(AllocationId(1), attempt(2, 1)).unwrap(), 1);
        let error = table.acquire(AllocationId(9), attempt(1, 9)).unwrap_err();
        assert!(error.message().contains("all 4 slots"), "{error}");
    }

    #[test]
    fn the_last_attempt_frees_the_slot() {
        let mut table = SlotTable::new(1, 1);
        table.acquire(AllocationId(1), attempt(1, 0)).unwrap();
        table.acquire(AllocationId(1), attempt(2, 0)).unwrap();
        table.release(AllocationId(1), &attempt(1, 0));
        assert!(table.acquire(AllocationId(2), attempt(1, 1)).is_err());
        table.release(AllocationId(1), &attempt(2, 0));
        table.release(AllocationId(1), &attempt(2, 0));
        assert!(table.acquire(AllocationId(2), attempt(1, 1)).is_ok());
    }
}
