//! INTERSECT and EXCEPT by counting equal rows of both inputs. Built by `operators::build`.
//!
//! A batch counts as one step: a row puts out the difference between before and after.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt8Array, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{Field, SchemaRef};
use model::Result;
use model::operator_schema::{plain, set_operation_schema};
use model::operator_spec::{SetOperation, SetOperator};
use model::row_kind::{self, RowKind};
use state::ValueType;

use super::hash_join::OUTPUT_ROWS;
use super::keyed_rows::{KeyedRows, Touch};
use super::slot_marks::SlotMarks;
use crate::operator::{Operator, OperatorContext, Output};

/// See [`SetOperation`]. Rows are the keys of the state; its columns count them left and right.
pub struct SetOperationOperator {
    operator: SetOperator,
    all: bool,
    fields: Vec<Field>,
    output: SchemaRef,
    rows: KeyedRows,
    marks: SlotMarks,
}

impl SetOperationOperator {
    /// A User error when spec and inputs do not fit.
    pub fn new(spec: &SetOperation, left: &SchemaRef, right: &SchemaRef) -> Result<Self> {
        let output = set_operation_schema(spec, left, right)?;
        let fields = plain(&output).fields().iter().map(|f| f.as_ref().clone()).collect();
        Ok(Self {
            operator: spec.operator,
            all: spec.all,
            fields,
            output,
            rows: KeyedRows::new("rows", vec![ValueType::I64, ValueType::I64], spec.ttl_ms),
            marks: SlotMarks::default(),
        })
    }

    /// How often a row is in the result.
    fn copies(&self, left: i64, right: i64) -> i64 {
        let (left, right) = (left.max(0), right.max(0));
        match (self.operator, self.all) {
            (SetOperator::Intersect, true) => left.min(right),
            (SetOperator::Intersect, false) => left.min(right).min(1),
            (SetOperator::Except, true) => (left - right).max(0),
            (SetOperator::Except, false) => i64::from(left > 0 && right == 0),
        }
    }

    fn emit(
        &self,
        columns: &[ArrayRef],
        changes: &mut (Vec<u32>, Vec<u8>),
        out: &mut Output,
    ) -> Result<()> {
        let (rows, kinds) = std::mem::take(changes);
        let rows = UInt32Array::from(rows);
        let mut arrays: Vec<ArrayRef> =
            columns.iter().map(|c| Ok(take(c, &rows, None)?)).collect::<Result<_>>()?;
        if row_kind::is_changelog(&self.output) {
            arrays.push(Arc::new(UInt8Array::from(kinds)));
        }
        out.emit(RecordBatch::try_new(Arc::clone(&self.output), arrays)?);
        Ok(())
    }
}

impl Operator for SetOperationOperator {
    fn open(&mut self, ctx: &mut OperatorContext) -> Result<()> {
        self.rows.open(&self.fields, ctx)
    }

    fn process(
        &mut self,
        port: usize,
        batch: RecordBatch,
        ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        let width = self.fields.len();
        let columns: Vec<ArrayRef> = batch.columns()[..width].to_vec();
        let (pane, _) = self.rows.look_up(&columns, batch.num_rows(), Touch::Named, ctx)?;
        // Per row that the batch touches: slot, first row, copies before.
        let mut touched: Vec<(u32, u32, i64)> = Vec::new();
        let kinds = row_kind::kinds(&batch);
        self.marks.begin(pane.len());
        for (row, slot) in self.rows.slots.iter().enumerate() {
            let at = *slot as usize;
            if self.marks.get(*slot).is_none() {
                self.marks.set(*slot, touched.len());
                let before = self.copies(pane.i64(0)[at], pane.i64(1)[at]);
                touched.push((*slot, row as u32, before));
            }
            let kind = kinds.and_then(|kinds| RowKind::from_u8(kinds.value(row)));
            let adds = kind.is_none_or(RowKind::is_addition);
            pane.i64(port)[at] += if adds { 1 } else { -1 };
        }
        self.marks.end(touched.iter().map(|(slot, ..)| *slot));
        let mut changes = (Vec::new(), Vec::new());
        for (slot, row, before) in touched {
            let (left, right) = (pane.i64(0)[slot as usize], pane.i64(1)[slot as usize]);
            if left == 0 && right == 0 {
                pane.remove(slot);
            }
            let difference = self.copies(left, right) - before;
            let kind = if difference > 0 { RowKind::Insert } else { RowKind::Delete };
            for _ in 0..difference.unsigned_abs() {
                changes.0.push(row);
                changes.1.push(kind as u8);
                if changes.0.len() == OUTPUT_ROWS {
                    self.emit(&columns, &mut changes, out)?;
                }
            }
        }
        self.emit(&columns, &mut changes, out)
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
    use crate::operators::aggregate_oracle::Random;
    use crate::operators::script::{Harness, check_keyed, rows, schema};

    const COLUMNS: &str = "k STRING, v BIGINT, $row_kind";

    fn spec(operator: SetOperator, all: bool) -> SetOperation {
        SetOperation { operator, all, columns: vec!["k".into(), "v".into()], ttl_ms: None }
    }

    #[test]
    fn intersect_of_inserts_is_insert_only() {
        let input = schema("k STRING, v BIGINT");
        let make = || -> Result<Box<dyn Operator>> {
            let spec = spec(SetOperator::Intersect, false);
            Ok(Box::new(SetOperationOperator::new(&spec, &input, &input)?))
        };
        let script = "
            > a 1
            > null 2
            >1 a 1
            < a 1
            > restore 2
            >1 null 2
            >1 null 2
            < null 2
            > a 1";
        check_keyed(make, &[input.clone(), input.clone()], &[&["k", "v"], &["k", "v"]], script);
    }

    #[test]
    fn folded_result_follows_the_counts() {
        let input = schema(COLUMNS);
        for (operator, all) in [
            (SetOperator::Intersect, true),
            (SetOperator::Intersect, false),
            (SetOperator::Except, true),
            (SetOperator::Except, false),
        ] {
            let make = || -> Result<Box<dyn Operator>> {
                Ok(Box::new(SetOperationOperator::new(&spec(operator, all), &input, &input)?))
            };
            let mut harness = Harness::new(&make, vec![vec![0, 1]; 2]);
            let mut random = Random(11);
            let mut counts = [[0_i64; 4]; 2];
            let mut result = [0_i64; 4];
            for _ in 0..200 {
                let port = random.below(2) as usize;
                let value = random.below(4) as usize;
                let adds = counts[port][value] == 0 || random.below(2) == 0;
                counts[port][value] += if adds { 1 } else { -1 };
                let line = format!("{} x {value}", if adds { "+U" } else { "-U" });
                harness.process(port, &rows(&input, &[&line])).unwrap();
                if random.below(10) == 0 {
                    harness.restore(1 + random.below(2) as u32).unwrap();
                }
                for line in harness.take_lines() {
                    let value: usize = line.rsplit(' ').next().unwrap().parse().unwrap();
                    result[value] += if line.starts_with('+') { 1 } else { -1 };
                }
                let (l, r) = (counts[0][value], counts[1][value]);
                let expected = match (operator, all) {
                    (SetOperator::Intersect, true) => l.min(r),
                    (SetOperator::Intersect, false) => i64::from(l > 0 && r > 0),
                    (SetOperator::Except, true) => (l - r).max(0),
                    (SetOperator::Except, false) => i64::from(l > 0 && r == 0),
                };
                assert_eq!(result[value], expected, "{operator:?} {all}");
            }
        }
    }
}
