//! Checkpoints as the job manager sees them: when one starts, what belongs to it, when it
//! is complete, what is kept. `coordinator.rs`, `pending.rs`, `completed.rs` and
//! `history.rs` are pure; `store.rs` is the storage behind a trait.

pub mod completed;
pub mod coordinator;
pub mod event;
pub mod history;
pub mod pending;
pub mod store;
pub mod straggler;

pub use coordinator::{
    CheckpointAction, CheckpointCoordinator, CheckpointEvent, ManifestParts, Token,
};
