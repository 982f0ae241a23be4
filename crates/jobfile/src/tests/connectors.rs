//! Connectors that exist only to be planned.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use model::connector::{ConnectorInfo, Connectors, OptionError, Role, SinkSpec, SourceSpec};
use model::sink::{Sink, SinkWriter, WriterContext};
use model::source::{ReaderContext, Source, SourceReader, SplitEnumerator};
use serde_json::{Value, json};

pub(super) struct TestConnectors;

struct TestSource(SchemaRef);

impl Source for TestSource {
    fn schema(&self) -> SchemaRef {
        self.0.clone()
    }
    fn is_bounded(&self) -> bool {
        true
    }
    fn enumerator(&self, _: u32, _: Option<&[u8]>) -> model::Result<Box<dyn SplitEnumerator>> {
        Err(model::Error::internal("never run"))
    }
    fn reader(&self, _: ReaderContext) -> model::Result<Box<dyn SourceReader>> {
        Err(model::Error::internal("never run"))
    }
}

struct TestSink {
    changelog: bool,
}

impl Sink for TestSink {
    fn writer(&self, _: WriterContext) -> model::Result<Box<dyn SinkWriter>> {
        Err(model::Error::internal("never run"))
    }
    fn accepts_changelog(&self) -> bool {
        self.changelog
    }
}

fn info(name: &'static str, role: Role) -> ConnectorInfo {
    let options = match name {
        "filesystem" => json!({
            "type": "object",
            "required": ["path"],
            "properties": { "path": { "type": "string" }, "format": { "enum": ["json", "csv", "parquet"] } },
        }),
        _ => json!({ "type": "object", "properties": {} }),
    };
    ConnectorInfo { name, role, summary: "for tests", options }
}

fn error(path: &[&str], at_key: bool, message: String, help: Option<&str>) -> OptionError {
    OptionError {
        path: path.iter().map(|p| (*p).to_owned()).collect(),
        at_key,
        message,
        help: help.map(ToOwned::to_owned),
    }
}

fn check(options: &Value, known: &[&str]) -> Result<(), OptionError> {
    for (key, value) in options.as_object().into_iter().flatten() {
        match (key.as_str(), value) {
            ("onBadRecord", _) => {}
            (key, _) if !known.contains(&key) => {
                let help = format!("did you mean `{}`?", known.first().unwrap_or(&"nothing"));
                return Err(error(&[key], true, format!("unknown option `{key}`"), Some(&help)));
            }
            ("path", Value::String(_)) => {}
            ("format", Value::String(f)) if ["json", "csv", "parquet"].contains(&f.as_str()) => {}
            (key, value) => {
                return Err(error(&[key], false, format!("`{key}` cannot be {value}"), None));
            }
        }
    }
    if known.contains(&"path") && options.get("path").is_none() {
        return Err(error(&[], false, "`path` is missing".into(), Some("write `path: /dir`")));
    }
    Ok(())
}

impl Connectors for TestConnectors {
    fn list(&self) -> Vec<ConnectorInfo> {
        vec![
            info("filesystem", Role::Source),
            info("numbers", Role::Source),
            info("filesystem", Role::Sink),
            info("print", Role::Sink),
        ]
    }

    fn source(&self, spec: &SourceSpec) -> Result<Arc<dyn Source>, OptionError> {
        let schema = match spec.connector.as_str() {
            "filesystem" => {
                check(&spec.options, &["path", "format"])?;
                spec.declared_schema.clone().ok_or_else(|| {
                    error(
                        &[],
                        false,
                        "`schema` is missing".into(),
                        Some("write `schema: { a: INT }`"),
                    )
                })?
            }
            _ => {
                check(&spec.options, &[])?;
                Arc::new(Schema::new(vec![
                    Field::new("k", DataType::Utf8, false),
                    Field::new("v", DataType::Int64, false),
                    Field::new("t", DataType::Timestamp(TimeUnit::Millisecond, None), false),
                    Field::new("note", DataType::Utf8, true),
                ]))
            }
        };
        let schema = match &spec.projection {
            None => schema,
            Some(columns) => {
                let indices: Vec<usize> =
                    columns.iter().filter_map(|c| schema.index_of(c).ok()).collect();
                Arc::new(schema.project(&indices).unwrap())
            }
        };
        Ok(Arc::new(TestSource(schema)))
    }

    fn sink(&self, spec: &SinkSpec) -> Result<Arc<dyn Sink>, OptionError> {
        let file = spec.connector == "filesystem";
        check(&spec.options, if file { &["path", "format"] } else { &[] })?;
        Ok(Arc::new(TestSink { changelog: !file }))
    }
}
