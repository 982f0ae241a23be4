//! The rule about splits and checkpoints, and what becomes of splits nobody took.

use super::*;
use crate::fixtures::NumbersEnumerator;

fn enumerator(splits: &[&str]) -> Box<NumbersEnumerator> {
    Box::new(NumbersEnumerator { left: splits.iter().map(|s| (*s).to_owned()).collect() })
}

fn ids(answer: SplitsAnswer) -> Vec<String> {
    match answer {
        SplitsAnswer::Splits(splits) => splits.into_iter().map(|s| s.id).collect(),
        other => panic!("no splits: {other:?}"),
    }
}

#[test]
fn no_split_is_handed_out_between_snapshot_and_barrier() {
    let mut assigner = SplitAssigner::new(enumerator(&["a", "b", "c"]));
    let (one, two) = (SubtaskIndex(1), SubtaskIndex(2));
    assert_eq!(ids(assigner.assign(one, CheckpointId(0))), ["c"]);
    assigner.snapshot(CheckpointId(1)).unwrap();
    let behind = SplitsAnswer::RetryAfterMs(RETRY_BEHIND_MS);
    assert_eq!(assigner.assign(one, CheckpointId(0)), behind);
    assert_eq!(ids(assigner.assign(two, CheckpointId(1))), ["b"]);
    assigner.checkpoint_ended(CheckpointId(9));
    assert_eq!(assigner.assign(one, CheckpointId(0)), behind);
    assigner.checkpoint_ended(CheckpointId(1));
    assert_eq!(ids(assigner.assign(one, CheckpointId(0))), ["a"]);
    assert_eq!(assigner.assign(one, CheckpointId(0)), SplitsAnswer::NoMore);
}

async fn ask(handle: &SourceHandle) -> SplitsAnswer {
    loop {
        let (reply, answer) = oneshot::channel();
        let (subtask, last_checkpoint) = (SubtaskIndex(0), CheckpointId(0));
        handle.request(SplitsRequest { subtask, last_checkpoint, reply });
        match answer.await.unwrap().unwrap() {
            SplitsAnswer::RetryAfterMs(RETRY_DISCOVERING_MS) => tokio::task::yield_now().await,
            other => return other,
        }
    }
}

fn spawn(enumerator: Box<dyn SplitEnumerator>) -> (SourceHandle, oneshot::Receiver<Error>) {
    let (failed, failure) = oneshot::channel();
    let report = move |error| {
        let _ = failed.send(error);
        async {}.boxed()
    };
    (SourceHandle::spawn("numbers".into(), enumerator, Box::new(report)), failure)
}

#[tokio::test]
async fn splits_that_nobody_took_come_back() {
    let (handle, _failure) = spawn(enumerator(&["only"]));
    // Waits until the first discovery is over.
    handle.snapshot(CheckpointId(1)).await.unwrap();
    handle.checkpoint_ended(CheckpointId(1));
    let (reply, answer) = oneshot::channel();
    drop(answer);
    let (subtask, last_checkpoint) = (SubtaskIndex(0), CheckpointId(0));
    handle.request(SplitsRequest { subtask, last_checkpoint, reply });
    assert_eq!(ids(ask(&handle).await), ["only"]);
    assert_eq!(ask(&handle).await, SplitsAnswer::NoMore);
}

/// Fails to discover.
struct Broken;

impl SplitEnumerator for Broken {
    fn discover(&mut self) -> BoxFuture<'_, Result<()>> {
        async { Err(Error::external("no such directory")) }.boxed()
    }
    fn assign(&mut self, _: u32) -> Assignment {
        Assignment::NoneYet
    }
    fn add_splits_back(&mut self, _: Vec<Split>) {}
    fn snapshot(&self) -> Result<Bytes> {
        Ok(Bytes::new())
    }
}

#[tokio::test]
async fn a_first_discovery_that_fails_is_reported() {
    let (_handle, failure) = spawn(Box::new(Broken));
    let error = failure.await.unwrap();
    assert_eq!(error.message(), "source `numbers`: no such directory");
}
