//! The producing end of one edge: rows pending per target, and at most one watermark.
//! Rows may overtake a pending watermark (a watermark is always true later, too), so
//! flushing sends rows first. Called by `tail.rs`.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use model::{CheckpointBarrier, Clock, Result, StreamElement, Watermark};

use crate::channel::{ChannelSender, batch_bytes};
use crate::metrics::SharedMetrics;
use crate::partitioner::Partitioner;
use crate::tail::backpressured;

/// A target's rows are sent when there are this many, or these many bytes of them.
pub const FLUSH_ROWS: usize = 8192;
pub const FLUSH_BYTES: u64 = 256 << 10;
/// A batch of at least this many rows is sent by itself and at once: copying it together
/// with others would cost more than it saves. Hence a slice that is sent keeps alive at
/// most a few times its own bytes.
const DIRECT_ROWS: usize = 2048;

/// One edge out of a task.
pub struct ResultPartition {
    output: usize,
    partitioner: Partitioner,
    targets: Vec<Target>,
    /// Some target reached its bound.
    full: bool,
    has_pending: bool,
    clock: Arc<dyn Clock>,
    metrics: Arc<SharedMetrics>,
}

struct Target {
    sender: ChannelSender,
    batches: Vec<RecordBatch>,
    rows: usize,
    bytes: u64,
    full: bool,
    watermark: Option<Watermark>,
    idle: bool,
}

impl ResultPartition {
    /// `senders[i]` leads to the edge's consumer `i`.
    pub fn new(
        output: usize,
        partitioner: Partitioner,
        senders: Vec<ChannelSender>,
        clock: Arc<dyn Clock>,
        metrics: Arc<SharedMetrics>,
    ) -> Self {
        let target = |sender| Target {
            sender,
            batches: Vec::new(),
            rows: 0,
            bytes: 0,
            full: false,
            watermark: None,
            idle: false,
        };
        Self {
            output,
            partitioner,
            targets: senders.into_iter().map(target).collect(),
            full: false,
            has_pending: false,
            clock,
            metrics,
        }
    }

    /// The output of the chain that this edge carries.
    pub fn output(&self) -> usize {
        self.output
    }

    /// See [`Partitioner::hot_key_group`].
    pub fn hot_key_group(&self) -> Option<model::metrics::HotKeyGroup> {
        self.partitioner.hot_key_group()
    }

    /// Keeps rows until [`Self::send_full`] or [`Self::flush`].
    pub fn push(&mut self, batch: RecordBatch) -> Result<()> {
        let targets = &mut self.targets;
        let full = &mut self.full;
        self.has_pending = true;
        self.partitioner.split(batch, |target, rows| {
            let target = &mut targets[target];
            target.push(rows);
            *full |= target.full;
        })
    }

    pub fn push_watermark(&mut self, watermark: Watermark) {
        self.has_pending = true;
        for target in &mut self.targets {
            target.watermark = Some(watermark);
            target.idle = false;
        }
    }

    pub fn push_idle(&mut self) {
        self.has_pending = true;
        for target in &mut self.targets {
            target.idle = true;
        }
    }

    /// Whether something waits for [`Self::flush`].
    pub fn has_pending(&self) -> bool {
        self.has_pending
    }

    /// Sends what reached its bound.
    pub async fn send_full(&mut self) -> Result<()> {
        if !std::mem::take(&mut self.full) {
            return Ok(());
        }
        for target in self.targets.iter_mut().filter(|t| t.full) {
            target.flush(&*self.clock, &self.metrics).await?;
        }
        Ok(())
    }

    /// Sends everything pending.
    pub async fn flush(&mut self) -> Result<()> {
        if !std::mem::take(&mut self.has_pending) {
            return Ok(());
        }
        self.full = false;
        for target in &mut self.targets {
            target.flush(&*self.clock, &self.metrics).await?;
        }
        Ok(())
    }

    /// Sends everything pending, then the barrier to every target.
    pub async fn send_barrier(&mut self, barrier: CheckpointBarrier) -> Result<()> {
        self.flush().await?;
        self.send_all(&StreamElement::Barrier(barrier)).await
    }

    /// Sends everything pending, then the end to every target.
    pub async fn send_end(&mut self) -> Result<()> {
        self.flush().await?;
        self.send_all(&StreamElement::EndOfInput).await
    }

    async fn send_all(&mut self, element: &StreamElement) -> Result<()> {
        for target in &mut self.targets {
            let sent = target.sender.send(element.clone());
            backpressured(&*self.clock, &self.metrics, sent).await?;
        }
        Ok(())
    }
}

impl Target {
    fn push(&mut self, rows: RecordBatch) {
        self.idle = false;
        self.rows += rows.num_rows();
        self.bytes += batch_bytes(&rows);
        self.full |=
            rows.num_rows() >= DIRECT_ROWS || self.rows >= FLUSH_ROWS || self.bytes >= FLUSH_BYTES;
        self.batches.push(rows);
    }

    async fn flush(&mut self, clock: &dyn Clock, metrics: &SharedMetrics) -> Result<()> {
        use std::sync::atomic::Ordering::Relaxed;
        if !self.batches.is_empty() {
            metrics.bytes_out.fetch_add(self.bytes, Relaxed);
            self.rows = 0;
            self.bytes = 0;
            self.full = false;
            for batch in joined(std::mem::take(&mut self.batches))? {
                let sent = self.sender.send(StreamElement::Batch(batch));
                backpressured(clock, metrics, sent).await?;
            }
        }
        if let Some(watermark) = self.watermark.take() {
            self.sender.send(StreamElement::Watermark(watermark)).await?;
        }
        if std::mem::take(&mut self.idle) {
            self.sender.send(StreamElement::Idle).await?;
        }
        Ok(())
    }
}

/// Runs of small batches become one batch each; order is kept.
fn joined(batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
    if batches.len() == 1 {
        return Ok(batches);
    }
    let mut result = Vec::new();
    let mut small: Vec<RecordBatch> = Vec::new();
    let join = |small: &mut Vec<RecordBatch>, result: &mut Vec<RecordBatch>| -> Result<()> {
        match small.len() {
            0 => {}
            1 => result.append(small),
            _ => {
                result.push(concat_batches(small[0].schema_ref(), small.iter())?);
                small.clear();
            }
        }
        Ok(())
    };
    for batch in batches {
        if batch.num_rows() < DIRECT_ROWS {
            small.push(batch);
        } else {
            join(&mut small, &mut result)?;
            result.push(batch);
        }
    }
    join(&mut small, &mut result)?;
    Ok(result)
}
