//! Folders by the values of columns, as Hive and Flink have them:
//! `dt=2025-10-09/hm=08%3A53/part-...`. The columns stand in the path and not in the files.
//! Called by `writer.rs` and `reader.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::arrow::array::{
    Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringArray, UInt32Array,
};
use model::arrow::compute::{CastOptions, cast, cast_with_options, take_record_batch};
use model::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use model::{Error, Result};

/// Stands for NULL and for empty text.
const NOTHING: &str = "__DEFAULT_PARTITION__";
/// Characters of a value that are written as `%` and two hexadecimal digits.
const ESCAPED: &str = "\"#%'*/:=?\\{}[]^";

/// Which columns of a table are folders.
#[derive(Clone, Debug)]
pub(super) struct Partitions {
    names: Vec<String>,
    /// The columns in the files.
    inner: SchemaRef,
}

impl Partitions {
    /// Of rows of `schema`; `None` when no column is a folder.
    pub(super) fn new(names: &[String], schema: &SchemaRef) -> Option<Self> {
        if names.is_empty() {
            return None;
        }
        let kept = schema.fields().iter().filter(|f| !names.contains(f.name())).cloned();
        let inner = Arc::new(Schema::new(kept.collect::<Vec<_>>()));
        Some(Self { names: names.to_vec(), inner })
    }

    pub(super) fn inner(&self) -> SchemaRef {
        Arc::clone(&self.inner)
    }

    /// The rows of each folder, without its columns. A folder's name ends in `/`.
    pub(super) fn split(&self, batch: &RecordBatch) -> Result<Vec<(String, RecordBatch)>> {
        let mut values: Vec<StringArray> = Vec::with_capacity(self.names.len());
        for name in &self.names {
            let text = cast(column(batch, name)?, &DataType::Utf8)?;
            values.push(text.as_string().clone());
        }
        let mut rows_of: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        let mut start = 0;
        // Neighbours are mostly of one folder: its name is made once for each run of them.
        for row in 1..=batch.num_rows() {
            let same = |v: &StringArray| {
                let nulls = [v.is_null(row), v.is_null(start)];
                nulls == [true; 2] || (nulls == [false; 2] && v.value(row) == v.value(start))
            };
            if row == batch.num_rows() || !values.iter().all(same) {
                let rows = rows_of.entry(self.folder(&values, start)).or_default();
                rows.extend(start as u32..row as u32);
                start = row;
            }
        }
        let kept: Vec<usize> = (0..batch.num_columns())
            .filter(|at| !self.names.contains(batch.schema_ref().field(*at).name()))
            .collect();
        let inner = batch.project(&kept)?;
        let parts = rows_of.into_iter().map(|(folder, rows)| {
            let whole = rows.len() == inner.num_rows();
            let rows = match whole {
                true => inner.clone(),
                false => take_record_batch(&inner, &UInt32Array::from(rows))?,
            };
            Ok((folder, rows))
        });
        parts.collect()
    }

    fn folder(&self, values: &[StringArray], row: usize) -> String {
        let mut folder = String::new();
        for (name, value) in self.names.iter().zip(values) {
            let value = if value.is_null(row) { "" } else { value.value(row) };
            escape(name, &mut folder);
            folder.push('=');
            match value {
                "" => folder.push_str(NOTHING),
                value => escape(value, &mut folder),
            }
            folder.push('/');
        }
        folder
    }

    /// The rows of `path` with the columns that are folders, as `schema` has them.
    pub(super) fn restore(
        &self,
        path: &str,
        batch: &RecordBatch,
        schema: &SchemaRef,
    ) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            columns.push(match self.names.contains(field.name()) {
                false => Arc::clone(column(batch, field.name())?),
                true => constant(path, field, batch.num_rows())?,
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
    }
}

fn column<'b>(batch: &'b RecordBatch, name: &str) -> Result<&'b ArrayRef> {
    let found = batch.column_by_name(name);
    found.ok_or_else(|| Error::internal(format!("rows without the partition column `{name}`")))
}

/// The value that `path` gives a column, once per row.
fn constant(path: &str, field: &Field, rows: usize) -> Result<ArrayRef> {
    let value = path.rsplit('/').find_map(|folder| {
        let (name, value) = folder.split_once('=')?;
        (unescape(name) == *field.name()).then_some(value)
    });
    let Some(value) = value else {
        return Err(Error::user(format!(
            "{path} lies in no folder `{}=...`, which the table is partitioned by",
            field.name()
        )));
    };
    let value = (value != NOTHING).then(|| unescape(value));
    let text = StringArray::from(vec![value.as_deref(); rows]);
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(&text, field.data_type(), &options).map_err(|e| {
        let name = field.name();
        Error::user(format!("{path}: `{name}` is no {}", field.data_type())).caused_by(e)
    })
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        if c.is_control() || ESCAPED.contains(c) {
            // These characters are all of one byte.
            out.push_str(&format!("%{:02X}", c as u32));
        } else {
            out.push(c);
        }
    }
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(code) => out.push(char::from(code)),
            None => out.push('%'),
        }
        rest = &rest[at + if code.is_some() { 3 } else { 1 }..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use model::arrow::array::Int64Array;

    use super::*;

    fn batch() -> RecordBatch {
        let schema = Schema::new(vec![
            Field::new("n", DataType::Int64, false),
            Field::new("day", DataType::Utf8, true),
            Field::new("k", DataType::Int64, true),
        ]);
        let days = [Some("a:b"), Some("a:b"), None, Some("50%=x"), Some("a:b")];
        let keys = Int64Array::from(vec![Some(1), Some(1), Some(2), None, Some(1)]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(0..5)),
            Arc::new(StringArray::from_iter(days)),
            Arc::new(keys),
        ];
        RecordBatch::try_new(Arc::new(schema), columns).unwrap()
    }

    #[test]
    fn rows_are_split_by_folder_and_come_back() {
        let batch = batch();
        let partitions =
            Partitions::new(&["day".to_owned(), "k".to_owned()], &batch.schema()).unwrap();
        let parts = partitions.split(&batch).unwrap();
        let names: Vec<&str> = parts.iter().map(|(name, _)| name.as_str()).collect();
        let expected = [
            "day=50%25%3Dx/k=__DEFAULT_PARTITION__/",
            "day=__DEFAULT_PARTITION__/k=2/",
            "day=a%3Ab/k=1/",
        ];
        assert_eq!(names, expected);
        assert_eq!(parts[2].1.num_rows(), 3);
        assert_eq!(parts[0].1.schema(), partitions.inner());
        let mut rows = Vec::new();
        for (folder, part) in &parts {
            let path = format!("top/{folder}part-0");
            let whole = partitions.restore(&path, part, &batch.schema()).unwrap();
            rows.extend(crate::contract::lines(&whole));
        }
        rows.sort();
        assert_eq!(rows, crate::contract::lines(&batch));
        let error = partitions.restore("day=x/part-0", &parts[0].1, &batch.schema()).unwrap_err();
        assert!(error.message().contains("no folder `k=...`"), "{error}");
        let error = partitions.restore("day=x/k=y/f", &parts[0].1, &batch.schema()).unwrap_err();
        assert!(error.message().contains("`k` is no Int64"), "{error}");
    }
}
