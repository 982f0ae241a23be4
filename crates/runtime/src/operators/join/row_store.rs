//! Rows of one side of a join as the batches they came in, addressed by row number.
//! Called by `side` and, to build output, by `join`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, new_null_array};
use arrow::compute::interleave;
use arrow::datatypes::SchemaRef;
use model::Result;

use super::chains::END;

/// Rows per entry of the directory from row numbers to chunks.
const BLOCK: usize = 1024;

/// Chunks with fewer rows are worth merging; the smallest ones are merged first, so that
/// a row is copied a few times only.
const TIERS: [std::ops::Range<usize>; 2] = [0..128, 128..4096];
/// So many small chunks in a row are merged into one.
const MERGE_CHUNKS: usize = 32;

/// A batch of rows and the namespace of the log that keeps it.
#[derive(Clone, Debug)]
pub struct Chunk {
    pub batch: RecordBatch,
    pub namespace: i64,
}

#[derive(Debug)]
pub struct RowStore {
    schema: SchemaRef,
    chunks: Vec<Chunk>,
    /// Number of the first row of every chunk.
    starts: Vec<u32>,
    /// The chunk that row `BLOCK * index` lies in.
    blocks: Vec<u32>,
    rows: usize,
    /// Scratch: position of a chunk among those that a gather needs.
    used: Vec<u32>,
}

impl RowStore {
    pub fn new(schema: &SchemaRef) -> Self {
        Self {
            schema: Arc::clone(schema),
            chunks: Vec::new(),
            starts: Vec::new(),
            blocks: Vec::new(),
            rows: 0,
            used: Vec::new(),
        }
    }

    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    pub fn start(&self, chunk: usize) -> u32 {
        self.starts[chunk]
    }

    pub fn push(&mut self, batch: RecordBatch, namespace: i64) {
        if batch.num_rows() == 0 {
            return;
        }
        self.starts.push(self.rows as u32);
        self.rows += batch.num_rows();
        let chunk = self.chunks.len() as u32;
        self.chunks.push(Chunk { batch, namespace });
        while self.blocks.len() * BLOCK < self.rows {
            self.blocks.push(chunk);
        }
    }

    /// Chunk and row in it.
    #[inline]
    pub fn address(&self, row: u32) -> (usize, usize) {
        let mut chunk = self.blocks[row as usize / BLOCK] as usize;
        while self.starts.get(chunk + 1).is_some_and(|start| *start <= row) {
            chunk += 1;
        }
        (chunk, (row - self.starts[chunk]) as usize)
    }

    /// How many of the last chunks, all of the last one's namespace, should become one.
    pub fn mergeable(&self) -> Option<(i64, usize)> {
        let namespace = self.chunks.last()?.namespace;
        TIERS.iter().find_map(|tier| {
            let newest = self.chunks.iter().rev();
            let small = |c: &&Chunk| c.namespace == namespace && tier.contains(&c.batch.num_rows());
            let count = newest.take_while(small).count();
            (count >= MERGE_CHUNKS).then_some((namespace, count))
        })
    }

    /// Puts `merged` in the place of the last `count` chunks. Row numbers stay.
    pub fn replace_last(&mut self, count: usize, merged: RecordBatch) {
        let from = self.chunks.len() - count;
        let namespace = self.chunks[from].namespace;
        let first_block = self.starts[from] as usize / BLOCK;
        self.chunks.truncate(from);
        self.starts.truncate(from + 1);
        self.chunks.push(Chunk { batch: merged, namespace });
        for block in &mut self.blocks[first_block..] {
            *block = (*block).min(from as u32);
        }
    }

    /// Where `rows` ([`END`]: NULL) lie, among the chunks that they need only.
    pub fn resolve(&mut self, rows: impl Iterator<Item = u32>) -> Resolved {
        let mut resolved = Resolved::default();
        self.used.resize(self.chunks.len(), END);
        for row in rows {
            if row == END {
                resolved.has_null = true;
                resolved.addresses.push((usize::MAX, 0));
                continue;
            }
            let (chunk, at) = self.address(row);
            let mut position = self.used[chunk];
            if position == END {
                position = resolved.chunks.len() as u32;
                self.used[chunk] = position;
                resolved.chunks.push(chunk as u32);
            }
            resolved.addresses.push((position as usize, at));
        }
        resolved.chunks.iter().for_each(|chunk| self.used[*chunk as usize] = END);
        if resolved.has_null {
            // NULLs come from one array more.
            let nulls = resolved.chunks.len();
            let missing = resolved.addresses.iter_mut().filter(|(chunk, _)| *chunk == usize::MAX);
            missing.for_each(|address| address.0 = nulls);
        }
        resolved
    }

    /// The column `column` of the chunks that `resolved` needs.
    pub fn arrays(&self, resolved: &Resolved, column: usize) -> Vec<&ArrayRef> {
        let chunks = resolved.chunks.iter();
        chunks.map(|chunk| self.chunks[*chunk as usize].batch.column(column)).collect()
    }

    /// The values of `rows` ([`END`]: NULL) in the columns `columns`.
    pub fn gather(
        &mut self,
        rows: impl Iterator<Item = u32>,
        columns: &[usize],
    ) -> Result<Vec<ArrayRef>> {
        let resolved = self.resolve(rows);
        let gather = |column: &usize| -> Result<ArrayRef> {
            let data_type = self.schema.field(*column).data_type();
            if resolved.chunks.is_empty() {
                return Ok(new_null_array(data_type, resolved.addresses.len()));
            }
            let arrays = self.arrays(&resolved, *column);
            let mut arrays: Vec<&dyn Array> = arrays.into_iter().map(AsRef::as_ref).collect();
            let null = resolved.has_null.then(|| new_null_array(data_type, 1));
            arrays.extend(null.as_deref());
            Ok(interleave(&arrays, &resolved.addresses)?)
        };
        columns.iter().map(gather).collect()
    }
}

/// Row numbers as addresses.
#[derive(Debug, Default)]
pub struct Resolved {
    chunks: Vec<u32>,
    /// (Position in `chunks`, row); NULLs lie one position behind.
    pub addresses: Vec<(usize, usize)>,
    has_null: bool,
}
