//! What a running task counts, and what it is doing, readable from other threads while it
//! runs. Written by the task loop; `taskmanager` sends [`SharedMetrics::snapshot`] with
//! heartbeats and shows [`SharedMetrics::doing`] in dumps.

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::Watermark;
use model::execution_state::ExecutionState;
use model::metrics::{HotKeyGroup, OperatorMetrics, SplitMetrics, TaskMetrics};

/// What a task does at one moment, as one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activity {
    /// Fetching and opening state.
    Restoring,
    WaitingForInput,
    /// There is no room downstream.
    WaitingForCredit,
    /// Between two steps, or in the reader or the sink.
    Moving,
    /// In the chain's operator of this index.
    Operator(usize),
}

impl Activity {
    const OPERATORS: u32 = 16;

    fn number(self) -> u32 {
        match self {
            Self::Restoring => 0,
            Self::WaitingForInput => 1,
            Self::WaitingForCredit => 2,
            Self::Moving => 3,
            Self::Operator(index) => {
                Self::OPERATORS.saturating_add(u32::try_from(index).unwrap_or(u32::MAX))
            }
        }
    }
}

/// Counters of one task since its attempt started.
#[derive(Debug)]
pub struct SharedMetrics {
    pub(crate) records_in: AtomicU64,
    pub(crate) records_out: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    watermark: AtomicI64,
    pub(crate) late_records: AtomicU64,
    pub(crate) bad_skipped: AtomicU64,
    pub(crate) bad_dead_lettered: AtomicU64,
    busy_us: AtomicU64,
    backpressured_us: AtomicU64,
    idle_us: AtomicU64,
    pub(crate) state_bytes: AtomicU64,
    pub(crate) queued_bytes: AtomicU64,
    /// p50, p99, max in microseconds; all 0: not measured.
    latency_us: [AtomicU64; 3],
    activity: AtomicU32,
    /// Of a source: when rows last came, microseconds since the epoch; 0: no source.
    last_record_us: AtomicI64,
    /// Of a source with event time: how far its watermark lies below the newest time; -1: none.
    watermark_delay_ms: AtomicI64,
    /// What the reader says; `u64::MAX`: nothing.
    pending_records: AtomicU64,
    alignment_us: AtomicU64,
    restore_us: AtomicU64,
    /// Figures that cost something to come by are left out.
    is_off: bool,
    /// What changes a few times a second at most.
    slow: Mutex<Slow>,
}

#[derive(Clone, Debug, Default)]
struct Slow {
    splits: Vec<SplitMetrics>,
    hot_key_group: Option<HotKeyGroup>,
    operators: Vec<OperatorMetrics>,
    /// Names of the chain's operators, for [`SharedMetrics::doing`].
    names: Vec<String>,
}

impl Default for SharedMetrics {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            records_in: zero(),
            records_out: zero(),
            bytes_in: zero(),
            bytes_out: zero(),
            watermark: AtomicI64::new(Watermark::MIN.0),
            late_records: zero(),
            bad_skipped: zero(),
            bad_dead_lettered: zero(),
            busy_us: zero(),
            backpressured_us: zero(),
            idle_us: zero(),
            state_bytes: zero(),
            queued_bytes: zero(),
            latency_us: [zero(), zero(), zero()],
            activity: AtomicU32::new(Activity::Restoring.number()),
            last_record_us: AtomicI64::new(0),
            watermark_delay_ms: AtomicI64::new(-1),
            pending_records: AtomicU64::new(u64::MAX),
            alignment_us: zero(),
            restore_us: zero(),
            is_off: false,
            slow: Mutex::default(),
        }
    }
}

impl SharedMetrics {
    /// Only what the task counts in passing. For measuring what the rest costs.
    pub fn off() -> Self {
        Self { is_off: true, ..Self::default() }
    }

    pub(crate) fn is_off(&self) -> bool {
        self.is_off
    }

    fn slow(&self) -> MutexGuard<'_, Slow> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The figures as they are now. Counters are read one by one, not as of one moment.
    pub fn snapshot(&self, now_ms: i64) -> TaskMetrics {
        let watermark = self.watermark.load(Relaxed);
        let watermark = (watermark != Watermark::MIN.0).then_some(watermark);
        let latency = [0, 1, 2].map(|i: usize| self.latency_us[i].load(Relaxed));
        let last_record_us = self.last_record_us.load(Relaxed);
        let idle_ms = now_ms.saturating_sub(last_record_us / 1000);
        let delay_ms = self.watermark_delay_ms.load(Relaxed);
        let pending = self.pending_records.load(Relaxed);
        let slow = self.slow().clone();
        TaskMetrics {
            records_in: self.records_in.load(Relaxed),
            records_out: self.records_out.load(Relaxed),
            bytes_in: self.bytes_in.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
            watermark,
            late_records: self.late_records.load(Relaxed),
            bad_records_skipped: self.bad_skipped.load(Relaxed),
            bad_records_dead_lettered: self.bad_dead_lettered.load(Relaxed),
            busy_ms: self.busy_us.load(Relaxed) / 1000,
            backpressured_ms: self.backpressured_us.load(Relaxed) / 1000,
            idle_ms: self.idle_us.load(Relaxed) / 1000,
            state_bytes: self.state_bytes.load(Relaxed),
            queued_bytes: self.queued_bytes.load(Relaxed),
            latency_us: Some(latency).filter(|l| *l != [0; 3]),
            source_idle_ms: (last_record_us > 0).then(|| u64::try_from(idle_ms).unwrap_or(0)),
            pending_records: (pending != u64::MAX).then_some(pending),
            fetch_event_time_lag_ms: watermark
                .filter(|w| delay_ms >= 0 && *w != Watermark::MAX.0)
                .map(|w| now_ms.saturating_sub(w.saturating_add(delay_ms))),
            splits: slow.splits,
            hot_key_group: slow.hot_key_group,
            operators: slow.operators,
            alignment_ms: self.alignment_us.load(Relaxed) / 1000,
            restore_ms: self.restore_us.load(Relaxed) / 1000,
        }
    }

    /// Bytes of state in memory, and of rows that wait in the input gate.
    pub fn memory(&self) -> (u64, u64) {
        (self.state_bytes.load(Relaxed), self.queued_bytes.load(Relaxed))
    }

    /// What the task does at this moment, in words.
    pub fn doing(&self) -> String {
        match self.activity.load(Relaxed) {
            0 => "restoring state".to_owned(),
            1 => "waiting for input".to_owned(),
            2 => "waiting for credit".to_owned(),
            number => match self.operator_name(number) {
                Some(name) => format!("running operator `{name}`"),
                None => "reading, sending or writing".to_owned(),
            },
        }
    }

    fn operator_name(&self, number: u32) -> Option<String> {
        let index = number.checked_sub(Activity::OPERATORS)? as usize;
        self.slow().names.get(index).cloned()
    }

    /// INITIALIZING while it restores, else RUNNING. How a task ends is not seen here.
    pub fn state(&self) -> ExecutionState {
        match self.activity.load(Relaxed) == Activity::Restoring.number() {
            true => ExecutionState::Initializing,
            false => ExecutionState::Running,
        }
    }

    #[inline]
    pub(crate) fn set_activity(&self, activity: Activity) {
        self.activity.store(activity.number(), Relaxed);
    }
    /// Names for [`Activity::Operator`], by the chain's order.
    pub(crate) fn set_operator_names(&self, names: Vec<String>) {
        self.slow().names = names;
    }
    /// A source read rows; also told when it starts.
    pub(crate) fn set_last_record_us(&self, now_us: i64) {
        self.last_record_us.store(now_us, Relaxed);
    }
    pub(crate) fn set_watermark_delay_ms(&self, delay_ms: i64) {
        self.watermark_delay_ms.store(delay_ms, Relaxed);
    }
    pub(crate) fn set_pending_records(&self, pending: Option<u64>) {
        self.pending_records.store(pending.unwrap_or(u64::MAX), Relaxed);
    }
    pub(crate) fn set_alignment_us(&self, us: u64) {
        self.alignment_us.store(us, Relaxed);
    }
    pub(crate) fn set_restore_us(&self, us: u64) {
        self.restore_us.store(us, Relaxed);
    }
    pub(crate) fn set_slow(
        &self,
        splits: Vec<SplitMetrics>,
        hot_key_group: Option<HotKeyGroup>,
        operators: Vec<OperatorMetrics>,
    ) {
        let mut slow = self.slow();
        slow.splits = splits;
        slow.hot_key_group = hot_key_group;
        slow.operators = operators;
    }
    pub(crate) fn set_watermark(&self, watermark: Watermark) {
        self.watermark.store(watermark.0, Relaxed);
    }
    pub(crate) fn add_backpressured_us(&self, us: u64) {
        self.backpressured_us.fetch_add(us, Relaxed);
    }
    pub(crate) fn add_idle_us(&self, us: u64) {
        self.idle_us.fetch_add(us, Relaxed);
    }
    pub(crate) fn backpressured_us(&self) -> u64 {
        self.backpressured_us.load(Relaxed)
    }
    pub(crate) fn idle_us(&self) -> u64 {
        self.idle_us.load(Relaxed)
    }
    /// As the sink measured it over the whole attempt.
    pub(crate) fn set_latency_us(&self, latency: [u64; 3]) {
        for (slot, us) in self.latency_us.iter().zip(latency) {
            slot.store(us, Relaxed);
        }
    }
    pub(crate) fn set_busy_us(&self, us: u64) {
        self.busy_us.store(us, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_says_what_it_does() {
        let metrics = SharedMetrics::default();
        assert_eq!(metrics.state(), ExecutionState::Initializing);
        metrics.set_operator_names(vec!["filter".into(), "window".into()]);
        for (activity, words) in [
            (Activity::WaitingForInput, "waiting for input"),
            (Activity::WaitingForCredit, "waiting for credit"),
            (Activity::Moving, "reading, sending or writing"),
            (Activity::Operator(1), "running operator `window`"),
            (Activity::Operator(7), "reading, sending or writing"),
        ] {
            metrics.set_activity(activity);
            assert_eq!(metrics.doing(), words);
        }
        assert_eq!(metrics.state(), ExecutionState::Running);
    }

    #[test]
    fn silence_and_lag_grow_with_the_clock() {
        let metrics = SharedMetrics::default();
        let none = metrics.snapshot(5_000);
        assert_eq!((none.source_idle_ms, none.fetch_event_time_lag_ms), (None, None));
        metrics.set_last_record_us(2_000_000);
        metrics.set_watermark(Watermark(1_000));
        assert_eq!(metrics.snapshot(5_000).fetch_event_time_lag_ms, None, "no event time");
        metrics.set_watermark_delay_ms(500);
        let some = metrics.snapshot(5_000);
        assert_eq!((some.source_idle_ms, some.fetch_event_time_lag_ms), (Some(3_000), Some(3_500)));
        metrics.set_watermark(Watermark::MAX);
        assert_eq!(metrics.snapshot(5_000).fetch_event_time_lag_ms, None);
    }
}
