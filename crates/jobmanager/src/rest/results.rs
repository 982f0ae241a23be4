//! `POST /api/v1/jobs/{job}/results`: every row of a query, from the first to the last, to
//! the one who asked it. The query waits for its reader, and ends when the reader leaves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use futures::StreamExt;
use futures::stream::{SelectAll, select_all};
use model::execution_state::ExecutionState;
use model::job_graph::JobGraph;
use model::operator_spec::OperatorSpec;
use model::{ExecutionAttemptId, JobId, VertexId};
use serde_json::{Value, json};

use crate::details::JobSnapshot;
use crate::dispatcher::Dispatcher;
use crate::gateway::ResultStream;
use crate::rest::ApiError;
use crate::rest::events::{self, Events, Gone, Stream};
use crate::rest::jobs::{Jobs, snapshot};

/// Between looks at whether the query runs, or is over.
const POLL: Duration = Duration::from_millis(20);

pub async fn open(State(jobs): Jobs, Path(job): Path<String>) -> Result<Stream, ApiError> {
    let first = snapshot(&jobs, &job).await?;
    if !jobs.taps() {
        let text = "this job manager does not show rows";
        return Err(ApiError::new(StatusCode::FORBIDDEN, "tapsOff", text)
            .help("start it with --taps on, if whoever reaches it may see the data"));
    }
    let id = first.details.id;
    let Some(vertex) = collecting(&jobs, &first.graph) else {
        let text = format!("job {id} hands its rows to sinks of its own");
        return Err(ApiError::new(StatusCode::CONFLICT, "CONFLICT", text)
            .help("only a query of `streamctl sql` has results; see .../taps for rows that pass"));
    };
    let dispatcher = jobs.clone();
    events::open(&jobs, async move |mut events: Events| {
        let mut unread = Unread { jobs: dispatcher.clone(), id, over: false };
        events.send("open", json!({ "job": id }).to_string()).await?;
        let relayed = relay(&dispatcher, id, vertex, &mut events).await?;
        let ended = ended(&dispatcher, id).await;
        unread.over = true;
        let failure = relayed.or(ended.1);
        events.send("end", json!({ "status": ended.0, "failure": failure }).to_string()).await
    })
}

/// Cancels the query when its reader leaves before the end.
struct Unread {
    jobs: Arc<Dispatcher>,
    id: JobId,
    over: bool,
}

impl Drop for Unread {
    fn drop(&mut self) {
        if !self.over {
            let (jobs, id) = (self.jobs.clone(), self.id.to_string());
            tokio::spawn(async move {
                // Not found: it is over.
                let _ = jobs.cancel(&id).await;
            });
        }
    }
}

/// The vertex that ends with a sink which collects.
fn collecting(jobs: &Dispatcher, graph: &JobGraph) -> Option<VertexId> {
    let connectors = &jobs.context().connectors;
    let vertex = graph.vertices.iter().find(|v| match v.operators.last().map(|o| &o.spec) {
        Some(OperatorSpec::Sink { sink }) => connectors.sink(sink).is_ok_and(|s| s.collects()),
        _ => false,
    });
    vertex.map(|v| v.id)
}

/// Hands on every row; returns what went wrong on the way, if anything.
async fn relay(
    jobs: &Arc<Dispatcher>,
    id: JobId,
    vertex: VertexId,
    events: &mut Events,
) -> Result<Option<String>, Gone> {
    let running = loop {
        match jobs.snapshot(&id.to_string()).await {
            Ok(now) if now.details.status.is_terminal() => return Ok(None),
            Ok(now) if runs(&now, vertex) => break now,
            Ok(_) => tokio::time::sleep(POLL).await,
            Err(error) => return Ok(Some(error.chain())),
        }
    };
    let mut rows = match connect(jobs, &running, vertex).await {
        Ok(rows) => rows,
        Err(failure) => return Ok(Some(failure)),
    };
    while let Some(batch) = rows.next().await {
        match batch {
            Ok(rows) => events.send("rows", rows.to_string()).await?,
            Err(error) => return Ok(Some(error.chain())),
        }
    }
    Ok(None)
}

/// Whether every subtask of the vertex has results to be read. None of them ends unread.
fn runs(snapshot: &JobSnapshot, vertex: VertexId) -> bool {
    let found = snapshot.details.vertices.iter().find(|v| v.id == vertex);
    found.is_some_and(|v| v.subtasks.iter().all(|s| s.state == ExecutionState::Running))
}

async fn connect(
    jobs: &Dispatcher,
    snapshot: &JobSnapshot,
    vertex: VertexId,
) -> Result<SelectAll<ResultStream>, String> {
    let context = jobs.context();
    let managers = context.cluster.task_managers();
    let addr_of: BTreeMap<_, _> =
        managers.into_iter().map(|t| (t.info.id, t.info.rpc_addr)).collect();
    let mut streams = Vec::new();
    let found = snapshot.details.vertices.iter().find(|v| v.id == vertex);
    for subtask in found.into_iter().flat_map(|v| &v.subtasks) {
        let addr = subtask.task_manager.as_ref().and_then(|id| addr_of.get(id));
        let addr = addr.ok_or("a task manager of the query is lost")?;
        let attempt = ExecutionAttemptId {
            job: snapshot.details.id,
            vertex,
            subtask: subtask.subtask,
            attempt: subtask.attempt,
        };
        let opened = context.gateway.results(addr, attempt).await;
        streams.push(opened.map_err(|e| e.into_error().chain())?);
    }
    Ok(select_all(streams))
}

/// How the job ended, once it has.
async fn ended(jobs: &Arc<Dispatcher>, id: JobId) -> (Value, Option<String>) {
    loop {
        match jobs.snapshot(&id.to_string()).await {
            Ok(now) if now.details.status.is_terminal() => {
                let failed = now.details.failure.clone();
                return (json!(now.details.status), failed);
            }
            Ok(_) => tokio::time::sleep(POLL).await,
            Err(error) => return (Value::Null, Some(error.chain())),
        }
    }
}
