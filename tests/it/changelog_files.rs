//! Changelogs and partitioned tables in files, end to end: what a script wrote is what the
//! next one reads.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::cluster::run;
use crate::oracle::part_files;

fn run_script(folder: &Path, name: &str, script: &str) {
    let path = folder.join(format!("{name}.sql"));
    std::fs::write(&path, script).unwrap();
    let (path, storage) = (path.display().to_string(), folder.join("checkpoints"));
    let storage = storage.display().to_string();
    let args = ["run", &path, "--quiet", "--http-addr", "127.0.0.1:0", "--storage", &storage];
    let (code, _, err) = run(&args, &[]);
    assert_eq!(code, 0, "{name}: {err}");
}

/// The rows that the `debezium-json` lines below `folder` come to, by their column `k`.
fn folded(folder: &Path) -> BTreeMap<String, Value> {
    let mut rows = BTreeMap::new();
    for file in part_files(folder) {
        for line in std::fs::read_to_string(file).unwrap().lines() {
            let change: Value = serde_json::from_str(line).unwrap();
            let key = |row: &Value| row["k"].as_str().unwrap().to_owned();
            match change["op"].as_str().unwrap() {
                "c" => {
                    let before = rows.insert(key(&change["after"]), change["after"].clone());
                    assert!(before.is_none(), "added twice: {line}");
                }
                "d" => {
                    let gone = rows.remove(&key(&change["before"]));
                    assert_eq!(gone.as_ref(), Some(&change["before"]), "{line}");
                }
                other => panic!("{other}: {line}"),
            }
        }
    }
    rows
}

#[test]
fn changes_of_a_database_are_counted_and_written_on() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    std::fs::create_dir(folder.path().join("in")).unwrap();
    let row = |id: i64, k: &str, v: i64| format!("{{\"id\":{id},\"k\":\"{k}\",\"v\":{v}}}");
    let line = |before: &str, after: &str, op: &str| {
        format!("{{\"before\":{before},\"after\":{after},\"op\":\"{op}\"}}\n")
    };
    let mut first = String::new();
    for id in 0..300 {
        let k = ["a", "b", "c"][id as usize % 3];
        first.push_str(&line("null", &row(id, k, id), "r"));
    }
    // Every tenth moves from its key to `moved`; all of `c` goes.
    let mut second = String::new();
    for id in (0..300).step_by(10) {
        let k = ["a", "b", "c"][id as usize % 3];
        second.push_str(&line(&row(id, k, id), &row(id, "moved", -id), "u"));
    }
    for id in (2..300).step_by(3).filter(|id| id % 10 != 0) {
        second.push_str(&line(&row(id, "c", id), "null", "d"));
    }
    std::fs::write(folder.path().join("in/1.json"), first).unwrap();
    std::fs::write(folder.path().join("in/2.json"), second).unwrap();
    let script = format!(
        "SET 'parallelism.default' = '2';
         CREATE TABLE changes (id BIGINT, k STRING, v BIGINT, PRIMARY KEY (id) NOT ENFORCED)
         WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'debezium-json');
         CREATE TABLE sums (k STRING, n BIGINT, s BIGINT)
         WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'debezium-json');
         INSERT INTO sums SELECT k, COUNT(*), SUM(v) FROM changes GROUP BY k;",
        place("in"),
        place("sums")
    );
    run_script(folder.path(), "sums", &script);
    let mut expected = BTreeMap::new();
    for (k, first) in [("a", 0), ("b", 1)] {
        let left = (first..300).step_by(3).filter(|id| id % 10 != 0);
        let (n, s) = left.fold((0, 0), |(n, s), id: i64| (n + 1, s + id));
        expected.insert(k.to_owned(), serde_json::json!({ "k": k, "n": n, "s": s }));
    }
    let moved: i64 = (0..300).step_by(10).map(|id| -id).sum();
    expected.insert("moved".to_owned(), serde_json::json!({ "k": "moved", "n": 30, "s": moved }));
    assert_eq!(folded(&folder.path().join("sums")), expected);

    // What was written is a changelog to read.
    let script = format!(
        "CREATE TABLE sums (k STRING, n BIGINT, s BIGINT)
         WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'debezium-json');
         CREATE TABLE whole (k STRING, n BIGINT)
         WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'debezium-json');
         INSERT INTO whole SELECT 'all', SUM(n) FROM sums;",
        place("sums"),
        place("whole")
    );
    run_script(folder.path(), "whole", &script);
    let whole = folded(&folder.path().join("whole"));
    let counted: i64 = expected.values().map(|row| row["n"].as_i64().unwrap()).sum();
    assert_eq!(whole["all"]["n"], counted);
}

#[test]
fn a_partitioned_table_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let table = format!(
        "CREATE TABLE t (n BIGINT, day STRING, half BIGINT) PARTITIONED BY (day, half)
         WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv');",
        folder.path().join("t").display()
    );
    let script = format!(
        "SET 'parallelism.default' = '2';\n{table}
         CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '1000',
           'fields.n.kind' = 'sequence', 'fields.n.start' = '0', 'fields.n.end' = '999');
         INSERT INTO t SELECT n, CONCAT('day:', CAST(MOD(n, 3) AS STRING)), MOD(n, 2) FROM numbers;"
    );
    run_script(folder.path(), "write", &script);
    assert!(folder.path().join("t/day=day%3A2/half=1").is_dir());
    let sums = folder.path().join("sums");
    let script = format!(
        "{table}
         CREATE TABLE sums (k STRING, s BIGINT)
         WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'debezium-json');
         INSERT INTO sums SELECT day, SUM(n + half) FROM t GROUP BY day;",
        sums.display()
    );
    run_script(folder.path(), "read", &script);
    let found = folded(&sums);
    for rest in 0..3 {
        let expected: i64 = (rest..1000).step_by(3).map(|n| n + n % 2).sum();
        assert_eq!(found[&format!("day:{rest}")]["s"], expected);
    }
    assert_eq!(found.len(), 3);
}
