//! The key columns of an aggregate's input. Used by the window, session and keyed aggregates.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, SchemaRef};
use model::Result;
use model::operator_schema::key_indices;

/// Where the keys are, and what they are.
pub(crate) struct KeyColumns {
    pub(crate) indices: Vec<usize>,
    pub(crate) fields: Vec<Field>,
}

impl KeyColumns {
    pub(crate) fn new(input: &SchemaRef, keys: &[String]) -> Result<Self> {
        let indices = key_indices(input, keys)?;
        let fields = indices.iter().map(|&index| input.field(index).clone()).collect();
        Ok(Self { indices, fields })
    }

    pub(crate) fn arrays(&self, batch: &RecordBatch) -> Vec<ArrayRef> {
        self.indices.iter().map(|&index| ArrayRef::clone(batch.column(index))).collect()
    }
}
