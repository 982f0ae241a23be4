//! The producer's side of the data plane, and the local short cut: connects a task's
//! outputs to their consumers. Channels to one TaskManager share one connection.
//! Called by tasks through `runtime::channel::Exchange`.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::Stream;
use model::deployment::ChannelId;
use model::{Error, Result};
use proto::v1;
use proto::v1::data_service_client::DataServiceClient;
use runtime::channel::{
    ChannelSender, Exchange, FrameBody, GateHandle, OutFrame, RemoteChannel, RemoteSender,
};
use safety::{ClusterSecret, Prover};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::Endpoint;

use crate::gates::{Gates, REGISTRATION_PATIENCE, name};
use crate::{traffic, wire};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The consumer gives up first and says why; this is for a consumer that is gone.
const OPEN_TIMEOUT: Duration = REGISTRATION_PATIENCE.saturating_add(Duration::from_secs(5));
/// Frames between tasks and the connection's writer. Credit bounds their bytes.
const FRAMES_QUEUED: usize = 64;
/// A peer that stands still without closing its socket is noticed after about this long.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

type Peer = Arc<tokio::sync::Mutex<Option<Arc<Connection>>>>;

pub(crate) struct DataExchange {
    /// `host:port` under which other TaskManagers reach this one.
    own_addr: String,
    /// Connections live on this runtime, not on the core threads that ask for them.
    io: tokio::runtime::Handle,
    gates: Gates,
    peers: Arc<Mutex<BTreeMap<String, Peer>>>,
    /// Proved to every peer.
    secret: Option<ClusterSecret>,
    stopping: CancellationToken,
}

impl DataExchange {
    pub(crate) fn new(
        own_addr: String,
        io: tokio::runtime::Handle,
        gates: Gates,
        secret: Option<ClusterSecret>,
        stopping: CancellationToken,
    ) -> Self {
        Self { own_addr, io, gates, peers: Arc::default(), secret, stopping }
    }

    fn peer(&self, data_addr: &str) -> Peer {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        // Peers without a connection are forgotten when somebody asks for another one.
        peers.retain(|_, peer| {
            let alive =
                |c: &Option<Arc<Connection>>| c.as_ref().is_some_and(|c| !c.broken.is_cancelled());
            Arc::strong_count(peer) > 1 || peer.try_lock().is_ok_and(|c| alive(&c))
        });
        Arc::clone(peers.entry(data_addr.to_owned()).or_default())
    }

    /// Breaks the connection to a peer, as a network would.
    #[cfg(test)]
    pub(crate) async fn disconnect(&self, data_addr: &str) {
        if let Some(connection) = self.peer(data_addr).lock().await.as_ref() {
            connection.broken.cancel();
        }
    }
}

impl Exchange for DataExchange {
    fn register_gate(&self, channels: Vec<ChannelId>, gate: GateHandle) {
        self.gates.register(channels, &gate);
    }

    fn unregister(&self, channels: &[ChannelId]) {
        self.gates.unregister(channels);
    }

    fn connect(
        &self,
        channel: ChannelId,
        data_addr: &str,
    ) -> BoxFuture<'static, Result<ChannelSender>> {
        let gates = Arc::clone(&self.gates);
        let remote =
            (data_addr != self.own_addr).then(|| (self.peer(data_addr), data_addr.to_owned()));
        let stopping = self.stopping.clone();
        let secret = self.secret.clone();
        let connecting = AbortOnDropHandle::new(self.io.spawn(async move {
            let Some((peer, addr)) = remote else {
                let (gate, index) = gates.registered(channel).await?;
                return Ok(ChannelSender::Local(gate.local_sender(index)));
            };
            let connection = {
                let mut slot = peer.lock().await;
                match slot.as_ref().filter(|c| !c.broken.is_cancelled()) {
                    Some(connection) => Arc::clone(connection),
                    None => {
                        Arc::clone(slot.insert(Connection::open(addr, secret, &stopping).await?))
                    }
                }
            };
            connection.channel(channel).await.map(ChannelSender::Remote)
        }));
        Box::pin(async move {
            connecting
                .await
                .map_err(|e| Error::internal("connecting a channel was cut short").caused_by(e))?
        })
    }
}

/// The stream to one consuming TaskManager.
struct Connection {
    addr: String,
    announcements: mpsc::Sender<ChannelId>,
    frames: mpsc::Sender<OutFrame>,
    channels: Arc<Channels>,
    /// Canceled when the stream has ended, and to end it.
    broken: CancellationToken,
}

/// Channels by id; those whose sender is gone are dropped when another is opened.
#[derive(Default)]
struct Channels {
    open: Mutex<BTreeMap<ChannelId, Weak<RemoteChannel>>>,
}

impl Channels {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ChannelId, Weak<RemoteChannel>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, channel: &ChannelId) -> Option<Arc<RemoteChannel>> {
        self.lock().get(channel).and_then(Weak::upgrade)
    }
}

impl Connection {
    async fn open(
        addr: String,
        secret: Option<ClusterSecret>,
        stopping: &CancellationToken,
    ) -> Result<Arc<Self>> {
        let unreachable = |e: tonic::transport::Error| {
            Error::external(format!("cannot connect to the task manager at {addr}")).caused_by(e)
        };
        let transport = Endpoint::from_shared(format!("http://{addr}"))
            .map_err(unreachable)?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .initial_stream_window_size(wire::STREAM_WINDOW_BYTES)
            .initial_connection_window_size(wire::CONNECTION_WINDOW_BYTES)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .connect()
            .await
            .map_err(unreachable)?;
        let (announcements, announced) = mpsc::channel(FRAMES_QUEUED);
        let (frames, queued) = mpsc::channel(FRAMES_QUEUED);
        let channels = Arc::new(Channels::default());
        let broken = stopping.child_token();
        let outbound = Outbound {
            announced,
            queued,
            channels: Arc::clone(&channels),
            broken: Box::pin(broken.clone().cancelled_owned()),
        };
        let credits = DataServiceClient::new(Prover::new(transport, secret))
            .max_encoding_message_size(wire::MAX_DATA_MESSAGE_BYTES)
            .exchange(outbound)
            .await
            .map_err(|status| proto::status_to_error(&addr, &status))?
            .into_inner();
        let connection = Arc::new(Self { addr, announcements, frames, channels, broken });
        tokio::spawn(read_credits(
            connection.addr.clone(),
            credits,
            Arc::clone(&connection.channels),
            connection.broken.clone(),
        ));
        Ok(connection)
    }

    async fn channel(&self, channel: ChannelId) -> Result<RemoteSender> {
        let shared = RemoteChannel::new();
        {
            let mut open = self.channels.lock();
            open.retain(|_, c| c.strong_count() > 0);
            open.insert(channel, Arc::downgrade(&shared));
        }
        let lost =
            || Error::external(format!("lost the connection to the task manager at {}", self.addr));
        self.announcements.send(channel).await.map_err(|_| lost())?;
        let answered = tokio::select! {
            biased;
            () = self.broken.cancelled() => return Err(shared.failure().unwrap_or_else(lost)),
            answered = tokio::time::timeout(OPEN_TIMEOUT, shared.opened()) => answered,
        };
        answered.map_err(|_| {
            Error::external(format!("{} did not answer for {}", self.addr, name(&channel)))
        })??;
        Ok(RemoteSender::new(channel, self.frames.clone(), shared))
    }
}

/// Hands credit to the channels until the stream ends, then fails those that are left.
async fn read_credits(
    addr: String,
    mut credits: tonic::Streaming<v1::CreditFrame>,
    channels: Arc<Channels>,
    broken: CancellationToken,
) {
    let why = loop {
        let next = tokio::select! {
            biased;
            () = broken.cancelled() => break "it was closed here".to_owned(),
            next = credits.message() => next,
        };
        let frame = match next {
            Ok(Some(frame)) => frame,
            Ok(None) => break "the peer closed it".to_owned(),
            Err(status) => break status.message().to_owned(),
        };
        let Some(channel) = wire::channel_of_credit(&frame) else {
            break "the peer does not speak our protocol".to_owned();
        };
        let Some(shared) = channels.get(&channel) else { continue };
        if frame.closed.is_empty() {
            shared.grant(frame.bytes);
        } else {
            shared.fail(&Error::external(format!("{addr} closed it: {}", frame.closed)));
        }
    };
    // First no more channels may join, then those that have joined fail.
    broken.cancel();
    let left: Vec<_> = std::mem::take(&mut *channels.lock()).into_values().collect();
    let left: Vec<_> = left.iter().filter_map(Weak::upgrade).collect();
    if !left.is_empty() {
        tracing::warn!(peer = addr, channels = left.len(), why, "lost a data connection");
    }
    for shared in left {
        shared.fail(&Error::external(format!("lost the connection to {addr}: {why}")));
    }
}

/// The frames of a connection in order: announcements go first, since nothing of their
/// channel can be waiting behind them.
struct Outbound {
    announced: mpsc::Receiver<ChannelId>,
    queued: mpsc::Receiver<OutFrame>,
    channels: Arc<Channels>,
    /// Ends this half of the stream when the other one has ended.
    broken: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Outbound {
    /// A frame too large for the wire would break the connection for all: only its own
    /// channel fails.
    fn refuse(&self, frame: &OutFrame) -> bool {
        let FrameBody::Batch(bytes) = &frame.body else { return false };
        let limit = wire::MAX_DATA_MESSAGE_BYTES - 1024;
        if bytes.len() <= limit {
            return false;
        }
        if let Some(shared) = self.channels.get(&frame.channel) {
            shared.fail(&Error::user(format!(
                "a batch of {} bytes is too large to be sent (the limit is {limit}); make rows smaller",
                bytes.len()
            )));
        }
        true
    }
}

impl Stream for Outbound {
    type Item = v1::DataFrame;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.broken.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        if let Poll::Ready(Some(channel)) = self.announced.poll_recv(cx) {
            return Poll::Ready(Some(wire::open_frame(&channel)));
        }
        loop {
            match self.queued.poll_recv(cx) {
                Poll::Ready(Some(frame)) if self.refuse(&frame) => {}
                Poll::Ready(Some(frame)) => {
                    if let FrameBody::Batch(bytes) = &frame.body {
                        traffic::sent(bytes.len() as u64);
                    }
                    return Poll::Ready(Some(wire::data_frame(frame)));
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
