//! Exit codes and the errors that end a command.

/// What the process says when it ends. Stable: scripts rely on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Ok,
    /// The job or the operation failed.
    Failed,
    /// The command line is wrong.
    Usage,
    NotFound,
    Auth,
    Timeout,
    /// The job file or the configuration is wrong (EX_CONFIG).
    Config,
    /// Interrupted by the user.
    Interrupted,
}

impl Exit {
    pub fn code(self) -> i32 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Auth => 4,
            Self::Timeout => 5,
            Self::Config => 78,
            Self::Interrupted => 130,
        }
    }
}

/// An error that ends a command: what happened, what to do, and the exit code.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    pub message: String,
    pub help: Option<String>,
    /// The message is a finished report (job file diagnostics) and is printed as it is.
    pub rendered: bool,
}

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), help: None, rendered: false }
    }
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
    pub fn rendered(exit: Exit, report: impl Into<String>) -> Self {
        Self { exit, message: report.into(), help: None, rendered: true }
    }
    pub fn print(&self) {
        if self.rendered {
            eprintln!("{}", self.message.trim_end());
        } else {
            eprintln!("error: {}", self.message);
        }
        if let Some(help) = &self.help {
            eprintln!("help: {help}");
        }
    }
}

impl From<model::Error> for Failure {
    fn from(error: model::Error) -> Self {
        let exit = match error.kind() {
            model::ErrorKind::User => Exit::Config,
            _ => Exit::Failed,
        };
        Self::new(exit, error.chain())
    }
}
