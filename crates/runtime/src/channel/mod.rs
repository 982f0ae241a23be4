//! Channels: one producing subtask to one consuming subtask over one edge.
//!
//! The consumer's [`GateHandle`] holds one queue per channel; a producer reaches it
//! directly ([`LocalSender`]) or through a transport ([`RemoteSender`]). Either way a byte
//! budget per channel bounds what is queued, and waiting for it is the backpressure.
//! Called by `task.rs` (both ends) and by `taskmanager` (the [`Exchange`] and the transport).

pub mod contract;
pub mod frame;
pub mod local;
pub mod remote;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use futures::future::BoxFuture;
use model::deployment::ChannelId;
use model::{Result, StreamElement};

pub use local::{GateHandle, LocalSender};
pub use remote::{FrameBody, OutFrame, RemoteChannel, RemoteSender};

/// Bytes that may be queued in one channel before its producer waits.
pub const CHANNEL_BUDGET_BYTES: usize = 512 << 10;

/// Added to the bytes of a batch, so that many tiny batches do not count as nothing.
const BATCH_OVERHEAD_BYTES: u64 = 256;

/// The producer's end of one channel.
pub enum ChannelSender {
    Local(LocalSender),
    Remote(RemoteSender),
}

impl ChannelSender {
    /// Puts one element into the channel; waits while the channel's budget is used up.
    /// Barriers, watermarks, idleness and ends cost nothing and never wait for budget.
    /// Cancel-safe in that a dropped call has either sent the element or not.
    /// Fails with kind External when the consumer or the connection to it is gone.
    pub async fn send(&mut self, element: StreamElement) -> Result<()> {
        match self {
            Self::Local(sender) => sender.send(element).await,
            Self::Remote(sender) => sender.send(element).await,
        }
    }
}

/// How producers and consumers of one process, and of others, find each other.
/// Implemented by `taskmanager`.
pub trait Exchange: Send + Sync {
    /// The consumer is ready: producers may connect. `channels[i]` is channel `i` of `gate`.
    fn register_gate(&self, channels: Vec<ChannelId>, gate: GateHandle);
    /// The consumer has ended, in whatever way.
    fn unregister(&self, channels: &[ChannelId]);
    /// Waits until the consumer has registered; gives up after a while with an External error.
    /// `data_addr` equal to the process's own address means local.
    fn connect(
        &self,
        channel: ChannelId,
        data_addr: &str,
    ) -> BoxFuture<'static, Result<ChannelSender>>;
}

/// What a batch costs of a channel's budget when it is passed by reference: about the
/// bytes that its rows take, whatever larger buffers they are slices of.
pub fn batch_bytes(batch: &RecordBatch) -> u64 {
    BATCH_OVERHEAD_BYTES + batch.columns().iter().map(array_bytes).sum::<u64>()
}

fn array_bytes(array: &ArrayRef) -> u64 {
    let rows = array.len() as u64;
    let validity = if array.nulls().is_some() { rows / 8 } else { 0 };
    let long_bytes = |views: &[u128]| -> u64 {
        views.iter().map(|v| *v as u32).map(|n| if n > 12 { u64::from(n) } else { 0 }).sum()
    };
    let values = match array.data_type() {
        DataType::Boolean => rows / 8,
        DataType::Utf8 => offsets_bytes(array.as_string::<i32>().value_offsets()),
        DataType::Binary => offsets_bytes(array.as_binary::<i32>().value_offsets()),
        DataType::LargeUtf8 => offsets_bytes(array.as_string::<i64>().value_offsets()),
        DataType::LargeBinary => offsets_bytes(array.as_binary::<i64>().value_offsets()),
        DataType::Utf8View => rows * 16 + long_bytes(array.as_string_view().views()),
        DataType::BinaryView => rows * 16 + long_bytes(array.as_binary_view().views()),
        other => match other.primitive_width() {
            Some(width) => rows * width as u64,
            None => array.to_data().get_slice_memory_size().unwrap_or(0) as u64,
        },
    };
    validity + values
}

fn offsets_bytes<O: arrow::array::OffsetSizeTrait>(offsets: &[O]) -> u64 {
    let span = match (offsets.first(), offsets.last()) {
        (Some(first), Some(last)) => last.as_usize() - first.as_usize(),
        _ => 0,
    };
    (span + size_of_val(offsets)) as u64
}
