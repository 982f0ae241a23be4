//! The consumer's queues, one per channel, and the producer's end within one process.
//! `input_gate.rs` takes elements out; [`LocalSender`]s and the transport put them in.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::task::AtomicWaker;
use model::{Error, Result, StreamElement};

use super::{CHANNEL_BUDGET_BYTES, batch_bytes};

type CreditListener = Box<dyn Fn(u64) + Send + Sync>;

/// What a producer, or the transport on its behalf, sees of a consuming task.
#[derive(Clone)]
pub struct GateHandle(Arc<Gate>);

struct Gate {
    /// Schema of each channel's batches: the input schema of its port.
    schemas: Vec<SchemaRef>,
    listeners: Vec<OnceLock<CreditListener>>,
    queues: Mutex<Queues>,
    consumer: AtomicWaker,
}

struct Queues {
    channels: Vec<Queue>,
    /// Exactly the channels that have something to take and are not blocked, in turn.
    ready: VecDeque<usize>,
    queued_bytes: u64,
    failure: Option<Error>,
    /// The consumer is gone.
    closed: bool,
}

#[derive(Default)]
struct Queue {
    elements: VecDeque<(StreamElement, u64)>,
    bytes: u64,
    blocked: bool,
    listed: bool,
    producer: Option<Waker>,
}

/// Elements taken at once: the batches are of one port and go through the chain together.
#[derive(Debug)]
pub(crate) struct Taken {
    pub channel: usize,
    pub element: StreamElement,
    pub bytes: u64,
    /// Small batches of other channels, or behind the first one in its own channel.
    pub more: Vec<(usize, RecordBatch)>,
}

/// Bounds of what [`GateHandle::poll_take`] puts together.
const GATHER_ROWS: usize = 8192;
const GATHER_BYTES: u64 = 256 << 10;
/// A batch of at least this many rows goes by itself.
const SMALL_ROWS: usize = 2048;
const GATHER_BATCHES: usize = 64;

impl GateHandle {
    /// One queue per entry of `schemas`.
    pub fn new(schemas: Vec<SchemaRef>) -> Self {
        let channels = schemas.len();
        Self(Arc::new(Gate {
            schemas,
            listeners: (0..channels).map(|_| OnceLock::new()).collect(),
            queues: Mutex::new(Queues {
                channels: (0..channels).map(|_| Queue::default()).collect(),
                ready: VecDeque::with_capacity(channels),
                queued_bytes: 0,
                failure: None,
                closed: false,
            }),
            consumer: AtomicWaker::new(),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        // A panic under this lock cannot leave the queues half changed: every change is
        // a few moves of owned values.
        self.0.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many channels end here.
    pub fn channels(&self) -> usize {
        self.0.schemas.len()
    }

    /// Schema of the batches of `channel`, for decoding its frames.
    pub fn schema(&self, channel: usize) -> &SchemaRef {
        &self.0.schemas[channel]
    }

    /// Queues an element of `channel` and never waits: the producer respects the budget.
    /// `cost_bytes` is what the element used of it (0 unless a batch).
    /// Fails with kind External when the consumer is gone.
    pub fn push(&self, channel: usize, element: StreamElement, cost_bytes: u64) -> Result<()> {
        let mut queues = self.lock();
        if queues.closed {
            return Err(gone());
        }
        queues.push(channel, element, cost_bytes);
        drop(queues);
        self.0.consumer.wake();
        Ok(())
    }

    /// The channel broke: the consuming task fails with this error. The first one counts.
    pub fn fail(&self, channel: usize, error: Error) {
        let mut queues = self.lock();
        if queues.failure.is_none() {
            queues.failure = Some(error.at(format!("input channel {channel}")));
        }
        drop(queues);
        self.0.consumer.wake();
    }

    /// `listener` is called with the cost of every batch of `channel` that the consumer
    /// takes, from the consumer's thread, hence must not block. Only the first call counts.
    pub fn set_credit_listener(&self, channel: usize, listener: CreditListener) {
        let _ = self.0.listeners[channel].set(listener);
    }

    /// The producer's end of `channel` in this process.
    pub fn local_sender(&self, channel: usize) -> LocalSender {
        LocalSender { gate: self.clone(), channel }
    }

    /// Whether the consumer has ended.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Bytes queued in all channels.
    pub fn queued_bytes(&self) -> u64 {
        self.lock().queued_bytes
    }

    /// Bytes queued in one channel.
    pub fn queued_bytes_of(&self, channel: usize) -> u64 {
        self.lock().channels[channel].bytes
    }

    /// The next element of a channel that is not blocked, channels in turn. With a small
    /// batch come the small batches that can be had at once: `port_of` tells which may join.
    pub(crate) fn poll_take(&self, cx: &mut Context<'_>, port_of: &[usize]) -> Poll<Result<Taken>> {
        if let Some(taken) = self.try_take(port_of) {
            return Poll::Ready(taken);
        }
        self.0.consumer.register(cx.waker());
        match self.try_take(port_of) {
            Some(taken) => Poll::Ready(taken),
            None => Poll::Pending,
        }
    }

    fn try_take(&self, port_of: &[usize]) -> Option<Result<Taken>> {
        let mut queues = self.lock();
        if let Some(error) = queues.failure.take() {
            return Some(Err(error));
        }
        let mut credits: Vec<(usize, u64)> = Vec::new();
        let (channel, element, bytes) = queues.pop(&mut credits)?;
        let mut taken = Taken { channel, element, bytes, more: Vec::new() };
        if let StreamElement::Batch(batch) = &taken.element
            && batch.num_rows() < SMALL_ROWS
        {
            let schema = batch.schema();
            let rows = batch.num_rows();
            queues.gather(&mut taken, rows, &schema, port_of, &mut credits);
        }
        drop(queues);
        for (channel, bytes) in credits {
            if let Some(listener) = self.0.listeners[channel].get() {
                listener(bytes);
            }
        }
        Some(Ok(taken))
    }

    /// Stops, or resumes, taking from a channel (alignment).
    pub(crate) fn set_blocked(&self, channel: usize, blocked: bool) {
        self.lock().set_blocked(channel, blocked);
    }

    /// The consumer ends: queued elements are dropped and producers fail.
    pub(crate) fn close(&self) {
        let mut queues = self.lock();
        queues.closed = true;
        queues.queued_bytes = 0;
        queues.ready.clear();
        let mut wakers = Vec::new();
        let mut dropped = Vec::new();
        for queue in &mut queues.channels {
            queue.bytes = 0;
            dropped.push(std::mem::take(&mut queue.elements));
            wakers.extend(queue.producer.take());
        }
        drop(queues);
        drop(dropped);
        for waker in wakers {
            waker.wake();
        }
    }
}

fn gone() -> Error {
    Error::external("the consuming task has ended; the job restarts when its failure is known")
}

impl Queues {
    /// Control elements cost nothing, hence must not pile up: one that makes the queue's
    /// last element void takes its place.
    fn push(&mut self, channel: usize, element: StreamElement, cost: u64) {
        use StreamElement::{Idle, Watermark};
        let queue = &mut self.channels[channel];
        match &element {
            Watermark(_) => {
                while matches!(queue.elements.back(), Some((Watermark(_) | Idle, _))) {
                    queue.elements.pop_back();
                }
            }
            Idle => {
                if matches!(queue.elements.back(), Some((Idle, _))) {
                    queue.elements.pop_back();
                }
            }
            StreamElement::Batch(_) | StreamElement::Barrier(_) | StreamElement::EndOfInput => {}
        }
        queue.elements.push_back((element, cost));
        queue.bytes += cost;
        self.queued_bytes += cost;
        self.list(channel);
    }

    fn list(&mut self, channel: usize) {
        let queue = &mut self.channels[channel];
        if !queue.listed && !queue.blocked && !queue.elements.is_empty() {
            queue.listed = true;
            self.ready.push_back(channel);
        }
    }

    /// The first element of the channel whose turn it is.
    fn pop(&mut self, credits: &mut Vec<(usize, u64)>) -> Option<(usize, StreamElement, u64)> {
        let channel = self.ready.pop_front()?;
        let queue = &mut self.channels[channel];
        queue.listed = false;
        let (element, cost) = queue.elements.pop_front()?;
        queue.bytes -= cost;
        self.queued_bytes -= cost;
        if cost > 0 {
            credits.push((channel, cost));
            if let Some(waker) = queue.producer.take() {
                waker.wake();
            }
        }
        self.list(channel);
        Some((channel, element, cost))
    }

    /// Adds small batches of the same port to `taken` as long as the channel whose turn it
    /// is has one. Order within each channel is kept; across channels there is none.
    fn gather(
        &mut self,
        taken: &mut Taken,
        mut rows: usize,
        schema: &SchemaRef,
        port_of: &[usize],
        credits: &mut Vec<(usize, u64)>,
    ) {
        let port = port_of[taken.channel];
        while taken.more.len() < GATHER_BATCHES {
            let Some(&channel) = self.ready.front() else { return };
            if port_of[channel] != port {
                return;
            }
            let Some((StreamElement::Batch(next), cost)) = self.channels[channel].elements.front()
            else {
                return;
            };
            let other = next.schema_ref();
            let fits = next.num_rows() < SMALL_ROWS
                && rows + next.num_rows() <= GATHER_ROWS
                && taken.bytes + cost <= GATHER_BYTES
                && (std::sync::Arc::ptr_eq(other, schema) || other == schema);
            if !fits {
                return;
            }
            // The very element just looked at: it is first in line.
            if let Some((channel, StreamElement::Batch(batch), cost)) = self.pop(credits) {
                rows += batch.num_rows();
                taken.bytes += cost;
                taken.more.push((channel, batch));
            }
        }
    }

    fn set_blocked(&mut self, channel: usize, blocked: bool) {
        let queue = &mut self.channels[channel];
        queue.blocked = blocked;
        if blocked && std::mem::take(&mut queue.listed) {
            self.ready.retain(|ready| *ready != channel);
        }
        self.list(channel);
    }
}

/// The producer's end of a channel to a task in the same process: batches go by reference.
pub struct LocalSender {
    gate: GateHandle,
    channel: usize,
}

impl LocalSender {
    /// See [`super::ChannelSender::send`].
    pub async fn send(&mut self, element: StreamElement) -> Result<()> {
        let cost = match &element {
            StreamElement::Batch(batch) => batch_bytes(batch),
            StreamElement::Watermark(_)
            | StreamElement::Barrier(_)
            | StreamElement::Idle
            | StreamElement::EndOfInput => 0,
        };
        let mut element = Some(element);
        poll_fn(|cx| self.poll_send(cx, &mut element, cost)).await
    }

    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        element: &mut Option<StreamElement>,
        cost: u64,
    ) -> Poll<Result<()>> {
        let mut queues = self.gate.lock();
        if queues.closed {
            return Poll::Ready(Err(gone()));
        }
        let queue = &mut queues.channels[self.channel];
        let fits = queue.bytes == 0 || queue.bytes + cost <= CHANNEL_BUDGET_BYTES as u64;
        if cost > 0 && !fits {
            queue.producer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if let Some(element) = element.take() {
            queues.push(self.channel, element, cost);
        }
        drop(queues);
        self.gate.0.consumer.wake();
        Poll::Ready(Ok(()))
    }
}
