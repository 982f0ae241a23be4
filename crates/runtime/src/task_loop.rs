//! The loop of a running task: take what the head has, push it through the chain, send what
//! is full; when the head has nothing, flush everything and wait. Barriers, commands, timers
//! and the end pass between two batches. Called by `task.rs`, opened by `deploy.rs`.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use arrow::array::RecordBatch;
use model::deployment::{SnapshotTimings, SubtaskSnapshot};
use model::metrics::OperatorMetrics;
use model::{CheckpointBarrier, CheckpointId, Clock, Error, Result, StreamElement};
use tokio::sync::mpsc;

use crate::alignment::AlignedBarrier;
use crate::chain::{Chain, ChainOutput};
use crate::channel::batch_bytes;
use crate::deploy::Registration;
use crate::input_gate::{GateEvent, InputGate};
use crate::metrics::{Activity, SharedMetrics};
use crate::source_head::{SourceEvent, SourceHead};
use crate::tail::Tail;
use crate::task::TaskCommand;
use crate::upload::{FrozenTask, Uploads};

/// Rows wait at most this long for their batch to fill while input keeps coming.
const FLUSH_AFTER_US: i64 = 2_000;
/// Turns of the loop between two updates of the figures that cost more than an addition.
const TURNS_PER_UPDATE: u32 = 64;
/// Time between two updates of the figures that are lists.
const SLOW_UPDATE_US: i64 = 200_000;
/// How long a sink may take to clean up after a task that did not finish.
const ABORT_PATIENCE: Duration = Duration::from_secs(2);

/// Where a task's elements come from.
pub(crate) enum Head {
    Source(SourceHead),
    Gate(InputGate),
}

enum HeadEvent {
    Source(SourceEvent),
    Gate(GateEvent),
}

impl Head {
    async fn next(&mut self) -> Result<HeadEvent> {
        match self {
            Self::Source(source) => source.next().await.map(HeadEvent::Source),
            Self::Gate(gate) => gate.next().await.map(HeadEvent::Gate),
        }
    }
}

/// What a loop is made of.
pub(crate) struct Parts {
    pub head: Head,
    /// Held until the task ends.
    pub _registration: Option<Registration>,
    pub chain: Chain,
    pub tail: Tail,
    pub uploads: Uploads,
    pub commands: mpsc::Receiver<TaskCommand>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<SharedMetrics>,
    /// The chain's output for dead letters; `None`: they are dropped, and counted.
    pub dead_letters: Option<usize>,
    /// Uids of the operators at the chain's ends, for their figures.
    pub source_uid: Option<String>,
    pub sink_uid: Option<String>,
}

/// A running task.
pub(crate) struct TaskLoop {
    parts: Parts,
    /// What the chain put out and the tail has not taken yet; empty between turns.
    outputs: Vec<ChainOutput>,
    /// A trigger that waits for the answer to a request for splits.
    held: Option<CheckpointBarrier>,
    last_triggered: CheckpointId,
    commands_open: bool,
    /// Rows went into the chain since it was last flushed.
    unflushed: bool,
    started_us: i64,
    turns: u32,
    /// The source gave rows in this turn.
    read: bool,
    slow_update_us: i64,
}

enum Turn {
    Head(HeadEvent),
    Command(Option<TaskCommand>),
    /// A timer or an upload: the start of the next turn sees to it.
    Nothing,
}

impl TaskLoop {
    pub fn new(parts: Parts) -> Self {
        let started_us = parts.clock.now_us();
        if matches!(parts.head, Head::Source(_)) {
            parts.metrics.set_last_record_us(started_us);
        }
        parts.metrics.set_activity(Activity::Moving);
        Self {
            parts,
            outputs: Vec::new(),
            held: None,
            last_triggered: CheckpointId(0),
            commands_open: true,
            unflushed: false,
            started_us,
            turns: 0,
            read: false,
            slow_update_us: 0,
        }
    }

    /// Until the end of input. Dropping the future between two awaits loses nothing that
    /// [`Self::abort`] needs.
    pub async fn run(&mut self) -> Result<SubtaskSnapshot> {
        loop {
            while let Ok(command) = self.parts.commands.try_recv() {
                self.on_command(command).await?;
            }
            self.release_held().await?;
            self.parts.uploads.check()?;
            self.wake_operators()?;
            match self.next().await? {
                Turn::Head(event) => {
                    if self.on_head(event).await? {
                        return self.finish().await;
                    }
                }
                Turn::Command(Some(command)) => self.on_command(command).await?,
                Turn::Command(None) => self.commands_open = false,
                Turn::Nothing => {}
            }
            let now_us = self.parts.clock.now_us();
            self.parts.metrics.set_activity(Activity::Moving);
            if std::mem::take(&mut self.read) {
                self.parts.metrics.set_last_record_us(now_us);
            }
            self.parts.tail.accept(&mut self.outputs, now_us)?;
            self.parts.tail.send_full().await?;
            if self.parts.tail.pending_before(now_us - FLUSH_AFTER_US) {
                self.parts.tail.flush_partitions().await?;
            }
            self.turns += 1;
            if self.turns >= TURNS_PER_UPDATE {
                self.update_metrics(now_us);
            }
            // The other tasks of this core have their turn.
            tokio::task::yield_now().await;
        }
    }

    /// The next thing to do. Flushes before it waits.
    async fn next(&mut self) -> Result<Turn> {
        let commands_open = self.commands_open;
        let Parts { head, chain, tail, uploads, commands, clock, metrics, .. } = &mut self.parts;
        let mut event = pin!(head.next());
        if let std::task::Poll::Ready(event) = futures::poll!(event.as_mut()) {
            return event.map(Turn::Head);
        }
        if std::mem::take(&mut self.unflushed) {
            chain.flush(&mut self.outputs)?;
        }
        let idle_from_us = clock.now_us();
        tail.accept(&mut self.outputs, idle_from_us)?;
        tail.flush().await?;
        // The costlier figures, as far as the head is not needed: nothing may come for long.
        metrics.late_records.store(chain.late_records(), Relaxed);
        metrics.state_bytes.store(chain.state_bytes(), Relaxed);
        metrics.queued_bytes.store(0, Relaxed);
        let timer = chain.next_wakeup_ms().map(|due| {
            let wait = due.saturating_sub(clock.now_ms()).max(0);
            Duration::from_millis(u64::try_from(wait).unwrap_or(0))
        });
        let idle_from_us = clock.now_us();
        metrics.set_activity(Activity::WaitingForInput);
        let turn = tokio::select! {
            biased;
            command = commands.recv(), if commands_open => Turn::Command(command),
            ended = uploads.next_ended() => {
                ended?;
                Turn::Nothing
            }
            () = tokio::time::sleep(timer.unwrap_or_default()), if timer.is_some() => Turn::Nothing,
            event = event.as_mut() => Turn::Head(event?),
        };
        metrics.add_idle_us(u64::try_from(clock.now_us() - idle_from_us).unwrap_or(0));
        self.turns = TURNS_PER_UPDATE;
        Ok(turn)
    }

    /// Answers whether that was the end of input.
    async fn on_head(&mut self, event: HeadEvent) -> Result<bool> {
        match event {
            HeadEvent::Source(event) => return self.on_source(event),
            HeadEvent::Gate(GateEvent::Batch { port, batch, bytes }) => {
                self.on_rows(port, batch, bytes)?;
            }
            HeadEvent::Gate(GateEvent::Watermark(watermark)) => {
                self.parts.metrics.set_watermark(watermark);
                self.parts.chain.watermark(watermark, &mut self.outputs)?;
            }
            HeadEvent::Gate(GateEvent::Idle) => self.parts.chain.idle(&mut self.outputs)?,
            HeadEvent::Gate(GateEvent::Barrier(aligned)) => self.checkpoint(aligned).await?,
            HeadEvent::Gate(GateEvent::Superseded(id)) => self.decline(id),
            HeadEvent::Gate(GateEvent::EndOfInput) => return Ok(true),
        }
        Ok(false)
    }

    fn on_source(&mut self, event: SourceEvent) -> Result<bool> {
        match event {
            SourceEvent::Batch(batch) => {
                let bytes = batch_bytes(&batch);
                self.read = true;
                self.on_rows(0, batch, bytes)?;
            }
            SourceEvent::DeadLetter(batch) => {
                if let Some(output) = self.parts.dead_letters {
                    self.outputs.push(ChainOutput { output, element: StreamElement::Batch(batch) });
                }
            }
            SourceEvent::Answered => {}
            SourceEvent::EndOfInput => return Ok(true),
        }
        Ok(false)
    }

    fn on_rows(&mut self, port: usize, batch: RecordBatch, bytes: u64) -> Result<()> {
        let metrics = &self.parts.metrics;
        metrics.records_in.fetch_add(batch.num_rows() as u64, Relaxed);
        metrics.bytes_in.fetch_add(bytes, Relaxed);
        self.unflushed = true;
        self.parts.chain.process(port, batch, &mut self.outputs)
    }

    fn wake_operators(&mut self) -> Result<()> {
        let Some(due) = self.parts.chain.next_wakeup_ms() else { return Ok(()) };
        let now_ms = self.parts.clock.now_ms();
        if due <= now_ms {
            self.unflushed = true;
            self.parts.chain.wake(now_ms, &mut self.outputs)?;
        }
        Ok(())
    }

    async fn on_command(&mut self, command: TaskCommand) -> Result<()> {
        match command {
            TaskCommand::TriggerCheckpoint(barrier) => {
                let newer = barrier.id > self.last_triggered;
                if newer && matches!(self.parts.head, Head::Source(_)) {
                    self.last_triggered = barrier.id;
                    if let Some(older) = self.held.replace(barrier) {
                        self.decline(older.id);
                    }
                    self.release_held().await?;
                }
            }
            TaskCommand::CheckpointComplete(id) => {
                self.parts.uploads.completed(id);
                if let Head::Source(source) = &mut self.parts.head {
                    source.checkpoint_completed(id).await?;
                }
            }
            TaskCommand::CheckpointAborted(id) => {
                self.parts.uploads.aborted(id);
                self.held.take_if(|held| held.id == id);
                if let Head::Gate(gate) = &mut self.parts.head {
                    gate.checkpoint_aborted(id);
                }
            }
        }
        Ok(())
    }

    /// Takes the triggered checkpoint, unless splits are on their way to the reader.
    async fn release_held(&mut self) -> Result<()> {
        if self.held.is_none() {
            return Ok(());
        }
        let Head::Source(source) = &self.parts.head else { return Ok(()) };
        if source.may_snapshot()
            && let Some(barrier) = self.held.take()
        {
            let first_us = self.parts.clock.now_us();
            self.checkpoint(AlignedBarrier { barrier, first_us, alignment_us: 0 }).await?;
        }
        Ok(())
    }

    fn decline(&mut self, id: CheckpointId) {
        let reason =
            Error::external("a newer checkpoint began before this one's last barrier came");
        self.parts.uploads.decline(id, reason);
    }

    /// Everything so far belongs to the checkpoint: send it on, then freeze.
    async fn checkpoint(&mut self, aligned: AlignedBarrier) -> Result<()> {
        let AlignedBarrier { barrier, first_us, alignment_us } = aligned;
        self.unflushed = false;
        self.parts.metrics.set_alignment_us(alignment_us);
        let Parts { head, chain, tail, uploads, clock, .. } = &mut self.parts;
        chain.flush(&mut self.outputs)?;
        tail.accept(&mut self.outputs, clock.now_us())?;
        let staging = tail.barrier(barrier).await?;
        let frozen_from_us = clock.now_us();
        let operators = chain.freeze()?;
        let splits = match head {
            Head::Source(source) => source.snapshot(barrier.id)?,
            Head::Gate(_) => Vec::new(),
        };
        let triggered_us = barrier.triggered_at_ms.saturating_mul(1000);
        let span = |from: i64, to: i64| u64::try_from(to.saturating_sub(from)).unwrap_or(0);
        let timings = SnapshotTimings {
            start_delay_us: span(triggered_us, first_us),
            alignment_us,
            sync_us: span(frozen_from_us, clock.now_us()),
            ..SnapshotTimings::default()
        };
        uploads.start(FrozenTask { checkpoint: barrier.id, operators, splits, staging, timings });
        Ok(())
    }

    /// End of input: the last rows, the last watermark, the end; then waits until every
    /// checkpoint under way is acknowledged, since its committables must not be lost.
    async fn finish(&mut self) -> Result<SubtaskSnapshot> {
        let Parts { chain, tail, clock, .. } = &mut self.parts;
        chain.finish(&mut self.outputs)?;
        tail.accept(&mut self.outputs, clock.now_us())?;
        let staging = tail.end().await?;
        self.parts.uploads.stage_last(staging);
        while !self.parts.uploads.is_empty() {
            let Parts { uploads, commands, .. } = &mut self.parts;
            tokio::select! {
                biased;
                command = commands.recv(), if self.commands_open => match command {
                    Some(TaskCommand::CheckpointComplete(id)) => uploads.completed(id),
                    Some(TaskCommand::CheckpointAborted(id)) => uploads.aborted(id),
                    // FINISHED answers it.
                    Some(TaskCommand::TriggerCheckpoint(_)) => {}
                    None => self.commands_open = false,
                },
                ended = uploads.next_ended() => ended?,
            }
        }
        self.slow_update_us = 0;
        self.update_metrics(self.parts.clock.now_us());
        let committables = self.parts.uploads.take_committables().await?;
        Ok(SubtaskSnapshot { committables, finished: true, ..SubtaskSnapshot::default() })
    }

    fn update_metrics(&mut self, now_us: i64) {
        self.turns = 0;
        let Parts { head, chain, tail, metrics, .. } = &self.parts;
        if metrics.is_off() {
            return;
        }
        if let Some(latency) = tail.latency_us() {
            metrics.set_latency_us(latency);
        }
        match head {
            Head::Source(source) => {
                let (skipped, dead_lettered) = source.bad_records();
                metrics.bad_skipped.store(skipped, Relaxed);
                metrics.bad_dead_lettered.store(dead_lettered, Relaxed);
                if let Some(records) = source.records_read() {
                    metrics.records_in.store(records, Relaxed);
                }
            }
            Head::Gate(gate) => {
                metrics.queued_bytes.store(gate.handle().queued_bytes(), Relaxed);
            }
        }
        metrics.late_records.store(chain.late_records(), Relaxed);
        metrics.state_bytes.store(chain.state_bytes(), Relaxed);
        let lived = u64::try_from(now_us - self.started_us).unwrap_or(0);
        metrics.set_busy_us(
            lived.saturating_sub(metrics.idle_us()).saturating_sub(metrics.backpressured_us()),
        );
        if now_us - self.slow_update_us >= SLOW_UPDATE_US {
            self.update_lists(now_us);
        }
    }

    /// The figures that are lists.
    fn update_lists(&mut self, now_us: i64) {
        self.slow_update_us = now_us;
        let Parts { head, chain, tail, metrics, source_uid, sink_uid, .. } = &self.parts;
        let end = |uid: &Option<String>, records: u64| {
            uid.clone().map(|uid| OperatorMetrics {
                uid,
                records_in: records,
                records_out: records,
                state_bytes: 0,
            })
        };
        let operators = end(source_uid, metrics.records_in.load(Relaxed)).into_iter();
        let operators = operators.chain(chain.operators());
        let operators = operators.chain(end(sink_uid, metrics.records_out.load(Relaxed)));
        let mut splits = Vec::new();
        if let Head::Source(source) = head {
            splits = source.splits();
            metrics.set_pending_records(source.pending_records());
        }
        metrics.set_slow(splits, tail.hot_key_group(), operators.collect());
    }

    /// The task did not finish: gives the sink a moment to clean up.
    pub async fn abort(&mut self) {
        if tokio::time::timeout(ABORT_PATIENCE, self.parts.tail.abort()).await.is_err() {
            tracing::warn!("a sink did not clean up in time; its leftovers are removed on restore");
        }
    }
}
