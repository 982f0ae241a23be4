//! Runs the cases of `tests/sql/*.slt` four ways each, and random queries once, on an
//! embedded cluster, and holds the final rows against those of DuckDB.
//! `tests/sql/README.md` describes the files and the ways.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

mod cases;
mod collect;
mod engine;
mod random;
mod render;
mod rows;
mod ways;

use std::path::{Path, PathBuf};

use cases::Case;
use engine::Engine;
use futures::StreamExt;

/// Cases that run at once: enough that waiting for each other's checkpoints costs nothing.
const AT_ONCE: usize = 8;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sql")
}

/// The Python environment that `make test` sets up.
fn python() -> PathBuf {
    let venv = std::env::var_os("WEIR_TEST_VENV")
        .expect("WEIR_TEST_VENV is not set: run the tests with `make test` or `make e2e`");
    PathBuf::from(venv).join("bin/python")
}

/// The cases of the files below `folder`, or of those that `WEIR_SLT` names; a name may be
/// followed by `:` and a part of the cases' names.
fn chosen(folder: &Path) -> Vec<Case> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "slt"));
    files.sort();
    let mut part = String::new();
    if let Ok(named) = std::env::var("WEIR_SLT") {
        let (names, wanted) = named.split_once(':').unwrap_or((&named, ""));
        wanted.clone_into(&mut part);
        files = names.split(',').map(|n| folder.join(n)).collect();
    }
    let mut found: Vec<Case> = files.iter().flat_map(|f| cases::read(f)).collect();
    found.retain(|c| c.name.contains(&part));
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_gives_the_golden_rows_four_ways() {
    let engine = Engine::start().await;
    let all = chosen(&folder());
    let count = all.len();
    let done: Vec<Result<ways::Seen, String>> = futures::stream::iter(all)
        .map(|case| {
            let engine = &engine;
            async move { ways::run(engine, &case).await.map_err(|e| format!("{}: {e}", case.name)) }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    engine.stop().await;
    let failed: Vec<&String> = done.iter().filter_map(|d| d.as_ref().err()).collect();
    let text: Vec<&str> = failed.iter().map(|f| f.as_str()).collect();
    assert!(failed.is_empty(), "{} of {count} cases failed\n\n{}", failed.len(), text.join("\n\n"));
    // Else the ways would not differ.
    let seen: Vec<ways::Seen> = done.into_iter().flatten().collect();
    let checkpointed = seen.iter().filter(|s| s.checkpoints > 0).count();
    let killed = seen.iter().filter(|s| s.killed).count();
    let no_tables = seen.iter().filter(|s| s.no_tables).count();
    let could = count - no_tables;
    assert_eq!((checkpointed, killed), (could, could), "with checkpoints, and killed");
    assert!(no_tables * 20 < count.max(100), "{no_tables} of {count} cases read no table");
}

/// The expected rows are those that DuckDB gives for the cases as they stand.
#[test]
fn the_golden_rows_are_current() {
    let output = std::process::Command::new(python())
        .arg(folder().join("golden.py"))
        .arg("--check")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
