//! A pane's traffic with the cold store: reading missing rows, loading the whole pane,
//! evicting slots. Called by `pane`, `table` and `store`.
//!
//! Cold row: key `table u16 | namespace i64 | hash u64 | key`, all order-preserving (the
//! hash's high bits are the key group), value: the encoded columns. A row in memory is
//! always the truth; a copy of it that is still in the cold store is outdated and marked
//! `COPIED`, so that removing the row also deletes the copy.

use model::Result;

use crate::NO_SLOT;
use crate::chain::CHANGED;
use crate::cold::{Entry, PREFIX, SharedCold, pane_prefix};
use crate::column::broken_cold_row;
use crate::key_arrays::BatchKeys;
use crate::keys::encode_batch_key;
use crate::pane::{COPIED, DEAD, Pane, USED};

/// Rows per cold write, to bound what is encoded at once.
const WRITE_ROWS: usize = 16 * 1024;

/// Splits what follows the pane prefix of a cold key into hash and key.
pub(crate) fn split_cold_key(cold_key: &[u8]) -> Result<(u64, &[u8])> {
    let (hash, key) = cold_key
        .get(PREFIX..)
        .and_then(|rest| rest.split_first_chunk::<8>())
        .ok_or_else(broken_cold_row)?;
    Ok((u64::from_be_bytes(*hash), key))
}

/// The beginning of a row's cold key.
pub(crate) fn start_cold_key(prefix: &[u8], hash: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(PREFIX + 8 + 16);
    key.extend_from_slice(prefix);
    key.extend_from_slice(&hash.to_be_bytes());
    key
}

impl Pane {
    pub(crate) fn prefix(&self) -> [u8; PREFIX] {
        pane_prefix(self.shape.id, self.namespace)
    }

    pub(crate) fn cold_key(&self, slot: u32) -> Vec<u8> {
        let mut key = start_cold_key(&self.prefix(), self.hash(slot));
        self.keys.encode(slot, &mut key);
        key
    }

    /// Whether the pane has a row, in memory or cold.
    pub(crate) fn has_rows(&self) -> bool {
        self.live() > 0 || self.cold_rows > 0
    }

    fn cold(&self) -> Option<SharedCold> {
        self.shape.cold.clone()
    }

    /// Deletes the cold copies of removed rows. Must precede every cold read.
    pub(crate) fn flush_deletes(&mut self) -> Result<()> {
        if self.pending_deletes.is_empty() {
            return Ok(());
        }
        let mut deletes = std::mem::take(&mut self.pending_deletes);
        if let Some(cold) = self.cold() {
            deletes.sort_unstable();
            deletes.dedup();
            cold.lock()?.write(Vec::new(), deletes)?;
        }
        Ok(())
    }

    /// Brings those rows of a batch into memory that are only in the cold store, with one read.
    pub(crate) fn load_missing(
        &mut self,
        hashes: &[u64],
        keys: &BatchKeys<'_>,
        rows: Option<&[u32]>,
    ) -> Result<()> {
        let Some(cold) = self.cold() else { return Ok(()) };
        let mut slots = Vec::new();
        self.keys.lookup::<false>(hashes, keys, rows, &mut slots)?;
        let prefix = self.prefix();
        let mut wanted: Vec<Vec<u8>> = Vec::new();
        for (at, slot) in slots.iter().enumerate() {
            if *slot == NO_SLOT {
                let row = rows.map_or(at, |rows| rows[at] as usize);
                let mut key = start_cold_key(&prefix, hashes[row]);
                encode_batch_key(keys, row, &mut key);
                wanted.push(key);
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        self.flush_deletes()?;
        wanted.sort_unstable();
        wanted.dedup();
        let borrowed: Vec<&[u8]> = wanted.iter().map(Vec::as_slice).collect();
        let mut values = Vec::new();
        cold.lock()?.get_many(&borrowed, &mut values)?;
        for (key, value) in borrowed.iter().zip(&values) {
            if let Some(value) = value {
                self.insert_cold(key, value)?;
            }
        }
        Ok(())
    }

    /// Adds a cold row to memory, where it is not yet.
    pub(crate) fn insert_cold(&mut self, cold_key: &[u8], mut value: &[u8]) -> Result<()> {
        let (hash, key) = split_cold_key(cold_key)?;
        let before = self.keys.len();
        let slot = self.keys.upsert_encoded(hash, key)?;
        if (slot as usize) < before {
            return Ok(());
        }
        for column in &mut self.columns {
            column.decode(&mut value)?;
        }
        self.flags.push(COPIED | USED);
        self.tiers.push(CHANGED);
        self.cold_rows = self.cold_rows.saturating_sub(1);
        Ok(())
    }

    /// Brings every row into memory and empties the cold part.
    pub(crate) fn load_all(&mut self) -> Result<()> {
        let Some(cold) = self.cold() else { return Ok(()) };
        if !self.in_cold {
            return Ok(());
        }
        self.flush_deletes()?;
        if self.cold_rows > 0 {
            cold.for_each(&self.prefix(), |key, value| self.insert_cold(key, value))?;
        }
        cold.lock()?.delete_prefix(&self.prefix())?;
        self.flags.iter_mut().for_each(|flags| *flags &= !COPIED);
        self.in_cold = false;
        self.cold_rows = 0;
        Ok(())
    }

    /// Deletes the pane's cold part, its rows included.
    pub(crate) fn delete_cold(&mut self) -> Result<()> {
        self.pending_deletes.clear();
        self.cold_rows = 0;
        if std::mem::take(&mut self.in_cold)
            && let Some(cold) = self.cold()
        {
            cold.lock()?.delete_prefix(&self.prefix())?;
        }
        Ok(())
    }

    /// Writes every row to the cold store and frees the memory.
    pub(crate) fn evict_all(&mut self) -> Result<()> {
        let slots = self.live_slots();
        self.evict(&slots, &[])
    }

    /// Writes about `bytes` worth of rows to the cold store, those first that were not used
    /// since the last sweep (a clock, second chance), and frees their memory.
    pub(crate) fn evict_some(&mut self, bytes: u64) -> Result<()> {
        let live = self.live() as u64;
        if live == 0 {
            return Ok(());
        }
        let per_row = (self.accounted / live).max(1);
        // At least a quarter, since what is kept is rebuilt.
        let want = bytes.div_ceil(per_row).max(live.div_ceil(4)).min(live) as usize;
        let mut chosen = Vec::with_capacity(want);
        for slot in self.live_slots() {
            let flags = &mut self.flags[slot as usize];
            if *flags & USED == 0 && chosen.len() < want {
                chosen.push(slot);
            }
            *flags &= !USED;
        }
        if chosen.len() < want {
            let mut taken = chosen.iter().copied().peekable();
            let others: Vec<u32> =
                self.live_slots().into_iter().filter(|s| taken.next_if_eq(s).is_none()).collect();
            chosen.extend_from_slice(&others[..want - chosen.len()]);
            chosen.sort_unstable();
        }
        let mut gone = chosen.iter().copied().peekable();
        let kept: Vec<u32> =
            self.live_slots().into_iter().filter(|s| gone.next_if_eq(s).is_none()).collect();
        self.evict(&chosen, &kept)
    }

    fn evict(&mut self, slots: &[u32], kept: &[u32]) -> Result<()> {
        let Some(cold) = self.cold() else { return Ok(()) };
        self.flush_deletes()?;
        let mut order = slots.to_vec();
        order.sort_unstable_by_key(|slot| self.hash(*slot));
        for chunk in order.chunks(WRITE_ROWS) {
            let mut puts: Vec<Entry> = chunk.iter().map(|slot| self.cold_entry(*slot)).collect();
            // Only equal hashes can be out of order.
            puts.sort_unstable();
            cold.lock()?.write(puts, Vec::new())?;
            self.in_cold = true;
        }
        self.cold_rows += slots.len() as u64;
        self.retain(kept);
        Ok(())
    }

    fn cold_entry(&self, slot: u32) -> Entry {
        debug_assert_eq!(self.flags[slot as usize] & DEAD, 0, "only live rows are evicted");
        let mut value = Vec::with_capacity(self.columns.len() * 9);
        self.columns.iter().for_each(|column| column.encode(slot as usize, &mut value));
        (self.cold_key(slot), value)
    }
}
