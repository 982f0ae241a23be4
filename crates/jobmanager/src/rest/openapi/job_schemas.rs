//! Schemas of what concerns jobs.

use serde_json::{Map, Value, json};

use super::form::{any, flag, list, map, maybe, number, object, one_of, real, reference, text};

const STATES: [&str; 9] = [
    "CREATED",
    "SCHEDULED",
    "DEPLOYING",
    "INITIALIZING",
    "RUNNING",
    "FINISHED",
    "CANCELING",
    "CANCELED",
    "FAILED",
];

fn status() -> Value {
    one_of(&[
        "CREATED",
        "RUNNING",
        "RESTARTING",
        "FAILING",
        "FAILED",
        "CANCELLING",
        "CANCELED",
        "FINISHED",
    ])
}

pub(super) fn all() -> Map<String, Value> {
    let mut all = Map::new();
    for part in [submission(), job(), plan_and_health(), checkpoints(), history()] {
        all.extend(part.into_iter().map(|(name, schema)| (name.to_owned(), schema)));
    }
    all
}

type Named = Vec<(&'static str, Value)>;

fn submission() -> Named {
    let format = || json!({ "type": "string", "enum": ["yaml", "sql"], "default": "yaml" });
    let mut submission = object(&[
        ("jobFile?", json!({ "type": "string", "description": "The job file, YAML" })),
        ("text?", json!({ "type": "string", "description": "The job file, in `format`" })),
        ("format?", format()),
        ("from?", maybe(json!({ "type": "string", "description": "URI of a checkpoint" }))),
        ("name?", maybe(json!({ "type": "string", "minLength": 1 }))),
        ("allowDroppedState?", json!({ "type": "boolean", "default": false })),
        (
            "variables?",
            json!({
                "type": "object", "additionalProperties": { "type": "string" },
                "description": "Values for `${env:NAME}` in the job file, before those of the job manager",
            }),
        ),
    ]);
    submission["additionalProperties"] = false.into();
    submission["oneOf"] = json!([{ "required": ["jobFile"] }, { "required": ["text"] }]);
    let mut job_text = object(&[("text", text()), ("format?", format())]);
    job_text["additionalProperties"] = false.into();
    let mut tap = object(&[
        (
            "vertex",
            json!({ "type": "string", "description": "A vertex or an operator: id or name" }),
        ),
        ("operator?", maybe(text())),
        ("limit?", maybe(json!({ "type": "integer", "minimum": 1, "maximum": 10000 }))),
    ]);
    tap["additionalProperties"] = false.into();
    let diagnostic = object(&[
        ("severity", one_of(&["error", "warning"])),
        ("code", text()),
        ("message", text()),
        ("line", number()),
        ("column", number()),
        ("endLine", number()),
        ("endColumn", number()),
        ("label", maybe(text())),
        ("help", maybe(text())),
    ]);
    let validation = object(&[
        ("ok", flag()),
        ("diagnostics", list(reference("Diagnostic"))),
        ("plan", maybe(reference("Plan"))),
        ("name", maybe(text())),
        ("slots", maybe(number())),
    ]);
    vec![
        ("Submission", submission),
        ("Submitted", object(&[("id", text()), ("name", text())])),
        ("JobText", job_text),
        ("Tap", tap),
        ("Diagnostic", diagnostic),
        ("Validation", validation),
        ("Canceling", object(&[("id", text()), ("status", status())])),
    ]
}

/// What a job has in lists and in full.
fn entry() -> Named {
    vec![
        ("id", text()),
        ("name", text()),
        ("status", status()),
        ("message", maybe(text())),
        ("failure", maybe(text())),
        ("submittedAtMs", number()),
        ("startedAtMs", maybe(number())),
        ("endedAtMs", maybe(number())),
        ("attempt", number()),
        ("restarts", number()),
        ("slots", object(&[("needed", number()), ("held", number())])),
        (
            "sources",
            object(&[
                ("records", number()),
                ("recordsPerSecond", real()),
                ("averageRecordsPerSecond", real()),
            ]),
        ),
        ("checkpoints", reference("CheckpointCounts")),
        ("health", reference("Health")),
    ]
}

fn job() -> Named {
    let mut listed = entry();
    listed.extend([("tasks", number()), ("slosBreached", number())]);
    let mut job = entry();
    job.extend([
        ("timestamps", map(number())),
        ("from", maybe(text())),
        ("slos", list(reference("Slo"))),
        ("plan", reference("Plan")),
        ("vertices", list(reference("Vertex"))),
    ]);
    let operator = object(&[("uid", text()), ("name", text()), ("kind", text())]);
    let vertex = object(&[
        ("id", text()),
        ("name", text()),
        ("parallelism", number()),
        ("operators", list(operator)),
        ("states", map(number())),
        ("metrics", reference("TaskMetrics")),
        ("rates", reference("Rates")),
        ("watermark", maybe(number())),
        ("subtasks", list(reference("Subtask"))),
    ]);
    let subtask = object(&[
        ("subtask", number()),
        ("attempt", number()),
        ("state", one_of(&STATES)),
        ("taskManager", maybe(text())),
        ("timestamps", map(number())),
        ("metrics", reference("TaskMetrics")),
        ("rates", reference("Rates")),
    ]);
    let rates = object(&[
        ("recordsInPerSecond", real()),
        ("recordsOutPerSecond", real()),
        ("bytesInPerSecond", real()),
        ("bytesOutPerSecond", real()),
        ("busyPercent", real()),
        ("backpressuredPercent", real()),
        ("idlePercent", real()),
    ]);
    vec![
        ("ListedJob", object(&listed)),
        ("JobList", object(&[("jobs", list(reference("ListedJob")))])),
        ("Job", object(&job)),
        ("Vertex", vertex),
        ("Subtask", subtask),
        ("Rates", rates),
        ("TaskMetrics", task_metrics()),
        ("JobGraph", object(&[("version", number()), ("name", text()), ("vertices", list(any()))])),
        (
            "JobSource",
            object(&[("format", one_of(&["yaml", "sql", "graph"])), ("text", maybe(text()))]),
        ),
        (
            "JobConfig",
            object(&[
                ("parallelism", number()),
                ("maxParallelism", number()),
                ("stateBackend", text()),
                ("stateMemoryBytes", number()),
                ("checkpoint", any()),
                ("restart", object(&[("strategy", text())])),
                ("slo", any()),
            ]),
        ),
    ]
}

fn task_metrics() -> Value {
    let count = ["recordsIn", "recordsOut", "bytesIn", "bytesOut", "lateRecords"];
    let more = ["badRecordsSkipped", "badRecordsDeadLettered", "busyMs", "backpressuredMs"];
    let rest = ["idleMs", "stateBytes", "queuedBytes", "alignmentMs", "restoreMs"];
    let mut properties: Named = Vec::new();
    properties.extend(count.iter().chain(&more).chain(&rest).map(|name| (*name, number())));
    properties.extend([
        ("watermark", maybe(number())),
        ("latencyUs", maybe(list(number()))),
        ("sourceIdleMs", maybe(number())),
        ("pendingRecords", maybe(number())),
        ("fetchEventTimeLagMs", maybe(number())),
        (
            "splits",
            list(object(&[
                ("id", text()),
                ("watermark", maybe(number())),
                ("lastRecordAtMs", number()),
                ("idle", flag()),
            ])),
        ),
        (
            "hotKeyGroup",
            maybe(object(&[
                ("group", number()),
                ("share", real()),
                ("to", text()),
                ("toSubtask", number()),
            ])),
        ),
        (
            "operators",
            list(object(&[
                ("uid", text()),
                ("recordsIn", number()),
                ("recordsOut", number()),
                ("stateBytes", number()),
            ])),
        ),
    ]);
    object(&properties)
}

fn plan_and_health() -> Named {
    let operator = object(&[
        ("uid", text()),
        ("name", text()),
        ("kind", text()),
        ("line", maybe(number())),
        ("column", maybe(number())),
    ]);
    let node = object(&[
        ("vertex", text()),
        ("name", text()),
        ("parallelism", number()),
        ("operators", list(operator)),
    ]);
    let edge = object(&[
        ("from", text()),
        ("to", text()),
        ("partitioning", one_of(&["forward", "hash", "rebalance", "broadcast"])),
        ("keys", list(text())),
        ("side", maybe(text())),
    ]);
    let kinds = [
        "failed",
        "restarting",
        "waitingForSlots",
        "silentSource",
        "watermarkStalled",
        "checkpointFailing",
        "checkpointTooOld",
        "deadLetters",
        "freshness",
    ];
    let reason = object(&[("kind", one_of(&kinds)), ("text", text()), ("sinceMs", number())]);
    let slo: Named = vec![
        (
            "slo",
            one_of(&["freshness", "silence", "checkpointAge", "restartRate", "deadLetterRate"]),
        ),
        ("limit", text()),
        ("value", maybe(text())),
        ("breached", flag()),
        ("sinceMs", maybe(number())),
        ("webhook", one_of(&["none", "sent", "retrying", "failed"])),
    ];
    let mut of_job = slo.clone();
    of_job.push(("job", object(&[("id", text()), ("name", text()), ("status", status())])));
    let evidence = object(&[
        ("kind", text()),
        ("text", text()),
        ("vertex", maybe(text())),
        ("subtask", maybe(number())),
        ("split", maybe(text())),
        ("value", maybe(real())),
        ("sinceMs", maybe(number())),
    ]);
    vec![
        ("Plan", object(&[("nodes", list(node)), ("edges", list(edge))])),
        (
            "Health",
            object(&[("state", one_of(&["ok", "degraded", "failing"])), ("reasons", list(reason))]),
        ),
        ("Slo", object(&slo)),
        ("Slos", object(&[("slos", list(object(&of_job)))])),
        ("Why", object(&[("sentence", text()), ("evidence", list(evidence)), ("healthy", flag())])),
    ]
}

#[expect(clippy::too_many_lines, reason = "one entry per schema")]
fn checkpoints() -> Named {
    let straggler = object(&[
        ("vertex", text()),
        ("subtask", number()),
        ("phase", one_of(&["barrierArrival", "alignment", "sync", "upload", "acknowledgement"])),
        ("ms", number()),
    ]);
    let record: Named = vec![
        ("id", number()),
        ("kind", one_of(&["periodic", "manual", "final"])),
        ("status", one_of(&["inProgress", "completed", "failed"])),
        ("attempt", number()),
        ("triggeredAtMs", number()),
        ("endedAtMs", maybe(number())),
        ("committedAtMs", maybe(number())),
        ("durationMs", maybe(number())),
        ("stateBytes", number()),
        ("writtenBytes", number()),
        ("acknowledged", number()),
        ("total", number()),
        ("cause", maybe(text())),
        ("path", maybe(text())),
        ("straggler", maybe(straggler)),
    ];
    let subtask = object(&[
        ("vertex", text()),
        ("subtask", number()),
        ("finished", flag()),
        ("triggeredAtMs", number()),
        ("barrierArrivedAtMs", number()),
        ("alignmentMs", real()),
        ("syncMs", real()),
        ("uploadMs", real()),
        ("acknowledgedAtMs", number()),
        ("stateBytes", number()),
        ("writtenBytes", number()),
        ("timings", any()),
    ]);
    let mut details = record.clone();
    details.push(("subtasks", list(subtask)));
    let counts = object(&[
        ("triggered", number()),
        ("completed", number()),
        ("failed", number()),
        ("inProgress", maybe(number())),
        ("latest", maybe(any())),
        ("lastFailure", maybe(text())),
    ]);
    let spread = || {
        let figures = ["min", "avg", "max", "p50", "p90", "p95", "p99", "p999"];
        maybe(object(&figures.map(|name| (name, real()))))
    };
    let figures = ["endToEndMs", "stateBytes", "writtenBytes", "alignmentMs"];
    let percentiles = object(&figures.map(|name| (name, spread())));
    let restored = object(&[("id", number()), ("restoredAtMs", number()), ("path", maybe(text()))]);
    let latest = object(&[
        ("completed", maybe(reference("Checkpoint"))),
        ("failed", maybe(reference("Checkpoint"))),
        ("savepoint", maybe(reference("Checkpoint"))),
        ("restored", maybe(restored)),
    ]);
    vec![
        ("Checkpoint", object(&record)),
        ("CheckpointDetails", object(&details)),
        ("CheckpointCounts", counts),
        (
            "Checkpoints",
            object(&[
                ("summary", reference("CheckpointCounts")),
                ("checkpoints", list(reference("Checkpoint"))),
            ]),
        ),
        (
            "CheckpointsSummary",
            object(&[
                ("config", any()),
                ("counts", map(number())),
                ("percentiles", percentiles),
                ("latest", latest),
            ]),
        ),
    ]
}

fn history() -> Named {
    let exception = object(&[
        ("timestampMs", number()),
        ("attempt", number()),
        ("kind", text()),
        ("message", text()),
        ("task", maybe(text())),
        ("taskManager", maybe(text())),
    ]);
    let entry = object(&[("state", one_of(&STATES)), ("atMs", number())]);
    let subtask =
        object(&[("subtask", number()), ("taskManager", maybe(text())), ("states", list(entry))]);
    let vertex = object(&[("vertex", text()), ("name", text()), ("subtasks", list(subtask))]);
    let attempt = object(&[
        ("attempt", number()),
        ("startedAtMs", number()),
        ("runningAtMs", maybe(number())),
        ("endedAtMs", maybe(number())),
        ("restoredFrom", maybe(number())),
        ("cause", maybe(text())),
        ("downtimeMs", maybe(number())),
        ("vertices", list(vertex)),
    ]);
    let point = json!({
        "type": "array",
        "description": "Time in ms since the epoch, and the figure then",
        "items": { "type": ["number", "null"] },
        "minItems": 2,
        "maxItems": 2,
    });
    vec![
        ("Exceptions", object(&[("failure", maybe(text())), ("exceptions", list(exception))])),
        ("Timeline", object(&[("attempts", list(attempt))])),
        ("MetricsHistory", object(&[("metric", text()), ("points", list(point))])),
    ]
}
