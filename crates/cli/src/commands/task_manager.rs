//! `describe taskmanager`: the slots, tasks and memory of one task manager, and the machine
//! that it is on. Called by `commands.rs`.

use std::time::Duration;

use serde_json::Value;

use super::client;
use crate::arguments::TaskManagerIdArguments;
use crate::client::segment;
use crate::exit::{Exit, Failure};
use crate::output::{plain, print, table, time};
use crate::settings::Settings;

const ANSWER: Duration = Duration::from_secs(30);

pub async fn describe(
    arguments: TaskManagerIdArguments,
    settings: &Settings,
) -> Result<Exit, Failure> {
    let client = client(&arguments.server, settings, ANSWER)?;
    let path = format!("/taskmanagers/{}", segment(&arguments.task_manager));
    let manager = client.get(&path).await?;
    print(arguments.output, &manager, text);
    Ok(Exit::Ok)
}

fn text(manager: &Value) -> String {
    let mut lines = Vec::new();
    let mut line = |key: &str, value: String| lines.push(format!("{key:<14}{value}"));
    line("Id:", plain(&manager["id"]));
    line("Address:", plain(&manager["rpcAddr"]));
    line("Process:", plain(&manager["pid"]));
    line("Version:", plain(&manager["version"]));
    line("Registered:", time(&manager["registeredAtMs"]));
    line("Heard of:", time(&manager["lastHeartbeatMs"]));
    line(
        "Up:",
        manager["uptimeMs"].as_i64().map_or("-".to_owned(), |ms| format!("{} s", ms / 1000)),
    );
    line("Slots:", format!("{}, {} free", plain(&manager["slots"]), plain(&manager["freeSlots"])));
    let (memory, machine) = (&manager["memory"], &manager["machine"]);
    line("Memory:", bytes(&memory["process"]));
    line("  state:", bytes(&memory["heapState"]));
    line("  RocksDB:", bytes(&memory["rocksdb"]));
    line("  network:", bytes(&memory["network"]));
    line("CPU:", processors(&manager["cpu"]["percent"]));
    let network = &manager["network"];
    let (into, out) = (&network["inBytesPerSecond"], &network["outBytesPerSecond"]);
    line("Network:", format!("{}/s in, {}/s out", bytes(into), bytes(out)));
    let (whole, left) = (&machine["memoryBytes"], &machine["availableBytes"]);
    line("Machine:", format!("{} memory, {} of it free", bytes(whole), bytes(left)));
    let busy = processors(&machine["cpuPercent"]);
    line("", format!("{busy} of {} processors busy", plain(&machine["processors"])));
    lines.push(String::new());
    lines.push(tasks(&manager["tasks"]));
    lines.join("\n")
}

fn tasks(tasks: &Value) -> String {
    let rows = tasks
        .as_array()
        .into_iter()
        .flatten()
        .map(|t| ["jobName", "name", "subtask", "state"].iter().map(|k| plain(&t[*k])).collect())
        .collect();
    table(&["job", "vertex", "subtask", "state"], rows)
}

/// `12.3 MiB`; `-` when the process does not tell.
fn bytes(value: &Value) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let Some(bytes) = value.as_f64() else { return "-".to_owned() };
    if bytes < 1024.0 {
        return format!("{bytes:.0} B");
    }
    let mut value = bytes / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// Percent of one processor, as a number of processors.
fn processors(percent: &Value) -> String {
    percent.as_f64().map_or("-".to_owned(), |p| format!("{:.2}", p / 100.0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_told_is_a_dash() {
        let manager = json!({
            "id": "tm-1", "slots": 4, "freeSlots": 3, "uptimeMs": 61_000,
            "memory": { "process": 3 << 20, "heapState": 512, "rocksdb": 1536, "network": null },
            "cpu": { "percent": 150.0 },
            "machine": { "memoryBytes": 8_u64 << 30, "processors": 2, "cpuPercent": null },
            "tasks": [{ "jobName": "flights", "name": "late", "subtask": 0, "state": "RUNNING" }],
        });
        let text = text(&manager);
        for part in [
            "Id:           tm-1\n",
            "Up:           61 s\n",
            "Slots:        4, 3 free\n",
            "Memory:       3.0 MiB\n",
            "  state:      512 B\n",
            "  RocksDB:    1.5 KiB\n",
            "  network:    -\n",
            "CPU:          1.50\n",
            "Machine:      8.0 GiB memory, - of it free\n",
            "              - of 2 processors busy\n",
            "flights   late     0         RUNNING",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
    }
}
