//! Reads an event time column (TIMESTAMP of any unit, or BIGINT) as milliseconds.
//! Used by the watermark, join, deduplicate and top-N operators.

use std::borrow::Cow;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Int64Type, Schema, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use model::operator_schema::time_index;
use model::{Error, Result};

/// One event time column of an operator's input.
#[derive(Clone, Debug)]
pub struct TimeColumn {
    name: String,
    index: usize,
}

impl TimeColumn {
    /// A User error when there is no such column or its type is no time.
    pub fn new(schema: &Schema, name: &str) -> Result<Self> {
        Ok(Self { name: name.to_owned(), index: time_index(schema, name)? })
    }

    /// Milliseconds since the epoch, one per row. A NULL is a User error: a row without
    /// event time belongs nowhere.
    pub fn millis<'a>(&self, batch: &'a RecordBatch) -> Result<Cow<'a, [i64]>> {
        let array = batch.column(self.index);
        if array.null_count() > 0 {
            return Err(Error::user(format!(
                "event time column `{}` is NULL in a row; filter such rows out before (`{} IS NOT NULL`)",
                self.name, self.name
            )));
        }
        match array.data_type() {
            DataType::Int64 => Ok(Cow::Borrowed(array.as_primitive::<Int64Type>().values())),
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                Ok(Cow::Borrowed(array.as_primitive::<TimestampMillisecondType>().values()))
            }
            DataType::Timestamp(TimeUnit::Second, _) => {
                let seconds = array.as_primitive::<TimestampSecondType>().values();
                seconds
                    .iter()
                    .map(|s| s.checked_mul(1000))
                    .collect::<Option<Vec<i64>>>()
                    .map_or_else(
                        || {
                            Err(Error::user(format!(
                                "event time column `{}` is out of range in milliseconds",
                                self.name
                            )))
                        },
                        |ms| Ok(Cow::Owned(ms)),
                    )
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                let values = array.as_primitive::<TimestampMicrosecondType>().values();
                Ok(Cow::Owned(values.iter().map(|v| v.div_euclid(1000)).collect()))
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                let values = array.as_primitive::<TimestampNanosecondType>().values();
                Ok(Cow::Owned(values.iter().map(|v| v.div_euclid(1_000_000)).collect()))
            }
            other => Err(Error::internal(format!(
                "event time column `{}` changed its type to {other}",
                self.name
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray, TimestampNanosecondArray,
        TimestampSecondArray,
    };

    use super::*;

    fn millis(array: ArrayRef) -> Result<Vec<i64>> {
        let batch = RecordBatch::try_from_iter_with_nullable([("t", array, true)]).unwrap();
        TimeColumn::new(batch.schema_ref(), "t")?.millis(&batch).map(Cow::into_owned)
    }

    #[test]
    fn every_unit_reads_as_milliseconds() {
        let column: [ArrayRef; 4] = [
            Arc::new(Int64Array::from(vec![1_500, -1])),
            Arc::new(TimestampMicrosecondArray::from(vec![1_500_999, -1])),
            Arc::new(TimestampNanosecondArray::from(vec![1_500_999_999, -1])),
            Arc::new(TimestampSecondArray::from(vec![1, -1])),
        ];
        let expected = [[1_500, -1], [1_500, -1], [1_500, -1], [1_000, -1_000]];
        for (array, expected) in column.into_iter().zip(expected) {
            assert_eq!(millis(array).unwrap(), expected);
        }
    }

    #[test]
    fn null_and_wrong_types_are_the_users_errors() {
        let error = millis(Arc::new(Int64Array::from(vec![None, Some(1)]))).unwrap_err();
        assert_eq!(error.kind(), model::ErrorKind::User);
        assert!(error.message().contains("`t` is NULL"), "{error}");
        let error = millis(Arc::new(StringArray::from(vec!["x"]))).unwrap_err();
        assert!(error.message().contains("cannot be event time"), "{error}");
        let error = millis(Arc::new(TimestampSecondArray::from(vec![i64::MAX]))).unwrap_err();
        assert!(error.message().contains("out of range"), "{error}");
    }
}
