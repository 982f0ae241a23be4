//! Parquet. `ParquetSplit` reads the row groups of a split for `reader.rs`;
//! `ParquetEncoder` writes files for `encoder.rs`.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use model::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use model::arrow::compute::{CastOptions, cast_with_options};
use model::arrow::datatypes::SchemaRef;
use model::{Error, Result};
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::{
    AsyncFileReader, ParquetRecordBatchStream, ParquetRecordBatchStreamBuilder,
};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::properties::WriterProperties;

use super::chunks::FileHandle;
use super::compression::{Compression as TextCompression, ParquetCompression};
use super::reader::ReadPlan;
use super::splits::FileSplit;

const MAX_ROWS: usize = 8192;
const MIN_ROWS: usize = 256;
const BATCH_BYTES: i64 = 256 << 10;
/// Read at once from the end of a file: usually the whole footer.
const FOOTER_HINT: usize = 64 << 10;
/// Memory of a row group being written. Larger groups read faster, smaller ones keep a
/// sink's memory bounded.
const ROW_GROUP_BYTES: usize = 32 << 20;

/// An object in an object store, as the parquet reader wants it.
struct ObjectReader(FileHandle);

fn external(error: object_store::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl AsyncFileReader for ObjectReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        let file = self.0.clone();
        Box::pin(async move { file.store.get_range(&file.path, range).await.map_err(external) })
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        let file = self.0.clone();
        Box::pin(async move { file.store.get_ranges(&file.path, &ranges).await.map_err(external) })
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        Box::pin(async move {
            let size = self.0.size;
            let reader = ParquetMetaDataReader::new().with_prefetch_hint(Some(FOOTER_HINT));
            reader.load_and_finish(self, size).await.map(Arc::new)
        })
    }
}

type Stream = ParquetRecordBatchStream<ObjectReader>;

/// A split being read. All state is here, so that `next` may be dropped at any await.
pub(super) struct ParquetSplit {
    split: FileSplit,
    plan: Arc<ReadPlan>,
    opening: Option<BoxFuture<'static, Result<Stream>>>,
    stream: Option<Stream>,
    /// Rows of the split handed out, before a restore too.
    rows: u64,
    done: bool,
}

impl ParquetSplit {
    pub(super) fn new(split: FileSplit, plan: Arc<ReadPlan>) -> Result<Self> {
        let plain = Some(TextCompression::None);
        let file = FileHandle::new(&plan.location, &split.path, split.size, plain)?;
        let opening = Box::pin(open(file, split.clone(), Arc::clone(&plan)));
        let rows = split.position.unwrap_or(0);
        Ok(Self { split, plan, opening: Some(opening), stream: None, rows, done: false })
    }

    pub(super) fn split(&self) -> &FileSplit {
        &self.split
    }

    /// The split with its position; `None` when it is read.
    pub(super) fn remaining(&self) -> Option<FileSplit> {
        let position = (self.rows > 0).then_some(self.rows);
        (!self.done).then(|| FileSplit { position, ..self.split.clone() })
    }

    /// The next rows; `None` at the end of the split.
    pub(super) async fn next(&mut self) -> Result<Option<RecordBatch>> {
        if let Some(opening) = &mut self.opening {
            self.stream = Some(opening.await?);
            self.opening = None;
        }
        let next = match &mut self.stream {
            Some(stream) if !self.done => stream.next().await,
            _ => None,
        };
        let Some(batch) = next else {
            self.done = true;
            return Ok(None);
        };
        let batch = batch.map_err(|e| failed(&self.split.path, e))?;
        self.rows += batch.num_rows() as u64;
        let batch = conform(&batch, &self.plan.projected).map_err(|e| e.at(&self.split.path))?;
        Ok(Some(batch))
    }
}

/// Opens the row groups that begin within the split, past the rows already read.
async fn open(file: FileHandle, split: FileSplit, plan: Arc<ReadPlan>) -> Result<Stream> {
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(false);
    let builder = ParquetRecordBatchStreamBuilder::new_with_options(ObjectReader(file), options)
        .await
        .map_err(|e| failed(&split.path, e))?;
    let metadata = Arc::clone(builder.metadata());
    let groups: Vec<usize> = metadata
        .row_groups()
        .iter()
        .enumerate()
        .filter(|(_, g)| (split.start..split.end).contains(&group_start(g)))
        .map(|(i, _)| i)
        .collect();
    let file_schema = Arc::clone(builder.schema());
    let mut roots = Vec::new();
    for field in plan.projected.fields() {
        match file_schema.column_with_name(field.name()) {
            Some((index, _)) => roots.push(index),
            None if field.is_nullable() => {}
            None => {
                let names: Vec<_> =
                    file_schema.fields().iter().map(|f| f.name().as_str()).collect();
                return Err(Error::user(format!(
                    "{}: there is no column `{}`, which is declared NOT NULL (the file has: {})",
                    split.path,
                    field.name(),
                    names.join(", ")
                )));
            }
        }
    }
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
    let batch_rows = batch_rows(&metadata, &groups, &mask).min(plan.batch_rows);
    let mut builder =
        builder.with_row_groups(groups).with_projection(mask).with_batch_size(batch_rows);
    if let Some(position) = split.position {
        builder = builder.with_offset(usize::try_from(position).unwrap_or(usize::MAX));
    }
    builder.build().map_err(|e| failed(&split.path, e))
}

/// Offset of a row group's first byte. (The field for it in the footer is optional.)
fn group_start(group: &RowGroupMetaData) -> u64 {
    let first = group.columns().iter().map(|c| c.byte_range().0).min();
    first.unwrap_or(0)
}

/// As many rows as make about [`BATCH_BYTES`] in the columns wanted.
fn batch_rows(metadata: &ParquetMetaData, groups: &[usize], mask: &ProjectionMask) -> usize {
    let (mut bytes, mut rows) = (0_i64, 0_i64);
    for group in groups.iter().map(|i| metadata.row_group(*i)) {
        rows += group.num_rows();
        let wanted = group.columns().iter().enumerate().filter(|(i, _)| mask.leaf_included(*i));
        bytes += wanted.map(|(_, c)| c.uncompressed_size()).sum::<i64>();
    }
    let per_row = (bytes / rows.max(1)).max(1);
    usize::try_from(BATCH_BYTES / per_row).unwrap_or(MAX_ROWS).clamp(MIN_ROWS, MAX_ROWS)
}

/// Brings a batch of the file to the declared columns: by name, cast where types differ.
fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        columns.push(match batch.column_by_name(field.name()) {
            None => new_null_array(field.data_type(), batch.num_rows()),
            Some(column) if column.data_type() == field.data_type() => Arc::clone(column),
            Some(column) => {
                cast_with_options(column, field.data_type(), &options).map_err(|e| {
                    Error::user(format!(
                        "column `{}` is {} in the file and cannot be read as {}",
                        field.name(),
                        column.data_type(),
                        field.data_type()
                    ))
                    .caused_by(e)
                })?
            }
        });
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|e| Error::user("the file does not fit the declared schema").caused_by(e))
}

/// What the store did is External; everything else is a file that cannot be read.
fn failed(path: &str, error: ParquetError) -> Error {
    match error {
        ParquetError::External(cause) => match cause.downcast::<object_store::Error>() {
            Ok(store) => storage::store_error(format!("reading {path}"), *store),
            Err(other) => Error::external(format!("reading {path} failed")).caused_by(other),
        },
        other => Error::user(format!("{path} is not a readable parquet file")).caused_by(other),
    }
}

/// Writes one parquet file into memory, to be taken piece by piece.
pub(super) struct ParquetEncoder(ArrowWriter<Vec<u8>>);

impl ParquetEncoder {
    pub(super) fn new(schema: SchemaRef, compression: ParquetCompression) -> Result<Self> {
        let codec = match compression {
            ParquetCompression::None => Compression::UNCOMPRESSED,
            ParquetCompression::Snappy => Compression::SNAPPY,
            ParquetCompression::Gzip => Compression::GZIP(GzipLevel::default()),
            ParquetCompression::Zstd => Compression::ZSTD(ZstdLevel::default()),
            ParquetCompression::Lz4 => Compression::LZ4_RAW,
        };
        let properties = WriterProperties::builder().set_compression(codec).build();
        ArrowWriter::try_new(Vec::new(), schema, Some(properties)).map(Self).map_err(unwritable)
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.0.write(batch).map_err(unwritable)?;
        if self.0.memory_size() > ROW_GROUP_BYTES {
            self.0.flush().map_err(unwritable)?;
        }
        Ok(())
    }

    /// Bytes ready to be taken.
    pub(super) fn ready(&self) -> usize {
        self.0.inner().len()
    }

    /// Bytes of the file so far, with an estimate for rows not yet encoded.
    pub(super) fn size(&self) -> u64 {
        (self.0.bytes_written() + self.0.in_progress_size()) as u64
    }

    /// What is ready so far.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.0.inner_mut())
    }

    /// The rest, with the footer.
    pub(super) fn finish(self) -> Result<Vec<u8>> {
        self.0.into_inner().map_err(unwritable)
    }
}

fn unwritable(error: ParquetError) -> Error {
    Error::user("the rows cannot be written as parquet").caused_by(error)
}
