//! The versions of a versioned table in state: per key a list of rows in order of time.
//! Called by `temporal_join`.
//!
//! A list is a `ranked_rows` list. Its sort keys are the time in 8 bytes whose order is the
//! order of times, and one byte: 1 for a row, 0 for a deletion.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::row::Rows;
use model::Result;
use model::row_kind::{self, RowKind};
use state::Pane;

use crate::operators::encoded_rows::RowCodec;
use crate::operators::ranked_rows::{RankedRows, encode};

/// The state column of the list.
const LIST: usize = 0;
const ROW: u8 = 1;
const DELETED: u8 = 0;

fn sort_key(time: i64, flag: u8) -> [u8; 9] {
    let mut key = [flag; 9];
    key[..8].copy_from_slice(&(time ^ i64::MIN).to_be_bytes());
    key
}

/// The version of `slot` that is valid at `time`.
pub fn version_at(list: Option<&[u8]>, time: i64) -> Result<Option<&[u8]>> {
    let Some(list) = list.map(RankedRows::parse).transpose()? else { return Ok(None) };
    let limit = sort_key(time, u8::MAX);
    let (mut low, mut high) = (0, list.len());
    while low < high {
        let middle = low.midpoint(high);
        if list.sort_key(middle) <= &limit[..] {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let newest = low.checked_sub(1).filter(|at| list.sort_key(*at).last() == Some(&ROW));
    Ok(newest.map(|at| list.row(at)))
}

/// What a batch adds to the versions of its keys.
pub struct NewVersions<'a> {
    pub batch: &'a RecordBatch,
    /// Per row; `None`: processing time, where only the newest version counts.
    pub times: Option<&'a [i64]>,
    /// Versions that were followed by another one at this time or before are not needed.
    pub watermark: i64,
}

impl NewVersions<'_> {
    /// Writes the versions of all keys; `slots` has one slot per row.
    pub fn write(&self, codec: &RowCodec, slots: &[u32], pane: &mut Pane) -> Result<()> {
        let rows = codec.encode(self.batch)?;
        let kinds = row_kind::kinds(self.batch);
        let mut of_slot: BTreeMap<u32, Vec<(i64, u8, u32)>> = BTreeMap::new();
        for (row, slot) in slots.iter().enumerate() {
            let kind = kinds.and_then(|kinds| RowKind::from_u8(kinds.value(row)));
            let flag = match kind {
                // In event time the row that follows replaces the version.
                Some(RowKind::UpdateBefore) if self.times.is_some() => continue,
                Some(RowKind::UpdateBefore | RowKind::Delete) => DELETED,
                _ => ROW,
            };
            let time = self.times.map_or(0, |times| times[row]);
            of_slot.entry(*slot).or_default().push((time, flag, row as u32));
        }
        for (slot, new) in of_slot {
            self.write_slot(slot, &new, &rows, pane)?;
        }
        for slot in slots {
            if pane.is_live(*slot) && pane.bytes(LIST)[*slot as usize].is_none() {
                pane.remove(*slot);
            }
        }
        Ok(())
    }

    fn write_slot(
        &self,
        slot: u32,
        new: &[(i64, u8, u32)],
        rows: &Rows,
        pane: &mut Pane,
    ) -> Result<()> {
        let before = pane.bytes(LIST)[slot as usize].take();
        let list = before.as_deref().map_or(Ok(RankedRows::EMPTY), RankedRows::parse)?;
        // By time in bytes: of two versions of one time the later one counts.
        let mut versions: BTreeMap<[u8; 8], (u8, &[u8])> = BTreeMap::new();
        for at in 0..list.len() {
            if let Some((flag, time)) = list.sort_key(at).split_last()
                && let Ok(time) = <[u8; 8]>::try_from(time)
            {
                versions.insert(time, (*flag, list.row(at)));
            }
        }
        let time_bytes = |time: i64| (time ^ i64::MIN).to_be_bytes();
        for (time, flag, row) in new {
            let data: &[u8] = if *flag == ROW { rows.row(*row as usize).data() } else { &[] };
            versions.insert(time_bytes(*time), (*flag, data));
        }
        let horizon = if self.times.is_some() { self.watermark } else { i64::MAX };
        let newest = versions.range(..=time_bytes(horizon)).next_back().map(|(time, _)| *time);
        if let Some(newest) = newest {
            versions = versions.split_off(&newest);
            // A deletion that nothing precedes says what no version says, too.
            if versions.first_key_value().is_some_and(|(_, (flag, _))| *flag == DELETED) {
                versions.pop_first();
            }
        }
        if versions.is_empty() {
            return Ok(());
        }
        let entries: Vec<([u8; 9], &[u8])> = versions
            .into_iter()
            .map(|(time, (flag, row))| {
                let mut key = [flag; 9];
                key[..8].copy_from_slice(&time);
                (key, row)
            })
            .collect();
        let list = encode(entries.iter().map(|(key, row)| (&key[..], *row)))?;
        pane.bytes(LIST)[slot as usize] = Some(list);
        Ok(())
    }
}
