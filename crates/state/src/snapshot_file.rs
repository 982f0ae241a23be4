//! The snapshot file, format 1. Called by `frozen` (write) and `restore` (read).
//!
//! ```text
//! "WEIRST01" | header length u32 LE | header (JSON) | sections | CRC-32C of all before, u32 LE
//! ```
//! Each section is an Arrow IPC stream; the header names its place counted from the end of
//! the header. Section columns: `$hash`, `$namespace`, then keys and values, or the log's columns.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use model::key_group::KEY_HASH_VERSION;
use model::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::ValueType;
use crate::column::arrow_type;
use crate::log::HASH;

const MAGIC: &[u8; 8] = b"WEIRST01";
/// What every version's magic starts with.
const MAGIC_STEM: &[u8; 6] = b"WEIRST";
const CRC_BYTES: usize = 4;
const FIXED_BYTES: usize = MAGIC.len() + 4;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) uid: String,
    /// Milliseconds since the epoch, see `model::Watermark`.
    pub(crate) watermark: i64,
    pub(crate) key_hash_version: u32,
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
}

/// What must not change between a snapshot and the job that restores it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "schema", rename_all = "kebab-case")]
pub(crate) enum SectionSchema {
    Table { key: Vec<ColumnSchema>, values: Vec<ValueType> },
    Log { columns: Vec<ColumnSchema>, key_columns: Vec<usize> },
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
    /// The schema of the section's IPC stream.
    pub(crate) fn stream_schema(&self) -> SchemaRef {
        let mut fields = vec![
            Field::new(HASH, DataType::UInt64, false),
            Field::new("$namespace", DataType::Int64, false),
        ];
        let columns = match self {
            Self::Table { key, .. } => key,
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
            Self::Table { key, values } => write!(f, "key ({}), values {values:?}", list(key)),
            Self::Log { columns, key_columns } => {
                write!(f, "columns ({}), key columns {key_columns:?}", list(columns))
            }
        }
    }
}

/// Puts the file together around `body`, the sections one behind the other.
pub(crate) fn write(header: &Header, mut body: Vec<u8>) -> Result<Vec<u8>> {
    let json = serde_json::to_vec(header)
        .map_err(|error| Error::internal("cannot write the snapshot header").caused_by(error))?;
    let length = u32::try_from(json.len())
        .map_err(|_| Error::internal("the snapshot header is larger than 4 GiB"))?;
    let mut head = Vec::with_capacity(FIXED_BYTES + json.len());
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&length.to_le_bytes());
    head.extend_from_slice(&json);
    body.reserve_exact(head.len() + CRC_BYTES);
    body.splice(0..0, head);
    let crc = crc32c::crc32c(&body);
    body.extend_from_slice(&crc.to_le_bytes());
    Ok(body)
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
                    "the state snapshot has format {}, this version reads WEIRST01; \
                     restore it with the version that wrote it",
                    String::from_utf8_lossy(magic)
                )));
            }
            return Err(damaged("it does not begin like a snapshot".into()));
        }
        let (content, crc) = file
            .len()
            .checked_sub(CRC_BYTES)
            .filter(|at| *at >= FIXED_BYTES)
            .and_then(|at| file.split_at_checked(at))
            .ok_or_else(|| damaged(format!("it has only {} bytes", file.len())))?;
        let actual = crc32c::crc32c(content);
        if crc != actual.to_le_bytes() {
            return Err(damaged(format!("its {} bytes do not match their checksum", file.len())));
        }
        let mut length = [0; 4];
        length.copy_from_slice(&content[MAGIC.len()..FIXED_BYTES]);
        let end = FIXED_BYTES.saturating_add(u32::from_le_bytes(length) as usize);
        let json = content
            .get(FIXED_BYTES..end)
            .ok_or_else(|| damaged("its header is longer than the file".into()))?;
        let header: Header = serde_json::from_slice(json)
            .map_err(|error| damaged("its header cannot be read".into()).caused_by(error))?;
        if header.key_hash_version != KEY_HASH_VERSION {
            return Err(Error::user(format!(
                "the state snapshot hashes keys by version {}, this version by {KEY_HASH_VERSION}; \
                 restore it with the version that wrote it",
                header.key_hash_version
            )));
        }
        let sections = file.slice(end..content.len());
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
