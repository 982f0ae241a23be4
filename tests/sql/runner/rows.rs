//! The tests' source: the rows of a file, a few at a time, in splits, holding at the middle
//! or failing behind it when the run says so. Made by `collect`'s registry.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use model::arrow::array::{RecordBatch, UInt32Array};
use model::arrow::compute::take_record_batch;
use model::arrow::csv::ReaderBuilder;
use model::arrow::datatypes::SchemaRef;
use model::arrow::error::ArrowError;
use model::source::{
    Assignment, Polled, ReaderContext, Source, SourceReader, Split, SplitEnumerator,
};
use model::{Error, Result};

/// Rows of a batch.
const BATCH: usize = 3;

/// What the test asks of the sources of one job, and what it sees of them.
#[derive(Debug, Default)]
pub struct Gate {
    /// Stop at the middle of every split until told to go on.
    pub hold: AtomicBool,
    /// Fail at three quarters of a split.
    pub fail: AtomicBool,
    /// Wait a moment between batches.
    pub pace: AtomicBool,
    /// Splits that stand at their middle.
    pub held: AtomicUsize,
}

pub struct RowsSource {
    pub rows: RecordBatch,
    pub splits: usize,
    /// Let go what was read before reading on: a task sends rows and their watermark when its
    /// reader has nothing for it, else later rows may overtake the watermark.
    pub ordered: bool,
    pub gate: Arc<Gate>,
}

/// The rows of `table`, with the columns of `schema`.
///
/// A reader makes room for the batch size it is told before it reads: it is told what the file
/// can hold, for every planned job and every started task reads its tables.
pub fn load(folder: &Path, table: &str, schema: &SchemaRef) -> Result<RecordBatch> {
    let unreadable =
        |e: ArrowError| Error::user(format!("table {table} cannot be read")).caused_by(e);
    let open = |path: &Path| {
        let missing = |e: std::io::Error| {
            Error::user(format!("{} cannot be read", path.display())).caused_by(e)
        };
        let bytes = std::fs::read(path).map_err(missing)?;
        let lines = bytes.iter().filter(|b| **b == b'\n').count() + 1;
        Ok::<_, Error>((std::io::Cursor::new(bytes), lines))
    };
    let csv = folder.join(format!("{table}.csv"));
    if csv.exists() {
        let (text, lines) = open(&csv)?;
        let reader = ReaderBuilder::new(schema.clone()).with_header(true).with_batch_size(lines);
        let mut reader = reader.build(text).map_err(unreadable)?;
        return reader.next().unwrap().map_err(unreadable);
    }
    let (text, lines) = open(&folder.join(format!("{table}.jsonl")))?;
    let reader = model::arrow::json::ReaderBuilder::new(schema.clone()).with_batch_size(lines);
    let mut reader = reader.build(text).map_err(unreadable)?;
    reader.next().unwrap().map_err(unreadable)
}

impl Source for RowsSource {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
    fn is_bounded(&self) -> bool {
        true
    }
    fn enumerator(
        &self,
        parallelism: u32,
        restored: Option<&[u8]>,
    ) -> Result<Box<dyn SplitEnumerator>> {
        let left = match restored {
            Some(bytes) => serde_json::from_slice(bytes)
                .map_err(|e| Error::internal("the splits are not readable").caused_by(e))?,
            None => (0..self.splits).map(|n| split(n, 0)).collect(),
        };
        Ok(Box::new(Enumerator { left, parallelism }))
    }
    fn reader(&self, _context: ReaderContext) -> Result<Box<dyn SourceReader>> {
        Ok(Box::new(Reader {
            rows: self.rows.clone(),
            count: self.splits,
            ordered: self.ordered,
            gate: self.gate.clone(),
            places: VecDeque::new(),
            current: None,
            finished: Vec::new(),
            may_pause: false,
        }))
    }
}

/// Split `n` has the rows whose number is `n` modulo the number of splits.
fn split(n: usize, next: usize) -> Split {
    Split { id: n.to_string(), data: Bytes::from(next.to_string()) }
}

struct Enumerator {
    left: Vec<Split>,
    parallelism: u32,
}

impl SplitEnumerator for Enumerator {
    fn discover(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }
    fn assign(&mut self, subtask: u32) -> Assignment {
        let parallelism = self.parallelism;
        let mine = |s: &mut Split| s.id.parse::<u32>().is_ok_and(|n| n % parallelism == subtask);
        let given: Vec<Split> = self.left.extract_if(.., mine).collect();
        if given.is_empty() { Assignment::NoMore } else { Assignment::Splits(given) }
    }
    fn add_splits_back(&mut self, splits: Vec<Split>) {
        self.left.extend(splits);
    }
    fn snapshot(&self) -> Result<Bytes> {
        let bytes = serde_json::to_vec(&self.left);
        bytes.map(Bytes::from).map_err(|e| Error::internal("no snapshot").caused_by(e))
    }
}

struct Place {
    number: usize,
    next: usize,
    held: bool,
}

struct Reader {
    rows: RecordBatch,
    count: usize,
    ordered: bool,
    gate: Arc<Gate>,
    places: VecDeque<Place>,
    current: Option<String>,
    finished: Vec<String>,
    may_pause: bool,
}

impl Reader {
    fn len(&self, number: usize) -> usize {
        (self.rows.num_rows() + self.count - 1 - number) / self.count
    }

    /// The next batch of the first split that may go on; that split moves to the back.
    fn next(&mut self) -> Result<Option<RecordBatch>> {
        for _ in 0..self.places.len() {
            let Some(mut place) = self.places.pop_front() else { break };
            let len = self.len(place.number);
            let middle = len.div_ceil(2);
            let mut end = (place.next + BATCH).min(len);
            if self.gate.hold.load(Ordering::SeqCst) {
                if place.next >= middle {
                    if !std::mem::replace(&mut place.held, true) {
                        self.gate.held.fetch_add(1, Ordering::SeqCst);
                    }
                    self.places.push_back(place);
                    continue;
                }
                end = end.min(middle);
            }
            let fatal = (len * 3 / 4).max(middle).min(len.saturating_sub(1));
            if self.gate.fail.load(Ordering::SeqCst) && place.next >= fatal {
                return Err(Error::external("killed by the test"));
            }
            if place.next >= len {
                self.finished.push(place.number.to_string());
                continue;
            }
            let numbers = (place.next..end).map(|i| (i * self.count + place.number) as u32);
            let batch = take_record_batch(&self.rows, &UInt32Array::from_iter_values(numbers))?;
            place.next = end;
            self.current = Some(place.number.to_string());
            self.places.push_back(place);
            return Ok(Some(batch));
        }
        Ok(None)
    }
}

impl SourceReader for Reader {
    fn add_splits(&mut self, splits: Vec<Split>) -> Result<()> {
        for split in splits {
            let next = std::str::from_utf8(&split.data).unwrap().parse().unwrap();
            self.places.push_back(Place { number: split.id.parse().unwrap(), next, held: false });
        }
        Ok(())
    }

    /// Cancel-safe: what it waits for are timers.
    fn poll(&mut self) -> BoxFuture<'_, Result<Polled>> {
        Box::pin(async {
            loop {
                if std::mem::take(&mut self.may_pause) {
                    if self.gate.pace.load(Ordering::SeqCst) {
                        tokio::time::sleep(Duration::from_millis(3)).await;
                    } else if self.ordered {
                        tokio::task::yield_now().await;
                    }
                }
                if let Some(batch) = self.next()? {
                    self.may_pause = true;
                    return Ok(Polled::Batch(batch));
                }
                if self.places.is_empty() {
                    return Ok(Polled::NeedSplits);
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
    }

    fn snapshot(&mut self) -> Result<Vec<Split>> {
        let open = self.places.iter().filter(|p| p.next < self.len(p.number));
        Ok(open.map(|p| split(p.number, p.next)).collect())
    }

    fn batch_split(&self) -> Option<&str> {
        self.current.as_deref()
    }

    fn take_finished_splits(&mut self) -> Vec<String> {
        std::mem::take(&mut self.finished)
    }
}
