//! Passes the rows of several inputs on. Built by `operators::build`; the chain combines
//! the inputs' watermarks.

use arrow::array::RecordBatch;
use model::Result;

use crate::operator::{Operator, OperatorContext, Output};

/// See [`model::operator_spec::OperatorSpec::Union`].
pub struct Union;

impl Operator for Union {
    fn process(
        &mut self,
        _port: usize,
        batch: RecordBatch,
        _ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        out.emit(batch);
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
            || Ok(Box::new(Union)),
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
