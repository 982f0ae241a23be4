//! The Flink-compatible facade against what a real Flink was recorded to answer, and with
//! public Flink clients from PyPI, unmodified, on a live cluster.

use std::process::{Command, Stdio};

use crate::cluster::{Cluster, repository};
use crate::s3::venv;

fn like_job() -> String {
    std::fs::read_to_string(repository().join("tests/facade/like-job.yaml")).unwrap()
}

/// A script of `tests/facade`, with the Python that `make test` sets up.
fn python(script: &str, args: &[&str]) -> String {
    let output = Command::new(venv().join("bin/python"))
        .arg(repository().join("tests/facade").join(script))
        .args(args)
        .env("NO_PROXY", "127.0.0.1")
        .env("no_proxy", "127.0.0.1")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {}\n{text}\n{errors}", output.status);
    text
}

fn completed(job: &serde_json::Value) -> u64 {
    job["checkpoints"]["completed"].as_u64().unwrap_or(0)
}

/// The job has been through what the recorded Flink had been through: completed checkpoints,
/// a failed one, a lost task manager, a restore.
#[test]
fn no_key_of_a_real_flink_is_missing_in_the_facade() {
    // Only the one that is stopped may be lost, also where the processors are busy.
    let patient = [("WEIR_HEARTBEAT_TIMEOUT".to_owned(), "5s".to_owned())];
    let mut cluster = Cluster::start(1, 2, None, &patient);
    let id = cluster.submit(&like_job(), None);
    cluster.wait_until(&id, "a completed checkpoint", |job| completed(job) >= 2);
    // Stopped first, so that a checkpoint hangs, and fails when the process is found silent.
    let before = cluster.job(&id);
    cluster.task_managers[0].signal(libc::SIGSTOP);
    cluster.wait_until(&id, "a failed checkpoint", |job| job["checkpoints"]["failed"] != 0);
    cluster.task_managers.remove(0).kill();
    cluster.add_task_manager(2);
    let lost = completed(&before);
    cluster.wait_until(&id, "checkpoints after the failure", |job| {
        job["status"] == "RUNNING" && job["restarts"] != 0 && completed(job) >= lost + 2
    });
    let report = python("compare.py", &[&cluster.server()]);
    println!("{report}");
}

#[test]
fn public_flink_clients_run_unmodified() {
    let cluster = Cluster::start(1, 2, None, &[]);
    let id = cluster.submit(&like_job(), None);
    cluster.wait_until(&id, "a completed checkpoint", |job| completed(job) >= 1);
    let server = cluster.server();
    let (host, port) = server.trim_start_matches("http://").rsplit_once(':').unwrap();
    println!("{}", python("client.py", &[host, port]));
}
