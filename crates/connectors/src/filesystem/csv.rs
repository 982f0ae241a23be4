//! CSV. Decoding by `text.rs`, encoding by `encoder.rs`.

use std::io::Write;
use std::sync::Arc;

use model::arrow::array::{
    Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringArray, new_null_array,
};
use model::arrow::csv::reader::Decoder;
use model::arrow::csv::{ReaderBuilder, WriterBuilder};
use model::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use model::arrow::error::ArrowError;
use model::{Error, Result};
use regex::Regex;

use super::options::CsvFormat;
use super::records::BLOCK_RECORDS;
use super::timestamps;

/// Whether a csv field can be read as the type.
pub(super) fn is_readable(data_type: &DataType) -> bool {
    data_type.is_numeric()
        || matches!(
            data_type,
            DataType::Boolean
                | DataType::Utf8
                | DataType::Utf8View
                | DataType::Date32
                | DataType::Date64
                | DataType::Time32(_)
                | DataType::Time64(_)
                | DataType::Timestamp(_, _)
        )
}

/// Fails with a message for columns that csv cannot hold.
pub(super) fn check_writable(schema: &Schema) -> Result<(), String> {
    match schema.fields().iter().find(|f| f.data_type().is_nested()) {
        Some(field) => Err(format!(
            "csv cannot hold column `{}` of type {}; use json or parquet",
            field.name(),
            field.data_type()
        )),
        None => Ok(()),
    }
}

/// Decodes blocks of records into the declared columns, found by their names in the
/// header or, without one, by position.
pub(super) struct CsvDecoder {
    schema: SchemaRef,
    format: CsvFormat,
    /// The file's columns, in its order.
    file_schema: SchemaRef,
    /// For every column of `schema`, its place in the file; `None`: not there.
    places: Vec<Option<usize>>,
    null_pattern: Regex,
    decoder: Option<Decoder>,
}

impl CsvDecoder {
    /// `header` holds the names in the file; `None` when the file has no header. `declared`
    /// are all columns, `schema` those wanted.
    pub(super) fn new(
        declared: &Schema,
        schema: SchemaRef,
        format: &CsvFormat,
        header: Option<&[String]>,
    ) -> Result<Self> {
        let names: Vec<String> = match header {
            Some(header) => header.to_vec(),
            None => declared.fields().iter().map(|f| f.name().clone()).collect(),
        };
        let known = |name: &String| declared.column_with_name(name).is_some();
        if header.is_some() && !names.iter().any(known) {
            return Err(Error::user(format!(
                "the header names none of the declared columns (it has: {}); if the file has \
                 no header, set `header: false`",
                names.join(", ")
            )));
        }
        let fields: Vec<_> = names
            .iter()
            .map(|name| {
                let declared = declared.field_with_name(name).map(Field::data_type);
                let data_type = match declared {
                    // Timestamps have spellings that the csv reader does not know.
                    Ok(DataType::Timestamp(_, _)) | Err(_) => DataType::Utf8,
                    Ok(other) => other.clone(),
                };
                Field::new(name, data_type, true)
            })
            .collect();
        let places: Vec<_> =
            schema.fields().iter().map(|f| names.iter().position(|n| n == f.name())).collect();
        for (field, place) in schema.fields().iter().zip(&places) {
            if place.is_none() && !field.is_nullable() {
                return Err(Error::user(format!(
                    "there is no column `{}`, which is declared NOT NULL (the header has: {})",
                    field.name(),
                    names.join(", ")
                )));
            }
        }
        let null_pattern = format!("^{}$", regex::escape(&format.null_value));
        let null_pattern = Regex::new(&null_pattern)
            .map_err(|e| Error::internal("`nullValue` cannot be matched").caused_by(e))?;
        let file_schema = Arc::new(Schema::new(fields));
        let format = format.clone();
        Ok(Self { schema, format, file_schema, places, null_pattern, decoder: None })
    }

    fn build(&self, records: usize) -> Decoder {
        let mut builder = ReaderBuilder::new(Arc::clone(&self.file_schema))
            .with_header(false)
            .with_batch_size(records + 1)
            .with_delimiter(self.format.delimiter)
            .with_quote(self.format.quote)
            .with_projection(self.places.iter().flatten().copied().collect());
        if !self.format.null_value.is_empty() {
            builder = builder.with_null_regex(self.null_pattern.clone());
        }
        builder.build_decoder()
    }

    /// The rows of whole records; `None` when they are all blank. At most `records` of them:
    /// the decoder for whole blocks is kept, others are made to size.
    pub(super) fn decode(
        &mut self,
        block: &[u8],
        records: usize,
    ) -> Result<Option<RecordBatch>, ArrowError> {
        let kept = if records == BLOCK_RECORDS { self.decoder.take() } else { None };
        let mut decoder = kept.unwrap_or_else(|| self.build(records));
        let mut rest = block;
        while !rest.is_empty() {
            let consumed = decoder.decode(rest)?;
            if consumed == 0 {
                break;
            }
            rest = &rest[consumed..];
        }
        if !block.ends_with(b"\n") {
            // The last record of a file may lack its line end: an empty read ends it.
            decoder.decode(&[])?;
        }
        let batch = decoder.flush()?;
        if batch.is_none() && !block.iter().all(u8::is_ascii_whitespace) {
            // The reader stays silent about a first record that does not end.
            return Err(ArrowError::CsvError("stopped part way through record".to_owned()));
        }
        // Kept only after success: a failed decoder is left in the middle of a record.
        if records == BLOCK_RECORDS {
            self.decoder = Some(decoder);
        }
        batch.map(|b| self.convert(&b)).transpose()
    }

    fn convert(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let rows = batch.num_rows();
        let mut decoded = batch.columns().iter();
        let columns: Result<Vec<ArrayRef>, ArrowError> = self
            .schema
            .fields()
            .iter()
            .zip(&self.places)
            .map(|(field, place)| match place.and_then(|_| decoded.next()) {
                None => Ok(new_null_array(field.data_type(), rows)),
                Some(column) => self.convert_column(column, field),
            })
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns?, &options)
    }

    fn convert_column(&self, column: &ArrayRef, field: &Field) -> Result<ArrayRef, ArrowError> {
        if let DataType::Timestamp(_, _) = field.data_type() {
            let pattern = self.format.timestamp_format.to_read();
            return timestamps::parse_column(column.as_string(), field.data_type(), pattern);
        }
        // Text that may not be NULL is empty instead, where NULL is spelt as nothing.
        let empty_for_null = !field.is_nullable() && self.format.null_value.is_empty();
        if empty_for_null && column.null_count() > 0 && *field.data_type() == DataType::Utf8 {
            let (offsets, values, _) = column.as_string::<i32>().clone().into_parts();
            return Ok(Arc::new(StringArray::new(offsets, values, None)));
        }
        Ok(Arc::clone(column))
    }
}

/// The fields of a header line.
pub(super) fn parse_header(line: &[u8], format: &CsvFormat) -> Result<Vec<String>> {
    let text = std::str::from_utf8(line)
        .map_err(|e| Error::user("the header is not UTF-8").caused_by(e))?;
    let text = text.trim_start_matches('\u{feff}').trim_end_matches(['\n', '\r']);
    let reader = model::arrow::csv::reader::Format::default()
        .with_header(true)
        .with_delimiter(format.delimiter)
        .with_quote(format.quote);
    // Only reads names: there are no rows behind the header.
    let (schema, _) = reader
        .infer_schema(text.as_bytes(), Some(0))
        .map_err(|e| Error::user("the header is not readable").caused_by(e))?;
    Ok(schema.fields().iter().map(|f| f.name().trim().to_owned()).collect())
}

/// Appends the rows of `batch` to `out`; the names first, if `header`.
pub(super) fn encode(
    batch: &RecordBatch,
    format: &CsvFormat,
    header: bool,
    out: impl Write,
) -> Result<()> {
    let mut builder = WriterBuilder::new()
        .with_header(header)
        .with_delimiter(format.delimiter)
        .with_quote(format.quote)
        .with_null(format.null_value.clone());
    if let Some([plain, zoned]) = format.timestamp_format.to_write() {
        builder = builder.with_timestamp_format(plain).with_timestamp_tz_format(zoned);
    }
    builder
        .build(out)
        .write(batch)
        .map_err(|e| Error::user("the rows cannot be written as CSV").caused_by(e))
}
