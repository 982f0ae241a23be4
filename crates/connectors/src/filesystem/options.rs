//! Options of the filesystem source and sink, checked without I/O, and their JSON Schemas.
//! Called by `mod.rs`.

use model::arrow::datatypes::Schema;
use model::connector::{ConnectorInfo, OptionError, Role};
use serde_json::{Value, json};

use super::compression::{Compression, ParquetCompression};
use super::envelope::{Envelope, OP};
use super::file_columns::FileColumns;
use super::timestamps::TimestampFormat;
use super::{csv, json as json_format};
use crate::options::{Options, WithHelp};

const SOURCE: [&str; 9] = [
    "path",
    "format",
    "compression",
    "splitSize",
    "watch",
    "rowsPerSecond",
    "onBadRecord",
    "partitionBy",
    "metadata",
];
const SINK: [&str; 6] = ["path", "format", "compression", "rolling", "changelog", "partitionBy"];
const FORMAT: [&str; 7] =
    ["type", "delimiter", "header", "quote", "nullValue", "timestampFormat", "multiline"];
const DEFAULT_SPLIT_SIZE: u64 = 64 << 20;
const DEFAULT_ROLLING_SIZE: u64 = 128 << 20;
/// S3 copies at most 5 GB in one request, and a commit is a copy.
const MAX_ROLLING_SIZE: u64 = 4 << 30;

/// How rows are written in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Csv(CsvFormat),
    Json(JsonFormat),
    Parquet,
}

/// Options of `format: {type: csv}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CsvFormat {
    pub(super) delimiter: u8,
    /// Whether the first line names the columns.
    pub(super) header: bool,
    pub(super) quote: u8,
    /// Text that stands for NULL.
    pub(super) null_value: String,
    pub(super) timestamp_format: TimestampFormat,
    /// Quoted fields may contain line ends; such files cannot be split.
    pub(super) multiline: bool,
}

impl Default for CsvFormat {
    fn default() -> Self {
        Self {
            delimiter: b',',
            header: true,
            quote: b'"',
            null_value: String::new(),
            timestamp_format: TimestampFormat::Iso,
            multiline: false,
        }
    }
}

/// Options of `format: {type: json}`: one object a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct JsonFormat {
    pub(super) timestamp_format: TimestampFormat,
    /// What says of each row what happened to it: then the rows are a changelog.
    pub(super) envelope: Option<Envelope>,
}

impl Format {
    /// Of a format whose lines say what happened to their row.
    pub(super) fn envelope(&self) -> Option<Envelope> {
        match self {
            Self::Json(json) => json.envelope,
            Self::Csv(_) | Self::Parquet => None,
        }
    }
}

/// What happens to a record that cannot be decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum OnBadRecord {
    #[default]
    Fail,
    Skip,
    DeadLetter,
}

/// Checked options of the source.
#[derive(Clone, Debug)]
pub(super) struct SourceOptions {
    pub(super) path: String,
    pub(super) format: Format,
    /// `None`: by the file's extension.
    pub(super) compression: Option<Compression>,
    pub(super) split_size: u64,
    /// How often to look for new files; `None`: once.
    pub(super) watch_ms: Option<i64>,
    /// Of all readers together; `None`: as fast as rows are taken.
    pub(super) rows_per_second: Option<u64>,
    pub(super) on_bad_record: OnBadRecord,
    /// Columns whose values stand in the path.
    pub(super) partition_by: Vec<String>,
    /// Columns about the file of a row.
    pub(super) file_columns: FileColumns,
}

/// Checked options of the sink.
#[derive(Clone, Debug)]
pub(super) struct SinkOptions {
    pub(super) path: String,
    pub(super) format: Format,
    /// For csv and json.
    pub(super) compression: Compression,
    /// For parquet.
    pub(super) parquet_compression: ParquetCompression,
    /// A file is closed when it has this many bytes.
    pub(super) rolling_size: u64,
    /// A file is closed when it is this old and something is written.
    pub(super) rolling_interval_ms: Option<i64>,
    /// What says of each row what happened to it; `None`: only inserted rows are taken.
    pub(super) envelope: Option<Envelope>,
    /// Columns that become folders.
    pub(super) partition_by: Vec<String>,
}

impl SourceOptions {
    pub(super) fn parse(value: &Value, schema: &Schema) -> Result<Self, OptionError> {
        let options = Options::of_source(value, &SOURCE)?;
        let path = path(&options)?;
        let format = format(&options)?;
        let compression = options.choice(
            "compression",
            &[
                ("auto", None),
                ("none", Some(Compression::None)),
                ("gzip", Some(Compression::Gzip)),
                ("zstd", Some(Compression::Zstd)),
            ],
        )?;
        if format == Format::Parquet && compression.flatten().is_some() {
            return Err(options
                .error("compression", "parquet files carry their compression inside")
                .with_help("remove `compression`".to_owned()));
        }
        let on_bad_record = options.choice(
            "onBadRecord",
            &[
                ("fail", OnBadRecord::Fail),
                ("skip", OnBadRecord::Skip),
                ("dead-letter", OnBadRecord::DeadLetter),
            ],
        )?;
        let on_bad_record = on_bad_record.unwrap_or_default();
        if format == Format::Parquet && on_bad_record != OnBadRecord::Fail {
            return Err(options
                .error("onBadRecord", "a parquet file has no single bad records to leave out")
                .with_help("use `fail`, or csv or json".to_owned()));
        }
        let file_columns = FileColumns::parse(&options, schema)?;
        check_types(&format, &file_columns.without(&std::sync::Arc::new(schema.clone())))?;
        check_readable(&options, &format)?;
        Ok(Self {
            path,
            format,
            compression: compression.flatten(),
            split_size: options.bytes("splitSize")?.unwrap_or(DEFAULT_SPLIT_SIZE),
            watch_ms: options.duration_ms("watch")?,
            rows_per_second: options.count("rowsPerSecond", 0)?.filter(|r| *r > 0),
            on_bad_record,
            partition_by: partition_by(&options, schema)?,
            file_columns,
        })
    }
}

impl SinkOptions {
    pub(super) fn parse(value: &Value, schema: &Schema) -> Result<Self, OptionError> {
        let options = Options::of_sink(value, &SINK)?;
        let path = path(&options)?;
        if path.contains(['*', '?', '[']) {
            return Err(
                options.error("path", "a sink writes into one directory, not a glob pattern")
            );
        }
        let format = format(&options)?;
        let (compression, parquet_compression) = sink_compression(&options, &format)?;
        let envelope = sink_envelope(&options, &format, schema)?;
        if matches!(format, Format::Csv(_)) {
            csv::check_writable(schema).map_err(|m| options.error("format", m))?;
        }
        let rolling = options.nested("rolling", &["size", "interval"])?;
        let (mut rolling_size, mut rolling_interval_ms) = (DEFAULT_ROLLING_SIZE, None);
        if let Some(rolling) = rolling {
            rolling_size = rolling.bytes("size")?.unwrap_or(rolling_size);
            rolling_interval_ms = rolling.duration_ms("interval")?;
            if rolling_size > MAX_ROLLING_SIZE {
                return Err(rolling.error("size", "files of more than 4GiB are not supported"));
            }
        }
        Ok(Self {
            path,
            format,
            compression,
            parquet_compression,
            rolling_size,
            rolling_interval_ms,
            envelope,
            partition_by: partition_by(&options, schema)?,
        })
    }
}

/// Columns that are folders: of a type that is read from text as it is written.
fn partition_by(options: &Options<'_>, schema: &Schema) -> Result<Vec<String>, OptionError> {
    let columns = options.strings("partitionBy")?.unwrap_or_default();
    for column in &columns {
        let Some((_, field)) = schema.column_with_name(column) else {
            return Err(options
                .error("partitionBy", format!("there is no column `{column}`"))
                .with_help("name columns of the schema".to_owned()));
        };
        if field.data_type().is_nested() {
            return Err(options
                .error("partitionBy", format!("column `{column}` cannot be the name of a folder"))
                .with_help("use columns of text, numbers or dates".to_owned()));
        }
    }
    let fields = schema.fields().iter().filter(|f| f.name() != model::row_kind::COLUMN);
    if !columns.is_empty() && fields.count() == columns.len() {
        return Err(options.error("partitionBy", "no column is left for the files"));
    }
    Ok(columns)
}

/// What is written around rows, if anything.
fn sink_envelope(
    options: &Options<'_>,
    format: &Format,
    schema: &Schema,
) -> Result<Option<Envelope>, OptionError> {
    if !options.boolean("changelog")?.unwrap_or(false) {
        return Ok(format.envelope());
    }
    match format {
        Format::Json(json) if json.envelope.is_none() => {}
        Format::Json(_) => {
            return Err(options
                .error("changelog", "this format says itself what happened to each row")
                .with_help("remove `changelog`".to_owned()));
        }
        Format::Csv(_) | Format::Parquet => {
            return Err(options
                .error("changelog", "only `format: json` can write row kinds")
                .with_help("use `format: json`, or remove `changelog`".to_owned()));
        }
    }
    if schema.column_with_name(OP).is_some() {
        return Err(options
            .error("changelog", "the input already has a column `op`")
            .with_help("rename that column: row kinds are written as `op`".to_owned()));
    }
    Ok(Some(Envelope::Op))
}

/// Refuses formats that can be written, but not read.
fn check_readable(options: &Options<'_>, format: &Format) -> Result<(), OptionError> {
    let Format::Json(JsonFormat { envelope: Some(envelope), timestamp_format }) = format else {
        return Ok(());
    };
    if *envelope != Envelope::Debezium {
        return Err(options
            .error("format", "this format can be written, but not read")
            .with_help("use debezium-json, or json".to_owned()));
    }
    if timestamp_format.to_read().is_some() {
        return Err(options
            .error("format", "timestamps in debezium-json are read as SQL or ISO-8601 only")
            .with_help("remove `timestampFormat`".to_owned()));
    }
    Ok(())
}

fn sink_compression(
    options: &Options<'_>,
    format: &Format,
) -> Result<(Compression, ParquetCompression), OptionError> {
    if *format == Format::Parquet {
        let chosen = options.choice("compression", &ParquetCompression::WORDS)?;
        return Ok((Compression::None, chosen.unwrap_or(ParquetCompression::Snappy)));
    }
    let chosen = options.choice(
        "compression",
        &[("none", Compression::None), ("gzip", Compression::Gzip), ("zstd", Compression::Zstd)],
    )?;
    Ok((chosen.unwrap_or(Compression::None), ParquetCompression::Snappy))
}

fn path(options: &Options<'_>) -> Result<String, OptionError> {
    match options.string("path")? {
        Some("") => Err(options.error("path", "the path is empty")),
        Some(path) => Ok(path.to_owned()),
        None => Err(options.missing("path", "a file, a directory or s3://bucket/prefix")),
    }
}

fn format(options: &Options<'_>) -> Result<Format, OptionError> {
    let known = format!("one of: {}", TYPES.map(|(name, _)| name).join(", "));
    match options.get("format") {
        None => Err(options.missing("format", &known)),
        Some(Value::Object(_)) => {
            let nested = options.nested("format", &FORMAT)?;
            let Some(nested) = nested else {
                return Err(options.missing("format", &known));
            };
            let Some(kind) = nested.choice("type", &TYPES)? else {
                return Err(nested.missing("type", &known));
            };
            format_of(kind, options, &nested)
        }
        Some(_) => {
            let kind = options.choice("format", &TYPES)?;
            Ok(match kind {
                Some(Kind::Csv) | None => Format::Csv(CsvFormat::default()),
                Some(Kind::Json(envelope)) => {
                    Format::Json(JsonFormat { envelope, ..JsonFormat::default() })
                }
                Some(Kind::Parquet) => Format::Parquet,
            })
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Csv,
    Json(Option<Envelope>),
    Parquet,
}

const TYPES: [(&str, Kind); 6] = [
    ("csv", Kind::Csv),
    ("json", Kind::Json(None)),
    ("parquet", Kind::Parquet),
    ("debezium-json", Kind::Json(Some(Envelope::Debezium))),
    ("canal-json", Kind::Json(Some(Envelope::Canal))),
    ("maxwell-json", Kind::Json(Some(Envelope::Maxwell))),
];

fn format_of(kind: Kind, outer: &Options<'_>, nested: &Options<'_>) -> Result<Format, OptionError> {
    match kind {
        Kind::Csv => {
            let default = CsvFormat::default();
            let format = CsvFormat {
                delimiter: one_byte(nested, "delimiter")?.unwrap_or(default.delimiter),
                header: nested.boolean("header")?.unwrap_or(default.header),
                quote: one_byte(nested, "quote")?.unwrap_or(default.quote),
                null_value: nested.string("nullValue")?.unwrap_or_default().to_owned(),
                timestamp_format: timestamp_format(nested)?,
                multiline: nested.boolean("multiline")?.unwrap_or(false),
            };
            if format.delimiter == format.quote {
                return Err(nested.error("quote", "`quote` and `delimiter` are the same"));
            }
            Ok(Format::Csv(format))
        }
        Kind::Json(envelope) => {
            // Re-reads the mapping with the shorter list, to refuse what json does not have.
            let nested = outer.nested("format", &["type", "timestampFormat"])?;
            let timestamp_format = match nested {
                Some(nested) => timestamp_format(&nested)?,
                None => TimestampFormat::Iso,
            };
            Ok(Format::Json(JsonFormat { timestamp_format, envelope }))
        }
        Kind::Parquet => {
            outer.nested("format", &["type"])?;
            Ok(Format::Parquet)
        }
    }
}

fn one_byte(options: &Options<'_>, key: &str) -> Result<Option<u8>, OptionError> {
    let Some(text) = options.string(key)? else { return Ok(None) };
    match text {
        "\\t" => Ok(Some(b'\t')),
        _ if text.len() == 1 && !matches!(text, "\n" | "\r") => Ok(Some(text.as_bytes()[0])),
        _ => Err(options.error(key, "expected one ASCII character (or \\t)")),
    }
}

fn timestamp_format(options: &Options<'_>) -> Result<TimestampFormat, OptionError> {
    let text = match options.string("timestampFormat")? {
        None | Some("ISO-8601") => return Ok(TimestampFormat::Iso),
        Some("SQL") => return Ok(TimestampFormat::Sql),
        Some(text) => text,
    };
    let wrong = chrono::format::StrftimeItems::new(text).any(|i| i == chrono::format::Item::Error);
    if wrong || !text.contains('%') {
        return Err(options
            .error("timestampFormat", format!("`{text}` is not a strftime pattern"))
            .with_help("SQL, ISO-8601, or for example %Y-%m-%d %H:%M:%S".to_owned()));
    }
    Ok(TimestampFormat::Pattern(text.to_owned()))
}

fn check_types(format: &Format, schema: &Schema) -> Result<(), OptionError> {
    for field in schema.fields() {
        let readable = match format {
            Format::Csv(_) => csv::is_readable(field.data_type()),
            Format::Json(_) => json_format::is_readable(field),
            Format::Parquet => true,
        };
        if !readable {
            return Err(OptionError {
                path: vec!["schema".to_owned(), field.name().clone()],
                at_key: false,
                message: format!("this format cannot hold the type {}", field.data_type()),
                help: Some("declare the column as STRING, or use parquet".to_owned()),
            });
        }
    }
    Ok(())
}

fn format_schema() -> Value {
    let types = json!(TYPES.map(|(name, _)| name));
    json!({
        "description": "How rows are written in a file. debezium-json, canal-json and maxwell-json say of each row what happened to it, hence take a changelog; of them only debezium-json can be read.",
        "oneOf": [
            { "type": "string", "enum": types },
            {
                "type": "object",
                "required": ["type"],
                "additionalProperties": false,
                "properties": {
                    "type": { "type": "string", "enum": types },
                    "delimiter": { "type": "string", "default": ",",
                        "description": "csv: one character between fields, or \\t." },
                    "header": { "type": "boolean", "default": true,
                        "description": "csv: whether the first line names the columns." },
                    "quote": { "type": "string", "default": "\"",
                        "description": "csv: one character around fields." },
                    "nullValue": { "type": "string", "default": "",
                        "description": "csv: the text that stands for NULL." },
                    "timestampFormat": { "type": "string",
                        "description": "csv, json: how timestamps are written: ISO-8601 (the default), SQL (yyyy-MM-dd HH:mm:ss[.SSS]), or a strftime pattern. Both words read either form, and epoch milliseconds." },
                    "multiline": { "type": "boolean", "default": false,
                        "description": "csv: quoted fields may contain line ends. Such files are not split." },
                }
            }
        ]
    })
}

/// For the documentation and the job file's JSON Schema.
pub(super) fn source_info() -> ConnectorInfo {
    ConnectorInfo {
        name: "filesystem",
        role: Role::Source,
        summary: "Reads csv, json lines or parquet files from a directory or from S3.",
        options: json!({
            "type": "object",
            "required": ["path", "format"],
            "additionalProperties": false,
            "properties": {
                "path": { "type": "string",
                    "description": "A file, a directory or a glob pattern, local or s3://bucket/..." },
                "format": format_schema(),
                "compression": { "type": "string", "enum": ["auto", "none", "gzip", "zstd"],
                    "default": "auto", "description": "auto: by extension (.gz, .zst)." },
                "splitSize": { "type": "string", "default": "64MiB",
                    "description": "Files are read in parts of this size." },
                "watch": { "type": "string",
                    "description": "Look for new files this often, without end. Absent: read what is there and end." },
                "partitionBy": { "type": "array", "items": { "type": "string" },
                    "description": "Columns that stand in the path (folder `column=value`), not in the files." },
                "rowsPerSecond": { "type": "integer", "minimum": 0, "default": 0,
                    "description": "At most this many rows a second, shared evenly by the subtasks: files are replayed at a pace. 0: as fast as rows are taken." },
                "metadata": { "type": "object", "additionalProperties": { "type": "string" },
                    "description": "Columns about the file of a row: file.path, file.name, file.size or file.modification-time." },
                "onBadRecord": { "type": "string", "enum": ["fail", "skip", "dead-letter"],
                    "default": "fail", "description": "What happens to a record that cannot be decoded." },
            }
        }),
    }
}

/// For the documentation and the job file's JSON Schema.
pub(super) fn sink_info() -> ConnectorInfo {
    let compressions = ["none", "gzip", "zstd", "snappy", "lz4"];
    ConnectorInfo {
        name: "filesystem",
        role: Role::Sink,
        summary: "Writes csv, json lines or parquet files, exactly once, into a directory or to S3.",
        options: json!({
            "type": "object",
            "required": ["path", "format"],
            "additionalProperties": false,
            "properties": {
                "path": { "type": "string",
                    "description": "A directory or s3://bucket/prefix. Files of other runs in it are left alone." },
                "format": format_schema(),
                "compression": { "type": "string", "enum": compressions,
                    "description": "csv, json: none (default), gzip or zstd. parquet: snappy (default), zstd, gzip, lz4 or none." },
                "rolling": {
                    "type": "object",
                    "additionalProperties": false,
                    "description": "When a file is closed, besides at every checkpoint.",
                    "properties": {
                        "size": { "type": "string", "default": "128MiB" },
                        "interval": { "type": "string" },
                    }
                },
                "partitionBy": { "type": "array", "items": { "type": "string" },
                    "description": "Columns that become folders (`column=value`) and are left out of the files." },
                "changelog": { "type": "boolean", "default": false,
                    "description": "json: take a changelog and write the row kind (+I, -U, +U, -D) as column op." },
            }
        }),
    }
}
