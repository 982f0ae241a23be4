use futures::FutureExt;
use model::{SubtaskIndex, VertexId};
use proptest::prelude::*;

use super::*;

fn attempt(subtask: u32, attempt: u32) -> ExecutionAttemptId {
    ExecutionAttemptId {
        job: JobId(1),
        vertex: VertexId(2),
        subtask: SubtaskIndex(subtask),
        attempt: Attempt(attempt),
    }
}

fn config(max_drift_ms: i64) -> WatermarkAlignment {
    WatermarkAlignment { group: "g".into(), max_drift_ms, update_interval_ms: 10 }
}

/// Readers of one process that knows of no other.
fn join(groups: &AlignmentGroups, count: u32, max_drift_ms: i64) -> Vec<Aligned> {
    let join = |s| groups.join(&attempt(s, 1), &config(max_drift_ms));
    let members: Vec<_> = (0..count).map(join).collect();
    members[0].group.elsewhere.store(NOBODY, SeqCst);
    members
}

fn set(member: &Aligned, ms: i64) {
    member.set(Watermark(ms));
}

#[test]
fn the_one_ahead_waits_until_the_others_come_up() {
    let members = join(&AlignmentGroups::default(), 2, 10);
    set(&members[0], 5);
    assert!(members[0].is_ahead(), "the other has seen nothing yet");
    assert!(!members[1].is_ahead());
    let mut waiting = Box::pin(members[0].not_ahead());
    assert!(waiting.as_mut().now_or_never().is_none());
    set(&members[1], -6);
    assert!(waiting.as_mut().now_or_never().is_none());
    set(&members[1], -5);
    assert!(waiting.as_mut().now_or_never().is_some());
    drop(waiting);
    assert_eq!(members[0].group.waiting.load(SeqCst), 0);
}

#[test]
fn who_is_idle_or_gone_does_not_count() {
    let groups = AlignmentGroups::default();
    let mut members = join(&groups, 3, 0);
    set(&members[0], 100);
    set(&members[1], 50);
    assert!(members[0].is_ahead());
    members[1].leave_out();
    // The third has seen nothing; it never had anything to read.
    assert!(members[0].is_ahead());
    members[2].nothing_to_read();
    assert!(!members[0].is_ahead());
    set(&members[2], 20);
    // One that had a watermark counts on, although it has nothing to read now.
    members[2].nothing_to_read();
    assert!(members[0].is_ahead());
    let last = members.pop().unwrap();
    let mut waiting = Box::pin(members[0].not_ahead());
    assert!(waiting.as_mut().now_or_never().is_none());
    drop(last);
    assert!(waiting.as_mut().now_or_never().is_some());
}

#[test]
fn attempts_and_groups_do_not_mix() {
    let groups = AlignmentGroups::default();
    let old = join(&groups, 1, 0);
    let new = groups.join(&attempt(0, 2), &config(0));
    let other = groups.join(
        &attempt(0, 1),
        &WatermarkAlignment { group: "h".into(), max_drift_ms: 0, update_interval_ms: 1 },
    );
    set(&old[0], 100);
    assert!(!old[0].is_ahead());
    assert!(!Arc::ptr_eq(&old[0].group, &new.group));
    assert!(!Arc::ptr_eq(&old[0].group, &other.group));
    drop((old, new));
    let again = groups.join(&attempt(0, 1), &config(0));
    assert_eq!(groups.groups.lock().unwrap().len(), 2);
    assert_eq!(again.group.members.read().unwrap().len(), 1);
}

#[test]
fn readers_elsewhere_hold_back_as_far_as_known() {
    let groups = AlignmentGroups::default();
    let one = groups.join(&attempt(0, 1), &config(10));
    set(&one, 0);
    assert!(one.is_ahead(), "nothing is known of the others yet");
    let mut waiting = Box::pin(one.not_ahead());
    assert!(waiting.as_mut().now_or_never().is_none());
    one.group.elsewhere.store(-10, SeqCst);
    one.group.wake();
    assert!(waiting.as_mut().now_or_never().is_some());
}

proptest! {
    /// Whatever the order in which readers move: as long as one has rows, some reader that
    /// has rows may read; and nobody gets further ahead than the drift and one batch.
    #[test]
    fn somebody_always_may_read(
        order in prop::collection::vec(0_usize..4, 1..300),
        drift in 0_i64..50,
        batch in 1_i64..20,
    ) {
        let members = join(&AlignmentGroups::default(), 4, drift);
        let mut at = [0_i64; 4];
        members.iter().for_each(|m| set(m, 0));
        for chosen in order {
            prop_assert!(members.iter().any(|m| !m.is_ahead()));
            if !members[chosen].is_ahead() {
                at[chosen] += batch;
                set(&members[chosen], at[chosen]);
            }
            let (least, most) = (at.iter().min().unwrap(), at.iter().max().unwrap());
            prop_assert!(most - least <= drift + batch);
        }
        // One after the other ends; the rest go on.
        let mut members = members;
        while members.len() > 1 {
            members.remove(0);
            prop_assert!(members.iter().any(|m| !m.is_ahead()));
        }
    }
}
