//! State that is forgotten when it was not touched for some time. Used by the operators whose
//! tables keep a row per key for ever.
//!
//! A table gets one column more: when its row was last touched, in ms of processing time.
//! Rows are looked through every eighth of the time to live, so that they may stay that much
//! longer; rows that were evicted from memory stay until they are touched.

use model::Result;
use state::{Pane, StateStore, TableId, ValueType};

const SWEEPS: i64 = 8;

/// The time to live of one table.
#[derive(Debug)]
pub struct TimeToLive {
    ms: i64,
    /// The table's last value column.
    column: usize,
    next_sweep: Option<i64>,
}

impl TimeToLive {
    /// Adds the column to `types`. `None` without a time to live.
    pub fn new(ttl_ms: Option<i64>, types: &mut Vec<ValueType>) -> Option<Self> {
        let ms = ttl_ms?;
        types.push(ValueType::I64);
        Some(Self { ms, column: types.len() - 1, next_sweep: None })
    }

    /// When to call [`Self::sweep`] next, once there was a first time.
    pub fn next_sweep_ms(&self) -> Option<i64> {
        self.next_sweep
    }

    /// Removes rows whose time is over. To be called before rows are looked up, and when
    /// [`Self::next_sweep_ms`] has come.
    pub fn sweep(&mut self, pane: &mut Pane, now_ms: i64) -> Result<()> {
        if self.next_sweep.is_some_and(|due| now_ms < due) {
            return Ok(());
        }
        let oldest = now_ms.saturating_sub(self.ms);
        for slot in pane.live_slots() {
            if pane.i64(self.column)[slot as usize] < oldest {
                pane.remove(slot);
            }
        }
        let empty = pane.is_empty();
        self.next_sweep = (!empty).then(|| now_ms.saturating_add((self.ms / SWEEPS).max(1)));
        Ok(())
    }

    /// Rows of a batch were found or created.
    pub fn touch(&mut self, pane: &mut Pane, slots: &[u32], now_ms: i64) {
        let touched = pane.i64(self.column);
        slots.iter().for_each(|slot| touched[*slot as usize] = now_ms);
        self.next_sweep.get_or_insert(now_ms.saturating_add((self.ms / SWEEPS).max(1)));
    }
}

/// Sweeps an operator's table of one pane, if it has a time to live and is open.
pub fn sweep(
    ttl: &mut Option<TimeToLive>,
    table: Option<TableId>,
    state: &mut StateStore,
    now_ms: i64,
) -> Result<()> {
    match (ttl, table) {
        (Some(ttl), Some(table)) => ttl.sweep(state.table_mut(table).pane(0)?, now_ms),
        _ => Ok(()),
    }
}
