//! All state of one operator in one subtask: registration, housekeeping after each batch,
//! eviction, snapshots. Owned by `OperatorContext`; the task loop calls `end_batch` and
//! `snapshot`.

use std::sync::Arc;

use arrow::datatypes::{Field, SchemaRef};
use bytes::Bytes;
use model::key_group::KeyGroupRange;
use model::{Error, Result, Watermark};

use crate::chain::{Chain, Tiers};
use crate::cold::SharedCold;
use crate::frozen::{FrozenLog, FrozenTable};
use crate::log::LogShape;
use crate::restore::{Restored, RestoredPart};
use crate::shape::TableShape;
use crate::snapshot_file::{ColumnSchema, SectionSchema};
use crate::{ColdStore, Frozen, Log, Table, ValueType};

/// What a [`StateStore`] is opened with.
pub struct StoreOptions {
    /// The operator's uid: names it in snapshots and errors.
    pub uid: String,
    /// The subtask's key groups; restored rows of others are dropped.
    pub key_groups: KeyGroupRange,
    pub max_parallelism: u32,
    /// Memory to keep to, in bytes, when there is a cold store.
    pub memory_bytes: u64,
    /// Where rows go that do not fit. `None`: everything stays in memory.
    pub cold: Option<Box<dyn ColdStore>>,
}

/// A registered table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableId(usize);

/// A registered log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogId(usize);

/// All state of one operator in one subtask.
pub struct StateStore {
    uid: String,
    memory_bytes: u64,
    cold: Option<SharedCold>,
    tables: Vec<Table>,
    logs: Vec<Log>,
    restored: Restored,
    watermark: Option<Watermark>,
    chain: Chain,
}

/// After an eviction, state takes at most this share of the budget.
const EVICT_TO_PERCENT: u64 = 70;

/// Something that can be evicted as a whole.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    last_used: u64,
    bytes: u64,
    is_log: bool,
    index: usize,
    namespace: i64,
}

impl StateStore {
    /// `restored`: whole snapshot files of this operator, from any subtasks, each behind
    /// the files that it goes on from ([`Frozen::earlier`]). Fails when one is damaged,
    /// missing in between, of another format or of another operator.
    pub fn open(options: StoreOptions, restored: Vec<Bytes>) -> Result<Self> {
        let StoreOptions { uid, key_groups, max_parallelism, memory_bytes, cold } = options;
        let restored = Restored::open(&uid, key_groups, max_parallelism, &restored)?;
        let watermark = restored.watermark();
        let cold = cold.map(SharedCold::new);
        let (tables, logs) = (Vec::new(), Vec::new());
        let chain = Chain::default();
        Ok(Self { uid, memory_bytes, cold, tables, logs, restored, watermark, chain })
    }

    /// The lowest watermark of the restored files; `None` on a fresh start.
    pub fn restored_watermark(&self) -> Option<Watermark> {
        self.watermark
    }

    /// Registers a table and loads its restored rows. Fails (User) on a type that cannot be
    /// a key, and when key or value types changed since the snapshot.
    pub fn table(&mut self, name: &str, key: &[Field], values: &[ValueType]) -> Result<TableId> {
        let id = self.next_id(name)?;
        let shape = TableShape::new(&self.uid, name, id, key, values, self.cold.clone())?;
        let mut table = Table::new(Arc::new(shape));
        let schema = SectionSchema::Table { key: ColumnSchema::of(key), values: values.to_vec() };
        let (budget, spills, others) =
            (self.memory_bytes, self.cold.is_some(), self.memory_bytes());
        self.restored.load(name, &schema, |rows| {
            match rows {
                RestoredPart::Rows { rows, position } => table.load(&rows, position)?,
                RestoredPart::Removed(rows) => table.unload(&rows)?,
            }
            table.end_batch()?;
            if spills && others + table.memory > budget {
                table.namespaces().into_iter().try_for_each(|ns| table.evict(ns, None))?;
            }
            Ok(())
        })?;
        self.tables.push(table);
        Ok(TableId(self.tables.len() - 1))
    }

    /// Registers a log of rows of `schema`, hashed by `key_columns`, and loads its restored
    /// rows. A changed schema is a User error.
    pub fn log(&mut self, name: &str, schema: SchemaRef, key_columns: &[usize]) -> Result<LogId> {
        let section = SectionSchema::Log {
            columns: ColumnSchema::of(schema.fields().iter().map(AsRef::as_ref)),
            key_columns: key_columns.to_vec(),
        };
        let mut log = Log::new(LogShape {
            uid: self.uid.clone(),
            name: name.to_owned(),
            id: self.next_id(name)?,
            schema,
            key_columns: key_columns.to_vec(),
            cold: self.cold.clone(),
        });
        let (budget, spills, others) =
            (self.memory_bytes, self.cold.is_some(), self.memory_bytes());
        self.restored.load(name, &section, |rows| {
            if let RestoredPart::Rows { rows, .. } = rows {
                log.load(&rows)?;
            }
            if spills && others + log.memory > budget {
                log.namespaces().into_iter().try_for_each(|ns| log.evict(ns))?;
            }
            Ok(())
        })?;
        self.logs.push(log);
        Ok(LogId(self.logs.len() - 1))
    }

    /// A table's prefix in the cold store.
    fn next_id(&self, name: &str) -> Result<u16> {
        let tables = self.tables.iter().map(|table| table.shape.name.as_str());
        if tables.chain(self.logs.iter().map(|log| log.shape.name.as_str())).any(|n| n == name) {
            return Err(Error::internal(format!(
                "operator {}: state table {name} is registered twice",
                self.uid
            )));
        }
        u16::try_from(self.tables.len() + self.logs.len())
            .map_err(|_| Error::internal(format!("operator {}: too many state tables", self.uid)))
    }

    pub fn table_mut(&mut self, id: TableId) -> &mut Table {
        &mut self.tables[id.0]
    }

    /// Two tables at once. Panics when `a` is `b`.
    pub fn tables_mut2(&mut self, a: TableId, b: TableId) -> (&mut Table, &mut Table) {
        let [first, second] = self
            .tables
            .get_disjoint_mut([a.0, b.0])
            .expect("ids come from this store, and the caller asks for two different tables");
        (first, second)
    }

    pub fn log_mut(&mut self, id: LogId) -> &mut Log {
        &mut self.logs[id.0]
    }

    /// Two logs at once. Panics when `a` is `b`.
    pub fn logs_mut2(&mut self, a: LogId, b: LogId) -> (&mut Log, &mut Log) {
        let [first, second] = self
            .logs
            .get_disjoint_mut([a.0, b.0])
            .expect("ids come from this store, and the caller asks for two different logs");
        (first, second)
    }

    /// Bytes of memory that the state takes, estimated, as of the last `end_batch`.
    pub fn memory_bytes(&self) -> u64 {
        self.tables.iter().map(|table| table.memory).sum::<u64>()
            + self.logs.iter().map(|log| log.memory).sum::<u64>()
    }

    /// No table and no log has rows, in memory or cold.
    pub fn is_empty(&self) -> bool {
        self.tables.iter().all(Table::is_empty) && self.logs.iter().all(|log| log.rows() == 0)
    }

    /// To be called after every batch (and watermark): gives removed slots back, which
    /// renumbers slots, and evicts to the cold store when over the memory budget.
    pub fn end_batch(&mut self) -> Result<()> {
        self.restored.finish()?;
        for table in &mut self.tables {
            table.end_batch()?;
        }
        for log in &mut self.logs {
            log.tick += 1;
        }
        if self.cold.is_some() && self.memory_bytes() > self.memory_bytes {
            self.evict()?;
        }
        Ok(())
    }

    /// Freezes the state as of now, with `watermark` (the operator's input watermark): all of
    /// it, or what changed since snapshots whose files are stored ([`Frozen::earlier`]). To be
    /// called between batches; the cost is that of copying what is to be written.
    pub fn snapshot(&mut self, watermark: Watermark) -> Result<Frozen> {
        self.restored.finish()?;
        for pane in self.tables.iter_mut().flat_map(|table| table.panes.values_mut()) {
            pane.flush_deletes()?;
        }
        let (mut rows, mut removed) = (Tiers::default(), Tiers::default());
        self.tables.iter().for_each(|table| table.count_tiers(&mut rows, &mut removed));
        self.logs.iter().for_each(|log| log.count_tiers(&mut rows, &mut removed));
        let whole = self.tables.iter().any(Table::is_partly_cold);
        let link = self.chain.extend(&rows, &removed, whole);
        let tables = self.tables.iter_mut().map(|table| FrozenTable::of(table, &link));
        let tables = tables.collect::<Result<Vec<_>>>()?;
        let logs: Vec<_> = self.logs.iter_mut().map(|log| FrozenLog::of(log, &link)).collect();
        let is_cold =
            tables.iter().any(FrozenTable::is_cold) || logs.iter().any(FrozenLog::is_cold);
        let cold = match &self.cold {
            Some(cold) if is_cold => Some(cold.lock()?.snapshot()?),
            _ => None,
        };
        Ok(Frozen { uid: self.uid.clone(), watermark, tables, logs, cold, link })
    }

    /// Makes chains of files grow with a handful of rows, to test what they do.
    pub fn snapshot_little(&mut self) {
        self.chain.limits = crate::chain::ChainLimits::TINY;
    }

    /// Least recently used panes first, as wholes; then parts of those used in this batch,
    /// the largest first.
    fn evict(&mut self) -> Result<()> {
        let target = self.memory_bytes / 100 * EVICT_TO_PERCENT;
        let mut candidates = self.candidates();
        candidates.sort_unstable();
        let hot = candidates.partition_point(|c| !self.is_hot(c));
        let hot = candidates.split_off(hot);
        for candidate in candidates {
            if self.memory_bytes() <= target {
                return Ok(());
            }
            self.evict_one(&candidate, None)?;
        }
        let mut hot = hot;
        hot.sort_unstable_by_key(|candidate| std::cmp::Reverse(candidate.bytes));
        for candidate in hot {
            let excess = self.memory_bytes().saturating_sub(target);
            if excess == 0 {
                return Ok(());
            }
            self.evict_one(&candidate, Some(excess))?;
        }
        Ok(())
    }

    fn is_hot(&self, candidate: &Candidate) -> bool {
        let tick = if candidate.is_log {
            self.logs[candidate.index].tick
        } else {
            self.tables[candidate.index].tick
        };
        candidate.last_used + 1 >= tick
    }

    fn evict_one(&mut self, candidate: &Candidate, bytes: Option<u64>) -> Result<()> {
        if candidate.is_log {
            self.logs[candidate.index].evict(candidate.namespace)
        } else {
            self.tables[candidate.index].evict(candidate.namespace, bytes)
        }
    }

    fn candidates(&self) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for (index, table) in self.tables.iter().enumerate() {
            candidates.extend(table.panes.iter().filter(|(_, pane)| pane.live() > 0).map(
                |(namespace, pane)| Candidate {
                    last_used: pane.last_used,
                    bytes: pane.accounted,
                    is_log: false,
                    index,
                    namespace: *namespace,
                },
            ));
        }
        for (index, log) in self.logs.iter().enumerate() {
            candidates.extend(log.panes.iter().filter(|(_, pane)| pane.memory > 0).map(
                |(namespace, pane)| Candidate {
                    last_used: pane.last_used,
                    bytes: pane.memory,
                    is_log: true,
                    index,
                    namespace: *namespace,
                },
            ));
        }
        candidates
    }
}
