//! Typed access to the YAML tree: each reader says what it expected and what it found,
//! keeps going, and at the end refuses the keys that nobody asked for.
//! Called by `document` and `nodes`.

use std::cell::RefCell;
use std::ops::Range;

use crate::diagnostic::{Report, closest};
use crate::quantity;
use crate::yaml::{Key, Kind, Node, Value};

/// A value with its place in the file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spanned<T> {
    pub(crate) value: T,
    pub(crate) span: Range<usize>,
}

/// The keys of one mapping. What has not been asked for when [`Fields::finish`] is called
/// is an unknown field.
pub(crate) struct Fields<'a> {
    entries: &'a [(Key, Node)],
    /// The key that holds the mapping, to point at when a field is missing.
    pub(crate) span: Range<usize>,
    /// For messages: `spec.checkpoint`, "source `flights`".
    pub(crate) what: String,
    report: &'a Report<'a>,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Fields<'a> {
    /// `None`, reported, when `node` is not a mapping. Nothing at all counts as an empty one.
    pub(crate) fn of(
        node: &'a Node,
        span: Range<usize>,
        what: impl Into<String>,
        report: &'a Report<'a>,
    ) -> Option<Self> {
        let what = what.into();
        let entries: &[(Key, Node)] = match &node.kind {
            Kind::Mapping(entries) => entries,
            Kind::Scalar(scalar) if scalar.value() == Value::Null => &[],
            _ => {
                let message = format!("{what} must be a mapping, but is {}", node.describe());
                report.add("E0106", &node.span, message);
                return None;
            }
        };
        Some(Self { entries, span, what, report, asked: RefCell::default() })
    }

    pub(crate) fn entries(&self) -> &'a [(Key, Node)] {
        self.entries
    }

    pub(crate) fn report(&self) -> &'a Report<'a> {
        self.report
    }

    /// The entry `name`, marked as known.
    pub(crate) fn get(&self, name: &'static str) -> Option<&'a (Key, Node)> {
        self.asked.borrow_mut().push(name);
        self.entries.iter().find(|(key, _)| key.name == name)
    }

    pub(crate) fn node(&self, name: &'static str) -> Option<&'a Node> {
        self.get(name).map(|(_, node)| node)
    }

    /// As [`Self::get`]; a missing entry is reported.
    pub(crate) fn require(&self, name: &'static str, help: &str) -> Option<&'a (Key, Node)> {
        let found = self.get(name);
        if found.is_none() {
            let near = self.entries.iter().map(|(k, _)| k.name.as_str());
            let near = near.filter(|k| !self.asked.borrow().contains(k));
            let help = match closest(name, near) {
                Some(key) => format!("is `{key}` meant to be `{name}`? {help}"),
                None => help.to_owned(),
            };
            let message = format!("{} lacks `{name}`", self.what);
            self.report.add_help("E0105", &self.span, message, help);
        }
        found
    }

    pub(crate) fn wrong_type(&self, node: &Node, name: &str, expected: &str) {
        let message = format!("`{name}` must be {expected}, but is {}", node.describe());
        let help = match node.scalar().map(|s| (s.value(), &s.text)) {
            Some((Value::Text(_), text))
                if expected.contains("number") && text.parse::<f64>().is_ok() =>
            {
                "remove the quotes".to_owned()
            }
            _ => format!("see `streamctl schema` for the form of `{name}`"),
        };
        self.report.add_help("E0106", &node.span, message, help);
    }

    /// Text. Numbers and booleans are refused: a name such as `1e3` must be quoted.
    pub(crate) fn text_of(&self, node: &'a Node, name: &str) -> Option<Spanned<String>> {
        match node.scalar().map(|s| (s.value(), s)) {
            Some((Value::Text(text), _)) if !text.is_empty() => {
                Some(Spanned { value: text.to_owned(), span: node.span.clone() })
            }
            Some((Value::Text(_), _)) => {
                self.report.add("E0107", &node.span, format!("`{name}` is empty"));
                None
            }
            Some((Value::Bool(_) | Value::Integer(_) | Value::Float(_), scalar)) => {
                let message = format!("`{name}` must be text, but is {}", node.describe());
                let help = format!("quote it: \"{}\"", scalar.text);
                self.report.add_help("E0106", &node.span, message, help);
                None
            }
            _ => {
                self.wrong_type(node, name, "text");
                None
            }
        }
    }

    pub(crate) fn text(&self, name: &'static str) -> Option<Spanned<String>> {
        self.node(name).and_then(|node| self.text_of(node, name))
    }

    pub(crate) fn require_text(&self, name: &'static str, help: &str) -> Option<Spanned<String>> {
        self.require(name, help).and_then(|(_, node)| self.text_of(node, name))
    }

    /// SQL text: a number or boolean is an expression, too.
    pub(crate) fn sql_of(&self, node: &'a Node, name: &str) -> Option<&'a Node> {
        match node.scalar().map(|s| s.value()) {
            None | Some(Value::Null) => {
                self.wrong_type(node, name, "a SQL expression");
                None
            }
            Some(_) => Some(node),
        }
    }

    /// A list of texts; one text alone is a list of one.
    pub(crate) fn texts(&self, name: &'static str) -> Option<Vec<Spanned<String>>> {
        let node = self.node(name)?;
        match &node.kind {
            Kind::Sequence(items) => {
                Some(items.iter().filter_map(|item| self.text_of(item, name)).collect())
            }
            Kind::Scalar(scalar) if scalar.value() != Value::Null => {
                self.text_of(node, name).map(|t| vec![t])
            }
            _ => {
                self.wrong_type(node, name, "a list of names");
                None
            }
        }
    }

    pub(crate) fn boolean(&self, name: &'static str) -> Option<Spanned<bool>> {
        let node = self.node(name)?;
        match node.scalar().map(|s| s.value()) {
            Some(Value::Bool(value)) => Some(Spanned { value, span: node.span.clone() }),
            Some(Value::Text(word))
                if matches!(word.to_lowercase().as_str(), "yes" | "no" | "on" | "off") =>
            {
                let message = format!("`{name}` must be a boolean, but is the text `{word}`");
                self.report.add_help("E0106", &node.span, message, "write `true` or `false`");
                None
            }
            _ => {
                self.wrong_type(node, name, "a boolean (`true` or `false`)");
                None
            }
        }
    }

    /// A whole number within `range`.
    pub(crate) fn integer(
        &self,
        name: &'static str,
        range: std::ops::RangeInclusive<u32>,
    ) -> Option<Spanned<u32>> {
        let node = self.node(name)?;
        let Some(Value::Integer(value)) = node.scalar().map(|s| s.value()) else {
            self.wrong_type(node, name, "a whole number");
            return None;
        };
        match u32::try_from(value).ok().filter(|v| range.contains(v)) {
            Some(value) => Some(Spanned { value, span: node.span.clone() }),
            None => {
                let (low, high) = range.into_inner();
                let bounds = match high {
                    u32::MAX => format!("at least {low}"),
                    _ => format!("between {low} and {high}"),
                };
                let message = format!("`{name}` must be {bounds}, but is {value}");
                self.report.add("E0107", &node.span, message);
                None
            }
        }
    }

    pub(crate) fn number(&self, name: &'static str) -> Option<Spanned<f64>> {
        let node = self.node(name)?;
        match node.scalar().map(|s| s.value()) {
            Some(Value::Integer(value)) => {
                Some(Spanned { value: value as f64, span: node.span.clone() })
            }
            Some(Value::Float(value)) => Some(Spanned { value, span: node.span.clone() }),
            _ => {
                self.wrong_type(node, name, "a number");
                None
            }
        }
    }

    /// Milliseconds, at least `minimum`.
    pub(crate) fn duration(&self, name: &'static str, minimum: i64) -> Option<Spanned<i64>> {
        let node = self.node(name)?;
        self.duration_of(node, name, minimum)
    }

    pub(crate) fn require_duration(
        &self,
        name: &'static str,
        minimum: i64,
        help: &str,
    ) -> Option<Spanned<i64>> {
        self.require(name, help).and_then(|(_, node)| self.duration_of(node, name, minimum))
    }

    pub(crate) fn duration_of(
        &self,
        node: &'a Node,
        name: &str,
        minimum: i64,
    ) -> Option<Spanned<i64>> {
        let Some(scalar) = node.scalar() else {
            self.wrong_type(node, name, "a duration such as `10s`");
            return None;
        };
        match quantity::duration_ms(&scalar.text) {
            Ok(value) if value >= minimum => Some(Spanned { value, span: node.span.clone() }),
            Ok(_) => {
                let least = quantity::show_duration(minimum);
                let message =
                    format!("`{name}` must be at least {least}, but is `{}`", scalar.text);
                self.report.add("E0107", &node.span, message);
                None
            }
            Err(problem) => {
                let message = format!("`{name}` must be a duration, but is {}", node.describe());
                self.report.add_help("E0108", &node.span, message, problem);
                None
            }
        }
    }

    pub(crate) fn bytes(&self, name: &'static str) -> Option<Spanned<u64>> {
        let node = self.node(name)?;
        let Some(scalar) = node.scalar() else {
            self.wrong_type(node, name, "a size such as `512MiB`");
            return None;
        };
        match quantity::bytes(&scalar.text) {
            Ok(value) => Some(Spanned { value, span: node.span.clone() }),
            Err(problem) => {
                let message = format!("`{name}` must be a size, but is {}", node.describe());
                self.report.add_help("E0108", &node.span, message, problem);
                None
            }
        }
    }

    /// One of a closed set of words.
    pub(crate) fn choice<T: Copy>(
        &self,
        name: &'static str,
        choices: &[(&str, T)],
    ) -> Option<Spanned<T>> {
        let node = self.node(name)?;
        let text = match node.scalar().map(|s| &s.text) {
            Some(text) => text,
            None => {
                self.wrong_type(node, name, "one word");
                return None;
            }
        };
        if let Some((_, value)) = choices.iter().find(|(word, _)| word == text) {
            return Some(Spanned { value: *value, span: node.span.clone() });
        }
        let words: Vec<&str> = choices.iter().map(|(w, _)| *w).collect();
        let label = closest(text, words.iter().copied()).map(|w| format!("did you mean `{w}`?"));
        let message = format!("`{name}` cannot be `{text}`");
        let help = format!("`{name}` is one of: {}", words.join(", "));
        self.report.add_full("E0107", &node.span, message, (label, Some(help)));
        None
    }

    /// A mapping below `name`.
    pub(crate) fn fields(&self, name: &'static str, what: &str) -> Option<Fields<'a>> {
        let (key, node) = self.get(name)?;
        Fields::of(node, key.span.clone(), what, self.report)
    }

    /// Reports every key that was not asked for.
    pub(crate) fn finish(self) {
        let asked = self.asked.borrow();
        for (key, _) in self.entries {
            if asked.contains(&key.name.as_str()) {
                continue;
            }
            let free =
                asked.iter().copied().filter(|a| self.entries.iter().all(|(k, _)| k.name != *a));
            let label = closest(&key.name, free).map(|a| format!("did you mean `{a}`?"));
            let mut known: Vec<&str> = asked.clone();
            known.sort_unstable();
            known.dedup();
            let message = format!("unknown field `{}` in {}", key.name, self.what);
            let help = format!("it takes: {}", known.join(", "));
            self.report.add_full("E0104", &key.span, message, (label, Some(help)));
        }
    }

    /// The keys that were not asked for, as JSON: a connector's options.
    pub(crate) fn rest_as_json(&self) -> serde_json::Map<String, serde_json::Value> {
        let asked = self.asked.borrow();
        let rest = self.entries.iter().filter(|(key, _)| !asked.contains(&key.name.as_str()));
        rest.map(|(key, node)| (key.name.clone(), to_json(node))).collect()
    }
}

/// A tree as JSON, scalars by the core schema.
pub(crate) fn to_json(node: &Node) -> serde_json::Value {
    use serde_json::Value as Json;
    match &node.kind {
        Kind::Sequence(items) => Json::Array(items.iter().map(to_json).collect()),
        Kind::Mapping(entries) => {
            Json::Object(entries.iter().map(|(k, v)| (k.name.clone(), to_json(v))).collect())
        }
        Kind::Scalar(scalar) => match scalar.value() {
            Value::Null => Json::Null,
            Value::Bool(b) => Json::Bool(b),
            Value::Integer(n) => Json::from(n),
            Value::Float(f) => serde_json::Number::from_f64(f)
                .map_or_else(|| Json::String(scalar.text.clone()), Json::Number),
            Value::Text(text) => Json::String(text.to_owned()),
        },
    }
}
