//! Registration and heartbeats: [`Liveness`] decides (pure), [`run`] calls. Started by
//! `lib.rs`; while it cannot hear the leader it ends the session, and the tasks with it.

use std::sync::Arc;
use std::time::Duration;

use model::LeaderEpoch;
use proto::v1;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::job_manager::JobManagerClient;
use crate::process::ProcessFigures;
use crate::task_executor::TaskExecutor;

const FIRST_PAUSE_MS: u64 = 50;
const LONGEST_PAUSE_MS: u64 = 2_000;
/// What the job manager tells us is taken within these bounds.
const INTERVAL_BOUNDS_MS: (u64, u64) = (10, 60_000);

/// How long tasks of a lost session may take to end before we register anew.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// What happened, at some `now` in milliseconds of a clock that never goes back.
#[derive(Debug)]
pub(crate) enum Event {
    Registered {
        interval_ms: u64,
        timeout_ms: u64,
    },
    /// The job manager did not answer the registration, or refused it.
    RegistrationFailed,
    Answered,
    /// No answer to a heartbeat.
    Unanswered,
    /// The job manager does not know us, or another one leads.
    Forgotten,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Register,
    /// Send a heartbeat and give up on it at `deadline_ms`.
    Heartbeat {
        deadline_ms: u64,
    },
    Sleep {
        until_ms: u64,
    },
    /// End the session: every task is canceled.
    Abandon,
}

/// Whether the leader hears us.
#[derive(Debug)]
pub(crate) struct Liveness {
    phase: Phase,
    pause_ms: u64,
}

#[derive(Debug)]
enum Phase {
    Unregistered { next_ms: u64 },
    Registered { interval_ms: u64, timeout_ms: u64, last_answer_ms: u64, next_ms: u64 },
    Abandoning,
}

impl Liveness {
    pub(crate) fn new() -> Self {
        Self { phase: Phase::Unregistered { next_ms: 0 }, pause_ms: FIRST_PAUSE_MS }
    }

    pub(crate) fn step(&mut self, now_ms: u64) -> Step {
        match self.phase {
            Phase::Unregistered { next_ms } if now_ms >= next_ms => Step::Register,
            Phase::Unregistered { next_ms } => Step::Sleep { until_ms: next_ms },
            Phase::Registered { timeout_ms, last_answer_ms, next_ms, .. } => {
                let deadline_ms = last_answer_ms + timeout_ms;
                if now_ms >= deadline_ms {
                    self.phase = Phase::Abandoning;
                    self.step(now_ms)
                } else if now_ms >= next_ms {
                    Step::Heartbeat { deadline_ms }
                } else {
                    Step::Sleep { until_ms: next_ms.min(deadline_ms) }
                }
            }
            Phase::Abandoning => {
                self.phase = Phase::Unregistered { next_ms: now_ms };
                Step::Abandon
            }
        }
    }

    pub(crate) fn on_event(&mut self, now_ms: u64, event: Event) {
        match (&mut self.phase, event) {
            (_, Event::Registered { interval_ms, timeout_ms }) => {
                let interval_ms = interval_ms.clamp(INTERVAL_BOUNDS_MS.0, INTERVAL_BOUNDS_MS.1);
                self.pause_ms = FIRST_PAUSE_MS;
                self.phase = Phase::Registered {
                    interval_ms,
                    timeout_ms: timeout_ms.max(2 * interval_ms),
                    last_answer_ms: now_ms,
                    next_ms: now_ms + interval_ms,
                };
            }
            (_, Event::RegistrationFailed) => {
                self.phase = Phase::Unregistered { next_ms: now_ms + self.pause_ms };
                self.pause_ms = (self.pause_ms * 2).min(LONGEST_PAUSE_MS);
            }
            (Phase::Registered { interval_ms, last_answer_ms, next_ms, .. }, Event::Answered) => {
                *last_answer_ms = now_ms;
                *next_ms = now_ms + *interval_ms;
            }
            (Phase::Registered { interval_ms, next_ms, .. }, Event::Unanswered) => {
                // Sooner than usual: each one may be the last before the timeout.
                *next_ms = now_ms + (*interval_ms / 4).max(INTERVAL_BOUNDS_MS.0);
            }
            (Phase::Registered { .. }, Event::Forgotten) => self.phase = Phase::Abandoning,
            (_, Event::Answered | Event::Unanswered | Event::Forgotten) => {}
        }
    }
}

/// What is said of this process when it registers.
#[derive(Clone, Debug)]
pub(crate) struct Introduction {
    /// `host:port`, for calls and for data.
    pub addr: String,
    pub slots: u32,
}

/// Runs until `stopping`.
pub(crate) async fn run(
    client: JobManagerClient,
    executor: Arc<TaskExecutor>,
    introduction: Introduction,
    stopping: CancellationToken,
) {
    let start = Instant::now();
    let now_ms = || u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    let mut liveness = Liveness::new();
    loop {
        let acting = async {
            match liveness.step(now_ms()) {
                Step::Sleep { until_ms } => {
                    tokio::time::sleep_until(start + Duration::from_millis(until_ms)).await;
                    None
                }
                Step::Abandon => {
                    tracing::warn!(
                        job_manager = client.addr(),
                        "lost the job manager: canceling every task and registering anew"
                    );
                    executor.sessions.lost();
                    executor.drained(DRAIN_TIMEOUT).await;
                    None
                }
                Step::Register => Some(register(&client, &executor, &introduction).await),
                Step::Heartbeat { deadline_ms } => {
                    let within = Duration::from_millis(deadline_ms.saturating_sub(now_ms()).max(1));
                    Some(beat(&client, &executor, within).await)
                }
            }
        };
        let event = tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            event = acting => event,
        };
        if let Some(event) = event {
            liveness.on_event(now_ms(), event);
        }
    }
}

async fn register(
    client: &JobManagerClient,
    executor: &TaskExecutor,
    introduction: &Introduction,
) -> Event {
    let request = v1::RegisterRequest {
        task_manager: client.id.0.clone(),
        rpc_addr: introduction.addr.clone(),
        data_addr: introduction.addr.clone(),
        slots: introduction.slots,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    match client.register(request).await {
        Ok(answer) => {
            executor.sessions.registered(LeaderEpoch(answer.leader_epoch));
            tracing::info!(
                job_manager = client.addr(),
                epoch = answer.leader_epoch,
                "registered with the job manager"
            );
            Event::Registered {
                interval_ms: u64::from(answer.heartbeat_interval_ms),
                timeout_ms: u64::from(answer.heartbeat_timeout_ms),
            }
        }
        Err(status) => {
            tracing::info!(
                job_manager = client.addr(),
                reason = status.message(),
                "cannot register with the job manager yet"
            );
            Event::RegistrationFailed
        }
    }
}

async fn beat(client: &JobManagerClient, executor: &TaskExecutor, within: Duration) -> Event {
    let epoch = executor.sessions.current().epoch;
    let figures = ProcessFigures::now(executor.started_at_ms, &executor.totals());
    let request = v1::HeartbeatRequest {
        task_manager: client.id.0.clone(),
        leader_epoch: epoch.0,
        tasks: executor.reports(),
        process: proto::json_to_wire(&figures).unwrap_or_default(),
    };
    match client.heartbeat(request, within).await {
        // Asked anew: a call of a new leader may have come in between.
        Ok(answer) if answer.leader_epoch == executor.sessions.current().epoch.0 => {
            for attempt in answer.cancel {
                match proto::attempt_from_wire(Some(attempt)) {
                    Ok(attempt) => {
                        executor.cancel_running(&attempt);
                    }
                    Err(error) => tracing::warn!(%error, "a heartbeat's answer is not valid"),
                }
            }
            Event::Answered
        }
        Ok(_) => Event::Forgotten,
        Err(status) => match status.code() {
            Code::NotFound | Code::FailedPrecondition => Event::Forgotten,
            _ => {
                tracing::warn!(reason = status.message(), "a heartbeat was not answered");
                Event::Unanswered
            }
        },
    }
}

#[cfg(test)]
mod tests;
