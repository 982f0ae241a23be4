//! Values as the .slt files show them; `golden.py` does the same. Called by `collect`.

use model::arrow::array::{Array, ArrayRef, AsArray, StructArray};
use model::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, TimeUnit,
    TimestampMillisecondType,
};
use model::arrow::temporal_conversions as time;

/// One value; strings inside of others are quoted.
pub fn text(array: &dyn Array, row: usize, nested: bool) -> String {
    if array.is_null(row) || *array.data_type() == DataType::Null {
        return "NULL".to_owned();
    }
    match array.data_type() {
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::Float32 => number(array.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => number(array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(_, scale) => {
            let scale = usize::try_from(*scale).unwrap();
            decimal(array.as_primitive::<Decimal128Type>().value(row), scale)
        }
        DataType::Utf8 => string(array.as_string::<i32>().value(row), nested),
        DataType::LargeUtf8 => string(array.as_string::<i64>().value(row), nested),
        DataType::Utf8View => string(array.as_string_view().value(row), nested),
        DataType::Binary => bytes(array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => bytes(array.as_binary::<i64>().value(row)),
        DataType::BinaryView => bytes(array.as_binary_view().value(row)),
        DataType::Date32 => {
            let days = array.as_primitive::<Date32Type>().value(row);
            time::date32_to_datetime(days).unwrap().date().to_string()
        }
        DataType::Time32(_) | DataType::Time64(_) => trimmed(&cast(array, &DataType::Utf8, row)),
        DataType::Timestamp(_, _) => stamp(array, row),
        DataType::List(_) => list(&array.as_list::<i32>().value(row)),
        DataType::LargeList(_) => list(&array.as_list::<i64>().value(row)),
        DataType::FixedSizeList(_, _) => list(&array.as_fixed_size_list().value(row)),
        DataType::Map(_, _) => map(&array.as_map().value(row)),
        DataType::Struct(_) => {
            let columns = array.as_struct().columns();
            let values: Vec<String> = columns.iter().map(|c| text(c, row, true)).collect();
            format!("({})", values.join(", "))
        }
        _ => cast(array, &DataType::Utf8, row),
    }
}

fn cast(array: &dyn Array, to: &DataType, row: usize) -> String {
    let one = array.slice(row, 1);
    let cast = model::arrow::compute::cast(&one, to).unwrap();
    cast.as_string::<i32>().value(0).to_owned()
}

fn list(values: &ArrayRef) -> String {
    let items: Vec<String> = (0..values.len()).map(|i| text(values, i, true)).collect();
    format!("[{}]", items.join(", "))
}

fn map(entries: &StructArray) -> String {
    let (keys, values) = (entries.column(0), entries.column(1));
    let mut pairs: Vec<String> = (0..entries.len())
        .map(|i| format!("{}: {}", text(keys, i, true), text(values, i, true)))
        .collect();
    pairs.sort();
    format!("{{{}}}", pairs.join(", "))
}

fn bytes(value: &[u8]) -> String {
    let hex: String = value.iter().map(|b| format!("{b:02x}")).collect();
    format!("x'{hex}'")
}

fn string(value: &str, nested: bool) -> String {
    let plain = value.replace('\\', "\\\\").replace('\n', "\\n").replace('\t', "\\t");
    let odd = value.is_empty() || value == "NULL" || value.trim() != value || value.contains('|');
    if odd || nested { format!("'{plain}'") } else { plain }
}

/// Without trailing zeros behind the point.
fn trimmed(text: &str) -> String {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    }
}

fn stamp(array: &dyn Array, row: usize) -> String {
    let one = array.slice(row, 1);
    let exact = DataType::Timestamp(TimeUnit::Millisecond, None);
    if let DataType::Timestamp(TimeUnit::Millisecond | TimeUnit::Second, _) = one.data_type() {
        let ms = model::arrow::compute::cast(&one, &exact).unwrap();
        let ms = ms.as_primitive::<TimestampMillisecondType>().value(0);
        let shown = time::timestamp_ms_to_datetime(ms).unwrap();
        return trimmed(&shown.format("%Y-%m-%d %H:%M:%S.%3f").to_string());
    }
    let plain = DataType::Timestamp(TimeUnit::Nanosecond, None);
    let shown = cast(&model::arrow::compute::cast(&one, &plain).unwrap(), &DataType::Utf8, 0);
    trimmed(&shown.replace('T', " "))
}

fn decimal(value: i128, scale: usize) -> String {
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if value < 0 { "-" } else { "" };
    trimmed(&format!("{sign}{whole}.{fraction}")).trim_end_matches('.').to_owned()
}

/// Ten significant digits, without an exponent and without trailing zeros.
fn number(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let rounded = format!("{:.9e}", value.abs());
    let (mantissa, exponent) = rounded.split_once('e').unwrap();
    let mut digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let mut point = exponent.parse::<i32>().unwrap() + 1;
    while point <= 0 {
        digits.insert(0, '0');
        point += 1;
    }
    let point = usize::try_from(point).unwrap();
    while digits.len() <= point {
        digits.push('0');
    }
    let shown = trimmed(&format!("{}.{}", &digits[..point], &digits[point..]));
    if value < 0.0 && shown != "0" { format!("-{shown}") } else { shown }
}

#[test]
fn numbers_look_like_those_of_the_golden_files() {
    for (value, shown) in [
        (0.0, "0"),
        (-0.0, "0"),
        (1.5, "1.5"),
        (-2.25, "-2.25"),
        (0.001, "0.001"),
        (1e15, "1000000000000000"),
        (1.0 / 3.0, "0.3333333333"),
        (123_456.789, "123456.789"),
    ] {
        assert_eq!(number(value), shown);
    }
    assert_eq!(decimal(-5, 3), "-0.005");
    assert_eq!(decimal(1200, 2), "12");
    assert_eq!(decimal(0, 2), "0");
}
