//! One side of a regular join: its live rows, findable by key, and the log that keeps them
//! in checkpoints. Called by `join`.
//!
//! The log holds what arrived, retractions too; a retraction takes its row out of the index
//! in memory. When more than half of the log is dead it is written anew. With a time to
//! live the namespaces of the log are spans of processing time, dropped as wholes.

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, UInt8Array};
use arrow::buffer::NullBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use model::key_group::{can_be_key, hash_columns};
use model::row_kind::{self, RowKind};
use model::{Error, Result};
use state::{LogId, StateStore};

use super::chains::{Chains, END};
use super::row_store::RowStore;
use crate::operators::hash_join::coalesce;
use crate::operators::join_keys::keep_equal;

/// Dead rows that are not worth a rewrite.
const FEW_DEAD: usize = 16 * 1024;
/// A time to live is counted in steps of this fraction: rows may live that much longer.
const TTL_STEPS: i64 = 8;

/// What a side is made of.
pub struct SideOptions<'a> {
    pub log_name: &'static str,
    pub input: &'a SchemaRef,
    /// Positions of the join keys.
    pub keys: Vec<usize>,
    /// Positions of a key that no two live rows share; empty: none.
    pub unique: Vec<usize>,
    /// The join must know how many partners each row has.
    pub count_partners: bool,
    pub ttl_ms: Option<i64>,
}

pub struct Side {
    log_name: &'static str,
    log: Option<LogId>,
    input: SchemaRef,
    /// How many columns the rows have, without the kind.
    pub width: usize,
    pub keys: Vec<usize>,
    /// What makes a row itself: its unique key and the join keys, else all columns.
    identity: Vec<usize>,
    pub rows: RowStore,
    by_key: Chains,
    /// By identity, when rows can be retracted and the join key does not say which one it is.
    by_identity: Option<Chains>,
    changelog: bool,
    /// Partners of every row.
    pub partners: Option<Vec<u32>>,
    step_ms: Option<i64>,
    /// Spans of processing time before this one are gone.
    expired: i64,
}

/// The kinds of a batch, checked.
pub fn checked_kinds(batch: &RecordBatch) -> Result<Option<&UInt8Array>> {
    let kinds = row_kind::kinds(batch);
    if let Some(bad) = kinds.and_then(|k| k.values().iter().find(|k| **k > RowKind::Delete as u8)) {
        return Err(Error::internal(format!("there is no row kind {bad}")));
    }
    Ok(kinds)
}

/// Whether a row of this kind adds to the table.
#[inline]
pub fn adds(kind: u8) -> bool {
    kind == RowKind::Insert as u8 || kind == RowKind::UpdateAfter as u8
}

/// Which rows have no NULL in a key; `None`: all. NULL equals nothing, not even NULL.
pub fn key_validity(batch: &RecordBatch, keys: &[usize]) -> Option<NullBuffer> {
    let mut valid: Option<NullBuffer> = None;
    for key in keys {
        if let Some(nulls) = batch.column(*key).logical_nulls() {
            valid = NullBuffer::union(valid.as_ref(), Some(&nulls));
        }
    }
    valid.filter(|nulls| nulls.null_count() > 0)
}

impl Side {
    pub fn new(options: SideOptions<'_>) -> Self {
        let SideOptions { log_name, input, keys, unique, count_partners, ttl_ms } = options;
        let changelog = row_kind::is_changelog(input);
        let width = input.fields().len() - usize::from(changelog);
        let by_key_suffices = !unique.is_empty() && unique.iter().all(|c| keys.contains(c));
        // With the join keys, for after a restore the history of rows that once shared a
        // unique key is known per join key only.
        let identity = if unique.is_empty() {
            (0..width).collect()
        } else {
            let others = keys.iter().filter(|key| !unique.contains(key));
            unique.iter().chain(others).copied().collect()
        };
        Self {
            log_name,
            log: None,
            input: SchemaRef::clone(input),
            width,
            keys,
            identity,
            rows: RowStore::new(input),
            by_key: Chains::default(),
            by_identity: (changelog && !by_key_suffices).then(Chains::default),
            changelog,
            partners: count_partners.then(Vec::new),
            step_ms: ttl_ms.map(|ttl| (ttl / TTL_STEPS).max(1)),
            expired: i64::MIN,
        }
    }

    /// Registers the log and reads what it restored. Partners are not counted yet.
    pub fn open(&mut self, state: &mut StateStore) -> Result<()> {
        let id = state.log(self.log_name, SchemaRef::clone(&self.input), &self.keys)?;
        self.log = Some(id);
        for namespace in state.log_mut(id).namespaces() {
            for (batch, hashes) in state.log_mut(id).batches(namespace)? {
                self.index(&batch, &hashes)?;
                self.rows.push(batch, namespace);
                self.retract_last()?;
            }
        }
        if let Some(partners) = &mut self.partners {
            partners.resize(self.by_key.len(), 0);
        }
        Ok(())
    }

    fn log(&self) -> Result<LogId> {
        self.log.ok_or_else(|| Error::internal("a join was not opened"))
    }

    pub fn is_empty(&self) -> bool {
        self.by_key.linked() == 0
    }

    pub fn hash(&self, row: u32) -> u64 {
        self.by_key.hash(row)
    }

    /// Lets the rows of a batch stay (or go), each addition with its number of partners.
    pub fn insert(
        &mut self,
        state: &mut StateStore,
        batch: RecordBatch,
        hashes: &[u64],
        partners: &[u32],
        now_ms: i64,
    ) -> Result<()> {
        let namespace = self.step_ms.map_or(0, |step| now_ms.div_euclid(step));
        let id = self.log()?;
        let kept = state.log_mut(id).append(namespace, batch, hashes.to_vec())?;
        self.index(&kept, hashes)?;
        self.rows.push(kept, namespace);
        if let Some(known) = &mut self.partners {
            known.extend_from_slice(partners);
        }
        self.retract_last()?;
        let dead = self.by_key.len() - self.by_key.linked();
        if dead > FEW_DEAD && dead > self.by_key.linked() {
            return self.rewrite(state);
        }
        if let Some((namespace, count)) = self.rows.mergeable()
            && let Some(merged) = state.log_mut(id).merge_last(namespace, count)?
        {
            self.rows.replace_last(count, merged);
        }
        Ok(())
    }

    /// Makes the additions of a batch findable.
    fn index(&mut self, batch: &RecordBatch, hashes: &[u64]) -> Result<()> {
        let valid = key_validity(batch, &self.keys);
        let kinds = checked_kinds(batch)?;
        let links = |row: usize| {
            valid.as_ref().is_none_or(|valid| valid.is_valid(row))
                && kinds.is_none_or(|kinds| adds(kinds.value(row)))
        };
        self.by_key.extend(hashes, links)?;
        if let Some(by_identity) = &mut self.by_identity {
            let mut hashes = Vec::new();
            hash_columns(batch, &hashable(&self.input, &self.identity), &mut hashes)?;
            by_identity.extend(&hashes, links)?;
        }
        Ok(())
    }

    /// Takes out the rows that the last chunk retracts. One that is not there was forgotten,
    /// or never came.
    fn retract_last(&mut self) -> Result<()> {
        if !self.changelog {
            return Ok(());
        }
        let Some(last) = self.rows.chunks().len().checked_sub(1) else { return Ok(()) };
        let batch = self.rows.chunks()[last].batch.clone();
        let first = self.rows.start(last);
        let Some(kinds) = row_kind::kinds(&batch) else { return Ok(()) };
        let index = self.by_identity.as_ref().unwrap_or(&self.by_key);
        let valid = key_validity(&batch, &self.keys);
        // Rows with a NULL in a key were never findable.
        let known = |row: usize| valid.as_ref().is_none_or(|valid| valid.is_valid(row));
        // (retracting row, candidate)
        let mut pending: Vec<(u32, u32)> = (0..batch.num_rows() as u32)
            .filter(|row| !adds(kinds.value(*row as usize)) && known(*row as usize))
            .map(|row| (row, index.head(index.hash(first + row))))
            .collect();
        while !pending.is_empty() {
            pending = self.retract_round(&batch, first, pending)?;
        }
        Ok(())
    }

    /// Compares every pending row with its next candidate; answers those that go on.
    fn retract_round(
        &mut self,
        batch: &RecordBatch,
        first: u32,
        mut pending: Vec<(u32, u32)>,
    ) -> Result<Vec<(u32, u32)>> {
        let index = self.by_identity.as_ref().unwrap_or(&self.by_key);
        for (row, candidate) in &mut pending {
            let hash = index.hash(first + *row);
            if *candidate != END && !index.is_linked(*candidate) {
                // Taken in the round before: from there no chain goes on.
                *candidate = index.head(hash);
            }
            *candidate = index.seek(*candidate, hash);
            // A row cannot take back one that comes after it.
            while *candidate != END && *candidate > first + *row {
                *candidate = index.following(*candidate, hash);
            }
        }
        pending.retain(|(_, candidate)| *candidate != END);
        let equal = self.equal_identity(batch, &pending)?;
        let mut next = Vec::new();
        for ((row, candidate), equal) in pending.into_iter().zip(equal) {
            let index = self.by_identity.as_mut().unwrap_or(&mut self.by_key);
            let hash = index.hash(first + row);
            if !index.is_linked(candidate) {
                // An equal row before took it.
                next.push((row, index.head(hash)));
            } else if equal {
                index.unlink(candidate);
                self.by_key.unlink(candidate);
            } else {
                next.push((row, index.following(candidate, hash)));
            }
        }
        Ok(next)
    }

    /// Whether rows of a batch and candidates are the same row. NULL is NULL.
    fn equal_identity(&mut self, batch: &RecordBatch, pairs: &[(u32, u32)]) -> Result<Vec<bool>> {
        let mut keep = vec![true; pairs.len()];
        let resolved = self.rows.resolve(pairs.iter().map(|(_, candidate)| *candidate));
        let probes: Vec<u32> = pairs.iter().map(|(row, _)| *row).collect();
        for column in &self.identity {
            let stored = self.rows.arrays(&resolved, *column);
            let probe = batch.column(*column);
            let mut equal = vec![true; pairs.len()];
            if can_be_key(probe.data_type()) {
                keep_equal(&stored, &resolved.addresses, probe, &probes, &mut equal)?;
            } else {
                let addresses = resolved.addresses.iter().zip(&probes).zip(&mut equal);
                for (((chunk, at), row), equal) in addresses {
                    let (a, b) = (stored[*chunk].slice(*at, 1), probe.slice(*row as usize, 1));
                    *equal = a.to_data() == b.to_data();
                }
            }
            let any_null = probe.null_count() > 0 || stored.iter().any(|a| a.null_count() > 0);
            for (at, keep) in keep.iter_mut().enumerate() {
                let (chunk, row) = resolved.addresses[at];
                let nulls = any_null
                    .then(|| (stored[chunk].is_null(row), probe.is_null(probes[at] as usize)));
                *keep &= match nulls {
                    Some((a, b)) if a || b => a == b,
                    _ => equal[at],
                };
            }
        }
        Ok(keep)
    }

    /// Finds the live rows with the keys of `probe`'s rows, going on at `cursor`, until about
    /// `limit` are in `matches`. Answers false when there is no more.
    pub fn probe(
        &mut self,
        probe: &Probe<'_>,
        cursor: &mut Cursor,
        limit: usize,
        matches: &mut Matches,
    ) -> Result<bool> {
        matches.stored.clear();
        matches.probe.clear();
        let rows = probe.hashes.len();
        if cursor.row >= rows {
            return Ok(false);
        }
        if self.is_empty() {
            cursor.row = rows;
            return Ok(true);
        }
        while cursor.row < rows && matches.stored.len() < limit {
            let hash = probe.hashes[cursor.row];
            let mut row = match cursor.after {
                END if probe.valid.as_ref().is_some_and(|v| v.is_null(cursor.row)) => END,
                END => self.by_key.seek(probe.heads[cursor.row], hash),
                after => self.by_key.following(after, hash),
            };
            while row != END && matches.stored.len() < limit {
                matches.stored.push(row);
                matches.probe.push(cursor.row as u32);
                cursor.after = row;
                row = self.by_key.following(row, hash);
            }
            if row == END {
                *cursor = Cursor { row: cursor.row + 1, after: END };
            }
        }
        self.keep_equal_keys(probe, matches)?;
        Ok(true)
    }

    /// Equal hashes are nearly always equal keys, but only nearly.
    fn keep_equal_keys(&mut self, probe: &Probe<'_>, matches: &mut Matches) -> Result<()> {
        if matches.stored.is_empty() || self.keys.is_empty() {
            return Ok(());
        }
        let resolved = self.rows.resolve(matches.stored.iter().copied());
        let mut keep = vec![true; matches.stored.len()];
        for (own, other) in self.keys.iter().zip(probe.keys) {
            let stored = self.rows.arrays(&resolved, *own);
            let column = probe.batch.column(*other);
            keep_equal(&stored, &resolved.addresses, column, &matches.probe, &mut keep)?;
        }
        matches.retain(&keep);
        Ok(())
    }

    /// Prepares a batch of the other side.
    pub fn probe_with<'a>(
        &self,
        batch: &'a RecordBatch,
        keys: &'a [usize],
        hashes: &'a [u64],
    ) -> Probe<'a> {
        // All heads at once: their cache misses overlap.
        let heads = hashes.iter().map(|hash| self.by_key.head(*hash)).collect();
        Probe { batch, keys, hashes, heads, valid: key_validity(batch, keys) }
    }

    /// When rows expire next, ms.
    pub fn next_expiry_ms(&self) -> Option<i64> {
        let step = self.step_ms?;
        let oldest = self.rows.chunks().first()?.namespace;
        Some(oldest.saturating_add(TTL_STEPS + 1).saturating_mul(step))
    }

    /// Forgets rows whose time is over.
    pub fn expire(&mut self, state: &mut StateStore, now_ms: i64) -> Result<()> {
        if self.next_expiry_ms().is_none_or(|due| due > now_ms) {
            return Ok(());
        }
        let step = self.step_ms.unwrap_or(1);
        self.expired = now_ms.div_euclid(step) - TTL_STEPS;
        let log = state.log_mut(self.log()?);
        for namespace in log.namespaces() {
            if namespace < self.expired {
                log.remove_namespace(namespace)?;
            }
        }
        self.rewrite(state)
    }

    /// Writes log and index anew with the live rows only.
    fn rewrite(&mut self, state: &mut StateStore) -> Result<()> {
        let old = std::mem::replace(&mut self.rows, RowStore::new(&self.input));
        let old_keys = std::mem::take(&mut self.by_key);
        if let Some(by_identity) = &mut self.by_identity {
            *by_identity = Chains::default();
        }
        let old_partners = self.partners.as_mut().map(std::mem::take);
        let id = self.log()?;
        let (mut at, chunks) = (0, old.chunks());
        while at < chunks.len() {
            let namespace = chunks[at].namespace;
            let mut batches = Vec::new();
            while at < chunks.len() && chunks[at].namespace == namespace {
                let start = old.start(at);
                let chunk = &chunks[at].batch;
                at += 1;
                if namespace < self.expired {
                    continue;
                }
                let rows = start..start + chunk.num_rows() as u32;
                let live: Vec<bool> = rows.clone().map(|row| old_keys.is_linked(row)).collect();
                let of_live = || rows.clone().filter(|row| old_keys.is_linked(*row));
                if let (Some(known), Some(old)) = (&mut self.partners, &old_partners) {
                    known.extend(of_live().map(|row| old[row as usize]));
                }
                let hashes: Vec<u64> = of_live().map(|row| old_keys.hash(row)).collect();
                let kept = filter_record_batch(chunk, &BooleanArray::from(live))?;
                if kept.num_rows() > 0 {
                    batches.push((kept, hashes.into()));
                }
            }
            if namespace < self.expired {
                continue;
            }
            state.log_mut(id).replace(namespace, coalesce(batches)?)?;
            for (batch, hashes) in state.log_mut(id).batches(namespace)? {
                self.index(&batch, &hashes)?;
                self.rows.push(batch, namespace);
            }
        }
        Ok(())
    }
}

/// The columns among `columns` that hash.
fn hashable(schema: &SchemaRef, columns: &[usize]) -> Vec<usize> {
    columns.iter().copied().filter(|c| can_be_key(schema.field(*c).data_type())).collect()
}

/// A batch that looks for partners.
pub struct Probe<'a> {
    pub batch: &'a RecordBatch,
    keys: &'a [usize],
    hashes: &'a [u64],
    heads: Vec<u32>,
    valid: Option<NullBuffer>,
}

/// Where a probe goes on: rows before `row` have all their partners.
#[derive(Clone, Copy, Debug)]
pub struct Cursor {
    pub row: usize,
    /// The last candidate of `row`, or [`END`].
    after: u32,
}

impl Default for Cursor {
    fn default() -> Self {
        Self { row: 0, after: END }
    }
}

/// Pairs of rows, in order of the probing rows.
#[derive(Debug, Default)]
pub struct Matches {
    pub stored: Vec<u32>,
    pub probe: Vec<u32>,
}

impl Matches {
    pub fn retain(&mut self, keep: &[bool]) {
        if keep.iter().all(|k| *k) {
            return;
        }
        for list in [&mut self.stored, &mut self.probe] {
            let mut at = 0;
            list.retain(|_| {
                at += 1;
                keep[at - 1]
            });
        }
    }

    /// Keeps the pairs for which `condition` is true (NULL is not).
    pub fn filter(&mut self, condition: &dyn Array) -> Result<()> {
        let condition = condition
            .as_boolean_opt()
            .ok_or_else(|| Error::internal("a join condition is no BOOLEAN"))?;
        let keep: Vec<bool> = condition.iter().map(|c| c == Some(true)).collect();
        self.retain(&keep);
        Ok(())
    }
}
