//! The blackhole sink: drops every row, can measure how late rows arrive, and can be slow
//! on purpose. Known only to the registry in `lib.rs`.

mod histogram;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use model::arrow::array::{Array, AsArray, RecordBatch};
use model::arrow::datatypes::{DataType, Int64Type};
use model::connector::{ConnectorInfo, OptionError, Role, SinkSpec};
use model::sink::{Committable, Sink, SinkWriter, WriterContext};
use model::{CheckpointId, Clock, Error, Result};
use serde_json::json;
use tokio::time::Instant;

use self::histogram::Histogram;
use crate::options::{Options, WithHelp};

/// Describes the sink.
pub fn info() -> ConnectorInfo {
    ConnectorInfo {
        name: "blackhole",
        role: Role::Sink,
        summary: "Drops every row; for measuring.",
        options: json!({
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "latencyColumn": { "type": "string",
                    "description": "BIGINT column with a time in microseconds since the epoch; how long ago that was on arrival is the latency reported." },
                "rowsPerSecond": { "type": "integer", "minimum": 1,
                    "description": "Takes at most so many rows a second per subtask: a slow sink, to see what a job does behind one." },
            }
        }),
    }
}

/// Checks the options. No I/O.
pub fn sink(spec: &SinkSpec) -> Result<Arc<dyn Sink>, OptionError> {
    let options = Options::of_sink(&spec.options, &["latencyColumn", "rowsPerSecond"])?;
    let rows_per_second = options.count("rowsPerSecond", 1)?;
    let column = options.string("latencyColumn")?;
    let Some(name) = column else {
        return Ok(Arc::new(BlackholeSink { latency: None, rows_per_second }));
    };
    match spec.schema.column_with_name(name) {
        Some((index, field)) if *field.data_type() == DataType::Int64 => {
            Ok(Arc::new(BlackholeSink { latency: Some(index), rows_per_second }))
        }
        Some((_, field)) => Err(options.error(
            "latencyColumn",
            format!("column `{name}` is {}, expected BIGINT", field.data_type()),
        )),
        None => {
            let names: Vec<_> = spec.schema.fields().iter().map(|f| f.name().as_str()).collect();
            Err(options
                .error("latencyColumn", format!("there is no column `{name}`"))
                .with_help(format!("columns: {}", names.join(", "))))
        }
    }
}

struct BlackholeSink {
    latency: Option<usize>,
    rows_per_second: Option<u64>,
}

impl Sink for BlackholeSink {
    fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter>> {
        let latency = self.latency.map(|column| (column, Histogram::default()));
        let pace = self.rows_per_second.map(|rows| Pace::new(rows, Instant::now()));
        Ok(Box::new(BlackholeWriter { latency, pace, clock: context.clock }))
    }

    fn accepts_changelog(&self) -> bool {
        true
    }
}

struct BlackholeWriter {
    latency: Option<(usize, Histogram)>,
    pace: Option<Pace>,
    clock: Arc<dyn Clock>,
}

/// When the next rows may be taken, at a bounded rate. Pure.
struct Pace {
    per_row: Duration,
    free_at: Instant,
}

impl Pace {
    fn new(rows_per_second: u64, now: Instant) -> Self {
        Self { per_row: Duration::from_secs_f64(1.0 / rows_per_second as f64), free_at: now }
    }

    /// Until when taking `rows` lasts that come at `now`.
    fn take(&mut self, rows: usize, now: Instant) -> Instant {
        self.free_at = self.free_at.max(now) + self.per_row.mul_f64(rows as f64);
        self.free_at
    }
}

impl BlackholeWriter {
    fn measure(&mut self, batch: &RecordBatch) -> Result<()> {
        let Some((column, histogram)) = &mut self.latency else { return Ok(()) };
        let times = batch.column(*column).as_primitive_opt::<Int64Type>().ok_or_else(|| {
            Error::internal("the latency column of a batch is not BIGINT as its schema says")
        })?;
        let now = self.clock.now_us();
        if times.null_count() == 0 {
            for time in times.values() {
                histogram.record(now.saturating_sub(*time));
            }
        } else {
            times.iter().flatten().for_each(|time| histogram.record(now.saturating_sub(time)));
        }
        Ok(())
    }
}

impl SinkWriter for BlackholeWriter {
    fn write(&mut self, batch: RecordBatch) -> BoxFuture<'_, Result<()>> {
        let measured = self.measure(&batch);
        let taken = self.pace.as_mut().map(|pace| pace.take(batch.num_rows(), Instant::now()));
        Box::pin(async move {
            if let Some(taken) = taken {
                tokio::time::sleep_until(taken).await;
            }
            measured
        })
    }

    fn prepare_commit(
        &mut self,
        _id: Option<CheckpointId>,
    ) -> Result<BoxFuture<'static, Result<Vec<Committable>>>> {
        Ok(Box::pin(async { Ok(Vec::new()) }))
    }

    fn latency_us(&self) -> Option<[u64; 3]> {
        self.latency.as_ref().and_then(|(_, histogram)| histogram.summary())
    }
}

#[cfg(test)]
mod tests {
    use model::arrow::array::Int64Array;
    use model::arrow::datatypes::{Field, Schema};
    use model::{Attempt, ExecutionAttemptId, JobId, ManualClock, SubtaskIndex, VertexId};

    use super::*;

    fn spec(options: serde_json::Value) -> SinkSpec {
        let schema = Schema::new(vec![
            Field::new("due", DataType::Int64, true),
            Field::new("s", DataType::Utf8, true),
        ]);
        SinkSpec { connector: "blackhole".to_owned(), options, schema: Arc::new(schema) }
    }

    #[tokio::test]
    async fn measures_latency() {
        let sink = sink(&spec(json!({ "latencyColumn": "due" }))).unwrap();
        let attempt = ExecutionAttemptId {
            job: JobId(1),
            vertex: VertexId(1),
            subtask: SubtaskIndex(0),
            attempt: Attempt(1),
        };
        let clock = Arc::new(ManualClock::at(1000));
        let context =
            WriterContext { attempt, name: "b".into(), uid: "b".into(), parallelism: 1, clock };
        let mut writer = sink.writer(context).unwrap();
        assert_eq!(writer.latency_us(), None);
        let due = Int64Array::from(vec![Some(1_000_000), Some(999_000), None, Some(900_000)]);
        let schema = Arc::new(Schema::new(vec![Field::new("due", DataType::Int64, true)]));
        let batch = RecordBatch::try_new(schema, vec![Arc::new(due)]).unwrap();
        writer.write(batch).await.unwrap();
        let [p50, _, max] = writer.latency_us().unwrap();
        assert!((970..=1030).contains(&p50), "{p50}");
        assert_eq!(max, 100_000);
    }

    #[test]
    fn a_slow_sink_takes_rows_at_its_rate() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut pace = Pace::new(1000, start);
        assert_eq!(pace.take(500, at(0)), at(500));
        assert_eq!(pace.take(100, at(500)), at(600));
        assert_eq!(pace.take(10, at(2000)), at(2010), "what it did not take is not made up for");
        let error = sink(&spec(json!({ "rowsPerSecond": 0 }))).err().unwrap();
        assert!(error.message.contains("a whole number from 1"), "{}", error.message);
    }

    #[test]
    fn the_column_must_be_a_bigint() {
        let error = sink(&spec(json!({ "latencyColumn": "s" }))).err().unwrap();
        assert!(error.message.contains("expected BIGINT"));
        let error = sink(&spec(json!({ "latencyColumn": "x" }))).err().unwrap();
        assert_eq!(error.help.as_deref(), Some("columns: due, s"));
    }
}
