//! The head of a task that reads a source: polls the reader, asks the job manager for
//! splits when it runs out, and knows when a checkpoint may be taken.
//! Called by `task_loop.rs`.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use arrow::array::RecordBatch;
use model::source::{Polled, SourceReader, Split};
use model::{CheckpointId, Clock, Error, ExecutionAttemptId, Result};
use tokio::sync::oneshot;
use tokio::time::Sleep;

use crate::source_progress::SourceProgress;
use crate::task::{SplitResponse, TaskControl};

/// What the task sees of its source.
#[derive(Debug)]
pub enum SourceEvent {
    Batch(RecordBatch),
    /// Rows for the dead-letter output.
    DeadLetter(RecordBatch),
    /// A request for splits was answered: a checkpoint held back may be taken now.
    Answered,
    /// Every split is read and there will be no more.
    EndOfInput,
}

/// A reader and its supply of splits.
pub struct SourceHead {
    reader: Box<dyn SourceReader>,
    state: State,
    no_more: bool,
    attempt: ExecutionAttemptId,
    /// The last checkpoint whose barrier this reader has passed.
    last_checkpoint: CheckpointId,
    /// Shared with the watermark operator of the chain.
    progress: Arc<SourceProgress>,
    clock: Arc<dyn Clock>,
    control: Arc<dyn TaskControl>,
    io: tokio::runtime::Handle,
}

/// What a head needs besides its reader.
pub struct SourceContext {
    pub attempt: ExecutionAttemptId,
    /// The checkpoint that the task starts from.
    pub last_checkpoint: CheckpointId,
    pub progress: Arc<SourceProgress>,
    pub clock: Arc<dyn Clock>,
    pub control: Arc<dyn TaskControl>,
    pub io: tokio::runtime::Handle,
}

enum State {
    Reading,
    /// Asked for splits. A snapshot now might miss splits that are on their way.
    Asking(oneshot::Receiver<Result<SplitResponse>>),
    /// Told to ask again later.
    Waiting(Pin<Box<Sleep>>),
    Ended,
}

impl SourceHead {
    pub fn new(reader: Box<dyn SourceReader>, context: SourceContext) -> Self {
        let SourceContext { attempt, last_checkpoint, progress, clock, control, io } = context;
        let state = State::Reading;
        Self {
            reader,
            state,
            no_more: false,
            attempt,
            last_checkpoint,
            progress,
            clock,
            control,
            io,
        }
    }

    /// The next event; cancel-safe. After `EndOfInput` it waits for ever.
    pub async fn next(&mut self) -> Result<SourceEvent> {
        loop {
            match &mut self.state {
                State::Reading => match self.read().await? {
                    Polled::Batch(batch) if batch.num_rows() > 0 => {
                        self.progress.next_batch(self.reader.batch_split());
                        self.progress.end_splits(&self.reader.take_finished_splits());
                        return Ok(SourceEvent::Batch(batch));
                    }
                    // The reader's contract rules these out; an endless loop of them would
                    // starve the task's core thread.
                    Polled::Batch(_) => tokio::task::yield_now().await,
                    Polled::DeadLetter(batch) => return Ok(SourceEvent::DeadLetter(batch)),
                    Polled::NeedSplits if self.no_more => {
                        self.state = State::Ended;
                        self.progress.publish_idle();
                        return Ok(SourceEvent::EndOfInput);
                    }
                    Polled::NeedSplits => {
                        self.progress.end_splits(&self.reader.take_finished_splits());
                        self.ask();
                    }
                },
                State::Asking(answer) => {
                    let answer = answer.await.unwrap_or_else(|_| {
                        Err(Error::internal("a request for splits ended without an answer"))
                    });
                    self.answered(answer.map_err(|e| e.at("request splits"))?)?;
                    return Ok(SourceEvent::Answered);
                }
                State::Waiting(pause) => {
                    pause.await;
                    self.ask();
                }
                State::Ended => std::future::pending().await,
            }
        }
    }

    /// What the reader has, once it is not too far ahead of its group.
    async fn read(&mut self) -> Result<Polled> {
        let Some(aligned) = self.progress.aligned() else { return self.reader.poll().await };
        if aligned.is_ahead() {
            self.progress.set_paused(true, self.clock.now_ms());
            aligned.not_ahead().await;
        }
        self.progress.set_paused(false, self.clock.now_ms());
        let mut polled = self.reader.poll();
        if let Poll::Ready(polled) = futures::poll!(&mut polled) {
            return polled;
        }
        aligned.nothing_to_read();
        polled.await
    }

    fn ask(&mut self) {
        let (sender, receiver) = oneshot::channel();
        let control = Arc::clone(&self.control);
        let (attempt, last) = (self.attempt, self.last_checkpoint);
        self.io.spawn(async move {
            // The task may have been canceled meanwhile.
            let _ = sender.send(control.request_splits(attempt, last).await);
        });
        self.state = State::Asking(receiver);
    }

    fn answered(&mut self, answer: SplitResponse) -> Result<()> {
        self.no_more |= answer.no_more;
        if !answer.splits.is_empty() {
            let ids = answer.splits.iter().map(|split| split.id.clone());
            self.progress.add_splits(ids, self.clock.now_ms());
            self.reader.add_splits(answer.splits)?;
        } else if !answer.no_more {
            let pause = Duration::from_millis(u64::from(answer.retry_after_ms.max(1)));
            self.state = State::Waiting(Box::pin(tokio::time::sleep(pause)));
            self.progress.publish_idle();
            return Ok(());
        }
        self.state = State::Reading;
        Ok(())
    }

    /// False while a request for splits is under way.
    pub fn may_snapshot(&self) -> bool {
        !matches!(self.state, State::Asking(_))
    }

    /// The barrier of `id` passes: the splits with their positions.
    pub fn snapshot(&mut self, id: CheckpointId) -> Result<Vec<Split>> {
        self.last_checkpoint = id;
        self.reader.snapshot()
    }

    pub async fn checkpoint_completed(&mut self, id: CheckpointId) -> Result<()> {
        self.reader.checkpoint_completed(id).await
    }

    /// See [`SourceReader::bad_records`].
    pub fn bad_records(&self) -> (u64, u64) {
        self.reader.bad_records()
    }

    /// The splits being read, least watermark first.
    pub fn splits(&self) -> Vec<model::metrics::SplitMetrics> {
        self.progress.splits()
    }

    /// See [`SourceReader::pending_records`].
    pub fn pending_records(&self) -> Option<u64> {
        self.reader.pending_records()
    }

    /// See [`SourceReader::records_read`].
    pub fn records_read(&self) -> Option<u64> {
        self.reader.records_read()
    }
}

#[cfg(test)]
mod tests;
