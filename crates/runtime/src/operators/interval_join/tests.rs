//! Scripts, and random streams against nested loops.

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use proptest::prelude::*;

use super::*;
use crate::operators::script::{Harness, check, check_keyed, rows, schema};

const LEFT: &str = "k STRING, v BIGINT, t TIMESTAMP";
const RIGHT: &str = "k STRING, w BIGINT, u TIMESTAMP";

fn spec(join_type: JoinType, lower_ms: i64, upper_ms: i64) -> IntervalJoin {
    IntervalJoin {
        left_keys: vec!["k".into()],
        right_keys: vec!["k".into()],
        left_time: "t".into(),
        right_time: "u".into(),
        lower_ms,
        upper_ms,
        join_type,
        right_prefix: "r_".into(),
    }
}

fn join(join_type: JoinType, lower_ms: i64, upper_ms: i64) -> Result<Box<dyn Operator>> {
    let spec = spec(join_type, lower_ms, upper_ms);
    Ok(Box::new(IntervalJoinOperator::new(&spec, &schema(LEFT), &schema(RIGHT))?))
}

#[test]
fn pairs_come_as_soon_as_they_are_there() {
    check(
        || join(JoinType::Inner, -1_000, 5_000),
        &[schema(LEFT), schema(RIGHT)],
        "
        > a 1 @10s
        > b 2 @10s
        > null 3 @10s
        >1 a 7 @9s
        < a 1 @10s a 7 @9s
        >1 a 8 @15s
        < a 1 @10s a 8 @15s
        # just outside
        >1 a 9 @8999ms
        >1 a 9 @15001ms
        >1 null 9 @10s
        > a 4 @16s
        < a 4 @16s a 9 @15001ms
        < a 4 @16s a 8 @15s
        > watermark 16s
        < watermark 11s
        # late
        >1 a 1 @16s
        > a 5 @17s
        >1 a 6 @22s
        < a 5 @17s a 6 @22s
        ",
    );
}

#[test]
fn unmatched_rows_come_when_no_partner_can() {
    check(
        || join(JoinType::Full, 0, 5_000),
        &[schema(LEFT), schema(RIGHT)],
        "
        > a 1 @10s
        > b 2 @10s
        >1 a 7 @12s
        < a 1 @10s a 7 @12s
        >1 c 8 @11s
        # a right row waits for left rows up to its own time
        > watermark 11s
        < null null null c 8 @11s
        < watermark 6s
        > watermark 14999ms
        < watermark 9999ms
        > watermark 15s
        < b 2 @10s null null null
        < watermark 10s
        > null 3 @20s
        > end
        < null 3 @20s null null null
        < watermark max
        ",
    );
}

#[test]
fn an_interval_in_the_past_lets_rows_go_at_once() {
    check(
        || join(JoinType::Left, -10_000, -5_000),
        &[schema(LEFT), schema(RIGHT)],
        "
        >1 a 7 @10s
        > a 1 @15s
        < a 1 @15s a 7 @10s
        > watermark 14s
        < watermark 4s
        > b 2 @16s
        > b 3 @20s
        # the partners of the first would all be late
        < b 2 @16s null null null
        > watermark 15s
        < b 3 @20s null null null
        < watermark 5s
        ",
    );
}

#[test]
fn matches_survive_a_restore() {
    check_keyed(
        || join(JoinType::Full, 0, 5_000),
        &[schema(LEFT), schema(RIGHT)],
        &[&["k"], &["k"]],
        "
        > a 1 @10s
        > b 2 @10s
        > c 3 @10s
        > d 3 @9s
        >1 a 7 @12s
        < a 1 @10s a 7 @12s
        > watermark 8s
        < watermark 3s
        > restore 3
        >1 b 8 @13s
        < b 2 @10s b 8 @13s
        > watermark 14s
        < d 3 @9s null null null
        < watermark 9s
        > restore 2
        >1 a 9 @15s
        < a 1 @10s a 9 @15s
        > restore
        > end
        < c 3 @10s null null null
        < watermark max
        ",
    );
}

#[test]
fn late_rows_are_counted_and_state_is_dropped() {
    let make = || join(JoinType::Inner, -1_000, 5_000);
    let mut harness = Harness::new(&make, vec![vec![], vec![]]);
    harness.process(0, &rows(&schema(LEFT), &["a 1 @1s", "a 1 @11s"])).unwrap();
    harness.process(1, &rows(&schema(RIGHT), &["b 1 @1s", "b 1 @11s"])).unwrap();
    harness.watermark(Watermark(11_000)).unwrap();
    harness.process(0, &rows(&schema(LEFT), &["a 1 @11s", "a 1 @12s"])).unwrap();
    assert_eq!(harness.late_records(), 1);
    harness.watermark(Watermark(30_000)).unwrap();
    assert!(harness.is_state_empty());
}

#[test]
fn an_empty_interval_is_refused() {
    let error = join(JoinType::Inner, 5, 4).err().unwrap();
    assert!(error.message().contains("above the upper bound"), "{error}");
}

/// Thousands of one-row batches: chunks are merged, flags and rows stay together.
#[test]
fn many_small_batches_are_merged() {
    let make = || join(JoinType::Left, 0, 100_000);
    let mut harness = Harness::new(&make, vec![vec![0], vec![0]]);
    for value in 0..3_000 {
        let line = format!("k{} {value} {value}", value % 100);
        harness.process(0, &rows(&schema(LEFT), &[&line])).unwrap();
        if value % 1000 == 500 {
            harness.process(1, &rows(&schema(RIGHT), &["k7 1 90000"])).unwrap();
        }
    }
    harness.restore(2).unwrap();
    harness.end().unwrap();
    let batches = harness.take_batches();
    let (mut matched, mut unmatched) = (0, 0);
    for batch in batches {
        let nulls = batch.column(4).null_count();
        unmatched += nulls;
        matched += batch.num_rows() - nulls;
    }
    // Each of the 30 rows of k7 meets its three partners, whichever came first.
    assert_eq!((matched, unmatched), (3 * 30, 3_000 - 30));
}

type Row = (Option<i64>, i64, i64);

/// Key, unique value, time.
fn stream() -> impl Strategy<Value = Vec<Row>> {
    let row = (prop::option::weighted(0.9, 0..5_i64), 0..12_000_i64);
    prop::collection::vec(row, 0..60)
        .prop_map(|rows| rows.into_iter().enumerate().map(|(i, (k, t))| (k, i as i64, t)).collect())
}

fn brute_force(left: &[Row], right: &[Row], spec: &IntervalJoin) -> Vec<String> {
    let equal = |l: &Row, r: &Row| {
        l.0.is_some() && l.0 == r.0 && (l.2 + spec.lower_ms..=l.2 + spec.upper_ms).contains(&r.2)
    };
    let mut expected = Vec::new();
    for l in left {
        expected.extend(right.iter().filter(|r| equal(l, r)).map(|r| format!("{} {}", l.1, r.1)));
        if matches!(spec.join_type, JoinType::Left | JoinType::Full)
            && !right.iter().any(|r| equal(l, r))
        {
            expected.push(format!("{} null", l.1));
        }
    }
    for r in right {
        if matches!(spec.join_type, JoinType::Right | JoinType::Full)
            && !left.iter().any(|l| equal(l, r))
        {
            expected.push(format!("null {}", r.1));
        }
    }
    expected.sort();
    expected
}

fn text(row: &Row) -> String {
    format!("{} {} {}", row.0.map_or("null".into(), |k| k.to_string()), row.1, row.2)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn equals_nested_loops(
        left in stream(),
        right in stream(),
        join_type in prop::sample::select(vec![JoinType::Inner, JoinType::Left, JoinType::Right, JoinType::Full]),
        (lower, width) in (-4_000..4_000_i64, 0..6_000_i64),
        batch in 1..20_usize,
        steps in prop::collection::vec((0..12_000_i64, 1..4_u32), 0..4),
    ) {
        let left_schema = schema("k BIGINT, v BIGINT, t BIGINT");
        let right_schema = schema("k BIGINT, w BIGINT, u BIGINT");
        let spec = spec(join_type, lower, lower + width);
        let make = || -> Result<Box<dyn Operator>> {
            Ok(Box::new(IntervalJoinOperator::new(&spec, &left_schema, &right_schema)?))
        };
        let mut harness = Harness::new(&make, vec![vec![0], vec![0]]);
        let delay = make().unwrap().watermark_delay_ms();
        let mut steps = steps;
        steps.sort_unstable();
        steps.push((i64::MAX, 1));
        let mut actual = Vec::new();
        let mut after = i64::MIN;
        for (watermark, parallelism) in steps {
            // Rows up to the watermark before it, so that none is late.
            for (port, input, schema) in [(0, &left, &left_schema), (1, &right, &right_schema)] {
                let due = |row: &&Row| after < row.2 && row.2 <= watermark;
                let input: Vec<String> = input.iter().filter(due).map(text).collect();
                for lines in input.chunks(batch) {
                    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
                    harness.process(port, &rows(schema, &lines)).unwrap();
                }
            }
            harness.watermark(Watermark(watermark)).unwrap();
            prop_assert_eq!(harness.late_records(), 0);
            for output in harness.take_batches() {
                let column = |index: usize| output.column(index).as_primitive::<Int64Type>();
                for row in 0..output.num_rows() {
                    let cell = |index: usize| {
                        if column(index).is_null(row) { "null".into() } else { column(index).value(row).to_string() }
                    };
                    actual.push(format!("{} {}", cell(1), cell(4)));
                    for time in [2, 5] {
                        let late = column(time).is_valid(row)
                            && column(time).value(row) <= after.saturating_sub(delay);
                        prop_assert!(!late, "behind the watermark");
                    }
                }
            }
            after = watermark;
            harness.restore(parallelism).unwrap();
        }
        prop_assert!(harness.is_state_empty());
        actual.sort();
        prop_assert_eq!(actual, brute_force(&left, &right, &spec));
    }
}
