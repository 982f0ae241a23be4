//! The rules of the house, as tests, so that the shape cannot rot quietly.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Which of our crates each crate may depend on. `docs/architecture.md` says why.
fn allowed() -> BTreeMap<&'static str, &'static [&'static str]> {
    let cli: &[&str] = &[
        "model",
        "proto",
        "storage",
        "telemetry",
        "safety",
        "checkpoint",
        "state",
        "rocks",
        "runtime",
        "connectors",
        "sql",
        "jobfile",
        "planner",
        "webui",
        "jobmanager",
        "taskmanager",
    ];
    BTreeMap::from([
        ("model", &[] as &[&str]),
        ("proto", &["model"]),
        ("telemetry", &["model"]),
        ("storage", &["model", "telemetry"]),
        ("checkpoint", &["model", "storage"]),
        ("state", &["model"]),
        ("rocks", &["model", "state"]),
        ("runtime", &["model", "state"]),
        ("connectors", &["model", "storage"]),
        ("planner", &["model"]),
        ("sql", &["model", "planner"]),
        ("jobfile", &["model", "planner"]),
        ("safety", &["model"]),
        (
            "jobmanager",
            &["model", "proto", "safety", "webui", "telemetry", "storage", "checkpoint"],
        ),
        (
            "taskmanager",
            &["model", "proto", "safety", "telemetry", "storage", "checkpoint", "runtime", "state"],
        ),
        ("webui", &[]),
        ("cli", cli),
    ])
}

/// Dependency names in the given sections of a crate's manifest.
fn dependencies(manifest: &Path, sections: &[&str]) -> BTreeSet<String> {
    let text = std::fs::read_to_string(manifest).unwrap();
    let mut section = "";
    let mut names = BTreeSet::new();
    for line in text.lines() {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
        } else if sections.contains(&section)
            && let Some((name, _)) = line.split_once(['.', ' ', '='])
            && !name.is_empty()
        {
            names.insert(name.to_owned());
        }
    }
    names
}

fn crates() -> Vec<(String, PathBuf)> {
    let mut found: Vec<_> = std::fs::read_dir(root().join("crates"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .collect();
    found.sort();
    found
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

#[test]
fn crates_depend_only_downwards() {
    let allowed = allowed();
    let ours: BTreeSet<String> = crates().into_iter().map(|(name, _)| name).collect();
    let mut wrong = Vec::new();
    for (name, path) in crates() {
        let Some(may) = allowed.get(name.as_str()) else {
            wrong.push(format!("crate `{name}` is not in the table of allowed edges"));
            continue;
        };
        for dependency in dependencies(&path.join("Cargo.toml"), &["dependencies"]) {
            if ours.contains(&dependency) && !may.contains(&dependency.as_str()) {
                wrong.push(format!("`{name}` must not depend on `{dependency}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_model_knows_no_engine_and_no_io() {
    let manifest = root().join("crates/model/Cargo.toml");
    let found = dependencies(&manifest, &["dependencies"]);
    for banned in ["tokio", "tonic", "prost", "object_store", "rocksdb", "axum", "reqwest"] {
        assert!(!found.contains(banned), "model depends on {banned}");
    }
    assert!(!found.iter().any(|d| d.starts_with("datafusion")), "{found:?}");
}

#[test]
fn only_one_arrow_and_one_object_store_are_in_the_tree() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    for name in ["arrow-array", "object_store", "tonic", "prost", "axum"] {
        let count = lock.matches(&format!("name = \"{name}\"\n")).count();
        assert_eq!(count, 1, "{count} versions of {name} in Cargo.lock");
    }
}

#[test]
fn generated_code_is_named_only_at_the_edges() {
    // Servers, clients and the frames of the data plane.
    let allowed = [
        "rpc.rs",
        "data_server.rs",
        "exchange.rs",
        "heartbeat.rs",
        "wire.rs",
        "credits.rs",
        "job_manager.rs",
        "task_executor.rs",
        "lib.rs",
    ];
    let mut wrong = Vec::new();
    for crate_name in ["jobmanager", "taskmanager"] {
        for file in rust_files(&root().join("crates").join(crate_name).join("src")) {
            let name = file.file_name().unwrap().to_str().unwrap().to_owned();
            let in_tests = file.components().any(|c| c.as_os_str() == "tests")
                || name.contains("tests")
                || name.starts_with("fake");
            let in_rpc = file.components().any(|c| c.as_os_str() == "rpc");
            let text = std::fs::read_to_string(&file).unwrap();
            if text.contains("proto::v1") && !allowed.contains(&&*name) && !in_tests && !in_rpc {
                wrong.push(file);
            }
        }
    }
    assert!(wrong.is_empty(), "proto types leak into {wrong:#?}");
}

#[test]
fn every_file_says_what_it_is() {
    let mut wrong = Vec::new();
    for (_, path) in crates() {
        for file in rust_files(&path) {
            let text = std::fs::read_to_string(&file).unwrap();
            let is_test = file.to_str().unwrap().contains("tests");
            if !text.starts_with("//!") && !is_test {
                wrong.push(file);
            }
        }
    }
    assert!(wrong.is_empty(), "no //! at the top of {wrong:#?}");
}

#[test]
fn files_stay_within_600_lines() {
    let mut wrong = Vec::new();
    for (_, path) in crates() {
        for file in rust_files(&path) {
            let text = std::fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap().lines().count();
            if code > 600 && !file.to_str().unwrap().contains("tests") {
                wrong.push((file, code));
            }
        }
    }
    assert!(wrong.is_empty(), "too long: {wrong:#?}");
}

#[test]
fn no_room_is_a_junk_drawer() {
    let banned = ["util", "utils", "common", "helper", "helpers", "misc"];
    for (_, path) in crates() {
        for file in rust_files(&path) {
            let stem = file.file_stem().unwrap().to_str().unwrap();
            let folder = file.parent().unwrap().file_name().unwrap().to_str().unwrap();
            assert!(!banned.contains(&stem) && !banned.contains(&folder), "{}", file.display());
        }
    }
}

#[test]
fn the_walks_name_files_that_exist() {
    let text = std::fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let mut checked = 0;
    for word in text.split('`').skip(1).step_by(2) {
        if word.starts_with("crates/") || word.starts_with("proto/") || word.starts_with("tests/") {
            assert!(root().join(word).exists(), "docs/architecture.md names {word}");
            checked += 1;
        }
    }
    assert!(checked > 30, "only {checked} places named");
}
