//! What was removed although files of the chain still hold it: keys of a pane, namespaces of a
//! table, batches of a log. A snapshot that goes on from those files says so. Owned by `pane`,
//! `table` and `log`; read by `frozen`.

use std::collections::BTreeMap;

use crate::NO_SLOT;
use crate::chain::{CHANGED, Tiers};
use crate::keys::{KeyData, KeySet};
use crate::shape::KeyKind;

/// Keys, each as often as it was removed.
pub(crate) struct RemovedKeys {
    keys: FrozenKeys,
    tiers: Vec<u8>,
}

/// Keys and their hashes.
pub(crate) struct FrozenKeys {
    pub(crate) data: KeyData,
    pub(crate) hashes: Vec<u64>,
    /// Where the key NULL (or the empty key) is.
    pub(crate) null_slot: u32,
}

impl FrozenKeys {
    pub(crate) fn new(kind: KeyKind) -> Self {
        Self { data: KeyData::new(kind), hashes: Vec::new(), null_slot: NO_SLOT }
    }

    pub(crate) fn push(&mut self, data: &KeyData, hash: u64, is_null: bool, slot: u32) {
        if is_null {
            self.null_slot = self.hashes.len() as u32;
        }
        self.data.push(data, slot);
        self.hashes.push(hash);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }
}

impl RemovedKeys {
    pub(crate) fn new(kind: KeyKind) -> Self {
        Self { keys: FrozenKeys::new(kind), tiers: Vec::new() }
    }

    /// The row of `slot` goes, and a file has it.
    pub(crate) fn push(&mut self, keys: &KeySet, slot: u32) {
        let is_null = slot == keys.null_slot;
        if is_null && self.keys.null_slot != NO_SLOT {
            // There is one place for NULL.
            self.tiers[self.keys.null_slot as usize] = CHANGED;
            return;
        }
        self.keys.push(&keys.data, keys.hashes[slot as usize], is_null, slot);
        self.tiers.push(CHANGED);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tiers.is_empty()
    }

    pub(crate) fn count(&self, tiers: &mut Tiers) {
        tiers.add_all(&self.tiers);
    }

    /// Those that the file at `position` has to name; from now on it does.
    pub(crate) fn freeze(&mut self, kind: KeyKind, position: u8) -> FrozenKeys {
        let mut frozen = FrozenKeys::new(kind);
        for (slot, tier) in self.tiers.iter_mut().enumerate() {
            if *tier >= position {
                *tier = position;
                let (slot, hash) = (slot as u32, self.keys.hashes[slot]);
                frozen.push(&self.keys.data, hash, slot == self.keys.null_slot, slot);
            }
        }
        frozen
    }

    /// A new base has begun: nothing is left to remove.
    pub(crate) fn clear(&mut self, kind: KeyKind) {
        if !self.is_empty() {
            *self = Self::new(kind);
        }
    }

    pub(crate) fn memory(&self) -> usize {
        self.keys.data.memory() + self.keys.hashes.capacity() * 8 + self.tiers.capacity()
    }
}

/// Namespaces of a table, or numbers of a log's batches.
#[derive(Default)]
pub(crate) struct RemovedIds<T>(BTreeMap<T, u8>);

impl<T: Copy + Ord> RemovedIds<T> {
    pub(crate) fn add(&mut self, id: T) {
        self.0.insert(id, CHANGED);
    }

    pub(crate) fn count(&self, tiers: &mut Tiers) {
        self.0.values().for_each(|tier| tiers.add(*tier, 1));
    }

    /// Those that the file at `position` has to name, ascending; from now on it does. A base
    /// names none, and none is left.
    pub(crate) fn freeze(&mut self, position: u8) -> Vec<T> {
        if position == 1 {
            self.0.clear();
        }
        let due = self.0.iter_mut().filter(|(_, tier)| **tier >= position);
        due.map(|(id, tier)| {
            *tier = position;
            *id
        })
        .collect()
    }
}
