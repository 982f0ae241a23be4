//! Scripts, and random streams against nested loops.

use std::collections::BTreeSet;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use proptest::prelude::*;

use super::*;
use crate::operators::script::{Harness, check, check_keyed, longs, rows, schema};

const LEFT: &str = "k STRING, v BIGINT, t TIMESTAMP";
const RIGHT: &str = "k STRING, w BIGINT, u TIMESTAMP";

fn spec(join_type: JoinType, window: Option<Window>) -> WindowJoin {
    WindowJoin {
        left_keys: vec!["k".into()],
        right_keys: vec!["k".into()],
        left_time: "t".into(),
        right_time: "u".into(),
        window,
        join_type,
        right_prefix: "r_".into(),
    }
}

fn join(join_type: JoinType, window: Window) -> Result<Box<dyn Operator>> {
    let spec = spec(join_type, Some(window));
    Ok(Box::new(WindowJoinOperator::new(&spec, &schema(LEFT), &schema(RIGHT))?))
}

const TUMBLING: Window = Window::Tumbling { size_ms: 10_000, offset_ms: 0 };

#[test]
fn inner_join_comes_when_the_window_closes() {
    check(
        || join(JoinType::Inner, TUMBLING),
        &[schema(LEFT), schema(RIGHT)],
        "
        > a 1 @1s
        > b 2 @9s
        > a 3 @10s
        >1 a 7 @2s
        >1 b 8 @11s
        >1 null 8 @3s
        > null 9 @3s
        > watermark 9998ms
        < watermark 9998ms
        > watermark 9999ms
        < a 1 @1s a 7 @2s @0s @10s
        < watermark 9999ms
        # late on either side
        > a 4 @9s
        >1 a 4 @9999ms
        >1 a 5 @12s
        > watermark 25s
        < a 3 @10s a 5 @12s @10s @20s
        < watermark 25s
        > end
        < watermark max
        ",
    );
}

#[test]
fn full_join_brings_every_row_once_at_least() {
    check(
        || join(JoinType::Full, TUMBLING),
        &[schema(LEFT), schema(RIGHT)],
        "
        > a 1 @1s
        > b 2 @2s
        > null 3 @3s
        >1 a 7 @2s
        >1 a 8 @3s
        >1 c 9 @4s
        > restore
        > end
        < a 1 @1s a 7 @2s @0s @10s
        < a 1 @1s a 8 @3s @0s @10s
        < null null null c 9 @4s @0s @10s
        < b 2 @2s null null null @0s @10s
        < null 3 @3s null null null @0s @10s
        < watermark max
        ",
    );
}

#[test]
fn left_and_right_joins_keep_their_side() {
    let script = |unmatched: &str| {
        format!(
            "
            > a 1 @1s
            > b 2 @11s
            >1 c 9 @12s
            > end
            {unmatched}
            < watermark max
            "
        )
    };
    check(
        || join(JoinType::Left, TUMBLING),
        &[schema(LEFT), schema(RIGHT)],
        &script(
            "< a 1 @1s null null null @0s @10s
             < b 2 @11s null null null @10s @20s",
        ),
    );
    check(
        || join(JoinType::Right, TUMBLING),
        &[schema(LEFT), schema(RIGHT)],
        &script("< null null null c 9 @12s @10s @20s"),
    );
}

#[test]
fn hopping_windows_share_their_rows() {
    check(
        || {
            join(
                JoinType::Inner,
                Window::Hopping { size_ms: 10_000, slide_ms: 4_000, offset_ms: 0 },
            )
        },
        &[schema(LEFT), schema(RIGHT)],
        "
        > a 1 @9s
        >1 a 7 @7s
        > watermark 9999ms
        < a 1 @9s a 7 @7s @0s @10s
        < watermark 9999ms
        > restore
        # too late for the first window, in time for the second
        >1 a 8 @5s
        > watermark 30s
        < a 1 @9s a 8 @5s @4s @14s
        < a 1 @9s a 7 @7s @4s @14s
        < watermark 30s
        ",
    );
}

#[test]
fn restores_at_another_parallelism() {
    check_keyed(
        || join(JoinType::Full, TUMBLING),
        &[schema(LEFT), schema(RIGHT)],
        &[&["k"], &["k"]],
        "
        > a 1 @1s
        > b 2 @2s
        > c 3 @3s
        > d 4 @3s
        > watermark 1s
        < watermark 1s
        > restore 3
        >1 a 7 @2s
        >1 b 8 @3s
        >1 e 9 @4s
        > restore 2
        >1 c 9 @4s
        > watermark 10s
        < a 1 @1s a 7 @2s @0s @10s
        < b 2 @2s b 8 @3s @0s @10s
        < c 3 @3s c 9 @4s @0s @10s
        < d 4 @3s null null null @0s @10s
        < null null null e 9 @4s @0s @10s
        < watermark 10s
        ",
    );
}

#[test]
fn windowed_inputs_join_on_their_windows() {
    let left = schema("k BIGINT, n BIGINT, window_start TIMESTAMP, window_end TIMESTAMP");
    let right = schema("m BIGINT, k BIGINT, window_start TIMESTAMP, window_end TIMESTAMP");
    let make = || -> Result<Box<dyn Operator>> {
        let spec = spec(JoinType::Inner, None);
        Ok(Box::new(WindowJoinOperator::new(&spec, &left, &right)?))
    };
    check(
        make,
        &[left.clone(), right.clone()],
        "
        > 1 10 @0s @10s
        > 2 20 @0s @10s
        > 1 30 @5s @10s
        >1 100 1 @0s @10s
        >1 200 2 @5s @10s
        > watermark 9999ms
        < 1 10 @0s @10s 100 1 @0s @10s
        < watermark 9999ms
        > 2 10 @0s @10s
        > end
        < watermark max
        ",
    );
}

#[test]
fn late_rows_are_counted_and_state_is_dropped() {
    let make = || join(JoinType::Inner, TUMBLING);
    let mut harness = Harness::new(&make, vec![vec![], vec![]]);
    harness.process(0, &rows(&schema(LEFT), &["a 1 @1s", "a 1 @11s"])).unwrap();
    harness.watermark(Watermark(10_000)).unwrap();
    assert_eq!(harness.late_records(), 0);
    harness.process(0, &rows(&schema(LEFT), &["a 1 @1s", "a 1 @12s"])).unwrap();
    harness.process(1, &rows(&schema(RIGHT), &["a 1 @1s", "a 1 @2s"])).unwrap();
    assert_eq!(harness.late_records(), 3);
    harness.watermark(Watermark(20_000)).unwrap();
    assert!(harness.is_state_empty());
}

#[test]
fn sessions_and_impossible_windows_are_refused() {
    for window in [
        Window::Session { gap_ms: 5 },
        Window::Tumbling { size_ms: 0, offset_ms: 0 },
        Window::Hopping { size_ms: 5, slide_ms: 10, offset_ms: 0 },
    ] {
        let error = join(JoinType::Inner, window).err().unwrap();
        assert_eq!(error.kind(), model::ErrorKind::User, "{window:?}");
    }
}

/// Many matches per row: output comes in batches of bounded size, and none is lost.
#[test]
fn many_matches_are_cut_into_batches() {
    let left = schema("k BIGINT, v BIGINT, t BIGINT");
    let right = schema("k BIGINT, w BIGINT, u BIGINT");
    let make = || -> Result<Box<dyn Operator>> {
        let spec = spec(JoinType::Inner, Some(TUMBLING));
        Ok(Box::new(WindowJoinOperator::new(&spec, &left, &right)?))
    };
    let mut harness = Harness::new(&make, vec![vec![], vec![]]);
    let line = |value: i64| format!("{} {value} {value}", value % 2);
    let lines: Vec<String> = (0..300).map(line).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    harness.process(0, &rows(&left, &lines)).unwrap();
    harness.process(1, &rows(&right, &lines)).unwrap();
    harness.end().unwrap();
    let batches = harness.take_batches();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 2 * 150 * 150);
    let mut pairs = BTreeSet::new();
    for batch in &batches {
        let (v, w) = (longs(batch.column(1)), longs(batch.column(4)));
        pairs.extend(v.into_iter().zip(w));
    }
    assert_eq!(pairs.len(), 2 * 150 * 150);
}

type Row = (Option<i64>, i64, i64);

/// Key, unique value, time.
fn stream() -> impl Strategy<Value = Vec<Row>> {
    prop::collection::vec((prop::option::weighted(0.9, 0..6_i64), 0..60_i64), 0..60)
        .prop_map(|rows| rows.into_iter().enumerate().map(|(i, (k, t))| (k, i as i64, t)).collect())
}

fn brute_force(
    left: &[Row],
    right: &[Row],
    join_type: JoinType,
    window: (i64, i64),
) -> Vec<String> {
    let (size, slide) = window;
    let mut expected = Vec::new();
    for start in (-size..80).filter(|start| start.rem_euclid(slide) == 0) {
        let within = |row: &&Row| start <= row.2 && row.2 < start + size;
        let (left, right): (Vec<&Row>, Vec<&Row>) =
            (left.iter().filter(within).collect(), right.iter().filter(within).collect());
        let equal = |l: &Row, r: &Row| l.0.is_some() && l.0 == r.0;
        for l in &left {
            expected.extend(
                right.iter().filter(|r| equal(l, r)).map(|r| format!("{start} {} {}", l.1, r.1)),
            );
            if matches!(join_type, JoinType::Left | JoinType::Full)
                && !right.iter().any(|r| equal(l, r))
            {
                expected.push(format!("{start} {} null", l.1));
            }
        }
        for r in &right {
            if matches!(join_type, JoinType::Right | JoinType::Full)
                && !left.iter().any(|l| equal(l, r))
            {
                expected.push(format!("{start} null {}", r.1));
            }
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
        window in prop::sample::select(vec![(10, 10), (12, 4), (10, 4), (7, 7)]),
        batch in 1..20_usize,
        watermark in 0..60_i64,
        parallelism in 1..4_u32,
    ) {
        let left_schema = schema("k BIGINT, v BIGINT, t BIGINT");
        let right_schema = schema("k BIGINT, w BIGINT, u BIGINT");
        let (size_ms, slide_ms) = window;
        let spec = spec(join_type, Some(Window::Hopping { size_ms, slide_ms, offset_ms: 0 }));
        let make = || -> Result<Box<dyn Operator>> {
            Ok(Box::new(WindowJoinOperator::new(&spec, &left_schema, &right_schema)?))
        };
        let mut harness = Harness::new(&make, vec![vec![0], vec![0]]);
        let feed = |harness: &mut Harness<'_>, old: bool| {
            for (port, input, schema) in [(0, &left, &left_schema), (1, &right, &right_schema)] {
                let input: Vec<String> =
                    input.iter().filter(|row| (row.2 <= watermark) == old).map(text).collect();
                for lines in input.chunks(batch) {
                    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
                    harness.process(port, &rows(schema, &lines)).unwrap();
                }
            }
        };
        // Rows up to the watermark first, so that none is late.
        feed(&mut harness, true);
        harness.watermark(Watermark(watermark)).unwrap();
        harness.restore(parallelism).unwrap();
        feed(&mut harness, false);
        harness.end().unwrap();
        prop_assert_eq!(harness.late_records(), 0);
        let mut actual = Vec::new();
        for output in harness.take_batches() {
            let starts = longs(output.column(6));
            let (v, w) = (output.column(1).as_primitive::<Int64Type>(), output.column(4).as_primitive::<Int64Type>());
            for (row, start) in starts.iter().enumerate() {
                let cell = |a: &arrow::array::Int64Array| {
                    if arrow::array::Array::is_null(a, row) { "null".into() } else { a.value(row).to_string() }
                };
                actual.push(format!("{start} {} {}", cell(v), cell(w)));
            }
        }
        actual.sort();
        prop_assert_eq!(actual, brute_force(&left, &right, join_type, window));
    }
}

#[test]
fn semi_and_anti_joins_bring_left_rows_once() {
    // The index is over the left side first, then over the right one.
    let rows = "
        > a 1 @1s
        > b 2 @2s
        > null 3 @3s
        >1 a 7 @2s
        >1 a 8 @3s
        > a 4 @11s
        >1 a 5 @12s
        >1 a 5 @13s
        > end";
    let semi = "
        < a 1 @1s @0s @10s
        < a 4 @11s @10s @20s
        < watermark max";
    let anti = "
        < b 2 @2s @0s @10s
        < null 3 @3s @0s @10s
        < watermark max";
    for (join_type, expected) in [(JoinType::Semi, semi), (JoinType::Anti, anti)] {
        let script = format!("{rows}{expected}");
        check(|| join(join_type, TUMBLING), &[schema(LEFT), schema(RIGHT)], &script);
    }
}
