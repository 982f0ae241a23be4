//! The regular join by script, and against a plain computation over random changelogs.

use std::collections::BTreeMap;

use model::row_kind::RowKind;

use super::*;
use crate::operators::aggregate_oracle::Random;
use crate::operators::script::{Harness, TestExpressions, check_keyed, print_rows, rows, schema};

fn spec(join_type: JoinType) -> Join {
    Join {
        left_keys: vec!["k".into()],
        right_keys: vec!["k".into()],
        join_type,
        right_prefix: "r_".into(),
        ..Join::default()
    }
}

fn run(spec: Join, left: &str, right: &str, script: &str) {
    let inputs = [schema(left), schema(right)];
    let make = || -> Result<Box<dyn Operator>> {
        Ok(Box::new(JoinOperator::new(&spec, &inputs[0], &inputs[1], &TestExpressions)?))
    };
    check_keyed(make, &inputs, &[&["k"], &["k"]], script);
}

#[test]
fn inner_join_of_inserts_is_insert_only() {
    let script = "
        > a 1
        > b 2
        > null 9
        >1 a 10
        < a 1 a 10
        >1 null 11
        > a 3
        < a 3 a 10
        > restore 2
        >1 a 12
        >1 b 13
        < a 3 a 12
        < a 1 a 12
        < b 2 b 13
        > restore 1
        > b 4
        < b 4 b 13";
    run(spec(JoinType::Inner), "k STRING, v BIGINT", "k STRING, w BIGINT", script);
}

#[test]
fn left_join_takes_the_padded_row_back() {
    let script = "
        > +I a 1
        < +I a 1 null null
        >1 +I a 10
        < -D a 1 null null
        < +I a 1 a 10
        > restore
        >1 -D a 10
        < -D a 1 a 10
        < +I a 1 null null
        > -U a 1
        > +U a 2
        < -U a 1 null null
        < +U a 2 null null";
    let (left, right) = ("k STRING, v BIGINT, $row_kind", "k STRING, w BIGINT, $row_kind");
    run(spec(JoinType::Left), left, right, script);
}

#[test]
fn semi_and_anti_join_follow_the_first_and_the_last_partner() {
    let (left, right) = ("k STRING, v BIGINT, $row_kind", "k STRING, w BIGINT, $row_kind");
    let semi = "
        > +I a 1
        >1 +I a 10
        < +I a 1
        >1 +I a 11
        >1 -D a 10
        > restore
        >1 -D a 11
        < -D a 1";
    run(spec(JoinType::Semi), left, right, semi);
    let anti = "
        > +I a 1
        < +I a 1
        > +I null 2
        < +I null 2
        >1 +I a 10
        < -D a 1
        > restore
        >1 -D a 10
        < +I a 1";
    run(spec(JoinType::Anti), left, right, anti);
}

#[test]
fn rows_expire_side_by_side() {
    let spec = Join { right_ttl_ms: Some(8_000), ..spec(JoinType::Inner) };
    let script = "
        >1 a 10
        > a 1
        < a 1 a 10
        > wakeup 5s
        >1 a 11
        < a 1 a 11
        > wakeup 10s
        > restore
        > a 2
        < a 2 a 11
        > wakeup 30s
        > a 3
        >1 a 12
        < a 3 a 12
        < a 2 a 12
        < a 1 a 12";
    run(spec, "k STRING, v BIGINT", "k STRING, w BIGINT", script);
}

const LEFT: &str = "k STRING, v BIGINT, $row_kind";
const RIGHT: &str = "k STRING, w BIGINT, $row_kind";

type Line = (Option<String>, i64);

fn text(side: &Option<Line>) -> String {
    match side {
        None => "null null".into(),
        Some((key, value)) => format!("{} {value}", key.as_deref().unwrap_or("null")),
    }
}

/// The join of two bags, row by row. `above`: the condition `w > above`.
fn naive(spec: &Join, left: &[Line], right: &[Line], above: Option<i64>) -> Vec<String> {
    let keyed = !spec.left_keys.is_empty();
    let pairs = |l: &Line, r: &Line| {
        (!keyed || (l.0.is_some() && l.0 == r.0)) && above.is_none_or(|above| r.1 > above)
    };
    let mut result = Vec::new();
    use JoinType as T;
    for l in left {
        let partners: Vec<&Line> = right.iter().filter(|r| pairs(l, r)).collect();
        match spec.join_type {
            T::Semi | T::Anti => {
                if partners.is_empty() == (spec.join_type == T::Anti) {
                    result.push(text(&Some(l.clone())));
                }
                continue;
            }
            _ => {}
        }
        for r in &partners {
            let (l, r) = (text(&Some(l.clone())), text(&Some((*r).clone())));
            result.push(format!("{l} {r}"));
        }
        if partners.is_empty() && matches!(spec.join_type, T::Left | T::Full) {
            result.push(format!("{} null null", text(&Some(l.clone()))));
        }
    }
    if matches!(spec.join_type, T::Right | T::Full) {
        for r in right.iter().filter(|r| !left.iter().any(|l| pairs(l, r))) {
            result.push(format!("null null {}", text(&Some(r.clone()))));
        }
    }
    result.sort();
    result
}

/// A random change of a bag, as a script line.
fn change(random: &mut Random, bag: &mut Vec<Line>, unique: bool) -> String {
    if !bag.is_empty() && random.below(3) == 0 {
        let gone = bag.swap_remove(random.below(bag.len() as u64) as usize);
        return format!("-D {}", text(&Some(gone)));
    }
    let key = (random.below(6) != 0).then(|| format!("k{}", random.below(3)));
    let mut value = random.below(4) as i64;
    while unique && bag.iter().any(|line| line.1 == value) {
        value += 1;
    }
    bag.push((key.clone(), value));
    format!("+I {}", text(&Some((key, value))))
}

fn fold(folded: &mut BTreeMap<String, i64>, batch: &RecordBatch) {
    let changelog = row_kind::is_changelog(batch.schema_ref());
    for line in print_rows(batch) {
        let (kind, row) = if changelog { line.split_at(3) } else { ("+I ", line.as_str()) };
        let adds = [RowKind::Insert, RowKind::UpdateAfter].iter().any(|k| k.short() == kind.trim());
        let count = folded.entry(row.trim().to_owned()).or_default();
        *count += if adds { 1 } else { -1 };
        assert!(*count >= 0, "{row} goes before it comes");
        if *count == 0 {
            folded.remove(row.trim());
        }
    }
}

fn check_random(spec: &Join, above: Option<i64>, seed: u64) {
    let inputs = [schema(LEFT), schema(RIGHT)];
    let make = || -> Result<Box<dyn Operator>> {
        Ok(Box::new(JoinOperator::new(spec, &inputs[0], &inputs[1], &TestExpressions)?))
    };
    let keys = if spec.left_keys.is_empty() { vec![vec![]; 2] } else { vec![vec![0]; 2] };
    let parallel = !spec.left_keys.is_empty();
    let mut harness = Harness::new(&make, keys);
    let mut random = Random(seed);
    let mut bags: [Vec<Line>; 2] = Default::default();
    let mut folded = BTreeMap::new();
    for step in 0..60 {
        let port = random.below(2) as usize;
        let unique = [!spec.left_unique.is_empty(), !spec.right_unique.is_empty()][port];
        let count = 1 + random.below(8);
        let lines: Vec<String> =
            (0..count).map(|_| change(&mut random, &mut bags[port], unique)).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        harness.process(port, &rows(&inputs[port], &lines)).unwrap();
        if random.below(8) == 0 {
            harness.restore(if parallel { 1 + random.below(3) as u32 } else { 1 }).unwrap();
        }
        for batch in harness.take_batches() {
            fold(&mut folded, &batch);
        }
        let expected = naive(spec, &bags[0], &bags[1], above);
        let mut actual: Vec<String> = folded
            .iter()
            .flat_map(|(row, count)| std::iter::repeat_n(row.clone(), *count as usize))
            .collect();
        actual.sort();
        assert_eq!(actual, expected, "{spec:?} seed {seed} step {step}");
    }
}

#[test]
fn folded_changelog_is_the_join_of_what_remains() {
    use JoinType as T;
    for (number, join_type) in
        [T::Inner, T::Left, T::Right, T::Full, T::Semi, T::Anti].into_iter().enumerate()
    {
        for seed in 0..4 {
            let seed = seed * 10 + number as u64;
            check_random(&spec(join_type), None, seed);
            let predicate = Some("w > 1".to_owned());
            check_random(&Join { predicate, ..spec(join_type) }, Some(1), seed);
            let unique = Join { right_unique: vec!["w".into()], ..spec(join_type) };
            check_random(&unique, None, seed);
        }
        let all = Join { left_keys: vec![], right_keys: vec![], ..spec(join_type) };
        check_random(&all, None, 7);
    }
}

/// More dead rows than live ones: the log is written anew, and partners stay right.
#[test]
fn a_side_of_many_updates_stays_small() {
    let inputs = [schema(LEFT), schema(RIGHT)];
    let spec = spec(JoinType::Full);
    let make = || -> Result<Box<dyn Operator>> {
        Ok(Box::new(JoinOperator::new(&spec, &inputs[0], &inputs[1], &TestExpressions)?))
    };
    let mut harness = Harness::new(&make, vec![vec![0]; 2]);
    harness.process(0, &rows(&inputs[0], &["+I a 0", "+I b 0"])).unwrap();
    harness.process(1, &rows(&inputs[1], &["+I a 0"])).unwrap();
    let mut folded = BTreeMap::new();
    for round in 0..60_i64 {
        let lines: Vec<String> = (0..1000)
            .flat_map(|n| {
                let at = round * 1000 + n;
                [format!("-U a {at}"), format!("+U a {}", at + 1)]
            })
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        harness.process(1, &rows(&inputs[1], &lines)).unwrap();
        for batch in harness.take_batches() {
            fold(&mut folded, &batch);
        }
    }
    let rows_left: Vec<&String> = folded.keys().collect();
    assert_eq!(rows_left, ["a 0 a 60000", "b 0 null null"]);
    harness.restore(2).unwrap();
    harness.process(1, &rows(&inputs[1], &["-D a 60000"])).unwrap();
    assert_eq!(harness.take_lines(), ["-D a 0 a 60000", "+I a 0 null null"]);
}
