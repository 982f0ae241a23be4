//! The OpenAPI 3.1 document of the HTTP API, built by hand next to the routes it describes.

use axum::Json;
use serde_json::{Map, Value, json};

pub async fn serve() -> Json<Value> {
    Json(document())
}

/// One operation.
struct Operation {
    method: &'static str,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    /// Status of success and schema of its body.
    success: (&'static str, &'static str),
    errors: &'static [&'static str],
}

const fn op(
    method: &'static str,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    success: (&'static str, &'static str),
    errors: &'static [&'static str],
) -> Operation {
    Operation { method, path, id, summary, success, errors }
}

const OPERATIONS: &[Operation] = &[
    op("get", "/api/v1/jobs", "listJobs", "All jobs, newest first", ("200", "JobList"), &[]),
    op(
        "post",
        "/api/v1/jobs",
        "submitJob",
        "Plan a job file and run it",
        ("201", "Submitted"),
        &["400", "413", "415", "422", "503"],
    ),
    op("get", "/api/v1/jobs/{job}", "getJob", "One job", ("200", "Job"), &["404", "409"]),
    op(
        "delete",
        "/api/v1/jobs/{job}",
        "deleteJob",
        "Cancel a job; its checkpoints stay",
        ("202", "Canceling"),
        &["404", "409"],
    ),
    op(
        "post",
        "/api/v1/jobs/{job}/cancel",
        "cancelJob",
        "Cancel a job; its checkpoints stay",
        ("202", "Canceling"),
        &["404", "409"],
    ),
    op(
        "get",
        "/api/v1/jobs/{job}/graph",
        "getJobGraph",
        "The JobGraph",
        ("200", "JobGraph"),
        &["404", "409"],
    ),
    op(
        "get",
        "/api/v1/jobs/{job}/exceptions",
        "listExceptions",
        "The last failures, newest first",
        ("200", "Exceptions"),
        &["404", "409"],
    ),
    op(
        "get",
        "/api/v1/jobs/{job}/checkpoints",
        "listCheckpoints",
        "The last checkpoints, newest first",
        ("200", "Checkpoints"),
        &["404", "409"],
    ),
    op(
        "post",
        "/api/v1/jobs/{job}/checkpoints",
        "triggerCheckpoint",
        "Take a checkpoint now and wait until it is committed",
        ("200", "Checkpoint"),
        &["404", "409", "504"],
    ),
    op(
        "get",
        "/api/v1/jobs/{job}/checkpoints/{checkpoint}",
        "getCheckpoint",
        "One checkpoint with its subtasks",
        ("200", "Checkpoint"),
        &["400", "404", "409"],
    ),
    op(
        "get",
        "/api/v1/taskmanagers",
        "listTaskManagers",
        "All TaskManagers",
        ("200", "TaskManagers"),
        &[],
    ),
    op("get", "/api/v1/overview", "getOverview", "The cluster", ("200", "Overview"), &[]),
    op("get", "/api/v1/openapi.json", "getOpenApi", "This document", ("200", "Any"), &[]),
    op("get", "/healthz", "getHealth", "The process answers", ("200", "Probe"), &[]),
    op("get", "/readyz", "getReady", "The process takes jobs", ("200", "Probe"), &[]),
];

/// The document.
pub fn document() -> Value {
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let entry = paths.entry(operation.path).or_insert_with(|| json!({}));
        entry[operation.method] = described(operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Weir job manager",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Submit, watch and cancel stream processing jobs.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": { "schemas": schemas() },
    })
}

fn described(operation: &Operation) -> Value {
    let (status, schema) = operation.success;
    let mut responses = Map::new();
    responses.insert(
        status.to_owned(),
        json!({
            "description": operation.summary,
            "content": { "application/json": { "schema": reference(schema) } },
        }),
    );
    for status in operation.errors {
        responses.insert(
            (*status).to_owned(),
            json!({
                "description": "Error",
                "content": { "application/json": { "schema": reference("Error") } },
            }),
        );
    }
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "responses": responses,
    });
    let parameters = parameters(operation);
    if !parameters.is_empty() {
        described["parameters"] = parameters.into();
    }
    if operation.id == "submitJob" {
        described["requestBody"] = json!({
            "required": true,
            "content": { "application/json": { "schema": reference("Submission") } },
        });
    }
    described
}

fn parameters(operation: &Operation) -> Vec<Value> {
    let mut list = Vec::new();
    if operation.path.contains("{job}") {
        list.push(json!({
            "name": "job", "in": "path", "required": true, "schema": { "type": "string" },
            "description": "Id, unique prefix of it, or name",
        }));
    }
    if operation.path.contains("{checkpoint}") {
        list.push(json!({
            "name": "checkpoint", "in": "path", "required": true, "schema": { "type": "string" },
            "description": "Number of the checkpoint, such as 7 or chk-7",
        }));
    }
    if operation.id == "triggerCheckpoint" {
        list.push(json!({
            "name": "timeoutMs", "in": "query", "schema": { "type": "integer", "default": 60000 },
            "description": "How long to wait for it",
        }));
    }
    list
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn object(properties: &[(&str, Value)], required: &[&str]) -> Value {
    let properties: Map<String, Value> =
        properties.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

fn list_of(name: &str, schema: &str) -> Value {
    object(&[(name, json!({ "type": "array", "items": reference(schema) }))], &[name])
}

fn schemas() -> Value {
    let mut schemas = job_schemas();
    let text = || json!({ "type": "string" });
    let maybe_text = || json!({ "type": ["string", "null"] });
    let number = || json!({ "type": "integer" });
    let any = || json!({ "type": "object" });
    let mut add = |name: &str, schema: Value| {
        schemas.insert(name.to_owned(), schema);
    };
    add("Any", any());
    let error = object(
        &[("code", text()), ("message", text()), ("help", maybe_text())],
        &["code", "message"],
    );
    add("Error", object(&[("error", error)], &["error"]));
    add("Probe", object(&[("status", text())], &["status"]));
    let task_manager = [
        ("id", text()),
        ("rpcAddr", text()),
        ("dataAddr", text()),
        ("slots", number()),
        ("freeSlots", number()),
        ("version", text()),
        ("registeredAtMs", number()),
        ("lastHeartbeatMs", number()),
        ("process", json!({})),
        ("jobs", json!({ "type": "array", "items": text() })),
    ];
    add("TaskManager", object(&task_manager, &["id", "slots", "freeSlots"]));
    add("TaskManagers", list_of("taskManagers", "TaskManager"));
    let overview = [
        ("version", text()),
        ("leaderEpoch", number()),
        ("checkpointStorage", text()),
        ("taskManagers", number()),
        ("slots", object(&[("total", number()), ("free", number())], &["total", "free"])),
        ("jobs", json!({ "type": "object", "additionalProperties": number() })),
    ];
    add("Overview", object(&overview, &["version", "taskManagers", "slots", "jobs"]));
    Value::Object(schemas)
}

fn job_schemas() -> Map<String, Value> {
    let text = || json!({ "type": "string" });
    let maybe_text = || json!({ "type": ["string", "null"] });
    let number = || json!({ "type": "integer" });
    let maybe_number = || json!({ "type": ["integer", "null"] });
    let any = || json!({ "type": "object" });
    let status = json!({ "type": "string", "enum": [
        "CREATED", "RUNNING", "RESTARTING", "FAILING", "FAILED", "CANCELLING", "CANCELED",
        "FINISHED",
    ] });
    let job = [
        ("id", text()),
        ("name", text()),
        ("status", status.clone()),
        ("message", maybe_text()),
        ("failure", maybe_text()),
        ("submittedAtMs", number()),
        ("startedAtMs", maybe_number()),
        ("endedAtMs", maybe_number()),
        ("attempt", number()),
        ("restarts", number()),
        ("slots", any()),
        ("sources", any()),
        ("checkpoints", any()),
        ("vertices", json!({ "type": "array", "items": any() })),
    ];
    let checkpoint = [
        ("id", number()),
        ("kind", json!({ "enum": ["periodic", "manual", "final"] })),
        ("status", json!({ "enum": ["inProgress", "completed", "failed"] })),
        ("attempt", number()),
        ("triggeredAtMs", number()),
        ("endedAtMs", maybe_number()),
        ("committedAtMs", maybe_number()),
        ("durationMs", maybe_number()),
        ("stateBytes", number()),
        ("acknowledged", number()),
        ("total", number()),
        ("cause", maybe_text()),
        ("path", maybe_text()),
        ("subtasks", json!({ "type": "array", "items": any() })),
    ];
    let submission = [
        ("jobFile", json!({ "type": "string", "description": "The job file, YAML" })),
        ("from", json!({ "type": ["string", "null"], "description": "URI of a checkpoint" })),
        ("name", maybe_text()),
        ("allowDroppedState", json!({ "type": "boolean", "default": false })),
    ];
    let exceptions =
        [("failure", maybe_text()), ("exceptions", json!({ "type": "array", "items": any() }))];
    let checkpoints = [
        ("summary", any()),
        ("checkpoints", json!({ "type": "array", "items": reference("Checkpoint") })),
    ];
    let named = [
        ("Submission", object(&submission, &["jobFile"])),
        ("Submitted", object(&[("id", text()), ("name", text())], &["id", "name"])),
        ("Job", object(&job, &["id", "name", "status"])),
        ("JobList", list_of("jobs", "Job")),
        ("JobGraph", any()),
        ("Canceling", object(&[("id", text()), ("status", status)], &["id", "status"])),
        ("Exceptions", object(&exceptions, &["exceptions"])),
        ("Checkpoint", object(&checkpoint, &["id", "status"])),
        ("Checkpoints", object(&checkpoints, &["checkpoints"])),
    ];
    named.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}
