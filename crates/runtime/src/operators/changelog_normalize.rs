//! Makes a whole changelog of upserts. Built by `operators::build`.
//!
//! A batch counts as one step: a key whose row changed several times within a batch puts
//! out one change, and none when it is as before.

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use model::Result;
use model::operator_schema::changelog_normalize_schema;
use model::operator_spec::ChangelogNormalize;
use model::row_kind::{self, RowKind};
use state::ValueType;

use super::encoded_rows::{ChangelogRows, RowCodec, RowSource};
use super::key_columns::KeyColumns;
use super::keyed_rows::{KeyedRows, Touch};
use super::slot_marks::SlotMarks;
use crate::operator::{Operator, OperatorContext, Output};

/// The column with the row, encoded.
const ROW: usize = 0;

/// See [`ChangelogNormalize`].
pub struct ChangelogNormalizeOperator {
    output: SchemaRef,
    keys: KeyColumns,
    codec: RowCodec,
    skip_update_before: bool,
    rows: KeyedRows,
    marks: SlotMarks,
}

impl ChangelogNormalizeOperator {
    /// A User error when spec and input do not fit.
    pub fn new(spec: &ChangelogNormalize, input: &SchemaRef) -> Result<Self> {
        let output = changelog_normalize_schema(spec, input)?;
        let width = input.fields().len() - usize::from(row_kind::is_changelog(input));
        Ok(Self {
            output,
            keys: KeyColumns::new(input, &spec.keys)?,
            codec: RowCodec::new(&input.fields()[..width])?,
            skip_update_before: spec.skip_update_before,
            rows: KeyedRows::new("rows", vec![ValueType::Bytes], spec.ttl_ms),
            marks: SlotMarks::default(),
        })
    }

    /// Per key of the batch, its slot and its last row. `-U` rows say nothing that `+U` does
    /// not say better.
    fn last_rows(&mut self, batch: &RecordBatch, pane_len: usize) -> Vec<(u32, u32)> {
        let kinds = row_kind::kinds(batch);
        let mut last: Vec<(u32, u32)> = Vec::new();
        self.marks.begin(pane_len);
        for (row, slot) in self.rows.slots.iter().enumerate() {
            if kinds.is_some_and(|kinds| kinds.value(row) == RowKind::UpdateBefore as u8) {
                continue;
            }
            match self.marks.get(*slot) {
                Some(at) => last[at].1 = row as u32,
                None => {
                    self.marks.set(*slot, last.len());
                    last.push((*slot, row as u32));
                }
            }
        }
        self.marks.end(last.iter().map(|(slot, _)| *slot));
        last
    }
}

impl Operator for ChangelogNormalizeOperator {
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
        let (pane, _) = self.rows.look_up(&keys, batch.num_rows(), Touch::Named, ctx)?;
        let last = self.last_rows(&batch, pane.len());
        let rows = UInt32Array::from_iter_values(last.iter().map(|(_, row)| *row));
        let winning = take_record_batch(&batch, &rows)?;
        let encoded = self.codec.encode(&winning)?;
        let kinds = row_kind::kinds(&winning);
        let mut changes = ChangelogRows::default();
        let mut replaced: Vec<Box<[u8]>> = Vec::new();
        for (index, (slot, _)) in last.iter().enumerate() {
            let kept = &mut pane.bytes(ROW)[*slot as usize];
            let kind = kinds.map_or(RowKind::Insert as u8, |kinds| kinds.value(index));
            if kind == RowKind::Delete as u8 {
                // The deletion may carry the key only: what is taken back is the row kept.
                if let Some(old) = kept.take() {
                    changes.push(RowKind::Delete, RowSource::State(replaced.len()), 0);
                    replaced.push(old);
                }
                continue;
            }
            let new = encoded.row(index);
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
        for slot in &self.rows.slots {
            if pane.is_live(*slot) && pane.bytes(ROW)[*slot as usize].is_none() {
                pane.remove(*slot);
            }
        }
        let old = self.codec.decode(replaced.iter().map(AsRef::as_ref))?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::script::{check_keyed, schema};

    fn run(spec: &ChangelogNormalize, script: &str) {
        let input = schema("k STRING, v BIGINT, $row_kind");
        let make = || -> Result<Box<dyn Operator>> {
            Ok(Box::new(ChangelogNormalizeOperator::new(spec, &input)?))
        };
        check_keyed(make, std::slice::from_ref(&input), &[&["k"]], script);
    }

    #[test]
    fn upserts_become_a_changelog() {
        let spec = ChangelogNormalize { keys: vec!["k".into()], ..Default::default() };
        let script = "
            > +U a 1
            > +I b 1
            < +I a 1
            < +I b 1
            > +U a 1
            > +I a 2
            > +U a 3
            < -U a 1
            < +U a 3
            > restore 2
            > +U a 3
            > -D b null
            < -D b 1
            > -D b 7
            > +I b 2
            > -D a 0
            < +I b 2
            < -D a 3";
        run(&spec, script);
        let spec = ChangelogNormalize { skip_update_before: true, ttl_ms: Some(8_000), ..spec };
        let script = "
            > +I a 1
            < +I a 1
            > +U a 2
            < +U a 2
            > wakeup 20s
            > -D a 2
            > +U a 3
            < +I a 3";
        run(&spec, script);
    }
}
