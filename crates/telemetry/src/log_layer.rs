//! Log lines as text or JSON: to stderr and into the ring. A line carries the fields of the
//! spans around it (in a task: job, vertex, subtask, attempt and, where there is one,
//! checkpoint) beside its own. Set up once per process by `cli`.

use std::fmt::Write as _;
use std::io::Write as _;

use chrono::{SecondsFormat, Utc};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::log_ring::{LogRing, log_ring};

/// How a line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// `time LEVEL target: message key=value ...`
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What to log, and how.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// A level (`info`) or `target=level` pairs.
    pub filter: String,
    pub format: LogFormat,
    /// Names the log: the role.
    pub name: String,
}

/// Starts logging for the whole process. A second call (tests) keeps what the first set up.
///
/// # Errors
/// The text says why the filter is none.
pub fn start_logging(options: &LogOptions) -> Result<LogRing, String> {
    let filter = EnvFilter::try_new(&options.filter).map_err(|e| e.to_string())?;
    let ring = log_ring();
    ring.set_name(&options.name);
    let layer = LogLayer { format: options.format, ring: ring.clone(), stderr: true };
    let _ = tracing_subscriber::registry().with(layer.with_filter(filter)).try_init();
    Ok(ring)
}

struct LogLayer {
    format: LogFormat,
    ring: LogRing,
    stderr: bool,
}

/// A span's fields, kept with it.
struct Fields(Map<String, Value>);

impl<S> Layer<S> for LogLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields(Map::new());
        attributes.record(&mut Collect(&mut fields.0));
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(&mut Collect(&mut fields.0));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Map::new();
        if let Some(scope) = context.event_scope(event) {
            for span in scope.from_root() {
                if let Some(Fields(of_span)) = span.extensions().get::<Fields>() {
                    fields.extend(of_span.iter().map(|(k, v)| (k.clone(), v.clone())));
                }
            }
        }
        event.record(&mut Collect(&mut fields));
        let message = fields.shift_remove("message");
        let metadata = event.metadata();
        let line = Line {
            time: Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true),
            level: metadata.level().as_str(),
            target: metadata.target(),
            message: message.as_ref().map(text_of).unwrap_or_default(),
            fields,
        };
        let line = match self.format {
            LogFormat::Text => line.text(),
            LogFormat::Json => line.json(),
        };
        self.ring.push(&line);
        if self.stderr {
            // One write: lines of several threads do not mix. Nobody may be reading.
            let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
        }
    }
}

struct Line<'a> {
    time: String,
    level: &'a str,
    target: &'a str,
    message: String,
    fields: Map<String, Value>,
}

impl Line<'_> {
    fn text(&self) -> String {
        let mut line =
            format!("{} {:>5} {}: {}", self.time, self.level, self.target, one_line(&self.message));
        for (key, value) in &self.fields {
            let text = text_of(value);
            let plain = !text.is_empty()
                && text.chars().all(|c| !c.is_whitespace() && !c.is_control() && c != '"');
            // Writing to a string does not fail.
            let _ =
                if plain { write!(line, " {key}={text}") } else { write!(line, " {key}={text:?}") };
        }
        line
    }

    fn json(self) -> String {
        let mut object = Map::new();
        object.insert("time".into(), self.time.into());
        object.insert("level".into(), self.level.into());
        object.insert("target".into(), self.target.into());
        object.insert("message".into(), self.message.into());
        for (key, value) in self.fields {
            // What an event calls like one of ours is kept beside it.
            let key = if object.contains_key(&key) { format!("field.{key}") } else { key };
            object.insert(key, value);
        }
        Value::Object(object).to_string()
    }
}

/// A message with line ends would look like several lines.
fn one_line(message: &str) -> String {
    message.replace('\n', "\\n").replace('\r', "\\r")
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

struct Collect<'a>(&'a mut Map<String, Value>);

impl Collect<'_> {
    fn put(&mut self, field: &Field, value: Value) {
        let name = field.name().trim_start_matches("r#");
        self.0.insert(name.to_owned(), value);
    }
}

impl Visit for Collect<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(format: LogFormat, log: impl FnOnce()) -> Vec<String> {
        let ring = LogRing::default();
        let layer = LogLayer { format, ring: ring.clone(), stderr: false };
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, log);
        let text = ring.tail("main", u64::MAX).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_line_in_a_task_carries_where_it_is() {
        let log = || {
            let task = tracing::info_span!("task", job = "j", vertex = %"a -> b", subtask = 3);
            task.in_scope(|| {
                let checkpoint = tracing::info_span!("checkpoint", checkpoint = 7);
                checkpoint.in_scope(|| tracing::warn!(error = "no\nroom", "declined"));
                tracing::info!("went on");
            });
            tracing::info!("outside");
        };
        let json: Vec<Value> =
            lines(LogFormat::Json, log).iter().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(json[0]["job"], "j");
        assert_eq!(json[0]["vertex"], "a -> b");
        assert_eq!(json[0]["subtask"], 3);
        assert_eq!(json[0]["checkpoint"], 7);
        assert_eq!(json[0]["message"], "declined");
        assert_eq!(json[0]["level"], "WARN");
        assert_eq!(json[1]["subtask"], 3);
        assert!(json[1].get("checkpoint").is_none());
        assert!(json[2].get("job").is_none());
        let text = lines(LogFormat::Text, log);
        assert_eq!(text.len(), 3, "one line each");
        let end = r#"declined job=j vertex="a -> b" subtask=3 checkpoint=7 error="no\nroom""#;
        assert!(text[0].ends_with(end), "{}", text[0]);
    }

    #[test]
    fn a_field_cannot_pose_as_the_level() {
        let log = || tracing::info!(level = "ERROR", time = "never", "x");
        let line: Value = serde_json::from_str(&lines(LogFormat::Json, log)[0]).unwrap();
        assert_eq!((&line["level"], &line["field.level"]), (&"INFO".into(), &"ERROR".into()));
    }

    #[test]
    fn a_wrong_filter_is_said() {
        let options = LogOptions {
            filter: "jobmanager=loud".into(),
            format: LogFormat::Text,
            name: "test".into(),
        };
        assert!(start_logging(&options).is_err());
    }
}
