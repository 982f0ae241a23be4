//! The manifest's JSON form is a promise to later releases: this text may gain fields, never lose
//! or rename one.

use super::manifest;
use crate::{Manifest, file};

const GOLDEN: &str = include_str!("golden_manifest.json");
/// As releases before shared state objects wrote it.
const WITHOUT_WRITTEN_BYTES: &str = include_str!("golden_manifest_without_written_bytes.json");

#[test]
fn form_is_as_written_down() {
    let text = String::from_utf8(file::encode(&manifest(7, "token-1")).unwrap()).unwrap();
    assert_eq!(text, GOLDEN, "the manifest's form changed: is it still read by older releases?");
    let read = file::decode(GOLDEN.as_bytes(), "golden").unwrap();
    assert_eq!(read, manifest(7, "token-1"));
}

#[test]
fn a_manifest_that_does_not_say_what_was_written_is_read() {
    let read = file::decode(WITHOUT_WRITTEN_BYTES.as_bytes(), "golden").unwrap();
    let mut written = manifest(7, "token-1");
    let subtasks = written.vertices.values_mut().flat_map(|vertex| &mut vertex.subtasks);
    subtasks.flat_map(|s| s.operators.values_mut()).flatten().for_each(|handle| handle.format = 2);
    assert_eq!(read, written);
    assert_eq!((read.state_bytes(), read.written_bytes()), (9, 0));
}

#[test]
fn the_file_is_plain_json() {
    let value: serde_json::Value = serde_json::from_str(GOLDEN).unwrap();
    let inner: Manifest = serde_json::from_value(value["manifest"].clone()).unwrap();
    assert_eq!(inner, manifest(7, "token-1"));
}

#[test]
fn other_versions_are_refused_with_advice() {
    let mut later = manifest(1, "t");
    later.version = 99;
    let error = file::decode(&file::encode(&later).unwrap(), "x").unwrap_err();
    assert_eq!(error.kind(), model::ErrorKind::User);
    assert!(error.message().contains("version 99"), "{error}");
    let mut other_hash = manifest(1, "t");
    other_hash.key_hash_version = 2;
    let error = file::decode(&file::encode(&other_hash).unwrap(), "x").unwrap_err();
    assert!(error.message().contains("hash version 2"), "{error}");
}
