//! Errors as Flink sends them. Made by every handler of the facade.

use axum::Json;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use model::{Error, ErrorKind};
use serde_json::json;

/// `{"errors": ["..."]}`; clients show the first line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FlinkError {
    pub status: StatusCode,
    pub message: String,
}

impl FlinkError {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }
    /// A path or query parameter that cannot be read.
    pub fn bad_parameter(place: &str, name: &str, value: &str) -> Self {
        let text = format!(
            "Bad request, could not parse parameters: Cannot resolve {place} parameter ({name}) \
             from value \"{value}\"."
        );
        Self::new(StatusCode::BAD_REQUEST, text)
    }
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }
}

impl From<Error> for FlinkError {
    fn from(error: Error) -> Self {
        let status = match error.kind() {
            ErrorKind::User => StatusCode::BAD_REQUEST,
            ErrorKind::External => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            ErrorKind::Fenced => StatusCode::CONFLICT,
        };
        Self::new(status, error.chain())
    }
}

impl IntoResponse for FlinkError {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "errors": [self.message] }))).into_response()
    }
}

/// A known path with a method that it does not have: Flink says that there is nothing.
pub(super) async fn not_found(uri: Uri) -> FlinkError {
    FlinkError::not_found(format!("Not found: {}", uri.path()))
}

/// What a Flink answers at a path that it does not have. Called by the router's fallback.
pub(in crate::rest) fn unknown_path(path: &str) -> Response {
    FlinkError::not_found(format!("Unable to load requested file {path}.")).into_response()
}
