//! OVER aggregates by script, and against a plain computation on random rows.

use model::operator_spec::{AggregateFunction, OverCall};

use super::*;
use crate::operators::aggregate_oracle::Random;
use crate::operators::script::{Harness, check_keyed, rows, schema};

fn aggregate(function: AggregateFunction, column: Option<&str>, name: &str) -> OverCall {
    let column = column.map(Into::into);
    let call = AggregateCall { function, column, ..AggregateCall::default() };
    OverCall { name: name.into(), function: OverFunction::Aggregate(call) }
}

fn spec(unit: OverUnit, preceding: Option<i64>) -> OverAggregate {
    use AggregateFunction as F;
    OverAggregate {
        keys: vec!["k".into()],
        time_column: Some("t".into()),
        order_by: Vec::new(),
        unit,
        preceding,
        calls: vec![
            aggregate(F::Sum, Some("v"), "s"),
            aggregate(F::Min, Some("v"), "m"),
            aggregate(F::Count, None, "n"),
        ],
        ttl_ms: None,
    }
}

const COLUMNS: &str = "k STRING, t TIMESTAMP, v BIGINT";

fn run(spec: &OverAggregate, columns: &str, script: &str) {
    let input = schema(columns);
    let make =
        || -> Result<Box<dyn Operator>> { Ok(Box::new(OverAggregateOperator::new(spec, &input)?)) };
    check_keyed(make, std::slice::from_ref(&input), &[&["k"]], script);
}

#[test]
fn frames_grow_in_order_of_time_and_peers_see_each_other() {
    let script = "
        > a @3s 3
        > a @1s 5
        > a @1s 7
        > b @2s 1
        > watermark 2s
        < a @1s 5 12 5 2
        < a @1s 7 12 5 2
        < b @2s 1 1 1 1
        < watermark 2s
        > a @2s 100
        > restore 2
        > watermark 3s
        < a @3s 3 15 3 3
        < watermark 3s";
    run(&spec(OverUnit::Range, None), COLUMNS, script);
}

#[test]
fn ranks_and_lags_follow_arrival_in_processing_time() {
    let lag = |offset, name: &str, default: Option<&str>| {
        let (column, default) = ("v".into(), default.map(str::to_owned));
        OverCall { name: name.into(), function: OverFunction::Lag { column, offset, default } }
    };
    let number = OverCall { name: "r".into(), function: OverFunction::RowNumber };
    let spec = OverAggregate {
        keys: vec!["k".into()],
        calls: vec![number, lag(1, "one", None), lag(2, "two", Some("v"))],
        ..OverAggregate::default()
    };
    let script = "
        > a 1
        > b 9
        > a 2
        < a 1 1 null 1
        < b 9 1 null 9
        < a 2 2 1 2
        > restore
        > a 3
        > a 4
        < a 3 3 2 1
        < a 4 4 3 2";
    run(&spec, "k STRING, v BIGINT", script);
}

/// Rows in order of arrival with their results by definition.
fn naive(spec: &OverAggregate, all: &[(String, i64, i64)]) -> Vec<String> {
    let mut sorted: Vec<&(String, i64, i64)> = all.iter().collect();
    sorted.sort_by_key(|(_, t, _)| *t);
    let mut lines = Vec::new();
    for (at, (k, t, v)) in sorted.iter().copied().enumerate() {
        let before = sorted.iter().enumerate().filter(|(_, row)| row.0 == *k);
        let mut frame: Vec<i64> = match (spec.unit, spec.preceding) {
            (OverUnit::Range, ms) => before
                .filter(|(_, row)| row.1 <= *t && ms.is_none_or(|ms| row.1 >= *t - ms))
                .map(|(_, row)| row.2)
                .collect(),
            (OverUnit::Rows, _) => {
                before.filter(|(other, _)| *other <= at).map(|(_, row)| row.2).collect()
            }
        };
        if let (OverUnit::Rows, Some(count)) = (spec.unit, spec.preceding) {
            frame.drain(..frame.len().saturating_sub(count as usize + 1));
        }
        let (sum, min) = (frame.iter().sum::<i64>(), frame.iter().min().unwrap());
        lines.push(format!("{k} {t} {v} {sum} {min} {}", frame.len()));
    }
    lines.sort();
    lines
}

#[test]
fn random_rows_agree_with_the_definition() {
    for (unit, preceding) in [
        (OverUnit::Range, None),
        (OverUnit::Rows, None),
        (OverUnit::Rows, Some(0)),
        (OverUnit::Rows, Some(3)),
        (OverUnit::Range, Some(700)),
        (OverUnit::Range, Some(0)),
    ] {
        let spec = spec(unit, preceding);
        let columns = "k STRING, t BIGINT, v BIGINT";
        let input = schema(columns);
        let make = || -> Result<Box<dyn Operator>> {
            Ok(Box::new(OverAggregateOperator::new(&spec, &input)?))
        };
        let mut random = Random(3);
        let mut harness = Harness::new(&make, vec![vec![0]]);
        let (mut all, mut lines) = (Vec::new(), Vec::new());
        for round in 0..20_i64 {
            let batch: Vec<(String, i64, i64)> = (0..random.below(12) + 1)
                .map(|_| {
                    let key = format!("k{}", random.below(3));
                    // Times of the rounds overlap, but not with what the watermark passed.
                    (key, round * 300 + random.below(600) as i64 + 1, random.below(50) as i64)
                })
                .collect();
            let text: Vec<String> = batch.iter().map(|(k, t, v)| format!("{k} {t} {v}")).collect();
            let text: Vec<&str> = text.iter().map(String::as_str).collect();
            harness.process(0, &rows(&input, &text)).unwrap();
            all.extend(batch);
            harness.watermark(Watermark(round * 300 + 300)).unwrap();
            lines.extend(harness.take_lines());
            if round % 4 == 0 {
                harness.restore(1 + random.below(3) as u32).unwrap();
            }
        }
        harness.end().unwrap();
        lines.extend(harness.take_lines());
        lines.retain(|line| !line.starts_with("watermark"));
        lines.sort();
        assert_eq!(lines, naive(&spec, &all), "{unit:?} {preceding:?}");
    }
}
