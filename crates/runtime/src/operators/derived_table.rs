//! A table outside of checkpointed state: derived from it, or held back before a barrier.
//! Used by the window aggregates.

use model::Result;
use model::key_group::KeyGroupRange;
use state::{StateStore, StoreOptions, Table, TableId};

use super::accumulator::Accumulators;
use super::key_columns::KeyColumns;

/// A table that is in no snapshot.
pub(crate) struct DerivedTable {
    store: StateStore,
    id: TableId,
}

impl DerivedTable {
    /// An empty table of accumulators by key.
    pub(crate) fn new(name: &str, keys: &KeyColumns, accumulators: &Accumulators) -> Result<Self> {
        let options = StoreOptions {
            uid: name.to_owned(),
            key_groups: KeyGroupRange::all(1),
            max_parallelism: 1,
            memory_bytes: u64::MAX,
            cold: None,
        };
        let mut store = StateStore::open(options, Vec::new())?;
        let id = store.table(name, &keys.fields, accumulators.value_types())?;
        Ok(Self { store, id })
    }

    pub(crate) fn table(&mut self) -> &mut Table {
        self.store.table_mut(self.id)
    }

    /// Must follow each use: gives removed slots back. Slots change.
    pub(crate) fn end_batch(&mut self) -> Result<()> {
        self.store.end_batch()
    }
}
