//! One namespace of a table: a hash index from keys to slots and one vector per value
//! column. Operators get it from `Table` and work on whole batches.

use std::sync::Arc;

use arrow::array::ArrayRef;
use model::Result;

use crate::chain::{CHANGED, GONE, NEW, Tiers};
use crate::key_arrays::{batch_keys, key_arrays};
use crate::keys::KeySet;
use crate::removed::RemovedKeys;
use crate::shape::TableShape;
use crate::{Column, Counts};

/// The slot was removed.
pub(crate) const DEAD: u8 = 1;
/// Looked up since the last sweep of the eviction clock.
pub(crate) const USED: u8 = 2;
/// The cold store has an older copy of the row.
pub(crate) const COPIED: u8 = 4;

/// The rows of one namespace. A slot number addresses the same row in every column; it
/// stays valid until `StateStore::end_batch`.
pub struct Pane {
    pub(crate) shape: Arc<TableShape>,
    pub(crate) namespace: i64,
    pub(crate) keys: KeySet,
    pub(crate) flags: Vec<u8>,
    /// Which file of the chain holds each row, see `chain`.
    pub(crate) tiers: Vec<u8>,
    pub(crate) removed: RemovedKeys,
    pub(crate) columns: Vec<Column>,
    /// How many slots are `DEAD`.
    pub(crate) dead: usize,
    /// Live rows that are only in the cold store. While it is 0 nothing is looked up there.
    pub(crate) cold_rows: u64,
    /// The cold store has entries under this pane's prefix, if only outdated ones.
    pub(crate) in_cold: bool,
    /// Cold keys of removed rows, to be deleted before the next cold read.
    pub(crate) pending_deletes: Vec<Vec<u8>>,
    /// The tick of the table in which the pane was last asked for.
    pub(crate) last_used: u64,
    /// What the table counts for this pane, in bytes.
    pub(crate) accounted: u64,
    heap: HeapEstimate,
}

/// Mean heap bytes per row, measured on a sample now and then.
#[derive(Default)]
struct HeapEstimate {
    bytes_per_row: f64,
    measured_len: usize,
    age: u32,
}

impl Pane {
    pub(crate) fn new(shape: &Arc<TableShape>, namespace: i64) -> Self {
        Self {
            shape: Arc::clone(shape),
            namespace,
            keys: KeySet::new(shape.kind),
            flags: Vec::new(),
            tiers: Vec::new(),
            removed: RemovedKeys::new(shape.kind),
            columns: shape.values.iter().map(|value| Column::new(*value)).collect(),
            dead: 0,
            cold_rows: 0,
            in_cold: false,
            pending_deletes: Vec::new(),
            last_used: 0,
            accounted: 0,
            heap: HeapEstimate::default(),
        }
    }

    /// Finds or creates the slot of every row in `rows` (`None`: all), into `slots`.
    ///
    /// `keys` are the batch's key columns, `hashes` their `key_group::hash_columns`. New
    /// slots hold 0, 0.0, `None` or empty values. Answers how many were created: they are
    /// the highest ones, from `self.len() - created` on. (Not from the previous `len()` on:
    /// rows that come back from the cold store get slots before them.)
    pub fn upsert(
        &mut self,
        hashes: &[u64],
        keys: &[ArrayRef],
        rows: Option<&[u32]>,
        slots: &mut Vec<u32>,
    ) -> Result<usize> {
        self.shape.check_keys(keys, hashes.len())?;
        let shape = Arc::clone(&self.shape);
        let keys = batch_keys(&shape, keys)?;
        if self.cold_rows > 0 {
            self.load_missing(hashes, &keys, rows)?;
        }
        let before = self.keys.len();
        self.keys.lookup::<true>(hashes, &keys, rows, slots)?;
        let created = self.keys.len() - before;
        if created > 0 {
            self.grow_columns();
        }
        self.mark(slots);
        Ok(created)
    }

    /// As [`Self::upsert`], but absent keys answer [`crate::NO_SLOT`].
    pub fn find(
        &mut self,
        hashes: &[u64],
        keys: &[ArrayRef],
        rows: Option<&[u32]>,
        slots: &mut Vec<u32>,
    ) -> Result<()> {
        self.shape.check_keys(keys, hashes.len())?;
        let shape = Arc::clone(&self.shape);
        let keys = batch_keys(&shape, keys)?;
        if self.cold_rows > 0 {
            self.load_missing(hashes, &keys, rows)?;
        }
        self.keys.lookup::<false>(hashes, &keys, rows, slots)?;
        self.mark(slots);
        Ok(())
    }

    /// Removes the row of `slot`. Other slots keep their numbers; its own is not given out
    /// again before the next `end_batch`. Does nothing when it is not live.
    pub fn remove(&mut self, slot: u32) {
        if !self.is_live(slot) {
            return;
        }
        let at = slot as usize;
        if self.flags[at] & COPIED != 0 {
            self.pending_deletes.push(self.cold_key(slot));
        }
        if std::mem::replace(&mut self.tiers[at], GONE) != NEW {
            self.removed.push(&self.keys, slot);
        }
        self.keys.remove(slot);
        self.flags[at] = DEAD;
        self.dead += 1;
        self.columns.iter_mut().for_each(|column| column.clear(at));
    }

    /// One above the highest slot in use. Removed slots below it are not live.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// No row in memory.
    pub fn is_empty(&self) -> bool {
        self.live() == 0
    }

    /// How many rows are in memory.
    pub fn live(&self) -> usize {
        self.keys.len() - self.dead
    }

    pub fn is_live(&self, slot: u32) -> bool {
        self.flags.get(slot as usize).is_some_and(|flags| flags & DEAD == 0)
    }

    /// The slots of the rows in memory, ascending. Those of all rows after
    /// `Table::load_namespace` or `Table::take_namespace`.
    pub fn live_slots(&self) -> Vec<u32> {
        let all = 0..self.keys.len() as u32;
        if self.dead == 0 {
            all.collect()
        } else {
            all.filter(|slot| self.is_live(*slot)).collect()
        }
    }

    pub fn namespace(&self) -> i64 {
        self.namespace
    }

    /// The key columns of `slots`, of the registered fields' types.
    pub fn key_arrays(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        key_arrays(&self.shape, &self.keys.data, self.keys.null_slot, slots)
    }

    /// The key hash of `slot`.
    pub fn hash(&self, slot: u32) -> u64 {
        self.keys.hashes[slot as usize]
    }

    /// The key hash of every slot.
    pub fn hashes(&self) -> &[u64] {
        &self.keys.hashes
    }

    /// All value columns, as registered, to borrow several at once. Lengths must not be changed.
    pub fn columns(&mut self) -> &mut [Column] {
        &mut self.columns
    }

    /// Value column `column`. Panics when it is registered with another type.
    pub fn i64(&mut self, column: usize) -> &mut Vec<i64> {
        match &mut self.columns[column] {
            Column::I64(vector) => vector,
            _ => wrong_type(&self.shape, column, "I64"),
        }
    }

    /// As [`Self::i64`].
    pub fn f64(&mut self, column: usize) -> &mut Vec<f64> {
        match &mut self.columns[column] {
            Column::F64(vector) => vector,
            _ => wrong_type(&self.shape, column, "F64"),
        }
    }

    /// As [`Self::i64`].
    pub fn i128(&mut self, column: usize) -> &mut Vec<i128> {
        match &mut self.columns[column] {
            Column::I128(vector) => vector,
            _ => wrong_type(&self.shape, column, "I128"),
        }
    }

    /// As [`Self::i64`].
    pub fn bytes(&mut self, column: usize) -> &mut Vec<Option<Box<[u8]>>> {
        match &mut self.columns[column] {
            Column::Bytes(vector) => vector,
            _ => wrong_type(&self.shape, column, "Bytes"),
        }
    }

    /// As [`Self::i64`].
    pub fn counts(&mut self, column: usize) -> &mut Vec<Counts> {
        match &mut self.columns[column] {
            Column::Counts(vector) => vector,
            _ => wrong_type(&self.shape, column, "Counts"),
        }
    }

    /// Gives new slots their values.
    pub(crate) fn grow_columns(&mut self) {
        let len = self.keys.len();
        self.flags.resize(len, 0);
        self.tiers.resize(len, NEW);
        self.columns.iter_mut().for_each(|column| column.resize(len));
    }

    /// Rows of `slots` were handed out, perhaps to be changed.
    fn mark(&mut self, slots: &[u32]) {
        self.mark_changed(slots);
        if self.shape.cold.is_none() {
            return;
        }
        for slot in slots {
            // Absent keys answer NO_SLOT, above every index.
            if let Some(flags) = self.flags.get_mut(*slot as usize) {
                *flags |= USED;
            }
        }
    }

    /// The rows of `slots` change. To be called for slots that came neither from
    /// [`Self::upsert`] nor from [`Self::find`] since the last snapshot: snapshots write only
    /// what changed.
    #[inline]
    pub fn mark_changed(&mut self, slots: &[u32]) {
        for slot in slots {
            // Absent keys answer NO_SLOT, above every index.
            if let Some(tier) = self.tiers.get_mut(*slot as usize) {
                // A removed slot stays so.
                *tier = if *tier == GONE { GONE } else { (*tier).max(CHANGED) };
            }
        }
    }

    /// A file of the chain has rows of this pane.
    pub(crate) fn is_in_files(&self) -> bool {
        self.cold_rows > 0
            || !self.removed.is_empty()
            || self.tiers.iter().any(|tier| *tier != NEW && *tier != GONE)
    }

    pub(crate) fn count_tiers(&self, rows: &mut Tiers, removed: &mut Tiers) {
        rows.add_all(&self.tiers);
        self.removed.count(removed);
    }

    /// The slots that the file at `position` has to hold, ascending; from now on it does.
    pub(crate) fn slots_for(&mut self, position: u8) -> Vec<u32> {
        const BLOCK: usize = 64;
        let mut slots = Vec::new();
        for (block, tiers) in self.tiers.chunks_mut(BLOCK).enumerate() {
            if tiers.iter().fold(0, |highest, tier| highest.max(*tier)) < position {
                continue;
            }
            for (at, tier) in tiers.iter_mut().enumerate() {
                if *tier >= position {
                    *tier = position;
                    slots.push((block * BLOCK + at) as u32);
                }
            }
        }
        slots
    }

    /// Keeps only the slots `kept` (ascending, live), renumbered from 0.
    pub(crate) fn retain(&mut self, kept: &[u32]) {
        self.keys.retain(kept);
        for (to, &from) in kept.iter().enumerate() {
            self.flags[to] = self.flags[from as usize];
            self.tiers[to] = self.tiers[from as usize];
        }
        self.tiers.truncate(kept.len());
        self.tiers.shrink_to(kept.len() + kept.len() / 4);
        self.flags.truncate(kept.len());
        self.flags.shrink_to(kept.len() + kept.len() / 4);
        self.columns.iter_mut().for_each(|column| column.retain(kept));
        self.dead = 0;
        self.heap.age = u32::MAX;
    }

    /// Gives removed slots back when they are many. Renumbers.
    pub(crate) fn compact(&mut self) {
        if self.dead > 64 && self.dead * 4 > self.keys.len()
            || self.dead == self.keys.len() && self.dead > 0
        {
            let kept = self.live_slots();
            self.retain(&kept);
        }
    }

    /// Bytes of memory, estimated.
    pub(crate) fn measure(&mut self) -> u64 {
        let fixed = size_of::<Self>()
            + self.keys.bytes()
            + self.flags.capacity()
            + self.tiers.capacity()
            + self.removed.memory()
            + self.columns.iter().map(Column::vector_bytes).sum::<usize>();
        (fixed + self.measure_heap()) as u64
    }

    fn measure_heap(&mut self) -> usize {
        const SAMPLE: usize = 256;
        if !self.columns.iter().any(Column::has_heap) {
            return 0;
        }
        let len = self.keys.len();
        let grown = len.abs_diff(self.heap.measured_len) * 8 > self.heap.measured_len;
        self.heap.age = self.heap.age.saturating_add(1);
        if grown || self.heap.age > 16 {
            let step = len.div_ceil(SAMPLE).max(1);
            let sampled = (0..len).step_by(step);
            let count = sampled.len().max(1);
            let bytes: usize = sampled
                .map(|slot| self.columns.iter().map(|c| c.heap_bytes(slot)).sum::<usize>())
                .sum();
            self.heap = HeapEstimate {
                bytes_per_row: bytes as f64 / count as f64,
                measured_len: len,
                age: 0,
            };
        }
        (self.heap.bytes_per_row * len as f64) as usize
    }
}

fn wrong_type(shape: &TableShape, column: usize, wanted: &str) -> ! {
    panic!(
        "column {column} of table {} is registered as {:?}, not {wanted}",
        shape.name, shape.values[column]
    )
}
