//! In front of a sink with a primary key: keeps all live rows per primary key in order of
//! arrival and puts out the last one, so that updates which overtake each other on the way
//! leave the right row. Built by `operators::build`.
//!
//! A batch counts as one step: a key puts out at most one change.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::row::Rows;
use model::Result;
use model::operator_schema::sink_materialize_schema;
use model::operator_spec::SinkMaterialize;
use model::row_kind::{self, RowKind};
use state::{Pane, ValueType};

use super::encoded_rows::{ChangelogRows, RowCodec, RowSource};
use super::key_columns::KeyColumns;
use super::keyed_rows::{KeyedRows, Touch};
use super::ranked_rows::{RankedRows, encode};
use super::slot_marks::SlotMarks;
use crate::operator::{Operator, OperatorContext, Output};

/// The column with the rows of a key, as `ranked_rows` with empty sort keys.
const LIST: usize = 0;

/// See [`SinkMaterialize`].
pub struct SinkMaterializeOperator {
    output: SchemaRef,
    keys: KeyColumns,
    codec: RowCodec,
    rows: KeyedRows,
    marks: SlotMarks,
}

/// A row of a key's list: kept before, or of the batch.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Entry {
    Old(usize),
    New(usize),
}

/// One key that the batch touches.
struct Changed {
    slot: u32,
    /// The list as it was.
    before: Option<Box<[u8]>>,
    entries: Vec<Entry>,
}

impl Changed {
    fn before(&self) -> Result<RankedRows<'_>> {
        self.before.as_deref().map_or(Ok(RankedRows::EMPTY), RankedRows::parse)
    }

    fn row<'a>(before: RankedRows<'a>, rows: &'a Rows, entry: Entry) -> &'a [u8] {
        match entry {
            Entry::Old(at) => before.row(at),
            Entry::New(row) => rows.row(row).data(),
        }
    }
}

impl SinkMaterializeOperator {
    /// A User error when spec and input do not fit.
    pub fn new(spec: &SinkMaterialize, input: &SchemaRef) -> Result<Self> {
        let output = sink_materialize_schema(spec, input)?;
        let width = input.fields().len() - usize::from(row_kind::is_changelog(input));
        Ok(Self {
            output,
            keys: KeyColumns::new(input, &spec.keys)?,
            codec: RowCodec::new(&input.fields()[..width])?,
            rows: KeyedRows::new("rows", vec![ValueType::Bytes], spec.ttl_ms),
            marks: SlotMarks::default(),
        })
    }

    /// Applies the batch to the lists of its keys, which are out of the state until
    /// [`write`].
    fn apply(&mut self, batch: &RecordBatch, rows: &Rows, pane: &mut Pane) -> Result<Vec<Changed>> {
        let kinds = row_kind::kinds(batch);
        let mut changed: Vec<Changed> = Vec::new();
        self.marks.begin(pane.len());
        for (row, slot) in self.rows.slots.iter().enumerate() {
            let at = match self.marks.get(*slot) {
                Some(at) => at,
                None => {
                    let before = pane.bytes(LIST)[*slot as usize].take();
                    let mut new = Changed { slot: *slot, before, entries: Vec::new() };
                    let len = new.before().map(|list| list.len())?;
                    new.entries = (0..len).map(Entry::Old).collect();
                    self.marks.set(*slot, changed.len());
                    changed.push(new);
                    changed.len() - 1
                }
            };
            let kind = kinds.and_then(|kinds| RowKind::from_u8(kinds.value(row)));
            if kind.is_none_or(RowKind::is_addition) {
                changed[at].entries.push(Entry::New(row));
                continue;
            }
            let key = &changed[at];
            let before = key.before()?;
            let wanted = rows.row(row).data();
            let same = |entry: &Entry| Changed::row(before, rows, *entry) == wanted;
            // The newest of equal rows goes; one that expired is not there.
            if let Some(gone) = key.entries.iter().rposition(same) {
                changed[at].entries.remove(gone);
            }
        }
        self.marks.end(changed.iter().map(|key| key.slot));
        Ok(changed)
    }
}

/// Writes the changed lists back.
fn write(changed: &[Changed], rows: &Rows, pane: &mut Pane) -> Result<()> {
    for key in changed {
        if key.entries.is_empty() {
            pane.remove(key.slot);
            continue;
        }
        let before = key.before()?;
        let entries = key.entries.iter();
        let empty: &[u8] = &[];
        let list = encode(entries.map(|entry| (empty, Changed::row(before, rows, *entry))))?;
        pane.bytes(LIST)[key.slot as usize] = Some(list);
    }
    Ok(())
}

impl Operator for SinkMaterializeOperator {
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
        let rows = self.codec.encode(&batch)?;
        let changed = self.apply(&batch, &rows, pane)?;
        let mut changes = ChangelogRows::default();
        let mut read: Vec<&[u8]> = Vec::new();
        for key in &changed {
            let before = key.before()?;
            let old = before.len().checked_sub(1).map(|at| before.row(at));
            let new = key.entries.last().copied();
            let mut source = |entry: Entry| match entry {
                Entry::New(row) => RowSource::Input(row),
                Entry::Old(at) => {
                    read.push(before.row(at));
                    RowSource::State(read.len() - 1)
                }
            };
            match (old, new) {
                (None, None) => {}
                (None, Some(new)) => changes.push(RowKind::Insert, source(new), 0),
                (Some(_), None) => {
                    changes.push(RowKind::Delete, source(Entry::Old(before.len() - 1)), 0);
                }
                (Some(old), Some(new)) if Changed::row(before, &rows, new) == old => {}
                (Some(_), Some(new)) => changes.push(RowKind::UpdateAfter, source(new), 0),
            }
        }
        let state = self.codec.decode(read)?;
        write(&changed, &rows, pane)?;
        changes.emit(&self.output, &state, batch.columns(), false, out)
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

    #[test]
    fn updates_that_overtake_each_other_leave_the_right_row() {
        let spec = SinkMaterialize { keys: vec!["k".into()], ttl_ms: None };
        let input = schema("k STRING, v BIGINT, $row_kind");
        let make = || -> Result<Box<dyn Operator>> {
            Ok(Box::new(SinkMaterializeOperator::new(&spec, &input)?))
        };
        let script = "
            > +I a 1
            < +I a 1
            > +U a 2
            < +U a 2
            > -U a 1
            > restore 2
            > +U a 3
            > -D a 2
            < +U a 3
            > +U a 4
            < +U a 4
            > -D a 4
            < +U a 3
            > -D a 3
            > -D a 9
            < -D a 3";
        check_keyed(make, std::slice::from_ref(&input), &[&["k"]], script);
    }
}
