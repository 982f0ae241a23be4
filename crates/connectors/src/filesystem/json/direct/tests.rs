//! The direct decoder against the general one, on documents of every kind.

use model::arrow::datatypes::{Field, Schema};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::super::JsonDecoder;
use super::*;
use crate::filesystem::options::JsonFormat;
use crate::filesystem::timestamps::TimestampFormat;

fn at(unit: TimeUnit, zone: Option<&str>) -> DataType {
    DataType::Timestamp(unit, zone.map(Into::into))
}

fn schema() -> SchemaRef {
    let inner = ArrowFields::from(vec![
        Field::new("x", DataType::Float64, true),
        Field::new("at", at(TimeUnit::Microsecond, None), true),
    ]);
    let row = ArrowFields::from(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("name", DataType::Utf8, true),
        Field::new("at", at(TimeUnit::Millisecond, None), true),
        Field::new("inner", DataType::Struct(inner), true),
    ]);
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("int", DataType::Int32, true),
        Field::new("small", DataType::Int16, true),
        Field::new("tiny", DataType::Int8, true),
        Field::new("float", DataType::Float32, true),
        Field::new("double", DataType::Float64, true),
        Field::new("flag", DataType::Boolean, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("at", at(TimeUnit::Millisecond, None), true),
        Field::new("fine", at(TimeUnit::Microsecond, None), true),
        Field::new("zoned", at(TimeUnit::Millisecond, Some("UTC")), true),
        Field::new("row", DataType::Struct(row), true),
    ]))
}

fn decoder(pattern: Option<&str>) -> JsonDecoder {
    let timestamp_format = match pattern {
        Some(pattern) => TimestampFormat::Pattern(pattern.to_owned()),
        None => TimestampFormat::Sql,
    };
    JsonDecoder::new(schema(), &JsonFormat { timestamp_format, envelope: None })
}

/// The last one has an escape, which is for the general reader.
const NAMES: [&str; 16] = [
    "id",
    "int",
    "small",
    "tiny",
    "float",
    "double",
    "flag",
    "name",
    "at",
    "fine",
    "zoned",
    "row",
    "inner",
    "x",
    "other",
    r"n\u0061me",
];

const VALUES: [&str; 46] = [
    "null",
    "true",
    "false",
    "0",
    "-0",
    "7",
    "-7",
    "127",
    "128",
    "-32768",
    "32768",
    "2147483648",
    "999999999999999999",
    "9223372036854775807",
    "9223372036854775808",
    "1.5",
    "-2.25e3",
    "1e400",
    "0.1",
    "01",
    "1.",
    "-",
    "nul",
    r#""""#,
    r#""a""#,
    r#""7""#,
    r#""1.5""#,
    r#""true""#,
    r#""2025-10-09 08:53:20.015""#,
    r#""2025-10-09T08:53:20Z""#,
    r#""2025-10-09""#,
    r#""2025-02-30 00:00:00""#,
    r#""2025-10-09 08:53:20+02:00""#,
    r#""1760000000000""#,
    r#""a\tb\u00e4\"""#,
    r#""\ud83d\ude00""#,
    r#""\ud83d""#,
    r#""\q""#,
    r#""a rather longer text, so that words are not enough""#,
    "\"\u{e4}\u{20ac}\u{1f600}\"",
    "[]",
    r#"[1,["a"],{}]"#,
    "{}",
    r#"{"id":1}"#,
    r#"{"id":1,"name":"n","extra":{"a":[]}}"#,
    "[1,]",
];

/// A value that a column of that name usually has.
fn usual(name: &str, pick: usize) -> &'static str {
    let some = match name {
        "id" | "int" | "small" | "tiny" => ["1", "-5", "100", "0"],
        "float" | "double" | "x" => ["1", "-5.5", "1e2", "0.25"],
        "flag" => ["true", "false", "null", "true"],
        "at" | "fine" | "zoned" => {
            [r#""2025-10-09 08:53:20""#, r#""2025-10-09T08:53:20.123Z""#, "1760000000000", "null"]
        }
        "row" => [
            r#"{"id":5,"at":"2025-10-09 08:53:20.1","inner":{"x":1.5}}"#,
            r#"{"name":"\"q\"","id":5,"inner":{"at":"1999-12-31 23:59:59.999999"}}"#,
            "null",
            r#"{"inner":null,"id":-1}"#,
        ],
        _ => [r#""text""#, r#""a\nb""#, "1.50", "null"],
    };
    some[pick % 4]
}

fn object() -> impl Strategy<Value = String> {
    let names = subsequence(NAMES.to_vec(), 0..NAMES.len()).prop_shuffle();
    let odd = prop_oneof![30 => Just(None), 1 => select(VALUES.to_vec()).prop_map(Some)];
    let picks = prop::collection::vec((odd, 0..4_usize), NAMES.len());
    let gaps = select(vec!["", "", "", " ", "\t"]);
    let twice = prop_oneof![20 => Just(false), 1 => Just(true)];
    (names, picks, gaps, twice).prop_map(|(names, picks, gap, twice)| {
        let mut fields: Vec<String> = std::iter::once("id")
            .chain(names.into_iter().filter(|n| *n != "id"))
            .zip(picks)
            .map(|(name, (odd, pick))| {
                format!("\"{name}\"{gap}:{gap}{}", odd.unwrap_or(usual(name, pick)))
            })
            .collect();
        if twice {
            fields.extend(fields.last().cloned());
        }
        format!("{{{gap}{}{gap}}}", fields.join(&format!("{gap},{gap}")))
    })
}

/// Lines, of which a byte may be another one.
fn block() -> impl Strategy<Value = Vec<u8>> {
    let bytes = b"{}[]\",:\\0-.eaun \n\xc3\xff".to_vec();
    let damage = prop_oneof![
        4 => Just(None),
        1 => (any::<prop::sample::Index>(), select(bytes)).prop_map(Some),
    ];
    (prop::collection::vec(object(), 1..6), damage).prop_map(|(lines, damage)| {
        let mut block = lines.join("\n").into_bytes();
        if let Some((place, byte)) = damage {
            let place = place.index(block.len());
            block[place] = byte;
        }
        block
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_it_takes_means_what_the_general_reader_says(
        blocks in prop::collection::vec(block(), 1..4),
        pattern in select(vec![None, None, Some("%Y-%m-%d %H:%M:%S")]),
    ) {
        let mut decoder = decoder(pattern);
        let mut direct = decoder.direct.take().unwrap();
        for block in blocks {
            let Some(batch) = direct.decode(&block, 100) else { continue };
            let general = decoder.decode_generally(&block, 100);
            prop_assert!(general.is_ok(), "{:?}: {:?}", String::from_utf8_lossy(&block), general);
            prop_assert_eq!(Some(batch), general.unwrap());
        }
    }
}

#[test]
fn it_takes_what_is_usual_and_goes_on_after_what_is_not() {
    let mut decoder = decoder(None);
    let mut direct = decoder.direct.take().unwrap();
    let line = |pick: usize| {
        let fields = NAMES[..15].iter().map(|name| format!("\"{name}\": {}", usual(name, pick)));
        format!("{{{}}}\r\n", fields.collect::<Vec<_>>().join(","))
    };
    let usual = format!("{}{}{}", line(0), line(1), line(2)).replace("\"id\": null", "\"id\": 1");
    for bad in [
        r#"{"id":"1"}"#,
        r#"{"id":1"#,
        r#"{"name":"no id"}"#,
        r#"{"id":1,"id":2}"#,
        "[1]",
        r#"{"id":1}x"#,
        "\u{b}",
    ] {
        let batch = direct.decode(usual.as_bytes(), 3).unwrap();
        assert_eq!(batch.num_rows(), 3);
        assert_eq!(Some(batch), decoder.decode_generally(usual.as_bytes(), 3).unwrap());
        assert!(direct.decode(format!("{usual}{bad}").as_bytes(), 100).is_none(), "{bad}");
    }
    assert!(direct.decode(usual.as_bytes(), 2).is_none());
    assert!(direct.decode(b"\n\n", 3).is_none());
}

#[test]
fn other_types_are_for_the_general_reader() {
    let list = DataType::new_list(DataType::Int64, true);
    for data_type in [list, DataType::Decimal128(10, 2), DataType::Date32] {
        let schema = Arc::new(Schema::new(vec![Field::new("a", data_type, true)]));
        assert!(DirectDecoder::new(&schema, None).is_none());
    }
}
