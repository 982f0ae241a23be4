//! What happens to a checkpoint beside the task: encode frozen state, put it into the
//! checkpoint storage, wait for the sink's committables, acknowledge. And the way back:
//! fetching state on restore. Called by `task.rs` and `task_loop.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::{BoxFuture, Shared};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use model::deployment::{
    CommittableBytes, STATE_FORMAT, SnapshotTimings, StateHandle, StateLocation, SubtaskSnapshot,
    TaskRestore,
};
use model::fault::FaultPoint;
use model::key_group::KeyGroupRange;
use model::source::Split;
use model::{CheckpointId, Clock, Error, ErrorKind, ExecutionAttemptId, JobId, Result};
use state::Compression;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::chain::FrozenOperator;
use crate::tail::Staging;
use crate::task::TaskControl;

/// State up to this many bytes lies in the manifest itself.
pub const INLINE_BYTES: usize = 16 << 10;
/// Parts of encoded state that wait for the storage.
const PARTS_READY: usize = 2;
/// State objects fetched at a time on restore.
const FETCHES: usize = 8;

/// Where a state object came to lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredObject {
    /// Path below the job's checkpoint storage, for `StateLocation::Object`.
    pub path: String,
    pub length: u64,
    pub crc32c: u32,
}

/// The checkpoint storage as a task sees it. Implemented by `taskmanager` over `checkpoint`.
#[async_trait]
pub trait SnapshotStore: Send + Sync {
    /// Stores what comes as the object `name` of the checkpoint. Overwrites: an upload that
    /// was cut off may be repeated.
    async fn put(
        &self,
        job: JobId,
        checkpoint: CheckpointId,
        name: String,
        parts: BoxStream<'static, Result<Bytes>>,
    ) -> Result<StoredObject>;
    /// The bytes of a handle whose location is an object, length and checksum verified.
    async fn get(&self, handle: &StateHandle) -> Result<Bytes>;
    /// What pays where the objects lie.
    fn compression(&self) -> Compression;
}

/// Everything frozen at one barrier.
pub(crate) struct FrozenTask {
    pub checkpoint: CheckpointId,
    pub operators: Vec<FrozenOperator>,
    pub splits: Vec<Split>,
    pub staging: Option<Staging>,
    /// `async_us`, `state_bytes` and `written_bytes` are still to be filled in.
    pub timings: SnapshotTimings,
}

/// A sink's committables of one checkpoint; several uploads may wait for them.
type SharedStaging = Shared<BoxFuture<'static, std::result::Result<Vec<Bytes>, Arc<Error>>>>;

/// What every upload of a task needs.
pub(crate) struct UploadContext {
    pub attempt: ExecutionAttemptId,
    pub key_groups: KeyGroupRange,
    pub store: Arc<dyn SnapshotStore>,
    pub control: Arc<dyn TaskControl>,
    pub clock: Arc<dyn Clock>,
    pub io: tokio::runtime::Handle,
}

/// The uploads of one task. Dropping it stops them.
pub(crate) struct Uploads {
    context: Arc<UploadContext>,
    running: JoinSet<Result<()>>,
    tokens: BTreeMap<CheckpointId, CancellationToken>,
    /// What the sink prepared for checkpoints not known to be complete. A later checkpoint
    /// carries it again: if the earlier one is never completed, its rows are still in front
    /// of the source's position. Committing twice is harmless.
    staged: BTreeMap<CheckpointId, SharedStaging>,
}

impl Uploads {
    pub fn new(context: UploadContext) -> Self {
        Self {
            context: Arc::new(context),
            running: JoinSet::new(),
            tokens: BTreeMap::new(),
            staged: BTreeMap::new(),
        }
    }

    /// Starts the asynchronous part of a checkpoint.
    pub fn start(&mut self, mut task: FrozenTask) {
        if let Some(staging) = task.staging.take() {
            let staging = self.stage(staging);
            self.staged.insert(task.checkpoint, staging);
        }
        let staged: Vec<_> = self.staged.values().cloned().collect();
        let token = CancellationToken::new();
        self.tokens.insert(task.checkpoint, token.clone());
        let context = Arc::clone(&self.context);
        let checkpoint = task.checkpoint;
        let upload = async move {
            tokio::select! {
                biased;
                () = token.cancelled() => Ok(()),
                result = upload(&context, task, staged) => result,
            }
        };
        let span = checkpoint_span(checkpoint);
        self.running.spawn_on(upload.instrument(span), &self.context.io);
    }

    /// Staging runs by itself, so that it goes on when its checkpoint is given up. A failure
    /// fails the task: the staged rows are lost to every later checkpoint.
    fn stage(&mut self, staging: Staging) -> SharedStaging {
        let shared = staging.map(|r| r.map_err(Arc::new)).boxed().shared();
        let watched = shared.clone();
        let run = async move { watched.await.map(drop).map_err(|e| copy_of(&e)) };
        self.running.spawn_on(run.in_current_span(), &self.context.io);
        shared
    }

    /// The manifest of `id` is written: what earlier checkpoints prepared is in it.
    pub fn completed(&mut self, id: CheckpointId) {
        self.staged = self.staged.split_off(&CheckpointId(id.0.saturating_add(1)));
        self.tokens = self.tokens.split_off(&CheckpointId(id.0.saturating_add(1)));
    }

    /// The coordinator gave `id` up.
    pub fn aborted(&mut self, id: CheckpointId) {
        if let Some(token) = self.tokens.remove(&id) {
            token.cancel();
        }
    }

    /// Tells the coordinator that `id` will not come from here.
    pub fn decline(&mut self, id: CheckpointId, reason: Error) {
        let context = Arc::clone(&self.context);
        let declining = async move {
            decline(&context, id, reason).await;
            Ok(())
        };
        let declining = declining.instrument(checkpoint_span(id));
        self.running.spawn_on(declining, &self.context.io);
    }

    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// The failure of an upload that fails the task, if there is one; never waits.
    pub fn check(&mut self) -> Result<()> {
        while let Some(ended) = self.running.try_join_next() {
            flatten(ended)?;
        }
        Ok(())
    }

    /// Waits until one upload ends; for ever when none runs. Cancel-safe.
    pub async fn next_ended(&mut self) -> Result<()> {
        match self.running.join_next().await {
            Some(ended) => flatten(ended),
            None => std::future::pending().await,
        }
    }

    /// The task's last staging, which belongs to no checkpoint. Runs as an upload does.
    pub fn stage_last(&mut self, staging: Option<Staging>) {
        if let Some(staging) = staging {
            let staging = self.stage(staging);
            self.staged.insert(CheckpointId(u64::MAX), staging);
        }
    }

    /// Every committable not known to be committed. Call when all uploads have ended.
    pub async fn take_committables(&mut self) -> Result<Vec<CommittableBytes>> {
        committables(std::mem::take(&mut self.staged).into_values().collect()).await
    }
}

/// Log lines about a checkpoint carry it, beside what the task's own span says.
fn checkpoint_span(checkpoint: CheckpointId) -> tracing::Span {
    tracing::info_span!("checkpoint", checkpoint = checkpoint.0)
}

fn flatten(ended: std::result::Result<Result<()>, tokio::task::JoinError>) -> Result<()> {
    match ended {
        Ok(result) => result,
        Err(error) if error.is_panic() => {
            Err(Error::internal("an upload panicked; see the log").caused_by(error))
        }
        Err(_) => Ok(()),
    }
}

fn copy_of(error: &Arc<Error>) -> Error {
    Error::new(error.kind(), format!("stage rows in the sink: {}", error.chain()))
}

async fn committables(staged: Vec<SharedStaging>) -> Result<Vec<CommittableBytes>> {
    let mut all = Vec::new();
    for staging in staged {
        let prepared = staging.await.map_err(|e| copy_of(&e))?;
        all.extend(prepared.into_iter().map(CommittableBytes));
    }
    Ok(all)
}

async fn upload(
    context: &UploadContext,
    task: FrozenTask,
    staged: Vec<SharedStaging>,
) -> Result<()> {
    let started_us = context.clock.now_us();
    let checkpoint = task.checkpoint;
    let stored = store_operators(context, checkpoint, task.operators).await;
    // A sink failure is the staging task's to report; here it only ends the checkpoint.
    let prepared = committables(staged).await;
    let (operators, committables) = match (stored, prepared) {
        (Ok(operators), Ok(committables)) => (operators, committables),
        (Err(error), _) | (_, Err(error)) => {
            tracing::warn!(error = %error.chain(), "checkpoint declined");
            decline(context, checkpoint, error).await;
            return Ok(());
        }
    };
    let mut timings = task.timings;
    timings.async_us = u64::try_from(context.clock.now_us() - started_us).unwrap_or(0);
    timings.state_bytes = operators.values().flatten().map(|h| h.length).sum();
    // The last file of a chain is the one that this checkpoint wrote.
    timings.written_bytes = operators.values().filter_map(|c| c.last()).map(|h| h.length).sum();
    let snapshot =
        SubtaskSnapshot { operators, splits: task.splits, committables, timings, finished: false };
    FaultPoint::StateUploaded.pass();
    if let Err(error) = context.control.acknowledge(context.attempt, checkpoint, snapshot).await {
        // The coordinator gives the checkpoint up when its timeout passes.
        tracing::warn!(error = %error.chain(), "cannot acknowledge the checkpoint");
    }
    Ok(())
}

async fn decline(context: &UploadContext, checkpoint: CheckpointId, reason: Error) {
    if let Err(error) = context.control.decline(context.attempt, checkpoint, reason).await {
        tracing::warn!(error = %error.chain(), "cannot decline the checkpoint");
    }
}

async fn store_operators(
    context: &UploadContext,
    checkpoint: CheckpointId,
    operators: Vec<FrozenOperator>,
) -> Result<BTreeMap<String, Vec<StateHandle>>> {
    let mut handles = BTreeMap::new();
    for (index, FrozenOperator { uid, frozen }) in operators.into_iter().enumerate() {
        let (mut chain, file) = (frozen.earlier().to_vec(), frozen.file());
        let handle = store_operator(context, checkpoint, index, frozen).await;
        let handle = handle.map_err(|e| e.at(format!("store the state of `{uid}`")))?;
        file.stored(handle.clone());
        chain.push(handle);
        handles.insert(uid, chain);
    }
    Ok(handles)
}

/// Stores one operator's state while it is encoded: of a large one only a few parts are in
/// memory, and little state goes into the manifest itself.
async fn store_operator(
    context: &UploadContext,
    checkpoint: CheckpointId,
    index: usize,
    frozen: state::Frozen,
) -> Result<StateHandle> {
    let (send, mut parts) = mpsc::channel::<Result<Bytes>>(PARTS_READY);
    // Encoding a large state keeps a thread busy; not one that serves calls.
    let inline: usize = frozen.earlier().iter().map(inline_bytes).sum();
    let compression = context.store.compression();
    let encoding = tokio::task::spawn_blocking(move || {
        let encoded =
            frozen.encode_to(compression, &mut |part| send.blocking_send(Ok(part)).is_ok());
        if let Err(error) = encoded {
            // Nobody there: the upload failed first, and says why.
            let _ = send.blocking_send(Err(error));
        }
    });
    let first = parts.recv().await.unwrap_or_else(|| Ok(Bytes::new()))?;
    FaultPoint::StateUpload.pass();
    let (length, crc32c, location) = if inline + first.len() <= INLINE_BYTES {
        (first.len() as u64, crc32c::crc32c(&first), StateLocation::Inline { bytes: first })
    } else {
        let name = object_name(&context.attempt, index);
        let job = context.attempt.job;
        let rest = stream::unfold(parts, |mut parts| async {
            parts.recv().await.map(|part| (part, parts))
        });
        let parts = stream::once(async { Ok(first) }).chain(rest).boxed();
        let stored = context.store.put(job, checkpoint, name, parts).await?;
        (stored.length, stored.crc32c, StateLocation::Object { path: stored.path })
    };
    // A panic cuts the parts off without an error among them.
    encoding
        .await
        .map_err(|e| Error::internal("encoding state panicked; see the log").caused_by(e))?;
    let key_groups = context.key_groups;
    Ok(StateHandle { location, length, crc32c, key_groups, format: STATE_FORMAT })
}

fn inline_bytes(handle: &StateHandle) -> usize {
    match &handle.location {
        StateLocation::Inline { bytes } => bytes.len(),
        StateLocation::Object { .. } => 0,
    }
}

/// One object per operator with more than a little state.
fn object_name(attempt: &ExecutionAttemptId, index: usize) -> String {
    let ExecutionAttemptId { vertex, subtask, attempt, .. } = attempt;
    match index {
        0 => format!("{vertex}-{subtask}-{attempt}.state"),
        n => format!("{vertex}-{subtask}-{attempt}-{n}.state"),
    }
}

/// Fetches the state a task restores, whole, by operator uid.
pub(crate) async fn fetch(
    restore: TaskRestore,
    store: Arc<dyn SnapshotStore>,
) -> Result<BTreeMap<String, Vec<Bytes>>> {
    let handles = restore
        .operators
        .into_iter()
        .flat_map(|(uid, handles)| handles.into_iter().map(move |h| (uid.clone(), h)));
    let fetches = handles.map(|(uid, handle)| {
        let store = Arc::clone(&store);
        async move {
            FaultPoint::StateRestore.pass();
            let bytes = fetch_one(&*store, &handle).await;
            bytes.map_err(|e| e.at(format!("restore the state of `{uid}`"))).map(|b| (uid, b))
        }
    });
    let fetched: Vec<(String, Bytes)> =
        stream::iter(fetches.collect::<Vec<_>>()).buffered(FETCHES).try_collect().await?;
    let mut files: BTreeMap<String, Vec<Bytes>> = BTreeMap::new();
    for (uid, bytes) in fetched {
        files.entry(uid).or_default().push(bytes);
    }
    Ok(files)
}

async fn fetch_one(store: &dyn SnapshotStore, handle: &StateHandle) -> Result<Bytes> {
    if handle.format != STATE_FORMAT {
        return Err(Error::user(format!(
            "the checkpoint has state format {}, this version reads {STATE_FORMAT}; \
             restore with the version that wrote it",
            handle.format
        )));
    }
    let bytes = match &handle.location {
        StateLocation::Inline { bytes } => bytes.clone(),
        StateLocation::Object { .. } => return store.get(handle).await,
    };
    if bytes.len() as u64 != handle.length || crc32c::crc32c(&bytes) != handle.crc32c {
        return Err(Error::new(
            ErrorKind::External,
            "inline state does not match its checksum; restore from another checkpoint",
        ));
    }
    Ok(bytes)
}
