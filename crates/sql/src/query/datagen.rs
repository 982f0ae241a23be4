//! Flink's options of the datagen connector in our own form. Flink makes every column at random
//! unless it is told otherwise, within bounds of its own. Called by `options`.

use arrow::datatypes::DataType;
use planner::diagnostic::closest;
use planner::sql::SqlDiagnostic;
use planner::sql_type::show;
use serde_json::{Map, Value, json};

use super::create_table::{ColumnKind, CreateTable, OptionDef};
use super::options::{Form, Native, value};
use super::script::error;

/// What starts the options of a column.
pub(super) const PREFIX: &str = "fields.";
/// Rows per second when nothing is said.
const RATE: u64 = 10_000;
const TEXT: u64 = 100;
const ARRAY: u64 = 3;
/// Below the largest of the type, so that no text of the number is above it.
const MAX_DOUBLE: f64 = 1.797e308;
const MAX_FLOAT: f64 = 3.402e38;

/// A setting of a column: Flink's name, ours, what becomes of its value, and how it is
/// described.
pub(super) const SETTINGS: &[(&str, &str, Form, &str)] = &[
    ("kind", "kind", Form::Text, "`random` (the default) or `sequence`"),
    ("min", "min", Form::Decimal, "number; the type's least, of fractions 0"),
    ("max", "max", Form::Decimal, "number; the type's largest"),
    ("max-past", "maxPast", Form::Duration, "duration, of timestamps; 0"),
    ("length", "length", Form::Number, "whole number, of texts and bytes (100) and arrays (3)"),
    ("var-len", "variableLength", Form::Flag, "`true`: texts and bytes of 1 to `length`"),
    ("start", "start", Form::Number, "whole number, of sequences"),
    ("end", "end", Form::Number, "whole number, of sequences: then the table ends"),
    ("null-rate", "nullRate", Form::Decimal, "number from 0 to 1; 0"),
];

/// Says of every column how it is made, and where the table ends.
pub(super) fn finish(table: &CreateTable, out: &mut Native) -> Result<(), SqlDiagnostic> {
    let mut columns = Map::new();
    for column in &table.columns {
        let ColumnKind::Physical { data_type, .. } = &column.kind else { continue };
        let Some(made) = random(data_type) else {
            let message = format!("datagen makes no values of type {}", show(data_type));
            return Err(error("E0402", column.at.clone(), message, "compute the column: a AS .."));
        };
        columns.insert(column.name.clone(), made);
    }
    let settings = || table.options.iter().enumerate().filter(|(_, o)| o.key.starts_with(PREFIX));
    // What kind it is decides which bounds there are.
    let (kinds, others): (Vec<_>, Vec<_>) = settings().partition(|(_, o)| o.key.ends_with(".kind"));
    for (index, option) in kinds.into_iter().chain(others) {
        let path = set(option, &mut columns, table)?;
        out.origin.push((path, index));
    }
    let sequences = columns.values().filter(|made| made["kind"] == "sequence").filter_map(|made| {
        let start = made["start"].as_i64().unwrap_or(0);
        u64::try_from(i128::from(made["end"].as_i64()?) - i128::from(start) + 1).ok()
    });
    if let Some(rows) = sequences.chain(out.options["rows"].as_u64()).min() {
        out.options["rows"] = json!(rows);
    }
    if out.options.get("rowsPerSecond").is_none() {
        out.options["rowsPerSecond"] = json!(RATE);
    }
    out.options["fields"] = Value::Object(columns);
    Ok(())
}

/// Flink's generator for a type; `None`: the connector has none.
fn random(data_type: &DataType) -> Option<Value> {
    use DataType as D;
    let between = |min: Value, max: Value| json!({ "kind": "random", "min": min, "max": max });
    Some(match data_type {
        D::Int8 => between(json!(i8::MIN), json!(i8::MAX)),
        D::Int16 => between(json!(i16::MIN), json!(i16::MAX)),
        D::Int32 => between(json!(i32::MIN), json!(i32::MAX)),
        D::Int64 => between(json!(i64::MIN), json!(i64::MAX)),
        D::Float32 => between(json!(0.0), json!(MAX_FLOAT)),
        D::Float64 => between(json!(0.0), json!(MAX_DOUBLE)),
        D::Decimal128(precision, scale) => {
            let most = 10_f64.powi(i32::from(*precision) - i32::from(*scale)) - 1.0;
            // Doubles are coarser than decimals: the last ones could be too large.
            between(json!(0.0), json!(most * (1.0 - 4.0 * f64::EPSILON)))
        }
        D::Boolean => json!({ "kind": "random" }),
        D::Utf8 | D::Utf8View | D::Binary => json!({ "kind": "random", "length": TEXT }),
        D::Timestamp(_, _) => json!({ "kind": "random", "maxPast": "0ms" }),
        D::Date32 | D::Time32(_) | D::Time64(_) => json!({ "kind": "now" }),
        D::Struct(fields) => {
            let made = fields.iter().map(|f| Some((f.name().clone(), random(f.data_type())?)));
            json!({ "kind": "random", "fields": made.collect::<Option<Map<_, _>>>()? })
        }
        D::List(element) => {
            json!({ "kind": "random", "length": ARRAY, "element": random(element.data_type())? })
        }
        _ => return None,
    })
}

/// Puts `fields.<column>.<what>` where it belongs; gives its path there.
fn set(
    option: &OptionDef,
    columns: &mut Map<String, Value>,
    table: &CreateTable,
) -> Result<String, SqlDiagnostic> {
    let failed = |message: String, help: &str| error("E0402", option.key_at.clone(), message, help);
    let Some((column, what)) = option.key[PREFIX.len()..].rsplit_once('.') else {
        let message = format!("'{}' names no setting of a column", option.key);
        return Err(failed(message, "for example 'fields.id.kind' = 'sequence'"));
    };
    let Some((_, name, form, _)) = SETTINGS.iter().find(|(known, ..)| *known == what) else {
        let known: Vec<_> = SETTINGS.iter().map(|(known, ..)| *known).collect();
        let message = format!("datagen has no setting '{what}' of a column");
        let mut found = failed(message, &format!("settings: {}", known.join(", ")));
        found.label = closest(what, known).map(|c| format!("did you mean '{c}'?"));
        return Err(found);
    };
    let value = value(option, *form)?;
    let known: Vec<String> = columns.keys().cloned().collect();
    let mut path = "fields".to_owned();
    let Some(made) = within(columns, column, &mut path).and_then(Value::as_object_mut) else {
        let message = format!("table `{}` makes no column `{column}`", table.name);
        let mut found = failed(message, &format!("its columns: {}", known.join(", ")));
        found.label = closest(column, known.iter().map(String::as_str))
            .map(|c| format!("did you mean `{c}`?"));
        return Err(found);
    };
    path.push('.');
    path.push_str(name);
    match (*name, value.as_str()) {
        ("kind", Some("random")) => return Ok(path),
        ("kind", _) => made.clear(),
        ("min" | "max", _) => drop(made.remove("maxPast")),
        _ => {}
    }
    made.insert((*name).to_owned(), value);
    Ok(path)
}

/// How the column of this name is made: `order.buyer` is a field of a ROW, `tags.element` that of
/// an ARRAY. `at` becomes its path.
fn within<'v>(
    columns: &'v mut Map<String, Value>,
    name: &str,
    at: &mut String,
) -> Option<&'v mut Value> {
    let starts = |key: &str| {
        name.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let key = columns.keys().filter(|key| starts(key)).max_by_key(|key| key.len())?.clone();
    at.push('.');
    at.push_str(&key);
    let mut made = columns.get_mut(&key)?;
    let mut rest = &name[key.len()..];
    while let Some(deeper) = rest.strip_prefix(".element") {
        made = made.get_mut("element")?;
        at.push_str(".element");
        rest = deeper;
    }
    match rest.strip_prefix('.') {
        Some(field) => {
            at.push_str(".fields");
            within(made.get_mut("fields")?.as_object_mut()?, field, at)
        }
        None => rest.is_empty().then_some(made),
    }
}

#[cfg(test)]
mod tests {
    use model::operator_spec::OperatorSpec;
    use serde_json::{Value, json};

    use crate::query::tests::plan;

    /// The options that the source gets.
    fn options(columns: &str, with: &str) -> Value {
        let script = format!(
            "CREATE TABLE made ({columns}) WITH ('connector' = 'datagen'{with}); \
             CREATE TABLE out ({columns}) WITH ('connector' = 'blackhole'); \
             INSERT INTO out SELECT * FROM made"
        );
        let planned = plan(&script).unwrap_or_else(|e| panic!("{e:?}"));
        let source = planned.ops.into_iter().find_map(|op| match op.spec {
            OperatorSpec::Source { source, .. } => Some(source.options),
            _ => None,
        });
        source.unwrap()
    }

    #[test]
    fn columns_are_random_within_flinks_bounds() {
        let found = options(
            "i INT, s STRING, d DECIMAL(4, 1), at TIMESTAMP(3), day DATE, l ARRAY<BOOLEAN>, \
             r ROW<name STRING, size TINYINT>",
            "",
        );
        let expected = json!({
            "i": { "kind": "random", "min": i32::MIN, "max": i32::MAX },
            "s": { "kind": "random", "length": 100 },
            "at": { "kind": "random", "maxPast": "0ms" },
            "day": { "kind": "now" },
            "l": { "kind": "random", "length": 3, "element": { "kind": "random" } },
            "r": { "kind": "random", "fields": {
                "name": { "kind": "random", "length": 100 },
                "size": { "kind": "random", "min": -128, "max": 127 },
            } },
        });
        for (column, made) in expected.as_object().unwrap() {
            assert_eq!(found["fields"][column], *made, "{column}");
        }
        let most = found["fields"]["d"]["max"].as_f64().unwrap();
        assert!(most > 998.9 && most < 999.0, "{most}");
        assert_eq!(found["rowsPerSecond"], 10_000);
        assert!(found.get("rows").is_none());
    }

    #[test]
    fn settings_reach_fields_and_elements() {
        let found = options(
            "i INT, at TIMESTAMP(3), l ARRAY<ROW<b DOUBLE>>, r ROW<name STRING>",
            ", 'rows-per-second' = '5', 'fields.i.max' = '9', 'fields.i.null-rate' = '0.5', \
             'fields.at.max-past' = '10 s', 'fields.l.length' = '2', \
             'fields.l.element.b.max' = '1.5', 'fields.r.name.length' = '7', \
             'fields.r.name.var-len' = 'true'",
        );
        let i = json!({ "kind": "random", "min": i32::MIN, "max": 9, "nullRate": 0.5 });
        assert_eq!(found["fields"]["i"], i);
        assert_eq!(found["fields"]["at"]["maxPast"], "10s");
        assert_eq!(found["fields"]["l"]["length"], 2);
        assert_eq!(found["fields"]["l"]["element"]["fields"]["b"]["max"], 1.5);
        let name = json!({ "kind": "random", "length": 7, "variableLength": true });
        assert_eq!(found["fields"]["r"]["fields"]["name"], name);
        assert_eq!(found["rowsPerSecond"], 5);
    }

    #[test]
    fn the_first_sequence_that_ends_ends_the_table() {
        let sequence = |name: &str, start: i64, end: i64| {
            format!(
                ", 'fields.{name}.start' = '{start}', 'fields.{name}.end' = '{end}', \
                 'fields.{name}.kind' = 'sequence'"
            )
        };
        let both = sequence("a", 1, 50) + &sequence("b", 10, 19);
        let found = options("a INT, b STRING", &both);
        assert_eq!(found["rows"], 10);
        assert_eq!(found["fields"]["a"], json!({ "kind": "sequence", "start": 1, "end": 50 }));
        let found = options("a INT, b STRING", &(both + ", 'number-of-rows' = '3'"));
        assert_eq!(found["rows"], 3);
    }
}
