use std::collections::VecDeque;

use arrow::array::Int64Array;
use arrow::datatypes::{DataType, Field, Schema};
use futures::FutureExt;
use futures::future::BoxFuture;
use model::deployment::SubtaskSnapshot;
use model::execution_state::ExecutionState;
use model::operator_spec::WatermarkAlignment;
use model::{Attempt, JobId, ManualClock, SubtaskIndex, VertexId, Watermark};

use super::*;
use crate::task::AlignmentGroups;

/// One batch per poll, of the splits in turn: a row with the split's next second.
struct Seconds {
    splits: VecDeque<(String, i64)>,
    last: i64,
    finished: Vec<String>,
    read: Option<String>,
}

impl SourceReader for Seconds {
    fn add_splits(&mut self, splits: Vec<Split>) -> Result<()> {
        self.splits.extend(splits.into_iter().map(|s| (s.id, 0)));
        Ok(())
    }
    fn poll(&mut self) -> BoxFuture<'_, Result<Polled>> {
        async {
            let Some((id, second)) = self.splits.pop_front() else { return Ok(Polled::NeedSplits) };
            let schema = Schema::new(vec![Field::new("t", DataType::Int64, false)]);
            let times = Int64Array::from(vec![second * 1000]);
            self.read = Some(id.clone());
            if second < self.last {
                self.splits.push_back((id, second + 1));
            } else {
                self.finished.push(id);
            }
            Ok(Polled::Batch(RecordBatch::try_new(Arc::new(schema), vec![Arc::new(times)])?))
        }
        .boxed()
    }
    fn snapshot(&mut self) -> Result<Vec<Split>> {
        Ok(Vec::new())
    }
    fn batch_split(&self) -> Option<&str> {
        self.read.as_deref()
    }
    fn take_finished_splits(&mut self) -> Vec<String> {
        std::mem::take(&mut self.finished)
    }
}

/// Hands out one list of splits, then none.
struct Manager(std::sync::Mutex<Option<Vec<Split>>>);

#[async_trait::async_trait]
impl TaskControl for Manager {
    async fn request_splits(
        &self,
        _: ExecutionAttemptId,
        _: CheckpointId,
    ) -> Result<SplitResponse> {
        let splits = self.0.lock().unwrap().take().unwrap_or_default();
        let no_more = splits.is_empty();
        Ok(SplitResponse { splits, no_more, retry_after_ms: 0 })
    }
    async fn acknowledge(
        &self,
        _: ExecutionAttemptId,
        _: CheckpointId,
        _: SubtaskSnapshot,
    ) -> Result<()> {
        Ok(())
    }
    async fn decline(&self, _: ExecutionAttemptId, _: CheckpointId, _: Error) -> Result<()> {
        Ok(())
    }
    fn state_changed(&self, _: ExecutionAttemptId, _: ExecutionState) {}
}

struct Source {
    head: SourceHead,
    progress: Arc<SourceProgress>,
}

impl Source {
    fn new(groups: &AlignmentGroups, subtask: u32, splits: &[&str], last: i64) -> Self {
        let attempt = ExecutionAttemptId {
            job: JobId(1),
            vertex: VertexId(1),
            subtask: SubtaskIndex(subtask),
            attempt: Attempt(1),
        };
        let config =
            WatermarkAlignment { group: "g".into(), max_drift_ms: 3_000, update_interval_ms: 1 };
        let split = |id: &&str| Split { id: (*id).to_owned(), data: Default::default() };
        let control: Arc<dyn TaskControl> =
            Arc::new(Manager(Some(splits.iter().map(split).collect()).into()));
        let io = tokio::runtime::Handle::current();
        let mut aligned = groups.join(&attempt, &config);
        aligned.report(attempt, Duration::from_millis(1), Arc::clone(&control), &io);
        let progress = Arc::new(SourceProgress::new(0, Some(aligned)));
        let reader = Seconds { splits: VecDeque::new(), last, finished: Vec::new(), read: None };
        let context = SourceContext {
            attempt,
            last_checkpoint: CheckpointId(0),
            progress: Arc::clone(&progress),
            clock: Arc::new(ManualClock::at(0)),
            control,
            io,
        };
        Self { head: SourceHead::new(Box::new(reader), context), progress }
    }

    /// The next batch's second, with what the chain's watermark operator does with it.
    async fn second(&mut self) -> Option<i64> {
        loop {
            match self.head.next().await.unwrap() {
                SourceEvent::Batch(batch) => {
                    use arrow::array::AsArray;
                    let column = batch.column(0).as_primitive::<arrow::datatypes::Int64Type>();
                    let ms = column.value(0);
                    if let Some(watermark) = self.progress.rows(Watermark(ms), 0) {
                        self.progress.publish(watermark);
                    }
                    return Some(ms / 1000);
                }
                SourceEvent::EndOfInput => return None,
                SourceEvent::Answered | SourceEvent::DeadLetter(_) => {}
            }
        }
    }

    /// Reads until it has to wait or has ended; the last second read.
    fn run(&mut self) -> Option<i64> {
        let mut last = None;
        while let Some(Some(second)) = self.second().now_or_never() {
            last = Some(second);
        }
        last
    }
}

#[tokio::test]
async fn a_reader_ahead_pauses_and_goes_on_when_the_other_has_come_up() {
    let groups = AlignmentGroups::default();
    let mut fast = Source::new(&groups, 0, &["a"], 20);
    let mut slow = Source::new(&groups, 1, &["b"], 20);
    assert_eq!(slow.second().await, Some(0));
    assert_eq!(fast.second().await, Some(0));
    // It reads on as long as it is at most 3 s ahead when it asks.
    assert_eq!(fast.run(), Some(4));
    assert!(fast.head.may_snapshot(), "a barrier passes a paused reader");
    assert_eq!(slow.second().await, Some(1));
    assert_eq!(fast.run(), Some(5));
    // The other one never waits for the one ahead of it, only for one behind.
    assert_eq!(slow.run(), Some(9));
    assert_eq!(fast.run(), Some(13));
    // The one behind ends: nobody is left to wait for.
    drop(slow);
    assert_eq!(fast.run(), Some(20));
    assert_eq!(fast.second().await, None);
}

#[tokio::test]
async fn a_reader_that_has_ended_holds_nobody_back() {
    let groups = AlignmentGroups::default();
    let mut short = Source::new(&groups, 0, &["a"], 1);
    let mut long = Source::new(&groups, 1, &["b"], 20);
    assert_eq!(long.second().await, Some(0));
    while short.second().await.is_some() {}
    assert_eq!(long.run(), Some(20));
}

#[tokio::test]
async fn the_watermark_of_a_reader_is_that_of_its_slowest_open_split() {
    let groups = AlignmentGroups::default();
    let mut source = Source::new(&groups, 0, &["a", "b"], 2);
    let mut told = Vec::new();
    while source.second().await.is_some() {
        let silence = source.progress.silence(0, None);
        told.push(silence);
    }
    use crate::source_progress::Silence::Partly;
    let w = |ms| Partly(Some(Watermark(ms)));
    // a0 b0 a1 b1 a2 (ends) b2 (ends): nothing is known before both have begun.
    assert_eq!(told, [w(i64::MIN), w(0), w(0), w(1000), w(1000), Partly(None)]);
}
