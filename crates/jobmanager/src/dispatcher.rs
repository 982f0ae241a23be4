//! The Dispatcher: takes jobs in, starts a JobMaster for each, finds jobs by id, prefix or
//! name, and remembers those that are over. Called by `rpc.rs` and `rest/`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::job_graph::{JobFileFormat, JobGraph};
use model::{Error, JobId, Result, TaskManagerId};

use crate::details::JobSnapshot;
use crate::ha::job_store::{JobStore, StoredJob};
use crate::job_environment::JobEnvironment;
use crate::job_master::{JobContext, JobHandle, JobMaster, JobMessage, JobSpec};
use crate::observer::Observer;
use crate::{PlanFailure, PlannedJob, Planner};

/// Jobs that are over and still remembered.
pub const MAX_ENDED: usize = 100;

/// A job to run, as the HTTP API takes it.
#[derive(Clone, Debug, Default)]
pub struct Submission {
    pub job_file: String,
    pub format: JobFileFormat,
    /// Start from this checkpoint.
    pub from: Option<String>,
    /// Instead of the file's.
    pub name: Option<String>,
    /// Operators whose state the checkpoint holds may be missing in the job.
    pub allow_dropped_state: bool,
    /// Environment variables of the client that the job file names.
    pub variables: BTreeMap<String, String>,
}

/// Why a job was not taken.
#[derive(Debug)]
pub enum SubmitError {
    /// The job file is wrong.
    Plan(PlanFailure),
    /// It cannot be run, or not from that checkpoint.
    Refused(Error),
}

/// A job that was found.
#[derive(Clone)]
pub enum Found {
    Running(JobHandle),
    Ended(Arc<JobSnapshot>),
}

#[derive(Default)]
struct Jobs {
    running: BTreeMap<JobId, JobHandle>,
    ended: VecDeque<Arc<JobSnapshot>>,
}

pub struct Dispatcher {
    context: JobContext,
    planner: Arc<dyn Planner>,
    store: Arc<dyn JobStore>,
    jobs: Mutex<Jobs>,
    observer: Arc<Observer>,
    taps: bool,
    job_environment: JobEnvironment,
}

impl Dispatcher {
    pub fn new(context: JobContext, planner: Arc<dyn Planner>, store: Arc<dyn JobStore>) -> Self {
        let observer = Arc::new(Observer::new(context.clock.clone()));
        Self {
            context,
            planner,
            store,
            jobs: Mutex::default(),
            observer,
            taps: true,
            job_environment: JobEnvironment::default(),
        }
    }

    /// Whether people may look at rows that pass.
    #[must_use]
    pub fn with_taps(mut self, taps: bool) -> Self {
        self.taps = taps;
        self
    }

    /// Which variables of this process jobs may read.
    #[must_use]
    pub fn with_job_environment(mut self, environment: JobEnvironment) -> Self {
        self.job_environment = environment;
        self
    }

    pub fn job_environment(&self) -> &JobEnvironment {
        &self.job_environment
    }

    pub fn taps(&self) -> bool {
        self.taps
    }

    /// What is remembered of the jobs.
    pub fn observer(&self) -> &Arc<Observer> {
        &self.observer
    }

    /// The JSON Schema of job files.
    pub fn schema(&self) -> serde_json::Value {
        self.planner.schema()
    }

    /// Plans a job file without running it. `sent` are variables that the client knows.
    ///
    /// # Errors
    /// [`SubmitError::Plan`] with what is wrong with it.
    pub async fn plan(
        &self,
        format: JobFileFormat,
        text: String,
        sent: BTreeMap<String, String>,
    ) -> std::result::Result<PlannedJob, SubmitError> {
        let (planner, environment) = (self.planner.clone(), self.job_environment.clone());
        let planned = tokio::task::spawn_blocking(move || {
            planner.plan_as(format, &text, &|name| environment.value_or_sent(&sent, name))
        })
        .await;
        planned
            .map_err(|e| {
                SubmitError::Refused(
                    Error::internal("planning the job file broke off").caused_by(e),
                )
            })?
            .map_err(SubmitError::Plan)
    }

    pub fn context(&self) -> &JobContext {
        &self.context
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Plans, checks, stores and starts the job. Returns its id and name.
    pub async fn submit(
        self: &Arc<Self>,
        submission: Submission,
    ) -> std::result::Result<(JobId, String), SubmitError> {
        let Submission { job_file, format, from, name, allow_dropped_state, variables } =
            submission;
        let mut graph = self.plan(format, job_file, variables).await?.graph;
        if let Some(name) = name {
            graph.name = name;
        }
        self.run(graph, from, allow_dropped_state).await.map_err(SubmitError::Refused)
    }

    /// As [`Self::submit`], for a job that is planned already.
    pub async fn run(
        self: &Arc<Self>,
        graph: JobGraph,
        from: Option<String>,
        allow_dropped_state: bool,
    ) -> Result<(JobId, String)> {
        graph.validate()?;
        let manifest = match &from {
            None => None,
            Some(uri) => {
                let manifest = self.context.checkpoints.load_uri(uri).await?;
                ::checkpoint::check_compatible(&manifest, &graph, allow_dropped_state)?;
                Some((uri.clone(), Arc::new(manifest)))
            }
        };
        let id = JobId((self.context.random)());
        let name = graph.name.clone();
        let submitted_at_ms = self.context.clock.now_ms();
        let spec = JobSpec { id, graph: Arc::new(graph), submitted_at_ms, from: manifest };
        let stored = StoredJob { id, graph: spec.graph.as_ref().clone(), submitted_at_ms, from };
        let (master, handle) = JobMaster::new(spec, self.context.clone())?;
        self.store.put(&stored).await?;
        self.jobs().running.insert(id, handle);
        tracing::info!(job = %id, name, "job submitted");
        let dispatcher = self.clone();
        tokio::spawn(async move {
            let ended = master.run().await;
            dispatcher.ended(id, ended).await;
        });
        Ok((id, name))
    }

    async fn ended(&self, id: JobId, mut snapshot: JobSnapshot) {
        self.observer.finish(&mut snapshot);
        if let Err(error) = self.store.remove(id).await {
            tracing::warn!(job = %id, error = %error.chain(), "the job's record was not removed");
        }
        let mut jobs = self.jobs();
        jobs.running.remove(&id);
        if jobs.ended.len() == MAX_ENDED {
            jobs.ended.pop_front();
        }
        jobs.ended.push_back(Arc::new(snapshot));
    }

    /// The running job with this very id.
    pub fn running(&self, id: JobId) -> Option<JobHandle> {
        self.jobs().running.get(&id).cloned()
    }

    pub fn running_jobs(&self) -> Vec<JobHandle> {
        self.jobs().running.values().cloned().collect()
    }

    /// By id, by a unique prefix of it, or by name: a running job first, else the last ended.
    ///
    /// # Errors
    /// User: none matches (the text says which there are), or several do.
    pub fn find(&self, key: &str) -> Result<Found> {
        let jobs = self.jobs();
        let known = || {
            let running = jobs.running.values().map(|h| (h.id, h.name.as_str()));
            running.chain(jobs.ended.iter().map(|e| (e.details.id, e.details.name.as_str())))
        };
        let get = |id: JobId| match jobs.running.get(&id) {
            Some(handle) => Some(Found::Running(handle.clone())),
            None => jobs.ended.iter().find(|e| e.details.id == id).cloned().map(Found::Ended),
        };
        let named: Vec<JobId> =
            jobs.running.values().filter(|h| h.name == key).map(|h| h.id).collect();
        let by_name = match named.as_slice() {
            [id] => Some(*id),
            [] => jobs.ended.iter().rev().find(|e| e.details.name == key).map(|e| e.details.id),
            several => return Err(ambiguous(key, several)),
        };
        if let Some(found) = by_name.and_then(get) {
            return Ok(found);
        }
        let lower = key.to_ascii_lowercase();
        let is_hex = !lower.is_empty() && lower.bytes().all(|b| b.is_ascii_hexdigit());
        let mut matching: Vec<JobId> = known()
            .filter(|(id, _)| is_hex && id.to_string().starts_with(&lower))
            .map(|(id, _)| id)
            .collect();
        matching.dedup();
        match matching.as_slice() {
            [id] => get(*id).ok_or_else(|| Error::internal(format!("job {id} vanished"))),
            [] => Err(Error::user(format!("there is no job `{key}`"))),
            several => Err(ambiguous(key, several)),
        }
    }

    /// What is known of the jobs that are not over.
    pub async fn running_snapshots(&self) -> Vec<JobSnapshot> {
        let handles = self.running_jobs();
        let asked = handles.iter().map(|h| h.ask(|reply| JobMessage::Describe { reply }));
        futures::future::join_all(asked).await.into_iter().flatten().collect()
    }

    /// What is known of every job, newest submission first.
    pub async fn snapshots(&self) -> Vec<Arc<JobSnapshot>> {
        let handles = self.running_jobs();
        let asked = handles.iter().map(|handle| self.describe(handle));
        let asked = futures::future::join_all(asked).await;
        let mut all: Vec<Arc<JobSnapshot>> = asked.into_iter().flatten().collect();
        for ended in &self.jobs().ended {
            if all.iter().all(|s| s.details.id != ended.details.id) {
                all.push(ended.clone());
            }
        }
        all.sort_by_key(|s| (std::cmp::Reverse(s.details.submitted_at_ms), s.details.id));
        all
    }

    /// What is known of one job.
    pub async fn snapshot(&self, key: &str) -> Result<Arc<JobSnapshot>> {
        match self.find(key)? {
            Found::Ended(snapshot) => Ok(snapshot),
            Found::Running(handle) => self.describe(&handle).await,
        }
    }

    async fn describe(&self, handle: &JobHandle) -> Result<Arc<JobSnapshot>> {
        match handle.ask(|reply| JobMessage::Describe { reply }).await {
            Ok(mut snapshot) => {
                self.observer.decorate(&mut snapshot);
                Ok(Arc::new(snapshot))
            }
            // It ended while we asked.
            Err(_) => self.ended_snapshot(handle.id).await,
        }
    }

    /// The job's mailbox is closed, so its record is about to be there.
    async fn ended_snapshot(&self, id: JobId) -> Result<Arc<JobSnapshot>> {
        for _ in 0..100 {
            if let Some(found) = self.jobs().ended.iter().find(|e| e.details.id == id) {
                return Ok(found.clone());
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        Err(Error::internal(format!("job {id} ended without leaving a record")))
    }

    /// Asks the job to cancel; its end is seen in its status. Harmless when it is over.
    pub async fn cancel(&self, key: &str) -> Result<JobId> {
        match self.find(key)? {
            Found::Ended(snapshot) => Ok(snapshot.details.id),
            Found::Running(handle) => {
                // Closed: it is over.
                let _ = handle.mailbox.send(JobMessage::Cancel).await;
                Ok(handle.id)
            }
        }
    }

    /// Attempts among `reported` that should not run on that TaskManager.
    pub fn unexpected(
        &self,
        task_manager: &TaskManagerId,
        reported: &[model::ExecutionAttemptId],
    ) -> Vec<model::ExecutionAttemptId> {
        let jobs = self.jobs();
        let expected = |id: &model::ExecutionAttemptId| {
            jobs.running.get(&id.job).is_some_and(|job| job.expects(id, task_manager))
        };
        reported.iter().filter(|id| !expected(id)).copied().collect()
    }
}

fn ambiguous(key: &str, jobs: &[JobId]) -> Error {
    let ids: Vec<String> = jobs.iter().take(5).map(ToString::to_string).collect();
    Error::user(format!("`{key}` fits several jobs: {}; give the whole id", ids.join(", ")))
}
