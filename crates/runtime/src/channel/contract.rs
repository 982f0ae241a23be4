//! What every transport must do, as functions that test one: called by the tests here for
//! local channels and for the credit protocol, and by `taskmanager` for its connections.
//! They panic with what went wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use async_trait::async_trait;
use model::{CheckpointBarrier, CheckpointId, StreamElement, SystemClock, Watermark};

use super::{CHANNEL_BUDGET_BYTES, ChannelSender};
use crate::input_gate::{GateChannel, GateEvent, InputGate};

/// A way to connect producers with a consumer.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Makes `gate` reachable and gives a sender for each of its channels, in order.
    async fn connect(&self, gate: &InputGate) -> Vec<ChannelSender>;
    /// The consumer ends.
    async fn close(&self, gate: InputGate) {
        drop(gate);
    }
}

/// Schema of the batches that the contract sends: one BIGINT column.
pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, false)]))
}

/// A gate with this many channels of [`schema`], all of port 0.
pub fn gate(channels: usize) -> InputGate {
    let channel = GateChannel { port: 0, schema: schema() };
    InputGate::new(vec![channel; channels], Arc::new(SystemClock))
}

fn batch(from: i64, rows: i64) -> RecordBatch {
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + rows));
    RecordBatch::try_new(schema(), vec![values]).expect("the column fits the schema")
}

fn values(batch: &RecordBatch) -> Vec<i64> {
    batch.column(0).as_primitive::<Int64Type>().values().to_vec()
}

fn barrier(id: u64) -> CheckpointBarrier {
    CheckpointBarrier { id: CheckpointId(id), triggered_at_ms: 7 }
}

async fn next(gate: &mut InputGate) -> GateEvent {
    gate.next().await.expect("the gate must not fail")
}

/// Elements of a channel come out whole and in the order they went in.
pub async fn keeps_order(transport: &dyn Transport) {
    let mut gate = gate(1);
    let mut sender = transport.connect(&gate).await.remove(0);
    let send = async move {
        for n in 0..300 {
            let rows = [1, 10, 3000][n as usize % 3];
            let element = StreamElement::Batch(batch(n * 10_000, rows));
            sender.send(element).await.expect("send");
            if n % 7 == 0 {
                sender.send(StreamElement::Watermark(Watermark(n))).await.expect("send");
            }
            if n % 50 == 49 {
                let barrier = barrier(n as u64);
                sender.send(StreamElement::Barrier(barrier)).await.expect("send");
            }
        }
        sender.send(StreamElement::Idle).await.expect("send");
        sender.send(StreamElement::Watermark(Watermark::MAX)).await.expect("send");
        sender.send(StreamElement::EndOfInput).await.expect("send");
        sender
    };
    let receive = async {
        let (mut seen, mut watermark, mut barriers) = (Vec::new(), i64::MIN, Vec::new());
        loop {
            match next(&mut gate).await {
                GateEvent::Batch { batch, .. } => seen.extend(values(&batch)),
                GateEvent::Watermark(Watermark::MAX) => watermark = i64::MAX,
                GateEvent::Watermark(Watermark(ms)) => {
                    assert!(ms > watermark, "watermark {ms} after {watermark}");
                    assert_eq!(seen.last().map(|v| v / 10_000), Some(ms), "it overtook rows");
                    watermark = ms;
                }
                GateEvent::Barrier(aligned) => {
                    assert_eq!(aligned.barrier.triggered_at_ms, 7);
                    let id = aligned.barrier.id.0;
                    assert_eq!(seen.last().map(|v| v / 10_000), Some(id as i64));
                    barriers.push(id);
                }
                GateEvent::Idle => {}
                GateEvent::EndOfInput => break,
                GateEvent::Superseded(id) => panic!("checkpoint {id} was superseded"),
            }
        }
        assert_eq!(watermark, i64::MAX);
        assert_eq!(barriers, [49, 99, 149, 199, 249, 299]);
        seen
    };
    let (_sender, seen) = futures::join!(send, receive);
    let sent = (0..300).flat_map(|n| {
        let from = n * 10_000;
        from..from + [1, 10, 3000][n as usize % 3]
    });
    assert_eq!(seen, sent.collect::<Vec<_>>());
}

const ROWS: i64 = 8192;
/// About what a batch of [`ROWS`] rows costs.
const COST: u64 = ROWS as u64 * 8;

/// Sends `count` batches and counts the bytes for which `send` has returned.
fn produce(
    mut sender: ChannelSender,
    count: i64,
    sent: &Arc<AtomicU64>,
) -> tokio::task::JoinHandle<ChannelSender> {
    let sent = Arc::clone(sent);
    tokio::spawn(async move {
        for n in 0..count {
            sender.send(StreamElement::Batch(batch(n * ROWS, ROWS))).await.expect("send");
            sent.fetch_add(COST, SeqCst);
        }
        sender
    })
}

/// A consumer that does not read stops its producer at the budget; each batch it reads
/// lets about one more pass.
pub async fn a_slow_consumer_bounds_what_is_sent(transport: &dyn Transport) {
    let mut gate = gate(1);
    let sender = transport.connect(&gate).await.remove(0);
    let sent = Arc::new(AtomicU64::new(0));
    let producer = produce(sender, 100, &sent);
    let budget = CHANNEL_BUDGET_BYTES as u64;
    let mut read = 0;
    while read < 100 * COST {
        // Progress up to the budget is certain; beyond it there must be none.
        let due = (read + budget - COST).min(100 * COST);
        while sent.load(SeqCst) + COST < due {
            tokio::task::yield_now().await;
        }
        for _ in 0..100 {
            tokio::task::yield_now().await;
            let outside = sent.load(SeqCst) - read;
            assert!(outside <= budget, "{outside} bytes are queued");
        }
        match next(&mut gate).await {
            GateEvent::Batch { batch, .. } => read += batch.num_rows() as u64 * 8,
            other => panic!("unexpected {other:?}"),
        }
    }
    producer.await.expect("the producer ends");
}

/// A channel that is not read (alignment) does not hold up the others.
pub async fn a_blocked_channel_does_not_hold_up_others(transport: &dyn Transport) {
    let mut gate = gate(2);
    let mut senders = transport.connect(&gate).await;
    let (mut second, mut first) = (senders.remove(1), senders.remove(0));
    first.send(StreamElement::Barrier(barrier(1))).await.expect("send");
    let sent = Arc::new(AtomicU64::new(0));
    let stuck = produce(first, 100, &sent);
    let total = 200 * ROWS;
    let other = tokio::spawn(async move {
        for n in 0..200 {
            second.send(StreamElement::Batch(batch(n * ROWS, ROWS))).await.expect("send");
        }
        second.send(StreamElement::Barrier(barrier(1))).await.expect("send");
        second
    });
    let (mut rows, mut aligned) = (0, false);
    while rows < total + 100 * ROWS {
        match next(&mut gate).await {
            GateEvent::Batch { batch, .. } => rows += batch.num_rows() as i64,
            GateEvent::Barrier(_) => {
                // The first channel's barrier may come after some of the second's rows, but
                // its own rows come after both barriers.
                assert_eq!(rows, total);
                aligned = true;
            }
            event => panic!("unexpected {event:?}"),
        }
    }
    assert!(aligned);
    stuck.await.expect("the producer ends");
    other.await.expect("the producer ends");
}

/// An element larger than the whole budget passes once the channel is empty enough.
pub async fn an_element_larger_than_the_budget_passes(transport: &dyn Transport) {
    let mut gate = gate(1);
    let mut sender = transport.connect(&gate).await.remove(0);
    let rows = CHANNEL_BUDGET_BYTES as i64 / 8 * 3;
    let producer = tokio::spawn(async move {
        for (from, rows) in [(0, 10_000), (10_000, rows), (10_000 + rows, 5)] {
            sender.send(StreamElement::Batch(batch(from, rows))).await.expect("send");
        }
        sender
    });
    let mut seen = Vec::new();
    while seen.len() < 10_005 + rows as usize {
        match next(&mut gate).await {
            GateEvent::Batch { batch, .. } => seen.extend(values(&batch)),
            event => panic!("unexpected {event:?}"),
        }
    }
    assert!(seen.iter().copied().eq(0..10_005 + rows));
    producer.await.expect("the producer ends");
}

/// When the consumer ends, a producer that waits for room fails instead of waiting for ever.
pub async fn the_end_of_the_consumer_fails_the_producer(transport: &dyn Transport) {
    let gate = gate(1);
    let mut sender = transport.connect(&gate).await.remove(0);
    let producer = tokio::spawn(async move {
        loop {
            if let Err(error) = sender.send(StreamElement::Batch(batch(0, ROWS))).await {
                return error;
            }
        }
    });
    tokio::task::yield_now().await;
    transport.close(gate).await;
    let error = producer.await.expect("the producer ends");
    assert_eq!(error.kind(), model::ErrorKind::External);
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use model::deployment::ChannelId;
    use model::{Attempt, JobId, SubtaskIndex};
    use tokio::sync::mpsc;

    use super::*;
    use crate::channel::{FrameBody, OutFrame, RemoteChannel, RemoteSender, frame};

    struct Local;

    #[async_trait]
    impl Transport for Local {
        async fn connect(&self, gate: &InputGate) -> Vec<ChannelSender> {
            let handle = gate.handle();
            (0..handle.channels()).map(|c| ChannelSender::Local(handle.local_sender(c))).collect()
        }
    }

    /// The remote protocol with the wire left out: one connection for all channels.
    struct Frames;

    #[async_trait]
    impl Transport for Frames {
        async fn connect(&self, gate: &InputGate) -> Vec<ChannelSender> {
            let handle = gate.handle();
            let (frames, mut writer) = mpsc::channel::<OutFrame>(4);
            let mut senders = Vec::new();
            let mut shared = Vec::new();
            for channel in 0..handle.channels() {
                let credit = RemoteChannel::new();
                let granted = Arc::clone(&credit);
                handle.set_credit_listener(channel, Box::new(move |bytes| granted.grant(bytes)));
                credit.grant(CHANNEL_BUDGET_BYTES as u64);
                let id = ChannelId {
                    job: JobId(1),
                    attempt: Attempt(1),
                    edge: 0,
                    from: SubtaskIndex(channel as u32),
                    to: SubtaskIndex(0),
                };
                let sender = RemoteSender::new(id, frames.clone(), Arc::clone(&credit));
                senders.push(ChannelSender::Remote(sender));
                shared.push(credit);
            }
            tokio::spawn(async move {
                while let Some(frame) = writer.recv().await {
                    let channel = frame.channel.from.0 as usize;
                    let element = element(&frame.body, handle.schema(channel));
                    if let Err(error) = handle.push(channel, element, u64::from(frame.cost)) {
                        shared.iter().for_each(|s| s.fail(&error));
                    }
                }
            });
            senders
        }
    }

    fn element(body: &FrameBody, schema: &SchemaRef) -> StreamElement {
        match body {
            FrameBody::Batch(bytes) => {
                let moved = Bytes::copy_from_slice(bytes);
                StreamElement::Batch(frame::decode_batch(&moved, schema).unwrap())
            }
            FrameBody::Watermark(watermark) => StreamElement::Watermark(*watermark),
            FrameBody::Barrier(barrier) => StreamElement::Barrier(*barrier),
            FrameBody::Idle => StreamElement::Idle,
            FrameBody::End => StreamElement::EndOfInput,
        }
    }

    macro_rules! contract {
        ($($name:ident),*) => {
            mod local {
                $(#[tokio::test]
                async fn $name() { super::super::$name(&super::Local).await })*
            }
            mod frames {
                $(#[tokio::test]
                async fn $name() { super::super::$name(&super::Frames).await })*
            }
        };
    }

    contract!(
        keeps_order,
        a_slow_consumer_bounds_what_is_sent,
        a_blocked_channel_does_not_hold_up_others,
        an_element_larger_than_the_budget_passes
    );

    #[tokio::test]
    async fn the_end_of_the_consumer_fails_a_local_producer() {
        the_end_of_the_consumer_fails_the_producer(&Local).await;
    }

    #[tokio::test]
    async fn a_failed_connection_fails_a_producer_that_waits_for_credit() {
        let credit = RemoteChannel::new();
        let (frames, _writer) = mpsc::channel(4);
        let id = ChannelId {
            job: JobId(1),
            attempt: Attempt(1),
            edge: 0,
            from: SubtaskIndex(0),
            to: SubtaskIndex(0),
        };
        let mut sender = RemoteSender::new(id, frames, Arc::clone(&credit));
        let mut send = Box::pin(sender.send(StreamElement::Batch(batch(0, 1))));
        assert!(futures::poll!(send.as_mut()).is_pending());
        credit.fail(&model::Error::external("connection reset"));
        assert_eq!(send.await.unwrap_err().message(), "connection reset");
    }
}
