//! A job of two vertices in one process: a fake source of numbers, a hash exchange, the
//! real deduplicate operator and a fake sink, with an in-memory store and job manager.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, TryStreamExt};
use model::config::StateConfig;
use model::connector::{ConnectorInfo, Connectors, OptionError, SinkSpec, SourceSpec};
use model::deployment::*;
use model::expression::{Expression, ExpressionError, Expressions};
use model::job_graph::{JobVertex, OperatorNode, Partitioning};
use model::operator_spec::{Deduplicate, OperatorSpec};
use model::sink::{Committable, Sink, SinkWriter, WriterContext};
use model::source::{Polled, ReaderContext, Source, SourceReader, Split, SplitEnumerator};
use model::{
    AllocationId, Attempt, CheckpointBarrier, CheckpointId, Clock, Error, ExecutionAttemptId,
    JobId, LeaderEpoch, Result, SubtaskIndex, SystemClock, VertexId, key_group,
};
use state::HeapBackend;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::super::*;
use crate::channel::{ChannelSender, GateHandle};
use crate::core_threads::{CoreTask, CoreThreads};

pub const MAX_PARALLELISM: u32 = 128;
/// Rows of each split; the key of row `n` of split `s` is `n * splits + s` modulo the keys.
pub const SPLIT_ROWS: i64 = 20_000;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, false)]))
}

/// Finds gates by channel id.
#[derive(Default)]
struct LocalExchange {
    gates: Mutex<BTreeMap<ChannelId, (GateHandle, usize)>>,
    changed: tokio::sync::Notify,
}

impl Exchange for Arc<LocalExchange> {
    fn register_gate(&self, channels: Vec<ChannelId>, gate: GateHandle) {
        let mut gates = self.gates.lock().unwrap();
        gates.extend(channels.into_iter().enumerate().map(|(i, c)| (c, (gate.clone(), i))));
        self.changed.notify_waiters();
    }
    fn unregister(&self, channels: &[ChannelId]) {
        let mut gates = self.gates.lock().unwrap();
        gates.retain(|id, _| !channels.contains(id));
    }
    fn connect(&self, channel: ChannelId, _: &str) -> BoxFuture<'static, Result<ChannelSender>> {
        let this = Arc::clone(self);
        async move {
            loop {
                let changed = this.changed.notified();
                if let Some((gate, index)) = this.gates.lock().unwrap().get(&channel) {
                    return Ok(ChannelSender::Local(gate.local_sender(*index)));
                }
                changed.await;
            }
        }
        .boxed()
    }
}

/// State objects in memory.
#[derive(Default)]
pub struct MemoryStore {
    objects: Mutex<BTreeMap<String, Bytes>>,
    pub fail: AtomicBool,
}

#[async_trait]
impl SnapshotStore for MemoryStore {
    async fn put(
        &self,
        _: JobId,
        checkpoint: CheckpointId,
        name: String,
        parts: BoxStream<'static, Result<Bytes>>,
    ) -> Result<StoredObject> {
        let parts: Vec<Bytes> = parts.try_collect().await?;
        let bytes = Bytes::from(parts.concat());
        if self.fail.load(SeqCst) {
            return Err(Error::external("the store is full"));
        }
        let path = format!("chk-{checkpoint}/{name}");
        let stored = StoredObject {
            path: path.clone(),
            length: bytes.len() as u64,
            crc32c: crc32c::crc32c(&bytes),
        };
        self.objects.lock().unwrap().insert(path, bytes);
        Ok(stored)
    }
    async fn get(&self, handle: &StateHandle) -> Result<Bytes> {
        let StateLocation::Object { path } = &handle.location else { panic!("not an object") };
        let objects = self.objects.lock().unwrap();
        objects.get(path).cloned().ok_or_else(|| Error::external(format!("no {path}")))
    }
    fn compression(&self) -> state::Compression {
        state::Compression::Lz4
    }
}

pub type Answer = (ExecutionAttemptId, CheckpointId, std::result::Result<SubtaskSnapshot, Error>);

/// Hands out splits and collects acknowledgements.
pub struct JobManager {
    pub splits: Mutex<VecDeque<Split>>,
    /// The last checkpoint triggered: a reader that has not passed it gets no split.
    triggered: AtomicU64,
    /// One permit per answer to a request for splits.
    pub answers: Semaphore,
    pub asked: watch::Sender<u32>,
    acks: mpsc::UnboundedSender<Answer>,
}

impl JobManager {
    fn decide(&self, last_checkpoint: CheckpointId) -> SplitResponse {
        let mut splits = self.splits.lock().unwrap();
        if last_checkpoint.0 < self.triggered.load(SeqCst) {
            return SplitResponse { retry_after_ms: 1, ..SplitResponse::default() };
        }
        let split = splits.pop_front();
        let no_more = split.is_none();
        SplitResponse { splits: split.into_iter().collect(), no_more, retry_after_ms: 0 }
    }
}

#[async_trait]
impl TaskControl for JobManager {
    async fn request_splits(
        &self,
        _: ExecutionAttemptId,
        last_checkpoint: CheckpointId,
    ) -> Result<SplitResponse> {
        let answer = self.decide(last_checkpoint);
        self.asked.send_modify(|n| *n += 1);
        // The answer is on its way: the enumerator no longer has the split.
        self.answers.acquire().await.unwrap().forget();
        Ok(answer)
    }
    async fn acknowledge(
        &self,
        attempt: ExecutionAttemptId,
        checkpoint: CheckpointId,
        snapshot: SubtaskSnapshot,
    ) -> Result<()> {
        self.acks.send((attempt, checkpoint, Ok(snapshot))).unwrap();
        Ok(())
    }
    async fn decline(
        &self,
        attempt: ExecutionAttemptId,
        checkpoint: CheckpointId,
        reason: Error,
    ) -> Result<()> {
        self.acks.send((attempt, checkpoint, Err(reason))).unwrap();
        Ok(())
    }
    fn state_changed(&self, _: ExecutionAttemptId, _: ExecutionState) {}
}

/// Knobs of the fake source and sink.
pub struct World {
    /// How many rows of each split may be read.
    pub limit: watch::Sender<i64>,
    pub keys: i64,
    /// The sink's `write` never returns.
    pub sink_stuck: AtomicBool,
    pub sink_aborts: watch::Sender<u32>,
    pub rows_written: watch::Sender<u64>,
    /// Every batch that the sink takes announces itself here.
    pub writes_begun: watch::Sender<u32>,
}

struct FakeConnectors(Arc<World>);

impl Connectors for FakeConnectors {
    fn list(&self) -> Vec<ConnectorInfo> {
        Vec::new()
    }
    fn source(&self, _: &SourceSpec) -> std::result::Result<Arc<dyn Source>, OptionError> {
        Ok(Arc::new(Numbers(Arc::clone(&self.0))))
    }
    fn sink(&self, _: &SinkSpec) -> std::result::Result<Arc<dyn Sink>, OptionError> {
        Ok(Arc::new(Collect(Arc::clone(&self.0))))
    }
}

struct Numbers(Arc<World>);

impl Source for Numbers {
    fn schema(&self) -> SchemaRef {
        schema()
    }
    fn is_bounded(&self) -> bool {
        true
    }
    fn enumerator(&self, _: u32, _: Option<&[u8]>) -> Result<Box<dyn SplitEnumerator>> {
        Err(Error::internal("the job manager of these tests has its own"))
    }
    fn reader(&self, _: ReaderContext) -> Result<Box<dyn SourceReader>> {
        Ok(Box::new(NumberReader { splits: VecDeque::new(), world: Arc::clone(&self.0) }))
    }
}

/// A split's id is its number, its data the position.
pub fn split(number: i64, position: i64) -> Split {
    Split { id: number.to_string(), data: Bytes::copy_from_slice(&position.to_le_bytes()) }
}

struct NumberReader {
    splits: VecDeque<(i64, i64)>,
    world: Arc<World>,
}

impl SourceReader for NumberReader {
    fn add_splits(&mut self, splits: Vec<Split>) -> Result<()> {
        for split in splits {
            let position = i64::from_le_bytes(split.data.as_ref().try_into().unwrap());
            self.splits.push_back((split.id.parse().unwrap(), position));
        }
        Ok(())
    }
    fn poll(&mut self) -> BoxFuture<'_, Result<Polled>> {
        async {
            let Some((number, position)) = self.splits.front_mut() else {
                return Ok(Polled::NeedSplits);
            };
            let mut limit = self.world.limit.subscribe();
            let limit = *limit.wait_for(|limit| *limit > *position).await.unwrap();
            let to = (*position + 700).min(limit).min(SPLIT_ROWS);
            let keys = (*position..to).map(|row| (row * 4 + *number) % self.world.keys);
            let column: ArrayRef = Arc::new(Int64Array::from_iter_values(keys));
            *position = to;
            if to == SPLIT_ROWS {
                self.splits.pop_front();
            }
            Ok(Polled::Batch(RecordBatch::try_new(schema(), vec![column])?))
        }
        .boxed()
    }
    fn snapshot(&mut self) -> Result<Vec<Split>> {
        Ok(self.splits.iter().map(|(number, position)| split(*number, *position)).collect())
    }
}

struct Collect(Arc<World>);

impl Sink for Collect {
    fn writer(&self, _: WriterContext) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(CollectWriter { keys: Vec::new(), world: Arc::clone(&self.0) }))
    }
}

struct CollectWriter {
    keys: Vec<i64>,
    world: Arc<World>,
}

impl SinkWriter for CollectWriter {
    fn write(&mut self, batch: RecordBatch) -> BoxFuture<'_, Result<()>> {
        async move {
            self.world.writes_begun.send_modify(|n| *n += 1);
            if self.world.sink_stuck.load(SeqCst) {
                std::future::pending::<()>().await;
            }
            self.keys.extend(batch.column(0).as_primitive::<Int64Type>().values());
            self.world.rows_written.send_modify(|n| *n += batch.num_rows() as u64);
            Ok(())
        }
        .boxed()
    }
    fn prepare_commit(
        &mut self,
        _: Option<CheckpointId>,
    ) -> Result<BoxFuture<'static, Result<Vec<Committable>>>> {
        let keys = std::mem::take(&mut self.keys);
        let bytes = Bytes::from(serde_json::to_vec(&keys).unwrap());
        Ok(async move { Ok(if keys.is_empty() { Vec::new() } else { vec![bytes] }) }.boxed())
    }
    fn abort(&mut self) -> BoxFuture<'_, ()> {
        self.world.sink_aborts.send_modify(|n| *n += 1);
        async {}.boxed()
    }
}

/// The keys in committables.
pub fn keys_of(committables: &[CommittableBytes]) -> Vec<i64> {
    committables.iter().flat_map(|c| serde_json::from_slice::<Vec<i64>>(&c.0).unwrap()).collect()
}

struct NoExpressions;

impl Expressions for NoExpressions {
    fn compile(
        &self,
        text: &str,
        _: &SchemaRef,
    ) -> std::result::Result<Box<dyn Expression>, ExpressionError> {
        Err(ExpressionError { message: format!("no {text}"), span: None, help: None })
    }
    fn columns(&self, _: &str, _: &SchemaRef) -> std::result::Result<Vec<String>, ExpressionError> {
        Ok(Vec::new())
    }
}

pub struct RunningTask {
    pub id: ExecutionAttemptId,
    pub commands: mpsc::Sender<TaskCommand>,
    pub cancel: CancellationToken,
    pub metrics: Arc<SharedMetrics>,
    pub ended: CoreTask<TaskOutcome>,
}

pub struct Cluster {
    pub world: Arc<World>,
    pub store: Arc<MemoryStore>,
    pub manager: Arc<JobManager>,
    answers: mpsc::UnboundedReceiver<Answer>,
    alignment: Arc<AlignmentGroups>,
    cores: CoreThreads,
}

const SOURCE: VertexId = VertexId(1);
const SINK: VertexId = VertexId(2);

impl Cluster {
    /// With four splits, all of which may be read.
    pub fn new(keys: i64) -> Self {
        let (acks, answers) = mpsc::unbounded_channel();
        Self {
            world: Arc::new(World {
                limit: watch::Sender::new(SPLIT_ROWS),
                keys,
                sink_stuck: AtomicBool::new(false),
                sink_aborts: watch::Sender::new(0),
                rows_written: watch::Sender::new(0),
                writes_begun: watch::Sender::new(0),
            }),
            store: Arc::default(),
            manager: Arc::new(JobManager {
                splits: Mutex::new((0..4).map(|n| split(n, 0)).collect()),
                triggered: AtomicU64::new(0),
                answers: Semaphore::new(1000),
                asked: watch::Sender::new(0),
                acks,
            }),
            answers,
            alignment: Arc::default(),
            cores: CoreThreads::new(2).unwrap(),
        }
    }

    /// Starts the job: `sources` source tasks and `sinks` tasks of deduplicate and sink.
    pub fn deploy(
        &self,
        attempt: u32,
        sources: u32,
        sinks: u32,
        restore: Option<&TaskRestore>,
    ) -> Vec<RunningTask> {
        let exchange: Arc<LocalExchange> = Arc::default();
        let vertices = [(SOURCE, sources), (SINK, sinks)];
        let tasks = vertices.iter().flat_map(|(vertex, n)| (0..*n).map(move |s| (*vertex, s)));
        tasks
            .enumerate()
            .map(|(slot, (vertex, subtask))| {
                let mut deployment = deployment(attempt, vertex, subtask, [sources, sinks]);
                deployment.restore = restore.cloned();
                self.start(slot, deployment, Arc::new(Arc::clone(&exchange)))
            })
            .collect()
    }

    fn start(
        &self,
        slot: usize,
        deployment: TaskDeployment,
        exchange: Arc<dyn Exchange>,
    ) -> RunningTask {
        let (commands, receiver) = mpsc::channel(16);
        let cancel = CancellationToken::new();
        let metrics = Arc::new(SharedMetrics::default());
        let id = deployment.attempt;
        let setup = TaskSetup {
            deployment,
            exchange,
            connectors: Arc::new(FakeConnectors(Arc::clone(&self.world))),
            expressions: Arc::new(NoExpressions),
            backend: Arc::new(HeapBackend),
            checkpoints: Arc::clone(&self.store) as Arc<dyn SnapshotStore>,
            control: Arc::clone(&self.manager) as Arc<dyn TaskControl>,
            alignment: Arc::clone(&self.alignment),
            clock: Arc::new(SystemClock) as Arc<dyn Clock>,
            commands: receiver,
            cancel: cancel.clone(),
            metrics: Arc::clone(&metrics),
            taps: Arc::default(),
            io: tokio::runtime::Handle::current(),
        };
        let ended = self.cores.spawn(slot, Box::new(move || run(setup).boxed_local()));
        RunningTask { id, commands, cancel, metrics, ended }
    }

    /// Splits that no reader has, as of the trigger of a checkpoint.
    fn snapshot_enumerator(&self, id: u64) -> Vec<Split> {
        let splits = self.manager.splits.lock().unwrap();
        self.manager.triggered.store(id, SeqCst);
        splits.iter().cloned().collect()
    }

    /// A job restored from a checkpoint: every split goes back to the enumerator.
    pub fn restore_enumerator(&self, unassigned: Vec<Split>, assigned: Vec<Split>) {
        let all = unassigned.into_iter().chain(assigned).collect();
        *self.manager.splits.lock().unwrap() = all;
    }

    /// Triggers a checkpoint at the sources and waits for an answer of every task; gives
    /// the splits that no reader has, too.
    pub async fn checkpoint(
        &mut self,
        id: u64,
        tasks: &[RunningTask],
    ) -> (Vec<Split>, Vec<Answer>) {
        let unassigned = self.snapshot_enumerator(id);
        let barrier = CheckpointBarrier { id: CheckpointId(id), triggered_at_ms: 0 };
        for task in tasks {
            task.commands.send(TaskCommand::TriggerCheckpoint(barrier)).await.unwrap();
        }
        let mut answers = Vec::new();
        while answers.len() < tasks.len() {
            let answer = self.answers.recv().await.unwrap();
            assert_eq!(answer.1, CheckpointId(id));
            answers.push(answer);
        }
        (unassigned, answers)
    }
}

/// What the job manager would make of the acknowledgements of one checkpoint: where state
/// lies, the splits, and the keys that the committables make visible.
pub fn completed(answers: Vec<Answer>) -> (TaskRestore, Vec<Split>, Vec<i64>) {
    let mut restore = TaskRestore::default();
    let (mut splits, mut keys) = (Vec::new(), Vec::new());
    for (_, id, answer) in answers {
        restore.checkpoint = id;
        let snapshot = answer.unwrap();
        for (uid, handles) in snapshot.operators {
            restore.operators.entry(uid).or_default().extend(handles);
        }
        splits.extend(snapshot.splits);
        keys.extend(keys_of(&snapshot.committables));
    }
    (restore, splits, keys)
}

fn deployment(
    attempt: u32,
    vertex: VertexId,
    subtask: u32,
    [sources, sinks]: [u32; 2],
) -> TaskDeployment {
    let producers = (0..sources).map(SubtaskIndex).collect();
    let inputs = vec![InputDeployment { edge: 0, port: 0, producers }];
    let consumer = |n| Consumer { subtask: SubtaskIndex(n), data_addr: "here:1".to_owned() };
    let outputs = vec![OutputDeployment {
        edge: 0,
        output: 0,
        partitioning: Partitioning::Hash { columns: vec!["k".to_owned()] },
        to: SINK,
        to_parallelism: sinks,
        consumers: (0..sinks).map(consumer).collect(),
    }];
    let is_source = vertex == SOURCE;
    let parallelism = if is_source { sources } else { sinks };
    TaskDeployment {
        leader_epoch: LeaderEpoch(1),
        allocation: AllocationId(1),
        attempt: ExecutionAttemptId {
            job: JobId(7),
            vertex,
            subtask: SubtaskIndex(subtask),
            attempt: Attempt(attempt),
        },
        job_name: "numbers".to_owned(),
        vertex: JobVertex {
            id: vertex,
            name: if is_source { "numbers" } else { "first -> collect" }.to_owned(),
            parallelism,
            operators: operators(is_source),
            side_outputs: Vec::new(),
        },
        max_parallelism: MAX_PARALLELISM,
        key_groups: key_group::range_of(subtask, MAX_PARALLELISM, parallelism),
        state: StateConfig::default(),
        checkpoint_storage: "memory".to_owned(),
        inputs: if is_source { Vec::new() } else { inputs },
        outputs: if is_source { outputs } else { Vec::new() },
        restore: None,
    }
}

fn operators(is_source: bool) -> Vec<OperatorNode> {
    let node = |name: &str, spec, inputs: Vec<SchemaRef>| OperatorNode {
        uid: name.to_owned(),
        name: name.to_owned(),
        spec,
        inputs,
        output: schema(),
    };
    let options = serde_json::json!({});
    if is_source {
        let source = SourceSpec {
            connector: "numbers".to_owned(),
            options,
            declared_schema: None,
            projection: None,
            pushdown: Default::default(),
        };
        let spec = OperatorSpec::Source { source, dead_letter: false, alignment: None };
        return vec![node("numbers", spec, vec![])];
    }
    let first = Deduplicate { keys: vec!["k".to_owned()], ..Deduplicate::default() };
    let sink = SinkSpec { connector: "collect".to_owned(), options, schema: schema() };
    vec![
        node("first", OperatorSpec::Deduplicate(first), vec![schema()]),
        node("collect", OperatorSpec::Sink { sink }, vec![schema()]),
    ]
}
