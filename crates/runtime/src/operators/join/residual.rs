//! The condition of a join beyond its equal keys. Called by the joins.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{Schema, SchemaRef};
use model::Result;
use model::expression::{Expression, Expressions};

use super::row_store::RowStore;

/// SQL over pairs of rows, of which only the columns it reads are put together.
pub struct Residual {
    expression: Box<dyn Expression>,
    schema: SchemaRef,
    /// Per column of `schema`: the side, and the position there.
    columns: Vec<(usize, usize)>,
}

impl Residual {
    /// `pair` is `operator_schema::pair_schema`, of which the first `left_width` columns are
    /// the left side's.
    pub fn new(
        text: &str,
        pair: &SchemaRef,
        left_width: usize,
        expressions: &dyn Expressions,
    ) -> Result<Self> {
        let mut fields = Vec::new();
        let mut columns = Vec::new();
        for name in expressions.columns(text, pair)? {
            let index = model::operator_schema::column_index(pair, &name)?;
            fields.push(Arc::clone(&pair.fields()[index]));
            columns.push(match index.checked_sub(left_width) {
                Some(right) => (1, right),
                None => (0, index),
            });
        }
        let schema = Arc::new(Schema::new(fields));
        Ok(Self { expression: expressions.compile(text, &schema)?, schema, columns })
    }

    /// The condition for pairs of rows of `probe`, which came on side `port`, and stored ones.
    pub fn evaluate(
        &self,
        (port, probe): (usize, &RecordBatch),
        probe_rows: &[u32],
        stored: &mut RowStore,
        stored_rows: &[u32],
    ) -> Result<ArrayRef> {
        let of_stored: Vec<usize> =
            self.columns.iter().filter(|(side, _)| *side != port).map(|(_, c)| *c).collect();
        let mut gathered = stored.gather(stored_rows.iter().copied(), &of_stored)?.into_iter();
        let rows = UInt32Array::from(probe_rows.to_vec());
        let mut arrays = Vec::with_capacity(self.columns.len());
        for (side, column) in &self.columns {
            if *side == port {
                arrays.push(take(probe.column(*column), &rows, None)?);
            } else {
                arrays.extend(gathered.next());
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(probe_rows.len()));
        let pairs = RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)?;
        self.expression.evaluate(&pairs)
    }
}
