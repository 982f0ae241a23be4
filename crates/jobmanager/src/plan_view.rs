//! The plan of a job as the UI draws it: vertices with their operators and the lines of the
//! job file they come from, and the exchanges between them. Called by `details.rs` and by
//! `rest/` for jobs that are only validated.

use model::VertexId;
use model::job_graph::{JobGraph, Partitioning};
use serde::Serialize;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlanView {
    pub nodes: Vec<PlanNode>,
    pub edges: Vec<PlanEdge>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanNode {
    pub vertex: VertexId,
    pub name: String,
    pub parallelism: u32,
    pub operators: Vec<PlanOperator>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlanOperator {
    pub uid: String,
    pub name: String,
    pub kind: &'static str,
    /// Into the job file, from 1; `None` when unknown.
    pub line: Option<u32>,
    pub column: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlanEdge {
    pub from: VertexId,
    pub to: VertexId,
    /// `forward`, `hash`, `rebalance` or `broadcast`.
    pub partitioning: &'static str,
    /// Columns of a hash exchange.
    pub keys: Vec<String>,
    /// `late` or `deadLetter` when the edge leaves a side output.
    pub side: Option<String>,
}

impl PlanView {
    pub fn of(graph: &JobGraph) -> Self {
        let nodes = graph.vertices.iter().map(|vertex| PlanNode {
            vertex: vertex.id,
            name: vertex.name.clone(),
            parallelism: vertex.parallelism,
            operators: vertex
                .operators
                .iter()
                .map(|operator| {
                    let place = graph.origin.places.get(&operator.uid);
                    PlanOperator {
                        uid: operator.uid.clone(),
                        name: operator.name.clone(),
                        kind: operator.spec.kind(),
                        line: place.map(|p| p.line),
                        column: place.map(|p| p.column),
                    }
                })
                .collect(),
        });
        let edges = graph.edges.iter().map(|edge| {
            let (partitioning, keys) = match &edge.partitioning {
                Partitioning::Forward => ("forward", Vec::new()),
                Partitioning::Hash { columns } => ("hash", columns.clone()),
                Partitioning::Rebalance => ("rebalance", Vec::new()),
                Partitioning::Broadcast => ("broadcast", Vec::new()),
            };
            let sides = graph.vertex(edge.from).map(|v| v.side_outputs.as_slice());
            let side = edge.output.checked_sub(1).and_then(|at| sides?.get(at));
            PlanEdge {
                from: edge.from,
                to: edge.to,
                partitioning,
                keys,
                side: side.map(|s| s.name.clone()),
            }
        });
        Self { nodes: nodes.collect(), edges: edges.collect() }
    }
}
