//! How the rest of the system gets sources and sinks without knowing any of them.
//! Implemented by `connectors::all()`; only the binary names it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, Fields, Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::sink::Sink;
use crate::source::Source;

/// A source as the job graph carries it. `options` is the node's YAML mapping as JSON,
/// without the keys that every source shares (`schema`, `watermark`, `uid`, `parallelism`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceSpec {
    pub connector: String,
    pub options: Value,
    /// What `schema:` declares; `None` when the connector brings its own (nexmark).
    pub declared_schema: Option<SchemaRef>,
    /// Columns that somebody downstream reads; the source need not produce others.
    /// `None`: all.
    pub projection: Option<Vec<String>>,
    /// What else the source may leave out. It need not: readers filter all the same.
    #[serde(default, skip_serializing_if = "Pushdown::is_empty")]
    pub pushdown: Pushdown,
}

/// What readers of a source do not look at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pushdown {
    /// By column of type ROW, the fields that are read; a column that is not here is read whole.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, Vec<String>>,
    /// By column of an integer type, the values it may have: every reader drops the rows
    /// with others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, Vec<i64>>,
}

impl Pushdown {
    /// Whether everything is looked at.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.values.is_empty()
    }

    /// The schema of a source that leaves out the fields that are not read.
    pub fn narrow(&self, schema: &SchemaRef) -> SchemaRef {
        if self.fields.is_empty() {
            return Arc::clone(schema);
        }
        let narrow = |field: &FieldRef| match (field.data_type(), self.fields.get(field.name())) {
            (DataType::Struct(fields), Some(read)) => {
                let kept = fields.iter().filter(|f| read.contains(f.name())).cloned().collect();
                Arc::new(field.as_ref().clone().with_data_type(DataType::Struct(kept)))
            }
            _ => Arc::clone(field),
        };
        let fields: Fields = schema.fields().iter().map(narrow).collect();
        Arc::new(Schema::new(fields))
    }
}

/// A sink as the job graph carries it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SinkSpec {
    pub connector: String,
    pub options: Value,
    /// What arrives; on a changelog with [`crate::row_kind::COLUMN`] last.
    pub schema: SchemaRef,
}

/// A mistake in a node's options, with the path to it, so that the job file's reader can
/// point at line and column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionError {
    /// Keys from the node's mapping down, e.g. `["format"]`. Empty: the node itself.
    pub path: Vec<String>,
    /// Whether the mistake is the key itself (unknown option) rather than its value.
    pub at_key: bool,
    pub message: String,
    pub help: Option<String>,
}

impl From<OptionError> for crate::Error {
    fn from(error: OptionError) -> Self {
        let place = error.path.join(".");
        let help = error.help.map(|h| format!(" ({h})")).unwrap_or_default();
        if place.is_empty() {
            Self::user(format!("{}{help}", error.message))
        } else {
            Self::user(format!("`{place}`: {}{help}", error.message))
        }
    }
}

/// Whether a description is of a source or a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Source,
    Sink,
}

/// One connector in one role, for the JSON Schema and the documentation.
#[derive(Clone, Debug)]
pub struct ConnectorInfo {
    pub name: &'static str,
    pub role: Role,
    pub summary: &'static str,
    /// JSON Schema (an `object` with `properties`) of its options.
    pub options: Value,
}

/// Every connector there is.
pub trait Connectors: Send + Sync {
    fn list(&self) -> Vec<ConnectorInfo>;
    /// Checks every option; does no I/O.
    fn source(&self, spec: &SourceSpec) -> Result<Arc<dyn Source>, OptionError>;
    /// Checks every option; does no I/O.
    fn sink(&self, spec: &SinkSpec) -> Result<Arc<dyn Sink>, OptionError>;
}
