//! The head of a task with inputs: takes elements from the channels' queues in turn and
//! makes of them one stream with ports, one watermark and aligned barriers.
//! Called by `task_loop.rs`; other threads reach it through `channel::GateHandle`.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use model::{CheckpointId, Clock, Result, StreamElement, Watermark};

use crate::alignment::{AlignedBarrier, Alignment, AlignmentAction};
use crate::channel::GateHandle;
use crate::channel::local::Taken;
use crate::watermark::{Combined, WatermarkCombiner};

/// What the task sees of its inputs.
#[derive(Debug)]
pub enum GateEvent {
    /// Rows of input `port`; `bytes` is what they cost of the channels' budgets.
    Batch { port: usize, batch: RecordBatch, bytes: u64 },
    /// The combined watermark rose, or came back after idleness.
    Watermark(Watermark),
    /// Every input is idle.
    Idle,
    /// The barrier has come from every channel.
    Barrier(AlignedBarrier),
    /// A newer checkpoint's barrier came first: decline this one.
    Superseded(CheckpointId),
    /// Every channel has ended.
    EndOfInput,
}

/// One input channel: the port its rows enter and their schema.
#[derive(Clone, Debug)]
pub struct GateChannel {
    pub port: usize,
    pub schema: SchemaRef,
}

/// The consuming end of all channels of one task.
pub struct InputGate {
    handle: GateHandle,
    ports: Vec<usize>,
    alignment: Alignment,
    watermarks: WatermarkCombiner,
    open_channels: usize,
    events: VecDeque<GateEvent>,
    clock: Arc<dyn Clock>,
}

impl InputGate {
    pub fn new(channels: Vec<GateChannel>, clock: Arc<dyn Clock>) -> Self {
        let count = channels.len();
        let ports = channels.iter().map(|c| c.port).collect();
        Self {
            handle: GateHandle::new(channels.into_iter().map(|c| c.schema).collect()),
            ports,
            alignment: Alignment::new(count),
            watermarks: WatermarkCombiner::new(count),
            open_channels: count,
            events: VecDeque::new(),
            clock,
        }
    }

    /// The producers' way in.
    pub fn handle(&self) -> GateHandle {
        self.handle.clone()
    }

    /// The next event; cancel-safe. After `EndOfInput` it waits for ever.
    /// Fails when a channel failed.
    pub async fn next(&mut self) -> Result<GateEvent> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<GateEvent>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(Ok(event));
            }
            match self.handle.poll_take(cx, &self.ports) {
                Poll::Ready(Ok(taken)) => self.on_taken(taken)?,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// The coordinator gave a checkpoint up.
    pub fn checkpoint_aborted(&mut self, id: CheckpointId) {
        let actions = self.alignment.on_cancelled(id);
        self.apply(actions);
    }

    fn on_taken(&mut self, taken: Taken) -> Result<()> {
        let channel = taken.channel;
        match taken.element {
            StreamElement::Batch(first) => {
                let combined = self.watermarks.on_rows(channel);
                self.report(combined);
                for (channel, _) in &taken.more {
                    let combined = self.watermarks.on_rows(*channel);
                    self.report(combined);
                }
                let batch = together(first, &taken.more)?;
                if batch.num_rows() > 0 {
                    let port = self.ports[channel];
                    self.events.push_back(GateEvent::Batch { port, batch, bytes: taken.bytes });
                }
            }
            StreamElement::Watermark(watermark) => {
                let combined = self.watermarks.on_watermark(channel, watermark);
                self.report(combined);
            }
            StreamElement::Idle => {
                let combined = self.watermarks.on_idle(channel);
                self.report(combined);
            }
            StreamElement::Barrier(barrier) => {
                let actions = self.alignment.on_barrier(channel, barrier, self.clock.now_us());
                self.apply(actions);
            }
            StreamElement::EndOfInput => {
                let combined = self.watermarks.on_end(channel);
                self.report(combined);
                let actions = self.alignment.on_end(channel, self.clock.now_us());
                self.apply(actions);
                self.open_channels = self.open_channels.saturating_sub(1);
                if self.open_channels == 0 {
                    self.events.push_back(GateEvent::EndOfInput);
                }
            }
        }
        Ok(())
    }

    fn report(&mut self, combined: Option<Combined>) {
        match combined {
            Some(Combined::Watermark(w)) => self.events.push_back(GateEvent::Watermark(w)),
            Some(Combined::Idle) => self.events.push_back(GateEvent::Idle),
            None => {}
        }
    }

    fn apply(&mut self, actions: Vec<AlignmentAction>) {
        for action in actions {
            match action {
                AlignmentAction::Block(channel) => self.handle.set_blocked(channel, true),
                AlignmentAction::UnblockAll => {
                    for channel in 0..self.ports.len() {
                        self.handle.set_blocked(channel, false);
                    }
                }
                AlignmentAction::Complete(aligned) => {
                    self.events.push_back(GateEvent::Barrier(aligned));
                }
                AlignmentAction::Superseded(id) => {
                    self.events.push_back(GateEvent::Superseded(id));
                }
            }
        }
    }
}

impl Drop for InputGate {
    fn drop(&mut self) {
        self.handle.close();
    }
}

/// One batch of several small ones.
fn together(first: RecordBatch, more: &[(usize, RecordBatch)]) -> Result<RecordBatch> {
    if more.is_empty() {
        return Ok(first);
    }
    let schema = first.schema();
    let all = std::iter::once(&first).chain(more.iter().map(|(_, batch)| batch));
    Ok(concat_batches(&schema, all)?)
}

#[cfg(test)]
mod tests;
