//! The JobGraph: what is submitted. Vertices are operator chains; edges are exchanges.
//! Travels as versioned JSON (opaque to the wire) and is shown as such by the HTTP API.

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};

use crate::config::{CheckpointConfig, RestartStrategy, SloConfig, StateConfig};
use crate::operator_spec::OperatorSpec;
use crate::{Error, Result, VertexId};

/// Version of the JSON form. Raised when an older reader would misread it.
pub const JOB_GRAPH_VERSION: u32 = 1;

/// A validated job. Vertices are in topological order, sources first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobGraph {
    pub version: u32,
    pub name: String,
    pub max_parallelism: u32,
    pub vertices: Vec<JobVertex>,
    pub edges: Vec<JobEdge>,
    pub checkpoint: CheckpointConfig,
    pub restart: RestartStrategy,
    pub state: StateConfig,
    /// The job file as the user wrote it, for the UI and for `describe`.
    #[serde(default)]
    pub job_file: String,
    /// What kind of text `job_file` is, and where in it the operators stand.
    #[serde(default, skip_serializing_if = "JobFileOrigin::is_empty")]
    pub origin: JobFileOrigin,
    #[serde(default, skip_serializing_if = "SloConfig::is_empty")]
    pub slo: SloConfig,
}

/// In which language a job file is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobFileFormat {
    #[default]
    Yaml,
    Sql,
}

/// From the graph back to the text it was made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JobFileOrigin {
    pub format: JobFileFormat,
    /// By operator uid. Operators that the planner adds point at the node they belong to.
    pub places: BTreeMap<String, FilePlace>,
}

impl JobFileOrigin {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A place in a text, line and column from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePlace {
    pub line: u32,
    pub column: u32,
}

/// Operators that run in one task, in one call chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobVertex {
    pub id: VertexId,
    /// Names of the chain's nodes joined by ` -> `.
    pub name: String,
    pub parallelism: u32,
    /// In chain order. A source comes first, a sink last.
    pub operators: Vec<OperatorNode>,
    /// Side outputs of the chain, in the order that edges and `Output` number them from 1.
    pub side_outputs: Vec<SideOutput>,
}

/// One operator of a chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperatorNode {
    /// Stable identity of the operator's state: declared, or the node's name in the file.
    pub uid: String,
    /// The node's name in the job file (an implicit operator adds a suffix).
    pub name: String,
    pub spec: OperatorSpec,
    /// One per input port; empty for a source.
    pub inputs: Vec<SchemaRef>,
    /// Equal to the input's for a sink.
    pub output: SchemaRef,
}

/// A second output of a chain's operator: late rows, dead letters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SideOutput {
    /// Index into `operators`.
    pub operator: usize,
    /// `late` or `deadLetter`.
    pub name: String,
    pub schema: SchemaRef,
}

/// An exchange. Several edges may end in one port (union) and several may leave one output
/// (each gets every element).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobEdge {
    pub from: VertexId,
    /// 0: the chain's main output; `n`: `side_outputs[n - 1]`.
    pub output: usize,
    pub to: VertexId,
    /// Input port of the first operator of `to`.
    pub port: usize,
    pub partitioning: Partitioning,
    pub schema: SchemaRef,
}

/// How rows find their subtask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Partitioning {
    /// Subtask i to subtask i; both sides have the same parallelism.
    Forward,
    /// By key group of these columns.
    Hash { columns: Vec<String> },
    /// Batches in turn.
    Rebalance,
    /// Every subtask gets every row.
    Broadcast,
}

impl JobGraph {
    /// Checks what every later stage relies on. `jobfile` calls it before anything is
    /// submitted and the job manager again before anything is run.
    pub fn validate(&self) -> Result<()> {
        if self.version != JOB_GRAPH_VERSION {
            return Err(Error::user(format!(
                "job graph version {} is not understood here (expected {JOB_GRAPH_VERSION}); \
                 use a streamctl of the same version as the job manager",
                self.version
            )));
        }
        if self.vertices.is_empty() {
            return Err(Error::user("a job needs at least one source and one sink"));
        }
        let limit = crate::key_group::MAX_PARALLELISM_LIMIT;
        if self.max_parallelism == 0 || self.max_parallelism > limit {
            return Err(Error::user(format!(
                "maxParallelism {} is out of range 1..={limit}",
                self.max_parallelism
            )));
        }
        for (index, vertex) in self.vertices.iter().enumerate() {
            self.validate_vertex(index, vertex)?;
        }
        for edge in &self.edges {
            self.validate_edge(edge)?;
        }
        let mut uids: Vec<&str> = self.operators().map(|o| o.uid.as_str()).collect();
        uids.sort_unstable();
        if let Some(pair) = uids.windows(2).find(|w| w[0] == w[1]) {
            return Err(Error::user(format!("uid `{}` is used by two operators", pair[0])));
        }
        Ok(())
    }

    fn validate_vertex(&self, index: usize, vertex: &JobVertex) -> Result<()> {
        let name = &vertex.name;
        if vertex.parallelism == 0 || vertex.parallelism > self.max_parallelism {
            return Err(Error::user(format!(
                "parallelism {} of `{name}` is out of range 1..={} (maxParallelism)",
                vertex.parallelism, self.max_parallelism
            )));
        }
        let Some(first) = vertex.operators.first() else {
            return Err(Error::internal(format!("vertex `{name}` has no operator")));
        };
        let is_source = matches!(first.spec, OperatorSpec::Source { .. });
        if is_source == self.edges.iter().any(|e| e.to == vertex.id) {
            return Err(Error::internal(format!(
                "vertex `{name}` must have inputs or be a source"
            )));
        }
        let aligned = matches!(first.spec, OperatorSpec::Source { alignment: Some(_), .. });
        let watermark = |o: &OperatorNode| matches!(o.spec, OperatorSpec::Watermark { .. });
        if aligned && !vertex.operators.iter().any(watermark) {
            return Err(Error::user(format!(
                "watermark alignment of source `{}` needs a watermark in the same chain; give the \
                 source a `watermark`",
                first.name
            )));
        }
        if self.vertices[..index].iter().any(|v| v.id == vertex.id) {
            return Err(Error::internal(format!("two vertices have the id {}", vertex.id)));
        }
        Ok(())
    }

    fn validate_edge(&self, edge: &JobEdge) -> Result<()> {
        let position = |id| self.vertices.iter().position(|v| v.id == id);
        let (Some(from), Some(to)) = (position(edge.from), position(edge.to)) else {
            return Err(Error::internal("an edge names a vertex that does not exist"));
        };
        if from >= to {
            return Err(Error::user("the graph has a cycle"));
        }
        let (from, to) = (&self.vertices[from], &self.vertices[to]);
        if edge.partitioning == Partitioning::Forward && from.parallelism != to.parallelism {
            return Err(Error::internal(format!(
                "forward edge `{}` to `{}` joins unequal parallelism",
                from.name, to.name
            )));
        }
        if edge.output > from.side_outputs.len() {
            return Err(Error::internal(format!("`{}` has no output {}", from.name, edge.output)));
        }
        Ok(())
    }

    pub fn vertex(&self, id: VertexId) -> Option<&JobVertex> {
        self.vertices.iter().find(|v| v.id == id)
    }

    /// All operators, in vertex and chain order.
    pub fn operators(&self) -> impl Iterator<Item = &OperatorNode> {
        self.vertices.iter().flat_map(|v| v.operators.iter())
    }

    /// Edges into `vertex`, with their index in `edges`.
    pub fn inputs_of(&self, vertex: VertexId) -> impl Iterator<Item = (usize, &JobEdge)> {
        self.edges.iter().enumerate().filter(move |(_, e)| e.to == vertex)
    }

    /// Edges out of `vertex`, with their index in `edges`.
    pub fn outputs_of(&self, vertex: VertexId) -> impl Iterator<Item = (usize, &JobEdge)> {
        self.edges.iter().enumerate().filter(move |(_, e)| e.from == vertex)
    }

    /// Slots the job needs: with slot sharing, its greatest parallelism.
    pub fn slots_needed(&self) -> u32 {
        self.vertices.iter().map(|v| v.parallelism).max().unwrap_or(0)
    }
}

impl JobVertex {
    pub fn is_source(&self) -> bool {
        matches!(self.operators.first().map(|o| &o.spec), Some(OperatorSpec::Source { .. }))
    }
    pub fn is_sink(&self) -> bool {
        matches!(self.operators.last().map(|o| &o.spec), Some(OperatorSpec::Sink { .. }))
    }
}

/// Serde form of `Bytes` in JSON documents: base64 text, so that checkpoints stay readable JSON.
pub mod bytes_as_base64 {
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    pub fn serialize<S: Serializer>(bytes: &Bytes, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(d)?;
        decode(&text).ok_or_else(|| D::Error::custom("not base64"))
    }

    /// Standard base64 with padding (RFC 4648).
    pub fn encode(bytes: &[u8]) -> String {
        let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
        for chunk in bytes.chunks(3) {
            let word = chunk.iter().fold(0_u32, |w, b| (w << 8) | u32::from(*b))
                << (8 * (3 - chunk.len()));
            for position in 0..4 {
                if position <= chunk.len() {
                    text.push(ALPHABET[(word >> (18 - 6 * position)) as usize & 63] as char);
                } else {
                    text.push('=');
                }
            }
        }
        text
    }

    pub fn decode(text: &str) -> Option<Bytes> {
        if !text.len().is_multiple_of(4) {
            return None;
        }
        let trimmed = text.trim_end_matches('=');
        if text.len() - trimmed.len() > 2 {
            return None;
        }
        let mut bytes = Vec::with_capacity(trimmed.len() * 3 / 4);
        let (mut word, mut bits) = (0_u32, 0);
        for c in trimmed.bytes() {
            let value = ALPHABET.iter().position(|a| *a == c)? as u32;
            word = (word << 6) | value;
            bits += 6;
            if bits >= 8 {
                bits -= 8;
                bytes.push((word >> bits) as u8);
            }
        }
        Some(Bytes::from(bytes))
    }
}
