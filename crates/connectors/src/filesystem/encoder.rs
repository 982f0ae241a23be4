//! One output file in any format, encoded in memory piece by piece. Called by `rolling.rs`.

use model::Result;
use model::arrow::array::RecordBatch;
use model::arrow::datatypes::SchemaRef;

use super::compression::Compressor;
use super::options::{CsvFormat, Format, JsonFormat, SinkOptions};
use super::parquet::ParquetEncoder;
use super::{csv, json};

/// An encoder with what it has not handed over yet.
pub(super) enum Encoder {
    Csv { out: Compressor, format: CsvFormat, header: bool, taken: u64 },
    Json { out: Compressor, format: JsonFormat, taken: u64 },
    Parquet(Box<ParquetEncoder>),
}

impl Encoder {
    pub(super) fn new(options: &SinkOptions, schema: SchemaRef) -> Result<Self> {
        Ok(match &options.format {
            Format::Csv(format) => Self::Csv {
                out: Compressor::new(options.compression)?,
                header: format.header,
                format: format.clone(),
                taken: 0,
            },
            Format::Json(format) => Self::Json {
                out: Compressor::new(options.compression)?,
                format: format.clone(),
                taken: 0,
            },
            Format::Parquet => {
                let encoder = ParquetEncoder::new(schema, options.parquet_compression)?;
                Self::Parquet(Box::new(encoder))
            }
        })
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        match self {
            Self::Csv { out, format, header, .. } => {
                // Names once per file.
                let header = std::mem::take(header);
                csv::encode(batch, format, header, out)
            }
            Self::Json { out, format, .. } => json::encode(batch, format, out),
            Self::Parquet(encoder) => encoder.write(batch),
        }
    }

    /// Bytes ready to be taken.
    pub(super) fn ready(&mut self) -> usize {
        match self {
            Self::Csv { out, .. } | Self::Json { out, .. } => out.ready(),
            Self::Parquet(encoder) => encoder.ready(),
        }
    }

    /// Bytes of the file so far.
    pub(super) fn size(&mut self) -> u64 {
        match self {
            Self::Csv { out, taken, .. } | Self::Json { out, taken, .. } => {
                *taken + out.ready() as u64
            }
            Self::Parquet(encoder) => encoder.size(),
        }
    }

    pub(super) fn take(&mut self) -> Vec<u8> {
        match self {
            Self::Csv { out, taken, .. } | Self::Json { out, taken, .. } => {
                *taken += out.ready() as u64;
                out.take()
            }
            Self::Parquet(encoder) => encoder.take(),
        }
    }

    /// The rest of the file.
    pub(super) fn finish(self) -> Result<Vec<u8>> {
        match self {
            Self::Csv { out, .. } | Self::Json { out, .. } => out.finish(),
            Self::Parquet(encoder) => encoder.finish(),
        }
    }
}
