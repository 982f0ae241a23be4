//! An embedded cluster with the tests' connectors, on which jobs run from SQL text.
//! Called by `main`, `ways` and `random`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cli::composition;
use jobmanager::details::JobSnapshot;
use jobmanager::dispatcher::{Dispatcher, Found};
use jobmanager::job_master::JobMessage;
use jobmanager::{JobManagerOptions, JobManagerParts, PlanFailure, Planner, RunningJobManager};
use model::config::RestartStrategy;
use model::execution_state::JobStatus;
use model::expression::Expressions;
use model::job_graph::{JobGraph, Partitioning};
use model::operator_spec::OperatorSpec;
use model::{CheckpointId, JobId};
use planner::sql::SqlPlanner;
use taskmanager::{RunningTaskManager, TaskManagerOptions, TaskManagerParts};

use crate::collect::Registry;
use crate::folder;

/// Only ends a hang.
const PATIENCE: Duration = Duration::from_secs(120);
const SLOTS: u32 = 64;

pub struct Engine {
    pub registry: Registry,
    /// Their declarations; a case is planned with those that it names.
    tables: Vec<String>,
    planner: Arc<dyn SqlPlanner>,
    expressions: Arc<dyn Expressions>,
    job_manager: RunningJobManager,
    task_manager: RunningTaskManager,
    storage: tempfile::TempDir,
}

/// Jobs are planned before they are given to the job manager.
struct NoPlanner;

impl Planner for NoPlanner {
    fn plan(&self, _job_file: &str) -> Result<JobGraph, PlanFailure> {
        let text = "jobs of these tests come planned".to_owned();
        Err(PlanFailure { text, diagnostics: serde_json::json!([]) })
    }
}

impl Engine {
    pub async fn start() -> Self {
        let storage = tempfile::tempdir().unwrap();
        let registry = Registry::new(folder().join("tables"));
        let shared: Arc<dyn model::connector::Connectors> = Arc::new(registry.clone());
        let uri = storage.path().display().to_string();
        // A loaded machine must not look like a lost TaskManager.
        let options =
            JobManagerOptions { heartbeat_timeout_ms: 60_000, ..JobManagerOptions::new(uri) };
        let parts = JobManagerParts { connectors: shared.clone(), planner: Arc::new(NoPlanner) };
        let job_manager = jobmanager::start(options, parts).await.unwrap();
        let parts = composition::task_manager_parts(storage.path().join("state"));
        let parts = TaskManagerParts { connectors: shared, ..parts };
        let options = TaskManagerOptions::new(job_manager.rpc_addr.to_string(), SLOTS);
        let task_manager = taskmanager::start(options, parts).await.unwrap();
        let text = std::fs::read_to_string(folder().join("tables.sql")).unwrap();
        let lines: Vec<&str> = text.lines().filter(|l| !l.starts_with("--")).collect();
        let tables = lines.join("\n").split_inclusive(";\n").map(str::to_owned).collect();
        let (planner, expressions) = (sql::planner(), composition::expressions());
        Self { registry, tables, planner, expressions, job_manager, task_manager, storage }
    }

    pub async fn stop(self) {
        self.task_manager.shutdown().await;
        self.job_manager.shutdown().await.unwrap();
        drop(self.storage);
    }

    fn dispatcher(&self) -> &Arc<Dispatcher> {
        self.job_manager.dispatcher()
    }

    /// The job of a script, whose rows are collected under the name `run`.
    pub fn plan(&self, sql: &str, run: &str, parallelism: u32) -> Result<JobGraph, String> {
        let named = |table: &&String| {
            let name = table.split(' ').nth(2).unwrap_or_default();
            sql.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name)
        };
        let tables: Vec<&str> = self.tables.iter().filter(named).map(String::as_str).collect();
        let text = format!(
            "{}\n{}\n;SET 'parallelism.default' = '{parallelism}';",
            tables.join("\n"),
            sql.trim_end().trim_end_matches(';')
        );
        let text =
            text.replace("'connector' = 'rows'", &format!("'connector' = 'rows', 'run' = '{run}'"));
        let text = text.replace(
            "'connector' = 'collect'",
            &format!("'connector' = 'collect', 'run' = '{run}'"),
        );
        let preview = format!("collect@{run}");
        let context = jobfile::Context {
            connectors: &self.registry,
            expressions: self.expressions.as_ref(),
            env: &|_: &str| None,
            files: &|path: &str| Err(format!("cases read no files, not {path} either")),
            sql: self.planner.as_ref(),
            preview: Some(&preview),
        };
        let planned = jobfile::plan_sql("case.sql", &text, &context).map_err(|d| d.to_string())?;
        let mut graph = planned.graph.ok_or("the case starts no job")?;
        read_in_order(&mut graph);
        graph.restart = RestartStrategy::None;
        graph.checkpoint.interval_ms = None;
        graph.checkpoint.retain_on_cancellation = true;
        Ok(graph)
    }

    pub async fn start_job(&self, graph: JobGraph, from: Option<String>) -> Result<JobId, String> {
        let started = self.dispatcher().run(graph, from, false).await;
        started.map(|(id, _)| id).map_err(|e| e.chain())
    }

    /// Waits until the job is over; an error when it did not end as `status`.
    pub async fn wait(&self, id: JobId, status: JobStatus) -> Result<Arc<JobSnapshot>, String> {
        let mut last = None;
        let ended = self
            .until(async || {
                let found = self.dispatcher().snapshot(&id.to_string()).await.ok()?;
                let over = found.details.status.is_terminal();
                last = Some(found.clone());
                over.then_some(found)
            })
            .await;
        match ended {
            Some(found) if found.details.status == status => Ok(found),
            _ => {
                let found = last.as_ref().map(|f| &f.details);
                let why = found.and_then(|d| d.failure.clone()).unwrap_or_default();
                let now = found.map(|d| d.status);
                Err(format!("the job is {now:?}, not {status:?}: {why}"))
            }
        }
    }

    /// Polls until `found` finds something; `None` when that takes too long.
    pub async fn until<T>(&self, mut found: impl AsyncFnMut() -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(found) = found().await {
                return Some(found);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        None
    }

    pub async fn is_over(&self, id: JobId) -> bool {
        let found = self.dispatcher().snapshot(&id.to_string()).await;
        found.is_ok_and(|f| f.details.status.is_terminal())
    }

    /// How many checkpoints the job has completed; more than none when it is over.
    pub async fn checkpoints(&self, id: JobId) -> Option<u64> {
        let found = self.dispatcher().snapshot(&id.to_string()).await.ok()?;
        Some(found.details.checkpoints.completed + u64::from(found.details.status.is_terminal()))
    }

    /// Takes a checkpoint and returns its path.
    pub async fn checkpoint(&self, id: JobId) -> Result<String, String> {
        let Ok(Found::Running(handle)) = self.dispatcher().find(&id.to_string()) else {
            return Err("the job ended before its checkpoint".to_owned());
        };
        let asked = handle.ask(|reply| JobMessage::TriggerCheckpoint { reply }).await;
        let taken: CheckpointId = asked.and_then(|t| t).map_err(|e| e.chain())?;
        let snapshot = self.dispatcher().snapshot(&id.to_string()).await.map_err(|e| e.chain())?;
        let record = snapshot.checkpoints.iter().find(|c| c.id == taken);
        record.and_then(|r| r.path.clone()).ok_or_else(|| "the checkpoint has no path".to_owned())
    }

    pub async fn cancel(&self, id: JobId) -> Result<(), String> {
        self.dispatcher().cancel(&id.to_string()).await.map_err(|e| e.chain())?;
        self.wait(id, JobStatus::Canceled).await.map(drop)
    }
}

/// Sources with `'ordered' = 'true'` are read by one subtask: what follows gets their rows and
/// watermarks in one order. Rows of several may overtake the watermark of those before them, as
/// they may in Flink, and are not late then.
fn read_in_order(graph: &mut JobGraph) {
    for vertex in &mut graph.vertices {
        let ordered = vertex.operators.iter().any(|o| match &o.spec {
            OperatorSpec::Source { source, .. } => source.options["ordered"] == "true",
            _ => false,
        });
        let id = vertex.id;
        let apart = graph.edges.iter().filter(|e| e.from == id);
        if ordered && apart.clone().all(|e| e.partitioning != Partitioning::Forward) {
            vertex.parallelism = 1;
        }
    }
}

/// How many splits the job's sources of connector `rows` read together.
pub fn splits(graph: &JobGraph) -> usize {
    let sources = graph.vertices.iter().flat_map(|v| &v.operators).filter_map(|o| match &o.spec {
        OperatorSpec::Source { source, .. } if source.connector == "rows" => Some(source),
        _ => None,
    });
    sources.map(|s| s.options["splits"].as_str().and_then(|n| n.parse().ok()).unwrap_or(4)).sum()
}

/// The types of the columns that the job's sink takes.
pub fn sink_types(graph: &JobGraph) -> String {
    let mut operators = graph.vertices.iter().flat_map(|v| &v.operators);
    let sink = operators.rfind(|o| matches!(o.spec, OperatorSpec::Sink { .. }));
    sink.map(|o| crate::collect::types(&o.output)).unwrap_or_default()
}
