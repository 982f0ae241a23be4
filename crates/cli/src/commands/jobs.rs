//! Commands that ask a job manager: `submit`, `get`, `describe`, `cancel`, `checkpoint
//! trigger`, `exceptions`.

use std::time::Duration;

use serde_json::{Value, json};

use super::client;
use crate::arguments::{Format, JobArguments, ListArguments, SubmitArguments, TriggerArguments};
use crate::client::{Client, segment};
use crate::composition::{JobFile, JobFilePlanner};
use crate::exit::{Exit, Failure};
use crate::output::{plain, print, short_count, table, time};
use crate::settings::Settings;

const ANSWER: Duration = Duration::from_secs(30);
/// A checkpoint may take as long as its own timeout.
const CHECKPOINT: Duration = Duration::from_secs(120);
/// How often `submit --wait` looks.
const POLL: Duration = Duration::from_millis(200);

fn items<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    let list = if value.is_array() { value } else { &value[key] };
    list.as_array().map_or(&[], Vec::as_slice)
}

pub async fn submit(arguments: SubmitArguments, settings: &Settings) -> Result<Exit, Failure> {
    let file = JobFile::read(&arguments.job)?;
    let text = file.self_contained()?;
    let client = client(&arguments.server, settings, ANSWER)?;
    let (name, from) = (file.job_name(), arguments.from.as_deref());
    let drop = arguments.allow_dropped_state;
    let submitted = client.submit(&text, name.as_deref(), from, drop).await;
    let submitted = submitted.map_err(|refused| in_own_files(&file, &text, refused))?;
    let id = submitted["id"].as_str().unwrap_or_default().to_owned();
    if !arguments.wait {
        print(arguments.output, &submitted, |v| {
            format!("job {} {}", plain(&v["name"]), plain(&v["id"]))
        });
        return Ok(Exit::Ok);
    }
    eprintln!("job {} {id}", plain(&submitted["name"]));
    loop {
        let job = client.job(&id).await?;
        let status = job["status"].as_str().unwrap_or_default();
        if matches!(status, "FINISHED" | "FAILED" | "CANCELED") {
            print(arguments.output, &job, |j| format!("job {id} {}", plain(&j["status"])));
            if let Some(failure) = job["failure"].as_str().filter(|_| status == "FAILED") {
                eprintln!("error: {failure}");
            }
            return Ok(if status == "FINISHED" { Exit::Ok } else { Exit::Failed });
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The job manager's report is about the text that it got. When that is not the file as it
/// stands, the same mistakes are shown where the user wrote them.
fn in_own_files(file: &JobFile, sent: &str, refused: Failure) -> Failure {
    if file.text == sent || refused.exit != Exit::Config {
        return refused;
    }
    match JobFilePlanner::new().plan_file(file) {
        Err(found) => Failure::rendered(Exit::Config, found.to_string()),
        Ok(_) => refused,
    }
}

pub async fn list(arguments: ListArguments, settings: &Settings) -> Result<Exit, Failure> {
    let client = client(&arguments.server, settings, ANSWER)?;
    let jobs = client.get("/jobs").await?;
    print(arguments.output, &jobs, |jobs| {
        let rows = items(jobs, "jobs")
            .iter()
            .map(|j| {
                vec![
                    plain(&j["name"]),
                    plain(&j["id"]),
                    plain(&j["status"]),
                    plain(&j["health"]["state"]),
                    plain(&j["restarts"]),
                    time(&j["startedAtMs"]),
                ]
            })
            .collect();
        table(&["name", "id", "status", "health", "restarts", "started"], rows)
    });
    Ok(Exit::Ok)
}

pub async fn task_managers(arguments: ListArguments, settings: &Settings) -> Result<Exit, Failure> {
    let client = client(&arguments.server, settings, ANSWER)?;
    let managers = client.get("/taskmanagers").await?;
    print(arguments.output, &managers, |managers| {
        let rows = items(managers, "taskManagers")
            .iter()
            .map(|t| {
                vec![
                    plain(&t["id"]),
                    plain(&t["rpcAddr"]),
                    plain(&t["slots"]),
                    plain(&t["freeSlots"]),
                ]
            })
            .collect();
        table(&["id", "address", "slots", "free"], rows)
    });
    Ok(Exit::Ok)
}

pub async fn checkpoints(arguments: JobArguments, settings: &Settings) -> Result<Exit, Failure> {
    let client = client(&arguments.server, settings, ANSWER)?;
    let list = client.get(&format!("/jobs/{}/checkpoints", segment(&arguments.job))).await?;
    print(arguments.output, &list, |list| {
        let rows = items(list, "checkpoints")
            .iter()
            .map(|c| {
                vec![
                    plain(&c["id"]),
                    plain(&c["kind"]),
                    plain(&c["status"]),
                    time(&c["triggeredAtMs"]),
                    c["durationMs"].as_i64().map_or("-".to_owned(), |ms| format!("{ms} ms")),
                    short_count(c["stateBytes"].as_f64().unwrap_or(0.0)),
                    short_count(c["writtenBytes"].as_f64().unwrap_or(0.0)),
                    plain(c["path"].as_str().map_or(&c["cause"], |_| &c["path"])),
                ]
            })
            .collect();
        let header =
            ["id", "kind", "status", "triggered", "duration", "bytes", "written", "path or cause"];
        table(&header, rows)
    });
    Ok(Exit::Ok)
}

pub async fn describe(arguments: JobArguments, settings: &Settings) -> Result<Exit, Failure> {
    let client = client(&arguments.server, settings, ANSWER)?;
    let job = client.job(&arguments.job).await?;
    print(arguments.output, &job, describe_text);
    Ok(Exit::Ok)
}

fn describe_text(job: &Value) -> String {
    let mut lines = Vec::new();
    let mut line = |key: &str, value: String| lines.push(format!("{key:<14}{value}"));
    line("Name:", plain(&job["name"]));
    line("Id:", plain(&job["id"]));
    let message = job["message"].as_str().map(|m| format!(" ({m})")).unwrap_or_default();
    line("Status:", format!("{}{message}", plain(&job["status"])));
    if let Some(failure) = job["failure"].as_str() {
        line("Last failure:", failure.to_owned());
    }
    line("Health:", plain(&job["health"]["state"]));
    for reason in items(&job["health"], "reasons") {
        line("", format!("{} (since {})", plain(&reason["text"]), time(&reason["sinceMs"])));
    }
    for slo in items(job, "slos") {
        let state = if slo["breached"] == true { "BROKEN" } else { "kept" };
        let (value, limit) = (plain(&slo["value"]), plain(&slo["limit"]));
        line("SLO:", format!("{} {state}: {value}, limit {limit}", plain(&slo["slo"])));
    }
    line("Started:", time(&job["startedAtMs"]));
    line("Ended:", time(&job["endedAtMs"]));
    line("Restarts:", plain(&job["restarts"]));
    let sources = &job["sources"];
    line(
        "Records:",
        format!(
            "{} ({}/s)",
            short_count(sources["records"].as_f64().unwrap_or(0.0)),
            short_count(sources["recordsPerSecond"].as_f64().unwrap_or(0.0))
        ),
    );
    let checkpoints = &job["checkpoints"];
    let latest = &checkpoints["latest"];
    line(
        "Checkpoints:",
        format!(
            "{} completed, {} failed, latest {}",
            plain(&checkpoints["completed"]),
            plain(&checkpoints["failed"]),
            plain(&latest["path"])
        ),
    );
    if let Some(whole) = latest["stateBytes"].as_f64() {
        let written = latest["writtenBytes"].as_f64().unwrap_or(0.0);
        let (whole, written) = (short_count(whole), short_count(written));
        line("", format!("{whole} bytes of state, {written} of them written for it"));
    }
    let rows = items(job, "vertices")
        .iter()
        .map(|v| {
            let (metrics, rates) = (&v["metrics"], &v["rates"]);
            vec![
                plain(&v["name"]),
                plain(&v["parallelism"]),
                states(&v["states"]),
                plain(&metrics["recordsIn"]),
                plain(&metrics["recordsOut"]),
                time(&metrics["watermark"]),
                percent(&rates["busyPercent"]),
                percent(&rates["backpressuredPercent"]),
                plain(&metrics["lateRecords"]),
            ]
        })
        .collect();
    let header = ["vertex", "p", "states", "in", "out", "watermark", "busy", "backpr.", "late"];
    lines.push(String::new());
    lines.push(table(&header, rows));
    lines.join("\n")
}

fn states(value: &Value) -> String {
    let counts = value.as_object().into_iter().flatten();
    counts.map(|(state, n)| format!("{n} {state}")).collect::<Vec<_>>().join(", ")
}

fn percent(value: &Value) -> String {
    value.as_f64().map_or("-".to_owned(), |p| format!("{p:.0}%"))
}

pub async fn cancel(arguments: JobArguments, settings: &Settings) -> Result<Exit, Failure> {
    let client = client(&arguments.server, settings, ANSWER)?;
    let answer = post(&client, &arguments.job, "cancel").await?;
    print(arguments.output, &answer, |_| format!("job {} is being canceled", arguments.job));
    Ok(Exit::Ok)
}

pub async fn trigger_checkpoint(
    arguments: TriggerArguments,
    settings: &Settings,
) -> Result<Exit, Failure> {
    let client = client(&arguments.server, settings, CHECKPOINT)?;
    let Some(job) = &arguments.job else {
        return trigger_all(&client, arguments.output).await;
    };
    let answer = post(&client, job, "checkpoints").await?;
    print(arguments.output, &answer, |c| {
        format!("checkpoint {} {} {}", plain(&c["id"]), plain(&c["status"]), plain(&c["path"]))
    });
    Ok(if answer["status"] == "completed" { Exit::Ok } else { Exit::Failed })
}

/// A checkpoint of every running job, all at once. Fails when one of them does.
async fn trigger_all(client: &Client, output: Format) -> Result<Exit, Failure> {
    let jobs = client.get("/jobs").await?;
    let mut pending = tokio::task::JoinSet::new();
    for job in items(&jobs, "jobs").iter().filter(|j| j["status"] == "RUNNING") {
        let (client, id, name) = (client.clone(), plain(&job["id"]), plain(&job["name"]));
        pending.spawn(async move {
            let answer = post(&client, &id, "checkpoints").await;
            let mut answer = answer
                .unwrap_or_else(|failure| json!({ "status": "failed", "cause": failure.message }));
            answer["job"] = json!({ "id": id, "name": name });
            answer
        });
    }
    let mut checkpoints = pending.join_all().await;
    checkpoints.sort_by_cached_key(|c| (plain(&c["job"]["name"]), plain(&c["job"]["id"])));
    let completed = checkpoints.iter().all(|c| c["status"] == "completed");
    print(output, &json!({ "checkpoints": checkpoints }), |list| {
        let rows = items(list, "checkpoints")
            .iter()
            .map(|c| {
                vec![
                    plain(&c["job"]["name"]),
                    plain(&c["id"]),
                    plain(&c["status"]),
                    plain(c["path"].as_str().map_or(&c["cause"], |_| &c["path"])),
                ]
            })
            .collect();
        table(&["job", "id", "status", "path or cause"], rows)
    });
    Ok(if completed { Exit::Ok } else { Exit::Failed })
}

async fn post(client: &Client, job: &str, verb: &str) -> Result<Value, Failure> {
    client.post(&format!("/jobs/{}/{verb}", segment(job)), &json!({})).await
}

pub async fn exceptions(arguments: JobArguments, settings: &Settings) -> Result<Exit, Failure> {
    let client = client(&arguments.server, settings, ANSWER)?;
    let list = client.get(&format!("/jobs/{}/exceptions", segment(&arguments.job))).await?;
    print(arguments.output, &list, |list| {
        let rows = items(list, "exceptions")
            .iter()
            .map(|e| {
                vec![
                    time(&e["timestampMs"]),
                    plain(&e["task"]),
                    plain(&e["kind"]),
                    plain(&e["message"]),
                ]
            })
            .collect();
        table(&["time", "task", "kind", "message"], rows)
    });
    Ok(Exit::Ok)
}
