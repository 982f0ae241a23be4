//! Parts of times, rounding, adding and distances by unit. Times are microseconds since the
//! epoch, without a zone. Called through `builtin`; the spelling with keywords (`EXTRACT(YEAR
//! FROM ts)`, `FLOOR(ts TO HOUR)`) is `spelling`'s.

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimeUnit};
use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveDateTime};
use datafusion_common::{Result, exec_err, plan_err};

use super::{Arg, Call, Definition, Returns};

pub(super) const FUNCTIONS: &[Definition] = &[
    Definition {
        name: "extract_unit",
        takes: &[Arg::Text, Arg::Any],
        count: (2, 2),
        returns: Returns::Bigint,
        eval: extract,
    },
    Definition {
        name: "floor_to",
        takes: &[Arg::Any, Arg::Text],
        count: (2, 2),
        returns: Returns::By(point),
        eval: |call| round(call, false),
    },
    Definition {
        name: "ceil_to",
        takes: &[Arg::Any, Arg::Text],
        count: (2, 2),
        returns: Returns::By(point),
        eval: |call| round(call, true),
    },
    Definition {
        name: "timestampadd",
        takes: &[Arg::Text, Arg::Int, Arg::Any],
        count: (3, 3),
        returns: Returns::By(|types| point(&types[2..])),
        eval: add,
    },
    Definition {
        name: "timestampdiff",
        takes: &[Arg::Text, Arg::Stamp],
        count: (3, 3),
        returns: Returns::Int,
        eval: |call| {
            let (mut units, from, to) = (Units::of(call, 0)?, call.stamp(1)?, call.stamp(2)?);
            call.values::<Int32Type>(|row| {
                let unit = units.get(row)?;
                let found = distance(unit, from.value(row), to.value(row));
                Ok(found.and_then(|n| i32::try_from(n).ok()))
            })
        },
    },
    Definition {
        name: "overlaps",
        takes: &[Arg::Stamp],
        count: (4, 4),
        returns: Returns::Bool,
        eval: |call| {
            let ends = [call.stamp(0)?, call.stamp(1)?, call.stamp(2)?, call.stamp(3)?];
            call.conditions(|row| {
                let [a, b, c, d] = ends.map(|e| e.value(row));
                let (first, second) = ((a.min(b), a.max(b)), (c.min(d), c.max(d)));
                Ok(Some(first.1 >= second.0 && second.1 >= first.0))
            })
        },
    },
];

/// A time unit, in Flink's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Millennium,
    Century,
    Decade,
    Year,
    IsoYear,
    Quarter,
    Month,
    Week,
    Day,
    DayOfWeek,
    IsoDayOfWeek,
    DayOfYear,
    Hour,
    Minute,
    Second,
    Millisecond,
    Microsecond,
    Nanosecond,
    Epoch,
}

/// Whether `text` names a time unit.
pub(crate) fn is_unit(text: &str) -> bool {
    Unit::parse(text).is_ok()
}

impl Unit {
    fn parse(text: &str) -> Result<Self> {
        Ok(match text.to_uppercase().trim_start_matches("SQL_TSI_") {
            "MILLENNIUM" => Self::Millennium,
            "CENTURY" => Self::Century,
            "DECADE" => Self::Decade,
            "YEAR" => Self::Year,
            "ISOYEAR" => Self::IsoYear,
            "QUARTER" => Self::Quarter,
            "MONTH" => Self::Month,
            "WEEK" => Self::Week,
            "DAY" => Self::Day,
            "DOW" => Self::DayOfWeek,
            "ISODOW" => Self::IsoDayOfWeek,
            "DOY" => Self::DayOfYear,
            "HOUR" => Self::Hour,
            "MINUTE" => Self::Minute,
            "SECOND" => Self::Second,
            "MILLISECOND" => Self::Millisecond,
            "MICROSECOND" => Self::Microsecond,
            "NANOSECOND" => Self::Nanosecond,
            "EPOCH" => Self::Epoch,
            _ => {
                return exec_err!(
                    "unknown time unit '{text}': MILLENNIUM, CENTURY, DECADE, YEAR, QUARTER, MONTH, \
                     WEEK, DAY, HOUR, MINUTE, SECOND, MILLISECOND and parts such as DOW and DOY"
                );
            }
        })
    }

    /// Of a unit of constant length.
    fn micros(self) -> Option<i64> {
        Some(match self {
            Self::Week => 7 * DAY,
            Self::Day => DAY,
            Self::Hour => HOUR,
            Self::Minute => MINUTE,
            Self::Second => SECOND,
            Self::Millisecond => 1_000,
            Self::Microsecond => 1,
            _ => return None,
        })
    }

    /// Of a unit of whole months.
    fn months(self) -> Option<i64> {
        Some(match self {
            Self::Millennium => 12_000,
            Self::Century => 1_200,
            Self::Decade => 120,
            Self::Year => 12,
            Self::Quarter => 3,
            Self::Month => 1,
            _ => return None,
        })
    }
}

/// The units of the rows of a call: that of the row before is nearly always that of this one.
struct Units<'a> {
    texts: &'a StringArray,
    last: Option<(&'a str, Unit)>,
}

impl<'a> Units<'a> {
    fn of(call: &'a Call<'_>, argument: usize) -> Result<Self> {
        Ok(Self { texts: call.text(argument)?, last: None })
    }

    fn get(&mut self, row: usize) -> Result<Unit> {
        let text = self.texts.value(row);
        match self.last {
            Some((last, unit)) if last == text => Ok(unit),
            _ => Ok(self.last.insert((text, Unit::parse(text)?)).1),
        }
    }
}

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

fn date_time(micros: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_micros(micros).map(|at| at.naive_utc())
}

/// Points in time keep their type; a text is none.
fn point(types: &[DataType]) -> Result<DataType> {
    match types.first() {
        Some(found @ (DataType::Timestamp(_, _) | DataType::Date32)) => Ok(found.clone()),
        Some(found @ (DataType::Time32(_) | DataType::Time64(_))) => Ok(found.clone()),
        Some(DataType::Null) => Ok(DataType::Timestamp(TimeUnit::Millisecond, None)),
        other => {
            let found = other.map(planner::sql_type::show).unwrap_or_default();
            plan_err!("a date, time or timestamp is needed here, but this is {found}")
        }
    }
}

/// Microseconds since the epoch, or since midnight.
fn micros_of(array: &ArrayRef) -> Result<ArrayRef> {
    let found = match array.data_type() {
        DataType::Time32(_) | DataType::Time64(_) => {
            let time = cast(array, &DataType::Time64(TimeUnit::Microsecond))?;
            cast(&time, &DataType::Int64)?
        }
        _ => {
            let stamp = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
            cast(&stamp, &DataType::Int64)?
        }
    };
    Ok(found)
}

/// Back from [`micros_of`].
fn of_micros(array: &ArrayRef, wanted: &DataType) -> Result<ArrayRef> {
    let between = match wanted {
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        _ => DataType::Timestamp(TimeUnit::Microsecond, None),
    };
    Ok(cast(&cast(array, &between)?, wanted)?)
}

fn extract(call: &Call<'_>) -> Result<ArrayRef> {
    let mut units = Units::of(call, 0)?;
    point(&[call.args[1].data_type().clone()])?;
    let micros = micros_of(&call.args[1])?;
    let micros = micros.as_primitive::<Int64Type>();
    call.values::<Int64Type>(|row| Ok(part(units.get(row)?, micros.value(row))))
}

/// Parts of the time of day need no date. `None`: it is out of the range of dates.
fn part(unit: Unit, micros: i64) -> Option<i64> {
    let day = || date_time(micros);
    // Centuries and millennia start with the year after the round one.
    let block = |length: i64| {
        let year = i64::from(day()?.year());
        Some(if year > 0 { (year + length - 1) / length } else { (year - length + 1) / length })
    };
    Some(match unit {
        Unit::Millennium => block(1_000)?,
        Unit::Century => block(100)?,
        Unit::Decade => i64::from(day()?.year()).div_euclid(10),
        Unit::Year => i64::from(day()?.year()),
        Unit::IsoYear => i64::from(day()?.iso_week().year()),
        Unit::Quarter => i64::from(day()?.month0() / 3 + 1),
        Unit::Month => i64::from(day()?.month()),
        Unit::Week => i64::from(day()?.iso_week().week()),
        Unit::Day => i64::from(day()?.day()),
        Unit::DayOfWeek => i64::from(day()?.weekday().number_from_sunday()),
        Unit::IsoDayOfWeek => i64::from(day()?.weekday().number_from_monday()),
        Unit::DayOfYear => i64::from(day()?.ordinal()),
        Unit::Hour => micros.rem_euclid(DAY) / HOUR,
        Unit::Minute => micros.rem_euclid(HOUR) / MINUTE,
        Unit::Second => micros.rem_euclid(MINUTE) / SECOND,
        Unit::Millisecond => micros.rem_euclid(SECOND) / 1_000,
        Unit::Microsecond => micros.rem_euclid(SECOND),
        Unit::Nanosecond => micros.rem_euclid(SECOND) * 1_000,
        Unit::Epoch => micros.div_euclid(SECOND),
    })
}

fn round(call: &Call<'_>, up: bool) -> Result<ArrayRef> {
    let mut units = Units::of(call, 1)?;
    let micros = micros_of(&call.args[0])?;
    let micros = micros.as_primitive::<Int64Type>();
    let found = call.values::<Int64Type>(|row| {
        let unit = units.get(row)?;
        let at = micros.value(row);
        let low = floor(unit, at)?;
        Ok(match (low, up) {
            (Some(low), true) if low < at => next(unit, low),
            (low, _) => low,
        })
    })?;
    of_micros(&found, call.returns)
}

/// The start of the unit's stretch that `at` lies in.
fn floor(unit: Unit, at: i64) -> Result<Option<i64>> {
    if unit == Unit::Week {
        // Weeks start on Sunday; 1970-01-01 was a Thursday.
        let shifted = at + 4 * DAY;
        return Ok(Some(shifted.div_euclid(7 * DAY) * 7 * DAY - 4 * DAY));
    }
    if let Some(length) = unit.micros() {
        return Ok(Some(at.div_euclid(length) * length));
    }
    if unit == Unit::Nanosecond {
        return Ok(Some(at));
    }
    let Some(months) = unit.months() else {
        return exec_err!("times cannot be rounded to this unit");
    };
    let Some(date) = date_time(at).map(|at| at.date()) else { return Ok(None) };
    let year = date.year();
    let first = match unit {
        // 2001 is the first year of its century.
        Unit::Millennium => NaiveDate::from_ymd_opt((year - 1).div_euclid(1_000) * 1_000 + 1, 1, 1),
        Unit::Century => NaiveDate::from_ymd_opt((year - 1).div_euclid(100) * 100 + 1, 1, 1),
        Unit::Decade => NaiveDate::from_ymd_opt(year.div_euclid(10) * 10, 1, 1),
        _ => {
            let months = u32::try_from(months).unwrap_or(1);
            NaiveDate::from_ymd_opt(year, date.month0() / months * months + 1, 1)
        }
    };
    Ok(first.and_then(|d| d.and_hms_opt(0, 0, 0)).map(|d| d.and_utc().timestamp_micros()))
}

/// The start of the stretch after the one that starts at `low`.
fn next(unit: Unit, low: i64) -> Option<i64> {
    match unit.micros() {
        Some(length) => low.checked_add(length),
        None => added(unit, 1, low),
    }
}

fn added(unit: Unit, count: i64, at: i64) -> Option<i64> {
    if let Some(length) = unit.micros() {
        return at.checked_add(length.checked_mul(count)?);
    }
    let months = unit.months()?.checked_mul(count)?;
    let at = date_time(at)?;
    let distance = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
    let found = match months >= 0 {
        true => at.checked_add_months(distance)?,
        false => at.checked_sub_months(distance)?,
    };
    Some(found.and_utc().timestamp_micros())
}

fn add(call: &Call<'_>) -> Result<ArrayRef> {
    let (mut units, counts) = (Units::of(call, 0)?, call.int(1)?);
    let micros = micros_of(&call.args[2])?;
    let micros = micros.as_primitive::<Int64Type>();
    let found = call.values::<Int64Type>(|row| {
        let unit = units.get(row)?;
        if unit.micros().is_none() && unit.months().is_none() {
            return exec_err!("'{}' cannot be added to a time", units.texts.value(row));
        }
        Ok(added(unit, counts.value(row), micros.value(row)))
    })?;
    of_micros(&found, call.returns)
}

/// Whole units from one time to the other.
fn distance(unit: Unit, from: i64, to: i64) -> Option<i64> {
    if let Some(length) = unit.micros() {
        return Some(to.checked_sub(from)? / length);
    }
    let months = unit.months()?;
    let (a, b) = (date_time(from)?, date_time(to)?);
    let month = |at: NaiveDateTime| i64::from(at.year()) * 12 + i64::from(at.month0());
    let within = |at: NaiveDateTime| (at.day(), at.time());
    let mut count = month(b) - month(a);
    // A month that is not over does not count.
    if count > 0 && within(b) < within(a) {
        count -= 1;
    } else if count < 0 && within(b) > within(a) {
        count += 1;
    }
    Some(count / months)
}
