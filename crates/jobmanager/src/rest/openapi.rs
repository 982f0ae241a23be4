//! The OpenAPI 3.1 document of the HTTP API, built by hand next to the routes it describes.
//! The schemas are in `openapi/`.

mod cluster_schemas;
mod examples;
mod form;
mod job_schemas;

use std::collections::BTreeSet;

use axum::Json;
use serde_json::{Map, Value, json};

use crate::metrics_history::{JOB_METRICS, VERTEX_METRICS};
use crate::rest::bounds::GREATEST;

use form::reference;

pub async fn serve() -> Json<Value> {
    Json(document())
}

/// One operation.
struct Operation {
    method: &'static str,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    /// Status of success and schema of its body; the media are told by the schema's name.
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

/// What may be wrong with a path that names a job.
const JOB: &[&str] = &["400", "404", "409"];
const TASK_MANAGER: &[&str] = &["400", "404", "503"];

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
    op(
        "post",
        "/api/v1/jobs/validate",
        "validateJob",
        "Plan a job file without running it",
        ("200", "Validation"),
        &["400", "413", "415", "422"],
    ),
    op("get", "/api/v1/jobs/{job}", "getJob", "One job", ("200", "Job"), JOB),
    op(
        "delete",
        "/api/v1/jobs/{job}",
        "deleteJob",
        "Cancel a job; its checkpoints stay",
        ("202", "Canceling"),
        JOB,
    ),
    op(
        "post",
        "/api/v1/jobs/{job}/cancel",
        "cancelJob",
        "Cancel a job; its checkpoints stay",
        ("202", "Canceling"),
        JOB,
    ),
    op(
        "get",
        "/api/v1/jobs/{job}/graph",
        "getJobGraph",
        "The JobGraph, secrets hidden",
        ("200", "JobGraph"),
        JOB,
    ),
    op(
        "get",
        "/api/v1/jobs/{job}/source",
        "getJobSource",
        "The job file as submitted, secrets hidden",
        ("200", "JobSource"),
        JOB,
    ),
    op(
        "get",
        "/api/v1/jobs/{job}/config",
        "getJobConfig",
        "What the job asks of the cluster",
        ("200", "JobConfig"),
        JOB,
    ),
    op(
        "get",
        "/api/v1/jobs/{job}/exceptions",
        "listExceptions",
        "The last failures, newest first",
        ("200", "Exceptions"),
        JOB,
    ),
    op(
        "get",
        "/api/v1/jobs/{job}/timeline",
        "getTimeline",
        "Every attempt to run the job, oldest first",
        ("200", "Timeline"),
        JOB,
    ),
    op(
        "get",
        "/api/v1/jobs/{job}/why",
        "explainJob",
        "What holds the job back now, in a sentence with its evidence",
        ("200", "Why"),
        JOB,
    ),
    op(
        "get",
        "/api/v1/jobs/{job}/metrics/history",
        "getMetricsHistory",
        "A figure over the last ten minutes",
        ("200", "MetricsHistory"),
        JOB,
    ),
    op(
        "get",
        "/api/v1/jobs/{job}/events",
        "watchJob",
        "Changes of a job: events job, checkpoint, exception",
        ("200", "EventStream"),
        &["400", "404", "409", "503"],
    ),
    op(
        "post",
        "/api/v1/jobs/{job}/taps",
        "tapJob",
        "Rows that pass an operator, sampled: events open, rows, end",
        ("200", "EventStream"),
        &["400", "403", "404", "409", "413", "415", "422", "503"],
    ),
    op(
        "post",
        "/api/v1/jobs/{job}/results",
        "readResults",
        "Every row of a query, which waits for its reader: events open, rows, end",
        ("200", "EventStream"),
        &["400", "403", "404", "409", "503"],
    ),
    op(
        "get",
        "/api/v1/jobs/{job}/checkpoints",
        "listCheckpoints",
        "The last checkpoints, newest first",
        ("200", "Checkpoints"),
        JOB,
    ),
    op(
        "post",
        "/api/v1/jobs/{job}/checkpoints",
        "triggerCheckpoint",
        "Take a checkpoint now and wait until it is committed",
        ("200", "CheckpointDetails"),
        &["400", "404", "409", "504"],
    ),
    op(
        "get",
        "/api/v1/jobs/{job}/checkpoints/summary",
        "summarizeCheckpoints",
        "Configuration, counts, spread and the latest of each kind",
        ("200", "CheckpointsSummary"),
        JOB,
    ),
    op(
        "get",
        "/api/v1/jobs/{job}/checkpoints/{checkpoint}",
        "getCheckpoint",
        "One checkpoint with its subtasks",
        ("200", "CheckpointDetails"),
        JOB,
    ),
    op("get", "/api/v1/slos", "listSlos", "Every SLO of every job", ("200", "Slos"), &[]),
    op(
        "get",
        "/api/v1/events",
        "watchJobs",
        "Changes of all jobs: events jobs, overview",
        ("200", "EventStream"),
        &["503"],
    ),
    op(
        "get",
        "/api/v1/schema/job.json",
        "getJobSchema",
        "The JSON Schema of job files",
        ("200", "Any"),
        &[],
    ),
    op(
        "get",
        "/api/v1/taskmanagers",
        "listTaskManagers",
        "All TaskManagers",
        ("200", "TaskManagers"),
        &[],
    ),
    op(
        "get",
        "/api/v1/taskmanagers/{taskManager}",
        "getTaskManager",
        "One TaskManager: slots, tasks, memory, CPU, network",
        ("200", "TaskManagerDetails"),
        TASK_MANAGER,
    ),
    op(
        "get",
        "/api/v1/taskmanagers/{taskManager}/logs",
        "listTaskManagerLogs",
        "The logs that a TaskManager keeps",
        ("200", "Logs"),
        TASK_MANAGER,
    ),
    op(
        "get",
        "/api/v1/taskmanagers/{taskManager}/logs/{log}",
        "getTaskManagerLog",
        "The end of a log",
        ("200", "Text"),
        TASK_MANAGER,
    ),
    op(
        "get",
        "/api/v1/taskmanagers/{taskManager}/dump",
        "dumpTaskManager",
        "What its tasks and threads do now",
        ("200", "Dump"),
        TASK_MANAGER,
    ),
    op(
        "get",
        "/api/v1/taskmanagers/{taskManager}/profile",
        "profileTaskManager",
        "Samples of what runs on its processors",
        ("200", "Profile"),
        TASK_MANAGER,
    ),
    op(
        "get",
        "/api/v1/jobmanager/logs",
        "listJobManagerLogs",
        "The logs that the job manager keeps",
        ("200", "Logs"),
        &[],
    ),
    op(
        "get",
        "/api/v1/jobmanager/logs/{log}",
        "getJobManagerLog",
        "The end of a log",
        ("200", "Text"),
        &["400", "404"],
    ),
    op("get", "/api/v1/overview", "getOverview", "The cluster", ("200", "Overview"), &[]),
    op("get", "/api/v1/openapi.json", "getOpenApi", "This document", ("200", "Any"), &[]),
    op("get", "/metrics", "scrapeMetrics", "Prometheus text", ("200", "Text"), &["503"]),
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
    let mut schemas = job_schemas::all();
    schemas.extend(cluster_schemas::all());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Weir job manager",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Submit, watch and cancel stream processing jobs.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
        "security": [{}, { "token": [] }],
    })
}

fn described(operation: &Operation) -> Value {
    let (status, schema) = operation.success;
    let media = match schema {
        "EventStream" => "text/event-stream",
        "Text" => "text/plain; charset=utf-8",
        _ => "application/json",
    };
    let mut responses = Map::new();
    responses.insert(
        status.to_owned(),
        json!({
            "description": operation.summary,
            "content": { media: { "schema": reference(schema) } },
        }),
    );
    // Beyond loopback a token may be missing or wrong, and a Host or Origin refused.
    let always = ["401", "403", "405"];
    for status in operation.errors.iter().chain(&always) {
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
    let body = match operation.id {
        "submitJob" => Some("Submission"),
        "validateJob" => Some("JobText"),
        "tapJob" => Some("Tap"),
        _ => None,
    };
    if let Some(body) = body {
        described["requestBody"] = json!({
            "required": true,
            "content": { "application/json": {
                "schema": reference(body),
                "examples": examples::of(operation.id),
            } },
        });
    }
    described
}

fn whole(least: i64, default: i64) -> Value {
    json!({ "type": "integer", "minimum": least, "maximum": GREATEST, "default": default })
}

fn parameters(operation: &Operation) -> Vec<Value> {
    let mut list = Vec::new();
    let mut add = |name: &str, place: &str, schema: Value, description: &str| {
        list.push(json!({
            "name": name, "in": place, "required": place == "path", "schema": schema,
            "description": description,
        }));
    };
    let text = || json!({ "type": "string", "minLength": 1 });
    if operation.path.contains("{job}") {
        add("job", "path", text(), "Id, unique prefix of it, or name");
    }
    if operation.path.contains("{checkpoint}") {
        let number = json!({ "type": "string", "pattern": "^(chk-)?[0-9]{1,19}$" });
        add("checkpoint", "path", number, "Number of the checkpoint, such as 7 or chk-7");
    }
    if operation.path.contains("{taskManager}") {
        add("taskManager", "path", text(), "Id of the TaskManager");
    }
    if operation.path.contains("{log}") {
        add("log", "path", text(), "Id of the log, from the list of logs");
        let bytes = whole(0, 65_536);
        add("tail", "query", bytes, "Bytes of its end");
    }
    match operation.id {
        "triggerCheckpoint" => {
            let ms = whole(1, 60_000);
            add("timeoutMs", "query", ms, "How long to wait for it");
        }
        "getMetricsHistory" => {
            let vertex = json!({ "type": "string", "pattern": "^[0-9a-f]{32}$" });
            add("vertex", "query", vertex, "Id of a vertex; absent: the job as a whole");
            let names: BTreeSet<&str> = JOB_METRICS.into_iter().chain(VERTEX_METRICS).collect();
            let metric = json!({ "type": "string", "enum": names });
            add("metric", "query", metric, "Its name; a job as a whole has some of them");
            if let Some(metric) = list.last_mut() {
                metric["required"] = true.into();
            }
            let ms = json!({ "type": "integer", "minimum": -GREATEST, "maximum": GREATEST });
            list.push(json!({
                "name": "sinceMs", "in": "query", "schema": ms,
                "description": "Only points from then on, ms since the epoch",
            }));
        }
        "profileTaskManager" => {
            let seconds = json!({ "type": "integer", "minimum": 1, "maximum": 60, "default": 5 });
            add("seconds", "query", seconds, "How long to sample");
        }
        _ => {}
    }
    list
}
