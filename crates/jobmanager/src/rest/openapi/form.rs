//! Small words to write schemas with. Used by its neighbours.

use serde_json::{Map, Value, json};

pub(super) fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

pub(super) fn text() -> Value {
    json!({ "type": "string" })
}
pub(super) fn number() -> Value {
    json!({ "type": "integer" })
}
pub(super) fn real() -> Value {
    json!({ "type": "number" })
}
pub(super) fn flag() -> Value {
    json!({ "type": "boolean" })
}
pub(super) fn any() -> Value {
    json!({ "type": "object" })
}
/// Or null.
pub(super) fn maybe(schema: Value) -> Value {
    json!({ "anyOf": [schema, { "type": "null" }] })
}
pub(super) fn list(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}
pub(super) fn one_of(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}
/// From any key to such values.
pub(super) fn map(values: Value) -> Value {
    json!({ "type": "object", "additionalProperties": values })
}

/// Every property is required, unless its name ends with `?`.
pub(super) fn object(properties: &[(&str, Value)]) -> Value {
    let named: Map<String, Value> = properties
        .iter()
        .map(|(name, schema)| (name.trim_end_matches('?').to_owned(), schema.clone()))
        .collect();
    let required: Vec<&str> =
        properties.iter().map(|(name, _)| *name).filter(|name| !name.ends_with('?')).collect();
    json!({ "type": "object", "properties": named, "required": required })
}
