//! The results sink: its rows stay in the task until a person reads them, every one of them
//! (`POST /api/v1/jobs/{job}/results`). What `streamctl sql` writes a SELECT to. Known only
//! to the registry in `lib.rs`.

use std::sync::Arc;

use model::connector::{ConnectorInfo, OptionError, Role, SinkSpec};
use model::sink::{Sink, SinkWriter, WriterContext};
use model::{Error, Result};
use serde_json::json;

use crate::options::Options;

/// Describes the sink.
pub fn info() -> ConnectorInfo {
    ConnectorInfo {
        name: "results",
        role: Role::Sink,
        summary: "Hands every row to the one who started the job, and waits for them.",
        options: json!({ "type": "object", "additionalProperties": false, "properties": {} }),
    }
}

/// Checks the options. No I/O.
pub fn sink(spec: &SinkSpec) -> Result<Arc<dyn Sink>, OptionError> {
    Options::of_sink(&spec.options, &[])?;
    Ok(Arc::new(ResultsSink))
}

struct ResultsSink;

impl Sink for ResultsSink {
    fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter>> {
        let text = format!("the rows of sink `{}` are kept by the task itself", context.name);
        Err(Error::internal(text))
    }

    fn accepts_changelog(&self) -> bool {
        true
    }

    fn collects(&self) -> bool {
        true
    }
}
