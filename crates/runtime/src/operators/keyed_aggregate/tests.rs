use std::collections::BTreeMap;

use model::operator_spec::{AggregateCall, AggregateFunction};

use super::*;
use crate::operators::aggregate_oracle::{self as oracle, Random, Row};
use crate::operators::script::{Harness, check, rows, schema};

fn call(function: AggregateFunction, column: Option<&str>, name: &str) -> AggregateCall {
    AggregateCall { function, column: column.map(Into::into), name: name.into() }
}

fn spec(keys: &[&str], aggregates: Vec<AggregateCall>) -> KeyedAggregate {
    KeyedAggregate {
        keys: keys.iter().map(ToString::to_string).collect(),
        aggregates,
        time_column: None,
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
