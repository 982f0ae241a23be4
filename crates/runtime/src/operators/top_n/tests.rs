//! Scripts, and random streams against sorting.

use model::operator_spec::{OrderBy, RankFunction};
use proptest::prelude::*;

use super::*;
use crate::operators::script::{Harness, check, check_keyed, print_rows, rows, schema};

const INPUT: &str = "k STRING, v BIGINT, name STRING";
const CHANGELOG: &str = "k STRING, v BIGINT, name STRING, $row_kind";
const WINDOWED: &str = "k STRING, v BIGINT, window_start TIMESTAMP, window_end TIMESTAMP";

fn spec(n: u32, rank: Option<&str>, per_window: bool, descending: bool) -> TopN {
    TopN {
        keys: vec!["k".into()],
        n,
        order_by: vec![OrderBy { column: "v".into(), descending }],
        rank_column: rank.map(str::to_owned),
        per_window,
        ..TopN::default()
    }
}

fn top(spec: &TopN, input: &str) -> Result<Box<dyn Operator>> {
    Ok(Box::new(TopNOperator::new(spec, &schema(input))?))
}

#[test]
fn with_rank_every_shifted_rank_is_updated() {
    check(
        || top(&spec(2, Some("rank"), false, true), INPUT),
        &[schema(INPUT)],
        "
        > a 5 x
        > b 1 y
        < +I a 5 x 1
        < +I b 1 y 1
        > a 7 z
        < -U a 5 x 1
        < +U a 7 z 1
        < +I a 5 x 2
        > restore
        > a 6 w
        < -U a 5 x 2
        < +U a 6 w 2
        # equal: the earlier stays ahead
        > a 6 late
        > a 1 v
        > b null n
        < +I b null n 2
        ",
    );
}

#[test]
fn without_rank_rows_come_and_go() {
    check_keyed(
        || top(&spec(2, None, false, false), INPUT),
        &[schema(INPUT)],
        &[&["k"]],
        "
        > a 5 x
        > a 7 z
        > a 9 gone
        < +I a 5 x
        < +I a 7 z
        > b 1 y
        < +I b 1 y
        > restore 3
        > a 6 w
        < -D a 7 z
        < +I a 6 w
        # NULL is the smallest
        > a null n
        > b 2 q
        < -D a 6 w
        < +I a null n
        < +I b 2 q
        ",
    );
}

#[test]
fn a_deletion_promotes_the_next_row() {
    check(
        || top(&spec(2, Some("rank"), false, true), CHANGELOG),
        &[schema(CHANGELOG)],
        "
        > +I a 5 x
        > +I a 7 z
        > +I a 1 u
        < +I a 7 z 1
        < +I a 5 x 2
        > restore
        > -D a 7 z
        < -U a 7 z 1
        < +U a 5 x 1
        < -U a 5 x 2
        < +U a 1 u 2
        > -U a 1 u
        > +U a 9 u
        < -U a 5 x 1
        < +U a 9 u 1
        < -U a 1 u 2
        < +U a 5 x 2
        > -D a 9 u
        > -D a 5 x
        < -D a 9 u 1
        < -D a 5 x 2
        ",
    );
    check(
        || top(&spec(1, None, false, true), CHANGELOG),
        &[schema(CHANGELOG)],
        "
        > +I a 5 x
        > +I a 4 y
        < +I a 5 x
        > -D a 5 x
        < -D a 5 x
        < +I a 4 y
        ",
    );
}

#[test]
fn a_deletion_of_nothing_is_a_broken_invariant() {
    let make = || top(&spec(1, None, false, true), CHANGELOG);
    let mut harness = Harness::new(&make, vec![vec![]]);
    let error = harness.process(0, &rows(&schema(CHANGELOG), &["-D a 5 x"])).unwrap_err();
    assert_eq!(error.kind(), model::ErrorKind::Internal);
}

#[test]
fn per_window_the_ranking_comes_when_the_window_closes() {
    check_keyed(
        || top(&spec(2, Some("rank"), true, true), WINDOWED),
        &[schema(WINDOWED)],
        &[&["k"]],
        "
        > a 5 @0s @10s
        > a 7 @0s @10s
        > a 6 @0s @10s
        > a 1 @10s @20s
        > b 2 @0s @10s
        > restore 2
        # another window that ends then
        > a 1 @5s @10s
        > watermark 9999ms
        < a 7 @0s @10s 1
        < a 6 @0s @10s 2
        < a 1 @5s @10s 1
        < b 2 @0s @10s 1
        < watermark 9999ms
        > a 9 @0s @10s
        > end
        < a 1 @10s @20s 1
        < watermark max
        ",
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "rows in, rows out")]
fn rows_that_are_equal_in_order_share_a_rank() {
    let spec = |n, function| TopN { function, ..spec(n, Some("rank"), false, true) };
    check(
        || top(&spec(2, RankFunction::Rank), INPUT),
        &[schema(INPUT)],
        "
        > a 5 x
        > a 5 y
        > a 1 u
        < +I a 5 x 1
        < +I a 5 y 1
        > restore
        > a 5 z
        < +I a 5 z 1
        > a 6 w
        < +I a 6 w 1
        < -U a 5 x 1
        < +U a 5 x 2
        < -U a 5 y 1
        < +U a 5 y 2
        < -U a 5 z 1
        < +U a 5 z 2
        > a 7 v
        < -D a 5 x 2
        < -D a 5 y 2
        < -D a 5 z 2
        < +I a 7 v 1
        < -U a 6 w 1
        < +U a 6 w 2
        ",
    );
    check(
        || top(&spec(2, RankFunction::DenseRank), CHANGELOG),
        &[schema(CHANGELOG)],
        "
        > +I a 5 x
        > +I a 5 y
        > +I a 1 u
        > +I a 0 t
        < +I a 5 x 1
        < +I a 5 y 1
        < +I a 1 u 2
        > restore
        > +I a 9 w
        < -D a 1 u 2
        < +I a 9 w 1
        < -U a 5 x 1
        < +U a 5 x 2
        < -U a 5 y 1
        < +U a 5 y 2
        > -D a 9 w
        < -D a 9 w 1
        < -U a 5 x 2
        < +U a 5 x 1
        < -U a 5 y 2
        < +U a 5 y 1
        < +I a 1 u 2
        ",
    );
    check_keyed(
        || top(&TopN { per_window: true, ..spec(2, RankFunction::Rank) }, WINDOWED),
        &[schema(WINDOWED)],
        &[&["k"]],
        "
        > a 5 @0s @10s
        > a 7 @0s @10s
        > a 7 @0s @10s
        > restore 2
        > a 7 @0s @10s
        > watermark 9999ms
        < a 7 @0s @10s 1
        < a 7 @0s @10s 1
        < a 7 @0s @10s 1
        < watermark 9999ms
        ",
    );
}

#[test]
fn bad_specs_are_refused() {
    let mut bad = spec(1, None, true, true);
    assert!(top(&bad, INPUT).err().unwrap().message().contains("window_start"));
    bad.per_window = false;
    bad.order_by[0].column = "nope".into();
    assert!(top(&bad, INPUT).err().unwrap().message().contains("nope"));
}

/// Applies a changelog to a table; every row taken back must be there.
fn apply(table: &mut Vec<String>, batch: &RecordBatch) {
    for line in print_rows(batch) {
        let (kind, row) = line.split_at(2);
        if kind.starts_with('+') {
            table.push(row.trim().to_owned());
        } else {
            let at = table.iter().position(|r| r == row.trim()).expect("the row taken back");
            table.remove(at);
        }
    }
}

/// The first `n` of every key, with their ranks when asked for. Names are in order of arrival.
fn expected(live: &[(i64, i64, usize)], spec: &TopN) -> Vec<String> {
    let descending = spec.order_by[0].descending;
    let before = |one: &(i64, i64, usize), other: &(i64, i64, usize)| {
        one.0 == other.0 && if descending { one.1 > other.1 } else { one.1 < other.1 }
    };
    let mut lines = Vec::new();
    for row in live {
        let smaller = live.iter().filter(|other| before(other, row));
        let place = 1 + match spec.function {
            RankFunction::Rank => smaller.count(),
            RankFunction::DenseRank => {
                smaller.map(|other| other.1).collect::<std::collections::BTreeSet<_>>().len()
            }
            RankFunction::RowNumber => {
                let earlier = |o: &&(i64, i64, usize)| (o.0, o.1) == (row.0, row.1) && o.2 < row.2;
                smaller.count() + live.iter().filter(earlier).count()
            }
        };
        if place <= spec.n as usize && place > spec.offset as usize {
            let suffix = spec.rank_column.as_ref().map(|_| format!(" {place}"));
            lines.push(format!("{} {} {}{}", row.0, row.1, row.2, suffix.unwrap_or_default()));
        }
    }
    lines.sort();
    lines
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn equals_sorting(
        input in prop::collection::vec((0..4_i64, 0..10_i64, any::<prop::sample::Index>(), 0..3_u8), 0..120),
        n in 1..5_u32,
        rank in any::<bool>(),
        descending in any::<bool>(),
        changelog in any::<bool>(),
        batch in 1..20_usize,
        parallelism in 1..4_u32,
        function in prop::sample::select(vec![
            RankFunction::RowNumber, RankFunction::Rank, RankFunction::DenseRank,
        ]),
        offset in 0..2_u32,
    ) {
        let text = if changelog { "k BIGINT, v BIGINT, name BIGINT, $row_kind" } else { "k BIGINT, v BIGINT, name BIGINT" };
        let first = spec(n, rank.then_some("rank"), false, descending);
        let spec = TopN { function, offset: offset.min(n - 1), ..first };
        let make = || top(&spec, text);
        let mut harness = Harness::new(&make, vec![vec![0]]);
        let mut live: Vec<(i64, i64, usize)> = Vec::new();
        let mut table = Vec::new();
        let mut steps = Vec::new();
        for (name, (key, value, index, action)) in input.into_iter().enumerate() {
            if changelog && action == 0 && !live.is_empty() {
                let (k, v, name) = live.remove(index.index(live.len()));
                steps.push((format!("-D {k} {v} {name}"), live.clone()));
            } else {
                live.push((key, value, name));
                let kind = if changelog { "+I " } else { "" };
                steps.push((format!("{kind}{key} {value} {name}"), live.clone()));
            }
        }
        for (index, chunk) in steps.chunks(batch).enumerate() {
            if index == 2 {
                harness.restore(parallelism).unwrap();
            }
            let lines: Vec<&str> = chunk.iter().map(|(line, _)| line.as_str()).collect();
            harness.process(0, &rows(&schema(text), &lines)).unwrap();
            harness.take_batches().iter().for_each(|output| apply(&mut table, output));
            table.sort();
            let (_, live) = &chunk[chunk.len() - 1];
            prop_assert_eq!(&table, &expected(live, &spec));
        }
    }
}

#[test]
fn an_offset_leaves_the_first_ranks_out() {
    let spec = TopN { offset: 1, ..spec(2, None, false, false) };
    check_keyed(
        || top(&spec, "k STRING, v BIGINT, $row_kind"),
        &[schema("k STRING, v BIGINT, $row_kind")],
        &[&["k"]],
        "
        > +I a 5
        > +I a 3
        < +I a 5
        > +I a 1
        < -D a 5
        < +I a 3
        > restore
        > -D a 1
        < -D a 3
        < +I a 5",
    );
}

#[test]
fn a_limit_by_arrival_is_insert_only_on_inserts() {
    let spec = TopN { keys: vec![], n: 2, order_by: vec![], ..TopN::default() };
    check_keyed(
        || top(&spec, "k STRING, v BIGINT"),
        &[schema("k STRING, v BIGINT")],
        &[&[]],
        "
        > a 5
        < a 5
        > restore
        > b 1
        > c 0
        < b 1
        > d 0",
    );
}

#[test]
fn the_best_by_two_columns_takes_its_predecessor_back() {
    let order = |column: &str, descending| OrderBy { column: column.into(), descending };
    let spec =
        TopN { order_by: vec![order("v", true), order("w", false)], ..spec(1, None, false, false) };
    check_keyed(
        || top(&spec, "k STRING, v BIGINT, w BIGINT"),
        &[schema("k STRING, v BIGINT, w BIGINT")],
        &[&["k"]],
        "
        > a 5 2
        < +I a 5 2
        > a 5 1
        < -D a 5 2
        < +I a 5 1
        > a 4 0",
    );
}
