//! Keyed state of one operator in one subtask: columnar, in memory first, cold rows in a
//! [`ColdStore`]. Called by `runtime` (operators, task) and `taskmanager` (backends);
//! `rocks` implements [`ColdStore`] over RocksDB.
//!
//! A [`Table`] is (namespace, key) -> columns, one [`Pane`] per namespace; a [`Log`] is
//! namespace -> append-only record batches. Rows are addressed by slots, which stay valid
//! until the next [`StateStore::end_batch`]. See `docs/design/0002-engine-contracts.md`.

mod chain;
mod cold;
mod column;
pub mod contract;
mod counts;
mod frozen;
mod index;
mod key_arrays;
mod keys;
mod log;
mod pane;
mod pane_cold;
mod parts;
mod removed;
mod restore;
mod section_writer;
mod shape;
mod snapshot_file;
mod store;
mod table;

pub use cold::{ColdSnapshot, ColdStore, HeapBackend, StateBackend};
pub use column::{Column, ValueType};
pub use counts::Counts;
pub use frozen::{Frozen, StoredFile};
pub use log::{Log, LogBatch};
pub use pane::Pane;
pub use snapshot_file::{Compression, PART_BYTES};
pub use store::{LogId, StateStore, StoreOptions, TableId};
pub use table::Table;

/// What [`Pane::find`] answers for a key that is not there.
pub const NO_SLOT: u32 = u32::MAX;

#[cfg(test)]
mod tests;
