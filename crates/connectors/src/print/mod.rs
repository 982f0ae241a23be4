//! The print sink: every row as a line `name> {json}` on standard output, changelog rows
//! with their kind in front. Known only to the registry in `lib.rs`.

use std::io::Write;
use std::sync::Arc;

use futures::future::BoxFuture;
use model::arrow::array::RecordBatch;
use model::arrow::json::WriterBuilder;
use model::arrow::json::writer::LineDelimited;
use model::connector::{ConnectorInfo, OptionError, Role, SinkSpec};
use model::row_kind::{self, RowKind};
use model::sink::{Committable, Sink, SinkWriter, WriterContext};
use model::{CheckpointId, Error, Result};
use serde_json::json;

use crate::options::Options;

/// Buffered output is written when it is this large, also before a flush.
const BUFFER: usize = 64 << 10;

/// Describes the sink.
pub fn info() -> ConnectorInfo {
    ConnectorInfo {
        name: "print",
        role: Role::Sink,
        summary: "Prints every row to standard output.",
        options: json!({
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "limit": { "type": "integer", "minimum": 0,
                    "description": "Rows printed by each subtask; later ones are dropped." },
            }
        }),
    }
}

/// Checks the options. No I/O.
pub fn sink(spec: &SinkSpec) -> Result<Arc<dyn Sink>, OptionError> {
    let options = Options::of_sink(&spec.options, &["limit"])?;
    Ok(Arc::new(PrintSink { limit: options.count("limit", 0)? }))
}

struct PrintSink {
    limit: Option<u64>,
}

impl Sink for PrintSink {
    fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter>> {
        let out = std::io::stdout();
        Ok(Box::new(PrintWriter::new(&context.name, self.limit, out)))
    }

    fn accepts_changelog(&self) -> bool {
        true
    }
}

struct PrintWriter<W> {
    prefix: String,
    remaining: Option<u64>,
    buffer: Vec<u8>,
    out: W,
}

impl<W: Write + Send> PrintWriter<W> {
    fn new(name: &str, limit: Option<u64>, out: W) -> Self {
        Self { prefix: format!("{name}> "), remaining: limit, buffer: Vec::new(), out }
    }

    fn print(&mut self, batch: &RecordBatch) -> Result<()> {
        let limit = self.remaining.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
        let batch = batch.slice(0, batch.num_rows().min(limit));
        if let Some(remaining) = &mut self.remaining {
            *remaining -= batch.num_rows() as u64;
        }
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let kinds = row_kind::kinds(&batch);
        let rows = match kinds {
            Some(_) => without_kinds(&batch)?,
            None => batch.clone(),
        };
        let mut lines = Vec::new();
        let mut writer =
            WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut lines);
        writer
            .write(&rows)
            .and_then(|()| writer.finish())
            .map_err(|e| Error::user("the rows cannot be printed as JSON").caused_by(e))?;
        for (row, line) in lines.split_inclusive(|b| *b == b'\n').enumerate() {
            self.buffer.extend_from_slice(self.prefix.as_bytes());
            if let Some(kinds) = kinds {
                let kind = RowKind::from_u8(kinds.value(row)).map_or("??", RowKind::short);
                self.buffer.extend_from_slice(kind.as_bytes());
                self.buffer.push(b' ');
            }
            self.buffer.extend_from_slice(line);
        }
        if self.buffer.len() >= BUFFER { self.write_out() } else { Ok(()) }
    }

    /// Writes in one go, so that lines of several subtasks do not mix.
    fn write_out(&mut self) -> Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        self.out
            .write_all(&buffer)
            .and_then(|()| self.out.flush())
            .map_err(|e| Error::external("standard output cannot be written").caused_by(e))
    }
}

fn without_kinds(batch: &RecordBatch) -> Result<RecordBatch> {
    let kept: Vec<_> = (0..batch.num_columns() - 1).collect();
    Ok(batch.project(&kept)?)
}

impl<W: Write + Send> SinkWriter for PrintWriter<W> {
    fn write(&mut self, batch: RecordBatch) -> BoxFuture<'_, Result<()>> {
        let printed = self.print(&batch);
        Box::pin(async move { printed })
    }

    fn flush(&mut self) -> BoxFuture<'_, Result<()>> {
        let written = if self.buffer.is_empty() { Ok(()) } else { self.write_out() };
        Box::pin(async move { written })
    }

    fn prepare_commit(
        &mut self,
        _id: Option<CheckpointId>,
    ) -> Result<BoxFuture<'static, Result<Vec<Committable>>>> {
        if !self.buffer.is_empty() {
            self.write_out()?;
        }
        Ok(Box::pin(async { Ok(Vec::new()) }))
    }
}

#[cfg(test)]
mod tests {
    use model::arrow::array::{Int64Array, UInt8Array};
    use model::arrow::datatypes::{DataType, Field, Schema, SchemaRef};

    use super::*;

    fn changelog_of(schema: &SchemaRef) -> SchemaRef {
        let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
        fields.push(Arc::new(row_kind::field()));
        Arc::new(Schema::new(fields))
    }

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]))
    }

    #[tokio::test]
    async fn rows_kinds_and_limit() {
        let mut out = Vec::new();
        let mut writer = PrintWriter::new("out", Some(3), &mut out);
        let insert =
            RecordBatch::try_new(schema(), vec![Arc::new(Int64Array::from(vec![Some(1), None]))]);
        writer.write(insert.unwrap()).await.unwrap();
        let update = RecordBatch::try_new(
            changelog_of(&schema()),
            vec![Arc::new(Int64Array::from(vec![1, 2])), Arc::new(UInt8Array::from(vec![1, 2]))],
        );
        writer.write(update.unwrap()).await.unwrap();
        writer.flush().await.unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "out> {\"n\":1}\nout> {\"n\":null}\nout> -U {\"n\":1}\n");
    }

    #[test]
    fn unknown_option() {
        let spec = SinkSpec {
            connector: "print".to_owned(),
            options: json!({ "limt": 1 }),
            schema: schema(),
        };
        let error = sink(&spec).err().unwrap();
        assert_eq!(error.path, ["limt"]);
        assert!(error.help.unwrap().contains("`limit`"));
    }
}
