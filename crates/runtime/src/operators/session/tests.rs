//! Random rows are in `window_aggregate/tests.rs`, for all kinds of windows.

use model::operator_spec::{AggregateCall, AggregateFunction, AggregateStage, Window};

use super::*;
use crate::operators::script::{check, schema};
use crate::operators::window_aggregate::window_aggregate;

fn spec(lateness: i64) -> WindowAggregate {
    let call = |function, column: Option<&str>, name: &str| AggregateCall {
        function,
        column: column.map(Into::into),
        name: name.into(),
        ..AggregateCall::default()
    };
    WindowAggregate {
        keys: vec!["k".into()],
        time_column: "t".into(),
        processing_time: false,
        window: Window::Session { gap_ms: 10_000 },
        aggregates: vec![
            call(AggregateFunction::Count, None, "n"),
            call(AggregateFunction::CountDistinct, Some("v"), "d"),
            call(AggregateFunction::Last, Some("v"), "l"),
        ],
        allowed_lateness_ms: lateness,
        late_output: true,
        stage: AggregateStage::Single,
    }
}

const INPUT: &str = "k STRING, v BIGINT, t TIMESTAMP";

#[test]
fn rows_a_gap_apart_share_a_session_and_late_rows_may_join_an_open_one() {
    check(
        || window_aggregate(&spec(0), &schema(INPUT)),
        &[schema(INPUT)],
        "
        > a 1 @0s
        > a 2 @20s
        > b 7 @1s
        > watermark 9998ms
        < watermark 9998ms
        > a 1 @10s
        > restore
        > watermark 20s
        < b @1s @11s 1 1 7
        < watermark 20s
        > a 3 @1s
        > b 1 @10s
        <side b 1 @10s
        > watermark 29999ms
        < a @0s @30s 4 3 2
        < watermark 29999ms
        > a 4 @19999ms
        <side a 4 @19999ms
        > a 4 @20s
        <side a 4 @20s
        > a 4 @20001ms
        > end
        < a @20001ms @30001ms 1 1 4
        < watermark max
        ",
    );
}

#[test]
fn within_the_lateness_sessions_fire_again_and_reopen() {
    check(
        || window_aggregate(&spec(5_000), &schema(INPUT)),
        &[schema(INPUT)],
        "
        > a 1 @0s
        > watermark 10s
        < a @0s @10s 1 1 1
        < watermark 5s
        > a 2 @-1s
        < a @-1s @10s 2 2 1
        > a 3 @9s
        > restore
        > watermark 15s
        < watermark 10s
        > watermark 18999ms
        < a @-1s @19s 3 3 3
        < watermark 13999ms
        > watermark 23999ms
        < watermark 18999ms
        > a 3 @8999ms
        <side a 3 @8999ms
        > end
        < watermark max
        ",
    );
}

#[test]
fn two_stages_are_refused() {
    let mut local = spec(0);
    local.stage = AggregateStage::Local;
    let error = window_aggregate(&local, &schema(INPUT)).err().unwrap();
    assert_eq!(error.kind(), model::ErrorKind::User);
}
