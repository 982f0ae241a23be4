//! Rows of a tap as JSON, bounded in size. Called by `rpc.rs`.

use arrow::array::RecordBatch;
use arrow::json::writer::{JsonArray, WriterBuilder};
use bytes::Bytes;
use model::{Error, Result};
use runtime::tap::Sample;
use serde_json::json;

/// Rows of one message, as JSON, take at most this; further ones count as dropped.
const MAX_BYTES: usize = 1 << 20;

/// One message of a tap.
#[derive(Debug)]
pub(crate) struct Shown {
    /// JSON array of `{name, type}`.
    pub schema: Bytes,
    /// JSON array of objects.
    pub rows: Bytes,
    pub dropped: u64,
}

/// # Errors
/// Internal: a type has no JSON form.
pub(crate) fn shown(sample: &Sample) -> Result<Shown> {
    let columns = sample.rows.schema();
    let columns = columns.fields().iter();
    let schema: Vec<_> =
        columns.map(|f| json!({ "name": f.name(), "type": f.data_type().to_string() })).collect();
    let total = sample.rows.num_rows();
    let mut kept = total;
    let mut rows = encoded(&sample.rows)?;
    while rows.len() > MAX_BYTES && kept > 0 {
        kept /= 2;
        rows = encoded(&sample.rows.slice(0, kept))?;
    }
    Ok(Shown {
        schema: serde_json::to_vec(&schema)
            .map_err(|e| Error::internal("cannot encode a schema").caused_by(e))?
            .into(),
        rows: rows.into(),
        dropped: sample.dropped + (total - kept) as u64,
    })
}

fn encoded(rows: &RecordBatch) -> Result<Vec<u8>> {
    if rows.num_rows() == 0 {
        return Ok(b"[]".to_vec());
    }
    let failed = |e| Error::internal("rows cannot be shown as JSON").caused_by(e);
    let mut writer =
        WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(Vec::new());
    writer.write(rows).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(writer.into_inner())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use serde_json::Value;

    use super::*;

    fn sample(text: &str, rows: usize) -> Sample {
        let ids: ArrayRef =
            Arc::new(Int64Array::from_iter((0..rows as i64).map(|i| (i > 0).then_some(i))));
        let texts: ArrayRef = Arc::new(StringArray::from(vec![text; rows]));
        let rows = RecordBatch::try_from_iter([("id", ids), ("text", texts)]).unwrap();
        Sample { rows, dropped: 3 }
    }

    #[test]
    fn nulls_are_shown() {
        let shown = shown(&sample("a", 2)).unwrap();
        let rows: Value = serde_json::from_slice(&shown.rows).unwrap();
        assert_eq!(rows, json!([{"id": null, "text": "a"}, {"id": 1, "text": "a"}]));
        let schema: Value = serde_json::from_slice(&shown.schema).unwrap();
        assert_eq!(schema[0], json!({"name": "id", "type": "Int64"}));
    }

    #[test]
    fn long_rows_are_dropped_and_counted() {
        let long = "x".repeat(400_000);
        let found = shown(&sample(&long, 4)).unwrap();
        let rows: Vec<Value> = serde_json::from_slice(&found.rows).unwrap();
        assert_eq!((rows.len(), found.dropped), (2, 5));
        let endless = shown(&sample(&"x".repeat(2 << 20), 1)).unwrap();
        assert_eq!((&endless.rows[..], endless.dropped), (&b"[]"[..], 4));
    }
}
