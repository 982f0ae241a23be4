//! The JSON Schema (2020-12) of a job file, for completion in editors and for
//! `streamctl schema`. Connector options come from the connectors themselves.

use model::connector::{Connectors, Role};
use serde_json::{Map, Value, json};

use crate::document::{API_VERSION, KIND};

/// The schema of `kind: StreamJob` with the options of every connector.
pub fn json_schema(connectors: &dyn Connectors) -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://weir.dev/schemas/v1/stream-job.json",
        "title": KIND,
        "description": "A Weir stream job: sources, transforms and sinks.",
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": false,
        "properties": {
            "apiVersion": { "const": API_VERSION },
            "kind": { "const": KIND },
            "metadata": metadata(),
            "spec": spec(connectors),
        },
        "$defs": definitions(),
    })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

fn definitions() -> Value {
    json!({
        "duration": {
            "type": "string",
            "description": "A number with its unit: ms, s, m, h or d, for example 10s.",
            "pattern": "^(\\s*-?\\d+(\\.\\d+)?\\s*(ms|s|m|h|d)\\s*)+$|\\$\\{",
        },
        "size": {
            "type": "string",
            "description": "A number with its unit, for example 512MiB.",
            "pattern": "^\\s*\\d+(\\.\\d+)?\\s*(B|[KMGT]iB|[kKMGT]B|[KMG]i?)\\s*$|\\$\\{",
        },
        "count": { "type": "integer", "minimum": 0 },
        "positive": { "type": "integer", "minimum": 1 },
        "names": {
            "anyOf": [
                { "type": "string", "minLength": 1 },
                { "type": "array", "items": { "type": "string", "minLength": 1 } },
            ],
        },
        "expression": {
            "description": "A SQL scalar expression.",
            "type": ["string", "number", "boolean"],
        },
        "aggregates": {
            "type": "object",
            "minProperties": 1,
            "description": "Output column to aggregate: count(*), count(distinct x), sum(x), min(x), max(x), avg(x), first(x), last(x).",
            "additionalProperties": { "type": "string" },
        },
        "watermark": {
            "type": "object",
            "required": ["column"],
            "additionalProperties": false,
            "properties": watermark_properties(),
        },
        "window": window(),
        "on": {
            "anyOf": [
                reference("names"),
                {
                    "type": "object",
                    "required": ["left", "right"],
                    "additionalProperties": false,
                    "properties": { "left": reference("names"), "right": reference("names") },
                },
            ],
        },
    })
}

fn watermark_properties() -> Value {
    json!({
        "column": { "type": "string", "description": "The column with the event time." },
        "delay": reference("duration"),
        "idleTimeout": reference("duration"),
    })
}

fn alignment() -> Value {
    json!({
        "type": "object",
        "description": "Readers further ahead in event time than maxDrift wait for the slowest of the group.",
        "required": ["maxDrift"],
        "additionalProperties": false,
        "properties": {
            "maxDrift": reference("duration"),
            "group": { "type": "string", "description": "Sources of one group wait for one another. Default: the source alone." },
            "updateInterval": reference("duration"),
        },
    })
}

fn window() -> Value {
    let kind = |name: &str, required: &[&str], properties: Value| {
        let mut all = json!({ "type": { "const": name } });
        merge(&mut all, properties);
        let mut required: Vec<&str> = required.to_vec();
        required.insert(0, "type");
        json!({
            "type": "object",
            "required": required,
            "additionalProperties": false,
            "properties": all,
        })
    };
    let duration = || reference("duration");
    json!({
        "oneOf": [
            kind("tumbling", &["size"], json!({ "size": duration(), "offset": duration() })),
            kind(
                "hopping",
                &["size", "slide"],
                json!({ "size": duration(), "slide": duration(), "offset": duration() }),
            ),
            kind("session", &["gap"], json!({ "gap": duration() })),
        ],
    })
}

/// Adds the properties of `more` to the object `into`.
fn merge(into: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(more)) = (into, more) {
        into.extend(more);
    }
}

fn metadata() -> Value {
    let label = json!({ "type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$" });
    let texts = json!({ "type": "object", "additionalProperties": { "type": "string" } });
    json!({
        "type": "object",
        "required": ["name"],
        "additionalProperties": false,
        "properties": {
            "name": label.clone(),
            "namespace": label,
            "labels": texts.clone(),
            "annotations": texts,
        },
    })
}

fn spec(connectors: &dyn Connectors) -> Value {
    let node_names = json!({ "pattern": "^[A-Za-z_][A-Za-z0-9_-]*$" });
    json!({
        "type": "object",
        "oneOf": [
            { "required": ["sources", "sinks"] },
            { "required": ["sql"] },
            { "required": ["sqlFile"] },
        ],
        "additionalProperties": false,
        "properties": {
            "sql": {
                "type": "string",
                "minLength": 1,
                "description": "SQL statements in Flink's dialect, instead of nodes.",
            },
            "sqlFile": {
                "type": "string",
                "minLength": 1,
                "description": "A file of SQL statements, its path relative to the job file.",
            },
            "parallelism": { "type": "integer", "minimum": 1, "default": 1 },
            "maxParallelism": { "type": "integer", "minimum": 1, "maximum": 32768, "default": 128 },
            "checkpoint": checkpoint(),
            "state": {
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "backend": { "enum": ["heap", "rocksdb"], "default": "heap" },
                    "memory": reference("size"),
                },
            },
            "restart": restart(),
            "slo": slo(),
            "sources": {
                "type": "object",
                "minProperties": 1,
                "propertyNames": node_names.clone(),
                "additionalProperties": connector_node(connectors, Role::Source),
            },
            "transforms": {
                "type": "object",
                "propertyNames": node_names.clone(),
                "additionalProperties": { "oneOf": transforms() },
            },
            "sinks": {
                "type": "object",
                "minProperties": 1,
                "propertyNames": node_names,
                "additionalProperties": connector_node(connectors, Role::Sink),
            },
        },
    })
}

fn checkpoint() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "interval": { "anyOf": [{ "const": "none" }, reference("duration")], "default": "10s" },
            "timeout": reference("duration"),
            "minPause": reference("duration"),
            "tolerableFailures": reference("count"),
            "retain": reference("positive"),
            "retainOnCancellation": { "type": "boolean", "default": false },
            "retainOnFinish": { "type": "boolean", "default": false },
            "mode": { "const": "exactly-once" },
        },
    })
}

fn restart() -> Value {
    let strategy = |name: &str, properties: Value| {
        let mut all = json!({ "strategy": { "const": name } });
        merge(&mut all, properties);
        json!({
            "type": "object",
            "required": ["strategy"],
            "additionalProperties": false,
            "properties": all,
        })
    };
    let duration = || reference("duration");
    json!({
        "oneOf": [
            strategy("exponential", json!({
                "initial": duration(),
                "max": duration(),
                "multiplier": { "type": "number", "minimum": 1, "maximum": 1000 },
                "resetAfter": duration(),
                "attempts": reference("positive"),
            })),
            strategy("fixed-delay", json!({ "attempts": reference("positive"), "delay": duration() })),
            strategy("failure-rate", json!({
                "maxFailures": reference("positive"),
                "interval": duration(),
                "delay": duration(),
            })),
            strategy("none", json!({})),
        ],
    })
}

fn slo() -> Value {
    let rate = || {
        json!({
            "type": "string",
            "description": "At most so many in a time, for example 3/1h.",
            "pattern": "^\\s*\\d+\\s*/\\s*(\\d+(\\.\\d+)?\\s*(ms|s|m|h|d)\\s*)+$|\\$\\{",
        })
    };
    json!({
        "type": "object",
        "description": "Service level objectives: a breach shows everywhere and calls the webhook.",
        "additionalProperties": false,
        "properties": {
            "freshness": reference("duration"),
            "silence": reference("duration"),
            "checkpointAge": reference("duration"),
            "restartRate": rate(),
            "deadLetterRate": rate(),
            "webhook": {
                "type": "object",
                "required": ["url"],
                "additionalProperties": false,
                "properties": {
                    "url": { "type": "string", "pattern": "^https?://|\\$\\{" },
                    "secret": {
                        "type": "string",
                        "description": "A reference such as ${env:NAME}.",
                        "pattern": "^\\$\\{env:[A-Za-z0-9_]+\\}$",
                    },
                },
            },
        },
    })
}

/// Keys that every node has.
fn common() -> Map<String, Value> {
    let mut common = Map::new();
    common.insert("parallelism".into(), reference("positive"));
    common.insert("uid".into(), json!({ "type": "string" }));
    common
}

fn connector_node(connectors: &dyn Connectors, role: Role) -> Value {
    let mut list: Vec<_> = connectors.list().into_iter().filter(|c| c.role == role).collect();
    list.sort_by_key(|c| c.name);
    let variants: Vec<Value> = list
        .into_iter()
        .map(|info| {
            let mut properties = common();
            let connector = json!({ "const": info.name, "description": info.summary });
            properties.insert("connector".into(), connector);
            match role {
                Role::Source => {
                    let types = json!({ "type": "string", "description": "A Flink SQL type." });
                    properties.insert(
                        "schema".into(),
                        json!({ "type": "object", "minProperties": 1, "additionalProperties": types }),
                    );
                    properties.insert("watermark".into(), reference("watermark"));
                    properties.insert("watermarkAlignment".into(), alignment());
                    properties.insert("deadLetter".into(), json!({ "type": "string" }));
                    properties.insert(
                        "onBadRecord".into(),
                        json!({ "enum": ["fail", "skip", "dead-letter"] }),
                    );
                }
                Role::Sink => {
                    properties.insert("inputs".into(), reference("names"));
                }
            }
            if let Some(options) = info.options.get("properties").and_then(Value::as_object) {
                for (name, option) in options {
                    properties.insert(name.clone(), option.clone());
                }
            }
            let mut required = vec![json!("connector")];
            required.extend(
                info.options.get("required").and_then(Value::as_array).into_iter().flatten().cloned(),
            );
            json!({
                "type": "object",
                "required": required,
                "additionalProperties": false,
                "properties": properties,
            })
        })
        .collect();
    json!({ "oneOf": variants })
}

#[expect(clippy::too_many_lines, reason = "one entry per transform")]
fn transforms() -> Vec<Value> {
    let names = || reference("names");
    let join = || {
        json!({
            "on": reference("on"),
            "leftTime": { "type": "string" },
            "rightTime": { "type": "string" },
            "join": { "enum": ["inner", "left", "right", "full"], "default": "inner" },
            "rightPrefix": { "type": "string", "default": "r_" },
        })
    };
    let mut window_join = join();
    merge(&mut window_join, json!({ "window": reference("window") }));
    let mut interval_join = join();
    merge(
        &mut interval_join,
        json!({ "lower": reference("duration"), "upper": reference("duration") }),
    );
    let select = json!({
        "anyOf": [
            { "type": "array", "minItems": 1, "items": reference("expression") },
            { "type": "object", "minProperties": 1, "additionalProperties": reference("expression") },
        ],
    });
    let window = json!({
        "keyBy": names(),
        "time": { "type": "string" },
        "window": reference("window"),
        "aggregates": reference("aggregates"),
        "allowedLateness": reference("duration"),
        "lateOutput": { "type": "boolean", "default": false },
    });
    let top_n = json!({
        "keyBy": names(),
        "n": reference("positive"),
        "orderBy": names(),
        "rankColumn": { "type": "string" },
        "perWindow": { "type": "boolean", "default": false },
    });
    vec![
        transform("filter", &["where"], json!({ "where": reference("expression") })),
        transform("project", &["select"], json!({ "select": select })),
        transform("watermark", &["column"], watermark_properties()),
        transform("window", &["window", "aggregates"], window),
        transform(
            "aggregate",
            &["aggregates"],
            json!({ "keyBy": names(), "aggregates": reference("aggregates") }),
        ),
        transform("windowJoin", &["on"], window_join),
        transform("intervalJoin", &["on", "lower", "upper"], interval_join),
        transform(
            "deduplicate",
            &["keyBy"],
            json!({
                "keyBy": names(),
                "keep": { "enum": ["first", "last"], "default": "first" },
                "orderBy": { "type": "string" },
            }),
        ),
        transform("topN", &["n", "orderBy"], top_n),
        transform("union", &[], json!({})),
        transform("keyBy", &["keys"], json!({ "keys": names() })),
        transform(
            "sql",
            &["sql"],
            json!({ "sql": {
                "type": "string",
                "minLength": 1,
                "description": "One query in Flink's dialect; the inputs are its tables.",
            } }),
        ),
    ]
}

fn transform(kind: &str, required: &[&str], more: Value) -> Value {
    let mut properties = Value::Object(common());
    merge(&mut properties, json!({ "type": { "const": kind }, "inputs": reference("names") }));
    merge(&mut properties, more);
    let mut all = vec!["type", "inputs"];
    all.extend(required);
    json!({
        "type": "object",
        "required": all,
        "additionalProperties": false,
        "properties": properties,
    })
}
