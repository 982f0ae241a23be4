//! Which state objects go when a checkpoint is retired: scripts over the coordinator alone.

use super::*;
use crate::checkpoint::completed::Objects;
use model::deployment::{STATE_FORMAT, StateHandle, StateLocation};
use model::key_group::KeyGroupRange;

/// A handle that names this object.
pub(super) fn object(path: &str) -> StateHandle {
    StateHandle {
        location: StateLocation::Object { path: path.to_owned() },
        length: 0,
        crc32c: 0,
        key_groups: KeyGroupRange::all(128),
        format: STATE_FORMAT,
    }
}

fn naming(chain: &[&str]) -> SubtaskSnapshot {
    let inline = StateLocation::Inline { bytes: Bytes::from_static(b"small") };
    let small = StateHandle { location: inline, ..object("") };
    let handles = chain.iter().map(|path| object(path)).chain([small]).collect();
    SubtaskSnapshot {
        operators: BTreeMap::from([("uid".to_owned(), handles)]),
        ..SubtaskSnapshot::default()
    }
}

fn retaining(retain: u32) -> Script {
    Script::with(CheckpointConfig { retain, ..config() })
}

impl Script {
    /// Brings a checkpoint to its manifest; the second sink's state is the chain.
    fn gathered(&mut self, now: i64, chain: &[&str]) -> CheckpointId {
        let id = self.begin(now);
        for (task, snapshot) in [
            (source(), with(&[])),
            (sink(0), naming(&["shared by nobody"])),
            (sink(1), naming(chain)),
        ] {
            let event =
                CheckpointEvent::Acknowledged { attempt: self.attempt(), id, task, snapshot };
            self.0.on_event(now, event);
        }
        id
    }
    fn attempt(&self) -> Attempt {
        self.0.attempt.as_ref().unwrap().attempt
    }
    /// A whole checkpoint; returns what it makes superfluous, which is deleted at once.
    fn chained(&mut self, now: i64, chain: &[&str]) -> Option<CheckpointAction> {
        let deletion = self.chained_only(now, chain);
        if deletion.is_some() {
            self.deleted(now, true);
        }
        deletion
    }
    fn chained_only(&mut self, now: i64, chain: &[&str]) -> Option<CheckpointAction> {
        let id = self.gathered(now, chain);
        self.written(now, id);
        deletion(self.committed(now, id))
    }
    fn deleted(&mut self, now: i64, done: bool) {
        assert!(self.0.on_event(now, CheckpointEvent::Deleted { done }).is_empty());
    }
    fn restart(&mut self, now: i64, settled: Option<CheckpointId>) {
        self.0.on_event(now, CheckpointEvent::Stopped { cause: "lost".into() });
        self.0.settle_doubt(now, settled.map(|id| (id, "place".to_owned())));
        let attempt = Attempt(2);
        self.0.on_event(now, CheckpointEvent::Deployed { attempt, tasks: tasks() });
        self.0.on_event(now, CheckpointEvent::Running { attempt });
    }
}

fn deletion(actions: Actions) -> Option<CheckpointAction> {
    actions.into_iter().find(|a| {
        matches!(a, CheckpointAction::Delete { .. } | CheckpointAction::CleanOrphans { .. })
    })
}

fn ids(list: &[u64]) -> Vec<CheckpointId> {
    list.iter().copied().map(CheckpointId).collect()
}

fn assert_deletes(action: Option<CheckpointAction>, expected: &[u64], named: &[&str]) {
    let Some(CheckpointAction::Delete { ids: deleted, objects }) = action else {
        panic!("expected a deletion, got {action:?}");
    };
    let named: Objects = named.iter().map(|n| (*n).to_owned()).collect();
    assert_eq!((deleted, objects), (ids(expected), named));
}

fn assert_lists(action: Option<CheckpointAction>, kept: &[u64], newest: u64) {
    let Some(CheckpointAction::CleanOrphans { keep, up_to }) = action else {
        panic!("expected a list, got {action:?}");
    };
    assert_eq!((keep, up_to), (ids(kept).into_iter().collect(), CheckpointId(newest)));
}

#[test]
fn one_that_is_kept_protects_what_it_names() {
    let mut script = retaining(1);
    assert!(script.chained(100, &["1"]).is_none());
    assert_deletes(script.chained(200, &["1", "2"]), &[1], &[]);
    assert_deletes(script.chained(300, &["1", "2", "3"]), &[2], &[]);
    // A new base, then a shorter chain.
    assert_deletes(script.chained(400, &["4"]), &[3], &["1", "2", "3"]);
    assert_deletes(script.chained(500, &["4", "5"]), &[4], &[]);
    assert_deletes(script.chained(600, &["4", "6"]), &[5], &["5"]);
}

#[test]
fn each_of_three_that_are_kept_protects_what_it_names() {
    let mut script = retaining(3);
    for (now, chain) in [(100, ["1"].as_slice()), (200, &["1", "2"]), (300, &["3"])] {
        assert!(script.chained(now, chain).is_none());
    }
    // The second one names the first one's object still.
    assert_deletes(script.chained(400, &["3", "4"]), &[1], &[]);
    assert_deletes(script.chained(500, &["3", "4", "5"]), &[2], &["1", "2"]);
    assert_deletes(script.chained(600, &["6"]), &[3], &[]);
    assert_deletes(script.chained(700, &["6", "7"]), &[4], &[]);
    assert_deletes(script.chained(800, &["6", "7"]), &[5], &["3", "4", "5"]);
}

#[test]
fn the_checkpoint_a_job_started_from_is_not_its_own_to_delete() {
    let mut script = Script::with_start(CheckpointConfig { retain: 1, ..config() }, 7);
    assert!(script.chained(100, &["8"]).is_none());
    assert_eq!(script.0.completed().latest(), Some(CheckpointId(8)));
    assert_deletes(script.chained(200, &["9"]), &[8], &["8"]);
}

#[test]
fn objects_of_an_aborted_checkpoint_may_be_named_and_are_looked_for() {
    let mut script = retaining(1);
    script.chained(100, &["1"]);
    script.begin(200);
    assert!(deletion(script.tick(250)).is_none());
    // What the second one left is known to nobody, so a list tells; the third names some of it.
    assert_lists(script.chained(300, &["1", "2", "3"]), &[3], 3);
    assert_deletes(script.chained(400, &["1", "4"]), &[3], &["2", "3"]);
}

#[test]
fn a_checkpoint_that_was_found_is_known_by_its_manifest_alone() {
    let mut script = retaining(2);
    script.chained(100, &["1"]);
    let id = script.gathered(200, &["1", "2"]);
    let outcome = Err(Error::external("no answer"));
    let actions = script.0.on_event(210, CheckpointEvent::ManifestWritten { id, outcome });
    assert!(deletion(actions).is_none());
    script.restart(300, Some(id));
    // As long as one of those at hand does not tell.
    assert_lists(script.chained(400, &["3"]), &[2, 3], 3);
    assert_lists(script.chained(500, &["3", "4"]), &[3, 4], 4);
    assert_deletes(script.chained(600, &["3", "5"]), &[3], &[]);
    assert_deletes(script.chained(700, &["3", "5"]), &[4], &["4"]);
}

#[test]
fn a_manifest_that_was_never_written_leaves_objects_to_look_for() {
    let mut script = retaining(3);
    script.chained(100, &["1"]);
    let id = script.gathered(200, &["1", "2"]);
    let outcome = Err(Error::external("no answer"));
    script.0.on_event(210, CheckpointEvent::ManifestWritten { id, outcome });
    script.restart(300, None);
    assert_lists(script.chained(400, &["3"]), &[1, 3], 3);
    assert!(script.chained(500, &["3", "4"]).is_none());
}

#[test]
fn nothing_is_retired_before_the_commit_is_known() {
    let mut script = retaining(1);
    script.chained(100, &["1"]);
    let id = script.gathered(200, &["2"]);
    assert!(deletion(script.written(210, id)).is_none());
    let outcome = Err(Error::external("the sink is away"));
    let actions = script.0.on_event(220, CheckpointEvent::Committed { id, outcome });
    assert!(deletion(actions).is_none());
    assert_eq!(script.0.completed().ids().collect::<Vec<_>>(), ids(&[1, 2]));
    script.restart(300, None);
    assert_deletes(script.chained(400, &["3"]), &[1, 2], &["1", "2"]);
}

#[test]
fn one_that_completes_while_its_attempt_ends_retires_the_one_before() {
    let mut script = retaining(1);
    script.chained(100, &["1"]);
    let id = script.gathered(200, &["1", "2"]);
    script.0.on_event(205, CheckpointEvent::Stopped { cause: "lost".into() });
    script.written(210, id);
    assert_deletes(deletion(script.committed(220, id)), &[1], &[]);
}

#[test]
fn what_could_not_be_deleted_is_looked_for_later() {
    let mut script = retaining(1);
    script.chained(100, &["1"]);
    assert_deletes(script.chained_only(200, &["2"]), &[1], &["1"]);
    script.deleted(250, false);
    assert_lists(script.chained_only(300, &["3"]), &[3], 3);
    script.deleted(350, false);
    assert_lists(script.chained(400, &["4"]), &[4], 4);
    assert_deletes(script.chained(500, &["5"]), &[4], &["4"]);
}

/// The first deletion has not removed the first manifest yet, which names what the second
/// one would take.
#[test]
fn deletions_do_not_overtake_one_another() {
    let mut script = retaining(1);
    script.chained(100, &["1"]);
    assert_deletes(script.chained_only(200, &["1", "2"]), &[1], &[]);
    assert!(script.chained_only(300, &["3"]).is_none());
    script.begin(400);
    script.tick(450);
    assert!(script.chained_only(500, &["5"]).is_none());
    script.deleted(550, true);
    // What was aborted meanwhile is not forgotten.
    assert_lists(script.chained(600, &["6"]), &[6], 6);
    assert_deletes(script.chained(700, &["7"]), &[6], &["6"]);
    assert_deletes(script.chained_only(800, &["8"]), &[7], &["7"]);
    assert!(script.chained_only(900, &["8", "9"]).is_none());
    script.deleted(950, true);
    assert_deletes(script.chained(1_000, &["10"]), &[8, 9], &["8", "9"]);
}
