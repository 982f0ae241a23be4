//! Event scripts and random runs of the CheckpointCoordinator.

mod chains;
mod retention;

use super::*;
use bytes::Bytes;
use model::{SubtaskIndex, VertexId};
use proptest::prelude::*;

const ATTEMPT: Attempt = Attempt(1);

fn source() -> TaskKey {
    TaskKey { vertex: VertexId(1), subtask: SubtaskIndex(0) }
}
fn sink(subtask: u32) -> TaskKey {
    TaskKey { vertex: VertexId(2), subtask: SubtaskIndex(subtask) }
}
fn tasks() -> BTreeMap<TaskKey, bool> {
    BTreeMap::from([(source(), true), (sink(0), false), (sink(1), false)])
}
fn config() -> CheckpointConfig {
    CheckpointConfig {
        interval_ms: Some(100),
        timeout_ms: 50,
        min_pause_ms: 10,
        tolerable_failures: 1,
        retain: 2,
        ..CheckpointConfig::default()
    }
}
fn with(committables: &[&'static str]) -> SubtaskSnapshot {
    let committables =
        committables.iter().map(|c| CommittableBytes(Bytes::from_static(c.as_bytes()))).collect();
    SubtaskSnapshot { committables, ..Default::default() }
}

/// A coordinator with one running attempt, and short words for its events.
struct Script(CheckpointCoordinator);

impl Script {
    fn running() -> Self {
        Self::with(config())
    }
    fn with(config: CheckpointConfig) -> Self {
        Self::with_start(config, 0)
    }
    /// Of a job that starts from this checkpoint.
    fn with_start(config: CheckpointConfig, start: u64) -> Self {
        let mut coordinator = CheckpointCoordinator::new(config);
        coordinator.starts_from(CheckpointId(start));
        let deployed = CheckpointEvent::Deployed { attempt: ATTEMPT, tasks: tasks() };
        coordinator.on_event(0, deployed);
        coordinator.on_event(0, CheckpointEvent::Running { attempt: ATTEMPT });
        Self(coordinator)
    }
    fn tick(&mut self, now: i64) -> Actions {
        self.0.on_event(now, CheckpointEvent::Tick)
    }
    /// Triggers and brings the checkpoint to its barriers; returns its id.
    fn begin(&mut self, now: i64) -> CheckpointId {
        let actions = self.tick(now);
        let [CheckpointAction::SnapshotEnumerators { id }] = actions.as_slice() else {
            panic!("expected a trigger, got {actions:?}");
        };
        let id = *id;
        let actions = self.enumerators(now, id);
        assert!(
            matches!(&actions[..], [CheckpointAction::TriggerTasks { tasks, .. }] if tasks == &[source()])
        );
        id
    }
    fn enumerators(&mut self, now: i64, id: CheckpointId) -> Actions {
        self.0.on_event(now, CheckpointEvent::EnumeratorsReady { id, enumerators: BTreeMap::new() })
    }
    fn ack(&mut self, now: i64, id: CheckpointId, task: TaskKey, c: &[&'static str]) -> Actions {
        let snapshot = with(c);
        self.0.on_event(now, CheckpointEvent::Acknowledged { attempt: ATTEMPT, id, task, snapshot })
    }
    fn finish(&mut self, now: i64, task: TaskKey, c: &[&'static str]) -> Actions {
        let snapshot = with(c);
        self.0.on_event(now, CheckpointEvent::TaskFinished { attempt: ATTEMPT, task, snapshot })
    }
    fn written(&mut self, now: i64, id: CheckpointId) -> Actions {
        self.0.on_event(now, CheckpointEvent::ManifestWritten { id, outcome: Ok("place".into()) })
    }
    fn committed(&mut self, now: i64, id: CheckpointId) -> Actions {
        self.0.on_event(now, CheckpointEvent::Committed { id, outcome: Ok(()) })
    }
    /// A whole checkpoint without committables.
    fn complete(&mut self, now: i64) -> (CheckpointId, Actions) {
        let id = self.begin(now);
        for task in [source(), sink(0), sink(1)] {
            self.ack(now, id, task, &[]);
        }
        self.written(now, id);
        (id, self.committed(now, id))
    }
}

fn manifest(actions: &[CheckpointAction]) -> &ManifestParts {
    let parts = actions.iter().find_map(|a| match a {
        CheckpointAction::WriteManifest(parts) => Some(parts.as_ref()),
        _ => None,
    });
    parts.unwrap_or_else(|| panic!("no manifest in {actions:?}"))
}

fn committables(parts: &ManifestParts, task: TaskKey) -> Vec<&[u8]> {
    parts.snapshots[&task].committables.iter().map(|c| c.0.as_ref()).collect()
}

#[test]
fn a_checkpoint_completes_when_all_have_acknowledged() {
    let mut script = Script::running();
    assert_eq!(script.0.next_deadline_ms(), Some(100));
    assert!(script.tick(99).is_empty());
    let id = script.begin(100);
    assert!(script.ack(110, id, source(), &[]).is_empty());
    assert!(script.ack(111, id, sink(0), &["a"]).is_empty());
    assert!(script.ack(112, id, sink(0), &["again"]).is_empty());
    let actions = script.ack(113, id, sink(1), &[]);
    assert_eq!(committables(manifest(&actions), sink(0)), [b"a"]);
    assert!(!script.0.is_settled());
    assert!(matches!(script.written(114, id)[..], [CheckpointAction::Commit { .. }]));
    let actions = script.committed(120, id);
    assert!(matches!(actions[..], [CheckpointAction::NotifyComplete { .. }]));
    assert_eq!(script.0.completed().latest(), Some(id));
    assert_eq!(script.0.next_deadline_ms(), Some(200));
}

#[test]
fn the_pause_holds_back_the_next_trigger() {
    let mut script = Script::running();
    let id = script.begin(100);
    for task in [source(), sink(0), sink(1)] {
        script.ack(130, id, task, &[]);
    }
    script.written(194, id);
    script.committed(195, id);
    assert_eq!(script.0.next_deadline_ms(), Some(205));
}

#[test]
fn too_many_timeouts_fail_the_execution() {
    let mut script = Script::running();
    script.begin(100);
    let first = script.tick(150);
    assert!(matches!(first[..], [CheckpointAction::Abort { .. }]));
    script.begin(200);
    let second = script.tick(250);
    assert!(matches!(
        second[..],
        [CheckpointAction::Abort { .. }, CheckpointAction::FailExecution { .. }]
    ));
}

#[test]
fn a_manifest_under_way_does_not_time_out() {
    let mut script = Script::running();
    let id = script.begin(100);
    for task in [source(), sink(0), sink(1)] {
        script.ack(110, id, task, &[]);
    }
    assert!(script.tick(10_000).is_empty());
    script.0.on_event(10_001, CheckpointEvent::Stopped { cause: "lost".into() });
    assert!(!script.0.is_settled());
    assert!(matches!(script.written(10_002, id)[..], [CheckpointAction::Commit { .. }]));
    assert!(script.committed(10_003, id).is_empty());
    assert!(script.0.is_settled());
    assert_eq!(script.0.completed().latest(), Some(id));
}

#[test]
fn committables_of_an_aborted_checkpoint_ride_in_the_next() {
    let mut script = Script::running();
    let first = script.begin(100);
    script.ack(101, first, sink(0), &["early"]);
    script.tick(150);
    script.ack(160, first, sink(1), &["late"]);
    let second = script.begin(200);
    script.ack(201, second, source(), &[]);
    script.ack(201, second, sink(0), &["early", "two"]);
    let actions = script.ack(202, second, sink(1), &["two"]);
    let parts = manifest(&actions);
    assert_eq!(committables(parts, sink(0)), [b"early".as_slice(), b"two"]);
    assert_eq!(committables(parts, sink(1)), [b"late".as_slice(), b"two"]);
}

#[test]
fn a_finished_tasks_committables_ride_until_a_checkpoint_completes() {
    let mut script = Script::running();
    script.finish(10, sink(0), &["last"]);
    for (now, expected) in [(100, vec![b"last".as_slice()]), (200, vec![])] {
        let id = script.begin(now);
        script.ack(now, id, source(), &[]);
        let actions = script.ack(now, id, sink(1), &[]);
        let parts = manifest(&actions);
        assert_eq!(committables(parts, sink(0)), expected);
        assert!(parts.snapshots[&sink(0)].finished);
        script.written(now, id);
        script.committed(now, id);
    }
}

#[test]
fn a_task_that_ends_meanwhile_counts_as_acknowledged() {
    let mut script = Script::running();
    let id = script.begin(100);
    script.ack(101, id, source(), &[]);
    script.ack(101, id, sink(0), &[]);
    let actions = script.finish(102, sink(1), &["end"]);
    assert_eq!(committables(manifest(&actions), sink(1)), [b"end"]);
}

#[test]
fn the_end_of_the_job_writes_a_final_manifest() {
    let mut script = Script::running();
    let pending = script.begin(100);
    for task in [source(), sink(0), sink(1)] {
        script.finish(101, task, &["end"]);
    }
    let settling = script.0.on_event(102, CheckpointEvent::Finalize);
    assert!(settling.is_empty(), "the one under way was complete: {settling:?}");
    script.written(103, pending);
    let actions = script.committed(104, pending);
    let id = CheckpointId(pending.0 + 1);
    assert!(matches!(actions.last(), Some(CheckpointAction::SnapshotEnumerators { .. })));
    let actions = script.enumerators(105, id);
    assert_eq!(manifest(&actions).kind, CheckpointKind::Final);
    script.written(106, id);
    let actions = script.committed(107, id);
    assert!(matches!(actions.last(), Some(CheckpointAction::Finalized)));
}

#[test]
fn manual_requests_are_answered() {
    let mut script = Script::running();
    let actions = script.0.on_event(5, CheckpointEvent::Manual { token: Token(7) });
    assert!(matches!(actions[..], [CheckpointAction::SnapshotEnumerators { id: CheckpointId(1) }]));
    // Asked for while one is under way: the next one answers.
    script.0.on_event(6, CheckpointEvent::Manual { token: Token(8) });
    let id = CheckpointId(1);
    script.enumerators(6, id);
    for task in [source(), sink(0), sink(1)] {
        script.ack(7, id, task, &[]);
    }
    script.written(8, id);
    let actions = script.committed(9, id);
    let answered = |t| {
        actions.iter().any(
            |a| matches!(a, CheckpointAction::Answer { tokens, outcome: Ok(_) } if tokens == &[Token(t)]),
        )
    };
    assert!(answered(7) && !answered(8));
    assert_eq!(script.0.pending(), Some(CheckpointId(2)));
    let actions = script.0.on_event(10, CheckpointEvent::Stopped { cause: "gone".into() });
    assert!(actions.iter().any(|a| matches!(a, CheckpointAction::Answer { outcome: Err(_), .. })));
}

#[test]
fn a_doubtful_manifest_is_settled_by_a_restart() {
    let mut script = Script::running();
    let id = script.begin(100);
    for task in [source(), sink(0), sink(1)] {
        script.ack(110, id, task, &[]);
    }
    let outcome = Err(Error::external("no answer"));
    let actions = script.0.on_event(120, CheckpointEvent::ManifestWritten { id, outcome });
    assert!(matches!(actions[..], [CheckpointAction::FailExecution { .. }]));
    assert_eq!(script.0.in_doubt(), Some(id));
    script.0.settle_doubt(130, Some((id, "place".into())));
    assert_eq!((script.0.in_doubt(), script.0.completed().latest()), (None, Some(id)));
}

#[test]
fn old_checkpoints_are_retired_and_leavings_cleaned() {
    let mut script = Script::running();
    script.complete(100);
    script.complete(200);
    let (_, actions) = script.complete(300);
    let deleted = |a: &CheckpointAction| matches!(a, CheckpointAction::Delete { ids, .. } if ids == &[CheckpointId(1)]);
    assert!(actions.iter().any(deleted));
    script.0.on_event(310, CheckpointEvent::Deleted { done: true });
    script.begin(400);
    script.tick(450);
    let (id, actions) = script.complete(500);
    let cleaned = |a: &CheckpointAction| matches!(a, CheckpointAction::CleanOrphans { up_to, .. } if *up_to == id);
    assert!(actions.iter().any(cleaned));
}

/// One step of a random run. Checkpoint ids are drawn near those that exist.
#[derive(Clone, Debug)]
enum Step {
    Pass(i64),
    Enumerators(u64),
    Ack { id: u64, task: u8, old_attempt: bool },
    Decline(u64),
    Finish(u8),
    Manual,
    Written { id: u64, ok: bool },
    Committed { id: u64, ok: bool },
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let id = 0..3_u64;
    let step = prop_oneof![
        6 => (1..60_i64).prop_map(Step::Pass),
        4 => id.clone().prop_map(Step::Enumerators),
        12 => (id.clone(), 0..3_u8, prop::bool::weighted(0.1))
            .prop_map(|(id, task, old_attempt)| Step::Ack { id, task, old_attempt }),
        1 => id.clone().prop_map(Step::Decline),
        1 => (0..3_u8).prop_map(Step::Finish),
        1 => Just(Step::Manual),
        4 => (id.clone(), prop::bool::weighted(0.9)).prop_map(|(id, ok)| Step::Written { id, ok }),
        4 => (id, prop::bool::weighted(0.9)).prop_map(|(id, ok)| Step::Committed { id, ok }),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 0..200)
}

fn event_of(step: &Step, newest: u64, attempt: Attempt, tokens: &mut u64) -> CheckpointEvent {
    let near = |back: u64| CheckpointId(newest.saturating_sub(back));
    let key = |task: u8| [source(), sink(0), sink(1)][usize::from(task)];
    let outcome = |ok: bool| if ok { Ok(()) } else { Err(Error::external("no answer")) };
    match *step {
        Step::Pass(_) | Step::Restart => CheckpointEvent::Tick,
        Step::Enumerators(back) => {
            CheckpointEvent::EnumeratorsReady { id: near(back), enumerators: BTreeMap::new() }
        }
        Step::Ack { id, task, old_attempt } => CheckpointEvent::Acknowledged {
            attempt: if old_attempt { Attempt(attempt.0 - 1) } else { attempt },
            id: near(id),
            task: key(task),
            snapshot: with(&["x"]),
        },
        Step::Decline(back) => CheckpointEvent::Declined {
            attempt,
            id: near(back),
            error: Error::external("declined"),
        },
        Step::Finish(task) => {
            CheckpointEvent::TaskFinished { attempt, task: key(task), snapshot: with(&["end"]) }
        }
        Step::Manual => {
            *tokens += 1;
            CheckpointEvent::Manual { token: Token(*tokens) }
        }
        Step::Written { id, ok } => CheckpointEvent::ManifestWritten {
            id: near(id),
            outcome: outcome(ok).map(|()| "place".to_owned()),
        },
        Step::Committed { id, ok } => {
            CheckpointEvent::Committed { id: near(id), outcome: outcome(ok) }
        }
    }
}

proptest! {
    #[test]
    fn every_run_keeps_the_rules(steps in steps()) {
        let mut coordinator = CheckpointCoordinator::new(config());
        let mut attempt = Attempt(1);
        let deploy = |c: &mut CheckpointCoordinator, now, attempt| {
            c.on_event(now, CheckpointEvent::Deployed { attempt, tasks: tasks() });
            c.on_event(now, CheckpointEvent::Running { attempt });
        };
        deploy(&mut coordinator, 0, attempt);
        let (mut now, mut tokens, mut triggered, mut answered) = (0, 0, 0_u64, 0);
        let mut open: Option<CheckpointId> = None;
        let mut completed = Vec::new();
        let deleting = std::cell::Cell::new(false);
        let mut check = |actions: Actions, open: &mut Option<CheckpointId>| -> Result<bool, TestCaseError> {
            let mut failed = false;
            for action in actions {
                match action {
                    CheckpointAction::SnapshotEnumerators { id } => {
                        prop_assert!(open.is_none(), "two checkpoints at once");
                        prop_assert!(id.0 > triggered, "ids rise");
                        triggered = id.0;
                        *open = Some(id);
                    }
                    CheckpointAction::Abort { id } => prop_assert_eq!(open.take(), Some(id)),
                    CheckpointAction::WriteManifest(parts) => {
                        prop_assert_eq!(*open, Some(parts.id));
                        prop_assert_eq!(parts.snapshots.len(), 3);
                    }
                    CheckpointAction::Commit { id } => {
                        prop_assert_eq!(*open, Some(id));
                        prop_assert!(completed.last().is_none_or(|last| *last < id));
                        completed.push(id);
                    }
                    CheckpointAction::NotifyComplete { id } => {
                        prop_assert_eq!(open.take(), Some(id));
                    }
                    CheckpointAction::FailExecution { .. } => failed = true,
                    CheckpointAction::Answer { tokens, .. } => answered += tokens.len(),
                    CheckpointAction::Delete { .. } | CheckpointAction::CleanOrphans { .. } => {
                        prop_assert!(!deleting.replace(true), "two deletions at once");
                    }
                    _ => {}
                }
            }
            Ok(failed)
        };
        for step in &steps {
            if let Step::Pass(ms) = step {
                now += ms;
            }
            let newest = open.map_or(1, |id| id.0);
            let event = event_of(step, newest, attempt, &mut tokens);
            let actions = coordinator.on_event(now, event);
            let failed = check(actions, &mut open)?;
            if coordinator.pending().is_none() {
                open = None;
            }
            if failed || matches!(step, Step::Restart) {
                let stopped = CheckpointEvent::Stopped { cause: "restart".into() };
                check(coordinator.on_event(now, stopped), &mut open)?;
                if let Some(id) = coordinator.pending() {
                    // Past the point of no return: it ends before the next attempt starts.
                    let outcome = Ok("place".to_owned());
                    check(coordinator.on_event(now, CheckpointEvent::ManifestWritten { id, outcome }), &mut open)?;
                    check(coordinator.on_event(now, CheckpointEvent::Committed { id, outcome: Ok(()) }), &mut open)?;
                }
                prop_assert!(coordinator.is_settled() && coordinator.pending().is_none());
                open = None;
                coordinator.settle_doubt(now, None);
                attempt = Attempt(attempt.0 + 1);
                deploy(&mut coordinator, now, attempt);
            }
            if deleting.replace(false) {
                coordinator.on_event(now, CheckpointEvent::Deleted { done: true });
            }
            prop_assert_eq!(coordinator.pending(), open);
            prop_assert!(coordinator.completed().ids().count() <= 3);
        }
        // Every checkpoint ends: what may still be given up does so by its deadline.
        let settled = coordinator.is_settled();
        if let (true, Some(deadline)) = (settled && open.is_some(), coordinator.next_deadline_ms()) {
            check(coordinator.on_event(deadline, CheckpointEvent::Tick), &mut open)?;
            prop_assert_eq!(open, None);
        }
        check(coordinator.on_event(now, CheckpointEvent::Stopped { cause: "end".into() }), &mut open)?;
        if coordinator.is_settled() {
            prop_assert_eq!(answered as u64, tokens, "every request is answered");
        }
    }
}
