//! Texts and numbers that become dates and timestamps, and the other way round. Zones are
//! IANA's, or offsets; the session's zone is UTC. Called through `builtin`.

use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use arrow::datatypes::{DataType, Date32Type, Int64Type, TimestampMillisecondType};
use chrono::{DateTime, NaiveDate, NaiveDateTime, Offset, TimeZone};
use datafusion_common::Result;

use super::java_time::{Pattern, Patterns, read_plain};
use super::{Arg, Call, Definition, Returns};

pub(super) const FUNCTIONS: &[Definition] =
    &[
        Definition {
            name: "date_format",
            takes: &[Arg::Any, Arg::Text],
            count: (2, 2),
            returns: Returns::Text,
            eval: date_format,
        },
        Definition {
            name: "from_unixtime",
            takes: &[Arg::Int, Arg::Text],
            count: (1, 2),
            returns: Returns::Text,
            eval: |call| {
                let seconds = call.int(0)?;
                let mut patterns = Patterns::default();
                call.texts(|row| {
                    let Some(at) = DateTime::from_timestamp(seconds.value(row), 0) else {
                        return Ok(None);
                    };
                    let pattern = match call.has(1) {
                        true => patterns.get(call.text(1)?.value(row))?,
                        false => patterns.get("yyyy-MM-dd HH:mm:ss")?,
                    };
                    Ok(Some(pattern.write(at.naive_utc())))
                })
            },
        },
        Definition {
            name: "unix_timestamp",
            takes: &[Arg::Text],
            count: (1, 2),
            returns: Returns::Bigint,
            eval: |call| {
                let texts = call.text(0)?;
                let mut patterns = Patterns::default();
                call.values::<Int64Type>(|row| {
                    let found = match call.has(1) {
                        true => patterns.get(call.text(1)?.value(row))?.read(texts.value(row)),
                        false => patterns.get("yyyy-MM-dd HH:mm:ss")?.read(texts.value(row)),
                    };
                    Ok(Some(found.map_or(i64::MIN, |(at, zone)| {
                        at.and_utc().timestamp() - zone.unwrap_or(0)
                    })))
                })
            },
        },
        Definition {
            name: "to_date",
            takes: &[Arg::Text],
            count: (1, 2),
            returns: Returns::Date,
            eval: |call| {
                let texts = call.text(0)?;
                let mut patterns = Patterns::default();
                call.values::<Date32Type>(|row| {
                    let at = parsed(call, row, texts.value(row), &mut patterns)?;
                    Ok(at.map(|(at, _)| {
                        let days = at.date().signed_duration_since(NaiveDate::default()).num_days();
                        i32::try_from(days).unwrap_or(0)
                    }))
                })
            },
        },
        Definition {
            name: "to_timestamp",
            takes: &[Arg::Text],
            count: (1, 2),
            returns: Returns::Stamp,
            eval: |call| {
                let texts = call.text(0)?;
                let mut patterns = Patterns::default();
                call.values::<TimestampMillisecondType>(|row| {
                    let at = parsed(call, row, texts.value(row), &mut patterns)?;
                    Ok(at.map(|(at, _)| at.and_utc().timestamp_millis()))
                })
            },
        },
        Definition {
            name: "to_timestamp_ltz",
            takes: &[Arg::Any],
            count: (1, 3),
            returns: Returns::Instant,
            eval: to_timestamp_ltz,
        },
        Definition {
            name: "convert_tz",
            takes: &[Arg::Text],
            count: (3, 3),
            returns: Returns::Text,
            eval: |call| {
                let (texts, from, to) = (call.text(0)?, call.text(1)?, call.text(2)?);
                let pattern = Pattern::parse("yyyy-MM-dd HH:mm:ss")?;
                call.texts(|row| {
                    let (from, to) = (Zone::parse(from.value(row)), Zone::parse(to.value(row)));
                    let at = read_plain(texts.value(row));
                    let (Some(at), Some(from), Some(to)) = (at, from, to) else { return Ok(None) };
                    Ok(from.utc(at).map(|utc| pattern.write(to.local(utc))))
                })
            },
        },
    ];

/// The text under its pattern, which is the call's second argument, or as a cast reads it.
fn parsed(
    call: &Call<'_>,
    row: usize,
    text: &str,
    patterns: &mut Patterns,
) -> Result<Option<(NaiveDateTime, Option<i64>)>> {
    match call.has(1) {
        true => Ok(patterns.get(call.text(1)?.value(row))?.read(text)),
        false => Ok(read_plain(text).map(|at| (at, None))),
    }
}

/// Of a timestamp, a date, or a text that is one.
fn date_format(call: &Call<'_>) -> Result<ArrayRef> {
    let formats = call.text(1)?;
    let mut patterns = Patterns::default();
    if *call.args[0].data_type() == DataType::Utf8 {
        let texts = call.text(0)?;
        return call.texts(|row| {
            let pattern = patterns.get(formats.value(row))?;
            Ok(read_plain(texts.value(row)).map(|at| pattern.write(at)))
        });
    }
    let nanos = DataType::Timestamp(arrow::datatypes::TimeUnit::Nanosecond, None);
    let micros = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None);
    if matches!(
        call.args[0].data_type(),
        DataType::Timestamp(arrow::datatypes::TimeUnit::Nanosecond, _)
    ) {
        let stamps = arrow::compute::cast(&call.args[0], &nanos)?;
        let stamps = stamps.as_primitive::<arrow::datatypes::TimestampNanosecondType>();
        return call.texts(|row| {
            let at = DateTime::from_timestamp_nanos(stamps.value(row)).naive_utc();
            Ok(Some(patterns.get(formats.value(row))?.write(at)))
        });
    }
    let stamps = arrow::compute::cast(&call.args[0], &micros)?;
    let stamps = stamps.as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
    // Rows come in the order of time: most have the text of the row before.
    let mut out = StringBuilder::with_capacity(call.rows, call.rows * 8);
    let (mut text, mut of) = (String::new(), None);
    for row in 0..call.rows {
        if call.null(row) {
            out.append_null();
            continue;
        }
        let (format, at) = (formats.value(row), stamps.value(row));
        let pattern = patterns.get(format)?;
        let unit = Some((format, at.div_euclid(pattern.unit_micros())));
        if unit != of {
            let Some(time) = DateTime::from_timestamp_micros(at) else {
                out.append_null();
                continue;
            };
            (text, of) = (pattern.write(time.naive_utc()), unit);
        }
        out.append_value(&text);
    }
    Ok(Arc::new(out.finish()))
}

/// `(number[, 0 | 3])`: seconds or milliseconds since the epoch, milliseconds when nothing is
/// said; `(text[, pattern[, zone]])`.
fn to_timestamp_ltz(call: &Call<'_>) -> Result<ArrayRef> {
    if *call.args[0].data_type() == DataType::Utf8 {
        let texts = call.text(0)?;
        let mut patterns = Patterns::default();
        return call.values::<TimestampMillisecondType>(|row| {
            let Some((at, zone)) = parsed(call, row, texts.value(row), &mut patterns)? else {
                return Ok(None);
            };
            let utc = match (zone, call.has(2)) {
                (Some(ahead), _) => Some(at - chrono::TimeDelta::seconds(ahead)),
                (None, true) => Zone::parse(call.text(2)?.value(row)).and_then(|z| z.utc(at)),
                (None, false) => Some(at),
            };
            Ok(utc.map(|utc| utc.and_utc().timestamp_millis()))
        });
    }
    let whole =
        call.args[0].data_type().is_integer() || *call.args[0].data_type() == DataType::Null;
    if !whole && !call.args[0].data_type().is_numeric() {
        let found = planner::sql_type::show(call.args[0].data_type());
        return datafusion_common::exec_err!(
            "function 'to_timestamp_ltz' needs a number or a text, but this is {found}"
        );
    }
    let numbers = arrow::compute::cast(&call.args[0], &DataType::Float64)?;
    let numbers = numbers.as_primitive::<arrow::datatypes::Float64Type>();
    let exact = arrow::compute::cast(&call.args[0], &DataType::Int64)?;
    let exact = exact.as_primitive::<Int64Type>();
    let scales = match call.args.get(1) {
        Some(scales) => Some(arrow::compute::cast(scales, &DataType::Int64)?),
        None => None,
    };
    call.values::<TimestampMillisecondType>(|row| {
        let scale = scales.as_ref().map_or(3, |s| s.as_primitive::<Int64Type>().value(row));
        if exact.is_null(row) {
            return Ok(None);
        }
        match scale {
            0 if whole => Ok(exact.value(row).checked_mul(1_000)),
            0 => Ok(Some((numbers.value(row) * 1_000.0) as i64)),
            3 => Ok(Some(exact.value(row))),
            other => datafusion_common::exec_err!(
                "the precision of TO_TIMESTAMP_LTZ is 0 (seconds) or 3 (milliseconds), not {other}"
            ),
        }
    })
}

/// A time zone: a name, or so many seconds ahead of UTC.
enum Zone {
    Named(chrono_tz::Tz),
    Ahead(i64),
}

impl Zone {
    /// `Europe/Berlin`, `UTC`, `PST`, `GMT-08:00`, `+01:00`.
    fn parse(text: &str) -> Option<Self> {
        if let Ok(zone) = chrono_tz::Tz::from_str(text) {
            return Some(Self::Named(zone));
        }
        // Java's three letters that IANA does not have.
        let long = match text {
            "PST" => Some("America/Los_Angeles"),
            "CST" => Some("America/Chicago"),
            "IST" => Some("Asia/Kolkata"),
            "JST" => Some("Asia/Tokyo"),
            "CTT" => Some("Asia/Shanghai"),
            "AET" => Some("Australia/Sydney"),
            "ECT" => Some("Europe/Paris"),
            _ => None,
        };
        if let Some(zone) = long.and_then(|name| chrono_tz::Tz::from_str(name).ok()) {
            return Some(Self::Named(zone));
        }
        let offset = ["GMT", "UTC"].iter().find_map(|p| text.strip_prefix(p)).unwrap_or(text);
        let at = NaiveDate::default().and_hms_opt(0, 0, 0)?;
        let (read, zone) = Pattern::parse("X").ok()?.read(offset)?;
        (read == at).then_some(Self::Ahead(zone?))
    }

    /// A time on this zone's clocks in UTC; where clocks go back, the first of the two.
    fn utc(&self, at: NaiveDateTime) -> Option<NaiveDateTime> {
        match self {
            Self::Named(zone) => zone
                .from_local_datetime(&at)
                .earliest()
                // Clocks were put forward over it.
                .or_else(|| {
                    let later = at + chrono::TimeDelta::hours(1);
                    zone.from_local_datetime(&later).earliest()
                })
                .map(|found| found.naive_utc()),
            Self::Ahead(seconds) => Some(at - chrono::TimeDelta::seconds(*seconds)),
        }
    }

    fn local(&self, utc: NaiveDateTime) -> NaiveDateTime {
        let seconds = match self {
            Self::Named(zone) => {
                i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc())
            }
            Self::Ahead(seconds) => *seconds,
        };
        utc + chrono::TimeDelta::seconds(seconds)
    }
}
