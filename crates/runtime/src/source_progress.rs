//! How far a source has read, shared by the two ends of it in a task: the head
//! (`source_head.rs`) knows splits, the watermark operator behind it
//! (`operators/watermark.rs`) knows event time. Made by `deploy.rs`.
//!
//! Both run on the task's core thread; the lock is there because operators are `Send`, and
//! nobody ever waits for it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use model::Watermark;

use crate::split_watermarks::SplitWatermarks;
use crate::watermark_alignment::Aligned;

/// Splits, their watermarks, and the reader's place among others.
#[derive(Debug)]
pub struct SourceProgress {
    inner: Mutex<Inner>,
    /// `None`: the source is not aligned.
    aligned: Option<Aligned>,
}

#[derive(Debug)]
struct Inner {
    splits: SplitWatermarks,
    /// The split of the batch that is on its way through the chain.
    current: Option<String>,
    /// A split ended since the watermark was last combined.
    ended: bool,
    paused: bool,
}

/// What became of silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// Some split still counts: the watermark is this (none before the first rows).
    Partly(Option<Watermark>),
    Idle,
}

impl SourceProgress {
    pub fn new(now_ms: i64, aligned: Option<Aligned>) -> Self {
        let splits = SplitWatermarks::new(now_ms);
        let inner = Inner { splits, current: None, ended: false, paused: false };
        Self { inner: Mutex::new(inner), aligned }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The reader's place in its group.
    pub fn aligned(&self) -> Option<&Aligned> {
        self.aligned.as_ref()
    }

    /// The reader got these splits.
    pub fn add_splits(&self, ids: impl Iterator<Item = String>, now_ms: i64) {
        let mut inner = self.lock();
        for id in ids {
            inner.splits.add(id, now_ms);
        }
    }

    /// For people: the splits being read, least watermark first; empty when the reader names
    /// none.
    pub fn splits(&self) -> Vec<model::metrics::SplitMetrics> {
        self.lock().splits.shown()
    }

    /// The next batch to enter the chain is of `split`.
    pub fn next_batch(&self, split: Option<&str>) {
        let current = &mut self.lock().current;
        if current.as_deref() != split {
            *current = split.map(str::to_owned);
        }
    }

    /// These splits were read to their end, the batch on its way being their last.
    pub fn end_splits(&self, ids: &[String]) {
        if ids.is_empty() {
            return;
        }
        let mut inner = self.lock();
        for id in ids {
            inner.splits.finish(id);
        }
        inner.ended = true;
    }

    /// The head holds the reader back, or lets it read again.
    pub fn set_paused(&self, paused: bool, now_ms: i64) {
        let mut inner = self.lock();
        if std::mem::replace(&mut inner.paused, paused) && !paused {
            inner.splits.resume(now_ms);
        }
    }

    /// Rows of the current batch mean `watermark`; the reader's watermark now.
    pub fn rows(&self, watermark: Watermark, now_ms: i64) -> Option<Watermark> {
        let Inner { splits, current, ended, .. } = &mut *self.lock();
        *ended = false;
        splits.rows(current.as_deref(), watermark, now_ms);
        splits.combined()
    }

    /// What was passed on downstream, as far as the group is concerned.
    pub fn publish(&self, watermark: Watermark) {
        // Without a watermark it stays what it is: not counted once it had nothing to read.
        if let Some(aligned) = self.aligned.as_ref().filter(|_| watermark > Watermark::MIN) {
            aligned.set(watermark);
        }
    }

    /// The reader is idle.
    pub fn publish_idle(&self) {
        if let Some(aligned) = &self.aligned {
            aligned.leave_out();
        }
    }

    /// When [`Self::silence`] has something to say.
    pub fn next_wakeup_ms(&self, idle_timeout_ms: Option<i64>) -> Option<i64> {
        let inner = self.lock();
        if inner.ended {
            return Some(i64::MIN);
        }
        let timeout_ms = idle_timeout_ms.filter(|_| !inner.paused)?;
        inner.splits.next_idle_ms(timeout_ms)
    }

    /// Time has passed, or splits have ended.
    pub fn silence(&self, now_ms: i64, idle_timeout_ms: Option<i64>) -> Silence {
        let mut inner = self.lock();
        inner.ended = false;
        let timeout_ms = idle_timeout_ms.filter(|_| !inner.paused);
        match timeout_ms {
            Some(timeout_ms) if inner.splits.expire(now_ms, timeout_ms) => Silence::Idle,
            _ => Silence::Partly(inner.splits.combined()),
        }
    }
}
