//! The vectorised equi-join under both joins: rows of one side with a hash index over
//! their keys, probed by batches of the other side. Called by `window_join`, `interval_join`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array, new_null_array};
use arrow::buffer::NullBuffer;
use arrow::compute::{concat_batches, interleave, take};
use arrow::datatypes::SchemaRef;
use model::{Error, Result};

use super::join_keys::keep_equal;
use crate::operator::Output;

/// Most rows that one output batch has.
pub const OUTPUT_ROWS: usize = 8192;
/// Chunks below this many rows are worth merging.
const SMALL_CHUNK: usize = 4096;
/// So many small chunks in a row are merged into one.
const MERGE_CHUNKS: usize = 32;

/// The first tier of merging makes chunks of at least so many rows.
const TINY_CHUNK: usize = SMALL_CHUNK / MERGE_CHUNKS;

const END: u32 = u32::MAX;
/// `next` of a row that no probe may find, since a key column is NULL.
const UNLINKED: u32 = u32::MAX - 1;

/// Chained hash table over row numbers in order of arrival. 64-bit hashes are kept, so a
/// hit is nearly always a match.
#[derive(Debug, Default)]
struct HashIndex {
    nodes: Vec<Node>,
    /// Head of every chain; the length is a power of two. The low bits of the hash choose,
    /// because the high ones are nearly the same in one subtask (key groups).
    heads: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    hash: u64,
    next: u32,
}

impl HashIndex {
    fn extend(&mut self, hashes: &[u64], valid: Option<&NullBuffer>) -> Result<()> {
        let first = self.nodes.len();
        let total = first + hashes.len();
        if total >= UNLINKED as usize {
            return Err(Error::user(format!(
                "a join holds {total} rows of one side in one window or bucket; make the window \
                 or the interval shorter, or raise the parallelism"
            )));
        }
        self.nodes.extend(hashes.iter().enumerate().map(|(row, hash)| Node {
            hash: *hash,
            next: if valid.is_none_or(|v| v.is_valid(row)) { END } else { UNLINKED },
        }));
        if total > self.heads.len() {
            self.heads.clear();
            self.heads.resize(total.next_power_of_two().max(16), END);
            self.link(0);
        } else {
            self.link(first);
        }
        Ok(())
    }

    fn link(&mut self, from: usize) {
        let mask = self.heads.len() - 1;
        for (row, node) in self.nodes.iter_mut().enumerate().skip(from) {
            if node.next != UNLINKED {
                let head = &mut self.heads[node.hash as usize & mask];
                node.next = std::mem::replace(head, row as u32);
            }
        }
    }

    /// The newest row with this hash, or [`END`].
    #[inline]
    fn first(&self, hash: u64) -> u32 {
        match self.heads.len() {
            0 => END,
            len => self.seek(self.heads[hash as usize & (len - 1)], hash),
        }
    }

    /// The next older row with this hash, or [`END`].
    #[inline]
    fn following(&self, row: u32, hash: u64) -> u32 {
        self.seek(self.nodes[row as usize].next, hash)
    }

    #[inline]
    fn seek(&self, mut row: u32, hash: u64) -> u32 {
        while row != END {
            let node = &self.nodes[row as usize];
            if node.hash == hash {
                return row;
            }
            row = node.next;
        }
        END
    }
}

/// Rows of one side in order of arrival, findable by key.
#[derive(Debug)]
pub struct IndexedRows {
    /// Positions of the key columns in the chunks.
    keys: Vec<usize>,
    chunks: Vec<RecordBatch>,
    /// Row number of the first row of every chunk.
    starts: Vec<u32>,
    index: HashIndex,
}

impl IndexedRows {
    pub fn new(keys: &[usize]) -> Self {
        Self {
            keys: keys.to_vec(),
            chunks: Vec::new(),
            starts: Vec::new(),
            index: HashIndex::default(),
        }
    }

    pub fn len(&self) -> usize {
        self.index.nodes.len()
    }

    pub fn chunks(&self) -> &[RecordBatch] {
        &self.chunks
    }

    /// Appends rows with their key hashes. Rows with a NULL in a key are kept, not found.
    pub fn push(&mut self, batch: RecordBatch, hashes: &[u64]) -> Result<()> {
        let start = self.len() as u32;
        self.index.extend(hashes, key_validity(&batch, &self.keys).as_ref())?;
        self.starts.push(start);
        self.chunks.push(batch);
        Ok(())
    }

    /// Key hashes of all rows, chunk by chunk.
    pub fn chunk_hashes(&self) -> impl Iterator<Item = Vec<u64>> {
        self.chunks.iter().zip(&self.starts).map(|(chunk, start)| {
            let start = *start as usize;
            self.index.nodes[start..start + chunk.num_rows()].iter().map(|n| n.hash).collect()
        })
    }

    /// Merges the newest chunks when there are many small ones; row numbers stay. Runs in
    /// two tiers, so that a row is copied a few times only and there are about
    /// 64 + rows / 4096 chunks. Answers whether anything changed.
    pub fn merge_small_chunks(&mut self) -> Result<bool> {
        let mut changed = false;
        for tier in [0..TINY_CHUNK, TINY_CHUNK..SMALL_CHUNK] {
            let newest = self.chunks.iter().rev();
            let tail = newest.take_while(|c| tier.contains(&c.num_rows())).count();
            if tail >= MERGE_CHUNKS {
                let from = self.chunks.len() - tail;
                let merged = concat_batches(self.chunks[from].schema_ref(), &self.chunks[from..])?;
                self.chunks.truncate(from);
                self.starts.truncate(from + 1);
                self.chunks.push(merged);
                changed = true;
            }
        }
        Ok(changed)
    }

    /// Finds rows with the keys of `probe`'s rows, going on at `cursor`, until about
    /// [`OUTPUT_ROWS`] are in `matches` (cleared first). Answers false when there is no more.
    /// `accept(row here, probe row)` may refuse candidates before keys are compared.
    pub fn probe(
        &self,
        probe: &Probe<'_>,
        cursor: &mut Cursor,
        accept: impl Fn(u32, u32) -> bool,
        matches: &mut Matches,
    ) -> Result<bool> {
        matches.clear();
        let rows = probe.hashes.len();
        if self.index.nodes.is_empty() || cursor.row >= rows {
            return Ok(false);
        }
        while cursor.row < rows && matches.len() < OUTPUT_ROWS {
            let hash = probe.hashes[cursor.row];
            let mut row = match cursor.after {
                END if probe.valid.as_ref().is_some_and(|v| v.is_null(cursor.row)) => END,
                END => self.index.first(hash),
                after => self.index.following(after, hash),
            };
            while row != END && matches.len() < OUTPUT_ROWS {
                if accept(row, cursor.row as u32) {
                    matches.stored.push(row);
                    matches.probe.push(cursor.row as u32);
                }
                cursor.after = row;
                row = self.index.following(row, hash);
            }
            if row == END {
                cursor.row += 1;
                cursor.after = END;
            }
        }
        self.keep_equal_keys(probe, matches)?;
        Ok(true)
    }

    /// Hashes of 64 bits collide about never, but never is not a proof.
    fn keep_equal_keys(&self, probe: &Probe<'_>, matches: &mut Matches) -> Result<()> {
        if matches.is_empty() {
            return Ok(());
        }
        let addresses = self.addresses(&matches.stored);
        let mut keep = vec![true; matches.len()];
        for (key, probe_key) in self.keys.iter().zip(probe.keys) {
            let stored: Vec<&ArrayRef> = self.chunks.iter().map(|c| c.column(*key)).collect();
            let probe_key = probe.batch.column(*probe_key);
            keep_equal(&stored, &addresses, probe_key, &matches.probe, &mut keep)?;
        }
        if keep.contains(&false) {
            let mut flags = keep.iter();
            matches.stored.retain(|_| *flags.next().unwrap_or(&false));
            let mut flags = keep.iter();
            matches.probe.retain(|_| *flags.next().unwrap_or(&false));
        }
        Ok(())
    }

    /// (chunk, row in chunk) of every row number.
    fn addresses(&self, rows: &[u32]) -> Vec<(usize, usize)> {
        if self.chunks.len() == 1 {
            return rows.iter().map(|row| (0, *row as usize)).collect();
        }
        let address = |row: &u32| {
            let chunk = self.starts.partition_point(|start| start <= row) - 1;
            (chunk, (row - self.starts[chunk]) as usize)
        };
        rows.iter().map(address).collect()
    }

    /// The columns of the rows `rows`, in that order.
    pub fn gather(&self, rows: &[u32]) -> Result<Vec<ArrayRef>> {
        if let [chunk] = &self.chunks[..] {
            return gather_batch(chunk, rows);
        }
        let addresses = self.addresses(rows);
        let width = self.chunks.first().map_or(0, RecordBatch::num_columns);
        (0..width)
            .map(|column| {
                let arrays: Vec<&dyn Array> =
                    self.chunks.iter().map(|c| c.column(column).as_ref()).collect();
                Ok(interleave(&arrays, &addresses)?)
            })
            .collect()
    }
}

/// The columns of the rows `rows` of `batch`, in that order.
pub fn gather_batch(batch: &RecordBatch, rows: &[u32]) -> Result<Vec<ArrayRef>> {
    let indices = UInt32Array::from(rows.to_vec());
    batch.columns().iter().map(|column| Ok(take(column, &indices, None)?)).collect()
}

/// `rows` NULLs for every column of `schema`: the missing side of an outer join.
pub fn null_columns(schema: &SchemaRef, rows: usize) -> Vec<ArrayRef> {
    schema.fields().iter().map(|field| new_null_array(field.data_type(), rows)).collect()
}

/// A batch that looks for partners.
pub struct Probe<'a> {
    batch: &'a RecordBatch,
    keys: &'a [usize],
    hashes: &'a [u64],
    valid: Option<NullBuffer>,
}

impl<'a> Probe<'a> {
    /// `keys` are positions in `batch`, in the order of the other side's keys.
    pub fn new(batch: &'a RecordBatch, keys: &'a [usize], hashes: &'a [u64]) -> Self {
        Self { batch, keys, hashes, valid: key_validity(batch, keys) }
    }
}

/// Where a probe goes on.
#[derive(Clone, Copy, Debug)]
pub struct Cursor {
    row: usize,
    /// The last candidate of `row`, or [`END`].
    after: u32,
}

impl Cursor {
    /// The first row whose candidates were not all tried.
    pub fn row(&self) -> usize {
        self.row
    }
}

impl Default for Cursor {
    fn default() -> Self {
        Self { row: 0, after: END }
    }
}

/// Pairs of rows with equal keys.
#[derive(Debug, Default)]
pub struct Matches {
    /// Row numbers in the [`IndexedRows`].
    pub stored: Vec<u32>,
    /// Rows of the probing batch; ascending.
    pub probe: Vec<u32>,
}

impl Matches {
    pub fn len(&self) -> usize {
        self.stored.len()
    }
    pub fn is_empty(&self) -> bool {
        self.stored.is_empty()
    }
    fn clear(&mut self) {
        self.stored.clear();
        self.probe.clear();
    }
}

/// One flag per row.
#[derive(Clone, Debug, Default)]
pub struct RowFlags(Vec<bool>);

impl RowFlags {
    pub fn none_of(rows: usize) -> Self {
        Self(vec![false; rows])
    }
    pub fn extend(&mut self, flags: impl IntoIterator<Item = bool>) {
        self.0.extend(flags);
    }
    pub fn set(&mut self, rows: &[u32]) {
        for row in rows {
            self.0[*row as usize] = true;
        }
    }
    pub fn get(&self, row: usize) -> bool {
        self.0[row]
    }
    pub fn as_slice(&self) -> &[bool] {
        &self.0
    }
    /// Rows with the flag, ascending.
    pub fn marked(&self) -> Vec<u32> {
        let rows = self.0.iter().enumerate().filter(|(_, flag)| **flag);
        rows.map(|(row, _)| row as u32).collect()
    }
    /// Rows without the flag, ascending.
    pub fn unset(&self) -> Vec<u32> {
        let rows = self.0.iter().enumerate().filter(|(_, flag)| !**flag);
        rows.map(|(row, _)| row as u32).collect()
    }
}

/// Which rows have no NULL in a key; `None`: all. NULL equals nothing, not even NULL.
fn key_validity(batch: &RecordBatch, keys: &[usize]) -> Option<NullBuffer> {
    let mut valid: Option<NullBuffer> = None;
    for key in keys {
        if let Some(nulls) = batch.column(*key).logical_nulls() {
            valid = NullBuffer::union(valid.as_ref(), Some(&nulls));
        }
    }
    valid.filter(|nulls| nulls.null_count() > 0)
}

/// Rows with their key hashes.
pub type KeyedBatch = (RecordBatch, Arc<Vec<u64>>);

/// Merges runs of small batches of one schema, in order, so that each has at least 4096
/// rows where possible.
pub fn coalesce(batches: Vec<KeyedBatch>) -> Result<Vec<KeyedBatch>> {
    let mut merged = Vec::new();
    let mut run: Vec<KeyedBatch> = Vec::new();
    let mut rows = 0;
    for keyed in batches {
        if run.is_empty() && keyed.0.num_rows() >= SMALL_CHUNK {
            merged.push(keyed);
            continue;
        }
        rows += keyed.0.num_rows();
        run.push(keyed);
        if rows >= SMALL_CHUNK {
            merged.push(concat(std::mem::take(&mut run))?);
            rows = 0;
        }
    }
    if !run.is_empty() {
        merged.push(concat(run)?);
    }
    Ok(merged)
}

fn concat(mut run: Vec<KeyedBatch>) -> Result<KeyedBatch> {
    if run.len() == 1 {
        return Ok(run.remove(0));
    }
    let batch = concat_batches(run[0].0.schema_ref(), run.iter().map(|(batch, _)| batch))?;
    let hashes = run.iter().flat_map(|(_, hashes)| hashes.iter().copied()).collect();
    Ok((batch, Arc::new(hashes)))
}

/// Puts joined rows out, merging small batches on the way. Call [`Self::finish`] at the end.
pub struct JoinedRows<'a> {
    schema: &'a SchemaRef,
    pending: Vec<RecordBatch>,
    rows: usize,
}

impl<'a> JoinedRows<'a> {
    pub fn new(schema: &'a SchemaRef) -> Self {
        Self { schema, pending: Vec::new(), rows: 0 }
    }

    /// Left columns, right columns, then whatever the join adds.
    pub fn push(
        &mut self,
        mut left: Vec<ArrayRef>,
        right: Vec<ArrayRef>,
        added: Vec<ArrayRef>,
        out: &mut Output,
    ) -> Result<()> {
        left.extend(right);
        left.extend(added);
        let batch = RecordBatch::try_new(SchemaRef::clone(self.schema), left)?;
        if self.rows + batch.num_rows() > OUTPUT_ROWS {
            self.finish(out)?;
        }
        self.rows += batch.num_rows();
        self.pending.push(batch);
        Ok(())
    }

    pub fn finish(&mut self, out: &mut Output) -> Result<()> {
        match self.pending.len() {
            0 => {}
            1 => self.pending.drain(..).for_each(|batch| out.emit(batch)),
            _ => out.emit(concat_batches(self.schema, &self.pending)?),
        }
        self.pending.clear();
        self.rows = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
