//! The snapshot file, format 4. Called by `frozen`, `section_writer` (write) and
//! `restore` (read).
//!
//! ```text
//! "WEIRST04" | sections | header (JSON) | header length u32 LE | CRC-32C of all before, u32 LE
//! ```
//! Each section is an Arrow IPC stream; the header names its place counted from the end of the
//! magic. It comes last, so that a large state goes out while it is encoded. The streams'
//! buffers may be compressed (LZ4; each says so itself). Section columns: `$hash` (NULL: that of the key columns),
//! `$namespace`, then keys and values, or the log's columns.
//!
//! The header also names the file's position in its chain (1: a base, which stands for itself)
//! and what files before it hold in vain: namespaces, batches of logs, and in sections of their
//! own the keys of removed rows.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use model::key_group::KEY_HASH_VERSION;
use model::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::ValueType;
use crate::column::arrow_type;
use crate::log::HASH;
use crate::parts::PartBuffers;

const MAGIC: &[u8; 8] = b"WEIRST04";
/// What every version's magic starts with.
const MAGIC_STEM: &[u8; 6] = b"WEIRST";
const CRC_BYTES: usize = 4;
const LENGTH_BYTES: usize = 4;

/// A snapshot is handed on in parts of this size, the last one smaller: what object stores
/// take as a part of a large object (S3: at least 5 MiB, at most 10,000 of them).
pub const PART_BYTES: usize = 8 << 20;
/// A part of up to so many bytes gets no buffer of a whole one.
const LITTLE_BYTES: usize = 64 << 10;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) uid: String,
    /// Milliseconds since the epoch, see `model::Watermark`.
    pub(crate) watermark: i64,
    pub(crate) key_hash_version: u32,
    /// From 1. What earlier files of the chain hold is still there, but for what this one
    /// takes out or holds itself.
    pub(crate) position: u8,
    pub(crate) tables: Vec<Section>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Section {
    pub(crate) name: String,
    #[serde(flatten)]
    pub(crate) schema: SectionSchema,
    pub(crate) rows: u64,
    pub(crate) offset: u64,
    pub(crate) length: u64,
    /// Of a table: its rows in these namespaces of earlier files are gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) dropped: Vec<i64>,
    /// Of a log: number and rows of each batch, in the order of the rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) batches: Vec<(u64, u64)>,
    /// Of a log: batches of earlier files that are gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) removed: Vec<u64>,
}

/// What must not change between a snapshot and the job that restores it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "schema", rename_all = "kebab-case")]
pub(crate) enum SectionSchema {
    Table {
        key: Vec<ColumnSchema>,
        values: Vec<ValueType>,
    },
    Log {
        columns: Vec<ColumnSchema>,
        key_columns: Vec<usize>,
    },
    /// Keys of a table whose rows in earlier files are gone.
    Removed {
        key: Vec<ColumnSchema>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ColumnSchema {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) data_type: DataType,
}

impl ColumnSchema {
    pub(crate) fn of<'a>(fields: impl IntoIterator<Item = &'a Field>) -> Vec<Self> {
        fields
            .into_iter()
            .map(|field| Self { name: field.name().clone(), data_type: field.data_type().clone() })
            .collect()
    }
}

impl SectionSchema {
    /// Where the key columns are among those behind `$hash` and `$namespace`.
    pub(crate) fn key_columns(&self) -> Vec<usize> {
        match self {
            Self::Table { key, .. } | Self::Removed { key } => (0..key.len()).collect(),
            Self::Log { key_columns, .. } => key_columns.clone(),
        }
    }

    /// The schema of the section's IPC stream.
    pub(crate) fn stream_schema(&self) -> SchemaRef {
        let mut fields = vec![
            Field::new(HASH, DataType::UInt64, true),
            Field::new("$namespace", DataType::Int64, false),
        ];
        let columns = match self {
            Self::Table { key, .. } | Self::Removed { key } => key,
            Self::Log { columns, .. } => columns,
        };
        fields.extend(columns.iter().map(|c| Field::new(&c.name, c.data_type.clone(), true)));
        if let Self::Table { values, .. } = self {
            let values = values.iter().enumerate();
            fields.extend(values.map(|(i, v)| Field::new(format!("${i}"), arrow_type(*v), true)));
        }
        Arc::new(Schema::new(fields))
    }
}

impl fmt::Display for SectionSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |columns: &[ColumnSchema]| {
            let columns: Vec<String> =
                columns.iter().map(|c| format!("{} {}", c.name, c.data_type)).collect();
            columns.join(", ")
        };
        match self {
            Self::Removed { key } => write!(f, "removed keys ({})", list(key)),
            Self::Table { key, values } => write!(f, "key ({}), values {values:?}", list(key)),
            Self::Log { columns, key_columns } => {
                write!(f, "columns ({}), key columns {key_columns:?}", list(columns))
            }
        }
    }
}

/// Whether what is written is made smaller first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// For a local disk: its page cache takes bytes faster than they are made fewer.
    None,
    /// For whatever lies behind a network.
    Lz4,
}

/// Takes the parts of a file in order. `false`: nobody wants the rest.
pub(crate) type PutPart<'a> = &'a mut dyn FnMut(Bytes) -> bool;

/// A snapshot file under construction: what is written goes on in parts of [`PART_BYTES`].
pub(crate) struct FileWriter<'a> {
    part: Vec<u8>,
    buffers: PartBuffers,
    /// Bytes of the sections so far.
    pub(crate) written: u64,
    crc: u32,
    put: PutPart<'a>,
    pub(crate) compression: Compression,
}

impl<'a> FileWriter<'a> {
    pub(crate) fn start(compression: Compression, put: PutPart<'a>) -> Self {
        let (part, buffers) = (MAGIC.to_vec(), PartBuffers::default());
        Self { part, buffers, written: 0, crc: 0, put, compression }
    }

    /// Writes the header and the checksum behind the sections.
    pub(crate) fn finish(mut self, header: &Header) -> Result<()> {
        let json = serde_json::to_vec(header).map_err(|error| {
            Error::internal("cannot write the snapshot header").caused_by(error)
        })?;
        let length = u32::try_from(json.len())
            .map_err(|_| Error::internal("the snapshot header is larger than 4 GiB"))?;
        let given_up = |error: io::Error| Error::external(error.to_string());
        self.write_all(&json).map_err(given_up)?;
        self.write_all(&length.to_le_bytes()).map_err(given_up)?;
        let crc = crc32c::crc32c_append(self.crc, &self.part);
        self.write_all(&crc.to_le_bytes()).map_err(given_up)?;
        self.hand_on().map_err(given_up)
    }

    fn hand_on(&mut self) -> io::Result<()> {
        let part = std::mem::replace(&mut self.part, self.buffers.take());
        self.crc = crc32c::crc32c_append(self.crc, &part);
        if (self.put)(self.buffers.lend(part)) {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::BrokenPipe, "the snapshot's upload was given up"))
    }
}

impl Write for FileWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.part.len() == PART_BYTES {
            self.hand_on()?;
        }
        // At once rather than doubled again and again: memory costs when it is written to.
        if self.part.len() + bytes.len() > LITTLE_BYTES {
            self.part.reserve_exact(PART_BYTES - self.part.len());
        }
        let taken = bytes.len().min(PART_BYTES - self.part.len());
        self.part.extend_from_slice(&bytes[..taken]);
        self.written += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A snapshot file whose checksum held.
pub(crate) struct SnapshotFile {
    pub(crate) header: Header,
    sections: Bytes,
}

impl SnapshotFile {
    /// Checks everything before believing anything.
    pub(crate) fn read(file: &Bytes) -> Result<Self> {
        let Some(magic) = file.get(..MAGIC.len()) else {
            return Err(damaged(format!("it has only {} bytes", file.len())));
        };
        if magic != MAGIC {
            if magic.starts_with(MAGIC_STEM) {
                return Err(Error::user(format!(
                    "the state snapshot has format {}, this version reads WEIRST04; \
                     restore it with the version that wrote it",
                    String::from_utf8_lossy(magic)
                )));
            }
            return Err(damaged("it does not begin like a snapshot".into()));
        }
        let (content, crc) = file
            .len()
            .checked_sub(CRC_BYTES)
            .filter(|at| *at >= MAGIC.len() + LENGTH_BYTES)
            .and_then(|at| file.split_at_checked(at))
            .ok_or_else(|| damaged(format!("it has only {} bytes", file.len())))?;
        let actual = crc32c::crc32c(content);
        if crc != actual.to_le_bytes() {
            return Err(damaged(format!("its {} bytes do not match their checksum", file.len())));
        }
        let (before, length) = content.split_at(content.len() - LENGTH_BYTES);
        let length = length.iter().rev().fold(0, |all, byte| all << 8 | usize::from(*byte));
        let sections_end = before
            .len()
            .checked_sub(length)
            .filter(|end| *end >= MAGIC.len())
            .ok_or_else(|| damaged("its header is longer than the file".into()))?;
        let json = &before[sections_end..];
        let header: Header = serde_json::from_slice(json)
            .map_err(|error| damaged("its header cannot be read".into()).caused_by(error))?;
        if header.key_hash_version != KEY_HASH_VERSION {
            return Err(Error::user(format!(
                "the state snapshot hashes keys by version {}, this version by {KEY_HASH_VERSION}; \
                 restore it with the version that wrote it",
                header.key_hash_version
            )));
        }
        let sections = file.slice(MAGIC.len()..sections_end);
        let file = Self { header, sections };
        for section in &file.header.tables {
            file.section(section)?;
        }
        Ok(file)
    }

    /// The IPC stream of `section`.
    pub(crate) fn section(&self, section: &Section) -> Result<&[u8]> {
        usize::try_from(section.offset)
            .ok()
            .zip(usize::try_from(section.length).ok())
            .and_then(|(offset, length)| self.sections.get(offset..offset.checked_add(length)?))
            .ok_or_else(|| damaged(format!("table {} lies outside the file", section.name)))
    }
}

/// External: another copy may be good, and an older checkpoint surely is.
pub(crate) fn damaged(how: String) -> Error {
    Error::external(format!("a state snapshot is damaged: {how}; restore from an older checkpoint"))
}
