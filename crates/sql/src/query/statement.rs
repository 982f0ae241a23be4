//! What kind of statement a run of tokens is. Called by `mod`.

use std::ops::Range;

use datafusion_sql::sqlparser::tokenizer::Token;
use planner::diagnostic::closest;
use planner::sql::SqlDiagnostic;

use super::alter::{self, Alter};
use super::create_table::{self, CreateTable};
use super::script::{Cursor, Script, error};

/// One statement. Token ranges are of queries inside.
pub(crate) enum Statement {
    CreateTable(Box<CreateTable>),
    CreateView {
        name: String,
        at: Range<usize>,
        columns: Vec<String>,
        query: Range<usize>,
    },
    /// `CREATE FUNCTION name AS 'class'`.
    CreateFunction {
        name: String,
        at: Range<usize>,
    },
    Drop {
        name: String,
        at: Range<usize>,
        if_exists: bool,
    },
    Alter(Box<Alter>),
    Insert(Insert),
    Set {
        key: String,
        value: String,
        at: Range<usize>,
    },
    /// `SELECT ...` outside an INSERT.
    Query(Range<usize>),
    Explain {
        details: Vec<String>,
        inner: Box<Statement>,
    },
    ShowTables {
        views: bool,
    },
    Describe {
        name: String,
        at: Range<usize>,
    },
    /// Says nothing about the job: `BEGIN STATEMENT SET`, `END`, `USE`, `RESET`.
    Nothing,
}

/// `INSERT INTO table [(columns)] query`.
#[derive(Clone)]
pub(crate) struct Insert {
    pub(crate) table: String,
    pub(crate) at: Range<usize>,
    pub(crate) columns: Vec<(String, Range<usize>)>,
    /// `PARTITION (column = 'value')`: columns that the query does not give.
    pub(crate) partition: Vec<(String, Range<usize>, String)>,
    pub(crate) query: Range<usize>,
}

/// What may stand behind EXPLAIN. Advice is always given, as warnings, and there is no other
/// plan than the one that is run.
pub(crate) const EXPLAIN_DETAILS: [&str; 4] =
    ["CHANGELOG_MODE", "ESTIMATED_COST", "JSON_EXECUTION_PLAN", "PLAN_ADVICE"];

/// The words that statements start with.
pub(crate) const STARTS: &[&str] = &[
    "CREATE", "INSERT", "SET", "SELECT", "WITH", "VALUES", "EXECUTE", "BEGIN", "END", "EXPLAIN",
    "ALTER", "DROP", "SHOW", "DESCRIBE", "DESC", "USE", "RESET",
];

/// Whether `text` starts like a script of SQL rather than like YAML.
pub(crate) fn looks_like_sql(text: &str) -> bool {
    let mut rest = text.trim_start();
    loop {
        rest = match rest.strip_prefix("--") {
            Some(comment) => comment.split_once('\n').map_or("", |(_, after)| after),
            None => match rest.strip_prefix("/*").and_then(|c| c.split_once("*/")) {
                Some((_, after)) => after,
                None => break,
            },
        }
        .trim_start();
    }
    if rest.starts_with('(') {
        return true;
    }
    let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let (word, after) = rest.split_at(end);
    // `set: 1` is YAML.
    STARTS.contains(&word.to_uppercase().as_str()) && !after.trim_start().starts_with(':')
}

/// Reads every statement; what follows a bad one is read all the same.
pub(crate) fn read(script: &Script<'_>, errors: &mut Vec<SqlDiagnostic>) -> Vec<Statement> {
    let mut found = Vec::new();
    for tokens in script.statements() {
        match one(script, &tokens) {
            Ok(statement) => found.push(statement),
            Err(diagnostic) => errors.push(diagnostic),
        }
    }
    found
}

fn one(script: &Script<'_>, tokens: &Range<usize>) -> Result<Statement, SqlDiagnostic> {
    let mut cursor = Cursor::new(script, tokens);
    let set =
        cursor.eat(&["EXECUTE", "STATEMENT", "SET"]) || cursor.eat(&["BEGIN", "STATEMENT", "SET"]);
    if set {
        cursor.eat(&["BEGIN"]);
        if cursor.done() {
            return Ok(Statement::Nothing);
        }
    } else {
        cursor.eat(&["EXECUTE"]);
    }
    let keyword = cursor.peek().map(|t| t.keyword()).unwrap_or_default();
    match keyword.as_str() {
        "CREATE" => create(&mut cursor),
        "INSERT" => insert(&mut cursor).map(Statement::Insert),
        "SET" => setting(&mut cursor),
        "SELECT" | "WITH" | "VALUES" => Ok(Statement::Query(cursor.at..cursor.end)),
        "END" | "USE" | "RESET" => Ok(Statement::Nothing),
        "EXPLAIN" => explain(script, &mut cursor),
        "ALTER" => {
            cursor.at += 1;
            alter::read(&mut cursor).map(|a| Statement::Alter(Box::new(a)))
        }
        "DROP" => drop_object(&mut cursor),
        "SHOW" => show(&mut cursor),
        "DESCRIBE" | "DESC" => {
            cursor.at += 1;
            let (name, at) = cursor.object_name("the name of a table")?;
            Ok(Statement::Describe { name, at })
        }
        _ if cursor.peek().is_some_and(|t| t.is(&Token::LParen)) => {
            Ok(Statement::Query(cursor.at..cursor.end))
        }
        other => {
            let mut diagnostic = cursor.unexpected(
                "a statement",
                "statements start with CREATE, ALTER, INSERT, SELECT, SET, EXPLAIN, SHOW, DESCRIBE or DROP",
            );
            diagnostic.label = planner::diagnostic::did_you_mean(other, STARTS.iter().copied());
            Err(diagnostic)
        }
    }
}

fn create(cursor: &mut Cursor<'_, '_>) -> Result<Statement, SqlDiagnostic> {
    cursor.at += 1;
    cursor.eat(&["OR", "REPLACE"]);
    cursor.eat(&["TEMPORARY"]);
    cursor.eat(&["SYSTEM"]);
    if cursor.eat(&["TABLE"]) {
        return create_table::read(cursor).map(|t| Statement::CreateTable(Box::new(t)));
    }
    if cursor.eat(&["VIEW"]) {
        cursor.eat(&["IF", "NOT", "EXISTS"]);
        let (name, at) = cursor.object_name("the name of the view")?;
        let mut columns = Vec::new();
        if cursor.eat_token(&Token::LParen) {
            loop {
                columns.push(cursor.name("the name of a column")?.0);
                if cursor.eat(&["COMMENT"]) {
                    cursor.string("the comment")?;
                }
                if !cursor.eat_token(&Token::Comma) {
                    break;
                }
            }
            cursor.expect_token(&Token::RParen, "columns of a view stand in parentheses")?;
        }
        if cursor.eat(&["COMMENT"]) {
            cursor.string("the comment")?;
        }
        cursor.expect(&["AS"], "CREATE VIEW name AS SELECT ...")?;
        if cursor.done() {
            return Err(cursor.unexpected("a query", "CREATE VIEW name AS SELECT ..."));
        }
        return Ok(Statement::CreateView { name, at, columns, query: cursor.at..cursor.end });
    }
    if cursor.eat(&["FUNCTION"]) {
        cursor.eat(&["IF", "NOT", "EXISTS"]);
        let (name, at) = cursor.object_name("the name of the function")?;
        return Ok(Statement::CreateFunction { name, at });
    }
    if cursor.looks_at(&["CATALOG"]) || cursor.looks_at(&["DATABASE"]) {
        let message = "there is one catalog with one database; CREATE CATALOG and CREATE DATABASE are not understood";
        return Err(error("E0503", cursor.here(), message, "remove the statement"));
    }
    Err(cursor
        .unexpected("TABLE, VIEW or FUNCTION", "for example CREATE TABLE name (...) WITH (...)"))
}

fn insert(cursor: &mut Cursor<'_, '_>) -> Result<Insert, SqlDiagnostic> {
    cursor.at += 1;
    if cursor.looks_at(&["OVERWRITE"]) {
        let message = "INSERT OVERWRITE replaces what a table holds, which a stream cannot do";
        return Err(error("E0503", cursor.here(), message, "write INSERT INTO"));
    }
    cursor.expect(&["INTO"], "INSERT INTO table SELECT ...")?;
    cursor.eat(&["TABLE"]);
    let (table, at) = cursor.object_name("the name of a table")?;
    let partition = match cursor.eat(&["PARTITION"]) {
        true => static_partition(cursor)?,
        false => Vec::new(),
    };
    let mut columns = Vec::new();
    let list = cursor.peek().is_some_and(|t| t.is(&Token::LParen)) && {
        let mut ahead = cursor.clone();
        ahead.at += 1;
        !["SELECT", "WITH", "VALUES"].iter().any(|w| ahead.looks_at(&[w]))
            && !ahead.peek().is_some_and(|t| t.is(&Token::LParen))
    };
    if list {
        cursor.at += 1;
        loop {
            columns.push(cursor.name("the name of a column")?);
            if !cursor.eat_token(&Token::Comma) {
                break;
            }
        }
        cursor.expect_token(&Token::RParen, "INSERT INTO table (column, ...) SELECT ...")?;
    }
    if cursor.done() {
        return Err(cursor.unexpected("a query", "INSERT INTO table SELECT ..."));
    }
    Ok(Insert { table, at, columns, partition, query: cursor.at..cursor.end })
}

fn static_partition(
    cursor: &mut Cursor<'_, '_>,
) -> Result<Vec<(String, Range<usize>, String)>, SqlDiagnostic> {
    let help = "INSERT INTO t PARTITION (day = '2024-01-01') SELECT ...";
    cursor.expect_token(&Token::LParen, help)?;
    let mut found = Vec::new();
    loop {
        let (name, at) = cursor.name("the name of a column")?;
        cursor.expect_token(&Token::Eq, help)?;
        let value = match cursor.peek().map(|t| &t.token.token) {
            Some(Token::Number(number, _)) => {
                cursor.at += 1;
                number.clone()
            }
            _ => cursor.string("a value")?.0,
        };
        found.push((name, at, value));
        if !cursor.eat_token(&Token::Comma) {
            break;
        }
    }
    cursor.expect_token(&Token::RParen, help)?;
    Ok(found)
}

fn setting(cursor: &mut Cursor<'_, '_>) -> Result<Statement, SqlDiagnostic> {
    let start = cursor.here().start;
    cursor.at += 1;
    if cursor.done() {
        return Ok(Statement::Nothing);
    }
    let key = match cursor.string("a key") {
        Ok((key, _)) => key,
        Err(_) => {
            let mut key = String::new();
            while let Some(tok) = cursor.peek().filter(|t| !t.is(&Token::Eq)) {
                key.push_str(&tok.token.token.to_string());
                cursor.at += 1;
            }
            key
        }
    };
    cursor.expect_token(&Token::Eq, "SET 'key' = 'value'")?;
    let from = cursor.here();
    let value = match cursor.string("a value") {
        Ok((value, _)) => value,
        Err(failed) if cursor.done() => return Err(failed),
        Err(_) => {
            let end = cursor.script.span_of(&(cursor.at..cursor.end)).end;
            cursor.script.text[from.start..end].to_owned()
        }
    };
    Ok(Statement::Set { key, value, at: start..from.end })
}

fn explain(script: &Script<'_>, cursor: &mut Cursor<'_, '_>) -> Result<Statement, SqlDiagnostic> {
    cursor.at += 1;
    let mut details = Vec::new();
    loop {
        let word = cursor.peek().map(|t| t.keyword()).unwrap_or_default();
        if EXPLAIN_DETAILS.contains(&word.as_str()) {
            details.push(word);
            cursor.at += 1;
            cursor.eat_token(&Token::Comma);
        } else if !cursor.eat(&["PLAN", "FOR"]) {
            let meant = closest(&word, EXPLAIN_DETAILS.iter().copied());
            if let Some(meant) = meant.filter(|_| !STARTS.contains(&word.as_str())) {
                let help = format!("EXPLAIN takes {}", EXPLAIN_DETAILS.join(", "));
                let message = format!("EXPLAIN has no detail {word}");
                let mut found = error("E0502", cursor.here(), message, help);
                found.label = Some(format!("did you mean `{meant}`?"));
                return Err(found);
            }
            break;
        }
    }
    let inner = one(script, &(cursor.at..cursor.end))?;
    match inner {
        Statement::Insert(_) | Statement::Query(_) => {
            Ok(Statement::Explain { details, inner: Box::new(inner) })
        }
        _ => Err(cursor.unexpected("a query or an INSERT", "EXPLAIN INSERT INTO ... SELECT ...")),
    }
}

fn drop_object(cursor: &mut Cursor<'_, '_>) -> Result<Statement, SqlDiagnostic> {
    cursor.at += 1;
    cursor.eat(&["TEMPORARY"]);
    if !["TABLE", "VIEW", "FUNCTION"].iter().any(|w| cursor.eat(&[w])) {
        return Err(cursor.unexpected("TABLE, VIEW or FUNCTION", "DROP TABLE name"));
    }
    let if_exists = cursor.eat(&["IF", "EXISTS"]);
    let (name, at) = cursor.object_name("a name")?;
    Ok(Statement::Drop { name, at, if_exists })
}

fn show(cursor: &mut Cursor<'_, '_>) -> Result<Statement, SqlDiagnostic> {
    cursor.at += 1;
    if cursor.eat(&["TABLES"]) {
        return Ok(Statement::ShowTables { views: false });
    }
    if cursor.eat(&["VIEWS"]) {
        return Ok(Statement::ShowTables { views: true });
    }
    Err(cursor.unexpected("TABLES or VIEWS", "SHOW TABLES"))
}
