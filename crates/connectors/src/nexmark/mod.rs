//! The Nexmark source: an auction site's persons, auctions and bids (1:3:46), made from
//! the event number alone, so that any number of readers on any engine see the same
//! stream. Unknown to everything but the registry in `lib.rs`.
//!
//! Tables: `bid`, `auction`, `person`, or `all` (one row per event, as three structs of
//! which one is set). Rates and event counts always count every event, whatever the
//! table: a `bid` reader passes over persons and auctions without making them.

mod bids;
mod columns;
mod event;
mod options;
mod pool;
mod reader;
mod splits;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use model::connector::{ConnectorInfo, OptionError, SourceSpec};
use model::source::{ReaderContext, Source, SourceReader, SplitEnumerator};
use model::{Error, Result};

use self::options::Options;

pub use self::event::EventClock;

/// The column with the time at which the event was due, microseconds since the epoch.
/// Only meaningful with `eventsPerSecond`; latency measured against it has no
/// coordinated omission.
pub const SCHEDULED: &str = "scheduledAt";

/// The three kinds of event, and all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    Person,
    Auction,
    Bid,
    All,
}

fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8View, false)
}

fn bigint(name: &str) -> Field {
    Field::new(name, DataType::Int64, false)
}

fn time(name: &str) -> Field {
    Field::new(name, DataType::Timestamp(TimeUnit::Millisecond, None), false)
}

impl Table {
    /// Columns of the table, without [`SCHEDULED`].
    fn fields(self) -> Vec<Field> {
        match self {
            Self::Person => vec![
                bigint("id"),
                text("name"),
                text("emailAddress"),
                text("creditCard"),
                text("city"),
                text("state"),
                time("dateTime"),
                text("extra"),
            ],
            Self::Auction => vec![
                bigint("id"),
                text("itemName"),
                text("description"),
                bigint("initialBid"),
                bigint("reserve"),
                time("dateTime"),
                time("expires"),
                bigint("seller"),
                bigint("category"),
                text("extra"),
            ],
            Self::Bid => vec![
                bigint("auction"),
                bigint("bidder"),
                bigint("price"),
                text("channel"),
                text("url"),
                time("dateTime"),
                text("extra"),
            ],
            Self::All => {
                let row = |name: &str, table: Self| {
                    Field::new(name, DataType::Struct(Fields::from(table.fields())), true)
                };
                vec![
                    Field::new("event_type", DataType::Int32, false),
                    row("person", Self::Person),
                    row("auction", Self::Auction),
                    row("bid", Self::Bid),
                    time("dateTime"),
                ]
            }
        }
    }

    /// Every column that can be asked for.
    fn schema(self) -> SchemaRef {
        let mut fields = self.fields();
        fields.push(bigint(SCHEDULED));
        Arc::new(Schema::new(fields))
    }
}

/// Name, options and documentation for the registry.
pub fn info() -> ConnectorInfo {
    options::info()
}

/// Checks the options and builds the source.
pub fn source(spec: &SourceSpec) -> Result<Arc<dyn Source>, OptionError> {
    let options = Options::parse(spec)?;
    let full = options.table.schema();
    let schema = match &spec.projection {
        None => full,
        Some(names) => {
            let kept = full.fields().iter().filter(|f| names.contains(f.name())).cloned();
            Arc::new(Schema::new(kept.collect::<Vec<_>>()))
        }
    };
    // Rows that everybody filters out are never made; other tables have no such column.
    let kinds = match spec.pushdown.values.get("event_type") {
        Some(values) if options.table == Table::All => [0, 1, 2].map(|kind| values.contains(&kind)),
        _ => [true; 3],
    };
    let schema = spec.pushdown.narrow(&schema);
    Ok(Arc::new(NexmarkSource { options, schema, kinds }))
}

struct NexmarkSource {
    options: Options,
    schema: SchemaRef,
    /// Of the table of all events: whether persons, auctions and bids are made.
    kinds: [bool; 3],
}

impl Source for NexmarkSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn is_bounded(&self) -> bool {
        self.options.events.is_some()
    }

    fn max_rows(&self) -> Option<u64> {
        self.options.events
    }

    fn enumerator(
        &self,
        parallelism: u32,
        restored: Option<&[u8]>,
    ) -> Result<Box<dyn SplitEnumerator>> {
        let count = self.options.splits.unwrap_or(parallelism);
        Ok(Box::new(splits::NexmarkEnumerator::new(count, parallelism, restored)?))
    }

    fn reader(&self, context: ReaderContext) -> Result<Box<dyn SourceReader>> {
        if self.schema.fields().is_empty() {
            return Err(Error::internal("a nexmark reader without columns"));
        }
        Ok(Box::new(reader::NexmarkReader::new(
            self.options.clone(),
            Arc::clone(&self.schema),
            self.kinds,
            context.clock,
        )))
    }
}

#[cfg(test)]
mod tests;
