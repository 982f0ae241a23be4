//! One row per projection and input row: grouping sets. Built by `operators::build`.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use model::expression::{Expression, Expressions};
use model::operator_schema::expand_schema;
use model::operator_spec::Expand;
use model::{Error, Result, row_kind};

use crate::operator::{Operator, OperatorContext, Output};

/// See [`Expand`].
pub struct ExpandOperator {
    projections: Vec<Vec<Box<dyn Expression>>>,
    output: SchemaRef,
    changelog: bool,
}

impl ExpandOperator {
    /// A User error when a column does not compile.
    pub fn new(spec: &Expand, input: &SchemaRef, expressions: &dyn Expressions) -> Result<Self> {
        let output = expand_schema(spec, input, expressions)?;
        let mut projections = Vec::new();
        for projection in &spec.projections {
            let mut compiled = Vec::new();
            for column in projection {
                let expression = expressions.compile(&column.expr, input);
                compiled.push(
                    expression
                        .map_err(|e| Error::from(e).at(format!("column `{}`", column.name)))?,
                );
            }
            projections.push(compiled);
        }
        Ok(Self { projections, output, changelog: row_kind::is_changelog(input) })
    }
}

impl Operator for ExpandOperator {
    fn process(
        &mut self,
        _port: usize,
        batch: RecordBatch,
        _ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        for projection in &self.projections {
            let mut columns = Vec::with_capacity(projection.len() + 1);
            for expression in projection {
                columns.push(expression.evaluate(&batch)?);
            }
            if self.changelog {
                columns.extend(batch.columns().last().cloned());
            }
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let schema = Arc::clone(&self.output);
            out.emit(RecordBatch::try_new_with_options(schema, columns, &options)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::script::{TestExpressions, check, schema};
    use model::operator_spec::NamedExpression;

    #[test]
    fn every_projection_gives_a_row() {
        let column = |expr: &str| NamedExpression { name: "x".to_owned(), expr: expr.to_owned() };
        let spec = Expand { projections: vec![vec![column("a")], vec![column("b + 1")]] };
        let input = schema("a BIGINT, b BIGINT, $row_kind");
        let make = || -> Result<Box<dyn Operator>> {
            Ok(Box::new(ExpandOperator::new(&spec, &input, &TestExpressions)?))
        };
        let script = "
            > +I 1 2
            > -D 3 4
            < +I 1
            < -D 3
            < +I 3
            < -D 5";
        check(make, std::slice::from_ref(&input), script);
    }
}
