//! YAML text to a tree that knows where everything stands. Stricter than YAML: one
//! document, no aliases, no tags, text keys only, each once. Scalars are resolved by the
//! YAML 1.2 core schema, so `no` and `on` are text.
//! Called by `lib::plan`; the tree is read through `fields`.

use std::borrow::Cow;
use std::ops::Range;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span};

use crate::diagnostic::Report;
use crate::substitution::{self, Substitution};

/// Largest file read, in bytes.
pub(crate) const MAX_BYTES: usize = 1 << 20;
/// How deep mappings and sequences may nest.
pub(crate) const MAX_DEPTH: usize = 64;

/// A value and the bytes it takes in the file.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) span: Range<usize>,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Scalar(Scalar),
    Sequence(Vec<Node>),
    Mapping(Vec<(Key, Node)>),
}

/// A key of a mapping.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) span: Range<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Single,
    Double,
    Block,
}

/// A scalar after substitution of `${env:...}`.
#[derive(Clone, Debug)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    style: Style,
    /// Before substitution; what stands in the file but for quotes and escapes.
    decoded: String,
    substitutions: Vec<Substitution>,
}

/// A scalar by the YAML 1.2 core schema.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(&'a str),
}

impl Scalar {
    /// With its references to environment variables, not their values.
    pub(crate) fn as_written(&self) -> &str {
        &self.decoded
    }

    pub(crate) fn value(&self) -> Value<'_> {
        let whole = matches!(self.substitutions.as_slice(), [only] if only.decoded == (0..self.decoded.len()));
        if self.style != Style::Plain && !whole {
            return Value::Text(&self.text);
        }
        match self.text.as_str() {
            "" if self.style == Style::Plain => Value::Null,
            "~" | "null" | "Null" | "NULL" => Value::Null,
            "true" | "True" | "TRUE" => Value::Bool(true),
            "false" | "False" | "FALSE" => Value::Bool(false),
            text => number(text).unwrap_or(Value::Text(text)),
        }
    }
}

fn number(text: &str) -> Option<Value<'static>> {
    let radix = |digits: &str, radix| i64::from_str_radix(digits, radix).ok().map(Value::Integer);
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    match text {
        ".inf" | ".Inf" | ".INF" | "+.inf" => return Some(Value::Float(f64::INFINITY)),
        "-.inf" | "-.Inf" | "-.INF" => return Some(Value::Float(f64::NEG_INFINITY)),
        ".nan" | ".NaN" | ".NAN" => return Some(Value::Float(f64::NAN)),
        _ => {}
    }
    let body = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !body.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        || !body.contains(|c: char| c.is_ascii_digit())
        || !body.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'))
    {
        return None;
    }
    if let Ok(integer) = text.parse() {
        return Some(Value::Integer(integer));
    }
    text.parse().ok().map(Value::Float)
}

impl Node {
    pub(crate) fn scalar(&self) -> Option<&Scalar> {
        match &self.kind {
            Kind::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// What the value is, for messages.
    pub(crate) fn describe(&self) -> String {
        match &self.kind {
            Kind::Sequence(_) => "a list".into(),
            Kind::Mapping(_) => "a mapping".into(),
            Kind::Scalar(scalar) => match scalar.value() {
                Value::Null => "nothing".into(),
                Value::Bool(b) => format!("the boolean `{b}`"),
                Value::Integer(n) => format!("the number `{n}`"),
                Value::Float(_) => format!("the number `{}`", scalar.text),
                Value::Text(text) if text.chars().count() > 40 => {
                    format!("the text `{}...`", text.chars().take(40).collect::<String>())
                }
                Value::Text(text) => format!("the text `{text}`"),
            },
        }
    }

    /// Where bytes `range` of a scalar's text stand in the file.
    pub(crate) fn locate(&self, range: &Range<usize>, source: &str) -> Range<usize> {
        let Kind::Scalar(scalar) = &self.kind else { return self.span.clone() };
        let decoded = substitution::origin(&scalar.substitutions, range);
        let raw = &source[self.span.clone()];
        let start = match scalar.style {
            Style::Single | Style::Double => 1,
            Style::Plain | Style::Block => 0,
        };
        let aligned = align(&scalar.decoded, raw, scalar.style, (&decoded, start));
        match aligned {
            Some(found) => self.span.start + found.start..self.span.start + found.end,
            None => self.span.clone(),
        }
    }
}

/// Finds bytes `wanted` of `decoded` in the `raw` form of the same scalar. The decoded
/// characters occur in the raw text in order; between them stand quotes, escapes,
/// indentation and folded line ends.
fn align(
    decoded: &str,
    raw: &str,
    style: Style,
    (wanted, mut at): (&Range<usize>, usize),
) -> Option<Range<usize>> {
    let mut start = None;
    let mut end = at;
    for (index, c) in decoded.char_indices() {
        if index >= wanted.end {
            break;
        }
        let (from, to) = next_in_raw(raw, at, c, style)?;
        if index >= wanted.start && start.is_none() {
            start = Some(from);
        }
        (at, end) = (to, to);
    }
    match start {
        Some(start) => Some(start..end),
        None => Some(at.min(raw.len())..(at + 1).min(raw.len())),
    }
}

/// The place of the next decoded character `c` in `raw`, searched from `at`.
fn next_in_raw(raw: &str, mut at: usize, c: char, style: Style) -> Option<(usize, usize)> {
    loop {
        let rest = raw.get(at..)?;
        let found = rest.chars().next()?;
        if style == Style::Double && found == '\\' {
            let escape = rest.chars().nth(1)?;
            let length = match escape {
                'x' => 4,
                'u' => 6,
                'U' => 10,
                '\n' => {
                    at += rest.len() - rest[1..].trim_start().len();
                    continue;
                }
                other => 1 + other.len_utf8(),
            };
            return Some((at, (at + length).min(raw.len())));
        }
        if found == c {
            let mut to = at + c.len_utf8();
            if style == Style::Single && c == '\'' && raw[to..].starts_with('\'') {
                to += 1;
            }
            return Some((at, to));
        }
        if c.is_whitespace() && found.is_whitespace() {
            // A folded line end: the white space around it is one space or line end.
            let run = rest.len() - rest.trim_start().len();
            return Some((at, at + run));
        }
        at += found.len_utf8();
    }
}

/// Parses `text`. `None` when it is not YAML or not one mapping; the report says why.
pub(crate) fn parse(
    text: &str,
    report: &Report<'_>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Option<Node> {
    if text.len() > MAX_BYTES {
        report.add("E0102", &(0..0), format!("the file is larger than {MAX_BYTES} bytes"));
        return None;
    }
    let mut builder = Builder::new(text, report, env);
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        match event {
            Ok((event, span)) => {
                if !builder.event(event, &span) {
                    return None;
                }
            }
            Err(error) => {
                builder.scan_error(error.marker(), error.info());
                return None;
            }
        }
    }
    if builder.root.is_none() {
        report.add_help(
            "E0101",
            &(0..0),
            "the file is empty",
            "start with `apiVersion: weir.dev/v1` and `kind: StreamJob`",
        );
    }
    builder.root
}

enum Frame {
    Sequence { start: usize, items: Vec<Node> },
    Mapping { start: usize, entries: Vec<(Key, Node)>, key: Option<Key> },
}

struct Builder<'a> {
    text: &'a str,
    report: &'a Report<'a>,
    env: &'a dyn Fn(&str) -> Option<String>,
    /// Byte offset of every character, because marks count characters.
    bytes: Vec<usize>,
    stack: Vec<Frame>,
    root: Option<Node>,
    documents: usize,
}

impl<'a> Builder<'a> {
    fn new(text: &'a str, report: &'a Report<'a>, env: &'a dyn Fn(&str) -> Option<String>) -> Self {
        let mut bytes: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        bytes.push(text.len());
        Self { text, report, env, bytes, stack: Vec::new(), root: None, documents: 0 }
    }

    fn byte(&self, mark: &Marker) -> usize {
        self.bytes.get(mark.index()).copied().unwrap_or(self.text.len())
    }

    fn range(&self, span: &Span) -> Range<usize> {
        let start = self.byte(&span.start);
        start..self.byte(&span.end).max(start)
    }

    /// False: stop, the report says why.
    fn event(&mut self, event: Event<'_>, span: &Span) -> bool {
        let at = self.range(span);
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    self.report.add_help(
                        "E0102",
                        &at,
                        "a second document starts here",
                        "write each job into a file of its own",
                    );
                    return false;
                }
            }
            Event::Alias(_) => {
                self.refuse_alias(&at);
                return false;
            }
            Event::Scalar(_, _, _, Some(tag))
            | Event::SequenceStart(_, Some(tag))
            | Event::MappingStart(_, Some(tag)) => {
                let message = format!("tags such as `{tag}` are not taken");
                self.report.add_help("E0102", &at, message, "quote a value to make it text");
                return false;
            }
            Event::Scalar(text, style, _, None) => return self.scalar(text, style, at),
            Event::SequenceStart(_, None) => {
                return self.open(Frame::Sequence { start: at.start, items: Vec::new() }, &at);
            }
            Event::MappingStart(_, None) => {
                let frame = Frame::Mapping { start: at.start, entries: Vec::new(), key: None };
                return self.open(frame, &at);
            }
            Event::SequenceEnd | Event::MappingEnd => return self.close(at.end),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        true
    }

    fn open(&mut self, frame: Frame, at: &Range<usize>) -> bool {
        if matches!(self.stack.last(), Some(Frame::Mapping { key: None, .. })) {
            self.report.add("E0106", at, "a key must be text, not a list or mapping");
            return false;
        }
        if self.stack.len() >= MAX_DEPTH {
            self.report.add("E0102", at, format!("nested more than {MAX_DEPTH} levels deep"));
            return false;
        }
        self.stack.push(frame);
        true
    }

    fn close(&mut self, end: usize) -> bool {
        let trimmed = |start: usize| start + self.text[start..end.max(start)].trim_end().len();
        let node = match self.stack.pop() {
            Some(Frame::Sequence { start, items }) => {
                Node { span: start..trimmed(start), kind: Kind::Sequence(items) }
            }
            Some(Frame::Mapping { start, entries, .. }) => {
                Node { span: start..trimmed(start), kind: Kind::Mapping(entries) }
            }
            None => return false,
        };
        self.value(node)
    }

    fn value(&mut self, node: Node) -> bool {
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Frame::Sequence { items, .. }) => items.push(node),
            Some(Frame::Mapping { entries, key, .. }) => match key.take() {
                Some(key) => entries.push((key, node)),
                None => return false,
            },
        }
        true
    }

    fn scalar(&mut self, text: Cow<'_, str>, style: ScalarStyle, at: Range<usize>) -> bool {
        let style = match style {
            ScalarStyle::Plain => Style::Plain,
            ScalarStyle::SingleQuoted => Style::Single,
            ScalarStyle::DoubleQuoted => Style::Double,
            ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
        };
        let span = at.start..at.start + self.text[at.clone()].trim_end().len();
        if let Some(Frame::Mapping { entries, key: key @ None, .. }) = self.stack.last_mut() {
            if let Some((first, _)) = entries.iter().find(|(k, _)| k.name == text.as_ref()) {
                let line = self.report.source.line_of(first.span.start);
                self.report.add_full(
                    "E0103",
                    &span,
                    format!("`{text}` is given twice"),
                    (Some(format!("first given in line {line}")), Some("keep one of them".into())),
                );
            }
            *key = Some(Key { name: text.into_owned(), span });
            return true;
        }
        let decoded = text.into_owned();
        let (text, substitutions) = match substitution::apply(&decoded, self.env) {
            Ok(done) => done,
            Err(problem) => {
                let scalar = Scalar {
                    text: decoded.clone(),
                    style,
                    decoded: decoded.clone(),
                    substitutions: Vec::new(),
                };
                let node = Node { kind: Kind::Scalar(scalar), span: span.clone() };
                let place = node.locate(&problem.at, self.text);
                self.report.add_full("E0109", &place, problem.message, (None, problem.help));
                (decoded.clone(), Vec::new())
            }
        };
        let scalar = Scalar { text, style, decoded, substitutions };
        self.value(Node { kind: Kind::Scalar(scalar), span })
    }

    fn refuse_alias(&self, at: &Range<usize>) {
        self.report.add_help(
            "E0102",
            at,
            "aliases (`*name`) are not taken",
            "write the value again; quote text that starts with `*`: \"*\"",
        );
    }

    fn scan_error(&self, mark: &Marker, info: &str) {
        let mut at = self.byte(mark).min(self.text.len());
        // At the end of the file there is nothing to mark: take the last character.
        if at >= self.text.trim_end().len() {
            let seen = self.text.trim_end();
            at = seen.char_indices().next_back().map_or(0, |(at, _)| at);
        }
        if info.contains("unknown anchor") || info.contains("alias") {
            return self.refuse_alias(&(at..at + 1));
        }
        let line = self.report.source.line_of(at);
        let line_text = self.text.lines().nth(line - 1).unwrap_or_default();
        let indent = &line_text[..line_text.len() - line_text.trim_start().len()];
        let help = if indent.contains('\t') {
            Some("indent with spaces, not tabs".to_owned())
        } else if info.contains("mapping values are not allowed") {
            Some("quote text that contains `: `".to_owned())
        } else if info.contains("flow") || info.contains("','") {
            Some("check that every `{` and `[` is closed, and quote text that contains commas or brackets".to_owned())
        } else if info.contains("quoted scalar") {
            Some("check that every quote is closed".to_owned())
        } else if info.contains("unexpected character") {
            Some("quote text that starts with `@`, `` ` `` or `%`".to_owned())
        } else {
            Some("check the indentation of this line and the one before".to_owned())
        };
        self.report.add_full("E0101", &(at..at + 1), format!("not YAML: {info}"), (None, help));
    }
}
