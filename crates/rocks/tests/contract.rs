//! The state contract over RocksDB, and what the directory looks like before and after.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

use model::ErrorKind;
use rocks::RocksBackend;
use state::{ColdStore, StateBackend, contract};

fn backend(dir: &std::path::Path) -> RocksBackend {
    RocksBackend::with_memory(dir.to_path_buf(), 8 << 20).unwrap()
}

fn entries(dir: &std::path::Path) -> usize {
    std::fs::read_dir(dir).unwrap().count()
}

#[test]
fn contract_when_everything_is_evicted_at_every_batch() {
    let dir = tempfile::tempdir().unwrap();
    let backend = backend(dir.path());
    contract::run_all(&|| backend.cold_store("job/vertex 0").unwrap(), 0);
    assert_eq!(entries(dir.path()), 0, "a dropped store leaves nothing");
}

#[test]
fn contract_when_parts_are_evicted() {
    let dir = tempfile::tempdir().unwrap();
    let backend = backend(dir.path());
    contract::run_all(&|| backend.cold_store("t").unwrap(), 60_000);
}

fn put(store: &mut Box<dyn ColdStore>, value: &[u8]) {
    store.write(vec![(b"k".to_vec(), value.to_vec())], Vec::new()).unwrap();
}

#[test]
fn two_stores_of_one_task_are_apart() {
    let dir = tempfile::tempdir().unwrap();
    let backend = backend(dir.path());
    let mut old = backend.cold_store("task").unwrap().unwrap();
    put(&mut old, b"old");
    let mut new = backend.cold_store("task").unwrap().unwrap();
    let mut values = Vec::new();
    new.get_many(&[b"k"], &mut values).unwrap();
    assert_eq!(values, [None], "a new attempt starts empty");
    drop(old);
    put(&mut new, b"new");
    new.get_many(&[b"k"], &mut values).unwrap();
    assert_eq!(values, [Some(b"new".to_vec())], "the old one's end does not touch it");
}

#[test]
fn a_snapshot_outlives_its_store() {
    let dir = tempfile::tempdir().unwrap();
    let backend = backend(dir.path());
    let mut store = backend.cold_store("task").unwrap().unwrap();
    put(&mut store, b"v");
    let mut snapshot = store.snapshot().unwrap();
    drop(store);
    assert_eq!(snapshot.scan(b"", None, 9).unwrap(), [(b"k".to_vec(), b"v".to_vec())]);
    drop(snapshot);
    assert_eq!(entries(dir.path()), 0);
}

#[test]
fn leftovers_are_swept_and_living_stores_spared() {
    let dir = tempfile::tempdir().unwrap();
    let dead = dir.path().join("dead-1-0.rocks");
    std::fs::create_dir(&dead).unwrap();
    std::fs::write(dead.join("000007.sst"), b"x").unwrap();
    let other = dir.path().join("somebody else's");
    std::fs::write(&other, b"x").unwrap();
    // Named as another process's, but locked by a living one: this.
    let living = dir.path().join("living-1-1.rocks");
    let mut options = rocksdb::Options::default();
    options.create_if_missing(true);
    let db = rocksdb::DB::open(&options, &living).unwrap();
    db.put(b"k", b"v").unwrap();
    let backend = backend(dir.path());
    assert!(!dead.exists() && other.exists());
    assert_eq!(db.get(b"k").unwrap(), Some(b"v".to_vec()));
    drop(db);
    let mut ours = backend.cold_store("task").unwrap().unwrap();
    put(&mut ours, b"v");
    let _second = self::backend(dir.path());
    assert!(!living.exists());
    let mut values = Vec::new();
    ours.get_many(&[b"k"], &mut values).unwrap();
    assert_eq!(values, [Some(b"v".to_vec())]);
    assert_eq!(entries(dir.path()), 2);
}

#[test]
fn large_prefixes_go_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = backend(dir.path()).cold_store("task").unwrap().unwrap();
    let key = |n: u32| n.to_be_bytes().to_vec();
    store.write((0..100_000).map(|n| (key(n), vec![1; 100])).collect(), Vec::new()).unwrap();
    store.delete_prefix(&[0, 0]).unwrap();
    assert_eq!(store.scan(&[], None, 1).unwrap()[0].0, key(65_536));
    assert_eq!(store.scan(&[0, 1], None, 100_000).unwrap().len(), 100_000 - 65_536);
}

#[test]
fn a_bad_directory_is_the_users_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, b"x").unwrap();
    let error = RocksBackend::new(file.join("state")).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::User, "{error}");
    assert!(error.message().contains("file/state"), "{error}");
}
