use model::operator_spec::{AggregateCall, AggregateFunction};

use super::*;
use crate::operators::aggregate_oracle::{Random, Row, WindowOracle, batch, calls, input};
use crate::operators::script::{Harness, check, schema};

fn spec(window: Window, keys: &[&str], aggregates: Vec<AggregateCall>) -> WindowAggregate {
    WindowAggregate {
        keys: keys.iter().map(ToString::to_string).collect(),
        time_column: "t".into(),
        processing_time: false,
        window,
        aggregates,
        allowed_lateness_ms: 0,
        late_output: false,
        stage: AggregateStage::Single,
    }
}

fn call(function: AggregateFunction, column: Option<&str>, name: &str) -> AggregateCall {
    let column = column.map(Into::into);
    AggregateCall { function, column, name: name.into(), ..AggregateCall::default() }
}

fn count() -> Vec<AggregateCall> {
    vec![call(AggregateFunction::Count, None, "n")]
}

const TUMBLING: Window = Window::Tumbling { size_ms: 10_000, offset_ms: 0 };
const HOPPING: Window = Window::Hopping { size_ms: 10_000, slide_ms: 5_000, offset_ms: 0 };

#[test]
fn tumbling_windows_fire_once_closed_and_late_rows_go_aside() {
    let input = schema("k STRING, t TIMESTAMP");
    let mut spec = spec(TUMBLING, &["k"], count());
    spec.late_output = true;
    check(
        || window_aggregate(&spec, &schema("k STRING, t TIMESTAMP")),
        &[input],
        "
        > a @1s
        > a @9999ms
        > b @2s
        > a @10s
        > watermark 9998ms
        < watermark 9998ms
        > watermark 9999ms
        < a @0s @10s 2
        < b @0s @10s 1
        < watermark 9999ms
        > c @9s
        > a @11s
        <side c @9s
        > restore
        > c @9s
        <side c @9s
        > end
        < a @10s @20s 2
        < watermark max
        ",
    );
}

#[test]
fn hopping_windows_share_panes_and_drop_keys_without_rows() {
    check(
        || window_aggregate(&spec(HOPPING, &["k"], count()), &schema("k STRING, t TIMESTAMP")),
        &[schema("k STRING, t TIMESTAMP")],
        "
        > a @1s
        > b @6s
        > watermark 5s
        < a @-5s @5s 1
        < watermark 5s
        > watermark 12s
        < a @0s @10s 1
        < b @0s @10s 1
        < watermark 12s
        > a @8s
        > a @3s
        > restore
        > watermark 14999ms
        < b @5s @15s 1
        < a @5s @15s 1
        < watermark 14999ms
        > b @60s
        > end
        < b @55s @65s 1
        < b @60s @70s 1
        < watermark max
        ",
    );
}

/// 3 s is late for no window but the closed ones: it must not be in any.
#[test]
fn within_the_lateness_windows_fire_again() {
    let mut spec = spec(TUMBLING, &["k"], count());
    spec.allowed_lateness_ms = 5_000;
    check(
        || window_aggregate(&spec, &schema("k STRING, t TIMESTAMP")),
        &[schema("k STRING, t TIMESTAMP")],
        "
        > a @1s
        > b @1s
        > watermark 12s
        < a @0s @10s 1
        < b @0s @10s 1
        < watermark 7s
        > a @3s
        > c @4s
        > a @5s
        < a @0s @10s 3
        < c @0s @10s 1
        > watermark 15s
        < watermark 10s
        > a @6s
        > end
        < watermark max
        ",
    );
}

#[test]
fn windows_without_keys_are_one_group() {
    let calls = vec![
        call(AggregateFunction::Count, None, "n"),
        call(AggregateFunction::Max, Some("k"), "m"),
    ];
    check(
        || window_aggregate(&spec(HOPPING, &[], calls.clone()), &schema("k STRING, t BIGINT")),
        &[schema("k STRING, t BIGINT")],
        "
        > a 1000
        > b 6000
        > null 7000
        > restore
        > end
        < @-5s @5s 1 a
        < @0s @10s 3 b
        < @5s @15s 2 b
        < watermark max
        ",
    );
}

#[test]
fn a_row_without_time_is_the_users_error() {
    let make = || window_aggregate(&spec(TUMBLING, &[], count()), &schema("t TIMESTAMP"));
    let mut harness = Harness::new(&make, vec![vec![]]);
    let rows = crate::operators::script::rows(&schema("t TIMESTAMP"), &["null"]);
    let error = harness.process(0, &rows).unwrap_err();
    assert_eq!(error.kind(), model::ErrorKind::User);
    assert!(error.message().contains("`t`"), "{error}");
}

/// Output rows, sorted; without watermarks and late rows.
fn results(harness: &mut Harness<'_>) -> Vec<String> {
    let mut lines = harness.take_lines();
    lines.retain(|line| !line.starts_with("watermark") && !line.starts_with("side"));
    lines.sort();
    lines
}

/// Random rows around a rising watermark, with restores at any parallelism, against the
/// oracle after every step.
fn fuzz(seed: u64, window: Window, lateness: i64, keys: &[&str], exact: bool) {
    let mut random = Random(seed);
    let mut oracle = WindowOracle::new(window, lateness, keys, exact);
    let mut spec = spec(window, keys, calls(exact));
    spec.allowed_lateness_ms = lateness;
    let make = || window_aggregate(&spec, &input());
    let indices = keys.iter().map(|key| input().index_of(key).unwrap()).collect();
    let mut harness = Harness::new(&make, vec![indices]);
    let (mut now, mut late) = (0, 0);
    for step in 0..60 {
        let rows: Vec<Row> = (0..=random.below(12))
            .map(|_| {
                let time = now + random.below(60) as i64 - 40;
                Row::random(&mut random, time)
            })
            .collect();
        let mut expected = oracle.process(&rows);
        harness.process(0, &batch(&rows)).unwrap();
        expected.sort();
        assert_eq!(
            results(&mut harness),
            expected,
            "seed {seed} step {step}: {window:?}, {rows:#?}"
        );
        if random.below(3) == 0 {
            now += random.below(30) as i64;
            let watermark = Watermark(now - 20);
            let watermark = if step == 59 { Watermark::MAX } else { watermark };
            if watermark > oracle.watermark {
                let mut expected = oracle.advance(watermark);
                expected.sort();
                harness.watermark(watermark).unwrap();
                assert_eq!(results(&mut harness), expected, "seed {seed} step {step}: {window:?}");
            }
        }
        if random.below(8) == 0 {
            late += harness.late_records();
            harness.restore(if keys.is_empty() { 1 } else { 1 + random.below(3) as u32 }).unwrap();
        }
    }
    let mut expected = oracle.advance(Watermark::MAX);
    expected.sort();
    harness.end().unwrap();
    assert_eq!(results(&mut harness), expected, "seed {seed} end: {window:?}");
    assert_eq!(late + harness.late_records(), oracle.late, "seed {seed}: {window:?}");
    assert!(harness.is_state_empty(), "seed {seed}: {window:?}");
}

const KEYS: [&[&str]; 4] = [&["k"], &["k", "g"], &[], &["g"]];

fn windows() -> Vec<Window> {
    let hop = |size_ms, slide_ms, offset_ms| Window::Hopping { size_ms, slide_ms, offset_ms };
    vec![
        Window::Tumbling { size_ms: 10, offset_ms: 0 },
        Window::Tumbling { size_ms: 7, offset_ms: -3 },
        hop(10, 2, 0),
        hop(10, 4, 1),
        hop(6, 9, 2),
        hop(40, 5, 0),
        Window::Session { gap_ms: 3 },
        Window::Session { gap_ms: 600 },
    ]
}

#[test]
fn random_rows_agree_with_the_oracle() {
    for seed in 0..8 {
        for window in windows() {
            for lateness in [0, 15] {
                let keys = KEYS[seed as usize % KEYS.len()];
                fuzz(seed, window, lateness, keys, seed % 3 == 0);
            }
        }
    }
}

/// The same through two stages: whatever the local one held back and combined.
#[test]
fn two_stages_agree_with_the_oracle() {
    for seed in 0..8 {
        for window in windows() {
            if !matches!(window, Window::Session { .. }) {
                fuzz_two_stages(seed, window, KEYS[seed as usize % KEYS.len()], seed % 2 == 0);
            }
        }
    }
}

fn fuzz_two_stages(seed: u64, window: Window, keys: &[&str], exact: bool) {
    let mut random = Random(seed);
    let mut oracle = WindowOracle::new(window, 0, keys, exact);
    let mut local_spec = spec(window, keys, calls(exact));
    local_spec.stage = AggregateStage::Local;
    let partial = window_aggregate_schema(&local_spec, &input()).unwrap();
    let mut global_spec = local_spec.clone();
    global_spec.stage = AggregateStage::Global;
    let make_local = || window_aggregate(&local_spec, &input());
    let make_global = || window_aggregate(&global_spec, &partial);
    let mut local = Harness::new(&make_local, vec![vec![]]);
    let mut global = Harness::new(&make_global, vec![(0..keys.len()).collect()]);
    let forward = |local: &mut Harness<'_>, global: &mut Harness<'_>| {
        for batch in local.take_batches() {
            global.process(0, &batch).unwrap();
        }
    };
    let mut now = 0;
    for step in 0..60 {
        // A row that is late when it comes may still be held back, so that only counts differ.
        let rows: Vec<Row> = (0..=random.below(12))
            .map(|_| {
                let time = now + random.below(60) as i64 - 40;
                Row::random(&mut random, time)
            })
            .collect();
        assert!(oracle.process(&rows).is_empty());
        local.process(0, &batch(&rows)).unwrap();
        if random.below(3) == 0 {
            now += random.below(30) as i64;
            let watermark = Watermark(now - 20);
            if watermark > oracle.watermark {
                let mut expected = oracle.advance(watermark);
                expected.sort();
                local.watermark(watermark).unwrap();
                forward(&mut local, &mut global);
                global.watermark(watermark).unwrap();
                assert_eq!(results(&mut global), expected, "seed {seed} step {step}: {window:?}");
            }
        }
        if random.below(8) == 0 {
            local.flush().unwrap();
            forward(&mut local, &mut global);
            global.restore(if keys.is_empty() { 1 } else { 1 + random.below(3) as u32 }).unwrap();
        }
    }
    let mut expected = oracle.advance(Watermark::MAX);
    expected.sort();
    local.end().unwrap();
    forward(&mut local, &mut global);
    global.end().unwrap();
    assert_eq!(results(&mut global), expected, "seed {seed} end: {window:?}");
    assert!(global.is_state_empty());
}

/// More groups than the local stage holds, in more than one output batch.
#[test]
fn many_keys_leave_in_batches() {
    let input = schema("g BIGINT, t BIGINT");
    let mut local = spec(TUMBLING, &["g"], count());
    local.stage = AggregateStage::Local;
    let partial = window_aggregate_schema(&local, &input).unwrap();
    let mut global = local.clone();
    global.stage = AggregateStage::Global;
    let (make_local, make_global) =
        (|| window_aggregate(&local, &input), || window_aggregate(&global, &partial));
    let mut first = Harness::new(&make_local, vec![vec![]]);
    let mut second = Harness::new(&make_global, vec![vec![0]]);
    for part in 0..6_i64 {
        let keys: ArrayRef = Arc::new(arrow::array::Int64Array::from_iter_values(
            (0..8000).map(|i| part * 6000 + i),
        ));
        let times: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![5; 8000]));
        let rows = RecordBatch::try_new(Arc::clone(&input), vec![keys, times]).unwrap();
        first.process(0, &rows).unwrap();
    }
    let early = first.take_batches();
    assert!(early.iter().map(RecordBatch::num_rows).sum::<usize>() > 32 << 10);
    first.flush().unwrap();
    for batch in early.into_iter().chain(first.take_batches()) {
        second.process(0, &batch).unwrap();
    }
    second.end().unwrap();
    let total: i64 = second
        .take_batches()
        .iter()
        .flat_map(|b| b.column(3).to_data().buffer::<i64>(0)[..b.num_rows()].to_vec())
        .sum();
    assert_eq!(total, 48_000);
}

#[test]
fn cumulating_windows_grow_by_their_step() {
    let window = Window::Cumulating { step_ms: 5_000, size_ms: 15_000, offset_ms: 0 };
    let calls = vec![
        call(AggregateFunction::Count, None, "n"),
        call(AggregateFunction::Max, Some("v"), "m"),
    ];
    let spec = spec(window, &["k"], calls);
    let input = schema("k STRING, t TIMESTAMP, v BIGINT");
    check(
        || window_aggregate(&spec, &schema("k STRING, t TIMESTAMP, v BIGINT")),
        &[input],
        "
        > a @1s 5
        > a @11s 3
        > b @7s 1
        > a @16s 9
        > watermark 5s
        < a @0s @5s 1 5
        < watermark 5s
        > a @6s 7
        > restore
        > watermark 20s
        < a @0s @10s 2 7
        < b @0s @10s 1 1
        < a @0s @15s 3 7
        < b @0s @15s 1 1
        < a @15s @20s 1 9
        < watermark 20s
        > b @17s 2
        > end
        < a @15s @25s 1 9
        < b @15s @25s 1 2
        < a @15s @30s 1 9
        < b @15s @30s 1 2
        < watermark max",
    );
}

#[test]
fn windows_of_processing_time_fire_by_the_clock() {
    let mut spec = spec(TUMBLING, &["k"], count());
    spec.processing_time = true;
    spec.time_column = String::new();
    let input = schema("k STRING");
    check(
        || window_aggregate(&spec, &schema("k STRING")),
        &[input],
        "
        > wakeup 12s
        > a
        > a
        > watermark max
        < watermark max
        > wakeup 19s
        > restore
        > b
        > wakeup 20s
        < a @10s @20s 2
        < b @10s @20s 1
        > wakeup 25s
        > a
        > end
        < a @20s @30s 1",
    );
}

#[test]
fn attached_windows_are_those_of_the_rows() {
    let mut spec = spec(Window::Attached, &["k"], count());
    spec.time_column = String::new();
    let columns = "k STRING, window_start TIMESTAMP, window_end TIMESTAMP";
    check(
        || window_aggregate(&spec, &schema(columns)),
        &[schema(columns)],
        "
        > a @0s @10s
        > a @5s @10s
        > a @0s @10s
        > b @10s @20s
        > watermark 9999ms
        < a @0s @10s 2
        < a @5s @10s 1
        < watermark 9999ms
        > a @0s @10s
        > restore 2
        > end
        < b @10s @20s 1
        < watermark max",
    );
}
