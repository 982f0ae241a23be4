//! Results computed by an engine that is not ours (DuckDB), and comparison of outputs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::cluster::repository;
use crate::s3::venv;

/// Compares what a flights run wrote with DuckDB's results; panics with the differences.
pub fn assert_flights(out: &Path) {
    let output = Command::new(venv().join("bin/python"))
        .arg(repository().join("tests/oracle/flights.py"))
        .arg(repository().join("examples/flights/flights-2013.parquet"))
        .arg(out)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the oracle failed: {errors}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (name, expected) in
        [("hourly", 60_000), ("delay-rate", 26_000), ("sessions", 100_000), ("worst-routes", 3_650)]
    {
        let entry = &report[name];
        assert_eq!(entry["differences"], 0, "{name}: {entry:#}");
        assert_eq!(entry["expected"], entry["found"], "{name}");
        // The oracle itself must have found something.
        assert!(entry["expected"].as_u64().unwrap() * 2 > expected, "{name}: {entry:#}");
    }
}

/// Every committed line below `folder`, with how often it was written. Files that are
/// still staged are hidden and must not be read.
pub fn committed_lines(folder: &Path) -> BTreeMap<String, u32> {
    let mut lines = BTreeMap::new();
    for file in part_files(folder) {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "torn file {}", file.display());
        for line in text.lines() {
            *lines.entry(line.to_owned()).or_default() += 1;
        }
    }
    lines
}

pub fn part_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .map(|entries| entries.map(|e| e.unwrap().path()).collect())
        .unwrap_or_default();
    files.retain(|p: &PathBuf| {
        p.is_file() && p.file_name().unwrap().to_str().unwrap().starts_with("part-")
    });
    files.sort();
    files
}

/// Fails with the first differences when the two outputs are not the same multiset of rows.
pub fn assert_same_rows(expected: &BTreeMap<String, u32>, found: &BTreeMap<String, u32>) {
    let mut differences = Vec::new();
    for (line, count) in expected {
        let other = found.get(line).copied().unwrap_or(0);
        if other != *count {
            differences.push(format!("expected {count}x, found {other}x: {line}"));
        }
    }
    for (line, count) in found {
        if !expected.contains_key(line) {
            differences.push(format!("expected 0x, found {count}x: {line}"));
        }
    }
    let total = differences.len();
    differences.truncate(10);
    assert!(total == 0, "{total} rows differ (of {}):\n{}", expected.len(), differences.join("\n"));
    assert!(!expected.is_empty(), "nothing was compared");
}
