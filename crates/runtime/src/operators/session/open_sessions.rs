//! The sessions that one batch or watermark is about, taken out of state: their bounds as
//! plain numbers, their accumulators as columns. Pure; called by `session`.

use model::{Error, Result};
use state::{Column, Counts};

use crate::operators::accumulator::{Accumulators, counts_codec};

/// First row's time, and last row's time plus the gap, exclusive. ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) start: i64,
    pub(super) end: i64,
}

/// Sessions, numbered; the accumulators of session `i` are element `i` of every column.
pub(super) struct Stored {
    pub(super) bounds: Vec<Bounds>,
    pub(super) columns: Vec<Column>,
}

impl Stored {
    pub(super) fn new(accumulators: &Accumulators) -> Self {
        Self { bounds: Vec::new(), columns: accumulators.columns(0) }
    }

    /// Appends the sessions in `bytes`, in order of time; `each` gets what it takes to keep
    /// one as it is.
    pub(super) fn decode<'a>(
        &mut self,
        mut bytes: &'a [u8],
        mut each: impl FnMut(Bounds, &'a [u8]),
    ) -> Result<()> {
        while !bytes.is_empty() {
            let whole = bytes;
            let bounds = take_i64(&mut bytes).zip(take_i64(&mut bytes));
            let (start, end) = bounds.ok_or_else(broken)?;
            for column in &mut self.columns {
                decode_value(column, &mut bytes).ok_or_else(broken)??;
            }
            let bounds = Bounds { start, end };
            self.bounds.push(bounds);
            each(bounds, &whole[..whole.len() - bytes.len()]);
        }
        Ok(())
    }
}

/// Appends session `index` of `columns` to `out`.
pub(super) fn encode(bounds: Bounds, columns: &[Column], index: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&bounds.start.to_le_bytes());
    out.extend_from_slice(&bounds.end.to_le_bytes());
    for column in columns {
        match column {
            Column::I64(vector) => out.extend_from_slice(&vector[index].to_le_bytes()),
            Column::F64(vector) => out.extend_from_slice(&vector[index].to_bits().to_le_bytes()),
            Column::I128(vector) => out.extend_from_slice(&vector[index].to_le_bytes()),
            Column::Bytes(vector) => match &vector[index] {
                None => out.push(0),
                Some(bytes) => {
                    out.push(1);
                    encode_sized(out, |out| out.extend_from_slice(bytes));
                }
            },
            Column::Counts(vector) => {
                encode_sized(out, |out| counts_codec::encode(&vector[index], out));
            }
        }
    }
}

/// What `write` appends, behind its length.
fn encode_sized(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; 8]);
    write(out);
    let len = (out.len() - at - 8) as u64;
    out[at..at + 8].copy_from_slice(&len.to_le_bytes());
}

/// `None` when `bytes` are too short.
fn decode_value(column: &mut Column, bytes: &mut &[u8]) -> Option<Result<()>> {
    match column {
        Column::I64(vector) => vector.push(take_i64(bytes)?),
        Column::F64(vector) => vector.push(f64::from_bits(take_i64(bytes)? as u64)),
        Column::I128(vector) => {
            let (value, rest) = bytes.split_first_chunk::<16>()?;
            vector.push(i128::from_le_bytes(*value));
            *bytes = rest;
        }
        Column::Bytes(vector) => {
            let (&present, rest) = bytes.split_first()?;
            *bytes = rest;
            let value = if present == 0 { None } else { Some(take_sized(bytes)?.into()) };
            vector.push(value);
        }
        Column::Counts(vector) => {
            let mut counts = Counts::default();
            let read = counts_codec::decode(take_sized(bytes)?, |value, count| {
                counts.add(value, count);
            });
            vector.push(counts);
            return Some(read);
        }
    }
    Some(Ok(()))
}

fn take_i64(bytes: &mut &[u8]) -> Option<i64> {
    let (value, rest) = bytes.split_first_chunk::<8>()?;
    *bytes = rest;
    Some(i64::from_le_bytes(*value))
}

fn take_sized<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(take_i64(bytes)?).ok()?;
    let (value, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(value)
}

fn broken() -> Error {
    Error::internal("the sessions of a key cannot be read back from state")
}

/// The sessions of the keys of one batch while its rows are put into them. A session that
/// merges into another leaves its number as an alias.
#[derive(Default)]
pub(super) struct Merging {
    pub(super) bounds: Vec<Bounds>,
    /// The session that a session merged into; itself when it did not.
    parents: Vec<u32>,
    /// The current key's sessions in order of time: apart by more than the gap.
    pub(super) of_key: Vec<u32>,
}

impl Merging {
    /// A new session; not yet one of the key's.
    pub(super) fn push(&mut self, bounds: Bounds) -> u32 {
        let id = self.bounds.len() as u32;
        self.bounds.push(bounds);
        self.parents.push(id);
        id
    }

    /// The session that `id` is part of by now.
    pub(super) fn root(&mut self, id: u32) -> u32 {
        let mut root = id;
        while self.parents[root as usize] != root {
            root = self.parents[root as usize];
        }
        // Shortens the way for the next one.
        self.parents[id as usize] = root;
        root
    }

    /// Puts a row that lasts over `row` into a session of the current key, merging those
    /// that it joins (also when they only touch). `None` when it would be alone and `late`
    /// says that it is late.
    pub(super) fn insert(&mut self, row: Bounds, late: impl FnOnce() -> bool) -> Option<u32> {
        let bounds = &self.bounds;
        // Rows mostly belong to the last session.
        let touches = |id: &u32| {
            let known = bounds[*id as usize];
            known.start <= row.end && known.end >= row.start
        };
        let high = self.of_key.iter().rposition(|id| bounds[*id as usize].start <= row.end);
        let high = high.map_or(0, |at| at + 1);
        let joined = self.of_key[..high].iter().rev().take_while(|id| touches(id)).count();
        let low = high - joined;
        if joined == 0 {
            if late() {
                return None;
            }
            let id = self.push(row);
            self.of_key.insert(low, id);
            return Some(id);
        }
        let (first, last) = (self.of_key[low], self.of_key[high - 1]);
        let merged = Bounds {
            start: row.start.min(self.bounds[first as usize].start),
            end: row.end.max(self.bounds[last as usize].end),
        };
        for id in self.of_key.drain(low + 1..high) {
            self.parents[id as usize] = first;
        }
        self.bounds[first as usize] = merged;
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(start: i64, end: i64) -> Bounds {
        Bounds { start, end }
    }

    #[test]
    fn rows_extend_touch_and_bridge_sessions() {
        let mut sessions = Merging::default();
        let never = || false;
        let a = sessions.insert(row(10, 15), never).unwrap();
        assert_eq!(sessions.insert(row(15, 20), never), Some(a), "exactly one gap apart");
        let b = sessions.insert(row(30, 35), never).unwrap();
        let c = sessions.insert(row(1, 6), never).unwrap();
        assert_eq!(sessions.of_key, [c, a, b]);
        assert_eq!(sessions.insert(row(25, 30), never), Some(b));
        assert_eq!(sessions.insert(row(21, 26), never), Some(b));
        assert_eq!(sessions.insert(row(18, 23), never), Some(a), "bridges a and b");
        assert_eq!(sessions.of_key, [c, a]);
        assert_eq!(sessions.root(b), a);
        assert_eq!(sessions.bounds[a as usize], row(10, 35));
        assert_eq!(sessions.insert(row(-9, -4), || true), None);
        assert_eq!(sessions.insert(row(-4, 1), || true), Some(c), "late, but joins an open one");
    }
}
