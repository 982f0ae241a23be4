//! Results of a query that somebody waits for: the rows that reach a sink which collects,
//! kept in a bounded queue until they are read. Unlike a tap nothing is left out: a slow
//! reader holds the task up. Written by the task's tail, read by `taskmanager`.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow::array::RecordBatch;
use futures::future::BoxFuture;
use model::sink::{Committable, SinkWriter};
use model::{CheckpointId, Error, Result};
use tokio::sync::{mpsc, watch};

/// Batches that the reader has not taken yet.
const QUEUED: usize = 16;
/// A task whose results nobody reads ends after this long.
const READER_WITHIN: Duration = Duration::from_secs(60);

/// The results of one task, for one reader.
#[derive(Debug, Default)]
pub struct Results {
    rows: Mutex<Option<mpsc::Receiver<RecordBatch>>>,
    read: watch::Sender<bool>,
}

/// The reader's end. Dropping it before the end fails the task.
#[derive(Debug)]
pub struct ResultReader {
    rows: mpsc::Receiver<RecordBatch>,
}

impl ResultReader {
    /// `None`: the task has ended and every row was read. Cancel-safe.
    pub async fn next(&mut self) -> Option<RecordBatch> {
        self.rows.recv().await
    }
}

impl Results {
    fn lock(&self) -> MutexGuard<'_, Option<mpsc::Receiver<RecordBatch>>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rows, from the first on.
    ///
    /// # Errors
    /// User: the task collects no results, or somebody reads them already.
    pub fn open(&self) -> Result<ResultReader> {
        let rows = self.lock().take().ok_or_else(|| {
            Error::user("the task has no results, or somebody reads them already")
        })?;
        self.read.send_replace(true);
        Ok(ResultReader { rows })
    }

    /// What the task's tail writes to, once in the task's life.
    pub(crate) fn writer(&self) -> Box<dyn SinkWriter> {
        let (sender, rows) = mpsc::channel(QUEUED);
        *self.lock() = Some(rows);
        Box::new(ResultWriter { rows: sender, read: self.read.subscribe() })
    }
}

struct ResultWriter {
    rows: mpsc::Sender<RecordBatch>,
    read: watch::Receiver<bool>,
}

async fn reader(mut read: watch::Receiver<bool>) -> Result<()> {
    let found = tokio::time::timeout(READER_WITHIN, read.wait_for(|read| *read)).await;
    match found {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) | Err(_) => {
            let seconds = READER_WITHIN.as_secs();
            Err(Error::user(format!("nobody read the results of the query within {seconds} s")))
        }
    }
}

fn left() -> Error {
    Error::user("the reader of the results has left")
}

impl SinkWriter for ResultWriter {
    fn write(&mut self, batch: RecordBatch) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            match self.rows.try_send(batch) {
                Ok(()) => Ok(()),
                Err(mpsc::error::TrySendError::Closed(_)) => Err(left()),
                Err(mpsc::error::TrySendError::Full(batch)) => {
                    reader(self.read.clone()).await?;
                    self.rows.send(batch).await.map_err(|_| left())
                }
            }
        })
    }

    fn prepare_commit(
        &mut self,
        id: Option<CheckpointId>,
    ) -> Result<BoxFuture<'static, Result<Vec<Committable>>>> {
        let read = self.read.clone();
        Ok(Box::pin(async move {
            // A query may be over before anybody could come and read.
            if id.is_none() {
                reader(read).await?;
            }
            Ok(Vec::new())
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};
    use model::ErrorKind;

    use super::*;

    fn batch(n: i64) -> RecordBatch {
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values([n]));
        RecordBatch::try_from_iter([("id", ids)]).unwrap()
    }

    #[tokio::test]
    async fn every_row_is_read_in_order_by_a_reader_that_comes_late_and_is_slow() {
        let results = Results::default();
        assert_eq!(results.open().unwrap_err().kind(), ErrorKind::User);
        let mut writer = results.writer();
        let writing = tokio::spawn(async move {
            for n in 0..100 {
                writer.write(batch(n)).await.unwrap();
            }
            writer.prepare_commit(None).unwrap().await.unwrap();
        });
        let mut reader = results.open().unwrap();
        assert!(results.open().is_err(), "one reader");
        let mut read = 0;
        while let Some(rows) = reader.next().await {
            assert_eq!(rows, batch(read));
            read += 1;
            tokio::task::yield_now().await;
        }
        assert_eq!(read, 100);
        writing.await.unwrap();
    }

    #[tokio::test]
    async fn a_reader_that_leaves_fails_the_task() {
        let results = Results::default();
        let mut writer = results.writer();
        drop(results.open().unwrap());
        assert_eq!(writer.write(batch(1)).await.unwrap_err().kind(), ErrorKind::User);
    }

    #[tokio::test(start_paused = true)]
    async fn results_that_nobody_reads_fail_the_task() {
        let results = Results::default();
        let mut writer = results.writer();
        for n in 0..QUEUED as i64 {
            writer.write(batch(n)).await.unwrap();
        }
        assert!(writer.write(batch(99)).await.is_err());
        assert!(writer.prepare_commit(None).unwrap().await.is_err());
    }
}
