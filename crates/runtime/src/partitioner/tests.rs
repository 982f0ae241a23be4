use std::collections::BTreeMap;

use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray};
use arrow::datatypes::Int64Type;
use model::deployment::Consumer;
use model::{SubtaskIndex, VertexId};

use super::*;

fn output(partitioning: Partitioning, consumers: u32) -> OutputDeployment {
    let consumer = |n| Consumer { subtask: SubtaskIndex(n), data_addr: String::new() };
    OutputDeployment {
        edge: 0,
        output: 0,
        partitioning,
        to: VertexId(1),
        to_parallelism: consumers,
        consumers: (0..consumers).map(consumer).collect(),
    }
}

fn batch(rows: i64) -> RecordBatch {
    let keys: ArrayRef =
        Arc::new((0..rows).map(|n| Some(format!("k{}", n % 97))).collect::<StringArray>());
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
    RecordBatch::try_from_iter([("k", keys), ("v", values)]).unwrap()
}

fn split(partitioner: &mut Partitioner, batch: RecordBatch) -> BTreeMap<usize, Vec<RecordBatch>> {
    let mut parts: BTreeMap<usize, Vec<RecordBatch>> = BTreeMap::new();
    partitioner.split(batch, |target, rows| parts.entry(target).or_default().push(rows)).unwrap();
    parts
}

#[test]
fn a_hash_edge_sends_each_row_to_the_owner_of_its_key_group_in_order() {
    let all = batch(8192);
    let edge = output(Partitioning::Hash { columns: vec!["k".into()] }, 5);
    let mut partitioner = Partitioner::new(&edge, all.schema_ref(), 128, 0).unwrap();
    let parts = split(&mut partitioner, all.clone());
    let mut seen = 0;
    for (target, parts) in parts {
        for part in parts {
            seen += part.num_rows();
            let mut hashes = Vec::new();
            key_group::hash_columns(&part, &[0], &mut hashes).unwrap();
            let owned = key_group::range_of(target as u32, 128, 5);
            assert!(hashes.iter().all(|h| owned.contains(key_group::key_group_of(*h, 128))));
            let values = part.column(1).as_primitive::<Int64Type>().values();
            assert!(values.is_sorted());
            let keys = part.column(0).as_string::<i32>();
            for row in 0..part.num_rows() {
                assert_eq!(keys.value(row), format!("k{}", values[row] % 97));
            }
        }
    }
    assert_eq!(seen, 8192);
}

#[test]
fn one_consumer_gets_the_batch_itself() {
    let all = batch(10);
    let edge = output(Partitioning::Hash { columns: vec!["k".into()] }, 1);
    let mut partitioner = Partitioner::new(&edge, all.schema_ref(), 128, 0).unwrap();
    let parts = split(&mut partitioner, all.clone());
    assert!(Arc::ptr_eq(parts[&0][0].column(1), all.column(1)));
}

#[test]
fn rebalance_takes_turns_and_broadcast_gives_to_all() {
    let all = batch(10);
    let mut turns =
        Partitioner::new(&output(Partitioning::Rebalance, 3), all.schema_ref(), 128, 1).unwrap();
    let order: Vec<usize> = (0..4)
        .flat_map(|_| split(&mut turns, all.clone()).into_keys().collect::<Vec<_>>())
        .collect();
    assert_eq!(order, [1, 2, 0, 1]);
    let mut every =
        Partitioner::new(&output(Partitioning::Broadcast, 3), all.schema_ref(), 128, 0).unwrap();
    assert_eq!(split(&mut every, all).len(), 3);
}

#[test]
fn a_missing_key_column_is_named() {
    let edge = output(Partitioning::Hash { columns: vec!["nope".into()] }, 2);
    let Err(error) = Partitioner::new(&edge, batch(1).schema_ref(), 128, 0) else { panic!() };
    assert!(error.message().contains("`nope`"), "{error}");
}

#[test]
fn a_hot_key_is_seen_by_samples() {
    let edge = output(Partitioning::Hash { columns: vec!["k".into()] }, 4);
    let keys = (0..1024).map(|n| Some(if n % 4 == 0 { format!("k{n}") } else { "hot".into() }));
    let keys: ArrayRef = Arc::new(keys.collect::<StringArray>());
    let all = RecordBatch::try_from_iter([("k", keys)]).unwrap();
    let mut partitioner = Partitioner::new(&edge, all.schema_ref(), 128, 0).unwrap();
    assert_eq!(partitioner.hot_key_group(), None);
    for _ in 0..(SAMPLE_EVERY * 200) {
        partitioner.split(all.slice(1, 1021), |_, _| {}).unwrap();
    }
    let hot = partitioner.hot_key_group().unwrap();
    let mut hashes = Vec::new();
    key_group::hash_columns(&all.slice(1, 1), &[0], &mut hashes).unwrap();
    let group = key_group::key_group_of(hashes[0], 128);
    assert_eq!((hot.group, hot.to), (group, VertexId(1)));
    assert_eq!(hot.to_subtask, key_group::subtask_of(group, 128, 4));
    assert!((0.6..0.9).contains(&hot.share), "{hot:?}");
    let single = output(Partitioning::Rebalance, 4);
    let other = Partitioner::new(&single, all.schema_ref(), 128, 0).unwrap();
    assert_eq!(other.hot_key_group(), None);
}
