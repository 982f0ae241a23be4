//! What is wrong with a job file, and where. Rendered for people by `Display`, for tools by
//! `to_json`. Made by every stage of this crate; shown by `cli` and by the HTTP API.

use std::fmt;
use std::ops::Range;

pub use model::nearest::closest;
use serde_json::{Value, json};

/// Most diagnostics kept of one file: after that many, the rest helps nobody.
pub const MAX_DIAGNOSTICS: usize = 100;
/// Longer source lines are cut around the marked place, in characters.
const MAX_SNIPPET: usize = 160;

/// One mistake (`E....`) or doubt (`W....`), with its place in the file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Diagnostic {
    /// Stable code: `E01..` form of the file, `E02..` graph, `E03..` meaning, `E04..` connectors.
    pub code: &'static str,
    /// The file it is about, when that is not the one that was read but one that it names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    pub message: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// Characters to mark, at least 1; never past the end of the line.
    pub length: usize,
    /// The source line as written.
    pub snippet: String,
    /// What to write under the mark.
    pub label: Option<String>,
    pub help: Option<String>,
}

impl Diagnostic {
    pub fn is_error(&self) -> bool {
        self.code.starts_with('E')
    }

    fn render(&self, file: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_error() { "error" } else { "warning" };
        let file = self.file.as_deref().unwrap_or(file);
        writeln!(f, "{kind}[{}]: {}", self.code, self.message)?;
        let number = self.line.to_string();
        let pad = " ".repeat(number.len());
        writeln!(f, "{pad} ╭─[{file}:{}:{}]", self.line, self.column)?;
        let (shown, column) = self.window();
        writeln!(f, "{number} │ {shown}")?;
        let before: String =
            shown.chars().take(column).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let length = self.length.max(1);
        match &self.label {
            Some(label) => {
                let middle = (length - 1) / 2;
                let (left, right) = ("─".repeat(middle), "─".repeat(length - 1 - middle));
                writeln!(f, "{pad} · {before}{left}┬{right}")?;
                writeln!(f, "{pad} · {before}{}╰── {label}", " ".repeat(middle))?;
            }
            None => writeln!(f, "{pad} · {before}{}", "─".repeat(length))?,
        }
        if let Some(help) = &self.help {
            writeln!(f, "help: {help}")?;
        }
        Ok(())
    }

    /// The part of the line to show, and the column (from 0) of the mark in it.
    fn window(&self) -> (String, usize) {
        let column = self.column.saturating_sub(1);
        if self.snippet.chars().count() <= MAX_SNIPPET {
            return (self.snippet.clone(), column);
        }
        let start = column.saturating_sub(MAX_SNIPPET / 2);
        (self.snippet.chars().skip(start).take(MAX_SNIPPET).collect(), column - start)
    }
}

/// Everything found wrong with one file, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics {
    /// As shown before line and column.
    pub file: String,
    pub items: Vec<Diagnostic>,
}

impl Diagnostics {
    /// One mistake of the file as a whole.
    pub fn whole(file: &str, message: &str) -> Self {
        let item = Source::new("").diagnostic("E0503", &(0..0), message.to_owned());
        Self { file: file.to_owned(), items: vec![item] }
    }

    /// `{"file": ..., "diagnostics": [...]}`.
    pub fn to_json(&self) -> Value {
        json!({ "file": self.file, "diagnostics": self.items })
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.items.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            item.render(&self.file, f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// The file's text, able to tell line and column of a byte.
pub struct Source<'a> {
    pub text: &'a str,
    line_starts: Vec<usize>,
}

impl<'a> Source<'a> {
    pub fn new(text: &'a str) -> Self {
        let mut line_starts = vec![0];
        line_starts
            .extend(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1));
        Self { text, line_starts }
    }

    /// Line from 1.
    pub fn line_of(&self, at: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= at)
    }

    /// Line and column of a byte, both from 1, the column in characters.
    pub fn position(&self, at: usize) -> (usize, usize) {
        let at = floor(self.text, at.min(self.text.len()));
        let line = self.line_of(at);
        (line, self.text[self.line_starts[line - 1]..at].chars().count() + 1)
    }

    fn line_text(&self, line: usize) -> &'a str {
        let start = self.line_starts[line - 1];
        let end = self.line_starts.get(line).copied().unwrap_or(self.text.len());
        self.text[start..end].trim_end_matches(['\n', '\r'])
    }

    fn diagnostic(&self, code: &'static str, at: &Range<usize>, message: String) -> Diagnostic {
        let start = floor(self.text, at.start.min(self.text.len()));
        let end = floor(self.text, at.end.clamp(start, self.text.len()));
        let line = self.line_of(start);
        let snippet = self.line_text(line);
        let line_start = self.line_starts[line - 1];
        let inside = (start - line_start).min(snippet.len());
        let column = self.text[line_start..line_start + inside].chars().count();
        let marked_end = (end - line_start).clamp(inside, snippet.len());
        let length = snippet[inside..marked_end].trim_end().chars().count().max(1);
        Diagnostic {
            code,
            file: None,
            message,
            line,
            column: column + 1,
            length,
            snippet: snippet.to_owned(),
            label: None,
            help: None,
        }
    }
}

/// The start of the character that holds byte `at`.
fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Collects diagnostics while the file is read. Interior mutability, because readers of
/// different parts hold it at the same time.
pub struct Report<'a> {
    pub source: Source<'a>,
    items: std::cell::RefCell<Vec<Diagnostic>>,
}

impl<'a> Report<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { source: Source::new(text), items: std::cell::RefCell::default() }
    }

    pub fn add(&self, code: &'static str, at: &Range<usize>, message: impl Into<String>) {
        self.push(self.source.diagnostic(code, at, message.into()));
    }

    pub fn add_help(
        &self,
        code: &'static str,
        at: &Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let mut diagnostic = self.source.diagnostic(code, at, message.into());
        diagnostic.help = Some(help.into());
        self.push(diagnostic);
    }

    /// With both a label under the mark and a help line, each where known.
    pub fn add_full(
        &self,
        code: &'static str,
        at: &Range<usize>,
        message: impl Into<String>,
        notes: (Option<String>, Option<String>),
    ) {
        let mut diagnostic = self.source.diagnostic(code, at, message.into());
        (diagnostic.label, diagnostic.help) = notes;
        self.push(diagnostic);
    }

    /// Takes over what was found in `file`, which this one names.
    pub fn absorb(&self, file: &str, found: Vec<Diagnostic>) {
        for mut diagnostic in found {
            diagnostic.file.get_or_insert_with(|| file.to_owned());
            self.push(diagnostic);
        }
    }

    fn push(&self, diagnostic: Diagnostic) {
        let mut items = self.items.borrow_mut();
        if items.len() < MAX_DIAGNOSTICS && !items.contains(&diagnostic) {
            items.push(diagnostic);
        }
    }

    pub fn errors(&self) -> usize {
        self.items.borrow().iter().filter(|d| d.is_error()).count()
    }

    /// All diagnostics by place, those of other files last; the report is empty afterwards.
    pub fn take(&self) -> Vec<Diagnostic> {
        let mut items = self.items.take();
        items.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        items
    }
}

/// `did you mean `x`?`, when something is near.
pub fn did_you_mean<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    closest(name, candidates).map(|c| format!("did you mean `{c}`?"))
}
