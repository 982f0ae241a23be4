//! Computes output columns from input columns. Built by `operators::build`.

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use model::expression::{Expression, Expressions};
use model::operator_spec::NamedExpression;
use model::{Error, Result, row_kind};

use crate::operator::{Operator, OperatorContext, Output};

/// See [`model::operator_spec::OperatorSpec::Project`]. The row kind, if any, stays last.
pub struct Project {
    columns: Vec<Box<dyn Expression>>,
    output: SchemaRef,
    changelog: bool,
}

impl Project {
    /// A User error when a column does not compile. `output` is what the planner computed.
    pub fn new(
        columns: &[NamedExpression],
        input: &SchemaRef,
        output: &SchemaRef,
        expressions: &dyn Expressions,
    ) -> Result<Self> {
        let changelog = row_kind::is_changelog(input);
        let width = columns.len() + usize::from(changelog);
        if output.fields().len() != width {
            return Err(Error::internal(format!(
                "a projection of {width} columns was planned with {}",
                output.fields().len()
            )));
        }
        let columns = columns
            .iter()
            .map(|column| {
                expressions
                    .compile(&column.expr, input)
                    .map_err(|e| Error::from(e).at(format!("column `{}`", column.name)))
            })
            .collect::<Result<Vec<_>>>()?;
        for (column, field) in columns.iter().zip(output.fields()) {
            if column.data_type() != field.data_type() {
                return Err(Error::internal(format!(
                    "column `{}` was planned as {} but is {}",
                    field.name(),
                    field.data_type(),
                    column.data_type()
                )));
            }
        }
        Ok(Self { columns, output: SchemaRef::clone(output), changelog })
    }
}

impl Operator for Project {
    fn process(
        &mut self,
        _port: usize,
        batch: RecordBatch,
        _ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        let mut arrays = Vec::with_capacity(self.columns.len() + 1);
        for (column, field) in self.columns.iter().zip(self.output.fields()) {
            let array =
                column.evaluate(&batch).map_err(|e| e.at(format!("column `{}`", field.name())))?;
            arrays.push(array);
        }
        if self.changelog {
            arrays.extend(batch.columns().last().cloned());
        }
        // The row count matters when no column is left (`SELECT` of nothing before COUNT(*)).
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let schema = SchemaRef::clone(&self.output);
        out.emit(RecordBatch::try_new_with_options(schema, arrays, &options)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::script::{TestExpressions, check, schema};

    fn project(columns: &[(&str, &str)], input: &str, output: &str) -> Result<Box<dyn Operator>> {
        let columns: Vec<NamedExpression> = columns
            .iter()
            .map(|(name, expr)| NamedExpression { name: (*name).into(), expr: (*expr).into() })
            .collect();
        Ok(Box::new(Project::new(&columns, &schema(input), &schema(output), &TestExpressions)?))
    }

    #[test]
    fn computes_and_reorders_columns() {
        check(
            || project(&[("w", "v + 10"), ("k", "k")], "k STRING, v BIGINT", "w BIGINT, k STRING"),
            &[schema("k STRING, v BIGINT")],
            "
            > a 1
            > null null
            < 11 a
            < null null
            ",
        );
    }

    #[test]
    fn the_row_kind_stays_last() {
        check(
            || project(&[("w", "v + 1")], "k STRING, v BIGINT, $row_kind", "w BIGINT, $row_kind"),
            &[schema("k STRING, v BIGINT, $row_kind")],
            "
            > +I a 1
            > -D a 1
            < +I 2
            < -D 2
            ",
        );
    }

    #[test]
    fn a_plan_that_disagrees_is_an_internal_error() {
        let error = project(&[("w", "v")], "v BIGINT", "w STRING").err().unwrap();
        assert_eq!(error.kind(), model::ErrorKind::Internal);
        let error = project(&[("w", "x")], "v BIGINT", "w BIGINT").err().unwrap();
        assert_eq!(error.kind(), model::ErrorKind::User);
        assert!(error.message().starts_with("column `w`"), "{error}");
    }
}
