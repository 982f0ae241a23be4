//! Columns that say something about the file that a row came from. `options.rs` reads which
//! there are, `reader.rs` adds them to rows.

use std::sync::Arc;

use model::arrow::array::{
    ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StringArray, TimestampMillisecondArray,
    UInt32Array,
};
use model::arrow::compute::{CastOptions, can_cast_types, cast_with_options, take};
use model::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use model::connector::OptionError;
use model::nearest::closest;
use model::{Error, Result};

use super::splits::FileSplit;
use crate::options::{Options, WithHelp};

const KEYS: [(&str, FileValue); 4] = [
    ("file.path", FileValue::Path),
    ("file.name", FileValue::Name),
    ("file.size", FileValue::Size),
    ("file.modification-time", FileValue::ModificationTime),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileValue {
    Path,
    Name,
    Size,
    ModificationTime,
}

impl FileValue {
    fn data_type(self) -> DataType {
        match self {
            Self::Path | Self::Name => DataType::Utf8,
            Self::Size => DataType::Int64,
            Self::ModificationTime => DataType::Timestamp(TimeUnit::Millisecond, None),
        }
    }
}

/// The columns, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FileColumns(Vec<(String, FileValue)>);

impl FileColumns {
    /// `metadata: {column: key}`.
    pub(super) fn parse(options: &Options<'_>, schema: &Schema) -> Result<Self, OptionError> {
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        let Some(metadata) = options.nested("metadata", &names)? else {
            return Ok(Self::default());
        };
        let mut found = Vec::new();
        for (column, _) in metadata.entries() {
            let key = metadata.string(column)?.unwrap_or(column);
            let Some((_, value)) = KEYS.iter().find(|(k, _)| *k == key) else {
                let keys = KEYS.map(|(k, _)| k);
                let mut help = closest(key, keys.iter().copied())
                    .map_or_else(String::new, |k| format!("did you mean `{k}`? "));
                help.push_str(&format!("metadata of files: {}", keys.join(", ")));
                let message = format!("there is no metadata `{key}`");
                return Err(metadata.error(column, message).with_help(help));
            };
            let declared = schema.field_with_name(column).map(Field::data_type);
            if let Ok(declared) = declared
                && !can_cast_types(&value.data_type(), declared)
            {
                let message = format!("`{key}` cannot be {declared}");
                return Err(metadata.error(column, message));
            }
            found.push((column.to_owned(), *value));
        }
        if found.len() == names.len() {
            return Err(options.error("metadata", "no column is left that the files hold"));
        }
        Ok(Self(found))
    }

    /// `schema` without these columns.
    pub(super) fn without(&self, schema: &SchemaRef) -> SchemaRef {
        if self.0.is_empty() {
            return Arc::clone(schema);
        }
        let is_own = |f: &Field| self.0.iter().any(|(name, _)| name == f.name());
        let kept = schema.fields().iter().filter(|f| !is_own(f)).cloned();
        Arc::new(Schema::new(kept.collect::<Vec<_>>()))
    }

    /// `batch` with these columns of `split`'s file: as `output`.
    pub(super) fn add(
        &self,
        batch: RecordBatch,
        split: &FileSplit,
        output: &SchemaRef,
    ) -> Result<RecordBatch> {
        // More than is wanted was read when nothing of the files is, see `at_least_one`.
        if self.0.is_empty() && batch.num_columns() == output.fields().len() {
            return Ok(batch);
        }
        let rows = batch.num_rows();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(output.fields().len());
        for field in output.fields() {
            match self.0.iter().find(|(name, _)| name == field.name()) {
                Some((_, value)) => columns.push(constant(*value, split, field, rows)?),
                None => {
                    let index = batch.schema_ref().index_of(field.name());
                    columns.push(Arc::clone(batch.column(index.map_err(Error::from)?)));
                }
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(output), columns, &options)?)
    }
}

/// The columns to read of files for `wanted`: at least one, to know how many rows there are.
pub(super) fn at_least_one(declared: &SchemaRef, wanted: SchemaRef) -> SchemaRef {
    if !wanted.fields().is_empty() {
        return wanted;
    }
    Arc::new(Schema::new(declared.fields().iter().take(1).cloned().collect::<Vec<_>>()))
}

/// `rows` times what `value` is for a file.
fn constant(value: FileValue, split: &FileSplit, field: &Field, rows: usize) -> Result<ArrayRef> {
    let text = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text])) };
    let size = i64::try_from(split.size).unwrap_or(i64::MAX);
    let one: ArrayRef = match value {
        FileValue::Path => text(&format!("/{}", split.path)),
        FileValue::Name => text(split.path.rsplit('/').next().unwrap_or(&split.path)),
        FileValue::Size => Arc::new(Int64Array::from(vec![size])),
        FileValue::ModificationTime => {
            Arc::new(TimestampMillisecondArray::from(vec![split.modified_ms]))
        }
    };
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let one = cast_with_options(&one, field.data_type(), &strict).map_err(|e| {
        let name = field.name();
        Error::user(format!("column `{name}` of file `{}` does not fit", split.path)).caused_by(e)
    })?;
    Ok(take(&one, &UInt32Array::from(vec![0_u32; rows]), None)?)
}

#[cfg(test)]
mod tests {
    use model::connector::SourceSpec;
    use object_store::path::Path;
    use object_store::{ObjectStoreExt, PutPayload};
    use serde_json::json;

    use super::*;
    use crate::contract::read_all;

    fn spec(options: serde_json::Value, wanted: &[&str]) -> SourceSpec {
        let stamp = DataType::Timestamp(TimeUnit::Millisecond, None);
        let fields = vec![
            Field::new("v", DataType::Int64, true),
            Field::new("name", DataType::Utf8, false),
            Field::new("size", DataType::Int32, false),
            Field::new("at", stamp, false),
            Field::new("path", DataType::Utf8, false),
            Field::new("day", DataType::Utf8, true),
        ];
        let mut spec: SourceSpec = serde_json::from_value(json!({
            "connector": "filesystem",
            "options": options,
            "declared_schema": null,
            "projection": wanted,
        }))
        .unwrap();
        spec.declared_schema = Some(Arc::new(Schema::new(fields)));
        spec
    }

    #[tokio::test]
    async fn rows_know_their_file() {
        let opened = storage::open("memory://file-columns").unwrap();
        for (path, text) in
            [("day=1/a.json", "{\"v\":1}\n{\"v\":2}\n"), ("day=2/b.json", "{\"v\":3}\n")]
        {
            opened.store.put(&Path::from(path), PutPayload::from(text.as_bytes())).await.unwrap();
        }
        let options = json!({
            "path": "memory://file-columns", "format": "json", "partitionBy": ["day"],
            "metadata": { "name": "file.name", "size": "file.size", "path": "file.path",
                "at": "file.modification-time" },
        });
        let read = async |wanted: &[&str]| {
            let source = crate::filesystem::source(&spec(options.clone(), wanted)).unwrap();
            let mut rows = read_all(source.as_ref()).await.unwrap().rows;
            rows.sort();
            rows
        };
        let expected = [
            "{\"v\":1,\"name\":\"a.json\",\"size\":16,\"day\":\"1\"}",
            "{\"v\":2,\"name\":\"a.json\",\"size\":16,\"day\":\"1\"}",
            "{\"v\":3,\"name\":\"b.json\",\"size\":8,\"day\":\"2\"}",
        ];
        assert_eq!(read(&["v", "name", "size", "day"]).await, expected);
        let expected = ["{\"name\":\"a.json\"}", "{\"name\":\"a.json\"}", "{\"name\":\"b.json\"}"];
        assert_eq!(read(&["name"]).await, expected, "without a column of the file");
        let expected = ["{\"day\":\"1\"}", "{\"day\":\"1\"}", "{\"day\":\"2\"}"];
        assert_eq!(read(&["day"]).await, expected, "without a column of the file");
        let found = read(&["at", "path"]).await;
        assert!(found[0].contains("\"at\":\"20") && found[0].contains("/a.json"), "{found:?}");
    }

    #[test]
    fn mistakes_are_shown_where_they_are() {
        let mistake = |metadata: serde_json::Value| {
            let options = json!({ "path": "x", "format": "json", "metadata": metadata });
            let error = crate::filesystem::source(&spec(options, &["v"])).err().unwrap();
            (error.path.join("."), error.help.unwrap_or_default())
        };
        let (path, help) = mistake(json!({ "size": "file.sze" }));
        assert_eq!(path, "metadata.size");
        assert!(help.contains("`file.size`") && help.contains("file.modification-time"), "{help}");
        assert_eq!(mistake(json!({ "w": "file.size" })).0, "metadata.w");
    }
}
