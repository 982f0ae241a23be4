//! Carries out the actions of [`JobState`](crate::job_state::JobState): calls to task
//! managers, storage and sinks, each in a spawned task that reports back to the mailbox.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::checkpoint::{CheckpointKind as ManifestKind, MANIFEST_VERSION, Manifest, VertexSnapshot};
use futures::FutureExt;
use futures::future::{join_all, try_join_all};
use model::deployment::CommittableBytes;
use model::execution_state::ExecutionState;
use model::fault::FaultPoint;
use model::key_group::KEY_HASH_VERSION;
use model::{Attempt, CheckpointId, ExecutionAttemptId, Result, SubtaskIndex, TaskManagerId};
use tokio_util::sync::CancellationToken;

use crate::checkpoint::history::CheckpointKind;
use crate::checkpoint::{CheckpointAction, CheckpointEvent, ManifestParts};
use crate::execution_graph::TaskKey;
use crate::gateway::GatewayError;
use crate::job_master::restore::{Preparation, Prepared, sink_of, source_of};
use crate::job_master::{JobMaster, JobMessage};
use crate::job_state::{JobAction, JobEvent};
use crate::scheduler::{self, Plan, Wave};
use crate::slot_pool::Slot;
use crate::source_coordinator::SourceHandle;

/// Tasks at one address.
type Targets = BTreeMap<(TaskManagerId, String), Vec<ExecutionAttemptId>>;

#[derive(Clone, Copy)]
enum Notice {
    Complete,
    Aborted,
}

impl JobMaster {
    pub(super) fn perform(&mut self, action: JobAction) {
        match action {
            JobAction::RequestSlots(slots) => {
                self.context.cluster.request_slots(self.spec.id, slots);
            }
            JobAction::ReleaseSlot(allocation) => self.context.cluster.release_slot(allocation),
            JobAction::Prepare { attempt, latest, in_doubt } => {
                self.prepare(attempt, latest, in_doubt);
            }
            JobAction::Deploy => self.deploy(),
            JobAction::Cancel(tasks) => self.cancel_tasks(tasks),
            JobAction::Checkpoint(action) => self.perform_checkpoint(action),
            JobAction::Ended(status) => {
                let (job, name) = (self.spec.id, &self.spec.graph.name);
                tracing::info!(%job, name, ?status, failure = self.state.failure(), "job ended");
            }
        }
    }

    /// Runs `work` beside the actor and puts what it gives into the mailbox.
    fn spawn_reporting(&self, work: impl Future<Output = JobMessage> + Send + 'static) {
        let own = self.own.clone();
        tokio::spawn(async move {
            let message = work.await;
            // Closed: the job is over.
            let _ = own.send(message).await;
        });
    }

    fn prepare(
        &self,
        attempt: Attempt,
        latest: Option<CheckpointId>,
        in_doubt: Option<CheckpointId>,
    ) {
        let preparation = Preparation {
            job: self.spec.id,
            attempt,
            graph: self.spec.graph.clone(),
            store: self.context.checkpoints.clone(),
            connectors: self.context.connectors.clone(),
            sinks: self.sinks.clone(),
            latest,
            in_doubt,
            remembered: self.manifest.clone(),
            from: self.spec.from.as_ref().map(|(_, manifest)| manifest.clone()),
        };
        self.spawn_reporting(async move {
            let (outcome, settled) = preparation.run().await;
            JobMessage::Prepared { attempt, outcome, settled }
        });
    }

    pub(super) fn prepared(
        &mut self,
        attempt: Attempt,
        outcome: Result<Prepared>,
        settled: Option<(CheckpointId, String)>,
    ) {
        if attempt != self.state.graph().attempt() {
            return;
        }
        let outcome = outcome.map(|prepared| {
            self.manifest = prepared.manifest;
            if let Some(manifest) = &self.manifest {
                self.state.restored(manifest.checkpoint);
            }
            self.sources.clear();
            for (vertex, enumerator) in prepared.enumerators {
                let own = self.own.clone();
                let failed = move |error| {
                    let event = JobEvent::TaskLost { attempt, task: None, error };
                    async move {
                        let _ = own.send(JobMessage::Event(event)).await;
                    }
                    .boxed()
                };
                let name =
                    self.spec.graph.vertex(vertex).map_or_else(String::new, |v| v.name.clone());
                let handle = SourceHandle::spawn(name, enumerator, Box::new(failed));
                self.sources.insert(vertex, handle);
            }
        });
        self.event(JobEvent::Prepared { attempt, outcome, settled });
    }

    fn deploy(&mut self) {
        self.metrics.clear();
        self.deploying = CancellationToken::new();
        let attempt = self.state.graph().attempt();
        let waves = match self.waves() {
            Ok(waves) => waves,
            Err(error) => {
                self.spawn_reporting(async move {
                    JobMessage::Event(JobEvent::TaskLost { attempt, task: None, error })
                });
                return;
            }
        };
        let (context, own, job) = (self.context.clone(), self.own.clone(), self.spec.id);
        let canceled = self.deploying.clone();
        let work = async move {
            for wave in waves {
                let calls = wave.iter().map(|(slot, deployment)| {
                    let call = context.gateway.submit_task(&slot.rpc_addr, deployment);
                    call.map(move |result| (slot, deployment.attempt, result))
                });
                for (slot, id, result) in join_all(calls).await {
                    let Err(error) = result else { continue };
                    let task = TaskKey { vertex: id.vertex, subtask: id.subtask };
                    let error = report_unreachable(&context.cluster, job, slot, error);
                    let event = JobEvent::TaskLost { attempt, task: Some(task), error };
                    let _ = own.send(JobMessage::Event(event)).await;
                    return;
                }
            }
        };
        tokio::spawn(async move {
            tokio::select! { biased;
                () = canceled.cancelled() => {}
                () = work => {}
            }
        });
    }

    fn waves(&self) -> Result<Vec<Wave>> {
        let slots = self.state.all_slots().unwrap_or_default();
        let storage = self.context.checkpoints.uri();
        let plan = Plan {
            leader_epoch: self.context.leader_epoch,
            job: self.spec.id,
            job_name: &self.spec.graph.name,
            attempt: self.state.graph().attempt(),
            graph: &self.spec.graph,
            slots: &slots,
            checkpoint_storage: &storage,
        };
        scheduler::deployments(&plan, &|vertex, _, key_groups| {
            let Some(manifest) = &self.manifest else { return Ok(None) };
            let uids: Vec<String> = vertex.operators.iter().map(|o| o.uid.clone()).collect();
            ::checkpoint::restore_task(manifest, &uids, key_groups).map(Some)
        })
    }

    fn cancel_tasks(&mut self, tasks: Vec<(Slot, ExecutionAttemptId)>) {
        self.deploying.cancel();
        self.sources.clear();
        for (slot, attempt) in tasks {
            let (context, job) = (self.context.clone(), self.spec.id);
            tokio::spawn(async move {
                if let Err(error) = context.gateway.cancel_task(&slot.rpc_addr, attempt).await {
                    // The next heartbeat's answer says it again.
                    report_unreachable(&context.cluster, job, &slot, error);
                }
            });
        }
    }

    fn perform_checkpoint(&mut self, action: CheckpointAction) {
        match action {
            CheckpointAction::SnapshotEnumerators { id } => self.snapshot_enumerators(id),
            CheckpointAction::TriggerTasks { id, triggered_at_ms, tasks } => {
                self.trigger(id, triggered_at_ms, &tasks);
            }
            CheckpointAction::Abort { id } => {
                self.end_fence(id);
                self.notify(id, Notice::Aborted);
            }
            CheckpointAction::WriteManifest(parts) => self.write_manifest(*parts),
            CheckpointAction::Commit { id } => self.commit(id),
            CheckpointAction::NotifyComplete { id } => {
                self.end_fence(id);
                self.notify(id, Notice::Complete);
            }
            CheckpointAction::Delete { ids, objects } => {
                let (store, job) = (self.context.checkpoints.clone(), self.spec.id);
                self.delete(async move { store.delete(job, &ids, &objects).await });
            }
            CheckpointAction::CleanOrphans { keep, up_to } => {
                let (store, job) = (self.context.checkpoints.clone(), self.spec.id);
                self.delete(async move { store.clean_orphans(job, &keep, up_to).await });
            }
            CheckpointAction::Answer { tokens, outcome } => {
                for token in tokens {
                    let Some(reply) = self.waiting.remove(&token) else { continue };
                    let copy = match &outcome {
                        Ok(id) => Ok(*id),
                        Err(error) => Err(model::Error::new(error.kind(), error.chain())),
                    };
                    let _ = reply.send(copy);
                }
            }
            // `job_state.rs` has dealt with these itself.
            CheckpointAction::FailExecution { .. } | CheckpointAction::Finalized => {}
        }
    }

    /// What could not be deleted is looked for after a later checkpoint.
    fn delete(&self, deleting: impl Future<Output = Result<()>> + Send + 'static) {
        let job = self.spec.id;
        self.spawn_reporting(async move {
            let outcome = deleting.await;
            if let Err(error) = &outcome {
                tracing::warn!(%job, error = %error.chain(), "old checkpoints not deleted yet");
            }
            let event = CheckpointEvent::Deleted { done: outcome.is_ok() };
            JobMessage::Event(JobEvent::Checkpoint(event))
        });
    }

    fn end_fence(&self, id: CheckpointId) {
        for source in self.sources.values() {
            source.checkpoint_ended(id);
        }
    }

    fn snapshot_enumerators(&self, id: CheckpointId) {
        let attempt = self.state.graph().attempt();
        let mut snapshots = Vec::new();
        for (vertex, source) in &self.sources {
            let vertex = self.spec.graph.vertex(*vertex);
            if let Some((uid, _)) = vertex.and_then(source_of) {
                let uid = uid.to_owned();
                let snapshot = source.snapshot(id);
                snapshots.push(async move { Ok((uid, snapshot.await?)) });
            }
        }
        self.spawn_reporting(async move {
            let event = match try_join_all(snapshots).await {
                Ok(list) => CheckpointEvent::EnumeratorsReady {
                    id,
                    enumerators: list.into_iter().collect(),
                },
                Err(error) => CheckpointEvent::Declined { attempt, id, error },
            };
            JobMessage::Event(JobEvent::Checkpoint(event))
        });
    }

    fn targets(&self, of: impl Fn(TaskKey, ExecutionState) -> bool) -> Targets {
        let mut targets = Targets::new();
        for (key, _, execution) in self.state.graph().tasks() {
            if let Some(slot) = execution.slot.as_ref().filter(|_| of(key, execution.state)) {
                let place = (slot.task_manager.clone(), slot.rpc_addr.clone());
                targets.entry(place).or_default().push(self.state.graph().attempt_id(key));
            }
        }
        targets
    }

    fn trigger(&self, id: CheckpointId, triggered_at_ms: i64, tasks: &[TaskKey]) {
        let attempt = self.state.graph().attempt();
        for ((task_manager, addr), attempts) in self.targets(|key, _| tasks.contains(&key)) {
            let (context, own, job) = (self.context.clone(), self.own.clone(), self.spec.id);
            tokio::spawn(async move {
                let call =
                    context.gateway.trigger_checkpoint(&addr, &attempts, id, triggered_at_ms);
                let Err(error) = call.await else { return };
                if let GatewayError::Unreachable(error) = &error {
                    context.cluster.unreachable(Some(job), task_manager.clone(), error.chain());
                }
                let error = error.into_error().at(format!("triggering at {task_manager}"));
                let event = CheckpointEvent::Declined { attempt, id, error };
                let _ = own.send(JobMessage::Event(JobEvent::Checkpoint(event))).await;
            });
        }
    }

    /// Best effort: nothing rests on a task's hearing it.
    fn notify(&self, id: CheckpointId, notice: Notice) {
        let live = |_, state: ExecutionState| {
            matches!(state, ExecutionState::Running | ExecutionState::Initializing)
        };
        for ((task_manager, addr), attempts) in self.targets(live) {
            let gateway = self.context.gateway.clone();
            tokio::spawn(async move {
                let outcome = match notice {
                    Notice::Complete => gateway.notify_complete(&addr, &attempts, id).await,
                    Notice::Aborted => gateway.notify_aborted(&addr, &attempts, id).await,
                };
                if let Err(error) = outcome {
                    tracing::debug!(%task_manager, checkpoint = %id, %error, "not notified");
                }
            });
        }
    }

    fn write_manifest(&self, parts: ManifestParts) {
        let manifest = Arc::new(self.manifest_of(parts));
        let store = self.context.checkpoints.clone();
        self.spawn_reporting(async move {
            let outcome = store.commit(&manifest).await;
            if outcome.is_ok() {
                FaultPoint::ManifestWritten.pass();
            }
            JobMessage::ManifestWritten { manifest, outcome }
        });
    }

    fn manifest_of(&self, mut parts: ManifestParts) -> Manifest {
        let graph = &self.spec.graph;
        let vertices = graph.vertices.iter().map(|vertex| {
            let subtasks = (0..vertex.parallelism).map(|index| {
                let key = TaskKey { vertex: vertex.id, subtask: SubtaskIndex(index) };
                parts.snapshots.remove(&key).unwrap_or_default()
            });
            let snapshot = VertexSnapshot {
                name: vertex.name.clone(),
                parallelism: vertex.parallelism,
                source_uid: source_of(vertex).map(|(uid, _)| uid.to_owned()),
                sink_uid: sink_of(vertex).map(str::to_owned),
                subtasks: subtasks.collect(),
            };
            (vertex.id, snapshot)
        });
        Manifest {
            version: MANIFEST_VERSION,
            job: self.spec.id,
            job_name: graph.name.clone(),
            checkpoint: parts.id,
            attempt: parts.attempt,
            leader_epoch: self.context.leader_epoch,
            writer_token: format!("{:032x}", (self.context.random)()),
            key_hash_version: KEY_HASH_VERSION,
            max_parallelism: graph.max_parallelism,
            triggered_at_ms: parts.triggered_at_ms,
            completed_at_ms: self.context.clock.now_ms(),
            kind: match parts.kind {
                CheckpointKind::Periodic | CheckpointKind::Manual => ManifestKind::Checkpoint,
                CheckpointKind::Final => ManifestKind::Final,
            },
            vertices: vertices.collect(),
            enumerators: parts
                .enumerators
                .into_iter()
                .map(|(uid, bytes)| (uid, CommittableBytes(bytes)))
                .collect(),
            job_graph: Some(graph.as_ref().clone()),
        }
    }

    fn commit(&self, id: CheckpointId) {
        let (manifest, sinks) = (self.manifest.clone(), self.sinks.clone());
        self.spawn_reporting(async move {
            let outcome = match manifest.filter(|m| m.checkpoint == id) {
                Some(manifest) => {
                    let outcome = sinks.commit(&manifest).await;
                    FaultPoint::SinksCommitted.pass();
                    outcome
                }
                None => Err(model::Error::internal(format!("checkpoint {id} has no manifest"))),
            };
            JobMessage::Event(JobEvent::Checkpoint(CheckpointEvent::Committed { id, outcome }))
        });
    }
}

/// Tells the cluster when nobody listens at the slot's TaskManager.
fn report_unreachable(
    cluster: &crate::cluster::Cluster,
    job: model::JobId,
    slot: &Slot,
    error: GatewayError,
) -> model::Error {
    if let GatewayError::Unreachable(error) = &error {
        cluster.unreachable(Some(job), slot.task_manager.clone(), error.chain());
    }
    error.into_error().at(format!("TaskManager {}", slot.task_manager))
}
