//! Reading snapshot files back, by the key groups of this subtask. Called by `store` when
//! an operator registers its tables and logs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Int64Type, UInt64Type};
use arrow_ipc::reader::StreamReader;
use bytes::Bytes;
use model::key_group::{KeyGroupRange, key_group_of};
use model::{Error, Result, Watermark};

use crate::key_arrays::batch_keys;
use crate::snapshot_file::{SectionSchema, SnapshotFile, damaged};
use crate::{Log, Table};

/// The snapshot files of one operator, and which of their tables were asked for.
pub(crate) struct Restored {
    uid: String,
    key_groups: KeyGroupRange,
    max_parallelism: u32,
    files: Vec<SnapshotFile>,
    loaded: BTreeSet<String>,
}

/// The rows of one section batch that are ours.
pub(crate) struct RestoredRows {
    batch: RecordBatch,
    hashes: Vec<u64>,
    /// Row numbers by namespace, in the order of the file.
    by_namespace: BTreeMap<i64, Vec<u32>>,
}

impl Restored {
    pub(crate) fn open(
        uid: &str,
        key_groups: KeyGroupRange,
        max_parallelism: u32,
        files: &[Bytes],
    ) -> Result<Self> {
        let files: Vec<SnapshotFile> = files
            .iter()
            .map(SnapshotFile::read)
            .collect::<Result<_>>()
            .map_err(|error| error.at(format!("operator {uid}")))?;
        if let Some(other) = files.iter().find(|file| file.header.uid != uid) {
            return Err(Error::internal(format!(
                "operator {uid} was given the state of operator {}",
                other.header.uid
            )));
        }
        let loaded = BTreeSet::new();
        Ok(Self { uid: uid.to_owned(), key_groups, max_parallelism, files, loaded })
    }

    pub(crate) fn watermark(&self) -> Option<Watermark> {
        self.files.iter().map(|file| Watermark(file.header.watermark)).min()
    }

    /// Calls `load` with our rows of the table or log `name`, which must have `schema`.
    pub(crate) fn load(
        &mut self,
        name: &str,
        schema: &SectionSchema,
        mut load: impl FnMut(RestoredRows) -> Result<()>,
    ) -> Result<()> {
        self.loaded.insert(name.to_owned());
        for file in &self.files {
            for section in file.header.tables.iter().filter(|section| section.name == name) {
                if section.schema != *schema {
                    return Err(Error::user(format!(
                        "operator {}: state table {name} was saved with {}, but the job now needs \
                         {schema}; undo the change, or give the operator a new uid to start it \
                         without its state",
                        self.uid, section.schema
                    )));
                }
                let broken = |error: Error| {
                    damaged(format!("operator {}, table {name}", self.uid)).caused_by(error)
                };
                let reader = StreamReader::try_new(file.section(section)?, None)
                    .map_err(|error| broken(error.into()))?;
                let mut rows = 0;
                for batch in reader {
                    let batch = batch.map_err(|error| broken(error.into()))?;
                    rows += batch.num_rows() as u64;
                    load(self.ours(batch, schema).map_err(broken)?)?;
                }
                if rows != section.rows {
                    return Err(broken(Error::external(format!(
                        "{rows} rows where {} were written",
                        section.rows
                    ))));
                }
            }
        }
        Ok(())
    }

    /// Refuses restored tables with rows that the operator did not register: their state
    /// would be gone with the next checkpoint.
    pub(crate) fn finish(&mut self) -> Result<()> {
        let files = std::mem::take(&mut self.files);
        let mut sections = files.iter().flat_map(|file| &file.header.tables);
        match sections.find(|section| section.rows > 0 && !self.loaded.contains(&section.name)) {
            None => Ok(()),
            Some(section) => Err(Error::user(format!(
                "operator {}: the checkpoint has state table {} ({}), which the operator no longer \
                 keeps; undo the change, or give the operator a new uid to start it without its state",
                self.uid, section.name, section.schema
            ))),
        }
    }

    fn ours(&self, batch: RecordBatch, schema: &SectionSchema) -> Result<RestoredRows> {
        let expected = schema.stream_schema();
        let fits = batch.num_columns() == expected.fields().len()
            && batch
                .columns()
                .iter()
                .zip(expected.fields())
                .all(|(column, field)| column.data_type() == field.data_type());
        if !fits || batch.column(0).null_count() + batch.column(1).null_count() > 0 {
            return Err(Error::external("the columns are not those that the header names"));
        }
        let hashes = batch.column(0).as_primitive::<UInt64Type>().values().to_vec();
        let namespaces = batch.column(1).as_primitive::<Int64Type>();
        let mut by_namespace: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for (row, (hash, namespace)) in hashes.iter().zip(namespaces.values()).enumerate() {
            if self.key_groups.contains(key_group_of(*hash, self.max_parallelism)) {
                by_namespace.entry(*namespace).or_default().push(row as u32);
            }
        }
        Ok(RestoredRows { batch, hashes, by_namespace })
    }
}

impl Table {
    /// Adds restored rows, none of which may be here already.
    pub(crate) fn load(&mut self, restored: &RestoredRows) -> Result<()> {
        let shape = Arc::clone(&self.shape);
        let (keys, values) = restored.batch.columns()[2..].split_at(shape.fields.len());
        shape.check_keys(keys, restored.hashes.len())?;
        let keys = batch_keys(&shape, keys)?;
        let mut slots = Vec::new();
        for (namespace, rows) in &restored.by_namespace {
            let pane = self.pane(*namespace)?;
            let before = pane.len();
            // Without a look at the cold store: what was evicted there came from other rows.
            pane.keys.lookup::<true>(&restored.hashes, &keys, Some(rows), &mut slots)?;
            if pane.len() - before != rows.len() {
                return Err(Error::internal(format!(
                    "operator {}, table {}: a key was restored twice in namespace {namespace}",
                    shape.uid, shape.name
                )));
            }
            pane.grow_columns();
            for (column, array) in pane.columns.iter_mut().zip(values) {
                column.assign(&slots, array, rows);
            }
        }
        Ok(())
    }
}

impl Log {
    /// Appends restored rows.
    pub(crate) fn load(&mut self, restored: &RestoredRows) -> Result<()> {
        for (namespace, rows) in &restored.by_namespace {
            let hashes = rows.iter().map(|row| restored.hashes[*row as usize]).collect();
            let taken = take_record_batch(&restored.batch, &UInt32Array::from(rows.clone()))?;
            let columns = taken.columns()[2..].to_vec();
            let batch = RecordBatch::try_new(Arc::clone(&self.shape.schema), columns)?;
            self.append(*namespace, batch, hashes)?;
        }
        Ok(())
    }
}
