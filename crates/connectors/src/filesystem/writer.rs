//! The writer of the filesystem sink: fills files in a hidden staging directory and hands
//! them over at checkpoints. Runs at the tail of a task; `committer.rs` publishes.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use model::arrow::array::RecordBatch;
use model::arrow::datatypes::SchemaRef;
use model::sink::{Committable, SinkWriter, WriterContext};
use model::{CheckpointId, Result};
use object_store::ObjectStoreExt;
use storage::Opened;

use super::committer::{StagedCommit, file_safe, short_job, staging};
use super::options::{Format, SinkOptions};
use super::partitions::Partitions;
use super::rolling::{OpenFile, StagedFile};

/// Files open at once; with more folders than this the first ones are closed early.
const MAX_OPEN: usize = 32;

pub(super) struct FilesystemWriter {
    options: SinkOptions,
    context: WriterContext,
    opened: Opened,
    /// Of the files.
    schema: SchemaRef,
    partitions: Option<Partitions>,
    /// Where this writer stages, below the opened prefix.
    staging: String,
    /// By folder; without partitions there is one, of no name.
    current: BTreeMap<String, OpenFile>,
    /// Closed since the last checkpoint, with their folders.
    closed: Vec<(String, StagedFile)>,
    /// Files begun by this writer.
    sequence: u64,
}

impl FilesystemWriter {
    pub(super) fn new(
        options: SinkOptions,
        input: SchemaRef,
        identity: &str,
        context: WriterContext,
    ) -> Result<Self> {
        let opened = storage::open(&options.path)?;
        let partitions = Partitions::new(&options.partition_by, &input);
        let inner = partitions.as_ref().map_or(input, Partitions::inner);
        let schema = match options.envelope {
            Some(envelope) => envelope.schema(&inner),
            None => inner,
        };
        let directory = staging(context.attempt.job, identity);
        let staging = format!("{directory}/{}", file_safe(&context.uid));
        Ok(Self {
            options,
            context,
            opened,
            schema,
            partitions,
            staging,
            current: BTreeMap::new(),
            closed: Vec::new(),
            sequence: 0,
        })
    }

    fn extension(&self) -> String {
        let format = match self.options.format {
            Format::Csv(_) => ".csv",
            Format::Json(_) => ".json",
            Format::Parquet => ".parquet",
        };
        format!("{format}{}", self.options.compression.extension())
    }

    fn begin(&mut self) -> Result<OpenFile> {
        let attempt = self.context.attempt;
        let name = format!(
            "{}/{}-{}-{}{}",
            self.staging,
            attempt.attempt,
            attempt.subtask,
            self.sequence,
            self.extension()
        );
        self.sequence += 1;
        let path = self.opened.path(&name)?;
        let schema = Arc::clone(&self.schema);
        OpenFile::begin(&self.opened, path, &self.options, schema, self.context.clock.now_ms())
    }

    async fn append(&mut self, batch: RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let parts = match &self.partitions {
            Some(partitions) => partitions.split(&batch)?,
            None => vec![(String::new(), batch)],
        };
        for (folder, rows) in parts {
            self.append_to(folder, rows).await?;
        }
        Ok(())
    }

    async fn append_to(&mut self, folder: String, rows: RecordBatch) -> Result<()> {
        let rows = match self.options.envelope {
            Some(envelope) => envelope.wrap(&rows, &self.schema)?,
            None => rows,
        };
        let mut file = match self.current.remove(&folder) {
            Some(file) => file,
            None => {
                while self.current.len() >= MAX_OPEN
                    && let Some((folder, file)) = self.current.pop_first()
                {
                    self.closed.push((folder, file.finish().await?));
                }
                self.begin()?
            }
        };
        let written = file.write(&rows).await;
        if written.is_ok() && file.is_full(&self.options, self.context.clock.now_ms()) {
            self.closed.push((folder, file.finish().await?));
        } else {
            self.current.insert(folder, file);
        }
        written
    }

    /// The name of the `n`th file of a checkpoint. The attempt is part of it, so that no
    /// two attempts ever write the same name.
    fn final_name(&self, id: Option<CheckpointId>, n: usize) -> String {
        let attempt = self.context.attempt;
        format!(
            "part-{}-{}-{}-{}-{}-{n}{}",
            file_safe(&self.context.uid),
            short_job(attempt.job),
            id.map_or_else(|| "final".to_owned(), |id| id.to_string()),
            attempt.attempt,
            attempt.subtask,
            self.extension()
        )
    }
}

impl SinkWriter for FilesystemWriter {
    fn write(&mut self, batch: RecordBatch) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.append(batch))
    }

    fn prepare_commit(
        &mut self,
        id: Option<CheckpointId>,
    ) -> Result<BoxFuture<'static, Result<Vec<Committable>>>> {
        let closed = std::mem::take(&mut self.closed);
        let current = std::mem::take(&mut self.current);
        let folders = closed.iter().map(|(folder, _)| folder).chain(current.keys());
        let finals: Result<Vec<_>> = folders
            .enumerate()
            .map(|(n, folder)| self.opened.path(&format!("{folder}{}", self.final_name(id, n))))
            .collect();
        let finals = finals?;
        let base = self.opened.uri.clone();
        let is_last = id.is_none();
        Ok(Box::pin(async move {
            let mut files: Vec<StagedFile> = closed.into_iter().map(|(_, file)| file).collect();
            for file in current.into_values() {
                files.push(file.finish().await?);
            }
            let commits = files.into_iter().zip(finals);
            commits
                .map(|(file, place)| StagedCommit::new(&base, &file, &place, is_last).encode())
                .collect()
        }))
    }

    fn abort(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            for file in std::mem::take(&mut self.current).into_values() {
                file.abort().await;
            }
            for (_, file) in self.closed.drain(..) {
                if let Err(error) = self.opened.store.delete(&file.path).await {
                    tracing::warn!(path = %file.path, %error, "a staged file was left behind");
                }
            }
        })
    }
}
