//! Which rows of a batch go to which target of an edge. Pure; vectorised over the batch.
//! Called by `result_partition.rs`.

use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::Schema;
use model::Result;
use model::deployment::OutputDeployment;
use model::job_graph::Partitioning;
use model::key_group;
use model::metrics::HotKeyGroup;
use model::operator_schema::key_indices;

/// Splits batches among the targets of one edge.
pub enum Partitioner {
    /// Everything to the only target: forward edges, and every edge with one consumer.
    Single,
    Hash(HashPartitioner),
    /// Whole batches, in turn.
    Rebalance {
        next: usize,
        targets: usize,
    },
    /// Everything to every target.
    Broadcast {
        targets: usize,
    },
}

impl Partitioner {
    /// For the edge `output`, whose batches have `schema`. `subtask` is the producer's: it
    /// staggers where rebalancing starts.
    pub fn new(
        output: &OutputDeployment,
        schema: &Schema,
        max_parallelism: u32,
        subtask: u32,
    ) -> Result<Self> {
        let targets = output.consumers.len();
        if targets == 1 && output.to_parallelism == 1 {
            return Ok(Self::Single);
        }
        Ok(match &output.partitioning {
            Partitioning::Forward => Self::Single,
            Partitioning::Hash { columns } => {
                let columns = key_indices(schema, columns)?;
                Self::Hash(HashPartitioner::new(columns, max_parallelism, output))
            }
            Partitioning::Rebalance => {
                Self::Rebalance { next: subtask as usize % targets.max(1), targets }
            }
            Partitioning::Broadcast => Self::Broadcast { targets },
        })
    }

    /// Calls `give(target, rows)` for every target that gets rows of `batch`.
    pub fn split(
        &mut self,
        batch: RecordBatch,
        mut give: impl FnMut(usize, RecordBatch),
    ) -> Result<()> {
        match self {
            Self::Single => give(0, batch),
            Self::Rebalance { next, targets } => {
                give(*next, batch);
                *next = (*next + 1) % *targets;
            }
            Self::Broadcast { targets } => {
                for target in 0..*targets {
                    give(target, batch.clone());
                }
            }
            Self::Hash(hash) => hash.split(batch, give)?,
        }
        Ok(())
    }

    /// The key group that gets most rows, when rows are split by key and enough were seen.
    pub fn hot_key_group(&self) -> Option<HotKeyGroup> {
        match self {
            Self::Hash(hash) => hash.sample.hottest(),
            _ => None,
        }
    }
}

/// Key hash -> key group -> subtask, then one counting sort and one `take` per batch.
pub struct HashPartitioner {
    columns: Vec<usize>,
    max_parallelism: u32,
    /// Key group to index of the target.
    target_of_group: Vec<u32>,
    targets: usize,
    // Reused from batch to batch.
    hashes: Vec<u64>,
    target_of_row: Vec<u32>,
    ends: Vec<usize>,
    sample: KeyGroupSample,
}

/// Batches between two that are sampled, and the most rows looked at in one.
const SAMPLE_EVERY: u32 = 32;
const SAMPLE_ROWS: usize = 64;
/// Beyond so many samples old ones count half.
const SAMPLES_KEPT: u32 = 8192;
/// With fewer samples nothing is said.
const SAMPLES_NEEDED: u32 = 256;

/// How often each key group was seen in a few of the rows.
struct KeyGroupSample {
    to: model::VertexId,
    to_parallelism: u32,
    /// By key group; made with the first sample.
    counts: Vec<u32>,
    total: u32,
    batches: u32,
}

impl KeyGroupSample {
    fn take(&mut self, hashes: &[u64], max_parallelism: u32) {
        self.batches = self.batches.wrapping_add(1);
        if !self.batches.is_multiple_of(SAMPLE_EVERY) || hashes.is_empty() {
            return;
        }
        self.counts.resize(max_parallelism as usize, 0);
        // Odd, so that rows that repeat in a pattern of 2, 4, 8... are not all of one kind.
        let step = hashes.len().div_ceil(SAMPLE_ROWS) | 1;
        for &hash in hashes.iter().step_by(step) {
            self.counts[key_group::key_group_of(hash, max_parallelism) as usize] += 1;
            self.total += 1;
        }
        if self.total > SAMPLES_KEPT {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.total = self.counts.iter().sum();
        }
    }

    fn hottest(&self) -> Option<HotKeyGroup> {
        if self.total < SAMPLES_NEEDED {
            return None;
        }
        let (group, count) = self.counts.iter().enumerate().max_by_key(|(_, count)| **count)?;
        let (group, max_parallelism) = (group as u32, self.counts.len() as u32);
        Some(HotKeyGroup {
            group,
            share: f64::from(*count) / f64::from(self.total),
            to: self.to,
            to_subtask: key_group::subtask_of(group, max_parallelism, self.to_parallelism),
        })
    }
}

impl HashPartitioner {
    fn new(columns: Vec<usize>, max_parallelism: u32, output: &OutputDeployment) -> Self {
        let target_of_group = (0..max_parallelism)
            .map(|group| {
                let subtask = key_group::subtask_of(group, max_parallelism, output.to_parallelism);
                let found = output.consumers.iter().position(|c| c.subtask.0 == subtask);
                // A deployment names every consumer of a hash edge.
                found.unwrap_or(0) as u32
            })
            .collect();
        Self {
            columns,
            max_parallelism,
            target_of_group,
            targets: output.consumers.len(),
            hashes: Vec::new(),
            target_of_row: Vec::new(),
            ends: Vec::new(),
            sample: KeyGroupSample {
                to: output.to,
                to_parallelism: output.to_parallelism,
                counts: Vec::new(),
                total: 0,
                batches: 0,
            },
        }
    }

    fn split(
        &mut self,
        batch: RecordBatch,
        mut give: impl FnMut(usize, RecordBatch),
    ) -> Result<()> {
        let rows = batch.num_rows();
        key_group::hash_columns(&batch, &self.columns, &mut self.hashes)?;
        self.sample.take(&self.hashes, self.max_parallelism);
        self.target_of_row.clear();
        self.target_of_row.extend(self.hashes.iter().map(|&hash| {
            self.target_of_group[key_group::key_group_of(hash, self.max_parallelism) as usize]
        }));
        self.ends.clear();
        self.ends.resize(self.targets, 0);
        for &target in &self.target_of_row {
            self.ends[target as usize] += 1;
        }
        if let Some(only) = self.ends.iter().position(|&count| count == rows) {
            give(only, batch);
            return Ok(());
        }
        let sorted = take_record_batch(&batch, &self.order(rows))?;
        let mut start = 0;
        for (target, &end) in self.ends.iter().enumerate() {
            if end > start {
                give(target, sorted.slice(start, end - start));
            }
            start = end;
        }
        Ok(())
    }

    /// Row numbers by target, in order within each; turns the counts in `ends` into ends.
    fn order(&mut self, rows: usize) -> UInt32Array {
        let mut start = 0;
        for slot in &mut self.ends {
            let count = *slot;
            *slot = start;
            start += count;
        }
        let mut order = vec![0_u32; rows];
        for (row, &target) in self.target_of_row.iter().enumerate() {
            let slot = &mut self.ends[target as usize];
            order[*slot] = row as u32;
            *slot += 1;
        }
        UInt32Array::from(order)
    }
}

/// The schema of output `output` of a chain: its last operator's, or a side output's.
pub(crate) fn output_schema(
    vertex: &model::job_graph::JobVertex,
    output: usize,
) -> Result<Arc<Schema>> {
    let schema = match output.checked_sub(1) {
        None => vertex.operators.last().map(|o| Arc::clone(&o.output)),
        Some(side) => vertex.side_outputs.get(side).map(|s| Arc::clone(&s.schema)),
    };
    schema.ok_or_else(|| model::Error::internal(format!("the chain has no output {output}")))
}

#[cfg(test)]
mod tests;
