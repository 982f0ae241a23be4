//! The files of one store's snapshots, kept as a checkpoint storage keeps them. For tests.

use bytes::Bytes;
use model::deployment::{STATE_FORMAT, StateHandle, StateLocation};
use model::key_group::KeyGroupRange;

use crate::Frozen;

/// The files that the newest snapshot needs, the base first.
#[derive(Clone, Debug, Default)]
pub struct ChainFiles(Vec<Bytes>);

impl ChainFiles {
    /// Stores a snapshot's file behind those that it goes on from.
    pub fn add(&mut self, frozen: Frozen) {
        let file = frozen.file();
        self.add_unsaid(frozen);
        file.stored(StateHandle {
            location: StateLocation::Object { path: format!("file {}", self.0.len()) },
            length: 0,
            crc32c: 0,
            key_groups: KeyGroupRange { start: 0, end: 0 },
            format: STATE_FORMAT,
        });
    }

    /// As [`Self::add`], but the store never hears of it, as when an upload fails late.
    pub fn add_unsaid(&mut self, frozen: Frozen) {
        assert!(frozen.earlier().len() <= self.0.len(), "goes on from files that are not stored");
        self.0.truncate(frozen.earlier().len());
        self.0.push(Bytes::from(frozen.encode().expect("encode")));
    }

    /// How many files there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// No snapshot was taken.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The files, in order.
    pub fn files(&self) -> &[Bytes] {
        &self.0
    }
}
