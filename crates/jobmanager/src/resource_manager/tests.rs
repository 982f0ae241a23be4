//! Event scripts and random runs of the ResourceManager.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn info(id: &str, slots: u32) -> TaskManagerInfo {
    TaskManagerInfo {
        id: TaskManagerId(id.into()),
        rpc_addr: format!("{id}:1"),
        data_addr: format!("{id}:2"),
        slots,
        version: "test".into(),
    }
}

fn manager() -> ResourceManager {
    ResourceManager::new(LeaderEpoch(1), 1500)
}

fn granted(actions: &[ResourceAction]) -> Vec<JobId> {
    let granted = actions.iter().filter_map(|a| match a {
        ResourceAction::Granted { job, .. } => Some(*job),
        _ => None,
    });
    granted.collect()
}

#[test]
fn a_job_waits_until_there_are_enough_slots() {
    let mut rm = manager();
    let actions = rm.on_event(0, ResourceEvent::Request { job: JobId(1), slots: 3 });
    assert_eq!(actions, [ResourceAction::Waiting { job: JobId(1), needed: 3, free: 0 }]);
    let actions = rm.on_event(1, ResourceEvent::Register(info("a", 2)));
    assert_eq!(actions, [ResourceAction::Waiting { job: JobId(1), needed: 3, free: 2 }]);
    let actions = rm.on_event(2, ResourceEvent::Register(info("b", 2)));
    assert_eq!(granted(&actions), [JobId(1)]);
    assert_eq!(rm.slots(), (4, 1));
}

#[test]
fn first_come_first_served_unless_the_first_can_never_be() {
    let mut rm = manager();
    rm.on_event(0, ResourceEvent::Register(info("a", 4)));
    rm.on_event(0, ResourceEvent::Request { job: JobId(1), slots: 3 });
    rm.on_event(0, ResourceEvent::Request { job: JobId(2), slots: 4 });
    let actions = rm.on_event(0, ResourceEvent::Request { job: JobId(3), slots: 1 });
    assert_eq!(granted(&actions), [], "job 2 came first");
    let actions = rm.on_event(0, ResourceEvent::Request { job: JobId(2), slots: 5 });
    assert_eq!(granted(&actions), [JobId(3)], "5 slots there are not");
}

#[test]
fn a_job_that_lost_some_slots_goes_first() {
    let mut rm = manager();
    rm.on_event(0, ResourceEvent::Register(info("a", 1)));
    rm.on_event(0, ResourceEvent::Register(info("b", 1)));
    rm.on_event(0, ResourceEvent::Request { job: JobId(1), slots: 2 });
    rm.on_event(0, ResourceEvent::Request { job: JobId(2), slots: 1 });
    let gone = TaskManagerId("b".into());
    let reason = "killed".to_owned();
    rm.on_event(0, ResourceEvent::Unreachable { id: gone, job: Some(JobId(1)), reason });
    rm.on_event(0, ResourceEvent::Request { job: JobId(1), slots: 1 });
    let actions = rm.on_event(0, ResourceEvent::Register(info("c", 1)));
    assert_eq!(granted(&actions), [JobId(1)]);
}

#[test]
fn silence_loses_a_task_manager() {
    let mut rm = manager();
    rm.on_event(0, ResourceEvent::Register(info("a", 1)));
    rm.on_event(0, ResourceEvent::Request { job: JobId(1), slots: 1 });
    let id = TaskManagerId("a".into());
    let process = serde_json::Value::Null;
    rm.on_event(1000, ResourceEvent::Heartbeat { id: id.clone(), process });
    assert!(rm.on_event(2500, ResourceEvent::Tick).is_empty());
    let actions = rm.on_event(2501, ResourceEvent::Tick);
    assert!(matches!(&actions[..], [ResourceAction::Lost { jobs, .. }] if jobs == &[JobId(1)]));
    assert!(!rm.knows(&id));
}

#[test]
fn registering_anew_loses_the_old_one_and_a_stale_report_is_answered() {
    let mut rm = manager();
    rm.on_event(0, ResourceEvent::Register(info("a", 1)));
    rm.on_event(0, ResourceEvent::Request { job: JobId(1), slots: 1 });
    let actions = rm.on_event(1, ResourceEvent::Register(info("a", 1)));
    assert!(matches!(&actions[..], [ResourceAction::Lost { .. }]));
    assert_eq!(rm.slots(), (1, 1));
    let event = ResourceEvent::Unreachable {
        id: TaskManagerId("zombie".into()),
        job: Some(JobId(1)),
        reason: "refused".into(),
    };
    let actions = rm.on_event(2, event);
    assert!(matches!(&actions[..], [ResourceAction::Lost { jobs, .. }] if jobs == &[JobId(1)]));
}

#[derive(Clone, Debug)]
enum Step {
    Register(u8, u32),
    Beat(u8),
    Pass(i64),
    Request(u128, usize),
    Release(u128),
    Unreachable(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..4_u8, 1..4_u32).prop_map(|(id, slots)| Step::Register(id, slots)),
        (0..4_u8).prop_map(Step::Beat),
        (0..1000_i64).prop_map(Step::Pass),
        (0..4_u128, 1..5_usize).prop_map(|(job, slots)| Step::Request(job, slots)),
        (0..4_u128).prop_map(Step::Release),
        (0..4_u8).prop_map(Step::Unreachable),
    ]
}

proptest! {
    #[test]
    fn no_slot_is_given_twice(steps in prop::collection::vec(step(), 0..100)) {
        let mut rm = manager();
        let mut now = 0;
        // What each job believes it holds.
        let mut held: BTreeMap<AllocationId, (JobId, TaskManagerId)> = BTreeMap::new();
        let mut every = BTreeSet::new();
        for step in steps {
            let tm = |n: u8| TaskManagerId(n.to_string());
            let event = match step {
                Step::Register(id, slots) => ResourceEvent::Register(info(&id.to_string(), slots)),
                Step::Beat(id) => ResourceEvent::Heartbeat { id: tm(id), process: serde_json::Value::Null },
                Step::Pass(ms) => {
                    now += ms;
                    ResourceEvent::Tick
                }
                Step::Request(job, slots) => ResourceEvent::Request { job: JobId(job), slots },
                Step::Release(job) => {
                    held.retain(|_, (j, _)| *j != JobId(job));
                    ResourceEvent::ReleaseJob { job: JobId(job) }
                }
                Step::Unreachable(id) => ResourceEvent::Unreachable {
                    id: tm(id),
                    job: Some(JobId(0)),
                    reason: "test".into(),
                },
            };
            for action in rm.on_event(now, event) {
                match action {
                    ResourceAction::Granted { job, slots } => {
                        for slot in slots {
                            prop_assert!(every.insert(slot.allocation), "allocation ids are unique");
                            held.insert(slot.allocation, (job, slot.task_manager));
                        }
                    }
                    ResourceAction::Lost { id, jobs, .. } => {
                        let had: BTreeSet<JobId> =
                            held.values().filter(|(_, t)| *t == id).map(|(j, _)| *j).collect();
                        prop_assert!(had.iter().all(|j| jobs.contains(j)), "holders are told");
                        held.retain(|_, (_, t)| *t != id);
                    }
                    ResourceAction::Waiting { .. } => {}
                }
            }
            let (total, free) = rm.slots();
            prop_assert_eq!(total - free, held.len());
            for view in rm.task_managers() {
                let here = held.values().filter(|(_, t)| *t == view.info.id).count();
                prop_assert!(here <= view.info.slots as usize, "more grants than slots");
            }
        }
    }
}
