use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Float64Type};
use model::operator_spec::{AggregateCall, AggregateFunction};

use super::*;
use crate::operators::aggregate_oracle::{self as oracle, Random, Row};
use crate::operators::script::{Harness, check, check_keyed, rows, schema};

fn call(function: AggregateFunction, column: Option<&str>, name: &str) -> AggregateCall {
    let column = column.map(Into::into);
    AggregateCall { function, column, name: name.into(), ..AggregateCall::default() }
}

fn spec(keys: &[&str], aggregates: Vec<AggregateCall>) -> KeyedAggregate {
    KeyedAggregate {
        keys: keys.iter().map(ToString::to_string).collect(),
        aggregates,
        ..KeyedAggregate::default()
    }
}

#[test]
fn inserts_update_their_key_once_per_batch() {
    let spec = spec(&["k"], vec![call(AggregateFunction::Max, Some("v"), "m")]);
    check(
        || keyed_aggregate(&spec, &schema("k STRING, v BIGINT")),
        &[schema("k STRING, v BIGINT")],
        "
        > a 1
        > b 5
        > a 3
        < +I a 3
        < +I b 5
        > a 2
        > b 4
        > b 6
        < -U b 5
        < +U b 6
        > restore
        > a 4
        > null null
        < -U a 3
        < +U a 4
        < +I null null
        > end
        < watermark max
        ",
    );
}

#[test]
fn retractions_take_back_and_delete() {
    let spec = spec(
        &["k"],
        vec![
            call(AggregateFunction::Count, None, "n"),
            call(AggregateFunction::Min, Some("v"), "m"),
            call(AggregateFunction::Last, Some("v"), "l"),
        ],
    );
    let input = "k STRING, v BIGINT, $row_kind";
    check(
        || keyed_aggregate(&spec, &schema(input)),
        &[schema(input)],
        "
        > +I a 1
        > +I a 2
        > +I b 1
        < +I a 2 1 2
        < +I b 1 1 1
        > -U a 1
        > +U a 3
        < -U a 2 1 2
        < +U a 2 2 3
        > restore
        > -D a 3
        < -U a 2 2 3
        < +U a 1 2 2
        > -D a 2
        > -U b 1
        > +U b 1
        < -D a 1 2 2
        > +I a 9
        > -D c 4
        < +I a 1 9 9
        > -D a 9
        > +I c 1
        > -D c 1
        < -D a 1 9 9
        ",
    );
}

#[test]
fn a_key_without_aggregates_comes_and_goes() {
    let input = "k STRING, $row_kind";
    check(
        || keyed_aggregate(&spec(&["k"], vec![]), &schema(input)),
        &[schema(input)],
        "
        > +I a
        > +I a
        < +I a
        > -D a
        > batch
        > -D a
        < -D a
        ",
    );
}

/// Applies a changelog; every change must fit what is there.
fn fold(table: &mut BTreeMap<String, String>, lines: Vec<String>, keys: usize) {
    for line in lines {
        let (kind, row) = line.split_at(2);
        let row = row.trim_start();
        let at = row.match_indices(' ').nth(keys.max(1) - 1).map_or(row.len(), |(at, _)| at);
        let (key, value) = if keys == 0 { ("", row) } else { row.split_at(at) };
        let (key, value) = (key.to_owned(), value.trim().to_owned());
        match kind {
            "+I" => assert_eq!(table.insert(key, value), None, "{line}"),
            "+U" => assert_ne!(table.insert(key, value.clone()), Some(value), "{line}"),
            "-U" => assert_eq!(table.get(&key), Some(&value), "{line}"),
            "-D" => assert_eq!(table.remove(&key), Some(value), "{line}"),
            other => panic!("{other}"),
        }
    }
}

/// Rows come, and with `retract` go, at random; the folded output must be the aggregate of
/// the rows that are there.
fn fuzz(seed: u64, keys: &[&str], retract: bool, by_time: bool) {
    let mut random = Random(seed);
    let columns = oracle::COLUMNS.to_owned() + if retract { ", $row_kind" } else { "" };
    let input = schema(&columns);
    let mut spec = spec(keys, oracle::calls(retract));
    if retract {
        // First and last of a changelog are tried below: a value may stand for several rows.
        spec.aggregates.extend([
            call(AggregateFunction::Min, Some("v"), "min"),
            call(AggregateFunction::Max, Some("s"), "max"),
        ]);
    }
    spec.time_column = by_time.then(|| "t".into());
    let make = || keyed_aggregate(&spec, &input);
    let indices = keys.iter().map(|key| input.index_of(key).unwrap()).collect();
    let mut harness = Harness::new(&make, vec![indices]);
    let (mut present, mut table): (Vec<Row>, _) = (Vec::new(), BTreeMap::new());
    for step in 0..50 {
        let mut lines = Vec::new();
        for _ in 0..=random.below(10) {
            if retract && !present.is_empty() && random.below(5) < 2 {
                let row = present.remove(random.below(present.len() as u64) as usize);
                lines.push(format!("{} {}", ["-D", "-U"][random.below(2) as usize], row.line()));
            } else {
                let time = random.below(40) as i64;
                let row = Row::random(&mut random, time);
                let kind = if retract { ["+I ", "+U "][random.below(2) as usize] } else { "" };
                lines.push(format!("{kind}{}", row.line()));
                present.push(row);
            }
        }
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        harness.process(0, &rows(&input, &lines)).unwrap();
        fold(&mut table, harness.take_lines(), keys.len());
        assert_eq!(table, expected(&present, keys, retract, by_time), "seed {seed} step {step}");
        if random.below(8) == 0 {
            harness.restore(if keys.is_empty() { 1 } else { 1 + random.below(3) as u32 }).unwrap();
        }
    }
}

fn expected(
    present: &[Row],
    keys: &[&str],
    retract: bool,
    by_time: bool,
) -> BTreeMap<String, String> {
    let mut groups: BTreeMap<String, Vec<&Row>> = BTreeMap::new();
    present.iter().for_each(|row| groups.entry(row.key(keys)).or_default().push(row));
    groups
        .into_iter()
        .map(|(key, rows)| {
            let mut values = oracle::aggregate(&rows, retract, by_time);
            if retract {
                // Minimum and maximum stand seventh and eighth in the full list.
                let all = oracle::aggregate(&rows, false, by_time);
                let more: Vec<&str> = all.split(' ').skip(6).take(2).collect();
                values = format!("{values} {}", more.join(" "));
            }
            (key, values)
        })
        .collect()
}

#[test]
fn random_changes_fold_to_the_oracles_table() {
    for seed in 0..24 {
        let keys: &[&str] = [&["k"][..], &["k", "g"], &[], &["g"]][seed as usize % 4];
        for (retract, by_time) in [(false, false), (false, true), (true, false), (true, true)] {
            fuzz(seed, keys, retract, by_time);
        }
    }
}

/// First and last by arrival and by time, when every value is of one row.
#[test]
fn first_and_last_survive_retractions() {
    let input = schema("v STRING, t BIGINT, $row_kind");
    for (seed, by_time) in (0..40).map(|seed| (seed, seed % 2 == 0)) {
        let mut random = Random(seed);
        let mut spec = spec(
            &[],
            vec![
                call(AggregateFunction::First, Some("v"), "f"),
                call(AggregateFunction::Last, Some("v"), "l"),
            ],
        );
        spec.time_column = by_time.then(|| "t".into());
        let make = || keyed_aggregate(&spec, &input);
        let mut harness = Harness::new(&make, vec![vec![]]);
        let (mut present, mut table) = (Vec::<(String, u64)>::new(), BTreeMap::new());
        for step in 0..60 {
            let line = if !present.is_empty() && random.below(2) == 0 {
                let (v, t) = present.remove(random.below(present.len() as u64) as usize);
                format!("-D {v} {t}")
            } else {
                let row = (format!("v{step}"), random.below(5));
                let line = format!("+I {} {}", row.0, row.1);
                present.push(row);
                line
            };
            harness.process(0, &rows(&input, &[&line])).unwrap();
            fold(&mut table, harness.take_lines(), 0);
            let time = |row: &&(String, u64)| if by_time { row.1 } else { 0 };
            let ends = present.iter().min_by_key(time).zip(present.iter().max_by_key(time));
            let want = ends.map(|(first, last)| format!("{} {}", first.0, last.0));
            assert_eq!(table.get(""), want.as_ref(), "seed {seed} step {step}: {line}");
            if random.below(10) == 0 {
                harness.restore(1).unwrap();
            }
        }
    }
}

fn distinct(function: AggregateFunction, column: &str, filter: Option<&str>) -> AggregateCall {
    let filter = filter.map(str::to_owned);
    AggregateCall { distinct: true, filter, ..call(function, Some(column), "") }
}

/// Calls named `a0`, `a1`, ...
fn named(calls: Vec<AggregateCall>) -> Vec<AggregateCall> {
    let name =
        |(at, call): (usize, AggregateCall)| AggregateCall { name: format!("a{at}"), ..call };
    calls.into_iter().enumerate().map(name).collect()
}

#[test]
fn filters_and_distinct_choose_what_counts() {
    use AggregateFunction as F;
    let calls = named(vec![
        AggregateCall { filter: Some("f".into()), ..call(F::Count, None, "") },
        AggregateCall { filter: Some("f".into()), ..call(F::Sum, Some("v"), "") },
        distinct(F::Count, "v", None),
        distinct(F::Count, "v", Some("f")),
        distinct(F::Sum, "v", None),
        distinct(F::Max, "v", None),
        AggregateCall { more_columns: vec!["f".into()], ..distinct(F::Count, "v", None) },
    ]);
    let spec = spec(&["k"], calls);
    let inserts = schema("k STRING, v BIGINT, f BOOLEAN");
    let script = "
        > a 1 true
        > a 1 false
        > a 2 null
        > a null true
        < +I a 2 1 2 1 3 2 2
        > restore
        > a 2 true
        < -U a 2 1 2 1 3 2 2
        < +U a 3 3 2 2 3 2 3";
    check(|| keyed_aggregate(&spec, &inserts), std::slice::from_ref(&inserts), script);
    let changes = schema("k STRING, v BIGINT, f BOOLEAN, $row_kind");
    let script = "
        > +I a 1 true
        > +I a 1 false
        > +I a 2 null
        > +I a null true
        < +I a 2 1 2 1 3 2 2
        > restore
        > -D a 1 true
        < -U a 2 1 2 1 3 2 2
        < +U a 1 null 2 0 3 2 1
        > -D a 2 null
        > -D a 1 false
        < -U a 1 null 2 0 3 2 1
        < +U a 1 null 0 0 null null 0";
    check(|| keyed_aggregate(&spec, &changes), std::slice::from_ref(&changes), script);
}

#[test]
fn integers_stay_integers_when_asked_for() {
    use AggregateFunction as F;
    let keep = |function| AggregateCall { keep_type: true, ..call(function, Some("v"), "") };
    let calls = named(vec![keep(F::Sum), keep(F::Avg), keep(F::StddevSamp), keep(F::VarPop)]);
    let spec = spec(&[], calls);
    let input = schema("v INT, $row_kind");
    let output = keyed_aggregate_schema(&spec, &input).unwrap();
    assert!(output.fields()[..4].iter().all(|f| *f.data_type() == DataType::Int32));
    let make = || keyed_aggregate(&spec, &input);
    let mut harness = Harness::new(&make, vec![vec![]]);
    harness.process(0, &rows(&input, &["+I 2147483647"])).unwrap();
    assert_eq!(harness.take_lines(), ["+I 2147483647 2147483647 null 0"]);
    harness.process(0, &rows(&input, &["+I 2", "-D 2147483647", "+I 5"])).unwrap();
    let lines = harness.take_lines();
    assert_eq!(lines, ["-U 2147483647 2147483647 null 0", "+U 7 3 2 2"]);
}

#[test]
fn spread_of_doubles_runs_backwards() {
    use AggregateFunction as F;
    let functions = [F::VarPop, F::VarSamp, F::StddevPop, F::StddevSamp];
    let calls = named(functions.map(|f| call(f, Some("x"), "")).to_vec());
    let spec = spec(&[], calls);
    let input = schema("x DOUBLE, $row_kind");
    let make = || keyed_aggregate(&spec, &input);
    let mut harness = Harness::new(&make, vec![vec![]]);
    harness.process(0, &rows(&input, &["+I 1", "+I 3", "+I 100", "-D 100"])).unwrap();
    let batch = harness.take_batches().remove(0);
    for (column, expected) in [1.0, 2.0, 1.0, f64::sqrt(2.0)].into_iter().enumerate() {
        let value = batch.column(column).as_primitive::<Float64Type>().value(0);
        assert!((value - expected).abs() < 1e-9, "{value} {expected}");
    }
    harness.process(0, &rows(&input, &["-D 3"])).unwrap();
    let line = harness.take_lines().pop().unwrap();
    assert!(line.ends_with(" null") && line.contains(" null "), "{line}");
}

#[test]
fn lists_and_multisets_keep_every_value() {
    use AggregateFunction as F;
    let list = AggregateCall { separator: Some("-".into()), ..call(F::ListAgg, Some("s"), "") };
    let calls =
        named(vec![list, distinct(F::ListAgg, "s", None), call(F::ArrayAgg, Some("v"), "")]);
    let spec = spec(&["k"], calls);
    let input = schema("k STRING, s STRING, v BIGINT, $row_kind");
    let script = "
        > +I a y 1
        > +I a x null
        > +I a y 2
        < +I a y-x-y y,x \"[1, , 2]\"
        > restore 2
        > -D a y 1
        < -U a y-x-y y,x \"[1, , 2]\"
        < +U a x-y y,x \"[, 2]\"
        > -D a x null
        > -D a y 2
        < -D a x-y y,x \"[, 2]\"";
    let make = || keyed_aggregate(&spec, &input);
    check_keyed(make, std::slice::from_ref(&input), &[&["k"]], script);
    let collect = self::spec(&[], named(vec![call(F::Collect, Some("s"), "")]));
    let script = "
        > +I a y 1
        > +I a x null
        > +I a y 2
        < +I \"{x: 1, y: 2}\"
        > -D a y 1
        < -U \"{x: 1, y: 2}\"
        < +U \"{x: 1, y: 1}\"";
    check(|| keyed_aggregate(&collect, &input), std::slice::from_ref(&input), script);
}

#[test]
fn a_subquery_gives_one_row() {
    let spec = spec(&[], named(vec![call(AggregateFunction::SingleValue, Some("v"), "")]));
    let input = schema("v BIGINT, $row_kind");
    let make = || keyed_aggregate(&spec, &input);
    let mut harness = Harness::new(&make, vec![vec![]]);
    harness.process(0, &rows(&input, &["+I 1"])).unwrap();
    harness.process(0, &rows(&input, &["-U 1", "+U 2"])).unwrap();
    assert_eq!(harness.take_lines(), ["+I 1", "-U 1", "+U 2"]);
    let error = harness.process(0, &rows(&input, &["+I 3"])).unwrap_err();
    assert!(error.message().contains("one value gave 2 rows"), "{error}");
}

#[test]
fn upsert_consumers_get_no_update_before_and_keys_expire() {
    let spec = KeyedAggregate {
        skip_update_before: true,
        ttl_ms: Some(8_000),
        ..spec(&["k"], vec![call(AggregateFunction::Count, None, "n")])
    };
    let input = schema("k STRING");
    let script = "
        > a
        < +I a 1
        > a
        < +U a 2
        > wakeup 5s
        > b
        < +I b 1
        > wakeup 10s
        > a
        < +I a 1
        > b
        < +U b 2
        > wakeup 100s
        > restore
        > b
        < +I b 1";
    check(|| keyed_aggregate(&spec, &input), std::slice::from_ref(&input), script);
}

/// Two stages, the first in two instances, give what one stage gives.
#[test]
fn two_stages_agree_with_one() {
    use AggregateFunction as F;
    let calls = named(vec![
        call(F::Count, None, ""),
        call(F::Sum, Some("v"), ""),
        call(F::Avg, Some("x"), ""),
        call(F::Max, Some("s"), ""),
        distinct(F::Count, "v", None),
        distinct(F::Count, "s", None),
    ]);
    let input = oracle::input();
    let single = spec(&["k", "g"], calls);
    let local = KeyedAggregate { stage: AggregateStage::Local, ..single.clone() };
    let global = KeyedAggregate { stage: AggregateStage::Global, ..single.clone() };
    let partial = keyed_aggregate_schema(&local, &input).unwrap();
    let output = keyed_aggregate_schema(&global, &partial).unwrap();
    assert_eq!(output, keyed_aggregate_schema(&single, &input).unwrap());
    let make_single = || keyed_aggregate(&single, &input);
    let make_local = || keyed_aggregate(&local, &input);
    let make_global = || keyed_aggregate(&global, &partial);
    let mut one = Harness::new(&make_single, vec![vec![]]);
    let mut locals = [0, 1].map(|_| Harness::new(&make_local, vec![vec![]]));
    let mut second = Harness::new(&make_global, vec![vec![0, 1]]);
    let mut random = Random(5);
    for round in 0..30 {
        for local in &mut locals {
            let lines: Vec<Row> =
                (0..random.below(30) + 1).map(|_| Row::random(&mut random, 0)).collect();
            one.process(0, &oracle::batch(&lines)).unwrap();
            local.process(0, &oracle::batch(&lines)).unwrap();
            if round % 3 == 0 {
                local.flush().unwrap();
            }
            for batch in local.take_batches() {
                second.process(0, &batch).unwrap();
            }
        }
        if round % 7 == 0 {
            second.restore(1 + round % 2).unwrap();
        }
    }
    for local in &mut locals {
        local.flush().unwrap();
        for batch in local.take_batches() {
            second.process(0, &batch).unwrap();
        }
    }
    let fold = |lines: Vec<String>| {
        let mut table = BTreeMap::new();
        for line in lines {
            let (kind, row) = line.split_at(3);
            if kind.starts_with('+') {
                assert!(table.insert(row.to_owned(), ()).is_none(), "{line}");
            } else {
                assert!(table.remove(row).is_some(), "{line}");
            }
        }
        table
    };
    let folded = fold(one.take_lines());
    assert!(folded.len() > 6);
    assert_eq!(fold(second.take_lines()), folded);
}
