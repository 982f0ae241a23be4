//! Splits of generated rows: split k of S has the rows n with n mod S = k, so that all
//! splits keep pace. Used by `mod.rs` (enumerator, in the job manager) and `reader.rs`.

use bytes::Bytes;
use futures::future::BoxFuture;
use model::source::{Assignment, Split, SplitEnumerator};
use model::{Error, Result};
use serde::{Deserialize, Serialize};

/// A split and where its reader stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stride {
    /// Which split, from 0.
    pub(super) number: u32,
    /// How many splits there are.
    pub(super) stride: u64,
    /// The next row.
    pub(super) row: u64,
    /// When row 0 was due (microseconds since the epoch), once reading began. Kept over
    /// restores, so that an outage shows as latency rather than vanish.
    pub(super) started_us: Option<i64>,
}

impl Stride {
    pub(super) fn encode(self) -> Result<Split> {
        let data = serde_json::to_vec(&self)
            .map_err(|e| Error::internal("cannot encode a datagen split").caused_by(e))?;
        Ok(Split { id: self.id(), data: data.into() })
    }

    pub(super) fn id(self) -> String {
        format!("rows-{}", self.number)
    }

    pub(super) fn decode(split: &Split) -> Result<Self> {
        let stride: Self = serde_json::from_slice(&split.data).map_err(|e| {
            Error::internal(format!("datagen split `{}` is not readable", split.id)).caused_by(e)
        })?;
        if stride.stride == 0 {
            return Err(Error::internal(format!("datagen split `{}` has stride 0", split.id)));
        }
        Ok(stride)
    }
}

/// Hands every reader its share of the splits, once.
pub(super) struct DatagenEnumerator {
    unassigned: Vec<Stride>,
    parallelism: u32,
}

impl DatagenEnumerator {
    pub(super) fn new(count: u32, parallelism: u32, restored: Option<&[u8]>) -> Result<Self> {
        let unassigned = match restored {
            Some(bytes) => serde_json::from_slice(bytes).map_err(|e| {
                Error::internal("the datagen enumerator's checkpoint is not readable").caused_by(e)
            })?,
            None => (0..count)
                .map(|number| Stride {
                    number,
                    stride: u64::from(count),
                    row: u64::from(number),
                    started_us: None,
                })
                .collect(),
        };
        Ok(Self { unassigned, parallelism: parallelism.max(1) })
    }
}

impl SplitEnumerator for DatagenEnumerator {
    fn discover(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn assign(&mut self, subtask: u32) -> Assignment {
        let parallelism = self.parallelism;
        let mine = |s: &mut Stride| s.number % parallelism == subtask;
        let given: Result<Vec<_>> =
            self.unassigned.extract_if(.., mine).map(Stride::encode).collect();
        match given {
            Ok(given) if !given.is_empty() => Assignment::Splits(given),
            _ => Assignment::NoMore,
        }
    }

    fn add_splits_back(&mut self, splits: Vec<Split>) {
        self.unassigned.extend(splits.iter().filter_map(|s| Stride::decode(s).ok()));
    }

    fn snapshot(&self) -> Result<Bytes> {
        serde_json::to_vec(&self.unassigned)
            .map(Bytes::from)
            .map_err(|e| Error::internal("cannot encode the datagen enumerator").caused_by(e))
    }
}
