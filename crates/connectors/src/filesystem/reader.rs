//! The reader of the filesystem source: works through its splits one after the other.
//! Runs at the head of a task.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::future::BoxFuture;
use model::arrow::array::{
    ArrayRef, BinaryArray, RecordBatch, StringArray, TimestampMillisecondArray,
};
use model::arrow::datatypes::SchemaRef;
use model::source::{Polled, SourceReader, Split, dead_letter_schema};
use model::{Clock, Result};

use super::bad_records::BadRecord;
use super::listing::Location;
use super::options::{Format, OnBadRecord, SourceOptions};
use super::pace::Pace;
use super::parquet::ParquetSplit;
use super::partitions::Partitions;
use super::splits::FileSplit;
use super::text::{Content, TextSplit};

/// What every split of a source is read by.
pub(super) struct ReadPlan {
    pub(super) options: SourceOptions,
    pub(super) location: Location,
    /// The columns of the files.
    pub(super) declared: SchemaRef,
    /// The columns wanted of the files, in the order of `declared`.
    pub(super) projected: SchemaRef,
    /// Columns that stand in the path.
    pub(super) partitions: Option<Partitions>,
    /// The columns wanted of the files and of their path.
    pub(super) with_folders: SchemaRef,
    /// All columns wanted.
    pub(super) output: SchemaRef,
    /// Rows that a batch has at most.
    pub(super) batch_rows: usize,
}

enum Reading {
    Text(Box<TextSplit>),
    Parquet(Box<ParquetSplit>),
}

pub(super) struct FileReader {
    plan: Arc<ReadPlan>,
    clock: Arc<dyn Clock>,
    /// `None`: as fast as rows are taken.
    pace: Option<Pace>,
    waiting: VecDeque<FileSplit>,
    reading: Option<Reading>,
    skipped: u64,
    dead_lettered: u64,
}

impl FileReader {
    pub(super) fn new(plan: Arc<ReadPlan>, clock: Arc<dyn Clock>, pace: Option<Pace>) -> Self {
        let (waiting, reading) = (VecDeque::new(), None);
        Self { plan, clock, pace, waiting, reading, skipped: 0, dead_lettered: 0 }
    }

    fn open(&self, split: FileSplit) -> Result<Reading> {
        let plan = Arc::clone(&self.plan);
        Ok(match self.plan.options.format {
            Format::Parquet => Reading::Parquet(Box::new(ParquetSplit::new(split, plan)?)),
            Format::Csv(_) | Format::Json(_) => {
                Reading::Text(Box::new(TextSplit::new(split, plan)?))
            }
        })
    }

    /// Waits until rows are due. Dropped and called again, it waits for the same time.
    async fn in_time(&mut self) {
        let Some(pace) = &mut self.pace else { return };
        while let Some(wait) = pace.wait(self.clock.now_us()) {
            tokio::time::sleep(wait).await;
        }
    }

    async fn next(&mut self) -> Result<Polled> {
        loop {
            self.in_time().await;
            let content = match &mut self.reading {
                Some(Reading::Text(text)) => text.next().await?,
                Some(Reading::Parquet(parquet)) => parquet.next().await?.map(Content::Rows),
                None => match self.waiting.pop_front() {
                    Some(split) => {
                        self.reading = Some(self.open(split)?);
                        continue;
                    }
                    None => return Ok(Polled::NeedSplits),
                },
            };
            if let Some(pace) = &mut self.pace {
                let records = content.as_ref().map_or(0, Content::records);
                pace.passed(records, self.clock.now_us());
            }
            match content {
                None => self.reading = None,
                Some(Content::Rows(batch)) if batch.num_rows() > 0 => {
                    return Ok(Polled::Batch(self.whole(batch)?));
                }
                Some(Content::Rows(_) | Content::Nothing) => {}
                Some(Content::Bad(records)) => {
                    if self.plan.options.on_bad_record == OnBadRecord::DeadLetter {
                        self.dead_lettered += records.len() as u64;
                        return Ok(Polled::DeadLetter(self.dead_letters(&records)?));
                    }
                    self.skipped += records.len() as u64;
                }
            }
        }
    }

    /// With the columns that stand in the path, and those about the file.
    fn whole(&self, batch: RecordBatch) -> Result<RecordBatch> {
        let split = match &self.reading {
            Some(Reading::Text(text)) => text.split(),
            Some(Reading::Parquet(parquet)) => parquet.split(),
            None => return Ok(batch),
        };
        let plan = &self.plan;
        let batch = match &plan.partitions {
            Some(partitions) => partitions.restore(&split.path, &batch, &plan.with_folders)?,
            None => batch,
        };
        plan.options.file_columns.add(batch, split, &plan.output)
    }

    fn dead_letters(&self, records: &[BadRecord]) -> Result<RecordBatch> {
        let source = match &self.reading {
            Some(Reading::Text(text)) => text.path(),
            _ => "",
        };
        let count = records.len();
        let offsets = records.iter().map(|r| r.offset.to_string());
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec![source; count])),
            Arc::new(StringArray::from_iter_values(offsets)),
            Arc::new(BinaryArray::from_iter_values(records.iter().map(|r| &r.raw[..]))),
            Arc::new(StringArray::from_iter_values(records.iter().map(|r| &r.reason))),
            Arc::new(TimestampMillisecondArray::from(vec![self.clock.now_ms(); count])),
        ];
        Ok(RecordBatch::try_new(dead_letter_schema(), columns)?)
    }
}

impl SourceReader for FileReader {
    fn add_splits(&mut self, splits: Vec<Split>) -> Result<()> {
        for split in &splits {
            self.waiting.push_back(FileSplit::decode(split)?);
        }
        Ok(())
    }

    fn poll(&mut self) -> BoxFuture<'_, Result<Polled>> {
        Box::pin(self.next())
    }

    fn snapshot(&mut self) -> Result<Vec<Split>> {
        let current = match &self.reading {
            Some(Reading::Text(text)) => text.remaining(),
            Some(Reading::Parquet(parquet)) => parquet.remaining(),
            None => None,
        };
        current.iter().chain(&self.waiting).map(FileSplit::encode).collect()
    }

    fn bad_records(&self) -> (u64, u64) {
        (self.skipped, self.dead_lettered)
    }
}
