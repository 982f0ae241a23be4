//! The error every contract speaks, and the one question each error must answer:
//! whose fault is it, hence what does the JobMaster do about it.

use std::fmt;

/// What the JobMaster does about an error. Each kind has exactly one reaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// Bad job, option or data. The job fails; restarting cannot help.
    User,
    /// A broker, store, peer or network. Restart with the restart strategy.
    External,
    /// A broken invariant of ours. Restart, count, log at error.
    Internal,
    /// We are no longer the owner. Stop quietly.
    Fenced,
}

/// An error with its kind. `Display` prints this error only; `source` keeps the cause.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }
    pub fn user(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::User, message)
    }
    pub fn external(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::External, message)
    }
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }
    pub fn fenced(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Fenced, message)
    }
    /// Keeps `source` as the cause.
    #[must_use]
    pub fn caused_by(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }
    /// Prefixes the message with the name of the thing that failed. Call it once, where the name is known.
    #[must_use]
    pub fn at(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
    pub fn message(&self) -> &str {
        &self.message
    }
    /// The message followed by every cause, for logs and answers to users.
    pub fn chain(&self) -> String {
        let mut text = self.message.clone();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let next = error.to_string();
            if !text.contains(&next) {
                text.push_str(": ");
                text.push_str(&next);
            }
            cause = error.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|e| e.as_ref() as _)
    }
}

impl From<arrow::error::ArrowError> for Error {
    /// Arrow refuses data (overflow, bad cast) far more often than it breaks: the
    /// kinds that can only come from values are the user's, the rest are ours.
    fn from(error: arrow::error::ArrowError) -> Self {
        use arrow::error::ArrowError as A;
        let kind = match &error {
            A::DivideByZero
            | A::ArithmeticOverflow(_)
            | A::CastError(_)
            | A::ParseError(_)
            | A::ComputeError(_)
            | A::CsvError(_)
            | A::JsonError(_) => ErrorKind::User,
            A::IoError(_, _) => ErrorKind::External,
            _ => ErrorKind::Internal,
        };
        Self { kind, message: error.to_string(), source: None }
    }
}
