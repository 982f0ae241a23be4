//! Holds a reader to a rate, so that files can be replayed at a pace that people can follow.
//! Pure: the time is passed in. Called by `reader.rs`.

use std::time::Duration;

use super::records::BLOCK_RECORDS;

/// A reader that was held up (by backpressure, or by a slow store) catches up with this much.
const CATCH_UP_US: i64 = 1_000_000;
/// Batches a second, as long as each has a row: small enough to flow, large enough to be cheap.
const BATCHES_PER_SECOND: u64 = 10;

/// When the next rows of one reader may go out.
pub(super) struct Pace {
    /// Rows a second of the whole source.
    rate: u64,
    readers: u64,
    /// `None` before the first call.
    due_us: Option<i64>,
    /// How long the rows handed out last stand for.
    last_us: i64,
}

impl Pace {
    /// `rate` (at least 1) is shared evenly by the readers.
    pub(super) fn new(rate: u64, readers: u32) -> Self {
        Self { rate: rate.max(1), readers: u64::from(readers.max(1)), due_us: None, last_us: 0 }
    }

    /// Rows that a batch should have at most.
    pub(super) fn batch_rows(&self) -> usize {
        let rows = self.rate / self.readers / BATCHES_PER_SECOND;
        usize::try_from(rows).unwrap_or(usize::MAX).clamp(1, BLOCK_RECORDS)
    }

    /// How long to wait before the next rows; `None`: they may go out now.
    pub(super) fn wait(&mut self, now_us: i64) -> Option<Duration> {
        let due = *self.due_us.get_or_insert(now_us);
        // The clock may have been set back.
        let ahead = due.saturating_sub(now_us).min(self.last_us);
        self.due_us = Some(now_us.saturating_add(ahead).min(due));
        u64::try_from(ahead).ok().filter(|us| *us > 0).map(Duration::from_micros)
    }

    /// `rows` went out.
    pub(super) fn passed(&mut self, rows: usize, now_us: i64) {
        let us = rows as u128 * u128::from(self.readers) * 1_000_000 / u128::from(self.rate);
        self.last_us = i64::try_from(us).unwrap_or(i64::MAX);
        let from = self.due_us.unwrap_or(now_us).max(now_us.saturating_sub(CATCH_UP_US));
        self.due_us = Some(from.saturating_add(self.last_us));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows that go out until `end_us`, by a reader that is never held up.
    fn rows_until(pace: &mut Pace, mut now_us: i64, end_us: i64) -> usize {
        let mut rows = 0;
        while now_us < end_us {
            match pace.wait(now_us) {
                Some(wait) => now_us += wait.as_micros() as i64,
                None => {
                    pace.passed(pace.batch_rows(), now_us);
                    rows += pace.batch_rows();
                }
            }
        }
        rows
    }

    #[test]
    fn readers_share_the_rate() {
        assert_eq!(rows_until(&mut Pace::new(1000, 1), 5_000_000, 15_000_000), 10_000);
        assert_eq!(rows_until(&mut Pace::new(1000, 4), 5_000_000, 15_000_000), 2500);
        assert_eq!(rows_until(&mut Pace::new(3, 1), 0, 10_000_000), 31);
        assert_eq!(rows_until(&mut Pace::new(1, 2), 0, 10_000_000), 5, "one every two seconds");
    }

    #[test]
    fn batches_are_neither_empty_nor_longer_than_others() {
        assert_eq!(Pace::new(1, 64).batch_rows(), 1);
        assert_eq!(Pace::new(5000, 2).batch_rows(), 250);
        assert_eq!(Pace::new(u64::MAX, 1).batch_rows(), BLOCK_RECORDS);
    }

    #[test]
    fn a_reader_held_up_catches_up_with_one_second_at_most() {
        let mut pace = Pace::new(1000, 1);
        assert_eq!(rows_until(&mut pace, 0, 1_000_000), 1000);
        // Nobody asked for an hour.
        let rows = rows_until(&mut pace, 3_600_000_000, 3_601_000_000);
        assert_eq!(rows, 2000);
    }

    #[test]
    fn a_clock_set_back_does_not_stop_it() {
        let mut pace = Pace::new(1000, 1);
        assert_eq!(rows_until(&mut pace, 7_200_000_000, 7_201_000_000), 1000);
        let rows = rows_until(&mut pace, 0, 1_000_000);
        assert!((900..=1000).contains(&rows), "{rows}");
    }
}
