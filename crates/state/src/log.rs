//! A log: namespace -> append-only record batches with the key hash of every row, for
//! joins. Operators get it from `StateStore::log_mut`.
//!
//! Evicted batches lie in the cold store as IPC streams under `log u16 | namespace i64 |
//! number u64`. Batches never change, so one that was read back is evicted for free.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, GenericByteViewArray, RecordBatch, UInt32Array, UInt64Array,
};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{ByteViewType, DataType, Field, Schema, SchemaRef, UInt64Type};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use model::{Error, Result};

use crate::chain::{NEW, Tiers};
use crate::cold::{PREFIX, SharedCold, pane_prefix};
use crate::removed::RemovedIds;

/// Rows with the key hash of each.
pub type LogBatch = (RecordBatch, Arc<Vec<u64>>);

/// The hash column of stored log batches.
pub(crate) const HASH: &str = "$hash";

pub(crate) struct LogShape {
    pub(crate) uid: String,
    pub(crate) name: String,
    pub(crate) id: u16,
    pub(crate) schema: SchemaRef,
    pub(crate) key_columns: Vec<usize>,
    pub(crate) cold: Option<SharedCold>,
}

/// All batches of one registered log.
pub struct Log {
    pub(crate) shape: LogShape,
    pub(crate) panes: BTreeMap<i64, LogPane>,
    /// `shape.schema` with the hash column in front.
    stored_schema: SchemaRef,
    rows: usize,
    next_number: u64,
    /// Numbers of batches that are gone.
    pub(crate) removed: RemovedIds<u64>,
    pub(crate) tick: u64,
    pub(crate) memory: u64,
}

#[derive(Default)]
pub(crate) struct LogPane {
    pub(crate) batches: Vec<StoredBatch>,
    pub(crate) last_used: u64,
    /// Bytes of the batches in memory.
    pub(crate) memory: u64,
    in_cold: bool,
}

pub(crate) struct StoredBatch {
    pub(crate) number: u64,
    rows: usize,
    /// Which file of the chain holds it, see `chain`.
    pub(crate) tier: u8,
    bytes: u64,
    /// `None`: only in the cold store.
    pub(crate) memory: Option<LogBatch>,
    in_cold: bool,
}

impl StoredBatch {
    pub(crate) fn cold_key(&self, log: u16, namespace: i64) -> Vec<u8> {
        let mut key = Vec::with_capacity(PREFIX + 8);
        key.extend_from_slice(&pane_prefix(log, namespace));
        key.extend_from_slice(&self.number.to_be_bytes());
        key
    }
}

impl Log {
    pub(crate) fn new(shape: LogShape) -> Self {
        let mut fields = vec![Arc::new(Field::new(HASH, DataType::UInt64, false))];
        fields.extend(shape.schema.fields().iter().cloned());
        let stored_schema = Arc::new(Schema::new(fields));
        let panes = BTreeMap::new();
        Self {
            shape,
            panes,
            stored_schema,
            rows: 0,
            next_number: 0,
            removed: RemovedIds::default(),
            tick: 1,
            memory: 0,
        }
    }

    /// Adds `batch` (of the registered column types, `hashes` of its key columns) behind
    /// what `namespace` has. Batches keep their order and are never merged or split while
    /// the task runs (but see [`Self::merge_last`]); a restore may cut them anew.
    ///
    /// Answers the batch as it is kept: a small part of large shared buffers was copied out.
    pub fn append(
        &mut self,
        namespace: i64,
        batch: RecordBatch,
        hashes: Vec<u64>,
    ) -> Result<RecordBatch> {
        self.push(namespace, batch, Arc::new(hashes))
    }

    /// Puts one batch in the place of the last `count` of `namespace` and answers it; `None`,
    /// and nothing changed, when one of them is in the cold store or there are not so many.
    pub fn merge_last(&mut self, namespace: i64, count: usize) -> Result<Option<RecordBatch>> {
        let Some(pane) = self.panes.get_mut(&namespace) else { return Ok(None) };
        let Some(from) = pane.batches.len().checked_sub(count) else { return Ok(None) };
        let last = &pane.batches[from..];
        let kept = last.iter().filter(|stored| !stored.in_cold);
        let parts: Vec<LogBatch> = kept.filter_map(|stored| stored.memory.clone()).collect();
        if parts.len() < count || count < 2 {
            return Ok(None);
        }
        let merged = concat_batches(&self.shape.schema, parts.iter().map(|(batch, _)| batch))?;
        let hashes = parts.iter().flat_map(|(_, hashes)| hashes.iter().copied()).collect();
        let bytes: u64 = last.iter().map(|stored| stored.bytes).sum();
        forget(&mut self.removed, pane.batches.drain(from..));
        pane.memory -= bytes;
        self.memory -= bytes;
        self.rows -= merged.num_rows();
        self.push(namespace, merged, Arc::new(hashes)).map(Some)
    }

    /// The namespaces that have rows, ascending.
    pub fn namespaces(&self) -> Vec<i64> {
        self.panes.keys().copied().collect()
    }

    /// The lowest namespace that has rows.
    pub fn first_namespace(&self) -> Option<i64> {
        self.panes.keys().next().copied()
    }

    /// The batches of `namespace` in the order of appending; none when it has no rows.
    pub fn batches(&mut self, namespace: i64) -> Result<Vec<LogBatch>> {
        let Some(pane) = self.panes.get_mut(&namespace) else { return Ok(Vec::new()) };
        pane.last_used = self.tick;
        let mut result = Vec::with_capacity(pane.batches.len());
        for stored in &mut pane.batches {
            if let Some(batch) = &stored.memory {
                result.push(batch.clone());
                continue;
            }
            let key = stored.cold_key(self.shape.id, namespace);
            let batch = read_cold(self.shape.cold.as_ref(), &key, &self.shape.schema)?;
            pane.memory += stored.bytes;
            self.memory += stored.bytes;
            stored.memory = Some(batch.clone());
            result.push(batch);
        }
        Ok(result)
    }

    /// Drops all rows of `namespace`.
    pub fn remove_namespace(&mut self, namespace: i64) -> Result<()> {
        let Some(pane) = self.panes.remove(&namespace) else { return Ok(()) };
        self.memory -= pane.memory;
        self.rows -= pane.batches.iter().map(|stored| stored.rows).sum::<usize>();
        let in_cold = pane.in_cold;
        forget(&mut self.removed, pane.batches);
        if in_cold && let Some(cold) = &self.shape.cold {
            cold.lock()?.delete_prefix(&pane_prefix(self.shape.id, namespace))?;
        }
        Ok(())
    }

    /// Puts `batches` in the place of what `namespace` has.
    pub fn replace(&mut self, namespace: i64, batches: Vec<LogBatch>) -> Result<()> {
        self.remove_namespace(namespace)?;
        for (batch, hashes) in batches {
            self.push(namespace, batch, hashes)?;
        }
        Ok(())
    }

    /// How many rows the log has, in memory and cold.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Writes the batches of `namespace` to the cold store and frees their memory.
    pub(crate) fn evict(&mut self, namespace: i64) -> Result<()> {
        let (Some(pane), Some(cold)) = (self.panes.get_mut(&namespace), &self.shape.cold) else {
            return Ok(());
        };
        for stored in &mut pane.batches {
            let Some((batch, hashes)) = &stored.memory else { continue };
            if !stored.in_cold {
                let value = encode(batch, hashes, &self.stored_schema)?;
                let key = stored.cold_key(self.shape.id, namespace);
                pane.in_cold = true;
                cold.lock()?.write(vec![(key, value)], Vec::new())?;
                stored.in_cold = true;
            }
            stored.memory = None;
        }
        self.memory -= pane.memory;
        pane.memory = 0;
        Ok(())
    }

    fn push(
        &mut self,
        namespace: i64,
        batch: RecordBatch,
        hashes: Arc<Vec<u64>>,
    ) -> Result<RecordBatch> {
        self.check(&batch, &hashes)?;
        if batch.num_rows() == 0 {
            return Ok(batch);
        }
        let batch = detach(batch)?;
        let bytes = (batch.get_array_memory_size() + hashes.len() * 8 + 128) as u64;
        let pane = match self.panes.entry(namespace) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(LogPane::default()),
        };
        pane.last_used = self.tick;
        pane.memory += bytes;
        self.memory += bytes;
        self.rows += batch.num_rows();
        pane.batches.push(StoredBatch {
            number: self.next_number,
            rows: batch.num_rows(),
            tier: NEW,
            bytes,
            memory: Some((batch.clone(), hashes)),
            in_cold: false,
        });
        self.next_number += 1;
        Ok(batch)
    }

    pub(crate) fn count_tiers(&self, rows: &mut Tiers, removed: &mut Tiers) {
        let batches = self.panes.values().flat_map(|pane| &pane.batches);
        batches.for_each(|stored| rows.add(stored.tier, stored.rows as u64));
        self.removed.count(removed);
    }

    fn check(&self, batch: &RecordBatch, hashes: &[u64]) -> Result<()> {
        let registered = self.shape.schema.fields();
        let same = batch.num_columns() == registered.len()
            && batch.columns().iter().zip(registered).all(|(c, f)| c.data_type() == f.data_type());
        if same && hashes.len() == batch.num_rows() {
            return Ok(());
        }
        Err(Error::internal(format!(
            "operator {}, log {}: a batch of {} rows with {} hashes and schema {} does not fit {}",
            self.shape.uid,
            self.shape.name,
            batch.num_rows(),
            hashes.len(),
            batch.schema(),
            self.shape.schema
        )))
    }
}

/// The batches are gone: those that a file of the chain has must be named.
fn forget(removed: &mut RemovedIds<u64>, batches: impl IntoIterator<Item = StoredBatch>) {
    let in_files = batches.into_iter().filter(|stored| stored.tier != NEW);
    in_files.for_each(|stored| removed.add(stored.number));
}

/// A batch may be a small part of large shared buffers (a slice, or views): copy it out
/// when it would keep alive much more than it needs.
fn detach(batch: RecordBatch) -> Result<RecordBatch> {
    let mut held = 0;
    let mut needed = 0;
    for column in batch.columns() {
        held += column.get_buffer_memory_size();
        needed += needed_bytes(column)?;
    }
    if held <= 2 * needed + 4096 {
        return Ok(batch);
    }
    let all = UInt32Array::from_iter_values(0..batch.num_rows() as u32);
    let copied = take_record_batch(&batch, &all)?;
    let columns = copied.columns().iter().map(compact_views).collect();
    Ok(RecordBatch::try_new(copied.schema(), columns)?)
}

fn needed_bytes(array: &ArrayRef) -> Result<usize> {
    Ok(match array.data_type() {
        DataType::Utf8View => array.len() * 16 + array.as_string_view().total_buffer_bytes_used(),
        DataType::BinaryView => array.len() * 16 + array.as_binary_view().total_buffer_bytes_used(),
        _ => array.to_data().get_slice_memory_size()?,
    })
}

/// Drops what views do not refer to, where that is much.
pub(crate) fn compact_views(array: &ArrayRef) -> ArrayRef {
    fn wasteful<T: ByteViewType>(views: &GenericByteViewArray<T>) -> bool {
        let held: usize = views.data_buffers().iter().map(|buffer| buffer.len()).sum();
        held > views.total_buffer_bytes_used() * 5 / 4
    }
    match array.data_type() {
        DataType::Utf8View if wasteful(array.as_string_view()) => {
            Arc::new(array.as_string_view().gc())
        }
        DataType::BinaryView if wasteful(array.as_binary_view()) => {
            Arc::new(array.as_binary_view().gc())
        }
        _ => Arc::clone(array),
    }
}

fn encode(batch: &RecordBatch, hashes: &Arc<Vec<u64>>, schema: &SchemaRef) -> Result<Vec<u8>> {
    let mut columns: Vec<ArrayRef> = vec![Arc::new(UInt64Array::from(hashes.as_ref().clone()))];
    columns.extend(batch.columns().iter().map(compact_views));
    let mut writer = StreamWriter::try_new(Vec::new(), schema)?;
    // Nullability was not checked when the batch came in: keep the types, not the promise.
    writer.write(&RecordBatch::try_new(Arc::clone(schema), columns)?)?;
    Ok(writer.into_inner()?)
}

/// Reads what [`encode`] wrote.
pub(crate) fn decode(value: &[u8], schema: &SchemaRef) -> Result<LogBatch> {
    let mut reader = StreamReader::try_new(value, None)?;
    let stored = reader.next().ok_or_else(crate::column::broken_cold_row)??;
    let (hashes, columns) =
        stored.columns().split_first().ok_or_else(crate::column::broken_cold_row)?;
    let hashes = hashes.as_primitive::<UInt64Type>().values().to_vec();
    Ok((RecordBatch::try_new(Arc::clone(schema), columns.to_vec())?, Arc::new(hashes)))
}

fn read_cold(cold: Option<&SharedCold>, key: &[u8], schema: &SchemaRef) -> Result<LogBatch> {
    let mut values = Vec::new();
    if let Some(cold) = cold {
        cold.lock()?.get_many(&[key], &mut values)?;
    }
    let value = values.pop().flatten().ok_or_else(crate::column::broken_cold_row)?;
    decode(&value, schema)
}
