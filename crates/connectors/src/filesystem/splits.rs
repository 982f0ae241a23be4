//! Splits of files and the enumerator that finds and hands them out. The enumerator runs
//! in the job manager; `reader.rs` decodes the splits.

use std::cmp::Ordering;
use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use futures::future::BoxFuture;
use model::source::{Assignment, Split, SplitEnumerator};
use model::{Error, Result};
use serde::{Deserialize, Serialize};

use super::compression::Compression;
use super::listing::{FoundFile, Location};
use super::options::{Format, SourceOptions};

/// Splits handed out at once when very many wait, to save round trips.
const MAX_ASSIGNED: usize = 16;

/// A range of a file. Of a text file it has the records whose first byte lies in the
/// range; of a parquet file the row groups whose first byte does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileSplit {
    pub(super) path: String,
    /// Of the whole file, when it was found. Bytes added later are not read.
    pub(super) size: u64,
    pub(super) start: u64,
    /// Exclusive.
    pub(super) end: u64,
    /// Where to go on: text: offset of the next record (of the decompressed file);
    /// parquet: rows of the split already read. `None`: not begun.
    pub(super) position: Option<u64>,
    /// As of [`FoundFile`].
    #[serde(default)]
    pub(super) modified_ms: i64,
}

impl FileSplit {
    pub(super) fn id(&self) -> String {
        format!("{}:{}-{}", self.path, self.start, self.end)
    }

    pub(super) fn encode(&self) -> Result<Split> {
        let data = serde_json::to_vec(self)
            .map_err(|e| Error::internal("cannot encode a file split").caused_by(e))?;
        Ok(Split { id: self.id(), data: data.into() })
    }

    pub(super) fn decode(split: &Split) -> Result<Self> {
        serde_json::from_slice(&split.data).map_err(|e| {
            Error::internal(format!("file split `{}` is not readable", split.id)).caused_by(e)
        })
    }
}

/// Cuts a file into splits.
fn split_file(file: &FoundFile, options: &SourceOptions) -> Vec<FileSplit> {
    let whole = FileSplit {
        path: file.path.clone(),
        size: file.size,
        start: 0,
        end: file.size,
        position: None,
        modified_ms: file.modified_ms,
    };
    let compression = options.compression.unwrap_or_else(|| Compression::of_name(&file.path));
    let splittable = match &options.format {
        Format::Parquet => true,
        Format::Json(_) => compression == Compression::None,
        Format::Csv(csv) => compression == Compression::None && !csv.multiline,
    };
    if !splittable {
        return vec![whole];
    }
    // Even parts: a file a little larger than the split size is not cut into one big and
    // one tiny part.
    let parts = file.size.div_ceil(options.split_size).max(1);
    let length = file.size.div_ceil(parts);
    (0..parts)
        .map(|k| (k * length, ((k + 1) * length).min(file.size)))
        .filter(|(start, end)| start < end)
        .map(|(start, end)| FileSplit { start, end, ..whole.clone() })
        .collect()
}

/// The order of names in which `part-9` comes before `part-10`, and both before `part-final`:
/// that in which changes were written.
fn by_number(a: &str, b: &str) -> Ordering {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let (mut a, mut b) = (a, b);
    loop {
        let (x, y) = (digits(a), digits(b));
        if x > 0 && y > 0 {
            let numbers = [a[..x].trim_start_matches('0'), b[..y].trim_start_matches('0')];
            let [m, n] = numbers;
            let order = m.len().cmp(&n.len()).then_with(|| m.cmp(n));
            if order != Ordering::Equal {
                return order;
            }
            (a, b) = (&a[x..], &b[y..]);
        }
        let (mut p, mut q) = (a.chars(), b.chars());
        match (p.next(), q.next()) {
            (None, None) => return Ordering::Equal,
            (x, y) if x != y => return x.cmp(&y),
            _ => (a, b) = (p.as_str(), q.as_str()),
        }
    }
}

/// What a checkpoint keeps of the enumerator.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Snapshot {
    /// Whether the files were listed, which a bounded source does once.
    discovered: bool,
    /// Files seen, for a watching source.
    seen: BTreeSet<String>,
    unassigned: VecDeque<Split>,
}

pub(super) struct FileEnumerator {
    options: SourceOptions,
    location: Location,
    parallelism: usize,
    state: Snapshot,
}

impl FileEnumerator {
    pub(super) fn new(
        options: SourceOptions,
        parallelism: u32,
        restored: Option<&[u8]>,
    ) -> Result<Self> {
        let state = match restored {
            None => Snapshot::default(),
            Some(bytes) => serde_json::from_slice(bytes).map_err(|e| {
                Error::internal("the file enumerator's checkpoint is not readable").caused_by(e)
            })?,
        };
        let location = Location::open(&options.path)?;
        Ok(Self { options, location, parallelism: parallelism.max(1) as usize, state })
    }

    fn add_files(&mut self, files: Vec<FoundFile>) -> Result<()> {
        let watching = self.options.watch_ms.is_some();
        for file in files {
            if watching && !self.state.seen.insert(file.path.clone()) {
                continue;
            }
            for split in split_file(&file, &self.options) {
                self.state.unassigned.push_back(split.encode()?);
            }
        }
        Ok(())
    }
}

impl SplitEnumerator for FileEnumerator {
    fn discover(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let watching = self.options.watch_ms.is_some();
            if self.state.discovered && !watching {
                return Ok(());
            }
            let mut files = self.location.list().await?;
            if self.options.format.envelope().is_some() {
                files.sort_by(|a, b| by_number(&a.path, &b.path));
            }
            if files.is_empty() && !watching {
                return Err(self.location.nothing_found());
            }
            self.add_files(files)?;
            self.state.discovered = true;
            Ok(())
        })
    }

    fn discovery_interval_ms(&self) -> Option<i64> {
        self.options.watch_ms
    }

    fn assign(&mut self, subtask: u32) -> Assignment {
        let waiting = self.state.unassigned.len();
        // Changes mean something in their order only: one reader reads all of them.
        let other_reads = self.options.format.envelope().is_some() && subtask != 0;
        if waiting == 0 || other_reads {
            let done = self.options.watch_ms.is_none() && self.state.discovered;
            return if done { Assignment::NoMore } else { Assignment::NoneYet };
        }
        let count = (waiting / (self.parallelism * 4)).clamp(1, MAX_ASSIGNED);
        Assignment::Splits(self.state.unassigned.drain(..count).collect())
    }

    fn add_splits_back(&mut self, splits: Vec<Split>) {
        for split in splits.into_iter().rev() {
            self.state.unassigned.push_front(split);
        }
    }

    fn snapshot(&self) -> Result<Bytes> {
        let bytes = serde_json::to_vec(&self.state)
            .map_err(|e| Error::internal("cannot encode the file enumerator").caused_by(e))?;
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ordered_by_their_numbers() {
        let sorted = ["a-1-0", "a-1-2", "a-2-0", "a-10-0", "a-10-1.json", "a-final-0", "b"];
        for (i, a) in sorted.iter().enumerate() {
            for (j, b) in sorted.iter().enumerate() {
                assert_eq!(by_number(a, b), i.cmp(&j), "{a} {b}");
            }
        }
        assert_eq!(by_number("x007", "x7"), Ordering::Equal);
    }
}
