//! Transitions, fencing and reports.

use super::*;
use crate::fixtures;
use proptest::prelude::*;

fn scheduled() -> ExecutionGraph {
    let mut graph = ExecutionGraph::new(JobId(1), &fixtures::graph(2), 0);
    graph.schedule(&[fixtures::slot("a", 1), fixtures::slot("b", 2)], 1).unwrap();
    graph
}

fn first(graph: &ExecutionGraph) -> TaskKey {
    graph.tasks().next().unwrap().0
}

#[test]
fn a_task_goes_through_its_life() {
    let mut graph = scheduled();
    let task = first(&graph);
    for (now, state) in [
        (2, ExecutionState::Deploying),
        (3, ExecutionState::Initializing),
        (4, ExecutionState::Running),
        (5, ExecutionState::Finished),
    ] {
        assert!(graph.transition(task, state, now).unwrap());
        assert!(!graph.transition(task, state, now + 100).unwrap(), "repeated");
        assert_eq!(graph.execution(task).unwrap().timestamps[&state], now);
    }
    assert!(graph.transition(task, ExecutionState::Failed, 9).is_err());
    assert_eq!(graph.execution(task).unwrap().state, ExecutionState::Finished);
}

#[test]
fn a_report_that_crossed_the_cancel_order_changes_nothing() {
    let mut graph = scheduled();
    let task = first(&graph);
    graph.transition(task, ExecutionState::Deploying, 2).unwrap();
    graph.transition(task, ExecutionState::Canceling, 3).unwrap();
    assert!(!graph.transition(task, ExecutionState::Running, 4).unwrap());
    assert!(graph.transition(task, ExecutionState::Canceled, 5).unwrap());
}

#[test]
fn other_attempts_and_other_task_managers_are_fenced() {
    let mut graph = scheduled();
    let task = first(&graph);
    let id = graph.attempt_id(task);
    let (a, b) = (TaskManagerId("a".into()), TaskManagerId("b".into()));
    assert_eq!(graph.check(&id, Some(&a)).unwrap(), task);
    let kind = |r: Result<TaskKey>| r.unwrap_err().kind();
    assert_eq!(kind(graph.check(&id, Some(&b))), ErrorKind::Fenced);
    graph.next_attempt(9);
    assert_eq!(kind(graph.check(&id, Some(&a))), ErrorKind::Fenced);
    assert_eq!(graph.attempt(), Attempt(2));
}

#[test]
fn a_task_left_out_of_reports_is_found() {
    let mut graph = scheduled();
    let task = first(&graph);
    let a = TaskManagerId("a".into());
    graph.transition(task, ExecutionState::Deploying, 2).unwrap();
    assert!(graph.on_report(&a, &[], 1).is_empty(), "not confirmed yet");
    graph.transition(task, ExecutionState::Running, 3).unwrap();
    assert!(graph.on_report(&a, &[], 2).is_empty());
    assert!(graph.on_report(&a, &[graph.attempt_id(task)], 2).is_empty());
    assert!(graph.on_report(&a, &[], 2).is_empty());
    assert_eq!(graph.on_report(&a, &[], 2), [task]);
}

#[test]
fn the_history_of_failures_is_bounded() {
    let mut graph = scheduled();
    for n in 0..=MAX_EXCEPTIONS {
        graph.record(n as i64, Some(first(&graph)), &Error::external(format!("failure {n}")));
    }
    let all: Vec<_> = graph.exceptions().collect();
    assert_eq!(all.len(), MAX_EXCEPTIONS);
    assert_eq!(
        (all[0].message.as_str(), all[0].task.as_deref()),
        ("failure 1", Some("numbers (1/2)"))
    );
}

proptest! {
    #[test]
    fn terminal_states_are_final(states in prop::collection::vec(0..9_usize, 0..30)) {
        use ExecutionState as S;
        let every = [S::Created, S::Scheduled, S::Deploying, S::Initializing, S::Running,
            S::Finished, S::Canceling, S::Canceled, S::Failed];
        let mut graph = scheduled();
        let task = first(&graph);
        for to in states {
            let before = graph.execution(task).unwrap().state;
            let moved = graph.transition(task, every[to], 5).unwrap_or(false);
            let after = graph.execution(task).unwrap().state;
            prop_assert_eq!(moved, before != after);
            prop_assert!(!(before.is_terminal() && moved));
        }
    }
}
