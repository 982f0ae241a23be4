//! The contract suite over memory and over a plain ordered map, and what concerns
//! snapshot files: damage, changed schemas, foreign versions.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use model::key_group::{KeyGroupRange, hash_arrays};
use model::{ErrorKind, Result, Watermark};
use proptest::prelude::*;

use crate::cold::Entry;
use crate::contract::{self, Keys};
use crate::*;

/// An ordered map as a cold store.
#[derive(Default)]
struct MapStore(BTreeMap<Vec<u8>, Vec<u8>>);

fn scan(
    map: &BTreeMap<Vec<u8>, Vec<u8>>,
    prefix: &[u8],
    from: Option<&[u8]>,
    limit: usize,
) -> Vec<Entry> {
    let start = from.unwrap_or(prefix).max(prefix).to_vec();
    let entries = map.range(start..).take_while(|(key, _)| key.starts_with(prefix)).take(limit);
    entries.map(|(key, value)| (key.clone(), value.clone())).collect()
}

impl ColdStore for MapStore {
    fn get_many(&mut self, keys: &[&[u8]], values: &mut Vec<Option<Vec<u8>>>) -> Result<()> {
        assert!(keys.is_sorted(), "lookups are sorted");
        assert!(!keys.is_empty(), "lookups are worth it");
        *values = keys.iter().map(|key| self.0.get(*key).cloned()).collect();
        Ok(())
    }
    fn write(&mut self, puts: Vec<Entry>, deletes: Vec<Vec<u8>>) -> Result<()> {
        assert!(puts.is_sorted() && deletes.is_sorted(), "writes are sorted");
        self.0.extend(puts);
        deletes.iter().for_each(|key| drop(self.0.remove(key)));
        Ok(())
    }
    fn scan(&mut self, prefix: &[u8], from: Option<&[u8]>, limit: usize) -> Result<Vec<Entry>> {
        Ok(scan(&self.0, prefix, from, limit))
    }
    fn delete_prefix(&mut self, prefix: &[u8]) -> Result<()> {
        self.0.retain(|key, _| !key.starts_with(prefix));
        Ok(())
    }
    fn snapshot(&mut self) -> Result<Box<dyn ColdSnapshot>> {
        Ok(Box::new(MapSnapshot(self.0.clone())))
    }
}

struct MapSnapshot(BTreeMap<Vec<u8>, Vec<u8>>);

impl ColdSnapshot for MapSnapshot {
    fn scan(&mut self, prefix: &[u8], from: Option<&[u8]>, limit: usize) -> Result<Vec<Entry>> {
        Ok(scan(&self.0, prefix, from, limit))
    }
}

fn map_store() -> Option<Box<dyn ColdStore>> {
    Some(Box::<MapStore>::default())
}

#[test]
fn contract_in_memory() {
    contract::run_all(&|| None, 0);
}

#[test]
fn contract_when_everything_is_evicted_at_every_batch() {
    contract::run_all(&map_store, 0);
}

#[test]
fn contract_when_parts_are_evicted() {
    contract::run_all(&map_store, 60_000);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]
    #[test]
    fn random_operations_agree_with_maps(
        seed in any::<u64>(),
        keys in 0..Keys::ALL.len(),
        memory in prop_oneof![Just(0_u64), 10_000..100_000_u64],
    ) {
        contract::random_operations(&map_store, memory, Keys::ALL[keys], seed, 60);
    }
}

fn options(uid: &str) -> StoreOptions {
    StoreOptions {
        uid: uid.into(),
        key_groups: KeyGroupRange::all(128),
        max_parallelism: 128,
        memory_bytes: 1 << 30,
        cold: None,
    }
}

fn key_fields() -> Vec<Field> {
    vec![Field::new("user", DataType::Utf8, true)]
}

fn small_snapshot() -> Vec<u8> {
    let mut store = StateStore::open(options("count"), Vec::new()).unwrap();
    let table = store.table("t", &key_fields(), &[ValueType::I64, ValueType::Counts]).unwrap();
    let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, true)]));
    let log = store.log("l", schema.clone(), &[0]).unwrap();
    let keys: Vec<ArrayRef> = vec![Arc::new(StringArray::from(vec![Some("a"), None, Some("b")]))];
    let mut hashes = Vec::new();
    hash_arrays(keys.iter(), 3, &mut hashes).unwrap();
    let pane = store.table_mut(table).pane(60_000).unwrap();
    let mut slots = Vec::new();
    assert_eq!(pane.upsert(&hashes, &keys, None, &mut slots).unwrap(), 3);
    pane.i64(0)[1] = 5;
    pane.counts(1)[2].add(b"x", 2);
    let values: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    hash_arrays([&values].into_iter(), 2, &mut hashes).unwrap();
    let batch = RecordBatch::try_new(schema, vec![values]).unwrap();
    store.log_mut(log).append(0, batch, hashes).unwrap();
    store.end_batch().unwrap();
    store.snapshot(Watermark(42)).unwrap().encode().unwrap()
}

/// Opens and loads everything; answers the watermark and how many rows were found.
fn restore(file: Vec<u8>) -> Result<(Option<Watermark>, usize)> {
    let mut store = StateStore::open(options("count"), vec![Bytes::from(file)])?;
    let table = store.table("t", &key_fields(), &[ValueType::I64, ValueType::Counts])?;
    let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, true)]));
    let log = store.log("l", schema, &[0])?;
    store.end_batch()?;
    let rows = store.table_mut(table).pane(60_000)?.live();
    Ok((store.restored_watermark(), rows + store.log_mut(log).rows()))
}

#[test]
fn a_damaged_snapshot_is_an_error_and_never_a_panic() {
    let good = small_snapshot();
    assert_eq!(restore(good.clone()).unwrap(), (Some(Watermark(42)), 5));
    for at in 0..good.len() {
        for flip in [1_u8, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[at] ^= flip;
            let error = restore(bad).expect_err("a flipped bit is noticed");
            assert_ne!(error.kind(), ErrorKind::Internal, "byte {at}: {error}");
        }
        assert!(restore(good[..at].to_vec()).is_err(), "cut at {at}");
    }
    assert!(restore([good, vec![0]].concat()).is_err(), "one byte more");
}

/// The checksum is right, the contents are not.
#[test]
fn a_wrong_header_or_stream_is_an_error_and_never_a_panic() {
    let good = small_snapshot();
    let content = good.len() - 4;
    let length_at = content - 4;
    let length = u32::from_le_bytes(good[length_at..content].try_into().unwrap()) as usize;
    let header = length_at - length..length_at;
    let signed = |mut bytes: Vec<u8>| {
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    };
    for length in [0_u32, 1, 100, u32::MAX] {
        let mut bad = good[..content].to_vec();
        bad[length_at..].copy_from_slice(&length.to_le_bytes());
        assert!(restore(signed(bad)).is_err(), "header length {length}");
    }
    for at in header.clone().step_by(3) {
        let mut bad = good[..content].to_vec();
        bad[at] = b'9';
        // Some are harmless (a digit that was 9): no panic is what counts.
        drop(restore(signed(bad)));
    }
    let without_sections = [&good[..8], &good[header.start..content]].concat();
    assert!(restore(signed(without_sections)).is_err(), "no sections");
}

#[test]
fn another_format_is_refused_by_name() {
    let mut other = small_snapshot();
    other[7] = b'1';
    let error = restore(other).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::User);
    assert!(error.message().contains("WEIRST01"), "{error}");
}

fn restored_store(uid: &str) -> Result<StateStore> {
    StateStore::open(options(uid), vec![Bytes::from(small_snapshot())])
}

#[test]
fn a_changed_schema_names_operator_table_and_both_schemas() {
    let mut store = restored_store("count").unwrap();
    let key = [Field::new("user", DataType::Int64, true)];
    let error = store.table("t", &key, &[ValueType::I64]).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::User);
    for part in ["count", "table t", "user Utf8", "[I64, Counts]", "user Int64", "[I64]"] {
        assert!(error.message().contains(part), "{part} is not in: {error}");
    }
    let schema = Arc::new(Schema::new(vec![Field::new("w", DataType::Int64, true)]));
    let error = store.log("l", schema, &[0]).err().unwrap();
    assert!(error.message().contains("v Int64") && error.message().contains("w Int64"), "{error}");
}

#[test]
fn a_table_that_is_no_longer_kept_is_an_error() {
    let mut store = restored_store("count").unwrap();
    store.table("t", &key_fields(), &[ValueType::I64, ValueType::Counts]).unwrap();
    let error = store.end_batch().unwrap_err();
    assert!(error.kind() == ErrorKind::User && error.message().contains("table l"), "{error}");
}

#[test]
fn state_of_another_operator_is_refused() {
    assert!(restored_store("other").is_err());
}

#[test]
fn a_type_that_cannot_be_a_key_is_the_users_error() {
    let mut store = StateStore::open(options("count"), Vec::new()).unwrap();
    let list = Field::new_list("tags", Field::new("item", DataType::Int64, true), true);
    let error = store.table("t", &[list], &[]).err().unwrap();
    assert!(error.kind() == ErrorKind::User && error.message().contains("tags"), "{error}");
    store.table("t", &key_fields(), &[]).unwrap();
    assert!(store.table("t", &key_fields(), &[]).is_err(), "a name is registered once");
}

#[test]
fn keys_of_another_type_than_registered_are_refused() {
    let mut store = StateStore::open(options("count"), Vec::new()).unwrap();
    let table = store.table("t", &key_fields(), &[]).unwrap();
    let keys: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![1]))];
    let pane = store.table_mut(table).pane(0).unwrap();
    assert!(pane.upsert(&[1], &keys, None, &mut Vec::new()).is_err());
}

#[test]
fn hashes_may_collide() {
    let mut store = StateStore::open(options("count"), Vec::new()).unwrap();
    let int = store.table("i", &[Field::new("k", DataType::Int64, true)], &[]).unwrap();
    let text = store.table("s", &key_fields(), &[]).unwrap();
    for table in [int, text] {
        let numbers: Vec<i64> = (0..300).collect();
        let keys: Vec<ArrayRef> = if table == int {
            vec![Arc::new(Int64Array::from(numbers.clone()))]
        } else {
            vec![Arc::new(StringArray::from_iter_values(numbers.iter().map(i64::to_string)))]
        };
        let hashes: Vec<u64> = numbers.iter().map(|n| *n as u64 % 3).collect();
        let pane = store.table_mut(table).pane(0).unwrap();
        let mut slots = Vec::new();
        assert_eq!(pane.upsert(&hashes, &keys, None, &mut slots).unwrap(), 300);
        for slot in (0..300).step_by(2) {
            pane.remove(slot);
        }
        pane.find(&hashes, &keys, None, &mut slots).unwrap();
        let expected = (0..300).map(|slot| if slot % 2 == 0 { NO_SLOT } else { slot });
        assert_eq!(slots, Vec::from_iter(expected));
    }
}

#[test]
fn rows_that_are_hashed_by_other_columns_than_their_keys_keep_their_hashes() {
    let fields = [Field::new("k", DataType::Int64, true)];
    let schema = Arc::new(Schema::new(fields.to_vec()));
    let open = |files| {
        let mut store = StateStore::open(options("count"), files).unwrap();
        let table = store.table("t", &fields, &[]).unwrap();
        let log = store.log("l", Arc::clone(&schema), &[0]).unwrap();
        (store, table, log)
    };
    let (mut store, table, log) = open(Vec::new());
    let keys: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]))];
    let (mut own, mut slots) = (Vec::new(), Vec::new());
    hash_arrays(keys.iter(), 3, &mut own).unwrap();
    let other: Vec<u64> = own.iter().map(|hash| hash ^ 1).collect();
    for (namespace, hashes) in [(0, &own), (1, &other)] {
        let pane = store.table_mut(table).pane(namespace).unwrap();
        pane.upsert(hashes, &keys, None, &mut slots).unwrap();
        let batch = RecordBatch::try_new(Arc::clone(&schema), keys.clone()).unwrap();
        store.log_mut(log).append(namespace, batch, hashes.clone()).unwrap();
    }
    let file = store.snapshot(Watermark(1)).unwrap().encode().unwrap();
    let (mut store, table, log) = open(vec![file.into()]);
    for (namespace, hashes) in [(0, &own), (1, &other)] {
        let pane = store.table_mut(table).pane(namespace).unwrap();
        pane.find(hashes, &keys, None, &mut slots).unwrap();
        let found: Vec<u64> = slots.iter().map(|slot| pane.hash(*slot)).collect();
        assert_eq!(&found, hashes);
        let batches = store.log_mut(log).batches(namespace).unwrap();
        assert_eq!(batches.iter().map(|(_, h)| h.as_ref()).collect::<Vec<_>>(), [hashes]);
    }
}

#[test]
fn a_compressed_snapshot_is_smaller_and_says_the_same() {
    let fields = [Field::new("k", DataType::Int64, true)];
    let open = |files| {
        let mut store = StateStore::open(options("count"), files).unwrap();
        let table = store.table("t", &fields, &[ValueType::I64]).unwrap();
        (store, table)
    };
    let keys: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_iter_values(0..5000))];
    let (mut hashes, mut slots) = (Vec::new(), Vec::new());
    hash_arrays(keys.iter(), 5000, &mut hashes).unwrap();
    let mut lengths = Vec::new();
    for compression in [Compression::None, Compression::Lz4] {
        let (mut store, table) = open(Vec::new());
        let pane = store.table_mut(table).pane(0).unwrap();
        pane.upsert(&hashes, &keys, None, &mut slots).unwrap();
        slots.iter().for_each(|slot| pane.i64(0)[*slot as usize] = i64::from(*slot) * 3);
        let mut file = Vec::new();
        let frozen = store.snapshot(Watermark(1)).unwrap();
        let mut put = |part: Bytes| {
            file.extend_from_slice(&part);
            true
        };
        frozen.encode_to(compression, &mut put).unwrap();
        lengths.push(file.len());
        let (mut store, table) = open(vec![file.into()]);
        let pane = store.table_mut(table).pane(0).unwrap();
        pane.find(&hashes, &keys, None, &mut slots).unwrap();
        let values: Vec<i64> = slots.iter().map(|slot| pane.i64(0)[*slot as usize]).collect();
        assert_eq!(values, (0..5000).map(|n| n * 3).collect::<Vec<_>>());
    }
    assert!(lengths[1] * 2 < lengths[0], "{lengths:?} bytes");
}

#[test]
fn a_frozen_snapshot_and_a_store_can_go_to_another_thread() {
    fn is_send<T: Send + 'static>() {}
    is_send::<Frozen>();
    is_send::<StateStore>();
    is_send::<Pane>();
}

#[test]
fn emptiness_of_a_snapshot_counts_the_watermark() {
    let mut store = StateStore::open(options("count"), Vec::new()).unwrap();
    store.table("t", &key_fields(), &[]).unwrap();
    assert!(store.is_empty());
    assert!(store.snapshot(Watermark::MIN).unwrap().is_empty());
    assert!(!store.snapshot(Watermark(7)).unwrap().is_empty());
}
