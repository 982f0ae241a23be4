//! The control plane: takes jobs, gives them slots, deploys their tasks, takes their
//! checkpoints and restarts them when something breaks. Knows no connector and no operator.
//!
//! Pure, events in and actions out: `slot_pool`, `resource_manager`, `execution_graph`,
//! `scheduler`, `failover`, `checkpoint/coordinator`, `job_state`. Shells around them:
//! `cluster`, `job_master`, `source_coordinator`, `dispatcher`, `rpc`, `rest`, `server`.
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
pub mod job_master;
pub mod job_metrics;
pub mod job_state;
pub mod resource_manager;
pub mod rest;
pub mod rpc;
pub mod scheduler;
mod server;
pub mod slot_pool;
pub mod source_coordinator;

pub use server::{
    JobManagerOptions, JobManagerParts, PlanFailure, Planner, RunningJobManager, start,
};
