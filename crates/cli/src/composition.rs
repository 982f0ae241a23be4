//! Where the parts are put together: which connectors, which expressions, which state
//! backends, which planner. Called by every command that runs a role or reads a job file.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jobmanager::{JobManagerParts, PlanFailure, Planner};
use model::config::StateBackendKind;
use model::connector::Connectors;
use model::expression::Expressions;
use model::job_graph::JobGraph;
use state::{HeapBackend, StateBackend};
use taskmanager::TaskManagerParts;

use crate::exit::{Exit, Failure};

/// Every connector there is.
pub fn connectors() -> Arc<dyn Connectors> {
    connectors::all()
}

/// SQL expressions.
pub fn expressions() -> Arc<dyn Expressions> {
    sql::expressions()
}

/// Plans job files with `jobfile`, for the job manager and for `validate` and `plan`.
pub struct JobFilePlanner {
    connectors: Arc<dyn Connectors>,
    expressions: Arc<dyn Expressions>,
}

impl JobFilePlanner {
    pub fn new() -> Self {
        Self { connectors: connectors(), expressions: expressions() }
    }

    /// Plans `text`, called `file_name` in diagnostics.
    pub fn plan_file(
        &self,
        file_name: &str,
        text: &str,
    ) -> Result<jobfile::Planned, jobfile::Diagnostics> {
        let env = |name: &str| std::env::var(name).ok();
        let context = jobfile::Context {
            connectors: &*self.connectors,
            expressions: &*self.expressions,
            env: &env,
        };
        jobfile::plan(file_name, text, &context)
    }
}

impl Default for JobFilePlanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Planner for JobFilePlanner {
    fn plan(&self, job_file: &str) -> Result<JobGraph, PlanFailure> {
        self.plan_file("job.yaml", job_file).map(|p| p.graph).map_err(|diagnostics| PlanFailure {
            text: diagnostics.to_string(),
            diagnostics: diagnostics.to_json()["diagnostics"].take(),
        })
    }
}

/// What a job manager is built from.
pub fn job_manager_parts() -> JobManagerParts {
    JobManagerParts { connectors: connectors(), planner: Arc::new(JobFilePlanner::new()) }
}

/// What a task manager is built from; RocksDB keeps its files below `state_dir`. There is
/// one RocksDB backend in a process, opened when first wanted, since its cache and write
/// buffers are bounded per backend.
pub fn task_manager_parts(state_dir: PathBuf) -> TaskManagerParts {
    let opened: Mutex<Option<Arc<dyn StateBackend>>> = Mutex::new(None);
    TaskManagerParts {
        connectors: connectors(),
        expressions: expressions(),
        backends: Arc::new(move |kind| -> model::Result<Arc<dyn StateBackend>> {
            if kind == StateBackendKind::Heap {
                return Ok(Arc::new(HeapBackend));
            }
            let mut opened = opened.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(backend) = &*opened {
                return Ok(Arc::clone(backend));
            }
            let backend: Arc<dyn StateBackend> =
                Arc::new(rocks::RocksBackend::new(state_dir.clone())?);
            Ok(Arc::clone(opened.insert(backend)))
        }),
    }
}

/// Reads a job file; `-` is standard input. Returns its name for diagnostics and its text.
pub fn read_job_file(path: &Path) -> Result<(String, String), Failure> {
    if path == Path::new("-") {
        let text = std::io::read_to_string(std::io::stdin())
            .map_err(|e| Failure::new(Exit::Config, format!("cannot read standard input: {e}")))?;
        return Ok(("<stdin>".to_owned(), text));
    }
    let name = path.display().to_string();
    match std::fs::read(path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok((name, text)),
            Err(_) => Err(Failure::new(Exit::Config, format!("{name} is not UTF-8 text"))),
        },
        Err(error) => Err(Failure::new(Exit::Config, format!("cannot read {name}: {error}"))
            .help("give the path of a job file; see examples/")),
    }
}
