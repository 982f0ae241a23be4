//! Flink's row kinds, which travel with the batch as its last column on changelog edges.

use arrow::array::{Array, RecordBatch, UInt8Array};
use arrow::datatypes::{DataType, Field, Schema};

/// Name of the reserved last column of a changelog batch.
pub const COLUMN: &str = "$row_kind";

/// What a row does to the table that the stream describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RowKind {
    /// `+I`
    Insert = 0,
    /// `-U`: the old row of an update.
    UpdateBefore = 1,
    /// `+U`: the new row of an update.
    UpdateAfter = 2,
    /// `-D`
    Delete = 3,
}

impl RowKind {
    pub fn from_u8(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::Insert),
            1 => Some(Self::UpdateBefore),
            2 => Some(Self::UpdateAfter),
            3 => Some(Self::Delete),
            _ => None,
        }
    }
    /// Flink's short form.
    pub fn short(self) -> &'static str {
        match self {
            Self::Insert => "+I",
            Self::UpdateBefore => "-U",
            Self::UpdateAfter => "+U",
            Self::Delete => "-D",
        }
    }
    /// Whether the row adds to the table (`+I`, `+U`) or takes from it.
    pub fn is_addition(self) -> bool {
        matches!(self, Self::Insert | Self::UpdateAfter)
    }
}

/// The field appended to a schema to make it a changelog's.
pub fn field() -> Field {
    Field::new(COLUMN, DataType::UInt8, false)
}

pub fn is_changelog(schema: &Schema) -> bool {
    schema.fields().last().is_some_and(|f| f.name() == COLUMN)
}

/// The row kinds of a batch, or `None` when every row is an insert.
pub fn kinds(batch: &RecordBatch) -> Option<&UInt8Array> {
    if !is_changelog(batch.schema_ref()) {
        return None;
    }
    batch.columns().last().and_then(|c| c.as_any().downcast_ref::<UInt8Array>())
}
