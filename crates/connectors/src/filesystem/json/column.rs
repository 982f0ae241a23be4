//! A column being filled from JSON values. A row that gives it nothing is null, which is only
//! noticed at the next value. Called by `direct.rs`.

use std::sync::Arc;

use model::arrow::array::{
    ArrayBuilder, ArrayRef, BooleanBuilder, Float32Builder, Float64Builder, Int8Builder,
    Int16Builder, Int32Builder, Int64Builder, NullBufferBuilder, StringBuilder, StructArray,
};
use model::arrow::datatypes::{DataType, TimeUnit};

use super::super::timestamps;
use super::cursor::Cursor;
use super::direct::Fields;

pub(super) enum Column {
    Boolean(BooleanBuilder),
    Int8(Int8Builder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Text(StringBuilder),
    Timestamp(Timestamps),
    Row(Box<Row>),
}

/// A column of timestamps.
pub(super) struct Timestamps {
    values: Int64Builder,
    unit: TimeUnit,
    zone: Option<Arc<str>>,
    reading: Reading,
}

/// How timestamps are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// As the general reader of JSON does by itself: digits count the column's unit, and do
    /// not stand within quotes.
    Plain,
    /// As `timestamps.rs` reads them, perhaps by a pattern.
    AsText(Option<String>),
}

/// A column of rows.
pub(super) struct Row {
    fields: Fields,
    present: NullBufferBuilder,
}

/// Makes rows up to `$row` null that gave nothing. The value of `$row` itself must be missing:
/// of a field that comes twice the last one counts, which the general reader sees to.
macro_rules! fill_up {
    ($builder:expr, $row:expr) => {
        let missing = $row.checked_sub($builder.len())?;
        if missing > 0 {
            $builder.append_nulls(missing);
        }
    };
}

/// The array of `$rows` rows; the next one is expected to be as long.
macro_rules! finished {
    ($builder:expr, $type:ty, $rows:expr) => {{
        $builder.append_nulls($rows.checked_sub($builder.len())?);
        let next = <$type>::with_capacity($rows + $rows / 8);
        Arc::new(std::mem::replace($builder, next).finish()) as ArrayRef
    }};
}

impl Column {
    /// `None`: the type is the general reader's.
    pub(super) fn new(data_type: &DataType, reading: &Reading) -> Option<Self> {
        Some(match data_type {
            DataType::Boolean => Self::Boolean(BooleanBuilder::new()),
            DataType::Int8 => Self::Int8(Int8Builder::new()),
            DataType::Int16 => Self::Int16(Int16Builder::new()),
            DataType::Int32 => Self::Int32(Int32Builder::new()),
            DataType::Int64 => Self::Int64(Int64Builder::new()),
            DataType::Float32 => Self::Float32(Float32Builder::new()),
            DataType::Float64 => Self::Float64(Float64Builder::new()),
            DataType::Utf8 => Self::Text(StringBuilder::new()),
            // The general reader takes text without a zone for local time.
            DataType::Timestamp(unit, zone)
                if *reading != Reading::Plain || zone.as_deref().is_none_or(|z| z == "+00:00") =>
            {
                Self::Timestamp(Timestamps {
                    values: Int64Builder::new(),
                    unit: *unit,
                    zone: zone.clone(),
                    reading: reading.clone(),
                })
            }
            DataType::Struct(fields) => Self::Row(Box::new(Row {
                fields: Fields::new(fields, &|_| Reading::Plain)?,
                present: NullBufferBuilder::new(0),
            })),
            _ => return None,
        })
    }

    /// Reads the value that stands at the cursor.
    #[inline]
    pub(super) fn value(
        &mut self,
        cursor: &mut Cursor<'_>,
        row: usize,
        scratch: &mut String,
    ) -> Option<()> {
        let first = cursor.peek()?;
        if first == b'n' {
            cursor.literal("null")?;
            return (self.len() <= row).then_some(());
        }
        match self {
            Self::Text(texts) => {
                fill_up!(texts, row);
                text(texts, first, cursor, scratch)?;
            }
            Self::Int64(values) => {
                fill_up!(values, row);
                values.append_value(cursor.integer()?);
            }
            Self::Timestamp(times) => {
                fill_up!(times.values, row);
                times.value(first, cursor, scratch)?;
            }
            Self::Row(rows) => {
                let missing = row.checked_sub(rows.present.len())?;
                rows.present.append_n_nulls(missing);
                if first != b'{' {
                    return None;
                }
                cursor.next();
                rows.present.append_non_null();
                rows.fields.object(cursor, row, scratch)?;
            }
            Self::Int32(values) => {
                fill_up!(values, row);
                values.append_value(i32::try_from(cursor.integer()?).ok()?);
            }
            Self::Boolean(values) => {
                fill_up!(values, row);
                let value = first == b't';
                cursor.literal(if value { "true" } else { "false" })?;
                values.append_value(value);
            }
            Self::Float64(values) => {
                fill_up!(values, row);
                let value: f64 = cursor.number()?.parse().ok()?;
                values.append_value(value.is_finite().then_some(value)?);
            }
            Self::Float32(values) => {
                fill_up!(values, row);
                let value: f32 = cursor.number()?.parse().ok()?;
                values.append_value(value.is_finite().then_some(value)?);
            }
            Self::Int8(values) => {
                fill_up!(values, row);
                values.append_value(i8::try_from(cursor.integer()?).ok()?);
            }
            Self::Int16(values) => {
                fill_up!(values, row);
                values.append_value(i16::try_from(cursor.integer()?).ok()?);
            }
        }
        Some(())
    }

    fn len(&self) -> usize {
        match self {
            Self::Boolean(values) => values.len(),
            Self::Int8(values) => values.len(),
            Self::Int16(values) => values.len(),
            Self::Int32(values) => values.len(),
            Self::Int64(values) => values.len(),
            Self::Float32(values) => values.len(),
            Self::Float64(values) => values.len(),
            Self::Text(texts) => texts.len(),
            Self::Timestamp(times) => times.values.len(),
            Self::Row(rows) => rows.present.len(),
        }
    }

    /// The column of `rows` rows; it is empty then. `None`: there are nulls where none may be.
    pub(super) fn finish(&mut self, rows: usize) -> Option<ArrayRef> {
        Some(match self {
            Self::Boolean(values) => finished!(values, BooleanBuilder, rows),
            Self::Int8(values) => finished!(values, Int8Builder, rows),
            Self::Int16(values) => finished!(values, Int16Builder, rows),
            Self::Int32(values) => finished!(values, Int32Builder, rows),
            Self::Int64(values) => finished!(values, Int64Builder, rows),
            Self::Float32(values) => finished!(values, Float32Builder, rows),
            Self::Float64(values) => finished!(values, Float64Builder, rows),
            Self::Text(texts) => {
                texts.append_nulls(rows.checked_sub(texts.len())?);
                let bytes = texts.values_slice().len();
                let next = StringBuilder::with_capacity(rows + rows / 8, bytes + bytes / 8);
                Arc::new(std::mem::replace(texts, next).finish())
            }
            Self::Timestamp(times) => {
                let values = &mut times.values;
                values.append_nulls(rows.checked_sub(values.len())?);
                let next = Int64Builder::with_capacity(rows + rows / 8);
                let values = std::mem::replace(values, next).finish();
                timestamps::typed(&values, times.unit, times.zone.as_ref())
            }
            Self::Row(row) => {
                row.present.append_n_nulls(rows.checked_sub(row.present.len())?);
                let nulls = row.present.finish();
                let columns = row.fields.finish(rows, nulls.as_ref())?;
                let fields = row.fields.arrow.clone();
                Arc::new(StructArray::try_new_with_length(fields, columns, nulls, rows).ok()?)
            }
        })
    }
}

#[inline]
fn text(
    texts: &mut StringBuilder,
    first: u8,
    cursor: &mut Cursor<'_>,
    scratch: &mut String,
) -> Option<()> {
    match first {
        b'"' => {
            cursor.next();
            texts.append_value(cursor.text()?.unescaped(scratch)?);
        }
        // Numbers and booleans stand in for text.
        b'-' | b'0'..=b'9' => texts.append_value(cursor.number()?),
        b't' | b'f' => {
            let word = if first == b't' { "true" } else { "false" };
            cursor.literal(word)?;
            texts.append_value(word);
        }
        _ => return None,
    }
    Some(())
}

impl Timestamps {
    fn value(&mut self, first: u8, cursor: &mut Cursor<'_>, scratch: &mut String) -> Option<()> {
        let value = match first {
            b'"' => {
                cursor.next();
                let text = cursor.text()?.unescaped(scratch)?;
                match &self.reading {
                    Reading::Plain => timestamps::parse_instant(text, self.unit),
                    Reading::AsText(pattern) => {
                        timestamps::parse(text, self.unit, pattern.as_deref())
                    }
                }
            }
            _ => match &self.reading {
                Reading::Plain => cursor.integer(),
                Reading::AsText(pattern) => {
                    timestamps::parse(cursor.number()?, self.unit, pattern.as_deref())
                }
            },
        };
        self.values.append_value(value?);
        Some(())
    }
}
