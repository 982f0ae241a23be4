//! Looking at rows that pass: a task's taps. While nobody looks, a batch costs one relaxed
//! load. Rows are sampled and bounded, and a slow onlooker loses rows, never delays the task.
//! Offered to by `chain.rs`, opened by `taskmanager`.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;
use model::job_graph::JobVertex;
use model::operator_spec::OperatorSpec;
use model::{Clock, Error, Result, SystemClock};
use tokio::sync::mpsc;

use crate::results::Results;

/// Taps of one task at a time.
pub const MAX_TAPS: usize = 8;
/// Samples that an onlooker has not taken yet.
const QUEUED: usize = 16;

/// A few rows, and how many passed unseen since the last sample.
#[derive(Debug)]
pub struct Sample {
    pub rows: RecordBatch,
    pub dropped: u64,
}

/// The onlooker's end. Dropping it closes the tap.
pub struct TapReader {
    samples: mpsc::Receiver<Sample>,
    id: u64,
    taps: Arc<Taps>,
}

impl TapReader {
    /// `None`: the limit is reached, or the task has ended. Cancel-safe.
    pub async fn next(&mut self) -> Option<Sample> {
        self.samples.recv().await
    }
}

impl Drop for TapReader {
    fn drop(&mut self) {
        self.taps.close(self.id);
    }
}

#[derive(Debug)]
struct Tap {
    id: u64,
    place: usize,
    sender: mpsc::Sender<Sample>,
    /// Rows per period.
    per_period: usize,
    period_ms: i64,
    period_from_ms: i64,
    taken: usize,
    left: usize,
    dropped: u64,
}

/// All taps of one task. Places are positions in the chain: `n` is what goes into link `n`.
#[derive(Debug, Default)]
pub struct Taps {
    open: AtomicUsize,
    taps: Mutex<Vec<Tap>>,
    drawn: AtomicUsize,
    /// By operator uid, in chain order.
    places: Vec<(String, usize)>,
    /// Of a task whose sink collects.
    pub results: Results,
}

impl Taps {
    pub fn of(vertex: &JobVertex) -> Self {
        let after_source = usize::from(!vertex.is_source());
        let links = vertex
            .operators
            .iter()
            .filter(|o| !matches!(o.spec, OperatorSpec::Source { .. } | OperatorSpec::Sink { .. }));
        let last = links.count();
        let place = |(index, operator): (usize, &model::job_graph::OperatorNode)| {
            let place = match operator.spec {
                // What a sink takes is what the chain puts out.
                OperatorSpec::Sink { .. } => last,
                _ => index + after_source,
            };
            (operator.uid.clone(), place)
        };
        let places = vertex.operators.iter().enumerate().map(place).collect();
        Self { places, ..Self::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Tap>> {
        self.taps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anybody looks.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.open.load(Relaxed) > 0
    }

    /// Opens a tap behind the operator `uid` (empty: the last of the chain), for at most
    /// `rows_per_second`, and `limit` rows in all.
    ///
    /// # Errors
    /// User: no such operator. External: too many look already.
    pub fn open(
        self: &Arc<Self>,
        uid: &str,
        rows_per_second: usize,
        limit: usize,
    ) -> Result<TapReader> {
        let mut places = self.places.iter();
        let found = if uid.is_empty() { places.next_back() } else { places.find(|p| p.0 == uid) };
        let place = found.map(|p| p.1).ok_or_else(|| {
            Error::user(format!("the task has no operator `{uid}` that could be tapped"))
        })?;
        let mut taps = self.lock();
        if taps.len() >= MAX_TAPS {
            return Err(Error::external(format!("{MAX_TAPS} taps of this task are open already")));
        }
        // Short periods spread the rows; a rate below ten a second needs a whole one.
        let (per_period, period_ms) = match rows_per_second {
            0..10 => (rows_per_second.max(1), 1_000),
            n => (n / 10, 100),
        };
        let (sender, samples) = mpsc::channel(QUEUED);
        let id = self.drawn.fetch_add(1, Relaxed) as u64;
        taps.push(Tap {
            id,
            place,
            sender,
            per_period,
            period_ms,
            period_from_ms: i64::MIN,
            taken: 0,
            left: limit,
            dropped: 0,
        });
        self.open.store(taps.len(), Relaxed);
        Ok(TapReader { samples, id, taps: Arc::clone(self) })
    }

    fn close(&self, id: u64) {
        let mut taps = self.lock();
        taps.retain(|t| t.id != id);
        self.open.store(taps.len(), Relaxed);
    }

    /// The task has ended: so do its taps.
    pub fn close_all(&self) {
        let mut taps = self.lock();
        taps.clear();
        self.open.store(0, Relaxed);
    }

    /// Rows pass `place`. Never waits. To be called only while [`Self::is_on`].
    #[cold]
    pub fn offer(&self, place: usize, rows: &RecordBatch) {
        self.offer_at(place, rows, SystemClock.now_ms());
    }

    fn offer_at(&self, place: usize, rows: &RecordBatch, now_ms: i64) {
        let mut taps = self.lock();
        taps.retain_mut(|tap| tap.place != place || tap.offer(rows, now_ms));
        self.open.store(taps.len(), Relaxed);
    }
}

impl Tap {
    /// False when it is done.
    fn offer(&mut self, rows: &RecordBatch, now_ms: i64) -> bool {
        if now_ms < self.period_from_ms
            || now_ms.saturating_sub(self.period_from_ms) >= self.period_ms
        {
            self.period_from_ms = now_ms;
            self.taken = 0;
        }
        let total = rows.num_rows();
        let take = total.min(self.per_period.saturating_sub(self.taken)).min(self.left);
        if take == 0 {
            self.dropped += total as u64;
            return !self.sender.is_closed();
        }
        // From another part of each batch, so that not only first rows are seen.
        let start = (self.dropped as usize).wrapping_mul(0x9E37_79B1) % (total - take + 1);
        let dropped = self.dropped + (total - take) as u64;
        match self.sender.try_send(Sample { rows: rows.slice(start, take), dropped }) {
            Ok(()) => {
                self.taken += take;
                self.left -= take;
                self.dropped = 0;
                self.left > 0
            }
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.dropped += total as u64;
                true
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array};
    use proptest::prelude::*;

    fn rows(n: usize) -> RecordBatch {
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..n as i64));
        RecordBatch::try_from_iter([("id", ids)]).unwrap()
    }

    fn taps() -> Arc<Taps> {
        let places = vec![("source".to_owned(), 0), ("filter".to_owned(), 1)];
        Arc::new(Taps { places, ..Taps::default() })
    }

    #[test]
    fn nothing_is_open_until_somebody_looks() {
        let taps = taps();
        assert!(!taps.is_on());
        let reader = taps.open("filter", 100, 1000).unwrap();
        assert!(taps.is_on());
        drop(reader);
        assert!(!taps.is_on());
        assert!(taps.open("no such", 100, 1000).is_err());
        let open: Vec<_> = (0..MAX_TAPS).map(|_| taps.open("", 1, 1).unwrap()).collect();
        assert!(taps.open("", 1, 1).is_err(), "bounded");
        drop(open);
    }

    #[test]
    fn rows_are_sampled_and_the_rest_is_counted() {
        let taps = taps();
        let mut reader = taps.open("filter", 100, 15).unwrap();
        taps.offer_at(0, &rows(50), 1_000);
        taps.offer_at(1, &rows(50), 1_000);
        taps.offer_at(1, &rows(50), 1_000);
        let first = reader.samples.try_recv().unwrap();
        assert_eq!((first.rows.num_rows(), first.dropped), (10, 40), "ten in a tenth of a second");
        assert!(reader.samples.try_recv().is_err());
        taps.offer_at(1, &rows(50), 1_100);
        let second = reader.samples.try_recv().unwrap();
        assert_eq!((second.rows.num_rows(), second.dropped), (5, 95), "the limit is fifteen");
        assert!(!taps.is_on(), "and that was all");
    }

    proptest! {
        #[test]
        fn every_row_is_shown_or_counted(batches in prop::collection::vec((1_usize..300, 0_i64..300), 1..60)) {
            let (taps, mut now_ms) = (taps(), 0);
            let mut reader = taps.open("filter", 100, 1_000_000).unwrap();
            let (mut passed, mut shown, mut dropped) = (0, 0, 0);
            for (n, pause) in batches {
                taps.offer_at(1, &rows(n), now_ms);
                passed += n as u64;
                while let Ok(sample) = reader.samples.try_recv() {
                    shown += sample.rows.num_rows() as u64;
                    dropped += sample.dropped;
                }
                now_ms += pause;
            }
            let uncounted = taps.lock()[0].dropped;
            prop_assert_eq!(shown + dropped + uncounted, passed);
        }
    }
}
