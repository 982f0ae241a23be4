//! A keyed table: (namespace, key) -> columns, one pane per namespace. Operators get it
//! from `StateStore::table_mut`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use model::Result;

use crate::chain::Tiers;
use crate::pane::Pane;
use crate::removed::RemovedIds;
use crate::shape::TableShape;

/// All panes of one registered table.
pub struct Table {
    pub(crate) shape: Arc<TableShape>,
    pub(crate) panes: BTreeMap<i64, Pane>,
    /// Namespaces whose pane was handed out since the last `end_batch`.
    touched: Vec<i64>,
    pub(crate) dropped: RemovedIds<i64>,
    /// Counts batches; see `Pane::last_used`.
    pub(crate) tick: u64,
    /// Bytes of all panes as of their last measurement.
    pub(crate) memory: u64,
}

impl Table {
    pub(crate) fn new(shape: Arc<TableShape>) -> Self {
        Self {
            shape,
            panes: BTreeMap::new(),
            touched: Vec::new(),
            dropped: RemovedIds::default(),
            tick: 1,
            memory: 0,
        }
    }

    /// The pane of `namespace`, created when absent. A pane left without rows is dropped
    /// at the end of the batch.
    pub fn pane(&mut self, namespace: i64) -> Result<&mut Pane> {
        let pane = match self.panes.entry(namespace) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Pane::new(&self.shape, namespace)),
        };
        if pane.last_used != self.tick {
            pane.last_used = self.tick;
            self.touched.push(namespace);
        }
        Ok(pane)
    }

    /// The pane of `namespace` when it has rows, in memory or cold.
    pub fn existing_pane(&mut self, namespace: i64) -> Result<Option<&mut Pane>> {
        if self.panes.get(&namespace).is_some_and(Pane::has_rows) {
            return self.pane(namespace).map(Some);
        }
        Ok(None)
    }

    /// As [`Self::existing_pane`], with every row in memory.
    pub fn load_namespace(&mut self, namespace: i64) -> Result<Option<&mut Pane>> {
        match self.existing_pane(namespace)? {
            None => Ok(None),
            Some(pane) => {
                pane.load_all()?;
                Ok(Some(pane))
            }
        }
    }

    /// The namespaces that have rows, ascending.
    pub fn namespaces(&self) -> Vec<i64> {
        self.panes.iter().filter(|(_, pane)| pane.has_rows()).map(|(ns, _)| *ns).collect()
    }

    /// The lowest namespace that has rows.
    pub fn first_namespace(&self) -> Option<i64> {
        self.panes.iter().find(|(_, pane)| pane.has_rows()).map(|(namespace, _)| *namespace)
    }

    /// Drops all rows of `namespace`.
    pub fn remove_namespace(&mut self, namespace: i64) -> Result<()> {
        if let Some(mut pane) = self.take_pane(namespace) {
            pane.delete_cold()?;
        }
        Ok(())
    }

    /// Takes all rows of `namespace` out, for instance when a window fires. The pane is
    /// whole and has left the state: what is done to it is in no snapshot.
    pub fn take_namespace(&mut self, namespace: i64) -> Result<Option<Pane>> {
        if self.load_namespace(namespace)?.is_none() {
            return Ok(None);
        }
        Ok(self.take_pane(namespace))
    }

    fn take_pane(&mut self, namespace: i64) -> Option<Pane> {
        let pane = self.panes.remove(&namespace)?;
        self.memory -= pane.accounted;
        if pane.is_in_files() {
            self.dropped.add(namespace);
        }
        Some(pane)
    }

    /// Rows are only in the cold store: which files of the chain have them is not known.
    pub(crate) fn is_partly_cold(&self) -> bool {
        self.panes.values().any(|pane| pane.cold_rows > 0)
    }

    pub(crate) fn count_tiers(&self, rows: &mut Tiers, removed: &mut Tiers) {
        self.panes.values().for_each(|pane| pane.count_tiers(rows, removed));
        self.dropped.count(removed);
    }

    /// No namespace has rows.
    pub fn is_empty(&self) -> bool {
        self.first_namespace().is_none()
    }

    /// Housekeeping of the panes touched since the last call.
    pub(crate) fn end_batch(&mut self) -> Result<()> {
        for namespace in std::mem::take(&mut self.touched) {
            let Some(pane) = self.panes.get_mut(&namespace) else { continue };
            if !pane.has_rows() {
                self.remove_namespace(namespace)?;
                continue;
            }
            pane.flush_deletes()?;
            pane.compact();
            self.account(namespace);
        }
        self.tick += 1;
        Ok(())
    }

    /// Measures one pane again.
    pub(crate) fn account(&mut self, namespace: i64) {
        if let Some(pane) = self.panes.get_mut(&namespace) {
            let bytes = pane.measure();
            self.memory = self.memory - pane.accounted + bytes;
            pane.accounted = bytes;
        }
    }

    /// Evicts the pane of `namespace`: wholly, or about `bytes` of it.
    pub(crate) fn evict(&mut self, namespace: i64, bytes: Option<u64>) -> Result<()> {
        if let Some(pane) = self.panes.get_mut(&namespace) {
            match bytes {
                None => pane.evict_all()?,
                Some(bytes) => pane.evict_some(bytes)?,
            }
            self.account(namespace);
        }
        Ok(())
    }
}
