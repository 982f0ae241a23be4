//! Operations that take their time: a trigger answers with a request id at once, and the
//! id is asked for until the operation is over, as Flink has it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use model::{CheckpointId, JobId};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::dispatcher::Found;
use crate::job_master::JobMessage;

use super::{Answer, Facade, FlinkError, Shared, exceptions, request};

/// Operations remembered; the oldest make room.
const MAX_OPERATIONS: usize = 1000;

#[derive(Clone, Debug)]
enum Outcome {
    InProgress,
    Completed(CheckpointId),
    Failed(String),
}

struct Operation {
    job: JobId,
    id: u128,
    outcome: Outcome,
}

/// Checkpoints that were triggered through the facade.
#[derive(Default)]
pub(super) struct Triggers {
    operations: Mutex<VecDeque<Operation>>,
}

impl Triggers {
    fn operations(&self) -> MutexGuard<'_, VecDeque<Operation>> {
        self.operations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// False: the job has an operation of that id, which goes on.
    fn begin(&self, job: JobId, id: u128) -> bool {
        let mut operations = self.operations();
        if operations.iter().any(|o| o.id == id && o.job == job) {
            return false;
        }
        if operations.len() == MAX_OPERATIONS {
            operations.pop_front();
        }
        operations.push_back(Operation { job, id, outcome: Outcome::InProgress });
        true
    }

    fn end(&self, job: JobId, id: u128, outcome: Outcome) {
        let mut operations = self.operations();
        if let Some(found) = operations.iter_mut().find(|o| o.id == id && o.job == job) {
            found.outcome = outcome;
        }
    }

    fn outcome(&self, job: JobId, id: u128) -> Option<Outcome> {
        let operations = self.operations();
        operations.iter().find(|o| o.id == id && o.job == job).map(|o| o.outcome.clone())
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CheckpointRequest {
    /// Every checkpoint is full, whichever is asked for.
    #[serde(default)]
    checkpoint_type: Option<CheckpointType>,
    /// Chosen by a client that wants to ask again after a broken connection.
    #[serde(default)]
    trigger_id: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum CheckpointType {
    Configured,
    Full,
    Incremental,
}

/// `POST /jobs/:id/checkpoints`: 202 and a request id.
pub async fn checkpoint(
    State(facade): Shared,
    Path(job): Path<String>,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), FlinkError> {
    let job = request::job(&facade, &job).await?.details.id;
    let asked = if body.is_empty() {
        CheckpointRequest::default()
    } else {
        serde_json::from_slice(&body).map_err(|e| {
            let text = "Request did not match expected format CheckpointTriggerRequestBody";
            FlinkError::bad_request(format!("{text}: {e}."))
        })?
    };
    if let Some(kind) = asked.checkpoint_type {
        tracing::debug!(%job, ?kind, "checkpoint triggered over the facade");
    }
    let id = match &asked.trigger_id {
        None => (facade.dispatcher.context().random)(),
        Some(text) => trigger_id(text)?,
    };
    if facade.triggers.begin(job, id) {
        tokio::spawn(take(facade.clone(), job, id));
    }
    Ok((StatusCode::ACCEPTED, Json(json!({ "request-id": format!("{id:032x}") }))))
}

fn trigger_id(text: &str) -> Result<u128, FlinkError> {
    let id = text.parse::<JobId>();
    id.map(|id| id.0).map_err(|_| FlinkError::bad_parameter("path", "triggerid", text))
}

/// Ends with the checkpoint, or with the job.
async fn take(facade: Arc<Facade>, job: JobId, id: u128) {
    let outcome = match facade.dispatcher.find(&job.to_string()) {
        Ok(Found::Running(handle)) => {
            handle.ask(|reply| JobMessage::TriggerCheckpoint { reply }).await.and_then(|r| r)
        }
        Ok(Found::Ended(_)) => Err(model::Error::user(format!("job {job} is over"))),
        Err(error) => Err(error),
    };
    let outcome = match outcome {
        Ok(checkpoint) => Outcome::Completed(checkpoint),
        Err(error) => Outcome::Failed(error.chain()),
    };
    facade.triggers.end(job, id, outcome);
}

/// `GET /jobs/:id/checkpoints/:triggerid`.
pub async fn checkpoint_status(
    State(facade): Shared,
    Path((job, trigger)): Path<(String, String)>,
) -> Answer {
    let job = request::job_id(&job, "path")?;
    let outcome = facade.triggers.outcome(job, trigger_id(&trigger)?).ok_or_else(|| {
        FlinkError::not_found(format!(
            "There is no checkpoint operation with triggerId={trigger} for job {job}."
        ))
    })?;
    Ok(Json(match outcome {
        Outcome::InProgress => json!({ "status": { "id": "IN_PROGRESS" }, "operation": null }),
        Outcome::Completed(checkpoint) => json!({
            "status": { "id": "COMPLETED" },
            "operation": { "checkpointId": checkpoint },
        }),
        Outcome::Failed(cause) => json!({
            "status": { "id": "COMPLETED" },
            "operation": { "failureCause": exceptions::throwable(&cause) },
        }),
    }))
}
