//! Whole rows as byte strings in state (arrow's row format), and changelog batches built
//! from such rows and from rows of the batch at hand. Called by `deduplicate`, `top_n`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, UInt8Array};
use arrow::compute::interleave;
use arrow::datatypes::{FieldRef, SchemaRef};
use arrow::row::{RowConverter, Rows, SortField};
use model::row_kind::RowKind;
use model::{Error, Result};

use super::hash_join::OUTPUT_ROWS;
use crate::operator::Output;

/// Encodes and decodes rows of one schema.
pub struct RowCodec {
    converter: RowConverter,
    width: usize,
}

impl RowCodec {
    /// A User error when a column's type has no row form.
    pub fn new(fields: &[FieldRef]) -> Result<Self> {
        let sort_fields: Vec<SortField> =
            fields.iter().map(|f| SortField::new(f.data_type().clone())).collect();
        if !RowConverter::supports_fields(&sort_fields) {
            let unsupported = fields
                .iter()
                .find(|f| !RowConverter::supports_fields(&[SortField::new(f.data_type().clone())]));
            let name = unsupported.map_or("", |f| f.name().as_str());
            return Err(Error::user(format!(
                "column `{name}` has a type that cannot be kept in state; leave it out in a project before"
            )));
        }
        Ok(Self { converter: RowConverter::new(sort_fields)?, width: fields.len() })
    }

    /// Rows of the first columns of `batch` (a row kind behind them is left out).
    pub fn encode(&self, batch: &RecordBatch) -> Result<Rows> {
        Ok(self.converter.convert_columns(&batch.columns()[..self.width])?)
    }

    /// The columns of encoded rows.
    pub fn decode<'a>(&self, rows: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>> {
        let parser = self.converter.parser();
        Ok(self.converter.convert_rows(rows.into_iter().map(|bytes| parser.parse(bytes)))?)
    }
}

/// Output rows under construction. Each is a row of one of two sources: rows read back
/// from state, and rows of the input batch.
#[derive(Default)]
pub struct ChangelogRows {
    /// (source, row): source 0 is state, 1 the input.
    addresses: Vec<(usize, usize)>,
    kinds: Vec<u8>,
    ranks: Vec<i64>,
}

/// Where a row of [`ChangelogRows`] comes from: its position there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowSource {
    State(usize),
    Input(usize),
}

impl ChangelogRows {
    /// `rank` is used only when the output has a rank column.
    pub fn push(&mut self, kind: RowKind, source: RowSource, rank: usize) {
        self.addresses.push(match source {
            RowSource::State(row) => (0, row),
            RowSource::Input(row) => (1, row),
        });
        self.kinds.push(kind as u8);
        self.ranks.push(rank as i64);
    }

    /// Emits the rows in batches: their columns from `state` or `input` (as many as both
    /// have, or one of them empty), the rank if asked for, the kind if `schema` has it.
    pub fn emit(
        self,
        schema: &SchemaRef,
        state: &[ArrayRef],
        input: &[ArrayRef],
        with_rank: bool,
        out: &mut Output,
    ) -> Result<()> {
        let with_kind = model::row_kind::is_changelog(schema);
        let width = schema.fields().len() - usize::from(with_rank) - usize::from(with_kind);
        let chunks = self.addresses.chunks(OUTPUT_ROWS);
        let rest = self.kinds.chunks(OUTPUT_ROWS).zip(self.ranks.chunks(OUTPUT_ROWS));
        for (addresses, (kinds, ranks)) in chunks.zip(rest) {
            let mut columns = Vec::with_capacity(schema.fields().len());
            for column in 0..width {
                columns.push(gather(state.get(column), input.get(column), addresses)?);
            }
            if with_rank {
                columns.push(Arc::new(Int64Array::from(ranks.to_vec())) as ArrayRef);
            }
            if with_kind {
                columns.push(Arc::new(UInt8Array::from(kinds.to_vec())));
            }
            out.emit(RecordBatch::try_new(Arc::clone(schema), columns)?);
        }
        Ok(())
    }
}

fn gather(
    state: Option<&ArrayRef>,
    input: Option<&ArrayRef>,
    addresses: &[(usize, usize)],
) -> Result<ArrayRef> {
    // A source that gives no row may have no columns; the other one stands in for it.
    let (Some(state), Some(input)) = (state.or(input), input.or(state)) else {
        return Err(Error::internal("changelog rows without a source"));
    };
    let sources: [&dyn Array; 2] = [state.as_ref(), input.as_ref()];
    Ok(interleave(&sources, addresses)?)
}
