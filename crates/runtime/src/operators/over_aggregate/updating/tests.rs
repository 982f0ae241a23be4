//! OVER aggregates of rows that change, by script, and against the definition on random
//! changes.

use std::collections::BTreeMap;

use model::operator_spec::{AggregateFunction, OrderBy, OverCall};

use super::*;
use crate::operators::aggregate_oracle::Random;
use crate::operators::script::{Harness, check_keyed, rows, schema};

fn aggregate(function: AggregateFunction, name: &str) -> OverCall {
    let call = AggregateCall { function, column: Some("v".into()), ..AggregateCall::default() };
    OverCall { name: name.into(), function: OverFunction::Aggregate(call) }
}

fn spec(unit: OverUnit, preceding: Option<i64>, calls: Vec<OverCall>) -> OverAggregate {
    OverAggregate {
        keys: vec!["k".into()],
        order_by: vec![OrderBy { column: "o".into(), descending: false }],
        unit,
        preceding,
        calls,
        ..OverAggregate::default()
    }
}

const COLUMNS: &str = "k STRING, o BIGINT, v BIGINT, $row_kind";

fn run(spec: &OverAggregate, columns: &str, script: &str) {
    let input = schema(columns);
    let make =
        || -> Result<Box<dyn Operator>> { Ok(Box::new(UpdatingOverOperator::new(spec, &input)?)) };
    check_keyed(make, std::slice::from_ref(&input), &[&["k"]], script);
}

#[test]
fn a_row_in_the_middle_changes_those_whose_frame_it_enters() {
    let script = "
        > +I a 1 10
        > +I a 3 30
        > +I a 4 40
        > +I a 9 90
        > +I b 1 1
        < +I a 1 10 10
        < +I a 3 30 40
        < +I a 4 40 70
        < +I a 9 90 130
        < +I b 1 1 1
        > +I a 2 20
        < +I a 2 20 30
        < -U a 3 30 40
        < +U a 3 30 50
        > restore
        > -D a 3 30
        < -D a 3 30 50
        < -U a 4 40 70
        < +U a 4 40 60
        > -U a 9 90
        > +U a 0 5
        < -D a 9 90 130
        < +I a 0 5 5
        < -U a 1 10 10
        < +U a 1 10 15
        > restore
        > -D b 1 1
        < -D b 1 1 1";
    let calls = vec![aggregate(AggregateFunction::Sum, "s")];
    run(&spec(OverUnit::Rows, Some(1), calls), COLUMNS, script);
}

#[test]
fn inserts_in_any_order_give_a_changelog_with_peers_ranks_and_lags() {
    let number = |function, name: &str| OverCall { name: name.into(), function };
    let lag = OverFunction::Lag { column: "v".into(), offset: 1, default: None };
    let calls = vec![
        aggregate(AggregateFunction::Sum, "s"),
        number(OverFunction::RowNumber, "n"),
        number(OverFunction::Rank, "r"),
        number(OverFunction::DenseRank, "d"),
        number(lag, "l"),
    ];
    let script = "
        > a 5 1
        < +I a 5 1 1 1 1 1 null
        > a 5 2
        < -U a 5 1 1 1 1 1 null
        < +U a 5 1 3 1 1 1 null
        < +I a 5 2 3 2 1 1 1
        > restore
        > a 7 4
        < +I a 7 4 7 3 3 2 2
        > a 6 8
        < +I a 6 8 11 3 3 2 2
        < -U a 7 4 7 3 3 2 2
        < +U a 7 4 15 4 4 3 8";
    run(&spec(OverUnit::Range, None, calls), "k STRING, o BIGINT, v BIGINT", script);
}

/// The rows of a table with their sum, minimum and row before, by definition.
fn naive(spec: &OverAggregate, table: &[(String, i64, i64)]) -> Vec<String> {
    let mut by_key: BTreeMap<&str, Vec<(i64, i64)>> = BTreeMap::new();
    for (key, order, value) in table {
        by_key.entry(key).or_default().push((*order, *value));
    }
    let mut lines = Vec::new();
    for (key, mut all) in by_key {
        all.sort_by_key(|(order, _)| *order);
        for (at, (order, value)) in all.iter().enumerate() {
            let end = match spec.unit {
                OverUnit::Rows => at + 1,
                OverUnit::Range => all.partition_point(|(other, _)| other <= order),
            };
            let start = spec.preceding.map_or(0, |n| at.saturating_sub(n as usize));
            let frame = || all[start..end].iter().map(|(_, v)| *v);
            let before = match at.checked_sub(2) {
                Some(two) => all[two].1.to_string(),
                None => "null".to_owned(),
            };
            let (sum, least) = (frame().sum::<i64>(), frame().min().unwrap());
            let mut line = format!("{key} {order} {value} {sum} {least} {before}");
            if spec.calls.len() > 3 {
                let behind = all.get(at + 3).map_or(*order, |(_, v)| *v);
                line.push_str(&format!(" {behind}"));
            }
            if spec.calls.len() > 4 {
                let smaller = all.iter().filter(|(other, _)| other < order).count() as f64;
                let equal = all.iter().filter(|(other, _)| other == order).count() as f64;
                let share = smaller / (all.len() as f64 - 1.0).max(1.0);
                // Parts are dealt out like cards, then put in order.
                let mut parts: Vec<usize> = (0..all.len()).map(|row| row % 3 + 1).collect();
                parts.sort_unstable();
                let up_to = (smaller + equal) / all.len() as f64;
                line.push_str(&format!(" {share:?} {up_to:?} {}", parts[at]));
            }
            lines.push(line);
        }
    }
    lines.sort();
    lines
}

#[test]
fn random_changes_agree_with_the_definition() {
    let frames = [
        (OverUnit::Rows, Some(0)),
        (OverUnit::Rows, Some(3)),
        (OverUnit::Rows, None),
        (OverUnit::Range, None),
    ];
    let name = |name: &str, function| OverCall { name: name.into(), function };
    let default = Some("o".to_owned());
    let lead = OverFunction::Lead { column: "v".into(), offset: 3, default };
    let lead = vec![name("lead", lead)];
    let mut all = lead.clone();
    all.push(name("p", OverFunction::PercentRank));
    all.push(name("c", OverFunction::CumeDist));
    all.push(name("t", OverFunction::Ntile { parts: 3 }));
    for more in [Vec::new(), lead, all] {
        frames.iter().for_each(|frame| random_changes(*frame, &more));
    }
}

fn random_changes((unit, preceding): (OverUnit, Option<i64>), more: &[OverCall]) {
    let lag = OverFunction::Lag { column: "v".into(), offset: 2, default: None };
    let calls = vec![
        aggregate(AggregateFunction::Sum, "s"),
        aggregate(AggregateFunction::Min, "m"),
        OverCall { name: "l".into(), function: lag },
    ];
    let calls = calls.into_iter().chain(more.iter().cloned()).collect();
    let spec = spec(unit, preceding, calls);
    let input = schema(COLUMNS);
    let make =
        || -> Result<Box<dyn Operator>> { Ok(Box::new(UpdatingOverOperator::new(&spec, &input)?)) };
    let mut random = Random(11);
    let mut harness = Harness::new(&make, vec![vec![0]]);
    let mut table: Vec<(String, i64, i64)> = Vec::new();
    let mut live: BTreeMap<String, i64> = BTreeMap::new();
    for round in 0..60 {
        let mut batch = Vec::new();
        for _ in 0..random.below(9) + 1 {
            if random.below(3) == 0 && !table.is_empty() {
                let (k, o, v) = table.remove(random.below(table.len() as u64) as usize);
                batch.push(format!("-D {k} {o} {v}"));
            } else {
                // Equal in order, but never whole: which of them came first would matter.
                let key = format!("k{}", random.below(2));
                let row = (key, random.below(25) as i64, round * 100 + batch.len() as i64);
                batch.push(format!("+I {} {} {}", row.0, row.1, row.2));
                table.push(row);
            }
        }
        let text: Vec<&str> = batch.iter().map(String::as_str).collect();
        harness.process(0, &rows(&input, &text)).unwrap();
        for line in harness.take_lines() {
            let (kind, row) = line.split_once(' ').unwrap();
            let change = if kind.starts_with('+') { 1 } else { -1 };
            *live.entry(row.to_owned()).or_default() += change;
        }
        live.retain(|_, count| *count != 0);
        let mut found = Vec::new();
        for (row, count) in &live {
            assert!(*count > 0, "{row} was taken back, but never given");
            found.extend(std::iter::repeat_n(row.clone(), *count as usize));
        }
        assert_eq!(found, naive(&spec, &table), "{unit:?} {preceding:?} round {round}");
        if round % 7 == 0 {
            harness.restore(1 + random.below(3) as u32).unwrap();
        }
    }
}
