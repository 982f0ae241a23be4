//! Tests of the contract at rest: the manifest's form, corruption, commit races, the storage
//! suite over every kind of store, chains of shared objects and their deletion, restore at
//! another parallelism.

mod chains;
mod corruption;
mod faults;
mod form;
mod restore;
mod suite;

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use model::deployment::{
    CommittableBytes, STATE_FORMAT, StateHandle, StateLocation, SubtaskSnapshot,
};
use model::key_group::{KEY_HASH_VERSION, KeyGroupRange};
use model::source::Split;
use model::{Attempt, CheckpointId, JobId, LeaderEpoch, VertexId};

use crate::{CheckpointKind, CheckpointStorage, MANIFEST_VERSION, Manifest, VertexSnapshot};

pub(crate) const JOB: JobId = JobId(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);

pub(crate) fn handle(location: StateLocation, bytes: &[u8], groups: (u32, u32)) -> StateHandle {
    StateHandle {
        location,
        length: bytes.len() as u64,
        crc32c: crc32c::crc32c(bytes),
        key_groups: KeyGroupRange { start: groups.0, end: groups.1 },
        format: STATE_FORMAT,
    }
}

/// A small checkpoint with one of everything: a source, an aggregate with inline state in
/// two subtasks, a sink.
pub(crate) fn manifest(checkpoint: u64, token: &str) -> Manifest {
    let inline = |text: &'static str, groups| {
        let bytes = Bytes::from_static(text.as_bytes());
        handle(StateLocation::Inline { bytes: bytes.clone() }, &bytes, groups)
    };
    let subtask = |text, groups| SubtaskSnapshot {
        operators: BTreeMap::from([("counts".to_owned(), vec![inline(text, groups)])]),
        ..SubtaskSnapshot::default()
    };
    let source = VertexSnapshot {
        name: "flights".to_owned(),
        parallelism: 1,
        source_uid: Some("flights".to_owned()),
        sink_uid: None,
        subtasks: vec![SubtaskSnapshot {
            splits: vec![Split { id: "a.csv:0".to_owned(), data: Bytes::from_static(b"17") }],
            ..SubtaskSnapshot::default()
        }],
    };
    let counts = VertexSnapshot {
        name: "counts".to_owned(),
        parallelism: 2,
        subtasks: vec![subtask("left", (0, 64)), subtask("right", (64, 128))],
        ..VertexSnapshot::default()
    };
    let sink = VertexSnapshot {
        name: "out".to_owned(),
        parallelism: 1,
        sink_uid: Some("out".to_owned()),
        source_uid: None,
        subtasks: vec![SubtaskSnapshot {
            committables: vec![CommittableBytes(Bytes::from_static(b"part-0"))],
            ..SubtaskSnapshot::default()
        }],
    };
    Manifest {
        version: MANIFEST_VERSION,
        job: JOB,
        job_name: "flights".to_owned(),
        checkpoint: CheckpointId(checkpoint),
        attempt: Attempt(2),
        leader_epoch: LeaderEpoch(5),
        writer_token: token.to_owned(),
        key_hash_version: KEY_HASH_VERSION,
        max_parallelism: 128,
        triggered_at_ms: 1_000,
        completed_at_ms: 1_250,
        kind: CheckpointKind::Checkpoint,
        vertices: BTreeMap::from([
            (VertexId(1), source),
            (VertexId(2), counts),
            (VertexId(3), sink),
        ]),
        enumerators: BTreeMap::from([(
            "flights".to_owned(),
            CommittableBytes(Bytes::from_static(b"seen a.csv")),
        )]),
        job_graph: None,
    }
}

/// `manifest` with one more piece of state that lies in an object.
pub(crate) async fn with_object(
    storage: &CheckpointStorage,
    mut manifest: Manifest,
    state: Bytes,
) -> (Manifest, StateHandle) {
    let handle = object(storage, manifest.checkpoint.0, "counts-0-2.state", state).await;
    let counts = manifest.vertices.get_mut(&VertexId(2)).unwrap();
    counts.subtasks[0].operators.insert("large".to_owned(), vec![handle.clone()]);
    (manifest, handle)
}

/// Writes an object for `checkpoint`.
pub(crate) async fn object(
    storage: &CheckpointStorage,
    checkpoint: u64,
    name: &str,
    state: Bytes,
) -> StateHandle {
    let put = storage.put_object(JOB, CheckpointId(checkpoint), name, one_part(state.clone()));
    let (path, written) = put.await.unwrap();
    assert_eq!(written.length, state.len() as u64);
    handle(StateLocation::Object { path }, &state, (0, 64))
}

pub(crate) fn one_part(state: Bytes) -> storage::Parts {
    stream::once(async { Ok(state) }).boxed()
}

/// More than what is kept inline.
pub(crate) fn large_state() -> Bytes {
    (0..40_000_u32).map(|i| ((i * 7) >> 3) as u8).collect()
}
