//! What outlives a job manager.

pub mod job_store;
