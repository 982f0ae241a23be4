//! The rows of one side of an interval join that wait for partners, in buckets of event
//! time: in a log (which is checkpointed), with an index derived from it.
//! Called by `interval_join`.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use model::{Error, Result, Watermark};
use state::{LogId, StateStore};

use super::hash_join::{IndexedRows, OUTPUT_ROWS, RowFlags};
use super::row_groups::{group_rows, select_rows};
use super::time_column::TimeColumn;

/// Last column of the log when matches are tracked: whether the row found a partner.
const MATCHED: &str = "$matched";

/// What tells one side's buckets from the other's.
pub struct BucketsOptions {
    /// Name of the log.
    pub name: &'static str,
    pub width_ms: i64,
    /// A row at `t` waits until the watermark reaches `t + expiry_ms`.
    pub expiry_ms: i64,
    /// Whether rows without partner matter (outer joins).
    pub track_matches: bool,
}

/// Rows that came in and looked for partners.
pub struct Arrivals {
    pub batch: RecordBatch,
    /// Key hashes.
    pub hashes: Vec<u64>,
    /// Event times, ms.
    pub times: Vec<i64>,
    /// Which found one.
    pub matched: RowFlags,
}

/// All waiting rows of one side.
pub struct Buckets {
    options: BucketsOptions,
    keys: Vec<usize>,
    input: SchemaRef,
    log_schema: SchemaRef,
    log: Option<LogId>,
    /// By start; a bucket covers `start..start + width`.
    buckets: BTreeMap<i64, Bucket>,
    /// Rows that expire up to here were put out.
    expired: i64,
}

/// Waiting rows of one stretch of event time.
pub struct Bucket {
    rows: IndexedRows,
    times: Vec<i64>,
    /// Empty unless matches are tracked.
    matched: RowFlags,
    track_matches: bool,
    /// `matched` differs from what the log says.
    dirty: bool,
}

impl Bucket {
    fn new(keys: &[usize], track_matches: bool) -> Self {
        Self {
            rows: IndexedRows::new(keys),
            times: Vec::new(),
            matched: RowFlags::default(),
            track_matches,
            dirty: false,
        }
    }

    pub fn rows(&self) -> &IndexedRows {
        &self.rows
    }

    /// Event time of every row, ms.
    pub fn times(&self) -> &[i64] {
        &self.times
    }

    pub fn mark_matched(&mut self, rows: &[u32]) {
        if self.track_matches {
            self.matched.set(rows);
            self.dirty = true;
        }
    }

    fn push(
        &mut self,
        batch: RecordBatch,
        hashes: &[u64],
        times: impl Iterator<Item = i64>,
        matched: impl Iterator<Item = bool>,
    ) -> Result<()> {
        self.rows.push(batch, hashes)?;
        self.times.extend(times);
        if self.track_matches {
            self.matched.extend(matched);
        }
        Ok(())
    }
}

impl Buckets {
    pub fn new(options: BucketsOptions, input: &SchemaRef, keys: &[usize]) -> Self {
        let log_schema = if options.track_matches {
            let mut fields: Vec<FieldRef> = input.fields().iter().cloned().collect();
            fields.push(Arc::new(Field::new(MATCHED, DataType::Boolean, false)));
            Arc::new(Schema::new(fields))
        } else {
            Arc::clone(input)
        };
        Self {
            options,
            keys: keys.to_vec(),
            input: Arc::clone(input),
            log_schema,
            log: None,
            buckets: BTreeMap::new(),
            expired: i64::MIN,
        }
    }

    /// Registers the log and rebuilds the buckets from what it restored.
    pub fn open(
        &mut self,
        state: &mut StateStore,
        time: &TimeColumn,
        watermark: Watermark,
    ) -> Result<()> {
        let id = state.log(self.options.name, Arc::clone(&self.log_schema), &self.keys)?;
        self.log = Some(id);
        self.expired = watermark.0;
        let log = state.log_mut(id);
        let namespaces = log.namespaces();
        for start in namespaces {
            let mut bucket = Bucket::new(&self.keys, self.options.track_matches);
            for (stored, hashes) in log.batches(start)? {
                let width = self.input.fields().len();
                let columns = stored.columns()[..width].to_vec();
                let batch = RecordBatch::try_new(Arc::clone(&self.input), columns)?;
                let times = time.millis(&batch)?.into_owned();
                let flags = self.options.track_matches.then(|| stored.column(width).as_boolean());
                let matched = flags.into_iter().flat_map(|flags| flags.values().iter());
                bucket.push(batch, &hashes, times.into_iter(), matched)?;
            }
            self.buckets.insert(start, bucket);
        }
        Ok(())
    }

    fn log(&self) -> Result<LogId> {
        self.log.ok_or_else(|| Error::internal("an interval join was not opened"))
    }

    fn start_of(&self, time: i64) -> i64 {
        time.saturating_sub(time.rem_euclid(self.options.width_ms))
    }

    /// When the last row that may be in the bucket expires.
    fn expiry_of(&self, start: i64) -> i64 {
        start.saturating_add(self.options.width_ms - 1).saturating_add(self.options.expiry_ms)
    }

    /// Buckets with rows at these times.
    pub fn overlapping(&mut self, times: RangeInclusive<i64>) -> impl Iterator<Item = &mut Bucket> {
        let first = self.start_of(*times.start());
        // An interval that saturated at either end of time may be empty.
        let last = (*times.end()).max(first);
        self.buckets.range_mut(first..=last).map(|(_, bucket)| bucket)
    }

    /// Lets those rows wait that can still find a partner.
    pub fn insert(
        &mut self,
        state: &mut StateStore,
        arrivals: &Arrivals,
        watermark: i64,
    ) -> Result<()> {
        let Arrivals { batch, hashes, times, matched } = arrivals;
        let id = self.log()?;
        let waits = |time: i64| time.saturating_add(self.options.expiry_ms) > watermark;
        let groups =
            group_rows(times.iter().map(|time| waits(*time).then(|| self.start_of(*time))));
        for (start, rows) in groups {
            let (part, part_hashes) = select_rows(batch, hashes, &rows)?;
            let flags = || rows.iter().map(|row| matched.get(*row as usize));
            let log = state.log_mut(id);
            let track = self.options.track_matches;
            let bucket =
                self.buckets.entry(start).or_insert_with(|| Bucket::new(&self.keys, track));
            let part_times = rows.iter().map(|row| times[*row as usize]);
            bucket.push(part.clone(), &part_hashes, part_times, flags())?;
            if bucket.rows.merge_small_chunks()? {
                bucket.write(&self.log_schema, log, start)?;
            } else {
                let flags: Vec<bool> = if track { flags().collect() } else { Vec::new() };
                log.append(start, with_flags(&self.log_schema, &part, flags)?, part_hashes)?;
            }
        }
        Ok(())
    }

    /// The columns of tracked rows that stayed alone and expire now, in batches. Call
    /// [`Self::drop_expired`] next.
    pub fn expire(&self, watermark: i64) -> Vec<Result<Vec<ArrayRef>>> {
        let mut batches = Vec::new();
        if !self.options.track_matches {
            return batches;
        }
        let expiry = self.options.expiry_ms;
        for (start, bucket) in &self.buckets {
            if start.saturating_add(expiry) > watermark {
                break;
            }
            let due = |time: i64| {
                let expires = time.saturating_add(expiry);
                self.expired < expires && expires <= watermark
            };
            let pairs = bucket.times.iter().zip(bucket.matched.as_slice()).enumerate();
            let alone = pairs.filter(|(_, (time, matched))| !**matched && due(**time));
            let rows: Vec<u32> = alone.map(|(row, _)| row as u32).collect();
            batches.extend(rows.chunks(OUTPUT_ROWS).map(|rows| bucket.rows.gather(rows)));
        }
        batches
    }

    /// Forgets the buckets in which no row waits any more.
    pub fn drop_expired(&mut self, state: &mut StateStore, watermark: i64) -> Result<()> {
        let id = self.log()?;
        while let Some(start) = self.buckets.keys().next().copied() {
            if self.expiry_of(start) > watermark {
                break;
            }
            self.buckets.remove(&start);
            state.log_mut(id).remove_namespace(start)?;
        }
        self.expired = watermark;
        Ok(())
    }

    /// Brings the log up to date with the matches found since the last call. The chain
    /// flushes before a barrier, so a snapshot always has them.
    pub fn write_matches(&mut self, state: &mut StateStore) -> Result<()> {
        if !self.options.track_matches {
            return Ok(());
        }
        let id = self.log()?;
        for (start, bucket) in self.buckets.iter_mut().filter(|(_, bucket)| bucket.dirty) {
            bucket.write(&self.log_schema, state.log_mut(id), *start)?;
        }
        Ok(())
    }
}

impl Bucket {
    /// Replaces the bucket's batches in the log. Columns are shared, so that this costs
    /// the flags and little else.
    fn write(&mut self, schema: &SchemaRef, log: &mut state::Log, start: i64) -> Result<()> {
        let mut batches = Vec::with_capacity(self.rows.chunks().len());
        let mut flags = self.matched.as_slice();
        for (chunk, hashes) in self.rows.chunks().iter().zip(self.rows.chunk_hashes()) {
            let (own, rest) = flags.split_at(chunk.num_rows().min(flags.len()));
            flags = rest;
            batches.push((with_flags(schema, chunk, own.to_vec())?, Arc::new(hashes)));
        }
        self.dirty = false;
        log.replace(start, batches)
    }
}

/// The batch in the log's schema: with the flags as last column, when they are tracked.
fn with_flags(schema: &SchemaRef, batch: &RecordBatch, flags: Vec<bool>) -> Result<RecordBatch> {
    let mut columns = batch.columns().to_vec();
    if columns.len() < schema.fields().len() {
        columns.push(Arc::new(BooleanArray::from(flags)));
    }
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}
