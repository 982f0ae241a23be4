//! From a JobGraph and its slots to one TaskDeployment per subtask. Pure.
//! Called by `job_master.rs` when an attempt is deployed.

use model::deployment::{Consumer, InputDeployment, OutputDeployment, TaskDeployment, TaskRestore};
use model::job_graph::{JobEdge, JobGraph, JobVertex, Partitioning};
use model::key_group::{self, KeyGroupRange};
use model::{Attempt, Error, ExecutionAttemptId, JobId, LeaderEpoch, Result, SubtaskIndex};

use crate::slot_pool::Slot;

/// What every deployment of one attempt shares.
pub struct Plan<'a> {
    pub leader_epoch: LeaderEpoch,
    pub job: JobId,
    pub job_name: &'a str,
    pub attempt: Attempt,
    pub graph: &'a JobGraph,
    /// Slot i takes subtask i of every vertex.
    pub slots: &'a [Slot],
    pub checkpoint_storage: &'a str,
}

/// Gives the state a subtask opens with: vertex and key groups.
pub type RestoreOf<'a> =
    dyn Fn(&JobVertex, SubtaskIndex, KeyGroupRange) -> Result<Option<TaskRestore>> + 'a;

/// The deployments of one vertex, each with its slot.
pub type Wave = Vec<(Slot, TaskDeployment)>;

/// One wave per vertex, consumers before producers, so that a producer finds the gates it
/// sends to. Fails when there are too few slots or `restore_of` fails.
pub fn deployments(plan: &Plan<'_>, restore_of: &RestoreOf<'_>) -> Result<Vec<Wave>> {
    plan.graph.vertices.iter().rev().map(|v| wave(plan, v, restore_of)).collect()
}

fn wave(plan: &Plan<'_>, vertex: &JobVertex, restore_of: &RestoreOf<'_>) -> Result<Wave> {
    (0..vertex.parallelism)
        .map(|index| {
            let slot = slot_of(plan, SubtaskIndex(index))?;
            Ok((slot.clone(), deployment(plan, vertex, SubtaskIndex(index), restore_of)?))
        })
        .collect()
}

fn slot_of<'a>(plan: &Plan<'a>, subtask: SubtaskIndex) -> Result<&'a Slot> {
    plan.slots
        .get(subtask.0 as usize)
        .ok_or_else(|| Error::internal(format!("no slot for subtask {subtask}")))
}

fn deployment(
    plan: &Plan<'_>,
    vertex: &JobVertex,
    subtask: SubtaskIndex,
    restore_of: &RestoreOf<'_>,
) -> Result<TaskDeployment> {
    let max = plan.graph.max_parallelism;
    let key_groups = key_group::range_of(subtask.0, max, vertex.parallelism);
    let inputs = plan
        .graph
        .inputs_of(vertex.id)
        .map(|(index, edge)| input(plan, index, edge, subtask))
        .collect::<Result<_>>()?;
    let outputs = plan
        .graph
        .outputs_of(vertex.id)
        .map(|(index, edge)| output(plan, index, edge, subtask))
        .collect::<Result<_>>()?;
    Ok(TaskDeployment {
        leader_epoch: plan.leader_epoch,
        allocation: slot_of(plan, subtask)?.allocation,
        attempt: ExecutionAttemptId {
            job: plan.job,
            vertex: vertex.id,
            subtask,
            attempt: plan.attempt,
        },
        job_name: plan.job_name.to_owned(),
        vertex: vertex.clone(),
        max_parallelism: max,
        key_groups,
        state: plan.graph.state.clone(),
        checkpoint_storage: plan.checkpoint_storage.to_owned(),
        inputs,
        outputs,
        restore: restore_of(vertex, subtask, key_groups)?,
    })
}

/// Subtasks at the other end that have a channel to `subtask`.
fn peers(edge: &JobEdge, subtask: SubtaskIndex, parallelism: u32) -> Vec<SubtaskIndex> {
    match edge.partitioning {
        Partitioning::Forward => vec![subtask],
        Partitioning::Hash { .. } | Partitioning::Rebalance | Partitioning::Broadcast => {
            (0..parallelism).map(SubtaskIndex).collect()
        }
    }
}

fn vertex_at<'a>(plan: &Plan<'a>, id: model::VertexId) -> Result<&'a JobVertex> {
    plan.graph.vertex(id).ok_or_else(|| Error::internal(format!("an edge names no vertex: {id}")))
}

fn input(
    plan: &Plan<'_>,
    index: usize,
    edge: &JobEdge,
    subtask: SubtaskIndex,
) -> Result<InputDeployment> {
    let from = vertex_at(plan, edge.from)?;
    Ok(InputDeployment {
        edge: index as u32,
        port: edge.port,
        producers: peers(edge, subtask, from.parallelism),
    })
}

fn output(
    plan: &Plan<'_>,
    index: usize,
    edge: &JobEdge,
    subtask: SubtaskIndex,
) -> Result<OutputDeployment> {
    let to = vertex_at(plan, edge.to)?;
    let consumers = peers(edge, subtask, to.parallelism)
        .into_iter()
        .map(|peer| {
            Ok(Consumer { subtask: peer, data_addr: slot_of(plan, peer)?.data_addr.clone() })
        })
        .collect::<Result<_>>()?;
    Ok(OutputDeployment {
        edge: index as u32,
        output: edge.output,
        partitioning: edge.partitioning.clone(),
        to: edge.to,
        to_parallelism: to.parallelism,
        consumers,
    })
}

#[cfg(test)]
mod tests;
