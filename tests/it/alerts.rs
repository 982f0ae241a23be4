//! Alert rules and dashboards: promtool's unit tests, a page for every alert, and no metric
//! named that a live cluster does not serve.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cluster::{Cluster, Process, repository};
use crate::http;
use crate::s3::venv;

pub fn promtool(args: &[&str]) -> String {
    let output = Command::new(venv().join("bin/promtool"))
        .args(args)
        .current_dir(repository().join("deploy/prometheus"))
        .output()
        .unwrap_or_else(|e| panic!("promtool: {e}; `make test` sets it up"));
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

fn yaml(path: &str) -> Value {
    let script = "import json,sys,yaml\nprint(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    let output = Command::new(venv().join("bin/python"))
        .args(["-c", script, path])
        .current_dir(repository())
        .output()
        .unwrap();
    assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn rules() -> Vec<Value> {
    let file = yaml("deploy/prometheus/weir-rules.yaml");
    let groups = file["groups"].as_array().unwrap().clone();
    groups.iter().flat_map(|g| g["rules"].as_array().unwrap().clone()).collect()
}

fn dashboards() -> Vec<(String, Value)> {
    let files = std::fs::read_dir(repository().join("deploy/grafana")).unwrap();
    files
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            (name.clone(), serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}")))
        })
        .collect()
}

#[test]
fn every_rule_fires_when_it_should_and_only_then() {
    let said = promtool(&["check", "rules", "weir-rules.yaml"]);
    assert!(said.contains("SUCCESS"), "{said}");
    let said = promtool(&["test", "rules", "weir-rules.test.yaml"]);
    assert!(said.contains("SUCCESS"), "{said}");
    let tests = yaml("deploy/prometheus/weir-rules.test.yaml");
    let mut fires = BTreeSet::new();
    for case in tests["tests"].as_array().unwrap() {
        for alert in case["alert_rule_test"].as_array().unwrap() {
            if alert["exp_alerts"].as_array().is_some_and(|a| !a.is_empty()) {
                fires.insert(alert["alertname"].as_str().unwrap().to_owned());
            }
        }
    }
    for rule in rules() {
        let name = rule["alert"].as_str().unwrap();
        assert!(fires.contains(name), "no unit test lets {name} fire");
    }
}

#[test]
fn every_alert_has_its_page() {
    let folder = repository().join("docs/operations/alerts");
    let index = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let mut pages = BTreeSet::from(["README.md".to_owned()]);
    for rule in rules() {
        let name = rule["alert"].as_str().unwrap();
        let url = rule["annotations"]["runbook_url"].as_str().unwrap();
        let page = url.strip_prefix("https://weir.dev/").unwrap();
        assert_eq!(page, format!("docs/operations/alerts/{name}.md"));
        let text = std::fs::read_to_string(repository().join(page))
            .unwrap_or_else(|e| panic!("{page}: {e}"));
        for part in ["## What it means", "## Check", "## Do"] {
            assert!(text.contains(part), "{page} has no `{part}`");
        }
        let expr = rule["expr"].as_str().unwrap();
        assert!(text.contains(expr), "{page} shows another expression than the rule has");
        assert!(index.contains(&format!("({name}.md)")), "{name} is not in the index");
        for field in ["summary", "description"] {
            assert!(rule["annotations"][field].is_string(), "{name} has no {field}");
        }
        let severity = rule["labels"]["severity"].as_str().unwrap();
        assert!(["info", "warning", "critical"].contains(&severity), "{name}: {severity}");
        pages.insert(format!("{name}.md"));
    }
    let there: BTreeSet<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(pages, there, "a page is of no alert");
}

#[test]
fn dashboards_are_whole() {
    let all = dashboards();
    assert_eq!(all.len(), 3);
    let mut uids = BTreeSet::new();
    for (name, board) in &all {
        assert!(uids.insert(board["uid"].as_str().unwrap().to_owned()), "{name}: uid");
        let mut ids = BTreeSet::new();
        let mut taken = BTreeMap::new();
        for panel in board["panels"].as_array().unwrap() {
            let title = panel["title"].as_str().unwrap();
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{name}: id of {title}");
            let at = |field: &str| panel["gridPos"][field].as_u64().unwrap();
            assert!(at("x") + at("w") <= 24, "{name}: {title} is too wide");
            for x in at("x")..at("x") + at("w") {
                for y in at("y")..at("y") + at("h") {
                    let other = taken.insert((x, y), title);
                    assert_eq!(other, None, "{name}: {title} covers another panel");
                }
            }
            if panel["type"] != "row" {
                assert!(!panel["targets"].as_array().unwrap().is_empty(), "{name}: {title}");
            }
        }
    }
}

/// Names of metrics in an expression.
fn metrics_in(expr: &str, found: &mut BTreeSet<String>) {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for word in expr.split(|c: char| !is_word(c)) {
        if word.starts_with("weir_") || word.starts_with("flink_") {
            found.insert(word.to_owned());
        }
    }
}

fn named() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for rule in rules() {
        metrics_in(rule["expr"].as_str().unwrap(), &mut found);
    }
    for (_, board) in dashboards() {
        for panel in board["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().into_iter().flatten() {
                metrics_in(target["expr"].as_str().unwrap(), &mut found);
            }
        }
        for variable in board["templating"]["list"].as_array().unwrap() {
            if let Some(query) = variable["query"]["query"].as_str() {
                metrics_in(query, &mut found);
            }
        }
    }
    found
}

/// Names that a scrape carries, of series with a value.
fn scraped(addr: &str) -> BTreeSet<String> {
    let (status, text) = http::ask(addr, "GET", "/metrics", &[("Host", addr)]);
    assert_eq!(status, 200, "{text}");
    let series = text.lines().filter(|l| !l.starts_with('#') && !l.trim().is_empty());
    series.map(|l| l.split(['{', ' ']).next().unwrap().to_owned()).collect()
}

/// A job that shows everything the rules and dashboards ask for: event time, windows, bad
/// records, checkpoints, an SLO.
const JOB: &str = r"apiVersion: weir.dev/v1
kind: StreamJob
metadata: { name: shown }
spec:
  parallelism: 1
  checkpoint: { interval: 200ms }
  slo: { freshness: 10m }
  sources:
    rows:
      connector: datagen
      rowsPerSecond: 500
      schema: { kind: INT, at: TIMESTAMP(3) }
      fields: { kind: { kind: random, min: 0, max: 9 }, at: { kind: now } }
      watermark: { column: at, delay: 100ms }
  transforms:
    counted:
      type: window
      inputs: [rows]
      keyBy: [kind]
      window: { type: tumbling, size: 1s }
      aggregates: { rows: count(*) }
  sinks:
    out: { connector: blackhole, inputs: [counted] }
";

#[test]
fn every_metric_of_rules_and_dashboards_is_in_a_live_scrape() {
    let cluster = Cluster::start(0, 1, None, &[]);
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state").display().to_string();
    let args = [
        "taskmanager",
        "--jobmanager",
        cluster.job_manager.announced("rpc-addr"),
        "--rpc-addr",
        "127.0.0.1:0",
        "--metrics-addr",
        "127.0.0.1:0",
        "--slots",
        "2",
        "--state-dir",
        &state,
    ];
    let task_manager = Process::start("taskmanager", &args, &[], 3, folder.path());
    let id = cluster.submit(JOB, None);
    cluster.wait_until(&id, "three checkpoints", |job| {
        job["checkpoints"]["completed"].as_u64().is_some_and(|n| n >= 3)
    });
    let wanted = named();
    assert!(wanted.len() > 40, "{wanted:?}");
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let mut there = scraped(cluster.job_manager.announced("http-addr"));
        there.extend(scraped(task_manager.announced("metrics-addr")));
        let missing: Vec<_> = wanted.difference(&there).collect();
        if missing.is_empty() {
            break;
        }
        // Watermarks and rates need a moment.
        assert!(Instant::now() < deadline, "no live series of {missing:?}");
        std::thread::park_timeout(Duration::from_millis(200));
    }
    let (code, _, err) = cluster.ctl(&["cancel", &id]);
    assert_eq!(code, 0, "{err}");
}
