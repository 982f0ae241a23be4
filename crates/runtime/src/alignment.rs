//! Barrier alignment, as a pure decision: which channels to stop reading, when a
//! checkpoint's barrier has come from all of them, which checkpoints never will.
//! Called by `input_gate.rs`.

use model::{CheckpointBarrier, CheckpointId};

/// What the gate must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlignmentAction {
    /// Read nothing more from this channel.
    Block(usize),
    /// Read from every channel again.
    UnblockAll,
    /// The barrier has come from every channel: pass it on.
    Complete(AlignedBarrier),
    /// A newer checkpoint overtook this one: it will never complete here.
    Superseded(CheckpointId),
}

/// A barrier that has come from every channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlignedBarrier {
    pub barrier: CheckpointBarrier,
    /// When the first channel brought it, microseconds since the epoch.
    pub first_us: i64,
    /// From the first to the last barrier, microseconds.
    pub alignment_us: u64,
}

/// Alignment state of one gate.
#[derive(Debug)]
pub struct Alignment {
    channels: Vec<Channel>,
    pending: Option<Pending>,
    /// Barriers up to this id are over: completed, superseded or cancelled.
    closed_up_to: CheckpointId,
}

#[derive(Clone, Copy, Debug, Default)]
struct Channel {
    arrived: bool,
    ended: bool,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    barrier: CheckpointBarrier,
    first_us: i64,
}

impl Alignment {
    pub fn new(channels: usize) -> Self {
        Self {
            channels: vec![Channel::default(); channels],
            pending: None,
            closed_up_to: CheckpointId(0),
        }
    }

    /// A barrier arrived on `channel`.
    pub fn on_barrier(
        &mut self,
        channel: usize,
        barrier: CheckpointBarrier,
        now_us: i64,
    ) -> Vec<AlignmentAction> {
        let mut actions = Vec::new();
        match self.pending {
            Some(pending) if barrier.id < pending.barrier.id => return actions,
            Some(pending) if barrier.id == pending.barrier.id => {}
            Some(pending) => {
                self.clear(pending.barrier.id);
                actions.push(AlignmentAction::UnblockAll);
                actions.push(AlignmentAction::Superseded(pending.barrier.id));
            }
            None if barrier.id <= self.closed_up_to => return actions,
            None => {}
        }
        self.pending.get_or_insert(Pending { barrier, first_us: now_us });
        self.channels[channel].arrived = true;
        actions.push(AlignmentAction::Block(channel));
        self.complete(now_us, &mut actions);
        actions
    }

    /// `channel` ended, which counts as its barrier of every later checkpoint.
    pub fn on_end(&mut self, channel: usize, now_us: i64) -> Vec<AlignmentAction> {
        let mut actions = Vec::new();
        self.channels[channel].ended = true;
        self.complete(now_us, &mut actions);
        actions
    }

    /// The coordinator gave the checkpoint up: its barriers, come or still to come, mean nothing.
    pub fn on_cancelled(&mut self, id: CheckpointId) -> Vec<AlignmentAction> {
        match self.pending {
            Some(pending) if pending.barrier.id == id => {
                self.clear(id);
                vec![AlignmentAction::UnblockAll]
            }
            // An older one is still aligning; this one's barriers will be ignored once it is over.
            Some(_) => Vec::new(),
            None => {
                self.closed_up_to = self.closed_up_to.max(id);
                Vec::new()
            }
        }
    }

    fn complete(&mut self, now_us: i64, actions: &mut Vec<AlignmentAction>) {
        let Some(pending) = self.pending else { return };
        if !self.channels.iter().all(|c| c.arrived || c.ended) {
            return;
        }
        self.clear(pending.barrier.id);
        let alignment_us = u64::try_from(now_us - pending.first_us).unwrap_or(0);
        let Pending { barrier, first_us } = pending;
        actions.push(AlignmentAction::UnblockAll);
        actions.push(AlignmentAction::Complete(AlignedBarrier { barrier, first_us, alignment_us }));
    }

    fn clear(&mut self, id: CheckpointId) {
        self.pending = None;
        self.closed_up_to = self.closed_up_to.max(id);
        for channel in &mut self.channels {
            channel.arrived = false;
        }
    }
}

#[cfg(test)]
mod tests;
