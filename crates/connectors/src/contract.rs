//! What every source and every sink must do, as tests that take any of them. Called by the
//! connectors' own tests.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use model::arrow::array::RecordBatch;
use model::arrow::json::WriterBuilder;
use model::arrow::json::writer::LineDelimited;
use model::sink::{Committable, Sink, SinkWriter, WriterContext};
use model::source::{
    Assignment, Polled, ReaderContext, Source, SourceReader, SplitEnumerator, dead_letter_schema,
};
use model::{Attempt, CheckpointId, ExecutionAttemptId, JobId, Result, SubtaskIndex, VertexId};

/// What a source gave: every row as JSON.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Seen {
    pub(crate) rows: Vec<String>,
    pub(crate) dead_letters: Vec<String>,
}

impl Seen {
    fn sorted(mut self) -> Self {
        self.rows.sort();
        self.dead_letters.sort();
        self
    }
}

pub(crate) fn lines(batch: &RecordBatch) -> Vec<String> {
    if batch.num_columns() == 0 {
        return vec!["{}".to_owned(); batch.num_rows()];
    }
    let mut text = Vec::new();
    let mut writer =
        WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut text);
    writer.write(batch).unwrap();
    writer.finish().unwrap();
    String::from_utf8(text).unwrap().lines().map(str::to_owned).collect()
}

/// Polls as a task does that is interrupted at every chance: the future is dropped whenever
/// it has to wait.
pub(crate) async fn poll_interrupted(reader: &mut dyn SourceReader) -> Result<Polled> {
    loop {
        if let Some(polled) = reader.poll().now_or_never() {
            return polled;
        }
        tokio::task::yield_now().await;
    }
}

pub(crate) fn reader(source: &dyn Source) -> Box<dyn SourceReader> {
    let clock = Arc::new(model::SystemClock);
    source.reader(ReaderContext { subtask: 0, parallelism: 1, clock }).unwrap()
}

/// Reads until there is no more work now, or until `batches` were read.
pub(crate) async fn read(
    source: &dyn Source,
    enumerator: &mut dyn SplitEnumerator,
    reader: &mut dyn SourceReader,
    batches: usize,
) -> Result<Seen> {
    let mut seen = Seen::default();
    let mut count = 0;
    while count < batches {
        match poll_interrupted(reader).await? {
            Polled::Batch(batch) => {
                assert!((1..=8192).contains(&batch.num_rows()));
                assert_eq!(batch.schema(), source.schema());
                seen.rows.extend(lines(&batch));
                count += 1;
            }
            Polled::DeadLetter(batch) => {
                assert_eq!(batch.schema(), dead_letter_schema());
                let kept: Vec<_> = (0..batch.num_columns() - 1).collect();
                seen.dead_letters.extend(lines(&batch.project(&kept).unwrap()));
                count += 1;
            }
            Polled::NeedSplits => match enumerator.assign(0) {
                Assignment::Splits(splits) => reader.add_splits(splits)?,
                Assignment::NoneYet | Assignment::NoMore => break,
            },
        }
    }
    Ok(seen)
}

/// Everything the source has now.
pub(crate) async fn read_all(source: &dyn Source) -> Result<Seen> {
    let mut enumerator = source.enumerator(1, None)?;
    enumerator.discover().await?;
    let mut reader = reader(source);
    Ok(read(source, enumerator.as_mut(), reader.as_mut(), usize::MAX).await?.sorted())
}

/// A bounded source gives exactly `expected`, also when it is stopped after any number of
/// batches, snapshotted, and gone on with by fresh readers.
pub(crate) async fn source_contract(source: &dyn Source, expected: Seen) {
    let expected = expected.sorted();
    assert_eq!(read_all(source).await.unwrap(), expected);
    for stop in 1.. {
        let mut enumerator = source.enumerator(1, None).unwrap();
        enumerator.discover().await.unwrap();
        let mut first = reader(source);
        let mut seen = read(source, enumerator.as_mut(), first.as_mut(), stop).await.unwrap();
        let left = first.snapshot().unwrap();
        let snapshot = enumerator.snapshot().unwrap();
        drop((first, enumerator));

        let mut enumerator = source.enumerator(2, Some(&snapshot)).unwrap();
        enumerator.add_splits_back(left);
        enumerator.discover().await.unwrap();
        let mut went_on = false;
        for subtask in 0..2 {
            let mut fresh = reader(source);
            if let Assignment::Splits(splits) = enumerator.assign(subtask) {
                fresh.add_splits(splits).unwrap();
            }
            let rest = read(source, enumerator.as_mut(), fresh.as_mut(), usize::MAX).await.unwrap();
            went_on |= !rest.rows.is_empty() || !rest.dead_letters.is_empty();
            seen.rows.extend(rest.rows);
            seen.dead_letters.extend(rest.dead_letters);
        }
        assert_eq!(seen.sorted(), expected, "stopped after {stop} batches");
        if !went_on {
            break;
        }
    }
}

pub(crate) fn writer_context(attempt: u32) -> WriterContext {
    WriterContext {
        attempt: ExecutionAttemptId {
            job: JobId(0xabc),
            vertex: VertexId(1),
            subtask: SubtaskIndex(0),
            attempt: Attempt(attempt),
        },
        name: "out".to_owned(),
        uid: "out".to_owned(),
        parallelism: 1,
        clock: Arc::new(model::SystemClock),
    }
}

async fn prepare(writer: &mut dyn SinkWriter, id: Option<u64>) -> Vec<Committable> {
    writer.prepare_commit(id.map(CheckpointId)).unwrap().await.unwrap()
}

/// A transactional sink shows nothing before the commit and everything once after it.
/// `visible` gives the rows that a reader of the output sees; `batches` are three different
/// ones.
pub(crate) async fn sink_contract(
    sink: &dyn Sink,
    batches: [RecordBatch; 3],
    visible: impl Fn() -> BoxFuture<'static, Vec<String>>,
) {
    let committer = sink.committer().unwrap();
    let job = writer_context(1).attempt.job;
    let [one, two, three] = batches;
    let mut writer = sink.writer(writer_context(1)).unwrap();

    // An empty checkpoint leaves nothing.
    assert_eq!(prepare(writer.as_mut(), Some(1)).await.len(), 0);

    writer.write(one.clone()).await.unwrap();
    assert!(visible().await.is_empty());
    let first = prepare(writer.as_mut(), Some(2)).await;
    assert!(!first.is_empty());
    assert!(visible().await.is_empty());
    // The task goes on before the checkpoint is complete.
    writer.write(two.clone()).await.unwrap();
    committer.commit(first.clone()).await.unwrap();
    let mut expected = lines(&one);
    assert_eq!(visible().await, sorted(&expected));
    committer.commit(first.clone()).await.unwrap();
    assert_eq!(visible().await, sorted(&expected));

    // Prepared but not committed, and written but not prepared: then the job fails.
    let second = prepare(writer.as_mut(), Some(3)).await;
    writer.write(three.clone()).await.unwrap();
    let lost = prepare(writer.as_mut(), Some(4)).await;
    writer.write(three.clone()).await.unwrap();
    writer.abort().await;
    drop(writer);

    // Restored from checkpoint 3.
    committer.commit(first).await.unwrap();
    committer.clean_up(job, second.clone()).await.unwrap();
    committer.commit(second.clone()).await.unwrap();
    expected.extend(lines(&two));
    assert_eq!(visible().await, sorted(&expected));
    assert!(committer.commit(lost).await.is_err(), "a removed file must not pass as committed");

    // The next attempt writes the same rows under other names, and ends.
    let mut writer = sink.writer(writer_context(2)).unwrap();
    writer.write(three.clone()).await.unwrap();
    let last = prepare(writer.as_mut(), None).await;
    drop(writer);
    committer.commit(last).await.unwrap();
    committer.clean_up(job, second).await.unwrap();
    expected.extend(lines(&three));
    assert_eq!(visible().await, sorted(&expected));
}

fn sorted(rows: &[String]) -> Vec<String> {
    let mut rows = rows.to_vec();
    rows.sort();
    rows
}
