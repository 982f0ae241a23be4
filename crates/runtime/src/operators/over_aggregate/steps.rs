//! The order in which the rows of a batch enter their frames. Called by `over_aggregate` and
//! `match_recognize`.
//!
//! Rows of different keys do not matter to each other: the first row (or group of peers) of
//! every key makes the first step, the second the second, and each step is computed at once.

use state::Pane;

use crate::operators::slot_marks::SlotMarks;

/// Keys of a batch, and the steps of its rows.
pub struct Steps {
    /// Per key, its slot.
    pub slots: Vec<u32>,
    /// Per row, its key.
    pub keys: Vec<u32>,
    /// Per step, its rows in order.
    pub rows: Vec<Vec<u32>>,
}

impl Steps {
    /// `peers`: rows of one key and time that follow each other are one step.
    pub fn new(slots: &[u32], times: &[i64], peers: bool, marks: &mut SlotMarks) -> Self {
        let mut steps = Self { slots: Vec::new(), keys: Vec::new(), rows: Vec::new() };
        // Per key, its last step and time.
        let mut last: Vec<(usize, i64)> = Vec::new();
        marks.begin(slots.iter().map(|slot| *slot as usize + 1).max().unwrap_or(0));
        for (row, slot) in slots.iter().enumerate() {
            let time = times[row];
            let key = match marks.get(*slot) {
                Some(key) => {
                    let (step, before) = &mut last[key];
                    *step += usize::from(!(peers && *before == time));
                    *before = time;
                    key
                }
                None => {
                    marks.set(*slot, steps.slots.len());
                    steps.slots.push(*slot);
                    last.push((0, time));
                    steps.slots.len() - 1
                }
            };
            let step = last[key].0;
            if steps.rows.len() == step {
                steps.rows.push(Vec::new());
            }
            steps.rows[step].push(row as u32);
            steps.keys.push(key as u32);
        }
        marks.end(steps.slots.iter().copied());
        steps
    }
}

/// Positions of the counters of a key among the state columns: rows so far, the last time,
/// its rank, how many times there were.
#[derive(Clone, Copy, Debug)]
pub struct Counters(pub usize);

/// ROW_NUMBER, RANK and DENSE_RANK of rows.
#[derive(Default)]
pub struct Ranks {
    pub row_number: Vec<i64>,
    pub rank: Vec<i64>,
    pub dense_rank: Vec<i64>,
}

impl Counters {
    pub const COUNT: usize = 4;

    /// Counts rows, in order.
    pub fn count(self, pane: &mut Pane, slots: &[u32], times: &[i64]) -> Ranks {
        let mut ranks = Ranks::default();
        for (slot, time) in slots.iter().zip(times) {
            let slot = *slot as usize;
            let rows = pane.i64(self.0)[slot];
            if rows == 0 || pane.i64(self.0 + 1)[slot] != *time {
                pane.i64(self.0 + 1)[slot] = *time;
                pane.i64(self.0 + 2)[slot] = rows + 1;
                pane.i64(self.0 + 3)[slot] += 1;
            }
            pane.i64(self.0)[slot] = rows + 1;
            ranks.row_number.push(rows + 1);
            ranks.rank.push(pane.i64(self.0 + 2)[slot]);
            ranks.dense_rank.push(pane.i64(self.0 + 3)[slot]);
        }
        ranks
    }
}
