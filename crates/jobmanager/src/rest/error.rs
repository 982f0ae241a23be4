//! Errors of the HTTP API. Made by every handler in `rest/`.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use model::{Error, ErrorKind};
use serde_json::{Value, json};

use crate::dispatcher::SubmitError;

/// An error as sent.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    help: Option<String>,
    /// Added to the error object.
    details: Option<Box<Value>>,
}

impl ApiError {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), help: None, details: None }
    }
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
    /// A job, or a part of it, that is not there.
    pub fn missing(error: &Error) -> Self {
        let text = error.chain();
        if text.contains("fits several") {
            return Self::new(StatusCode::CONFLICT, "AMBIGUOUS", text);
        }
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", text)
            .help("`streamctl get jobs` lists the jobs there are")
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let (status, code) = match error.kind() {
            ErrorKind::User => (StatusCode::BAD_REQUEST, "INVALID"),
            ErrorKind::External => (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"),
            ErrorKind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL"),
            ErrorKind::Fenced => (StatusCode::CONFLICT, "CONFLICT"),
        };
        Self::new(status, code, error.chain())
    }
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Refused(error) if error.kind() == ErrorKind::User => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "JOB_REFUSED", error.chain())
            }
            SubmitError::Refused(error) => error.into(),
            SubmitError::Plan(failure) => {
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                let mut error = Self::new(status, "INVALID_JOB_FILE", failure.text)
                    .help("`streamctl validate FILE` checks a job file without a cluster");
                error.details = Some(Box::new(failure.diagnostics));
                error
            }
        }
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        let text = rejection.body_text();
        let error = Self::new(rejection.status(), "INVALID_BODY", text);
        error.help("send a JSON object with content-type application/json, at most 4 MiB long")
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(rejection.status(), "INVALID_QUERY", rejection.body_text())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut error = json!({ "code": self.code, "message": self.message, "help": self.help });
        if let Some(details) = self.details {
            error["diagnostics"] = *details;
        }
        (self.status, Json(json!({ "error": error }))).into_response()
    }
}

/// Outside `/api`, as the facade's clients know it.
pub async fn not_found(uri: Uri) -> Response {
    if !uri.path().starts_with("/api/") {
        return super::flink::unknown_path(uri.path());
    }
    ApiError::new(StatusCode::NOT_FOUND, "NOT_FOUND", format!("there is nothing at {}", uri.path()))
        .help("GET /api/v1/openapi.json lists every route")
        .into_response()
}

pub async fn method_not_allowed(method: Method, uri: Uri) -> ApiError {
    let text = format!("{method} is not possible at {}", uri.path());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", text)
        .help("GET /api/v1/openapi.json lists every route")
}

/// What axum itself refuses, such as a path that is not UTF-8, as every other error.
pub async fn as_json(response: Response) -> Response {
    let status = response.status();
    let media = response.headers().get("content-type").and_then(|v| v.to_str().ok());
    let is_text = media.is_none_or(|m| m.starts_with("text/plain"));
    if !(status.is_client_error() || status.is_server_error()) || !is_text {
        return response;
    }
    let body = axum::body::to_bytes(response.into_body(), 4096).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&body).into_owned();
    let text = if text.is_empty() { status.to_string() } else { text };
    ApiError::new(status, "INVALID_REQUEST", text).into_response()
}
