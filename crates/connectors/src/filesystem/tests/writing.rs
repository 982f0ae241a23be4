//! The sink: transactions, formats, folders, rolling, mistakes in its options.

use super::*;

fn batch(ids: std::ops::Range<i64>) -> RecordBatch {
    let names = ids.clone().map(|i| (i % 3 != 0).then(|| format!("name, \"{i}\"")));
    let times = ids.clone().map(|i| Some(1_357_034_400_000 + i * 1001));
    let columns: Vec<model::arrow::array::ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(ids.clone())),
        Arc::new(names.collect::<StringArray>()),
        Arc::new(times.collect::<model::arrow::array::TimestampMillisecondArray>()),
        Arc::new(model::arrow::array::Float64Array::from_iter_values(ids.map(|i| i as f64 / 4.0))),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

#[tokio::test]
async fn sinks_are_transactional_in_every_format() {
    for (format, compressions) in [
        ("json", &["none", "gzip", "zstd"][..]),
        ("csv", &["none", "gzip", "zstd"]),
        ("parquet", &["none", "snappy", "gzip", "zstd", "lz4"]),
    ] {
        for compression in compressions {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("out").to_str().unwrap().to_owned();
            for path in [path, format!("memory://sink-{format}-{compression}/deep")] {
                let sink =
                    sink(json!({ "path": path, "format": format, "compression": compression }));
                let options = json!({ "path": path, "format": format, "watch": "1s" });
                let output = source(options);
                let batches = [batch(0..100), batch(100..5000), batch(5000..5001)];
                sink_contract(sink.as_ref(), batches, || {
                    let output = Arc::clone(&output);
                    Box::pin(async move { read_all(output.as_ref()).await.unwrap().rows })
                })
                .await;
            }
        }
    }
}

#[tokio::test]
async fn a_partitioned_table_is_written_to_folders_and_read_back() {
    for (at, format) in ["json", "csv", "parquet"].into_iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap().to_owned();
        // More folders than files may be open.
        let columns = if at == 0 { json!(["name"]) } else { json!(["at", "x"]) };
        let with = |more: (&str, &str)| {
            let mut options = json!({ "path": path, "format": format, "partitionBy": columns });
            options[more.0] = json!(more.1);
            options
        };
        let sink = sink(json!({ "path": path, "format": format, "partitionBy": columns }));
        let output = source(with(("watch", "1s")));
        let batches = [batch(0..50), batch(50..120), batch(120..121)];
        sink_contract(sink.as_ref(), batches, || {
            let output = Arc::clone(&output);
            Box::pin(async move { read_all(output.as_ref()).await.unwrap().rows })
        })
        .await;
        let folders = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name());
        let folders: Vec<String> = folders.map(|n| n.into_string().unwrap()).collect();
        let start = if at == 0 { "name=" } else { "at=2013" };
        assert!(folders.iter().any(|f| f.starts_with(start)), "{folders:?}");
        let narrow =
            crate::filesystem::source(&spec(with(("splitSize", "1KiB")), Some(&["name", "x"])));
        assert_eq!(read_all(narrow.unwrap().as_ref()).await.unwrap().rows.len(), 121);
    }
}

#[tokio::test]
async fn files_roll_by_size_and_keep_clear_names() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let sink = sink(json!({ "path": path, "format": "json", "rolling": { "size": "10KB" } }));
    let mut writer = sink.writer(writer_context(3)).unwrap();
    for k in 0..4 {
        writer.write(batch(k * 100..(k + 1) * 100)).await.unwrap();
    }
    let committables = writer.prepare_commit(Some(model::CheckpointId(7))).unwrap().await.unwrap();
    sink.committer().unwrap().commit(committables).await.unwrap();
    let mut names: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|n| !n.starts_with('.'))
        .collect();
    names.sort();
    assert!(names.len() > 1, "{names:?}");
    assert_eq!(names[0], "part-out-000000000000-7-3-0-0.json");
    let read = read_all(source(json!({ "path": path, "format": "json" })).as_ref()).await.unwrap();
    assert_eq!(read.rows.len(), 400);
}

#[tokio::test]
async fn a_large_file_goes_up_in_parts() {
    let sink =
        sink(json!({ "path": "memory://large", "format": "csv", "rolling": { "size": "1GiB" } }));
    let mut writer = sink.writer(writer_context(1)).unwrap();
    let big = batch(0..8000);
    for _ in 0..40 {
        writer.write(big.clone()).await.unwrap();
    }
    let committables = writer.prepare_commit(None).unwrap().await.unwrap();
    assert_eq!(committables.len(), 1);
    let text = String::from_utf8(committables[0].to_vec()).unwrap();
    assert!(text.contains("\"rows\":320000"), "{text}");
    sink.committer().unwrap().commit(committables).await.unwrap();
    let options = json!({ "path": "memory://large", "format": "csv", "splitSize": "1MiB" });
    assert_eq!(read_all(source(options).as_ref()).await.unwrap().rows.len(), 320_000);
}

#[tokio::test]
async fn changelogs_carry_op() {
    let mut fields: Vec<_> = schema().fields().iter().cloned().collect();
    fields.push(Arc::new(row_kind::field()));
    let changelog = Arc::new(Schema::new(fields));
    let spec = |options| SinkSpec {
        connector: "filesystem".to_owned(),
        options,
        schema: Arc::clone(&changelog),
    };
    let plain = crate::filesystem::sink(&spec(json!({ "path": "memory://ops", "format": "json" })))
        .unwrap();
    assert!(!plain.accepts_changelog());
    let options = json!({ "path": "memory://ops", "format": "json", "changelog": true });
    let sink = crate::filesystem::sink(&spec(options)).unwrap();
    assert!(sink.accepts_changelog());
    let mut columns = batch(1..3).columns().to_vec();
    columns.push(Arc::new(UInt8Array::from(vec![0, 3])));
    let mut writer = sink.writer(writer_context(1)).unwrap();
    writer.write(RecordBatch::try_new(Arc::clone(&changelog), columns).unwrap()).await.unwrap();
    let committables = writer.prepare_commit(None).unwrap().await.unwrap();
    sink.committer().unwrap().commit(committables).await.unwrap();
    let op = Arc::new(Schema::new(vec![Field::new("op", DataType::Utf8, false)]));
    let back = crate::filesystem::source(&SourceSpec {
        connector: "filesystem".to_owned(),
        options: json!({ "path": "memory://ops", "format": "json" }),
        declared_schema: Some(op),
        projection: None,
        pushdown: Default::default(),
    });
    let rows = read_all(back.unwrap().as_ref()).await.unwrap().rows;
    assert_eq!(rows, ["{\"op\":\"+I\"}", "{\"op\":\"-D\"}"]);
}

#[tokio::test]
async fn a_finished_or_killed_job_leaves_nothing_staged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let sink = sink(json!({ "path": path, "format": "json" }));
    let committer = sink.committer().unwrap();
    let mut writer = sink.writer(writer_context(1)).unwrap();
    writer.write(batch(0..2)).await.unwrap();
    let kept = writer.prepare_commit(Some(model::CheckpointId(1))).unwrap().await.unwrap();
    let staged: Value = serde_json::from_slice(&kept[0]).unwrap();
    let staged = dir.path().join(staged["staged"].as_str().unwrap());
    let unfinished = staged.with_file_name("1-0-9.json#1");
    std::fs::write(&unfinished, "half a f").unwrap();
    committer.clean_up(writer_context(1).attempt.job, kept.clone()).await.unwrap();
    assert!(staged.exists() && !unfinished.exists());
    committer.commit(kept).await.unwrap();
    writer.write(batch(2..3)).await.unwrap();
    let last = writer.prepare_commit(None).unwrap().await.unwrap();
    committer.commit(last.clone()).await.unwrap();
    assert!(!dir.path().join(".staging").exists());
    committer.commit(last).await.unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[tokio::test]
async fn a_foreign_file_is_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let sink = sink(json!({ "path": path, "format": "json" }));
    let mut writer = sink.writer(writer_context(1)).unwrap();
    writer.write(batch(0..2)).await.unwrap();
    let committables = writer.prepare_commit(None).unwrap().await.unwrap();
    let name = dir.path().join("part-out-000000000000-final-1-0-0.json");
    std::fs::write(&name, "mine").unwrap();
    let error = sink.committer().unwrap().commit(committables).await.unwrap_err();
    assert!(error.message().contains("was not overwritten"), "{error}");
    assert_eq!(std::fs::read_to_string(name).unwrap(), "mine");
    // A directory that cannot be made is named.
    let blocked = dir.path().join("part-out-000000000000-final-1-0-0.json/below");
    let options = json!({ "path": blocked.to_str().unwrap(), "format": "json" });
    let sink = crate::filesystem::sink(&SinkSpec {
        connector: "filesystem".to_owned(),
        options,
        schema: schema(),
    });
    let error = sink.unwrap().writer(writer_context(1)).err().unwrap();
    assert!(error.message().contains("below"), "{error}");
}

#[test]
fn mistakes_in_sink_options() {
    let mistake = |options: Value| {
        crate::filesystem::sink(&SinkSpec {
            connector: "filesystem".into(),
            options,
            schema: schema(),
        })
        .err()
        .unwrap()
        .path
    };
    assert_eq!(mistake(json!({ "path": "a/*.json", "format": "json" })), ["path"]);
    assert_eq!(mistake(json!({ "path": "a", "format": "csv", "changelog": true })), ["changelog"]);
    assert_eq!(
        mistake(json!({ "path": "a", "format": "csv", "compression": "lz4" })),
        ["compression"]
    );
    let rolling = json!({ "path": "a", "format": "csv", "rolling": { "size": "8GiB" } });
    assert_eq!(mistake(rolling), ["rolling", "size"]);
    let rolling = json!({ "path": "a", "format": "csv", "rolling": { "every": "8s" } });
    assert_eq!(mistake(rolling), ["rolling", "every"]);
}
