//! Tests over real loopback connections: the data plane against the channel contract and
//! against damage, and the TaskManager against a fake job manager.

mod data_plane;
mod fake_connectors;
mod fake_job_manager;
mod life;
mod shown;
