//! Event scripts and random runs of a job's life.

use super::*;
use crate::fixtures;
use model::{AllocationId, SubtaskIndex};
use proptest::prelude::*;

struct Script {
    state: JobState,
    now: i64,
    log: Actions,
}

impl Script {
    fn new() -> Self {
        let mut script = Self {
            state: JobState::new(JobId(1), &fixtures::graph(2), 0),
            now: 0,
            log: Vec::new(),
        };
        script.on(JobEvent::Start);
        script
    }
    fn on(&mut self, event: JobEvent) -> &Actions {
        self.log = self.state.on_event(self.now, event);
        &self.log
    }
    fn prepared(&mut self) -> &Actions {
        let attempt = self.state.graph().attempt();
        self.on(JobEvent::Prepared { attempt, outcome: Ok(()), settled: None })
    }
    fn tasks(&self) -> Vec<TaskKey> {
        self.state.graph().tasks().map(|(key, _, _)| key).collect()
    }
    fn report(&mut self, task: TaskKey, state: ExecutionState) -> &Actions {
        let error = (state == ExecutionState::Failed).then(|| Error::external("broken pipe"));
        self.on(JobEvent::TaskState { task, state, error, last: Default::default() })
    }
    fn running() -> Self {
        let mut script = Self::new();
        script.on(JobEvent::SlotsGranted(vec![fixtures::slot("a", 1), fixtures::slot("b", 2)]));
        assert!(script.prepared().iter().any(|a| matches!(a, JobAction::Deploy)));
        for task in script.tasks() {
            script.report(task, ExecutionState::Running);
        }
        assert_eq!(script.state.status(), JobStatus::Running);
        script
    }
    fn canceled(&mut self) -> usize {
        self.log
            .iter()
            .map(|a| if let JobAction::Cancel(tasks) = a { tasks.len() } else { 0 })
            .sum()
    }
    /// Reports every canceling task as canceled.
    fn confirm(&mut self) {
        for task in self.tasks() {
            if self.state.graph().execution(task).unwrap().state == ExecutionState::Canceling {
                self.report(task, ExecutionState::Canceled);
            }
        }
    }
    fn lose(&mut self, id: &str) {
        self.on(JobEvent::TaskManagerLost {
            id: TaskManagerId(id.into()),
            reason: "killed".into(),
        });
    }
}

#[test]
fn a_job_deploys_once_it_has_slots_and_is_prepared() {
    let mut script = Script::new();
    assert!(matches!(script.log[..], [JobAction::Prepare { .. }, JobAction::RequestSlots(2)]));
    script.on(JobEvent::SlotsWaiting { needed: 2, free: 1 });
    assert!(script.state.message().unwrap().contains("2 more slots, 1 are free"));
    assert!(script.prepared().is_empty());
    let slots = vec![fixtures::slot("a", 1), fixtures::slot("b", 2), fixtures::slot("c", 3)];
    let actions = script.on(JobEvent::SlotsGranted(slots));
    assert!(matches!(actions[..], [JobAction::ReleaseSlot(AllocationId(3)), JobAction::Deploy]));
    assert_eq!(script.state.expected().len(), 4);
}

#[test]
fn a_lost_task_manager_restarts_the_job_on_what_is_left() {
    let mut script = Script::running();
    script.now = 100;
    script.lose("b");
    assert_eq!((script.state.status(), script.canceled()), (JobStatus::Restarting, 2));
    script.confirm();
    assert_eq!(script.state.next_deadline_ms(), Some(101));
    script.now = 101;
    let actions = script.on(JobEvent::Tick);
    assert!(matches!(
        actions[..],
        [JobAction::Prepare { attempt: Attempt(2), .. }, JobAction::RequestSlots(1)]
    ));
    script.on(JobEvent::SlotsGranted(vec![fixtures::slot("c", 9)]));
    assert!(script.prepared().iter().any(|a| matches!(a, JobAction::Deploy)));
    let slots = script.state.all_slots().unwrap();
    assert_eq!(slots.iter().map(|s| s.task_manager.0.as_str()).collect::<Vec<_>>(), ["a", "c"]);
}

#[test]
fn a_task_manager_found_lost_is_why_its_connections_broke() {
    let mut script = Script::running();
    script.report(script.tasks()[0], ExecutionState::Failed);
    assert!(!script.state.failure().unwrap().contains("lost TaskManager"));
    script.lose("b");
    assert_eq!(script.state.status(), JobStatus::Restarting);
    assert!(script.state.failure().unwrap().starts_with("lost TaskManager b: "));
    let newest = script.state.graph().exceptions().last().unwrap();
    assert!(newest.message.starts_with("lost TaskManager b: "), "{newest:?}");
}

#[test]
fn a_restart_does_not_wait_for_ever_for_canceled_tasks() {
    let mut script = Script::running();
    script.report(script.tasks()[0], ExecutionState::Failed);
    assert_eq!(script.state.next_deadline_ms(), Some(CANCEL_TIMEOUT_MS));
    script.now = CANCEL_TIMEOUT_MS;
    let actions = script.on(JobEvent::Tick);
    assert!(matches!(actions[..], [JobAction::Prepare { .. }]), "slots are kept: {actions:?}");
}

#[test]
fn a_users_error_fails_the_job_at_once() {
    let mut script = Script::running();
    let (task, error) = (script.tasks()[0], Some(Error::user("bad number `x`")));
    let state = ExecutionState::Failed;
    script.on(JobEvent::TaskState { task, state, error, last: Default::default() });
    assert_eq!(script.state.status(), JobStatus::Failing);
    script.confirm();
    assert!(matches!(script.log.last(), Some(JobAction::Ended(JobStatus::Failed))));
    assert_eq!(script.state.failure(), Some("numbers (1/2): bad number `x`"));
    assert_eq!(script.state.graph().exceptions().count(), 1);
}

#[test]
fn a_job_without_slots_is_canceled_at_once() {
    let mut script = Script::new();
    script.on(JobEvent::Cancel);
    assert!(matches!(script.log.last(), Some(JobAction::Ended(JobStatus::Canceled))));
    assert!(script.on(JobEvent::Cancel).is_empty());
}

#[test]
fn slots_lost_while_waiting_are_asked_for_again() {
    let mut script = Script::new();
    script.on(JobEvent::SlotsGranted(vec![fixtures::slot("a", 1), fixtures::slot("b", 2)]));
    script.lose("a");
    assert!(matches!(script.log[..], [JobAction::RequestSlots(1)]));
}

#[test]
fn the_job_ends_after_its_final_checkpoint() {
    let mut script = Script::running();
    for task in script.tasks() {
        script.report(task, ExecutionState::Finished);
    }
    let id = CheckpointId(1);
    let snapshot = |a: &JobAction| {
        matches!(a, JobAction::Checkpoint(CheckpointAction::SnapshotEnumerators { .. }))
    };
    assert!(script.log.iter().any(snapshot));
    let enumerators = BTreeMap::new();
    script.on(JobEvent::Checkpoint(CheckpointEvent::EnumeratorsReady { id, enumerators }));
    let outcome = Ok("place".to_owned());
    script.on(JobEvent::Checkpoint(CheckpointEvent::ManifestWritten { id, outcome }));
    assert_eq!(script.state.status(), JobStatus::Running);
    script.on(JobEvent::Checkpoint(CheckpointEvent::Committed { id, outcome: Ok(()) }));
    assert!(matches!(script.log.last(), Some(JobAction::Ended(JobStatus::Finished))));
}

#[test]
fn a_restart_waits_for_the_manifest_under_way() {
    let mut script = Script::running();
    for task in script.tasks() {
        script.report(task, ExecutionState::Finished);
    }
    let id = CheckpointId(1);
    let enumerators = BTreeMap::new();
    script.on(JobEvent::Checkpoint(CheckpointEvent::EnumeratorsReady { id, enumerators }));
    let attempt = script.state.graph().attempt();
    let error = Error::external("the source is gone");
    script.on(JobEvent::TaskLost { attempt, task: None, error });
    script.now = 60_000;
    assert!(script.on(JobEvent::Tick).is_empty());
    let outcome = Err(Error::external("no answer"));
    let actions = script.on(JobEvent::Checkpoint(CheckpointEvent::ManifestWritten { id, outcome }));
    let in_doubt =
        |a: &JobAction| matches!(a, JobAction::Prepare { in_doubt: Some(i), .. } if *i == id);
    assert!(actions.iter().any(in_doubt), "{actions:?}");
}

#[derive(Clone, Debug)]
enum Step {
    Pass(i64),
    Grant(u8),
    Prepared(bool),
    Report(u8, ExecutionState),
    Lose(u8),
    Cancel,
    Silent(u8),
    Checkpoint(u8),
}

fn step() -> impl Strategy<Value = Step> {
    use ExecutionState as S;
    let state = prop_oneof![
        6 => Just(S::Running),
        3 => Just(S::Finished),
        3 => Just(S::Canceled),
        1 => Just(S::Failed),
        1 => Just(S::Initializing),
    ];
    prop_oneof![
        4 => (0..3000_i64).prop_map(Step::Pass),
        4 => (0..3_u8).prop_map(Step::Grant),
        4 => prop::bool::weighted(0.9).prop_map(Step::Prepared),
        20 => (0..4_u8, state).prop_map(|(task, state)| Step::Report(task, state)),
        1 => (0..3_u8).prop_map(Step::Lose),
        1 => Just(Step::Cancel),
        1 => (0..3_u8).prop_map(Step::Silent),
        6 => (0..4_u8).prop_map(Step::Checkpoint),
    ]
}

fn checkpoint_event(state: &JobState, which: u8) -> CheckpointEvent {
    let id = state.checkpoints().pending().unwrap_or(CheckpointId(1));
    match which {
        0 => CheckpointEvent::EnumeratorsReady { id, enumerators: BTreeMap::new() },
        1 => CheckpointEvent::ManifestWritten { id, outcome: Ok("place".into()) },
        2 => CheckpointEvent::Committed { id, outcome: Ok(()) },
        _ => CheckpointEvent::ManifestWritten { id, outcome: Err(Error::external("no answer")) },
    }
}

proptest! {
    #[test]
    fn every_life_keeps_the_rules(steps in prop::collection::vec(step(), 0..150)) {
        let mut script = Script::new();
        let mut allocations = 10_u128;
        let mut ended = 0;
        let mut deployed = 0;
        for step in steps {
            let tm = |n: u8| TaskManagerId(["a", "b", "c"][usize::from(n)].to_owned());
            let attempt = script.state.graph().attempt();
            let event = match step {
                Step::Pass(ms) => { script.now += ms; JobEvent::Tick }
                Step::Grant(n) => {
                    let (needed, held) = script.state.slots();
                    let slots = (held..needed).map(|_| {
                        allocations += 1;
                        fixtures::slot(&tm(n).0, allocations)
                    });
                    JobEvent::SlotsGranted(slots.collect())
                }
                Step::Prepared(true) => JobEvent::Prepared { attempt, outcome: Ok(()), settled: None },
                Step::Prepared(false) => JobEvent::Prepared {
                    attempt, outcome: Err(Error::external("no storage")), settled: None,
                },
                Step::Report(n, state) => {
                    let vertex = script.state.graph().vertices()[usize::from(n / 2)].id;
                    let task = TaskKey { vertex, subtask: SubtaskIndex(u32::from(n % 2)) };
                    JobEvent::TaskState { task, state, error: None, last: Default::default() }
                }
                Step::Lose(n) => JobEvent::TaskManagerLost { id: tm(n), reason: "killed".into() },
                Step::Cancel => JobEvent::Cancel,
                Step::Silent(n) => JobEvent::Report { id: tm(n), tasks: Vec::new() },
                Step::Checkpoint(n) => JobEvent::Checkpoint(checkpoint_event(&script.state, n)),
            };
            let over = script.state.status().is_terminal();
            script.on(event);
            prop_assert!(!over || script.log.is_empty(), "nothing follows the end");
            for action in &script.log {
                match action {
                    JobAction::Deploy => {
                        let now = script.state.graph().attempt().0;
                        prop_assert!(now > deployed, "an attempt is deployed once");
                        deployed = now;
                        prop_assert!(script.state.all_slots().is_some());
                    }
                    JobAction::Prepare { attempt, .. } => {
                        prop_assert!(attempt.0 > deployed);
                        prop_assert!(script.state.checkpoints().is_settled());
                    }
                    JobAction::Ended(_) => ended += 1,
                    _ => {}
                }
            }
        }
        prop_assert_eq!(ended == 1, script.state.status().is_terminal());
        // However it stands, canceling it ends it, given time and an answer from the storage.
        script.on(JobEvent::Cancel);
        script.now += CANCEL_TIMEOUT_MS;
        script.on(JobEvent::Tick);
        for which in [1, 2] {
            let event = checkpoint_event(&script.state, which);
            script.on(JobEvent::Checkpoint(event));
        }
        prop_assert!(script.state.status().is_terminal(), "{:?}", script.state);
    }
}
