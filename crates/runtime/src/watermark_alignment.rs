//! Watermark alignment: the readers of a group (subtasks of one source, or of several) see
//! each other's watermarks, and one that is too far ahead waits. Within a process through
//! shared memory, exactly and at once; of other processes they know what the job manager
//! said last. Joined by `deploy.rs`; asked by `source_head.rs` before each batch.
//!
//! The slowest reader never waits, so the group always moves. A reader that is idle, has
//! ended, or is waiting for splits does not count.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use model::operator_spec::WatermarkAlignment;
use model::{Attempt, ExecutionAttemptId, JobId, Watermark};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::task::TaskControl;

/// The watermark of a reader that does not count.
const NOBODY: i64 = i64::MAX;

/// The groups that have readers in this process. One per process, given to every task.
#[derive(Debug, Default)]
pub struct AlignmentGroups {
    groups: Mutex<BTreeMap<(JobId, Attempt, String), Weak<Group>>>,
}

/// The readers of one group in this process, of one attempt of one job.
#[derive(Debug)]
struct Group {
    members: RwLock<Vec<Arc<AtomicI64>>>,
    /// The least watermark in other processes.
    elsewhere: AtomicI64,
    /// Readers that wait for others.
    waiting: AtomicUsize,
    changed: Notify,
}

impl Group {
    fn least(&self) -> i64 {
        let members = self.members.read().unwrap_or_else(PoisonError::into_inner);
        members.iter().map(|m| m.load(SeqCst)).fold(self.elsewhere.load(SeqCst), i64::min)
    }

    fn wake(&self) {
        if self.waiting.load(SeqCst) > 0 {
            self.changed.notify_waiters();
        }
    }
}

impl AlignmentGroups {
    /// A reader joins; it counts from now on, as one that has seen nothing yet. It leaves
    /// when it is dropped.
    pub fn join(&self, attempt: &ExecutionAttemptId, config: &WatermarkAlignment) -> Aligned {
        let key = (attempt.job, attempt.attempt, config.group.clone());
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.retain(|_, group| group.strong_count() > 0);
        let group = groups.get(&key).and_then(Weak::upgrade).unwrap_or_else(|| {
            let group = Arc::new(Group {
                members: RwLock::default(),
                // Until the job manager has answered, others may be anywhere.
                elsewhere: AtomicI64::new(i64::MIN),
                waiting: AtomicUsize::new(0),
                changed: Notify::new(),
            });
            groups.insert(key, Arc::downgrade(&group));
            group
        });
        let own = Arc::new(AtomicI64::new(i64::MIN));
        group.members.write().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&own));
        Aligned { group, own, max_drift_ms: config.max_drift_ms, reporter: None }
    }
}

/// One reader's place in its group.
#[derive(Debug)]
pub struct Aligned {
    group: Arc<Group>,
    own: Arc<AtomicI64>,
    max_drift_ms: i64,
    reporter: Option<JoinHandle<()>>,
}

impl Drop for Aligned {
    fn drop(&mut self) {
        if let Some(reporter) = &self.reporter {
            reporter.abort();
        }
        let mut members = self.group.members.write().unwrap_or_else(PoisonError::into_inner);
        members.retain(|member| !Arc::ptr_eq(member, &self.own));
        drop(members);
        self.group.wake();
    }
}

impl Aligned {
    /// Tells the job manager of this reader's watermark and learns of those in other
    /// processes, every `every`, until the reader leaves. Stops by itself when there are
    /// none: tasks do not move within an attempt.
    pub fn report(
        &mut self,
        attempt: ExecutionAttemptId,
        every: Duration,
        control: Arc<dyn TaskControl>,
        io: &tokio::runtime::Handle,
    ) {
        let (group, own) = (Arc::clone(&self.group), Arc::clone(&self.own));
        self.reporter = Some(io.spawn(async move {
            loop {
                let watermark = Some(own.load(SeqCst)).filter(|w| *w != NOBODY);
                match control.align_watermarks(attempt, watermark.map(Watermark)).await {
                    Ok(answer) => {
                        group.elsewhere.store(answer.least.map_or(NOBODY, |w| w.0), SeqCst);
                        group.wake();
                        if answer.alone {
                            return;
                        }
                    }
                    Err(error) => {
                        tracing::debug!(%attempt, error = error.chain(), "cannot align watermarks");
                    }
                }
                tokio::time::sleep(every).await;
            }
        }));
    }

    /// The reader's watermark.
    pub fn set(&self, watermark: Watermark) {
        self.own.store(watermark.0, SeqCst);
        self.group.wake();
    }

    /// It is idle, has ended or has no splits: the others need not wait for it.
    pub fn leave_out(&self) {
        self.set(Watermark(NOBODY));
    }

    /// Nothing to read now: if it never had a watermark, nobody knows how long that lasts.
    pub fn nothing_to_read(&self) {
        if self.own.load(SeqCst) == i64::MIN {
            self.leave_out();
        }
    }

    /// Whether it must wait for slower ones.
    pub fn is_ahead(&self) -> bool {
        let own = self.own.load(SeqCst);
        // One that says nothing at present cannot be ahead.
        own != NOBODY && own > self.group.least().saturating_add(self.max_drift_ms)
    }

    /// Returns when it need not wait (any more). Cancel-safe.
    pub async fn not_ahead(&self) {
        struct Waiting<'a>(&'a AtomicUsize);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, SeqCst);
            }
        }
        self.group.waiting.fetch_add(1, SeqCst);
        let _waiting = Waiting(&self.group.waiting);
        loop {
            let mut changed = std::pin::pin!(self.group.changed.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            if !self.is_ahead() {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests;
