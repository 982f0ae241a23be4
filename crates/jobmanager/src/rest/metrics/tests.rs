//! Every name that the catalog promises of the job manager is in a scrape.

use telemetry::catalog::{self, Role};

use super::*;
use crate::job_exposition::tests::{add, assert_unique, snapshot};

fn scrape() -> String {
    let mut out = Exposition::new();
    let job = snapshot(2);
    add(&mut out, &job);
    let cluster =
        ClusterFigures { slots: (4, 1), task_managers: 2, lost: 1, leader_epoch: LeaderEpoch(5) };
    add_cluster(&mut out, &cluster, &[Arc::new(job)]);
    storage::requests::add_metrics(&mut out);
    telemetry::add_process_metrics(&mut out, &[Path::new("/")]);
    out.render()
}

#[test]
fn every_metric_of_the_job_manager_is_in_a_scrape_once() {
    let text = scrape();
    assert_unique(&text);
    for metric in catalog::all().filter(|m| m.role != Role::TaskManager) {
        let kind = format!("# TYPE {} {}", metric.name, metric.kind.name());
        assert_eq!(text.lines().filter(|l| *l == kind).count(), 1, "{}", metric.name);
        assert!(text.contains(&format!("# HELP {} ", metric.name)), "{}", metric.name);
    }
    let samples = text.lines().filter(|l| !l.starts_with('#'));
    for name in samples.filter_map(|l| l.split(['{', ' ']).next()) {
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|s| name.strip_suffix(s));
        let known = |n: &str| catalog::all().any(|m| m.name == n);
        assert!(known(name) || family.is_some_and(known), "{name} is not in the catalog");
    }
}

#[test]
fn labels_are_those_of_the_catalog() {
    let text = scrape();
    for metric in catalog::all().filter(|m| m.role != Role::TaskManager) {
        let start = format!("{}{{", metric.name);
        for line in text.lines().filter(|l| l.starts_with(&start)) {
            let inner = &line[start.len()..];
            let labels = inner.split("\",").filter_map(|pair| pair.split("=\"").next());
            let labels: Vec<&str> = labels.collect();
            assert_eq!(labels, metric.labels, "{line}");
        }
    }
}

#[test]
fn a_host_is_an_address_without_its_port() {
    assert_eq!(host_of("127.0.0.1:6123"), "127.0.0.1");
    assert_eq!(host_of("[::1]:6123"), "[::1]");
    assert_eq!(host_of("worker-1"), "worker-1");
}
