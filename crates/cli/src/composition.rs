//! Where the parts are put together: which connectors, which expressions, which state
//! backends, which planner. Called by every command that runs a role or reads a job file.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jobmanager::{JobManagerParts, PlanFailure, PlannedJob, Planner};
use model::config::StateBackendKind;
use model::connector::Connectors;
use model::expression::Expressions;
use model::job_graph::{JobFileFormat, JobGraph};
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
    sql: Arc<dyn planner::sql::SqlPlanner>,
}

impl JobFilePlanner {
    pub fn new() -> Self {
        Self { connectors: connectors(), expressions: expressions(), sql: sql::planner() }
    }

    /// Plans a script of SQL statements.
    pub fn plan_script(
        &self,
        file_name: &str,
        text: &str,
    ) -> Result<jobfile::Scripted, jobfile::Diagnostics> {
        let env = |name: &str| std::env::var(name).ok();
        jobfile::plan_sql(file_name, text, &self.context(&env))
    }

    fn context<'a>(&'a self, env: &'a dyn Fn(&str) -> Option<String>) -> jobfile::Context<'a> {
        jobfile::Context {
            connectors: &*self.connectors,
            expressions: &*self.expressions,
            env,
            sql: &*self.sql,
            preview: None,
        }
    }

    /// Plans `text`, called `file_name` in diagnostics.
    pub fn plan_file(
        &self,
        file_name: &str,
        text: &str,
    ) -> Result<jobfile::Planned, jobfile::Diagnostics> {
        if sql::looks_like_sql(text) {
            return self.plan_sql_file(file_name, text);
        }
        let env = |name: &str| std::env::var(name).ok();
        jobfile::plan(file_name, text, &self.context(&env))
    }

    fn plan_sql_file(
        &self,
        file_name: &str,
        text: &str,
    ) -> Result<jobfile::Planned, jobfile::Diagnostics> {
        let jobfile::Scripted { graph, warnings, .. } = self.plan_script(file_name, text)?;
        match graph {
            Some(graph) => Ok(jobfile::Planned { graph, warnings }),
            None => Err(jobfile::Diagnostics::whole(file_name, "the script starts no job")),
        }
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

    fn plan_as(&self, format: JobFileFormat, text: &str) -> Result<PlannedJob, PlanFailure> {
        let planned = match format {
            // Clients that do not say what they send mean whichever it looks like.
            JobFileFormat::Yaml => self.plan_file("job.yaml", text),
            JobFileFormat::Sql => self.plan_sql_file("job.sql", text),
        };
        match planned {
            Ok(jobfile::Planned { graph, warnings }) => {
                let warnings = warnings.iter().filter_map(|w| serde_json::to_value(w).ok());
                Ok(PlannedJob { graph, warnings: warnings.collect() })
            }
            Err(diagnostics) => Err(PlanFailure {
                text: diagnostics.to_string(),
                diagnostics: diagnostics.to_json()["diagnostics"].take(),
            }),
        }
    }

    fn schema(&self) -> serde_json::Value {
        jobfile::json_schema(&*self.connectors)
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
            Ok(text) => Ok((name, with_job_name(path, text))),
            Err(_) => Err(Failure::new(Exit::Config, format!("{name} is not UTF-8 text"))),
        },
        Err(error) => Err(Failure::new(Exit::Config, format!("cannot read {name}: {error}"))
            .help("give the path of a job file; see examples/")),
    }
}

/// A script that does not name its job is called after its file, wherever it is planned.
fn with_job_name(path: &Path, text: String) -> String {
    let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or("sql-job");
    if !sql::looks_like_sql(&text) || text.contains("pipeline.name") {
        return text;
    }
    let end = if text.trim_end().ends_with(';') { "" } else { ";" };
    format!("{text}\n{end}SET 'pipeline.name' = '{}';\n", stem.replace('\'', ""))
}
