//! `/api/v1/events` and `/api/v1/jobs/{job}/events`: what changes, as server-sent events.
//! A stream begins with the present state, so that a client that reconnects misses nothing;
//! what cannot be sent in time is not queued but replaced by what is true later.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::details::JobSnapshot;
use crate::dispatcher::Dispatcher;
use crate::rest::jobs::{self, Jobs, snapshot};
use crate::rest::{ApiError, checkpoints, cluster};

/// Least pause between two states.
const PAUSE: Duration = Duration::from_millis(500);
/// A state longer than this is sent less often, bytes.
const LARGE: usize = 256 << 10;
/// Between comments that keep a quiet stream open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Events that wait for a slow client.
const QUEUED: usize = 64;

/// A stream of events.
pub type Stream =
    Sse<axum::response::sse::KeepAliveStream<ReceiverStream<Result<Event, Infallible>>>>;

/// The sending end of a stream. Numbers its events.
pub struct Events {
    sender: mpsc::Sender<Result<Event, Infallible>>,
    sent: u64,
}

/// The client is gone.
pub struct Gone;

impl Events {
    /// Waits while the client is slow.
    pub async fn send(&mut self, name: &str, data: String) -> Result<(), Gone> {
        self.sent += 1;
        // `data` of an event must not hold line ends; JSON text does not.
        let event = Event::default().event(name).id(self.sent.to_string()).data(data);
        self.sender.send(Ok(event)).await.map_err(|_| Gone)
    }
}

/// Opens a stream that `produce` fills until it ends, the client leaves, or the server stops.
///
/// # Errors
/// 503: too many streams are open.
pub fn open<F>(
    jobs: &Arc<Dispatcher>,
    produce: impl FnOnce(Events) -> F,
) -> Result<Stream, ApiError>
where
    F: Future<Output = Result<(), Gone>> + Send + 'static,
{
    let observer = jobs.observer();
    let permit = observer.streams().clone().try_acquire_owned().map_err(|_| {
        let text = "too many streams of events are open";
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", text)
            .help("close some, or ask for states instead")
    })?;
    let (sender, receiver) = mpsc::channel(QUEUED);
    let gone = sender.clone();
    let filling = produce(Events { sender, sent: 0 });
    let stopped = observer.stopped().clone();
    tokio::spawn(async move {
        tokio::select! { biased;
            () = stopped.cancelled() => {}
            () = gone.closed() => {}
            _ = filling => {}
        }
        drop(permit);
    });
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE).text("still here");
    Ok(Sse::new(ReceiverStream::new(receiver)).keep_alive(keep_alive))
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

/// Large states come less often.
fn pause_after(bytes: usize) -> Duration {
    PAUSE * u32::try_from(1 + bytes / LARGE).unwrap_or(4).min(4)
}

pub async fn all(State(jobs): Jobs) -> Result<Stream, ApiError> {
    let dispatcher = jobs.clone();
    open(&jobs, async move |mut events: Events| {
        let (mut list, mut overview) = (String::new(), String::new());
        loop {
            let now = text(&jobs::listing(&dispatcher).await);
            let bytes = now.len();
            if now != list {
                events.send("jobs", now.clone()).await?;
                list = now;
            }
            let now = text(&cluster::overview_of(&dispatcher).await);
            if now != overview {
                events.send("overview", now.clone()).await?;
                overview = now;
            }
            tokio::time::sleep(pause_after(bytes)).await;
        }
    })
}

/// What a client of one job's stream has seen.
#[derive(Default)]
struct Seen {
    last: Option<Arc<JobSnapshot>>,
    job: String,
    checkpoints: BTreeMap<u64, String>,
    /// Time and text of the newest exception.
    exceptions: Vec<(i64, String)>,
}

impl Seen {
    async fn show(&mut self, snapshot: Arc<JobSnapshot>, events: &mut Events) -> Result<(), Gone> {
        if self.last.as_ref().is_some_and(|last| Arc::ptr_eq(last, &snapshot)) {
            return Ok(());
        }
        let job = text(&snapshot.details);
        if job != self.job {
            events.send("job", job.clone()).await?;
            self.job = job;
        }
        let known: Vec<u64> = snapshot.checkpoints.iter().map(|r| r.id.0).collect();
        self.checkpoints.retain(|id, _| known.contains(id));
        for record in &snapshot.checkpoints {
            let Ok(entry) = checkpoints::entry(record) else { continue };
            let entry = entry.to_string();
            if self.checkpoints.get(&record.id.0) != Some(&entry) {
                events.send("checkpoint", entry.clone()).await?;
                self.checkpoints.insert(record.id.0, entry);
            }
        }
        for exception in &snapshot.exceptions {
            let key = (exception.timestamp_ms, exception.message.clone());
            if !self.exceptions.contains(&key) {
                events.send("exception", text(exception)).await?;
                self.exceptions.push(key);
            }
        }
        let excess = self.exceptions.len().saturating_sub(crate::execution_graph::MAX_EXCEPTIONS);
        self.exceptions.drain(..excess);
        self.last = Some(snapshot);
        Ok(())
    }
}

pub async fn job(State(jobs): Jobs, Path(job): Path<String>) -> Result<Stream, ApiError> {
    let first = snapshot(&jobs, &job).await?;
    // By id from here on: another job may take the name.
    let id = first.details.id.to_string();
    let dispatcher = jobs.clone();
    open(&jobs, async move |mut events: Events| {
        let mut seen = Seen::default();
        seen.show(first, &mut events).await?;
        loop {
            tokio::time::sleep(pause_after(seen.job.len())).await;
            match dispatcher.snapshot(&id).await {
                Ok(now) => seen.show(now, &mut events).await?,
                // Forgotten.
                Err(_) => {
                    return events.send("end", json!({ "reason": "forgotten" }).to_string()).await;
                }
            }
        }
    })
}
