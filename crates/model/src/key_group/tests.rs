use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, StringArray, StringViewArray};

use super::*;

#[test]
fn ranges_partition_every_group_at_every_parallelism() {
    for max in [1, 2, 7, 128, 1024] {
        for parallelism in 1..=max.min(130) {
            let mut next = 0;
            for subtask in 0..parallelism {
                let range = range_of(subtask, max, parallelism);
                assert_eq!(range.start, next, "gap or overlap at {subtask} of {parallelism}/{max}");
                for group in range.groups() {
                    assert_eq!(subtask_of(group, max, parallelism), subtask);
                }
                next = range.end;
            }
            assert_eq!(next, max);
        }
    }
}

#[test]
fn the_hash_never_changes() {
    // Written once with version 1. A change here loses the state of every job there is:
    // raise KEY_HASH_VERSION and migrate instead.
    let mut hashes = Vec::new();
    let ints: ArrayRef = Arc::new(Int64Array::from(vec![Some(0), Some(1), Some(-1), None]));
    hash_arrays([&ints].into_iter(), 4, &mut hashes).unwrap();
    let narrow: ArrayRef = Arc::new(Int32Array::from(vec![Some(0), Some(1), Some(-1), None]));
    let mut again = Vec::new();
    hash_arrays([&narrow].into_iter(), 4, &mut again).unwrap();
    assert_eq!(hashes, again, "width must not matter");
    let text: ArrayRef =
        Arc::new(StringArray::from(vec!["", "weir", "a longer string than sixteen bytes"]));
    let view: ArrayRef =
        Arc::new(StringViewArray::from(vec!["", "weir", "a longer string than sixteen bytes"]));
    let (mut a, mut b) = (Vec::new(), Vec::new());
    hash_arrays([&text].into_iter(), 3, &mut a).unwrap();
    hash_arrays([&view].into_iter(), 3, &mut b).unwrap();
    assert_eq!(a, b, "layout must not matter");
    hashes.extend(a);
    assert_groups(&hashes);
}

fn assert_groups(hashes: &[u64]) {
    let groups: Vec<u32> = hashes.iter().map(|h| key_group_of(*h, 32768)).collect();
    assert_eq!(groups, EXPECTED_GROUPS, "{groups:?}");
}

const EXPECTED_GROUPS: [u32; 7] = [8115, 30377, 25454, 17334, 9017, 27024, 6170];

#[test]
fn keys_spread_evenly() {
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(0..100_000));
    let mut hashes = Vec::new();
    hash_arrays([&keys].into_iter(), 100_000, &mut hashes).unwrap();
    let mut counts = vec![0_u32; 128];
    for hash in hashes {
        counts[key_group_of(hash, 128) as usize] += 1;
    }
    let (low, high) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(*low > 650 && *high < 920, "uneven: {low}..{high}");
}
