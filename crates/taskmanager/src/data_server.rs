//! The consumer's side of the data plane: takes frames off a connection and puts them into
//! the gates of the tasks here, grants credit back. Its reader never waits for a task:
//! credit guarantees room in the gate. One instance per process, one reader per connection.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use model::deployment::ChannelId;
use model::{Error, Result, StreamElement, Watermark};
use proto::v1;
use proto::v1::data_frame::Body;
use runtime::channel::{CHANNEL_BUDGET_BYTES, GateHandle, frame};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::credits::Credits;
use crate::gates::{Gates, name};
use crate::{traffic, wire};

pub(crate) struct DataServer {
    pub(crate) gates: Gates,
    /// Canceled when the process stops: connections end.
    pub(crate) stopping: CancellationToken,
}

#[tonic::async_trait]
impl v1::data_service_server::DataService for DataServer {
    type ExchangeStream = BoxStream<'static, std::result::Result<v1::CreditFrame, Status>>;

    async fn exchange(
        &self,
        request: Request<Streaming<v1::DataFrame>>,
    ) -> std::result::Result<Response<Self::ExchangeStream>, Status> {
        let peer = request.remote_addr().map_or_else(|| "a peer".to_owned(), |a| a.to_string());
        let credits = Arc::new(Credits::default());
        let inbound = Arc::new(Inbound {
            gates: Arc::clone(&self.gates),
            credits: Arc::clone(&credits),
            channels: Mutex::default(),
            ended: self.stopping.child_token(),
        });
        tokio::spawn(inbound.read(peer, request.into_inner()));
        Ok(Response::new(credits.stream().boxed()))
    }
}

/// One connection from a producing TaskManager.
struct Inbound {
    gates: Gates,
    credits: Arc<Credits>,
    channels: Mutex<BTreeMap<ChannelId, Inbox>>,
    ended: CancellationToken,
}

struct Inbox {
    gate: GateHandle,
    index: usize,
    /// What the next frame must carry.
    sequence: u64,
}

impl Inbound {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ChannelId, Inbox>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read(self: Arc<Self>, peer: String, mut frames: Streaming<v1::DataFrame>) {
        let why = loop {
            let next = tokio::select! {
                biased;
                () = self.ended.cancelled() => break "this task manager stops".to_owned(),
                next = frames.message() => next,
            };
            match next {
                Ok(Some(frame)) => {
                    if let Err(error) = self.on_frame(frame) {
                        break error.chain();
                    }
                }
                Ok(None) => break "the peer closed it".to_owned(),
                Err(status) => break status.message().to_owned(),
            }
        };
        self.ended.cancel();
        self.credits.finish();
        let broken = std::mem::take(&mut *self.lock());
        if !broken.is_empty() {
            tracing::warn!(%peer, channels = broken.len(), why, "lost a data connection");
        }
        for (channel, inbox) in broken {
            self.gates.detach(&channel);
            inbox.gate.fail(
                inbox.index,
                Error::external(format!(
                    "{}: lost the connection from {peer}: {why}",
                    name(&channel)
                )),
            );
        }
    }

    /// Fails only when the peer does not speak our protocol; then the connection ends.
    fn on_frame(self: &Arc<Self>, frame: v1::DataFrame) -> Result<()> {
        let channel = wire::channel_of_data(&frame)
            .ok_or_else(|| Error::external("a data frame names no channel"))?;
        if matches!(frame.body, Some(Body::Open(_))) {
            tokio::spawn(Arc::clone(self).open(channel));
            return Ok(());
        }
        traffic::received(u64::from(frame.cost));
        let mut channels = self.lock();
        let Some(inbox) = channels.get_mut(&channel) else {
            drop(channels);
            // What was in flight when the channel closed ends up here too.
            self.credits.close(channel, format!("{} is not open here", name(&channel)));
            return Ok(());
        };
        let ends = matches!(frame.body, Some(Body::End(_)));
        match deliver(inbox, frame) {
            Ok(()) if ends => {
                channels.remove(&channel);
                drop(channels);
                self.gates.detach(&channel);
                self.credits.forget(&channel);
            }
            Ok(()) => {}
            Err(error) => {
                let inbox = channels.remove(&channel);
                drop(channels);
                let error = error.at(name(&channel));
                self.gates.detach(&channel);
                self.credits.close(channel, error.chain());
                if let Some(inbox) = inbox {
                    inbox.gate.fail(inbox.index, error);
                }
            }
        }
        Ok(())
    }

    /// Answers an announcement once the consumer has registered.
    async fn open(self: Arc<Self>, channel: ChannelId) {
        let found = tokio::select! {
            biased;
            () = self.ended.cancelled() => return,
            found = self.gates.registered(channel) => found,
        };
        let (gate, index) = match found {
            Ok(found) => found,
            Err(error) => return self.credits.close(channel, error.chain()),
        };
        let credits = Arc::clone(&self.credits);
        let on_end =
            move || credits.close(channel, format!("the consumer of {} has ended", name(&channel)));
        if !self.gates.attach(&channel, Box::new(on_end)) {
            let why = format!("{} is in use, or its consumer has ended", name(&channel));
            return self.credits.close(channel, why);
        }
        let credits = Arc::clone(&self.credits);
        gate.set_credit_listener(index, Box::new(move |bytes| credits.taken(channel, bytes)));
        let mut channels = self.lock();
        if self.ended.is_cancelled() {
            drop(channels);
            gate.fail(index, Error::external(format!("{}: lost the connection", name(&channel))));
            return;
        }
        channels.insert(channel, Inbox { gate, index, sequence: 1 });
        drop(channels);
        self.credits.grant(channel, CHANNEL_BUDGET_BYTES as u64);
    }
}

/// Puts one frame into the gate. An error fails this channel only.
fn deliver(inbox: &mut Inbox, frame: v1::DataFrame) -> Result<()> {
    if frame.sequence != inbox.sequence {
        return Err(Error::external(format!(
            "frame {} arrived where {} was due: data was lost or repeated",
            frame.sequence, inbox.sequence
        )));
    }
    inbox.sequence += 1;
    let (element, cost) = match frame.body {
        Some(Body::Batch(bytes)) => {
            let cost = u64::from(frame.cost);
            (decode(inbox, &bytes, frame.crc32c, cost)?, cost)
        }
        Some(Body::Watermark(ms)) => (StreamElement::Watermark(Watermark(ms)), 0),
        Some(Body::Barrier(barrier)) => (StreamElement::Barrier(wire::barrier(&barrier)), 0),
        Some(Body::Idle(_)) => (StreamElement::Idle, 0),
        Some(Body::End(_)) => (StreamElement::EndOfInput, 0),
        Some(Body::Open(_)) | None => {
            return Err(Error::external("a frame without a body that is known here"));
        }
    };
    inbox.gate.push(inbox.index, element, cost)
}

fn decode(inbox: &Inbox, bytes: &Bytes, crc32c: u32, cost: u64) -> Result<StreamElement> {
    if cost != bytes.len() as u64 {
        return Err(Error::external(format!(
            "a batch of {} bytes says that it costs {cost}",
            bytes.len()
        )));
    }
    if crc32c::crc32c(bytes) != crc32c {
        return Err(Error::external("the checksum of a batch does not match: it was damaged"));
    }
    let batch = frame::decode_batch(bytes, inbox.gate.schema(inbox.index))?;
    Ok(StreamElement::Batch(batch))
}
