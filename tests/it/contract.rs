//! The HTTP API held to the OpenAPI document that it serves, by schemathesis, on a live
//! cluster: what it answers is documented (status, media type, schema), what the document
//! allows is taken, what it forbids is refused, and nothing it is sent makes it fail.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::cluster::{Cluster, repository};
use crate::http;
use crate::s3::venv;

/// A job that has something to show of everything: event time, state, checkpoints, SLOs.
fn job(name: &str) -> String {
    format!(
        "apiVersion: weir.dev/v1
kind: StreamJob
metadata: {{ name: {name} }}
spec:
  parallelism: 1
  checkpoint: {{ interval: 2s }}
  slo: {{ freshness: 10m, silence: 10m, checkpointAge: 10m, restartRate: 3/1h, deadLetterRate: 10/1m }}
  sources:
    rows:
      connector: datagen
      rowsPerSecond: 200
      schema: {{ kind: INT, at: TIMESTAMP(3) }}
      fields: {{ kind: {{ kind: random, min: 0, max: 9 }}, at: {{ kind: now }} }}
      watermark: {{ column: at, delay: 100ms }}
  transforms:
    counted:
      type: window
      inputs: [rows]
      keyBy: [kind]
      window: {{ type: tumbling, size: 1s }}
      aggregates: {{ rows: count(*) }}
  sinks:
    out: {{ connector: blackhole, inputs: [counted] }}
"
    )
}

/// What is the same for both runs. A checkpoint may be given less time than it needs; a text
/// need not be a job file; a figure may be one that only vertices have.
const SETTINGS: &str = r#"
seed = 20261121
continue-on-failure = true
request-timeout = 30.0
max-stream-events = 1
[generation]
max-examples = 8
database = "none"
[phases.stateful]
enabled = false
[parameters]
"query.seconds" = 1
[[operations]]
include-operation-id = "triggerCheckpoint"
checks = { not_a_server_error = { expected-statuses = ["2xx", "4xx", "504"] } }
[[operations]]
include-operation-id = "submitJob"
checks = { positive_data_acceptance = { expected-statuses = ["2xx", "400", "422"] } }
[[operations]]
include-operation-id = "getMetricsHistory"
checks = { positive_data_acceptance = { expected-statuses = ["2xx", "400", "404"] } }
"#;

/// Runs schemathesis with these settings; panics with what it found wrong.
fn hold(server: &str, phases: &str, settings: &str, folder: &Path) {
    let config = folder.join("schemathesis.toml");
    let hooks = repository().join("tests/contract/hooks.py");
    let head = format!("hooks = \"{}\"\n", hooks.display());
    std::fs::write(&config, head + settings).unwrap();
    let output = Command::new(venv().join("bin/schemathesis"))
        .arg("--config-file")
        .arg(&config)
        .args(["run", "--phases", phases, "--no-shrink", "--warnings", "off"])
        .arg(format!("{server}/api/v1/openapi.json"))
        .env("WEIR_CONTRACT_SEEN", folder.join("seen"))
        .env("NO_PROXY", "127.0.0.1")
        .env("no_proxy", "127.0.0.1")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("schemathesis: {e}; `make test` sets it up"));
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{said}\n{errors}", output.status);
}

/// What the requests cannot bring about: the document itself, which is fetched to begin with,
/// and the rows of a query, which `sql_shell.rs` reads.
const HELD_ELSEWHERE: [&str; 2] =
    ["GET /api/v1/openapi.json 200", "POST /api/v1/jobs/{job}/results 200"];

/// `METHOD PATH STATUS` of what the document calls success, of every operation.
fn successes(server: &str) -> BTreeSet<String> {
    let addr = server.trim_start_matches("http://");
    let (status, text) = http::ask(addr, "GET", "/api/v1/openapi.json", &[("Host", addr)]);
    assert_eq!(status, 200, "{text}");
    let document: Value = serde_json::from_str(&text).unwrap();
    let mut found = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let statuses = operation["responses"].as_object().unwrap().keys();
            let good = statuses.filter(|status| status.starts_with('2'));
            found.extend(good.map(|status| format!("{} {path} {status}", method.to_uppercase())));
        }
    }
    for known in HELD_ELSEWHERE {
        assert!(found.remove(known), "{known} is no longer in the document");
    }
    found
}

#[test]
fn the_api_is_what_its_document_says() {
    let cluster = Cluster::start(1, 8, None, &[]);
    let folder = tempfile::tempdir().unwrap();
    let [watched, canceled, deleted] =
        ["watched", "canceled", "deleted"].map(|name| cluster.submit(&job(name), None));
    for id in [&watched, &canceled, &deleted] {
        cluster.wait_until(id, "two checkpoints", |job| {
            job["checkpoints"]["completed"].as_u64().is_some_and(|n| n >= 2)
        });
    }
    let server = cluster.server();
    let task_manager = cluster.task_managers[0].announced("id");
    let (_, checkpoints, _) = cluster.ctl(&["get", "checkpoints", &watched]);
    let checkpoint = checkpoints["checkpoints"][0]["id"].as_u64().unwrap();
    let known = format!(
        r#"
"path.job" = "{watched}"
"path.taskManager" = "{task_manager}"
"path.log" = "main"
"#
    );
    let of = |operation: &str, parameter: &str, value: &str| {
        format!(
            "[[operations]]\ninclude-operation-id = \"{operation}\"\n\
             parameters = {{ \"path.{parameter}\" = \"{value}\" }}\n"
        )
    };
    let known = SETTINGS.replace("[parameters]\n", &format!("[parameters]{known}"))
        + &of("cancelJob", "job", &canceled)
        + &of("deleteJob", "job", &deleted)
        + &of("getCheckpoint", "checkpoint", &checkpoint.to_string());
    hold(&server, "examples,coverage", &known, folder.path());
    let seen = std::fs::read_to_string(folder.path().join("seen")).unwrap();
    let seen: BTreeSet<String> = seen.lines().map(str::to_owned).collect();
    let unseen: Vec<_> = successes(&server).difference(&seen).cloned().collect();
    assert!(unseen.is_empty(), "never seen to work: {unseen:#?}");
    // Names and ids that mean nothing, or by chance something.
    hold(&server, "fuzzing", SETTINGS, folder.path());
}
