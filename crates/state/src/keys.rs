//! The keys of a pane and their index: batch lookups in loops monomorphised per key kind.
//! Called by `pane` (batches), `pane_cold` and `restore` (single keys).

use arrow::array::{Array, ArrayRef};
use arrow::buffer::NullBuffer;
use model::{Error, Result};

use crate::NO_SLOT;
use crate::column::broken_cold_row;
use crate::index::{Entry, Index};
use crate::key_arrays::{BatchKeys, ByteSource, with_byte_source};

/// Rows whose first entries are fetched before any is looked at, so that their cache
/// misses overlap.
const AHEAD: usize = 16;

/// Keys by slot. The key of a removed slot stays until the next `retain`.
#[derive(Clone)]
pub(crate) enum KeyData {
    Unit,
    Int(Vec<i64>),
    /// `arena[offsets[slot]..offsets[slot + 1]]`.
    Bytes {
        offsets: Vec<u64>,
        arena: Vec<u8>,
    },
}

impl KeyData {
    pub(crate) fn new(kind: crate::shape::KeyKind) -> Self {
        use crate::shape::KeyKind as K;
        match kind {
            K::Unit => Self::Unit,
            K::Int => Self::Int(Vec::new()),
            K::Bytes | K::Rows => Self::Bytes { offsets: vec![0], arena: Vec::new() },
        }
    }

    /// Appends the key of `slot` in `other`, which is of the same kind.
    pub(crate) fn push(&mut self, other: &Self, slot: u32) {
        match (self, other) {
            (Self::Int(values), Self::Int(others)) => values.push(others[slot as usize]),
            (Self::Bytes { offsets, arena }, Self::Bytes { .. }) => {
                arena.extend_from_slice(other.bytes(slot));
                offsets.push(arena.len() as u64);
            }
            _ => {}
        }
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        match self {
            Self::Unit => 0,
            Self::Int(values) => values.capacity() * 8,
            Self::Bytes { offsets, arena } => offsets.capacity() * 8 + arena.capacity(),
        }
    }

    #[inline]
    pub(crate) fn bytes(&self, slot: u32) -> &[u8] {
        match self {
            Self::Bytes { offsets, arena } => {
                &arena[offsets[slot as usize] as usize..offsets[slot as usize + 1] as usize]
            }
            _ => &[],
        }
    }
}

enum KeyIndex {
    /// The only slot is `null_slot`.
    Unit,
    Int(Index<i64>),
    Bytes(Index<u32>),
}

pub(crate) struct KeySet {
    pub(crate) data: KeyData,
    index: KeyIndex,
    /// The key hash of every slot.
    pub(crate) hashes: Vec<u64>,
    /// The slot of the key NULL (single-column kinds) or of the empty key. Kept out of the
    /// index, where it would look like 0 or "".
    pub(crate) null_slot: u32,
}

/// The part of a hash kept beside a slot for byte keys. The index uses the low bits.
#[inline(always)]
fn tag(hash: u64) -> u32 {
    (hash >> 28) as u32
}

#[inline(always)]
fn is_null(nulls: Option<&NullBuffer>, row: usize) -> bool {
    nulls.is_some_and(|nulls| nulls.is_null(row))
}

/// Which rows of a batch, without a branch per row.
trait RowSet: Copy {
    fn len(&self) -> usize;
    fn row(&self, at: usize) -> usize;
}

#[derive(Clone, Copy)]
struct AllRows(usize);

impl RowSet for AllRows {
    #[inline(always)]
    fn len(&self) -> usize {
        self.0
    }
    #[inline(always)]
    fn row(&self, at: usize) -> usize {
        at
    }
}

impl RowSet for &[u32] {
    #[inline(always)]
    fn len(&self) -> usize {
        <[u32]>::len(self)
    }
    #[inline(always)]
    fn row(&self, at: usize) -> usize {
        self[at] as usize
    }
}

impl KeySet {
    pub(crate) fn new(kind: crate::shape::KeyKind) -> Self {
        use crate::shape::KeyKind as K;
        let index = match kind {
            K::Unit => KeyIndex::Unit,
            K::Int => KeyIndex::Int(Index::with_capacity(0)),
            K::Bytes | K::Rows => KeyIndex::Bytes(Index::with_capacity(0)),
        };
        let data = KeyData::new(kind);
        Self { data, index, hashes: Vec::new(), null_slot: NO_SLOT }
    }

    pub(crate) fn len(&self) -> usize {
        self.hashes.len()
    }

    /// The slot of every row; absent keys get new slots at the end when `create`, else `NO_SLOT`.
    pub(crate) fn lookup<const CREATE: bool>(
        &mut self,
        hashes: &[u64],
        keys: &BatchKeys<'_>,
        rows: Option<&[u32]>,
        slots: &mut Vec<u32>,
    ) -> Result<()> {
        let count = rows.map_or(hashes.len(), <[u32]>::len);
        // Slots are u32 and u32::MAX means none.
        if CREATE && self.len() + count >= NO_SLOT as usize {
            return Err(Error::user(
                "a pane holds more than four billion keys; raise the operator's parallelism",
            ));
        }
        slots.clear();
        slots.resize(count, NO_SLOT);
        match rows {
            None => self.lookup_rows::<CREATE, _>(hashes, keys, AllRows(hashes.len()), slots),
            Some(rows) => self.lookup_rows::<CREATE, _>(hashes, keys, rows, slots),
        }
    }

    fn lookup_rows<const CREATE: bool, R: RowSet>(
        &mut self,
        hashes: &[u64],
        keys: &BatchKeys<'_>,
        rows: R,
        slots: &mut [u32],
    ) -> Result<()> {
        match keys {
            BatchKeys::Unit => {
                if rows.len() > 0 && self.null_slot == NO_SLOT && CREATE {
                    self.create_null(hashes[rows.row(0)]);
                }
                slots.fill(self.null_slot);
            }
            BatchKeys::Int(values, None) => {
                self.lookup_ints::<CREATE, false, R>(hashes, values, None, rows, slots);
            }
            BatchKeys::Int(values, nulls) => {
                self.lookup_ints::<CREATE, true, R>(hashes, values, *nulls, rows, slots);
            }
            BatchKeys::Bytes(array) => {
                let nulls = array.nulls();
                with_byte_source!(array, source => {
                    self.lookup_bytes::<CREATE, _, R>(hashes, source, nulls, rows, slots);
                });
            }
            BatchKeys::Rows(encoded) => {
                self.lookup_bytes::<CREATE, _, R>(hashes, encoded, None, rows, slots);
            }
        }
        Ok(())
    }

    fn lookup_ints<const CREATE: bool, const NULLS: bool, R: RowSet>(
        &mut self,
        hashes: &[u64],
        values: &[i64],
        nulls: Option<&NullBuffer>,
        rows: R,
        slots: &mut [u32],
    ) {
        let mut start = 0;
        for chunk in slots.chunks_mut(AHEAD) {
            let KeyIndex::Int(index) = &self.index else { return };
            let mut seen = [Entry::<i64>::free(); AHEAD];
            for at in 0..chunk.len() {
                seen[at] = index.first(hashes[rows.row(start + at)]);
            }
            for (at, slot) in chunk.iter_mut().enumerate() {
                let row = rows.row(start + at);
                let (hash, value, entry) = (hashes[row], values[row], seen[at]);
                // What was fetched may be outdated by rows before it in the chunk, but
                // entries only appear and move: a match stays true.
                if NULLS && is_null(nulls, row) {
                    if CREATE && self.null_slot == NO_SLOT {
                        self.create_null(hash);
                    }
                    *slot = self.null_slot;
                } else if entry.key == value && entry.slot != NO_SLOT {
                    *slot = entry.slot;
                } else {
                    *slot = self.probe_int::<CREATE>(hash, value);
                }
            }
            start += AHEAD;
        }
    }

    #[inline]
    fn probe_int<const CREATE: bool>(&mut self, hash: u64, value: i64) -> u32 {
        let (KeyIndex::Int(index), KeyData::Int(values)) = (&mut self.index, &mut self.data) else {
            return NO_SLOT;
        };
        match index.probe(hash, value, |_| true) {
            Ok(slot) => slot,
            Err(at) if CREATE => {
                let slot = self.hashes.len() as u32;
                self.hashes.push(hash);
                values.push(value);
                index.insert_at(at, value, slot, &self.hashes);
                slot
            }
            Err(_) => NO_SLOT,
        }
    }

    fn lookup_bytes<const CREATE: bool, S: ByteSource + ?Sized, R: RowSet>(
        &mut self,
        hashes: &[u64],
        source: &S,
        nulls: Option<&NullBuffer>,
        rows: R,
        slots: &mut [u32],
    ) {
        let mut start = 0;
        for chunk in slots.chunks_mut(AHEAD) {
            let KeyIndex::Bytes(index) = &self.index else { return };
            let mut seen = [Entry::<u32>::free(); AHEAD];
            for at in 0..chunk.len() {
                seen[at] = index.first(hashes[rows.row(start + at)]);
            }
            for (at, slot) in chunk.iter_mut().enumerate() {
                let row = rows.row(start + at);
                if is_null(nulls, row) {
                    if CREATE && self.null_slot == NO_SLOT {
                        self.create_null(hashes[row]);
                    }
                    *slot = self.null_slot;
                    continue;
                }
                let (hash, value, entry) = (hashes[row], source.bytes(row), seen[at]);
                let hit = entry.slot != NO_SLOT
                    && entry.key == tag(hash)
                    && self.data.bytes(entry.slot) == value;
                *slot = if hit { entry.slot } else { self.probe_bytes::<CREATE>(hash, value) };
            }
            start += AHEAD;
        }
    }

    #[inline]
    fn probe_bytes<const CREATE: bool>(&mut self, hash: u64, value: &[u8]) -> u32 {
        let KeyIndex::Bytes(index) = &mut self.index else { return NO_SLOT };
        match index.probe(hash, tag(hash), |slot| self.data.bytes(slot) == value) {
            Ok(slot) => slot,
            Err(at) if CREATE => {
                let slot = self.hashes.len() as u32;
                self.hashes.push(hash);
                if let KeyData::Bytes { offsets, arena } = &mut self.data {
                    arena.extend_from_slice(value);
                    offsets.push(arena.len() as u64);
                }
                index.insert_at(at, tag(hash), slot, &self.hashes);
                slot
            }
            Err(_) => NO_SLOT,
        }
    }

    #[cold]
    fn create_null(&mut self, hash: u64) -> u32 {
        self.null_slot = self.hashes.len() as u32;
        self.hashes.push(hash);
        match &mut self.data {
            KeyData::Unit => {}
            KeyData::Int(values) => values.push(0),
            KeyData::Bytes { offsets, arena } => offsets.push(arena.len() as u64),
        }
        self.null_slot
    }

    /// Takes `slot` out of the index.
    pub(crate) fn remove(&mut self, slot: u32) {
        if slot == self.null_slot {
            self.null_slot = NO_SLOT;
            return;
        }
        match &mut self.index {
            KeyIndex::Unit => {}
            KeyIndex::Int(index) => index.remove(slot, &self.hashes),
            KeyIndex::Bytes(index) => index.remove(slot, &self.hashes),
        }
    }

    /// Keeps the slots `kept` (ascending, all in the index), renumbered from 0.
    pub(crate) fn retain(&mut self, kept: &[u32]) {
        for (to, &from) in kept.iter().enumerate() {
            self.hashes[to] = self.hashes[from as usize];
        }
        self.hashes.truncate(kept.len());
        self.hashes.shrink_to(kept.len() + kept.len() / 4);
        if self.null_slot != NO_SLOT {
            self.null_slot = kept.binary_search(&self.null_slot).map_or(NO_SLOT, |at| at as u32);
        }
        match &mut self.data {
            KeyData::Unit => {}
            KeyData::Int(values) => {
                for (to, &from) in kept.iter().enumerate() {
                    values[to] = values[from as usize];
                }
                values.truncate(kept.len());
                values.shrink_to(kept.len() + kept.len() / 4);
            }
            KeyData::Bytes { offsets, arena } => {
                let range = |s: u32| offsets[s as usize] as usize..offsets[s as usize + 1] as usize;
                let total = kept.iter().map(|&slot| range(slot).len()).sum();
                let (mut bytes, mut ends) = (Vec::with_capacity(total), vec![0]);
                for &slot in kept {
                    bytes.extend_from_slice(&arena[range(slot)]);
                    ends.push(bytes.len() as u64);
                }
                (*arena, *offsets) = (bytes, ends);
            }
        }
        self.reindex();
    }

    fn reindex(&mut self) {
        let len = self.hashes.len();
        let slots = (0..len as u32).filter(|slot| *slot != self.null_slot);
        match (&mut self.index, &self.data) {
            (KeyIndex::Int(index), KeyData::Int(values)) => {
                *index = Index::with_capacity(len);
                slots.for_each(|s| index.insert_new(values[s as usize], s, &self.hashes));
            }
            (KeyIndex::Bytes(index), _) => {
                *index = Index::with_capacity(len);
                slots.for_each(|s| index.insert_new(tag(self.hashes[s as usize]), s, &self.hashes));
            }
            _ => {}
        }
    }

    /// Appends the key of `slot` in the form of cold rows.
    pub(crate) fn encode(&self, slot: u32, out: &mut Vec<u8>) {
        encode_key(&self.data, slot == self.null_slot, slot, out);
    }

    /// Finds or creates the slot of a key that [`Self::encode`] wrote.
    pub(crate) fn upsert_encoded(&mut self, hash: u64, key: &[u8]) -> Result<u32> {
        let (null, value) = match (&self.data, key.split_first()) {
            (KeyData::Unit, _) | (_, Some((0, _))) => (true, key),
            (_, Some((_, value))) => (false, value),
            (_, None) => return Err(broken_cold_row()),
        };
        if null {
            let slot = self.null_slot;
            return Ok(if slot == NO_SLOT { self.create_null(hash) } else { slot });
        }
        match &self.data {
            KeyData::Int(_) => {
                let value = value.try_into().map_err(|_| broken_cold_row())?;
                Ok(self.probe_int::<true>(hash, i64::from_le_bytes(value)))
            }
            _ => Ok(self.probe_bytes::<true>(hash, value)),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        let index = match &self.index {
            KeyIndex::Unit => 0,
            KeyIndex::Int(index) => index.bytes(),
            KeyIndex::Bytes(index) => index.bytes(),
        };
        index + self.data.memory() + self.hashes.capacity() * 8
    }
}

/// `0` for NULL, else `1` and the value; nothing for the empty key.
pub(crate) fn encode_key(data: &KeyData, null: bool, slot: u32, out: &mut Vec<u8>) {
    match data {
        KeyData::Unit => {}
        _ if null => out.push(0),
        KeyData::Int(values) => {
            out.push(1);
            out.extend_from_slice(&values[slot as usize].to_le_bytes());
        }
        KeyData::Bytes { .. } => {
            out.push(1);
            out.extend_from_slice(data.bytes(slot));
        }
    }
}

/// As [`encode_key`], of a row of a batch.
pub(crate) fn encode_batch_key(keys: &BatchKeys<'_>, row: usize, out: &mut Vec<u8>) {
    match keys {
        BatchKeys::Unit => {}
        BatchKeys::Int(values, nulls) => {
            if is_null(*nulls, row) {
                out.push(0);
            } else {
                out.push(1);
                out.extend_from_slice(&values[row].to_le_bytes());
            }
        }
        BatchKeys::Bytes(array) => {
            if Array::is_null(*array, row) {
                out.push(0);
            } else {
                out.push(1);
                let array: &ArrayRef = array;
                with_byte_source!(array, source => out.extend_from_slice(source.bytes(row)));
            }
        }
        BatchKeys::Rows(rows) => {
            out.push(1);
            out.extend_from_slice(rows.row(row).data());
        }
    }
}
