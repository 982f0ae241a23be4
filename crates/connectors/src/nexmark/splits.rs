//! Splits of the Nexmark stream: split k of S has the rounds r (50 events each) with
//! r mod S = k, so that all splits move through event time together. Used by `mod.rs`
//! (enumerator, in the job manager) and `reader.rs`.

use std::collections::VecDeque;

use bytes::Bytes;
use futures::future::BoxFuture;
use model::source::{Assignment, Split, SplitEnumerator};
use model::{Error, Result};
use serde::{Deserialize, Serialize};

/// Where a reader stands in its split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    pub(super) stride: u64,
    /// The next round to read; its remainder by `stride` is the split's number.
    pub(super) round: u64,
    /// When event 0 was due (microseconds since the epoch), once reading began at a rate.
    pub(super) started_us: Option<i64>,
}

impl Position {
    pub(super) fn encode(self, id: String) -> Result<Split> {
        let data = serde_json::to_vec(&self)
            .map_err(|e| Error::internal("cannot encode a nexmark split").caused_by(e))?;
        Ok(Split { id, data: data.into() })
    }

    pub(super) fn decode(split: &Split) -> Result<Self> {
        let position: Self = serde_json::from_slice(&split.data).map_err(|e| {
            Error::internal(format!("nexmark split `{}` is not readable", split.id)).caused_by(e)
        })?;
        if position.stride == 0 {
            return Err(Error::internal(format!("nexmark split `{}` has stride 0", split.id)));
        }
        Ok(position)
    }
}

/// Hands every reader its share of the splits.
pub(super) struct NexmarkEnumerator {
    unassigned: VecDeque<Split>,
    parallelism: usize,
}

impl NexmarkEnumerator {
    pub(super) fn new(count: u32, parallelism: u32, restored: Option<&[u8]>) -> Result<Self> {
        let unassigned = match restored {
            Some(bytes) => serde_json::from_slice(bytes).map_err(|e| {
                Error::internal("the nexmark enumerator's checkpoint is not readable").caused_by(e)
            })?,
            None => (0..count)
                .map(|k| {
                    let position = Position {
                        stride: u64::from(count),
                        round: u64::from(k),
                        started_us: None,
                    };
                    position.encode(format!("nexmark-{k}"))
                })
                .collect::<Result<_>>()?,
        };
        Ok(Self { unassigned, parallelism: parallelism.max(1) as usize })
    }
}

impl SplitEnumerator for NexmarkEnumerator {
    fn discover(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    /// A reader asks once and gets every split that falls to it, so that its splits move
    /// through event time together; what a slower reader would get stays for it.
    fn assign(&mut self, subtask: u32) -> Assignment {
        let mine = |s: &Split| {
            let number = s.id.rsplit('-').next().and_then(|n| n.parse::<usize>().ok()).unwrap_or(0);
            number % self.parallelism == subtask as usize
        };
        let (given, kept): (Vec<Split>, Vec<Split>) = self.unassigned.drain(..).partition(mine);
        self.unassigned = kept.into();
        if given.is_empty() { Assignment::NoMore } else { Assignment::Splits(given) }
    }

    fn add_splits_back(&mut self, splits: Vec<Split>) {
        self.unassigned.extend(splits);
    }

    fn snapshot(&self) -> Result<Bytes> {
        serde_json::to_vec(&self.unassigned)
            .map(Bytes::from)
            .map_err(|e| Error::internal("cannot encode the nexmark enumerator").caused_by(e))
    }
}
