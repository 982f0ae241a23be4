//! Tables outside of the job that its rows are looked up in. A table is any bounded source
//! whose rows are only inserted: it is read whole when the task starts, and again in the
//! background every so often, so that a lookup itself never waits. Opened by `deploy.rs`,
//! used by `operators/lookup_join.rs`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::RecordBatch;
use model::source::{Assignment, Polled, ReaderContext, Source};
use model::{Clock, Error, Result};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

type Rows = Result<Vec<RecordBatch>>;

/// The rows of a table as they were read last.
pub struct LookupTable {
    /// What was read and not yet taken.
    read: Arc<Mutex<Option<Rows>>>,
    reload: Option<AbortHandle>,
}

impl LookupTable {
    /// Reads the table; with `refresh_ms` it is read again so long after each reading.
    pub async fn open(
        source: Arc<dyn Source>,
        refresh_ms: Option<i64>,
        clock: Arc<dyn Clock>,
        io: &Handle,
    ) -> Result<Self> {
        let first = io.spawn(read_table(Arc::clone(&source), Arc::clone(&clock)));
        let first = first
            .await
            .map_err(|e| Error::internal("reading a lookup table panicked").caused_by(e))??;
        let read = Arc::new(Mutex::new(Some(Ok(first))));
        let every = refresh_ms.and_then(|ms| u64::try_from(ms).ok()).filter(|ms| *ms > 0);
        let reload = every.map(|ms| {
            let read = Arc::clone(&read);
            let reload = async move {
                loop {
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                    let rows = read_table(Arc::clone(&source), Arc::clone(&clock)).await;
                    *read.lock().unwrap_or_else(PoisonError::into_inner) = Some(rows);
                }
            };
            io.spawn(reload).abort_handle()
        });
        Ok(Self { read, reload })
    }

    /// A table of rows that are there already.
    #[cfg(test)]
    pub(crate) fn holding(rows: Vec<RecordBatch>) -> Self {
        Self { read: Arc::new(Mutex::new(Some(Ok(rows)))), reload: None }
    }

    /// The rows, if they were read since the last call. A failed reading fails the task, which
    /// starts again with what is there then.
    pub fn take(&self) -> Result<Option<Vec<RecordBatch>>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).take().transpose()
    }
}

impl Drop for LookupTable {
    fn drop(&mut self) {
        if let Some(reload) = &self.reload {
            reload.abort();
        }
    }
}

/// All rows of a bounded source.
async fn read_table(source: Arc<dyn Source>, clock: Arc<dyn Clock>) -> Rows {
    let mut enumerator = source.enumerator(1, None)?;
    enumerator.discover().await?;
    let mut reader = source.reader(ReaderContext { subtask: 0, parallelism: 1, clock })?;
    let mut rows = Vec::new();
    loop {
        match reader.poll().await? {
            Polled::Batch(batch) => rows.push(batch),
            Polled::DeadLetter(_) => {}
            Polled::NeedSplits => match enumerator.assign(0) {
                Assignment::Splits(splits) => reader.add_splits(splits)?,
                Assignment::NoMore => return Ok(rows),
                Assignment::NoneYet => {
                    return Err(Error::internal("a lookup table without an end"));
                }
            },
        }
    }
}

#[cfg(test)]
mod tests;
