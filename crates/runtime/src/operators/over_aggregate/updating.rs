//! OVER aggregates of rows that change, or that are ordered by something else than time.
//! Built by `operators::build`.
//!
//! All rows of a key are kept in order. A batch is one step: of each key whose rows changed,
//! the frames that the change reaches are computed as they were and as they are, and the
//! difference is put out. With a bounded frame that is a few rows around each change.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, UInt8Array, UInt32Array};
use arrow::compute::{SortOptions, take};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::row::{RowConverter, Rows, SortField};
use model::key_group::hash_columns;
use model::operator_schema::{column_index, over_aggregate_schema};
use model::operator_spec::{AggregateCall, OverAggregate, OverFunction, OverUnit, TopN};
use model::row_kind::{self, RowKind};
use model::{Error, Result};
use state::{TableId, ValueType};

use super::frames::Frames;
use super::history::History;
use super::needed_columns;
use super::neighbours::{self, Neighbours};
use super::steps::Steps;
use crate::operator::{Operator, OperatorContext, Output};
use crate::operators::accumulator::{AccumulatorOptions, Accumulators};
use crate::operators::encoded_rows::RowCodec;
use crate::operators::hash_join::OUTPUT_ROWS;
use crate::operators::key_columns::KeyColumns;
use crate::operators::ranking::{ChangedRanking, NewRows, RankedBatch, RankedRow, Ranker};
use crate::operators::slot_marks::SlotMarks;
use crate::operators::ttl::{self, TimeToLive};

/// See [`OverAggregate`], with `order_by`.
pub struct UpdatingOverOperator {
    spec: OverAggregate,
    output: SchemaRef,
    keys: KeyColumns,
    sort_columns: Vec<usize>,
    sort: RowConverter,
    ranker: Ranker,
    /// The columns that calls read, and only these.
    needed: Vec<usize>,
    arguments: SchemaRef,
    accumulators: Accumulators,
    reach: Reach,
    /// Compares results; `None`: of a type that cannot be compared, hence always changed.
    results: Option<RowConverter>,
    value_types: Vec<ValueType>,
    ttl: Option<TimeToLive>,
    table: Option<TableId>,
    hashes: Vec<u64>,
    slots: Vec<u32>,
    marks: SlotMarks,
}

/// How far a change is felt, and what must be read to compute a row.
#[derive(Clone, Copy, Debug)]
struct Reach {
    /// Rows before a row that its results depend on; `None`: all.
    before: Option<usize>,
    /// Rows behind a change whose results depend on it; `None`: all.
    behind: Option<usize>,
    /// Rows before a change whose results depend on it.
    ahead: usize,
    /// Results depend on how many rows there are.
    total: bool,
    /// Rows that are equal in order see each other.
    peers: bool,
}

impl Reach {
    fn new(spec: &OverAggregate) -> Self {
        let mut rows = spec.preceding.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        let (mut numbered, mut ranked, mut total, mut ahead) = (false, false, false, 0);
        for call in &spec.calls {
            match &call.function {
                OverFunction::Lag { offset, .. } => {
                    rows = rows.map(|rows| rows.max(*offset as usize));
                }
                OverFunction::RowNumber => numbered = true,
                OverFunction::Rank | OverFunction::DenseRank => ranked = true,
                OverFunction::Lead { offset, .. } => ahead = ahead.max(*offset as usize),
                OverFunction::Ntile { .. } | OverFunction::PercentRank | OverFunction::CumeDist => {
                    total = true;
                }
                OverFunction::Aggregate(_) => {}
            }
        }
        let all = ranked || total;
        Self {
            before: rows.filter(|_| !all),
            behind: rows.filter(|_| !all && !numbered),
            ahead,
            total,
            peers: spec.unit == OverUnit::Range,
        }
    }
}

/// Rows to compute, in order within their group: a key's rows as they were, or as they are.
#[derive(Default)]
struct Sequences<'a> {
    rows: Vec<&'a [u8]>,
    groups: Vec<u32>,
    /// The position of each row among all rows of its key.
    positions: Vec<usize>,
    /// The position of the first row that is equal in order.
    peers: Vec<i64>,
    /// How many different rows in order there were so far.
    dense: Vec<i64>,
    count: u32,
}

impl<'a> Sequences<'a> {
    /// Adds rows `from..` of a key; answers the index of position 0 (which may be before all).
    fn add(&mut self, from: usize, rows: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Base {
        let base = Base { index: self.rows.len(), from };
        let mut last: Option<&[u8]> = None;
        let (mut peer, mut dense) = (from as i64, 0);
        for (position, (sort_key, row)) in (from..).zip(rows) {
            if last != Some(sort_key) {
                last = Some(sort_key);
                peer = position as i64;
                dense += 1;
            }
            self.rows.push(row);
            self.groups.push(self.count);
            self.positions.push(position);
            self.peers.push(peer);
            self.dense.push(dense);
        }
        if self.rows.len() > base.index {
            self.count += 1;
        }
        base
    }
}

impl Sequences<'_> {
    /// Per row, how many rows its key has, where all of them are here.
    fn sizes(&self) -> Vec<i64> {
        neighbours::sizes(&self.groups)
    }
}

/// Where the rows of a key lie in [`Sequences`].
#[derive(Clone, Copy)]
struct Base {
    index: usize,
    from: usize,
}

impl Base {
    fn at(self, position: usize) -> usize {
        self.index + position - self.from
    }
}

/// A key whose rows changed, and which of them get new results.
struct Affected<'a> {
    now: Vec<RankedRow<'a>>,
    /// The first position whose result may differ.
    start: usize,
    old_end: usize,
    new_end: usize,
    old: Base,
    new: Base,
}

impl UpdatingOverOperator {
    /// A User error when spec and input do not fit.
    pub fn new(spec: &OverAggregate, input: &SchemaRef) -> Result<Self> {
        let output = over_aggregate_schema(spec, input)?;
        let width = input.fields().len() - usize::from(row_kind::is_changelog(input));
        let needed = needed_columns(spec, input)?;
        let fields: Vec<_> = needed.iter().map(|c| Arc::clone(&input.fields()[*c])).collect();
        let arguments = Arc::new(Schema::new(fields));
        let calls: Vec<AggregateCall> = spec
            .calls
            .iter()
            .filter_map(|call| match &call.function {
                OverFunction::Aggregate(aggregate) => Some(aggregate.clone()),
                _ => None,
            })
            .collect();
        let retract = spec.preceding.is_some();
        let options = AccumulatorOptions { rows: true, retract, share: false };
        let accumulators = Accumulators::new(&calls, &arguments, options)?;
        let (mut sort_columns, mut sort_fields) = (Vec::new(), Vec::new());
        for order in &spec.order_by {
            let index = column_index(input, &order.column)?;
            sort_columns.push(index);
            // NULL sorts as the smallest value, as in Flink.
            let options =
                SortOptions { descending: order.descending, nulls_first: !order.descending };
            let data_type = input.field(index).data_type().clone();
            sort_fields.push(SortField::new_with_options(data_type, options));
        }
        let results: Vec<SortField> = output.fields()[width..output.fields().len() - 1]
            .iter()
            .map(|f| SortField::new(f.data_type().clone()))
            .collect();
        let comparable = RowConverter::supports_fields(&results);
        let results = if comparable { Some(RowConverter::new(results)?) } else { None };
        let top = TopN { n: u32::MAX, ttl_ms: spec.ttl_ms, ..TopN::default() };
        let mut value_types = vec![ValueType::Bytes];
        let ttl = TimeToLive::new(spec.ttl_ms, &mut value_types);
        Ok(Self {
            spec: spec.clone(),
            output,
            keys: KeyColumns::new(input, &spec.keys)?,
            sort_columns,
            sort: RowConverter::new(sort_fields)?,
            ranker: Ranker::new(RowCodec::new(&input.fields()[..width])?, &top, true),
            needed,
            arguments,
            accumulators,
            reach: Reach::new(spec),
            results,
            value_types,
            ttl,
            table: None,
            hashes: Vec::new(),
            slots: Vec::new(),
            marks: SlotMarks::default(),
        })
    }

    /// What is to be computed of a key; `None` when its rows are what they were.
    fn affected<'a>(
        &self,
        ranking: &'a ChangedRanking,
        batch: &'a RankedBatch<'_>,
        new_rows: &'a NewRows<'_>,
        sequences: &mut Sequences<'a>,
    ) -> Result<Option<Affected<'a>>> {
        let old = ranking.before()?;
        let now = ranking.now(batch, new_rows)?;
        let (old_len, new_len) = (old.len(), now.len());
        let same_front = now.iter().enumerate().take_while(|(at, row)| row.old == Some(*at));
        let mut start = same_front.count();
        if start == old_len && start == new_len {
            return Ok(None);
        }
        let most = old_len.min(new_len) - start;
        let same_back =
            (0..most).take_while(|at| now[new_len - 1 - at].old == Some(old_len - 1 - at)).count();
        if self.reach.peers {
            let first_old = (start < old_len).then(|| old.sort_key(start));
            let first_new = now.get(start).map(|row| row.sort_key);
            let changes = |key: &[u8]| first_old == Some(key) || first_new == Some(key);
            while start > 0 && changes(old.sort_key(start - 1)) {
                start -= 1;
            }
        }
        let ahead = self.reach.ahead;
        start = if self.reach.total { 0 } else { start.saturating_sub(ahead) };
        let behind = self.reach.behind.map_or(same_back, |rows| rows.min(same_back));
        let (old_end, new_end) = (old_len - same_back + behind, new_len - same_back + behind);
        let from = self.reach.before.map_or(0, |rows| start.saturating_sub(rows));
        let (old_read, new_read) = (
            old_len.min(old_end.saturating_add(ahead)),
            new_len.min(new_end.saturating_add(ahead)),
        );
        let old = sequences.add(from, (from..old_read).map(|at| (old.sort_key(at), old.row(at))));
        let rows = now.get(from..new_read).unwrap_or_default();
        let new = sequences.add(from, rows.iter().map(|row| (row.sort_key, row.row)));
        Ok(Some(Affected { now, start, old_end, new_end, old, new }))
    }

    /// The calls' results for all rows of the sequences.
    fn compute(&mut self, rows: &[ArrayRef], sequences: &Sequences<'_>) -> Result<Vec<ArrayRef>> {
        let own: Vec<ArrayRef> = self.needed.iter().map(|c| Arc::clone(&rows[*c])).collect();
        let own = RecordBatch::try_new(Arc::clone(&self.arguments), own)?;
        let times = &sequences.peers;
        let steps = Steps::new(&sequences.groups, times, self.reach.peers, &mut self.marks);
        let arguments = self.accumulators.arguments(&own, None)?;
        let mut columns = self.accumulators.columns(steps.slots.len());
        let (unit, preceding) = (self.spec.unit, self.spec.preceding);
        let frames = Frames { accumulators: &self.accumulators, unit, preceding };
        let aggregates = if preceding.is_some() {
            let mut history = History::none(steps.slots.len());
            frames.sliding(&mut columns, &arguments, &steps, (&mut history, times))?
        } else {
            frames.growing(&mut columns, &arguments, &steps, 0)?
        };
        let mut aggregates = aggregates.into_iter();
        let mut results = Vec::with_capacity(self.spec.calls.len());
        let long = |values: Vec<i64>| -> ArrayRef { Arc::new(Int64Array::from(values)) };
        for call in &self.spec.calls {
            match &call.function {
                OverFunction::Aggregate(_) => results.extend(aggregates.next()),
                OverFunction::RowNumber => {
                    results.push(long(sequences.positions.iter().map(|p| *p as i64 + 1).collect()));
                }
                OverFunction::Rank => {
                    results.push(long(sequences.peers.iter().map(|peer| peer + 1).collect()));
                }
                OverFunction::DenseRank => results.push(long(sequences.dense.clone())),
                OverFunction::Lag { column, offset, default } => {
                    let rows = neighbours::before(&sequences.groups, *offset as usize);
                    let rows = Neighbours { rows, first: 0 };
                    results.push(rows.values(column, default.as_deref(), &own)?);
                }
                OverFunction::Lead { column, offset, default } => {
                    let rows = neighbours::behind(&sequences.groups, *offset as usize);
                    let rows = Neighbours { rows, first: 0 };
                    results.push(rows.values(column, default.as_deref(), &own)?);
                }
                OverFunction::Ntile { parts } => {
                    let rows = sequences.positions.iter().zip(sequences.sizes());
                    let part = |(at, rows): (&usize, i64)| {
                        neighbours::part(*at as i64, rows, i64::from(*parts))
                    };
                    results.push(long(rows.map(part).collect()));
                }
                OverFunction::PercentRank => {
                    let rows = sequences.peers.iter().zip(sequences.sizes());
                    let shares = rows.map(|(peer, rows)| *peer as f64 / (rows - 1).max(1) as f64);
                    results.push(Arc::new(Float64Array::from_iter_values(shares)));
                }
                OverFunction::CumeDist => {
                    let counts = neighbours::up_to_peers(&sequences.groups, &sequences.peers);
                    let rows = counts.into_iter().zip(sequences.sizes());
                    let shares = rows.map(|(count, rows)| count as f64 / rows as f64);
                    results.push(Arc::new(Float64Array::from_iter_values(shares)));
                }
            }
        }
        Ok(results)
    }

    fn emit(
        &self,
        affected: &[Affected<'_>],
        (rows, results): (&[ArrayRef], &[ArrayRef]),
        out: &mut Output,
    ) -> Result<()> {
        let encoded = match &self.results {
            Some(converter) => Some(converter.convert_columns(results)?),
            None => None,
        };
        let mut changes = Changes::default();
        for one in affected {
            one.changes(encoded.as_ref(), &mut changes);
        }
        for from in (0..changes.rows.len()).step_by(OUTPUT_ROWS) {
            let range = from..changes.rows.len().min(from + OUTPUT_ROWS);
            let places = UInt32Array::from(changes.rows[range.clone()].to_vec());
            let mut columns = Vec::with_capacity(self.output.fields().len());
            for column in rows.iter().chain(results) {
                columns.push(take(column, &places, None)?);
            }
            columns.push(Arc::new(UInt8Array::from(changes.kinds[range].to_vec())));
            out.emit(RecordBatch::try_new(Arc::clone(&self.output), columns)?);
        }
        Ok(())
    }
}

/// Output rows: indices into the sequences, and kinds.
#[derive(Default)]
struct Changes {
    rows: Vec<u32>,
    kinds: Vec<u8>,
}

impl Changes {
    fn push(&mut self, kind: RowKind, row: usize) {
        self.rows.push(row as u32);
        self.kinds.push(kind as u8);
    }
}

impl Affected<'_> {
    /// Rows that are gone, then rows that are new or have another result.
    fn changes(&self, results: Option<&Rows>, changes: &mut Changes) {
        let now = self.now.get(self.start..self.new_end).unwrap_or_default();
        let mut stays = vec![false; self.old_end.saturating_sub(self.start)];
        for old in now.iter().filter_map(|row| row.old) {
            if let Some(stays) = old.checked_sub(self.start).and_then(|at| stays.get_mut(at)) {
                *stays = true;
            }
        }
        for (at, _) in stays.iter().enumerate().filter(|(_, stays)| !**stays) {
            changes.push(RowKind::Delete, self.old.at(self.start + at));
        }
        for (position, row) in (self.start..).zip(now) {
            let new = self.new.at(position);
            let Some(old) = row.old.map(|old| self.old.at(old)) else {
                changes.push(RowKind::Insert, new);
                continue;
            };
            if results.is_none_or(|results| results.row(old) != results.row(new)) {
                changes.push(RowKind::UpdateBefore, old);
                changes.push(RowKind::UpdateAfter, new);
            }
        }
    }
}

impl Operator for UpdatingOverOperator {
    fn open(&mut self, ctx: &mut OperatorContext) -> Result<()> {
        self.table = Some(ctx.state.table("rows", &self.keys.fields, &self.value_types)?);
        Ok(())
    }

    fn process(
        &mut self,
        _port: usize,
        batch: RecordBatch,
        ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        let now_ms = ctx.clock.now_ms();
        let table = self.table.ok_or_else(|| Error::internal("an overAggregate was not opened"))?;
        let pane = ctx.state.table_mut(table).pane(0)?;
        if let Some(ttl) = &mut self.ttl {
            ttl.sweep(pane, now_ms)?;
        }
        hash_columns(&batch, &self.keys.indices, &mut self.hashes)?;
        pane.upsert(&self.hashes, &self.keys.arrays(&batch), None, &mut self.slots)?;
        if let Some(ttl) = &mut self.ttl {
            ttl.touch(pane, &self.slots, now_ms);
        }
        let sort_columns: Vec<ArrayRef> =
            self.sort_columns.iter().map(|c| Arc::clone(batch.column(*c))).collect();
        let sort_keys = self.sort.convert_columns(&sort_columns)?;
        let inserts = UInt8Array::from(vec![RowKind::Insert as u8; batch.num_rows()]);
        let kinds = row_kind::kinds(&batch).unwrap_or(&inserts);
        let ranked = RankedBatch::new(&batch, &sort_keys, Some(kinds), &self.ranker)?;
        let changed = self.ranker.apply(&ranked, None, &self.slots, pane)?;
        let new_rows = self.ranker.new_rows(&ranked, &changed)?;
        let mut sequences = Sequences::default();
        let mut affected = Vec::new();
        for ranking in &changed {
            affected.extend(self.affected(ranking, &ranked, &new_rows, &mut sequences)?);
        }
        if !sequences.rows.is_empty() {
            let rows = self.ranker.codec().decode(sequences.rows.iter().copied())?;
            let results = self.compute(&rows, &sequences)?;
            self.emit(&affected, (&rows, &results), out)?;
        }
        self.ranker.write(&ranked, &new_rows, &changed, pane)
    }

    fn next_wakeup_ms(&self) -> Option<i64> {
        self.ttl.as_ref().and_then(TimeToLive::next_sweep_ms)
    }

    fn on_wakeup(
        &mut self,
        now_ms: i64,
        ctx: &mut OperatorContext,
        _out: &mut Output,
    ) -> Result<()> {
        ttl::sweep(&mut self.ttl, self.table, &mut ctx.state, now_ms)
    }
}

#[cfg(test)]
mod tests;
