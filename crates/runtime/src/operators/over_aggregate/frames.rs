//! Results of aggregates over frames, which rows enter and leave step by step. Called by
//! `over_aggregate` and `updating`.

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::{concat, take};
use model::Result;
use model::operator_spec::OverUnit;
use state::Column;

use super::history::History;
use super::steps::Steps;
use crate::operators::accumulator::{Accumulators, Arguments};

/// What is computed over the frames.
pub struct Frames<'a> {
    pub accumulators: &'a Accumulators,
    pub unit: OverUnit,
    /// As in [`model::operator_spec::OverAggregate`].
    pub preceding: Option<i64>,
}

impl Frames<'_> {
    /// Frames that start with the key's first row: one array per aggregate, in row order.
    pub fn growing(
        &self,
        columns: &mut [Column],
        arguments: &Arguments<'_>,
        steps: &Steps,
        old: u32,
    ) -> Result<Vec<ArrayRef>> {
        let mut results = StepResults::new(steps.keys.len());
        for rows in &steps.rows {
            let numbers: Vec<u32> = rows.iter().map(|row| old + row).collect();
            let slot = |row: &u32| steps.slots[steps.keys[*row as usize] as usize];
            let slots: Vec<u32> = rows.iter().map(slot).collect();
            self.accumulators.update(columns, arguments, Some(&numbers), &slots);
            results.add(self.accumulators, columns, rows, &slots)?;
        }
        results.in_row_order()
    }

    /// As [`Self::growing`]; rows leave the frame again. `columns` has a group per key.
    pub fn sliding(
        &self,
        columns: &mut [Column],
        arguments: &Arguments<'_>,
        steps: &Steps,
        (history, times): (&mut History, &[i64]),
    ) -> Result<Vec<ArrayRef>> {
        let preceding = self.preceding.unwrap_or(0);
        // Of every key, the position of the frame's first row in its history.
        let mut starts = vec![0_usize; steps.slots.len()];
        let (mut numbers, mut groups) = (Vec::new(), Vec::new());
        for (key, rows) in history.rows.iter().enumerate() {
            numbers.extend(rows.iter().map(|(number, _)| *number));
            groups.extend(std::iter::repeat_n(key as u32, rows.len()));
        }
        self.accumulators.update(columns, arguments, Some(&numbers), &groups);
        let mut results = StepResults::new(steps.keys.len());
        for rows in &steps.rows {
            numbers.clear();
            groups.clear();
            for row in rows {
                let key = steps.keys[*row as usize];
                let number = history.old + row;
                history.rows[key as usize].push((number, times[*row as usize]));
                numbers.push(number);
                groups.push(key);
            }
            self.accumulators.update(columns, arguments, Some(&numbers), &groups);
            let entered = groups.clone();
            numbers.clear();
            groups.clear();
            for key in &entered {
                let rows = &history.rows[*key as usize];
                let start = &mut starts[*key as usize];
                let last = rows.last().map_or(0, |(_, time)| *time);
                let leaves = |at: usize| match self.unit {
                    OverUnit::Rows => (rows.len() - at) as i64 > preceding.saturating_add(1),
                    OverUnit::Range => rows[at].1 < last.saturating_sub(preceding),
                };
                while *start < rows.len() && leaves(*start) {
                    numbers.push(rows[*start].0);
                    groups.push(*key);
                    *start += 1;
                }
            }
            self.accumulators.retract(columns, arguments, Some(&numbers), &groups);
            results.add(self.accumulators, columns, rows, &entered)?;
        }
        results.in_row_order()
    }
}

/// Results of steps, and which of them each row gets.
struct StepResults {
    arrays: Vec<Vec<ArrayRef>>,
    of_row: Vec<u32>,
    rows: u32,
}

impl StepResults {
    fn new(rows: usize) -> Self {
        Self { arrays: Vec::new(), of_row: vec![0; rows], rows: 0 }
    }

    /// The results of the groups that `rows` entered; peers enter one after the other.
    fn add(
        &mut self,
        accumulators: &Accumulators,
        columns: &mut [Column],
        rows: &[u32],
        groups: &[u32],
    ) -> Result<()> {
        let mut distinct: Vec<u32> = groups.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        for (row, group) in rows.iter().zip(groups) {
            let at = distinct.partition_point(|known| known < group);
            self.of_row[*row as usize] = self.rows + at as u32;
        }
        self.rows += distinct.len() as u32;
        let results = accumulators.output(columns, &distinct)?;
        self.arrays.resize_with(results.len(), Vec::new);
        for (arrays, result) in self.arrays.iter_mut().zip(results) {
            arrays.push(result);
        }
        Ok(())
    }

    fn in_row_order(self) -> Result<Vec<ArrayRef>> {
        let indices = UInt32Array::from(self.of_row);
        let ordered = |arrays: Vec<ArrayRef>| -> Result<ArrayRef> {
            let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
            Ok(take(&concat(&arrays)?, &indices, None)?)
        };
        self.arrays.into_iter().map(ordered).collect()
    }
}
