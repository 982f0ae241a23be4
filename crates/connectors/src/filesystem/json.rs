//! JSON lines: one object a line. Decoding by `text.rs`, encoding by `encoder.rs`.
//!
//! Blocks of the usual kind are decoded by `direct.rs`; the reader here knows every type and
//! says what is wrong with a record.

mod column;
mod cursor;
mod direct;

use std::io::Write;
use std::sync::Arc;

use model::arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use model::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use model::arrow::error::ArrowError;
use model::arrow::json::reader::Decoder;
use model::arrow::json::writer::LineDelimited;
use model::arrow::json::{ReaderBuilder, WriterBuilder};
use model::{Error, Result};

use self::direct::DirectDecoder;
use super::options::JsonFormat;
use super::records::BLOCK_RECORDS;
use super::timestamps;

/// Blocks in a row that were not for the direct decoder until it is no longer asked.
const MAX_MISSES: u32 = 8;

/// Whether the JSON reader knows the column's type.
pub(super) fn is_readable(field: &Field) -> bool {
    if matches!(field.data_type(), DataType::Timestamp(..)) {
        return true;
    }
    let schema = Schema::new(vec![field.clone()]);
    ReaderBuilder::new(Arc::new(schema)).build_decoder().is_ok()
}

/// Decodes blocks of lines into the declared columns. Fields that are not declared are
/// passed over; numbers and booleans may stand in for text.
pub(super) struct JsonDecoder {
    schema: SchemaRef,
    /// As `schema`, but with text where timestamps are parsed by us.
    decoded: SchemaRef,
    pattern: Option<String>,
    decoder: Option<Decoder>,
    direct: Option<DirectDecoder>,
    /// Blocks since the direct decoder last took one.
    misses: u32,
}

impl JsonDecoder {
    pub(super) fn new(schema: SchemaRef, format: &JsonFormat) -> Self {
        let fields: Vec<_> = schema
            .fields()
            .iter()
            .map(|f| match f.data_type() {
                DataType::Timestamp(unit, zone)
                    if *unit != TimeUnit::Millisecond
                        // The reader knows zones by their offset only.
                        || zone.is_some()
                        || format.timestamp_format.to_read().is_some() =>
                {
                    Arc::new(f.as_ref().clone().with_data_type(DataType::Utf8))
                }
                _ => Arc::clone(f),
            })
            .collect();
        let decoded = Arc::new(Schema::new(fields));
        let pattern = format.timestamp_format.to_read().map(str::to_owned);
        let direct = DirectDecoder::new(&schema, pattern.as_deref());
        Self { schema, decoded, pattern, decoder: None, direct, misses: 0 }
    }

    /// The rows of whole lines; `None` when they are all blank. At most `records` of them:
    /// the decoder for whole blocks is kept, others are made to size.
    pub(super) fn decode(
        &mut self,
        block: &[u8],
        records: usize,
    ) -> Result<Option<RecordBatch>, ArrowError> {
        match self.decode_directly(block, records) {
            Some(batch) => Ok(Some(batch)),
            None => self.decode_generally(block, records),
        }
    }

    /// `None`: the block is for the general reader, as all parts of a bad one are.
    fn decode_directly(&mut self, block: &[u8], records: usize) -> Option<RecordBatch> {
        let direct = self.direct.as_mut().filter(|_| records == BLOCK_RECORDS)?;
        let batch = direct.decode(block, records);
        match batch {
            Some(_) => self.misses = 0,
            None => {
                self.misses += 1;
                if self.misses == MAX_MISSES {
                    self.direct = None;
                }
            }
        }
        batch
    }

    fn decode_generally(
        &mut self,
        block: &[u8],
        records: usize,
    ) -> Result<Option<RecordBatch>, ArrowError> {
        let kept = if records == BLOCK_RECORDS { self.decoder.take() } else { None };
        let mut decoder = match kept {
            Some(decoder) => decoder,
            None => ReaderBuilder::new(Arc::clone(&self.decoded))
                .with_batch_size(records + 1)
                .with_coerce_primitive(true)
                .build_decoder()?,
        };
        let consumed = decoder.decode(block)?;
        if block[consumed..].iter().any(|b| !b.is_ascii_whitespace()) {
            return Err(ArrowError::JsonError("more than one object in a line".to_owned()));
        }
        let batch = decoder.flush()?;
        // Kept only after success: a failed decoder is left in the middle of a record.
        if records == BLOCK_RECORDS {
            self.decoder = Some(decoder);
        }
        batch.map(|b| self.convert(b)).transpose()
    }

    fn convert(&self, batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
        if Arc::ptr_eq(&self.schema, &self.decoded) || self.schema == self.decoded {
            return batch.with_schema(Arc::clone(&self.schema));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let columns: Result<Vec<ArrayRef>, ArrowError> = batch
            .columns()
            .iter()
            .zip(self.schema.fields())
            .map(|(column, field)| match column.data_type() == field.data_type() {
                true => Ok(Arc::clone(column)),
                false => timestamps::parse_column(
                    column.as_string(),
                    field.data_type(),
                    self.pattern.as_deref(),
                ),
            })
            .collect();
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns?, &options)
    }
}

/// Appends the rows of `batch` to `out`, one object a line, nulls spelt out.
pub(super) fn encode(batch: &RecordBatch, format: &JsonFormat, out: impl Write) -> Result<()> {
    let mut builder = WriterBuilder::new().with_explicit_nulls(true);
    if let Some([plain, zoned]) = format.timestamp_format.to_write() {
        builder = builder.with_timestamp_format(plain).with_timestamp_tz_format(zoned);
    }
    let mut writer = builder.build::<_, LineDelimited>(out);
    writer
        .write(batch)
        .and_then(|()| writer.finish())
        .map_err(|e| Error::user("the rows cannot be written as JSON").caused_by(e))
}
