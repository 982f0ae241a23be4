//! Scripts, and random streams against a map.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::operators::script::{Harness, check, check_keyed, print_rows, rows, schema};

const INPUT: &str = "k STRING, v BIGINT, t TIMESTAMP";

fn deduplicate(keep: Keep, time: Option<&str>, input: &str) -> Result<Box<dyn Operator>> {
    let time_column = time.map(str::to_owned);
    let spec = Deduplicate { keys: vec!["k".into()], keep, time_column, ..Deduplicate::default() };
    Ok(Box::new(DeduplicateOperator::new(&spec, &schema(input))?))
}

#[test]
fn the_first_by_arrival_comes_at_once_and_only_it() {
    check_keyed(
        || deduplicate(Keep::First, None, INPUT),
        &[schema(INPUT)],
        &[&["k"]],
        "
        > a 1 @9s
        > a 2 @1s
        > b 3 @2s
        > null 4 @2s
        < a 1 @9s
        < b 3 @2s
        < null 4 @2s
        > b 5 @1s
        > restore 2
        > a 6 @1s
        > null 6 @1s
        > c 7 @3s
        < c 7 @3s
        > restore
        > c 8 @3s
        > d 9 @3s
        < d 9 @3s
        > watermark 5s
        < watermark 5s
        ",
    );
}

#[test]
fn the_last_by_arrival_updates() {
    check(
        || deduplicate(Keep::Last, None, INPUT),
        &[schema(INPUT)],
        "
        > a 1 @9s
        > b 2 @1s
        > a 3 @1s
        < +I a 3 @1s
        < +I b 2 @1s
        > restore
        > b 4 @1s
        < -U b 2 @1s
        < +U b 4 @1s
        # the same row again
        > b 4 @1s
        > a 5 null
        < -U a 3 @1s
        < +U a 5 null
        ",
    );
}

#[test]
fn the_first_by_time_may_be_replaced() {
    check(
        || deduplicate(Keep::First, Some("t"), INPUT),
        &[schema(INPUT)],
        "
        > a 1 @5s
        > a 2 @5s
        < +I a 1 @5s
        > a 3 @6s
        > a 4 @4s
        > a 5 @4s
        < -U a 1 @5s
        < +U a 4 @4s
        > restore
        > a 6 @4s
        > a 7 @3s
        < -U a 4 @4s
        < +U a 7 @3s
        ",
    );
}

#[test]
fn the_last_by_time_takes_the_later_of_equals() {
    check(
        || deduplicate(Keep::Last, Some("t"), INPUT),
        &[schema(INPUT)],
        "
        > a 1 @5s
        > a 2 @5s
        > a 3 @4s
        < +I a 2 @5s
        > a 4 @4s
        > a 5 @5s
        < -U a 2 @5s
        < +U a 5 @5s
        ",
    );
}

#[test]
fn a_changelog_is_refused() {
    let error = deduplicate(Keep::First, None, "k STRING, $row_kind").err().unwrap();
    assert!(error.message().contains("changelog"), "{error}");
}

/// Applies a changelog to a table; every `-U` and `-D` must hit.
fn apply(table: &mut Vec<String>, batch: &RecordBatch) {
    for line in print_rows(batch) {
        let (kind, row) = line.split_at(2);
        if kind.starts_with('+') {
            table.push(row.to_owned());
        } else {
            let at = table.iter().position(|r| r == row).expect("the row that is taken back");
            table.remove(at);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn equals_a_map(
        input in prop::collection::vec((0..6_i64, 0..20_i64), 0..80),
        keep in prop::sample::select(vec![Keep::First, Keep::Last]),
        by_time in any::<bool>(),
        batch in 1..20_usize,
        parallelism in 1..4_u32,
    ) {
        let text = "k BIGINT, v BIGINT, t BIGINT";
        let make = || deduplicate(keep, by_time.then_some("t"), text);
        let mut harness = Harness::new(&make, vec![vec![0]]);
        let mut expected: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
        let mut table = Vec::new();
        let mut lines = Vec::new();
        for (value, (key, time)) in input.into_iter().enumerate() {
            let row = (time, value as i64);
            expected
                .entry(key)
                .and_modify(|kept| {
                    let wins = match (keep, by_time) {
                        (Keep::First, false) => false,
                        (Keep::Last, false) => true,
                        (Keep::First, true) => row.0 < kept.0,
                        (Keep::Last, true) => row.0 >= kept.0,
                    };
                    if wins {
                        *kept = row;
                    }
                })
                .or_insert(row);
            lines.push(format!("{key} {value} {time}"));
        }
        for (index, chunk) in lines.chunks(batch).enumerate() {
            if index == 2 {
                harness.restore(parallelism).unwrap();
            }
            let chunk: Vec<&str> = chunk.iter().map(String::as_str).collect();
            harness.process(0, &rows(&schema(text), &chunk)).unwrap();
            for output in harness.take_batches() {
                let append_only = keep == Keep::First && !by_time;
                if append_only {
                    table.extend(print_rows(&output).into_iter().map(|row| format!(" {row}")));
                } else {
                    apply(&mut table, &output);
                }
            }
        }
        table.sort();
        let mut expected: Vec<String> =
            expected.into_iter().map(|(k, (t, v))| format!(" {k} {v} {t}")).collect();
        expected.sort();
        prop_assert_eq!(table, expected);
    }
}
