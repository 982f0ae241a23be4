//! What happens before an attempt is deployed: find the checkpoint it starts from, make
//! visible what that one's sinks had staged, and set up the enumerators. Runs beside the
//! job master and reports back with [`JobMessage::Prepared`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ::checkpoint::Manifest;
use model::connector::{Connectors, SourceSpec};
use model::job_graph::{JobGraph, JobVertex};
use model::operator_spec::OperatorSpec;
use model::source::SplitEnumerator;
use model::{Attempt, CheckpointId, Error, JobId, Result, VertexId};

use crate::checkpoint::store::CheckpointStore;
use crate::job_master::commit::Sinks;
use crate::source_coordinator::restored_enumerator;

/// Everything an attempt starts with.
pub struct Prepared {
    pub manifest: Option<Arc<Manifest>>,
    pub enumerators: BTreeMap<VertexId, Box<dyn SplitEnumerator>>,
}

/// What is to be found out.
pub(super) struct Preparation {
    pub job: JobId,
    pub attempt: Attempt,
    pub graph: Arc<JobGraph>,
    pub store: Arc<dyn CheckpointStore>,
    pub connectors: Arc<dyn Connectors>,
    pub sinks: Arc<Sinks>,
    pub latest: Option<CheckpointId>,
    pub in_doubt: Option<CheckpointId>,
    /// The newest manifest that the job master remembers.
    pub remembered: Option<Arc<Manifest>>,
    /// What the job was submitted with.
    pub from: Option<Arc<Manifest>>,
}

/// The uid and description of a vertex's source.
pub(super) fn source_of(vertex: &JobVertex) -> Option<(&str, &SourceSpec)> {
    let first = vertex.operators.first()?;
    match &first.spec {
        OperatorSpec::Source { source, .. } => Some((first.uid.as_str(), source)),
        _ => None,
    }
}

/// The uid of a vertex's sink.
pub(super) fn sink_of(vertex: &JobVertex) -> Option<&str> {
    let last = vertex.operators.last()?;
    matches!(last.spec, OperatorSpec::Sink { .. }).then_some(last.uid.as_str())
}

fn built_source(
    connectors: &dyn Connectors,
    name: &str,
    spec: &SourceSpec,
) -> Result<Arc<dyn model::source::Source>> {
    connectors.source(spec).map_err(|e| Error::from(e).at(format!("source `{name}`")))
}

/// Fails with kind User when a source's options are wrong.
/// Returns the vertices whose source never ends by itself.
pub(super) fn check_sources(
    graph: &JobGraph,
    connectors: &dyn Connectors,
) -> Result<BTreeSet<VertexId>> {
    let mut unbounded = BTreeSet::new();
    for vertex in &graph.vertices {
        if let Some((uid, spec)) = source_of(vertex)
            && !built_source(connectors, uid, spec)?.is_bounded()
        {
            unbounded.insert(vertex.id);
        }
    }
    Ok(unbounded)
}

impl Preparation {
    /// The second part says where the checkpoint in doubt lies, if it is complete.
    pub(super) async fn run(self) -> (Result<Prepared>, Option<(CheckpointId, String)>) {
        let (manifest, settled) = match self.manifest().await {
            Ok(found) => found,
            Err(error) => return (Err(error), None),
        };
        (self.prepare(manifest).await, settled)
    }

    async fn manifest(&self) -> Result<(Option<Arc<Manifest>>, Option<(CheckpointId, String)>)> {
        if let Some(id) = self.in_doubt
            && let Some(found) = self.store.find(self.job, id).await?
        {
            let place = format!("{}/{}/chk-{id}", self.store.uri(), self.job);
            return Ok((Some(Arc::new(found)), Some((id, place))));
        }
        let Some(latest) = self.latest else { return Ok((self.from.clone(), None)) };
        let remembered = self
            .remembered
            .as_ref()
            .filter(|m| m.job == self.job && m.checkpoint == latest)
            .cloned();
        if remembered.is_some() {
            return Ok((remembered, None));
        }
        let found = self.store.find(self.job, latest).await?;
        let found = found.ok_or_else(|| {
            Error::external(format!("checkpoint {latest} is gone from {}", self.store.uri()))
        })?;
        Ok((Some(Arc::new(found)), None))
    }

    /// Nothing was staged by this job before its first attempt.
    async fn prepare(&self, manifest: Option<Arc<Manifest>>) -> Result<Prepared> {
        if let Some(manifest) = &manifest {
            self.sinks.commit(manifest).await?;
        }
        if self.attempt > Attempt(1) || manifest.is_some() {
            self.sinks.clean_up(self.job, manifest.as_ref()).await?;
        }
        let mut enumerators = BTreeMap::new();
        for vertex in &self.graph.vertices {
            let Some((uid, spec)) = source_of(vertex) else { continue };
            let source = built_source(self.connectors.as_ref(), uid, spec)?;
            let snapshot = manifest.as_ref().and_then(|m| m.enumerators.get(uid));
            let splits =
                manifest.as_ref().map(|m| ::checkpoint::source_splits(m, uid)).unwrap_or_default();
            let snapshot = snapshot.map(|bytes| bytes.0.as_ref());
            let enumerator = restored_enumerator(&source, vertex.parallelism, snapshot, splits)
                .map_err(|e| e.at(format!("source `{uid}`")))?;
            enumerators.insert(vertex.id, enumerator);
        }
        Ok(Prepared { manifest, enumerators })
    }
}
