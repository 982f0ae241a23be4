//! Flink's option names of each connector in our own form. Called by `scan`.

use arrow::datatypes::DataType;
use model::connector::Role;
use planner::diagnostic::closest;
use planner::sql::SqlDiagnostic;
use serde_json::{Map, Value, json};

use super::create_table::{ColumnKind, CreateTable, OptionDef};
use super::datagen;
use super::lookup_options as lookup;
use super::script::error;

/// Options as a connector takes them.
pub(crate) struct Native {
    pub(crate) connector: String,
    pub(crate) options: Value,
    /// From the path of an option to the index of the one in the text.
    pub(crate) origin: Vec<(String, usize)>,
}

/// What becomes of a value's text.
#[derive(Clone, Copy)]
pub(crate) enum Form {
    Text,
    Number,
    /// A whole number, or one with a fraction.
    Decimal,
    Flag,
    /// `60 s`, `1min`: without the blank.
    Duration,
    /// `128MB`.
    Size,
    /// Known in Flink; makes no difference here.
    Ignored,
}

/// Flink's key, the path of ours, and what becomes of the value.
pub(crate) type Rule = (&'static str, &'static str, Form);

const FORMAT: &[Rule] = &[
    ("format", "format.type", Form::Text),
    ("format.type", "format.type", Form::Text),
    ("csv.field-delimiter", "format.delimiter", Form::Text),
    ("csv.null-literal", "format.nullValue", Form::Text),
    ("csv.quote-character", "format.quote", Form::Text),
    ("csv.header", "format.header", Form::Flag),
    ("csv.ignore-parse-errors", "onBadRecord", Form::Flag),
    ("json.ignore-parse-errors", "onBadRecord", Form::Flag),
    ("json.fail-on-missing-field", "", Form::Ignored),
    ("json.timestamp-format.standard", "format.timestampFormat", Form::Text),
    ("json.encode.decimal-as-plain-number", "", Form::Ignored),
    ("debezium-json.ignore-parse-errors", "onBadRecord", Form::Flag),
    ("debezium-json.timestamp-format.standard", "format.timestampFormat", Form::Text),
    ("debezium-json.encode.decimal-as-plain-number", "", Form::Ignored),
    ("canal-json.timestamp-format.standard", "format.timestampFormat", Form::Text),
    ("canal-json.encode.decimal-as-plain-number", "", Form::Ignored),
    ("maxwell-json.timestamp-format.standard", "format.timestampFormat", Form::Text),
    ("maxwell-json.encode.decimal-as-plain-number", "", Form::Ignored),
];
const FILESYSTEM: &[Rule] = &[
    (lookup::CACHE, "", Form::Ignored),
    (lookup::RELOAD, "", Form::Ignored),
    (lookup::STRATEGY, "", Form::Ignored),
    (lookup::SCHEDULE, "", Form::Ignored),
    (lookup::EXPIRE_AFTER_WRITE, "", Form::Ignored),
    (lookup::EXPIRE_AFTER_ACCESS, "", Form::Ignored),
    (lookup::MAX_ROWS, "", Form::Ignored),
    (lookup::CACHE_MISSING, "", Form::Ignored),
    (lookup::MAX_RETRIES, "", Form::Ignored),
    ("path", "path", Form::Text),
    ("connector.path", "path", Form::Text),
    ("source.monitor-interval", "watch", Form::Duration),
    ("source.rows-per-second", "rowsPerSecond", Form::Number),
    ("sink.rolling-policy.file-size", "rolling.size", Form::Size),
    ("sink.rolling-policy.rollover-interval", "rolling.interval", Form::Duration),
    ("sink.rolling-policy.check-interval", "", Form::Ignored),
    ("sink.partition-commit.trigger", "", Form::Ignored),
    ("sink.partition-commit.delay", "", Form::Ignored),
    ("sink.partition-commit.policy.kind", "", Form::Ignored),
    ("partition.time-extractor.timestamp-pattern", "", Form::Ignored),
    ("compression", "compression", Form::Text),
    ("changelog", "changelog", Form::Flag),
];
const NEXMARK: &[Rule] = &[
    ("table", "table", Form::Text),
    ("events.num", "events", Form::Number),
    ("first-event.rate", "eventsPerSecond", Form::Number),
    ("next-event.rate", "", Form::Ignored),
    ("event-time-rate", "eventTimeRate", Form::Number),
    ("splits", "splits", Form::Number),
    ("seed", "seed", Form::Number),
    ("person.proportion", "", Form::Ignored),
    ("auction.proportion", "", Form::Ignored),
    ("bid.proportion", "", Form::Ignored),
    ("keep-alive", "", Form::Ignored),
    ("stop-at", "", Form::Ignored),
    ("max-emit-speed", "", Form::Ignored),
];
const DATAGEN: &[Rule] = &[
    ("rows-per-second", "rowsPerSecond", Form::Number),
    ("number-of-rows", "rows", Form::Number),
    ("scan.parallelism", "", Form::Ignored),
    ("seed", "seed", Form::Number),
];
const PRINT: &[Rule] = &[
    ("print-identifier", "", Form::Ignored),
    ("standard-error", "", Form::Ignored),
    ("limit", "limit", Form::Number),
];
const BLACKHOLE: &[Rule] = &[
    ("latency-column", "latencyColumn", Form::Text),
    ("rows-per-second", "rowsPerSecond", Form::Number),
];

/// The options of each connector that Flink has, too; others take their own as they are.
pub(crate) const CONNECTORS: &[(&str, &[&[Rule]])] = &[
    ("filesystem", &[FILESYSTEM, FORMAT]),
    ("nexmark", &[NEXMARK]),
    ("datagen", &[DATAGEN]),
    ("print", &[PRINT]),
    ("blackhole", &[BLACKHOLE]),
];

/// Whether the connector knows its columns itself.
pub(crate) fn brings_schema(connector: &str) -> bool {
    connector == "nexmark"
}

/// Whether a column of `found` may be declared as `declared`: strings have several layouts,
/// and so have rows of them.
pub(crate) fn same_type(found: &DataType, declared: &DataType) -> bool {
    let text =
        |t: &DataType| matches!(t, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8);
    match (found, declared) {
        (DataType::Struct(a), DataType::Struct(b)) => b.iter().all(|field| {
            let same = a.iter().find(|f| f.name() == field.name());
            same.is_some_and(|f| same_type(f.data_type(), field.data_type()))
        }),
        (a, b) => a == b || (text(a) && text(b)),
    }
}

/// Whether `expr` chooses the event time of whichever of the three rows is set.
pub(crate) fn is_nexmark_time(expr: &str) -> bool {
    let text: String =
        expr.chars().filter(|c| !c.is_whitespace() && *c != '`' && *c != '"').collect();
    let text = text.to_lowercase();
    let searched = "casewhenevent_type=0thenperson.datetimewhenevent_type=1thenauction.datetimeelsebid.datetimeend";
    let simple =
        "caseevent_typewhen0thenperson.datetimewhen1thenauction.datetimeelsebid.datetimeend";
    text == searched || text == simple
}

pub(crate) fn native(
    table: &CreateTable,
    connector: &OptionDef,
    role: Role,
) -> Result<Native, SqlDiagnostic> {
    let Some((_, lists)) = CONNECTORS.iter().find(|(name, _)| *name == connector.value) else {
        return Ok(as_written(table, connector));
    };
    let rules: Vec<Rule> = lists.iter().copied().flatten().copied().collect();
    let mut out =
        Native { connector: connector.value.clone(), options: json!({}), origin: Vec::new() };
    for (index, option) in table.options.iter().enumerate() {
        if option.key == connector.key {
            continue;
        }
        if connector.value == "datagen" && option.key.starts_with(datagen::PREFIX) {
            continue;
        }
        let Some((_, path, form)) = rules.iter().find(|(key, ..)| *key == option.key) else {
            let known = rules.iter().map(|(key, ..)| *key);
            let message = format!("connector '{}' has no option '{}'", connector.value, option.key);
            let listed: Vec<&str> = known.clone().collect();
            let help = format!("its options: {}", listed.join(", "));
            let mut found = error("E0402", option.key_at.clone(), message, help);
            found.label = closest(&option.key, known).map(|c| format!("did you mean '{c}'?"));
            return Err(found);
        };
        let value = value(option, *form)?;
        let value = match (*path, &value) {
            ("onBadRecord", Value::Bool(skip)) => json!(if *skip { "skip" } else { "fail" }),
            // Flink's path of a local file is a URI.
            ("path", Value::String(path)) => json!(local_path(path)),
            _ => value,
        };
        if !matches!(form, Form::Ignored) {
            put(&mut out.options, path, value);
            out.origin.push(((*path).to_owned(), index));
        }
    }
    if !table.partitioned_by.is_empty() && connector.value == "filesystem" {
        let names: Vec<&str> = table.partitioned_by.iter().map(|(n, _)| n.as_str()).collect();
        put(&mut out.options, "partitionBy", json!(names));
    }
    match connector.value.as_str() {
        "filesystem" => finish_filesystem(&mut out, table, role),
        "nexmark" => finish_nexmark(table, &mut out),
        "datagen" => datagen::finish(table, &mut out)?,
        _ => {}
    }
    Ok(out)
}

fn local_path(path: &str) -> String {
    match path.strip_prefix("file://") {
        Some(rest) if rest.starts_with('/') => rest.to_owned(),
        _ => path.to_owned(),
    }
}

/// Flink's files have no header unless it is asked for, and timestamps without a `T`; ours
/// have both. What is in no file is known of the file itself.
fn finish_filesystem(out: &mut Native, table: &CreateTable, role: Role) {
    for column in table.columns.iter().filter(|_| role == Role::Source) {
        if let ColumnKind::Metadata { key, .. } = &column.kind {
            out.options["metadata"][&column.name] = json!(key);
        }
    }
    let format = &out.options["format"];
    let is_csv = format["type"] == "csv";
    let is_text = is_csv || format["type"].as_str().is_some_and(|t| t.ends_with("json"));
    let spelt = format.get("timestampFormat").is_some();
    if is_csv && format.get("header").is_none() {
        put(&mut out.options, "format.header", json!(false));
    }
    if is_text && role == Role::Sink && !spelt {
        put(&mut out.options, "format.timestampFormat", json!("SQL"));
    }
}

/// Options of connectors that take Flink's names themselves.
fn as_written(table: &CreateTable, connector: &OptionDef) -> Native {
    let mut map = Map::new();
    let mut origin = Vec::new();
    for (index, option) in table.options.iter().enumerate() {
        if option.key != connector.key {
            map.insert(option.key.clone(), json!(option.value));
            origin.push((option.key.clone(), index));
        }
    }
    Native { connector: connector.value.clone(), options: Value::Object(map), origin }
}

/// Flink's generator makes events at a rate that is event time's, too, whether or not it waits
/// for them.
fn finish_nexmark(table: &CreateTable, out: &mut Native) {
    let rate = out.options.get("eventsPerSecond").cloned();
    if let (Some(rate), None) = (rate, out.options.get("eventTimeRate")) {
        put(&mut out.options, "eventTimeRate", rate);
    }
    let flat_out = table.options.iter().find(|o| o.key == "max-emit-speed");
    if flat_out.is_some_and(|o| o.value.trim().eq_ignore_ascii_case("true"))
        && let Some(options) = out.options.as_object_mut()
    {
        options.remove("eventsPerSecond");
    }
}

fn put(options: &mut Value, path: &str, value: Value) {
    let mut place = options;
    for step in path.split('.') {
        if !place.is_object() {
            *place = json!({});
        }
        place = &mut place[step];
    }
    *place = value;
}

pub(super) fn value(option: &OptionDef, form: Form) -> Result<Value, SqlDiagnostic> {
    let text = option.value.trim();
    let refuse = |what: &str| {
        let message = format!("'{}' is '{}', but must be {what}", option.key, option.value);
        error("E0402", option.value_at.clone(), message, "")
    };
    Ok(match form {
        Form::Text | Form::Ignored => json!(option.value),
        Form::Number => json!(text.parse::<i64>().map_err(|_| refuse("a whole number"))?),
        Form::Decimal => match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(whole), _) => json!(whole),
            (_, Ok(number)) if number.is_finite() => json!(number),
            _ => return Err(refuse("a number")),
        },
        Form::Flag => match text.to_lowercase().as_str() {
            "true" => json!(true),
            "false" => json!(false),
            _ => return Err(refuse("'true' or 'false'")),
        },
        Form::Duration => json!(duration(text).ok_or_else(|| refuse("a duration, like '10 s'"))?),
        Form::Size => json!(text.replace(' ', "").replace("bytes", "B")),
    })
}

/// Flink's duration in ours: `1 min` is `1m`, `500 ms` is `500ms`.
pub(crate) fn duration(text: &str) -> Option<String> {
    let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let split = compact.find(|c: char| !c.is_ascii_digit()).unwrap_or(compact.len());
    let (number, unit) = compact.split_at(split);
    number.parse::<u64>().ok()?;
    let unit = match unit.to_lowercase().as_str() {
        "" | "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => "ms",
        "s" | "sec" | "secs" | "second" | "seconds" => "s",
        "m" | "min" | "minute" | "minutes" => "m",
        "h" | "hour" | "hours" => "h",
        "d" | "day" | "days" => "d",
        _ => return None,
    };
    Some(format!("{number}{unit}"))
}
