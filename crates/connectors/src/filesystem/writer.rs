//! The writer of the filesystem sink: fills files in a hidden staging directory and hands
//! them over at checkpoints. Runs at the tail of a task; `committer.rs` publishes.

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
use super::rolling::{OpenFile, StagedFile};

pub(super) struct FilesystemWriter {
    options: SinkOptions,
    context: WriterContext,
    opened: Opened,
    schema: SchemaRef,
    /// Where this writer stages, below the opened prefix.
    staging: String,
    current: Option<OpenFile>,
    /// Closed since the last checkpoint.
    closed: Vec<StagedFile>,
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
        let schema = match options.envelope {
            Some(envelope) => envelope.schema(&input),
            None => input,
        };
        let directory = staging(context.attempt.job, identity);
        let staging = format!("{directory}/{}", file_safe(&context.uid));
        Ok(Self {
            options,
            context,
            opened,
            schema,
            staging,
            current: None,
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
        let batch = match self.options.envelope {
            Some(envelope) => envelope.wrap(&batch, &self.schema)?,
            None => batch,
        };
        let mut file = match self.current.take() {
            Some(file) => file,
            None => self.begin()?,
        };
        let written = file.write(&batch).await;
        if written.is_ok() && file.is_full(&self.options, self.context.clock.now_ms()) {
            self.closed.push(file.finish().await?);
        } else {
            self.current = Some(file);
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
        let current = self.current.take();
        let count = closed.len() + usize::from(current.is_some());
        let finals: Result<Vec<_>> =
            (0..count).map(|n| self.opened.path(&self.final_name(id, n))).collect();
        let finals = finals?;
        let base = self.opened.uri.clone();
        let is_last = id.is_none();
        Ok(Box::pin(async move {
            let mut files = closed;
            if let Some(file) = current {
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
            if let Some(file) = self.current.take() {
                file.abort().await;
            }
            for file in self.closed.drain(..) {
                if let Err(error) = self.opened.store.delete(&file.path).await {
                    tracing::warn!(path = %file.path, %error, "a staged file was left behind");
                }
            }
        })
    }
}
