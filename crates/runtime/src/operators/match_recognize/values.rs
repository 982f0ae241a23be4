//! Values of matches, open and complete, as columns: what conditions and measures read.
//! Called by `match_recognize`.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{Schema, SchemaRef};
use model::operator_schema::column_index;
use model::operator_spec::{AggregateCall, MatchFunction, MatchValue};
use model::{Error, Result};

use super::nfa::{Match, RowNumber};
use crate::operators::accumulator::{AccumulatorOptions, Accumulators};

/// A match whose values are asked for.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// Position and time of every row of its partition.
    pub rows: &'a [(u32, i64)],
    pub found: Match<'a>,
    /// The row behind the match counts, too, as one of this variable.
    pub taking: Option<usize>,
}

impl Subject<'_> {
    /// Rows of `variable`, or all.
    fn range(&self, variable: Option<usize>) -> Range<RowNumber> {
        let mut range = match variable {
            Some(variable) => self.found.rows(variable),
            None => self.found.start()..self.found.end(),
        };
        if let Some(taking) = self.taking
            && variable.is_none_or(|v| v == taking)
        {
            range.end += 1;
        }
        range
    }

    fn position(&self, row: RowNumber) -> u32 {
        self.rows[row as usize].0
    }
}

/// A value of one row.
struct Pick {
    variable: Option<usize>,
    /// Column among those that the operator keeps.
    column: usize,
    last: bool,
    offset: u32,
}

enum Item {
    Pick(Pick),
    /// How many rows there are.
    Count(Option<usize>),
    Aggregate(Box<Aggregate>),
}

/// One aggregate call, with accumulators of its own.
struct Aggregate {
    variable: Option<usize>,
    /// What it reads among the columns that the operator keeps.
    columns: Vec<usize>,
    schema: SchemaRef,
    accumulators: Accumulators,
}

/// A list of values, ready to be computed over the columns of `kept`.
pub struct Values {
    items: Vec<Item>,
}

impl Values {
    /// `pattern` has the names of the variables, `kept` the columns that the operator keeps.
    pub fn new(values: &[MatchValue], pattern: &[&str], kept: &Schema) -> Result<Self> {
        let mut items = Vec::with_capacity(values.len());
        for value in values {
            let variable = match &value.variable {
                None => None,
                Some(name) => Some(pattern.iter().position(|v| v == name).ok_or_else(|| {
                    Error::user(format!("`{name}` is no variable of the pattern"))
                })?),
            };
            let pick = |column: &String, last, offset| -> Result<Item> {
                let column = column_index(kept, column)?;
                Ok(Item::Pick(Pick { variable, column, last, offset }))
            };
            items.push(match &value.function {
                MatchFunction::First { column, offset } => pick(column, false, *offset)?,
                MatchFunction::Last { column, offset } => pick(column, true, *offset)?,
                MatchFunction::Aggregate(call) => {
                    let call = AggregateCall { name: value.name.clone(), ..call.clone() };
                    Aggregate::item(variable, call, kept)?
                }
            });
        }
        Ok(Self { items })
    }

    /// One array per value, with an element per subject. `rows` has the rows of all
    /// partitions at the positions that the subjects name.
    pub fn compute(&self, rows: &RecordBatch, subjects: &[Subject<'_>]) -> Result<Vec<ArrayRef>> {
        let mut arrays = Vec::with_capacity(self.items.len());
        for item in &self.items {
            arrays.push(match item {
                Item::Pick(pick) => {
                    let positions: UInt32Array =
                        subjects.iter().map(|subject| pick.position(subject)).collect();
                    take(rows.column(pick.column), &positions, None)?
                }
                Item::Count(variable) => {
                    let count = |subject: &Subject<'_>| subject.range(*variable).len() as i64;
                    Arc::new(subjects.iter().map(count).collect::<Int64Array>())
                }
                Item::Aggregate(aggregate) => aggregate.compute(rows, subjects)?,
            });
        }
        Ok(arrays)
    }

    /// As [`Self::compute`], for values of nothing but the row itself: one of each row of
    /// `rows`.
    pub fn of_rows(&self, rows: &RecordBatch) -> Vec<ArrayRef> {
        let column = |item: &Item| match item {
            Item::Pick(pick) => Some(Arc::clone(rows.column(pick.column))),
            _ => None,
        };
        self.items.iter().filter_map(column).collect()
    }
}

impl Pick {
    fn position(&self, subject: &Subject<'_>) -> Option<u32> {
        let range = subject.range(self.variable);
        let row = match self.last {
            true => range.end.checked_sub(self.offset)?.checked_sub(1)?,
            false => range.start.checked_add(self.offset)?,
        };
        range.contains(&row).then(|| subject.position(row))
    }
}

impl Aggregate {
    fn item(variable: Option<usize>, call: AggregateCall, kept: &Schema) -> Result<Item> {
        let names = call.column.iter().chain(&call.more_columns).chain(&call.filter);
        let mut columns =
            names.map(|name| column_index(kept, name)).collect::<Result<Vec<usize>>>()?;
        columns.sort_unstable();
        columns.dedup();
        if columns.is_empty() {
            return Ok(Item::Count(variable));
        }
        let schema = Arc::new(kept.project(&columns)?);
        let options = AccumulatorOptions::default();
        let accumulators = Accumulators::new(&[call], &schema, options)?;
        Ok(Item::Aggregate(Box::new(Self { variable, columns, schema, accumulators })))
    }

    fn compute(&self, rows: &RecordBatch, subjects: &[Subject<'_>]) -> Result<ArrayRef> {
        let (mut positions, mut groups) = (Vec::new(), Vec::new());
        for (group, subject) in subjects.iter().enumerate() {
            for row in subject.range(self.variable) {
                positions.push(subject.position(row));
                groups.push(group as u32);
            }
        }
        // Only the rows that count are read: the others may be many.
        let positions = UInt32Array::from(positions);
        let used = self.columns.iter().map(|column| take(rows.column(*column), &positions, None));
        let used = used.collect::<std::result::Result<Vec<ArrayRef>, _>>()?;
        let used = RecordBatch::try_new(Arc::clone(&self.schema), used)?;
        let arguments = self.accumulators.arguments(&used, None)?;
        let mut columns = self.accumulators.columns(subjects.len());
        self.accumulators.update(&mut columns, &arguments, None, &groups);
        let all: Vec<u32> = (0..subjects.len() as u32).collect();
        let mut outputs = self.accumulators.output(&mut columns, &all)?;
        outputs.pop().ok_or_else(|| Error::internal("an aggregate of a match has no output"))
    }
}

/// The columns of a condition's values as its predicate wants them.
pub fn condition_batch(
    schema: &SchemaRef,
    mut columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch> {
    if columns.is_empty() {
        columns.push(Arc::new(BooleanArray::from(vec![true; rows])));
    }
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}
