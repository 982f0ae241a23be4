//! JSON in texts: reading by path, building, quoting. The clauses of SQL (`RETURNING`, `ON
//! EMPTY`) come as plain arguments, made by `spelling`. Called through `builtin`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListBuilder, RecordBatch, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Int32Type, Schema};
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;
use datafusion_common::{Result, exec_datafusion_err, exec_err};
use serde_json::Value;

use super::json_path::{Found, Path};
use super::text::texts_type;
use super::{Arg, Call, Definition, MANY, Returns};

/// `(json, path, on empty, its default, on error, its default)`.
const VALUE: &[Arg] = &[Arg::Any, Arg::Text, Arg::Text, Arg::Any, Arg::Text, Arg::Any];

const fn value(
    name: &'static str,
    returns: Returns,
    eval: fn(&Call<'_>) -> Result<ArrayRef>,
) -> Definition {
    Definition { name, takes: VALUE, count: (6, 6), returns, eval }
}

pub(super) const FUNCTIONS: &[Definition] = &[
    value("json_value_string", Returns::Text, |call| {
        let found = Values::new(call, &DataType::Utf8)?;
        let (empty, error) = (found.on_empty.as_string::<i32>(), found.on_error.as_string::<i32>());
        call.texts_of_any(|row| {
            Ok(match found.at(row)? {
                Outcome::Value(value) => Some(text_of(&value)),
                Outcome::Null => None,
                Outcome::Empty => empty.is_valid(row).then(|| empty.value(row).to_owned()),
                Outcome::Error => error.is_valid(row).then(|| error.value(row).to_owned()),
            })
        })
    }),
    value("json_value_boolean", Returns::Bool, |call| {
        let mut found = Values::new(call, &DataType::Boolean)?;
        found.fits = |v| bool_of(v).is_some();
        let (empty, error) = (found.on_empty.as_boolean(), found.on_error.as_boolean());
        let mut out = arrow::array::BooleanBuilder::with_capacity(call.rows);
        for row in 0..call.rows {
            out.append_option(match found.at(row)? {
                Outcome::Value(value) => bool_of(&value),
                Outcome::Null => None,
                Outcome::Empty => empty.is_valid(row).then(|| empty.value(row)),
                Outcome::Error => error.is_valid(row).then(|| error.value(row)),
            });
        }
        Ok(Arc::new(out.finish()))
    }),
    value("json_value_integer", Returns::Int, |call| {
        let mut found = Values::new(call, &DataType::Int32)?;
        found.fits = |v| int_of(v).is_some();
        let (empty, error) = (
            found.on_empty.as_primitive::<Int32Type>(),
            found.on_error.as_primitive::<Int32Type>(),
        );
        let mut out = arrow::array::Int32Builder::with_capacity(call.rows);
        for row in 0..call.rows {
            out.append_option(match found.at(row)? {
                Outcome::Value(value) => int_of(&value),
                Outcome::Null => None,
                Outcome::Empty => empty.is_valid(row).then(|| empty.value(row)),
                Outcome::Error => error.is_valid(row).then(|| error.value(row)),
            });
        }
        Ok(Arc::new(out.finish()))
    }),
    value("json_value_double", Returns::Double, |call| {
        let mut found = Values::new(call, &DataType::Float64)?;
        found.fits = |v| double_of(v).is_some();
        let (empty, error) = (
            found.on_empty.as_primitive::<Float64Type>(),
            found.on_error.as_primitive::<Float64Type>(),
        );
        let mut out = arrow::array::Float64Builder::with_capacity(call.rows);
        for row in 0..call.rows {
            out.append_option(match found.at(row)? {
                Outcome::Value(value) => double_of(&value),
                Outcome::Null => None,
                Outcome::Empty => empty.is_valid(row).then(|| empty.value(row)),
                Outcome::Error => error.is_valid(row).then(|| error.value(row)),
            });
        }
        Ok(Arc::new(out.finish()))
    }),
    Definition {
        name: "json_query_string",
        takes: &[Arg::Any, Arg::Text],
        count: (5, 5),
        returns: Returns::Text,
        eval: |call| {
            let query = Query::new(call)?;
            call.texts_of_any(|row| Ok(query.at(row)?.map(|v| v.to_string())))
        },
    },
    Definition {
        name: "json_query_array",
        takes: &[Arg::Any, Arg::Text],
        count: (5, 5),
        returns: Returns::By(texts_type),
        eval: |call| {
            let query = Query::new(call)?;
            let mut out = ListBuilder::new(StringBuilder::new());
            for row in 0..call.rows {
                match query.at(row)? {
                    Some(Value::Array(items)) => {
                        for item in items {
                            out.values().append_option((!item.is_null()).then(|| text_of(&item)));
                        }
                        out.append(true);
                    }
                    _ => out.append_null(),
                }
            }
            Ok(Arc::new(out.finish()))
        },
    },
    Definition {
        name: "json_exists_on",
        takes: &[Arg::Any, Arg::Text],
        count: (3, 3),
        returns: Returns::Bool,
        eval: exists,
    },
    Definition {
        name: "is_json",
        takes: &[Arg::Text],
        count: (2, 2),
        returns: Returns::Bool,
        eval: |call| {
            let (texts, kinds) = (call.text(0)?, call.text(1)?);
            let found: arrow::array::BooleanArray = (0..call.rows)
                .map(|row| {
                    let value = texts.is_valid(row).then(|| texts.value(row)).and_then(parsed);
                    Some(match (value, kinds.value(row)) {
                        (None, _) => false,
                        (Some(Value::Array(_)), kind) => kind == "ARRAY" || kind == "VALUE",
                        (Some(Value::Object(_)), kind) => kind == "OBJECT" || kind == "VALUE",
                        (Some(_), kind) => kind == "SCALAR" || kind == "VALUE",
                    })
                })
                .collect();
            Ok(Arc::new(found))
        },
    },
    Definition {
        name: "json_string",
        takes: &[Arg::Any],
        count: (1, 1),
        returns: Returns::Text,
        eval: |call| {
            let texts = json_texts(&call.args[0])?;
            call.texts(|row| Ok(texts.get(row)))
        },
    },
    Definition {
        name: "json",
        takes: &[Arg::Text],
        count: (1, 1),
        returns: Returns::Text,
        eval: |call| {
            let texts = call.text(0)?;
            call.texts(|row| match parsed(texts.value(row)) {
                Some(_) => Ok(Some(texts.value(row))),
                None => exec_err!("JSON: '{}' is not JSON", texts.value(row)),
            })
        },
    },
    Definition {
        name: "json_object_of",
        takes: &[Arg::Text, Arg::Any],
        count: (1, MANY),
        returns: Returns::Text,
        eval: object,
    },
    Definition {
        name: "json_array_of",
        takes: &[Arg::Text, Arg::Any],
        count: (1, MANY),
        returns: Returns::Text,
        eval: array,
    },
    Definition {
        name: "json_quote",
        takes: &[Arg::Text],
        count: (1, 1),
        returns: Returns::Text,
        eval: |call| {
            let texts = call.text(0)?;
            call.texts(|row| Ok(Some(quoted(texts.value(row)))))
        },
    },
    Definition {
        name: "json_unquote",
        takes: &[Arg::Text],
        count: (1, 1),
        returns: Returns::Text,
        eval: |call| {
            let texts = call.text(0)?;
            call.texts(|row| {
                let text = texts.value(row);
                Ok(Some(match serde_json::from_str(text) {
                    Ok(Value::String(inner)) if text.starts_with('"') => inner,
                    _ => text.to_owned(),
                }))
            })
        },
    },
];

fn parsed(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

/// A scalar without its quotes; anything else as JSON.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn bool_of(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        Value::String(text) => match text.to_lowercase().as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn int_of(value: &Value) -> Option<i32> {
    match value {
        Value::Number(number) => number.as_i64().and_then(|n| i32::try_from(n).ok()),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn double_of(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// The path of the row before, which is nearly always that of this one.
fn path_of<'p>(known: &'p mut Option<(String, Path)>, text: &str) -> Result<&'p Path> {
    if known.as_ref().is_none_or(|(last, _)| last != text) {
        let path = Path::parse(text).ok_or_else(|| {
            exec_datafusion_err!("'{text}' is not a path into JSON, such as '$.a[0]'")
        })?;
        *known = Some((text.to_owned(), path));
    }
    known.as_ref().map(|(_, path)| path).ok_or_else(|| exec_datafusion_err!("no path"))
}

/// The texts of a column; numbers and booleans are JSON as they are.
fn documents(array: &ArrayRef) -> Result<ArrayRef> {
    Ok(cast(array, &DataType::Utf8)?)
}

/// What `JSON_VALUE` has of one row.
enum Outcome {
    Value(Value),
    Null,
    Empty,
    Error,
}

struct Values<'a> {
    call: &'a Call<'a>,
    documents: ArrayRef,
    /// Defaults in the type of the result.
    on_empty: ArrayRef,
    on_error: ArrayRef,
    /// Whether a scalar is of the type asked for.
    fits: fn(&Value) -> bool,
}

impl<'a> Values<'a> {
    fn new(call: &'a Call<'a>, wanted: &DataType) -> Result<Self> {
        Ok(Self {
            call,
            documents: documents(&call.args[0])?,
            on_empty: cast(&call.args[3], wanted)?,
            on_error: cast(&call.args[5], wanted)?,
            fits: |_| true,
        })
    }

    fn at(&self, row: usize) -> Result<Outcome> {
        let documents = self.documents.as_string::<i32>();
        let paths = self.call.text(1)?;
        if documents.is_null(row) || paths.is_null(row) {
            return Ok(Outcome::Null);
        }
        let mut known = None;
        let path = path_of(&mut known, paths.value(row))?;
        let empty = || self.instead(2, row, Outcome::Empty, "is empty");
        let error = |why: &str| self.instead(4, row, Outcome::Error, why);
        let Some(document) = parsed(documents.value(row)) else { return error("is not JSON") };
        match path.find(&document) {
            Found::One(Value::Null) if !path.strict => empty(),
            Found::One(value) if !value.is_array() && !value.is_object() && !value.is_null() => {
                match (self.fits)(value) {
                    true => Ok(Outcome::Value(value.clone())),
                    false => error("is of another type"),
                }
            }
            Found::Nothing if path.strict => error("leads nowhere"),
            _ if path.strict => error("is not a scalar"),
            _ => empty(),
        }
    }

    /// What argument `behavior` says is to happen.
    fn instead(&self, behavior: usize, row: usize, default: Outcome, why: &str) -> Result<Outcome> {
        match self.call.text(behavior)?.value(row) {
            "DEFAULT" => Ok(default),
            "ERROR" => {
                let path = self.call.text(1)?.value(row);
                exec_err!("JSON_VALUE: what '{path}' leads to {why}")
            }
            _ => Ok(Outcome::Null),
        }
    }
}

/// `(json, path, wrapper, on empty, on error)`.
struct Query<'a> {
    call: &'a Call<'a>,
    documents: ArrayRef,
}

impl<'a> Query<'a> {
    fn new(call: &'a Call<'a>) -> Result<Self> {
        Ok(Self { call, documents: documents(&call.args[0])? })
    }

    fn at(&self, row: usize) -> Result<Option<Value>> {
        let documents = self.documents.as_string::<i32>();
        let paths = self.call.text(1)?;
        if documents.is_null(row) || paths.is_null(row) {
            return Ok(None);
        }
        let mut known = None;
        let path = path_of(&mut known, paths.value(row))?;
        let Some(document) = parsed(documents.value(row)) else { return self.instead(4, row) };
        let found = match path.find(&document) {
            Found::Nothing => None,
            Found::One(Value::Null) if !path.strict => None,
            Found::One(value) => Some(value.clone()),
            Found::Many(values) => Some(Value::Array(values.into_iter().cloned().collect())),
        };
        let Some(found) = found else { return self.instead(if path.strict { 4 } else { 3 }, row) };
        let scalar = !found.is_array() && !found.is_object();
        match self.call.text(2)?.value(row) {
            "UNCONDITIONAL" => Ok(Some(Value::Array(vec![found]))),
            "CONDITIONAL" if !found.is_array() => Ok(Some(Value::Array(vec![found]))),
            "CONDITIONAL" => Ok(Some(found)),
            _ if scalar => self.instead(if path.strict { 4 } else { 3 }, row),
            _ => Ok(Some(found)),
        }
    }

    fn instead(&self, behavior: usize, row: usize) -> Result<Option<Value>> {
        match self.call.text(behavior)?.value(row) {
            "EMPTY ARRAY" => Ok(Some(Value::Array(Vec::new()))),
            "EMPTY OBJECT" => Ok(Some(Value::Object(serde_json::Map::new()))),
            "ERROR" => {
                let path = self.call.text(1)?.value(row);
                exec_err!("JSON_QUERY: '{path}' leads to no array or object")
            }
            _ => Ok(None),
        }
    }
}

fn exists(call: &Call<'_>) -> Result<ArrayRef> {
    let documents = documents(&call.args[0])?;
    let documents = documents.as_string::<i32>();
    let (paths, behaviors) = (call.text(1)?, call.text(2)?);
    let mut known = None;
    call.conditions(|row| {
        let path = path_of(&mut known, paths.value(row))?;
        let found = parsed(documents.value(row)).map(|d| path.find(&d) != Found::Nothing);
        match found {
            Some(true) => Ok(Some(true)),
            Some(false) if !path.strict => Ok(Some(false)),
            _ => match behaviors.value(row) {
                "TRUE" => Ok(Some(true)),
                "UNKNOWN" => Ok(None),
                "ERROR" => exec_err!("JSON_EXISTS: '{}' leads nowhere", paths.value(row)),
                _ => Ok(Some(false)),
            },
        }
    })
}

/// A column as JSON texts, a line each.
struct JsonTexts {
    text: String,
    /// Where the value of each row lies.
    places: Vec<std::ops::Range<usize>>,
}

impl JsonTexts {
    fn get(&self, row: usize) -> Option<&str> {
        self.places.get(row).map(|place| &self.text[place.clone()])
    }
}

fn json_texts(array: &ArrayRef) -> Result<JsonTexts> {
    let schema = Schema::new(vec![Field::new("v", array.data_type().clone(), true)]);
    let batch = RecordBatch::try_new(Arc::new(schema), vec![Arc::clone(array)])?;
    let mut lines = Vec::new();
    let mut writer =
        WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut lines);
    writer.write(&batch)?;
    writer.finish()?;
    let text = String::from_utf8(lines).map_err(|e| exec_datafusion_err!("{e}"))?;
    let decimal = array.data_type().is_decimal();
    let mut places = Vec::with_capacity(array.len());
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        // {"v":...}
        let place = at + 5..at + line.trim_end().len() - 1;
        let quoted = decimal && text[place.clone()].starts_with('"');
        places.push(if quoted { place.start + 1..place.end - 1 } else { place });
        at += line.len();
    }
    Ok(JsonTexts { text, places })
}

/// `"` and `\` and everything but printable ASCII escaped.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '/' => out.push_str("\\/"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ' '..='~' => out.push(c),
            c => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out.push('"');
    out
}

/// The first argument, `null:rv` or `absent:v`: what becomes of NULLs, and which of the values
/// are JSON already.
fn directions(call: &Call<'_>) -> Result<(bool, String)> {
    let text = if call.rows > 0 { call.text(0)?.value(0) } else { "null:" };
    let (nulls, raw) = text.split_once(':').unwrap_or((text, ""));
    Ok((nulls == "absent", raw.to_owned()))
}

fn values_of(call: &Call<'_>, raw: &str, index: usize, nth: usize) -> Result<JsonTexts> {
    let array = &call.args[index];
    if raw.as_bytes().get(nth) != Some(&b'r') {
        return json_texts(array);
    }
    let texts = call.text(index)?;
    let mut found = JsonTexts { text: String::new(), places: Vec::with_capacity(call.rows) };
    for row in 0..call.rows {
        let start = found.text.len();
        found.text.push_str(if texts.is_valid(row) { texts.value(row) } else { "null" });
        found.places.push(start..found.text.len());
    }
    Ok(found)
}

fn object(call: &Call<'_>) -> Result<ArrayRef> {
    let (absent, raw) = directions(call)?;
    let mut members = Vec::new();
    for (nth, at) in (1..call.args.len().saturating_sub(1)).step_by(2).enumerate() {
        members.push((call.text(at)?, at + 1, values_of(call, &raw, at + 1, nth)?));
    }
    call.texts_of_any(|row| {
        let mut out = String::from("{");
        for (keys, at, values) in &members {
            if keys.is_null(row) {
                return exec_err!("a key of JSON_OBJECT is NULL");
            }
            if absent && call.null_at(*at, row) {
                continue;
            }
            if out.len() > 1 {
                out.push(',');
            }
            out.push_str(&Value::from(keys.value(row)).to_string());
            out.push(':');
            out.push_str(values.get(row).unwrap_or("null"));
        }
        out.push('}');
        Ok(Some(out))
    })
}

fn array(call: &Call<'_>) -> Result<ArrayRef> {
    let (absent, raw) = directions(call)?;
    let mut items = Vec::new();
    for at in 1..call.args.len() {
        items.push((at, values_of(call, &raw, at, at - 1)?));
    }
    call.texts_of_any(|row| {
        let mut out = String::from("[");
        for (at, values) in &items {
            if absent && call.null_at(*at, row) {
                continue;
            }
            if out.len() > 1 {
                out.push(',');
            }
            out.push_str(values.get(row).unwrap_or("null"));
        }
        out.push(']');
        Ok(Some(out))
    })
}
