//! Identities. Every id is a newtype, so that a vertex can never be taken for a job.
//!
//! Job and vertex ids print as 32 hex digits, as Flink's do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u128);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:032x})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = crate::Error;

            fn from_str(text: &str) -> crate::Result<Self> {
                if text.len() != 32 {
                    return Err(crate::Error::user(format!(
                        "`{text}` is not an id: expected 32 hexadecimal digits"
                    )));
                }
                u128::from_str_radix(text, 16).map(Self).map_err(|_| {
                    crate::Error::user(format!(
                        "`{text}` is not an id: expected 32 hexadecimal digits"
                    ))
                })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

hex_id!(
    /// One submitted job. Drawn at random by the Dispatcher.
    JobId
);
hex_id!(
    /// One JobVertex. Derived from the uids of its operators, so it is the same
    /// in every submission of the same job file.
    VertexId
);
hex_id!(
    /// One reservation of a Slot for a job. Names the slot in every later call.
    AllocationId
);

impl VertexId {
    /// The id of the vertex whose chain starts with the operator `uid`.
    pub fn of_uid(uid: &str) -> Self {
        let high = crate::key_group::hash_bytes(1, uid.as_bytes());
        let low = crate::key_group::hash_bytes(2, uid.as_bytes());
        Self((u128::from(high) << 64) | u128::from(low))
    }
}

number_id!(
    /// Which of a vertex's parallel instances, from 0.
    SubtaskIndex(u32)
);
number_id!(
    /// How often the job was (re)started; every task of one execution carries the
    /// same number and messages of older ones are refused. From 1.
    Attempt(u32)
);
number_id!(
    /// Rises by one with every checkpoint triggered for a job, also across restarts.
    CheckpointId(u64)
);
number_id!(
    /// Fences job managers: a call with an older epoch is refused.
    LeaderEpoch(u64)
);

/// A TaskManager process. Chosen by the process at start; a restarted process has a new one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskManagerId(pub String);

impl fmt::Display for TaskManagerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One attempt to run one subtask: what Flink calls an Execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ExecutionAttemptId {
    pub job: JobId,
    pub vertex: VertexId,
    pub subtask: SubtaskIndex,
    pub attempt: Attempt,
}

impl fmt::Display for ExecutionAttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}[{}]#{}", self.job, self.vertex, self.subtask, self.attempt)
    }
}
