//! Options of the Nexmark source. Called by `mod.rs`.

use model::connector::{ConnectorInfo, OptionError, Role, SourceSpec};
use serde_json::{Value, json};

use super::Table;
use super::event::DEFAULT_SEED;

const KNOWN: [&str; 6] = ["table", "events", "eventsPerSecond", "eventTimeRate", "splits", "seed"];

/// Checked options.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) table: Table,
    /// How many events there are; `None`: no end.
    pub(super) events: Option<u64>,
    /// Scheduled arrivals; `None`: as fast as they are taken.
    pub(super) events_per_second: Option<u64>,
    /// Events per second of event time.
    pub(super) event_time_rate: u64,
    /// How many splits; `None`: the parallelism of the first start.
    pub(super) splits: Option<u32>,
    pub(super) seed: u64,
}

fn error(key: &str, at_key: bool, message: String, help: Option<&str>) -> OptionError {
    OptionError { path: vec![key.to_owned()], at_key, message, help: help.map(str::to_owned) }
}

impl Options {
    pub(super) fn parse(spec: &SourceSpec) -> Result<Self, OptionError> {
        let empty = serde_json::Map::new();
        let map = spec.options.as_object().unwrap_or(&empty);
        // `connector` and `onBadRecord` belong to every source; generated rows are never bad.
        for key in map.keys() {
            if !KNOWN.contains(&key.as_str()) && key != "connector" && key != "onBadRecord" {
                let help = format!("options of nexmark: {}", KNOWN.join(", "));
                let message = format!("unknown option `{key}`");
                return Err(error(key, true, message, Some(&help)));
            }
        }
        if spec.declared_schema.is_some() {
            return Err(OptionError {
                path: vec!["schema".to_owned()],
                at_key: true,
                message: "nexmark brings its own schema".to_owned(),
                help: Some("remove `schema`".to_owned()),
            });
        }
        let table = match map.get("table").map(Value::as_str) {
            None => Table::All,
            Some(Some("bid")) => Table::Bid,
            Some(Some("auction")) => Table::Auction,
            Some(Some("person")) => Table::Person,
            Some(Some("all")) => Table::All,
            Some(_) => {
                let message = format!("no such table: {}", map["table"]);
                return Err(error(
                    "table",
                    false,
                    message,
                    Some("one of: bid, auction, person, all"),
                ));
            }
        };
        Ok(Self {
            table,
            events: count(map, "events")?,
            events_per_second: count(map, "eventsPerSecond")?,
            event_time_rate: count(map, "eventTimeRate")?.unwrap_or(100_000),
            splits: count(map, "splits")?.map(|n| n.min(u64::from(u32::MAX)) as u32),
            seed: match map.get("seed") {
                None => DEFAULT_SEED,
                Some(value) => value.as_u64().ok_or_else(|| {
                    error("seed", false, format!("expected a whole number, found {value}"), None)
                })?,
            },
        })
    }
}

fn count(map: &serde_json::Map<String, Value>, key: &str) -> Result<Option<u64>, OptionError> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64().filter(|n| *n > 0 && *n < 1 << 50) {
            Some(n) => Ok(Some(n)),
            None => Err(error(
                key,
                false,
                format!("expected a whole number from 1, found {value}"),
                None,
            )),
        },
    }
}

pub(super) fn info() -> ConnectorInfo {
    let number = |text: &str| json!({"type": "integer", "minimum": 1, "description": text});
    ConnectorInfo {
        name: "nexmark",
        role: Role::Source,
        summary: "Deterministic Nexmark events: persons, auctions and bids, 1:3:46",
        options: json!({
            "type": "object",
            "properties": {
                "table": {"enum": ["bid", "auction", "person", "all"], "default": "all",
                          "description": "Which events become rows"},
                "events": number("How many events there are, all kinds counted; absent: no end"),
                "eventsPerSecond": number("Scheduled arrivals, all kinds counted; absent: flat out"),
                "eventTimeRate": number("Events per second of event time; default 100000"),
                "splits": number("Parts the stream is split into; default: the parallelism"),
                "seed": {"type": "integer", "minimum": 0, "description": "Another stream"}
            }
        }),
    }
}
