use proptest::prelude::*;

use super::*;

fn barrier(id: u64) -> CheckpointBarrier {
    CheckpointBarrier { id: CheckpointId(id), triggered_at_ms: 0 }
}

fn completed(actions: &[AlignmentAction]) -> Option<u64> {
    actions.iter().find_map(|a| match a {
        AlignmentAction::Complete(aligned) => Some(aligned.barrier.id.0),
        _ => None,
    })
}

#[test]
fn waits_for_every_channel_and_measures_it() {
    let mut alignment = Alignment::new(3);
    assert_eq!(alignment.on_barrier(1, barrier(5), 100), [AlignmentAction::Block(1)]);
    assert_eq!(alignment.on_barrier(0, barrier(5), 130), [AlignmentAction::Block(0)]);
    let aligned = AlignedBarrier { barrier: barrier(5), first_us: 100, alignment_us: 60 };
    assert_eq!(
        alignment.on_barrier(2, barrier(5), 160),
        [
            AlignmentAction::Block(2),
            AlignmentAction::UnblockAll,
            AlignmentAction::Complete(aligned)
        ]
    );
}

#[test]
fn an_ended_channel_counts_for_every_later_checkpoint() {
    let mut alignment = Alignment::new(2);
    alignment.on_barrier(0, barrier(1), 0);
    assert_eq!(completed(&alignment.on_end(1, 9)), Some(1));
    assert_eq!(completed(&alignment.on_barrier(0, barrier(2), 10)), Some(2));
}

#[test]
fn a_newer_barrier_supersedes_and_stale_ones_are_ignored() {
    let mut alignment = Alignment::new(2);
    alignment.on_barrier(0, barrier(1), 0);
    assert_eq!(
        alignment.on_barrier(1, barrier(2), 1),
        [
            AlignmentAction::UnblockAll,
            AlignmentAction::Superseded(CheckpointId(1)),
            AlignmentAction::Block(1)
        ]
    );
    assert_eq!(completed(&alignment.on_barrier(0, barrier(2), 2)), Some(2));
    assert_eq!(alignment.on_barrier(1, barrier(1), 3), []);
}

#[test]
fn a_cancelled_checkpoint_never_completes() {
    let mut alignment = Alignment::new(2);
    alignment.on_barrier(0, barrier(1), 0);
    assert_eq!(alignment.on_cancelled(CheckpointId(1)), [AlignmentAction::UnblockAll]);
    assert_eq!(alignment.on_barrier(1, barrier(1), 1), []);
    // Cancelled before its first barrier came.
    assert_eq!(alignment.on_cancelled(CheckpointId(2)), []);
    assert_eq!(alignment.on_barrier(0, barrier(2), 2), []);
    assert_eq!(completed(&alignment.on_barrier(0, barrier(3), 3)), None);
    assert_eq!(completed(&alignment.on_barrier(1, barrier(3), 3)), Some(3));
}

/// Per channel which of the checkpoints it carries; whether it ends after them; the order in
/// which channels are served; when which checkpoint is cancelled.
type Script = (Vec<(Vec<bool>, bool)>, Vec<usize>, Vec<(usize, u64)>);

fn scripts() -> impl Strategy<Value = Script> {
    (1_usize..5, 1_usize..8).prop_flat_map(|(channels, checkpoints)| {
        let channel =
            (prop::collection::vec(prop::bool::weighted(0.8), checkpoints), any::<bool>());
        (
            prop::collection::vec(channel, channels),
            prop::collection::vec(0..channels, 0..80),
            prop::collection::vec((0_usize..80, 1..=checkpoints as u64), 0..3),
        )
    })
}

proptest! {
    /// Channels are queues of barriers, served in any order, blocked ones not at all.
    #[test]
    fn holds_whatever_comes_in_whatever_order((channels, order, cancels) in scripts()) {
        let mut alignment = Alignment::new(channels.len());
        // What each channel still sends: `Some(id)` a barrier, `None` its end.
        let mut queues: Vec<Vec<Option<u64>>> = channels
            .iter()
            .map(|(carried, _)| {
                let ids = (1_u64..).zip(carried).filter(|(_, c)| **c).map(|(id, _)| Some(id));
                ids.chain([None]).collect()
            })
            .collect();
        let mut blocked = vec![false; channels.len()];
        let mut latest = vec![0_u64; channels.len()];
        let mut ended = vec![false; channels.len()];
        let mut last = 0;
        let mut over: Vec<u64> = Vec::new();
        // After the random order, everybody is served until nothing moves.
        let all = channels.len();
        let rest = (0..all * 20).map(|n| n % all);
        for (step, channel) in order.into_iter().chain(rest).enumerate() {
            let mut actions = Vec::new();
            for (_, id) in cancels.iter().filter(|(at, _)| *at == step) {
                actions.extend(alignment.on_cancelled(CheckpointId(*id)));
            }
            for action in &actions {
                prop_assert_eq!(action, &AlignmentAction::UnblockAll);
                blocked.fill(false);
            }
            if blocked[channel] || queues[channel].is_empty() {
                continue;
            }
            let actions = match queues[channel].remove(0) {
                Some(id) => {
                    latest[channel] = id;
                    alignment.on_barrier(channel, barrier(id), step as i64)
                }
                None => {
                    ended[channel] = true;
                    alignment.on_end(channel, step as i64)
                }
            };
            for action in actions {
                match action {
                    AlignmentAction::Block(channel) => blocked[channel] = true,
                    AlignmentAction::UnblockAll => blocked.fill(false),
                    AlignmentAction::Superseded(id) => over.push(id.0),
                    AlignmentAction::Complete(aligned) => {
                        let id = aligned.barrier.id.0;
                        prop_assert!(id > last, "{id} after {last}");
                        prop_assert!(!over.contains(&id), "{id} was given up");
                        for channel in 0..all {
                            // Nothing was read past the barrier, and nothing before it is missing.
                            prop_assert!(latest[channel] == id || ended[channel]);
                        }
                        last = id;
                    }
                }
            }
        }
        // Ends free everybody: nothing stays blocked for ever.
        prop_assert!(queues.iter().all(Vec::is_empty), "stuck: {queues:?}");
        prop_assert!(!blocked.contains(&true));
    }
}
