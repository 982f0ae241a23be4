//! How a batch changes the rankings of its keys, and what changelog that makes.
//! Called by `top_n`, and by `over_aggregate::updating` for rows in order.

use std::cmp::Ordering;

use arrow::array::{ArrayRef, RecordBatch, UInt8Array, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::row::Rows;
use model::operator_spec::{RankFunction, TopN};
use model::row_kind::RowKind;
use model::{Error, Result};
use state::Pane;

use super::encoded_rows::{ChangelogRows, RowCodec, RowSource};
use super::ranked_rows::{RankedRows, encode};
use super::slot_marks::SlotMarks;
use crate::operator::Output;

/// Changes rankings in state: column 0 of the pane holds a list per key (`ranked_rows`).
pub struct Ranker {
    codec: RowCodec,
    function: RankFunction,
    n: usize,
    /// Ranks up to this one are not put out.
    offset: usize,
    changelog: bool,
    /// The consumer takes upserts.
    skip_update_before: bool,
    /// Rows expire: a deletion may be of a row that is gone.
    forgets: bool,
    marks: SlotMarks,
}

/// A batch, prepared.
pub struct RankedBatch<'a> {
    batch: &'a RecordBatch,
    sort_keys: &'a Rows,
    kinds: Option<&'a UInt8Array>,
    /// All rows encoded; on insert-only input only those are that get a rank, later.
    encoded: Option<Rows>,
}

impl<'a> RankedBatch<'a> {
    pub fn new(
        batch: &'a RecordBatch,
        sort_keys: &'a Rows,
        kinds: Option<&'a UInt8Array>,
        ranker: &Ranker,
    ) -> Result<Self> {
        let encoded = kinds.map(|_| ranker.codec.encode(batch)).transpose()?;
        Ok(Self { batch, sort_keys, kinds, encoded })
    }
}

/// An entry of a ranking that is being changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    /// Position in the list as it was.
    Old(u32),
    /// Row of the batch.
    New(u32),
}

impl Entry {
    fn sort_key<'k>(self, before: RankedRows<'k>, sort_keys: &'k Rows) -> &'k [u8] {
        match self {
            Self::Old(old) => before.sort_key(old as usize),
            Self::New(row) => sort_keys.row(row as usize).data(),
        }
    }
}

/// One key's ranking that the batch changes.
pub struct ChangedRanking {
    slot: u32,
    /// The list as it was, taken out of the state.
    before: Option<Box<[u8]>>,
    entries: Vec<Entry>,
}

/// A row of a ranking, encoded.
#[derive(Clone, Copy)]
pub struct RankedRow<'a> {
    pub sort_key: &'a [u8],
    pub row: &'a [u8],
    /// Its position before the batch; `None`: it came with the batch.
    pub old: Option<usize>,
}

impl ChangedRanking {
    /// The ranking before the batch.
    pub fn before(&self) -> Result<RankedRows<'_>> {
        match &self.before {
            Some(bytes) => RankedRows::parse(bytes),
            None => Ok(RankedRows::EMPTY),
        }
    }

    /// The ranking after the batch.
    pub fn now<'a>(
        &'a self,
        batch: &'a RankedBatch<'_>,
        new_rows: &'a NewRows<'_>,
    ) -> Result<Vec<RankedRow<'a>>> {
        let before = self.before()?;
        let row = |entry: &Entry| match entry {
            Entry::Old(old) => {
                let at = *old as usize;
                RankedRow { sort_key: before.sort_key(at), row: before.row(at), old: Some(at) }
            }
            Entry::New(row) => RankedRow {
                sort_key: batch.sort_keys.row(*row as usize).data(),
                row: new_rows.data(*row),
                old: None,
            },
        };
        Ok(self.entries.iter().map(row).collect())
    }
}

impl Ranker {
    pub fn new(codec: RowCodec, spec: &TopN, changelog: bool) -> Self {
        Self {
            codec,
            function: spec.function,
            n: spec.n as usize,
            offset: spec.offset as usize,
            changelog,
            skip_update_before: spec.skip_update_before,
            forgets: spec.ttl_ms.is_some(),
            marks: SlotMarks::default(),
        }
    }

    pub fn codec(&self) -> &RowCodec {
        &self.codec
    }

    /// Positions and ranks of the rows of a list that are put out.
    pub fn placed(&self, list: RankedRows<'_>) -> Vec<(usize, usize)> {
        if self.function == RankFunction::RowNumber {
            let positions = self.offset.min(list.len())..self.n.min(list.len());
            return positions.map(|at| (at, at + 1)).collect();
        }
        let ranks = self.ranks((0..list.len()).map(|at| list.sort_key(at)));
        ranks.into_iter().enumerate().filter(|(_, rank)| *rank > self.offset).collect()
    }

    /// The rank of each row up to the last one that has one, from the sort keys in order.
    fn ranks<'k>(&self, sort_keys: impl Iterator<Item = &'k [u8]>) -> Vec<usize> {
        let mut ranks: Vec<usize> = Vec::new();
        let mut last: Option<&[u8]> = None;
        for (at, key) in sort_keys.enumerate() {
            let before = ranks.last().copied().unwrap_or(0);
            let equal = last == Some(key);
            last = Some(key);
            let rank = match self.function {
                RankFunction::Rank | RankFunction::DenseRank if equal => before,
                RankFunction::DenseRank => before + 1,
                RankFunction::Rank | RankFunction::RowNumber => at + 1,
            };
            if rank > self.n {
                break;
            }
            ranks.push(rank);
        }
        ranks
    }

    /// Whether no row behind those of the list, which are insert-only, gets a rank.
    fn is_full(&self, list: RankedRows<'_>) -> bool {
        match self.function {
            RankFunction::RowNumber | RankFunction::Rank => list.len() >= self.n,
            RankFunction::DenseRank => {
                list.len() >= self.n
                    && self.ranks((0..list.len()).map(|at| list.sort_key(at))).last()
                        == Some(&self.n)
            }
        }
    }

    /// Applies the rows `rows` (`None`: all) of a batch; `slots` has one slot for each.
    /// The lists of changed keys are out of the state until [`Self::write`].
    pub fn apply(
        &mut self,
        batch: &RankedBatch<'_>,
        rows: Option<&[u32]>,
        slots: &[u32],
        pane: &mut Pane,
    ) -> Result<Vec<ChangedRanking>> {
        let mut changed: Vec<ChangedRanking> = Vec::new();
        self.marks.begin(pane.len());
        let mut result = Ok(());
        for (index, slot) in slots.iter().enumerate() {
            let row = rows.map_or(index as u32, |rows| rows[index]);
            result = self.apply_row(batch, row, *slot, pane, &mut changed);
            if result.is_err() {
                break;
            }
        }
        self.marks.end(changed.iter().map(|ranking| ranking.slot));
        result.map(|()| changed)
    }

    fn apply_row(
        &mut self,
        batch: &RankedBatch<'_>,
        row: u32,
        slot: u32,
        pane: &mut Pane,
        changed: &mut Vec<ChangedRanking>,
    ) -> Result<()> {
        let sort_key = batch.sort_keys.row(row as usize);
        let sort_key = sort_key.as_ref();
        let index = match self.marks.get(slot) {
            Some(index) => index,
            None => {
                let list = &mut pane.bytes(0)[slot as usize];
                let known = list.as_deref().map(RankedRows::parse).transpose()?;
                let len = known.map_or(0, |list| list.len());
                // The usual case on insert-only input: not among the first n.
                let behind = |list: RankedRows<'_>| match self.function {
                    RankFunction::RowNumber => list.sort_key(len - 1) <= sort_key,
                    RankFunction::Rank | RankFunction::DenseRank => {
                        list.sort_key(len - 1) < sort_key
                    }
                };
                if !self.changelog
                    && known.is_some_and(|list| len > 0 && behind(list) && self.is_full(list))
                {
                    return Ok(());
                }
                self.marks.set(slot, changed.len());
                let entries = (0..len as u32).map(Entry::Old).collect();
                changed.push(ChangedRanking { slot, before: list.take(), entries });
                changed.len() - 1
            }
        };
        let ranking = &mut changed[index];
        let addition = batch.kinds.is_none_or(|kinds| {
            RowKind::from_u8(kinds.value(row as usize)).is_none_or(RowKind::is_addition)
        });
        if addition {
            self.add(batch, row, sort_key, ranking)
        } else {
            self.remove(batch, row, sort_key, ranking)
        }
    }

    /// Equal rows rank in the order in which they came.
    fn add(
        &self,
        batch: &RankedBatch<'_>,
        row: u32,
        sort_key: &[u8],
        ranking: &mut ChangedRanking,
    ) -> Result<()> {
        let before = ranking.before()?;
        let at = ranking
            .entries
            .partition_point(|entry| compare(*entry, before, batch, sort_key) != Ordering::Greater);
        if self.changelog {
            ranking.entries.insert(at, Entry::New(row));
        } else if self.function != RankFunction::RowNumber {
            ranking.entries.insert(at, Entry::New(row));
            let before = ranking.before()?;
            let keys = ranking.entries.iter().map(|e| e.sort_key(before, batch.sort_keys));
            let ranked = self.ranks(keys).len();
            ranking.entries.truncate(ranked);
        } else if at < self.n {
            ranking.entries.insert(at, Entry::New(row));
            ranking.entries.truncate(self.n);
        }
        Ok(())
    }

    fn remove(
        &self,
        batch: &RankedBatch<'_>,
        row: u32,
        sort_key: &[u8],
        ranking: &mut ChangedRanking,
    ) -> Result<()> {
        let encoded = batch.encoded.as_ref().ok_or_else(|| Error::internal("rows not encoded"))?;
        let wanted = encoded.row(row as usize);
        let before = ranking.before()?;
        let first = ranking
            .entries
            .partition_point(|entry| compare(*entry, before, batch, sort_key) == Ordering::Less);
        let equal = ranking.entries[first..]
            .iter()
            .take_while(|entry| compare(**entry, before, batch, sort_key) == Ordering::Equal);
        let found = equal.enumerate().find(|(_, entry)| match entry {
            Entry::Old(old) => before.row(*old as usize) == wanted.as_ref(),
            Entry::New(new) => encoded.row(*new as usize) == wanted,
        });
        let Some(at) = found.map(|(index, _)| first + index) else {
            if self.forgets {
                return Ok(());
            }
            return Err(Error::internal("the input deletes a row that it never inserted"));
        };
        ranking.entries.remove(at);
        Ok(())
    }

    /// The rows of the batch that have a place in a changed ranking.
    pub fn new_rows<'a>(
        &self,
        batch: &'a RankedBatch<'_>,
        changed: &[ChangedRanking],
    ) -> Result<NewRows<'a>> {
        if let Some(encoded) = &batch.encoded {
            return Ok(NewRows {
                batch: batch.batch.clone(),
                sort_keys: batch.sort_keys,
                chosen: None,
                encoded: Some(encoded),
            });
        }
        let entries = changed.iter().flat_map(|ranking| &ranking.entries);
        let mut rows: Vec<u32> = entries
            .filter_map(|entry| match entry {
                Entry::Old(_) => None,
                Entry::New(row) => Some(*row),
            })
            .collect();
        rows.sort_unstable();
        let chosen = take_record_batch(batch.batch, &UInt32Array::from(rows.clone()))?;
        let encoded = self.codec.encode(&chosen)?;
        let chosen_rows = Some((rows, encoded));
        let sort_keys = batch.sort_keys;
        Ok(NewRows { batch: chosen, sort_keys, chosen: chosen_rows, encoded: None })
    }

    /// The difference between the rankings before and after the batch.
    pub fn changes(
        &self,
        new_rows: &NewRows<'_>,
        changed: &[ChangedRanking],
        with_rank: bool,
    ) -> Result<RankingChanges> {
        let mut changes = ChangelogRows::default();
        let mut read: Vec<&[u8]> = Vec::new();
        for ranking in changed {
            let before = ranking.before()?;
            let tied = self.function != RankFunction::RowNumber;
            let end = if tied { usize::MAX } else { self.n };
            let entries = &ranking.entries[..ranking.entries.len().min(end)];
            let diff = Diff {
                old: before.len().min(end),
                offset: self.offset,
                skip_update_before: self.skip_update_before,
                before,
                entries,
                new_rows,
            };
            if tied {
                let old = self.ranks((0..before.len()).map(|at| before.sort_key(at)));
                let keys = entries.iter().map(|e| e.sort_key(before, new_rows.sort_keys));
                diff.by_shared_rank((&old, &self.ranks(keys)), with_rank, &mut read, &mut changes);
            } else if with_rank {
                diff.by_rank(&mut read, &mut changes);
            } else {
                diff.by_row(&mut read, &mut changes);
            }
        }
        let state = self.codec.decode(read)?;
        Ok(RankingChanges { changes, state, input: new_rows.batch.columns().to_vec() })
    }

    /// Writes changed lists back.
    pub fn write(
        &self,
        batch: &RankedBatch<'_>,
        new_rows: &NewRows<'_>,
        changed: &[ChangedRanking],
        pane: &mut Pane,
    ) -> Result<()> {
        for ranking in changed {
            if ranking.entries.is_empty() {
                pane.remove(ranking.slot);
                continue;
            }
            let before = ranking.before()?;
            let entries = ranking.entries.iter().map(|entry| match entry {
                Entry::Old(old) => (before.sort_key(*old as usize), before.row(*old as usize)),
                Entry::New(row) => (batch.sort_keys.row(*row as usize).data(), new_rows.data(*row)),
            });
            pane.bytes(0)[ranking.slot as usize] = Some(encode(entries)?);
        }
        Ok(())
    }
}

fn compare(
    entry: Entry,
    before: RankedRows<'_>,
    batch: &RankedBatch<'_>,
    sort_key: &[u8],
) -> Ordering {
    entry.sort_key(before, batch.sort_keys).cmp(sort_key)
}

/// Rows of the batch that have a place in a changed ranking, encoded.
pub struct NewRows<'a> {
    batch: RecordBatch,
    /// Of all rows of the input.
    sort_keys: &'a Rows,
    /// Rows of the input (ascending) in the order of `batch`, and their encoding.
    chosen: Option<(Vec<u32>, Rows)>,
    /// Instead of `chosen`: all rows of the input.
    encoded: Option<&'a Rows>,
}

impl NewRows<'_> {
    /// Position in `batch` of a row of the input.
    fn position(&self, row: u32) -> usize {
        match &self.chosen {
            Some((rows, _)) => rows.binary_search(&row).expect("entries were collected from here"),
            None => row as usize,
        }
    }

    fn data(&self, row: u32) -> &[u8] {
        let position = self.position(row);
        match (&self.chosen, self.encoded) {
            (Some((_, encoded)), _) => encoded.row(position).data(),
            (None, Some(encoded)) => encoded.row(position).data(),
            (None, None) => &[],
        }
    }
}

/// The changelog of a batch, with the columns its rows are taken from.
pub struct RankingChanges {
    changes: ChangelogRows,
    state: Vec<ArrayRef>,
    input: Vec<ArrayRef>,
}

impl RankingChanges {
    pub fn emit(self, schema: &SchemaRef, with_rank: bool, out: &mut Output) -> Result<()> {
        self.changes.emit(schema, &self.state, &self.input, with_rank, out)
    }
}

/// One key's first rows before and after.
struct Diff<'a, 'b> {
    before: RankedRows<'a>,
    /// How many rows of `before` had a rank.
    old: usize,
    /// Ranks up to this one are left out.
    offset: usize,
    skip_update_before: bool,
    /// The rows that have a rank now.
    entries: &'b [Entry],
    new_rows: &'b NewRows<'b>,
}

impl<'a> Diff<'a, '_> {
    fn source(&self, entry: Entry, read: &mut Vec<&'a [u8]>) -> RowSource {
        match entry {
            Entry::Old(old) => {
                read.push(self.before.row(old as usize));
                RowSource::State(read.len() - 1)
            }
            Entry::New(row) => RowSource::Input(self.new_rows.position(row)),
        }
    }

    fn is_same_row(&self, old: usize, entry: Entry) -> bool {
        match entry {
            Entry::Old(other) if other as usize == old => true,
            Entry::Old(other) => self.before.row(other as usize) == self.before.row(old),
            Entry::New(row) => self.new_rows.data(row) == self.before.row(old),
        }
    }

    /// Every rank whose row changed.
    fn by_rank(&self, read: &mut Vec<&'a [u8]>, changes: &mut ChangelogRows) {
        for index in self.offset..self.old.max(self.entries.len()) {
            let entry = self.entries.get(index).copied();
            let rank = index + 1;
            match entry {
                Some(entry) if index < self.old => {
                    if !self.is_same_row(index, entry) {
                        if !self.skip_update_before {
                            let old = self.source(Entry::Old(index as u32), read);
                            changes.push(RowKind::UpdateBefore, old, rank);
                        }
                        changes.push(RowKind::UpdateAfter, self.source(entry, read), rank);
                    }
                }
                Some(entry) => changes.push(RowKind::Insert, self.source(entry, read), rank),
                None => {
                    let old = self.source(Entry::Old(index as u32), read);
                    changes.push(RowKind::Delete, old, rank);
                }
            }
        }
    }

    /// Rows that fell out, then rows that came in.
    fn by_row(&self, read: &mut Vec<&'a [u8]>, changes: &mut ChangelogRows) {
        let offset = self.offset;
        let entries = self.entries.get(offset..).unwrap_or_default();
        let mut stays = vec![false; self.old];
        for entry in entries {
            if let Entry::Old(old) = entry
                && let Some(stays) = stays.get_mut(*old as usize)
            {
                *stays = true;
            }
        }
        for (old, _) in stays.iter().enumerate().skip(offset).filter(|(_, stays)| !**stays) {
            let source = self.source(Entry::Old(old as u32), read);
            changes.push(RowKind::Delete, source, old + 1);
        }
        for (index, entry) in entries.iter().enumerate() {
            let ranked = offset..self.old;
            let stayed = matches!(entry, Entry::Old(old) if ranked.contains(&(*old as usize)));
            if !stayed {
                changes.push(RowKind::Insert, self.source(*entry, read), offset + index + 1);
            }
        }
    }

    /// Where rows share ranks a rank names no row: rows that lost theirs, then rows that got
    /// one or, `with_rank`, another one. `old` and `new` are the ranks of the rows in order.
    fn by_shared_rank(
        &self,
        (old, new): (&[usize], &[usize]),
        with_rank: bool,
        read: &mut Vec<&'a [u8]>,
        changes: &mut ChangelogRows,
    ) {
        let mut stays = vec![false; old.len()];
        for (entry, rank) in self.entries.iter().zip(new) {
            if let Entry::Old(row) = entry
                && *rank > self.offset
                && let Some(stays) = stays.get_mut(*row as usize)
            {
                *stays = true;
            }
        }
        for (row, (rank, stays)) in old.iter().zip(&stays).enumerate() {
            if *rank > self.offset && !stays {
                let source = self.source(Entry::Old(row as u32), read);
                changes.push(RowKind::Delete, source, *rank);
            }
        }
        for (entry, rank) in self.entries.iter().zip(new).filter(|(_, r)| **r > self.offset) {
            let before = match entry {
                Entry::Old(row) => old.get(*row as usize).filter(|r| **r > self.offset),
                Entry::New(_) => None,
            };
            match before {
                None => changes.push(RowKind::Insert, self.source(*entry, read), *rank),
                Some(before) if with_rank && before != rank => {
                    if !self.skip_update_before {
                        let source = self.source(*entry, read);
                        changes.push(RowKind::UpdateBefore, source, *before);
                    }
                    changes.push(RowKind::UpdateAfter, self.source(*entry, read), *rank);
                }
                Some(_) => {}
            }
        }
    }
}
