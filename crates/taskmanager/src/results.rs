//! Rows of a query's results as text, in messages of bounded size. Called by `rpc.rs`.

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::Bytes;
use model::row_kind::{self, RowKind};
use model::{Error, Result};
use serde_json::Value;

/// Rows of one message.
const MAX_ROWS: usize = 1024;

/// Messages with all rows of `batch`: each a JSON array of rows, a row an array of its kind
/// (`+I`) and its values as text, as Flink shows them.
///
/// # Errors
/// Internal: a type has no text.
pub(crate) fn encoded(batch: &RecordBatch) -> Result<Vec<Bytes>> {
    let kinds = row_kind::kinds(batch);
    let columns = batch.num_columns() - usize::from(kinds.is_some());
    let failed = |e| Error::internal("rows cannot be shown as text").caused_by(e);
    let mut formatters = Vec::with_capacity(columns);
    for column in &batch.columns()[..columns] {
        let options = options(column.data_type());
        let formatter = ArrayFormatter::try_new(column.as_ref(), &options).map_err(failed)?;
        formatters.push((column, formatter));
    }
    let mut messages = Vec::new();
    let mut rows = Vec::new();
    for row in 0..batch.num_rows() {
        let kind = kinds.map_or(Some(RowKind::Insert), |k| RowKind::from_u8(k.value(row)));
        let mut cells = vec![Value::from(kind.map_or("??", RowKind::short))];
        for (column, formatter) in &formatters {
            cells.push(match column.is_null(row) {
                true => Value::Null,
                false => cell(column.data_type(), formatter.value(row).to_string()),
            });
        }
        rows.push(Value::Array(cells));
        if rows.len() == MAX_ROWS || row + 1 == batch.num_rows() {
            let text = serde_json::to_vec(&std::mem::take(&mut rows));
            let text = text.map_err(|e| Error::internal("cannot encode rows").caused_by(e))?;
            messages.push(text.into());
        }
    }
    Ok(messages)
}

/// Flink writes TRUE and FALSE.
fn cell(data_type: &DataType, text: String) -> Value {
    match data_type {
        DataType::Boolean => Value::from(text.to_uppercase()),
        _ => Value::from(text),
    }
}

fn options(data_type: &DataType) -> FormatOptions<'static> {
    let options = FormatOptions::default().with_null("NULL").with_display_error(true);
    let stamp = match data_type {
        DataType::Timestamp(TimeUnit::Second, _) => "%Y-%m-%d %H:%M:%S",
        DataType::Timestamp(TimeUnit::Microsecond, _) => "%Y-%m-%d %H:%M:%S%.6f",
        DataType::Timestamp(TimeUnit::Nanosecond, _) => "%Y-%m-%d %H:%M:%S%.9f",
        _ => "%Y-%m-%d %H:%M:%S%.3f",
    };
    options.with_timestamp_format(Some(stamp)).with_timestamp_tz_format(Some(stamp))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BooleanArray, Int64Array, StringArray, TimestampMillisecondArray, UInt8Array,
    };

    use super::*;

    #[test]
    fn rows_are_text_with_their_kind() {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("n", Arc::new(Int64Array::from(vec![Some(7), None]))),
            ("s", Arc::new(StringArray::from(vec![Some("a \"b\""), None]))),
            ("b", Arc::new(BooleanArray::from(vec![true, false]))),
            ("t", Arc::new(TimestampMillisecondArray::from(vec![1_357_034_400_120, 0]))),
            (row_kind::COLUMN, Arc::new(UInt8Array::from(vec![0, 3]))),
        ];
        let fields = columns.iter().map(|(name, column)| match *name {
            row_kind::COLUMN => row_kind::field(),
            name => arrow::datatypes::Field::new(name, column.data_type().clone(), true),
        });
        let schema = arrow::datatypes::Schema::new(fields.collect::<Vec<_>>());
        let columns = columns.into_iter().map(|(_, column)| column).collect();
        let batch = RecordBatch::try_new(Arc::new(schema), columns).unwrap();
        let messages = encoded(&batch).unwrap();
        let rows: Value = serde_json::from_slice(&messages[0]).unwrap();
        let expected = serde_json::json!([
            ["+I", "7", "a \"b\"", "TRUE", "2013-01-01 10:00:00.120"],
            ["-D", null, null, "FALSE", "1970-01-01 00:00:00.000"],
        ]);
        assert_eq!(rows, expected);
    }

    #[test]
    fn messages_are_bounded_and_complete() {
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..2500));
        let batch = RecordBatch::try_from_iter([("id", ids)]).unwrap();
        let messages = encoded(&batch).unwrap();
        let lengths: Vec<usize> = messages
            .iter()
            .map(|m| serde_json::from_slice::<Vec<Value>>(m).unwrap().len())
            .collect();
        assert_eq!(lengths, [1024, 1024, 452]);
    }
}
