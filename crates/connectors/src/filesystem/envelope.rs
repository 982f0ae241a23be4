//! Changelogs as lines of JSON, in the envelopes that Flink knows by name: `debezium-json`,
//! `canal-json`, `maxwell-json`, and our own `changelog: true` with the row kind as `op`.
//! Called by `writer.rs` and, for debezium, by the decoder (`bad_records.rs`).
//!
//! As in Flink an update travels as two lines, since its two rows need not come together:
//! `-U` is written as a deletion and `+U` as an insertion.

use std::sync::Arc;

use model::arrow::array::{
    Array, ArrayRef, AsArray, ListArray, RecordBatch, StringArray, StructArray, UInt8Array,
};
use model::arrow::buffer::{NullBuffer, OffsetBuffer};
use model::arrow::compute::interleave;
use model::arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use model::arrow::error::ArrowError;
use model::row_kind::{self, RowKind};
use model::{Error, Result};

use super::json::JsonDecoder;
use super::options::JsonFormat;

/// The column of [`Envelope::Op`] with the row kind.
pub(super) const OP: &str = "op";
const BEFORE: &str = "before";
const AFTER: &str = "after";
const DATA: &str = "data";
const TYPE: &str = "type";

/// What stands around a row and says what happened to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Envelope {
    /// `{"op":"+U", ...row}`: every kind as it is.
    Op,
    /// `{"before":null,"after":{...},"op":"c"}`.
    Debezium,
    /// `{"data":[{...}],"type":"INSERT"}`.
    Canal,
    /// `{"data":{...},"type":"insert"}`.
    Maxwell,
}

impl Envelope {
    /// The words for an addition and for a removal.
    fn words(self) -> [&'static str; 2] {
        match self {
            Self::Op => [RowKind::Insert.short(), RowKind::Delete.short()],
            Self::Debezium => ["c", "d"],
            Self::Canal => ["INSERT", "DELETE"],
            Self::Maxwell => ["insert", "delete"],
        }
    }

    /// The schema of the lines for rows of `input` (with or without a row kind).
    pub(super) fn schema(self, input: &SchemaRef) -> SchemaRef {
        let row: Fields =
            input.fields().iter().filter(|f| f.name() != row_kind::COLUMN).cloned().collect();
        let text = |name| Field::new(name, DataType::Utf8, false);
        let row_of = |name, nullable| Field::new(name, DataType::Struct(row.clone()), nullable);
        let fields: Vec<Field> = match self {
            Self::Op => {
                let own = row.iter().map(|f| f.as_ref().clone());
                return Arc::new(Schema::new(
                    std::iter::once(text(OP)).chain(own).collect::<Vec<_>>(),
                ));
            }
            Self::Debezium => vec![row_of(BEFORE, true), row_of(AFTER, true), text(OP)],
            Self::Canal => {
                vec![Field::new_list(DATA, row_of("item", false), false), text(TYPE)]
            }
            Self::Maxwell => vec![row_of(DATA, false), text(TYPE)],
        };
        Arc::new(Schema::new(fields))
    }

    /// The lines for the rows of `batch`; `schema` is [`Self::schema`]'s.
    pub(super) fn wrap(self, batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
        let kinds = row_kind::kinds(batch);
        let width = batch.num_columns() - usize::from(kinds.is_some());
        let own = &batch.columns()[..width];
        if self == Self::Op {
            let mut columns: Vec<ArrayRef> = vec![Arc::new(short_forms(kinds, batch.num_rows())?)];
            columns.extend(own.iter().cloned());
            return Ok(RecordBatch::try_new(Arc::clone(schema), columns)?);
        }
        let additions = additions(kinds, batch.num_rows())?;
        let words = self.words();
        let word = |addition: &bool| words[usize::from(!addition)];
        let words: ArrayRef = Arc::new(StringArray::from_iter_values(additions.iter().map(word)));
        let fields = match schema.field(0).data_type() {
            DataType::Struct(fields) => fields.clone(),
            DataType::List(item) => match item.data_type() {
                DataType::Struct(fields) => fields.clone(),
                other => return Err(Error::internal(format!("an envelope around {other}"))),
            },
            other => return Err(Error::internal(format!("an envelope around {other}"))),
        };
        let rows = |valid: Option<Vec<bool>>| -> Result<StructArray> {
            let valid = valid.map(NullBuffer::from);
            Ok(StructArray::try_new_with_length(
                fields.clone(),
                own.to_vec(),
                valid,
                batch.num_rows(),
            )?)
        };
        let columns: Vec<ArrayRef> = match self {
            Self::Op | Self::Maxwell => vec![Arc::new(rows(None)?), words],
            Self::Canal => {
                let item = Arc::new(Field::new("item", DataType::Struct(fields.clone()), false));
                let offsets = OffsetBuffer::from_repeated_length(1, batch.num_rows());
                let lists = ListArray::try_new(item, offsets, Arc::new(rows(None)?), None)?;
                vec![Arc::new(lists), words]
            }
            Self::Debezium => {
                let before = additions.iter().map(|addition| !addition).collect();
                vec![Arc::new(rows(Some(before))?), Arc::new(rows(Some(additions))?), words]
            }
        };
        Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
    }
}

fn kind_of(kind: u8) -> Result<RowKind> {
    RowKind::from_u8(kind).ok_or_else(|| Error::internal(format!("{kind} is not a row kind")))
}

fn short_forms(kinds: Option<&UInt8Array>, rows: usize) -> Result<StringArray> {
    let Some(kinds) = kinds else {
        return Ok(StringArray::from(vec![RowKind::Insert.short(); rows]));
    };
    let short = kinds.values().iter().map(|kind| Ok(kind_of(*kind)?.short()));
    Ok(StringArray::from(short.collect::<Result<Vec<_>>>()?))
}

fn additions(kinds: Option<&UInt8Array>, rows: usize) -> Result<Vec<bool>> {
    let Some(kinds) = kinds else { return Ok(vec![true; rows]) };
    kinds.values().iter().map(|kind| Ok(kind_of(*kind)?.is_addition())).collect()
}

/// Decodes lines of `debezium-json` into a changelog. An update gives two rows.
pub(super) struct DebeziumDecoder {
    /// The wanted columns, with the row kind last.
    schema: SchemaRef,
    lines: JsonDecoder,
}

impl DebeziumDecoder {
    /// `schema` has the row kind last.
    pub(super) fn new(schema: SchemaRef, format: &JsonFormat) -> Self {
        let lines = Envelope::Debezium.schema(&schema);
        Self { lines: JsonDecoder::new(lines, format), schema }
    }

    /// How many lines there were, and their rows.
    pub(super) fn decode(
        &mut self,
        block: &[u8],
        records: usize,
    ) -> Result<(usize, Option<RecordBatch>), ArrowError> {
        let Some(lines) = self.lines.decode(block, records)? else { return Ok((0, None)) };
        let rows = self.rows(&lines)?;
        Ok((lines.num_rows(), Some(rows)))
    }

    fn rows(&self, lines: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let sides = [lines.column(0).as_struct(), lines.column(1).as_struct()];
        let ops = lines.column(2).as_string::<i32>();
        // (0: before, 1: after; line) of each row.
        let mut places: Vec<(usize, usize)> = Vec::with_capacity(lines.num_rows());
        let mut kinds: Vec<u8> = Vec::with_capacity(lines.num_rows());
        for line in 0..lines.num_rows() {
            let parts: &[(usize, RowKind)] = match ops.value(line) {
                // r: read while the table was first copied.
                "c" | "r" => &[(1, RowKind::Insert)],
                "u" => &[(0, RowKind::UpdateBefore), (1, RowKind::UpdateAfter)],
                "d" => &[(0, RowKind::Delete)],
                other => {
                    let message = format!("`op` is `{other}`, but must be c, r, u or d");
                    return Err(ArrowError::JsonError(message));
                }
            };
            for (side, kind) in parts {
                if sides[*side].is_null(line) {
                    let (op, name) = (ops.value(line), [BEFORE, AFTER][*side]);
                    let message = format!(
                        "a change of `op` {op} has no `{name}` (does the database log whole rows \
                         before a change, as REPLICA IDENTITY FULL does?)"
                    );
                    return Err(ArrowError::JsonError(message));
                }
                places.push((*side, line));
                kinds.push(*kind as u8);
            }
        }
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        for column in 0..self.schema.fields().len() - 1 {
            let [before, after] = [0, 1].map(|side: usize| sides[side].column(column).as_ref());
            columns.push(interleave(&[before, after], &places)?);
        }
        columns.push(Arc::new(UInt8Array::from(kinds)));
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
    }
}

#[cfg(test)]
mod tests;
