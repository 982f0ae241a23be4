//! Every flipped byte is found, in state and in the manifest.

use bytes::Bytes;
use model::deployment::StateLocation;
use object_store::ObjectStoreExt;

use super::{JOB, handle, large_state, manifest, with_object};
use crate::{CheckpointStorage, file};

#[test]
fn no_flip_of_a_manifest_goes_unnoticed() {
    let manifest = manifest(3, "token");
    let good = file::encode(&manifest).unwrap();
    for index in 0..good.len() {
        for bit in [0, 3, 5, 7] {
            let mut bad = good.clone();
            bad[index] ^= 1 << bit;
            let read = file::decode(&bad, "m");
            // The one harmless flip there is: none. Case of a hex digit counts as damage too.
            assert!(read.is_err(), "flip of bit {bit} in byte {index} went unnoticed");
        }
    }
    for length in 0..good.len() {
        assert!(file::decode(&good[..length], "m").is_err(), "cut to {length} bytes");
    }
}

#[tokio::test]
async fn no_flip_of_state_goes_unnoticed() {
    let storage = CheckpointStorage::open("memory://flips").unwrap();
    let state = large_state();
    let (manifest, stored) = with_object(&storage, manifest(1, "t"), state.clone()).await;
    storage.commit(&manifest).await.unwrap();
    let StateLocation::Object { path } = &stored.location else { panic!("not an object") };
    let path = storage.opened().path(path).unwrap();
    for index in 0..state.len() {
        let mut bad = state.to_vec();
        bad[index] ^= 1 << (index % 8);
        assert!(crate::storage::state_problem(&stored, &bad).is_some(), "flip in byte {index}");
    }
    let put = async |bytes: Vec<u8>| {
        storage.opened().store.put(&path, bytes.into()).await.unwrap();
    };
    for index in (0..state.len()).step_by(997) {
        let mut bad = state.to_vec();
        bad[index] ^= 0x10;
        put(bad).await;
        let error = storage.read_state(JOB, &stored).await.unwrap_err();
        assert_eq!(error.kind(), model::ErrorKind::External);
    }
    put(state[..state.len() - 1].to_vec()).await;
    let report = CheckpointStorage::verify(&format!("memory://flips/{JOB}")).await.unwrap();
    assert!(!report.is_sound());
    let problems: Vec<_> = report.objects.iter().filter_map(|o| o.problem.as_deref()).collect();
    assert_eq!(problems, ["39999 bytes long instead of 40000"]);
    put(state.to_vec()).await;
    assert_eq!(storage.read_state(JOB, &stored).await.unwrap(), state);
    assert!(CheckpointStorage::verify(&manifest_uri(&storage)).await.unwrap().is_sound());
}

fn manifest_uri(storage: &CheckpointStorage) -> String {
    format!("{}/manifest.json", storage.checkpoint_uri(JOB, model::CheckpointId(1)))
}

#[tokio::test]
async fn every_byte_of_inline_state_counts() {
    let storage = CheckpointStorage::open("memory://inline-flips").unwrap();
    let good = Bytes::from_static(b"inline state of a small task");
    for index in 0..good.len() {
        let mut bad = good.to_vec();
        bad[index] ^= 1;
        let handle = handle(StateLocation::Inline { bytes: bad.into() }, &good, (0, 1));
        assert!(storage.read_state(JOB, &handle).await.is_err());
    }
}
