//! Reading snapshot files back, by the key groups of this subtask. Called by `store` when
//! an operator registers its tables and logs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Int64Type, UInt64Type};
use arrow_ipc::reader::StreamReader;
use bytes::Bytes;
use model::key_group::{KeyGroupRange, hash_columns, key_group_of};
use model::{Error, Result, Watermark};

use crate::key_arrays::batch_keys;
use crate::snapshot_file::{Section, SectionSchema, SnapshotFile, damaged};
use crate::{Log, Table};

/// The snapshot files of one operator, and which of their tables were asked for.
pub(crate) struct Restored {
    uid: String,
    key_groups: KeyGroupRange,
    max_parallelism: u32,
    /// The files of each old subtask, in order.
    chains: Vec<Vec<SnapshotFile>>,
    loaded: BTreeSet<String>,
}

/// What a section batch says about a table or log.
pub(crate) enum RestoredPart {
    Rows {
        rows: RestoredRows,
        /// Of the file in its chain: from 2 on, keys may be there already.
        position: u8,
    },
    /// Only the keys.
    Removed(RestoredRows),
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
        let mut chains: Vec<Vec<SnapshotFile>> = Vec::new();
        for file in files {
            let position = usize::from(file.header.position);
            match chains.last_mut() {
                _ if position == 1 => chains.push(vec![file]),
                Some(chain) if position == chain.len() + 1 => chain.push(file),
                before => {
                    return Err(damaged(format!(
                        "operator {uid}: file {position} of its chain comes after file {}",
                        before.map_or(0, |chain| chain.len())
                    )));
                }
            }
        }
        let loaded = BTreeSet::new();
        Ok(Self { uid: uid.to_owned(), key_groups, max_parallelism, chains, loaded })
    }

    /// That of the newest file of each chain counts.
    pub(crate) fn watermark(&self) -> Option<Watermark> {
        let newest = self.chains.iter().filter_map(|chain| chain.last());
        newest.map(|file| Watermark(file.header.watermark)).min()
    }

    /// Calls `load` with our rows of the table or log `name`, which must have `schema`, and
    /// with the keys whose rows of before are gone.
    pub(crate) fn load(
        &mut self,
        name: &str,
        schema: &SectionSchema,
        mut load: impl FnMut(RestoredPart) -> Result<()>,
    ) -> Result<()> {
        self.loaded.insert(name.to_owned());
        for chain in &self.chains {
            for (at, file) in chain.iter().enumerate() {
                let gone = Gone::of(name, &chain[at + 1..]);
                for section in file.header.tables.iter().filter(|section| section.name == name) {
                    self.check_schema(section, schema)?;
                    self.read(file, section, &gone, &mut load)?;
                }
            }
        }
        Ok(())
    }

    fn check_schema(&self, section: &Section, schema: &SectionSchema) -> Result<()> {
        let same = match (&section.schema, schema) {
            (SectionSchema::Removed { key: saved }, SectionSchema::Table { key, .. }) => {
                saved == key
            }
            (saved, schema) => saved == schema,
        };
        if same {
            return Ok(());
        }
        Err(Error::user(format!(
            "operator {}: state table {} was saved with {}, but the job now needs {schema}; undo \
             the change, or give the operator a new uid to start it without its state",
            self.uid, section.name, section.schema
        )))
    }

    fn read(
        &self,
        file: &SnapshotFile,
        section: &Section,
        gone: &Gone,
        load: &mut impl FnMut(RestoredPart) -> Result<()>,
    ) -> Result<()> {
        let broken = |error: Error| {
            damaged(format!("operator {}, table {}", self.uid, section.name)).caused_by(error)
        };
        let reader = StreamReader::try_new(file.section(section)?, None)
            .map_err(|error| broken(error.into()))?;
        let mut batches = LogRows::of(section);
        let mut read = 0;
        for batch in reader {
            let batch = batch.map_err(|error| broken(error.into()))?;
            read += batch.num_rows() as u64;
            let removed = matches!(section.schema, SectionSchema::Removed { .. });
            let is_log = matches!(section.schema, SectionSchema::Log { .. });
            let keep = |namespace: i64| {
                if is_log {
                    batches.next_is_kept(gone)
                } else {
                    !gone.namespaces.contains(&namespace)
                }
            };
            let rows = self.ours(batch, &section.schema, keep).map_err(broken)?;
            load(if removed {
                RestoredPart::Removed(rows)
            } else {
                RestoredPart::Rows { rows, position: file.header.position }
            })?;
        }
        if read != section.rows || !batches.is_done() {
            return Err(broken(Error::external(format!(
                "{read} rows where {} were written",
                section.rows
            ))));
        }
        Ok(())
    }

    /// Refuses restored tables with rows that the operator did not register: their state
    /// would be gone with the next checkpoint.
    pub(crate) fn finish(&mut self) -> Result<()> {
        let chains = std::mem::take(&mut self.chains);
        let mut sections = chains.iter().flatten().flat_map(|file| &file.header.tables);
        match sections.find(|section| section.rows > 0 && !self.loaded.contains(&section.name)) {
            None => Ok(()),
            Some(section) => Err(Error::user(format!(
                "operator {}: the checkpoint has state table {} ({}), which the operator no longer \
                 keeps; undo the change, or give the operator a new uid to start it without its state",
                self.uid, section.name, section.schema
            ))),
        }
    }

    /// The rows of our key groups for which `keep`, called for every row, says so.
    fn ours(
        &self,
        batch: RecordBatch,
        schema: &SectionSchema,
        mut keep: impl FnMut(i64) -> bool,
    ) -> Result<RestoredRows> {
        let expected = schema.stream_schema();
        let fits = batch.num_columns() == expected.fields().len()
            && batch
                .columns()
                .iter()
                .zip(expected.fields())
                .all(|(column, field)| column.data_type() == field.data_type());
        if !fits || batch.column(1).null_count() > 0 {
            return Err(Error::external("the columns are not those that the header names"));
        }
        let hashes = hashes_of(&batch, schema)?;
        let namespaces = batch.column(1).as_primitive::<Int64Type>();
        let mut by_namespace: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for (row, (hash, namespace)) in hashes.iter().zip(namespaces.values()).enumerate() {
            let ours = self.key_groups.contains(key_group_of(*hash, self.max_parallelism));
            if keep(*namespace) && ours {
                by_namespace.entry(*namespace).or_default().push(row as u32);
            }
        }
        Ok(RestoredRows { batch, hashes, by_namespace })
    }
}

/// The key hash of every row: what is not written is that of the key columns.
fn hashes_of(batch: &RecordBatch, schema: &SectionSchema) -> Result<Vec<u64>> {
    let written = batch.column(0).as_primitive::<UInt64Type>();
    if written.null_count() == 0 {
        return Ok(written.values().to_vec());
    }
    let keys: Vec<usize> = schema.key_columns().iter().map(|column| column + 2).collect();
    if keys.iter().any(|column| *column >= batch.num_columns()) {
        return Err(Error::external("the header names key columns that are not there"));
    }
    let mut hashes = Vec::new();
    hash_columns(batch, &keys, &mut hashes)?;
    let written = written.iter().enumerate().filter_map(|(row, hash)| Some((row, hash?)));
    written.for_each(|(row, hash)| hashes[row] = hash);
    Ok(hashes)
}

/// What files of a chain hold in vain, since later ones say that it is gone.
struct Gone {
    namespaces: BTreeSet<i64>,
    batches: BTreeSet<u64>,
}

impl Gone {
    fn of(name: &str, later: &[SnapshotFile]) -> Self {
        let sections = later.iter().flat_map(|file| &file.header.tables);
        let sections = sections.filter(|section| section.name == name);
        Self {
            namespaces: sections.clone().flat_map(|section| section.dropped.clone()).collect(),
            batches: sections.flat_map(|section| section.removed.clone()).collect(),
        }
    }
}

/// Which batch of a log the next row of its section belongs to.
struct LogRows<'a> {
    batches: std::slice::Iter<'a, (u64, u64)>,
    number: u64,
    left: u64,
    /// There were more rows than the batches have.
    overrun: bool,
}

impl<'a> LogRows<'a> {
    fn of(section: &'a Section) -> Self {
        Self { batches: section.batches.iter(), number: 0, left: 0, overrun: false }
    }

    /// Whether the next row's batch is still there. Rows beyond the batches are not.
    fn next_is_kept(&mut self, gone: &Gone) -> bool {
        while self.left == 0 {
            let Some((number, rows)) = self.batches.next() else {
                self.overrun = true;
                return false;
            };
            (self.number, self.left) = (*number, *rows);
        }
        self.left -= 1;
        gone.batches.is_empty() || !gone.batches.contains(&self.number)
    }

    fn is_done(&self) -> bool {
        !self.overrun && self.left == 0 && self.batches.as_slice().is_empty()
    }
}

impl Table {
    /// Adds restored rows of the file at `position` of a chain. Those of a base may not be
    /// here already, those of later files replace what is here.
    pub(crate) fn load(&mut self, restored: &RestoredRows, position: u8) -> Result<()> {
        let shape = Arc::clone(&self.shape);
        let (keys, values) = restored.batch.columns()[2..].split_at(shape.fields.len());
        shape.check_keys(keys, restored.hashes.len())?;
        let keys = batch_keys(&shape, keys)?;
        let mut slots = Vec::new();
        for (namespace, rows) in &restored.by_namespace {
            let pane = self.pane(*namespace)?;
            // Of a base without a look at the cold store: what was evicted came from other rows.
            if position > 1 && pane.cold_rows > 0 {
                pane.load_missing(&restored.hashes, &keys, Some(rows))?;
            }
            let before = pane.len();
            pane.keys.lookup::<true>(&restored.hashes, &keys, Some(rows), &mut slots)?;
            if position == 1 && pane.len() - before != rows.len() {
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

impl Table {
    /// Takes out the rows of restored keys.
    pub(crate) fn unload(&mut self, restored: &RestoredRows) -> Result<()> {
        let keys = &restored.batch.columns()[2..];
        let mut slots = Vec::new();
        for (namespace, rows) in &restored.by_namespace {
            let Some(pane) = self.existing_pane(*namespace)? else { continue };
            pane.find(&restored.hashes, keys, Some(rows), &mut slots)?;
            slots.iter().for_each(|slot| pane.remove(*slot));
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
