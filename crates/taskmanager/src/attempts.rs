//! What has been deployed here before: makes repeated deployments harmless and refuses
//! late ones. Called by `task_executor.rs`. Pure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use model::{Attempt, Error, ExecutionAttemptId, JobId, Result};

/// A repeated call comes within seconds; these many deployments take far longer.
const REMEMBERED: usize = 4096;

#[derive(Default)]
pub(crate) struct Attempts {
    seen: BTreeSet<ExecutionAttemptId>,
    order: VecDeque<ExecutionAttemptId>,
    newest: BTreeMap<JobId, Attempt>,
}

impl Attempts {
    /// Whether `attempt` is new here, and remembers it. Fails (Fenced) when a newer
    /// attempt of its job has been here.
    pub(crate) fn admit(&mut self, attempt: ExecutionAttemptId) -> Result<bool> {
        let newest = self.newest.entry(attempt.job).or_insert(attempt.attempt);
        if attempt.attempt < *newest {
            return Err(Error::fenced(format!(
                "{attempt} is out of date: attempt {newest} of the job has been deployed here"
            )));
        }
        *newest = attempt.attempt;
        if !self.seen.insert(attempt) {
            return Ok(false);
        }
        self.order.push_back(attempt);
        if self.order.len() > REMEMBERED
            && let Some(old) = self.order.pop_front()
        {
            self.seen.remove(&old);
            if !self.order.iter().any(|a| a.job == old.job) {
                self.newest.remove(&old.job);
            }
        }
        Ok(true)
    }

    /// Takes back an admission: the deployment was refused and may be tried again.
    pub(crate) fn forget(&mut self, attempt: &ExecutionAttemptId) {
        self.seen.remove(attempt);
        self.order.retain(|a| a != attempt);
    }
}

#[cfg(test)]
mod tests {
    use model::{SubtaskIndex, VertexId};

    use super::*;

    fn id(job: u128, subtask: u32, attempt: u32) -> ExecutionAttemptId {
        ExecutionAttemptId {
            job: JobId(job),
            vertex: VertexId(1),
            subtask: SubtaskIndex(subtask),
            attempt: Attempt(attempt),
        }
    }

    #[test]
    fn repeats_are_known_and_older_ones_refused() {
        let mut attempts = Attempts::default();
        assert!(attempts.admit(id(1, 0, 1)).unwrap());
        assert!(!attempts.admit(id(1, 0, 1)).unwrap());
        assert!(attempts.admit(id(1, 1, 2)).unwrap());
        assert_eq!(attempts.admit(id(1, 0, 1)).unwrap_err().kind(), model::ErrorKind::Fenced);
        assert!(attempts.admit(id(2, 0, 1)).unwrap());
        attempts.forget(&id(2, 0, 1));
        assert!(attempts.admit(id(2, 0, 1)).unwrap());
    }

    #[test]
    fn memory_is_bounded() {
        let mut attempts = Attempts::default();
        for job in 0..(REMEMBERED as u128 + 10) {
            attempts.admit(id(job, 0, 1)).unwrap();
        }
        assert_eq!((attempts.seen.len(), attempts.newest.len()), (REMEMBERED, REMEMBERED));
    }
}
