//! Aggregates over session windows: rows of a key at most a gap apart share a session,
//! which lasts from its first row to a gap after its last. Built by `window_aggregate`.
//!
//! State: per key, its sessions in bytes (`open_sessions.rs`) and when they are next due;
//! and a table of timers, by bucket of due time, that leads from the watermark to the keys.
//! A key has one timer that counts: the one noted with its sessions. Rows that make a
//! session longer leave the timer where it is; when it goes off it is set anew.

mod open_sessions;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampMillisecondArray, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use model::key_group::hash_columns;
use model::operator_spec::WindowAggregate;
use model::{Error, Result, Watermark};
use state::{NO_SLOT, StateStore, TableId, ValueType};

use super::accumulator::{AccumulatorOptions, Accumulators, Arguments};
use super::key_columns::KeyColumns;
use super::slot_marks::SlotMarks;
use super::time_column::TimeColumn;
use super::window_aggregate::emit::{BATCH_ROWS, Emitter};
use super::window_time::{is_closed, time_range};
use crate::operator::{Operator, OperatorContext, Output};
use open_sessions::{Bounds, Merging, Stored, encode};

/// Columns of the table of sessions.
const SESSIONS: usize = 0;
const DUE: usize = 1;
/// A bucket of timers spans an eighth of the gap, but no less than this: each is a pane.
const MIN_BUCKET_MS: i64 = 64;

/// Builds the operator; `spec` has been checked against `input`.
pub(super) fn session_aggregate(
    spec: &WindowAggregate,
    gap: i64,
    input: &SchemaRef,
    output: SchemaRef,
) -> Result<Box<dyn Operator>> {
    let options = AccumulatorOptions::default();
    let accumulators = Accumulators::new(&spec.aggregates, input, options)?;
    accumulators.check_mergeable(&spec.aggregates, "session")?;
    Ok(Box::new(SessionAggregate {
        gap,
        lateness: spec.allowed_lateness_ms,
        late_output: spec.late_output,
        time: TimeColumn::new(input, &spec.time_column)?,
        time_name: spec.time_column.clone(),
        keys: KeyColumns::new(input, &spec.keys)?,
        accumulators,
        emitter: Emitter::new(output),
        tables: None,
        fired: Watermark::MIN,
        late: 0,
        marks: SlotMarks::default(),
    }))
}

struct SessionAggregate {
    gap: i64,
    lateness: i64,
    late_output: bool,
    time: TimeColumn,
    time_name: String,
    keys: KeyColumns,
    accumulators: Accumulators,
    emitter: Emitter,
    tables: Option<Tables>,
    /// All sessions closed at this watermark have fired.
    fired: Watermark,
    late: u64,
    marks: SlotMarks,
}

#[derive(Clone, Copy)]
struct Tables {
    sessions: TableId,
    timers: TableId,
}

/// The rows of a batch by key: `rows[ends[k - 1]..ends[k]]` are those of key `k`, in order
/// of arrival.
struct RowsByKey {
    /// The slot of each key.
    slots: Vec<u32>,
    rows: Vec<u32>,
    ends: Vec<usize>,
}

impl RowsByKey {
    fn of_key(&self, key: usize) -> &[u32] {
        let start = if key == 0 { 0 } else { self.ends[key - 1] };
        &self.rows[start..self.ends[key]]
    }
}

/// What a batch does to the sessions of its keys.
struct Assigned {
    merging: Merging,
    stored: Stored,
    /// The session of each stored one.
    of_stored: Vec<u32>,
    /// Rows that are not late, and their sessions.
    rows: Vec<u32>,
    of_rows: Vec<u32>,
    late: Vec<u32>,
    /// Per key, its sessions in order of time.
    of_keys: Vec<Vec<u32>>,
}

/// Timers to set: row (or position) of the key, due time.
type NewTimers = Vec<(u32, i64)>;

impl Operator for SessionAggregate {
    fn open(&mut self, ctx: &mut OperatorContext) -> Result<()> {
        let values = [ValueType::Bytes, ValueType::I64];
        let sessions = ctx.state.table("sessions", &self.keys.fields, &values)?;
        let timers = ctx.state.table("timers", &self.keys.fields, &[ValueType::I64])?;
        self.tables = Some(Tables { sessions, timers });
        self.fired = ctx.watermark;
        Ok(())
    }

    fn process(
        &mut self,
        _port: usize,
        batch: RecordBatch,
        ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        let times = self.time.millis(&batch)?;
        time_range(&times, &self.time_name)?;
        let mut hashes = Vec::new();
        hash_columns(&batch, &self.keys.indices, &mut hashes)?;
        let keys = self.keys.arrays(&batch);
        let arguments = self.accumulators.arguments(&batch, Some(times.as_ref()))?;
        let tables = self.tables()?;
        let pane = ctx.state.table_mut(tables.sessions).pane(0)?;
        let mut slots = Vec::new();
        pane.upsert(&hashes, &keys, None, &mut slots)?;
        let by_key = self.rows_by_key(&slots, pane.len());
        let mut assigned = self.assign(&by_key, &times, pane.bytes(SESSIONS), ctx.watermark)?;
        let mut late = std::mem::take(&mut assigned.late);
        if !late.is_empty() {
            self.late += late.len() as u64;
            if self.late_output {
                late.sort_unstable();
                out.emit_side(take_record_batch(&batch, &UInt32Array::from(late))?);
            }
        }
        let timers = self.update(assigned, &by_key, &arguments, ctx, out)?;
        set_timers(&mut ctx.state, tables, self.bucket(), (&hashes, &keys), timers)
    }

    fn on_watermark(
        &mut self,
        watermark: Watermark,
        ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        let tables = self.tables()?;
        for bucket in ctx.state.table_mut(tables.timers).namespaces() {
            if !is_closed(bucket, 0, watermark) {
                break;
            }
            let table = ctx.state.table_mut(tables.timers);
            let Some(pane) = table.load_namespace(bucket)? else { continue };
            let mut slots = pane.live_slots();
            let dues = pane.i64(0);
            slots.retain(|slot| is_closed(dues[*slot as usize], 0, watermark));
            let dues: Vec<i64> = slots.iter().map(|slot| dues[*slot as usize]).collect();
            let mut parts = Vec::new();
            for (slots, dues) in slots.chunks(BATCH_ROWS).zip(dues.chunks(BATCH_ROWS)) {
                let hashes: Vec<u64> = slots.iter().map(|slot| pane.hash(*slot)).collect();
                parts.push((hashes, pane.key_arrays(slots)?, dues));
            }
            slots.iter().for_each(|slot| pane.remove(*slot));
            for (hashes, keys, dues) in parts {
                let timers = self.expire((&hashes, &keys), dues, watermark, ctx, out)?;
                set_timers(&mut ctx.state, tables, self.bucket(), (&hashes, &keys), timers)?;
            }
        }
        self.fired = watermark;
        Ok(())
    }

    fn watermark_delay_ms(&self) -> i64 {
        self.lateness
    }

    fn late_records(&self) -> u64 {
        self.late
    }
}

impl SessionAggregate {
    fn tables(&self) -> Result<Tables> {
        self.tables.ok_or_else(|| Error::internal("a session aggregate was not opened"))
    }

    fn bucket(&self) -> i64 {
        (self.gap / 8).max(MIN_BUCKET_MS)
    }

    /// When something is next to do for a session that ends at `end`: fire it, or drop it.
    fn due(&self, end: i64, watermark: Watermark) -> i64 {
        if is_closed(end, 0, watermark) { end + self.lateness } else { end }
    }

    /// A counting sort of rows by slot.
    fn rows_by_key(&mut self, slots: &[u32], pane_len: usize) -> RowsByKey {
        self.marks.begin(pane_len);
        let (mut keys, mut counts) = (Vec::new(), Vec::new());
        let numbers: Vec<u32> = slots
            .iter()
            .map(|&slot| {
                let number = self.marks.get(slot).unwrap_or_else(|| {
                    self.marks.set(slot, keys.len());
                    keys.push(slot);
                    counts.push(0_usize);
                    keys.len() - 1
                });
                counts[number] += 1;
                number as u32
            })
            .collect();
        self.marks.end(keys.iter().copied());
        let mut ends = counts;
        let mut sum = 0;
        for end in &mut ends {
            // Filled with starts; each row then moves its key's on, up to the end.
            (sum, *end) = (sum + *end, sum);
        }
        let mut rows = vec![0; slots.len()];
        for (row, number) in numbers.into_iter().enumerate() {
            let at = &mut ends[number as usize];
            rows[*at] = row as u32;
            *at += 1;
        }
        RowsByKey { slots: keys, rows, ends }
    }

    /// Finds the session of every row; `sessions` are those in state, by slot.
    fn assign(
        &self,
        by_key: &RowsByKey,
        times: &[i64],
        sessions: &[Option<Box<[u8]>>],
        watermark: Watermark,
    ) -> Result<Assigned> {
        let mut merging = Merging::default();
        let mut stored = Stored::new(&self.accumulators);
        let (mut of_stored, mut late) = (Vec::new(), Vec::new());
        let (mut rows, mut of_rows) = (Vec::new(), Vec::new());
        let mut of_keys = Vec::with_capacity(by_key.slots.len());
        for (key, slot) in by_key.slots.iter().enumerate() {
            let known = sessions[*slot as usize].as_deref().unwrap_or_default();
            stored.decode(known, |bounds, _| {
                let id = merging.push(bounds);
                merging.of_key.push(id);
                of_stored.push(id);
            })?;
            for &row in by_key.of_key(key) {
                let start = times[row as usize];
                let bounds = Bounds { start, end: start + self.gap };
                let is_late = || is_closed(bounds.end, self.lateness, watermark);
                match merging.insert(bounds, is_late) {
                    Some(session) => {
                        rows.push(row);
                        of_rows.push(session);
                    }
                    None => late.push(row),
                }
            }
            of_keys.push(std::mem::take(&mut merging.of_key));
        }
        of_stored.iter_mut().chain(&mut of_rows).for_each(|id| *id = merging.root(*id));
        Ok(Assigned { merging, stored, of_stored, rows, of_rows, late, of_keys })
    }

    /// Aggregates, puts out what fires again, and writes the keys' sessions back.
    fn update(
        &mut self,
        assigned: Assigned,
        by_key: &RowsByKey,
        arguments: &Arguments<'_>,
        ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<NewTimers> {
        let Assigned { merging, stored, of_stored, rows, of_rows, of_keys, .. } = assigned;
        let mut columns = self.accumulators.columns(merging.bounds.len());
        let all: Vec<u32> = (0..of_stored.len() as u32).collect();
        self.accumulators.merge_groups((&mut columns, &of_stored), (&stored.columns, &all), 1);
        self.accumulators.update(&mut columns, arguments, Some(&rows), &of_rows);
        let mut touched = vec![false; merging.bounds.len()];
        of_rows.iter().for_each(|id| touched[*id as usize] = true);
        let pane = ctx.state.table_mut(self.tables()?.sessions).pane(0)?;
        let (mut timers, mut again) = (Vec::new(), Fired::default());
        for (key, (slot, ids)) in by_key.slots.iter().zip(&of_keys).enumerate() {
            let bounds = |id: &u32| merging.bounds[*id as usize];
            let Some(due) = ids.iter().map(|id| self.due(bounds(id).end, ctx.watermark)).min()
            else {
                // Only late rows, of a key without sessions.
                pane.remove(*slot);
                continue;
            };
            let mut bytes = Vec::new();
            for id in ids {
                encode(bounds(id), &columns, *id as usize, &mut bytes);
                if touched[*id as usize] && is_closed(bounds(id).end, 0, ctx.watermark) {
                    again.push(*slot, *id, bounds(id));
                }
            }
            let at = *slot as usize;
            let known = pane.bytes(SESSIONS)[at].replace(bytes.into());
            if known.is_none() || due < pane.i64(DUE)[at] {
                pane.i64(DUE)[at] = due;
                timers.push((by_key.of_key(key)[0], due));
            }
        }
        again.emit(pane, &mut columns, self, out)?;
        Ok(timers)
    }

    /// Fires and drops sessions of the keys whose timers went off.
    fn expire(
        &mut self,
        (hashes, keys): (&[u64], &[ArrayRef]),
        dues: &[i64],
        watermark: Watermark,
        ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<NewTimers> {
        let pane = ctx.state.table_mut(self.tables()?.sessions).pane(0)?;
        let mut slots = Vec::new();
        pane.find(hashes, keys, None, &mut slots)?;
        let mut stored = Stored::new(&self.accumulators);
        let (mut fired, mut timers, mut emptied) = (Fired::default(), Vec::new(), Vec::new());
        for (position, (&slot, &due)) in slots.iter().zip(dues).enumerate() {
            let at = slot as usize;
            // A timer that was replaced by an earlier one.
            if slot == NO_SLOT || pane.i64(DUE)[at] != due {
                continue;
            }
            let known = pane.bytes(SESSIONS)[at].take().unwrap_or_default();
            let (mut kept, mut next) = (Vec::with_capacity(known.len()), None);
            let mut id = stored.bounds.len() as u32;
            stored.decode(&known, |bounds, bytes| {
                let closed_before = is_closed(bounds.end, 0, self.fired);
                if is_closed(bounds.end, 0, watermark) && !closed_before {
                    fired.push(slot, id, bounds);
                }
                if !is_closed(bounds.end, self.lateness, watermark) {
                    kept.extend_from_slice(bytes);
                    let due = self.due(bounds.end, watermark);
                    next = Some(next.map_or(due, |next: i64| next.min(due)));
                }
                id += 1;
            })?;
            match next {
                Some(next) => {
                    pane.bytes(SESSIONS)[at] = Some(kept.into());
                    pane.i64(DUE)[at] = next;
                    timers.push((position as u32, next));
                }
                None => emptied.push(slot),
            }
        }
        fired.emit(pane, &mut stored.columns, self, out)?;
        emptied.iter().for_each(|slot| pane.remove(*slot));
        Ok(timers)
    }
}

/// Sessions to put out.
#[derive(Default)]
struct Fired {
    /// The slot of the key.
    slots: Vec<u32>,
    /// The element of the accumulator columns.
    ids: Vec<u32>,
    starts: Vec<i64>,
    ends: Vec<i64>,
}

impl Fired {
    fn push(&mut self, slot: u32, id: u32, bounds: Bounds) {
        self.slots.push(slot);
        self.ids.push(id);
        self.starts.push(bounds.start);
        self.ends.push(bounds.end);
    }

    fn emit(
        &self,
        pane: &state::Pane,
        columns: &mut [state::Column],
        operator: &SessionAggregate,
        out: &mut Output,
    ) -> Result<()> {
        for from in (0..self.ids.len()).step_by(BATCH_ROWS) {
            let range = from..self.ids.len().min(from + BATCH_ROWS);
            let mut arrays = pane.key_arrays(&self.slots[range.clone()])?;
            for bounds in [&self.starts, &self.ends] {
                let bounds = TimestampMillisecondArray::from(bounds[range.clone()].to_vec());
                arrays.push(Arc::new(bounds) as ArrayRef);
            }
            arrays.extend(operator.accumulators.output(columns, &self.ids[range.clone()])?);
            operator.emitter.batch(arrays, range.len(), out)?;
        }
        Ok(())
    }
}

/// Sets the timers of keys, named by their rows in `keys`.
fn set_timers(
    state: &mut StateStore,
    tables: Tables,
    bucket: i64,
    (hashes, keys): (&[u64], &[ArrayRef]),
    timers: NewTimers,
) -> Result<()> {
    let mut buckets: BTreeMap<i64, (Vec<u32>, Vec<i64>)> = BTreeMap::new();
    for (row, due) in timers {
        let (rows, dues) = buckets.entry(due - due.rem_euclid(bucket)).or_default();
        rows.push(row);
        dues.push(due);
    }
    let mut slots = Vec::new();
    for (bucket, (rows, dues)) in buckets {
        let pane = state.table_mut(tables.timers).pane(bucket)?;
        pane.upsert(hashes, keys, Some(&rows), &mut slots)?;
        let column = pane.i64(0);
        slots.iter().zip(dues).for_each(|(slot, due)| column[*slot as usize] = due);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
