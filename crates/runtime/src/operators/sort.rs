//! Puts rows out in order: as the watermark passes their event time, or all at the end of
//! bounded input. Built by `operators::build`.
//!
//! By event time rows wait in `waiting_rows`, else in a log of their own.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{
    SortColumn, SortOptions, concat_batches, filter_record_batch, lexsort_to_indices,
    take_record_batch,
};
use arrow::datatypes::SchemaRef;
use model::operator_schema::{column_index, sort_schema};
use model::operator_spec::Sort;
use model::row_kind::{self, RowKind};
use model::{Error, Result, Watermark};
use state::{Log, LogId};

use super::encoded_rows::RowCodec;
use super::hash_join::OUTPUT_ROWS;
use super::time_column::TimeColumn;
use super::waiting_rows::WaitingRows;
use crate::operator::{Operator, OperatorContext, Output};

/// See [`Sort`].
pub struct SortOperator {
    input: SchemaRef,
    output: SchemaRef,
    /// Column and options, in order.
    order: Vec<(usize, SortOptions)>,
    waiting: Option<WaitingRows>,
    limit: Option<u64>,
    offset: u64,
    /// Of rows that wait for the input's end.
    log: Option<LogId>,
    late: u64,
}

impl SortOperator {
    /// A User error when spec and input do not fit.
    pub fn new(spec: &Sort, input: &SchemaRef) -> Result<Self> {
        let output = sort_schema(spec, input)?;
        let mut order = Vec::new();
        for by in &spec.order_by {
            // NULL sorts as the smallest value, as in Flink.
            let options = SortOptions { descending: by.descending, nulls_first: !by.descending };
            order.push((column_index(input, &by.column)?, options));
        }
        let waiting = match &spec.time_column {
            Some(name) => {
                let time = (TimeColumn::new(input, name)?, name.as_str());
                Some(WaitingRows::new("rows", input, &[], time))
            }
            None => None,
        };
        Ok(Self {
            input: Arc::clone(input),
            output,
            order,
            waiting,
            limit: spec.limit,
            offset: spec.offset,
            log: None,
            late: 0,
        })
    }

    fn log(&self) -> Result<LogId> {
        self.log.ok_or_else(|| Error::internal("a sort was not opened"))
    }

    /// Puts `rows` out in order, those from `offset` to `limit`.
    fn emit_sorted(&self, rows: &RecordBatch, whole: bool, out: &mut Output) -> Result<()> {
        let count = rows.num_rows();
        let indices = if self.order.is_empty() {
            UInt32Array::from_iter_values(0..count as u32)
        } else {
            // The row's number last: rows that are equal keep their order.
            let arrival = UInt32Array::from_iter_values(0..count as u32);
            let by_column = |(column, options): &(usize, SortOptions)| SortColumn {
                values: Arc::clone(rows.column(*column)),
                options: Some(*options),
            };
            let mut columns: Vec<SortColumn> = self.order.iter().map(by_column).collect();
            columns.push(SortColumn { values: Arc::new(arrival), options: None });
            lexsort_to_indices(&columns, None)?
        };
        let (from, to) = if whole {
            (0, count)
        } else {
            let from = usize::try_from(self.offset).unwrap_or(count).min(count);
            let limit = self.limit.and_then(|l| usize::try_from(l).ok()).unwrap_or(count);
            (from, from.saturating_add(limit).min(count))
        };
        let width = self.output.fields().len();
        for at in (from..to).step_by(OUTPUT_ROWS) {
            let part = indices.slice(at, OUTPUT_ROWS.min(to - at));
            let sorted = take_record_batch(rows, &part)?;
            let columns = sorted.columns()[..width].to_vec();
            out.emit(RecordBatch::try_new(Arc::clone(&self.output), columns)?);
        }
        Ok(())
    }

    /// Everything in the log, in order of arrival.
    fn all(&self, log: &mut Log) -> Result<RecordBatch> {
        let mut batches = Vec::new();
        for namespace in log.namespaces() {
            batches.extend(log.batches(namespace)?.into_iter().map(|(batch, _)| batch));
        }
        Ok(concat_batches(&self.input, &batches)?)
    }

    /// The rows of a changelog that remain.
    fn folded(&self, rows: RecordBatch) -> Result<RecordBatch> {
        let Some(kinds) = row_kind::kinds(&rows) else { return Ok(rows) };
        let codec = RowCodec::new(&self.input.fields()[..self.output.fields().len()])?;
        let encoded = codec.encode(&rows)?;
        let mut live: HashMap<&[u8], Vec<usize>> = HashMap::new();
        let mut kept = vec![false; rows.num_rows()];
        for (row, kind) in kinds.values().iter().enumerate() {
            let same = live.entry(encoded.row(row).data()).or_default();
            if RowKind::from_u8(*kind).is_none_or(RowKind::is_addition) {
                same.push(row);
                kept[row] = true;
            } else if let Some(gone) = same.pop() {
                kept[gone] = false;
            }
        }
        Ok(filter_record_batch(&rows, &BooleanArray::from(kept))?)
    }
}

impl Operator for SortOperator {
    fn open(&mut self, ctx: &mut OperatorContext) -> Result<()> {
        match &mut self.waiting {
            Some(waiting) => waiting.open(&mut ctx.state)?,
            None => self.log = Some(ctx.state.log("rows", Arc::clone(&self.input), &[])?),
        }
        Ok(())
    }

    fn process(
        &mut self,
        _port: usize,
        batch: RecordBatch,
        ctx: &mut OperatorContext,
        _out: &mut Output,
    ) -> Result<()> {
        if let Some(waiting) = &mut self.waiting {
            self.late += waiting.add(&batch, ctx.watermark, &mut ctx.state)?;
            return Ok(());
        }
        let mut hashes = Vec::new();
        model::key_group::hash_columns(&batch, &[], &mut hashes)?;
        ctx.state.log_mut(self.log()?).append(0, batch, hashes).map(drop)
    }

    fn on_watermark(
        &mut self,
        watermark: Watermark,
        ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        let Some(waiting) = &self.waiting else { return Ok(()) };
        for span in waiting.spans(watermark, &mut ctx.state)? {
            let Some(waiting) = &mut self.waiting else { break };
            if let Some(due) = waiting.take(span, watermark, &mut ctx.state)? {
                self.emit_sorted(&due, true, out)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, ctx: &mut OperatorContext, out: &mut Output) -> Result<()> {
        if self.waiting.is_some() {
            return Ok(());
        }
        let log = ctx.state.log_mut(self.log()?);
        let rows = self.folded(self.all(log)?)?;
        for namespace in log.namespaces() {
            log.remove_namespace(namespace)?;
        }
        self.emit_sorted(&rows, false, out)
    }

    fn late_records(&self) -> u64 {
        self.late
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::script::{check, schema};
    use model::operator_spec::OrderBy;

    fn run(spec: &Sort, columns: &str, script: &str) {
        let input = schema(columns);
        let make =
            || -> Result<Box<dyn Operator>> { Ok(Box::new(SortOperator::new(spec, &input)?)) };
        check(make, std::slice::from_ref(&input), script);
    }

    fn by(column: &str, descending: bool) -> OrderBy {
        OrderBy { column: column.into(), descending }
    }

    #[test]
    fn rows_wait_for_the_watermark() {
        let spec = Sort {
            order_by: vec![by("t", false), by("v", true)],
            time_column: Some("t".into()),
            ..Sort::default()
        };
        let script = "
            > 1 @2500ms
            > 2 @900ms
            > 3 @2500ms
            > 4 @2600ms
            > watermark 2500ms
            < 2 @900ms
            < 3 @2500ms
            < 1 @2500ms
            < watermark 2500ms
            > 5 @1s
            > 6 @2550ms
            > restore
            > end
            < 6 @2550ms
            < 4 @2600ms
            < watermark max";
        run(&spec, "v BIGINT, t TIMESTAMP", script);
    }

    #[test]
    fn bounded_input_is_sorted_at_its_end() {
        let spec =
            Sort { order_by: vec![by("v", false)], limit: Some(2), offset: 1, ..Sort::default() };
        let script = "
            > +I 5
            > +I 3
            > +I 9
            > restore
            > +I null
            > -U 3
            > +U 4
            > +I 1
            > end
            < watermark max
            < 1
            < 4";
        run(&spec, "v BIGINT, $row_kind", script);
    }
}
