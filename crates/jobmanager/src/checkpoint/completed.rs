//! Which checkpoints of the job are complete and kept. Pure. Owned by `coordinator.rs`.

use std::collections::VecDeque;

use model::CheckpointId;

/// Ids of complete checkpoints, oldest first.
#[derive(Debug)]
pub struct CompletedCheckpoints {
    retain: usize,
    ids: VecDeque<CheckpointId>,
}

impl CompletedCheckpoints {
    /// Keeps the newest `retain` (at least one).
    pub fn new(retain: u32) -> Self {
        Self { retain: retain.max(1) as usize, ids: VecDeque::new() }
    }

    pub fn latest(&self) -> Option<CheckpointId> {
        self.ids.back().copied()
    }

    pub fn ids(&self) -> impl Iterator<Item = CheckpointId> {
        self.ids.iter().copied()
    }

    /// `id` is complete. Ids rise; one that does not is already there and changes nothing.
    pub fn add(&mut self, id: CheckpointId) {
        if self.latest().is_none_or(|latest| latest < id) {
            self.ids.push_back(id);
        }
    }

    /// Those that newer ones have pushed out, to be deleted.
    pub fn take_subsumed(&mut self) -> Vec<CheckpointId> {
        let excess = self.ids.len().saturating_sub(self.retain);
        self.ids.drain(..excess).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_newest() {
        let mut completed = CompletedCheckpoints::new(2);
        for id in [1, 2, 2, 5] {
            completed.add(CheckpointId(id));
        }
        assert_eq!(completed.take_subsumed(), vec![CheckpointId(1)]);
        assert_eq!(completed.latest(), Some(CheckpointId(5)));
        assert!(completed.take_subsumed().is_empty());
    }
}
