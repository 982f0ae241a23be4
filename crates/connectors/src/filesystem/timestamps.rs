//! Turns text columns into timestamps: ISO-8601, SQL style, epoch milliseconds, or a
//! strftime pattern. Called by the decoders (`csv.rs`, `json.rs`).

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use model::arrow::array::{
    Array, ArrayRef, PrimitiveArray, StringArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray,
};
use model::arrow::buffer::ScalarBuffer;
use model::arrow::compute::kernels::cast_utils::string_to_datetime;
use model::arrow::datatypes::{DataType, Int64Type, TimeUnit};
use model::arrow::error::ArrowError;

/// Written by [`TimestampFormat::Sql`]: as many digits of a second as it has, in threes.
const SQL: &str = "%Y-%m-%d %H:%M:%S%.f";
const SQL_WITH_ZONE: &str = "%Y-%m-%d %H:%M:%S%.fZ";

/// How timestamps stand in text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum TimestampFormat {
    /// Written `2013-01-01T10:00:00.123`. Read so, as [`Self::Sql`], or as epoch milliseconds.
    #[default]
    Iso,
    /// Written `2013-01-01 10:00:00.123`. Read like [`Self::Iso`].
    Sql,
    /// A strftime pattern for both.
    Pattern(String),
}

impl TimestampFormat {
    /// The only form that is read; `None`: all of [`Self::Iso`].
    pub(super) fn to_read(&self) -> Option<&str> {
        match self {
            Self::Iso | Self::Sql => None,
            Self::Pattern(pattern) => Some(pattern),
        }
    }

    /// Patterns to write by, without and with a time zone; `None`: ISO-8601.
    pub(super) fn to_write(&self) -> Option<[String; 2]> {
        match self {
            Self::Iso => None,
            Self::Sql => Some([SQL.to_owned(), SQL_WITH_ZONE.to_owned()]),
            Self::Pattern(pattern) => Some([pattern.clone(), pattern.clone()]),
        }
    }
}

/// Parses every value; `data_type` is a timestamp type. Text without a zone is UTC.
pub(super) fn parse_column(
    texts: &StringArray,
    data_type: &DataType,
    pattern: Option<&str>,
) -> Result<ArrayRef, ArrowError> {
    let DataType::Timestamp(unit, zone) = data_type else {
        return Err(ArrowError::SchemaError(format!("{data_type} is not a timestamp type")));
    };
    let mut values = Vec::with_capacity(texts.len());
    for row in 0..texts.len() {
        if texts.is_null(row) {
            values.push(0);
            continue;
        }
        let text = texts.value(row);
        values.push(parse(text, *unit, pattern).ok_or_else(|| {
            ArrowError::ParseError(format!("`{text}` is not a timestamp{}", expected(pattern)))
        })?);
    }
    let values =
        PrimitiveArray::<Int64Type>::new(ScalarBuffer::from(values), texts.nulls().cloned());
    Ok(match unit {
        TimeUnit::Second => {
            let array: TimestampSecondArray = values.reinterpret_cast();
            Arc::new(array.with_timezone_opt(zone.clone()))
        }
        TimeUnit::Millisecond => {
            let array: TimestampMillisecondArray = values.reinterpret_cast();
            Arc::new(array.with_timezone_opt(zone.clone()))
        }
        TimeUnit::Microsecond => {
            let array: TimestampMicrosecondArray = values.reinterpret_cast();
            Arc::new(array.with_timezone_opt(zone.clone()))
        }
        TimeUnit::Nanosecond => {
            let array: TimestampNanosecondArray = values.reinterpret_cast();
            Arc::new(array.with_timezone_opt(zone.clone()))
        }
    })
}

fn expected(pattern: Option<&str>) -> String {
    match pattern {
        Some(pattern) => format!(" of the form {pattern}"),
        None => " (ISO-8601, yyyy-MM-dd HH:mm:ss[.SSS] or epoch milliseconds)".to_owned(),
    }
}

fn parse(text: &str, unit: TimeUnit, pattern: Option<&str>) -> Option<i64> {
    if let Some(pattern) = pattern {
        return in_unit(parse_pattern(text, pattern)?, unit);
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        let ms: i64 = text.parse().ok()?;
        return match unit {
            TimeUnit::Second => Some(ms.div_euclid(1000)),
            TimeUnit::Millisecond => Some(ms),
            TimeUnit::Microsecond => ms.checked_mul(1000),
            TimeUnit::Nanosecond => ms.checked_mul(1_000_000),
        };
    }
    in_unit(string_to_datetime(&Utc, text).ok()?, unit)
}

fn parse_pattern(text: &str, pattern: &str) -> Option<DateTime<Utc>> {
    if let Ok(zoned) = DateTime::parse_from_str(text, pattern) {
        return Some(zoned.to_utc());
    }
    if let Ok(local) = NaiveDateTime::parse_from_str(text, pattern) {
        return Some(local.and_utc());
    }
    let date = NaiveDate::parse_from_str(text, pattern).ok()?;
    Some(date.and_hms_opt(0, 0, 0)?.and_utc())
}

fn in_unit(time: DateTime<Utc>, unit: TimeUnit) -> Option<i64> {
    match unit {
        TimeUnit::Second => Some(time.timestamp()),
        TimeUnit::Millisecond => Some(time.timestamp_millis()),
        TimeUnit::Microsecond => Some(time.timestamp_micros()),
        TimeUnit::Nanosecond => time.timestamp_nanos_opt(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_one_instant() {
        let ms = 1_357_034_400_123;
        for text in [
            "2013-01-01T10:00:00.123Z",
            "2013-01-01T11:00:00.123+01:00",
            "2013-01-01 10:00:00.123",
            "1357034400123",
        ] {
            assert_eq!(parse(text, TimeUnit::Millisecond, None), Some(ms), "{text}");
            assert_eq!(parse(text, TimeUnit::Microsecond, None), Some(ms * 1000), "{text}");
        }
        assert_eq!(parse("2013-01-01", TimeUnit::Second, None), Some(1_356_998_400));
        assert_eq!(parse("-1", TimeUnit::Second, None), Some(-1));
        assert_eq!(parse("yesterday", TimeUnit::Second, None), None);
        assert_eq!(parse("", TimeUnit::Second, None), None);
        assert_eq!(parse("-", TimeUnit::Second, None), None);
    }

    #[test]
    fn patterns_with_and_without_time_and_zone() {
        let at = |text, pattern| parse(text, TimeUnit::Second, Some(pattern));
        assert_eq!(at("01/02/2013 10:00", "%d/%m/%Y %H:%M"), Some(1_359_712_800));
        assert_eq!(at("01/02/2013", "%d/%m/%Y"), Some(1_359_676_800));
        assert_eq!(at("2013-02-01 10:00 +0100", "%Y-%m-%d %H:%M %z"), Some(1_359_709_200));
        assert_eq!(at("1357034400123", "%d/%m/%Y"), None);
    }
}
