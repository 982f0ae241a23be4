//! Schemas of what concerns the cluster, and of errors.

use serde_json::{Map, Value, json};

use super::form::{any, flag, list, map, maybe, number, object, real, reference, text};

#[expect(clippy::too_many_lines, reason = "one entry per schema")]
pub(super) fn all() -> Map<String, Value> {
    let mut schemas = Map::new();
    let mut add = |name: &str, schema: Value| {
        schemas.insert(name.to_owned(), schema);
    };
    add("Any", any());
    add("Text", text());
    let mut event = object(&[("event", text()), ("id", text()), ("data", text())]);
    event["description"] = "One server-sent event; its data is JSON, and ids count from 1".into();
    add("EventStream", event);
    let error = object(&[
        ("code", text()),
        ("message", text()),
        ("help?", maybe(text())),
        ("diagnostics?", json!({})),
    ]);
    add("Error", object(&[("error", error)]));
    add("Probe", object(&[("status", text())]));
    let memory = object(&[
        ("heapState", maybe(number())),
        ("network", maybe(number())),
        ("rocksdb", maybe(number())),
        ("process", maybe(number())),
    ]);
    let cpu = object(&[("seconds", maybe(real())), ("percent", maybe(real()))]);
    let machine = object(&[
        ("memoryBytes", maybe(number())),
        ("availableBytes", maybe(number())),
        ("processors", maybe(number())),
        ("cpuPercent", maybe(real())),
    ]);
    let network = object(&[
        ("inBytes", maybe(number())),
        ("outBytes", maybe(number())),
        ("inBytesPerSecond", maybe(real())),
        ("outBytesPerSecond", maybe(real())),
    ]);
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
        ("jobs", list(text())),
        ("memory", memory),
        ("cpu", cpu),
        ("machine", machine),
        ("network", network),
        ("pid", maybe(number())),
        ("uptimeMs", number()),
    ];
    add("TaskManager", object(&task_manager));
    add("TaskManagers", object(&[("taskManagers", list(reference("TaskManager")))]));
    let task = object(&[
        ("job", text()),
        ("jobName", text()),
        ("vertex", text()),
        ("name", text()),
        ("subtask", number()),
        ("state", text()),
    ]);
    let mut details = task_manager.to_vec();
    details.push(("tasks", list(task)));
    add("TaskManagerDetails", object(&details));
    add(
        "Overview",
        object(&[
            ("version", text()),
            ("leaderEpoch", number()),
            ("checkpointStorage", text()),
            ("taskManagers", number()),
            ("slots", object(&[("total", number()), ("free", number())])),
            ("jobs", map(number())),
            ("taps", flag()),
        ]),
    );
    let log = object(&[
        ("id", text()),
        ("name", text()),
        ("bytes", number()),
        ("modifiedAtMs", number()),
    ]);
    add("Logs", object(&[("logs", list(log))]));
    add(
        "Dump",
        object(&[
            (
                "threads",
                list(object(&[("name", text()), ("state", text()), ("stack", list(text()))])),
            ),
            ("tasks", list(any())),
        ]),
    );
    let task = object(&[("job", text()), ("vertex", text()), ("subtask", number())]);
    add(
        "Profile",
        object(&[
            ("seconds", number()),
            ("samples", number()),
            (
                "stacks",
                list(object(&[("frames", list(text())), ("count", number()), ("task?", task)])),
            ),
        ]),
    );
    schemas
}
