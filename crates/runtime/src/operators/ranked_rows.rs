//! A sorted list of rows in one byte string: the state of a top-N key. Called by `top_n`.
//!
//! Layout, little-endian: `count: u32`, then per entry `end of sort key: u32` and
//! `end of row: u32` (counted from the first byte behind this table), then per entry the
//! sort key and the row, both in arrow's row format. The last entry is found in constant
//! time: most rows are compared with it and dropped.

use model::{Error, Result};

/// Reads a list.
#[derive(Clone, Copy)]
pub struct RankedRows<'a> {
    ends: &'a [[u8; 4]],
    data: &'a [u8],
}

impl<'a> RankedRows<'a> {
    pub const EMPTY: RankedRows<'static> = RankedRows { ends: &[], data: &[] };

    /// Checks the layout, not the ends (out of range they panic when used; lists are only
    /// ever written by [`encode`]).
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let broken = || Error::internal("a top-N list in state cannot be read");
        let (count, rest) = bytes.split_first_chunk::<4>().ok_or_else(broken)?;
        let table = u32::from_le_bytes(*count) as usize * 8;
        let (table, data) = rest.split_at_checked(table).ok_or_else(broken)?;
        let (ends, _) = table.as_chunks::<4>();
        Ok(Self { ends, data })
    }

    pub fn len(&self) -> usize {
        self.ends.len() / 2
    }

    fn end(&self, position: usize) -> usize {
        u32::from_le_bytes(self.ends[position]) as usize
    }

    pub fn sort_key(&self, index: usize) -> &'a [u8] {
        let start = if index == 0 { 0 } else { self.end(2 * index - 1) };
        &self.data[start..self.end(2 * index)]
    }

    pub fn row(&self, index: usize) -> &'a [u8] {
        &self.data[self.end(2 * index)..self.end(2 * index + 1)]
    }
}

/// Writes a list of (sort key, row), in order. Fails above 4 GiB.
pub fn encode<'a>(
    entries: impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])> + Clone,
) -> Result<Box<[u8]>> {
    let table = 4 + entries.len() * 8;
    let data: usize = entries.clone().map(|(key, row)| key.len() + row.len()).sum();
    if u32::try_from(data).is_err() {
        return Err(Error::user("a top-N key has more than 4 GiB of rows; use a finer key"));
    }
    let mut bytes = Vec::with_capacity(table + data);
    bytes.extend_from_slice(&(entries.len() as u32).to_le_bytes());
    let mut end = 0;
    for (key, row) in entries.clone() {
        for part in [key, row] {
            end += part.len() as u32;
            bytes.extend_from_slice(&end.to_le_bytes());
        }
    }
    for (key, row) in entries {
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(row);
    }
    Ok(bytes.into_boxed_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_was_written() {
        let entries: [(&[u8], &[u8]); 3] = [(b"a", b"first"), (b"", b""), (b"ccc", b"third")];
        let bytes = encode(entries.into_iter()).unwrap();
        let list = RankedRows::parse(&bytes).unwrap();
        assert_eq!(list.len(), 3);
        for (index, (key, row)) in entries.into_iter().enumerate() {
            assert_eq!((list.sort_key(index), list.row(index)), (key, row));
        }
        assert!(RankedRows::parse(&bytes[..8]).is_err());
        let empty = encode([].into_iter()).unwrap();
        assert_eq!(RankedRows::parse(&empty).unwrap().len(), 0);
    }
}
