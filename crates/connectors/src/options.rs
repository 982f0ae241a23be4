//! Reads a connector's options out of the job file's mapping, with an error that names the
//! key and says what would be right. Called by every connector's own `options`.

use std::sync::Arc;

use model::arrow::datatypes::{Schema, SchemaRef};
use model::connector::{OptionError, SourceSpec};
use model::nearest::closest;
use serde_json::{Map, Value};

/// A mapping of options. Unknown keys are refused when it is made.
#[derive(Clone)]
pub(crate) struct Options<'a> {
    map: Option<&'a Map<String, Value>>,
    path: Vec<String>,
}

impl<'a> Options<'a> {
    /// The options of a source. `onBadRecord` belongs to every source, whether or not it
    /// can meet bad records, and `connector` to every node.
    pub(crate) fn of_source(value: &'a Value, known: &[&str]) -> Result<Self, OptionError> {
        Self::new(value, Vec::new(), known, &["connector", "onBadRecord"])
    }

    /// The options of a sink.
    pub(crate) fn of_sink(value: &'a Value, known: &[&str]) -> Result<Self, OptionError> {
        Self::new(value, Vec::new(), known, &["connector"])
    }

    fn new(
        value: &'a Value,
        path: Vec<String>,
        known: &[&str],
        shared: &[&str],
    ) -> Result<Self, OptionError> {
        let map = match value {
            Value::Null => None,
            Value::Object(map) => Some(map),
            other => {
                return Err(OptionError {
                    path,
                    at_key: false,
                    message: format!("expected a mapping, found {}", describe(other)),
                    help: Some(format!("keys: {}", known.join(", "))),
                });
            }
        };
        let options = Self { map, path };
        for key in map.into_iter().flat_map(Map::keys) {
            if !known.contains(&key.as_str()) && !shared.contains(&key.as_str()) {
                return Err(options.unknown(key, known));
            }
        }
        Ok(options)
    }

    fn unknown(&self, key: &str, known: &[&str]) -> OptionError {
        let mut help = closest(key, known.iter().copied())
            .map_or_else(String::new, |k| format!("did you mean `{k}`? "));
        help.push_str(&format!("options: {}", known.join(", ")));
        let message = format!("unknown option `{key}`");
        OptionError { at_key: true, ..self.error(key, message).with_help(help) }
    }

    /// An error about the value of `key`.
    pub(crate) fn error(&self, key: &str, message: impl Into<String>) -> OptionError {
        let mut path = self.path.clone();
        path.push(key.to_owned());
        OptionError { path, at_key: false, message: message.into(), help: None }
    }

    /// An error about a key that must be there and is not.
    pub(crate) fn missing(&self, key: &str, help: &str) -> OptionError {
        OptionError {
            path: self.path.clone(),
            at_key: false,
            message: format!("option `{key}` is missing"),
            help: Some(help.to_owned()),
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.and_then(|m| m.get(key)).filter(|v| !v.is_null())
    }

    fn wrong(&self, key: &str, expected: &str, found: &Value) -> OptionError {
        self.error(key, format!("expected {expected}, found {}", describe(found)))
    }

    pub(crate) fn string(&self, key: &str) -> Result<Option<&'a str>, OptionError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(key, "text", other)),
        }
    }

    pub(crate) fn boolean(&self, key: &str) -> Result<Option<bool>, OptionError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(other) => Err(self.wrong(key, "true or false", other)),
        }
    }

    /// A list of words.
    pub(crate) fn strings(&self, key: &str) -> Result<Option<Vec<String>>, OptionError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let word = |v: &Value| v.as_str().map(str::to_owned);
        let words = value.as_array().and_then(|all| all.iter().map(word).collect());
        words.map(Some).ok_or_else(|| self.wrong(key, "a list of words", value))
    }

    pub(crate) fn integer(&self, key: &str) -> Result<Option<i64>, OptionError> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => match value.as_i64() {
                Some(number) => Ok(Some(number)),
                None => Err(self.wrong(key, "a whole number", value)),
            },
        }
    }

    /// A whole number of at least `least`.
    pub(crate) fn count(&self, key: &str, least: u64) -> Result<Option<u64>, OptionError> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => match value.as_u64() {
                Some(number) if number >= least => Ok(Some(number)),
                _ => Err(self.wrong(key, &format!("a whole number from {least}"), value)),
            },
        }
    }

    /// `500ms`, `10s`, `5m`, `1h`, `1d`; in milliseconds, at least 1.
    pub(crate) fn duration_ms(&self, key: &str) -> Result<Option<i64>, OptionError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let parsed = value.as_str().and_then(parse_duration_ms).filter(|ms| *ms > 0);
        match parsed {
            Some(ms) => Ok(Some(ms)),
            None => Err(self
                .wrong(key, "a duration", value)
                .with_help("a number with a unit: 500ms, 10s, 5m, 1h or 1d".to_owned())),
        }
    }

    /// `64KiB`, `128MiB`, `1GiB`, or powers of ten as `100MB`; at least 1.
    pub(crate) fn bytes(&self, key: &str) -> Result<Option<u64>, OptionError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.as_str().and_then(parse_bytes).filter(|b| *b > 0) {
            Some(bytes) => Ok(Some(bytes)),
            None => Err(self
                .wrong(key, "a size", value)
                .with_help("a number with a unit: 64KiB, 128MiB, 1GiB, or 512B".to_owned())),
        }
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(
        &self,
        key: &str,
        choices: &[(&str, T)],
    ) -> Result<Option<T>, OptionError> {
        let Some(text) = self.string(key)? else { return Ok(None) };
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
            return Ok(Some(*value));
        }
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        let mut help = closest(text, words.iter().copied())
            .map_or_else(String::new, |w| format!("did you mean `{w}`? "));
        help.push_str(&format!("one of: {}", words.join(", ")));
        Err(self.error(key, format!("`{text}` is not a choice here")).with_help(help))
    }

    /// The mapping below `key`.
    pub(crate) fn nested(
        &self,
        key: &str,
        known: &[&str],
    ) -> Result<Option<Options<'a>>, OptionError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let mut path = self.path.clone();
        path.push(key.to_owned());
        Options::new(value, path, known, &[]).map(Some)
    }

    /// Every key and value.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&'a str, &'a Value)> + use<'a> {
        self.map.into_iter().flat_map(|m| m.iter().map(|(k, v)| (k.as_str(), v)))
    }
}

/// The schema that a source of no schema of its own needs.
pub(crate) fn declared_schema(spec: &SourceSpec) -> Result<SchemaRef, OptionError> {
    match &spec.declared_schema {
        Some(schema) if !schema.fields().is_empty() => Ok(Arc::clone(schema)),
        _ => Err(OptionError {
            path: Vec::new(),
            at_key: false,
            message: format!("`{}` needs to know its columns: `schema` is missing", spec.connector),
            help: Some("declare `schema`, for example {id: BIGINT, name: STRING}".to_owned()),
        }),
    }
}

/// The wanted columns, in the order in which they are declared.
pub(crate) fn project(
    declared: &SchemaRef,
    wanted: Option<&[String]>,
) -> Result<SchemaRef, OptionError> {
    let Some(wanted) = wanted else { return Ok(Arc::clone(declared)) };
    if let Some(unknown) = wanted.iter().find(|w| declared.column_with_name(w).is_none()) {
        return Err(OptionError {
            path: vec!["schema".to_owned()],
            at_key: false,
            message: format!("column `{unknown}` is used but not declared"),
            help: None,
        });
    }
    let fields = declared.fields().iter().filter(|f| wanted.contains(f.name())).cloned();
    Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

/// Builder step on a type of `model`.
pub(crate) trait WithHelp {
    fn with_help(self, help: String) -> Self;
}

impl WithHelp for OptionError {
    fn with_help(mut self, help: String) -> Self {
        self.help = Some(help);
        self
    }
}

fn describe(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(b) => format!("`{b}`"),
        Value::Number(n) => format!("the number {n}"),
        Value::String(s) => format!("the text `{s}`"),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
    }
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    Some((text[..digits].parse().ok()?, text[digits..].trim_start()))
}

/// Milliseconds of `500ms`, `10s`, `5m`, `1h` or `1d`.
pub(crate) fn parse_duration_ms(text: &str) -> Option<i64> {
    let (number, unit) = number_and_unit(text)?;
    let unit_ms: i64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    i64::try_from(number).ok()?.checked_mul(unit_ms)
}

fn parse_bytes(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let factor: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "KB" | "kB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    number.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sizes_and_durations_need_units() {
        assert_eq!(parse_bytes("64MiB"), Some(64 << 20));
        assert_eq!(parse_bytes("10 MB"), Some(10_000_000));
        assert_eq!(parse_bytes("64"), None);
        assert_eq!(parse_duration_ms("10s"), Some(10_000));
        assert_eq!(parse_duration_ms("10"), None);
        assert_eq!(parse_duration_ms("s"), None);
        assert_eq!(parse_duration_ms("99999999999999999d"), None);
    }

    #[test]
    fn an_unknown_option_names_the_likely_one() {
        let value = json!({ "splitsize": "1MiB" });
        let error = Options::of_source(&value, &["path", "splitSize"]).err().unwrap();
        assert_eq!(error.path, ["splitsize"]);
        assert!(error.at_key);
        assert_eq!(
            error.help.as_deref(),
            Some("did you mean `splitSize`? options: path, splitSize")
        );
    }

    #[test]
    fn wrong_types_say_what_was_found() {
        let value = json!({ "a": 5, "b": "x", "c": { "d": [] } });
        let options = Options::of_source(&value, &["a", "b", "c"]).unwrap();
        assert_eq!(options.string("a").unwrap_err().message, "expected text, found the number 5");
        assert!(options.duration_ms("b").unwrap_err().help.unwrap().contains("10s"));
        let nested = options.nested("c", &["d"]).unwrap().unwrap();
        let error = nested.integer("d").unwrap_err();
        assert_eq!(error.path, ["c", "d"]);
        assert_eq!(options.choice("b", &[("csv", 1), ("json", 2)]).unwrap_err().path, ["b"]);
    }
}
