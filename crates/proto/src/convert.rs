//! Conversions between wire messages and `model` types. Called by every `rpc.rs`.

use bytes::Bytes;
use model::{Attempt, Error, ErrorKind, ExecutionAttemptId, JobId, Result, SubtaskIndex, VertexId};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::v1;

pub fn attempt_to_wire(id: &ExecutionAttemptId) -> v1::AttemptId {
    v1::AttemptId {
        job: Bytes::copy_from_slice(&id.job.0.to_be_bytes()),
        vertex: Bytes::copy_from_slice(&id.vertex.0.to_be_bytes()),
        subtask: id.subtask.0,
        attempt: id.attempt.0,
    }
}

/// Fails with kind User when a field is missing or of the wrong length.
pub fn attempt_from_wire(id: Option<v1::AttemptId>) -> Result<ExecutionAttemptId> {
    let id = id.ok_or_else(|| Error::user("the message names no execution attempt"))?;
    let number = |bytes: &Bytes, what: &str| -> Result<u128> {
        let bytes: [u8; 16] = bytes
            .as_ref()
            .try_into()
            .map_err(|_| Error::user(format!("{what} id is {} bytes long, not 16", bytes.len())))?;
        Ok(u128::from_be_bytes(bytes))
    };
    Ok(ExecutionAttemptId {
        job: JobId(number(&id.job, "job")?),
        vertex: VertexId(number(&id.vertex, "vertex")?),
        subtask: SubtaskIndex(id.subtask),
        attempt: Attempt(id.attempt),
    })
}

fn kind_name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::User => "user",
        ErrorKind::External => "external",
        ErrorKind::Internal => "internal",
        ErrorKind::Fenced => "fenced",
    }
}

pub fn failure_to_wire(error: &Error) -> v1::Failure {
    v1::Failure { kind: kind_name(error.kind()).to_owned(), message: error.chain() }
}

pub fn failure_from_wire(failure: Option<v1::Failure>) -> Error {
    let Some(failure) = failure else {
        return Error::internal("failed without saying why");
    };
    let kind = match failure.kind.as_str() {
        "user" => ErrorKind::User,
        "external" => ErrorKind::External,
        "fenced" => ErrorKind::Fenced,
        _ => ErrorKind::Internal,
    };
    Error::new(kind, failure.message)
}

pub fn json_to_wire<T: Serialize>(value: &T) -> Result<Bytes> {
    serde_json::to_vec(value)
        .map(Bytes::from)
        .map_err(|e| Error::internal("cannot encode a message").caused_by(e))
}

pub fn json_from_wire<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| Error::user(format!("{what} is not valid: {e}")))
}

/// The gRPC status that carries an error's kind across the wire.
pub fn error_to_status(error: &Error) -> tonic::Status {
    match error.kind() {
        ErrorKind::User => tonic::Status::invalid_argument(error.chain()),
        ErrorKind::External => tonic::Status::unavailable(error.chain()),
        ErrorKind::Internal => tonic::Status::internal(error.chain()),
        ErrorKind::Fenced => tonic::Status::failed_precondition(error.chain()),
    }
}

/// The inverse, for callers; `peer` names whom we asked.
pub fn status_to_error(peer: &str, status: &tonic::Status) -> Error {
    let kind = match status.code() {
        tonic::Code::InvalidArgument => ErrorKind::User,
        tonic::Code::FailedPrecondition => ErrorKind::Fenced,
        tonic::Code::Internal => ErrorKind::Internal,
        _ => ErrorKind::External,
    };
    Error::new(kind, format!("{peer} answered: {}", status.message()))
}
