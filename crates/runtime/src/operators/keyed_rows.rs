//! The table of an operator that keeps one row of state per key: opened, looked up a batch at
//! a time, and swept of keys that were not touched for their time to live. Used by the
//! operators that keep keys for ever: deduplicate, the keyed aggregate, set operations, and
//! those that make and order changelogs.

use arrow::array::ArrayRef;
use arrow::datatypes::Field;
use model::key_group::hash_arrays;
use model::{Error, Result};
use state::{Pane, TableId, ValueType};

use super::ttl::{self, TimeToLive};
use crate::operator::OperatorContext;

/// Which of a batch's keys live on from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Touch {
    /// All that the batch names.
    Named,
    /// Those that it names for the first time.
    Created,
}

/// See above. The table has one pane.
pub(crate) struct KeyedRows {
    /// The table's name in checkpoints.
    name: &'static str,
    value_types: Vec<ValueType>,
    ttl: Option<TimeToLive>,
    table: Option<TableId>,
    hashes: Vec<u64>,
    /// The slot of each row of the batch that was looked up last.
    pub(crate) slots: Vec<u32>,
}

impl KeyedRows {
    /// With a time to live a column is added behind those of `value_types`.
    pub(crate) fn new(
        name: &'static str,
        mut value_types: Vec<ValueType>,
        ttl_ms: Option<i64>,
    ) -> Self {
        let ttl = TimeToLive::new(ttl_ms, &mut value_types);
        Self { name, value_types, ttl, table: None, hashes: Vec::new(), slots: Vec::new() }
    }

    pub(crate) fn open(&mut self, keys: &[Field], ctx: &mut OperatorContext) -> Result<()> {
        self.table = Some(ctx.state.table(self.name, keys, &self.value_types)?);
        Ok(())
    }

    /// Finds or creates the slots of a batch of `rows` rows, into [`Self::slots`]. Answers the
    /// pane and how many slots were created, see [`Pane::upsert`].
    pub(crate) fn look_up<'c>(
        &mut self,
        keys: &[ArrayRef],
        rows: usize,
        touch: Touch,
        ctx: &'c mut OperatorContext,
    ) -> Result<(&'c mut Pane, usize)> {
        let table =
            self.table.ok_or_else(|| Error::internal("the operator's table was not opened"))?;
        let now_ms = ctx.clock.now_ms();
        hash_arrays(keys.iter(), rows, &mut self.hashes)?;
        let pane = ctx.state.table_mut(table).pane(0)?;
        if let Some(ttl) = &mut self.ttl {
            ttl.sweep(pane, now_ms)?;
        }
        let created = pane.upsert(&self.hashes, keys, None, &mut self.slots)?;
        if let Some(ttl) = &mut self.ttl {
            match touch {
                Touch::Named => ttl.touch(pane, &self.slots, now_ms),
                Touch::Created => {
                    let new: Vec<u32> =
                        ((pane.len() - created) as u32..pane.len() as u32).collect();
                    ttl.touch(pane, &new, now_ms);
                }
            }
        }
        Ok((pane, created))
    }

    /// When [`Self::sweep`] is wanted.
    pub(crate) fn next_sweep_ms(&self) -> Option<i64> {
        self.ttl.as_ref().and_then(TimeToLive::next_sweep_ms)
    }

    /// Removes the keys whose time is over.
    pub(crate) fn sweep(&mut self, now_ms: i64, ctx: &mut OperatorContext) -> Result<()> {
        ttl::sweep(&mut self.ttl, self.table, &mut ctx.state, now_ms)
    }
}
