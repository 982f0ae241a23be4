//! The contract in memory: the words and types that the control plane and the
//! data plane share. No I/O, no tokio, no protobuf, no SQL engine lives here.
//!
//! Called by every other crate; calls none of ours.
//! See `docs/architecture.md` for the rooms and `docs/glossary.md` for the words.

pub mod aggregate;
pub mod clock;
pub mod config;
pub mod connector;
pub mod deployment;
pub mod element;
pub mod error;
pub mod execution_state;
pub mod expression;
pub mod fault;
pub mod id;
pub mod inspection;
pub mod job_graph;
pub mod key_group;
pub mod metrics;
pub mod nearest;
pub mod operator_schema;
pub mod operator_spec;
pub mod row_kind;
pub mod sink;
pub mod source;

pub use arrow;
pub use clock::{Clock, ManualClock, SystemClock};
pub use element::{CheckpointBarrier, StreamElement, Watermark};
pub use error::{Error, ErrorKind, Result};
pub use id::{
    AllocationId, Attempt, CheckpointId, ExecutionAttemptId, JobId, LeaderEpoch, SubtaskIndex,
    TaskManagerId, VertexId,
};
