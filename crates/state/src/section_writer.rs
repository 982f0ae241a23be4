//! Writes one section of a snapshot file: rows as record batches, small ones collected
//! first, compressed where that pays. Called by `frozen`.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt64Array};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use model::Result;
use model::key_group::hash_arrays;

use crate::snapshot_file::{Compression, FileWriter, Section, SectionSchema};

/// Rows per record batch of a section.
pub(crate) const BATCH_ROWS: usize = 16 * 1024;
/// A batch of so many rows is not worth a copy into a larger one.
const ENOUGH_ROWS: usize = 1024;

pub(crate) struct SectionWriter<'a, 'b> {
    writer: StreamWriter<&'a mut FileWriter<'b>>,
    schema: SchemaRef,
    key_columns: Vec<usize>,
    pending: Vec<RecordBatch>,
    pending_rows: usize,
    section: Section,
}

impl<'a, 'b> SectionWriter<'a, 'b> {
    pub(crate) fn start(
        file: &'a mut FileWriter<'b>,
        name: String,
        schema: SectionSchema,
    ) -> Result<Self> {
        let (stream, key_columns) = (schema.stream_schema(), schema.key_columns());
        let section = Section {
            name,
            schema,
            rows: 0,
            offset: file.written,
            length: 0,
            dropped: Vec::new(),
            batches: Vec::new(),
            removed: Vec::new(),
        };
        let compression = match file.compression {
            Compression::None => None,
            Compression::Lz4 => Some(CompressionType::LZ4_FRAME),
        };
        let options = IpcWriteOptions::default().try_with_compression(compression)?;
        let writer = StreamWriter::try_new_with_options(file, &stream, options)?;
        let (pending, pending_rows) = (Vec::new(), 0);
        Ok(Self { writer, schema: stream, key_columns, pending, pending_rows, section })
    }

    /// Rows of one namespace: `columns` are those behind `$hash` and `$namespace`.
    pub(crate) fn push(
        &mut self,
        namespace: i64,
        hashes: Vec<u64>,
        columns: Vec<ArrayRef>,
    ) -> Result<()> {
        let rows = hashes.len();
        let hashes = self.hash_column(hashes, &columns);
        let namespaces = Arc::new(Int64Array::from_value(namespace, rows));
        let all = [hashes, namespaces].into_iter().chain(columns).collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), all)?;
        let large = rows >= ENOUGH_ROWS;
        if large || self.pending_rows + rows > BATCH_ROWS {
            self.flush()?;
        }
        self.pending.push(batch);
        self.pending_rows += rows;
        if large { self.flush() } else { Ok(()) }
    }

    /// NULL stands for the hash of the key columns, which it nearly always is: nothing in a
    /// file is larger for what it says, and nothing is harder to compress. It is another one
    /// where an operator keeps rows by more columns than it is partitioned by.
    fn hash_column(&self, hashes: Vec<u64>, columns: &[ArrayRef]) -> ArrayRef {
        let keys = self.key_columns.iter().map(|column| &columns[*column]);
        let mut computed = Vec::new();
        let known = hash_arrays(keys, hashes.len(), &mut computed).is_ok() && computed == hashes;
        Arc::new(if known { UInt64Array::new_null(hashes.len()) } else { hashes.into() })
    }

    fn flush(&mut self) -> Result<()> {
        match self.pending.as_slice() {
            [] => return Ok(()),
            [one] => self.writer.write(one)?,
            many => self.writer.write(&concat_batches(&self.schema, many)?)?,
        }
        self.section.rows += self.pending_rows as u64;
        self.pending_rows = 0;
        self.pending.clear();
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<Section> {
        self.flush()?;
        let file = self.writer.into_inner()?;
        self.section.length = file.written - self.section.offset;
        Ok(self.section)
    }
}
