//! Keeps one row per key. Built by `operators::build`.
//!
//! A batch counts as one step: a key whose row changed several times within a batch puts
//! out one change.

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use model::Result;
use model::operator_schema::deduplicate_schema;
use model::operator_spec::{Deduplicate, Keep};
use model::row_kind::RowKind;
use state::{Pane, ValueType};

use super::encoded_rows::{ChangelogRows, RowCodec, RowSource};
use super::key_columns::KeyColumns;
use super::keyed_rows::{KeyedRows, Touch};
use super::slot_marks::SlotMarks;
use super::time_column::TimeColumn;
use crate::operator::{Operator, OperatorContext, Output};

/// Columns of the state table when rows are kept.
const ROW: usize = 0;
const TIME: usize = 1;

/// See [`Deduplicate`].
pub struct DeduplicateOperator {
    output: SchemaRef,
    keys: KeyColumns,
    keep: Keep,
    time: Option<TimeColumn>,
    /// `None` when the first row by arrival is kept: then the key is all the state.
    codec: Option<RowCodec>,
    skip_update_before: bool,
    rows: KeyedRows,
    marks: SlotMarks,
}

impl DeduplicateOperator {
    /// A User error when spec and input do not fit.
    pub fn new(spec: &Deduplicate, input: &SchemaRef) -> Result<Self> {
        let output = deduplicate_schema(spec, input)?;
        let append_only = spec.keep == Keep::First && spec.time_column.is_none();
        let value_types = match (append_only, &spec.time_column) {
            (true, _) => vec![],
            (false, None) => vec![ValueType::Bytes],
            (false, Some(_)) => vec![ValueType::Bytes, ValueType::I64],
        };
        Ok(Self {
            skip_update_before: spec.skip_update_before,
            rows: KeyedRows::new("rows", value_types, spec.ttl_ms),
            output,
            keys: KeyColumns::new(input, &spec.keys)?,
            keep: spec.keep,
            time: spec.time_column.as_ref().map(|t| TimeColumn::new(input, t)).transpose()?,
            codec: if append_only { None } else { Some(RowCodec::new(input.fields())?) },
            marks: SlotMarks::default(),
        })
    }
}

impl Operator for DeduplicateOperator {
    fn open(&mut self, ctx: &mut OperatorContext) -> Result<()> {
        self.rows.open(&self.keys.fields, ctx)
    }

    fn process(
        &mut self,
        _port: usize,
        batch: RecordBatch,
        ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        let keys = self.keys.arrays(&batch);
        // As in Flink, the row that is kept lives from when it came.
        let touch = if self.codec.is_none() { Touch::Created } else { Touch::Named };
        let (pane, created) = self.rows.look_up(&keys, batch.num_rows(), touch, ctx)?;
        let first_created = pane.len() - created;
        let Some(codec) = &self.codec else {
            return emit_first(&batch, &self.rows.slots, first_created, created, out);
        };
        let times = self.time.as_ref().map(|time| time.millis(&batch)).transpose()?;
        let winners = winners(
            self.keep,
            times.as_deref(),
            &self.rows.slots,
            pane,
            first_created,
            &mut self.marks,
        );
        let rows: Vec<u32> = winners.iter().map(|(_, row)| *row).collect();
        let winning = take_record_batch(&batch, &UInt32Array::from(rows))?;
        let encoded = codec.encode(&winning)?;
        let mut changes = ChangelogRows::default();
        let mut replaced: Vec<Box<[u8]>> = Vec::new();
        for (index, (slot, row)) in winners.iter().enumerate() {
            let slot = *slot as usize;
            let new = encoded.row(index);
            if let Some(times) = &times {
                pane.i64(TIME)[slot] = times[*row as usize];
            }
            let kept = &mut pane.bytes(ROW)[slot];
            if kept.as_deref() == Some(new.as_ref()) {
                continue;
            }
            match kept.replace(new.as_ref().into()) {
                Some(old) => {
                    if !self.skip_update_before {
                        changes.push(RowKind::UpdateBefore, RowSource::State(replaced.len()), 0);
                        replaced.push(old);
                    }
                    changes.push(RowKind::UpdateAfter, RowSource::Input(index), 0);
                }
                None => changes.push(RowKind::Insert, RowSource::Input(index), 0),
            }
        }
        let old = codec.decode(replaced.iter().map(AsRef::as_ref))?;
        changes.emit(&self.output, &old, winning.columns(), false, out)
    }

    fn next_wakeup_ms(&self) -> Option<i64> {
        self.rows.next_sweep_ms()
    }

    fn on_wakeup(
        &mut self,
        now_ms: i64,
        ctx: &mut OperatorContext,
        _out: &mut Output,
    ) -> Result<()> {
        self.rows.sweep(now_ms, ctx)
    }
}

/// Rows that are the first of their key: new slots are the highest ones.
fn emit_first(
    batch: &RecordBatch,
    slots: &[u32],
    first_created: usize,
    created: usize,
    out: &mut Output,
) -> Result<()> {
    if created == batch.num_rows() {
        out.emit(batch.clone());
    } else if created > 0 {
        let mut seen = vec![false; created];
        let is_first = |slot: u32| {
            let new = (slot as usize).checked_sub(first_created);
            new.is_some_and(|new| !std::mem::replace(&mut seen[new], true))
        };
        let mut is_first = is_first;
        let rows = slots.iter().enumerate().filter(|(_, slot)| is_first(**slot));
        let rows: Vec<u32> = rows.map(|(row, _)| row as u32).collect();
        out.emit(take_record_batch(batch, &UInt32Array::from(rows))?);
    }
    Ok(())
}

/// The keys that get another row, each with the row of the batch that it gets.
fn winners(
    keep: Keep,
    times: Option<&[i64]>,
    slots: &[u32],
    pane: &mut Pane,
    first_created: usize,
    marks: &mut SlotMarks,
) -> Vec<(u32, u32)> {
    let mut winners: Vec<(u32, u32)> = Vec::new();
    marks.begin(pane.len());
    // The later of equal times wins for `Last`, the earlier for `First`, as in Flink.
    let beats = |new: i64, old: i64| match keep {
        Keep::First => new < old,
        Keep::Last => new >= old,
    };
    for (row, slot) in slots.iter().enumerate() {
        let marked = marks.get(*slot);
        let wins = match (times, marked) {
            (None, _) => true,
            (Some(times), Some(index)) => beats(times[row], times[winners[index].1 as usize]),
            (Some(times), None) if (*slot as usize) < first_created => {
                beats(times[row], pane.i64(TIME)[*slot as usize])
            }
            (Some(_), None) => true,
        };
        if !wins {
            continue;
        }
        match marked {
            Some(index) => winners[index].1 = row as u32,
            None => {
                marks.set(*slot, winners.len());
                winners.push((*slot, row as u32));
            }
        }
    }
    marks.end(winners.iter().map(|(slot, _)| *slot));
    winners
}

#[cfg(test)]
mod tests;
