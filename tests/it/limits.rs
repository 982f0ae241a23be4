//! What happens at the limits: a sink that does not keep up, files that are not what they
//! should be, storage that is not there.

use std::process::{Command, Stdio};

use crate::cluster::{Cluster, repository, run, streamctl};

/// Resident memory of a process in bytes.
fn resident(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    text.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// The sink prints into a pipe that nobody reads: it stands still, and with it, after a
/// bounded amount of data, everything before it. The source could make gigabytes a second.
#[test]
fn a_sink_that_stands_still_keeps_memory_flat() {
    let folder = tempfile::tempdir().unwrap();
    let job = folder.path().join("job.yaml");
    std::fs::write(
        &job,
        "apiVersion: weir.dev/v1
kind: StreamJob
metadata: { name: slow-sink }
spec:
  parallelism: 2
  checkpoint: { interval: none }
  sources:
    bids: { connector: nexmark, table: bid }
  transforms:
    by_auction: { type: keyBy, inputs: [bids], keys: [auction] }
    some: { type: filter, inputs: [by_auction], where: price > 0 }
  sinks:
    out: { connector: print, inputs: [some] }
",
    )
    .unwrap();
    let mut child = Command::new(streamctl())
        .args(["run", "--quiet", "--http-addr", "127.0.0.1:0"])
        .arg(&job)
        .arg("--storage")
        .arg(folder.path().join("checkpoints"))
        .current_dir(repository())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Let it print, then stop reading.
    let mut out = child.stdout.take().unwrap();
    std::io::Read::read_exact(&mut out, &mut vec![0; 1 << 20]).unwrap();
    // It stands still once its processor time does.
    let mut cpu = processor_ticks(child.id());
    loop {
        std::thread::park_timeout(std::time::Duration::from_millis(300));
        let now = processor_ticks(child.id());
        if now - cpu < 10 {
            break;
        }
        cpu = now;
    }
    let still = resident(child.id());
    for _ in 0..10 {
        std::thread::park_timeout(std::time::Duration::from_millis(100));
        let now = resident(child.id());
        assert!(now < still + (16 << 20), "memory grows: {still} to {now}");
    }
    assert!(still < 400 << 20, "{still} bytes for a job that keeps nothing");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// User and system time of a process, in clock ticks.
fn processor_ticks(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

fn filesystem_job(path: &str, policy: &str) -> String {
    format!(
        "apiVersion: weir.dev/v1
kind: StreamJob
metadata: {{ name: records }}
spec:
  sources:
    in:
      connector: filesystem
      path: {path}/in
      format: json
      schema: {{ id: BIGINT, name: STRING }}
{policy}
  sinks:
    out: {{ connector: filesystem, inputs: [in], path: {path}/out, format: json }}
    bad: {{ connector: filesystem, inputs: [], path: {path}/bad, format: json }}
"
    )
}

#[test]
fn bad_records_fail_are_skipped_or_are_kept_aside() {
    let good = "{\"id\":1,\"name\":\"a\"}\n";
    let bad = "{\"id\":\"not a number\"}\n";
    for (policy, code, rows, aside) in [
        ("      onBadRecord: fail", 1, 0, 0),
        ("      onBadRecord: skip", 0, 2, 0),
        ("      onBadRecord: dead-letter\n      deadLetter: bad", 0, 2, 1),
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("in")).unwrap();
        std::fs::write(folder.path().join("in/a.json"), format!("{good}{bad}{good}")).unwrap();
        let mut text = filesystem_job(&folder.path().display().to_string(), policy);
        if aside == 0 {
            let line = text.lines().find(|l| l.contains("    bad:")).unwrap().to_owned();
            text = text.replace(&format!("{line}\n"), "");
        } else {
            text = text.replace("inputs: [], ", "");
        }
        let job = folder.path().join("job.yaml");
        std::fs::write(&job, text).unwrap();
        let job = job.display().to_string();
        let storage = folder.path().join("checkpoints").display().to_string();
        let args = ["run", &job, "--quiet", "--http-addr", "127.0.0.1:0", "--storage", &storage];
        let (exit, _, err) = run(&args, &[]);
        assert_eq!(exit, code, "{policy}: {err}");
        if code != 0 {
            assert!(err.contains("a.json") && err.contains("not a number"), "{err}");
        }
        let count = |name: &str| -> u32 {
            crate::oracle::committed_lines(&folder.path().join(name)).values().sum()
        };
        assert_eq!(count("out"), rows, "{policy}");
        assert_eq!(count("bad"), aside, "{policy}");
    }
}

#[test]
fn storage_that_cannot_be_used_is_named() {
    let (code, _, err) = run(
        &[
            "run",
            "examples/nexmark/q0.yaml",
            "--storage",
            "/proc/weir",
            "--http-addr",
            "127.0.0.1:0",
        ],
        &[("EVENTS", "1000".to_owned())],
    );
    assert_ne!(code, 0);
    assert!(err.contains("/proc/weir"), "{err}");
}

#[test]
fn a_damaged_checkpoint_is_found_and_refused() {
    let cluster = Cluster::start(1, 1, None, &[]);
    let job = std::fs::read_to_string(repository().join("examples/nexmark/q12.yaml"))
        .unwrap()
        .replace("${env:PARALLELISM:-2}", "1")
        .replace("${env:CHECKPOINT:-1s}", "1s\n    retainOnCancellation: true")
        .replace("${env:EVENTS:-50000000}", "10000000\n      eventsPerSecond: 200000");
    let id = cluster.submit(&job, None);
    cluster.wait_until(&id, "past a checkpoint", |j| {
        j["checkpoints"]["latest"]["stateBytes"].as_u64().unwrap_or(0) > 100_000
    });
    let (_, taken, err) = cluster.ctl(&["checkpoint", "trigger", &id]);
    let path = taken["path"].as_str().unwrap_or_else(|| panic!("{taken:#} {err}")).to_owned();
    cluster.ctl(&["cancel", &id]);
    cluster.wait_for_status(&id, "CANCELED");
    let (code, report, err) = run(&["checkpoint", "verify", &path, "-o", "json"], &[]);
    assert_eq!(code, 0, "{err}");
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    // Flip one byte of one state object.
    let objects = report["objects"].as_array().unwrap_or_else(|| panic!("{report:#}"));
    let object = objects.iter().filter_map(|o| o["path"].as_str()).find(|p| p.ends_with(".state"));
    let root = path.trim_start_matches("file://").rsplitn(3, '/').nth(2).unwrap();
    let state = std::path::Path::new(root).join(object.expect("a state object"));
    let mut bytes = std::fs::read(&state).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&state, bytes).unwrap();
    let (code, out, _) = run(&["checkpoint", "verify", &path], &[]);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains(state.file_name().unwrap().to_str().unwrap()), "{out}");
}
