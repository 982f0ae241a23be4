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

    /// Plans a script of SQL statements. `preview` is the connector that takes the rows of a
    /// SELECT outside an INSERT.
    pub fn plan_script(
        &self,
        file_name: &str,
        text: &str,
        preview: Option<&str>,
    ) -> Result<jobfile::Scripted, jobfile::Diagnostics> {
        self.plan_script_with(file_name, text, preview, &own_variable)
    }

    fn plan_script_with(
        &self,
        file_name: &str,
        text: &str,
        preview: Option<&str>,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<jobfile::Scripted, jobfile::Diagnostics> {
        let refuse = |_: &str| Err("a script names no files".to_owned());
        jobfile::plan_sql(file_name, text, &self.context(&refuse, preview, env))
    }

    fn context<'a>(
        &'a self,
        files: &'a dyn Fn(&str) -> Result<String, String>,
        preview: Option<&'a str>,
        env: &'a dyn Fn(&str) -> Option<String>,
    ) -> jobfile::Context<'a> {
        jobfile::Context {
            connectors: &*self.connectors,
            expressions: &*self.expressions,
            env,
            files,
            sql: &*self.sql,
            preview,
        }
    }

    /// Plans a file of the user.
    pub fn plan_file(&self, file: &JobFile) -> Result<jobfile::Planned, jobfile::Diagnostics> {
        let beside = |path: &str| read_beside(&file.folder, path);
        self.plan_text(&file.name, &file.text, &beside, &own_variable)
    }

    fn plan_text(
        &self,
        file_name: &str,
        text: &str,
        files: &dyn Fn(&str) -> Result<String, String>,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<jobfile::Planned, jobfile::Diagnostics> {
        if sql::looks_like_sql(text) {
            return self.plan_sql_file(file_name, text, env);
        }
        jobfile::plan(file_name, text, &self.context(files, None, env))
    }

    /// Plans what a client sent, whose files are not here.
    fn plan_sent(
        &self,
        text: &str,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<jobfile::Planned, PlanFailure> {
        let elsewhere = |_: &str| {
            Err("a job manager reads no files; `streamctl submit` sends their text".to_owned())
        };
        self.plan_text("job.yaml", text, &elsewhere, env).map_err(failure)
    }

    fn plan_sql_file(
        &self,
        file_name: &str,
        text: &str,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<jobfile::Planned, jobfile::Diagnostics> {
        let scripted = self.plan_script_with(file_name, text, None, env)?;
        let jobfile::Scripted { graph, warnings, .. } = scripted;
        match graph {
            Some(graph) => Ok(jobfile::Planned { graph, warnings }),
            None => Err(jobfile::Diagnostics::whole(file_name, "the script starts no job")),
        }
    }
}

/// What a file of the user may name: the user's own environment.
fn own_variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn failure(diagnostics: jobfile::Diagnostics) -> PlanFailure {
    PlanFailure {
        text: diagnostics.to_string(),
        diagnostics: diagnostics.to_json()["diagnostics"].take(),
    }
}

impl Default for JobFilePlanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Planner for JobFilePlanner {
    fn plan(&self, job_file: &str) -> Result<JobGraph, PlanFailure> {
        self.plan_sent(job_file, &|_| None).map(|p| p.graph)
    }

    fn plan_as(
        &self,
        format: JobFileFormat,
        text: &str,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<PlannedJob, PlanFailure> {
        let planned = match format {
            // Clients that do not say what they send mean whichever it looks like.
            JobFileFormat::Yaml => self.plan_sent(text, env),
            JobFileFormat::Sql => self.plan_sql_file("job.sql", text, env).map_err(failure),
        };
        let jobfile::Planned { graph, warnings } = planned?;
        let warnings = warnings.iter().filter_map(|w| serde_json::to_value(w).ok());
        Ok(PlannedJob { graph, warnings: warnings.collect() })
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

/// A job file or a script as the user named it.
pub struct JobFile {
    /// For diagnostics.
    pub name: String,
    pub text: String,
    /// Where the paths in it start.
    pub folder: PathBuf,
}

impl JobFile {
    /// Reads it; `-` is standard input.
    ///
    /// # Errors
    /// It cannot be read, or is not UTF-8.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let failed = |text: String| Failure::new(Exit::Config, text);
        if path == Path::new("-") {
            let text = std::io::read_to_string(std::io::stdin())
                .map_err(|e| failed(format!("cannot read standard input: {e}")))?;
            return Ok(Self { name: "<stdin>".to_owned(), text, folder: PathBuf::from(".") });
        }
        let name = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|error| {
            failed(format!("cannot read {name}: {error}"))
                .help("give the path of a job file; see examples/")
        })?;
        let text =
            String::from_utf8(bytes).map_err(|_| failed(format!("{name} is not UTF-8 text")))?;
        let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
        Ok(Self { name, text, folder })
    }

    /// What the job is to be called, when the file does not say: a script without
    /// `SET 'pipeline.name'` is called after its file, wherever it is planned.
    pub fn job_name(&self) -> Option<String> {
        let is_script = sql::looks_like_sql(&self.text);
        let named = || sql::planner().settings(&self.text).iter().any(|s| s.key == "pipeline.name");
        (is_script && !named()).then(|| jobfile::script_name(&self.name))
    }

    /// The text with the files in it that it names: a job manager cannot read them.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn self_contained(&self) -> Result<String, Failure> {
        if sql::looks_like_sql(&self.text) {
            return Ok(self.text.clone());
        }
        jobfile::self_contained(&self.name, &self.text, &|path| read_beside(&self.folder, path))
            .map_err(|diagnostics| Failure::rendered(Exit::Config, diagnostics.to_string()))
    }
}

fn read_beside(folder: &Path, path: &str) -> Result<String, String> {
    std::fs::read_to_string(folder.join(path)).map_err(|error| error.to_string())
}
