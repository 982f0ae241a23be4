//! Keeps the rows for which a SQL predicate is true. Built by `operators::build`.

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, SchemaRef};
use model::expression::{Expression, Expressions};
use model::{Error, Result};

use crate::operator::{Operator, OperatorContext, Output};

/// See [`model::operator_spec::OperatorSpec::Filter`]. NULL counts as false.
pub struct Filter {
    predicate: Box<dyn Expression>,
}

impl Filter {
    /// A User error when the predicate does not compile or is no BOOLEAN.
    pub fn new(predicate: &str, input: &SchemaRef, expressions: &dyn Expressions) -> Result<Self> {
        let compiled = expressions.compile(predicate, input)?;
        if *compiled.data_type() != DataType::Boolean {
            return Err(Error::user(format!(
                "predicate `{predicate}` is {}, expected a BOOLEAN",
                compiled.data_type()
            )));
        }
        Ok(Self { predicate: compiled })
    }
}

impl Operator for Filter {
    fn process(
        &mut self,
        _port: usize,
        batch: RecordBatch,
        _ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        let mask = self.predicate.evaluate(&batch)?;
        let mask = mask
            .as_boolean_opt()
            .ok_or_else(|| Error::internal("a predicate did not evaluate to booleans"))?;
        // `true_count` leaves NULLs out.
        match mask.true_count() {
            0 => {}
            kept if kept == batch.num_rows() => out.emit(batch),
            _ => out.emit(filter_record_batch(&batch, mask)?),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::script::{TestExpressions, check, schema};

    fn filter(predicate: &str, columns: &str) -> Result<Box<dyn Operator>> {
        Ok(Box::new(Filter::new(predicate, &schema(columns), &TestExpressions)?))
    }

    #[test]
    fn keeps_what_is_true_and_treats_null_as_false() {
        check(
            || filter("v > 2", "k STRING, v BIGINT"),
            &[schema("k STRING, v BIGINT")],
            "
            > a 1
            > b 3
            > c null
            > d 4
            < b 3
            < d 4
            > e 5
            > f 6
            < e 5
            < f 6
            > g 0
            > watermark 7
            < watermark 7
            ",
        );
    }

    #[test]
    fn an_update_pair_may_be_half_kept() {
        check(
            || filter("v > 2", "v BIGINT, $row_kind"),
            &[schema("v BIGINT, $row_kind")],
            "
            > +I 1
            > -U 1
            > +U 5
            < +U 5
            ",
        );
    }

    #[test]
    fn a_predicate_must_be_boolean() {
        let error = filter("v + 1", "v BIGINT").err().unwrap();
        assert!(error.message().contains("expected a BOOLEAN"), "{error}");
        let error = filter("w > 1", "v BIGINT").err().unwrap();
        assert!(error.message().contains('w'), "{error}");
    }
}
