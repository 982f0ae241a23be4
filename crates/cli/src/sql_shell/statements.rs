//! Where the statements of a text end, and what kind each is. Only as much SQL as a shell
//! needs: quotes, comments, semicolons, first words. Called by `mod` and `editor`.

use std::ops::Range;

/// A word or quoted name of a statement, outside texts and comments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    pub text: String,
    pub quoted: bool,
    /// Bytes of the text.
    pub at: Range<usize>,
}

/// What a shell does with a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Changes what the session knows: CREATE, DROP.
    Define,
    /// Starts a job.
    Insert,
    /// Has rows.
    Query,
    /// `SET` alone, or with a key and a value.
    Set,
    /// `RESET` alone, or with a key.
    Reset,
    ShowJobs,
    ShowFunctions,
    /// With the name of a table or view.
    ShowCreate(String),
    /// The planner answers: EXPLAIN, DESCRIBE, SHOW, and what it has to refuse.
    Ask,
    Help,
    Clear,
    Quit,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Code,
    /// Up to this quote; doubled it is a part of the text.
    Quote(char),
    LineComment,
    BlockComment,
}

/// Statements without their semicolons, and whether the text ends within one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    pub statements: Vec<Range<usize>>,
    /// From where on the text is not ended by a semicolon.
    pub open: Option<usize>,
}

/// Cuts `text` at its semicolons. Those of a statement set do not end it.
pub fn split(text: &str) -> Split {
    let mut found = Split::default();
    let mut start = None;
    let mut first: Vec<String> = Vec::new();
    let mut last = String::new();
    scan(text, &mut |at, part| match part {
        Part::Word(word) => {
            start.get_or_insert(at.start);
            let upper = word.to_uppercase();
            if first.len() < 4 {
                first.push(upper.clone());
            }
            last = upper;
        }
        Part::Symbol(';') => {
            let in_set = is_set(&first) && last != "END";
            if let Some(from) = start.filter(|_| !in_set) {
                found.statements.push(from..at.start);
                (start, first) = (None, Vec::new());
            }
        }
        Part::Symbol(_) | Part::Quoted(_) => {
            start.get_or_insert(at.start);
            last.clear();
        }
        Part::Unclosed => {
            start.get_or_insert(at.start);
        }
    });
    found.open = start;
    found
}

fn is_set(first: &[String]) -> bool {
    let words: Vec<&str> = first.iter().map(String::as_str).collect();
    matches!(words.as_slice(), ["BEGIN", "STATEMENT", "SET", ..])
        || matches!(words.as_slice(), ["EXECUTE", "STATEMENT", "SET", ..])
}

/// Whether a shell can run `text`: it ends with a semicolon, or is a word to the shell.
pub fn is_complete(text: &str) -> bool {
    split(text).open.is_none() || matches!(kind(text), Kind::Help | Kind::Clear | Kind::Quit)
}

/// The words and quoted names of a statement.
pub fn words(text: &str) -> Vec<Word> {
    let mut found = Vec::new();
    scan(text, &mut |at, part| match part {
        Part::Word(word) => found.push(Word { text: word.to_owned(), quoted: false, at }),
        Part::Quoted(name) if text[at.clone()].starts_with('`') => {
            found.push(Word { text: name.replace("``", "`"), quoted: true, at });
        }
        _ => {}
    });
    found
}

/// The name that `CREATE [TEMPORARY] TABLE [IF NOT EXISTS] a.b.name` and its like give, with
/// where it ends.
pub fn object_name(text: &str) -> Option<(String, usize)> {
    let words = words(text);
    let kinds = ["TABLE", "VIEW", "FUNCTION"];
    let is = |w: &Word, word: &str| !w.quoted && w.text.eq_ignore_ascii_case(word);
    let mut at = words.iter().position(|w| kinds.iter().any(|k| is(w, k)))? + 1;
    for word in ["IF", "NOT", "EXISTS"] {
        if words.get(at).is_some_and(|w| is(w, word)) {
            at += 1;
        }
    }
    let mut name = words.get(at)?;
    while let Some(next) = words.get(at + 1)
        && text[name.at.end..next.at.start].trim() == "."
    {
        at += 1;
        name = next;
    }
    Some((name.text.clone(), name.at.end))
}

/// What to do with a statement, by its first words.
pub fn kind(text: &str) -> Kind {
    let words = words(text);
    let upper: Vec<String> = words.iter().take(4).map(|w| w.text.to_uppercase()).collect();
    let upper: Vec<&str> = upper.iter().map(String::as_str).collect();
    match upper.as_slice() {
        ["CREATE" | "DROP" | "USE" | "ALTER", ..] => Kind::Define,
        ["INSERT" | "EXECUTE" | "BEGIN", ..] => Kind::Insert,
        ["SELECT" | "WITH" | "VALUES", ..] => Kind::Query,
        ["SET", ..] => Kind::Set,
        ["RESET", ..] => Kind::Reset,
        ["SHOW", "JOBS"] => Kind::ShowJobs,
        ["SHOW", "FUNCTIONS"] | ["SHOW", "USER", "FUNCTIONS"] => Kind::ShowFunctions,
        ["SHOW", "CREATE", "TABLE" | "VIEW", ..] => match object_name(text) {
            Some((name, _)) => Kind::ShowCreate(name),
            None => Kind::Ask,
        },
        ["HELP"] => Kind::Help,
        ["CLEAR"] => Kind::Clear,
        ["QUIT" | "EXIT"] => Kind::Quit,
        _ if text.trim_start().starts_with('(') => Kind::Query,
        _ => Kind::Ask,
    }
}

enum Part<'a> {
    Word(&'a str),
    /// Without its quotes.
    Quoted(&'a str),
    Symbol(char),
    /// A quote or comment that the text does not close.
    Unclosed,
}

/// Calls `each` with everything but white space and comments, in order.
fn scan<'a>(text: &'a str, each: &mut dyn FnMut(Range<usize>, Part<'a>)) {
    let mut inside = Inside::Code;
    let mut from = 0;
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let next = at + c.len_utf8();
        let rest = &text[at..];
        match inside {
            Inside::LineComment if c == '\n' => inside = Inside::Code,
            Inside::BlockComment if rest.starts_with("*/") => {
                inside = Inside::Code;
                at += 1;
            }
            Inside::LineComment | Inside::BlockComment => {}
            Inside::Quote(quote) if c == quote => {
                if text[next..].starts_with(quote) {
                    at += quote.len_utf8();
                } else {
                    inside = Inside::Code;
                    each(from..next, Part::Quoted(&text[from + quote.len_utf8()..at]));
                }
            }
            Inside::Quote(_) => {}
            Inside::Code if rest.starts_with("--") => inside = Inside::LineComment,
            Inside::Code if rest.starts_with("/*") => {
                (inside, from) = (Inside::BlockComment, at);
                at += 1;
            }
            Inside::Code if matches!(c, '\'' | '"' | '`') => {
                (inside, from) = (Inside::Quote(c), at);
            }
            Inside::Code if is_word(c) => {
                let end = rest.find(|c| !is_word(c)).map_or(text.len(), |length| at + length);
                each(at..end, Part::Word(&text[at..end]));
                at = end;
                continue;
            }
            Inside::Code if c.is_whitespace() => {}
            Inside::Code => each(at..next, Part::Symbol(c)),
        }
        at += c.len_utf8();
    }
    if matches!(inside, Inside::Quote(_) | Inside::BlockComment) {
        each(from..text.len(), Part::Unclosed);
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str) -> (Vec<&str>, Option<&str>) {
        let found = split(text);
        let pieces = found.statements.into_iter().map(|range| &text[range]).collect();
        (pieces, found.open.map(|from| &text[from..]))
    }

    #[test]
    fn statements_end_at_semicolons_outside_quotes_and_comments() {
        let text = "-- a; b\nSELECT ';' /* ; */, `a;b`, 'it''s;' ;; SELECT 2; -- end;\n";
        let expected = vec!["SELECT ';' /* ; */, `a;b`, 'it''s;' ", "SELECT 2"];
        assert_eq!(pieces(text), (expected, None));
        assert_eq!(pieces("SELECT 1"), (vec![], Some("SELECT 1")));
        assert_eq!(pieces("SELECT 1; SELECT 'a;"), (vec!["SELECT 1"], Some("SELECT 'a;")));
        assert_eq!(pieces("SELECT 1 /* ;"), (vec![], Some("SELECT 1 /* ;")));
        assert_eq!(pieces(" -- nothing\n"), (vec![], None));
    }

    #[test]
    fn a_statement_set_is_one_statement() {
        let set = "EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT 1; INSERT INTO b SELECT 2; END";
        assert_eq!(pieces(&format!("{set}; SELECT 1;")).0, [set, "SELECT 1"]);
        let begun = "begin statement set; INSERT INTO a SELECT 1; end";
        assert_eq!(pieces(&format!("{begun};")).0, [begun]);
        assert!(!is_complete("BEGIN STATEMENT SET; INSERT INTO a SELECT 1;"));
    }

    #[test]
    fn kinds_follow_from_the_first_words() {
        for (text, expected) in [
            ("create temporary view v as select 1", Kind::Define),
            ("/* x */ insert into t select 1", Kind::Insert),
            ("(SELECT 1)", Kind::Query),
            ("set", Kind::Set),
            ("SHOW  jobs", Kind::ShowJobs),
            ("SHOW CREATE TABLE `a b`", Kind::ShowCreate("a b".to_owned())),
            ("SHOW TABLES", Kind::Ask),
            ("EXPLAIN SELECT 1", Kind::Ask),
            ("selct 1", Kind::Ask),
            ("exit", Kind::Quit),
        ] {
            assert_eq!(kind(text), expected, "{text}");
        }
    }

    #[test]
    fn names_of_objects() {
        for (text, expected) in [
            ("CREATE TABLE t (a INT)", Some("t")),
            ("CREATE TEMPORARY VIEW IF NOT EXISTS db.`my view` AS SELECT 1", Some("my view")),
            ("DROP TABLE IF EXISTS a.b.c", Some("c")),
            ("SELECT 1", None),
        ] {
            assert_eq!(object_name(text).map(|n| n.0).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_shell_waits_for_the_semicolon_unless_it_is_spoken_to() {
        for text in ["quit", " exit ", "SELECT 1;", "SELECT 1; -- done", ""] {
            assert!(is_complete(text), "{text}");
        }
        for text in ["SELECT", "SELECT ';", "SELECT 1; SELECT"] {
            assert!(!is_complete(text), "{text}");
        }
    }
}
