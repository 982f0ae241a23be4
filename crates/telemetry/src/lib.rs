//! How a process shows what it does: metrics in Prometheus' format, log lines, traces over
//! OTLP, its threads and where its processor time goes. Called by `jobmanager`,
//! `taskmanager` and `cli`; knows neither jobs nor HTTP servers.

pub mod catalog;
mod log_layer;
mod log_ring;
mod marked;
mod otlp;
mod process;
mod profile;
pub mod prometheus;

pub use log_layer::{LogFormat, LogOptions, start_logging};
pub use log_ring::{LogRing, log_ring};
pub use marked::{Marked, marked_number};
pub use otlp::{Span, SpanId, TraceId, Tracer, flush_traces, tracer};
pub use process::{MachineFigures, ProcessFigures, add_process_metrics, disk_free_bytes, threads};
pub use profile::{MAX_PROFILE_SECONDS, profile};
