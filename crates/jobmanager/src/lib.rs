//! The control plane: takes jobs, gives them slots, deploys their tasks, takes their
//! checkpoints and restarts them when something breaks. Knows no connector and no operator.
//!
//! Pure, events in and actions out: `slot_pool`, `resource_manager`, `execution_graph`,
//! `scheduler`, `failover`, `checkpoint/coordinator`, `job_state`, `watermark_alignment`.
//! Shells around them:
//! `cluster`, `job_master`, `source_coordinator`, `dispatcher`, `observer`, `rpc`, `rest`,
//! `server`. What is told to people, pure: `details`, `timeline`, `health`, `slo`, `why`.
//! Started by `cli`.

pub mod checkpoint;
pub mod cluster;
pub mod details;
pub mod dispatcher;
pub mod execution_graph;
pub mod failover;
#[cfg(test)]
mod fixtures;
pub mod gateway;
pub mod ha;
pub mod health;
pub mod job_environment;
pub mod job_exposition;
pub mod job_master;
pub mod job_metrics;
pub mod job_state;
pub mod metrics_history;
pub mod observer;
pub mod plan_view;
pub mod resource_manager;
pub mod rest;
pub mod rpc;
pub mod scheduler;
mod server;
pub mod slo;
pub mod slot_pool;
pub mod source_coordinator;
pub mod timeline;
pub mod traces;
pub mod watermark_alignment;
pub mod webhook;
pub mod why;

pub use server::{
    JobManagerOptions, JobManagerParts, PlanFailure, PlannedJob, Planner, RunningJobManager, start,
};
