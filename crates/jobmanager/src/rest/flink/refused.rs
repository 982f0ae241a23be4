//! What Flink can and Weir does not do: savepoints, stop with savepoint, rescaling, shutting
//! the cluster down over HTTP. Refused with Flink's status and a reason, never silently.

use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::request::job;
use super::{FlinkError, Shared};

type Refusal = Result<(), FlinkError>;

/// Savepoints, and stopping with one.
pub async fn savepoint(State(facade): Shared, Path(id): Path<String>) -> Refusal {
    job(&facade, &id).await?;
    let text = "Savepoints are not supported by Weir. POST /jobs/:jobid/checkpoints takes a \
                checkpoint, which a job can be submitted from; with \
                spec.checkpoint.retainOnCancellation the newest ones stay when PATCH \
                /jobs/:jobid cancels the job.";
    Err(FlinkError::bad_request(text))
}

pub async fn savepoint_of_job(
    State(facade): Shared,
    Path((id, trigger)): Path<(String, String)>,
) -> Refusal {
    let job = job(&facade, &id).await?;
    let text = format!(
        "There is no savepoint operation with triggerId={trigger} for job {}.",
        job.details.id
    );
    Err(FlinkError::not_found(text))
}

pub async fn savepoint_disposal() -> FlinkError {
    FlinkError::bad_request(
        "Savepoints are not supported by Weir. Old checkpoints are removed by themselves: see \
         spec.checkpoint.retain of the job file.",
    )
}

pub async fn savepoint_status(Path(trigger): Path<String>) -> FlinkError {
    let text = format!("There is no savepoint disposal operation with triggerId={trigger}.");
    FlinkError::not_found(text)
}

/// `PATCH .../rescaling`: switched off in Flink too.
pub async fn rescaling(State(facade): Shared, Path(id): Path<String>) -> Refusal {
    job(&facade, &id).await?;
    let text = "Rescaling a running job is not supported by Weir. Submit the job from its newest \
                checkpoint with another parallelism.";
    Err(FlinkError::new(StatusCode::SERVICE_UNAVAILABLE, text))
}

/// As Flink's default scheduler, which does not rescale, answers.
pub async fn requirements(State(facade): Shared, Path(id): Path<String>) -> Refusal {
    job(&facade, &id).await?;
    let text = "The parallelism of a running job cannot be changed. Submit the job from its \
                newest checkpoint with another parallelism.";
    Err(FlinkError::new(StatusCode::INTERNAL_SERVER_ERROR, text))
}

pub async fn shutdown() -> FlinkError {
    let text = "Weir is not shut down over HTTP: stop the job manager's process.";
    FlinkError::new(StatusCode::FORBIDDEN, text)
}
