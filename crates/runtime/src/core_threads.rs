//! The threads that tasks run on: each with its own single-threaded scheduler, so that a
//! task's state is never shared and the tasks of one slot share a core by turns.
//! Called by `taskmanager`: one slot, one core thread.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use model::{Error, Result};
use tokio::sync::{mpsc, oneshot};

/// Builds a task's future on its core thread; the future need not be `Send`.
pub type TaskFuture<T> = Box<dyn FnOnce() -> LocalBoxFuture<'static, Result<T>> + Send>;

type Start = Box<dyn FnOnce() + Send>;

/// Tasks that may wait to be started on one thread.
const STARTS: usize = 1024;

/// A set of core threads. Dropping it ends them, and the tasks on them with them.
pub struct CoreThreads {
    threads: Vec<mpsc::Sender<Start>>,
}

/// The end of a spawned task.
pub struct CoreTask<T>(oneshot::Receiver<Result<T>>);

impl CoreThreads {
    /// Starts `count` threads (at least one). Fails when the system gives no thread.
    pub fn new(count: usize) -> Result<Self> {
        let threads = (0..count.max(1)).map(start_thread).collect::<Result<_>>()?;
        Ok(Self { threads })
    }

    /// How many threads there are.
    pub fn count(&self) -> usize {
        self.threads.len()
    }

    /// Runs a task on the core thread of `slot` (modulo their number). A panic in the task is
    /// an Internal error of that task only.
    pub fn spawn<T: Send + 'static>(&self, slot: usize, task: TaskFuture<T>) -> CoreTask<T> {
        let (sender, receiver) = oneshot::channel();
        let start: Start = Box::new(move || {
            tokio::task::spawn_local(async move {
                let run = async move { task().await };
                let ended = AssertUnwindSafe(run).catch_unwind().await;
                let result = ended.unwrap_or_else(|panic| Err(panicked(&*panic)));
                // Nobody may be waiting any more.
                let _ = sender.send(result);
            });
        });
        // On failure `start`, hence `sender`, is dropped, which the receiver reports.
        let _ = self.threads[slot % self.threads.len()].try_send(start);
        CoreTask(receiver)
    }
}

impl<T> Future for CoreTask<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|received| {
            received.unwrap_or_else(|_| {
                Err(Error::internal("the core thread ended, or had no room for the task"))
            })
        })
    }
}

fn start_thread(index: usize) -> Result<mpsc::Sender<Start>> {
    let (sender, mut receiver) = mpsc::channel::<Start>(STARTS);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::external("cannot start a core thread").caused_by(e))?;
    std::thread::Builder::new()
        .name(format!("core-{index}"))
        .spawn(move || {
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, async move {
                while let Some(start) = receiver.recv().await {
                    start();
                }
            });
        })
        .map_err(|e| Error::external("cannot start a core thread").caused_by(e))?;
    Ok(sender)
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let text = panic
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "of unknown cause".to_owned());
    Error::internal(format!("the task panicked: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_its_task_only() {
        let threads = CoreThreads::new(1).unwrap();
        let (go, wait) = oneshot::channel::<()>();
        let good = threads.spawn(
            0,
            Box::new(|| {
                async move {
                    wait.await.ok();
                    Ok(7)
                }
                .boxed_local()
            }),
        );
        let bad = threads.spawn::<()>(0, Box::new(|| async { panic!("boom {}", 1) }.boxed_local()));
        let error = bad.await.unwrap_err();
        assert_eq!(error.kind(), model::ErrorKind::Internal);
        assert_eq!(error.message(), "the task panicked: boom 1");
        go.send(()).unwrap();
        assert_eq!(good.await.unwrap(), 7);
    }

    #[tokio::test]
    async fn dropping_the_threads_ends_their_tasks() {
        let threads = CoreThreads::new(2).unwrap();
        let task = threads.spawn::<()>(5, Box::new(|| std::future::pending().boxed_local()));
        drop(threads);
        assert!(task.await.is_err());
    }
}
