//! Two ends of the data plane in one process, joined by real gRPC.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use arrow::array::{Int64Array, RecordBatch};
use async_trait::async_trait;
use bytes::Bytes;
use model::deployment::ChannelId;
use model::{Attempt, ErrorKind, JobId, StreamElement, SubtaskIndex, Watermark};
use proto::v1;
use proto::v1::data_frame::Body;
use proto::v1::data_service_client::DataServiceClient;
use proto::v1::data_service_server::DataServiceServer;
use runtime::channel::contract::{self, Transport};
use runtime::channel::{CHANNEL_BUDGET_BYTES, ChannelSender, Exchange, frame};
use runtime::input_gate::{GateEvent, InputGate};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use crate::data_server::DataServer;
use crate::exchange::DataExchange;
use crate::gates::GateRegistry;
use crate::wire;

/// The data plane of one TaskManager.
struct Node {
    addr: String,
    exchange: DataExchange,
    stopping: CancellationToken,
}

impl Node {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await;
        let listener = listener.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let (gates, stopping) = (Arc::<GateRegistry>::default(), CancellationToken::new());
        let server = DataServer { gates: Arc::clone(&gates), stopping: stopping.clone() };
        let server =
            DataServiceServer::new(server).max_decoding_message_size(wire::MAX_DATA_MESSAGE_BYTES);
        let serve = Server::builder().add_service(server).serve_with_incoming_shutdown(
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            stopping.clone().cancelled_owned(),
        );
        tokio::spawn(serve);
        let io = tokio::runtime::Handle::current();
        let exchange = DataExchange::new(addr.clone(), io, gates, None, stopping.clone());
        Self { addr, exchange, stopping }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

fn id(edge: u32, from: u32) -> ChannelId {
    ChannelId {
        job: JobId(7),
        attempt: Attempt(1),
        edge,
        from: SubtaskIndex(from),
        to: SubtaskIndex(0),
    }
}

struct Grpc {
    consumer: Node,
    producer: Node,
    edges: AtomicU32,
    last: Mutex<Vec<ChannelId>>,
}

impl Grpc {
    async fn start() -> Self {
        let (consumer, producer) = (Node::start().await, Node::start().await);
        Self { consumer, producer, edges: AtomicU32::new(0), last: Mutex::default() }
    }
}

#[async_trait]
impl Transport for Grpc {
    async fn connect(&self, gate: &InputGate) -> Vec<ChannelSender> {
        let edge = self.edges.fetch_add(1, Ordering::SeqCst);
        let handle = gate.handle();
        let ids: Vec<_> = (0..handle.channels() as u32).map(|from| id(edge, from)).collect();
        // Producers ask first: they must find a consumer that comes later.
        let waiting = ids.iter().map(|id| self.producer.exchange.connect(*id, &self.consumer.addr));
        let waiting: Vec<_> = waiting.map(tokio::spawn).collect();
        tokio::task::yield_now().await;
        self.consumer.exchange.register_gate(ids.clone(), handle);
        let mut senders = Vec::new();
        for sender in waiting {
            senders.push(sender.await.unwrap().unwrap());
        }
        assert!(senders.iter().all(|s| matches!(s, ChannelSender::Remote(_))));
        *self.last.lock().unwrap() = ids;
        senders
    }

    async fn close(&self, gate: InputGate) {
        drop(gate);
        self.consumer.exchange.unregister(&std::mem::take(&mut *self.last.lock().unwrap()));
    }
}

macro_rules! contract {
    ($($name:ident),*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() { contract::$name(&Grpc::start().await).await })*
    };
}

contract!(
    keeps_order,
    a_slow_consumer_bounds_what_is_sent,
    a_blocked_channel_does_not_hold_up_others,
    an_element_larger_than_the_budget_passes,
    the_end_of_the_consumer_fails_the_producer
);

fn batch(rows: i64) -> RecordBatch {
    let values = Int64Array::from_iter_values(0..rows);
    RecordBatch::try_new(contract::schema(), vec![Arc::new(values)]).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_own_address_means_local() {
    let node = Node::start().await;
    let mut gate = contract::gate(1);
    node.exchange.register_gate(vec![id(0, 0)], gate.handle());
    let mut sender = node.exchange.connect(id(0, 0), &node.addr).await.unwrap();
    assert!(matches!(sender, ChannelSender::Local(_)));
    sender.send(StreamElement::Batch(batch(3))).await.unwrap();
    let GateEvent::Batch { batch, .. } = gate.next().await.unwrap() else { panic!("no batch") };
    assert_eq!(batch.num_rows(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_connection_fails_exactly_its_channels() {
    let (consumer, broken, sound) = (Node::start().await, Node::start().await, Node::start().await);
    let (mut failing, mut living) = (contract::gate(2), contract::gate(1));
    consumer.exchange.register_gate(vec![id(0, 0), id(0, 1)], failing.handle());
    consumer.exchange.register_gate(vec![id(1, 0)], living.handle());
    let mut lost = broken.exchange.connect(id(0, 0), &consumer.addr).await.unwrap();
    let mut other = sound.exchange.connect(id(1, 0), &consumer.addr).await.unwrap();
    lost.send(StreamElement::Watermark(Watermark(1))).await.unwrap();
    broken.exchange.disconnect(&consumer.addr).await;
    let error = failing.next().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::External);
    assert!(error.message().contains("lost the connection"), "{error}");
    let error = loop {
        if let Err(error) = lost.send(StreamElement::Batch(batch(100))).await {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::External);
    other.send(StreamElement::Watermark(Watermark(5))).await.unwrap();
    assert!(matches!(living.next().await.unwrap(), GateEvent::Watermark(Watermark(5))));
    // The next attempt gets a new connection.
    let mut again = contract::gate(1);
    consumer.exchange.register_gate(vec![id(2, 0)], again.handle());
    let mut sender = broken.exchange.connect(id(2, 0), &consumer.addr).await.unwrap();
    sender.send(StreamElement::EndOfInput).await.unwrap();
    while !matches!(again.next().await.unwrap(), GateEvent::EndOfInput) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_stops_fails_its_producers() {
    let (consumer, producer) = (Node::start().await, Node::start().await);
    let gate = contract::gate(1);
    consumer.exchange.register_gate(vec![id(0, 0)], gate.handle());
    let mut sender = producer.exchange.connect(id(0, 0), &consumer.addr).await.unwrap();
    drop(consumer);
    let error = loop {
        if let Err(error) = sender.send(StreamElement::Batch(batch(8192))).await {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::External);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_there_is_an_external_error() {
    let node = Node::start().await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let Err(error) = node.exchange.connect(id(0, 0), &free.to_string()).await else {
        panic!("connected to nobody")
    };
    assert_eq!(error.kind(), ErrorKind::External);
    assert!(error.message().contains(&free.to_string()), "{error}");
}

/// A hand-made producer, to send what ours never would.
struct Raw {
    frames: mpsc::Sender<v1::DataFrame>,
    credits: tonic::Streaming<v1::CreditFrame>,
}

impl Raw {
    async fn connect(addr: &str) -> Self {
        let (frames, queued) = mpsc::channel(16);
        let mut client = DataServiceClient::connect(format!("http://{addr}")).await.unwrap();
        let queued = tokio_stream::wrappers::ReceiverStream::new(queued);
        let credits = client.exchange(queued).await.unwrap().into_inner();
        Self { frames, credits }
    }

    async fn open(&mut self, channel: ChannelId) {
        self.frames.send(wire::open_frame(&channel)).await.unwrap();
        let credit = self.credits.message().await.unwrap().unwrap();
        assert_eq!(wire::channel_of_credit(&credit), Some(channel));
        assert_eq!((credit.bytes, credit.closed.as_str()), (CHANNEL_BUDGET_BYTES as u64, ""));
    }

    async fn send(&self, channel: ChannelId, sequence: u64, body: Body) {
        let (cost, crc32c) = match &body {
            Body::Batch(bytes) => (bytes.len() as u32, crc32c::crc32c(bytes)),
            _ => (0, 0),
        };
        let frame = v1::DataFrame {
            sequence,
            cost,
            crc32c,
            body: Some(body),
            ..wire::open_frame(&channel)
        };
        self.frames.send(frame).await.unwrap();
    }

    async fn closed(&mut self) -> (Option<ChannelId>, String) {
        loop {
            let credit = self.credits.message().await.unwrap().unwrap();
            if !credit.closed.is_empty() {
                return (wire::channel_of_credit(&credit), credit.closed);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_fails_its_channel_only() {
    let consumer = Node::start().await;
    let mut raw = Raw::connect(&consumer.addr).await;
    let mut living = contract::gate(1);
    consumer.exchange.register_gate(vec![id(99, 0)], living.handle());
    raw.open(id(99, 0)).await;
    let good = frame::encode_batch(&batch(100)).unwrap();
    let garbage = Bytes::from_static(b"this is no batch at all");
    let cases = [
        (vec![(2, Body::Watermark(1))], "frame 2 arrived where 1 was due"),
        (vec![(1, Body::Watermark(1)), (1, Body::Watermark(1))], "frame 1 arrived where 2"),
        (vec![(1, Body::Batch(garbage))], "corrupt"),
    ];
    for (edge, (frames, expected)) in cases.into_iter().enumerate() {
        let channel = id(edge as u32, 0);
        let mut gate = contract::gate(1);
        consumer.exchange.register_gate(vec![channel], gate.handle());
        raw.open(channel).await;
        for (sequence, body) in frames {
            raw.send(channel, sequence, body).await;
        }
        let (closed, why) = raw.closed().await;
        assert_eq!(closed, Some(channel));
        assert!(why.contains(expected), "{why}");
        let error = loop {
            if let Err(error) = gate.next().await {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::External);
        assert!(error.message().contains(expected), "{error}");
    }
    let (channel, mut gate) = (id(10, 0), contract::gate(1));
    consumer.exchange.register_gate(vec![channel], gate.handle());
    raw.open(channel).await;
    let mut flipped = good.to_vec();
    flipped[5] ^= 4;
    let frame = v1::DataFrame {
        sequence: 1,
        cost: good.len() as u32,
        crc32c: crc32c::crc32c(&good),
        body: Some(Body::Batch(flipped.into())),
        ..wire::open_frame(&channel)
    };
    raw.frames.send(frame).await.unwrap();
    assert!(raw.closed().await.1.contains("checksum"));
    assert!(gate.next().await.unwrap_err().message().contains("checksum"));

    raw.send(id(55, 0), 1, Body::Watermark(1)).await;
    let (closed, why) = raw.closed().await;
    assert_eq!(closed, Some(id(55, 0)));
    assert!(why.contains("not open here"), "{why}");

    raw.send(id(99, 0), 1, Body::Batch(good)).await;
    let GateEvent::Batch { batch, .. } = living.next().await.unwrap() else { panic!("no batch") };
    assert_eq!(batch.num_rows(), 100);
}
