//! Commands that look into a running job: `why`, `tap`, `get slos`, `logs`.

use std::time::Duration;

use serde_json::{Value, json};

use super::client;
use crate::arguments::{Format, JobArguments, ListArguments, LogsArguments, TapArguments};
use crate::client::segment;
use crate::exit::{Exit, Failure};
use crate::output::{self, plain, print, table, time};
use crate::settings::Settings;

const ANSWER: Duration = Duration::from_secs(30);

fn items<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// Exits with 1 when something holds the job back, so that scripts can ask.
pub async fn why(arguments: JobArguments, settings: &Settings) -> Result<Exit, Failure> {
    let client = client(&arguments.server, settings, ANSWER)?;
    let why = client.get(&format!("/jobs/{}/why", segment(&arguments.job))).await?;
    print(arguments.output, &why, |why| {
        let mut lines = vec![plain(&why["sentence"])];
        lines.extend(items(why, "evidence").iter().map(|evidence| {
            let since = match evidence["sinceMs"].is_i64() {
                true => format!(" (since {})", time(&evidence["sinceMs"])),
                false => String::new(),
            };
            format!("  {}: {}{since}", plain(&evidence["kind"]), plain(&evidence["text"]))
        }));
        lines.join("\n")
    });
    Ok(if why["healthy"] == true { Exit::Ok } else { Exit::Failed })
}

/// Exits with 1 when one is broken.
pub async fn slos(arguments: ListArguments, settings: &Settings) -> Result<Exit, Failure> {
    let client = client(&arguments.server, settings, ANSWER)?;
    let slos = client.get("/slos").await?;
    print(arguments.output, &slos, |slos| {
        let rows = items(slos, "slos")
            .iter()
            .map(|s| {
                vec![
                    plain(&s["job"]["name"]),
                    plain(&s["slo"]),
                    plain(&s["limit"]),
                    plain(&s["value"]),
                    if s["breached"] == true { "BROKEN" } else { "ok" }.to_owned(),
                    time(&s["sinceMs"]),
                    plain(&s["webhook"]),
                ]
            })
            .collect();
        table(&["job", "slo", "limit", "value", "state", "since", "webhook"], rows)
    });
    let broken = items(&slos, "slos").iter().any(|s| s["breached"] == true);
    Ok(if broken { Exit::Failed } else { Exit::Ok })
}

/// Prints rows, one JSON object a line (or a YAML list entry), until the limit.
pub async fn tap(arguments: TapArguments, settings: &Settings) -> Result<Exit, Failure> {
    let Some((job, node)) = arguments.place.split_once('.').filter(|(_, node)| !node.is_empty())
    else {
        let text = format!("`{}` does not name a node of a job", arguments.place);
        return Err(
            Failure::new(Exit::Usage, text).help("write JOB.NODE, for example flights.late")
        );
    };
    let client = client(&arguments.server, settings, ANSWER)?;
    let body = json!({ "vertex": node, "limit": arguments.limit.clamp(1, 10_000) });
    let mut dropped = 0;
    let mut failed = None;
    let path = format!("/jobs/{}/taps", segment(job));
    let ended = client.events(&path, &body, |name, data| match name {
        "rows" => {
            dropped += data["dropped"].as_u64().unwrap_or(0);
            items(data, "rows").iter().for_each(|row| show(arguments.output, row));
            true
        }
        "end" => {
            failed = data["message"].as_str().map(str::to_owned);
            false
        }
        _ => true,
    });
    tokio::select! { biased;
        () = super::interrupted() => {}
        ended = ended => ended?,
    }
    eprintln!("{dropped} more rows passed unseen");
    match failed {
        None => Ok(Exit::Ok),
        Some(message) => Err(Failure::new(Exit::Failed, message)),
    }
}

fn show(format: Format, row: &Value) {
    match format {
        Format::Table | Format::Json => output::say(&row.to_string()),
        Format::Yaml => output::say(&format!("---\n{}", output::yaml(row).trim_end())),
    }
}

pub async fn logs(arguments: LogsArguments, settings: &Settings) -> Result<Exit, Failure> {
    let client = client(&arguments.server, settings, ANSWER)?;
    let base = match arguments.process.as_str() {
        "jobmanager" => "/jobmanager/logs".to_owned(),
        id => format!("/taskmanagers/{}/logs", segment(id)),
    };
    let list = client.get(&base).await?;
    if arguments.list {
        print(arguments.output, &list, |list| {
            let row = |l: &Value| vec![plain(&l["id"]), plain(&l["name"]), plain(&l["bytes"])];
            table(&["id", "name", "bytes"], items(list, "logs").iter().map(row).collect())
        });
        return Ok(Exit::Ok);
    }
    let first = || items(&list, "logs").first().and_then(|l| l["id"].as_str()).map(str::to_owned);
    let Some(log) = arguments.log.clone().or_else(first) else {
        let text = format!("`{}` keeps no log", arguments.process);
        return Err(Failure::new(Exit::NotFound, text));
    };
    let path = format!("{base}/{}?tail={}", segment(&log), arguments.tail);
    output::say(client.text(&path).await?.trim_end());
    Ok(Exit::Ok)
}
