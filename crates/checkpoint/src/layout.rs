//! Which names things have below a checkpoint storage, both ways. Called by `storage.rs` and
//! `deletion.rs`. Pure.
//!
//! A state object carries the checkpoint it was written for in its name, so that a list of
//! names tells which objects no task can name any more.

use model::{CheckpointId, JobId};

pub(crate) const MANIFEST_FILE: &str = "manifest.json";
const SHARED: &str = "shared";

/// The folder of one checkpoint: its manifest.
pub(crate) fn folder(job: JobId, checkpoint: CheckpointId) -> String {
    format!("{job}/chk-{checkpoint}")
}

/// The folder of the state objects of all checkpoints of a job.
pub(crate) fn shared(job: JobId) -> String {
    format!("{job}/{SHARED}")
}

/// Where the object `name`, written for `checkpoint`, lies.
pub(crate) fn shared_object(job: JobId, checkpoint: CheckpointId, name: &str) -> String {
    format!("{job}/{SHARED}/{checkpoint}-{name}")
}

/// The id that a checkpoint's folder is named after.
pub(crate) fn checkpoint_of(name: &str) -> Option<CheckpointId> {
    whole_number(name.strip_prefix("chk-")?)
}

/// For which checkpoint the object with this file name was written.
pub(crate) fn written_for(file: &str) -> Option<CheckpointId> {
    whole_number(file.split_once('-')?.0)
}

/// `007` or `+7` is nothing that we wrote.
fn whole_number(digits: &str) -> Option<CheckpointId> {
    let id: u64 = digits.parse().ok()?;
    (id.to_string() == digits).then_some(CheckpointId(id))
}

/// What a path below the storage root is to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Manifest(CheckpointId),
    /// Of a release that kept state beside the manifest; such an object belongs to that
    /// checkpoint alone.
    Beside(CheckpointId),
    /// State written for this checkpoint, which later ones may name.
    Shared(CheckpointId),
}

/// What lies at `path`; `None` for what is not the job's, or nothing that we wrote.
pub(crate) fn place_of(job: JobId, path: &str) -> Option<Place> {
    let rest = path.strip_prefix(&job.to_string())?.strip_prefix('/')?;
    let (folder, file) = rest.split_once('/')?;
    if file.is_empty() || file.contains('/') {
        return None;
    }
    if folder == SHARED {
        return written_for(file).map(Place::Shared);
    }
    let checkpoint = checkpoint_of(folder)?;
    Some(if file == MANIFEST_FILE {
        Place::Manifest(checkpoint)
    } else {
        Place::Beside(checkpoint)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_checkpoint() {
        let (job, other) = (JobId(7), JobId(8));
        let id = CheckpointId(12);
        let object = shared_object(job, id, "3-0-1.state");
        assert!(object.ends_with("/shared/12-3-0-1.state"), "{object}");
        assert_eq!(place_of(job, &object), Some(Place::Shared(id)));
        assert_eq!(place_of(other, &object), None);
        let folder = folder(job, id);
        assert_eq!(place_of(job, &format!("{folder}/manifest.json")), Some(Place::Manifest(id)));
        assert_eq!(place_of(job, &format!("{folder}/3-0-1.state")), Some(Place::Beside(id)));
        let foreign =
            ["notes", "012-x.state", "+1-x.state", "-1-x.state", "x-1.state", "a/1-x", ""];
        for name in foreign {
            assert_eq!(place_of(job, &format!("{}/{name}", shared(job))), None, "{name}");
        }
        for path in [format!("{job}/chk-012/x.state"), format!("{job}/x"), "chk-1/x".to_owned()] {
            assert_eq!(place_of(job, &path), None, "{path}");
        }
    }
}
