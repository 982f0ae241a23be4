//! The SourceCoordinator of one source vertex: owns its split enumerator for one attempt,
//! answers readers that ask for splits and snapshots what no reader holds.
//! Spawned by `job_master` with every attempt; [`SplitAssigner`] is its pure part.
//!
//! No split is in two places or in none: between the enumerator's snapshot for a checkpoint
//! and a reader's barrier of that checkpoint, that reader is told to ask again.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use model::source::{Assignment, Split, SplitEnumerator};
use model::{CheckpointId, Error, ErrorKind, Result, SubtaskIndex};
use tokio::sync::{mpsc, oneshot};

/// A reader behind a checkpoint asks again after this long.
const RETRY_BEHIND_MS: u32 = 20;
/// While the enumerator is looking for splits.
const RETRY_DISCOVERING_MS: u32 = 50;
/// When there is nothing now.
const RETRY_NONE_MS: u32 = 200;
/// Requests that may wait: a reader has one at a time.
const QUEUE: usize = 1024;

/// Answer to `RequestSplits`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SplitsAnswer {
    Splits(Vec<Split>),
    RetryAfterMs(u32),
    NoMore,
}

/// A reader asks.
#[derive(Debug)]
pub struct SplitsRequest {
    pub subtask: SubtaskIndex,
    /// The last checkpoint whose barrier the reader has passed.
    pub last_checkpoint: CheckpointId,
    pub reply: oneshot::Sender<Result<SplitsAnswer>>,
}

/// The enumerator with the rule about checkpoints.
pub struct SplitAssigner {
    enumerator: Box<dyn SplitEnumerator>,
    /// The checkpoint under way for which the enumerator is snapshotted.
    fence: Option<CheckpointId>,
}

impl SplitAssigner {
    pub fn new(enumerator: Box<dyn SplitEnumerator>) -> Self {
        Self { enumerator, fence: None }
    }

    /// Snapshots the enumerator and from now on holds splits back.
    pub fn snapshot(&mut self, id: CheckpointId) -> Result<Bytes> {
        let bytes = self.enumerator.snapshot()?;
        self.fence = Some(id);
        Ok(bytes)
    }

    /// `id` is complete or aborted: all readers have passed its barrier, or it matters no more.
    pub fn checkpoint_ended(&mut self, id: CheckpointId) {
        if self.fence == Some(id) {
            self.fence = None;
        }
    }

    pub fn assign(&mut self, subtask: SubtaskIndex, last: CheckpointId) -> SplitsAnswer {
        if self.fence.is_some_and(|fence| last < fence) {
            return SplitsAnswer::RetryAfterMs(RETRY_BEHIND_MS);
        }
        match self.enumerator.assign(subtask.0) {
            Assignment::Splits(splits) => SplitsAnswer::Splits(splits),
            Assignment::NoneYet => SplitsAnswer::RetryAfterMs(RETRY_NONE_MS),
            Assignment::NoMore => SplitsAnswer::NoMore,
        }
    }
}

enum Command {
    Assign(SplitsRequest),
    Snapshot { id: CheckpointId, reply: oneshot::Sender<Result<Bytes>> },
    CheckpointEnded(CheckpointId),
}

/// The job master's end. Dropping it ends the coordinator.
pub struct SourceHandle {
    commands: mpsc::Sender<Command>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for SourceHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl SourceHandle {
    /// Starts the coordinator. `failed` is called once if it cannot go on.
    pub fn spawn(
        name: String,
        enumerator: Box<dyn SplitEnumerator>,
        failed: Box<dyn FnOnce(Error) -> BoxFuture<'static, ()> + Send>,
    ) -> Self {
        let (commands, receiver) = mpsc::channel(QUEUE);
        let task = tokio::spawn(async move {
            if let Err(error) = run(name.clone(), enumerator, receiver).await {
                failed(error.at(format!("source `{name}`"))).await;
            }
        });
        Self { commands, task }
    }

    /// Never waits: a reader that finds the queue full asks again.
    pub fn request(&self, request: SplitsRequest) {
        if let Err(error) = self.commands.try_send(Command::Assign(request)) {
            let (mpsc::error::TrySendError::Full(command)
            | mpsc::error::TrySendError::Closed(command)) = error;
            if let Command::Assign(request) = command {
                let _ = request.reply.send(Ok(SplitsAnswer::RetryAfterMs(RETRY_DISCOVERING_MS)));
            }
        }
    }

    /// The enumerator's snapshot for `id`, once no discovery is under way.
    pub fn snapshot(&self, id: CheckpointId) -> impl Future<Output = Result<Bytes>> + use<> {
        let (reply, answer) = oneshot::channel();
        let sent = self.commands.try_send(Command::Snapshot { id, reply });
        async move {
            sent.map_err(|_| Error::external("the source coordinator takes no commands"))?;
            answer.await.map_err(|_| Error::external("the source coordinator ended"))?
        }
    }

    pub fn checkpoint_ended(&self, id: CheckpointId) {
        // A full queue only keeps readers waiting until the next checkpoint ends.
        let _ = self.commands.try_send(Command::CheckpointEnded(id));
    }
}

type Discovery = BoxFuture<'static, (SplitAssigner, Result<()>)>;

fn discover(mut assigner: SplitAssigner) -> Discovery {
    async move {
        let outcome = assigner.enumerator.discover().await;
        (assigner, outcome)
    }
    .boxed()
}

/// Either the enumerator is here, or it is away looking for splits.
enum Where {
    Here(SplitAssigner),
    Discovering { discovery: Discovery, waiting: Vec<Command> },
}

async fn run(
    name: String,
    enumerator: Box<dyn SplitEnumerator>,
    mut commands: mpsc::Receiver<Command>,
) -> Result<()> {
    let interval =
        enumerator.discovery_interval_ms().map(|ms| Duration::from_millis(ms.max(1) as u64));
    let mut place = Where::Discovering {
        discovery: discover(SplitAssigner::new(enumerator)),
        waiting: Vec::new(),
    };
    let mut first = true;
    loop {
        place = match place {
            Where::Discovering { mut discovery, mut waiting } => tokio::select! { biased;
                (mut assigner, outcome) = &mut discovery => {
                    settle(&name, first, outcome)?;
                    first = false;
                    for command in waiting {
                        handle(&mut assigner, command);
                    }
                    Where::Here(assigner)
                }
                command = commands.recv() => {
                    match command {
                        None => return Ok(()),
                        Some(Command::Assign(request)) => {
                            let _ = request.reply.send(Ok(SplitsAnswer::RetryAfterMs(RETRY_DISCOVERING_MS)));
                        }
                        // At most one snapshot and the end of one checkpoint can wait here.
                        Some(other) => waiting.push(other),
                    }
                    Where::Discovering { discovery, waiting }
                }
            },
            Where::Here(mut assigner) => {
                let due = async {
                    match interval {
                        Some(interval) => tokio::time::sleep(interval).await,
                        None => std::future::pending().await,
                    }
                };
                match serve_until(&mut assigner, &mut commands, due).await {
                    true => {
                        Where::Discovering { discovery: discover(assigner), waiting: Vec::new() }
                    }
                    false => return Ok(()),
                }
            }
        };
    }
}

/// Serves commands until `due` (true) or until nobody sends any more (false).
async fn serve_until(
    assigner: &mut SplitAssigner,
    commands: &mut mpsc::Receiver<Command>,
    due: impl Future<Output = ()>,
) -> bool {
    tokio::pin!(due);
    loop {
        tokio::select! { biased;
            () = &mut due => return true,
            command = commands.recv() => match command {
                Some(command) => handle(assigner, command),
                None => return false,
            },
        }
    }
}

/// The first discovery must succeed; a later one that fails for want of the outside world is
/// tried again at the next interval.
fn settle(name: &str, first: bool, outcome: Result<()>) -> Result<()> {
    match outcome {
        Err(error) if !first && error.kind() == ErrorKind::External => {
            tracing::warn!(source = name, error = %error.chain(), "looking for new splits failed");
            Ok(())
        }
        other => other,
    }
}

fn handle(assigner: &mut SplitAssigner, command: Command) {
    match command {
        Command::Assign(request) => {
            let answer = assigner.assign(request.subtask, request.last_checkpoint);
            // The reader is gone before it got them: they are still ours.
            if let Err(Ok(SplitsAnswer::Splits(splits))) = request.reply.send(Ok(answer)) {
                assigner.enumerator.add_splits_back(splits);
            }
        }
        Command::Snapshot { id, reply } => {
            let _ = reply.send(assigner.snapshot(id));
        }
        Command::CheckpointEnded(id) => assigner.checkpoint_ended(id),
    }
}

/// An enumerator for a new attempt: as it was in the checkpoint, with every split that a
/// reader held then given back.
pub fn restored_enumerator(
    source: &Arc<dyn model::source::Source>,
    parallelism: u32,
    snapshot: Option<&[u8]>,
    splits: Vec<Split>,
) -> Result<Box<dyn SplitEnumerator>> {
    let mut enumerator = source.enumerator(parallelism, snapshot)?;
    if !splits.is_empty() {
        enumerator.add_splits_back(splits);
    }
    Ok(enumerator)
}

#[cfg(test)]
mod tests;
