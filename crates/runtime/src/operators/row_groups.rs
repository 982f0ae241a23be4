//! Splits a batch's rows by a number per row: window, bucket. Called by the joins and top-N.

use std::collections::BTreeMap;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use model::Result;

/// Rows by group, in order of first appearance; rows of `None` belong to no group.
pub fn group_rows(groups: impl Iterator<Item = Option<i64>>) -> Vec<(i64, Vec<u32>)> {
    let mut found: Vec<(i64, Vec<u32>)> = Vec::new();
    let mut positions: BTreeMap<i64, usize> = BTreeMap::new();
    let mut last: Option<(i64, usize)> = None;
    for (row, group) in groups.enumerate() {
        let Some(group) = group else { continue };
        // Neighbours in a stream mostly share their window.
        let position = match last {
            Some((known, position)) if known == group => position,
            _ => *positions.entry(group).or_insert_with(|| {
                found.push((group, Vec::new()));
                found.len() - 1
            }),
        };
        last = Some((group, position));
        found[position].1.push(row as u32);
    }
    found
}

/// The rows `rows` (ascending) of a batch and of its key hashes; the batch itself, shared,
/// when that is all of them.
pub fn select_rows(
    batch: &RecordBatch,
    hashes: &[u64],
    rows: &[u32],
) -> Result<(RecordBatch, Vec<u64>)> {
    if rows.len() == batch.num_rows() {
        return Ok((batch.clone(), hashes.to_vec()));
    }
    let selected = take_record_batch(batch, &UInt32Array::from(rows.to_vec()))?;
    Ok((selected, rows.iter().map(|row| hashes[*row as usize]).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_keep_the_order_of_rows() {
        let groups = [Some(7), None, Some(3), Some(7), Some(7), Some(3)];
        assert_eq!(group_rows(groups.into_iter()), [(7, vec![0, 3, 4]), (3, vec![2, 5])]);
    }
}
