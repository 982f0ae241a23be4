//! `streamctl run`: a job on an embedded cluster, with a progress line, until it ends; with
//! `--stay` (`stay.rs`) until somebody ends it.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use jobmanager::job_environment::JobEnvironment;
use serde_json::{Value, json};

use super::stay::{self, Place};
use super::{files, interrupted};
use crate::access;
use crate::arguments::RunArguments;
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::local::{LocalCluster, LocalOptions};
use crate::output::{short_count, utc};
use crate::settings::Settings;

/// How often the job is looked at.
const POLL: Duration = Duration::from_millis(25);
/// How often the progress line changes.
const REDRAW: Duration = Duration::from_millis(500);

/// Exits by the job's outcome: 0 finished, 1 failed or canceled, 130 interrupted. With
/// `--stay` an interruption is how it ends: 0, unless the job had failed before.
pub async fn run(arguments: RunArguments, settings: &Settings) -> Result<Exit, Failure> {
    let started = Instant::now();
    let (file, planned) = files::planned(&arguments.job)?;
    files::warn(&file.name, &planned);
    let room = if arguments.stay { stay::ROOM } else { 0 };
    let slots = settings.slots(arguments.slots, planned.graph.slots_needed() + room)?;
    let asked = arguments.http_addr.as_deref();
    let Place { addr: http_addr, note } = if arguments.stay {
        stay::place(settings, asked)?
    } else {
        // Any port: several runs on one machine must not meet.
        Place { addr: settings.address("http-addr", asked, "127.0.0.1:0")?, note: None }
    };
    let cluster = LocalCluster::start(LocalOptions {
        http_addr,
        taps: settings.taps(arguments.taps, http_addr)?,
        rpc_addr: settings.address("rpc-addr", None, "127.0.0.1:0")?,
        slots,
        storage: settings.storage(arguments.storage.as_deref()),
        state_dir: settings.state_dir(None),
        // Its webhook is the user's own, as its text is; what others submit gets no more.
        job_environment: JobEnvironment::of(jobfile::variables(&file.text)),
        safety: access::safety(&arguments.safety, settings)?,
    })
    .await?;
    // Our own cluster wants the token too.
    let tokens = arguments.safety.api_token_file.as_deref();
    let client = Client::new(cluster.url(), Duration::from_secs(30))?.with_token(access::token(
        "api-token-file",
        tokens,
        settings,
    )?);
    let name = file.job_name();
    let text = file.self_contained()?;
    let from = arguments.from.as_deref();
    let submitted = client.submit(&text, name.as_deref(), from, false).await?;
    let id = submitted["id"].as_str().unwrap_or_default().to_owned();
    let mut progress = Progress::new(arguments.quiet, started);
    let see = if arguments.stay {
        stay::guide(&cluster.url(), &id)
    } else {
        format!("{} is job {id}; see it at {}/ui/jobs/{id}", planned.graph.name, cluster.url())
    };
    note.iter().chain([&see]).for_each(|text| progress.say(text));
    // People watch it in the browser: no need to know the end within an instant.
    let poll = if arguments.stay { REDRAW } else { POLL };
    let watched = tokio::select! { biased;
        () = interrupted() => None,
        details = watch(&client, &id, poll, &mut progress) => Some(details?),
    };
    let Some(details) = watched else {
        progress.say("interrupted: canceling the job");
        let _ = client.post(&format!("/jobs/{id}/cancel"), &json!({})).await;
        wait_for_end(&client, &id).await;
        cluster.shutdown().await?;
        return Ok(if arguments.stay { Exit::Ok } else { Exit::Interrupted });
    };
    if arguments.summary {
        let checkpoints = client.get(&format!("/jobs/{id}/checkpoints")).await?;
        let summary = summary(&details, &checkpoints, progress.start_to_running_ms);
        println!("{summary}");
    }
    let exit = outcome(&details, &mut progress);
    if arguments.stay {
        progress.say(&format!("the web UI stays up at {}/ui/: Ctrl-C stops it", cluster.url()));
        interrupted().await;
    }
    cluster.shutdown().await?;
    Ok(exit)
}

fn ended(details: &Value) -> bool {
    matches!(details["status"].as_str(), Some("FINISHED" | "FAILED" | "CANCELED"))
}

async fn watch(
    client: &Client,
    id: &str,
    poll: Duration,
    progress: &mut Progress,
) -> Result<Value, Failure> {
    loop {
        let details = client.job(id).await?;
        progress.show(&details);
        if ended(&details) {
            return Ok(details);
        }
        tokio::time::sleep(poll).await;
    }
}

/// A moment for an orderly end; the processes end in any case.
async fn wait_for_end(client: &Client, id: &str) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline {
        match client.job(id).await {
            Ok(details) if !ended(&details) => tokio::time::sleep(POLL).await,
            _ => return,
        }
    }
}

fn outcome(details: &Value, progress: &mut Progress) -> Exit {
    let records = details["sources"]["records"].as_f64().unwrap_or(0.0);
    let rate = details["sources"]["averageRecordsPerSecond"].as_f64().unwrap_or(0.0);
    let checkpoints = &details["checkpoints"];
    let status = details["status"].as_str().unwrap_or("?");
    progress.say(&format!(
        "{status}: {} records, {}/s, {} checkpoints completed, {} failed, {} restarts",
        short_count(records),
        short_count(rate),
        checkpoints["completed"],
        checkpoints["failed"],
        details["restarts"],
    ));
    if let Some(failure) = details["failure"].as_str().filter(|_| status == "FAILED") {
        eprintln!("error: {failure}");
    }
    if status == "FINISHED" { Exit::Ok } else { Exit::Failed }
}

/// Final figures for scripts.
fn summary(details: &Value, checkpoints: &Value, start_to_running_ms: Option<u128>) -> Value {
    let running_ms = match (details["startedAtMs"].as_i64(), details["endedAtMs"].as_i64()) {
        (Some(from), Some(to)) => (to - from).max(1),
        _ => 1,
    };
    let list = checkpoints["checkpoints"].as_array().or(checkpoints.as_array());
    let mut durations: Vec<i64> = list
        .into_iter()
        .flatten()
        .filter(|c| c["status"] == "completed" && c["kind"] != "final")
        .filter_map(|c| c["durationMs"].as_i64())
        .collect();
    durations.sort_unstable();
    let at = |share: f64| {
        let last = durations.len().saturating_sub(1);
        durations.get((last as f64 * share).round() as usize).copied()
    };
    let vertices = details["vertices"].as_array();
    let latency = vertices
        .into_iter()
        .flatten()
        .map(|v| &v["metrics"]["latencyUs"])
        .find(|l| l.is_array())
        .cloned();
    json!({
        "status": details["status"],
        "records": details["sources"]["records"],
        "runningSeconds": running_ms as f64 / 1000.0,
        "startToRunningMs": start_to_running_ms.map(|ms| ms as u64),
        "restarts": details["restarts"],
        "checkpoints": {
            "completed": details["checkpoints"]["completed"],
            "failed": details["checkpoints"]["failed"],
            "p50Ms": at(0.5),
            "p99Ms": at(0.99),
        },
        "latencyUs": latency,
    })
}

/// The progress line: redrawn on a terminal, a line a second elsewhere.
struct Progress {
    quiet: bool,
    terminal: bool,
    drawn: bool,
    next: Instant,
    started: Instant,
    last_status: String,
    start_to_running_ms: Option<u128>,
}

impl Progress {
    fn new(quiet: bool, started: Instant) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self {
            quiet,
            terminal,
            drawn: false,
            next: started,
            started,
            last_status: String::new(),
            start_to_running_ms: None,
        }
    }

    /// A line that stays.
    fn say(&mut self, text: &str) {
        if self.quiet {
            return;
        }
        if std::mem::take(&mut self.drawn) {
            eprint!("\r\x1b[2K");
        }
        eprintln!("{text}");
    }

    fn show(&mut self, details: &Value) {
        let status = details["status"].as_str().unwrap_or("?");
        if status == "RUNNING" && self.start_to_running_ms.is_none() {
            self.start_to_running_ms = Some(self.started.elapsed().as_millis());
        }
        if status != self.last_status {
            self.last_status = status.to_owned();
            if status == "RESTARTING" {
                let why = details["failure"].as_str().unwrap_or("no reason given").to_owned();
                self.say(&format!("RESTARTING: {why}"));
            }
        }
        if self.quiet || Instant::now() < self.next {
            return;
        }
        self.next = Instant::now() + if self.terminal { REDRAW } else { REDRAW * 4 };
        let line = line(details);
        if self.terminal {
            eprint!("\r\x1b[2K{line}");
            self.drawn = true;
        } else {
            eprintln!("{line}");
        }
    }
}

fn line(details: &Value) -> String {
    let sources = &details["sources"];
    let watermark = details["vertices"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|v| v["metrics"]["watermark"].as_i64())
        .min()
        .map_or_else(|| "-".to_owned(), utc);
    let message = details["message"].as_str().map(|m| format!(" ({m})")).unwrap_or_default();
    format!(
        "{}{message}  {} records  {}/s  watermark {watermark}  checkpoints {}",
        details["status"].as_str().unwrap_or("?"),
        short_count(sources["records"].as_f64().unwrap_or(0.0)),
        short_count(sources["recordsPerSecond"].as_f64().unwrap_or(0.0)),
        details["checkpoints"]["completed"],
    )
}
