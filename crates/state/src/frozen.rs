//! A frozen snapshot: copies taken in the task's thread, encoded beside it. Made by
//! `StateStore::snapshot`; the task's checkpoint writer calls `encode`.

use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use model::deployment::StateHandle;
use model::key_group::KEY_HASH_VERSION;
use model::{Error, Result, Watermark};

use crate::chain::Link;
use crate::cold::{ColdSnapshot, PREFIX, for_each_frozen, pane_prefix};
use crate::key_arrays::key_arrays;
use crate::keys::{KeyData, encode_key};
use crate::log::{Log, LogBatch, compact_views, decode};
use crate::pane::{COPIED, DEAD, Pane};
use crate::pane_cold::start_cold_key;
use crate::removed::FrozenKeys;
use crate::section_writer::{BATCH_ROWS, SectionWriter};
use crate::shape::TableShape;
use crate::snapshot_file::{ColumnSchema, Compression, FileWriter, Header, Section, SectionSchema};
use crate::{Column, Table};

/// The state of one operator in one subtask at one moment: what the files of earlier snapshots
/// do not hold. Does not change with the store.
pub struct Frozen {
    pub(crate) uid: String,
    pub(crate) watermark: Watermark,
    pub(crate) tables: Vec<FrozenTable>,
    pub(crate) logs: Vec<FrozenLog>,
    pub(crate) cold: Option<Box<dyn ColdSnapshot>>,
    pub(crate) link: Link,
}

/// Where a snapshot's file came to lie, once it is stored: later ones may go on from it.
pub struct StoredFile(Arc<OnceLock<StateHandle>>);

impl StoredFile {
    /// To be called when the file is stored for sure, and not before.
    pub fn stored(self, handle: StateHandle) {
        // Stored twice is stored as well the first time.
        let _ = self.0.set(handle);
    }
}

pub(crate) struct FrozenTable {
    shape: Arc<TableShape>,
    panes: Vec<FrozenPane>,
    removed: Vec<(i64, FrozenKeys)>,
    dropped: Vec<i64>,
}

struct FrozenPane {
    namespace: i64,
    keys: KeyData,
    null_slot: u32,
    hashes: Vec<u64>,
    flags: Vec<u8>,
    columns: Vec<ArrayRef>,
    /// Further rows are in the cold snapshot.
    partly_cold: bool,
}

pub(crate) struct FrozenLog {
    name: String,
    schema: SchemaRef,
    key_columns: Vec<usize>,
    batches: Vec<(i64, u64, FrozenBatch)>,
    removed: Vec<u64>,
}

enum FrozenBatch {
    Memory(LogBatch),
    /// Its key in the cold snapshot.
    Cold(Vec<u8>),
}

impl FrozenTable {
    /// What the file of `link` has to hold; from now on it does.
    pub(crate) fn of(table: &mut Table, link: &Link) -> Result<Self> {
        let kind = table.shape.kind;
        let (mut panes, mut removed) = (Vec::new(), Vec::new());
        for pane in table.panes.values_mut() {
            let slots = pane.slots_for(link.position);
            if link.is_base() {
                pane.removed.clear(kind);
                if pane.has_rows() {
                    panes.push(FrozenPane::of(pane)?);
                }
                continue;
            }
            let keys = pane.removed.freeze(kind, link.position);
            if !keys.is_empty() {
                removed.push((pane.namespace, keys));
            }
            if !slots.is_empty() {
                panes.push(FrozenPane::part(pane, &slots)?);
            }
        }
        let dropped = table.dropped.freeze(link.position);
        Ok(Self { shape: Arc::clone(&table.shape), panes, removed, dropped })
    }

    pub(crate) fn is_cold(&self) -> bool {
        self.panes.iter().any(|pane| pane.partly_cold)
    }

    fn schema(&self) -> SectionSchema {
        SectionSchema::Table {
            key: ColumnSchema::of(&self.shape.fields),
            values: self.shape.values.clone(),
        }
    }

    fn write(
        self,
        cold: &mut Option<Box<dyn ColdSnapshot>>,
        file: &mut FileWriter<'_>,
        sections: &mut Vec<Section>,
    ) -> Result<()> {
        let (name, schema) = (self.shape.name.clone(), self.schema());
        if !self.removed.is_empty() {
            let key = ColumnSchema::of(&self.shape.fields);
            let schema = SectionSchema::Removed { key };
            let mut section = SectionWriter::start(file, name.clone(), schema)?;
            for (namespace, keys) in &self.removed {
                write_removed(&self.shape, *namespace, keys, &mut section)?;
            }
            sections.push(section.finish()?);
        }
        let mut section = SectionWriter::start(file, name, schema)?;
        // Consumed pane by pane, to free each as soon as it is written.
        for pane in self.panes {
            write_pane(&self.shape, pane, cold, &mut section)?;
        }
        sections.push(Section { dropped: self.dropped, ..section.finish()? });
        Ok(())
    }
}

impl FrozenLog {
    /// What the file of `link` has to hold; from now on it does.
    pub(crate) fn of(log: &mut Log, link: &Link) -> Self {
        let id = log.shape.id;
        let mut batches = Vec::new();
        for (namespace, pane) in &mut log.panes {
            for stored in pane.batches.iter_mut().filter(|stored| stored.tier >= link.position) {
                stored.tier = link.position;
                let frozen = match &stored.memory {
                    Some(batch) => FrozenBatch::Memory(batch.clone()),
                    None => FrozenBatch::Cold(stored.cold_key(id, *namespace)),
                };
                batches.push((*namespace, stored.number, frozen));
            }
        }
        Self {
            name: log.shape.name.clone(),
            schema: Arc::clone(&log.shape.schema),
            key_columns: log.shape.key_columns.clone(),
            batches,
            removed: log.removed.freeze(link.position),
        }
    }

    pub(crate) fn is_cold(&self) -> bool {
        self.batches.iter().any(|(_, _, batch)| matches!(batch, FrozenBatch::Cold(_)))
    }

    fn write(
        self,
        cold: &mut Option<Box<dyn ColdSnapshot>>,
        file: &mut FileWriter<'_>,
        sections: &mut Vec<Section>,
    ) -> Result<()> {
        let schema = SectionSchema::Log {
            columns: ColumnSchema::of(self.schema.fields().iter().map(AsRef::as_ref)),
            key_columns: self.key_columns,
        };
        let mut section = SectionWriter::start(file, self.name, schema)?;
        let mut batches = Vec::with_capacity(self.batches.len());
        for (namespace, number, batch) in self.batches {
            let batch = match batch {
                FrozenBatch::Memory(batch) => batch,
                FrozenBatch::Cold(key) => read_cold_batch(cold, &key, &self.schema)?,
            };
            batches.push((number, batch.0.num_rows() as u64));
            let (rows, hashes) = batch;
            let columns = rows.columns().iter().map(compact_views).collect();
            section.push(namespace, hashes.as_ref().clone(), columns)?;
        }
        sections.push(Section { batches, removed: self.removed, ..section.finish()? });
        Ok(())
    }
}

impl FrozenPane {
    fn of(pane: &Pane) -> Result<Self> {
        Ok(Self {
            namespace: pane.namespace,
            keys: pane.keys.data.clone(),
            null_slot: pane.keys.null_slot,
            hashes: pane.keys.hashes.clone(),
            flags: pane.flags.clone(),
            columns: pane.columns.iter().map(Column::to_array).collect::<Result<_>>()?,
            partly_cold: pane.cold_rows > 0,
        })
    }

    /// Only the rows of `slots`, which are live.
    fn part(pane: &Pane, slots: &[u32]) -> Result<Self> {
        let mut keys = FrozenKeys::new(pane.shape.kind);
        for slot in slots {
            let is_null = *slot == pane.keys.null_slot;
            keys.push(&pane.keys.data, pane.hash(*slot), is_null, *slot);
        }
        let columns = pane.columns.iter().map(|column| column.take(slots));
        Ok(Self {
            namespace: pane.namespace,
            keys: keys.data,
            null_slot: keys.null_slot,
            hashes: keys.hashes,
            flags: vec![0; slots.len()],
            columns: columns.collect::<Result<_>>()?,
            partly_cold: false,
        })
    }

    /// The cold keys of rows whose cold copy is outdated, ascending.
    fn outdated(&self, prefix: &[u8; PREFIX]) -> Vec<Vec<u8>> {
        let copied = |slot: &u32| self.flags[*slot as usize] & (COPIED | DEAD) == COPIED;
        let mut keys: Vec<Vec<u8>> = (0..self.hashes.len() as u32)
            .filter(copied)
            .map(|slot| {
                let mut key = start_cold_key(prefix, self.hashes[slot as usize]);
                encode_key(&self.keys, slot == self.null_slot, slot, &mut key);
                key
            })
            .collect();
        keys.sort_unstable();
        keys
    }
}

impl Frozen {
    /// No rows and no watermark: a restore from it would be a fresh start.
    pub fn is_empty(&self) -> bool {
        self.link.is_base()
            && self.watermark == Watermark::MIN
            && self.tables.iter().all(|table| table.panes.is_empty())
            && self.logs.iter().all(|log| log.batches.is_empty())
    }

    /// The files that this one goes on from, the base first: a restore needs them before it.
    pub fn earlier(&self) -> &[StateHandle] {
        &self.link.earlier
    }

    /// Where to say that this one's file is stored. Later snapshots hold everything again
    /// that it holds, unless that is said before they are taken.
    pub fn file(&self) -> StoredFile {
        StoredFile(Arc::clone(&self.link.stored))
    }

    /// The snapshot file in one piece, see [`Self::encode_to`]. For tests: of a chain's files
    /// every other one is compressed.
    pub fn encode(self) -> Result<Vec<u8>> {
        let mut file = Vec::new();
        let compressed = self.link.position.is_multiple_of(2);
        let compression = if compressed { Compression::Lz4 } else { Compression::None };
        self.encode_to(compression, &mut |part| {
            file.extend_from_slice(&part);
            true
        })?;
        Ok(file)
    }

    /// Hands the snapshot file on in parts of [`crate::PART_BYTES`], the last one smaller, at
    /// least one; so much and one batch are held at once. Stops with an error when `put`
    /// answers `false`. Takes time with the state's size: not for the task's thread.
    pub fn encode_to(
        mut self,
        compression: Compression,
        put: &mut dyn FnMut(Bytes) -> bool,
    ) -> Result<()> {
        let mut file = FileWriter::start(compression, put);
        let mut sections = Vec::new();
        for table in std::mem::take(&mut self.tables) {
            table.write(&mut self.cold, &mut file, &mut sections)?;
        }
        for log in std::mem::take(&mut self.logs) {
            log.write(&mut self.cold, &mut file, &mut sections)?;
        }
        let header = Header {
            uid: self.uid,
            watermark: self.watermark.0,
            key_hash_version: KEY_HASH_VERSION,
            position: self.link.position,
            tables: sections,
        };
        file.finish(&header)
    }
}

fn write_pane(
    shape: &Arc<TableShape>,
    mut pane: FrozenPane,
    cold: &mut Option<Box<dyn ColdSnapshot>>,
    section: &mut SectionWriter<'_, '_>,
) -> Result<()> {
    if std::mem::take(&mut pane.partly_cold) {
        let cold = cold.as_mut().ok_or_else(no_cold_snapshot)?;
        let prefix = pane_prefix(shape.id, pane.namespace);
        let outdated = pane.outdated(&prefix);
        let mut outdated = outdated.iter().map(Vec::as_slice).peekable();
        let mut rows = Pane::new(shape, pane.namespace);
        for_each_frozen(cold.as_mut(), &prefix, |key, value| {
            while outdated.next_if(|old| *old < key).is_some() {}
            if outdated.next_if_eq(&key).is_some() {
                return Ok(());
            }
            rows.insert_cold(key, value)?;
            if rows.len() == BATCH_ROWS {
                let full = std::mem::replace(&mut rows, Pane::new(shape, pane.namespace));
                write_memory(shape, &FrozenPane::of(&full)?, section)?;
            }
            Ok(())
        })?;
        write_memory(shape, &FrozenPane::of(&rows)?, section)?;
    }
    write_memory(shape, &pane, section)
}

fn write_memory(
    shape: &TableShape,
    pane: &FrozenPane,
    section: &mut SectionWriter<'_, '_>,
) -> Result<()> {
    let live: Vec<u32> = (0..pane.hashes.len() as u32)
        .filter(|slot| pane.flags[*slot as usize] & DEAD == 0)
        .collect();
    for slots in live.chunks(BATCH_ROWS) {
        let (first, last) = (slots[0] as usize, slots[slots.len() - 1] as usize);
        let in_a_row = last - first + 1 == slots.len();
        let hashes = slots.iter().map(|slot| pane.hashes[*slot as usize]).collect();
        let mut columns = key_arrays(shape, &pane.keys, pane.null_slot, slots)?;
        let indices = UInt32Array::from(slots.to_vec());
        for column in &pane.columns {
            columns.push(if in_a_row {
                column.slice(first, slots.len())
            } else {
                take(column, &indices, None)?
            });
        }
        section.push(pane.namespace, hashes, columns)?;
    }
    Ok(())
}

fn write_removed(
    shape: &TableShape,
    namespace: i64,
    keys: &FrozenKeys,
    section: &mut SectionWriter<'_, '_>,
) -> Result<()> {
    let all: Vec<u32> = (0..keys.hashes.len() as u32).collect();
    let columns = key_arrays(shape, &keys.data, keys.null_slot, &all)?;
    section.push(namespace, keys.hashes.clone(), columns)
}

fn read_cold_batch(
    cold: &mut Option<Box<dyn ColdSnapshot>>,
    key: &[u8],
    schema: &SchemaRef,
) -> Result<LogBatch> {
    let cold = cold.as_mut().ok_or_else(no_cold_snapshot)?;
    let entry = cold.scan(key, None, 1)?.pop().filter(|(found, _)| found == key);
    let (_, value) = entry.ok_or_else(crate::column::broken_cold_row)?;
    decode(&value, schema)
}

fn no_cold_snapshot() -> Error {
    Error::internal("cold state was frozen without a view of the cold store")
}
