//! The sinks' committers, in the job manager: what a complete checkpoint staged is made
//! visible here. Called by `perform.rs` after a manifest and by `restore.rs` before a start.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ::checkpoint::Manifest;
use bytes::Bytes;
use model::connector::Connectors;
use model::job_graph::JobGraph;
use model::operator_spec::OperatorSpec;
use model::sink::Committer;
use model::{ErrorKind, JobId, Result};

/// How often a commit is tried before the job fails over; pauses double from 100 ms.
const TRIES: u32 = 6;

/// The committers of one job by the sink's uid.
pub struct Sinks {
    committers: BTreeMap<String, Box<dyn Committer>>,
}

impl Sinks {
    /// Fails with kind User when a sink's options are wrong.
    pub fn new(graph: &JobGraph, connectors: &dyn Connectors) -> Result<Self> {
        let mut committers = BTreeMap::new();
        for operator in graph.operators() {
            if let OperatorSpec::Sink { sink } = &operator.spec {
                let built = connectors
                    .sink(sink)
                    .map_err(|e| model::Error::from(e).at(format!("sink `{}`", operator.name)))?;
                if let Some(committer) = built.committer() {
                    committers.insert(operator.uid.clone(), committer);
                }
            }
        }
        Ok(Self { committers })
    }

    /// Makes everything visible that `manifest` names. Idempotent. Tries again while the
    /// outside world is to blame.
    pub async fn commit(&self, manifest: &Manifest) -> Result<()> {
        for (uid, committables) in ::checkpoint::committables(manifest) {
            let Some(committer) = self.committers.get(&uid) else {
                tracing::warn!(
                    sink = uid,
                    checkpoint = %manifest.checkpoint,
                    "the job has no such sink any more; what it had staged stays invisible"
                );
                continue;
            };
            retried(|| committer.commit(committables.clone()))
                .await
                .map_err(|e| e.at(format!("sink `{uid}`")))?;
        }
        Ok(())
    }

    /// Removes what earlier attempts of `job` staged, except for what `manifest` names.
    pub async fn clean_up(&self, job: JobId, manifest: Option<&Arc<Manifest>>) -> Result<()> {
        let mut keep: BTreeMap<String, Vec<Bytes>> = manifest
            .map(|m| ::checkpoint::committables(m).into_iter().collect())
            .unwrap_or_default();
        for (uid, committer) in &self.committers {
            let keep = keep.remove(uid).unwrap_or_default();
            retried(|| committer.clean_up(job, keep.clone()))
                .await
                .map_err(|e| e.at(format!("sink `{uid}`")))?;
        }
        Ok(())
    }
}

async fn retried<'a>(call: impl Fn() -> futures::future::BoxFuture<'a, Result<()>>) -> Result<()> {
    let mut pause = Duration::from_millis(100);
    for _ in 1..TRIES {
        match call().await {
            Err(error) if error.kind() == ErrorKind::External => {
                tracing::warn!(error = %error.chain(), "a sink did not commit; trying again");
            }
            other => return other,
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    call().await
}
