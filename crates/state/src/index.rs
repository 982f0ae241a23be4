//! The hash index of a pane: an open-addressing table (linear probing, deletion by
//! shifting back) from a caller-supplied hash to a slot. Called by `keys`.
//!
//! Entries carry part of the key inline (an integer key whole, else a hash tag), so a hit
//! costs one cache line. Positions come from the hash's low bits: the high ones choose the
//! key group, hence are much alike within a subtask.

use crate::NO_SLOT;

/// `slot == NO_SLOT` is free.
#[derive(Clone, Copy)]
pub(crate) struct Entry<K> {
    pub(crate) key: K,
    pub(crate) slot: u32,
}

impl<K: Default> Entry<K> {
    pub(crate) fn free() -> Self {
        Self { key: K::default(), slot: NO_SLOT }
    }
}

pub(crate) struct Index<K> {
    /// A power of two of entries.
    entries: Vec<Entry<K>>,
    used: usize,
}

const MIN_ENTRIES: usize = 8;

impl<K: Copy + Default + PartialEq> Index<K> {
    /// Room for `len` entries without growing.
    pub(crate) fn with_capacity(len: usize) -> Self {
        let entries = (len + len / 2 + 1).next_power_of_two().max(MIN_ENTRIES);
        Self { entries: vec![Entry::free(); entries], used: 0 }
    }

    /// The first entry that `hash` may be in: usually the one.
    #[inline(always)]
    pub(crate) fn first(&self, hash: u64) -> Entry<K> {
        let mask = self.entries.len() - 1;
        self.entries[hash as usize & mask]
    }

    /// The slot of the entry with `key` for which `same` holds, or the position where it
    /// would be inserted.
    #[inline]
    pub(crate) fn probe(
        &self,
        hash: u64,
        key: K,
        same: impl Fn(u32) -> bool,
    ) -> std::result::Result<u32, usize> {
        let mask = self.entries.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let entry = self.entries[at];
            if entry.slot == NO_SLOT {
                return Err(at);
            }
            if entry.key == key && same(entry.slot) {
                return Ok(entry.slot);
            }
            at = (at + 1) & mask;
        }
    }

    /// Fills the free position that `probe` answered. `hashes` has the hash of every slot
    /// in the index and of `slot`.
    #[inline]
    pub(crate) fn insert_at(&mut self, at: usize, key: K, slot: u32, hashes: &[u64]) {
        self.entries[at] = Entry { key, slot };
        self.used += 1;
        // At most 70 % full, so that probes stay short.
        if self.used * 10 > self.entries.len() * 7 {
            self.grow(hashes);
        }
    }

    /// As `probe` and `insert_at` of an entry known to be absent.
    pub(crate) fn insert_new(&mut self, key: K, slot: u32, hashes: &[u64]) {
        if let Err(at) = self.probe(hashes[slot as usize], key, |_| false) {
            self.insert_at(at, key, slot, hashes);
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, hashes: &[u64]) {
        let larger = vec![Entry::free(); self.entries.len() * 2];
        let mask = larger.len() - 1;
        for entry in std::mem::replace(&mut self.entries, larger) {
            if entry.slot != NO_SLOT {
                let mut at = hashes[entry.slot as usize] as usize & mask;
                while self.entries[at].slot != NO_SLOT {
                    at = (at + 1) & mask;
                }
                self.entries[at] = entry;
            }
        }
    }

    /// Takes `slot` out.
    pub(crate) fn remove(&mut self, slot: u32, hashes: &[u64]) {
        let mask = self.entries.len() - 1;
        let mut hole = hashes[slot as usize] as usize & mask;
        while self.entries[hole].slot != slot {
            if self.entries[hole].slot == NO_SLOT {
                return;
            }
            hole = (hole + 1) & mask;
        }
        self.used -= 1;
        // Move back every follower that would no longer be found behind the hole.
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let entry = self.entries[at];
            if entry.slot == NO_SLOT {
                break;
            }
            let home = hashes[entry.slot as usize] as usize & mask;
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(hole) & mask) {
                self.entries[hole] = entry;
                hole = at;
            }
        }
        self.entries[hole] = Entry::free();
    }

    pub(crate) fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry<K>>()
    }
}
