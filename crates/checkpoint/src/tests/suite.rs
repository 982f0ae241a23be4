//! What every store must do. Runs over memory, a local directory, and the store that
//! `WEIR_TEST_S3_URI` names.

use std::collections::BTreeSet;

use model::{CheckpointId, ErrorKind};

use super::{JOB, chains, large_state, manifest, object, with_object};
use crate::CheckpointStorage;

#[tokio::test]
async fn memory() {
    suite("memory://suite/some/prefix").await;
}

#[tokio::test]
async fn local_directory() {
    let dir = tempfile::tempdir().unwrap();
    // Characters that a URL would escape must not matter.
    suite(dir.path().join("a dir #1").to_str().unwrap()).await;
    suite(&format!("file://{}/b", dir.path().display())).await;
}

#[tokio::test]
async fn s3() {
    if let Ok(uri) = std::env::var("WEIR_TEST_S3_URI") {
        let own = std::process::id();
        suite(&format!("{}/suite-{own}", uri.trim_end_matches('/'))).await;
    }
}

async fn suite(uri: &str) {
    let storage = CheckpointStorage::open(uri).unwrap();
    commit_load_and_list(&storage).await;
    one_of_two_writers_wins(&storage).await;
    uris_lead_back(&storage).await;
    deletion_is_complete_and_repeatable(&storage).await;
    chains::suite(&storage).await;
}

async fn commit_load_and_list(storage: &CheckpointStorage) {
    assert!(storage.list(JOB).await.unwrap().is_empty());
    let error = storage.load(JOB, CheckpointId(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::User);
    for id in [2, 10, 1] {
        let (manifest, handle) = with_object(storage, manifest(id, "a"), large_state()).await;
        // Its objects alone do not make a checkpoint.
        assert!(storage.find(JOB, CheckpointId(id)).await.unwrap().is_none());
        let committed = storage.commit(&manifest).await.unwrap();
        assert!(committed.uri.ends_with(&format!("/chk-{id}")), "{}", committed.uri);
        assert_eq!(storage.load(JOB, CheckpointId(id)).await.unwrap(), manifest);
        assert_eq!(storage.read_state(JOB, &handle).await.unwrap(), large_state());
    }
    object(storage, 11, "x-0-1.state", large_state()).await;
    assert_eq!(storage.list(JOB).await.unwrap(), [1, 2, 10].map(CheckpointId));
}

async fn one_of_two_writers_wins(storage: &CheckpointStorage) {
    let (a, b) = (manifest(20, "writer a"), manifest(20, "writer b"));
    let (first, second) = tokio::join!(storage.commit(&a), storage.commit(&b));
    let (winner, loser) = if first.is_ok() { (&a, second) } else { (&b, first) };
    assert_eq!(loser.unwrap_err().kind(), ErrorKind::Fenced);
    assert_eq!(&storage.load(JOB, CheckpointId(20)).await.unwrap(), winner);
    storage.commit(winner).await.expect("the same commit again is harmless");
    assert_eq!(storage.list(JOB).await.unwrap().len(), 4);
}

async fn uris_lead_back(storage: &CheckpointStorage) {
    let job = format!("{}/{JOB}", storage.uri());
    let forms = ["/chk-10", "/chk-10/", "/chk-10/manifest.json"].map(|f| (f, 10));
    for (form, id) in forms.into_iter().chain([("", 20), ("/", 20)]) {
        let (_, manifest) = CheckpointStorage::load_uri(&format!("{job}{form}")).await.unwrap();
        assert_eq!(manifest.checkpoint, CheckpointId(id), "{form}");
    }
    let (_, manifest) = CheckpointStorage::load_uri(&format!("{job}/chk-10")).await.unwrap();
    let elsewhere = CheckpointStorage::open("memory://elsewhere").unwrap();
    for storage in [storage, &elsewhere] {
        for (_, handle) in manifest.handles() {
            storage.read_state(JOB, handle).await.expect("state is found from any storage");
        }
    }
    for wrong in [storage.uri(), &format!("{job}/chk-x"), &format!("{job}/chk-3")] {
        let error = CheckpointStorage::load_uri(wrong).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::User, "{wrong}: {error}");
    }
}

async fn deletion_is_complete_and_repeatable(storage: &CheckpointStorage) {
    let only_of = async |id| {
        let manifest = storage.load(JOB, CheckpointId(id)).await.unwrap();
        manifest.objects().map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let objects = only_of(1).await;
    for _ in 0..2 {
        storage.delete(JOB, &[CheckpointId(1)], &objects).await.unwrap();
    }
    assert_eq!(storage.list(JOB).await.unwrap(), [2, 10, 20].map(CheckpointId));
    let keep = BTreeSet::from([CheckpointId(10), CheckpointId(20)]);
    // Checkpoint 2 (manifest and object), then what was written for 11 and never named.
    assert_eq!(storage.clean_orphans(JOB, &keep, CheckpointId(10)).await.unwrap(), 2);
    assert_eq!(storage.clean_orphans(JOB, &keep, CheckpointId(20)).await.unwrap(), 1);
    assert_eq!(storage.clean_orphans(JOB, &keep, CheckpointId(20)).await.unwrap(), 0);
    assert_eq!(storage.list(JOB).await.unwrap(), [10, 20].map(CheckpointId));
    let objects = only_of(10).await;
    storage.delete(JOB, &[10, 20].map(CheckpointId), &objects).await.unwrap();
    assert!(storage.list(JOB).await.unwrap().is_empty());
    let all = CheckpointId(u64::MAX);
    assert_eq!(storage.clean_orphans(JOB, &BTreeSet::new(), all).await.unwrap(), 0);
}
