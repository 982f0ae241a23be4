//! The task: an asynchronous head (source or input gate), a synchronous operator chain,
//! an asynchronous tail (result partitions or sink), and the barrier that passes through.
//!
//! Called by `taskmanager`, which deploys tasks onto [`core_threads::CoreThreads`] and
//! supplies the transport ([`channel::Exchange`]) and the job manager's ear
//! ([`task::TaskControl`]). Knows no network, no connector and no SQL library.

pub mod alignment;
pub mod chain;
pub mod channel;
pub mod core_threads;
mod deploy;
pub mod input_gate;
pub mod lookup;
pub mod metrics;
pub mod operator;
pub mod operators;
pub mod partitioner;
pub mod result_partition;
pub mod results;
pub mod source_head;
pub mod source_progress;
pub mod split_watermarks;
pub mod tail;
pub mod tap;
pub mod task;
mod task_loop;
pub mod upload;
pub mod watermark;
pub mod watermark_alignment;
