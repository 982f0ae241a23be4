//! The stream equals, byte for byte, what the generator that fed real Flink wrote as JSON
//! (`testdata/nexmark-first-150.jsonl` and the CRC-32 of its first 200,000 lines).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, StructArray};
use arrow::compute::{concat_batches, filter, filter_record_batch, is_not_null};
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimestampMillisecondType};
use model::SystemClock;
use model::connector::{Pushdown, SourceSpec};
use model::source::{Assignment, Polled, ReaderContext, Source, SourceReader, Split};
use serde_json::json;

use super::source;

const REFERENCE: &str = include_str!("../../testdata/nexmark-first-150.jsonl");
const CRC_OF_200_000: u32 = 2_823_680_208;
const BYTES_OF_200_000: usize = 61_088_391;

fn nexmark(options: serde_json::Value, projection: Option<&[&str]>) -> Arc<dyn Source> {
    source(&SourceSpec {
        connector: "nexmark".to_owned(),
        options,
        declared_schema: None,
        projection: projection.map(|p| p.iter().map(|s| (*s).to_owned()).collect()),
        pushdown: Default::default(),
    })
    .unwrap()
}

fn reader(source: &dyn Source, splits: Vec<Split>) -> Box<dyn SourceReader> {
    let clock = Arc::new(SystemClock);
    let mut reader = source.reader(ReaderContext { subtask: 0, parallelism: 1, clock }).unwrap();
    reader.add_splits(splits).unwrap();
    reader
}

fn all_splits(source: &dyn Source, parallelism: u32) -> Vec<Split> {
    let mut enumerator = source.enumerator(parallelism, None).unwrap();
    let mut splits = Vec::new();
    for subtask in 0..parallelism {
        match enumerator.assign(subtask) {
            Assignment::Splits(given) => splits.extend(given),
            other => panic!("no split for subtask {subtask}: {other:?}"),
        }
        assert_eq!(enumerator.assign(subtask), Assignment::NoMore);
    }
    splits
}

async fn read(reader: &mut dyn SourceReader, batches: usize) -> Vec<RecordBatch> {
    let mut read = Vec::new();
    while read.len() < batches {
        match reader.poll().await.unwrap() {
            Polled::Batch(batch) => {
                assert!(batch.num_rows() > 0 && batch.num_rows() <= 8192);
                read.push(batch);
            }
            Polled::NeedSplits => break,
            Polled::DeadLetter(_) => panic!("generated rows are never bad"),
        }
    }
    read
}

fn date_time(ms: i64) -> String {
    let time = chrono::DateTime::from_timestamp_millis(ms).unwrap().naive_utc();
    // Java leaves the milliseconds out when they are zero.
    let form = if ms % 1000 == 0 { "%Y-%m-%d %H:%M:%S" } else { "%Y-%m-%d %H:%M:%S%.3f" };
    time.format(form).to_string()
}

/// The row of an `all` batch as the reference writes it.
fn render(batch: &RecordBatch, row: usize, out: &mut String) {
    let kind = batch.column(0).as_primitive::<Int32Type>().value(row);
    let column = batch.column(1 + kind as usize).as_struct();
    assert!(column.is_valid(row));
    let name = batch.schema_ref().field(1 + kind as usize).name().clone();
    write!(out, "{{\"event_type\":{kind},\"{name}\":{{").unwrap();
    for (i, (field, array)) in column.fields().iter().zip(column.columns()).enumerate() {
        let comma = if i > 0 { "," } else { "" };
        write!(out, "{comma}\"{}\":", field.name()).unwrap();
        match array.data_type() {
            DataType::Int64 => {
                write!(out, "{}", array.as_primitive::<Int64Type>().value(row)).unwrap();
            }
            DataType::Timestamp(_, _) => {
                let ms = array.as_primitive::<TimestampMillisecondType>().value(row);
                write!(out, "\"{}\"", date_time(ms)).unwrap();
            }
            _ => write!(out, "\"{}\"", array.as_string_view().value(row)).unwrap(),
        }
    }
    out.push_str("}}\n");
}

#[tokio::test]
async fn the_stream_is_the_reference_stream_byte_for_byte() {
    let source = nexmark(json!({"events": 200_000, "splits": 1}), None);
    let mut reader = reader(&*source, all_splits(&*source, 1));
    let mut text = String::new();
    let mut crc = flate2::Crc::new();
    let mut bytes = 0;
    let mut head = String::new();
    for batch in read(&mut *reader, usize::MAX).await {
        // The scheduled time is ours; it is not part of the reference.
        text.clear();
        for row in 0..batch.num_rows() {
            render(&batch, row, &mut text);
        }
        if head.len() < REFERENCE.len() {
            head.push_str(&text);
        }
        crc.update(text.as_bytes());
        bytes += text.len();
    }
    for (ours, theirs) in head.lines().zip(REFERENCE.lines()) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(bytes, BYTES_OF_200_000);
    assert_eq!(crc.sum(), CRC_OF_200_000);
    assert_eq!(reader.records_read(), Some(200_000));
}

#[tokio::test]
async fn a_table_with_few_columns_has_the_same_values_as_the_whole() {
    for (table, kind) in [("person", 1), ("auction", 2), ("bid", 3)] {
        let whole = nexmark(json!({"table": "all", "events": 4_000, "splits": 1}), None);
        let mut all = reader(&*whole, all_splits(&*whole, 1));
        let all = read(&mut *all, usize::MAX).await;
        let full = nexmark(json!({"table": table, "events": 4_000, "splits": 1}), None);
        for field in full.schema().fields().iter().filter(|f| f.name() != super::SCHEDULED) {
            let options = json!({"table": table, "events": 4_000, "splits": 1});
            let one = nexmark(options, Some(&[field.name()]));
            let mut few = reader(&*one, all_splits(&*one, 1));
            let few = read(&mut *few, usize::MAX).await;
            let ours: Vec<_> = few.iter().map(|b| b.column(0).as_ref()).collect();
            let ours = arrow::compute::concat(&ours).unwrap();
            let theirs: Vec<_> = all
                .iter()
                .map(|b| {
                    let structs = b.column(kind).as_struct();
                    let present = arrow::compute::is_not_null(structs).unwrap();
                    let column = structs.column_by_name(field.name()).unwrap();
                    arrow::compute::filter(column, &present).unwrap()
                })
                .collect();
            let theirs: Vec<_> = theirs.iter().map(AsRef::as_ref).collect();
            let theirs = arrow::compute::concat(&theirs).unwrap();
            assert_eq!(&ours, &theirs, "{table}.{}", field.name());
        }
    }
}

#[tokio::test]
async fn splits_share_the_stream_and_resume_where_they_stood() {
    let options = json!({"table": "bid", "events": 100_003});
    let source = nexmark(options, Some(&["auction", "bidder", "price"]));
    let count = |batches: &[RecordBatch]| batches.iter().map(RecordBatch::num_rows).sum::<usize>();
    let mut whole = reader(&*source, all_splits(&*source, 1));
    let expected = count(&read(&mut *whole, usize::MAX).await);
    for parallelism in [1, 2, 3, 7] {
        let splits = all_splits(&*source, parallelism);
        assert_eq!(splits.len(), parallelism as usize);
        let mut rows = 0;
        let mut open = splits;
        let mut rounds = 0;
        while !open.is_empty() {
            let mut next = reader(&*source, open);
            rows += count(&read(&mut *next, 3).await);
            open = next.snapshot().unwrap();
            rounds += 1;
            assert!(rounds < 1000, "no progress");
        }
        assert_eq!(rows, expected, "parallelism {parallelism}");
    }
}

#[tokio::test]
async fn at_a_rate_no_event_comes_before_it_is_due() {
    use futures::FutureExt;
    let clock = Arc::new(model::ManualClock::at(1_000_000));
    let options = json!({"table": "bid", "events": 100_000, "eventsPerSecond": 10_000});
    let source = nexmark(options, Some(&["auction", super::SCHEDULED]));
    let context = ReaderContext { subtask: 0, parallelism: 1, clock: Arc::clone(&clock) as _ };
    let mut reader = source.reader(context).unwrap();
    reader.add_splits(all_splits(&*source, 1)).unwrap();
    let mut rows = 0;
    for _ in 0..20 {
        clock.advance(100);
        // One poll: ready with what is due, or waiting for the clock.
        while let Some(polled) = reader.poll().now_or_never() {
            let Polled::Batch(batch) = polled.unwrap() else { panic!("ended early") };
            rows += batch.num_rows();
            let due = batch.column(1).as_primitive::<Int64Type>();
            let now = model::Clock::now_us(&*clock);
            assert!(due.values().iter().all(|d| *d <= now), "an event came early");
        }
    }
    // The schedule starts with the first poll, 100 ms in: 1.9 s at 10,000/s, 46 of 50 bids.
    assert_eq!(rows, 19_000 / 50 * 46);
}

#[test]
fn wrong_options_are_named() {
    let check = |options: serde_json::Value| {
        source(&SourceSpec {
            connector: "nexmark".to_owned(),
            options,
            declared_schema: None,
            projection: None,
            pushdown: Default::default(),
        })
        .err()
        .map(|e| (e.path.join("."), e.at_key, e.message))
    };
    let unknown = check(json!({"tabel": "bid"})).unwrap();
    assert_eq!(unknown, ("tabel".to_owned(), true, "unknown option `tabel`".to_owned()));
    let table = check(json!({"table": "bids"})).unwrap();
    assert_eq!(table.0, "table");
    for bad in [json!(0), json!(-1), json!("many"), json!(1.5)] {
        assert_eq!(check(json!({"events": bad})).unwrap().0, "events");
    }
    assert_eq!(check(json!({"table": "bid", "events": 5})), None);
}

/// What readers do not look at is left out, and what they look at is the same.
#[tokio::test]
async fn pushed_down_fields_and_kinds_leave_the_rest_as_it_was() {
    let options = json!({"events": 5_003, "splits": 1, "eventsPerSecond": 1_000_000_000_000_u64});
    let spec = |pushdown| SourceSpec {
        connector: "nexmark".to_owned(),
        options: options.clone(),
        declared_schema: None,
        projection: None,
        pushdown,
    };
    let fields = BTreeMap::from([
        ("bid".to_owned(), vec!["price".to_owned(), "channel".to_owned()]),
        ("auction".to_owned(), vec!["itemName".to_owned(), "expires".to_owned()]),
        ("person".to_owned(), vec!["state".to_owned()]),
    ]);
    for kinds in [vec![0], vec![1], vec![2], vec![0, 1], vec![0, 2], vec![1, 2], vec![0, 1, 2]] {
        let values = BTreeMap::from([("event_type".to_owned(), kinds.clone())]);
        let narrow = source(&spec(Pushdown { fields: fields.clone(), values })).unwrap();
        let found = all_rows(&*narrow).await;
        let whole = all_rows(&*source(&spec(Pushdown::default())).unwrap()).await;
        let of_kinds: BooleanArray = whole
            .column(0)
            .as_primitive::<Int32Type>()
            .values()
            .iter()
            .map(|kind| Some(kinds.contains(&i64::from(*kind))))
            .collect();
        let expected = filter_record_batch(&whole, &of_kinds).unwrap();
        assert_eq!(found.num_rows(), expected.num_rows(), "{kinds:?}");
        for (index, field) in found.schema_ref().fields().iter().enumerate() {
            let (found, expected) = (found.column(index), expected.column(index));
            let DataType::Struct(kept) = field.data_type() else {
                if field.name() != super::SCHEDULED {
                    assert_eq!(found, expected, "{kinds:?} {}", field.name());
                }
                continue;
            };
            assert!(kept.len() <= 2);
            let (found, expected) = (found.as_struct(), expected.as_struct());
            assert_eq!(found.logical_nulls(), expected.logical_nulls(), "{kinds:?}");
            for part in kept {
                let of = |array: &StructArray| {
                    let part = array.column_by_name(part.name()).unwrap();
                    filter(part, &is_not_null(array).unwrap()).unwrap()
                };
                assert_eq!(&of(found), &of(expected), "{kinds:?} {}", part.name());
            }
        }
    }
}

async fn all_rows(source: &dyn Source) -> RecordBatch {
    let mut reader = reader(source, all_splits(source, 1));
    let batches = read(&mut *reader, usize::MAX).await;
    concat_batches(&source.schema(), &batches).unwrap()
}
