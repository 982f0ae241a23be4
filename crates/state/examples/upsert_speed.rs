//! Prints how many rows per second a pane takes in: key lookup and a counter per row, in
//! batches of 8192 rows with keys in random order, for several key counts and kinds.
//!
//! `cargo run --release -p state --example upsert_speed`

#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Int64Array, StringViewArray};
use arrow::datatypes::Field;
use model::Result;
use model::key_group::{KeyGroupRange, hash_arrays};
use state::{StateStore, StoreOptions, ValueType};

const BATCH: usize = 8192;
const BATCHES: usize = 512;

fn main() -> Result<()> {
    for keys in [1_000, 10_000, 100_000, 1_000_000] {
        let ints = |n: u64| n as i64 * 1_000_003;
        let int = move |numbers: &[u64]| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(numbers.iter().map(|n| ints(*n))))
        };
        let text = |numbers: &[u64]| -> ArrayRef {
            Arc::new(StringViewArray::from_iter_values(numbers.iter().map(|n| format!("user-{n}"))))
        };
        measure("i64", keys, |numbers| vec![int(numbers)])?;
        measure("string", keys, |numbers| vec![text(numbers)])?;
        measure("(i64, string)", keys, |numbers| vec![int(numbers), text(numbers)])?;
    }
    Ok(())
}

fn measure(kind: &str, keys: u64, make: impl Fn(&[u64]) -> Vec<ArrayRef>) -> Result<()> {
    let mut store = StateStore::open(
        StoreOptions {
            uid: "speed".to_owned(),
            key_groups: KeyGroupRange::all(128),
            max_parallelism: 128,
            memory_bytes: u64::MAX,
            cold: None,
        },
        Vec::new(),
    )?;
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut numbers = || -> Vec<u64> {
        let mut next = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % keys
        };
        (0..BATCH).map(|_| next()).collect()
    };
    let batches: Vec<Vec<ArrayRef>> = (0..BATCHES).map(|_| make(&numbers())).collect();
    let mut hashes = vec![Vec::new(); BATCHES];
    let hashing = Instant::now();
    for (arrays, hashes) in batches.iter().zip(&mut hashes) {
        hash_arrays(arrays.iter(), BATCH, hashes)?;
    }
    let hashing = hashing.elapsed();
    let fields: Vec<Field> = batches[0]
        .iter()
        .enumerate()
        .map(|(at, array)| Field::new(format!("k{at}"), array.data_type().clone(), true))
        .collect();
    let table = store.table("counts", &fields, &[ValueType::I64])?;
    let mut slots = Vec::new();
    let mut seconds = Vec::new();
    for _ in 0..3 {
        let start = Instant::now();
        for (arrays, hashes) in batches.iter().zip(&hashes) {
            let pane = store.table_mut(table).pane(0)?;
            pane.upsert(hashes, arrays, None, &mut slots)?;
            let counts = pane.i64(0);
            slots.iter().for_each(|slot| counts[*slot as usize] += 1);
            store.end_batch()?;
        }
        seconds.push(start.elapsed().as_secs_f64());
    }
    let rows = (BATCH * BATCHES) as f64 / 1e6;
    println!(
        "{kind:>14}, {keys:>9} keys: hash {:6.1}, first pass {:6.1}, then {:6.1} M rows/s",
        rows / hashing.as_secs_f64(),
        rows / seconds[0],
        rows / seconds[1].min(seconds[2]),
    );
    Ok(())
}
