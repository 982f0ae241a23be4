//! The temporal join by script.

use super::*;
use crate::operators::script::{TestExpressions, check_keyed, schema};

fn run(spec: &TemporalJoin, left: &str, right: &str, script: &str) {
    let inputs = [schema(left), schema(right)];
    let make = || -> Result<Box<dyn Operator>> {
        Ok(Box::new(TemporalJoinOperator::new(spec, &inputs[0], &inputs[1], &TestExpressions)?))
    };
    check_keyed(make, &inputs, &[&["k"], &["k"]], script);
}

fn spec(event_time: bool, join_type: JoinType) -> TemporalJoin {
    let time = event_time.then(|| "t".to_owned());
    TemporalJoin {
        left_keys: vec!["k".into()],
        right_keys: vec!["k".into()],
        left_time: time.clone(),
        right_time: time,
        join_type,
        right_prefix: "r_".into(),
        ..TemporalJoin::default()
    }
}

#[test]
fn the_version_of_the_rows_own_time_counts() {
    let script = "
        >1 +I a 1 @1s
        >1 -U a 1 @1s
        >1 +U a 2 @5s
        > a @500ms
        > a @1s
        > a @4s
        > a @7s
        > null @7s
        > watermark 4s
        < a @500ms null null null
        < a @1s a 1 @1s
        < a @4s a 1 @1s
        < watermark 4s
        >1 +U a 3 @6s
        >1 -D a 3 @8s
        > a @9s
        > restore 2
        > watermark 10s
        < a @7s a 3 @6s
        < null @7s null null null
        < a @9s null null null
        < watermark 10s
        > restore 1
        > a @11s
        >1 +I a 4 @11s
        > end
        < a @11s a 4 @11s
        < watermark max";
    let (left, right) = ("k STRING, t TIMESTAMP", "k STRING, v BIGINT, t TIMESTAMP, $row_kind");
    run(&spec(true, JoinType::Left), left, right, script);
}

#[test]
fn in_processing_time_the_newest_version_counts() {
    let script = "
        > a 1
        >1 +I a 10
        > a 2
        < a 2 a 10
        >1 -U a 10
        >1 +U a 3
        > a 0
        > restore
        > a 4
        < a 4 a 3
        >1 -D a 3
        > a 5";
    let spec = TemporalJoin { predicate: Some("v > 1".into()), ..spec(false, JoinType::Inner) };
    run(&spec, "k STRING, v BIGINT", "k STRING, w BIGINT, $row_kind", script);
}
