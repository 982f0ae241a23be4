//! The connector against an object store in memory; the sink is in `writing`.

mod writing;

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;

use futures::FutureExt;
use model::arrow::array::{Int32Array, Int64Array, RecordBatch, StringArray, UInt8Array};
use model::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use model::connector::{OptionError, SinkSpec, SourceSpec};
use model::sink::Sink;
use model::source::{Assignment, Polled, ReaderContext, Source};
use model::{ErrorKind, ManualClock, row_kind};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use serde_json::{Value, json};

use crate::contract::{
    Seen, poll_interrupted, read, read_all, reader, sink_contract, source_contract, writer_context,
};

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("name", DataType::Utf8, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new("x", DataType::Float64, true),
    ]))
}

fn spec(options: Value, projection: Option<&[&str]>) -> SourceSpec {
    SourceSpec {
        connector: "filesystem".to_owned(),
        options,
        declared_schema: Some(schema()),
        projection: projection.map(|p| p.iter().map(|s| (*s).to_owned()).collect()),
        pushdown: Default::default(),
    }
}

fn source(options: Value) -> Arc<dyn Source> {
    super::source(&spec(options, None)).unwrap()
}

fn sink(options: Value) -> Arc<dyn Sink> {
    let connector = "filesystem".to_owned();
    super::sink(&SinkSpec { connector, options, schema: schema() }).unwrap()
}

async fn put(uri: &str, path: &str, bytes: Vec<u8>) {
    let opened = storage::open(uri).unwrap();
    opened.store.put(&Path::from(path), PutPayload::from(bytes)).await.unwrap();
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    // Two members, as concatenated files have.
    let (a, b) = bytes.split_at(bytes.len() / 2);
    let mut out = Vec::new();
    for part in [a, b] {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(part).unwrap();
        out.extend(encoder.finish().unwrap());
    }
    out
}

/// Rows as the contract prints them, and as the two text formats hold them.
fn sample(rows: usize) -> (Vec<String>, String, String) {
    let (mut expected, mut json, mut csv) = (Vec::new(), String::new(), String::new());
    csv.push_str("x,ignored,at,name,id\n");
    for n in 0..rows {
        let second = n % 60;
        expected.push(format!(
            "{{\"id\":{n},\"name\":\"n{n}\",\"at\":\"2013-01-01T10:00:{second:02}\",\"x\":{n}.5}}"
        ));
        let at = match n % 3 {
            0 => format!("\"2013-01-01T10:00:{second:02}Z\""),
            1 => format!("\"2013-01-01 10:00:{second:02}.000\""),
            _ => format!("{}", 1_357_034_400_000_i64 + second as i64 * 1000),
        };
        writeln!(
            json,
            "{{\"x\":{n}.5,\"other\":[1,{{}}],\"id\":{n},\"at\":{at},\"name\":\"n{n}\"}}"
        )
        .unwrap();
        writeln!(csv, "{n}.5,zzz,{},n{n},{n}", at.trim_matches('"')).unwrap();
    }
    (expected, json, csv)
}

fn seen(rows: Vec<String>) -> Seen {
    Seen { rows, dead_letters: vec![] }
}

#[tokio::test]
async fn text_formats_in_every_compression() {
    let (expected, json, csv) = sample(9000);
    for (format, text) in [("json", &json), ("csv", &csv)] {
        let uri = format!("memory://every-{format}");
        put(&uri, "a.plain", text.clone().into_bytes()).await;
        put(&uri, "b.gz", gzip(text.as_bytes())).await;
        put(&uri, "c.zst", zstd::encode_all(text.as_bytes(), 1).unwrap()).await;
        for file in ["a.plain", "b.gz", "c.zst"] {
            let options = json!({ "path": format!("{uri}/{file}"), "format": format });
            source_contract(source(options).as_ref(), seen(expected.clone())).await;
        }
        let options = json!({ "path": format!("{uri}/*"), "format": format });
        assert_eq!(read_all(source(options).as_ref()).await.unwrap().rows.len(), 27_000);
        let options =
            json!({ "path": format!("{uri}/b.gz"), "format": format, "compression": "zstd" });
        let error = read_all(source(options).as_ref()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::User);
        assert!(error.message().contains("b.gz is not a readable zstd file"), "{error}");
    }
}

#[tokio::test]
async fn many_tiny_splits_are_the_whole_file() {
    let (expected, json, csv) = sample(150);
    for (format, text) in [("json", json), ("csv", csv)] {
        let uri = format!("memory://tiny-{format}");
        // Without a line end at the end, and with carriage returns.
        let text = text.trim_end().replace('\n', "\r\n");
        put(&uri, "f", text.into_bytes()).await;
        for size in ["1B", "7B", "64B", "71B", "1000B", "1MiB"] {
            let options = json!({ "path": uri, "format": format, "splitSize": size });
            let read = read_all(source(options).as_ref()).await.unwrap();
            let mut wanted = expected.clone();
            wanted.sort();
            assert_eq!(read.rows, wanted, "{format} in parts of {size}");
        }
        let options = json!({ "path": uri, "format": format, "splitSize": "900B" });
        source_contract(source(options).as_ref(), seen(expected.clone())).await;
    }
}

/// At a pace nothing is lost or doubled, through checkpoints too, and batches are small.
#[tokio::test]
async fn a_paced_source_gives_the_same_rows_in_small_batches() {
    let (expected, json, csv) = sample(300);
    for (format, text) in [("json", json), ("csv", csv)] {
        let uri = format!("memory://paced-{format}");
        put(&uri, "f", text.trim_end().as_bytes().to_vec()).await;
        let options = |rate: u64| json!({ "path": uri, "format": format, "rowsPerSecond": rate });
        source_contract(source(options(2000)).as_ref(), seen(expected.clone())).await;
        let source = source(options(2000));
        let mut enumerator = source.enumerator(1, None).unwrap();
        enumerator.discover().await.unwrap();
        let Assignment::Splits(splits) = enumerator.assign(0) else { panic!("no split") };
        let clock = Arc::new(ManualClock::at(0));
        let context = ReaderContext { subtask: 0, parallelism: 1, clock: clock.clone() };
        let mut reader = source.reader(context).unwrap();
        reader.add_splits(splits).unwrap();
        let Polled::Batch(batch) = reader.poll().await.unwrap() else { panic!("no rows") };
        assert_eq!(batch.num_rows(), 200);
        // The next rows are due in a tenth of a second; a poll that is given up loses none.
        clock.advance(99);
        assert!(reader.poll().now_or_never().is_none());
        clock.advance(1);
        let Polled::Batch(batch) = reader.poll().await.unwrap() else { panic!("no rows") };
        assert_eq!(batch.num_rows(), 100);
    }
}

#[tokio::test]
async fn parquet_by_row_groups() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data.parquet");
    let file_schema = Arc::new(Schema::new(vec![
        Field::new("x", DataType::Float32, true),
        Field::new("skipped", DataType::Utf8, true),
        Field::new("id", DataType::Int32, false),
    ]));
    let properties = parquet::file::properties::WriterProperties::builder()
        .set_max_row_group_row_count(Some(3000))
        .build();
    let file = std::fs::File::create(&path).unwrap();
    let mut writer =
        parquet::arrow::ArrowWriter::try_new(file, Arc::clone(&file_schema), Some(properties))
            .unwrap();
    let ids: Vec<i32> = (0..10_000).collect();
    let batch = RecordBatch::try_new(
        file_schema,
        vec![
            Arc::new(model::arrow::array::Float32Array::from_iter_values(
                ids.iter().map(|i| *i as f32),
            )),
            Arc::new(StringArray::from_iter_values(ids.iter().map(|i| i.to_string()))),
            Arc::new(Int32Array::from(ids)),
        ],
    );
    writer.write(&batch.unwrap()).unwrap();
    writer.close().unwrap();
    let expected: Vec<_> = (0..10_000)
        .map(|n| format!("{{\"id\":{n},\"name\":null,\"at\":null,\"x\":{n}.0}}"))
        .collect();
    for size in ["1KiB", "20KiB", "64MiB"] {
        let options =
            json!({ "path": path.to_str().unwrap(), "format": "parquet", "splitSize": size });
        source_contract(source(options).as_ref(), seen(expected.clone())).await;
    }
    let options = json!({ "path": path.to_str().unwrap(), "format": "parquet" });
    let some = super::source(&spec(options.clone(), Some(&["x", "id"]))).unwrap();
    assert_eq!(some.schema().fields().iter().map(|f| f.name()).collect::<Vec<_>>(), ["id", "x"]);
    assert_eq!(read_all(some.as_ref()).await.unwrap().rows[0], "{\"id\":0,\"x\":0.0}");
    let none = super::source(&spec(options, Some(&[]))).unwrap();
    assert_eq!(read_all(none.as_ref()).await.unwrap().rows.len(), 10_000);

    std::fs::write(&path, b"this is not parquet at all").unwrap();
    let options = json!({ "path": path.to_str().unwrap(), "format": "parquet" });
    let error = read_all(source(options).as_ref()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::User);
    assert!(error.message().contains("is not a readable parquet file"), "{error}");
}

#[tokio::test]
async fn projections_of_text() {
    let (_, json, csv) = sample(10);
    for (format, text) in [("json", json), ("csv", csv)] {
        let uri = format!("memory://projected-{format}");
        put(&uri, "f", text.into_bytes()).await;
        let options = json!({ "path": uri, "format": format });
        let one = super::source(&spec(options.clone(), Some(&["name"]))).unwrap();
        assert_eq!(read_all(one.as_ref()).await.unwrap().rows[3], "{\"name\":\"n3\"}");
        let none = super::source(&spec(options, Some(&[]))).unwrap();
        assert_eq!(read_all(none.as_ref()).await.unwrap().rows.len(), 10);
    }
}

#[tokio::test]
async fn bad_records_in_each_policy() {
    let mut json = String::new();
    let mut expected = Vec::new();
    for n in 0..2000 {
        match n {
            500 | 501 => json.push_str("{\"id\": oops}\n"),
            900 => json.push_str("{\"id\":900}{\"id\":900}\n"),
            1999 => json.push_str("{\"name\":\"no id\"}"),
            _ => {
                writeln!(json, "{{\"id\":{n}}}").unwrap();
                expected.push(format!("{{\"id\":{n},\"name\":null,\"at\":null,\"x\":null}}"));
            }
        }
        if n % 700 == 0 {
            json.push_str("\n  \n");
        }
    }
    let offset = json.find("{\"id\": oops}").unwrap();
    put("memory://bad", "f.json", json.into_bytes()).await;
    let options = |policy: &str| json!({ "path": "memory://bad/f.json", "format": "json", "onBadRecord": policy });

    let error = read_all(source(options("fail")).as_ref()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::User);
    let message = error.message();
    let start = format!("f.json at byte {offset}: bad record `{{\"id\": oops}}`: ");
    assert!(message.starts_with(&start), "{message}");

    let skipping = source(options("skip"));
    source_contract(skipping.as_ref(), seen(expected.clone())).await;
    let mut enumerator = skipping.enumerator(1, None).unwrap();
    enumerator.discover().await.unwrap();
    let mut r = reader(skipping.as_ref());
    read(skipping.as_ref(), enumerator.as_mut(), r.as_mut(), usize::MAX).await.unwrap();
    assert_eq!(r.bad_records(), (4, 0));

    let letters = source(options("dead-letter"));
    let all = read_all(letters.as_ref()).await.unwrap();
    assert_eq!(all.dead_letters.len(), 4);
    let at = format!("{{\"source\":\"f.json\",\"position\":\"{offset}\",\"raw\":\"");
    assert!(all.dead_letters.iter().any(|l| l.starts_with(&at)), "{:?}", all.dead_letters);
    let dead_letters = all.dead_letters.clone();
    source_contract(letters.as_ref(), Seen { rows: expected, dead_letters }).await;
}

#[tokio::test]
async fn csv_dialects_and_multiline() {
    let text = "id;name;at;x\n1;'a;b';2013-02-01;NULL\n2;'two\nlines, ''quoted''';NULL;2\n";
    put("memory://dialect", "f.csv", text.as_bytes().to_vec()).await;
    let format = |multiline: bool| {
        json!({ "type": "csv", "delimiter": ";", "quote": "'", "nullValue": "NULL",
                "timestampFormat": "%Y-%m-%d", "multiline": multiline })
    };
    let options = |multiline| json!({ "path": "memory://dialect", "format": format(multiline) });
    let expected = vec![
        "{\"id\":1,\"name\":\"a;b\",\"at\":\"2013-02-01T00:00:00\",\"x\":null}".to_owned(),
        "{\"id\":2,\"name\":\"two\\nlines, 'quoted'\",\"at\":null,\"x\":2.0}".to_owned(),
    ];
    source_contract(source(options(true)).as_ref(), seen(expected)).await;
    let error = read_all(source(options(false)).as_ref()).await.unwrap_err();
    assert!(error.message().contains("multiline"), "{error}");
}

#[tokio::test]
async fn csv_headers_are_checked() {
    let csv = |header: bool| json!({ "type": "csv", "header": header });
    put("memory://headers", "none.csv", b"1,a,,\n2,,,2.5\n".to_vec()).await;
    let path = "memory://headers/none.csv";
    let rows = read_all(source(json!({ "path": path, "format": csv(false) })).as_ref()).await;
    assert_eq!(rows.unwrap().rows[1], "{\"id\":2,\"name\":null,\"at\":null,\"x\":2.5}");
    let error = read_all(source(json!({ "path": path, "format": "csv" })).as_ref()).await;
    assert!(error.unwrap_err().message().contains("set `header: false`"));

    put("memory://headers", "noid.csv", b"\xef\xbb\xbfname,x\na,1\n".to_vec()).await;
    let path = "memory://headers/noid.csv";
    let error = read_all(source(json!({ "path": path, "format": "csv" })).as_ref()).await;
    let error = error.unwrap_err();
    assert!(error.message().contains("no column `id`, which is declared NOT NULL"), "{error}");
    let options = json!({ "path": path, "format": "csv" });
    let some = super::source(&spec(options, Some(&["name", "at"]))).unwrap();
    assert_eq!(read_all(some.as_ref()).await.unwrap().rows, ["{\"name\":\"a\",\"at\":null}"]);
}

#[tokio::test]
async fn watching_finds_new_files_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap().to_owned();
    let options = json!({ "path": path, "format": "json", "watch": "10s" });
    let source = source(options);
    assert!(!source.is_bounded());
    let mut enumerator = source.enumerator(1, None).unwrap();
    assert_eq!(enumerator.discovery_interval_ms(), Some(10_000));
    enumerator.discover().await.unwrap();
    assert_eq!(enumerator.assign(0), Assignment::NoneYet);
    let mut r = reader(source.as_ref());
    for (name, id) in [("b.json", 1), ("a.json", 2)] {
        std::fs::write(dir.path().join(name), format!("{{\"id\":{id}}}\n")).unwrap();
        enumerator.discover().await.unwrap();
        // A restore forgets no file.
        let snapshot = enumerator.snapshot().unwrap();
        enumerator = source.enumerator(1, Some(&snapshot)).unwrap();
        let seen = read(source.as_ref(), enumerator.as_mut(), r.as_mut(), 9).await.unwrap();
        assert_eq!(seen.rows.len(), 1);
        assert!(seen.rows[0].starts_with(&format!("{{\"id\":{id},")));
        std::fs::write(dir.path().join(name), "{\"id\":77}\n{\"id\":78}\n").unwrap();
    }
    assert!(matches!(poll_interrupted(r.as_mut()).await.unwrap(), Polled::NeedSplits));
}

#[tokio::test]
async fn nothing_to_read_is_an_error() {
    let options = json!({ "path": "memory://void/x/*.json", "format": "json" });
    let error = read_all(source(options).as_ref()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::User);
    assert!(error.message().contains("no file matches `memory://void/x/*.json`"));
}

#[test]
fn mistakes_in_source_options() {
    let mistake =
        |options: Value| -> OptionError { super::source(&spec(options, None)).err().unwrap() };
    let error = mistake(json!({ "pth": "x", "format": "csv" }));
    assert!(error.at_key && error.help.unwrap().contains("did you mean `path`?"));
    assert_eq!(mistake(json!({ "format": "csv" })).message, "option `path` is missing");
    assert_eq!(mistake(json!({ "path": "x" })).message, "option `format` is missing");
    let error = mistake(json!({ "path": "x", "format": "cvs" }));
    assert!(error.path == ["format"] && error.help.unwrap().contains("`csv`"));
    let with = |key: &str, value: Value| {
        let mut options = json!({ "path": "x", "format": "csv" });
        options[key] = value;
        mistake(options).path
    };
    assert_eq!(with("splitSize", json!(5)), ["splitSize"]);
    assert_eq!(with("watch", json!("soon")), ["watch"]);
    assert_eq!(with("rowsPerSecond", json!(-1)), ["rowsPerSecond"]);
    assert_eq!(with("rowsPerSecond", json!("fast")), ["rowsPerSecond"]);
    assert_eq!(with("onBadRecord", json!("ignore")), ["onBadRecord"]);
    assert_eq!(with("compression", json!("lzma")), ["compression"]);
    assert_eq!(with("path", json!("")), ["path"]);
    assert_eq!(with("partitionBy", json!(["zz"])), ["partitionBy"]);
    assert_eq!(with("partitionBy", json!(["id", "name", "at", "x"])), ["partitionBy"]);
    assert_eq!(
        with("format", json!({ "type": "csv", "delimiter": "ab" })),
        ["format", "delimiter"]
    );
    assert_eq!(with("format", json!({ "type": "json", "quote": "x" })), ["format", "quote"]);
    assert_eq!(
        with("format", json!({ "type": "json", "timestampFormat": "abc" })),
        ["format", "timestampFormat"]
    );
    assert_eq!(with("format", json!({})), ["format"]);
    assert_eq!(
        mistake(json!({ "path": "x", "format": "parquet", "compression": "gzip" })).path,
        ["compression"]
    );
    assert_eq!(
        mistake(json!({ "path": "x", "format": "parquet", "onBadRecord": "skip" })).path,
        ["onBadRecord"]
    );

    let mut undeclared = spec(json!({ "path": "x", "format": "parquet" }), None);
    undeclared.declared_schema = None;
    assert!(super::source(&undeclared).err().unwrap().message.contains("`schema` is missing"));
    let list = DataType::new_list(DataType::Int64, true);
    let mut nested = spec(json!({ "path": "x", "format": "csv" }), None);
    nested.declared_schema = Some(Arc::new(Schema::new(vec![Field::new("l", list, true)])));
    assert_eq!(super::source(&nested).err().unwrap().path, ["schema", "l"]);
    assert!(super::source(&spec(json!({ "path": "x", "format": "csv" }), Some(&["zz"]))).is_err());
}
