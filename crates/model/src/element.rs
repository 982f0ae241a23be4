//! What flows between operators and between tasks.

use arrow::array::RecordBatch;
use serde::{Deserialize, Serialize};

use crate::CheckpointId;

/// One element of a stream. Closed on purpose: a new kind must break every match.
#[derive(Clone, Debug)]
pub enum StreamElement {
    /// Rows. On a changelog edge the last column is [`crate::row_kind::COLUMN`].
    Batch(RecordBatch),
    /// No row with an event time at or below this one is to come (later ones are late).
    Watermark(Watermark),
    /// Everything before belongs to the checkpoint, everything after does not.
    Barrier(CheckpointBarrier),
    /// This input will send nothing for a while: leave it out of the watermark.
    /// The next batch or watermark ends the idleness.
    Idle,
    /// Nothing follows, ever.
    EndOfInput,
}

/// Event time in milliseconds since the Unix epoch, as in the Dataflow model
/// (Akidau et al., VLDB 2015). Windows end exclusively: the watermark `w` closes
/// every window whose end is at most `w + 1`, as in Flink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Watermark(pub i64);

impl Watermark {
    pub const MIN: Self = Self(i64::MIN);
    /// Sent before the end of input: closes every window.
    pub const MAX: Self = Self(i64::MAX);
}

/// The marker of Chandy-Lamport snapshots as Flink uses it (Carbone et al., 2015).
/// Carries an id and options, never commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointBarrier {
    pub id: CheckpointId,
    /// When the CheckpointCoordinator triggered it, milliseconds since the epoch.
    pub triggered_at_ms: i64,
}
