//! The first of two stages of a keyed aggregate: combines rows of one key before the
//! exchange, so that hot keys cross it once. Holds a bounded number of groups, outside of
//! state. Built by `keyed_aggregate`.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use model::Result;
use model::key_group::hash_columns;
use model::operator_spec::KeyedAggregate;

use crate::operator::{Operator, OperatorContext, Output};
use crate::operators::accumulator::{AccumulatorOptions, Accumulators};
use crate::operators::derived_table::DerivedTable;
use crate::operators::key_columns::KeyColumns;
use crate::operators::time_column::TimeColumn;
use crate::operators::window_aggregate::emit::{BATCH_ROWS, Emitter};

/// Groups held back at most: their table stays in the second-level cache.
const MAX_GROUPS: usize = 32 << 10;

pub(super) struct LocalKeyedAggregate {
    keys: KeyColumns,
    time: Option<TimeColumn>,
    accumulators: Accumulators,
    emitter: Emitter,
    /// In namespace 0.
    groups: DerivedTable,
    hashes: Vec<u64>,
    slots: Vec<u32>,
}

impl LocalKeyedAggregate {
    pub(super) fn new(spec: &KeyedAggregate, input: &SchemaRef, output: SchemaRef) -> Result<Self> {
        let options = AccumulatorOptions { rows: true, ..AccumulatorOptions::default() };
        let accumulators = Accumulators::new(&spec.aggregates, input, options)?;
        let keys = KeyColumns::new(input, &spec.keys)?;
        let time =
            spec.time_column.as_ref().map(|name| TimeColumn::new(input, name)).transpose()?;
        Ok(Self {
            groups: DerivedTable::new("local", &keys, &accumulators)?,
            keys,
            time,
            accumulators,
            emitter: Emitter::new(output),
            hashes: Vec::new(),
            slots: Vec::new(),
        })
    }
}

impl Operator for LocalKeyedAggregate {
    fn process(
        &mut self,
        _port: usize,
        batch: RecordBatch,
        ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        let times = self.time.as_ref().map(|time| time.millis(&batch)).transpose()?;
        hash_columns(&batch, &self.keys.indices, &mut self.hashes)?;
        let keys = self.keys.arrays(&batch);
        let arguments = self.accumulators.arguments(&batch, times.as_deref())?;
        let pane = self.groups.table().pane(0)?;
        pane.upsert(&self.hashes, &keys, None, &mut self.slots)?;
        self.accumulators.update(pane.columns(), &arguments, None, &self.slots);
        if pane.live() > MAX_GROUPS {
            return self.flush(ctx, out);
        }
        self.groups.end_batch()
    }

    fn flush(&mut self, _ctx: &mut OperatorContext, out: &mut Output) -> Result<()> {
        let Some(mut pane) = self.groups.table().take_namespace(0)? else { return Ok(()) };
        for slots in pane.live_slots().chunks(BATCH_ROWS) {
            let mut arrays = pane.key_arrays(slots)?;
            arrays.extend(self.accumulators.partial_output(pane.columns(), slots)?);
            self.emitter.batch(arrays, slots.len(), out)?;
        }
        Ok(())
    }
}
