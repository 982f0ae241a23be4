//! Files as source and sink: csv, json lines and parquet, local or on S3. Known only to the
//! registry in `lib.rs`.
//!
//! Reading: `splits.rs` (enumerator) lists files (`listing.rs`) and cuts them into splits;
//! `reader.rs` reads them, at a pace when asked (`pace.rs`), through `text.rs` (over `chunks.rs`, `records.rs`, `bad_records.rs`, `csv.rs`,
//! `json.rs`) or `parquet.rs`; `file_columns.rs` adds what is known of each file. Writing: `writer.rs` fills files (`rolling.rs`,
//! `encoder.rs`, `envelope.rs`, `partitions.rs`) in a hidden staging directory; `committer.rs` moves them to their final
//! names after the checkpoint.

mod bad_records;
mod chunks;
mod committer;
mod compression;
mod csv;
mod encoder;
mod envelope;
mod file_columns;
mod json;
mod listing;
mod options;
mod pace;
mod parquet;
mod partitions;
mod reader;
mod records;
mod rolling;
mod splits;
mod text;
mod timestamps;
mod writer;

use std::sync::Arc;

use model::arrow::datatypes::{Schema, SchemaRef};
use model::connector::{ConnectorInfo, OptionError, SinkSpec, SourceSpec};
use model::sink::{Committer, Sink, SinkWriter, WriterContext};
use model::source::{ReaderContext, Source, SourceReader, SplitEnumerator};
use model::{Result, row_kind};

use self::committer::FilesystemCommitter;
use self::file_columns::at_least_one;
use self::listing::Location;
use self::options::{Format, SinkOptions, SourceOptions};
use self::pace::Pace;
use self::partitions::Partitions;
use self::reader::{FileReader, ReadPlan};
use self::records::BLOCK_RECORDS;
use self::splits::FileEnumerator;
use self::writer::FilesystemWriter;

/// Describes the source.
pub fn source_info() -> ConnectorInfo {
    options::source_info()
}

/// Describes the sink.
pub fn sink_info() -> ConnectorInfo {
    options::sink_info()
}

/// Checks the options of a source. No I/O.
pub fn source(spec: &SourceSpec) -> Result<Arc<dyn Source>, OptionError> {
    let declared = crate::options::declared_schema(spec)?;
    let options = SourceOptions::parse(&spec.options, &declared)?;
    let mut projected = crate::options::project(&declared, spec.projection.as_deref())?;
    if matches!(options.format, options::Format::Json(_)) {
        projected = spec.pushdown.narrow(&projected);
    }
    let projected = with_kind(projected, &options.format);
    Ok(Arc::new(FilesystemSource { options, declared, projected }))
}

/// Checks the options of a sink. No I/O.
pub fn sink(spec: &SinkSpec) -> Result<Arc<dyn Sink>, OptionError> {
    let options = SinkOptions::parse(&spec.options, &spec.schema)?;
    let identity = committer::identity(spec);
    Ok(Arc::new(FilesystemSink { options, schema: Arc::clone(&spec.schema), identity }))
}

struct FilesystemSource {
    options: SourceOptions,
    declared: SchemaRef,
    projected: SchemaRef,
}

impl Source for FilesystemSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.projected)
    }

    fn is_bounded(&self) -> bool {
        self.options.watch_ms.is_none()
    }

    fn enumerator(
        &self,
        parallelism: u32,
        restored: Option<&[u8]>,
    ) -> Result<Box<dyn SplitEnumerator>> {
        Ok(Box::new(FileEnumerator::new(self.options.clone(), parallelism, restored)?))
    }

    fn reader(&self, context: ReaderContext) -> Result<Box<dyn SourceReader>> {
        let names = &self.options.partition_by;
        let of_files = |schema: &SchemaRef| match Partitions::new(names, schema) {
            Some(partitions) => partitions.inner(),
            None => Arc::clone(schema),
        };
        let rate = self.options.rows_per_second;
        let pace = rate.map(|rate| Pace::new(rate, context.parallelism));
        let file_columns = &self.options.file_columns;
        let declared = of_files(&file_columns.without(&self.declared));
        let with_folders = file_columns.without(&self.projected);
        let plan = ReadPlan {
            options: self.options.clone(),
            location: Location::open(&self.options.path)?,
            projected: at_least_one(&declared, of_files(&with_folders)),
            declared,
            partitions: Partitions::new(names, &with_folders),
            with_folders,
            output: Arc::clone(&self.projected),
            batch_rows: pace.as_ref().map_or(BLOCK_RECORDS, Pace::batch_rows),
        };
        Ok(Box::new(FileReader::new(Arc::new(plan), context.clock, pace)))
    }
}

struct FilesystemSink {
    options: SinkOptions,
    schema: SchemaRef,
    /// Tells this sink's staged files from those of other sinks in the same directory.
    identity: String,
}

impl Sink for FilesystemSink {
    fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter>> {
        let schema = Arc::clone(&self.schema);
        let identity = &self.identity;
        Ok(Box::new(FilesystemWriter::new(self.options.clone(), schema, identity, context)?))
    }

    fn committer(&self) -> Option<Box<dyn Committer>> {
        let committer = FilesystemCommitter::new(&self.options.path, &self.identity);
        Some(Box::new(committer))
    }

    fn accepts_changelog(&self) -> bool {
        self.options.envelope.is_some()
    }
}

/// `schema`, with a row kind when the format's lines say what happened to their row.
fn with_kind(schema: SchemaRef, format: &Format) -> SchemaRef {
    if format.envelope().is_none() {
        return schema;
    }
    let kind = Arc::new(row_kind::field());
    Arc::new(Schema::new(schema.fields().iter().cloned().chain([kind]).collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests;
