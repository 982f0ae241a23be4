//! The command line. One flag has one spelling in every command, is also an environment
//! variable `WEIR_...` and a key of the configuration file (`settings.rs`).

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Weir: a distributed stream processor.
#[derive(Debug, Parser)]
#[command(name = "streamctl", version, about, propagate_version = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,

    /// Configuration file (YAML: one `flag-name: value` a line).
    #[arg(long, global = true, env = "WEIR_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// What to log: error, warn, info, debug, trace, or a filter such as `jobmanager=debug`.
    #[arg(long, global = true, env = "WEIR_LOG", value_name = "FILTER")]
    pub log: Option<String>,

    /// How to write log lines: text, or json (one object a line). Default text.
    #[arg(long, global = true, env = "WEIR_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a job on an embedded cluster in this process until it ends.
    Run(RunArguments),
    /// Local clusters.
    Local {
        #[command(subcommand)]
        command: LocalCommand,
    },
    /// Run a job manager.
    Jobmanager(JobManagerArguments),
    /// Run a task manager.
    Taskmanager(TaskManagerArguments),
    /// Submit a job to a job manager.
    Submit(SubmitArguments),
    /// List jobs, task managers or checkpoints.
    Get(GetArguments),
    /// Show one thing in full.
    Describe {
        #[command(subcommand)]
        command: DescribeCommand,
    },
    /// Cancel a job.
    Cancel(JobArguments),
    /// Checkpoints of a job.
    Checkpoint {
        #[command(subcommand)]
        command: CheckpointCommand,
    },
    /// Show why a job failed or restarted.
    Exceptions(JobArguments),
    /// Say what holds a job back right now.
    Why(JobArguments),
    /// Look at rows that pass a node of a running job, live and sampled.
    Tap(TapArguments),
    /// Show the end of a log of the job manager or of a task manager.
    Logs(LogsArguments),
    /// Run SQL statements: at a prompt, from `-e`, from a file, or from standard input.
    Sql(SqlArguments),
    /// Check a job file; offline.
    Validate(FileArguments),
    /// Show what a job file becomes: chains, exchanges, parallelism, keys, state; offline.
    Plan(PlanArguments),
    /// Print the JSON Schema of job files.
    Schema,
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// How to print what a command found. Data goes to stdout, progress to stderr.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    #[default]
    Table,
    Json,
    Yaml,
}

#[derive(Debug, Args)]
pub struct ServerArguments {
    /// URL of the job manager's HTTP API.
    #[arg(long, env = "WEIR_SERVER", value_name = "URL")]
    pub server: Option<String>,
    /// How long to wait for an answer, for example 30s.
    #[arg(long, env = "WEIR_TIMEOUT", value_name = "DURATION")]
    pub timeout: Option<String>,
    /// File with the API token to send; its first line.
    #[arg(long, env = "WEIR_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

/// Who may talk to a role. Beyond loopback these are needed (docs/operations/security.md).
#[derive(Debug, Default, Args)]
pub struct SafetyArguments {
    /// File with API tokens, one a line: HTTP requests need one of them.
    #[arg(long, env = "WEIR_API_TOKEN_FILE", value_name = "FILE")]
    pub api_token_file: Option<PathBuf>,
    /// File with the secret that all processes of a cluster share; proved on every RPC. With
    /// several lines the first is proved and each is taken.
    #[arg(long, env = "WEIR_CLUSTER_SECRET_FILE", value_name = "FILE")]
    pub cluster_secret_file: Option<PathBuf>,
    /// Listen beyond loopback without token and secret: whoever reaches it runs jobs.
    #[arg(long, env = "WEIR_INSECURE")]
    pub insecure: bool,
    /// Further names under which the HTTP API is reached, separated by commas.
    #[arg(long, env = "WEIR_ALLOWED_HOSTS", value_name = "NAMES")]
    pub allowed_hosts: Option<String>,
    /// Serve /metrics without a token.
    #[arg(long, env = "WEIR_METRICS_PUBLIC")]
    pub metrics_public: bool,
}

#[derive(Debug, Args)]
pub struct RunArguments {
    /// The job file (`-` for standard input).
    pub job: PathBuf,
    /// Whether rows that pass may be looked at (`streamctl tap`). Default: on while every address
    /// is loopback, else off.
    #[arg(long, env = "WEIR_TAPS", value_enum)]
    pub taps: Option<Switch>,
    /// Start from this checkpoint (a `chk-N` folder, local or s3://).
    #[arg(long, value_name = "URI")]
    pub from: Option<String>,
    /// Where checkpoints go: a path, file://... or s3://bucket/prefix.
    #[arg(long, env = "WEIR_STORAGE", value_name = "URI")]
    pub storage: Option<String>,
    /// Slots of the embedded cluster; default: what the job needs.
    #[arg(long, env = "WEIR_SLOTS")]
    pub slots: Option<u32>,
    /// Address of the HTTP API; port 0 takes any.
    #[arg(long, env = "WEIR_HTTP_ADDR", value_name = "HOST:PORT")]
    pub http_addr: Option<String>,
    /// Stay up after the job has ended, with the web UI and room for other jobs, until
    /// interrupted (Ctrl-C). The HTTP API is then at 127.0.0.1:8081, or at another port if
    /// that is taken.
    #[arg(long)]
    pub stay: bool,
    /// No progress line.
    #[arg(long, short)]
    pub quiet: bool,
    /// When the job ends, print its final figures as one JSON object to stderr's last line.
    #[arg(long)]
    pub summary: bool,
    #[command(flatten)]
    pub safety: SafetyArguments,
}

#[derive(Debug, Args)]
pub struct SqlArguments {
    /// Statements, separated by semicolons.
    #[arg(long, short, value_name = "SQL")]
    pub execute: Option<String>,
    /// A file of statements.
    #[arg(long, short, value_name = "FILE", conflicts_with = "execute")]
    pub file: Option<PathBuf>,
    /// How to show rows. Default: a table at the prompt, changes in a grid for other statements
    /// on a terminal, else plain.
    #[arg(long, short, value_enum)]
    pub output: Option<RowFormat>,
    /// Where jobs run; without a server on a cluster in this process.
    #[command(flatten)]
    pub server: ServerArguments,
}

/// How `streamctl sql` shows the rows of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RowFormat {
    /// What the changes add up to.
    Table,
    /// Every change with its kind, in a grid.
    Changelog,
    /// A change a line, values separated by tabs.
    Plain,
    /// A change a line, as a JSON object.
    Json,
}

#[derive(Debug, Subcommand)]
pub enum LocalCommand {
    /// A job manager and a task manager in this process, until interrupted.
    Up(LocalUpArguments),
}

#[derive(Debug, Args)]
pub struct LocalUpArguments {
    /// Whether rows that pass may be looked at (`streamctl tap`). Default: on while every address
    /// is loopback, else off.
    #[arg(long, env = "WEIR_TAPS", value_enum)]
    pub taps: Option<Switch>,
    #[arg(long, env = "WEIR_HTTP_ADDR", value_name = "HOST:PORT")]
    pub http_addr: Option<String>,
    #[arg(long, env = "WEIR_RPC_ADDR", value_name = "HOST:PORT")]
    pub rpc_addr: Option<String>,
    #[arg(long, env = "WEIR_STORAGE", value_name = "URI")]
    pub storage: Option<String>,
    /// Slots; default: the number of processors.
    #[arg(long, env = "WEIR_SLOTS")]
    pub slots: Option<u32>,
    /// Environment variables of this process that jobs may read, separated by commas.
    #[arg(long, env = "WEIR_JOB_ENV", value_name = "NAMES")]
    pub job_env: Option<String>,
    #[command(flatten)]
    pub safety: SafetyArguments,
}

#[derive(Debug, Args)]
pub struct JobManagerArguments {
    /// Whether rows that pass may be looked at (`streamctl tap`). Default: on while every address
    /// is loopback, else off.
    #[arg(long, env = "WEIR_TAPS", value_enum)]
    pub taps: Option<Switch>,
    /// Address of the HTTP API and UI; port 0 takes any. Default 127.0.0.1:8081.
    #[arg(long, env = "WEIR_HTTP_ADDR", value_name = "HOST:PORT")]
    pub http_addr: Option<String>,
    /// Address for task managers; port 0 takes any. Default 127.0.0.1:6123.
    #[arg(long, env = "WEIR_RPC_ADDR", value_name = "HOST:PORT")]
    pub rpc_addr: Option<String>,
    /// Where checkpoints go: a path, file://... or s3://bucket/prefix.
    #[arg(long, env = "WEIR_STORAGE", value_name = "URI")]
    pub storage: Option<String>,
    /// How long a task manager may be silent before it is lost and its jobs restart, from 1s.
    /// Default 1500ms.
    #[arg(long, env = "WEIR_HEARTBEAT_TIMEOUT", value_name = "DURATION")]
    pub heartbeat_timeout: Option<String>,
    /// Environment variables of this process that jobs may read with `${env:NAME}`, separated by
    /// commas. Default: none; `streamctl submit` sends those of its own environment.
    #[arg(long, env = "WEIR_JOB_ENV", value_name = "NAMES")]
    pub job_env: Option<String>,
    #[command(flatten)]
    pub safety: SafetyArguments,
}

#[derive(Debug, Args)]
pub struct TaskManagerArguments {
    /// Whether rows that pass may be looked at (`streamctl tap`). Default: on while every address
    /// is loopback, else off.
    #[arg(long, env = "WEIR_TAPS", value_enum)]
    pub taps: Option<Switch>,
    /// `host:port` of the job manager's RPC address. Default 127.0.0.1:6123.
    #[arg(long, env = "WEIR_JOBMANAGER", value_name = "HOST:PORT")]
    pub jobmanager: Option<String>,
    /// Address for RPC and data; port 0 takes any. Default 127.0.0.1:0.
    #[arg(long, env = "WEIR_RPC_ADDR", value_name = "HOST:PORT")]
    pub rpc_addr: Option<String>,
    /// Slots offered; default: the number of processors.
    #[arg(long, env = "WEIR_SLOTS")]
    pub slots: Option<u32>,
    /// Folder for local state; default: a folder of this process below the system's temporary one.
    #[arg(long, env = "WEIR_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Host under which others reach this process; default: the address listened on, or the
    /// one from which the job manager is reached.
    #[arg(long, env = "WEIR_ADVERTISED_HOST", value_name = "HOST")]
    pub advertised_host: Option<String>,
    /// Off: tasks leave out the figures that cost something. To measure what they cost.
    #[arg(long, env = "WEIR_TASK_METRICS", value_enum, hide = true)]
    pub task_metrics: Option<Switch>,
    /// Serve /metrics on this address; port 0 takes any. Default: not at all.
    #[arg(long, env = "WEIR_METRICS_ADDR", value_name = "HOST:PORT")]
    pub metrics_addr: Option<String>,
    #[command(flatten)]
    pub safety: SafetyArguments,
}

#[derive(Debug, Args)]
pub struct SubmitArguments {
    /// The job file (`-` for standard input).
    pub job: PathBuf,
    #[command(flatten)]
    pub server: ServerArguments,
    /// Start from this checkpoint (a `chk-N` folder, local or s3://).
    #[arg(long, value_name = "URI")]
    pub from: Option<String>,
    /// Start although the checkpoint holds state of operators that the job does not have: it
    /// is dropped.
    #[arg(long, requires = "from")]
    pub allow_dropped_state: bool,
    /// Wait until the job has ended, and exit by its outcome.
    #[arg(long)]
    pub wait: bool,
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Format,
}

#[derive(Debug, Args)]
pub struct GetArguments {
    #[command(subcommand)]
    pub what: GetWhat,
}

#[derive(Debug, Subcommand)]
pub enum GetWhat {
    /// All jobs.
    #[command(alias = "job")]
    Jobs(ListArguments),
    /// All registered task managers.
    #[command(alias = "taskmanager", alias = "tm")]
    Taskmanagers(ListArguments),
    /// The checkpoints of a job.
    #[command(alias = "checkpoint")]
    Checkpoints(JobArguments),
    /// Every SLO of every job.
    #[command(alias = "slo")]
    Slos(ListArguments),
}

#[derive(Debug, Args)]
pub struct TapArguments {
    /// The job (name, id, or a unique prefix of the id), a dot, and a node of its job file.
    #[arg(value_name = "JOB.NODE")]
    pub place: String,
    /// End after so many rows, at most 10000.
    #[arg(long, default_value_t = 100)]
    pub limit: u32,
    #[command(flatten)]
    pub server: ServerArguments,
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Format,
}

#[derive(Debug, Args)]
pub struct LogsArguments {
    /// Id of a task manager, or `jobmanager`.
    pub process: String,
    /// Id of a log, as `streamctl logs PROCESS --list` shows it; default: the first.
    #[arg(long)]
    pub log: Option<String>,
    /// Only list the logs.
    #[arg(long)]
    pub list: bool,
    /// Bytes of its end.
    #[arg(long, default_value_t = 65_536)]
    pub tail: u64,
    #[command(flatten)]
    pub server: ServerArguments,
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Format,
}

/// Whether people may look at rows that pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    On,
    Off,
}

#[derive(Debug, Args)]
pub struct ListArguments {
    #[command(flatten)]
    pub server: ServerArguments,
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Format,
}

#[derive(Debug, Args)]
pub struct JobArguments {
    /// Name, id, or a unique prefix of the id.
    pub job: String,
    #[command(flatten)]
    pub server: ServerArguments,
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Format,
}

#[derive(Debug, Args)]
pub struct TriggerArguments {
    /// Name, id, or a unique prefix of the id.
    #[arg(required_unless_present = "all")]
    pub job: Option<String>,
    /// Of every running job, at the same time.
    #[arg(long, conflicts_with = "job")]
    pub all: bool,
    #[command(flatten)]
    pub server: ServerArguments,
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Format,
}

#[derive(Debug, Subcommand)]
pub enum DescribeCommand {
    /// Status, vertices, subtasks, figures and checkpoints of a job.
    Job(JobArguments),
    /// Slots, tasks and memory of a task manager, and the machine that it is on.
    #[command(alias = "tm")]
    Taskmanager(TaskManagerIdArguments),
}

#[derive(Debug, Args)]
pub struct TaskManagerIdArguments {
    /// Its id, as `streamctl get taskmanagers` lists it.
    #[arg(value_name = "ID")]
    pub task_manager: String,
    #[command(flatten)]
    pub server: ServerArguments,
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Format,
}

#[derive(Debug, Subcommand)]
pub enum CheckpointCommand {
    /// Take a checkpoint now and wait for it.
    Trigger(TriggerArguments),
    /// Check a checkpoint's files offline: every object there, with its length and checksum.
    Verify {
        /// A `chk-N` folder, its manifest, or a job's folder (newest); local or s3://.
        uri: String,
        #[arg(long, short, value_enum, default_value_t)]
        output: Format,
    },
}

#[derive(Debug, Args)]
pub struct FileArguments {
    /// The job file (`-` for standard input).
    pub job: PathBuf,
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    #[default]
    Text,
    Dot,
    Json,
}

#[derive(Debug, Args)]
pub struct PlanArguments {
    /// The job file (`-` for standard input).
    pub job: PathBuf,
    #[arg(long, short, value_enum, default_value_t)]
    pub output: PlanFormat,
}
