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
