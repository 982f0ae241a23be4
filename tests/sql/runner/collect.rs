//! The tests' connectors: source `rows`, and sink `collect`, which keeps in memory what is
//! committed, exactly once, under the name of its run. Called by `engine`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::future::BoxFuture;
use model::arrow::array::RecordBatch;
use model::arrow::datatypes::SchemaRef;
use model::connector::{ConnectorInfo, Connectors, OptionError, Role, SinkSpec, SourceSpec};
use model::row_kind::{self, RowKind};
use model::sink::{Committable, Committer, Sink, SinkWriter, WriterContext};
use model::source::Source;
use model::{CheckpointId, Error, JobId, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::render;
use crate::rows::{Gate, RowsSource, load};

/// Where what the jobs commit is kept, and the gates of their sources.
#[derive(Clone, Default)]
pub struct Registry {
    runs: Arc<Mutex<BTreeMap<String, Run>>>,
    numbers: Arc<AtomicU64>,
    folder: PathBuf,
    /// Every connector there is outside of tests.
    real: Option<Arc<dyn Connectors>>,
}

/// One run of one job.
#[derive(Clone, Default)]
struct Run {
    gate: Arc<Gate>,
    committed: BTreeMap<u64, Staged>,
}

/// What one writer staged for one checkpoint.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Staged {
    /// Rises from one to the next, also over restores.
    number: u64,
    /// (kind, key, row).
    changes: Vec<(u8, String, String)>,
}

impl Registry {
    /// Tables lie in `folder`.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, real: Some(cli::composition::connectors()), ..Self::default() }
    }

    pub fn gate(&self, run: &str) -> Arc<Gate> {
        self.runs.lock().unwrap().entry(run.to_owned()).or_default().gate.clone()
    }

    /// The final rows of runs that follow each other, sorted; an error when they are none of
    /// a table (a row was taken away that was not there).
    pub fn rows(&self, runs: &[&str]) -> std::result::Result<Vec<String>, String> {
        let all = self.runs.lock().unwrap();
        let mut staged: BTreeMap<u64, &Staged> = BTreeMap::new();
        for run in runs.iter().filter_map(|r| all.get(*r)) {
            staged.extend(run.committed.iter().map(|(n, s)| (*n, s)));
        }
        let changes = staged.values().flat_map(|s| &s.changes);
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        let mut keyed: BTreeMap<String, String> = BTreeMap::new();
        for (kind, key, row) in changes {
            let added = RowKind::from_u8(*kind).unwrap().is_addition();
            match (key.is_empty(), added) {
                (true, true) => *counts.entry(row.clone()).or_default() += 1,
                (true, false) => *counts.entry(row.clone()).or_default() -= 1,
                (false, true) => {
                    keyed.insert(key.clone(), row.clone());
                }
                (false, false) => {
                    keyed.remove(key);
                }
            }
        }
        for row in keyed.into_values() {
            *counts.entry(row).or_default() += 1;
        }
        if let Some((row, count)) = counts.iter().find(|(_, n)| **n < 0) {
            return Err(format!("taken away {} times more than put there: {row}", -count));
        }
        let times = |(row, n): (String, i64)| std::iter::repeat_n(row, usize::try_from(n).unwrap());
        Ok(counts.into_iter().flat_map(times).collect())
    }

    /// Drops what is kept of the runs.
    pub fn forget(&self, runs: &[&str]) {
        self.runs.lock().unwrap().retain(|name, _| !runs.contains(&name.as_str()));
    }
}

fn option<'a>(options: &'a serde_json::Value, key: &str) -> &'a str {
    options[key].as_str().unwrap_or_default()
}

fn refused(message: impl Into<String>) -> OptionError {
    OptionError { path: Vec::new(), at_key: false, message: message.into(), help: None }
}

impl Connectors for Registry {
    fn list(&self) -> Vec<ConnectorInfo> {
        let info = |name, role| ConnectorInfo { name, role, summary: "", options: json!({}) };
        let mut all = self.real.as_ref().map(|r| r.list()).unwrap_or_default();
        all.extend([info("rows", Role::Source), info("collect", Role::Sink)]);
        all
    }

    fn source(&self, spec: &SourceSpec) -> std::result::Result<Arc<dyn Source>, OptionError> {
        if spec.connector != "rows" {
            return self.real.as_ref().unwrap().source(spec);
        }
        let declared = spec.declared_schema.clone().ok_or_else(|| refused("no columns"))?;
        let rows = load(&self.folder, option(&spec.options, "table"), &declared);
        let mut rows = rows.map_err(|e| refused(e.chain()))?;
        if let Some(columns) = &spec.projection {
            let at: Vec<usize> = columns.iter().map(|c| declared.index_of(c).unwrap()).collect();
            rows = rows.project(&at).map_err(|e| refused(e.to_string()))?;
        }
        let splits = option(&spec.options, "splits").parse().unwrap_or(4);
        let gate = self.gate(option(&spec.options, "run"));
        let ordered = option(&spec.options, "ordered") == "true";
        Ok(Arc::new(RowsSource { rows, splits, ordered, gate }))
    }

    /// `collect`, as a table or, with the run's name behind an `@`, of a bare query.
    fn sink(&self, spec: &SinkSpec) -> std::result::Result<Arc<dyn Sink>, OptionError> {
        let (name, bare) = spec.connector.split_once('@').unwrap_or((&spec.connector, ""));
        if name != "collect" {
            return self.real.as_ref().unwrap().sink(spec);
        }
        let run = if bare.is_empty() { option(&spec.options, "run") } else { bare };
        let names = option(&spec.options, "key").split(',').filter(|k| !k.is_empty());
        let key: std::result::Result<Vec<usize>, _> =
            names.map(|k| spec.schema.index_of(k.trim())).collect();
        Ok(Arc::new(CollectSink {
            run: run.to_owned(),
            key: key.map_err(|e| refused(e.to_string()))?,
            schema: spec.schema.clone(),
            registry: self.clone(),
        }))
    }
}

#[derive(Clone)]
struct CollectSink {
    run: String,
    /// Positions of the primary key's columns; empty: the sink takes back whole rows.
    key: Vec<usize>,
    schema: SchemaRef,
    registry: Registry,
}

impl Sink for CollectSink {
    fn writer(&self, _context: WriterContext) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(Writer { sink: self.clone(), changes: Vec::new() }))
    }
    fn committer(&self) -> Option<Box<dyn Committer>> {
        Some(Box::new(self.clone()))
    }
    fn accepts_changelog(&self) -> bool {
        true
    }
}

struct Writer {
    sink: CollectSink,
    changes: Vec<(u8, String, String)>,
}

impl Writer {
    fn keep(&mut self, batch: &RecordBatch) {
        let kinds = row_kind::kinds(batch);
        let width = batch.num_columns() - usize::from(row_kind::is_changelog(&self.sink.schema));
        for row in 0..batch.num_rows() {
            let shown = |at: &usize| render::text(batch.column(*at), row, false);
            let key: Vec<String> = self.sink.key.iter().map(shown).collect();
            let line: Vec<String> = (0..width).map(|at| shown(&at)).collect();
            let kind = kinds.map_or(0, |k| k.value(row));
            self.changes.push((kind, key.join(" | "), line.join(" | ")));
        }
    }
}

impl SinkWriter for Writer {
    fn write(&mut self, batch: RecordBatch) -> BoxFuture<'_, Result<()>> {
        self.keep(&batch);
        Box::pin(async { Ok(()) })
    }

    fn prepare_commit(
        &mut self,
        _id: Option<CheckpointId>,
    ) -> Result<BoxFuture<'static, Result<Vec<Committable>>>> {
        let changes = std::mem::take(&mut self.changes);
        let number = self.sink.registry.numbers.fetch_add(1, Ordering::SeqCst);
        let staged = serde_json::to_vec(&Staged { number, changes });
        let staged = staged.map_err(|e| Error::internal("rows cannot be staged").caused_by(e))?;
        Ok(Box::pin(async { Ok(vec![Bytes::from(staged)]) }))
    }
}

impl Committer for CollectSink {
    fn commit(&self, committables: Vec<Committable>) -> BoxFuture<'_, Result<()>> {
        let mut runs = self.registry.runs.lock().unwrap();
        let run = runs.entry(self.run.clone()).or_default();
        let read = committables.iter().map(|bytes| serde_json::from_slice::<Staged>(bytes));
        let kept: std::result::Result<Vec<Staged>, _> = read.collect();
        let done = kept
            .map(|all| run.committed.extend(all.into_iter().map(|s| (s.number, s))))
            .map_err(|e| Error::internal("what was staged is not readable").caused_by(e));
        Box::pin(async move { done })
    }

    fn clean_up(&self, _job: JobId, _keep: Vec<Committable>) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }
}

/// The types of a sink's columns.
pub fn types(schema: &SchemaRef) -> String {
    let columns = schema.fields().iter().filter(|f| f.name() != row_kind::COLUMN);
    columns.map(|f| jobfile::show_type(f.data_type())).collect::<Vec<_>>().join(", ")
}
