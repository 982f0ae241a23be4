//! Connectors for tests: `endless` never has rows and says when its reader is dropped,
//! `empty` ends as soon as there are no more splits, `nothing` is a sink that swallows all.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use futures::future::BoxFuture;
use model::connector::{ConnectorInfo, Connectors, OptionError, SinkSpec, SourceSpec};
use model::expression::{Expression, ExpressionError, Expressions};
use model::sink::{Committable, Sink, SinkWriter, WriterContext};
use model::source::{Polled, ReaderContext, Source, SourceReader, Split, SplitEnumerator};
use model::{CheckpointId, Error, Result};
use tokio::sync::mpsc;

pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, false)]))
}

/// Sends on `dropped` when a reader of `endless` is dropped.
pub(super) struct FakeConnectors {
    pub dropped: mpsc::UnboundedSender<()>,
}

impl Connectors for FakeConnectors {
    fn list(&self) -> Vec<ConnectorInfo> {
        Vec::new()
    }

    fn source(&self, spec: &SourceSpec) -> std::result::Result<Arc<dyn Source>, OptionError> {
        match spec.connector.as_str() {
            "endless" => Ok(Arc::new(FakeSource { endless: Some(self.dropped.clone()) })),
            "empty" => Ok(Arc::new(FakeSource { endless: None })),
            other => Err(OptionError {
                path: Vec::new(),
                at_key: false,
                message: format!("there is no connector `{other}`"),
                help: None,
            }),
        }
    }

    fn sink(&self, _spec: &SinkSpec) -> std::result::Result<Arc<dyn Sink>, OptionError> {
        Ok(Arc::new(Nothing))
    }
}

struct FakeSource {
    endless: Option<mpsc::UnboundedSender<()>>,
}

impl Source for FakeSource {
    fn schema(&self) -> SchemaRef {
        schema()
    }
    fn is_bounded(&self) -> bool {
        self.endless.is_none()
    }
    fn enumerator(&self, _: u32, _: Option<&[u8]>) -> Result<Box<dyn SplitEnumerator>> {
        Err(Error::internal("enumerators run in the job manager"))
    }
    fn reader(&self, _context: ReaderContext) -> Result<Box<dyn SourceReader>> {
        Ok(Box::new(FakeReader { endless: self.endless.clone() }))
    }
}

struct FakeReader {
    endless: Option<mpsc::UnboundedSender<()>>,
}

impl Drop for FakeReader {
    fn drop(&mut self) {
        if let Some(dropped) = &self.endless {
            let _ = dropped.send(());
        }
    }
}

impl SourceReader for FakeReader {
    fn add_splits(&mut self, _splits: Vec<Split>) -> Result<()> {
        Ok(())
    }
    fn poll(&mut self) -> BoxFuture<'_, Result<Polled>> {
        match self.endless {
            Some(_) => Box::pin(std::future::pending()),
            None => Box::pin(async { Ok(Polled::NeedSplits) }),
        }
    }
    fn snapshot(&mut self) -> Result<Vec<Split>> {
        Ok(vec![Split { id: "all".to_owned(), data: Bytes::from_static(b"at 0") }])
    }
}

struct Nothing;

impl Sink for Nothing {
    fn writer(&self, _context: WriterContext) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(Self))
    }
}

impl SinkWriter for Nothing {
    fn write(&mut self, _batch: RecordBatch) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }
    fn prepare_commit(
        &mut self,
        _id: Option<CheckpointId>,
    ) -> Result<BoxFuture<'static, Result<Vec<Committable>>>> {
        Ok(Box::pin(async { Ok(vec![Bytes::from_static(b"staged")]) }))
    }
}

/// No expression is ever asked for.
pub(super) struct NoExpressions;

impl Expressions for NoExpressions {
    fn compile(
        &self,
        text: &str,
        _schema: &SchemaRef,
    ) -> std::result::Result<Box<dyn Expression>, ExpressionError> {
        Err(ExpressionError { message: format!("no `{text}` here"), span: None, help: None })
    }
    fn columns(
        &self,
        _text: &str,
        _schema: &SchemaRef,
    ) -> std::result::Result<Vec<String>, ExpressionError> {
        Ok(Vec::new())
    }
}
