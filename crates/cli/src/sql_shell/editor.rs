//! The prompt: lines of a statement until its semicolon, history, completion.
//! Called by `mod` when a person sits at the terminal.

use std::path::PathBuf;

use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Config, Context, Editor, Helper};

use super::statements;
use crate::exit::{Exit, Failure};

const PROMPT: &str = "weir sql> ";
/// Statements kept between sessions.
const HISTORY: usize = 2_000;

const KEYWORDS: &[&str] = &[
    "ALL",
    "AND",
    "AS",
    "ASC",
    "BEGIN",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "CLEAR",
    "CREATE",
    "CROSS",
    "CUMULATE",
    "DESC",
    "DESCRIBE",
    "DESCRIPTOR",
    "DISTINCT",
    "DROP",
    "ELSE",
    "END",
    "EXECUTE",
    "EXISTS",
    "EXIT",
    "EXPLAIN",
    "FALSE",
    "FETCH",
    "FOR",
    "FROM",
    "FULL",
    "FUNCTION",
    "FUNCTIONS",
    "GROUP",
    "HAVING",
    "HELP",
    "HOP",
    "IF",
    "IN",
    "INNER",
    "INSERT",
    "INTERSECT",
    "INTERVAL",
    "INTO",
    "IS",
    "JOBS",
    "JOIN",
    "KEY",
    "LATERAL",
    "LEFT",
    "LIKE",
    "LIMIT",
    "MATCH_RECOGNIZE",
    "NOT",
    "NULL",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "PARTITION",
    "PRIMARY",
    "QUIT",
    "RESET",
    "RIGHT",
    "SELECT",
    "SESSION",
    "SET",
    "SHOW",
    "STATEMENT",
    "SYSTEM_TIME",
    "TABLE",
    "TABLES",
    "TEMPORARY",
    "THEN",
    "TRUE",
    "TUMBLE",
    "UNION",
    "VALUES",
    "VIEW",
    "VIEWS",
    "WATERMARK",
    "WHEN",
    "WHERE",
    "WITH",
];

/// What can be completed.
#[derive(Default)]
pub struct Words {
    /// Names of functions.
    functions: Vec<String>,
    /// Tables, views and their columns.
    names: Vec<String>,
}

impl Words {
    /// Where the word before `at` starts, and what it may become: names as they are,
    /// keywords and functions in capitals.
    fn completions(&self, line: &str, at: usize) -> (usize, Vec<String>) {
        let before = &line[..at];
        let start = before
            .rfind(|c: char| !(c.is_alphanumeric() || c == '_'))
            .map_or(0, |found| found + before[found..].chars().next().map_or(1, char::len_utf8));
        let word = &before[start..];
        if word.is_empty() {
            return (start, Vec::new());
        }
        let fits = |candidate: &str| {
            candidate.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word))
        };
        let mut found: Vec<String> = self.names.iter().filter(|n| fits(n)).cloned().collect();
        let keywords = KEYWORDS.iter().filter(|k| fits(k)).map(|k| (*k).to_owned());
        found.extend(keywords);
        let functions = self.functions.iter().filter(|f| fits(f));
        found.extend(functions.map(|f| format!("{}(", f.to_uppercase())));
        found.dedup();
        (start, found)
    }
}

impl Completer for Words {
    type Candidate = Pair;
    fn complete(
        &self,
        line: &str,
        at: usize,
        _context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (start, found) = self.completions(line, at);
        let pair = |word: String| Pair { display: word.clone(), replacement: word };
        Ok((start, found.into_iter().map(pair).collect()))
    }
}

impl Validator for Words {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(match statements::is_complete(context.input()) {
            true => ValidationResult::Valid(None),
            false => ValidationResult::Incomplete,
        })
    }
}

impl Hinter for Words {
    type Hint = String;
}
impl Highlighter for Words {}
impl Helper for Words {}

/// What the user did at the prompt.
pub enum Typed {
    Text(String),
    /// Ctrl-C: start over.
    Again,
    /// Ctrl-D.
    End,
}

/// The terminal.
pub struct Prompt {
    editor: Editor<Words, DefaultHistory>,
    history: Option<PathBuf>,
}

impl Prompt {
    /// # Errors
    /// The terminal cannot be used.
    pub fn open(functions: Vec<String>) -> Result<Self, Failure> {
        let failed = |e: ReadlineError| Failure::new(Exit::Failed, format!("no terminal: {e}"));
        let config = Config::builder()
            .max_history_size(HISTORY)
            .and_then(|c| c.history_ignore_dups(true))
            .map_err(failed)?
            .history_ignore_space(true)
            .completion_type(rustyline::CompletionType::List)
            .build();
        let mut editor = Editor::with_config(config).map_err(failed)?;
        editor.set_helper(Some(Words { functions, names: Vec::new() }));
        let history = history_file();
        if let Some(path) = &history {
            // There is none before the first session.
            let _ = editor.load_history(path);
        }
        Ok(Self { editor, history })
    }

    /// One or more whole statements.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn read(&mut self) -> Result<Typed, Failure> {
        match self.editor.readline(PROMPT) {
            Ok(text) => {
                if !text.trim().is_empty() {
                    // A history that cannot be kept is no reason to stop.
                    let _ = self.editor.add_history_entry(text.as_str());
                }
                Ok(Typed::Text(text))
            }
            Err(ReadlineError::Interrupted) => Ok(Typed::Again),
            Err(ReadlineError::Eof) => Ok(Typed::End),
            Err(error) => {
                Err(Failure::new(Exit::Failed, format!("cannot read the terminal: {error}")))
            }
        }
    }

    /// Tables, views and columns that may be completed from now on.
    pub fn know(&mut self, names: Vec<String>) {
        if let Some(words) = self.editor.helper_mut() {
            words.names = names;
        }
    }

    /// Lines and characters of the terminal.
    pub fn size(&mut self) -> (usize, usize) {
        match self.editor.dimensions() {
            Some((columns, lines)) => (usize::from(lines), usize::from(columns)),
            None => (24, 80),
        }
    }

    pub fn save(&mut self) {
        let Some(path) = &self.history else { return };
        let folder = path.parent().map(std::fs::create_dir_all);
        let saved =
            folder.is_none_or(|made| made.is_ok()) && self.editor.save_history(path).is_ok();
        if !saved {
            eprintln!("warning: cannot keep the history in {}", path.display());
        }
    }
}

/// `WEIR_SQL_HISTORY`, or a file in the user's state folder.
fn history_file() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("WEIR_SQL_HISTORY") {
        return Some(PathBuf::from(path)).filter(|p| !p.as_os_str().is_empty());
    }
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let state =
        state.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state")));
    Some(state?.join("weir/sql_history"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_before_the_cursor_is_completed() {
        let words = Words {
            functions: vec!["split_index".to_owned(), "substr".to_owned()],
            names: vec!["select_me".to_owned(), "flights".to_owned()],
        };
        let of = |line: &str| words.completions(line, line.len());
        assert_eq!(of("sel"), (0, vec!["select_me".to_owned(), "SELECT".to_owned()]));
        assert_eq!(of("SELECT spl"), (7, vec!["SPLIT_INDEX(".to_owned()]));
        assert_eq!(of("SELECT * FROM fl"), (14, vec!["flights".to_owned()]));
        assert_eq!(of("SELECT "), (7, vec![]));
        assert_eq!(of("f(ß.fl"), (5, vec!["flights".to_owned()]));
    }
}
