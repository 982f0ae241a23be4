//! Gives rows that are only inserted their kind, where a changelog is wanted: in front of a
//! union with one. Built by `operators::build`.

use std::sync::Arc;

use arrow::array::{RecordBatch, UInt8Array};
use arrow::datatypes::SchemaRef;
use model::Result;
use model::row_kind::{self, RowKind};

use crate::operator::{Operator, OperatorContext, Output};

/// See [`model::operator_spec::OperatorSpec::AsChangelog`].
pub struct AsChangelog {
    output: SchemaRef,
}

impl AsChangelog {
    /// `output` is what the planner computed.
    pub fn new(output: &SchemaRef) -> Self {
        Self { output: SchemaRef::clone(output) }
    }
}

impl Operator for AsChangelog {
    fn process(
        &mut self,
        _port: usize,
        batch: RecordBatch,
        _ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        if row_kind::is_changelog(batch.schema_ref()) {
            out.emit(batch);
            return Ok(());
        }
        let kinds = UInt8Array::from(vec![RowKind::Insert as u8; batch.num_rows()]);
        let mut columns = batch.columns().to_vec();
        columns.push(Arc::new(kinds));
        out.emit(RecordBatch::try_new(SchemaRef::clone(&self.output), columns)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::script::{check, schema};

    #[test]
    fn every_row_is_an_insert() {
        let output = schema("k STRING, v BIGINT, $row_kind");
        let make = || -> Result<Box<dyn Operator>> { Ok(Box::new(AsChangelog::new(&output))) };
        let script = "
            > a 1
            > null 2
            < +I a 1
            < +I null 2";
        check(make, &[schema("k STRING, v BIGINT")], script);
    }
}
