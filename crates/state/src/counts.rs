//! A multiset of byte strings with counts, for COUNT DISTINCT and for MIN/MAX under
//! retraction. Used by operators through `Column::Counts`.

use hashbrown::HashTable;
use model::key_group::{hash_bytes, hash_u64};

/// value -> count. Values are byte strings; those of 8 bytes are kept without allocation,
/// so that numbers are cheap ([`Self::add_u64`] is `add` of the big-endian bytes). Counts
/// may be negative, when a retraction came before its row; zero means absent.
#[derive(Clone, Debug, Default)]
pub struct Counts(Repr);

type Word = [u8; 8];

#[derive(Clone, Debug, Default)]
enum Repr {
    #[default]
    Empty,
    One(Word, i64),
    /// Up to [`FEW`] words, unordered.
    Few(Vec<(Word, i64)>),
    Words(Box<HashTable<(Word, i64)>>),
    /// As soon as a value is not 8 bytes long.
    Bytes(Box<HashTable<(Box<[u8]>, i64)>>),
}

/// More words than this go to a hash table.
const FEW: usize = 12;

fn word_hash(word: &Word) -> u64 {
    hash_u64(0, u64::from_be_bytes(*word))
}

fn value_hash(value: &[u8]) -> u64 {
    hash_bytes(0, value)
}

impl Counts {
    /// Adds `delta` to the count of `value`; answers the count before and after.
    pub fn add(&mut self, value: &[u8], delta: i64) -> (i64, i64) {
        match (<&Word>::try_from(value), &self.0) {
            (Ok(word), Repr::Empty | Repr::One(..) | Repr::Few(_) | Repr::Words(_)) => {
                self.add_word(*word, delta)
            }
            _ => self.add_bytes(value, delta),
        }
    }

    /// As [`Self::add`] of the eight big-endian bytes of `value`.
    pub fn add_u64(&mut self, value: u64, delta: i64) -> (i64, i64) {
        let word = value.to_be_bytes();
        match &self.0 {
            Repr::Bytes(_) => self.add_bytes(&word, delta),
            _ => self.add_word(word, delta),
        }
    }

    /// Takes the count of `value` for a set of bits and sets `bits` in it; answers which of
    /// them were not set before. A multiset is used for bits or for counts, not for both.
    pub fn set_bits(&mut self, value: &[u8], bits: i64) -> i64 {
        let fresh = bits & !self.get(value);
        if fresh != 0 {
            // The bits are not there yet, so that adding sets them.
            self.add(value, fresh);
        }
        fresh
    }

    /// The count of `value`; 0 when absent.
    pub fn get(&self, value: &[u8]) -> i64 {
        if let Repr::Bytes(table) = &self.0 {
            return table.find(value_hash(value), |e| &*e.0 == value).map_or(0, |e| e.1);
        }
        let Ok(word) = <&Word>::try_from(value) else { return 0 };
        match &self.0 {
            Repr::One(one, count) if one == word => *count,
            Repr::Few(few) => few.iter().find(|e| e.0 == *word).map_or(0, |e| e.1),
            Repr::Words(table) => table.find(word_hash(word), |e| e.0 == *word).map_or(0, |e| e.1),
            _ => 0,
        }
    }

    /// How many values have a positive count.
    pub fn distinct(&self) -> usize {
        self.iter().filter(|(_, count)| *count > 0).count()
    }

    /// How many values have a count at all, in constant time. Equals [`Self::distinct`]
    /// when nothing was retracted before it came.
    pub fn entries(&self) -> usize {
        match &self.0 {
            Repr::Empty => 0,
            Repr::One(..) => 1,
            Repr::Few(few) => few.len(),
            Repr::Words(table) => table.len(),
            Repr::Bytes(table) => table.len(),
        }
    }

    /// No value has a count.
    pub fn is_empty(&self) -> bool {
        self.entries() == 0
    }

    /// Every value with its count, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], i64)> {
        let (mut one, mut few, mut words, mut bytes) = (None, [].iter(), None, None);
        match &self.0 {
            Repr::Empty => {}
            Repr::One(word, count) => one = Some((&word[..], *count)),
            Repr::Few(list) => few = list.iter(),
            Repr::Words(table) => words = Some(table.iter()),
            Repr::Bytes(table) => bytes = Some(table.iter()),
        }
        one.into_iter()
            .chain(few.map(|(word, count)| (&word[..], *count)))
            .chain(words.into_iter().flatten().map(|(word, count)| (&word[..], *count)))
            .chain(bytes.into_iter().flatten().map(|(value, count)| (&**value, *count)))
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        if self.is_empty() {
            self.clone_from(other);
            return;
        }
        for (value, count) in other.iter() {
            self.add(value, count);
        }
    }

    /// Bytes held outside the value itself.
    pub(crate) fn heap_bytes(&self) -> usize {
        match &self.0 {
            Repr::Empty | Repr::One(..) => 0,
            Repr::Few(few) => few.capacity() * size_of::<(Word, i64)>(),
            Repr::Words(table) => table.allocation_size(),
            Repr::Bytes(table) => {
                // The strings are summed by a sample: exact sums would cost a walk.
                let sample: usize = table.iter().take(64).map(|e| e.0.len() + 16).sum();
                table.allocation_size() + sample * table.len() / table.len().clamp(1, 64)
            }
        }
    }

    fn add_word(&mut self, word: Word, delta: i64) -> (i64, i64) {
        match &mut self.0 {
            Repr::Empty => {
                if delta != 0 {
                    self.0 = Repr::One(word, delta);
                }
                (0, delta)
            }
            Repr::One(one, count) if *one == word => {
                let old = *count;
                *count = old.wrapping_add(delta);
                let new = *count;
                if new == 0 {
                    self.0 = Repr::Empty;
                }
                (old, new)
            }
            Repr::One(one, count) => {
                let first = (*one, *count);
                if delta != 0 {
                    self.0 = Repr::Few(vec![first, (word, delta)]);
                }
                (0, delta)
            }
            Repr::Few(_) => self.add_few(word, delta),
            Repr::Words(table) => {
                change(table, word_hash(&word), word, delta, |e, v| e == v, word_hash, |v| v)
            }
            Repr::Bytes(_) => self.add_bytes(&word, delta),
        }
    }

    fn add_few(&mut self, word: Word, delta: i64) -> (i64, i64) {
        let Repr::Few(few) = &mut self.0 else { return (0, 0) };
        if let Some(at) = few.iter().position(|e| e.0 == word) {
            let old = few[at].1;
            let new = old.wrapping_add(delta);
            few[at].1 = new;
            if new == 0 {
                few.swap_remove(at);
            }
            return (old, new);
        }
        if delta == 0 {
            return (0, 0);
        }
        few.push((word, delta));
        if few.len() > FEW {
            let mut table = HashTable::with_capacity(few.len() * 2);
            for entry in few.drain(..) {
                table.insert_unique(word_hash(&entry.0), entry, |e| word_hash(&e.0));
            }
            self.0 = Repr::Words(Box::new(table));
        }
        (0, delta)
    }

    fn add_bytes(&mut self, value: &[u8], delta: i64) -> (i64, i64) {
        if !matches!(self.0, Repr::Bytes(_)) {
            let mut table = HashTable::with_capacity(self.entries() + 1);
            for (known, count) in self.iter() {
                let entry: (Box<[u8]>, i64) = (known.into(), count);
                table.insert_unique(value_hash(known), entry, |e| value_hash(&e.0));
            }
            self.0 = Repr::Bytes(Box::new(table));
        }
        let Repr::Bytes(table) = &mut self.0 else { return (0, 0) };
        change(
            table,
            value_hash(value),
            value,
            delta,
            |entry, value| **entry == **value,
            |entry| value_hash(entry),
            Into::into,
        )
    }
}

#[expect(clippy::too_many_arguments, reason = "one generic body for both tables, inlined")]
#[inline]
fn change<K, V>(
    table: &mut HashTable<(K, i64)>,
    hash: u64,
    value: V,
    delta: i64,
    same: impl Fn(&K, &V) -> bool,
    rehash: impl Fn(&K) -> u64,
    own: impl Fn(V) -> K,
) -> (i64, i64) {
    match table.find_entry(hash, |e| same(&e.0, &value)) {
        Ok(mut entry) => {
            let old = entry.get().1;
            let new = old.wrapping_add(delta);
            entry.get_mut().1 = new;
            if new == 0 {
                entry.remove();
            }
            (old, new)
        }
        Err(_) => {
            if delta != 0 {
                table.insert_unique(hash, (own(value), delta), |e| rehash(&e.0));
            }
            (0, delta)
        }
    }
}

impl PartialEq for Counts {
    fn eq(&self, other: &Self) -> bool {
        self.entries() == other.entries() && self.iter().all(|(v, count)| other.get(v) == count)
    }
}
