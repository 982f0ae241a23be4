//! The command line: exit codes, errors that say where and what to do, offline commands.

use serde_json::Value;

use crate::cluster::{Cluster, repository, run, streamctl};

#[test]
fn wrong_command_lines_exit_with_2() {
    for args in [&["frobnicate"][..], &["submit"], &["run", "x.yaml", "--slots", "many"]] {
        let (code, _, err) = run(args, &[]);
        assert_eq!(code, 2, "{args:?}: {err}");
        assert!(err.contains("Usage") || err.contains("usage") || err.contains("help"), "{err}");
    }
}

#[test]
fn a_bad_job_file_is_reported_with_place_and_help() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("job.yaml");
    let text = std::fs::read_to_string("../examples/flights/job.yaml").unwrap();
    std::fs::write(&path, text.replace("avg(dep_delay)", "avg(dep_dealy)")).unwrap();
    let path = path.display().to_string();
    for command in ["validate", "plan", "run"] {
        let (code, _, err) = run(&[command, &path], &[]);
        assert_eq!(code, 78, "{command}: {err}");
        assert!(err.contains("job.yaml:") && err.contains("dep_dealy"), "{command}: {err}");
        assert!(err.contains("dep_delay"), "no suggestion: {err}");
    }
}

#[test]
fn plan_and_schema_work_offline() {
    let (code, out, err) = run(&["plan", "examples/flights/job.yaml"], &[]);
    assert_eq!(code, 0, "{err}");
    for word in ["flights", "hourly", "hash", "sessions_out"] {
        assert!(out.to_lowercase().contains(word), "`{word}` is not in the plan:\n{out}");
    }
    let (code, out, _) = run(&["plan", "examples/flights/job.yaml", "-o", "json"], &[]);
    assert_eq!(code, 0);
    assert!(serde_json::from_str::<Value>(&out).unwrap().is_object());
    let (code, out, _) = run(&["plan", "examples/flights/job.yaml", "-o", "dot"], &[]);
    assert_eq!(code, 0);
    assert!(out.starts_with("digraph"), "{out}");
    let (code, out, _) = run(&["schema"], &[]);
    assert_eq!(code, 0);
    let schema: Value = serde_json::from_str(&out).unwrap();
    assert!(schema["$schema"].as_str().unwrap().contains("2020-12"), "{schema}");
    let (code, out, _) = run(&["completions", "bash"], &[]);
    assert!(code == 0 && out.contains("streamctl"));
}

/// As in `streamctl schema | head -1`.
#[test]
fn a_reader_that_goes_away_is_no_failure() {
    for args in [&["schema"][..], &["plan", "examples/flights/job.yaml"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = std::process::Command::new(streamctl());
        command.args(args).current_dir(repository()).stdout(writer);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(141), "{args:?}: {said}");
        assert!(!said.contains("panicked"), "{args:?}: {said}");
    }
}

#[test]
fn without_a_job_manager_the_error_says_how_to_reach_one() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let (code, _, err) =
        run(&["get", "jobs", "--server", &format!("http://127.0.0.1:{port}")], &[]);
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("--server") && err.contains("cannot reach"), "{err}");
}

#[test]
fn jobs_can_be_listed_described_cancelled_and_are_missed() {
    let cluster = Cluster::start(1, 2, None, &[]);
    let job = "apiVersion: weir.dev/v1\nkind: StreamJob\nmetadata: { name: endless }\nspec:\n  checkpoint: { interval: 200ms }\n  sources:\n    bids: { connector: nexmark, table: bid, eventsPerSecond: 10000 }\n  sinks:\n    out: { connector: blackhole, inputs: [bids] }\n";
    let id = cluster.submit(job, None);
    cluster.wait_for_status(&id, "RUNNING");
    let (code, jobs, _) = cluster.ctl(&["get", "jobs"]);
    assert_eq!(code, 0);
    assert!(jobs.to_string().contains("endless"), "{jobs:#}");
    let (code, managers, _) = cluster.ctl(&["get", "taskmanagers"]);
    assert!(code == 0 && managers.to_string().contains("slots"), "{managers:#}");
    let (code, checkpoint, err) = cluster.ctl(&["checkpoint", "trigger", "endless"]);
    assert_eq!(code, 0, "{err}");
    let path = checkpoint["path"].as_str().unwrap_or_else(|| panic!("no path: {checkpoint:#}"));
    let (code, out, err) = run(&["checkpoint", "verify", path], &[]);
    assert_eq!(code, 0, "{out}{err}");
    let (code, _, err) = cluster.ctl(&["describe", "job", "nothing"]);
    assert_eq!(code, 3, "{err}");
    let (code, _, err) = cluster.ctl(&["cancel", "endless"]);
    assert_eq!(code, 0, "{err}");
    cluster.wait_for_status(&id, "CANCELED");
}
