use std::sync::Arc;

use futures::FutureExt;
use model::ManualClock;
use model::arrow::array::{Array, AsArray};
use model::arrow::datatypes::{
    DataType, Decimal128Type, Field, Int64Type, Schema, Time32MillisecondType, TimeUnit,
    TimestampMillisecondType,
};
use model::connector::{OptionError, SourceSpec};
use model::source::{Assignment, Polled, ReaderContext, Source};
use serde_json::{Value, json};

use super::source;
use crate::contract::{Seen, read_all, source_contract};

fn schema() -> Arc<Schema> {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("x", DataType::Int32, false),
        Field::new("f", DataType::Float64, false),
        Field::new("s", DataType::Utf8, false),
        Field::new("c", DataType::Utf8, false),
        Field::new("b", DataType::Boolean, false),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), false),
    ]))
}

fn made(options: Value, projection: Option<&[&str]>) -> Result<Arc<dyn Source>, OptionError> {
    source(&SourceSpec {
        connector: "datagen".to_owned(),
        options,
        declared_schema: Some(schema()),
        projection: projection.map(|p| p.iter().map(|s| (*s).to_owned()).collect()),
        pushdown: Default::default(),
    })
}

fn fields() -> Value {
    json!({
        "id": { "kind": "sequence", "start": 5 },
        "x": { "kind": "random", "min": -3, "max": 3 },
        "s": { "kind": "random", "length": 12 },
        "c": { "kind": "random", "values": ["red", "green"] },
        "ts": { "kind": "sequence", "start": "2024-01-01T00:00:00Z", "step": "10ms" },
    })
}

#[tokio::test]
async fn rows_are_a_function_of_seed_and_number() {
    let options = json!({ "rows": 20_000, "seed": 7, "fields": fields() });
    let source = made(options, None).unwrap();
    assert!(source.is_bounded());
    let rows = read_all(source.as_ref()).await.unwrap().rows;
    assert_eq!(rows.len(), 20_000);
    source_contract(source.as_ref(), Seen { rows: rows.clone(), dead_letters: vec![] }).await;

    let first = rows.iter().find(|r| r.starts_with("{\"id\":5,")).unwrap();
    assert!(first.contains("2024-01-01T00:00:00"), "{first}");
    for n in [5, 20_004] {
        assert!(rows.iter().any(|r| r.starts_with(&format!("{{\"id\":{n},"))));
    }
    let split = json!({ "rows": 20_000, "seed": 7, "splits": 5, "fields": fields() });
    assert_eq!(read_all(made(split, None).unwrap().as_ref()).await.unwrap().rows, rows);
    let other = json!({ "rows": 20_000, "seed": 8, "fields": fields() });
    assert_ne!(read_all(made(other, None).unwrap().as_ref()).await.unwrap().rows, rows);
}

#[tokio::test]
async fn a_column_is_the_same_alone() {
    let options = json!({ "rows": 100, "fields": fields() });
    let all = read_all(made(options.clone(), None).unwrap().as_ref()).await.unwrap().rows;
    let one = read_all(made(options.clone(), Some(&["x"])).unwrap().as_ref()).await.unwrap().rows;
    assert_eq!(one.len(), 100);
    for row in &one {
        let field = row.trim_matches(['{', '}']);
        assert!(all.iter().any(|r| r.contains(field)));
        let x: i64 = field.strip_prefix("\"x\":").unwrap().parse().unwrap();
        assert!((-3..=3).contains(&x));
    }
    let none = read_all(made(options, Some(&[])).unwrap().as_ref()).await.unwrap().rows;
    assert_eq!(none.len(), 100);
}

#[tokio::test]
async fn rows_come_when_they_are_due() {
    let schema = Arc::new(Schema::new(vec![Field::new("due", DataType::Int64, false)]));
    let source = source(&SourceSpec {
        connector: "datagen".to_owned(),
        options: json!({ "rowsPerSecond": 100, "fields": { "due": { "kind": "scheduled" } } }),
        declared_schema: Some(schema),
        projection: None,
        pushdown: Default::default(),
    })
    .unwrap();
    assert!(!source.is_bounded());
    let clock = Arc::new(ManualClock::at(1000));
    let mut reader = source
        .reader(ReaderContext { subtask: 0, parallelism: 1, clock: Arc::clone(&clock) as _ })
        .unwrap();
    let mut enumerator = source.enumerator(1, None).unwrap();
    let Assignment::Splits(splits) = enumerator.assign(0) else { panic!("no splits") };
    reader.add_splits(splits).unwrap();
    let mut take = || match reader.poll().now_or_never() {
        Some(Ok(Polled::Batch(batch))) => {
            batch.column(0).as_primitive::<Int64Type>().values().to_vec()
        }
        None => vec![],
        other => panic!("{other:?}"),
    };
    assert_eq!(take(), [1_000_000]);
    assert!(take().is_empty());
    clock.advance(9);
    assert!(take().is_empty());
    clock.advance(21);
    assert_eq!(take(), [1_010_000, 1_020_000, 1_030_000]);
    assert!(take().is_empty());
    // Over a restore the schedule stays.
    let left = reader.snapshot().unwrap();
    clock.advance(10);
    let mut fresh =
        source.reader(ReaderContext { subtask: 0, parallelism: 1, clock: clock as _ }).unwrap();
    fresh.add_splits(left).unwrap();
    match fresh.poll().await.unwrap() {
        Polled::Batch(batch) => {
            assert_eq!(batch.column(0).as_primitive::<Int64Type>().values(), &[1_040_000]);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn sequences_begin_again_at_their_end() {
    let fields = json!({ "id": { "kind": "sequence", "start": 3, "end": -1, "step": -2 } });
    let source = made(json!({ "rows": 5, "fields": fields }), Some(&["id"])).unwrap();
    let rows = read_all(source.as_ref()).await.unwrap().rows;
    assert_eq!(rows, ["{\"id\":-1}", "{\"id\":1}", "{\"id\":1}", "{\"id\":3}", "{\"id\":3}"]);
}

#[tokio::test]
async fn rows_arrays_bytes_and_nulls_are_made() {
    let inner = vec![
        Field::new("name", DataType::Utf8, true),
        Field::new("price", DataType::Decimal128(6, 2), true),
    ];
    let texts = DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
    let schema = Arc::new(Schema::new(vec![
        Field::new("r", DataType::Struct(inner.into()), true),
        Field::new("l", texts, true),
        Field::new("y", DataType::Binary, true),
        Field::new("n", DataType::Int32, true),
        Field::new("v", DataType::Utf8, true),
        Field::new("q", DataType::Utf8, true),
        Field::new("t", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new("o", DataType::Time32(TimeUnit::Millisecond), true),
    ]));
    let options = json!({ "rows": 1000, "splits": 1, "fields": {
        "r": { "fields": { "name": { "length": 5 }, "price": { "min": 1, "max": 2.5 } } },
        "l": { "length": 2, "element": { "values": ["x", "y"], "nullRate": 0.5 } },
        "y": { "length": 7 },
        "n": { "max": 9, "nullRate": 0.25 },
        "v": { "length": 4, "variableLength": true },
        "q": { "kind": "sequence", "start": 8 },
        "t": { "maxPast": "10s" },
    } });
    let spec = SourceSpec {
        connector: "datagen".to_owned(),
        options,
        declared_schema: Some(schema),
        projection: None,
        pushdown: Default::default(),
    };
    let source = source(&spec).unwrap();
    let clock = Arc::new(ManualClock::at(1_000_000));
    let context = ReaderContext { subtask: 0, parallelism: 1, clock };
    let mut reader = source.reader(context).unwrap();
    let Assignment::Splits(splits) = source.enumerator(1, None).unwrap().assign(0) else {
        panic!("no splits")
    };
    reader.add_splits(splits).unwrap();
    let Polled::Batch(batch) = reader.poll().await.unwrap() else { panic!("no rows") };
    assert_eq!(batch.num_rows(), 1000);
    let column = |name: &str| batch.column_by_name(name).unwrap();

    let row = column("r").as_struct();
    assert!(row.column(0).as_string::<i32>().iter().all(|name| name.unwrap().len() == 5));
    let prices = row.column(1).as_primitive::<Decimal128Type>().values();
    assert!(prices.iter().all(|price| (100..=250).contains(price)));
    let list = column("l").as_list::<i32>();
    assert!(list.offsets().windows(2).all(|ends| ends[1] - ends[0] == 2));
    let elements = list.values().as_string::<i32>();
    assert!(elements.iter().flatten().all(|text| text == "x" || text == "y"));
    assert!((800..1200).contains(&elements.null_count()));
    assert!(column("y").as_binary::<i32>().iter().all(|bytes| bytes.unwrap().len() == 7));
    assert!((200..300).contains(&column("n").null_count()));
    let mut lengths: Vec<_> =
        column("v").as_string::<i32>().iter().map(|text| text.unwrap().len()).collect();
    lengths.sort_unstable();
    lengths.dedup();
    assert_eq!(lengths, [1, 2, 3, 4]);
    assert_eq!(column("q").as_string::<i32>().value(1), "9");
    let times = column("t").as_primitive::<TimestampMillisecondType>().values();
    assert!(times.iter().all(|at| (990_000..=1_000_000).contains(at)));
    assert!(times.iter().any(|at| *at < 992_000));
    assert_eq!(column("o").as_primitive::<Time32MillisecondType>().value(5), 1_000_000);
}

#[test]
fn mistakes_are_named() {
    let mistake = |options: Value| made(options, None).err().unwrap();
    let of = |field: &str, value: Value| mistake(json!({ "fields": { field: value } }));
    let error = mistake(json!({ "row": 5 }));
    assert!(error.at_key && error.help.unwrap().contains("`rows`"));
    assert_eq!(mistake(json!({ "rows": -1 })).path, ["rows"]);
    let error = mistake(json!({ "fields": { "idd": {} } }));
    assert_eq!(error.path, ["fields", "idd"]);
    assert_eq!(of("id", json!({ "start": 1 })).message, "`start` has no meaning for this kind");
    assert_eq!(of("id", json!({ "nullRate": 0.5 })).message, "the column is NOT NULL");
    assert_eq!(of("id", json!({ "nullRate": 2 })).path, ["fields", "id", "nullRate"]);
    assert_eq!(of("ts", json!({ "maxPast": "10 apples" })).path, ["fields", "ts", "maxPast"]);
    assert_eq!(of("s", json!({ "element": {} })).path, ["fields", "s", "element"]);
    assert_eq!(of("id", json!({ "kind": "sequnce" })).path, ["fields", "id", "kind"]);
    assert_eq!(
        of("x", json!({ "kind": "random", "max": 1_i64 << 40 })).path,
        ["fields", "x", "max"]
    );
    assert_eq!(
        of("x", json!({ "kind": "random", "min": 2, "max": 1 })).path,
        ["fields", "x", "max"]
    );
    assert_eq!(of("x", json!({ "kind": "random", "length": 2 })).path, ["fields", "x", "length"]);
    assert_eq!(of("x", json!({ "kind": "now" })).path, ["fields", "x", "kind"]);
    assert_eq!(of("b", json!({ "kind": "sequence" })).path, ["fields", "b", "kind"]);
    assert_eq!(of("s", json!({ "kind": "random", "values": [1] })).path, ["fields", "s", "values"]);
    assert_eq!(
        of("ts", json!({ "kind": "sequence", "start": "x" })).path,
        ["fields", "ts", "start"]
    );
    assert_eq!(of("ts", json!({ "kind": "sequence", "step": 5 })).path, ["fields", "ts", "step"]);
    assert_eq!(
        of("id", json!({ "kind": "sequence", "step": -1, "end": 5 })).path,
        ["fields", "id", "end"]
    );
    assert!(of("id", json!({ "kind": "now", "min": 5 })).at_key);
}
