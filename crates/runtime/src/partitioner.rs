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
        }
    }

    fn split(
        &mut self,
        batch: RecordBatch,
        mut give: impl FnMut(usize, RecordBatch),
    ) -> Result<()> {
        let rows = batch.num_rows();
        key_group::hash_columns(&batch, &self.columns, &mut self.hashes)?;
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
