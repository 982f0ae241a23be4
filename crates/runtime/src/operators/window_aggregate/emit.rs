//! Groups of a pane as output batches, and as input to another pane.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use model::Result;
use state::Pane;

use super::constant_time;
use crate::operator::Output;
use crate::operators::accumulator::Accumulators;

/// Rows per output batch.
pub(crate) const BATCH_ROWS: usize = 8192;

/// Puts out keys, window and results.
pub(crate) struct Emitter {
    schema: SchemaRef,
}

impl Emitter {
    pub(crate) fn new(schema: SchemaRef) -> Self {
        Self { schema }
    }

    /// All groups of `pane` as rows of `window` (start, end).
    pub(super) fn groups(
        &self,
        window: (i64, i64),
        pane: &mut Pane,
        accumulators: &Accumulators,
        out: &mut Output,
    ) -> Result<()> {
        for slots in pane.live_slots().chunks(BATCH_ROWS) {
            let mut arrays = pane.key_arrays(slots)?;
            arrays.push(constant_time(window.0, slots.len()));
            arrays.push(constant_time(window.1, slots.len()));
            arrays.extend(accumulators.output(pane.columns(), slots)?);
            self.batch(arrays, slots.len(), out)?;
        }
        Ok(())
    }

    pub(crate) fn batch(&self, arrays: Vec<ArrayRef>, rows: usize, out: &mut Output) -> Result<()> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let schema = Arc::clone(&self.schema);
        out.emit(RecordBatch::try_new_with_options(schema, arrays, &options)?);
        Ok(())
    }
}

/// All groups of a pane, as arguments of another pane's `upsert`.
pub(super) struct StoredGroups {
    pub(super) slots: Vec<u32>,
    pub(super) hashes: Vec<u64>,
    pub(super) keys: Vec<ArrayRef>,
}

impl StoredGroups {
    pub(super) fn of(pane: &Pane) -> Result<Self> {
        let slots = pane.live_slots();
        let hashes = slots.iter().map(|slot| pane.hash(*slot)).collect();
        let keys = pane.key_arrays(&slots)?;
        Ok(Self { slots, hashes, keys })
    }
}
