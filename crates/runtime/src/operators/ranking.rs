//! How a batch changes the rankings of its keys, and what changelog that makes.
//! Called by `top_n`, and by `over_aggregate::updating` for rows in order.

use std::cmp::Ordering;

use arrow::array::{ArrayRef, RecordBatch, UInt8Array, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::row::Rows;
use model::operator_spec::TopN;
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

    /// The ranks that are put out, as positions.
    pub fn positions(&self, len: usize) -> std::ops::Range<usize> {
        self.offset.min(len)..self.n.min(len)
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
                if !self.changelog
                    && len >= self.n
                    && known.is_some_and(|list| list.sort_key(len - 1) <= sort_key)
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
        Ok(NewRows { batch: chosen, chosen: Some((rows, encoded)), encoded: None })
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
            let entries = &ranking.entries[..ranking.entries.len().min(self.n)];
            let diff = Diff {
                old: before.len().min(self.n),
                offset: self.offset,
                skip_update_before: self.skip_update_before,
                before,
                entries,
                new_rows,
            };
            if with_rank {
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
    match entry {
        Entry::Old(old) => before.sort_key(old as usize).cmp(sort_key),
        Entry::New(row) => batch.sort_keys.row(row as usize).as_ref().cmp(sort_key),
    }
}

/// Rows of the batch that have a place in a changed ranking, encoded.
pub struct NewRows<'a> {
    batch: RecordBatch,
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
}
