//! LAG and LEAD: values of rows so many places away, and the share of a key's rows that
//! stand before a row. Called by `over_aggregate` and its `updating`.

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{interleave, take};
use model::Result;
use model::operator_schema::column_index;

/// Per row the row whose value it gets.
pub struct Neighbours {
    pub rows: UInt32Array,
    /// The batch's place of the first row.
    pub first: usize,
}

impl Neighbours {
    /// The values of `column`, and where there is no such row the row's own `default`.
    pub fn values(
        &self,
        column: &str,
        default: Option<&str>,
        batch: &RecordBatch,
    ) -> Result<ArrayRef> {
        let values = batch.column(column_index(batch.schema_ref(), column)?);
        let Some(default) = default else { return Ok(take(values, &self.rows, None)?) };
        let default = batch.column(column_index(batch.schema_ref(), default)?);
        let places: Vec<(usize, usize)> = (0..self.rows.len())
            .map(|row| match self.rows.is_valid(row) {
                true => (0, self.rows.value(row) as usize),
                false => (1, self.first + row),
            })
            .collect();
        Ok(interleave(&[values.as_ref(), default.as_ref()], &places)?)
    }
}

/// Per row, the row `offset` places before it in its group; groups stand together.
pub fn before(groups: &[u32], offset: usize) -> UInt32Array {
    let before = |row: usize| {
        let other = row.checked_sub(offset)?;
        (groups[other] == groups[row]).then_some(other as u32)
    };
    (0..groups.len()).map(before).collect()
}

/// Per row, the row `offset` places behind it in its group.
pub fn behind(groups: &[u32], offset: usize) -> UInt32Array {
    let behind = |row: usize| {
        let other = row.checked_add(offset)?;
        (groups.get(other) == Some(&groups[row])).then_some(other as u32)
    };
    (0..groups.len()).map(behind).collect()
}

/// How many rows the group of each row has.
pub fn sizes(groups: &[u32]) -> Vec<i64> {
    let mut sizes = Vec::with_capacity(groups.len());
    for same in groups.chunk_by(|a, b| a == b) {
        sizes.extend(std::iter::repeat_n(same.len() as i64, same.len()));
    }
    sizes
}

/// The part of row `position` (from 0) when `rows` rows are cut into `parts`, of which the
/// first ones have a row more where they cannot be equal.
pub fn part(position: i64, rows: i64, parts: i64) -> i64 {
    let (least, longer) = (rows / parts, rows % parts);
    match position < longer * (least + 1) {
        true => position / (least + 1) + 1,
        false => longer + (position - longer * (least + 1)) / least.max(1) + 1,
    }
}

/// Per row, how many rows of its group stand before it or are equal to it in order. `peers`
/// has the position of the first equal row.
pub fn up_to_peers(groups: &[u32], peers: &[i64]) -> Vec<i64> {
    let mut counts = Vec::with_capacity(groups.len());
    let places: Vec<(u32, i64)> = groups.iter().copied().zip(peers.iter().copied()).collect();
    for equal in places.chunk_by(|a, b| a == b) {
        let count = equal[0].1 + equal.len() as i64;
        counts.extend(std::iter::repeat_n(count, equal.len()));
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_differ_by_one_row_at_most_and_the_longer_ones_come_first() {
        let parts = |rows: i64, n: i64| (0..rows).map(|at| part(at, rows, n)).collect::<Vec<_>>();
        assert_eq!(parts(7, 3), [1, 1, 1, 2, 2, 3, 3]);
        assert_eq!(parts(2, 4), [1, 2]);
        assert_eq!(parts(4, 4), [1, 2, 3, 4]);
        assert_eq!(parts(3, 1), [1, 1, 1]);
    }

    #[test]
    fn neighbours_are_of_the_same_group() {
        let groups = [0, 0, 0, 1, 1];
        let found = |rows: UInt32Array| rows.iter().collect::<Vec<_>>();
        assert_eq!(found(before(&groups, 1)), [None, Some(0), Some(1), None, Some(3)]);
        assert_eq!(found(behind(&groups, 2)), [Some(2), None, None, None, None]);
        assert_eq!(sizes(&groups), [3, 3, 3, 2, 2]);
        assert_eq!(up_to_peers(&groups, &[0, 1, 1, 0, 0]), [1, 3, 3, 2, 2]);
    }
}
