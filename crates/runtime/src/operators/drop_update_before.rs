//! Leaves `-U` rows out of a changelog whose consumer takes upserts. Built by
//! `operators::build`.

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use model::Result;
use model::row_kind::{self, RowKind};

use crate::operator::{Operator, OperatorContext, Output};

/// See [`model::operator_spec::OperatorSpec::DropUpdateBefore`].
pub struct DropUpdateBefore;

impl Operator for DropUpdateBefore {
    fn process(
        &mut self,
        _port: usize,
        batch: RecordBatch,
        _ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        let before = RowKind::UpdateBefore as u8;
        let Some(kinds) = row_kind::kinds(&batch) else {
            out.emit(batch);
            return Ok(());
        };
        if !kinds.values().contains(&before) {
            out.emit(batch);
            return Ok(());
        }
        let kept: BooleanArray = kinds.values().iter().map(|kind| Some(*kind != before)).collect();
        out.emit(filter_record_batch(&batch, &kept)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::script::{check, schema};

    #[test]
    fn only_update_before_goes() {
        let script = "
            > +I a 1
            > -U a 1
            > +U a 2
            > -D a 2
            < +I a 1
            < +U a 2
            < -D a 2";
        let make = || -> Result<Box<dyn Operator>> { Ok(Box::new(DropUpdateBefore)) };
        check(make, &[schema("k STRING, v BIGINT, $row_kind")], script);
    }
}
