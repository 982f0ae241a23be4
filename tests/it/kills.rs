//! Exactly-once under SIGKILL, SIGSTOP, restore and rescale, with real processes and a real
//! S3 server: the committed output equals that of a run without faults, row by row.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::cluster::{Cluster, run};
use crate::oracle::{assert_same_rows, committed_lines};
use crate::s3::S3;

/// Tumbling counts, a session and a join over one deterministic stream; `rate` events per
/// second so that faults hit it while it runs (absent: flat out, for the reference).
fn job(out: &Path, events: u64, rate: Option<u64>, parallelism: u32, backend: &str) -> String {
    let rate = rate.map(|r| format!(", eventsPerSecond: {r}")).unwrap_or_default();
    format!(
        "apiVersion: weir.dev/v1
kind: StreamJob
metadata: {{ name: kills }}
spec:
  parallelism: {parallelism}
  checkpoint: {{ interval: 150ms, retain: 2, retainOnCancellation: true }}
  restart: {{ strategy: fixed-delay, attempts: 1000, delay: 50ms }}
  state: {{ backend: {backend}, memory: 1MiB }}
  sources:
    bids:
      connector: nexmark
      table: bid
      events: {events}
      eventTimeRate: 10000
      splits: 4{rate_line}
      # Times rise within a split, and the watermark follows the slowest split.
      watermark: {{ column: dateTime, delay: 1ms }}
      watermarkAlignment: {{ maxDrift: 5s, updateInterval: 20ms }}
  transforms:
    counts:
      type: window
      inputs: [bids]
      keyBy: [auction]
      window: {{ type: tumbling, size: 2s }}
      aggregates: {{ bids: count(*), highest: max(price), bidders: count(distinct bidder) }}
    sessions:
      type: window
      inputs: [bids]
      keyBy: [bidder]
      window: {{ type: session, gap: 300ms }}
      aggregates: {{ bids: count(*), total: sum(price) }}
  sinks:
    counts_out: {{ connector: filesystem, inputs: [counts], path: {out}/counts, format: json }}
    sessions_out: {{ connector: filesystem, inputs: [sessions], path: {out}/sessions, format: json }}
",
        rate_line = rate.replace(", ", "\n      "),
        out = out.display(),
    )
}

type Rows = [BTreeMap<String, u32>; 2];

fn committed(out: &Path) -> Rows {
    [committed_lines(&out.join("counts")), committed_lines(&out.join("sessions"))]
}

/// The same stream, embedded, flat out, no fault.
fn reference(folder: &Path, events: u64) -> Rows {
    let out = folder.join("reference");
    let path = folder.join("reference.yaml");
    std::fs::write(&path, job(&out, events, None, 1, "heap")).unwrap();
    let storage = folder.join("reference-checkpoints").display().to_string();
    let path = path.display().to_string();
    let (code, _, err) =
        run(&["run", &path, "--quiet", "--storage", &storage, "--http-addr", "127.0.0.1:0"], &[]);
    assert_eq!(code, 0, "{err}");
    committed(&out)
}

fn assert_equal(expected: &Rows, out: &Path) {
    let found = committed(out);
    assert_same_rows(&expected[0], &found[0]);
    assert_same_rows(&expected[1], &found[1]);
}

fn restarts(job: &Value) -> u64 {
    job["restarts"].as_u64().unwrap()
}

fn completed(job: &Value) -> u64 {
    job["checkpoints"]["completed"].as_u64().unwrap_or(0)
}

/// The moments at which the nth kill comes.
fn wait_for_moment(cluster: &Cluster, id: &str, nth: usize) {
    let before = cluster.job(id);
    match nth % 4 {
        // While a checkpoint is being taken and uploaded.
        0 => {
            cluster.wait_until(id, "in a checkpoint", |j| {
                !j["checkpoints"]["inProgress"].is_null() || j["status"] == "FINISHED"
            });
        }
        // Right after a manifest was written, around the commit of the sinks.
        1 => {
            let seen = completed(&before);
            cluster.wait_until(id, "past a checkpoint", |j| {
                completed(j) > seen || j["status"] == "FINISHED"
            });
        }
        // While the job is being restored from the previous kill.
        2 => {
            cluster.wait_until(id, "restarting or running", |j| j["status"] != "CREATED");
        }
        // In the middle of ordinary work, at a phase that differs from kill to kill.
        _ => {
            cluster.wait_for_status(id, "RUNNING");
            std::thread::park_timeout(Duration::from_millis(37 * nth as u64 % 400));
        }
    }
}

#[test]
fn twenty_kills_lose_nothing_and_repeat_nothing_on_s3() {
    let s3 = S3::start("weir");
    let folder = tempfile::tempdir().unwrap();
    let events = 600_000;
    let expected = reference(folder.path(), events);
    let out = folder.path().join("out");
    let mut cluster = Cluster::start(3, 1, Some("s3://weir/checkpoints"), &s3.env());
    let id = cluster.submit(&job(&out, events, Some(12_000), 2, "heap"), None);
    cluster.wait_until(&id, "past its first checkpoint", |j| completed(j) > 0);
    let mut killed = 0;
    for nth in 0..20 {
        wait_for_moment(&cluster, &id, nth);
        if cluster.job(&id)["status"] == "FINISHED" {
            break;
        }
        let victim = cluster.task_managers.remove(nth % cluster.task_managers.len());
        victim.kill();
        killed += 1;
        cluster.add_task_manager(1);
    }
    assert_eq!(killed, 20, "the job ended before all kills");
    let last = cluster.wait_for_status(&id, "FINISHED");
    // Some kills hit the spare or a job that is already restarting.
    assert!(restarts(&last) >= 5, "only {} restarts: the kills hit nothing", restarts(&last));
    assert_equal(&expected, &out);
}

#[test]
fn a_checkpoint_restores_at_other_parallelism_and_backend() {
    let folder = tempfile::tempdir().unwrap();
    let events = 150_000;
    let expected = reference(folder.path(), events);
    // To parallelism 1, 2 and 3 with either backend.
    let cases = [
        (2, 1, "heap"),
        (1, 2, "heap"),
        (2, 3, "heap"),
        (3, 1, "rocksdb"),
        (3, 2, "rocksdb"),
        (1, 3, "rocksdb"),
    ];
    for (index, (first, then, backend)) in cases.into_iter().enumerate() {
        let out = folder.path().join(format!("out-{index}"));
        let cluster = Cluster::start(3, 1, None, &[]);
        let id = cluster.submit(&job(&out, events, Some(20_000), first, backend), None);
        cluster.wait_until(&id, "past three checkpoints", |j| completed(j) >= 3);
        let (code, taken, err) = cluster.ctl(&["checkpoint", "trigger", &id]);
        assert_eq!(code, 0, "{err}");
        let (code, _, err) = cluster.ctl(&["cancel", &id]);
        assert_eq!(code, 0, "{err}");
        let stopped = cluster.wait_for_status(&id, "CANCELED");
        // What committed after that checkpoint would be repeated by a restore from it:
        // restore from the newest one instead, as a user would.
        let newest = stopped["checkpoints"]["latest"]["path"].as_str();
        let from = newest.or(taken["path"].as_str()).unwrap().to_owned();
        let again = cluster.submit(&job(&out, events, None, then, backend), Some(&from));
        cluster.wait_for_status(&again, "FINISHED");
        assert_equal(&expected, &out);
    }
}

#[test]
fn a_stopped_task_manager_that_wakes_after_its_replacement_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let events = 400_000;
    let expected = reference(folder.path(), events);
    let out = folder.path().join("out");
    let mut cluster = Cluster::start(1, 2, None, &[]);
    let id = cluster.submit(&job(&out, events, Some(25_000), 2, "heap"), None);
    cluster.wait_until(&id, "past two checkpoints", |j| completed(j) >= 2);
    cluster.add_task_manager(2);
    cluster.task_managers[0].signal(libc::SIGSTOP);
    cluster.wait_until(&id, "restarted", |j| restarts(j) >= 1 && j["status"] == "RUNNING");
    let before = completed(&cluster.job(&id));
    cluster.wait_until(&id, "past a checkpoint of the replacement", |j| completed(j) > before);
    cluster.task_managers[0].signal(libc::SIGCONT);
    cluster.wait_for_status(&id, "FINISHED");
    assert_equal(&expected, &out);
    // The woken one learns that it is out, drops its tasks and registers anew.
    let (_, managers, _) = cluster.ctl(&["get", "taskmanagers"]);
    assert!(managers.to_string().contains("slots"), "{managers:#}");
}

fn fault(text: &str) -> Vec<(String, String)> {
    vec![("WEIR_FAULT".to_owned(), text.to_owned())]
}

/// Runs the job with one TaskManager that dies at its fault point and is then replaced.
fn dies_and_is_replaced(point: &str, restoring: bool) {
    let folder = tempfile::tempdir().unwrap();
    let events = 150_000;
    let expected = reference(folder.path(), events);
    let out = folder.path().join("out");
    let mut cluster = Cluster::start(1, 1, None, &[]);
    if restoring {
        cluster.add_task_manager(1);
    } else {
        cluster.add_faulty_task_manager(1, &fault(point));
    }
    let id = cluster.submit(&job(&out, events, Some(25_000), 2, "heap"), None);
    if restoring {
        cluster.wait_until(&id, "past two checkpoints", |j| completed(j) >= 2);
        cluster.task_managers.remove(0).kill();
        cluster.add_faulty_task_manager(1, &fault(point));
    }
    let mut victim = cluster.task_managers.pop().unwrap();
    assert_eq!(victim.wait_for_death(point), Some(libc::SIGABRT), "{}", victim.log());
    cluster.add_task_manager(1);
    let last = cluster.wait_for_status(&id, "FINISHED");
    assert!(restarts(&last) > u64::from(restoring), "{last:#}");
    assert_equal(&expected, &out);
}

#[test]
fn a_task_manager_that_dies_during_an_upload_loses_nothing() {
    // The fourth passage is in the midst of the second checkpoint or later.
    dies_and_is_replaced("state-upload:abort@4", false);
    dies_and_is_replaced("state-uploaded:abort@5", false);
}

#[test]
fn a_task_manager_that_dies_while_it_restores_loses_nothing() {
    dies_and_is_replaced("state-restore:abort@1", true);
}

/// The job manager dies with a manifest written and nothing of it visible (or all of it, and
/// nobody told): a new one starts the job from that manifest.
#[test]
fn a_job_manager_that_dies_around_a_commit_loses_nothing_and_repeats_nothing() {
    for point in ["manifest-written:abort@3", "sinks-committed:abort@3"] {
        let folder = tempfile::tempdir().unwrap();
        let events = 150_000;
        let expected = reference(folder.path(), events);
        let out = folder.path().join("out");
        let storage = folder.path().join("checkpoints").display().to_string();
        let mut cluster = Cluster::start(0, 1, Some(&storage), &fault(point));
        // Points of the job manager only: its TaskManagers inherit the variable and pass none.
        cluster.add_task_manager(2);
        let text = job(&out, events, Some(25_000), 2, "heap");
        let id = cluster.submit(&text, None);
        assert_eq!(cluster.job_manager.wait_for_death(point), Some(libc::SIGABRT));
        drop(cluster);
        let newest = format!("{storage}/{id}");
        let cluster = Cluster::start(1, 2, Some(&storage), &[]);
        let again = cluster.submit(&job(&out, events, None, 2, "heap"), Some(&newest));
        cluster.wait_for_status(&again, "FINISHED");
        assert_equal(&expected, &out);
    }
}
