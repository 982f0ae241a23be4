//! What a process shows of itself when asked: its logs, what its tasks and threads are
//! doing, where its processor time goes. Asked over RPC and shown by REST.

use serde::{Deserialize, Serialize};

use crate::execution_state::ExecutionState;
use crate::{Attempt, JobId, SubtaskIndex, VertexId};

/// A log that a process keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogInfo {
    /// Opaque; never a path.
    pub id: String,
    /// For people: `taskmanager.log`.
    pub name: String,
    /// Kept of it.
    pub bytes: u64,
    /// When the last line was written, ms since the epoch; 0: there is none.
    #[serde(default)]
    pub modified_at_ms: i64,
}

/// What a process does at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProcessDump {
    pub threads: Vec<ThreadDump>,
    pub tasks: Vec<TaskDump>,
}

/// One thread of the operating system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ThreadDump {
    pub name: String,
    /// In a word: `running`, `sleeping`, `waiting for disk`.
    pub state: String,
    /// Innermost first: the task that runs on the thread and its operator; empty for
    /// threads that run no task.
    pub stack: Vec<String>,
}

/// One task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskDump {
    pub job: JobId,
    pub vertex: VertexId,
    /// The vertex's name.
    pub name: String,
    pub subtask: SubtaskIndex,
    pub attempt: Attempt,
    pub state: ExecutionState,
    /// `running operator 'x'`, `waiting for input`, `waiting for credit`.
    pub doing: String,
}

/// Samples of what ran on a processor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CpuProfile {
    pub seconds: u32,
    pub samples: u64,
    /// Most frequent first.
    pub stacks: Vec<FoldedStack>,
}

/// So many samples had exactly these frames.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FoldedStack {
    /// Outermost first.
    pub frames: Vec<String>,
    pub count: u64,
    /// Whose turn it was; `None`: no task's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<ProfiledTask>,
}

/// The task that a sample is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProfiledTask {
    pub job: JobId,
    pub vertex: VertexId,
    pub subtask: SubtaskIndex,
}
