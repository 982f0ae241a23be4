//! How a checkpoint ends: manifest and commit, or failure; what it makes superfluous and when
//! the next one starts. Part of `coordinator.rs`, which calls it.

use model::{CheckpointId, Error, ErrorKind};

use super::{Actions, CheckpointAction, CheckpointCoordinator, Token};
use crate::checkpoint::completed::Subsumed;
use crate::checkpoint::history::CheckpointKind;
use crate::checkpoint::pending::{Pending, Phase};

impl CheckpointCoordinator {
    /// Whether the manifest exists is unknown after an error (the answer may be what was
    /// lost), so the job restarts and looks.
    pub(super) fn manifest_written(
        &mut self,
        now_ms: i64,
        id: CheckpointId,
        outcome: Result<String, Error>,
        out: &mut Actions,
    ) {
        let completing = |p: &&mut Pending| p.id == id && p.phase == Phase::Completing;
        let Some(pending) = self.pending.as_mut().filter(completing) else { return };
        match outcome {
            Ok(path) => {
                pending.phase = Phase::Committing;
                self.completed.add(id, Some(std::mem::take(&mut pending.objects)));
                self.history.end(id, now_ms, Ok(path));
                out.push(CheckpointAction::Commit { id });
            }
            Err(error) => {
                self.in_doubt = Some(id);
                self.give_up(now_ms, id, error.at(format!("checkpoint {id}")), out);
            }
        }
    }

    pub(super) fn committed(
        &mut self,
        now_ms: i64,
        id: CheckpointId,
        outcome: Result<(), Error>,
        out: &mut Actions,
    ) {
        let committing = |p: &&mut Pending| p.id == id && p.phase == Phase::Committing;
        let Some(pending) = self.pending.as_mut().filter(committing) else { return };
        if let Err(error) = outcome {
            let error = error.at(format!("sink commit of checkpoint {id}"));
            return self.give_up(now_ms, id, error, out);
        }
        let tokens = std::mem::take(&mut pending.tokens);
        let (kind, triggered_at_ms) = (pending.kind, pending.triggered_at_ms);
        if let Some(current) = &mut self.attempt {
            for task in &pending.finished {
                if let Some(snapshot) = current.finished.get_mut(task) {
                    snapshot.committables.clear();
                }
            }
            out.push(CheckpointAction::NotifyComplete { id });
        }
        self.pending = None;
        self.failures_in_a_row = 0;
        if let Some(record) = self.history.get_mut(id) {
            record.committed_at_ms = Some(now_ms);
        }
        self.retire(id, out);
        if !tokens.is_empty() {
            out.push(CheckpointAction::Answer { tokens, outcome: Ok(id) });
        }
        if kind == CheckpointKind::Final && self.attempt.is_some() {
            out.push(CheckpointAction::Finalized);
            return;
        }
        self.schedule_next(now_ms, triggered_at_ms);
        if self.finalize {
            self.begin_final(now_ms, out);
        } else {
            self.tick(now_ms, out);
        }
    }

    /// What `id` makes superfluous: older checkpoints, and leavings of aborted ones. From now
    /// on no task can name an object that was written for a checkpoint up to `id` and that
    /// `id` does not name.
    ///
    /// One deletion at a time: it takes objects that the manifests of an earlier one may
    /// still name. Until that has ended, the next completion is soon enough.
    pub(super) fn retire(&mut self, id: CheckpointId, out: &mut Actions) {
        if self.deleting {
            return;
        }
        let Subsumed { ids, objects } = self.completed.take_subsumed();
        if ids.is_empty() && !self.leavings {
            return;
        }
        out.push(match objects {
            Some(objects) if !self.leavings => CheckpointAction::Delete { ids, objects },
            _ => CheckpointAction::CleanOrphans { keep: self.completed.ids().collect(), up_to: id },
        });
        self.leavings = false;
        self.deleting = true;
    }

    /// Ends the pending checkpoint after the point of no return: only a restart can go on.
    pub(super) fn give_up(
        &mut self,
        now_ms: i64,
        id: CheckpointId,
        error: Error,
        out: &mut Actions,
    ) {
        let text = error.chain();
        if let Some(pending) = self.pending.take() {
            answer_error(pending.tokens, error.kind(), &text, out);
        }
        if self.in_doubt == Some(id) {
            self.history.end(id, now_ms, Err(text));
        }
        if self.attempt.is_some() {
            out.push(CheckpointAction::FailExecution { error });
        }
    }

    pub(super) fn schedule_next(&mut self, now_ms: i64, triggered_at_ms: i64) {
        self.next_trigger_ms = self
            .config
            .interval_ms
            .map(|interval| (triggered_at_ms + interval).max(now_ms + self.config.min_pause_ms));
        if !self.queued.is_empty() {
            self.next_trigger_ms = Some(now_ms);
        }
    }

    /// The pending checkpoint failed by itself: counts towards the tolerable failures.
    pub(super) fn fail_pending(&mut self, now_ms: i64, error: Error, out: &mut Actions) {
        let Some(pending) = self.pending.as_ref().filter(|p| p.may_abort()) else { return };
        let (triggered_at_ms, kind) = (pending.triggered_at_ms, pending.kind);
        let text = error.chain();
        self.abort(now_ms, error.kind(), &text, out);
        self.failures_in_a_row += 1;
        let tolerable = self.config.tolerable_failures;
        if kind == CheckpointKind::Final || self.failures_in_a_row > tolerable {
            let text = format!(
                "{} checkpoints in a row failed ({tolerable} are tolerable), the last: {text}",
                self.failures_in_a_row
            );
            let kind =
                if error.kind() == ErrorKind::User { error.kind() } else { ErrorKind::External };
            out.push(CheckpointAction::FailExecution { error: Error::new(kind, text) });
            return;
        }
        self.schedule_next(now_ms, triggered_at_ms);
    }

    /// Drops the pending checkpoint, but not what its sinks had prepared.
    pub(super) fn abort(&mut self, now_ms: i64, kind: ErrorKind, cause: &str, out: &mut Actions) {
        let Some(pending) = self.pending.take() else { return };
        self.leavings = true;
        for (task, snapshot) in pending.snapshots {
            self.carry(pending.id, task, snapshot.committables);
        }
        self.history.end(pending.id, now_ms, Err(cause.to_owned()));
        out.push(CheckpointAction::Abort { id: pending.id });
        answer_error(pending.tokens, kind, cause, out);
    }
}

pub(super) fn answer_error(tokens: Vec<Token>, kind: ErrorKind, text: &str, out: &mut Actions) {
    if !tokens.is_empty() {
        out.push(CheckpointAction::Answer { tokens, outcome: Err(Error::new(kind, text)) });
    }
}
