//! The automaton against the rules themselves: every assignment of rows to variables is
//! tried, and those that break a rule are struck out.

use model::operator_spec::PatternVariable;
use proptest::prelude::*;

use super::*;

/// Which variables each row could be of, as bits.
type Truth = Vec<u64>;

/// One match: the number of its first row, and the variable of each of its rows.
type Assigned = (usize, Vec<usize>);

/// The definition, by trying.
struct Reference<'a> {
    pattern: &'a [PatternVariable],
    truth: &'a Truth,
    within: Option<usize>,
}

impl Reference<'_> {
    fn holds(&self, row: usize, variable: usize) -> bool {
        self.truth[row] & (1 << variable) != 0
    }

    /// Whether `row` may be left by the greedy ones among the variables from `from` to before
    /// `to`.
    fn let_go(&self, row: usize, from: usize, to: usize) -> bool {
        (from..to).all(|v| !(self.pattern[v].takes_all() && self.holds(row, v)))
    }

    fn count(variables: &[usize], variable: usize) -> usize {
        variables.iter().filter(|v| **v == variable).count()
    }

    /// Whether `variables` may be what rows from `start` on begin with.
    fn is_possible(&self, start: usize, variables: &[usize]) -> bool {
        let mut before = 0;
        for (at, variable) in variables.iter().enumerate() {
            let row = start + at;
            let skips = before..*variable;
            let enough =
                |v: usize| Self::count(&variables[..at], v) >= self.pattern[v].min as usize;
            let bound = self.pattern[*variable]
                .max
                .is_none_or(|max| Self::count(&variables[..=at], *variable) <= max as usize);
            if *variable < before
                || !self.holds(row, *variable)
                || !bound
                || !skips.clone().all(enough)
                || !self.let_go(row, skips.start, skips.end)
            {
                return false;
            }
            before = *variable;
        }
        self.within.is_none_or(|within| variables.len() <= within)
    }

    fn is_complete(&self, start: usize, variables: &[usize]) -> bool {
        let Some(last) = variables.last() else { return false };
        let enough = |v: usize| Self::count(variables, v) >= self.pattern[v].min as usize;
        let row = start + variables.len() - 1;
        (*last..self.pattern.len()).all(enough) && self.let_go(row, *last, self.pattern.len() - 1)
    }

    /// Assignments of `rows` rows from `start` on, in the order of their variables.
    fn assignments(&self, start: usize, rows: usize) -> Vec<Vec<usize>> {
        let mut all: Vec<Vec<usize>> = vec![Vec::new()];
        for _ in 0..rows {
            let longer = all.iter().flat_map(|one| {
                (0..self.pattern.len()).map(move |v| [one.as_slice(), &[v]].concat())
            });
            all = longer.filter(|one| self.is_possible(start, one)).collect();
        }
        all
    }

    /// The match that begins with `start` and completes first.
    fn first(&self, start: usize) -> Option<Vec<usize>> {
        (1..=self.truth.len() - start).find_map(|rows| {
            self.assignments(start, rows).into_iter().find(|one| self.is_complete(start, one))
        })
    }

    /// Whether a match that begins with `start` could still come.
    fn is_open(&self, start: usize) -> bool {
        !self.assignments(start, self.truth.len() - start).is_empty()
    }

    /// All matches; an error ends them.
    fn all(&self, skip: &AfterMatchSkip) -> (Vec<Assigned>, bool) {
        let mut found = Vec::new();
        let mut start = 0;
        while start < self.truth.len() {
            let Some(variables) = self.first(start) else {
                if self.is_open(start) {
                    break;
                }
                start += 1;
                continue;
            };
            let place = |name: &String, last: bool| {
                let v = self.pattern.iter().position(|v| v.name == *name).unwrap();
                let mut rows = variables.iter().enumerate().filter(|(_, x)| **x == v);
                let found = if last { rows.next_back() } else { rows.next() };
                found.map(|(at, _)| start + at).filter(|target| *target != start)
            };
            let next = match skip {
                AfterMatchSkip::PastLastRow => Some(start + variables.len()),
                AfterMatchSkip::ToNextRow => Some(start + 1),
                AfterMatchSkip::ToFirst { variable } => place(variable, false),
                AfterMatchSkip::ToLast { variable } => place(variable, true),
            };
            let Some(next) = next else { return (found, true) };
            found.push((start, variables));
            start = next;
        }
        (found, false)
    }
}

/// The automaton over the same rows, a second apart.
fn followed(spec: &MatchRecognize, truth: &Truth) -> (Vec<Assigned>, bool) {
    let program = Program::new(spec).unwrap();
    let variables = spec.pattern.len();
    let mut candidates = Candidates::new(variables);
    let (mut next, mut done) = (Matches::new(variables), Matches::new(variables));
    let mut due = Matches::new(variables);
    let mut failed = false;
    for (row, truth) in truth.iter().enumerate() {
        if let Some(within) = spec.within_ms {
            let Candidates { open, waiting } = &mut candidates;
            open.retain(|start| row as i64 - i64::from(start) < within);
            failed |= program.settle(open, waiting, &mut due).is_err();
        }
        let mut open = candidates.open.clone();
        open.push_fresh(row as u32);
        for one in open.iter() {
            let asked = program.asked(one);
            // What is not asked for must not matter.
            program.step(one, truth & asked, &mut next, &mut done);
        }
        failed |= candidates.advance(&program, &mut next, &mut done, &mut due).is_err();
        if failed {
            break;
        }
    }
    let assigned = due.iter().map(|found| {
        let of = |v: usize| std::iter::repeat_n(v, found.rows(v).len());
        (found.start() as usize, (0..variables).flat_map(of).collect())
    });
    (assigned.collect(), failed)
}

fn quantifier() -> impl Strategy<Value = (u32, Option<u32>, bool)> {
    prop_oneof![
        3 => Just((1, Some(1), false)),
        1 => Just((0, Some(1), false)),
        2 => any::<bool>().prop_map(|r| (0, None, r)),
        2 => any::<bool>().prop_map(|r| (1, None, r)),
        1 => (1_u32..3).prop_map(|n| (n, Some(n), false)),
        1 => (1_u32..3, any::<bool>()).prop_map(|(n, r)| (n, None, r)),
        2 => (0_u32..3, 1_u32..3, any::<bool>()).prop_map(|(n, more, r)| (n, Some(n + more), r)),
    ]
}

fn pattern() -> impl Strategy<Value = Vec<PatternVariable>> {
    prop::collection::vec(quantifier(), 1..5).prop_map(|quantifiers| {
        let variable = |(at, (min, max, reluctant)): (usize, _)| PatternVariable {
            name: ["A", "B", "C", "D"][at].to_owned(),
            min,
            max,
            reluctant,
            condition: None,
        };
        quantifiers.into_iter().enumerate().map(variable).collect()
    })
}

fn skips(variables: usize) -> impl Strategy<Value = AfterMatchSkip> {
    let name = |v: usize| ["A", "B", "C", "D"][v].to_owned();
    prop_oneof![
        Just(AfterMatchSkip::PastLastRow),
        Just(AfterMatchSkip::ToNextRow),
        (0..variables).prop_map(move |v| AfterMatchSkip::ToFirst { variable: name(v) }),
        (0..variables).prop_map(move |v| AfterMatchSkip::ToLast { variable: name(v) }),
    ]
}

fn cases() -> impl Strategy<Value = (MatchRecognize, Truth)> {
    pattern()
        .prop_flat_map(|pattern| {
            let skip = skips(pattern.len());
            let within = prop::option::of(1_i64..6);
            // Rows that could be of many variables make the choices.
            let truth = prop::collection::vec(any::<u64>().prop_map(|bits| bits % 16), 1..9);
            (Just(pattern), skip, within, truth)
        })
        .prop_map(|(pattern, skip, within_ms, truth)| {
            (MatchRecognize { pattern, skip, within_ms, ..MatchRecognize::default() }, truth)
        })
        .prop_filter("refused", |(spec, _)| model::operator_schema::check_pattern(spec).is_ok())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn matches_are_those_of_the_definition((spec, truth) in cases()) {
        let within = spec.within_ms.map(|ms| ms as usize);
        let reference = Reference { pattern: &spec.pattern, truth: &truth, within };
        prop_assert_eq!(followed(&spec, &truth), reference.all(&spec.skip));
    }
}

fn spec(quantifiers: &[(u32, Option<u32>, bool)], skip: AfterMatchSkip) -> MatchRecognize {
    let variable = |(at, (min, max, reluctant)): (usize, &(u32, Option<u32>, bool))| {
        let name = ["A", "B", "C", "D"][at].to_owned();
        PatternVariable { name, min: *min, max: *max, reluctant: *reluctant, condition: None }
    };
    let pattern = quantifiers.iter().enumerate().map(variable).collect();
    MatchRecognize { pattern, skip, ..MatchRecognize::default() }
}

const ONE: (u32, Option<u32>, bool) = (1, Some(1), false);

/// The rows of Flink's page on greed: 10 to 14 and 16, `A > 10`, `B < 15`, `C > 12`.
#[test]
fn greed_swallows_what_it_can_and_reluctance_does_not() {
    let truth = vec![0b010, 0b011, 0b011, 0b111, 0b111, 0b101];
    let greedy = spec(&[ONE, (0, None, false), ONE], AfterMatchSkip::PastLastRow);
    assert_eq!(followed(&greedy, &truth), (vec![(1, vec![0, 1, 1, 1, 2])], false));
    let reluctant = spec(&[ONE, (0, None, true), ONE], AfterMatchSkip::PastLastRow);
    let expected = vec![(1, vec![0, 1, 2])];
    assert_eq!(followed(&reluctant, &truth[..5].to_vec()), (expected, false));
}

#[test]
fn a_skip_that_goes_nowhere_is_an_error() {
    let to = |variable: &str| AfterMatchSkip::ToFirst { variable: variable.into() };
    let (found, failed) = followed(&spec(&[ONE, ONE], to("A")), &vec![0b01, 0b10]);
    assert!(found.is_empty() && failed);
    let (found, failed) = followed(&spec(&[ONE, (0, Some(1), false), ONE], to("B")), &vec![1, 4]);
    assert!(found.is_empty() && failed);
}
