//! The rows before those of a batch that their frames still hold: kept per key as a
//! `ranked_rows` list, whose sort keys are the times. Called by `over_aggregate`.

use arrow::array::ArrayRef;
use arrow::row::Rows;
use model::Result;
use model::operator_spec::OverUnit;
use state::Pane;

use crate::operators::encoded_rows::RowCodec;
use crate::operators::ranked_rows::{RankedRows, encode};

/// How many rows before the next one may be asked for.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    pub unit: OverUnit,
    /// `None`: unbounded, which needs no rows.
    pub preceding: Option<i64>,
    /// By LAG.
    pub rows: usize,
}

/// The history of the keys of a batch, and then the batch: rows are numbered through.
pub struct History {
    /// Per key, its list as it was.
    before: Vec<Option<Box<[u8]>>>,
    /// Per key, the number of its first old row.
    first: Vec<u32>,
    /// Per key, number and time of all its rows, old and new.
    pub rows: Vec<Vec<(u32, i64)>>,
    /// How many old rows there are.
    pub old: u32,
}

impl History {
    /// Of keys that have none.
    pub fn none(keys: usize) -> Self {
        Self { before: Vec::new(), first: Vec::new(), rows: vec![Vec::new(); keys], old: 0 }
    }

    /// Takes the lists out of the state; answers the columns of the old rows, too.
    pub fn take(
        column: usize,
        slots: &[u32],
        codec: &RowCodec,
        pane: &mut Pane,
    ) -> Result<(Self, Vec<ArrayRef>)> {
        let lists = pane.bytes(column);
        let before: Vec<Option<Box<[u8]>>> =
            slots.iter().map(|slot| lists[*slot as usize].take()).collect();
        let mut history = Self { before: Vec::new(), first: Vec::new(), rows: Vec::new(), old: 0 };
        let mut read: Vec<&[u8]> = Vec::new();
        for list in &before {
            let list = list.as_deref().map_or(Ok(RankedRows::EMPTY), RankedRows::parse)?;
            history.first.push(history.old);
            let mut rows = Vec::with_capacity(list.len());
            for at in 0..list.len() {
                rows.push((history.old + at as u32, time_of(list.sort_key(at))));
                read.push(list.row(at));
            }
            history.old += list.len() as u32;
            history.rows.push(rows);
        }
        let columns = codec.decode(read)?;
        history.before = before;
        Ok((history, columns))
    }

    /// Writes back what later rows may ask for. `new` are the rows of the batch.
    pub fn write(
        &self,
        column: usize,
        slots: &[u32],
        new: &Rows,
        reach: Reach,
        pane: &mut Pane,
    ) -> Result<()> {
        for (key, slot) in slots.iter().enumerate() {
            let rows = &self.rows[key];
            let from_lag = rows.len().saturating_sub(reach.rows);
            let from_frame = match (reach.unit, reach.preceding, rows.last()) {
                (_, None, _) | (_, _, None) => rows.len(),
                (OverUnit::Rows, Some(count), _) => {
                    rows.len().saturating_sub(usize::try_from(count).unwrap_or(usize::MAX))
                }
                (OverUnit::Range, Some(ms), Some((_, last))) => {
                    rows.partition_point(|(_, time)| *time < last.saturating_sub(ms))
                }
            };
            let kept = &rows[from_lag.min(from_frame)..];
            if kept.is_empty() {
                continue;
            }
            let list = self.before[key].as_deref();
            let list = list.map_or(Ok(RankedRows::EMPTY), RankedRows::parse)?;
            let entries: Vec<([u8; 8], &[u8])> = kept
                .iter()
                .map(|(number, time)| {
                    let row = match number.checked_sub(self.old) {
                        Some(row) => new.row(row as usize).data(),
                        None => list.row((number - self.first[key]) as usize),
                    };
                    (time.to_be_bytes(), row)
                })
                .collect();
            let entries = entries.iter().map(|(time, row)| (&time[..], *row));
            pane.bytes(column)[*slot as usize] = Some(encode(entries)?);
        }
        Ok(())
    }
}

fn time_of(bytes: &[u8]) -> i64 {
    <[u8; 8]>::try_from(bytes).map_or(0, i64::from_be_bytes)
}
