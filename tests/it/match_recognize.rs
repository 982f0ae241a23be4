//! MATCH_RECOGNIZE end to end: patterns over one file of rows, with the rows that real Flink
//! 2.3 put out for the same queries.
//!
//! `match_recognize/cases.txt` has paragraphs: the body of the clause, then Flink's rows. The
//! bodies were drawn at random. Three of 123 are left out: several of their matches begin with
//! one row, and Flink takes whichever its heap has on top.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::cluster::{repository, run};
use crate::oracle::committed_lines;

/// Queries of one job.
const PER_JOB: usize = 40;
/// Measures of every body, with the partition's key.
const COLUMNS: &str =
    "k STRING, f INT, l INT, a BIGINT, b BIGINT, c BIGINT, d BIGINT, s INT, g INT";

struct Case {
    body: String,
    rows: BTreeMap<String, u32>,
}

fn cases() -> Vec<Case> {
    let path = repository().join("tests/it/match_recognize/cases.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let paragraphs = text.split("\n\n").filter(|p| !p.trim().is_empty() && !p.starts_with('#'));
    let case = |paragraph: &str| {
        let (body, rest) = paragraph.trim().split_once('\n').unwrap_or((paragraph.trim(), ""));
        let mut rows = BTreeMap::new();
        for line in rest.lines() {
            *rows.entry(line.to_owned()).or_default() += 1;
        }
        Case { body: body.to_owned(), rows }
    };
    paragraphs.map(case).collect()
}

/// A line of JSON as Flink's rows are written.
fn shown(line: &str) -> String {
    let row: serde_json::Value = serde_json::from_str(line).unwrap();
    let names = COLUMNS.split(", ").map(|c| c.split(' ').next().unwrap());
    let cell = |name| match &row[name] {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    names.map(cell).collect::<Vec<String>>().join("|")
}

fn script(cases: &[Case], out: &Path) -> String {
    let rows = repository().join("tests/it/match_recognize/rows.csv");
    let mut text = format!(
        "SET 'parallelism.default' = '2';
         CREATE TABLE t (k STRING, id INT, v INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts)
         WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv');\n",
        rows.display()
    );
    for (number, case) in cases.iter().enumerate() {
        let path = out.join(number.to_string());
        let _ = write!(
            text,
            "CREATE TABLE out{number} ({COLUMNS}) WITH ('connector' = 'filesystem', 'path' = '{}',
             'format' = 'json');
             INSERT INTO out{number} SELECT * FROM t MATCH_RECOGNIZE ({});\n",
            path.display(),
            case.body
        );
    }
    text
}

#[test]
fn random_patterns_match_what_flink_matches() {
    let cases = cases();
    assert!(cases.len() > 80, "{}", cases.len());
    for chunk in cases.chunks(PER_JOB) {
        let folder = tempfile::tempdir().unwrap();
        let job = folder.path().join("job.sql");
        std::fs::write(&job, script(chunk, folder.path())).unwrap();
        let storage = folder.path().join("checkpoints");
        let (job, storage) = (job.to_str().unwrap(), storage.to_str().unwrap());
        let args = ["run", job, "--quiet", "--http-addr", "127.0.0.1:0", "--storage", storage];
        let (code, _, errors) = run(&args, &[]);
        assert_eq!(code, 0, "{errors}");
        for (number, case) in chunk.iter().enumerate() {
            let mut found = BTreeMap::new();
            for (line, count) in committed_lines(&folder.path().join(number.to_string())) {
                *found.entry(shown(&line)).or_default() += count;
            }
            assert_eq!(found, case.rows, "{}", case.body);
        }
    }
}

/// The message that ends a job whose match says to skip to its own first row.
#[test]
fn a_skip_to_the_first_row_fails_the_job() {
    let folder = tempfile::tempdir().unwrap();
    let body = "PARTITION BY k ORDER BY ts MEASURES A.v AS v AFTER MATCH SKIP TO FIRST A \
                PATTERN (A B) DEFINE A AS A.v > 0";
    let rows = repository().join("tests/it/match_recognize/rows.csv");
    let text = format!(
        "CREATE TABLE t (k STRING, id INT, v INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts)
         WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv');
         CREATE TABLE out (k STRING, v INT) WITH ('connector' = 'blackhole');
         INSERT INTO out SELECT * FROM t MATCH_RECOGNIZE ({body});",
        rows.display()
    );
    let job = folder.path().join("job.sql");
    std::fs::write(&job, text).unwrap();
    let storage = folder.path().join("checkpoints");
    let (job, storage) = (job.to_str().unwrap(), storage.to_str().unwrap());
    let args = ["run", job, "--quiet", "--http-addr", "127.0.0.1:0", "--storage", storage];
    let (code, _, errors) = run(&args, &[]);
    assert_ne!(code, 0);
    assert!(errors.contains("AFTER MATCH SKIP TO `A`"), "{errors}");
}
