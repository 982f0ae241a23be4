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
    Ok(typed(&values, *unit, zone.as_ref()))
}

/// `values`, in `unit` since the epoch, as timestamps.
pub(super) fn typed(
    values: &PrimitiveArray<Int64Type>,
    unit: TimeUnit,
    zone: Option<&Arc<str>>,
) -> ArrayRef {
    let zone = zone.cloned();
    match unit {
        TimeUnit::Second => {
            let array: TimestampSecondArray = values.reinterpret_cast();
            Arc::new(array.with_timezone_opt(zone))
        }
        TimeUnit::Millisecond => {
            let array: TimestampMillisecondArray = values.reinterpret_cast();
            Arc::new(array.with_timezone_opt(zone))
        }
        TimeUnit::Microsecond => {
            let array: TimestampMicrosecondArray = values.reinterpret_cast();
            Arc::new(array.with_timezone_opt(zone))
        }
        TimeUnit::Nanosecond => {
            let array: TimestampNanosecondArray = values.reinterpret_cast();
            Arc::new(array.with_timezone_opt(zone))
        }
    }
}

fn expected(pattern: Option<&str>) -> String {
    match pattern {
        Some(pattern) => format!(" of the form {pattern}"),
        None => " (ISO-8601, yyyy-MM-dd HH:mm:ss[.SSS] or epoch milliseconds)".to_owned(),
    }
}

/// A point in time, in `unit` since the epoch; digits alone are milliseconds.
pub(super) fn parse(text: &str, unit: TimeUnit, pattern: Option<&str>) -> Option<i64> {
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
    parse_instant(text, unit)
}

/// As [`parse`] without a pattern, but digits alone are no timestamp.
pub(super) fn parse_instant(text: &str, unit: TimeUnit) -> Option<i64> {
    match usual(text).and_then(|(seconds, nanos)| count(seconds, nanos, unit)) {
        Some(value) => Some(value),
        None => in_unit(string_to_datetime(&Utc, text).ok()?, unit),
    }
}

/// Seconds and nanoseconds of `yyyy-MM-dd HH:mm:ss[.S...]`, as most timestamps are written.
/// `None`: it is not, or there is no such time.
fn usual(text: &str) -> Option<(i64, i64)> {
    let (time, rest) = text.as_bytes().split_first_chunk::<19>()?;
    let [_, _, _, _, b'-', _, _, b'-', _, _, b' ' | b'T', _, _, b':', _, _, b':', _, _] = time
    else {
        return None;
    };
    let pair = |at: usize| {
        let (high, low) = (time[at].wrapping_sub(b'0'), time[at + 1].wrapping_sub(b'0'));
        (high < 10 && low < 10).then(|| i64::from(high * 10 + low))
    };
    let (year, month, day) = (pair(0)? * 100 + pair(2)?, pair(5)?, pair(8)?);
    let (hour, minute, second) = (pair(11)?, pair(14)?, pair(17)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let month_days = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if day == 0 || day > month_days || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some((seconds, fraction(rest)?))
}

/// Days since 1970-01-01. Years begin in March here, so that the leap day comes last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (leaps, day_of_year) =
        (year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400), (153 * month + 2) / 5);
    // Day 0 is 0000-03-01.
    year * 365 + leaps + day_of_year + day - 1 - 719_468
}

/// Nanoseconds of what follows the seconds: nothing, or a point and up to nine digits, and
/// perhaps a `Z`.
fn fraction(rest: &[u8]) -> Option<i64> {
    let rest = rest.strip_suffix(b"Z").unwrap_or(rest);
    let [b'.', digits @ ..] = rest else { return rest.is_empty().then_some(0) };
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    let mut nanos = 0;
    for at in 0..9 {
        let digit = digits.get(at).map_or(0, |d| d.wrapping_sub(b'0'));
        if digit > 9 {
            return None;
        }
        nanos = nanos * 10 + i64::from(digit);
    }
    Some(nanos)
}

fn count(seconds: i64, nanos: i64, unit: TimeUnit) -> Option<i64> {
    match unit {
        TimeUnit::Second => Some(seconds),
        TimeUnit::Millisecond => Some(seconds * 1000 + nanos / 1_000_000),
        TimeUnit::Microsecond => Some(seconds * 1_000_000 + nanos / 1000),
        TimeUnit::Nanosecond => seconds.checked_mul(1_000_000_000)?.checked_add(nanos),
    }
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
    fn usual_timestamps_are_what_the_general_parser_makes_of_them() {
        let mut found = 0;
        for year in ["0000", "0001", "1600", "1899", "1969", "1970", "2000", "2023", "2024", "9999"]
        {
            for day in ["01-01", "02-28", "02-29", "03-01", "04-31", "12-31", "13-01", "10-00"] {
                for time in [
                    " 00:00:00",
                    "T23:59:59.9",
                    " 10:00:00.000001Z",
                    " 24:00:00",
                    "T10:00:60",
                    " 10:00:00.",
                    " 10:00:00.123456789",
                    " 10:00:00.1234567890",
                    " 10:00",
                    " 10:00:00+01:00",
                    "T10:00:00.1a",
                    "T1a:00:00",
                ] {
                    let text = format!("{year}-{day}{time}");
                    let general = string_to_datetime(&Utc, &text).ok();
                    for unit in [
                        TimeUnit::Second,
                        TimeUnit::Millisecond,
                        TimeUnit::Microsecond,
                        TimeUnit::Nanosecond,
                    ] {
                        let value = usual(&text).and_then(|(s, n)| count(s, n, unit));
                        let wanted = general.and_then(|time| in_unit(time, unit));
                        assert!(value.is_none() || value == wanted, "{text}: {value:?}");
                        assert_eq!(parse_instant(&text, unit), wanted, "{text}");
                        found += usize::from(value.is_some());
                    }
                }
            }
        }
        assert!(found > 500, "{found}");
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
