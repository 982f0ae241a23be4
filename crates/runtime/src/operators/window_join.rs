//! Joins rows of two inputs that share keys and an event time window, when the window
//! closes. Built by `operators::build`; the join itself is in `hash_join`.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::{Schema, SchemaRef};
use model::operator_schema::{column_index, key_indices, window_join_schema};
use model::operator_spec::{JoinType, WINDOW_END, WINDOW_START, Window, WindowJoin};
use model::{Error, Result, Watermark, key_group};
use state::LogId;

use super::hash_join::{
    Cursor, IndexedRows, JoinedRows, KeyedBatch, Matches, OUTPUT_ROWS, Probe, RowFlags, coalesce,
    gather_batch, null_columns,
};
use super::row_groups::{group_rows, select_rows};
use super::time_column::TimeColumn;
use crate::operator::{Operator, OperatorContext, Output};

/// See [`WindowJoin`].
///
/// Rows wait in one log per side. Its namespaces are panes, named by their (exclusive)
/// end: a row of a hopping window is kept once, in the pane that all its windows share,
/// and a closing window joins the panes it is made of.
pub struct WindowJoinOperator {
    sides: [Side; 2],
    panes: Panes,
    join_type: JoinType,
    output: SchemaRef,
    /// Windows that end at most 1 ms after this are closed.
    closed: Watermark,
    late: u64,
}

struct Side {
    name: &'static str,
    input: SchemaRef,
    /// What rows are hashed by.
    keys: Vec<usize>,
    /// What must be equal: the keys and, for windowed inputs, the window's start.
    equal: Vec<usize>,
    /// Event time, or the window's end for windowed inputs.
    time: TimeColumn,
    log: Option<LogId>,
}

impl Side {
    fn log(&self) -> Result<LogId> {
        self.log.ok_or_else(|| Error::internal("a window join was not opened"))
    }
}

/// How time is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Panes {
    /// The inputs bring their windows: a window is one pane.
    Assigned,
    /// Windows of `size` every `slide`; `pane` divides both. Tumbling: all three are equal.
    Sliding { size: i64, slide: i64, pane: i64, offset: i64 },
}

impl Panes {
    fn new(window: Option<Window>) -> Result<Self> {
        let (size, slide, offset) = match window {
            None => return Ok(Self::Assigned),
            Some(Window::Tumbling { size_ms, offset_ms }) => (size_ms, size_ms, offset_ms),
            Some(Window::Hopping { size_ms, slide_ms, offset_ms }) => {
                (size_ms, slide_ms, offset_ms)
            }
            Some(Window::Session { .. } | Window::Cumulating { .. } | Window::Attached) => {
                return Err(Error::user("windowJoin takes tumbling or hopping windows"));
            }
        };
        if size <= 0 || slide <= 0 || slide > size {
            return Err(Error::user(format!(
                "windowJoin: a window of {size} ms every {slide} ms is not possible; both must be \
                 positive and the slide at most the size"
            )));
        }
        Ok(Self::Sliding { size, slide, pane: greatest_common_divisor(size, slide), offset })
    }

    /// End of the pane of `time`.
    fn end_of(self, time: i64) -> i64 {
        match self {
            Self::Assigned => time,
            Self::Sliding { pane, offset, .. } => {
                let into = time.wrapping_sub(offset).rem_euclid(pane);
                time.saturating_add(pane - into)
            }
        }
    }

    /// The ends of all windows that the pane ending at `end` is part of, latest first.
    fn windows_of(self, end: i64) -> impl Iterator<Item = i64> {
        let (first, step, count) = match self {
            Self::Assigned => (end, 0, 1),
            Self::Sliding { size, slide, pane, offset } => {
                let start = end.saturating_sub(pane);
                let into = start.wrapping_sub(offset).rem_euclid(slide);
                let last = start.saturating_sub(into).saturating_add(size);
                // Windows end after the pane starts, hence at its end or later.
                (last, slide, (last.saturating_sub(end)) / slide + 1)
            }
        };
        (0..count).map(move |index| first.saturating_sub(index * step))
    }

    /// End of the last window of the pane.
    fn last_window_of(self, end: i64) -> i64 {
        self.windows_of(end).next().unwrap_or(end)
    }

    /// The start of the window that ends at `end`; pane ends of the window lie above it.
    fn start_of_window(self, end: i64) -> i64 {
        match self {
            Self::Assigned => end.saturating_sub(1),
            Self::Sliding { size, .. } => end.saturating_sub(size),
        }
    }
}

fn greatest_common_divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

impl WindowJoinOperator {
    /// A User error when spec and inputs do not fit.
    pub fn new(spec: &WindowJoin, left: &SchemaRef, right: &SchemaRef) -> Result<Self> {
        let output = window_join_schema(spec, left, right)?;
        let side = |name, input: &SchemaRef, keys: &[String], time: &str| -> Result<Side> {
            let keys = key_indices(input, keys)?;
            let mut equal = keys.clone();
            let mut time = time;
            if spec.window.is_none() {
                equal.push(column_index(input, WINDOW_START)?);
                time = WINDOW_END;
            }
            let time = TimeColumn::new(input, time)?;
            Ok(Side { name, input: Arc::clone(input), keys, equal, time, log: None })
        };
        if spec.window.is_none() {
            same_window_type(left, right)?;
        }
        Ok(Self {
            sides: [
                side("left", left, &spec.left_keys, &spec.left_time)?,
                side("right", right, &spec.right_keys, &spec.right_time)?,
            ],
            panes: Panes::new(spec.window)?,
            join_type: spec.join_type,
            output,
            closed: Watermark::MIN,
            late: 0,
        })
    }

    /// Whether rows of side `side` come out without a partner, too.
    fn keeps_unmatched(&self, side: usize) -> bool {
        match self.join_type {
            JoinType::Inner => false,
            JoinType::Left => side == 0,
            JoinType::Right => side == 1,
            JoinType::Full => true,
            // Of the left side it must be known which rows have a partner.
            JoinType::Semi | JoinType::Anti => side == 0,
        }
    }

    fn is_semi(&self) -> bool {
        matches!(self.join_type, JoinType::Semi | JoinType::Anti)
    }

    /// The rows that come out by themselves, given which have a partner.
    fn alone(&self, matched: &RowFlags) -> Vec<u32> {
        if self.join_type == JoinType::Semi { matched.marked() } else { matched.unset() }
    }

    /// What stands beside rows of the other side that come out by themselves.
    fn beside(&self, side: usize, rows: usize) -> Vec<ArrayRef> {
        if self.is_semi() { Vec::new() } else { null_columns(&self.sides[side].input, rows) }
    }

    fn close_window(&self, end: i64, ctx: &mut OperatorContext, out: &mut Output) -> Result<()> {
        let start = self.panes.start_of_window(end);
        let mut inputs = [Vec::new(), Vec::new()];
        for (side, batches) in self.sides.iter().zip(&mut inputs) {
            let log = ctx.state.log_mut(side.log()?);
            for pane in panes_between(log, start, end) {
                batches.extend(log.batches(pane)?);
            }
        }
        let rows =
            |batches: &[KeyedBatch]| batches.iter().map(|(b, _)| b.num_rows()).sum::<usize>();
        // The index goes over the smaller side, which is then probed in the caches.
        let stored = usize::from(rows(&inputs[1]) < rows(&inputs[0]));
        let [left, right] = inputs;
        let (stored_batches, probe_batches) =
            if stored == 0 { (left, right) } else { (right, left) };
        let joining = WindowBeingJoined { join: self, stored, window: (start, end) };
        joining.run(coalesce(stored_batches)?, coalesce(probe_batches)?, out)
    }
}

fn same_window_type(left: &Schema, right: &Schema) -> Result<()> {
    let of = |schema: &Schema| {
        column_index(schema, WINDOW_START).map(|index| schema.field(index).data_type().clone())
    };
    let (left, right) = (of(left)?, of(right)?);
    if left == right {
        return Ok(());
    }
    Err(Error::user(format!(
        "windowJoin: `{WINDOW_START}` is {left} on the left but {right} on the right; cast one of \
         them in a project before the join"
    )))
}

/// Pane ends above `start` and up to `end` in which the log has rows.
fn panes_between(log: &state::Log, start: i64, end: i64) -> Vec<i64> {
    log.namespaces().into_iter().filter(|pane| start < *pane && *pane <= end).collect()
}

/// The join of one closing window.
struct WindowBeingJoined<'a> {
    join: &'a WindowJoinOperator,
    /// Which side is indexed; the other one probes.
    stored: usize,
    /// Start and end, ms.
    window: (i64, i64),
}

impl WindowBeingJoined<'_> {
    fn run(
        &self,
        stored: Vec<KeyedBatch>,
        probes: Vec<KeyedBatch>,
        out: &mut Output,
    ) -> Result<()> {
        let probing = 1 - self.stored;
        let keep_stored = self.join.keeps_unmatched(self.stored);
        let keep_probe = self.join.keeps_unmatched(probing);
        if (stored.is_empty() && !keep_probe) || (probes.is_empty() && !keep_stored) {
            return Ok(());
        }
        let mut rows = IndexedRows::new(&self.join.sides[self.stored].equal);
        for (batch, hashes) in stored {
            rows.push(batch, &hashes)?;
        }
        let mut stored_matched = RowFlags::none_of(if keep_stored { rows.len() } else { 0 });
        let mut joined = JoinedRows::new(&self.join.output);
        let mut matches = Matches::default();
        for (batch, hashes) in &probes {
            let mut matched = RowFlags::none_of(if keep_probe { batch.num_rows() } else { 0 });
            let probe = Probe::new(batch, &self.join.sides[probing].equal, hashes);
            let mut cursor = Cursor::default();
            while rows.probe(&probe, &mut cursor, |_, _| true, &mut matches)? {
                if matches.is_empty() {
                    continue;
                }
                if keep_stored {
                    stored_matched.set(&matches.stored);
                }
                if keep_probe {
                    matched.set(&matches.probe);
                }
                if self.join.is_semi() {
                    continue;
                }
                let stored = rows.gather(&matches.stored)?;
                let probe = gather_batch(batch, &matches.probe)?;
                self.push(stored, probe, matches.len(), &mut joined, out)?;
            }
            for unmatched in self.join.alone(&matched).chunks(OUTPUT_ROWS) {
                let stored = self.join.beside(self.stored, unmatched.len());
                let probe = gather_batch(batch, unmatched)?;
                self.push(stored, probe, unmatched.len(), &mut joined, out)?;
            }
        }
        for unmatched in self.join.alone(&stored_matched).chunks(OUTPUT_ROWS) {
            let probe = self.join.beside(probing, unmatched.len());
            self.push(rows.gather(unmatched)?, probe, unmatched.len(), &mut joined, out)?;
        }
        joined.finish(out)
    }

    fn push(
        &self,
        stored: Vec<ArrayRef>,
        probe: Vec<ArrayRef>,
        rows: usize,
        joined: &mut JoinedRows<'_>,
        out: &mut Output,
    ) -> Result<()> {
        let (left, right) = if self.stored == 0 { (stored, probe) } else { (probe, stored) };
        let added: Vec<ArrayRef> = match self.join.panes {
            Panes::Assigned => Vec::new(),
            Panes::Sliding { .. } => [self.window.0, self.window.1]
                .map(|ms| Arc::new(TimestampMillisecondArray::from_value(ms, rows)) as ArrayRef)
                .to_vec(),
        };
        joined.push(left, right, added, out)
    }
}

impl Operator for WindowJoinOperator {
    fn open(&mut self, ctx: &mut OperatorContext) -> Result<()> {
        self.closed = ctx.watermark;
        for side in &mut self.sides {
            side.log = Some(ctx.state.log(side.name, Arc::clone(&side.input), &side.keys)?);
        }
        Ok(())
    }

    fn process(
        &mut self,
        port: usize,
        batch: RecordBatch,
        ctx: &mut OperatorContext,
        _out: &mut Output,
    ) -> Result<()> {
        let panes = self.panes;
        let side = self
            .sides
            .get(port)
            .ok_or_else(|| Error::internal(format!("a window join has no input {port}")))?;
        let times = side.time.millis(&batch)?;
        let mut hashes = Vec::new();
        key_group::hash_columns(&batch, &side.keys, &mut hashes)?;
        let horizon = ctx.watermark.0.saturating_add(1);
        let is_late = |pane: i64| panes.last_window_of(pane) <= horizon;
        let log = ctx.state.log_mut(side.log()?);
        let (low, high) = times
            .iter()
            .fold((i64::MAX, i64::MIN), |(low, high), time| (low.min(*time), high.max(*time)));
        let (first, last) = (panes.end_of(low), panes.end_of(high));
        if first == last {
            if is_late(first) {
                self.late += batch.num_rows() as u64;
                return Ok(());
            }
            return log.append(first, batch, hashes).map(drop);
        }
        for (pane, rows) in group_rows(times.iter().map(|time| Some(panes.end_of(*time)))) {
            if is_late(pane) {
                self.late += rows.len() as u64;
                continue;
            }
            let (part, part_hashes) = select_rows(&batch, &hashes, &rows)?;
            log.append(pane, part, part_hashes)?;
        }
        Ok(())
    }

    fn on_watermark(
        &mut self,
        watermark: Watermark,
        ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        let (before, horizon) = (self.closed.0.saturating_add(1), watermark.0.saturating_add(1));
        // A window ends no earlier than its panes, so later panes cannot matter.
        let mut panes = BTreeSet::new();
        for side in &self.sides {
            let log = ctx.state.log_mut(side.log()?);
            panes.extend(log.namespaces().into_iter().take_while(|pane| *pane <= horizon));
        }
        let ends: BTreeSet<i64> = panes
            .iter()
            .flat_map(|pane| self.panes.windows_of(*pane))
            .filter(|end| before < *end && *end <= horizon)
            .collect();
        for end in ends {
            self.close_window(end, ctx, out)?;
        }
        for pane in panes.into_iter().filter(|pane| self.panes.last_window_of(*pane) <= horizon) {
            for side in &self.sides {
                ctx.state.log_mut(side.log()?).remove_namespace(pane)?;
            }
        }
        self.closed = watermark;
        Ok(())
    }

    fn late_records(&self) -> u64 {
        self.late
    }
}

#[cfg(test)]
mod tests;
