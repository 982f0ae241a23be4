//! Options of the datagen source. Called by `mod.rs`.

use std::sync::Arc;

use model::arrow::array::AsArray;
use model::arrow::array::StringArray;
use model::arrow::compute::CastOptions;
use model::arrow::compute::cast_with_options;
use model::arrow::datatypes::{DataType, Field, SchemaRef, TimeUnit, TimestampMillisecondType};
use model::connector::{ConnectorInfo, OptionError, Role};
use serde_json::{Value, json};

use super::generator::{Generator, is_time};
use crate::options::{Options, WithHelp, parse_duration_ms};

const KNOWN: [&str; 5] = ["rowsPerSecond", "rows", "seed", "splits", "fields"];
/// What may be said of a column whose values are random; and of one that counts.
const RANDOM: [&str; 10] = [
    "kind",
    "min",
    "max",
    "length",
    "variableLength",
    "values",
    "maxPast",
    "nullRate",
    "fields",
    "element",
];
const SEQUENCE: [&str; 5] = ["kind", "start", "end", "step", "nullRate"];
const DEFAULT_TEXT: u64 = 8;
const DEFAULT_ARRAY: u64 = 3;
/// A batch of longer texts would outgrow what a task buffers.
const MAX_TEXT: u64 = 64 << 10;

/// Checked options.
#[derive(Clone, Debug)]
pub(super) struct DatagenOptions {
    /// `None`: as fast as rows are taken.
    pub(super) rows_per_second: Option<u64>,
    /// How many rows there are; `None`: no end.
    pub(super) rows: Option<u64>,
    pub(super) seed: u64,
    /// `None`: the parallelism of the first start.
    pub(super) splits: Option<u32>,
    /// For the projected columns, in their order.
    pub(super) generators: Vec<Generator>,
}

impl DatagenOptions {
    pub(super) fn parse(
        value: &Value,
        declared: &SchemaRef,
        projected: &SchemaRef,
    ) -> Result<Self, OptionError> {
        let options = Options::of_source(value, &KNOWN)?;
        let names: Vec<_> = declared.fields().iter().map(|f| f.name().as_str()).collect();
        let fields = options.nested("fields", &names)?;
        let mut generators = Vec::new();
        for field in declared.fields() {
            // Those not asked for are checked all the same.
            let generator = of_field(fields.as_ref(), field.name(), field)?;
            if projected.column_with_name(field.name()).is_some() {
                generators.push(generator);
            }
        }
        let splits = options.count("splits", 1)?;
        let splits = splits.map(u32::try_from).transpose();
        Ok(Self {
            rows_per_second: options.count("rowsPerSecond", 0)?.filter(|r| *r > 0),
            rows: options.count("rows", 0)?,
            seed: options.count("seed", 0)?.unwrap_or(0),
            splits: splits.map_err(|_| options.error("splits", "too many splits"))?,
            generators,
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sequence,
    Random,
    Now,
    Scheduled,
}

/// The values a whole-number column can hold.
fn integer_range(data_type: &DataType) -> Option<(i64, i64)> {
    Some(match data_type {
        DataType::Int8 => (i64::from(i8::MIN), i64::from(i8::MAX)),
        DataType::Int16 => (i64::from(i16::MIN), i64::from(i16::MAX)),
        DataType::Int32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        DataType::Int64 => (i64::MIN, i64::MAX),
        _ => return None,
    })
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::Utf8View)
}

fn is_fractional(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float32 | DataType::Float64 | DataType::Decimal128(_, _))
}

/// How `field` is made, which `key` of `options` says.
fn of_field(
    options: Option<&Options<'_>>,
    key: &str,
    field: &Field,
) -> Result<Generator, OptionError> {
    // `kind` decides which of them have a meaning.
    let known: Vec<_> = RANDOM.iter().chain(&SEQUENCE[1..4]).copied().collect();
    match options.map(|o| o.nested(key, &known)).transpose()?.flatten() {
        Some(nested) => of_mapping(&nested, field),
        None => default_of(field),
    }
}

fn default_of(field: &Field) -> Result<Generator, OptionError> {
    let data_type = field.data_type();
    if let Some((_, max)) = integer_range(data_type) {
        return Ok(Generator::Integer { min: 0, max });
    }
    Ok(match data_type {
        DataType::Boolean => Generator::Boolean,
        DataType::Utf8 | DataType::Utf8View => {
            Generator::Text { length: DEFAULT_TEXT as usize, varies: false }
        }
        DataType::Binary => Generator::Bytes { length: DEFAULT_TEXT as usize, varies: false },
        DataType::Struct(fields) => {
            Generator::Row(fields.iter().map(|f| default_of(f)).collect::<Result<_, _>>()?)
        }
        DataType::List(element) => Generator::Array {
            length: DEFAULT_ARRAY as usize,
            element: Box::new(default_of(element)?),
        },
        other if is_fractional(other) => Generator::Float { min: 0.0, max: 1.0 },
        other if is_time(other) => Generator::Now,
        other => {
            return Err(OptionError {
                path: vec!["schema".to_owned(), field.name().clone()],
                at_key: false,
                message: format!("datagen cannot make values of type {other}"),
                help: None,
            });
        }
    })
}

fn of_mapping(options: &Options<'_>, field: &Field) -> Result<Generator, OptionError> {
    const KINDS: [(&str, Kind); 4] = [
        ("sequence", Kind::Sequence),
        ("random", Kind::Random),
        ("now", Kind::Now),
        ("scheduled", Kind::Scheduled),
    ];
    let kind = options.choice("kind", &KINDS)?.unwrap_or(Kind::Random);
    let allowed: &[&str] = match kind {
        Kind::Sequence => &SEQUENCE,
        Kind::Random => &RANDOM,
        Kind::Now | Kind::Scheduled => &["kind", "nullRate"],
    };
    if let Some((key, _)) = options.entries().find(|(key, _)| !allowed.contains(key)) {
        let mut error = options
            .error(key, format!("`{key}` has no meaning for this kind"))
            .with_help(format!("keys: {}", allowed.join(", ")));
        error.at_key = true;
        return Err(error);
    }
    let data_type = field.data_type();
    let unfit =
        || options.error("kind", format!("this kind cannot make values of type {data_type}"));
    let made = match kind {
        Kind::Sequence => sequence(options, field).unwrap_or_else(|| Err(unfit())),
        Kind::Random => random(options, field),
        Kind::Now if is_time(data_type) => Ok(Generator::Now),
        Kind::Now if *data_type == DataType::Int64 => Ok(Generator::Now),
        Kind::Scheduled if *data_type == DataType::Int64 => Ok(Generator::Scheduled),
        Kind::Now | Kind::Scheduled => Err(unfit()),
    }?;
    nullable(options, field, made)
}

fn nullable(
    options: &Options<'_>,
    field: &Field,
    other: Generator,
) -> Result<Generator, OptionError> {
    let Some(rate) = options.get("nullRate") else { return Ok(other) };
    match rate.as_f64().filter(|rate| (0.0..=1.0).contains(rate)) {
        Some(0.0) => Ok(other),
        Some(_) if !field.is_nullable() => Err(options.error("nullRate", "the column is NOT NULL")),
        Some(rate) => Ok(Generator::Nullable { rate, other: Box::new(other) }),
        None => Err(options.error("nullRate", "expected a number from 0 to 1")),
    }
}

/// `None`: not for this type.
fn sequence(options: &Options<'_>, field: &Field) -> Option<Result<Generator, OptionError>> {
    let data_type = field.data_type();
    if is_time(data_type) {
        return Some(time_sequence(options));
    }
    let of_numbers = is_fractional(data_type) || is_text(data_type);
    let range = integer_range(data_type).or(of_numbers.then_some((i64::MIN, i64::MAX)));
    range.map(|range| integer_sequence(options, range))
}

fn time_sequence(options: &Options<'_>) -> Result<Generator, OptionError> {
    let start = time(options, "start")?.unwrap_or(0);
    let step = match options.get("step") {
        None => 1,
        Some(Value::String(text)) => parse_duration_ms(text).ok_or_else(|| {
            options.error("step", format!("`{text}` is not a duration such as 10ms or 1s"))
        })?,
        Some(_) => return Err(options.error("step", "expected a duration such as 10ms or 1s")),
    };
    let end = time(options, "end")?;
    ending(options, start, step, end)
}

fn integer_sequence(
    options: &Options<'_>,
    (least, most): (i64, i64),
) -> Result<Generator, OptionError> {
    let start = options.integer("start")?.unwrap_or(0);
    let step = options.integer("step")?.unwrap_or(1);
    let end = options.integer("end")?;
    for (key, value) in [("start", Some(start)), ("end", end)] {
        if value.is_some_and(|v| v < least || v > most) {
            return Err(options.error(key, "the value does not fit the column's type"));
        }
    }
    // A column narrower than BIGINT must not run over: it begins again at its limit.
    let end = end.or((most != i64::MAX).then_some(if step < 0 { least } else { most }));
    ending(options, start, step, end)
}

fn ending(
    options: &Options<'_>,
    start: i64,
    step: i64,
    end: Option<i64>,
) -> Result<Generator, OptionError> {
    let Some(end) = end else { return Ok(Generator::Sequence { start, step, count: None }) };
    if step == 0 {
        return Ok(Generator::Sequence { start, step, count: Some(1) });
    }
    let span = i128::from(end) - i128::from(start);
    let steps = span / i128::from(step);
    if steps < 0 || (span != 0 && span.signum() != i128::from(step.signum())) {
        return Err(options.error("end", "`step` leads away from `end`"));
    }
    let count = u64::try_from(steps + 1).unwrap_or(u64::MAX);
    Ok(Generator::Sequence { start, step, count: Some(count) })
}

/// A time as text or epoch milliseconds.
fn time(options: &Options<'_>, key: &str) -> Result<Option<i64>, OptionError> {
    match options.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => {
            let array = StringArray::from(vec![text.as_str()]);
            let to = DataType::Timestamp(TimeUnit::Millisecond, None);
            let strict = CastOptions { safe: false, ..CastOptions::default() };
            let parsed = cast_with_options(&array, &to, &strict);
            let parsed = parsed.map_err(|_| {
                options
                    .error(key, format!("`{text}` is not a time"))
                    .with_help("for example 2024-01-01T00:00:00Z".to_owned())
            })?;
            Ok(Some(parsed.as_primitive::<TimestampMillisecondType>().value(0)))
        }
        Some(_) => options.integer(key),
    }
}

fn random(options: &Options<'_>, field: &Field) -> Result<Generator, OptionError> {
    let data_type = field.data_type();
    let default = default_of(field)?;
    let (of_text, of_bytes) = (is_text(data_type), *data_type == DataType::Binary);
    let of_numbers = integer_range(data_type).is_some() || is_fractional(data_type);
    let of_array = matches!(data_type, DataType::List(_));
    for (key, fits) in [
        ("length", of_text || of_bytes || of_array),
        ("variableLength", of_text || of_bytes),
        ("values", of_text),
        ("min", of_numbers || is_time(data_type)),
        ("max", of_numbers || is_time(data_type)),
        ("maxPast", is_time(data_type)),
        ("fields", matches!(data_type, DataType::Struct(_))),
        ("element", of_array),
    ] {
        if !fits && options.get(key).is_some() {
            return Err(options.error(key, format!("`{key}` does not apply to {data_type}")));
        }
    }
    match data_type {
        DataType::Struct(fields) => {
            let names: Vec<_> = fields.iter().map(|f| f.name().as_str()).collect();
            let nested = options.nested("fields", &names)?;
            let made = fields.iter().map(|f| of_field(nested.as_ref(), f.name(), f));
            Ok(Generator::Row(made.collect::<Result<_, _>>()?))
        }
        DataType::List(element) => {
            let length = length(options, DEFAULT_ARRAY)?;
            let element = Box::new(of_field(Some(options), "element", element)?);
            Ok(Generator::Array { length, element })
        }
        _ if of_text => random_text(options),
        _ if of_bytes => {
            let varies = options.boolean("variableLength")?.unwrap_or(false);
            Ok(Generator::Bytes { length: length(options, DEFAULT_TEXT)?, varies })
        }
        _ if is_fractional(data_type) => random_fraction(options),
        _ if of_numbers || is_time(data_type) => random_integer(options, data_type),
        _ => Ok(default),
    }
}

fn random_fraction(options: &Options<'_>) -> Result<Generator, OptionError> {
    let number = |key: &str, default: f64| match options.get(key) {
        None => Ok(default),
        Some(value) => value.as_f64().ok_or_else(|| options.error(key, "expected a number")),
    };
    let (min, max) = (number("min", 0.0)?, number("max", 1.0)?);
    if min > max {
        return Err(options.error("max", "`max` is less than `min`"));
    }
    Ok(Generator::Float { min, max })
}

/// Whole numbers, and times.
fn random_integer(options: &Options<'_>, data_type: &DataType) -> Result<Generator, OptionError> {
    if let Some(text) = options.string("maxPast")? {
        let most = parse_duration_ms(text).and_then(|ms| u64::try_from(ms).ok());
        let wrong = || options.error("maxPast", format!("`{text}` is not a duration such as 10s"));
        return Ok(Generator::Past { most: most.ok_or_else(wrong)? });
    }
    let (min, max) = match integer_range(data_type) {
        Some((least, most)) => {
            let min = options.integer("min")?.unwrap_or(0);
            let max = options.integer("max")?.unwrap_or(most);
            if min < least || max > most {
                return Err(options.error("max", format!("the range does not fit {data_type}")));
            }
            (min, max)
        }
        None => match (time(options, "min")?, time(options, "max")?) {
            (Some(min), Some(max)) => (min, max),
            _ => {
                return Err(
                    options.missing("min", "random times need `min` and `max`, or `maxPast`")
                );
            }
        },
    };
    if min > max {
        return Err(options.error("max", "`max` is less than `min`"));
    }
    Ok(Generator::Integer { min, max })
}

fn length(options: &Options<'_>, default: u64) -> Result<usize, OptionError> {
    match options.count("length", 0)?.unwrap_or(default) {
        length if length > MAX_TEXT => Err(options.error("length", format!("at most {MAX_TEXT}"))),
        length => Ok(length as usize),
    }
}

fn random_text(options: &Options<'_>) -> Result<Generator, OptionError> {
    if let Some(values) = options.get("values") {
        if options.get("length").is_some() {
            return Err(options.error("length", "give `length` or `values`, not both"));
        }
        let texts: Option<Vec<String>> = values
            .as_array()
            .and_then(|list| list.iter().map(|v| v.as_str().map(str::to_owned)).collect());
        return match texts {
            Some(texts) if !texts.is_empty() => Ok(Generator::Choice { values: Arc::from(texts) }),
            _ => Err(options.error("values", "expected a list of texts")),
        };
    }
    let varies = options.boolean("variableLength")?.unwrap_or(false);
    Ok(Generator::Text { length: length(options, DEFAULT_TEXT)?, varies })
}

/// For the documentation and the job file's JSON Schema.
pub(super) fn info() -> ConnectorInfo {
    ConnectorInfo {
        name: "datagen",
        role: Role::Source,
        summary: "Makes rows of the declared schema, at a rate or as fast as they are taken.",
        options: json!({
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "rowsPerSecond": { "type": "integer", "minimum": 0,
                    "description": "Over all subtasks. 0 or absent: as fast as rows are taken." },
                "rows": { "type": "integer", "minimum": 0,
                    "description": "How many rows. Absent: without end." },
                "seed": { "type": "integer", "minimum": 0, "default": 0,
                    "description": "Equal seeds give equal rows." },
                "splits": { "type": "integer", "minimum": 1,
                    "description": "How many parts can be read at once. Default: the parallelism." },
                "fields": { "type": "object",
                    "description": "Per column how it is made; others are random (times: now).",
                    "additionalProperties": {
                        "type": "object",
                        "additionalProperties": false,
                        "properties": {
                            "kind": { "type": "string", "enum": ["sequence", "random", "now", "scheduled"], "default": "random",
                                "description": "scheduled: BIGINT, when the row was due, in microseconds since the epoch." },
                            "start": { "description": "sequence: first value (times: text or epoch ms)." },
                            "end": { "description": "sequence: last value, then it begins again." },
                            "step": { "description": "sequence: a number, or for times a duration such as 10ms." },
                            "min": { "description": "random: least value." },
                            "max": { "description": "random: largest value." },
                            "length": { "type": "integer", "default": DEFAULT_TEXT, "description": "random text, bytes or array: how long." },
                            "variableLength": { "type": "boolean", "default": false, "description": "random text or bytes: from 1 to `length` long." },
                            "values": { "type": "array", "items": { "type": "string" }, "description": "random text: one of these." },
                            "maxPast": { "type": "string", "description": "random times: how long before now at most, for example 10s." },
                            "nullRate": { "type": "number", "minimum": 0, "maximum": 1, "default": 0, "description": "The share of NULLs." },
                            "fields": { "type": "object", "description": "ROW: how its fields are made." },
                            "element": { "type": "object", "description": "ARRAY: how its elements are made." },
                        }
                    }
                },
            }
        }),
    }
}
