//! Chains placed operators into vertices and numbers outputs and edges.

use model::VertexId;
use model::job_graph::{JobEdge, JobVertex, OperatorNode, Partitioning, SideOutput};
use model::operator_spec::OperatorSpec;

use super::Placed;

/// Vertices (sources first, then in the order of the graph) and the edges between them.
pub fn vertices(placed: &[Placed]) -> (Vec<JobVertex>, Vec<JobEdge>) {
    let mut readers = vec![0_usize; placed.len()];
    for edge in placed.iter().flat_map(|p| &p.edges).filter(|e| !e.side) {
        readers[edge.from] += 1;
    }
    let mut vertices: Vec<JobVertex> = Vec::new();
    // Per operator: its vertex and its place in the chain.
    let mut home: Vec<(usize, usize)> = Vec::with_capacity(placed.len());
    for one in placed {
        let chained = match one.edges.as_slice() {
            [edge]
                if edge.partitioning == Partitioning::Forward
                    && !edge.side
                    && one.inputs.len() == 1
                    && readers[edge.from] == 1
                    && placed[edge.from].op.parallelism == one.op.parallelism =>
            {
                Some(home[edge.from].0)
            }
            _ => None,
        };
        let vertex = chained.unwrap_or_else(|| {
            vertices.push(JobVertex {
                id: VertexId::of_uid(&one.op.uid),
                name: String::new(),
                parallelism: one.op.parallelism,
                operators: Vec::new(),
                side_outputs: Vec::new(),
            });
            vertices.len() - 1
        });
        let chain = &mut vertices[vertex];
        home.push((vertex, chain.operators.len()));
        add(chain, one);
    }
    for vertex in &mut vertices {
        let names: Vec<&str> = vertex.operators.iter().map(|o| o.name.as_str()).collect();
        vertex.name = names.join(" -> ");
    }
    let edges = edges(placed, &vertices, &home);
    // Stable, hence still topological: a source has no inputs.
    vertices.sort_by_key(|v| !v.is_source());
    (vertices, edges)
}

fn add(chain: &mut JobVertex, one: &Placed) {
    if let Some(schema) = &one.op.side {
        let name = match one.op.spec {
            OperatorSpec::Source { .. } => "deadLetter",
            _ => "late",
        };
        chain.side_outputs.push(SideOutput {
            operator: chain.operators.len(),
            name: name.to_owned(),
            schema: schema.clone(),
        });
    }
    chain.operators.push(OperatorNode {
        uid: one.op.uid.clone(),
        name: one.op.name.clone(),
        spec: one.op.spec.clone(),
        inputs: one.inputs.clone(),
        output: one.op.output.clone(),
    });
}

fn edges(placed: &[Placed], vertices: &[JobVertex], home: &[(usize, usize)]) -> Vec<JobEdge> {
    let mut edges = Vec::new();
    for (index, one) in placed.iter().enumerate() {
        let (to, place) = home[index];
        if place > 0 {
            continue;
        }
        for edge in &one.edges {
            let (from, operator) = home[edge.from];
            let output = match edge.side {
                true => {
                    let sides = &vertices[from].side_outputs;
                    sides.iter().position(|s| s.operator == operator).map_or(0, |at| at + 1)
                }
                false => 0,
            };
            edges.push(JobEdge {
                from: vertices[from].id,
                output,
                to: vertices[to].id,
                port: edge.port,
                partitioning: edge.partitioning.clone(),
                schema: placed[edge.from].op.schema(edge.side).clone(),
            });
        }
    }
    edges
}
