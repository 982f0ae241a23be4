//! Each row with the rows of a table outside of the job that have equal keys. Built by
//! `operators::build`; the table comes from `deploy.rs`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use model::expression::{Expression, Expressions};
use model::key_group::hash_columns;
use model::operator_schema::{key_indices, lookup_join_schema, pair_schema};
use model::operator_spec::{JoinType, LookupJoin};
use model::{Error, Result, row_kind};

use super::hash_join::{Cursor, IndexedRows, Matches, Probe, RowFlags, null_columns};
use crate::lookup::LookupTable;
use crate::operator::{Operator, OperatorContext, Output};

/// See [`LookupJoin`].
pub struct LookupJoinOperator {
    output: SchemaRef,
    table_schema: SchemaRef,
    left_keys: Vec<usize>,
    table_keys: Vec<usize>,
    left_width: usize,
    outer: bool,
    predicate: Option<(Box<dyn Expression>, SchemaRef)>,
    table: Option<LookupTable>,
    rows: IndexedRows,
    hashes: Vec<u64>,
}

impl LookupJoinOperator {
    /// A User error when spec and input do not fit.
    pub fn new(spec: &LookupJoin, left: &SchemaRef, expressions: &dyn Expressions) -> Result<Self> {
        let predicate = match &spec.predicate {
            None => None,
            Some(text) => {
                let pair = pair_schema(left, &spec.table_schema, &spec.right_prefix)?;
                Some((expressions.compile(text, &pair)?, pair))
            }
        };
        let table_keys = key_indices(&spec.table_schema, &spec.table_keys)?;
        Ok(Self {
            output: lookup_join_schema(spec, left)?,
            table_schema: Arc::clone(&spec.table_schema),
            left_keys: key_indices(left, &spec.left_keys)?,
            left_width: left.fields().len() - usize::from(row_kind::is_changelog(left)),
            outer: spec.join_type == JoinType::Left,
            predicate,
            table: None,
            rows: IndexedRows::new(&table_keys),
            table_keys,
            hashes: Vec::new(),
        })
    }

    /// Takes over the table's rows when they were read anew.
    fn refresh(&mut self) -> Result<()> {
        let table = self.table.as_ref();
        let table = table.ok_or_else(|| Error::internal("a lookupJoin without its table"))?;
        let Some(batches) = table.take()? else { return Ok(()) };
        let mut rows = IndexedRows::new(&self.table_keys);
        for batch in batches {
            hash_columns(&batch, &self.table_keys, &mut self.hashes)?;
            rows.push(batch, &self.hashes)?;
            rows.merge_small_chunks()?;
        }
        self.rows = rows;
        Ok(())
    }

    /// Leaves pairs out for which the condition is not true.
    fn keep_matching(&self, batch: &RecordBatch, matches: &mut Matches) -> Result<()> {
        let Some((predicate, schema)) = self.predicate.as_ref().filter(|_| !matches.is_empty())
        else {
            return Ok(());
        };
        let probe = UInt32Array::from(matches.probe.clone());
        let mut pair = Vec::with_capacity(schema.fields().len());
        for column in &batch.columns()[..self.left_width] {
            pair.push(take(column, &probe, None)?);
        }
        pair.extend(self.rows.gather(&matches.stored)?);
        let condition = predicate.evaluate(&RecordBatch::try_new(Arc::clone(schema), pair)?)?;
        let condition = condition
            .as_boolean_opt()
            .ok_or_else(|| Error::internal("a join condition is no BOOLEAN"))?;
        let is_true = |pair: usize| condition.is_valid(pair) && condition.value(pair);
        for rows in [&mut matches.probe, &mut matches.stored] {
            let mut pair = 0;
            rows.retain(|_| {
                pair += 1;
                is_true(pair - 1)
            });
        }
        Ok(())
    }

    /// Puts pairs out: (row of `batch`, row of the table if there is one).
    fn emit(
        &self,
        batch: &RecordBatch,
        pairs: &[(u32, Option<u32>)],
        out: &mut Output,
    ) -> Result<()> {
        if pairs.is_empty() {
            return Ok(());
        }
        let whole = pairs.len() == batch.num_rows()
            && pairs.iter().enumerate().all(|(at, (row, _))| at == *row as usize);
        let probe = UInt32Array::from_iter_values(pairs.iter().map(|(row, _)| *row));
        let of_left = |column: &ArrayRef| -> Result<ArrayRef> {
            if whole { Ok(Arc::clone(column)) } else { Ok(take(column, &probe, None)?) }
        };
        let mut columns = Vec::with_capacity(self.output.fields().len());
        for column in &batch.columns()[..self.left_width] {
            columns.push(of_left(column)?);
        }
        let found: Vec<u32> = pairs.iter().filter_map(|(_, row)| *row).collect();
        if found.is_empty() {
            columns.extend(null_columns(&self.table_schema, pairs.len()));
        } else if found.len() == pairs.len() {
            columns.extend(self.rows.gather(&found)?);
        } else {
            let mut next = 0;
            let places = pairs.iter().map(|(_, row)| {
                row.map(|_| {
                    next += 1;
                    next - 1
                })
            });
            let places: UInt32Array = places.collect();
            for column in self.rows.gather(&found)? {
                columns.push(take(&column, &places, None)?);
            }
        }
        for column in &batch.columns()[self.left_width..] {
            columns.push(of_left(column)?);
        }
        out.emit(RecordBatch::try_new(Arc::clone(&self.output), columns)?);
        Ok(())
    }
}

/// Pairs in the order of the batch. `undecided` is the first row of which it is not known yet
/// whether it has a partner; those before `decided` have been looked up to the end.
fn in_order(
    matches: &Matches,
    matched: &RowFlags,
    (undecided, decided): (usize, usize),
) -> Vec<(u32, Option<u32>)> {
    let mut pairs = Vec::with_capacity(matches.len());
    let mut row = undecided;
    let mut alone = |until: usize, pairs: &mut Vec<(u32, Option<u32>)>| {
        while row < until {
            if !matched.get(row) {
                pairs.push((row as u32, None));
            }
            row += 1;
        }
    };
    for (probe, stored) in matches.probe.iter().zip(&matches.stored) {
        alone(*probe as usize, &mut pairs);
        pairs.push((*probe, Some(*stored)));
    }
    alone(decided, &mut pairs);
    pairs
}

impl Operator for LookupJoinOperator {
    fn look_up_in(&mut self, table: LookupTable) {
        self.table = Some(table);
    }

    fn process(
        &mut self,
        _port: usize,
        batch: RecordBatch,
        _ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        self.refresh()?;
        hash_columns(&batch, &self.left_keys, &mut self.hashes)?;
        let probe = Probe::new(&batch, &self.left_keys, &self.hashes);
        let (mut cursor, mut matches) = (Cursor::default(), Matches::default());
        let mut matched = RowFlags::none_of(batch.num_rows());
        let mut undecided = 0;
        while self.rows.probe(&probe, &mut cursor, |_, _| true, &mut matches)? {
            self.keep_matching(&batch, &mut matches)?;
            let pairs = if self.outer {
                matched.set(&matches.probe);
                in_order(&matches, &matched, (undecided, cursor.row()))
            } else {
                matches.probe.iter().zip(&matches.stored).map(|(p, s)| (*p, Some(*s))).collect()
            };
            undecided = cursor.row();
            self.emit(&batch, &pairs, out)?;
        }
        if self.outer && undecided < batch.num_rows() {
            let none = Matches::default();
            let pairs = in_order(&none, &matched, (undecided, batch.num_rows()));
            self.emit(&batch, &pairs, out)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
