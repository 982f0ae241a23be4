//! Channel ids and frames between `runtime::channel` and the wire. Called by
//! `exchange.rs` (producer) and `data_server.rs` (consumer). Pure.

use bytes::Bytes;
use model::deployment::ChannelId;
use model::{Attempt, CheckpointBarrier, CheckpointId, JobId, SubtaskIndex, Watermark};
use proto::v1;
use proto::v1::data_frame::Body;
use runtime::channel::{FrameBody, OutFrame};

/// Limit of one message of the data plane. Batches are about 256 KiB; only a single huge
/// row or an exploding join comes near it.
pub(crate) const MAX_DATA_MESSAGE_BYTES: usize = 256 << 20;
/// Limit of one control message: a deployment or a snapshot with inline state.
pub(crate) const MAX_CONTROL_MESSAGE_BYTES: usize = 64 << 20;
/// Of a log that is shown.
pub(crate) const MAX_LOG_BYTES: u64 = 4 << 20;
/// HTTP/2 windows. Credit bounds what is sent; these only must not get in its way.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 8 << 20;
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// HTTP/2 frames this large carry a batch in few of them.
pub(crate) const HTTP2_FRAME_BYTES: u32 = 1 << 20;

fn job_bytes(channel: &ChannelId) -> Bytes {
    Bytes::copy_from_slice(&channel.job.0.to_be_bytes())
}

fn frame_of(channel: &ChannelId) -> v1::DataFrame {
    v1::DataFrame {
        job: job_bytes(channel),
        attempt: channel.attempt.0,
        edge: channel.edge,
        from: channel.from.0,
        to: channel.to.0,
        ..Default::default()
    }
}

/// The announcement of a channel; its sequence number is 0.
pub(crate) fn open_frame(channel: &ChannelId) -> v1::DataFrame {
    v1::DataFrame { body: Some(Body::Open(v1::Open {})), ..frame_of(channel) }
}

pub(crate) fn data_frame(frame: OutFrame) -> v1::DataFrame {
    let body = match frame.body {
        FrameBody::Batch(bytes) => Body::Batch(bytes),
        FrameBody::Watermark(Watermark(ms)) => Body::Watermark(ms),
        FrameBody::Barrier(barrier) => Body::Barrier(v1::Barrier {
            checkpoint: barrier.id.0,
            triggered_at_ms: barrier.triggered_at_ms,
        }),
        FrameBody::Idle => Body::Idle(v1::Idle {}),
        FrameBody::End => Body::End(v1::End {}),
    };
    v1::DataFrame {
        sequence: frame.sequence,
        cost: frame.cost,
        crc32c: frame.crc32c,
        body: Some(body),
        ..frame_of(&frame.channel)
    }
}

pub(crate) fn barrier(wire: &v1::Barrier) -> CheckpointBarrier {
    CheckpointBarrier { id: CheckpointId(wire.checkpoint), triggered_at_ms: wire.triggered_at_ms }
}

pub(crate) fn credit_frame(channel: &ChannelId, bytes: u64, closed: String) -> v1::CreditFrame {
    v1::CreditFrame {
        job: job_bytes(channel),
        attempt: channel.attempt.0,
        edge: channel.edge,
        from: channel.from.0,
        to: channel.to.0,
        bytes,
        closed,
    }
}

fn channel(job: &Bytes, numbers: [u32; 4]) -> Option<ChannelId> {
    let job: [u8; 16] = job.as_ref().try_into().ok()?;
    let [attempt, edge, from, to] = numbers;
    Some(ChannelId {
        job: JobId(u128::from_be_bytes(job)),
        attempt: Attempt(attempt),
        edge,
        from: SubtaskIndex(from),
        to: SubtaskIndex(to),
    })
}

/// `None` when the frame names no channel: the peer does not speak our protocol.
pub(crate) fn channel_of_data(frame: &v1::DataFrame) -> Option<ChannelId> {
    channel(&frame.job, [frame.attempt, frame.edge, frame.from, frame.to])
}

/// As [`channel_of_data`].
pub(crate) fn channel_of_credit(frame: &v1::CreditFrame) -> Option<ChannelId> {
    channel(&frame.job, [frame.attempt, frame.edge, frame.from, frame.to])
}
