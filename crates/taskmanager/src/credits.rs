//! The credit that goes back to the producers of one connection: grants of one channel are
//! added up until they are worth a frame. Filled by consuming tasks (through the gate's
//! credit listener) and by `data_server.rs`, drained by the response stream.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::stream::{self, Stream};
use model::deployment::ChannelId;
use proto::v1::CreditFrame;
use runtime::channel::CHANNEL_BUDGET_BYTES;
use tokio::sync::Notify;

use crate::wire;

/// Less than this stays here. A producer always has half its budget when its queue is
/// empty, hence never waits for what is held back.
const WORTH_A_FRAME: u64 = CHANNEL_BUDGET_BYTES as u64 / 8;

/// At most one entry per channel, so it is bounded without ever making anybody wait.
#[derive(Default)]
pub(crate) struct Credits {
    pending: Mutex<Pending>,
    due: Notify,
}

#[derive(Default)]
struct Pending {
    held: BTreeMap<ChannelId, u64>,
    grants: BTreeMap<ChannelId, u64>,
    closed: BTreeMap<ChannelId, String>,
    finished: bool,
}

impl Credits {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The consumer took `bytes` from the queue of `channel`.
    pub(crate) fn taken(&self, channel: ChannelId, bytes: u64) {
        let mut pending = self.lock();
        let held = pending.held.entry(channel).or_default();
        *held += bytes;
        if *held < WORTH_A_FRAME {
            return;
        }
        let bytes = std::mem::take(held);
        *pending.grants.entry(channel).or_default() += bytes;
        drop(pending);
        self.due.notify_one();
    }

    /// Grants at once: the first credit, which also answers the producer's announcement.
    pub(crate) fn grant(&self, channel: ChannelId, bytes: u64) {
        *self.lock().grants.entry(channel).or_default() += bytes;
        self.due.notify_one();
    }

    /// The producer must fail the channel.
    pub(crate) fn close(&self, channel: ChannelId, why: String) {
        let mut pending = self.lock();
        pending.held.remove(&channel);
        pending.grants.remove(&channel);
        pending.closed.entry(channel).or_insert(why);
        drop(pending);
        self.due.notify_one();
    }

    /// Nothing more will come of this channel.
    pub(crate) fn forget(&self, channel: &ChannelId) {
        let mut pending = self.lock();
        pending.held.remove(channel);
        pending.grants.remove(channel);
    }

    /// The connection is over; the stream ends once it has sent what is pending.
    pub(crate) fn finish(&self) {
        self.lock().finished = true;
        self.due.notify_one();
    }

    /// What is due now; `None` when finished and empty.
    fn take(&self) -> Option<VecDeque<CreditFrame>> {
        let mut pending = self.lock();
        let grants = std::mem::take(&mut pending.grants);
        let closed = std::mem::take(&mut pending.closed);
        let frames: VecDeque<CreditFrame> = grants
            .iter()
            .map(|(channel, bytes)| wire::credit_frame(channel, *bytes, String::new()))
            .chain(closed.into_iter().map(|(channel, why)| wire::credit_frame(&channel, 0, why)))
            .collect();
        (!frames.is_empty() || !pending.finished).then_some(frames)
    }

    /// The frames for the producer, as they become due.
    pub(crate) fn stream(
        self: Arc<Self>,
    ) -> impl Stream<Item = Result<CreditFrame, tonic::Status>> + Send + 'static {
        stream::unfold((self, VecDeque::new()), |(credits, mut ready)| async move {
            loop {
                if let Some(frame) = ready.pop_front() {
                    return Some((Ok(frame), (credits, ready)));
                }
                ready = credits.take()?;
                if ready.is_empty() {
                    credits.due.notified().await;
                }
            }
        })
    }
}
