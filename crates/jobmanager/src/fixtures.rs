//! A job, connectors, a manifest store and TaskManagers that exist only in tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use ::checkpoint::Manifest;
use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use model::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use model::config::{CheckpointConfig, RestartStrategy, StateConfig};
use model::connector::{ConnectorInfo, Connectors, OptionError, SinkSpec, SourceSpec};
use model::deployment::TaskDeployment;
use model::inspection::{CpuProfile, LogInfo, ProcessDump};
use model::job_graph::{JobEdge, JobGraph, JobVertex, OperatorNode, Partitioning};
use model::operator_spec::OperatorSpec;
use model::sink::{Committable, Committer, Sink, SinkWriter, WriterContext};
use model::source::{Assignment, ReaderContext, Source, SourceReader, Split, SplitEnumerator};
use model::{CheckpointId, Error, ExecutionAttemptId, JobId, Result, TaskManagerId, VertexId};
use tokio::sync::mpsc;

use crate::checkpoint::store::CheckpointStore;
use crate::gateway::{GatewayError, GatewayResult, TaskManagerGateway};
use crate::slot_pool::{Slot, TaskManagerInfo};

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)]))
}

fn vertex(uid: &str, parallelism: u32, spec: OperatorSpec) -> JobVertex {
    let is_source = matches!(spec, OperatorSpec::Source { .. });
    JobVertex {
        id: VertexId::of_uid(uid),
        name: uid.to_owned(),
        parallelism,
        operators: vec![OperatorNode {
            uid: uid.to_owned(),
            name: uid.to_owned(),
            spec,
            inputs: if is_source { Vec::new() } else { vec![schema()] },
            output: schema(),
        }],
        side_outputs: Vec::new(),
    }
}

/// `numbers` to `out`, hashed; checkpoints only when asked for.
pub(crate) fn graph(parallelism: u32) -> JobGraph {
    let source = SourceSpec {
        connector: "numbers".into(),
        options: serde_json::Value::Null,
        declared_schema: None,
        projection: None,
        pushdown: Default::default(),
    };
    let sink =
        SinkSpec { connector: "out".into(), options: serde_json::Value::Null, schema: schema() };
    let from = vertex(
        "numbers",
        parallelism,
        OperatorSpec::Source { source, dead_letter: false, alignment: None },
    );
    let to = vertex("out", parallelism, OperatorSpec::Sink { sink });
    let edge = JobEdge {
        from: from.id,
        output: 0,
        to: to.id,
        port: 0,
        partitioning: Partitioning::Hash { columns: vec!["id".into()] },
        schema: schema(),
    };
    JobGraph {
        version: model::job_graph::JOB_GRAPH_VERSION,
        name: "numbers to out".into(),
        max_parallelism: 128,
        vertices: vec![from, to],
        edges: vec![edge],
        checkpoint: CheckpointConfig { interval_ms: None, ..Default::default() },
        restart: RestartStrategy::FixedDelay { attempts: 3, delay_ms: 1 },
        state: StateConfig::default(),
        job_file: String::new(),
        origin: Default::default(),
        slo: Default::default(),
    }
}

pub(crate) fn task_manager(id: &str, slots: u32) -> TaskManagerInfo {
    TaskManagerInfo {
        id: TaskManagerId(id.into()),
        rpc_addr: format!("{id}:1"),
        data_addr: format!("{id}:2"),
        slots,
        version: "test".into(),
    }
}

pub(crate) fn slot(task_manager: &str, allocation: u128) -> Slot {
    Slot {
        allocation: model::AllocationId(allocation),
        task_manager: TaskManagerId(task_manager.into()),
        rpc_addr: format!("{task_manager}:1"),
        data_addr: format!("{task_manager}:2"),
    }
}

/// `numbers` has the splits `s0`..`s3`; `out` notes what is committed.
#[derive(Default)]
pub(crate) struct FakeConnectors {
    pub committed: Arc<Mutex<Vec<Bytes>>>,
    pub kept: Arc<Mutex<Vec<Vec<Bytes>>>>,
}

impl Connectors for FakeConnectors {
    fn list(&self) -> Vec<ConnectorInfo> {
        Vec::new()
    }
    fn source(&self, _: &SourceSpec) -> std::result::Result<Arc<dyn Source>, OptionError> {
        Ok(Arc::new(Numbers))
    }
    fn sink(&self, _: &SinkSpec) -> std::result::Result<Arc<dyn Sink>, OptionError> {
        Ok(Arc::new(Out { committed: self.committed.clone(), kept: self.kept.clone() }))
    }
}

struct Numbers;

impl Source for Numbers {
    fn schema(&self) -> SchemaRef {
        schema()
    }
    fn is_bounded(&self) -> bool {
        true
    }
    fn enumerator(&self, _: u32, restored: Option<&[u8]>) -> Result<Box<dyn SplitEnumerator>> {
        let left = match restored {
            None => (0..4).map(|n| format!("s{n}")).collect(),
            Some(bytes) => serde_json::from_slice(bytes)
                .map_err(|e| Error::user("not an enumerator's snapshot").caused_by(e))?,
        };
        Ok(Box::new(NumbersEnumerator { left }))
    }
    fn reader(&self, _: ReaderContext) -> Result<Box<dyn SourceReader>> {
        Err(Error::internal("tests run no readers"))
    }
}

pub(crate) struct NumbersEnumerator {
    pub left: Vec<String>,
}

impl SplitEnumerator for NumbersEnumerator {
    fn discover(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }
    fn assign(&mut self, _: u32) -> Assignment {
        match self.left.pop() {
            Some(id) => Assignment::Splits(vec![Split { id, data: Bytes::new() }]),
            None => Assignment::NoMore,
        }
    }
    fn add_splits_back(&mut self, splits: Vec<Split>) {
        self.left.extend(splits.into_iter().map(|s| s.id));
    }
    fn snapshot(&self) -> Result<Bytes> {
        serde_json::to_vec(&self.left)
            .map(Bytes::from)
            .map_err(|e| Error::internal("cannot encode").caused_by(e))
    }
}

struct Out {
    committed: Arc<Mutex<Vec<Bytes>>>,
    kept: Arc<Mutex<Vec<Vec<Bytes>>>>,
}

impl Sink for Out {
    fn writer(&self, _: WriterContext) -> Result<Box<dyn SinkWriter>> {
        Err(Error::internal("tests run no writers"))
    }
    fn committer(&self) -> Option<Box<dyn Committer>> {
        Some(Box::new(Out { committed: self.committed.clone(), kept: self.kept.clone() }))
    }
}

impl Committer for Out {
    fn commit(&self, committables: Vec<Committable>) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.committed.lock().unwrap().extend(committables);
            Ok(())
        })
    }
    fn clean_up(&self, _: JobId, keep: Vec<Committable>) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.kept.lock().unwrap().push(keep);
            Ok(())
        })
    }
}

/// Manifests in memory.
#[derive(Default)]
pub(crate) struct MemoryStore {
    pub manifests: Mutex<BTreeMap<(JobId, CheckpointId), Manifest>>,
    /// The next commit is done, but its answer is lost.
    pub lose_answer: Mutex<bool>,
    /// The next deletion fails.
    pub fail_delete: Mutex<bool>,
}

#[async_trait]
impl CheckpointStore for MemoryStore {
    fn uri(&self) -> String {
        "memory://test".into()
    }
    async fn commit(&self, manifest: &Manifest) -> Result<String> {
        let key = (manifest.job, manifest.checkpoint);
        self.manifests.lock().unwrap().insert(key, manifest.clone());
        if std::mem::take(&mut *self.lose_answer.lock().unwrap()) {
            return Err(Error::external("no answer"));
        }
        Ok(format!("memory://test/{}/chk-{}", key.0, key.1))
    }
    async fn find(&self, job: JobId, id: CheckpointId) -> Result<Option<Manifest>> {
        Ok(self.manifests.lock().unwrap().get(&(job, id)).cloned())
    }
    async fn load_uri(&self, uri: &str) -> Result<Manifest> {
        let manifests = self.manifests.lock().unwrap();
        let named = |m: &&Manifest| uri == format!("memory://test/{}/chk-{}", m.job, m.checkpoint);
        let found = manifests.values().find(named).cloned();
        found.ok_or_else(|| Error::user(format!("there is no checkpoint at {uri}")))
    }
    async fn delete(&self, job: JobId, ids: &[CheckpointId], _: &BTreeSet<String>) -> Result<()> {
        if std::mem::take(&mut *self.fail_delete.lock().unwrap()) {
            return Err(Error::external("no answer"));
        }
        self.manifests.lock().unwrap().retain(|(j, id), _| *j != job || !ids.contains(id));
        Ok(())
    }
    async fn clean_orphans(
        &self,
        job: JobId,
        keep: &BTreeSet<CheckpointId>,
        up_to: CheckpointId,
    ) -> Result<()> {
        let kept = |j: JobId, id: CheckpointId| j != job || id > up_to || keep.contains(&id);
        self.manifests.lock().unwrap().retain(|(j, id), _| kept(*j, *id));
        Ok(())
    }
}

/// What a TaskManager was asked.
#[derive(Debug)]
pub(crate) enum Call {
    Submit(Box<TaskDeployment>),
    Cancel(ExecutionAttemptId),
    Trigger { attempts: Vec<ExecutionAttemptId>, id: CheckpointId },
    Complete(CheckpointId),
    Aborted,
}

/// Passes every call on to the test, which plays the TaskManagers.
pub(crate) struct FakeGateway {
    calls: mpsc::UnboundedSender<Call>,
    /// Addresses where nobody listens.
    pub down: Mutex<BTreeSet<String>>,
}

impl FakeGateway {
    pub(crate) fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<Call>) {
        let (calls, received) = mpsc::unbounded_channel();
        (Arc::new(Self { calls, down: Mutex::default() }), received)
    }
    fn reach(&self, addr: &str) -> GatewayResult {
        if self.down.lock().unwrap().contains(addr) {
            return Err(GatewayError::Unreachable(Error::external("connection refused")));
        }
        Ok(())
    }
    fn pass(&self, addr: &str, call: Call) -> GatewayResult {
        self.reach(addr)?;
        let _ = self.calls.send(call);
        Ok(())
    }
}

#[async_trait]
impl TaskManagerGateway for FakeGateway {
    async fn submit_task(&self, addr: &str, deployment: &TaskDeployment) -> GatewayResult {
        self.pass(addr, Call::Submit(Box::new(deployment.clone())))
    }
    async fn cancel_task(&self, addr: &str, attempt: ExecutionAttemptId) -> GatewayResult {
        self.pass(addr, Call::Cancel(attempt))
    }
    async fn trigger_checkpoint(
        &self,
        addr: &str,
        attempts: &[ExecutionAttemptId],
        id: CheckpointId,
        _: i64,
    ) -> GatewayResult {
        self.pass(addr, Call::Trigger { attempts: attempts.to_vec(), id })
    }
    async fn notify_complete(
        &self,
        addr: &str,
        _: &[ExecutionAttemptId],
        id: CheckpointId,
    ) -> GatewayResult {
        self.pass(addr, Call::Complete(id))
    }
    async fn notify_aborted(
        &self,
        addr: &str,
        _: &[ExecutionAttemptId],
        _: CheckpointId,
    ) -> GatewayResult {
        self.pass(addr, Call::Aborted)
    }
    async fn logs(&self, addr: &str) -> std::result::Result<Vec<LogInfo>, GatewayError> {
        self.reach(addr)?;
        let (id, name) = ("main".to_owned(), "taskmanager.log".to_owned());
        Ok(vec![LogInfo { id, name, bytes: 7, modified_at_ms: 1 }])
    }
    async fn log_text(
        &self,
        addr: &str,
        log: &str,
        _: u64,
    ) -> std::result::Result<Option<String>, GatewayError> {
        self.reach(addr)?;
        Ok((log == "main").then(|| "a line\n".to_owned()))
    }
    async fn dump(&self, addr: &str) -> std::result::Result<ProcessDump, GatewayError> {
        self.reach(addr)?;
        Ok(ProcessDump::default())
    }
    async fn profile(
        &self,
        addr: &str,
        seconds: u32,
    ) -> std::result::Result<CpuProfile, GatewayError> {
        self.reach(addr)?;
        Ok(CpuProfile { seconds, ..CpuProfile::default() })
    }
}

/// A running job as `details.rs` shows it: `numbers` (never ends, with event time) to `out`,
/// two subtasks each. Tests change what they are about.
pub(crate) fn running_snapshot() -> crate::details::JobSnapshot {
    use model::execution_state::{ExecutionState, JobStatus};
    let mut graph = graph(2);
    let first = graph.vertices[0].operators[0].clone();
    let spec = OperatorSpec::Watermark { column: "id".into(), delay_ms: 0, idle_timeout_ms: None };
    graph.vertices[0].operators.push(OperatorNode {
        uid: "time".into(),
        name: "time".into(),
        spec,
        inputs: vec![schema()],
        ..first
    });
    let place = model::job_graph::FilePlace { line: 12, column: 5 };
    graph.origin.places.insert("out".into(), place);
    let unbounded = BTreeSet::from([graph.vertices[0].id]);
    let graph = Arc::new(graph);
    let state = crate::job_state::JobState::new(JobId(7), &graph, 0);
    let spec = crate::job_master::JobSpec { id: JobId(7), graph, submitted_at_ms: 0, from: None };
    let mut snapshot = crate::details::snapshot(&spec, &state, &Default::default(), 0);
    snapshot.unbounded = unbounded;
    snapshot.details.status = JobStatus::Running;
    for vertex in &mut snapshot.details.vertices {
        vertex.watermark = Some(0);
        for subtask in &mut vertex.subtasks {
            subtask.state = ExecutionState::Running;
            subtask.task_manager = Some(TaskManagerId("tm-1".into()));
            subtask.metrics.watermark = Some(0);
        }
    }
    snapshot
}

/// All goes on: a second later every source has read more and every watermark rose.
pub(crate) fn advance(snapshot: &mut crate::details::JobSnapshot, now_ms: i64) {
    for vertex in &mut snapshot.details.vertices {
        vertex.metrics.records_in += 10;
        vertex.watermark = Some(now_ms);
        for subtask in &mut vertex.subtasks {
            subtask.metrics.watermark = Some(now_ms);
        }
    }
}
