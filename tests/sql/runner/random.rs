//! Random queries against DuckDB: `random_queries.py` makes tables, queries and their rows,
//! this runs them. `WEIR_SQL_RANDOM` is how many (default 300), `WEIR_SQL_SEED` which.

use futures::StreamExt;

use crate::cases::{self, Case};
use crate::engine::Engine;
use crate::{AT_ONCE, folder, python, ways};

/// Each so manieth query goes all four ways.
const ALL_WAYS: usize = 10;

fn number(name: &str, or: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")),
        Err(_) => or,
    }
}

fn generated(seed: u64, count: u64, to: &std::path::Path) -> Vec<Case> {
    let output = std::process::Command::new(python())
        .arg(folder().join("random_queries.py"))
        .args([seed.to_string(), count.to_string()])
        .arg(to)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let mut batches: Vec<_> = std::fs::read_dir(to).unwrap().map(|e| e.unwrap().path()).collect();
    batches.sort();
    batches.iter().flat_map(|b| cases::read(&b.join("cases.slt"))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_queries_give_the_rows_that_duckdb_gives() {
    let (seed, count) = (number("WEIR_SQL_SEED", 20_260_105), number("WEIR_SQL_RANDOM", 300));
    let files = tempfile::tempdir().unwrap();
    let all = generated(seed, count, files.path());
    assert_eq!(all.len() as u64, count);
    let engine = Engine::start().await;
    let failed: Vec<String> = futures::stream::iter(all.into_iter().enumerate())
        .map(|(index, case)| {
            let engine = &engine;
            async move {
                let done = match index % ALL_WAYS {
                    0 => ways::run(engine, &case).await.map(drop),
                    _ => ways::straight(engine, &case, 1)
                        .await
                        .map(drop)
                        .map_err(|e| format!("{e}\n{}", case.sql)),
                };
                done.err().map(|e| format!("{}: {e}", case.name))
            }
        })
        .buffer_unordered(AT_ONCE)
        .filter_map(|failed| async { failed })
        .collect()
        .await;
    engine.stop().await;
    let again = format!("random_queries.py {seed} {count} FOLDER makes these queries again");
    let shown: Vec<&str> = failed.iter().take(20).map(String::as_str).collect();
    let text = shown.join("\n\n");
    assert!(failed.is_empty(), "{} of {count} queries failed; {again}\n\n{text}", failed.len());
}
