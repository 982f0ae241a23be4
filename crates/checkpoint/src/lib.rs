//! The contract at rest: what a checkpoint is and where it lies. The job manager commits
//! and deletes manifests, task managers write and read state objects, `streamctl
//! checkpoint verify` checks both without a cluster.
//!
//! ```text
//! <storage>/<job id>/chk-<id>/manifest.json                            the commit point
//! <storage>/<job id>/shared/<id>-<vertex>-<subtask>-<attempt>.state    written for <id>
//! ```
//!
//! The state of an operator is a chain of objects, and the manifest of a checkpoint names
//! objects that were written for earlier ones, too. Releases before that kept the objects of
//! a checkpoint beside its manifest: those are found, verified and deleted, but restored only
//! by the release that wrote them (their state has another format).

mod deletion;
mod file;
mod layout;
mod manifest;
mod restore;
mod storage;
mod verify;

pub use manifest::{CheckpointKind, MANIFEST_VERSION, Manifest, VertexSnapshot};
pub use restore::{check_compatible, committables, restore_task, source_splits};
pub use storage::{CheckpointStorage, Committed};
pub use verify::{ManifestSummary, ObjectReport, VerifyReport};

#[cfg(test)]
mod tests;
