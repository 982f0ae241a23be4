//! Random lives of a job whose state lies in chains of objects, over a real storage: the
//! coordinator decides, the storage deletes, and a model of the tasks says which objects a
//! later checkpoint may still name. After every step each checkpoint that has a manifest has
//! all its objects; after the end one clean-up leaves what is named and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use ::checkpoint::CheckpointStorage;
use ::checkpoint::{CheckpointKind as ManifestKind, MANIFEST_VERSION, Manifest, VertexSnapshot};
use futures::StreamExt;
use model::deployment::{STATE_FORMAT, StateHandle, StateLocation};
use model::key_group::{KEY_HASH_VERSION, KeyGroupRange};
use model::{JobId, LeaderEpoch};

use super::*;

const JOB: JobId = JobId(11);
const ALL: CheckpointId = CheckpointId(u64::MAX);

/// What one task does for one checkpoint.
#[derive(Clone, Copy, Debug)]
struct Part {
    /// It goes on from so many objects of its chain (all, when there are fewer).
    prefix: usize,
    /// And writes so many for this checkpoint.
    writes: usize,
    /// The last one is still on its way when the checkpoint is aborted.
    hangs: bool,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Complete,
    /// After so many acknowledgements.
    Aborted(usize),
    /// The attempt stops after so many acknowledgements.
    Stopped(usize),
    /// No answer to the manifest; whether it is there.
    Doubt(bool),
    SinkFails,
}

#[derive(Clone, Debug)]
enum Step {
    Checkpoint {
        parts: [Part; 3],
        end: End,
    },
    Restart,
    /// The deletion under way gets its turn; it may be cut off after so many objects.
    Delete {
        cut: Option<usize>,
    },
    /// An upload that was given up lands after all.
    Land(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let part = || {
        (0..6_usize, 0..3_usize, prop::bool::weighted(0.3))
            .prop_map(|(prefix, writes, hangs)| Part { prefix: prefix * 2, writes, hangs })
    };
    let end = prop_oneof![
        12 => Just(End::Complete),
        3 => (0..4_usize).prop_map(End::Aborted),
        1 => (0..4_usize).prop_map(End::Stopped),
        1 => any::<bool>().prop_map(End::Doubt),
        1 => Just(End::SinkFails),
    ];
    let step = prop_oneof![
        8 => ([part(), part(), part()], end)
            .prop_map(|(parts, end)| Step::Checkpoint { parts, end }),
        1 => Just(Step::Restart),
        6 => prop::option::weighted(0.2, 0..6_usize).prop_map(|cut| Step::Delete { cut }),
        2 => (0..4_usize).prop_map(Step::Land),
    ];
    prop::collection::vec(step, 1..50)
}

struct World {
    coordinator: CheckpointCoordinator,
    storage: CheckpointStorage,
    now: i64,
    attempt: Attempt,
    /// Of each task of the present attempt.
    chains: BTreeMap<TaskKey, Vec<StateHandle>>,
    /// The deletion under way, which runs when it likes.
    deletion: Option<CheckpointAction>,
    /// Uploads that nobody waits for: checkpoint and name.
    hanging: Vec<(CheckpointId, String)>,
    /// Everything that was ever written.
    written: Vec<StateHandle>,
    /// Something happened that only a list can clean up after.
    disturbed: bool,
}

impl World {
    fn new(retain: u32) -> Self {
        static STORES: AtomicU64 = AtomicU64::new(0);
        let uri = format!("memory://chains-{}", STORES.fetch_add(1, Ordering::SeqCst));
        let mut world = Self {
            coordinator: CheckpointCoordinator::new(CheckpointConfig {
                retain,
                tolerable_failures: u32::MAX,
                ..config()
            }),
            storage: CheckpointStorage::open(&uri).unwrap(),
            now: 0,
            attempt: Attempt(0),
            chains: BTreeMap::new(),
            deletion: None,
            hanging: Vec::new(),
            written: Vec::new(),
            disturbed: false,
        };
        world.deploy();
        world
    }

    fn deploy(&mut self) {
        self.attempt = Attempt(self.attempt.0 + 1);
        self.chains.clear();
        let attempt = self.attempt;
        self.event(CheckpointEvent::Deployed { attempt, tasks: tasks() });
        self.event(CheckpointEvent::Running { attempt });
    }

    fn event(&mut self, event: CheckpointEvent) -> Actions {
        let actions = self.coordinator.on_event(self.now, event);
        let (mut deletions, rest): (Actions, Actions) = actions.into_iter().partition(|a| {
            matches!(a, CheckpointAction::Delete { .. } | CheckpointAction::CleanOrphans { .. })
        });
        assert!(deletions.is_empty() || self.deletion.is_none(), "two deletions at once");
        self.deletion = deletions.pop().or(self.deletion.take());
        rest
    }

    async fn put(&mut self, id: CheckpointId, name: &str) -> StateHandle {
        let bytes = Bytes::from(format!("{id} {name}"));
        let parts = futures::stream::iter([Ok(bytes.clone())]).boxed();
        let (path, written) = self.storage.put_object(JOB, id, name, parts).await.unwrap();
        let handle = StateHandle {
            location: StateLocation::Object { path },
            length: written.length,
            crc32c: written.crc32c,
            key_groups: KeyGroupRange::all(128),
            format: STATE_FORMAT,
        };
        self.written.push(handle.clone());
        handle
    }

    /// The task's snapshot, unless its upload hangs.
    async fn upload(
        &mut self,
        id: CheckpointId,
        task: TaskKey,
        part: Part,
    ) -> Option<SubtaskSnapshot> {
        let mut chain = self.chains.remove(&task).unwrap_or_default();
        chain.truncate(part.prefix);
        for index in 0..part.writes {
            let TaskKey { vertex, subtask } = task;
            let name = format!("{vertex}-{subtask}-{}-{index}.state", self.attempt);
            if part.hangs && index + 1 == part.writes {
                self.hanging.push((id, name));
                self.chains.insert(task, chain);
                return None;
            }
            chain.push(self.put(id, &name).await);
        }
        self.chains.insert(task, chain.clone());
        let operators = BTreeMap::from([("uid".to_owned(), chain)]);
        Some(SubtaskSnapshot { operators, ..SubtaskSnapshot::default() })
    }

    async fn checkpoint(&mut self, parts: [Part; 3], end: End) {
        self.now += 1_000;
        let actions = self.event(CheckpointEvent::Tick);
        let [CheckpointAction::SnapshotEnumerators { id }] = actions[..] else {
            panic!("expected a trigger, got {actions:?}");
        };
        self.event(CheckpointEvent::EnumeratorsReady { id, enumerators: BTreeMap::new() });
        let (acknowledged, broken) = match end {
            End::Aborted(n) | End::Stopped(n) => (n, true),
            _ => (3, false),
        };
        let mut manifest = None;
        for (index, task) in [source(), sink(0), sink(1)].into_iter().enumerate() {
            let part = Part { hangs: parts[index].hangs && broken, ..parts[index] };
            let Some(snapshot) = self.upload(id, task, part).await else { continue };
            if index < acknowledged && !(broken && index == 2) {
                let attempt = self.attempt;
                let event = CheckpointEvent::Acknowledged { attempt, id, task, snapshot };
                manifest = self.event(event).into_iter().next();
            }
        }
        match (end, manifest) {
            (End::Aborted(_), _) => {
                self.now += 50;
                let actions = self.event(CheckpointEvent::Tick);
                assert!(matches!(actions[..], [CheckpointAction::Abort { .. }]), "{actions:?}");
                self.disturbed = true;
            }
            (End::Stopped(_), _) => {
                self.restart().await;
                self.disturbed = true;
            }
            (end, Some(CheckpointAction::WriteManifest(parts))) => self.finish(end, *parts).await,
            (_, other) => panic!("expected a manifest, got {other:?}"),
        }
    }

    async fn finish(&mut self, end: End, parts: ManifestParts) {
        let id = parts.id;
        if !matches!(end, End::Doubt(false)) {
            self.storage.commit(&manifest_of(parts)).await.unwrap();
        }
        if let End::Doubt(_) = end {
            let outcome = Err(Error::external("no answer"));
            self.event(CheckpointEvent::ManifestWritten { id, outcome });
            self.disturbed = true;
            return self.restart().await;
        }
        self.event(CheckpointEvent::ManifestWritten { id, outcome: Ok("place".to_owned()) });
        let outcome = match end {
            End::SinkFails => Err(Error::external("the sink is away")),
            _ => Ok(()),
        };
        let failed = outcome.is_err();
        self.event(CheckpointEvent::Committed { id, outcome });
        if failed {
            self.restart().await;
        }
    }

    async fn restart(&mut self) {
        self.event(CheckpointEvent::Stopped { cause: "lost".into() });
        self.settle().await;
        self.deploy();
    }

    async fn settle(&mut self) {
        let mut settled = None;
        if let Some(id) = self.coordinator.in_doubt() {
            let found = self.storage.find(JOB, id).await.unwrap();
            settled = found.map(|_| (id, "place".to_owned()));
        }
        self.coordinator.settle_doubt(self.now, settled);
    }

    async fn delete(&mut self, cut: Option<usize>) {
        let outcome = match self.deletion.take() {
            None => return,
            Some(CheckpointAction::Delete { ids, objects }) => {
                let left = cut.unwrap_or(usize::MAX);
                let objects = objects.into_iter().take(left.saturating_sub(ids.len())).collect();
                let ids: Vec<CheckpointId> = ids.into_iter().take(left).collect();
                let done = self.storage.delete(JOB, &ids, &objects).await;
                cut.map_or(done, |_| Err(Error::external("cut off")))
            }
            Some(CheckpointAction::CleanOrphans { keep, up_to }) => {
                self.storage.clean_orphans(JOB, &keep, up_to).await.map(drop)
            }
            Some(other) => panic!("no deletion: {other:?}"),
        };
        self.disturbed |= outcome.is_err();
        self.event(CheckpointEvent::Deleted { done: outcome.is_ok() });
    }

    async fn step(&mut self, step: &Step) {
        match step {
            Step::Checkpoint { parts, end } => self.checkpoint(*parts, *end).await,
            Step::Restart => self.restart().await,
            Step::Delete { cut } => self.delete(*cut).await,
            Step::Land(which) => {
                if !self.hanging.is_empty() {
                    let (id, name) = self.hanging.remove(which % self.hanging.len());
                    self.put(id, &name).await;
                }
            }
        }
        self.check().await;
    }

    /// Every checkpoint that is complete is whole, and all that are kept are complete.
    async fn check(&self) -> BTreeSet<String> {
        let complete: BTreeSet<CheckpointId> =
            self.storage.list(JOB).await.unwrap().into_iter().collect();
        let mut named = BTreeSet::new();
        for id in &complete {
            let manifest = self.storage.load(JOB, *id).await.unwrap();
            for (_, handle) in manifest.handles() {
                self.storage.read_state(JOB, handle).await.unwrap();
            }
            named.extend(manifest.objects().map(str::to_owned));
        }
        let kept = self.coordinator.completed().ids().collect::<BTreeSet<_>>();
        assert!(kept.is_subset(&complete), "{kept:?} of {complete:?}");
        named
    }

    /// How many objects are there that no manifest names.
    async fn unnamed(&self) -> usize {
        self.objects_besides(&self.check().await).await
    }

    async fn objects_besides(&self, named: &BTreeSet<String>) -> usize {
        let mut left = 0;
        for handle in &self.written {
            let StateLocation::Object { path } = &handle.location else { continue };
            if !named.contains(path) && self.storage.read_state(JOB, handle).await.is_ok() {
                left += 1;
            }
        }
        left
    }
}

fn manifest_of(parts: ManifestParts) -> Manifest {
    let mut vertices: BTreeMap<VertexId, VertexSnapshot> = BTreeMap::new();
    for (task, snapshot) in parts.snapshots {
        vertices.entry(task.vertex).or_default().subtasks.push(snapshot);
    }
    Manifest {
        version: MANIFEST_VERSION,
        job: JOB,
        job_name: "chains".to_owned(),
        checkpoint: parts.id,
        attempt: parts.attempt,
        leader_epoch: LeaderEpoch(1),
        writer_token: parts.id.to_string(),
        key_hash_version: KEY_HASH_VERSION,
        max_parallelism: 128,
        triggered_at_ms: parts.triggered_at_ms,
        completed_at_ms: parts.triggered_at_ms,
        kind: ManifestKind::Checkpoint,
        vertices,
        enumerators: BTreeMap::new(),
        job_graph: None,
    }
}

async fn live(retain: u32, steps: &[Step]) {
    let mut world = World::new(retain);
    for step in steps {
        world.step(step).await;
    }
    world.event(CheckpointEvent::Stopped { cause: "end".into() });
    world.settle().await;
    if !world.disturbed {
        // Nothing was listed, and still nothing is left over.
        let listed = matches!(world.deletion, Some(CheckpointAction::CleanOrphans { .. }));
        assert!(!listed, "{:?}", world.deletion);
        world.delete(None).await;
        assert_eq!(world.unnamed().await, 0);
    }
    // The process is gone; what it had still to delete is not written down.
    let keep: BTreeSet<CheckpointId> = world.coordinator.completed().ids().collect();
    world.storage.clean_orphans(JOB, &keep, ALL).await.unwrap();
    assert_eq!(world.unnamed().await, 0);
    assert!(world.storage.list(JOB).await.unwrap().into_iter().eq(keep));
    world.storage.clean_orphans(JOB, &BTreeSet::new(), ALL).await.unwrap();
    assert_eq!(world.objects_besides(&BTreeSet::new()).await, 0);
    assert!(world.storage.list(JOB).await.unwrap().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn no_life_costs_an_object_that_is_named(retain in 1..4_u32, steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(live(retain, &steps));
    }
}
