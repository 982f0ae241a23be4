//! MATCH_RECOGNIZE by script: state, time, values, restores at other parallelism.

use arrow::compute::kernels::{cmp, numeric};
use arrow::compute::{is_null, or_kleene};
use arrow::datatypes::DataType;
use model::expression::ExpressionError;
use model::operator_spec::{
    AfterMatchSkip, AggregateCall, AggregateFunction, MatchCondition, MatchFunction, MatchValue,
    OrderBy, PatternVariable,
};

use super::*;
use crate::operators::aggregate_oracle::Random;
use crate::operators::script::{Harness, check, check_keyed, rows, schema};

/// Comparisons of columns: `a < b`, `a > 10`, and `a null or < b`, which is true for a NULL
/// `b`, too.
struct Comparisons;

struct Comparison {
    left: usize,
    operator: String,
    right: std::result::Result<usize, ArrayRef>,
    or_null: bool,
}

impl Expressions for Comparisons {
    fn compile(
        &self,
        text: &str,
        schema: &SchemaRef,
    ) -> std::result::Result<Box<dyn Expression>, ExpressionError> {
        let words: Vec<&str> = text.split_whitespace().filter(|w| *w != "or").collect();
        let or_null = words[1] == "null";
        let (operator, right) = (words[words.len() - 2], words[words.len() - 1]);
        let left = schema.index_of(words[0]).unwrap();
        let number =
            || -> ArrayRef { Arc::new(Int64Array::from(vec![right.parse::<i64>().unwrap()])) };
        let right = schema.index_of(right).map_err(|_| number());
        let operator = operator.to_owned();
        Ok(Box::new(Comparison { left, operator, right, or_null }))
    }

    fn columns(
        &self,
        _text: &str,
        _schema: &SchemaRef,
    ) -> std::result::Result<Vec<String>, ExpressionError> {
        Ok(Vec::new())
    }
}

impl Expression for Comparison {
    fn data_type(&self) -> &DataType {
        &DataType::Boolean
    }
    fn nullable(&self) -> bool {
        true
    }
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let left = batch.column(self.left);
        let right = match &self.right {
            Ok(column) => Arc::clone(batch.column(*column)),
            // As long as the other side: NULL takes part.
            Err(number) => {
                let zero = numeric::sub(left, left)?;
                let number = arrow::array::Scalar::new(Arc::clone(number));
                numeric::add(&zero, &number)?
            }
        };
        let truth = match self.operator.as_str() {
            "<" => cmp::lt(left, &right)?,
            ">" => cmp::gt(left, &right)?,
            other => panic!("{other}"),
        };
        Ok(match self.or_null {
            true => Arc::new(or_kleene(&truth, &is_null(&right)?)?),
            false => Arc::new(truth),
        })
    }
}

fn value(name: &str, variable: &str, function: MatchFunction) -> MatchValue {
    let variable = (variable != "*").then(|| variable.to_owned());
    MatchValue { name: name.into(), variable, function }
}

fn last(name: &str, variable: &str, column: &str, offset: u32) -> MatchValue {
    value(name, variable, MatchFunction::Last { column: column.into(), offset })
}

fn first(name: &str, variable: &str, column: &str) -> MatchValue {
    value(name, variable, MatchFunction::First { column: column.into(), offset: 0 })
}

fn aggregate(
    name: &str,
    variable: &str,
    function: AggregateFunction,
    column: Option<&str>,
) -> MatchValue {
    let column = column.map(Into::into);
    let call = AggregateCall { function, column, ..AggregateCall::default() };
    value(name, variable, MatchFunction::Aggregate(call))
}

fn variable(
    name: &str,
    (min, max): (u32, Option<u32>),
    condition: Option<MatchCondition>,
) -> PatternVariable {
    PatternVariable { name: name.into(), min, max, reluctant: false, condition }
}

fn when(predicate: &str, values: Vec<MatchValue>) -> Option<MatchCondition> {
    Some(MatchCondition { values, predicate: predicate.into() })
}

const ONE: (u32, Option<u32>) = (1, Some(1));
const SOME: (u32, Option<u32>) = (1, None);
const COLUMNS: &str = "k STRING, t TIMESTAMP, v BIGINT";

/// Prices that fall, then rise.
fn falling() -> MatchRecognize {
    let down = when(
        "now null or < before",
        vec![last("now", "DOWN", "v", 0), last("before", "DOWN", "v", 1)],
    );
    let up = when("now > before", vec![last("now", "UP", "v", 0), last("before", "DOWN", "v", 0)]);
    MatchRecognize {
        keys: vec!["k".into()],
        time_column: Some("t".into()),
        pattern: vec![
            variable("START", ONE, None),
            variable("DOWN", SOME, down),
            variable("UP", ONE, up),
        ],
        skip: AfterMatchSkip::ToLast { variable: "UP".into() },
        measures: vec![
            first("from", "START", "v"),
            last("least", "DOWN", "v", 0),
            last("until", "UP", "t", 0),
            aggregate("rows", "*", AggregateFunction::Count, None),
            aggregate("sum", "DOWN", AggregateFunction::Sum, Some("v")),
        ],
        ..MatchRecognize::default()
    }
}

fn run(spec: &MatchRecognize, columns: &str, script: &str) {
    let input = schema(columns);
    let make = || -> Result<Box<dyn Operator>> {
        Ok(Box::new(MatchRecognizeOperator::new(spec, &input, &Comparisons)?))
    };
    match spec.keys.is_empty() {
        true => check(make, std::slice::from_ref(&input), script),
        false => check_keyed(make, std::slice::from_ref(&input), &[&["k"]], script),
    }
}

#[test]
fn rows_wait_for_the_watermark_and_matches_live_through_restores() {
    let script = "
        > a @3s 7
        > a @1s 20
        > b @1s 5
        > a @2s 10
        > watermark 2s
        < watermark 2s
        > restore 3
        > a @2s 100
        > b @3s 6
        > watermark 3s
        < watermark 3s
        > restore 2
        > a @4s 9
        > b @4s 1
        > b @5s 2
        > watermark 10s
        < a 20 7 @4s 4 17
        < b 5 1 @5s 4 7
        < watermark 10s
        > a @11s 3
        > a @12s 4
        > end
        < a 9 3 @12s 3 3
        < watermark max";
    run(&falling(), COLUMNS, script);
}

#[test]
fn a_bound_drops_open_matches_and_the_state_with_them() {
    let mut spec = falling();
    spec.within_ms = Some(2000);
    let input = schema(COLUMNS);
    let make = || -> Result<Box<dyn Operator>> {
        Ok(Box::new(MatchRecognizeOperator::new(&spec, &input, &Comparisons)?))
    };
    let mut harness = Harness::new(&make, vec![vec![0]]);
    let lines = ["a @1000ms 9", "a @2000ms 8", "a @2999ms 9", "b @1000ms 9", "b @2000ms 8"];
    harness.process(0, &rows(&input, &lines)).unwrap();
    harness.watermark(Watermark(2999)).unwrap();
    assert_eq!(harness.take_lines(), ["a 9 8 @2999ms 3 8", "watermark 2999ms"]);
    // Two seconds after the first row it is too late.
    harness.process(0, &rows(&input, &["b @3000ms 9"])).unwrap();
    harness.watermark(Watermark(3000)).unwrap();
    assert_eq!(harness.take_lines(), ["watermark 3s"]);
    harness.restore(2).unwrap();
    harness.watermark(Watermark(9000)).unwrap();
    assert!(harness.is_state_empty());
}

/// Rows below the first are swallowed; meanwhile a later pair is complete, and has to wait.
#[test]
fn a_match_waits_for_those_that_began_before_it() {
    let below = when("now < top", vec![last("now", "B", "v", 0), last("top", "A", "v", 0)]);
    let spec = MatchRecognize {
        keys: vec!["k".into()],
        time_column: Some("t".into()),
        pattern: vec![
            variable("A", ONE, None),
            variable("B", (0, None), below),
            variable("C", ONE, when("now > 11", vec![last("now", "*", "v", 0)])),
        ],
        skip: AfterMatchSkip::PastLastRow,
        within_ms: Some(10_000),
        measures: vec![first("a", "A", "v"), last("c", "C", "v", 0)],
        ..MatchRecognize::default()
    };
    let begin = "
        > k @1s 20
        > k @2s 10
        > k @3s 12
        > watermark 5s
        < watermark 5s
        > restore 2";
    let first_completes = "
        > k @6s 30
        > watermark 6s
        < k 20 30
        < watermark 6s";
    run(&spec, COLUMNS, &format!("{begin}{first_completes}"));
    let first_runs_out = "
        > watermark 10999ms
        < watermark 10999ms
        > watermark 11s
        < k 10 12
        < watermark 11s";
    run(&spec, COLUMNS, &format!("{begin}{first_runs_out}"));
}

#[test]
fn rows_of_one_time_are_ordered_and_processing_time_takes_them_as_they_come() {
    let measures = vec![first("a", "A", "v"), last("b", "B", "v", 0)];
    let mut spec = MatchRecognize {
        time_column: Some("t".into()),
        order_by: vec![OrderBy { column: "v".into(), descending: true }],
        pattern: vec![variable("A", ONE, None), variable("B", ONE, None)],
        skip: AfterMatchSkip::PastLastRow,
        measures,
        ..MatchRecognize::default()
    };
    let script = "
        > a @1s 1
        > a @1s 3
        > a @1s 2
        > watermark 1s
        < 3 2
        < watermark 1s
        > restore
        > a @2s 9
        > end
        < 1 9
        < watermark max";
    run(&spec, COLUMNS, script);
    spec.time_column = None;
    spec.order_by.clear();
    spec.within_ms = Some(5000);
    let script = "
        > a 1
        > a 2
        < 1 2
        > wakeup 1s
        > a 3
        > restore
        > wakeup 7s
        > a 4
        > a 5
        < 4 5";
    run(&spec, "k STRING, v BIGINT", script);
}

#[test]
fn state_of_another_pattern_is_refused() {
    let input = schema(COLUMNS);
    let pattern = std::cell::Cell::new(false);
    let make = || -> Result<Box<dyn Operator>> {
        let mut spec = falling();
        spec.pattern[1].max = pattern.get().then_some(7);
        Ok(Box::new(MatchRecognizeOperator::new(&spec, &input, &Comparisons)?))
    };
    let mut harness = Harness::new(&make, vec![vec![0]]);
    harness.process(0, &rows(&input, &["a @1s 9"])).unwrap();
    harness.watermark(Watermark(1000)).unwrap();
    pattern.set(true);
    harness.restore(1).unwrap();
    harness.process(0, &rows(&input, &["a @2s 9"])).unwrap();
    let error = harness.watermark(Watermark(2000)).unwrap_err();
    assert_eq!(error.kind(), model::ErrorKind::User);
    assert!(error.message().contains("are not those"), "{error}");
}

/// However rows are cut into batches, watermarks and restores, the matches are the same.
#[test]
fn matches_do_not_depend_on_batches_and_restores() {
    let mut spec = falling();
    spec.pattern[1].max = Some(4);
    spec.within_ms = Some(900);
    let input = schema(COLUMNS);
    let make = || -> Result<Box<dyn Operator>> {
        Ok(Box::new(MatchRecognizeOperator::new(&spec, &input, &Comparisons)?))
    };
    let mut random = Random(11);
    let lines: Vec<String> = (0..600)
        .map(|at| {
            let key = ["a", "b", "c", "d", "e"][random.below(5) as usize];
            format!("{key} @{}ms {}", 40 * at + random.below(35), random.below(30))
        })
        .collect();
    let mut whole = Harness::new(&make, vec![vec![0]]);
    let all: Vec<&str> = lines.iter().map(String::as_str).collect();
    whole.process(0, &rows(&input, &all)).unwrap();
    whole.end().unwrap();
    let matches = |lines: Vec<String>| {
        let mut rows: Vec<String> =
            lines.into_iter().filter(|l| !l.starts_with("watermark")).collect();
        rows.sort();
        rows
    };
    let expected = matches(whole.take_lines());
    assert!(expected.len() > 40, "{}", expected.len());
    let mut cut = Harness::new(&make, vec![vec![0]]);
    let mut found = Vec::new();
    let mut at = 0;
    while at < all.len() {
        let next = all.len().min(at + 1 + random.below(20) as usize);
        cut.process(0, &rows(&input, &all[at..next])).unwrap();
        cut.watermark(Watermark(40 * next as i64 - 1)).unwrap();
        found.extend(cut.take_lines());
        if random.below(3) == 0 {
            cut.restore(1 + random.below(3) as u32).unwrap();
        }
        at = next;
    }
    cut.end().unwrap();
    found.extend(cut.take_lines());
    assert_eq!(matches(found), expected);
}

#[test]
fn what_cannot_be_matched_is_refused() {
    let input = schema(COLUMNS);
    let refused = |change: &dyn Fn(&mut MatchRecognize)| {
        let mut spec = falling();
        spec.pattern.iter_mut().for_each(|v| v.condition = None);
        spec.measures.truncate(1);
        change(&mut spec);
        match MatchRecognizeOperator::new(&spec, &input, &Comparisons) {
            Err(error) => error.chain(),
            Ok(_) => panic!("{spec:?} was taken"),
        }
    };
    let greedy = refused(&|spec| spec.pattern.truncate(2));
    assert!(greedy.contains("ends with the greedy `DOWN`"), "{greedy}");
    let empty = refused(&|spec| {
        spec.pattern.iter_mut().for_each(|v| (v.min, v.max) = (0, Some(9)));
    });
    assert!(empty.contains("no row at all"), "{empty}");
    let twice = refused(&|spec| spec.pattern[1].name = "UP".into());
    assert!(twice.contains("twice"), "{twice}");
    let behind = refused(&|spec| spec.pattern[2].min = 0);
    assert!(behind.contains("`UP` may be left out behind the greedy `DOWN`"), "{behind}");
    let skip = refused(&|spec| spec.skip = AfterMatchSkip::ToFirst { variable: "X".into() });
    assert!(skip.contains("`X`"), "{skip}");
}
