//! The automaton of MATCH_RECOGNIZE: which matches a row begins, carries on and completes.
//! Pure; conditions are decided by the caller. Called by `match_recognize`.
//!
//! Rows of a match follow each other without any in between, and every variable has its place
//! in the pattern. So a match is the number of its first row and, for every variable, where
//! its rows end; there is no buffer of shared prefixes. Every row may begin a match, and a
//! match that cannot take a row is over. The rules, Flink's:
//!
//! - A variable that takes all it can (greedy, with a choice) leaves none of its rows to the
//!   next variable, not even when it has as many as it may: there is no stepping back.
//! - All other choices are followed side by side, and the one that completes first counts.
//! - A completed match waits until no match that began before it is open.

use std::ops::Range;

use model::operator_spec::{AfterMatchSkip, MatchRecognize};
use model::{Error, Result};

/// Rows of one partition by number; a match is a flat list of these.
pub type RowNumber = u32;

/// Matches, open or complete, in one vector: per match the variable that took the last row,
/// the first row, then per variable the end of its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matches {
    width: usize,
    data: Vec<u32>,
}

/// One of [`Matches`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match<'a>(&'a [u32]);

impl Matches {
    pub fn new(variables: usize) -> Self {
        Self { width: variables + 2, data: Vec::new() }
    }

    /// From [`Self::data`]; `None` when that was of another number of variables.
    pub fn from_data(variables: usize, data: Vec<u32>) -> Option<Self> {
        let width = variables + 2;
        data.len().is_multiple_of(width).then_some(Self { width, data })
    }

    pub fn data(&self) -> &[u32] {
        &self.data
    }

    pub fn len(&self) -> usize {
        self.data.len() / self.width.max(1)
    }

    pub fn get(&self, index: usize) -> Match<'_> {
        Match(&self.data[index * self.width..(index + 1) * self.width])
    }

    pub fn iter(&self) -> impl Iterator<Item = Match<'_>> {
        self.data.chunks_exact(self.width).map(Match)
    }

    pub fn first(&self) -> Option<Match<'_>> {
        self.data.get(..self.width).map(Match)
    }

    pub fn clear(&mut self) {
        self.data.clear();
    }

    pub fn push(&mut self, one: Match<'_>) {
        self.data.extend_from_slice(one.0);
    }

    /// A match that has no row yet and would begin with `row`.
    pub fn push_fresh(&mut self, row: RowNumber) {
        self.data.push(0);
        self.data.extend(std::iter::repeat_n(row, self.width - 1));
    }

    /// `one` with one row more, of `variable`.
    fn push_with_row(&mut self, one: Match<'_>, variable: usize) {
        let at = self.data.len();
        self.data.extend_from_slice(one.0);
        self.data[at] = variable as u32;
        self.data[at + 2 + variable..].iter_mut().for_each(|end| *end += 1);
    }

    /// Keeps the matches that begin where `keep` says.
    fn retain(&mut self, keep: impl Fn(RowNumber) -> bool) {
        let mut kept = 0;
        for from in (0..self.data.len()).step_by(self.width) {
            if keep(self.data[from + 1]) {
                self.data.copy_within(from..from + self.width, kept);
                kept += self.width;
            }
        }
        self.data.truncate(kept);
    }

    /// Rows are numbered from `base` on, which becomes 0.
    pub fn rebase(&mut self, base: RowNumber) {
        for one in self.data.chunks_exact_mut(self.width) {
            one[1..].iter_mut().for_each(|number| *number -= base);
        }
    }

    /// Puts `one` behind those that begin before it or with it.
    fn insert_by_start(&mut self, one: Match<'_>) {
        let behind = self.iter().filter(|other| other.start() <= one.start()).count();
        let at = behind * self.width;
        self.data.splice(at..at, one.0.iter().copied());
    }

    fn remove_first(&mut self) {
        self.data.drain(..self.width);
    }
}

impl Match<'_> {
    pub fn start(&self) -> RowNumber {
        self.0[1]
    }

    /// One behind the last row.
    pub fn end(&self) -> RowNumber {
        self.0[self.0.len() - 1]
    }

    /// The rows of `variable`.
    pub fn rows(&self, variable: usize) -> Range<RowNumber> {
        self.0[1 + variable]..self.0[2 + variable]
    }

    fn variable(&self) -> usize {
        self.0[0] as usize
    }
}

struct Variable {
    name: String,
    min: u32,
    max: u32,
    takes_all: bool,
    /// Every variable behind may be left out.
    last: bool,
    /// Variables from this one on that take all they can, but the last of the pattern: a row
    /// that one of them could take ends no match.
    holds: u64,
}

/// A pattern, ready to be followed.
pub struct Program {
    variables: Vec<Variable>,
    skip: Skip,
}

#[derive(Clone, Copy)]
enum Skip {
    PastLastRow,
    ToNextRow,
    ToFirst(usize),
    ToLast(usize),
}

fn bit(variable: usize) -> u64 {
    1 << variable
}

impl Program {
    /// Of a pattern that `operator_schema::check_pattern` lets through.
    pub fn new(spec: &MatchRecognize) -> Result<Self> {
        let pattern = &spec.pattern;
        let index = |name: &String| {
            let found = pattern.iter().position(|v| v.name == *name);
            found.ok_or_else(|| Error::internal(format!("`{name}` is not in the pattern")))
        };
        let skip = match &spec.skip {
            AfterMatchSkip::PastLastRow => Skip::PastLastRow,
            AfterMatchSkip::ToNextRow => Skip::ToNextRow,
            AfterMatchSkip::ToFirst { variable } => Skip::ToFirst(index(variable)?),
            AfterMatchSkip::ToLast { variable } => Skip::ToLast(index(variable)?),
        };
        let mut variables: Vec<Variable> = Vec::with_capacity(pattern.len());
        for (at, variable) in pattern.iter().enumerate() {
            let rest = at..pattern.len() - 1;
            let holds = rest.filter(|i| pattern[*i].takes_all()).map(bit).sum();
            variables.push(Variable {
                name: variable.name.clone(),
                min: variable.min,
                max: variable.max.unwrap_or(u32::MAX),
                takes_all: variable.takes_all(),
                last: pattern[at + 1..].iter().all(|v| v.min == 0),
                holds,
            });
        }
        Ok(Self { variables, skip })
    }

    pub fn variables(&self) -> usize {
        self.variables.len()
    }

    /// The variables whose condition decides what `open` does with the next row, as bits.
    pub fn asked(&self, open: Match<'_>) -> u64 {
        let at = open.variable();
        let count = open.rows(at).len() as u32;
        let mut asked = 0;
        let ask = |variable: usize| {
            let own = &self.variables[variable];
            bit(variable) | if own.last { own.holds } else { 0 }
        };
        if count < self.variables[at].max {
            asked |= ask(at);
        }
        if count < self.variables[at].min {
            return asked;
        }
        for next in at + 1..self.variables.len() {
            if self.variables[next - 1].takes_all {
                asked |= bit(next - 1);
            }
            asked |= ask(next);
            if self.variables[next].min > 0 {
                break;
            }
        }
        asked
    }

    /// Carries `open` on by the next row. `truth` has the bits of the variables that the row
    /// could be of. Matches that stay open go to `next`, complete ones to `done`.
    pub fn step(&self, open: Match<'_>, truth: u64, next: &mut Matches, done: &mut Matches) {
        let at = open.variable();
        let count = open.rows(at).len() as u32;
        if count < self.variables[at].max && truth & bit(at) != 0 {
            self.take(open, (at, count + 1), truth, next, done);
        }
        if count < self.variables[at].min {
            return;
        }
        for variable in at + 1..self.variables.len() {
            if self.variables[variable - 1].takes_all && truth & bit(variable - 1) != 0 {
                break;
            }
            if truth & bit(variable) != 0 {
                self.take(open, (variable, 1), truth, next, done);
            }
            if self.variables[variable].min > 0 {
                break;
            }
        }
    }

    /// The row is the `count`th of `variable`.
    fn take(
        &self,
        open: Match<'_>,
        (variable, count): (usize, u32),
        truth: u64,
        next: &mut Matches,
        done: &mut Matches,
    ) {
        let own = &self.variables[variable];
        let full = variable + 1 == self.variables.len() && count == own.max;
        if !full {
            next.push_with_row(open, variable);
        }
        if own.last && count >= own.min && truth & own.holds == 0 {
            done.push_with_row(open, variable);
        }
    }

    /// Moves the matches that are due from `waiting` to `due`, and drops what they skip.
    /// `open` is in order of start, as `step` makes it. A User error when a match says to skip
    /// to a row that it does not have, or to its own first row.
    pub fn settle(
        &self,
        open: &mut Matches,
        waiting: &mut Matches,
        due: &mut Matches,
    ) -> Result<()> {
        while let Some(first) = waiting.first() {
            if open.first().is_some_and(|earliest| earliest.start() < first.start()) {
                break;
            }
            let from = self.next_start(first)?;
            due.push(first);
            waiting.remove_first();
            open.retain(|start| start >= from);
            waiting.retain(|start| start >= from);
        }
        Ok(())
    }

    /// The first row that the next match may start with.
    fn next_start(&self, found: Match<'_>) -> Result<RowNumber> {
        let variable = match self.skip {
            Skip::PastLastRow => return Ok(found.end()),
            Skip::ToNextRow => return Ok(found.start() + 1),
            Skip::ToFirst(variable) | Skip::ToLast(variable) => variable,
        };
        let name = &self.variables[variable].name;
        let rows = found.rows(variable);
        if rows.is_empty() {
            return Err(Error::user(format!(
                "AFTER MATCH SKIP TO `{name}`: a match has no row of it; skip to a variable that \
                 every match has"
            )));
        }
        let target = match self.skip {
            Skip::ToFirst(_) => rows.start,
            _ => rows.end - 1,
        };
        if target == found.start() {
            return Err(Error::user(format!(
                "AFTER MATCH SKIP TO `{name}`: it is the first row of a match, so the same match \
                 would be found for ever; skip to another variable or to the next row"
            )));
        }
        Ok(target)
    }
}

/// The matches of one partition that are not put out yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidates {
    /// May take further rows; in order of start.
    pub open: Matches,
    /// Complete, but one that began before is open; in order of start.
    pub waiting: Matches,
}

impl Candidates {
    pub fn new(variables: usize) -> Self {
        Self { open: Matches::new(variables), waiting: Matches::new(variables) }
    }

    /// The first row that one of them has.
    pub fn first_row(&self) -> Option<RowNumber> {
        let first = [&self.open, &self.waiting];
        first.iter().filter_map(|m| m.first()).map(|m| m.start()).min()
    }

    /// Drops open matches that begin before `first`.
    pub fn drop_before(&mut self, first: RowNumber) {
        self.open.retain(|start| start >= first);
    }

    /// Takes what [`Program::step`] made of the open matches, and settles.
    pub fn advance(
        &mut self,
        program: &Program,
        next: &mut Matches,
        done: &mut Matches,
        due: &mut Matches,
    ) -> Result<()> {
        std::mem::swap(&mut self.open, next);
        next.clear();
        for complete in done.iter() {
            self.waiting.insert_by_start(complete);
        }
        done.clear();
        program.settle(&mut self.open, &mut self.waiting, due)
    }
}

#[cfg(test)]
mod tests;
