//! Which checkpoints of the job are complete and kept, and which state objects they name.
//! Pure. Owned by `coordinator.rs`.

use std::collections::{BTreeSet, VecDeque};

use model::CheckpointId;

/// Paths of state objects below the checkpoint storage.
pub type Objects = BTreeSet<String>;

/// One complete checkpoint.
#[derive(Debug)]
struct Completed {
    id: CheckpointId,
    /// `None`: it was found in the storage, so only its manifest knows.
    objects: Option<Objects>,
}

/// Complete checkpoints, oldest first.
#[derive(Debug)]
pub struct CompletedCheckpoints {
    retain: usize,
    kept: VecDeque<Completed>,
}

/// Those that newer ones have pushed out.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Subsumed {
    pub ids: Vec<CheckpointId>,
    /// What they name and none that is kept does. `None` when one of them all does not tell
    /// what it names.
    pub objects: Option<Objects>,
}

impl CompletedCheckpoints {
    /// Keeps the newest `retain` (at least one).
    pub fn new(retain: u32) -> Self {
        Self { retain: retain.max(1) as usize, kept: VecDeque::new() }
    }

    pub fn latest(&self) -> Option<CheckpointId> {
        self.kept.back().map(|c| c.id)
    }

    pub fn ids(&self) -> impl Iterator<Item = CheckpointId> {
        self.kept.iter().map(|c| c.id)
    }

    /// `id` is complete and names `objects`, if that is known. Ids rise; one that does not
    /// is already there and changes nothing.
    pub fn add(&mut self, id: CheckpointId, objects: Option<Objects>) {
        if self.latest().is_none_or(|latest| latest < id) {
            self.kept.push_back(Completed { id, objects });
        }
    }

    /// Those to be deleted; they are forgotten here.
    pub fn take_subsumed(&mut self) -> Subsumed {
        let excess = self.kept.len().saturating_sub(self.retain);
        let mut subsumed = Subsumed { ids: Vec::new(), objects: Some(Objects::new()) };
        for Completed { id, objects } in self.kept.drain(..excess) {
            subsumed.ids.push(id);
            subsumed.objects = subsumed.objects.zip(objects).map(|(mut all, own)| {
                all.extend(own);
                all
            });
        }
        for kept in &self.kept {
            subsumed.objects = subsumed.objects.zip(kept.objects.as_ref()).map(|(mut all, own)| {
                all.retain(|path| !own.contains(path));
                all
            });
        }
        subsumed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(names: &[&str]) -> Option<Objects> {
        Some(names.iter().map(|n| (*n).to_owned()).collect())
    }

    fn subsumed(ids: &[u64], objects: Option<Objects>) -> Subsumed {
        Subsumed { ids: ids.iter().copied().map(CheckpointId).collect(), objects }
    }

    #[test]
    fn keeps_the_newest() {
        let mut completed = CompletedCheckpoints::new(2);
        for id in [1, 2, 2, 5] {
            completed.add(CheckpointId(id), objects(&[]));
        }
        assert_eq!(completed.take_subsumed(), subsumed(&[1], objects(&[])));
        assert_eq!(completed.latest(), Some(CheckpointId(5)));
        assert_eq!(completed.take_subsumed(), subsumed(&[], objects(&[])));
    }

    #[test]
    fn gives_up_what_no_kept_one_names() {
        let mut completed = CompletedCheckpoints::new(2);
        for (id, names) in [
            (1, ["base", "1"].as_slice()),
            (2, &["base", "1", "2"]),
            (4, &["base", "1", "2", "aborted 3", "4"]),
            (5, &["new base"]),
            (6, &["new base", "6"]),
        ] {
            completed.add(CheckpointId(id), objects(names));
            let expected = match id {
                4 => subsumed(&[1], objects(&[])),
                5 => subsumed(&[2], objects(&[])),
                6 => subsumed(&[4], objects(&["base", "1", "2", "aborted 3", "4"])),
                _ => subsumed(&[], objects(&[])),
            };
            assert_eq!(completed.take_subsumed(), expected, "after {id}");
        }
    }

    #[test]
    fn one_that_does_not_tell_spoils_the_difference() {
        let mut completed = CompletedCheckpoints::new(2);
        completed.add(CheckpointId(1), objects(&["a"]));
        completed.add(CheckpointId(2), None);
        completed.add(CheckpointId(3), objects(&["a", "b"]));
        assert_eq!(completed.take_subsumed(), subsumed(&[1], None));
        completed.add(CheckpointId(4), objects(&["c"]));
        assert_eq!(completed.take_subsumed(), subsumed(&[2], None));
        completed.add(CheckpointId(5), objects(&["d"]));
        assert_eq!(completed.take_subsumed(), subsumed(&[3], objects(&["a", "b"])));
    }
}
