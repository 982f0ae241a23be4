//! Bodies of requests as examples: they work as they stand, which a test tries
//! (`tests/it/contract.rs`). Used by `openapi.rs`.

use serde_json::{Value, json};

/// Ten rows, and it ends.
const JOB: &str = "apiVersion: weir.dev/v1
kind: StreamJob
metadata: { name: ten-rows }
spec:
  sources:
    rows:
      connector: datagen
      rows: 10
      schema: { id: BIGINT }
      fields: { id: { kind: sequence } }
  sinks:
    out: { connector: blackhole, inputs: [rows] }
";

const SCRIPT: &str = "SET 'pipeline.name' = 'ten-rows-in-sql';
CREATE TABLE numbers (id BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '10');
CREATE TABLE gone (id BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO gone SELECT id FROM numbers WHERE id > 0;
";

/// By name, as OpenAPI has them; `None`: the operation takes no body.
pub(super) fn of(operation: &str) -> Option<Value> {
    let both = || {
        json!({
            "yaml": { "value": { "text": JOB, "format": "yaml" } },
            "sql": { "value": { "text": SCRIPT, "format": "sql" } },
        })
    };
    match operation {
        "submitJob" | "validateJob" => Some(both()),
        "tapJob" => Some(json!({ "first": { "value": { "vertex": "rows", "limit": 10 } } })),
        _ => None,
    }
}
