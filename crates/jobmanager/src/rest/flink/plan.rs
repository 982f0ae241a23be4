//! The plan of a job as Flink's JSON: one node per vertex, its inputs, its chain as text.
//! Pure but for the handler.

use axum::Json;
use axum::extract::{Path, State};
use model::job_graph::{JobEdge, JobVertex, Partitioning};
use serde_json::{Value, json};

use crate::details::JobSnapshot;

use super::{Answer, Shared, request};

pub async fn of_job(State(facade): Shared, Path(job): Path<String>) -> Answer {
    let job = request::job(&facade, &job).await?;
    Ok(Json(json!({ "plan": of(&job) })))
}

/// Consumers before producers, as Flink lists them.
pub(super) fn of(job: &JobSnapshot) -> Value {
    let nodes: Vec<Value> = job.graph.vertices.iter().rev().map(|v| node(job, v)).collect();
    json!({
        "jid": job.details.id,
        "name": job.details.name,
        "type": "STREAMING",
        "nodes": nodes,
    })
}

fn node(job: &JobSnapshot, vertex: &JobVertex) -> Value {
    let mut node = json!({
        "id": vertex.id,
        "operator": "",
        "parallelism": vertex.parallelism,
        "operator_strategy": "",
        "description": description(vertex),
        "optimizer_properties": {},
    });
    let inputs: Vec<Value> = job
        .graph
        .inputs_of(vertex.id)
        .enumerate()
        .map(|(position, (_, edge))| input(position, edge))
        .collect();
    if !inputs.is_empty() {
        node["inputs"] = inputs.into();
    }
    node
}

fn input(position: usize, edge: &JobEdge) -> Value {
    let strategy = match edge.partitioning {
        Partitioning::Forward => "FORWARD",
        Partitioning::Hash { .. } => "HASH",
        Partitioning::Rebalance => "REBALANCE",
        Partitioning::Broadcast => "BROADCAST",
    };
    json!({
        "num": position,
        "id": edge.from,
        "ship_strategy": strategy,
        "exchange": "pipelined_bounded",
    })
}

/// The chain as a staircase of lines that end in `<br/>`; pages show it as HTML.
fn description(vertex: &JobVertex) -> String {
    let mut text = String::new();
    for (depth, operator) in vertex.operators.iter().enumerate() {
        if depth > 0 {
            text.push_str(&"   ".repeat(depth - 1));
            text.push_str("+- ");
        }
        text.push_str(&escaped(&operator.name));
        text.push_str(&format!(" ({})<br/>", operator.spec.kind()));
    }
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
