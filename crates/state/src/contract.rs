//! The contract of state and its backends, as a suite that every backend runs
//! (`state/src/tests.rs`, `rocks/tests`). Always compiled: a
//! feature for it would make two flavours of every crate above.
//!
//! Random but reproducible operations run against a store and against plain maps; after
//! each step both must agree, across evictions, snapshots and changes of parallelism.
//! Failures panic and name the seed.

mod chain_files;
mod keys;
mod oracle;
mod world;

use std::collections::BTreeMap;

pub use chain_files::ChainFiles;
pub use keys::Keys;

use crate::ColdStore;
use world::World;

/// Makes an empty cold store, or `None` for memory only.
pub type MakeCold<'a> = &'a dyn Fn() -> Option<Box<dyn ColdStore>>;

/// Runs the whole suite. A small `memory_bytes` forces evictions at every batch.
pub fn run_all(make: MakeCold<'_>, memory_bytes: u64) {
    if let Some(mut cold) = make() {
        cold_store_is_an_ordered_map(cold.as_mut());
    }
    for keys in Keys::ALL {
        for seed in 1..=2 {
            random_operations(make, memory_bytes, keys, seed, 120);
        }
    }
    rescaling_keeps_every_row_once(make, memory_bytes);
    eviction_keeps_to_the_budget(make);
}

/// One run of random operations.
pub fn random_operations(make: MakeCold<'_>, memory: u64, keys: Keys, seed: u64, steps: usize) {
    let mut world = World::new(make, memory, keys, seed);
    for _ in 0..steps {
        world.step();
    }
    world.restore(1);
    world.check_everything();
}

fn rescaling_keeps_every_row_once(make: MakeCold<'_>, memory_bytes: u64) {
    let mut world = World::new(make, memory_bytes, Keys::Text, 99);
    for parallelism in [1, 3, 2, 16, 5, 1] {
        for _ in 0..30 {
            world.step();
        }
        world.restore(parallelism);
        world.check_everything();
    }
    // Where rows are cold every snapshot is whole.
    assert!(make().is_some() || world.longest_chain > 3, "{} files", world.longest_chain);
}

/// Many more rows than fit: memory stays near the budget and no row is lost.
fn eviction_keeps_to_the_budget(make: MakeCold<'_>) {
    const BUDGET: u64 = 1 << 20;
    if make().is_none() {
        return;
    }
    let mut world = World::new(make, BUDGET, Keys::Int, 7);
    world.fill(40_000);
    assert!(world.memory_bytes() <= BUDGET, "{} bytes in memory", world.memory_bytes());
    world.restore(1);
    assert!(world.memory_bytes() <= BUDGET, "{} bytes after a restore", world.memory_bytes());
    world.check_everything();
}

fn cold_store_is_an_ordered_map(cold: &mut dyn ColdStore) {
    let key = |n: u16| n.to_be_bytes().to_vec();
    let mut oracle: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    for n in 0..1000 {
        oracle.insert(key(n), format!("value {n}").into_bytes());
    }
    cold.write(oracle.clone().into_iter().collect(), Vec::new()).expect("write");
    let mut frozen = cold.snapshot().expect("snapshot");
    let before: Vec<_> = oracle.clone().into_iter().collect();

    cold.write(vec![(key(7), b"new".to_vec())], vec![key(3), key(4000)]).expect("overwrite");
    oracle.insert(key(7), b"new".to_vec());
    oracle.remove(&key(3));
    cold.delete_prefix(&[1]).expect("delete a prefix");
    oracle.retain(|key, _| key[0] != 1);
    cold.delete_prefix(&[200]).expect("delete an absent prefix");

    let wanted: Vec<Vec<u8>> = (0..600).map(key).collect();
    let borrowed: Vec<&[u8]> = wanted.iter().map(Vec::as_slice).collect();
    let mut values = vec![None; 3];
    cold.get_many(&borrowed, &mut values).expect("get");
    let expected: Vec<_> = wanted.iter().map(|key| oracle.get(key).cloned()).collect();
    assert_eq!(values, expected);

    let all: Vec<_> = oracle.clone().into_iter().collect();
    assert_eq!(cold.scan(&[], None, 10_000).expect("scan"), all);
    assert_eq!(cold.scan(&[], Some(&key(5)), 3).expect("scan from"), all[4..7]);
    let of_two: Vec<_> = all.iter().filter(|(key, _)| key[0] == 2).cloned().collect();
    assert_eq!(cold.scan(&[2], None, 10_000).expect("scan a prefix"), of_two);
    assert_eq!(cold.scan(&[1], None, 10).expect("scan nothing"), []);
    assert_eq!(frozen.scan(&[], None, 10_000).expect("scan the snapshot"), before);
    assert_eq!(frozen.scan(&[1], Some(&key(258)), 2).expect("scan the snapshot"), before[258..260]);
    drop(frozen);
    cold.delete_prefix(&[]).expect("delete everything");
    assert_eq!(cold.scan(&[], None, 10).expect("scan"), []);
}
