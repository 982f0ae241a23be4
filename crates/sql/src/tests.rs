use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array,
    Int64Array, ListArray, RecordBatch, StringArray, StructArray, TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, Fields, Int32Type, Schema, SchemaRef, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use model::ErrorKind;
use model::expression::ExpressionError;

/// Three rows of flights, the last with NULLs.
fn batch() -> RecordBatch {
    let place_fields = Fields::from(vec![Field::new("city", DataType::Utf8, true)]);
    let place = StructArray::new(
        place_fields.clone(),
        vec![Arc::new(StringArray::from(vec!["Newark", "Queens", "Queens"])) as ArrayRef],
        None,
    );
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
        Some(vec![Some(1), Some(2)]),
        Some(vec![]),
        None,
    ]);
    let price = Decimal128Array::from(vec![Some(12_345_i128), Some(-50), None])
        .with_precision_and_scale(10, 2)
        .unwrap();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("carrier", Arc::new(StringArray::from(vec![Some("UA"), Some("aa"), None]))),
        ("delay", Arc::new(Int32Array::from(vec![Some(20), Some(-3), None]))),
        ("distance", Arc::new(Int64Array::from(vec![1400, 1416, 1089]))),
        ("rate", Arc::new(Float64Array::from(vec![Some(0.5), Some(2.0), None]))),
        ("late", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
        (
            "ts",
            Arc::new(TimestampMillisecondArray::from(vec![
                1_357_034_400_123,
                1_357_038_000_000,
                0,
            ])),
        ),
        ("day", Arc::new(Date32Array::from(vec![15_706, 15_706, 0]))),
        ("Dest", Arc::new(StringArray::from(vec!["IAH", "MIA", ""]))),
        ("dup", Arc::new(Int32Array::from(vec![1, 2, 3]))),
        ("DUP", Arc::new(Int32Array::from(vec![4, 5, 6]))),
        ("odd name", Arc::new(Int32Array::from(vec![7, 8, 9]))),
        ("raw", Arc::new(BinaryArray::from(vec![b"ab".as_slice(), b"", b"c"]))),
        ("place", Arc::new(place)),
        ("list", Arc::new(list)),
        ("price", Arc::new(price)),
    ];
    let fields: Vec<Field> =
        columns.iter().map(|(n, c)| Field::new(*n, c.data_type().clone(), true)).collect();
    let columns = columns.into_iter().map(|(_, c)| c).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn show(array: &ArrayRef) -> String {
    let options = FormatOptions::default().with_null("NULL");
    let formatter = ArrayFormatter::try_new(array.as_ref(), &options).unwrap();
    (0..array.len()).map(|row| formatter.value(row).to_string()).collect::<Vec<_>>().join("|")
}

fn run(text: &str) -> String {
    let batch = batch();
    let compiled = match super::expressions().compile(text, &batch.schema()) {
        Ok(compiled) => compiled,
        Err(error) => return format!("does not compile: {error:?}"),
    };
    match compiled.evaluate(&batch) {
        Ok(array) => {
            assert_eq!(array.data_type(), compiled.data_type(), "{text}");
            assert!(compiled.nullable() || array.null_count() == 0, "{text}");
            format!("{} {}", array.data_type(), show(&array))
        }
        Err(error) => format!("fails: {:?} {error}", error.kind()),
    }
}

fn refuse(text: &str) -> ExpressionError {
    match super::expressions().compile(text, &batch().schema()) {
        Ok(_) => panic!("`{text}` compiled"),
        Err(error) => error,
    }
}

const GOOD: &[(&str, &str)] = &[
    ("carrier", "Utf8 UA|aa|NULL"),
    ("CARRIER", "Utf8 UA|aa|NULL"),
    ("dest", "Utf8 IAH|MIA|"),
    ("\"Dest\"", "Utf8 IAH|MIA|"),
    ("`odd name` + 1", "Int64 8|9|10"),
    ("dup", "Int32 1|2|3"),
    ("DUP", "Int32 4|5|6"),
    ("delay", "Int32 20|-3|NULL"),
    ("delay * 2", "Int64 40|-6|NULL"),
    ("delay + distance", "Int64 1420|1413|NULL"),
    ("delay / 2", "Int64 10|-1|NULL"),
    ("delay % 7", "Int64 6|-3|NULL"),
    ("-delay", "Int32 -20|3|NULL"),
    ("delay > 15", "Boolean true|false|NULL"),
    ("delay >= 20 AND late", "Boolean true|false|NULL"),
    ("late OR delay < 0", "Boolean true|true|NULL"),
    ("NOT late", "Boolean false|true|NULL"),
    ("delay IS NULL", "Boolean false|false|true"),
    ("delay IS NOT NULL", "Boolean true|true|false"),
    ("late IS TRUE", "Boolean true|false|false"),
    ("delay BETWEEN -5 AND 5", "Boolean false|true|NULL"),
    ("carrier IN ('UA', 'DL')", "Boolean true|false|NULL"),
    ("carrier NOT IN ('UA')", "Boolean false|true|NULL"),
    ("carrier LIKE 'U%'", "Boolean true|false|NULL"),
    ("carrier = 'UA'", "Boolean true|false|NULL"),
    ("carrier <> 'UA'", "Boolean false|true|NULL"),
    ("carrier IS DISTINCT FROM 'UA'", "Boolean false|true|true"),
    ("1 = 1", "Boolean true|true|true"),
    ("1 + 2 * 3", "Int64 7|7|7"),
    ("'x'", "Utf8 x|x|x"),
    ("1.5", "Float64 1.5|1.5|1.5"),
    ("upper(carrier)", "Utf8 UA|AA|NULL"),
    ("UPPER(Carrier) || '-' || dest", "Utf8 UA-IAH|AA-MIA|NULL"),
    ("concat(carrier, '/', dest)", "Utf8 UA/IAH|aa/MIA|NULL"),
    ("char_length(dest)", "Int32 3|3|0"),
    ("substring(dest, 2)", "Utf8 AH|IA|"),
    ("SUBSTRING(dest FROM 1 FOR 2)", "Utf8 IA|MI|"),
    ("trim('  a ')", "Utf8 a|a|a"),
    ("POSITION('A' IN dest)", "Int32 2|3|0"),
    ("replace(dest, 'A', 'B')", "Utf8 IBH|MIB|"),
    ("coalesce(carrier, 'none')", "Utf8 UA|aa|none"),
    ("nullif(dup, 2)", "Int64 1|NULL|3"),
    (
        "CASE WHEN delay > 15 THEN 'late' WHEN delay IS NULL THEN 'canceled' ELSE 'ok' END",
        "Utf8 late|ok|canceled",
    ),
    ("CASE carrier WHEN 'UA' THEN 1 ELSE 0 END", "Int64 1|0|0"),
    ("IF(delay > 0, 'y', 'n')", "Utf8 y|n|n"),
    ("MOD(distance, 100)", "Int64 0|16|89"),
    ("abs(delay)", "Int32 20|3|NULL"),
    ("round(rate * 10)", "Float64 5.0|20.0|NULL"),
    ("sqrt(distance * 1.0) > 37", "Boolean true|true|false"),
    ("power(2, 3)", "Float64 8.0|8.0|8.0"),
    ("floor(rate)", "Float64 0.0|2.0|NULL"),
    ("greatest(dup, DUP)", "Int32 4|5|6"),
    ("CAST(delay AS DOUBLE) / 3", "Float64 6.666666666666667|-1.0|NULL"),
    ("CAST(delay AS STRING)", "Utf8 20|-3|NULL"),
    ("CAST(delay AS VARCHAR(10))", "Utf8 20|-3|NULL"),
    ("delay::bigint", "Int64 20|-3|NULL"),
    ("TRY_CAST(carrier AS INT)", "Int32 NULL|NULL|NULL"),
    ("CAST(price AS DOUBLE)", "Float64 123.45|-0.5|NULL"),
    ("price * 2 > 200", "Boolean true|false|NULL"),
    ("EXTRACT(HOUR FROM ts)", "Int64 10|11|0"),
    ("HOUR(ts)", "Int64 10|11|0"),
    ("YEAR(day)", "Int64 2013|2013|1970"),
    ("DAYOFWEEK(ts)", "Int64 3|3|5"),
    (
        "date_trunc('hour', ts)",
        "Timestamp(ms) 2013-01-01T10:00:00|2013-01-01T11:00:00|1970-01-01T00:00:00",
    ),
    (
        "DATE_FORMAT(ts, 'yyyy-MM-dd HH:mm')",
        "Utf8 2013-01-01 10:00|2013-01-01 11:00|1970-01-01 00:00",
    ),
    (
        "ts + INTERVAL '1' HOUR",
        "Timestamp(ms) 2013-01-01T11:00:00.123|2013-01-01T12:00:00|1970-01-01T01:00:00",
    ),
    ("ts > TIMESTAMP '2013-01-01 10:30:00'", "Boolean false|true|false"),
    ("day = DATE '2013-01-01'", "Boolean true|true|false"),
    ("CAST(ts AS DATE)", "Date32 2013-01-01|2013-01-01|1970-01-01"),
    ("CAST(ts AS BIGINT)", "Int64 1357034400123|1357038000000|0"),
    (
        "CAST(distance AS TIMESTAMP(3))",
        "Timestamp(ms) 1970-01-01T00:00:01.400|1970-01-01T00:00:01.416|1970-01-01T00:00:01.089",
    ),
    ("place.city", "Utf8 Newark|Queens|Queens"),
    ("place['city']", "Utf8 Newark|Queens|Queens"),
    ("list[1]", "Int32 1|NULL|NULL"),
    ("cardinality(list)", "Int32 2|0|NULL"),
    ("array_length(make_array(1, 2, delay))", "Int64 3|3|3"),
    ("SPLIT_INDEX('a,b,c', ',', 1)", "Utf8 b|b|b"),
    ("REGEXP_EXTRACT(dest, '([A-Z])A(.*)', 2)", "Utf8 H||NULL"),
    ("REGEXP_EXTRACT(dest, '.A')", "Utf8 IA|IA|NULL"),
    (
        "md5('a')",
        "Utf8 0cc175b9c0f1b6a831c399e269772661|0cc175b9c0f1b6a831c399e269772661|0cc175b9c0f1b6a831c399e269772661",
    ),
    ("HEX(raw)", "Utf8 6162||63"),
    ("CAST(NULL AS STRING)", "Utf8 NULL|NULL|NULL"),
    ("CEILING(rate)", "Float64 1.0|2.0|NULL"),
    (
        "9223372036854775807 + dup",
        "Int64 -9223372036854775808|-9223372036854775807|-9223372036854775806",
    ),
    ("distance / (dup - 1)", "fails: User expression `distance / (dup - 1)`: Divide by zero error"),
    (
        "CAST(dest AS INT)",
        "fails: User expression `CAST(dest AS INT)`: Cannot cast string 'IAH' to value of Int32 type",
    ),
    ("delay -- a comment\n + 1", "Int64 21|-2|NULL"),
];

#[test]
fn expressions_give_their_values() {
    let mut wrong = Vec::new();
    for (text, expected) in GOOD {
        let found = run(text);
        if found != *expected {
            wrong.push(format!("{text}\n  expected {expected}\n  found    {found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(GOOD.len() > 60);
}

const BAD: &[(&str, &str, &str, &str)] = &[
    // expression, offending text, message, help
    (
        "dely + 1",
        "dely",
        "unknown column `dely`",
        "did you mean `delay`? there are columns: carrier,",
    ),
    ("delay + \"dest\"", "\"dest\"", "unknown column `dest`", "did you mean `Dest`?"),
    ("Dup + 1", "Dup", "unknown column `Dup`", "did you mean"),
    ("zzzzz", "zzzzz", "unknown column `zzzzz`", "there are columns: carrier, delay"),
    ("place.town", "", "", ""),
    ("uper(carrier)", "uper", "unknown function `uper`", "did you mean `upper`?"),
    ("1 + sum(delay)", "sum", "`sum` is an aggregate function", "`window` transform"),
    ("COUNT(*)", "COUNT", "`count` is an aggregate function", "`aggregate` transform"),
    ("row_number() OVER (ORDER BY ts)", "OVER", "a window function cannot", "topN"),
    ("rank()", "rank", "`rank` is a window function", "topN"),
    ("tumble(ts, INTERVAL '1' HOUR)", "tumble", "declares a window", "`window` transform"),
    ("(SELECT 1)", "SELECT", "a subquery cannot be used", "windowJoin"),
    ("now()", "now", "another value each time", "event time"),
    ("random() > 0.5", "random", "another value each time", ""),
    ("CURRENT_TIMESTAMP", "CURRENT_TIMESTAMP", "another value each time", ""),
    ("delay +", "+", "expected an expression, but the expression ends", ""),
    ("delay > > 1", ">", "expected an expression, found `>`", ""),
    ("delay 1", "1", "unexpected `1` after the expression", ""),
    ("(delay", "delay", "expected ), but the expression ends", ""),
    ("'abc", "'", "unterminated string literal", ""),
    ("", "", "the expression is empty", "write a SQL expression"),
    ("  -- nothing", "", "the expression is empty", ""),
    ("carrier + 1", "", "", ""),
    ("late + 1", "", "BOOLEAN", ""),
    ("sqrt('a', 2)", "sqrt", "", ""),
    ("NULL", "NULL", "always NULL", "CAST(NULL AS STRING)"),
    ("IF(late, 1)", "IF", "takes 3 argument(s), not 2", ""),
    ("NOT delay", "", "", ""),
    ("CAST(delay AS BANANA)", "", "", ""),
];

#[test]
fn mistakes_are_explained_and_located() {
    let mut wrong = Vec::new();
    for (text, place, message, help) in BAD {
        let error = refuse(text);
        let found = error.span.clone().map(|s| &text[s]).unwrap_or_default();
        let helped = error.help.clone().unwrap_or_default();
        if (!place.is_empty() && found != *place)
            || !error.message.contains(message)
            || !helped.contains(help)
        {
            wrong.push(format!("{text}: at `{found}`: {error:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn columns_are_those_read_in_schema_order() {
    let engine = super::expressions();
    let schema = batch().schema();
    let columns = |text: &str| engine.columns(text, &schema).unwrap();
    assert_eq!(columns("distance + DELAY * 0"), ["delay", "distance"]);
    assert_eq!(columns("1"), Vec::<String>::new());
    assert_eq!(columns("place.city || dest"), ["Dest", "place"]);
}

#[test]
fn a_plain_column_is_not_copied() {
    let batch = batch();
    let compiled = super::expressions().compile("delay", &batch.schema()).unwrap();
    assert!(Arc::ptr_eq(&compiled.evaluate(&batch).unwrap(), batch.column(1)));
}

#[test]
fn spans_are_bytes_also_after_wide_characters_and_lines() {
    let text = "'žluť' ||\n 'ů' || nope";
    let error = refuse(text);
    assert_eq!(&text[error.span.unwrap()], "nope");
}

#[test]
fn long_and_deep_expressions_compile_or_are_refused() {
    let chain = |n: usize| vec!["delay"; n].join(" + ");
    let batch = batch();
    let compiled = super::expressions().compile(&chain(200), &batch.schema()).unwrap();
    assert_eq!(show(&compiled.evaluate(&batch).unwrap()), "4000|-600|NULL");
    assert!(refuse(&chain(100_000)).message.contains("longer than"));
    assert!(refuse(&chain(1000)).message.contains("operators"));
    let nested = format!("{}delay{}", "(".repeat(5000), ")".repeat(5000));
    assert!(refuse(&nested).message.contains("nested"), "{:?}", refuse(&nested));
    let calls = format!("{}delay{}", "abs(".repeat(40), ")".repeat(40));
    assert!(super::expressions().compile(&calls, &batch.schema()).is_ok());
    let many: Vec<String> = (0..2000).map(|n| n.to_string()).collect();
    assert!(
        super::expressions()
            .compile(&format!("dup IN ({})", many.join(",")), &batch.schema())
            .is_ok()
    );
}

#[test]
fn an_empty_schema_and_a_changelog_schema_are_fine() {
    let empty: SchemaRef = Arc::new(Schema::empty());
    assert!(super::expressions().compile("1 + 1", &empty).is_ok());
    let changelog = Arc::new(Schema::new(vec![
        Field::new("t", DataType::Timestamp(TimeUnit::Microsecond, None), false),
        model::row_kind::field(),
    ]));
    let compiled = super::expressions().compile("t IS NULL", &changelog).unwrap();
    assert!(!compiled.nullable());
}

#[test]
fn columns_may_be_named_as_functions_and_keywords() {
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("user", DataType::Utf8, false),
        Field::new("date", DataType::Date32, false),
        Field::new("timestamp", DataType::Int64, false),
        Field::new("order", DataType::Int64, false),
        Field::new("case", DataType::Int64, false),
        Field::new("hour", DataType::Int64, false),
    ]));
    let engine = super::expressions();
    for text in [
        "user = 'x'",
        "USER || 'x'",
        "date > DATE '2013-01-01'",
        "timestamp + 1",
        "\"case\" * 2",
        "order * 2",
        "hour + EXTRACT(HOUR FROM date)",
        "CAST(timestamp AS TIMESTAMP(3))",
    ] {
        if let Err(error) = engine.compile(text, &schema) {
            panic!("{text}: {error:?}");
        }
    }
    let interval: SchemaRef =
        Arc::new(Schema::new(vec![Field::new("interval", DataType::Int64, false)]));
    let error = engine.compile("1 + interval", &interval).err().unwrap();
    assert!(error.help.unwrap().contains("quote the column: \"interval\""));
    assert!(engine.compile("1 + \"interval\"", &interval).is_ok());
}

#[test]
fn bad_values_are_the_users() {
    let batch = batch();
    let compiled = super::expressions().compile("1 / (dup - 1)", &batch.schema()).unwrap();
    assert_eq!(compiled.evaluate(&batch).unwrap_err().kind(), ErrorKind::User);
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "[a-z0-9 ()+*/<>=',.\"`\\[\\]:-]{0,40}") {
        let _ = super::expressions().compile(&text, &batch().schema());
    }
}
