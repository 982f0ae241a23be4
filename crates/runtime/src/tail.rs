//! The asynchronous end of a task: result partitions, one per edge, and the sink writer of a
//! chain that ends in a sink. Takes what the chain put out and sends or writes it.
//! Called by `task_loop.rs`.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;

use arrow::array::RecordBatch;
use futures::future::BoxFuture;
use model::sink::{Committable, SinkWriter};
use model::{CheckpointBarrier, CheckpointId, Clock, Result, StreamElement};

use crate::chain::ChainOutput;
use crate::metrics::{Activity, SharedMetrics};
use crate::result_partition::ResultPartition;

/// The future that makes a sink's part of a checkpoint durable.
pub(crate) type Staging = BoxFuture<'static, Result<Vec<Committable>>>;

/// Where the chain's outputs go.
pub struct Tail {
    partitions: Vec<ResultPartition>,
    sink: Option<SinkTail>,
    metrics: Arc<SharedMetrics>,
    /// Report the chain's output watermark: a source task has no other.
    reports_watermark: bool,
    /// When the oldest pending row came, microseconds since the epoch.
    pending_since_us: Option<i64>,
}

struct SinkTail {
    writer: Box<dyn SinkWriter>,
    /// Put out by the chain, not yet written: empty between turns of the loop.
    batches: VecDeque<RecordBatch>,
    /// Written to since the last flush.
    dirty: bool,
}

impl Tail {
    pub fn new(
        partitions: Vec<ResultPartition>,
        sink: Option<Box<dyn SinkWriter>>,
        metrics: Arc<SharedMetrics>,
        reports_watermark: bool,
    ) -> Self {
        let sink = sink.map(|writer| SinkTail { writer, batches: VecDeque::new(), dirty: false });
        Self { partitions, sink, metrics, reports_watermark, pending_since_us: None }
    }

    /// Takes the chain's output. Nothing is sent before [`Self::send_full`].
    pub fn accept(&mut self, outputs: &mut Vec<ChainOutput>, now_us: i64) -> Result<()> {
        for ChainOutput { output, element } in outputs.drain(..) {
            if let StreamElement::Batch(batch) = &element {
                if output == 0 {
                    self.metrics.records_out.fetch_add(batch.num_rows() as u64, Relaxed);
                }
                self.pending_since_us.get_or_insert(now_us);
            }
            if let StreamElement::Watermark(watermark) = element
                && self.reports_watermark
            {
                self.metrics.set_watermark(watermark);
            }
            if output == 0
                && let Some(sink) = &mut self.sink
                && let StreamElement::Batch(batch) = &element
            {
                sink.batches.push_back(batch.clone());
            }
            for partition in self.partitions.iter_mut().filter(|p| p.output() == output) {
                match &element {
                    StreamElement::Batch(batch) => partition.push(batch.clone())?,
                    StreamElement::Watermark(watermark) => partition.push_watermark(*watermark),
                    StreamElement::Idle => partition.push_idle(),
                    // The loop sends these itself, after a flush.
                    StreamElement::Barrier(_) | StreamElement::EndOfInput => {}
                }
            }
        }
        Ok(())
    }

    /// Writes to the sink and sends the batches that are full. Waits under backpressure.
    pub async fn send_full(&mut self) -> Result<()> {
        for partition in &mut self.partitions {
            partition.send_full().await?;
        }
        if let Some(sink) = &mut self.sink {
            while let Some(batch) = sink.batches.pop_front() {
                sink.dirty = true;
                sink.writer.write(batch).await?;
            }
        }
        Ok(())
    }

    /// Whether rows have been pending since before `us`.
    pub fn pending_before(&self, us: i64) -> bool {
        self.pending_since_us.is_some_and(|since| since < us)
    }

    /// What the sink measured, if it does.
    pub fn latency_us(&self) -> Option<[u64; 3]> {
        self.sink.as_ref().and_then(|sink| sink.writer.latency_us())
    }

    /// The hottest key group of all edges.
    pub fn hot_key_group(&self) -> Option<model::metrics::HotKeyGroup> {
        let all = self.partitions.iter().filter_map(ResultPartition::hot_key_group);
        all.max_by(|a, b| a.share.total_cmp(&b.share))
    }

    /// Whether rows or watermarks wait for a flush.
    pub fn has_pending(&self) -> bool {
        self.partitions.iter().any(ResultPartition::has_pending)
            || self.sink.as_ref().is_some_and(|s| s.dirty)
    }

    /// Sends everything pending.
    pub async fn flush(&mut self) -> Result<()> {
        self.flush_partitions().await?;
        self.send_full().await?;
        if let Some(sink) = &mut self.sink
            && std::mem::take(&mut sink.dirty)
        {
            sink.writer.flush().await?;
        }
        Ok(())
    }

    /// As [`Self::flush`], without flushing the sink writer: rows are due, input is not dry.
    pub async fn flush_partitions(&mut self) -> Result<()> {
        self.pending_since_us = None;
        for partition in &mut self.partitions {
            partition.flush().await?;
        }
        Ok(())
    }

    /// Passes a barrier on, after everything pending; the sink's part is the returned future.
    pub async fn barrier(&mut self, barrier: CheckpointBarrier) -> Result<Option<Staging>> {
        self.pending_since_us = None;
        self.send_full().await?;
        for partition in &mut self.partitions {
            partition.send_barrier(barrier).await?;
        }
        self.prepare_commit(Some(barrier.id))
    }

    /// Ends every output, after everything pending; the sink's part is the returned future.
    pub async fn end(&mut self) -> Result<Option<Staging>> {
        self.pending_since_us = None;
        self.send_full().await?;
        for partition in &mut self.partitions {
            partition.send_end().await?;
        }
        self.prepare_commit(None)
    }

    fn prepare_commit(&mut self, id: Option<CheckpointId>) -> Result<Option<Staging>> {
        self.sink.as_mut().map(|sink| sink.writer.prepare_commit(id)).transpose()
    }

    /// The task ends without finishing: the sink drops what it did not prepare.
    pub async fn abort(&mut self) {
        if let Some(sink) = &mut self.sink {
            sink.writer.abort().await;
        }
    }
}

/// Awaits a send and counts the time as backpressured if it had to wait.
pub(crate) async fn backpressured<T>(
    clock: &dyn Clock,
    metrics: &SharedMetrics,
    send: impl Future<Output = T>,
) -> T {
    let mut send = pin!(send);
    let mut since = None;
    let result = poll_fn(|cx| match send.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(result),
        Poll::Pending => {
            since.get_or_insert_with(|| {
                metrics.set_activity(Activity::WaitingForCredit);
                clock.now_us()
            });
            Poll::Pending
        }
    })
    .await;
    if let Some(since) = since {
        metrics.set_activity(Activity::Moving);
        metrics.add_backpressured_us(u64::try_from(clock.now_us() - since).unwrap_or(0));
    }
    result
}
