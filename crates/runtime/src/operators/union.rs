//! Passes the rows of several inputs on, under one schema. Built by `operators::build`; the
//! chain combines the inputs' watermarks.

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use model::Result;

use crate::operator::{Operator, OperatorContext, Output};

/// See [`model::operator_spec::OperatorSpec::Union`].
pub struct Union {
    /// A column that may be NULL in one input may be NULL in all: batches of several inputs are
    /// put together further on.
    output: SchemaRef,
}

impl Union {
    pub fn new(output: SchemaRef) -> Self {
        Self { output }
    }
}

impl Operator for Union {
    fn process(
        &mut self,
        _port: usize,
        batch: RecordBatch,
        _ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        if *batch.schema_ref() == self.output {
            out.emit(batch);
            return Ok(());
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let columns = batch.columns().to_vec();
        out.emit(RecordBatch::try_new_with_options(self.output.clone(), columns, &options)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::script::{check, schema};

    #[test]
    fn passes_rows_and_watermarks_of_every_port() {
        check(
            || Ok(Box::new(Union::new(schema("k STRING")))),
            &[schema("k STRING"), schema("k STRING")],
            "
            > a
            < a
            >1 b
            < b
            > watermark 5
            < watermark 5
            > end
            < watermark max
            ",
        );
    }
}
