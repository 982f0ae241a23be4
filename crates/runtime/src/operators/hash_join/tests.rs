//! The index against a map, every key type, merging.

use std::collections::BTreeSet;

use arrow::array::{Int64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use model::key_group::hash_columns;
use proptest::prelude::*;

use super::*;

fn batch(keys: ArrayRef, first: i64) -> RecordBatch {
    let ids = Int64Array::from_iter_values(first..first + keys.len() as i64);
    let schema = Schema::new(vec![
        Field::new("k", keys.data_type().clone(), true),
        Field::new("id", DataType::Int64, false),
    ]);
    RecordBatch::try_new(Arc::new(schema), vec![keys, Arc::new(ids)]).unwrap()
}

fn hashes(batch: &RecordBatch) -> Vec<u64> {
    let mut hashes = Vec::new();
    hash_columns(batch, &[0], &mut hashes).unwrap();
    hashes
}

fn pairs(rows: &IndexedRows, probe: &RecordBatch, hashes: &[u64]) -> BTreeSet<(u32, u32)> {
    let probe = Probe::new(probe, &[0], hashes);
    let (mut cursor, mut matches, mut found) =
        (Cursor::default(), Matches::default(), BTreeSet::new());
    while rows.probe(&probe, &mut cursor, |_, _| true, &mut matches).unwrap() {
        assert!(matches.len() <= OUTPUT_ROWS);
        for pair in matches.stored.iter().copied().zip(matches.probe.iter().copied()) {
            assert!(found.insert(pair), "{pair:?} twice");
        }
    }
    found
}

#[test]
fn every_key_type_matches_itself() {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(0), None, Some(1)]));
    let text: ArrayRef = Arc::new(StringArray::from(vec![Some("1"), Some("0"), None, Some("1")]));
    let types = [
        DataType::Int8,
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
        DataType::UInt8,
        DataType::UInt16,
        DataType::UInt32,
        DataType::UInt64,
        DataType::Float32,
        DataType::Float64,
        DataType::Decimal128(20, 2),
        DataType::Boolean,
        DataType::Date32,
        DataType::Date64,
        DataType::Timestamp(TimeUnit::Second, None),
        DataType::Timestamp(TimeUnit::Millisecond, None),
        DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(TimeUnit::Nanosecond, None),
        DataType::Utf8,
        DataType::LargeUtf8,
        DataType::Utf8View,
        DataType::Binary,
        DataType::LargeBinary,
        DataType::BinaryView,
    ];
    for data_type in types {
        let source = match &data_type {
            t if t.is_string() => Arc::clone(&text),
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Arc::clone(&text),
            DataType::Date32 => cast(&numbers, &DataType::Int32).unwrap(),
            _ => Arc::clone(&numbers),
        };
        let keys = batch(cast(&source, &data_type).unwrap(), 0);
        let hashes = hashes(&keys);
        let mut rows = IndexedRows::new(&[0]);
        rows.push(keys.slice(0, 2), &hashes[..2]).unwrap();
        rows.push(keys.slice(2, 2), &hashes[2..]).unwrap();
        let found = pairs(&rows, &keys, &hashes);
        let expected = BTreeSet::from([(0, 0), (0, 3), (3, 0), (3, 3), (1, 1)]);
        assert_eq!(found, expected, "{data_type}");
    }
}

/// Equal hashes of unequal keys: the keys decide.
#[test]
fn colliding_hashes_do_not_match() {
    let keys = batch(Arc::new(Int64Array::from(vec![1, 2, 3, 2])), 0);
    let mut rows = IndexedRows::new(&[0]);
    rows.push(keys.clone(), &[7; 4]).unwrap();
    let expected = BTreeSet::from([(0, 0), (1, 1), (1, 3), (2, 2), (3, 1), (3, 3)]);
    assert_eq!(pairs(&rows, &keys, &[7; 4]), expected);
}

#[test]
fn coalescing_keeps_rows_and_hashes_in_order() {
    let mut input = Vec::new();
    let mut first = 0;
    for rows in [10, 4096, 5000, 1, 1, 4095, 3] {
        let keys = batch(Arc::new(Int64Array::from_iter_values(first..first + rows)), first);
        input.push((keys, Arc::new((first as u64..(first + rows) as u64).collect())));
        first += rows;
    }
    let merged = coalesce(input).unwrap();
    assert!(merged.len() < 5, "{} batches", merged.len());
    let mut next = 0;
    for (batch, hashes) in merged {
        assert_eq!(batch.num_rows(), hashes.len());
        for hash in hashes.iter() {
            assert_eq!(*hash, next);
            next += 1;
        }
    }
    assert_eq!(next, first as u64);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn chunks_and_merging_do_not_matter(
        keys in prop::collection::vec(prop::option::weighted(0.9, 0..40_i64), 1..400),
        chunk in 1..9_usize,
        probe in prop::collection::vec(prop::option::weighted(0.9, 0..40_i64), 0..60),
    ) {
        let mut rows = IndexedRows::new(&[0]);
        let mut first = 0;
        for chunk in keys.chunks(chunk) {
            let chunk = batch(Arc::new(Int64Array::from(chunk.to_vec())), first);
            first += chunk.num_rows() as i64;
            rows.push(chunk.clone(), &hashes(&chunk)).unwrap();
            rows.merge_small_chunks().unwrap();
        }
        prop_assert!(rows.chunks().len() < 2 * MERGE_CHUNKS);
        let all = batch(Arc::new(Int64Array::from(keys.clone())), 0);
        let stored_hashes: Vec<u64> = rows.chunk_hashes().flatten().collect();
        prop_assert_eq!(stored_hashes, hashes(&all));
        let probe_batch = batch(Arc::new(Int64Array::from(probe.clone())), 0);
        let expected: BTreeSet<(u32, u32)> = keys
            .iter()
            .enumerate()
            .flat_map(|(s, key)| probe.iter().enumerate().map(move |(p, other)| (s, key, p, other)))
            .filter(|(_, key, _, other)| key.is_some() && key == other)
            .map(|(s, _, p, _)| (s as u32, p as u32))
            .collect();
        prop_assert_eq!(pairs(&rows, &probe_batch, &hashes(&probe_batch)), expected);
        let picked: Vec<u32> = (0..keys.len() as u32).rev().collect();
        let gathered = rows.gather(&picked).unwrap();
        let expected = gather_batch(&all, &picked).unwrap();
        prop_assert_eq!(gathered, expected);
    }
}
