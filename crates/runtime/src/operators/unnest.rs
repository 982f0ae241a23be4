//! One row per element of an array, map or multiset. Built by `operators::build`.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, RecordBatch, StructArray, UInt32Array,
};
use arrow::compute::{cast, nullif, take};
use arrow::datatypes::{DataType, Field, Int32Type, SchemaRef};
use model::operator_schema::{column_index, unnest_schema};
use model::operator_spec::Unnest;
use model::{Error, Result, row_kind};

use super::hash_join::OUTPUT_ROWS;
use crate::operator::{Operator, OperatorContext, Output};

/// See [`Unnest`].
pub struct UnnestOperator {
    column: usize,
    outer: bool,
    ordinality: bool,
    multiset: bool,
    /// Columns that the element gives.
    elements: usize,
    output: SchemaRef,
    width: usize,
}

/// Output rows: of which input row, with which element, at which position from 1.
#[derive(Default)]
struct Rows {
    parents: Vec<u32>,
    elements: Vec<Option<u32>>,
    positions: Vec<Option<i32>>,
}

impl UnnestOperator {
    /// A User error when spec and input do not fit.
    pub fn new(spec: &Unnest, input: &SchemaRef) -> Result<Self> {
        Ok(Self {
            column: column_index(input, &spec.column)?,
            outer: spec.outer,
            ordinality: spec.ordinality.is_some(),
            multiset: spec.multiset,
            elements: spec.names.len(),
            output: unnest_schema(spec, input)?,
            width: input.fields().len() - usize::from(row_kind::is_changelog(input)),
        })
    }

    /// The element columns of all rows together, the ends of each row's part, and how
    /// often each element comes.
    fn parts(&self, column: &ArrayRef) -> Result<(Vec<ArrayRef>, Vec<usize>, Option<ArrayRef>)> {
        let column = match column.data_type() {
            DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                cast(column, &DataType::List(Arc::<Field>::clone(item)))?
            }
            _ => Arc::clone(column),
        };
        if let Some(map) = column.as_map_opt() {
            let offsets = map.offsets().iter().map(|o| *o as usize).collect();
            let mut columns = map.entries().columns().to_vec();
            let counts = if self.multiset { columns.pop() } else { None };
            return Ok((columns, offsets, counts));
        }
        let list = column
            .as_list_opt::<i32>()
            .ok_or_else(|| Error::internal("UNNEST of a column that is no collection"))?;
        let offsets = list.offsets().iter().map(|o| *o as usize).collect();
        let columns = match list.values().as_struct_opt() {
            Some(rows) => fields_of(rows)?,
            None => vec![Arc::clone(list.values())],
        };
        Ok((columns, offsets, None))
    }

    fn emit(
        &self,
        batch: &RecordBatch,
        elements: &[ArrayRef],
        rows: Rows,
        out: &mut Output,
    ) -> Result<()> {
        let parents = UInt32Array::from(rows.parents);
        let mut columns = Vec::with_capacity(self.output.fields().len());
        for column in &batch.columns()[..self.width] {
            columns.push(take(column, &parents, None)?);
        }
        let indices = UInt32Array::from(rows.elements);
        for element in elements.iter().take(self.elements) {
            columns.push(take(element, &indices, None)?);
        }
        if self.ordinality {
            columns.push(Arc::new(Int32Array::from(rows.positions)));
        }
        for kind in &batch.columns()[self.width..] {
            columns.push(take(kind, &parents, None)?);
        }
        out.emit(RecordBatch::try_new(Arc::clone(&self.output), columns)?);
        Ok(())
    }
}

/// The fields of rows; those of a NULL row are NULL.
fn fields_of(rows: &StructArray) -> Result<Vec<ArrayRef>> {
    let Some(nulls) = rows.nulls().filter(|nulls| nulls.null_count() > 0) else {
        return Ok(rows.columns().to_vec());
    };
    let is_null = BooleanArray::new(!nulls.inner(), None);
    rows.columns().iter().map(|column| Ok(nullif(column, &is_null)?)).collect()
}

impl Operator for UnnestOperator {
    fn process(
        &mut self,
        _port: usize,
        batch: RecordBatch,
        _ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        let column = batch.column(self.column);
        let (elements, offsets, counts) = self.parts(column)?;
        let counts = counts.as_ref().and_then(|c| c.as_primitive_opt::<Int32Type>().cloned());
        let mut rows = Rows::default();
        for row in 0..batch.num_rows() {
            let range = if column.is_null(row) { 0..0 } else { offsets[row]..offsets[row + 1] };
            let mut position = 0;
            for element in range {
                let times = counts.as_ref().map_or(1, |counts| counts.value(element).max(0));
                for _ in 0..times {
                    position += 1;
                    rows.parents.push(row as u32);
                    rows.elements.push(Some(element as u32));
                    rows.positions.push(Some(position));
                    if rows.parents.len() == OUTPUT_ROWS {
                        self.emit(&batch, &elements, std::mem::take(&mut rows), out)?;
                    }
                }
            }
            if position == 0 && self.outer {
                rows.parents.push(row as u32);
                rows.elements.push(None);
                rows.positions.push(None);
            }
            if rows.parents.len() == OUTPUT_ROWS {
                self.emit(&batch, &elements, std::mem::take(&mut rows), out)?;
            }
        }
        self.emit(&batch, &elements, rows, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::script::print_rows;
    use arrow::array::{Int64Array, ListArray};
    use arrow::datatypes::Int64Type;

    fn lists() -> RecordBatch {
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([
            Some(vec![Some(7), None]),
            None,
            Some(vec![]),
            Some(vec![Some(8)]),
        ]));
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3, 4]));
        RecordBatch::try_from_iter_with_nullable([("id", ids, false), ("list", lists, true)])
            .unwrap()
    }

    fn unnest(outer: bool) -> Vec<String> {
        let batch = lists();
        let spec = Unnest {
            column: "list".into(),
            names: vec!["item".into()],
            outer,
            ordinality: Some("at".into()),
            multiset: false,
        };
        let make = || -> Result<Box<dyn Operator>> {
            Ok(Box::new(UnnestOperator::new(&spec, &batch.schema())?))
        };
        let mut harness = crate::operators::script::Harness::new(&make, vec![vec![]]);
        harness.process(0, &batch).unwrap();
        let batches = harness.take_batches();
        let item = |batch: &RecordBatch| {
            let indices = [0, 2, 3].map(|c| Arc::clone(batch.column(c)));
            let names = ["id", "item", "at"];
            let kept = names.into_iter().zip(indices).map(|(n, c)| (n, c, true));
            print_rows(&RecordBatch::try_from_iter_with_nullable(kept).unwrap())
        };
        batches.iter().flat_map(item).collect()
    }

    #[test]
    fn every_element_gives_a_row() {
        assert_eq!(unnest(false), ["1 7 1", "1 null 2", "4 8 1"]);
        let outer = ["1 7 1", "1 null 2", "2 null null", "3 null null", "4 8 1"];
        assert_eq!(unnest(true), outer);
    }
}
