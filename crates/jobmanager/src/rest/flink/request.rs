//! What requests to the facade name: jobs, vertices, subtasks, comma-separated lists. Used
//! by every handler of the facade.

use std::sync::Arc;

use model::{JobId, VertexId};

use crate::details::{JobSnapshot, SubtaskDetails, VertexDetails};

use super::{Facade, FlinkError};

/// Decoded pairs of the query, in their order; a name may repeat.
pub(super) type Pairs = axum::extract::Query<Vec<(String, String)>>;

/// The last value of a query parameter.
pub(super) fn value<'a>(pairs: &'a Pairs, name: &str) -> Option<&'a str> {
    pairs.0.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
}

/// A comma-separated list, empty entries left out. `None`: the parameter is not there.
pub(super) fn list<'a>(pairs: &'a Pairs, name: &str) -> Option<Vec<&'a str>> {
    let mut found = pairs.0.iter().filter(|(n, _)| n == name).peekable();
    found.peek()?;
    let values = found.flat_map(|(_, value)| value.split(','));
    Some(values.map(str::trim).filter(|v| !v.is_empty()).collect())
}

/// 32 hexadecimal digits.
pub(super) fn job_id(text: &str, place: &str) -> Result<JobId, FlinkError> {
    let name = if place == "query" { "jobs" } else { "jobid" };
    text.parse().map_err(|_| FlinkError::bad_parameter(place, name, text))
}

/// The job of a path, running or remembered.
pub(super) async fn job(facade: &Facade, text: &str) -> Result<Arc<JobSnapshot>, FlinkError> {
    let id = job_id(text, "path")?;
    let found = facade.dispatcher.snapshot(&id.to_string()).await;
    found.map_err(|e| match e.kind() {
        model::ErrorKind::User => FlinkError::not_found(format!("Job {id} not found")),
        _ => e.into(),
    })
}

/// The vertex of a path.
pub(super) fn vertex<'a>(
    job: &'a JobSnapshot,
    text: &str,
) -> Result<&'a VertexDetails, FlinkError> {
    let id: VertexId =
        text.parse().map_err(|_| FlinkError::bad_parameter("path", "vertexid", text))?;
    let found = job.details.vertices.iter().find(|v| v.id == id);
    found.ok_or_else(|| FlinkError::not_found(format!("JobVertex {id} not found")))
}

/// The subtask of a path, by its index.
pub(super) fn subtask<'a>(
    vertex: &'a VertexDetails,
    text: &str,
) -> Result<&'a SubtaskDetails, FlinkError> {
    let index: usize =
        text.parse().map_err(|_| FlinkError::bad_parameter("path", "subtaskindex", text))?;
    vertex.subtasks.get(index).ok_or_else(|| {
        FlinkError::not_found(format!("Invalid subtask index for vertex {}", vertex.id))
    })
}

/// Whether a subtask of that index is asked for by a list such as `0-2,5`.
///
/// # Errors
/// 400: it is not such a list.
pub(super) fn ranges(entries: &[&str]) -> Result<Vec<std::ops::RangeInclusive<u32>>, FlinkError> {
    let wrong = |entry: &str| FlinkError::bad_parameter("query", "subtasks", entry);
    entries
        .iter()
        .map(|entry| {
            let (from, to) = entry.split_once('-').unwrap_or((entry, entry));
            let number = |text: &str| text.trim().parse::<u32>().map_err(|_| wrong(entry));
            Ok(number(from)?..=number(to)?)
        })
        .collect()
}
