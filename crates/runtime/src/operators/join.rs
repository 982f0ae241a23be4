//! The regular join: rows of both inputs with equal keys, for ever or until they expire.
//! Built by `operators::build`.
//!
//! A batch of one side looks for its partners in the other side at once; the other side
//! does not change meanwhile. Then it joins its own side. Outer joins know of every row how
//! many partners it has: when the first comes, the row padded with NULLs is taken back, and
//! when the last goes, it is put out again.

mod chains;
pub(super) mod residual;
pub(super) mod row_store;
mod side;

use arrow::array::{ArrayRef, RecordBatch, UInt8Array, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use model::Result;
use model::expression::Expressions;
use model::key_group::hash_columns;
use model::operator_schema::{column_index, join_schema, key_indices, pair_schema};
use model::operator_spec::{Join, JoinType};
use model::row_kind::{self, RowKind};

use super::hash_join::OUTPUT_ROWS;
use crate::operator::{Operator, OperatorContext, Output};
use chains::END;
use residual::Residual;
use side::{Cursor, Matches, Side, SideOptions, adds, checked_kinds};

/// See [`Join`].
pub struct JoinOperator {
    join_type: JoinType,
    output: SchemaRef,
    /// Left, right.
    sides: [Side; 2],
    residual: Option<Residual>,
    matches: Matches,
    hashes: Vec<u64>,
}

/// Rows to put out. [`END`]: NULLs.
#[derive(Default)]
struct Rows {
    probe: Vec<u32>,
    stored: Vec<u32>,
    kinds: Vec<u8>,
}

impl Rows {
    fn push(&mut self, probe: u32, stored: u32, kind: u8) {
        self.probe.push(probe);
        self.stored.push(stored);
        self.kinds.push(kind);
    }
}

const INSERT: u8 = RowKind::Insert as u8;
const DELETE: u8 = RowKind::Delete as u8;

impl JoinOperator {
    /// A User error when spec and inputs do not fit.
    pub fn new(
        spec: &Join,
        left: &SchemaRef,
        right: &SchemaRef,
        expressions: &dyn Expressions,
    ) -> Result<Self> {
        let output = join_schema(spec, left, right)?;
        let positions = |input: &SchemaRef, names: &[String]| -> Result<Vec<usize>> {
            names.iter().map(|name| column_index(input, name)).collect()
        };
        use JoinType as T;
        let left_side = Side::new(SideOptions {
            log_name: "left",
            input: left,
            keys: key_indices(left, &spec.left_keys)?,
            unique: positions(left, &spec.left_unique)?,
            count_partners: matches!(spec.join_type, T::Left | T::Full | T::Semi | T::Anti),
            ttl_ms: spec.left_ttl_ms,
        });
        let right_side = Side::new(SideOptions {
            log_name: "right",
            input: right,
            keys: key_indices(right, &spec.right_keys)?,
            unique: positions(right, &spec.right_unique)?,
            count_partners: matches!(spec.join_type, T::Right | T::Full),
            ttl_ms: spec.right_ttl_ms,
        });
        let residual = match &spec.predicate {
            None => None,
            Some(text) => {
                let pair = pair_schema(left, right, &spec.right_prefix)?;
                Some(Residual::new(text, &pair, left_side.width, expressions)?)
            }
        };
        Ok(Self {
            join_type: spec.join_type,
            output,
            sides: [left_side, right_side],
            residual,
            matches: Matches::default(),
            hashes: Vec::new(),
        })
    }

    fn is_semi(&self) -> bool {
        matches!(self.join_type, JoinType::Semi | JoinType::Anti)
    }

    /// Joins a batch of side `port` with the other side, puts the result out, and answers
    /// how many partners each row has, when that is to be known.
    fn join_batch(
        &mut self,
        port: usize,
        batch: &RecordBatch,
        out: Option<&mut Output>,
    ) -> Result<Vec<u32>> {
        let kinds = checked_kinds(batch)?;
        let kind = |row: u32| kinds.map_or(INSERT, |kinds| kinds.value(row as usize));
        let counts_own = self.sides[port].partners.is_some();
        let semi = self.is_semi();
        let plain_pairs = out.is_some() && !semi && !counts_own && !self.counts_other(port);
        let mut counts = vec![0; if counts_own { batch.num_rows() } else { 0 }];
        let mut rows = Rows::default();
        let mut cursor = Cursor::default();
        let mut finished = 0;
        let keys = self.sides[port].keys.clone();
        let hashes = std::mem::take(&mut self.hashes);
        let probe = self.sides[1 - port].probe_with(batch, &keys, &hashes);
        let mut matches = std::mem::take(&mut self.matches);
        let mut out = out;
        while self.sides[1 - port].probe(&probe, &mut cursor, OUTPUT_ROWS, &mut matches)? {
            self.keep_matching(port, batch, &mut matches)?;
            if plain_pairs {
                rows.kinds.extend(matches.probe.iter().map(|row| kind(*row)));
                rows.probe.extend_from_slice(&matches.probe);
                rows.stored.extend_from_slice(&matches.stored);
            } else {
                for (row, stored) in matches.probe.iter().zip(&matches.stored) {
                    self.finish_rows(port, finished..*row, &counts, kind, &mut rows);
                    finished = *row;
                    if counts_own {
                        counts[*row as usize] += 1;
                    }
                    if out.is_some() {
                        self.add_pair(port, (*row, *stored), kind(*row), &mut rows);
                    }
                }
                self.finish_rows(port, finished..cursor.row as u32, &counts, kind, &mut rows);
                finished = cursor.row as u32;
            }
            if let Some(out) = out.as_deref_mut().filter(|_| rows.kinds.len() >= OUTPUT_ROWS) {
                self.emit(port, batch, std::mem::take(&mut rows), out)?;
            }
        }
        if let Some(out) = out {
            self.emit(port, batch, rows, out)?;
        }
        self.matches = matches;
        self.hashes = hashes;
        Ok(counts)
    }

    fn counts_other(&self, port: usize) -> bool {
        self.sides[1 - port].partners.is_some()
    }

    /// Drops the pairs for which the condition is not true.
    fn keep_matching(
        &mut self,
        port: usize,
        batch: &RecordBatch,
        matches: &mut Matches,
    ) -> Result<()> {
        let Some(residual) = self.residual.as_ref().filter(|_| !matches.probe.is_empty()) else {
            return Ok(());
        };
        let stored = &mut self.sides[1 - port].rows;
        let condition =
            residual.evaluate((port, batch), &matches.probe, stored, &matches.stored)?;
        matches.filter(condition.as_ref())
    }

    /// Rows of the batch all of whose partners are known.
    fn finish_rows(
        &self,
        port: usize,
        rows: std::ops::Range<u32>,
        counts: &[u32],
        kind: impl Fn(u32) -> u8,
        output: &mut Rows,
    ) {
        if counts.is_empty() {
            return;
        }
        let wanted_matched = self.join_type == JoinType::Semi;
        if self.is_semi() && port == 1 {
            return;
        }
        for row in rows {
            if (counts[row as usize] > 0) == wanted_matched {
                output.push(row, END, kind(row));
            }
        }
    }

    /// One row of the batch and one partner.
    fn add_pair(&mut self, port: usize, (row, stored): (u32, u32), kind: u8, output: &mut Rows) {
        let adds = adds(kind);
        let other = &mut self.sides[1 - port];
        let (mut first, mut last) = (false, false);
        if let Some(partners) = &mut other.partners {
            let count = &mut partners[stored as usize];
            if adds {
                first = *count == 0;
                *count += 1;
            } else {
                *count = count.saturating_sub(1);
                last = *count == 0;
            }
        }
        match self.join_type {
            JoinType::Semi | JoinType::Anti if port == 0 => {}
            JoinType::Semi | JoinType::Anti => {
                let appears = (self.join_type == JoinType::Semi) == adds;
                if first || last {
                    output.push(END, stored, if appears { INSERT } else { DELETE });
                }
            }
            _ => {
                if first {
                    output.push(END, stored, DELETE);
                }
                output.push(row, stored, kind);
                if last {
                    output.push(END, stored, INSERT);
                }
            }
        }
    }

    fn emit(
        &mut self,
        port: usize,
        batch: &RecordBatch,
        rows: Rows,
        out: &mut Output,
    ) -> Result<()> {
        let Rows { probe, stored, kinds } = rows;
        for from in (0..kinds.len()).step_by(OUTPUT_ROWS) {
            let range = from..(from + OUTPUT_ROWS).min(kinds.len());
            let (probe, stored) = (&probe[range.clone()], &stored[range.clone()]);
            let semi = self.is_semi();
            let of_probe = || probe_columns(batch, self.sides[port].width, probe);
            let mut columns = if semi && port == 0 {
                of_probe()?
            } else {
                let wanted: Vec<usize> = (0..self.sides[1 - port].width).collect();
                let mut near = if semi { Vec::new() } else { of_probe()? };
                let far = self.sides[1 - port].rows.gather(stored.iter().copied(), &wanted)?;
                if port == 0 {
                    near.extend(far);
                    near
                } else {
                    far.into_iter().chain(near).collect()
                }
            };
            if row_kind::is_changelog(&self.output) {
                columns.push(std::sync::Arc::new(UInt8Array::from(kinds[range].to_vec())));
            }
            out.emit(RecordBatch::try_new(SchemaRef::clone(&self.output), columns)?);
        }
        Ok(())
    }

    /// Counts the partners of all rows, after a restore.
    fn count_partners(&mut self) -> Result<()> {
        for port in [0, 1] {
            if self.sides[port].partners.is_none() {
                continue;
            }
            for chunk in 0..self.sides[port].rows.chunks().len() {
                let own = &self.sides[port];
                let batch = own.rows.chunks()[chunk].batch.clone();
                let start = own.rows.start(chunk);
                self.hashes.clear();
                let rows = start..start + batch.num_rows() as u32;
                self.hashes.extend(rows.map(|row| own.hash(row)));
                let counts = self.join_batch(port, &batch, None)?;
                if let Some(partners) = &mut self.sides[port].partners {
                    let at = start as usize;
                    partners[at..at + counts.len()].copy_from_slice(&counts);
                }
            }
        }
        Ok(())
    }
}

/// The first `width` columns of `batch`, with NULLs where `rows` has [`END`].
fn probe_columns(batch: &RecordBatch, width: usize, rows: &[u32]) -> Result<Vec<ArrayRef>> {
    let in_order = rows.len() == batch.num_rows()
        && rows.iter().enumerate().all(|(at, row)| at == *row as usize);
    if in_order {
        return Ok(batch.columns()[..width].to_vec());
    }
    let indices = if rows.contains(&END) {
        rows.iter().map(|row| (*row != END).then_some(*row)).collect::<UInt32Array>()
    } else {
        UInt32Array::from(rows.to_vec())
    };
    batch.columns()[..width].iter().map(|column| Ok(take(column, &indices, None)?)).collect()
}

impl Operator for JoinOperator {
    fn open(&mut self, ctx: &mut OperatorContext) -> Result<()> {
        for side in &mut self.sides {
            side.open(&mut ctx.state)?;
        }
        self.count_partners()
    }

    fn process(
        &mut self,
        port: usize,
        batch: RecordBatch,
        ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        let now_ms = ctx.clock.now_ms();
        for side in &mut self.sides {
            side.expire(&mut ctx.state, now_ms)?;
        }
        hash_columns(&batch, &self.sides[port].keys, &mut self.hashes)?;
        let counts = self.join_batch(port, &batch, Some(out))?;
        self.sides[port].insert(&mut ctx.state, batch, &self.hashes, &counts, now_ms)
    }

    fn next_wakeup_ms(&self) -> Option<i64> {
        self.sides.iter().filter_map(Side::next_expiry_ms).min()
    }

    fn on_wakeup(
        &mut self,
        now_ms: i64,
        ctx: &mut OperatorContext,
        _out: &mut Output,
    ) -> Result<()> {
        self.sides.iter_mut().try_for_each(|side| side.expire(&mut ctx.state, now_ms))
    }
}

#[cfg(test)]
mod tests;
