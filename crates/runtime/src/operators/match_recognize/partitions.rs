//! Partitions in state: the rows that open and waiting matches have, and those matches. Rows
//! lie in a `ranked_rows` list, whose sort keys are the times. Called by `match_recognize`.

use arrow::array::ArrayRef;
use arrow::row::Rows;
use model::{Error, Result};
use state::{Pane, ValueType};

use super::nfa::{Candidates, Matches};
use crate::operators::encoded_rows::RowCodec;
use crate::operators::ranked_rows::{RankedRows, encode};

/// State columns: rows, matches, whether a time-out is registered.
pub const VALUE_TYPES: [ValueType; 3] = [ValueType::Bytes, ValueType::Bytes, ValueType::I64];
const ROWS: usize = 0;
const MATCHES: usize = 1;
pub const REGISTERED: usize = 2;

/// A partition while a batch is worked off. Rows are numbered from the oldest that is kept.
pub struct Partition {
    pub slot: u32,
    /// Position (of old rows: among the old ones) and time of each row.
    pub rows: Vec<(u32, i64)>,
    pub candidates: Candidates,
    /// The list of old rows as it was.
    before: Option<Box<[u8]>>,
    /// Position of the first old row.
    first: u32,
}

/// Reads and writes partitions of one operator.
pub struct PartitionCodec {
    rows: RowCodec,
    variables: usize,
    /// Tells state of another pattern or of other columns apart.
    fingerprint: u32,
}

impl PartitionCodec {
    pub fn new(rows: RowCodec, variables: usize, fingerprint: u32) -> Self {
        Self { rows, variables, fingerprint }
    }

    pub fn codec(&self) -> &RowCodec {
        &self.rows
    }

    /// Takes the partitions of `slots` out of the state; answers the columns of their rows, too.
    pub fn take(&self, pane: &mut Pane, slots: &[u32]) -> Result<(Vec<Partition>, Vec<ArrayRef>)> {
        let mut partitions = Vec::with_capacity(slots.len());
        for slot in slots {
            let before = pane.bytes(ROWS)[*slot as usize].take();
            let candidates = match pane.bytes(MATCHES)[*slot as usize].take() {
                Some(bytes) => self.matches(&bytes)?,
                None => Candidates::new(self.variables),
            };
            let (rows, first) = (Vec::new(), 0);
            partitions.push(Partition { slot: *slot, rows, candidates, before, first });
        }
        let mut read: Vec<&[u8]> = Vec::new();
        for Partition { before, rows, first, .. } in &mut partitions {
            let list = list(before)?;
            *first = read.len() as u32;
            for at in 0..list.len() {
                rows.push((read.len() as u32, time_of(list.sort_key(at))));
                read.push(list.row(at));
            }
        }
        let columns = self.rows.decode(read)?;
        Ok((partitions, columns))
    }

    /// Writes back what later rows may ask for. `new` are the rows at the positions from
    /// `old` on. A partition without candidates goes.
    pub fn write(
        &self,
        pane: &mut Pane,
        partitions: &mut [Partition],
        (new, old): (Option<&Rows>, u32),
    ) -> Result<()> {
        for partition in partitions {
            let Some(first) = partition.candidates.first_row() else {
                pane.remove(partition.slot);
                continue;
            };
            partition.candidates.open.rebase(first);
            partition.candidates.waiting.rebase(first);
            let list = list(&partition.before)?;
            let mut entries: Vec<([u8; 8], &[u8])> = Vec::new();
            for (position, time) in &partition.rows[first as usize..] {
                let row = match (position.checked_sub(old), new) {
                    (Some(row), Some(new)) => new.row(row as usize).data(),
                    _ => list.row((position - partition.first) as usize),
                };
                entries.push((time.to_be_bytes(), row));
            }
            let slot = partition.slot as usize;
            let entries = entries.iter().map(|(time, row)| (&time[..], *row));
            pane.bytes(ROWS)[slot] = Some(encode(entries)?);
            pane.bytes(MATCHES)[slot] = Some(self.encoded(&partition.candidates));
        }
        Ok(())
    }

    /// Fingerprint, number of words of the open matches, both lists, as little-endian words.
    fn encoded(&self, candidates: &Candidates) -> Box<[u8]> {
        let (open, waiting) = (candidates.open.data(), candidates.waiting.data());
        let mut bytes = Vec::with_capacity(8 + 4 * (open.len() + waiting.len()));
        let head = [self.fingerprint, open.len() as u32];
        for word in head.iter().chain(open).chain(waiting) {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.into_boxed_slice()
    }

    fn matches(&self, bytes: &[u8]) -> Result<Candidates> {
        let (chunks, _) = bytes.as_chunks::<4>();
        let mut words = chunks.iter().map(|word| u32::from_le_bytes(*word));
        if words.next() != Some(self.fingerprint) {
            return Err(Error::user(
                "the pattern, its conditions' columns or the measures' are not those that the \
                 state was made with; start without the state, or give the query another name",
            ));
        }
        let open = words.next().unwrap_or(0) as usize;
        let words: Vec<u32> = words.collect();
        let broken = || Error::internal("the matches in state cannot be read");
        let (open, waiting) = words.split_at_checked(open).ok_or_else(broken)?;
        Ok(Candidates {
            open: Matches::from_data(self.variables, open.to_vec()).ok_or_else(broken)?,
            waiting: Matches::from_data(self.variables, waiting.to_vec()).ok_or_else(broken)?,
        })
    }
}

fn list(bytes: &Option<Box<[u8]>>) -> Result<RankedRows<'_>> {
    bytes.as_deref().map_or(Ok(RankedRows::EMPTY), RankedRows::parse)
}

fn time_of(bytes: &[u8]) -> i64 {
    <[u8; 8]>::try_from(bytes).map_or(0, i64::from_be_bytes)
}
