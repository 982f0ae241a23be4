//! One registration at one leading job manager. Tasks belong to the session in which they
//! were deployed and end with it. Held by `task_executor.rs`; changed by `heartbeat.rs`
//! (registered, lost) and by `rpc.rs` (a call of a newer leader).

use std::sync::{Mutex, MutexGuard, PoisonError};

use model::{Error, LeaderEpoch, Result};
use tokio_util::sync::CancellationToken;

/// A leader's epoch, and a token that is canceled when we no longer belong to it.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub epoch: LeaderEpoch,
    pub ended: CancellationToken,
}

/// The current session. Before the first registration its epoch is 0.
pub(crate) struct Sessions {
    current: Mutex<Session>,
    stopping: CancellationToken,
}

impl Sessions {
    /// `stopping` ends every session.
    pub(crate) fn new(stopping: CancellationToken) -> Self {
        let ended = stopping.child_token();
        Self { current: Mutex::new(Session { epoch: LeaderEpoch(0), ended }), stopping }
    }

    fn lock(&self) -> MutexGuard<'_, Session> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn current(&self) -> Session {
        self.lock().clone()
    }

    /// Checks a call's epoch. An older one is refused (Fenced). A newer one means that the
    /// leader knows of our registration before we do: it is ours from now on, and what ran
    /// for an older leader ends.
    pub(crate) fn admit(&self, epoch: LeaderEpoch) -> Result<Session> {
        let mut current = self.lock();
        if epoch < current.epoch {
            return Err(Error::fenced(format!(
                "this task manager follows leader epoch {}; the call carries epoch {epoch}",
                current.epoch
            )));
        }
        if epoch > current.epoch {
            self.replace(&mut current, epoch);
        }
        Ok(current.clone())
    }

    /// The leader has registered us with `epoch`. The same epoch as before changes nothing:
    /// a task may have been deployed since it did so.
    pub(crate) fn registered(&self, epoch: LeaderEpoch) {
        let mut current = self.lock();
        if epoch != current.epoch {
            self.replace(&mut current, epoch);
        }
    }

    /// We were forgotten, or cannot reach the leader: what runs for it must end.
    pub(crate) fn lost(&self) {
        let mut current = self.lock();
        let epoch = current.epoch;
        self.replace(&mut current, epoch);
    }

    fn replace(&self, current: &mut Session, epoch: LeaderEpoch) {
        current.ended.cancel();
        *current = Session { epoch, ended: self.stopping.child_token() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_leaders_are_refused_and_newer_ones_followed() {
        let sessions = Sessions::new(CancellationToken::new());
        let first = sessions.admit(LeaderEpoch(3)).unwrap();
        sessions.registered(LeaderEpoch(3));
        assert!(!first.ended.is_cancelled(), "the task that came before the answer lives on");
        let error = sessions.admit(LeaderEpoch(2)).unwrap_err();
        assert_eq!(error.kind(), model::ErrorKind::Fenced);
        let second = sessions.admit(LeaderEpoch(4)).unwrap();
        assert!(first.ended.is_cancelled());
        sessions.lost();
        assert!(second.ended.is_cancelled());
        assert!(!sessions.admit(LeaderEpoch(4)).unwrap().ended.is_cancelled());
    }
}
