//! Where rows go that do not fit in memory: the contract with a backend, and the shared
//! handle that panes and logs hold. Implemented by `rocks`; called by `pane_cold`, `log`
//! and `frozen`.

use std::sync::{Arc, Mutex, MutexGuard};

use model::{Error, Result};

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// An ordered map of byte strings that belongs to one task. It never outlives the task:
/// what must survive is in snapshots.
pub trait ColdStore: Send {
    /// Looks up `keys` (ascending, without duplicates); `values` is cleared and gets one
    /// answer per key.
    fn get_many(&mut self, keys: &[&[u8]], values: &mut Vec<Option<Vec<u8>>>) -> Result<()>;
    /// Applies all of `puts` and `deletes`; no key is in both.
    fn write(&mut self, puts: Vec<Entry>, deletes: Vec<Vec<u8>>) -> Result<()>;
    /// At most `limit` entries whose key starts with `prefix` and is at least `from`, ascending.
    fn scan(&mut self, prefix: &[u8], from: Option<&[u8]>, limit: usize) -> Result<Vec<Entry>>;
    /// Deletes every entry whose key starts with `prefix`.
    fn delete_prefix(&mut self, prefix: &[u8]) -> Result<()>;
    /// A view of the present contents that later writes do not change. Must be quick.
    fn snapshot(&mut self) -> Result<Box<dyn ColdSnapshot>>;
}

/// A frozen view of a [`ColdStore`]; read beside the task while the store goes on.
pub trait ColdSnapshot: Send {
    /// As [`ColdStore::scan`].
    fn scan(&mut self, prefix: &[u8], from: Option<&[u8]>, limit: usize) -> Result<Vec<Entry>>;
}

/// Makes cold stores for tasks.
pub trait StateBackend: Send + Sync {
    /// An empty cold store for the state called `task` (unique while it lives), or `None`
    /// when all state stays in memory.
    fn cold_store(&self, task: &str) -> Result<Option<Box<dyn ColdStore>>>;

    /// Memory that the cold stores of this backend hold at this moment, bytes. Cheap.
    fn memory_bytes(&self) -> u64 {
        0
    }
}

/// Keeps everything in memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeapBackend;

impl StateBackend for HeapBackend {
    fn cold_store(&self, _task: &str) -> Result<Option<Box<dyn ColdStore>>> {
        Ok(None)
    }
}

/// The one cold store of a `StateStore`, shared by its panes and logs. All of them live
/// on the task's thread, so the lock is never contended.
#[derive(Clone)]
pub(crate) struct SharedCold(Arc<Mutex<Box<dyn ColdStore>>>);

impl SharedCold {
    pub(crate) fn new(cold: Box<dyn ColdStore>) -> Self {
        Self(Arc::new(Mutex::new(cold)))
    }

    pub(crate) fn lock(&self) -> Result<MutexGuard<'_, Box<dyn ColdStore>>> {
        self.0.lock().map_err(|_| {
            Error::internal("the cold store failed in the middle of a call; the task must restart")
        })
    }

    /// Calls `visit` for every entry under `prefix`, in order.
    pub(crate) fn for_each(
        &self,
        prefix: &[u8],
        visit: impl FnMut(&[u8], &[u8]) -> Result<()>,
    ) -> Result<()> {
        for_each(|from| self.lock()?.scan(prefix, from, SCAN_ROWS), visit)
    }
}

/// As [`SharedCold::for_each`], over a snapshot.
pub(crate) fn for_each_frozen(
    cold: &mut dyn ColdSnapshot,
    prefix: &[u8],
    visit: impl FnMut(&[u8], &[u8]) -> Result<()>,
) -> Result<()> {
    for_each(|from| cold.scan(prefix, from, SCAN_ROWS), visit)
}

/// Entries per scan: bounds what is held twice.
const SCAN_ROWS: usize = 4096;

fn for_each(
    mut scan: impl FnMut(Option<&[u8]>) -> Result<Vec<Entry>>,
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<()>,
) -> Result<()> {
    let mut from: Option<Vec<u8>> = None;
    loop {
        let mut entries = scan(from.as_deref())?;
        for (key, value) in &entries {
            visit(key, value)?;
        }
        if entries.len() < SCAN_ROWS {
            return Ok(());
        }
        // The smallest key above the last one.
        from = entries.pop().map(|(mut key, _)| {
            key.push(0);
            key
        });
    }
}

/// `table u16 | namespace i64`, both in an order-preserving form: the prefix of every
/// cold row of a pane.
pub(crate) fn pane_prefix(table: u16, namespace: i64) -> [u8; PREFIX] {
    let mut prefix = [0; PREFIX];
    prefix[..2].copy_from_slice(&table.to_be_bytes());
    prefix[2..].copy_from_slice(&(namespace as u64 ^ (1 << 63)).to_be_bytes());
    prefix
}

/// Length of [`pane_prefix`].
pub(crate) const PREFIX: usize = 10;
