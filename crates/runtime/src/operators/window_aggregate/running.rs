//! The running window of a hopping aggregate: the merge of the panes of one window, from
//! which the next window is made by adding the pane that entered and subtracting the one
//! that left. Only for accumulators that subtract without loss. Derived: after a restore
//! the first window that fires builds it anew.

use model::Result;
use state::{NO_SLOT, Pane, Table};

use super::emit::StoredGroups;
use crate::operators::accumulator::Accumulators;
use crate::operators::derived_table::DerivedTable;
use crate::operators::key_columns::KeyColumns;

pub(super) struct RunningWindow {
    /// Namespace 0: the groups of all panes that start in `start..end`. No group is without rows.
    groups: DerivedTable,
    start: i64,
    end: i64,
    slots: Vec<u32>,
}

impl RunningWindow {
    pub(super) fn new(keys: &KeyColumns, accumulators: &Accumulators) -> Result<Self> {
        let groups = DerivedTable::new("running window", keys, accumulators)?;
        Ok(Self { groups, start: 0, end: 0, slots: Vec::new() })
    }

    /// Whether what is added to `pane` must be added here too.
    pub(super) fn holds(&self, pane: i64) -> bool {
        (self.start..self.end).contains(&pane)
    }

    /// Must follow each use; slots change.
    pub(super) fn end_batch(&mut self) -> Result<()> {
        self.groups.end_batch()
    }

    pub(super) fn groups(&mut self) -> Result<&mut Pane> {
        self.groups.table().pane(0)
    }

    /// Moves on to `window` (start, end), whose panes with rows are `panes`.
    pub(super) fn advance(
        &mut self,
        window: (i64, i64),
        panes: &[i64],
        table: &mut Table,
        accumulators: &Accumulators,
    ) -> Result<()> {
        if self.start != window.0 || self.end > window.1 || self.end < window.0 {
            self.groups.table().remove_namespace(0)?;
            (self.start, self.end) = (window.0, window.0);
        }
        for pane in panes.iter().filter(|pane| **pane >= self.end) {
            let Some(pane) = table.load_namespace(*pane)? else { continue };
            let stored = StoredGroups::of(pane)?;
            let groups = self.groups.table().pane(0)?;
            groups.upsert(&stored.hashes, &stored.keys, None, &mut self.slots)?;
            let into = (groups.columns(), self.slots.as_slice());
            accumulators.merge_groups(into, (pane.columns(), &stored.slots), 1);
        }
        self.end = window.1;
        Ok(())
    }

    /// The next window starts at `next`: takes out the panes before, while they still are in state.
    pub(super) fn leave(
        &mut self,
        next: i64,
        panes: &[i64],
        table: &mut Table,
        accumulators: &Accumulators,
    ) -> Result<()> {
        if next >= self.end {
            self.groups.table().remove_namespace(0)?;
            (self.start, self.end) = (next, next);
            return self.groups.end_batch();
        }
        let rows = accumulators.rows_column().unwrap_or_default();
        for pane in panes.iter().filter(|pane| **pane < next) {
            let Some(pane) = table.load_namespace(*pane)? else { continue };
            let mut stored = StoredGroups::of(pane)?;
            let groups = self.groups.table().pane(0)?;
            groups.find(&stored.hashes, &stored.keys, None, &mut self.slots)?;
            // What is in a pane of this window was added here.
            let slots = &mut self.slots;
            debug_assert!(!slots.contains(&NO_SLOT));
            retain_pairs(slots, &mut stored.slots);
            let into = (groups.columns(), slots.as_slice());
            accumulators.merge_groups(into, (pane.columns(), &stored.slots), -1);
            let counts = groups.i64(rows);
            slots.retain(|slot| counts[*slot as usize] == 0);
            slots.iter().for_each(|slot| groups.remove(*slot));
        }
        self.start = next;
        self.groups.end_batch()
    }
}

/// Drops the pairs whose left side is no slot.
fn retain_pairs(left: &mut Vec<u32>, right: &mut Vec<u32>) {
    if left.contains(&NO_SLOT) {
        let pairs = left.iter().zip(right.iter()).filter(|(left, _)| **left != NO_SLOT);
        (*left, *right) = pairs.map(|(left, right)| (*left, *right)).unzip();
    }
}
