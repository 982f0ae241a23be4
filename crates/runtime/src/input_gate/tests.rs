use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use model::{CheckpointBarrier, Error, ManualClock};

use super::*;
use crate::channel::LocalSender;

fn batch(values: &[i64]) -> StreamElement {
    let column: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
    StreamElement::Batch(RecordBatch::try_new(schema(), vec![column]).unwrap())
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, false)]))
}

fn gate(ports: &[usize]) -> (InputGate, Vec<LocalSender>) {
    let channels = ports.iter().map(|&port| GateChannel { port, schema: schema() }).collect();
    let gate = InputGate::new(channels, Arc::new(ManualClock::at(0)));
    let senders = (0..ports.len()).map(|c| gate.handle().local_sender(c)).collect();
    (gate, senders)
}

fn barrier(id: u64) -> StreamElement {
    StreamElement::Barrier(CheckpointBarrier { id: CheckpointId(id), triggered_at_ms: 0 })
}

/// All events that are there, in short form.
async fn drain(gate: &mut InputGate) -> Vec<String> {
    let mut events = Vec::new();
    while let std::task::Poll::Ready(event) = futures::poll!(std::pin::pin!(gate.next())) {
        events.push(match event.unwrap() {
            GateEvent::Batch { port, batch, .. } => {
                format!("{port}{:?}", batch.column(0).as_primitive::<Int64Type>().values().to_vec())
            }
            GateEvent::Watermark(w) => format!("watermark {}", w.0),
            GateEvent::Idle => "idle".to_owned(),
            GateEvent::Barrier(aligned) => format!("barrier {}", aligned.barrier.id),
            GateEvent::Superseded(id) => format!("superseded {id}"),
            GateEvent::EndOfInput => "end".to_owned(),
        });
    }
    events
}

#[tokio::test]
async fn small_batches_of_one_port_come_together() {
    let (mut gate, mut senders) = gate(&[0, 0, 1]);
    for n in 0..2 {
        for sender in &mut senders[..2] {
            sender.send(batch(&[n])).await.unwrap();
        }
    }
    senders[2].send(batch(&[7])).await.unwrap();
    let events = drain(&mut gate).await;
    assert_eq!(events, ["0[0, 0]", "1[7]", "0[1, 1]"]);
    assert_eq!(gate.handle().queued_bytes(), 0);
}

#[tokio::test]
async fn rows_behind_a_watermark_stay_behind_it() {
    let (mut gate, mut senders) = gate(&[0]);
    senders[0].send(batch(&[1])).await.unwrap();
    senders[0].send(batch(&[2])).await.unwrap();
    senders[0].send(StreamElement::Watermark(Watermark(5))).await.unwrap();
    senders[0].send(batch(&[6])).await.unwrap();
    assert_eq!(drain(&mut gate).await, ["0[1, 2]", "watermark 5", "0[6]"]);
}

#[tokio::test]
async fn rows_after_a_barrier_wait_for_the_other_channels() {
    let (mut gate, mut senders) = gate(&[0, 0]);
    senders[0].send(barrier(1)).await.unwrap();
    senders[0].send(batch(&[2])).await.unwrap();
    senders[1].send(batch(&[1])).await.unwrap();
    assert_eq!(drain(&mut gate).await, ["0[1]"]);
    senders[1].send(barrier(1)).await.unwrap();
    assert_eq!(drain(&mut gate).await, ["barrier 1", "0[2]"]);
}

#[tokio::test]
async fn a_newer_barrier_gives_the_older_checkpoint_up() {
    let (mut gate, mut senders) = gate(&[0, 0]);
    senders[0].send(barrier(1)).await.unwrap();
    senders[0].send(batch(&[1])).await.unwrap();
    senders[0].send(barrier(2)).await.unwrap();
    senders[1].send(barrier(2)).await.unwrap();
    assert_eq!(drain(&mut gate).await, ["superseded 1", "0[1]", "barrier 2"]);
}

#[tokio::test]
async fn an_aborted_checkpoint_frees_its_channels() {
    let (mut gate, mut senders) = gate(&[0, 0]);
    senders[0].send(barrier(1)).await.unwrap();
    senders[0].send(batch(&[1])).await.unwrap();
    assert!(drain(&mut gate).await.is_empty());
    gate.checkpoint_aborted(CheckpointId(1));
    assert_eq!(drain(&mut gate).await, ["0[1]"]);
    senders[1].send(barrier(1)).await.unwrap();
    assert!(drain(&mut gate).await.is_empty());
}

#[tokio::test]
async fn ends_when_all_have_ended_and_ends_count_as_barriers() {
    let (mut gate, mut senders) = gate(&[0, 1]);
    senders[0].send(StreamElement::Watermark(Watermark::MAX)).await.unwrap();
    senders[0].send(StreamElement::EndOfInput).await.unwrap();
    senders[1].send(StreamElement::Watermark(Watermark(3))).await.unwrap();
    senders[1].send(barrier(1)).await.unwrap();
    senders[1].send(StreamElement::Idle).await.unwrap();
    assert_eq!(drain(&mut gate).await, ["watermark 3", "barrier 1", "idle"]);
    senders[1].send(StreamElement::Watermark(Watermark::MAX)).await.unwrap();
    senders[1].send(StreamElement::EndOfInput).await.unwrap();
    assert_eq!(drain(&mut gate).await, [format!("watermark {}", i64::MAX), "end".to_owned()]);
}

#[tokio::test]
async fn watermarks_do_not_pile_up() {
    let (mut gate, mut senders) = gate(&[0]);
    for n in 0..1000 {
        senders[0].send(StreamElement::Watermark(Watermark(n))).await.unwrap();
        senders[0].send(StreamElement::Idle).await.unwrap();
    }
    assert_eq!(drain(&mut gate).await, ["watermark 999", "idle"]);
}

#[tokio::test]
async fn a_failed_channel_fails_the_gate_and_names_itself() {
    let (mut gate, _senders) = gate(&[0, 0]);
    gate.handle().fail(1, Error::external("connection reset"));
    let error = gate.next().await.unwrap_err();
    assert_eq!(error.message(), "input channel 1: connection reset");
}

/// A blocked channel once stayed in line, and what gathered small batches took the element
/// behind it instead: a barrier was lost, and with it the checkpoint, until its timeout.
#[tokio::test]
async fn gathering_small_batches_never_reaches_past_a_blocked_channel() {
    let (mut gate, mut senders) = gate(&[0, 0]);
    senders[1].send(barrier(1)).await.unwrap();
    senders[1].send(batch(&[2])).await.unwrap();
    senders[0].send(batch(&[1])).await.unwrap();
    senders[0].send(barrier(1)).await.unwrap();
    assert_eq!(drain(&mut gate).await, ["0[1]", "barrier 1", "0[2]"]);
}

/// Rows carry the number of barriers before them: whatever the order in which channels and
/// ports are served, none is lost, doubled, or seen on the wrong side of a barrier.
#[tokio::test]
async fn random_traffic_keeps_every_row_on_its_side_of_every_barrier() {
    let mut random = 0x9E37_79B9_u64;
    let mut below = move |n: u64| {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % n
    };
    for _ in 0..300 {
        let ports: Vec<usize> = (0..1 + below(4)).map(|_| below(2) as usize).collect();
        let (mut gate, mut senders) = gate(&ports);
        let mut sent = vec![0_i64; ports.len()];
        let mut rows_in = 0;
        let (mut barriers_out, mut rows_out) = (0_i64, 0);
        for _ in 0..200 {
            let channel = below(ports.len() as u64) as usize;
            // No channel runs more than two checkpoints ahead of the slowest.
            let slowest = sent.iter().min().copied().unwrap_or(0);
            if below(4) == 0 && sent[channel] < slowest + 1 {
                sent[channel] += 1;
                senders[channel].send(barrier(sent[channel] as u64)).await.unwrap();
            } else {
                rows_in += 1;
                senders[channel].send(batch(&[sent[channel]])).await.unwrap();
            }
            if below(3) == 0 {
                continue;
            }
            for event in drain(&mut gate).await {
                if event.starts_with("barrier") {
                    barriers_out += 1;
                } else {
                    let rows: Vec<i64> = serde_json::from_str(&event[1..]).unwrap();
                    rows_out += rows.len();
                    assert!(rows.iter().all(|r| *r == barriers_out), "{event} at {barriers_out}");
                }
            }
        }
        for (channel, sender) in senders.iter_mut().enumerate() {
            let last = sent.iter().max().copied().unwrap_or(0);
            for id in sent[channel] + 1..=last {
                sender.send(barrier(id as u64)).await.unwrap();
            }
        }
        for event in drain(&mut gate).await {
            if !event.starts_with("barrier") {
                rows_out += serde_json::from_str::<Vec<i64>>(&event[1..]).unwrap().len();
            }
        }
        assert_eq!(rows_out, rows_in, "ports {ports:?}");
    }
}
