//! Checkpoints that name objects of earlier ones: where those lie, who may delete them, and
//! that neither a crash nor a damaged manifest costs one that is named.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures::TryStreamExt;
use model::deployment::{StateHandle, StateLocation};
use model::{CheckpointId, ErrorKind, VertexId};
use object_store::ObjectStoreExt;

use super::faults::mortal;
use super::{JOB, handle, manifest, object};
use crate::{CheckpointStorage, Manifest};

const ALL: CheckpointId = CheckpointId(u64::MAX);

fn ids(list: &[u64]) -> BTreeSet<CheckpointId> {
    list.iter().copied().map(CheckpointId).collect()
}

fn path(handle: &StateHandle) -> String {
    match &handle.location {
        StateLocation::Object { path } => path.clone(),
        StateLocation::Inline { .. } => panic!("not an object"),
    }
}

/// Commits a checkpoint whose one large operator has this chain.
async fn commit(storage: &CheckpointStorage, id: u64, chain: &[&StateHandle]) -> Manifest {
    let mut manifest = manifest(id, "t");
    let counts = manifest.vertices.get_mut(&VertexId(2)).unwrap();
    let chain = chain.iter().map(|h| (*h).clone()).collect();
    counts.subtasks[0].operators.insert("large".to_owned(), chain);
    storage.commit(&manifest).await.unwrap();
    manifest
}

async fn state(storage: &CheckpointStorage, id: u64) -> StateHandle {
    let bytes = Bytes::from(format!("state {id} ").repeat(4_000));
    object(storage, id, "large-0-1.state", bytes).await
}

/// Every file name of the job's, sorted.
async fn files(storage: &CheckpointStorage) -> Vec<String> {
    let prefix = storage.opened().path(&JOB.to_string()).unwrap();
    let listed = storage.opened().store.list(Some(&prefix)).map_ok(|meta| {
        let path = meta.location.to_string();
        path.split_once(&format!("{JOB}/")).unwrap().1.to_owned()
    });
    let mut files: Vec<String> = listed.try_collect().await.unwrap();
    files.sort();
    files
}

async fn whole(storage: &CheckpointStorage, id: u64) {
    let manifest = storage.load(JOB, CheckpointId(id)).await.unwrap();
    for (_, handle) in manifest.handles() {
        storage.read_state(JOB, handle).await.unwrap();
    }
}

/// Leaves nothing behind. Also run by `suite.rs` over every kind of store.
pub(super) async fn suite(storage: &CheckpointStorage) {
    // Checkpoint 2 is aborted; 3 names its object all the same. 4 starts a new chain.
    let (one, two, three) =
        (state(storage, 1).await, state(storage, 2).await, state(storage, 3).await);
    commit(storage, 1, &[&one]).await;
    commit(storage, 3, &[&one, &two, &three]).await;
    let lost = object(storage, 2, "other-0-1.state", Bytes::from_static(b"x")).await;
    let four = state(storage, 4).await;
    assert!(path(&two).ends_with("/shared/2-large-0-1.state"), "{}", path(&two));

    // 1 is retired: 3 names its object.
    storage.delete(JOB, &[CheckpointId(1)], &BTreeSet::new()).await.unwrap();
    whole(storage, 3).await;
    // What was written for 4 may still be named, what was written for 2 may not.
    assert_eq!(storage.clean_orphans(JOB, &ids(&[3]), CheckpointId(3)).await.unwrap(), 1);
    assert!(!files(storage).await.iter().any(|f| path(&lost).ends_with(f)));
    whole(storage, 3).await;

    commit(storage, 4, &[&four]).await;
    // Objects beside a manifest, as older releases left them.
    let old = format!("{JOB}/chk-2/large-0-1.state.state");
    let old = storage.opened().path(&old).unwrap();
    storage.opened().store.put(&old, Bytes::from_static(b"old").into()).await.unwrap();
    let foreign = storage.opened().path(&format!("{JOB}/shared/readme")).unwrap();
    storage.opened().store.put(&foreign, Bytes::from_static(b"?").into()).await.unwrap();
    // The manifest of 3, its three objects, and the old one.
    assert_eq!(storage.clean_orphans(JOB, &ids(&[4]), CheckpointId(4)).await.unwrap(), 5);
    let left = ["chk-4/manifest.json", "shared/4-large-0-1.state", "shared/readme"];
    assert_eq!(files(storage).await, left);
    storage.opened().store.delete(&foreign).await.unwrap();
    assert_eq!(storage.clean_orphans(JOB, &BTreeSet::new(), ALL).await.unwrap(), 2);
    assert_eq!(files(storage).await, [""; 0]);
}

#[tokio::test]
async fn objects_that_are_not_the_jobs_are_refused() {
    let storage = CheckpointStorage::open("memory://not-ours").unwrap();
    assert!(!storage.is_local());
    let own = state(&storage, 1).await;
    commit(&storage, 1, &[&own]).await;
    let other = "fedcba9876543210fedcba9876543210/shared/1-x.state";
    let manifest = format!("{JOB}/chk-1/manifest.json");
    for wrong in [other, "s3://bucket/x/shared/1-x.state", "../x", "", &manifest] {
        let objects = BTreeSet::from([path(&own), wrong.to_owned()]);
        let error = storage.delete(JOB, &[CheckpointId(1)], &objects).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal, "{wrong}");
    }
    whole(&storage, 1).await;
}

#[tokio::test]
async fn a_manifest_that_cannot_be_read_protects_everything() {
    let storage = CheckpointStorage::open("memory://unreadable").unwrap();
    let (one, two) = (state(&storage, 1).await, state(&storage, 2).await);
    commit(&storage, 1, &[&one]).await;
    commit(&storage, 2, &[&one, &two]).await;
    commit(&storage, 3, &[]).await;
    let before = files(&storage).await;
    // Gone, then damaged.
    let error = storage.clean_orphans(JOB, &ids(&[3, 9]), CheckpointId(9)).await.unwrap_err();
    assert!(error.chain().contains("checkpoint 9 may need it"), "{}", error.chain());
    let path = storage.manifest_path(JOB, CheckpointId(2)).unwrap();
    let good = storage.opened().store.get(&path).await.unwrap().bytes().await.unwrap();
    let bad = good.slice(..good.len() - 9);
    storage.opened().store.put(&path, bad.into()).await.unwrap();
    let error = storage.clean_orphans(JOB, &ids(&[2, 3]), CheckpointId(3)).await.unwrap_err();
    assert!(error.chain().contains("is damaged"), "{}", error.chain());
    assert_eq!(files(&storage).await, before);
    storage.opened().store.put(&path, good.into()).await.unwrap();
    assert_eq!(storage.clean_orphans(JOB, &ids(&[2, 3]), CheckpointId(3)).await.unwrap(), 1);
    whole(&storage, 2).await;
}

/// Three checkpoints of which the last is kept, and objects that no one names.
async fn before_deletion(storage: &CheckpointStorage) {
    let mut chain = Vec::new();
    for id in 1..=4 {
        chain.push(state(storage, id).await);
        object(storage, id, "aborted-0-1.state", Bytes::from_static(b"x")).await;
        let named: Vec<&StateHandle> = match id {
            4 => chain[2..].iter().collect(),
            _ => chain.iter().collect(),
        };
        if id != 2 {
            commit(storage, id, &named).await;
        }
    }
}

#[tokio::test]
async fn a_crash_between_two_deletions_loses_nothing_that_is_named() {
    let left = ["chk-4/manifest.json", "shared/3-large-0-1.state", "shared/4-large-0-1.state"];
    for by_list in [true, false] {
        let mut survived = 0;
        for died_after in 0_u32.. {
            let (storage, deletes) = mortal();
            before_deletion(&storage).await;
            *deletes.lock().unwrap() = Some(died_after);
            let one_and_two = [1, 2].map(|id| format!("{JOB}/shared/{id}-large-0-1.state"));
            let outcome = if by_list {
                storage.clean_orphans(JOB, &ids(&[4]), CheckpointId(4)).await.map(drop)
            } else {
                let retired = [1, 3].map(CheckpointId);
                storage.delete(JOB, &retired, &BTreeSet::from(one_and_two)).await
            };
            // Whoever still has a manifest has its state.
            *deletes.lock().unwrap() = None;
            for id in storage.list(JOB).await.unwrap() {
                whole(&storage, id.0).await;
            }
            storage.clean_orphans(JOB, &ids(&[4]), CheckpointId(4)).await.unwrap();
            whole(&storage, 4).await;
            assert_eq!(files(&storage).await, left, "died after {died_after}");
            if outcome.is_ok() {
                break;
            }
            survived += 1;
        }
        assert_eq!(survived, if by_list { 8 } else { 4 });
    }
}

#[tokio::test]
async fn what_a_killed_writer_left_on_a_disk_goes() {
    let directory = tempfile::tempdir().unwrap();
    let storage = CheckpointStorage::open(directory.path().to_str().unwrap()).unwrap();
    assert!(storage.is_local());
    let one = state(&storage, 1).await;
    commit(&storage, 1, &[&one]).await;
    commit(&storage, 2, &[&one]).await;
    let job = directory.path().join(JOB.to_string());
    std::fs::create_dir_all(job.join("chk-0")).unwrap();
    for staging in ["shared/2-x.state#1", "shared/3-x.state#2", "chk-1/manifest.json#7"] {
        std::fs::write(job.join(staging), b"half").unwrap();
    }
    storage.clean_orphans(JOB, &ids(&[2]), CheckpointId(2)).await.unwrap();
    let there = |name: &str| job.join(name).exists();
    assert!(!there("chk-0") && !there("chk-1") && !there("shared/2-x.state#1"));
    assert!(there("shared/3-x.state#2"), "its writer may be alive");
    whole(&storage, 2).await;
    storage.clean_orphans(JOB, &BTreeSet::new(), ALL).await.unwrap();
    assert_eq!(std::fs::read_dir(&job).unwrap().count(), 0);
}

#[tokio::test]
async fn a_copied_job_folder_restores() {
    let directory = tempfile::tempdir().unwrap();
    let (here, there) = (directory.path().join("here"), directory.path().join("there"));
    let storage = CheckpointStorage::open(here.to_str().unwrap()).unwrap();
    let (one, two) = (state(&storage, 1).await, state(&storage, 2).await);
    commit(&storage, 1, &[&one]).await;
    commit(&storage, 2, &[&one, &two]).await;
    for folder in ["chk-2", "shared"] {
        let (from, to) = [&here, &there].map(|root| root.join(JOB.to_string()).join(folder)).into();
        std::fs::create_dir_all(&to).unwrap();
        for file in std::fs::read_dir(&from).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
    std::fs::remove_dir_all(&here).unwrap();
    let uri = there.join(JOB.to_string()).join("chk-2");
    let uri = uri.to_str().unwrap();
    let (copy, manifest) = CheckpointStorage::load_uri(uri).await.unwrap();
    let chain = &manifest.vertices[&VertexId(2)].subtasks[0].operators["large"];
    let paths: Vec<String> = chain.iter().map(path).collect();
    let expected = [1, 2].map(|id| format!("{}/{JOB}/shared/{id}-large-0-1.state", copy.uri()));
    assert_eq!(paths, expected);
    let elsewhere = CheckpointStorage::open("memory://another-cluster").unwrap();
    let mut read = Vec::new();
    for handle in chain {
        read.push(elsewhere.read_state(JOB, handle).await.unwrap().slice(..8));
    }
    assert_eq!(read, ["state 1 ", "state 2 "]);
    assert!(CheckpointStorage::verify(uri).await.unwrap().is_sound());
}

#[tokio::test]
async fn verify_reads_every_object_of_a_chain_once() {
    let storage = CheckpointStorage::open("memory://verify-chain").unwrap();
    let (one, two) = (state(&storage, 1).await, state(&storage, 2).await);
    let wrong = handle(two.location.clone(), b"other bytes", (0, 64));
    let manifest = commit(&storage, 2, &[&one, &two, &one, &wrong]).await;
    let uri = storage.checkpoint_uri(JOB, manifest.checkpoint);
    let report = CheckpointStorage::verify(&uri).await.unwrap();
    let objects: Vec<_> = report.objects.iter().filter(|o| o.operator == "large").collect();
    let (first, second) = (path(&one), path(&two));
    assert_eq!(objects.iter().map(|o| &o.path).collect::<Vec<_>>(), [&first, &second, &second]);
    // What is said of it differently is held against it each time.
    let verdicts = objects.iter().map(|o| o.problem.is_none()).collect::<Vec<_>>();
    assert_eq!(verdicts, [true, true, false]);
    let gone = storage.opened().path(&first).unwrap();
    storage.opened().store.delete(&gone).await.unwrap();
    let report = CheckpointStorage::verify(&uri).await.unwrap();
    let missing = report.objects.iter().find(|o| o.path == first).unwrap();
    assert_eq!(missing.problem.as_deref(), Some("the object is missing"));
}
