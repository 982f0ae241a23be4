use model::arrow::array::Int64Array;
use model::arrow::datatypes::TimeUnit;
use model::connector::{SinkSpec, SourceSpec};
use model::source::Source;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use serde_json::{Value, json};

use super::*;
use crate::contract::{Seen, read_all, sink_contract, source_contract, writer_context};

fn plain() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("name", DataType::Utf8, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, None), true),
    ]))
}

fn changelog() -> SchemaRef {
    let kind = Arc::new(row_kind::field());
    Arc::new(Schema::new(plain().fields().iter().cloned().chain([kind]).collect::<Vec<_>>()))
}

fn source(options: Value) -> Arc<dyn Source> {
    let spec = SourceSpec {
        connector: "filesystem".to_owned(),
        options,
        declared_schema: Some(plain()),
        projection: None,
        pushdown: Default::default(),
    };
    super::super::source(&spec).unwrap()
}

fn sink(options: Value) -> Arc<dyn model::sink::Sink> {
    let spec = SinkSpec { connector: "filesystem".to_owned(), options, schema: changelog() };
    super::super::sink(&spec).unwrap()
}

async fn put(uri: &str, path: &str, bytes: Vec<u8>) {
    let opened = storage::open(uri).unwrap();
    opened.store.put(&Path::from(path), PutPayload::from(bytes)).await.unwrap();
}

/// Rows `ids` with kinds that take turns.
fn batch(ids: std::ops::Range<i64>) -> RecordBatch {
    let names = ids.clone().map(|id| (id % 3 != 0).then(|| format!("n{id}")));
    let times = model::arrow::array::TimestampMillisecondArray::from_iter_values(
        ids.clone().map(|id| 1_357_034_400_123 + id * 1000),
    );
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(ids.clone())),
        Arc::new(StringArray::from_iter(names)),
        Arc::new(times),
        Arc::new(UInt8Array::from_iter_values(ids.map(|id| (id % 4) as u8))),
    ];
    RecordBatch::try_new(changelog(), columns).unwrap()
}

async fn written(format: &str) -> String {
    let uri = format!("memory://written-{format}");
    let sink = sink(json!({ "path": uri, "format": { "type": format, "timestampFormat": "SQL" } }));
    assert!(sink.accepts_changelog());
    let mut writer = sink.writer(writer_context(1)).unwrap();
    writer.write(batch(0..4)).await.unwrap();
    let committables = writer.prepare_commit(None).unwrap().await.unwrap();
    sink.committer().unwrap().commit(committables).await.unwrap();
    let opened = storage::open(&uri).unwrap();
    let name = opened.path("part-out-000000000000-final-1-0-0.json").unwrap();
    let bytes = opened.store.get(&name).await.unwrap().bytes().await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn every_envelope_as_flink_writes_it() {
    let row = |id: i64| {
        let name = if id == 0 { "null".to_owned() } else { format!("\"n{id}\"") };
        let name = if id == 3 { "null".to_owned() } else { name };
        format!("{{\"id\":{id},\"name\":{name},\"at\":\"2013-01-01 10:00:0{id}.123\"}}")
    };
    let lines = |one: &dyn Fn(String, bool) -> String| -> String {
        // +I, -U, +U, -D
        let added = [true, false, true, false];
        (0..4).map(|id| one(row(id), added[id as usize]) + "\n").collect()
    };
    let debezium = lines(&|row, added| match added {
        true => format!("{{\"before\":null,\"after\":{row},\"op\":\"c\"}}"),
        false => format!("{{\"before\":{row},\"after\":null,\"op\":\"d\"}}"),
    });
    assert_eq!(written("debezium-json").await, debezium);
    let canal = lines(&|row, added| {
        let word = if added { "INSERT" } else { "DELETE" };
        format!("{{\"data\":[{row}],\"type\":\"{word}\"}}")
    });
    assert_eq!(written("canal-json").await, canal);
    let maxwell = lines(&|row, added| {
        let word = if added { "insert" } else { "delete" };
        format!("{{\"data\":{row},\"type\":\"{word}\"}}")
    });
    assert_eq!(written("maxwell-json").await, maxwell);
}

#[tokio::test]
async fn a_debezium_sink_keeps_the_contract() {
    let path = "memory://debezium-contract";
    let options = json!({ "path": path, "format": "debezium-json" });
    let output = source(json!({ "path": path, "format": "debezium-json", "watch": "1s" }));
    // Only kinds that are read as they were written.
    let kinds = |rows: std::ops::Range<i64>| {
        let batch = batch(rows);
        let kinds = batch.column(3).as_any().downcast_ref::<UInt8Array>().unwrap();
        let kinds = kinds.values().iter().map(|k| if k % 2 == 0 { 0 } else { 3 });
        let mut columns = batch.columns()[..3].to_vec();
        columns.push(Arc::new(UInt8Array::from_iter_values(kinds)));
        RecordBatch::try_new(changelog(), columns).unwrap()
    };
    let batches = [kinds(0..100), kinds(100..9000), kinds(9000..9001)];
    sink_contract(sink(options).as_ref(), batches, || {
        let output = Arc::clone(&output);
        Box::pin(async move { read_all(output.as_ref()).await.unwrap().rows })
    })
    .await;
}

#[tokio::test]
async fn updates_of_a_database_are_two_rows() {
    let row = |id: usize, name: &str| format!("{{\"id\":{id},\"name\":\"{name}\",\"x\":[1]}}");
    let (mut text, mut expected) = (String::new(), Vec::new());
    let mut expect = |id: usize, name: &str, kind: u8| {
        let row = format!("\"id\":{id},\"name\":\"{name}\",\"at\":null,\"$row_kind\":{kind}");
        expected.push(format!("{{{row}}}"));
    };
    // More than a batch of rows from less than a block of lines.
    for id in 0..6000 {
        let (a, b) = (row(id, "a"), row(id, "b"));
        let more = "\"source\":{\"db\":\"shop\"},\"ts_ms\":1589362330904,\"transaction\":null";
        text.push_str(&match id % 3 {
            0 => format!("{{\"before\":null,\"after\":{a},\"op\":\"r\",{more}}}\n"),
            1 => format!("{{\"before\":{a},\"after\":{b},\"op\":\"u\",{more}}}\n\n"),
            _ => format!("{{\"op\":\"d\",\"before\":{a},{more}}}\n"),
        });
        match id % 3 {
            0 => expect(id, "a", 0),
            1 => {
                expect(id, "a", 1);
                expect(id, "b", 2);
            }
            _ => expect(id, "a", 3),
        }
    }
    put("memory://debezium", "a.json", text.into_bytes()).await;
    let options = json!({ "path": "memory://debezium", "format": "debezium-json" });
    let all = Seen { rows: expected, dead_letters: Vec::new() };
    source_contract(source(options).as_ref(), all).await;
}

#[tokio::test]
async fn one_reader_reads_all_changes_in_order() {
    let uri = "memory://debezium-order";
    for file in 0..3 {
        let line = |id| format!("{{\"after\":{{\"id\":{id}}},\"op\":\"c\"}}\n");
        let text: String = (file * 100..file * 100 + 100).map(line).collect();
        put(uri, &format!("{file}.json"), text.into_bytes()).await;
    }
    let options = json!({ "path": uri, "format": "debezium-json", "splitSize": "500B" });
    let source = source(options);
    let mut enumerator = source.enumerator(2, None).unwrap();
    enumerator.discover().await.unwrap();
    assert_eq!(enumerator.assign(1), model::source::Assignment::NoMore);
    let mut reader = crate::contract::reader(source.as_ref());
    let all = crate::contract::read(source.as_ref(), &mut *enumerator, &mut *reader, usize::MAX);
    let found = all.await.unwrap().rows;
    let row = |id| format!("{{\"id\":{id},\"name\":null,\"at\":null,\"$row_kind\":0}}");
    assert_eq!(found, (0..300).map(row).collect::<Vec<_>>());
}

#[tokio::test]
async fn changes_that_cannot_be_understood_are_bad_records() {
    for (name, line, reason) in [
        ("half", "{\"before\":null,\"after\":{\"id\":1},\"op\":\"u\"}", "has no `before`"),
        ("unknown", "{\"before\":null,\"after\":{\"id\":1},\"op\":\"x\"}", "must be c, r, u or d"),
        ("plain", "{\"id\":1,\"name\":\"a\"}", "op"),
    ] {
        let uri = format!("memory://debezium-{name}");
        put(&uri, "a.json", format!("{line}\n").into_bytes()).await;
        let options = json!({ "path": uri, "format": "debezium-json" });
        let error = read_all(source(options).as_ref()).await.unwrap_err();
        assert!(error.message().contains(reason), "{error}");
        let options = json!({ "path": uri, "format": "debezium-json", "onBadRecord": "skip" });
        assert_eq!(read_all(source(options).as_ref()).await.unwrap(), Seen::default());
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let mistake = |options: Value| {
        let spec = SourceSpec {
            connector: "filesystem".to_owned(),
            options,
            declared_schema: Some(plain()),
            projection: None,
            pushdown: Default::default(),
        };
        super::super::source(&spec).err().unwrap()
    };
    let error = mistake(json!({ "path": "a", "format": "canal-json" }));
    assert!(error.message.contains("can be written, but not read"), "{error:?}");
    let pattern = json!({ "type": "debezium-json", "timestampFormat": "%Y" });
    assert_eq!(mistake(json!({ "path": "a", "format": pattern })).path, ["format"]);
    let options = json!({ "path": "a", "format": "debezium-json", "changelog": true });
    let spec = SinkSpec { connector: "filesystem".to_owned(), options, schema: changelog() };
    assert_eq!(super::super::sink(&spec).err().unwrap().path, ["changelog"]);
}
