//! The contract on the wire: generated code for `proto/weir/v1` and the conversions
//! between it and `model`. Nothing else. Used only by files named `rpc.rs` and by the
//! data plane (`data_server.rs`, `exchange.rs` in `taskmanager`).

/// Generated from `proto/weir/v1/*.proto`.
#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    unreachable_pub,
    reason = "generated code is not ours to style"
)]
pub mod v1 {
    tonic::include_proto!("weir.v1");
}

mod convert;

pub use convert::{
    attempt_from_wire, attempt_to_wire, error_to_status, failure_from_wire, failure_to_wire,
    json_from_wire, json_to_wire, status_to_error,
};
