//! The main job on real data, every row held against DuckDB: embedded, and on a cluster of
//! processes that loses a task manager.

use crate::cluster::{Cluster, repository, run};
use crate::oracle::assert_flights;

fn job_with(parallelism: u32, backend: &str) -> String {
    let text = std::fs::read_to_string(repository().join("examples/flights/job.yaml")).unwrap();
    let text = text.replacen("parallelism: 2", &format!("parallelism: {parallelism}"), 1);
    text.replacen(
        "  checkpoint: { interval: 1s }",
        &format!(
            "  checkpoint: {{ interval: 200ms }}\n  state: {{ backend: {backend}, memory: 4MiB }}"
        ),
        1,
    )
}

#[test]
fn run_gives_every_row_that_duckdb_gives() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let env = [("WEIR_FLIGHTS_OUT", out.display().to_string())];
    let storage = folder.path().join("checkpoints").display().to_string();
    let args =
        ["run", "examples/flights/job.yaml", "--storage", &storage, "--http-addr", "127.0.0.1:0"];
    let (code, _, err) = run(&args, &env);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("FINISHED"), "no outcome in the progress output: {err}");
    assert_flights(&out);
}

#[test]
fn a_cluster_gives_the_same_rows_at_other_parallelism_and_backend() {
    for (parallelism, backend) in [(1, "heap"), (3, "rocksdb")] {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let env = [("WEIR_FLIGHTS_OUT".to_owned(), out.display().to_string())];
        let cluster = Cluster::start(3, 1, None, &env);
        let id = cluster.submit(&job_with(parallelism, backend), None);
        cluster.wait_for_status(&id, "FINISHED");
        assert_flights(&out);
    }
}

/// What `make run` does once everything is built.
#[test]
fn the_readme_s_run_command_shows_what_it_found() {
    let folder = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(repository().join("scripts/run-flights.sh"))
        .arg(crate::cluster::streamctl())
        .env("WEIR_FLIGHTS_OUT", folder.path().join("out"))
        .env("XDG_STATE_HOME", folder.path().join("state"))
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    assert_eq!(text.matches("\"rank\":").count(), 10, "{text}");
    assert_eq!(text.matches("\"departures\":").count(), 5, "{text}");
}
