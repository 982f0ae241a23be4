//! Casts that arrow does otherwise than Flink: to TIME of so many digits, and of texts with a
//! fraction or blanks to whole numbers. `spelling` and `flink` put them where a cast stood.
//! Called through `builtin`.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, StringBuilder};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Time32MillisecondType, TimeUnit};
use datafusion_common::{Result, exec_err, plan_err};

use super::{Arg, Call, Definition, Returns};

/// The digits of a text's whole part.
pub(crate) const WHOLE_PART: &str = "whole_part_of_text";

const TIME: DataType = DataType::Time32(TimeUnit::Millisecond);

pub(super) const FUNCTIONS: &[Definition] = &[
    Definition {
        name: "cast_to_time",
        takes: &[Arg::Any, Arg::Int],
        count: (2, 2),
        returns: Returns::By(time),
        eval: |call| to_time(call, false),
    },
    Definition {
        name: "try_cast_to_time",
        takes: &[Arg::Any, Arg::Int],
        count: (2, 2),
        returns: Returns::By(time),
        eval: |call| to_time(call, true),
    },
    Definition {
        name: WHOLE_PART,
        takes: &[Arg::Text],
        count: (1, 1),
        returns: Returns::Text,
        eval: |call| whole_parts(call),
    },
];

fn time(types: &[DataType]) -> Result<DataType> {
    match &types[0] {
        DataType::Utf8
        | DataType::Timestamp(_, _)
        | DataType::Time32(_)
        | DataType::Time64(_)
        | DataType::Null => Ok(TIME),
        other => plan_err!("{} cannot be cast to TIME", planner::sql_type::show(other)),
    }
}

/// The time of day, without what lies behind so many digits of the second; `safe`: NULL where
/// a text is none.
fn to_time(call: &Call<'_>, safe: bool) -> Result<ArrayRef> {
    let options = CastOptions { safe, ..CastOptions::default() };
    let given = match call.args[0].as_string_opt::<i32>() {
        Some(texts) => times_only(texts, safe)?,
        None => call.args[0].clone(),
    };
    // Texts and timestamps are read in full first: arrow rounds nothing on the way there.
    let micros = cast_with_options(&given, &DataType::Time64(TimeUnit::Microsecond), &options)?;
    let times = cast_with_options(&micros, &TIME, &options)?;
    let digits = call.int(1)?;
    let times = Call { args: &[times, call.args[1].clone()], ..*call };
    let millis = times.primitive::<Time32MillisecondType>(0)?;
    times.values::<Time32MillisecondType>(|row| {
        let cut = match digits.value(row) {
            0 => 1_000,
            1 => 100,
            2 => 10,
            _ => 1,
        };
        Ok(Some(millis.value(row) / cut * cut))
    })
}

/// Arrow would take a number for a time.
fn times_only(texts: &StringArray, safe: bool) -> Result<ArrayRef> {
    let mut out = StringBuilder::with_capacity(texts.len(), texts.value_data().len());
    for text in texts {
        match text.map(str::trim) {
            Some(text) if text.contains(':') => out.append_value(text),
            Some(text) if !safe => return exec_err!("'{text}' is no TIME: write it as 'hh:mm:ss'"),
            _ => out.append_null(),
        }
    }
    Ok(Arc::new(out.finish()))
}

fn whole_parts(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.text(0)?;
    // Most columns have nothing to cut.
    if !texts.value_data().iter().any(|b| *b == b'.' || b.is_ascii_whitespace()) {
        return Ok(call.args[0].clone());
    }
    let cut: StringArray = texts.iter().map(|text| text.map(whole_part)).collect();
    Ok(Arc::new(cut))
}

/// ` -17.5 ` is `-17`, `.5` is `0`; what is no number stays as it is, and is refused as it was
/// written.
fn whole_part(text: &str) -> Cow<'_, str> {
    let text = text.trim();
    let Some((whole, fraction)) = text.split_once('.') else { return text.into() };
    let digits = whole.strip_prefix(['+', '-']).unwrap_or(whole);
    let number = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    match number(digits) && number(fraction) {
        true if digits.is_empty() && !fraction.is_empty() => "0".into(),
        true if !digits.is_empty() => whole.into(),
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_lose_their_fraction() {
        for (text, whole) in [
            ("-17.5", "-17"),
            (" +3. ", "+3"),
            (".9", "0"),
            ("-.9", "0"),
            ("12", "12"),
            (".", "."),
            ("1.2.3", "1.2.3"),
            ("1.x", "1.x"),
            ("a.5", "a.5"),
        ] {
            assert_eq!(whole_part(text), whole, "{text}");
        }
    }
}
