//! Functions that make an aggregate's result of what COLLECT or ARRAY_AGG gathered, so that
//! aggregates without an accumulator of their own retract like those. Not for users: `query`
//! writes them (`query::aggregates`), `registry` knows them.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int32Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion_common::cast::{as_float64_array, as_list_array, as_map_array};
use datafusion_common::{Result, exec_err, internal_err};
use datafusion_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// `PERCENTILE` of a multiset.
pub(crate) const PERCENTILE_OF: &str = "percentile_of";
/// A JSON array of an array.
pub(crate) const JSON_ARRAY_OF: &str = "json_arrayagg_of";
/// `"key":value`; NULL of a NULL key.
pub(crate) const JSON_MEMBER: &str = "json_member";
/// A JSON object of a multiset of members.
pub(crate) const JSON_OBJECT_OF: &str = "json_objectagg_of";

#[derive(Debug, PartialEq, Eq, Hash)]
struct Collected {
    name: &'static str,
    signature: Signature,
}

pub(crate) fn functions() -> impl Iterator<Item = Arc<ScalarUDF>> {
    [PERCENTILE_OF, JSON_ARRAY_OF, JSON_MEMBER, JSON_OBJECT_OF].into_iter().map(|name| {
        let signature = Signature::variadic_any(Volatility::Immutable);
        Arc::new(ScalarUDF::new_from_impl(Collected { name, signature }))
    })
}

impl ScalarUDFImpl for Collected {
    fn name(&self) -> &str {
        self.name
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(if self.name == PERCENTILE_OF { DataType::Float64 } else { DataType::Utf8 })
    }
    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        let result = match (self.name, arrays.as_slice()) {
            (PERCENTILE_OF, [multiset, share]) => percentiles(multiset, share)?,
            (JSON_ARRAY_OF, [list]) => json_arrays(list)?,
            (JSON_MEMBER, [key, value]) => json_members(key, value)?,
            (JSON_OBJECT_OF, [members]) => json_objects(members)?,
            (name, arrays) => return internal_err!("{name} of {} arguments", arrays.len()),
        };
        Ok(ColumnarValue::Array(result))
    }
}

/// Between neighbours by their distance, as Flink's PERCENTILE and SQL's PERCENTILE_CONT.
fn percentiles(multiset: &ArrayRef, share: &ArrayRef) -> Result<ArrayRef> {
    let multisets = as_map_array(multiset)?;
    let values = cast(multisets.keys(), &DataType::Float64)?;
    let values = as_float64_array(&values)?;
    let counts = multisets.values().as_primitive::<Int32Type>();
    let shares = cast(share, &DataType::Float64)?;
    let shares = shares.as_primitive::<Float64Type>();
    let offsets = multisets.value_offsets();
    let mut sorted: Vec<(f64, i64)> = Vec::new();
    let one = |row: usize| {
        if multisets.is_null(row) || shares.is_null(row) {
            return None;
        }
        sorted.clear();
        let range = offsets[row] as usize..offsets[row + 1] as usize;
        sorted.extend(range.map(|at| (values.value(at), i64::from(counts.value(at)))));
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let rows: i64 = sorted.iter().map(|(_, count)| count).sum();
        if rows == 0 {
            return None;
        }
        let place = shares.value(row).clamp(0.0, 1.0) * (rows - 1) as f64;
        let at = |rank: i64| {
            let mut passed = 0;
            let found = sorted.iter().find(|(_, count)| {
                passed += count;
                rank < passed
            });
            found.map(|(value, _)| *value)
        };
        let (low, high) = (at(place.floor() as i64)?, at(place.ceil() as i64)?);
        Some(low + (high - low) * (place - place.floor()))
    };
    let found: Float64Array = (0..multisets.len()).map(one).collect();
    Ok(Arc::new(found))
}

/// Values of one array as JSON.
struct JsonValues<'a> {
    array: &'a dyn Array,
    formatter: ArrayFormatter<'a>,
    /// Numbers and truth values stand without quotes.
    bare: bool,
}

impl<'a> JsonValues<'a> {
    fn new(array: &'a dyn Array, options: &'a FormatOptions<'a>) -> Result<Self> {
        let data_type = array.data_type();
        let bare = data_type.is_numeric() || *data_type == DataType::Boolean;
        Ok(Self { array, formatter: ArrayFormatter::try_new(array, options)?, bare })
    }

    fn write(&self, row: usize, out: &mut String) -> Result<()> {
        if self.array.is_null(row) {
            out.push_str("null");
            return Ok(());
        }
        let text = self.formatter.value(row).try_to_string()?;
        match self.bare {
            // JSON has no word for these.
            true if ["NaN", "inf", "-inf"].contains(&text.as_str()) => out.push_str("null"),
            true => out.push_str(&text),
            false => write_quoted(&text, out),
        }
        Ok(())
    }
}

fn write_quoted(text: &str, out: &mut String) {
    // A text is always JSON; writing into a String does not fail.
    let _ = write!(out, "{}", serde_json::Value::String(text.to_owned()));
}

fn json_arrays(list: &ArrayRef) -> Result<ArrayRef> {
    let lists = as_list_array(list)?;
    let options = FormatOptions::new().with_display_error(false);
    let values = JsonValues::new(lists.values().as_ref(), &options)?;
    let offsets = lists.value_offsets();
    let mut texts = Vec::with_capacity(lists.len());
    for row in 0..lists.len() {
        let mut out = String::from("[");
        let range = if lists.is_null(row) { 0..0 } else { offsets[row]..offsets[row + 1] };
        for at in range.clone() {
            if at > range.start {
                out.push(',');
            }
            values.write(at as usize, &mut out)?;
        }
        out.push(']');
        texts.push(out);
    }
    Ok(Arc::new(StringArray::from(texts)))
}

fn json_members(key: &ArrayRef, value: &ArrayRef) -> Result<ArrayRef> {
    let keys = cast(key, &DataType::Utf8)?;
    let keys = keys.as_string::<i32>();
    let options = FormatOptions::new().with_display_error(false);
    let values = JsonValues::new(value.as_ref(), &options)?;
    let mut texts: Vec<Option<String>> = Vec::with_capacity(keys.len());
    for row in 0..keys.len() {
        if keys.is_null(row) {
            texts.push(None);
            continue;
        }
        let mut out = String::new();
        write_quoted(keys.value(row), &mut out);
        out.push(':');
        values.write(row, &mut out)?;
        texts.push(Some(out));
    }
    Ok(Arc::new(StringArray::from(texts)))
}

fn json_objects(members: &ArrayRef) -> Result<ArrayRef> {
    let multisets = as_map_array(members)?;
    let texts = cast(multisets.keys(), &DataType::Utf8)?;
    let texts = texts.as_string::<i32>();
    let counts = multisets.values().as_primitive::<Int32Type>();
    let offsets = multisets.value_offsets();
    let one = |row: usize| {
        let range = match multisets.is_null(row) {
            true => 0..0,
            false => offsets[row] as usize..offsets[row + 1] as usize,
        };
        let mut members: Vec<&str> = Vec::with_capacity(range.len());
        for at in range {
            let times = usize::try_from(counts.value(at)).unwrap_or(0);
            members.extend(std::iter::repeat_n(texts.value(at), times));
        }
        // In one order whatever came first.
        members.sort_unstable();
        if let Some(twice) = members.windows(2).find(|m| key_of(m[0]) == key_of(m[1])) {
            return exec_err!(
                "the key {} comes more than once in one object of JSON_OBJECTAGG; group by it, \
                 or take one of its values",
                key_of(twice[0])
            );
        }
        Ok(Some(format!("{{{}}}", members.join(","))))
    };
    let objects: StringArray = (0..multisets.len()).map(one).collect::<Result<_>>()?;
    Ok(Arc::new(objects))
}

/// The quoted key of a member.
fn key_of(member: &str) -> &str {
    let mut escaped = false;
    let end = member.bytes().skip(1).position(|b| {
        let is_end = b == b'"' && !escaped;
        escaped = b == b'\\' && !escaped;
        is_end
    });
    &member[..end.map_or(member.len(), |at| at + 2)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int32Builder, Int64Builder, ListArray, MapBuilder, StringBuilder};
    use arrow::datatypes::Int64Type;

    #[test]
    fn percentiles_lie_between_neighbours() {
        let mut builder = MapBuilder::new(None, Int64Builder::new(), Int32Builder::new());
        for (value, count) in [(30, 1), (10, 2), (20, 1)] {
            builder.keys().append_value(value);
            builder.values().append_value(count);
        }
        builder.append(true).unwrap();
        builder.append(true).unwrap();
        let multisets: ArrayRef = Arc::new(builder.finish());
        // Of 10, 10, 20, 30: PERCENTILE_CONT(0.5) is 15 and of nothing it is NULL.
        for (share, expected) in [(0.5, 15.0), (0.0, 10.0), (1.0, 30.0), (0.9, 27.0)] {
            let shares: ArrayRef = Arc::new(Float64Array::from(vec![share; 2]));
            let found = percentiles(&multisets, &shares).unwrap();
            let found = found.as_primitive::<Float64Type>();
            assert!((found.value(0) - expected).abs() < 1e-9, "{share}: {}", found.value(0));
            assert!(found.is_null(1));
        }
    }

    #[test]
    fn json_is_written_as_it_must_be_quoted() {
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([
            Some(vec![Some(1), None]),
            None,
        ]));
        let found = json_arrays(&lists).unwrap();
        assert_eq!(found.as_string::<i32>().value(0), "[1,null]");
        assert_eq!(found.as_string::<i32>().value(1), "[]");
        let keys: ArrayRef = Arc::new(StringArray::from(vec![Some("a\"b"), None]));
        let values: ArrayRef = Arc::new(StringArray::from(vec!["line\n", "x"]));
        let found = json_members(&keys, &values).unwrap();
        assert_eq!(found.as_string::<i32>().value(0), r#""a\"b":"line\n""#);
        assert!(found.is_null(1));
        let mut builder = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
        for member in ["\"b\":1", "\"a\":2"] {
            builder.keys().append_value(member);
            builder.values().append_value(1);
        }
        builder.append(true).unwrap();
        let members: ArrayRef = Arc::new(builder.finish());
        let found = json_objects(&members).unwrap();
        assert_eq!(found.as_string::<i32>().value(0), "{\"a\":2,\"b\":1}");
    }

    /// As in Flink: an object with a key twice is none.
    #[test]
    fn keys_of_an_object_are_there_once() {
        for (members, twice) in [
            (&[("\"a\":1", 1), ("\"a\":2", 1)][..], true),
            (&[("\"a\":1", 2)], true),
            (&[("\"a\":1", 1), ("\"a\\\"\":1", 1)], false),
            (&[("\"a\\\":1", 1), ("\"a\":1", 1)], false),
        ] {
            let mut builder = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
            for (member, count) in members {
                builder.keys().append_value(member);
                builder.values().append_value(*count);
            }
            builder.append(true).unwrap();
            let found: ArrayRef = Arc::new(builder.finish());
            assert_eq!(json_objects(&found).is_err(), twice, "{members:?}");
        }
    }
}
