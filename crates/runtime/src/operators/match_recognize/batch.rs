//! Follows the rows of a batch through the matches of their partitions. Called by
//! `match_recognize`.
//!
//! Partitions do not matter to each other: the first row of each makes the first step, the
//! second the second, and the conditions of a step are decided at once. Those that read
//! nothing but the row are decided for the whole batch before.

use arrow::array::{Array, BooleanArray, RecordBatch};
use model::Result;

use super::nfa::{Matches, Program};
use super::partitions::Partition;
use super::values::Subject;
use super::{Condition, Predicate};
use crate::operators::over_aggregate::steps::Steps;

/// Matches that are due, with what they belong to.
pub struct Found {
    pub matches: Matches,
    /// Per match, its partition.
    pub partitions: Vec<u32>,
    /// Per match, the row of the batch that brought it out.
    rows: Vec<u32>,
}

impl Found {
    pub fn new(variables: usize) -> Self {
        Self { matches: Matches::new(variables), partitions: Vec::new(), rows: Vec::new() }
    }

    /// The last matches were brought out by `row` of the batch.
    fn note(&mut self, partition: u32, row: u32) {
        self.partitions.resize(self.matches.len(), partition);
        self.rows.resize(self.matches.len(), row);
    }

    /// The matches in the order of the rows that brought them out.
    pub fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.matches.len()).collect();
        order.sort_by_key(|index| self.rows[*index]);
        order
    }
}

/// One batch being worked off.
pub struct Work<'a> {
    pub program: &'a Program,
    pub conditions: &'a [Condition],
    pub within_ms: Option<i64>,
    /// The rows of all partitions that are kept, then those of the batch.
    pub rows: &'a RecordBatch,
    /// How many were kept.
    pub old: u32,
    pub partitions: Vec<Partition>,
    pub found: Found,
}

/// An open match, or one that a row may begin, and what the row is to it.
struct Question {
    partition: u32,
    /// Position in `Questions::open`.
    open: usize,
    truth: u64,
}

/// The questions of one step.
#[derive(Default)]
struct Questions {
    /// Open matches of the step's partitions, each partition's followed by a fresh one.
    open: Matches,
    list: Vec<Question>,
    /// Per variable, the questions that ask for its condition.
    asking: Vec<Vec<usize>>,
}

impl Work<'_> {
    /// Takes the rows of the batch, `times` has theirs.
    pub fn follow(&mut self, steps: &Steps, times: &[i64]) -> Result<()> {
        let known = self.known()?;
        let variables = self.program.variables();
        let (mut next, mut done) = (Matches::new(variables), Matches::new(variables));
        let mut questions = Questions {
            open: Matches::new(variables),
            list: Vec::new(),
            asking: vec![Vec::new(); variables],
        };
        for rows in &steps.rows {
            for row in rows {
                let partition = steps.keys[*row as usize];
                self.drop_timed_out(partition, times[*row as usize], *row)?;
            }
            self.ask(rows, steps, &known, &mut questions);
            for row in rows {
                let partition = &mut self.partitions[steps.keys[*row as usize] as usize];
                partition.rows.push((self.old + row, times[*row as usize]));
            }
            self.decide(&mut questions)?;
            let mut asked = questions.list.iter().peekable();
            for row in rows {
                let index = steps.keys[*row as usize];
                while let Some(question) = asked.next_if(|q| q.partition == index) {
                    let open = questions.open.get(question.open);
                    self.program.step(open, question.truth, &mut next, &mut done);
                }
                let candidates = &mut self.partitions[index as usize].candidates;
                candidates.advance(self.program, &mut next, &mut done, &mut self.found.matches)?;
                self.found.note(index, *row);
            }
        }
        Ok(())
    }

    /// Drops what has run out by `now` in all partitions.
    pub fn time_out(&mut self, now: i64) -> Result<()> {
        for partition in 0..self.partitions.len() as u32 {
            self.drop_timed_out(partition, now, 0)?;
        }
        Ok(())
    }

    fn drop_timed_out(&mut self, index: u32, now: i64, row: u32) -> Result<()> {
        let Some(within) = self.within_ms else { return Ok(()) };
        let partition = &mut self.partitions[index as usize];
        let over = partition.rows.partition_point(|(_, time)| now.saturating_sub(*time) >= within);
        let candidates = &mut partition.candidates;
        if candidates.open.first().is_none_or(|oldest| oldest.start() as usize >= over) {
            return Ok(());
        }
        candidates.drop_before(over as u32);
        let (open, waiting) = (&mut candidates.open, &mut candidates.waiting);
        self.program.settle(open, waiting, &mut self.found.matches)?;
        self.found.note(index, row);
        Ok(())
    }

    /// Per variable whose condition is known from the row: which rows of the batch fulfil it.
    fn known(&self) -> Result<Vec<Option<BooleanArray>>> {
        let old = self.old as usize;
        let rows = self.rows.slice(old, self.rows.num_rows() - old);
        let mut known = Vec::with_capacity(self.conditions.len());
        for condition in self.conditions {
            known.push(match condition {
                Condition::OfRow(predicate) => Some(predicate.of_rows(&rows)?),
                _ => None,
            });
        }
        Ok(known)
    }

    /// Collects what the open matches of a step's rows want to know, and answers what is known.
    fn ask(
        &self,
        rows: &[u32],
        steps: &Steps,
        known: &[Option<BooleanArray>],
        questions: &mut Questions,
    ) {
        questions.open.clear();
        questions.list.clear();
        questions.asking.iter_mut().for_each(Vec::clear);
        for row in rows {
            let index = steps.keys[*row as usize];
            let partition = &self.partitions[index as usize];
            let mut answers = 0_u64;
            let mut unknown = 0_u64;
            for (variable, condition) in self.conditions.iter().enumerate() {
                let bit = 1 << variable;
                match (condition, &known[variable]) {
                    (Condition::Always, _) => answers |= bit,
                    (_, Some(rows)) if is_true(rows, *row as usize) => answers |= bit,
                    (_, Some(_)) => {}
                    (_, None) => unknown |= bit,
                }
            }
            partition.candidates.open.iter().for_each(|open| questions.open.push(open));
            questions.open.push_fresh(partition.rows.len() as u32);
            let fresh = questions.open.len();
            for open in fresh - partition.candidates.open.len() - 1..fresh {
                let asked = self.program.asked(questions.open.get(open));
                let truth = answers & asked;
                let unknown = unknown & asked;
                if truth | unknown == 0 {
                    continue;
                }
                for (variable, asking) in questions.asking.iter_mut().enumerate() {
                    if unknown & (1 << variable) != 0 {
                        asking.push(questions.list.len());
                    }
                }
                questions.list.push(Question { partition: index, open, truth });
            }
        }
    }

    /// Answers the rest.
    fn decide(&self, questions: &mut Questions) -> Result<()> {
        let Questions { open, list, asking } = questions;
        for (variable, asking) in asking.iter().enumerate() {
            let (Condition::OfMatch(predicate), false) =
                (&self.conditions[variable], asking.is_empty())
            else {
                continue;
            };
            let truth = self.evaluate(predicate, variable, open, list, asking)?;
            for (at, question) in asking.iter().enumerate() {
                if is_true(&truth, at) {
                    list[*question].truth |= 1 << variable;
                }
            }
        }
        Ok(())
    }

    fn evaluate(
        &self,
        predicate: &Predicate,
        variable: usize,
        open: &Matches,
        list: &[Question],
        asking: &[usize],
    ) -> Result<BooleanArray> {
        let subject = |question: &usize| Subject {
            rows: &self.partitions[list[*question].partition as usize].rows,
            found: open.get(list[*question].open),
            taking: Some(variable),
        };
        let subjects: Vec<Subject<'_>> = asking.iter().map(subject).collect();
        predicate.evaluate(self.rows, &subjects)
    }
}

fn is_true(truth: &BooleanArray, row: usize) -> bool {
    truth.is_valid(row) && truth.value(row)
}
