//! The producer's end of a channel to another process: frames against byte credit.
//! Built by `taskmanager`'s transport, which owns the connection: its writer takes
//! [`OutFrame`]s, its reader calls [`RemoteChannel::grant`] and [`RemoteChannel::fail`].

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use bytes::Bytes;
use model::deployment::ChannelId;
use model::{CheckpointBarrier, Error, ErrorKind, Result, StreamElement, Watermark};
use tokio::sync::mpsc;

use super::frame;

/// One frame on its way to the connection's writer.
#[derive(Clone, Debug)]
pub struct OutFrame {
    pub channel: ChannelId,
    /// Rises by one per frame of the channel, from 1 (the announcement is the transport's).
    pub sequence: u64,
    /// Credit used: the bytes of a batch body, else 0.
    pub cost: u32,
    pub body: FrameBody,
    /// CRC-32C of a batch body, else 0.
    pub crc32c: u32,
}

/// What a frame carries.
#[derive(Clone, Debug)]
pub enum FrameBody {
    /// `frame::encode_batch`.
    Batch(Bytes),
    Watermark(Watermark),
    Barrier(CheckpointBarrier),
    Idle,
    End,
}

/// What the transport and the sender share of one channel: credit and failure.
#[derive(Default)]
pub struct RemoteChannel {
    credit: Mutex<Credit>,
}

#[derive(Default)]
struct Credit {
    /// Bytes that may be sent now. Below zero after an element larger than the rest.
    available: i64,
    /// The first grant: the channel's budget.
    budget: i64,
    failure: Option<(ErrorKind, String)>,
    producer: Option<Waker>,
}

impl RemoteChannel {
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    fn lock(&self) -> MutexGuard<'_, Credit> {
        self.credit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The consumer granted `bytes` more. The first grant is the channel's whole budget; it
    /// may hold back, but no more than half the budget of what was taken from its queue.
    pub fn grant(&self, bytes: u64) {
        let mut credit = self.lock();
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        if credit.budget == 0 {
            credit.budget = bytes;
        }
        credit.available = credit.available.saturating_add(bytes);
        let waker = credit.producer.take();
        drop(credit);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The connection broke or the consumer refused: every later send fails with this.
    pub fn fail(&self, error: &Error) {
        let mut credit = self.lock();
        credit.failure.get_or_insert_with(|| (error.kind(), error.chain()));
        let waker = credit.producer.take();
        drop(credit);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The failure, if the channel failed.
    pub fn failure(&self) -> Option<Error> {
        self.lock().failure.as_ref().map(|(kind, text)| Error::new(*kind, text.clone()))
    }

    /// Waits until the consumer has answered, with its first grant or a failure.
    pub async fn opened(&self) -> Result<()> {
        self.wait(|credit| credit.budget > 0).await
    }

    /// Bytes sent and not granted again, for tests and metrics.
    pub fn outstanding_bytes(&self) -> u64 {
        let credit = self.lock();
        u64::try_from(credit.budget - credit.available).unwrap_or(0)
    }

    /// Takes `cost` bytes of credit. An element waits until it fits, or, when it is larger
    /// than half the budget, until half the budget is there.
    async fn acquire(&self, cost: u32) -> Result<()> {
        let cost = i64::from(cost);
        self.wait(|credit| {
            let enough = credit.budget > 0 && credit.available >= cost.min(credit.budget / 2);
            if enough {
                credit.available -= cost;
            }
            enough
        })
        .await
    }

    async fn wait(&self, mut ready: impl FnMut(&mut Credit) -> bool) -> Result<()> {
        poll_fn(|cx| {
            let mut credit = self.lock();
            if let Some((kind, text)) = &credit.failure {
                return Poll::Ready(Err(Error::new(*kind, text.clone())));
            }
            if ready(&mut credit) {
                return Poll::Ready(Ok(()));
            }
            credit.producer = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

/// The producer's end of a channel to another process.
pub struct RemoteSender {
    channel: ChannelId,
    frames: mpsc::Sender<OutFrame>,
    shared: Arc<RemoteChannel>,
    sequence: u64,
}

impl RemoteSender {
    /// `frames` leads to the writer of the connection; `shared` is what its reader feeds.
    pub fn new(
        channel: ChannelId,
        frames: mpsc::Sender<OutFrame>,
        shared: Arc<RemoteChannel>,
    ) -> Self {
        Self { channel, frames, shared, sequence: 0 }
    }

    /// See [`super::ChannelSender::send`].
    pub async fn send(&mut self, element: StreamElement) -> Result<()> {
        let body = match element {
            StreamElement::Batch(batch) => FrameBody::Batch(frame::encode_batch(&batch)?),
            StreamElement::Watermark(watermark) => FrameBody::Watermark(watermark),
            StreamElement::Barrier(barrier) => FrameBody::Barrier(barrier),
            StreamElement::Idle => FrameBody::Idle,
            StreamElement::EndOfInput => FrameBody::End,
        };
        let (cost, crc32c) = match &body {
            FrameBody::Batch(bytes) => {
                let cost = u32::try_from(bytes.len()).map_err(|_| {
                    Error::user("a batch of 4 GiB or more cannot be sent; make rows smaller")
                })?;
                (cost, crc32c::crc32c(bytes))
            }
            _ => (0, 0),
        };
        if cost > 0 {
            self.shared.acquire(cost).await?;
        } else if let Some(error) = self.shared.failure() {
            return Err(error);
        }
        let permit = match self.frames.reserve().await {
            Ok(permit) => permit,
            Err(_) => {
                let lost = || Error::external("the connection to the consuming task is lost");
                return Err(self.shared.failure().unwrap_or_else(lost));
            }
        };
        self.sequence += 1;
        let (channel, sequence) = (self.channel, self.sequence);
        permit.send(OutFrame { channel, sequence, cost, body, crc32c });
        Ok(())
    }
}
