//! Hints `/*+ NAME(...), ... */`: OPTIONS of a table behind its name, and those behind SELECT,
//! of which STATE_TTL changes the plan. Called by `parse` and `mod`.

use std::ops::Range;

use datafusion_sql::sqlparser::ast::{
    Expr, Ident, ObjectName, ObjectNamePart, Select, SetExpr, TableAlias, TableFactor, Value,
};
use datafusion_sql::sqlparser::tokenizer::{Span, Token};
use planner::sql::SqlDiagnostic;

use super::create_table::{CreateTable, OptionDef};
use super::options::duration;
use super::parse::{Notes, function, relation_name};
use super::script::{Cursor, Script, error};
use super::sets::{query_of, select_all};
use super::translate::milliseconds;

/// The table function that gives a relation's state a time to live.
pub(crate) const STATE_TTL: &str = "STATE_TTL";
/// Hints that choose how Flink runs a join.
pub(crate) const JOIN_HINTS: [&str; 6] =
    ["BROADCAST", "SHUFFLE_HASH", "SHUFFLE_MERGE", "NEST_LOOP", "LOOKUP", "MULTI_JOIN"];

/// `NAME('key' = 'value', ...)`.
struct Hint {
    name: String,
    at: Range<usize>,
    /// Keys; values of words alone are empty.
    arguments: Vec<OptionDef>,
}

/// A table with options of its own, by the name that it has in the query.
pub(crate) struct HintedTable {
    pub(crate) name: String,
    pub(crate) base: String,
    pub(crate) options: Vec<OptionDef>,
}

/// The hints that stand right behind the bytes up to `end`.
fn after(script: &Script<'_>, end: usize) -> Option<Range<usize>> {
    let next = script.tokens.iter().map(|t| t.at.start).find(|start| *start >= end);
    let found = script.hints.iter().find(|h| h.start >= end)?;
    next.is_none_or(|next| found.start < next).then(|| found.clone())
}

/// Reads the hints at `at`.
fn read(script: &Script<'_>, at: &Range<usize>) -> Result<Vec<Hint>, SqlDiagnostic> {
    let start = at.start + "/*+".len();
    let inside = &script.text[start..at.end - "*/".len()];
    let shifted = |mut found: SqlDiagnostic| {
        found.span = found.span.start + start..found.span.end + start;
        found
    };
    let inner = Script::new(inside).map_err(shifted)?;
    let mut cursor = Cursor::new(&inner, &(0..inner.tokens.len()));
    let mut hints = Vec::new();
    while !cursor.done() {
        let mut hint = hint(&mut cursor).map_err(shifted)?;
        let moved = |at: &mut Range<usize>| *at = at.start + start..at.end + start;
        moved(&mut hint.at);
        for argument in &mut hint.arguments {
            moved(&mut argument.key_at);
            moved(&mut argument.value_at);
        }
        hints.push(hint);
        cursor.eat_token(&Token::Comma);
    }
    Ok(hints)
}

fn hint(cursor: &mut Cursor<'_, '_>) -> Result<Hint, SqlDiagnostic> {
    let help = "for example /*+ OPTIONS('key' = 'value') */";
    let (name, at) = cursor.name("the name of a hint")?;
    let mut arguments = Vec::new();
    if cursor.eat_token(&Token::LParen) {
        while !cursor.eat_token(&Token::RParen) {
            let word = |cursor: &mut Cursor<'_, '_>, what: &str| match cursor.string(what) {
                Ok(found) => Ok(found),
                Err(failed) => cursor.object_name(what).map_err(|_| failed),
            };
            let (key, key_at) = word(cursor, "a key")?;
            let (mut value, mut value_at) = (String::new(), key_at.clone());
            if cursor.eat_token(&Token::Eq) {
                (value, value_at) = word(cursor, "a value")?;
            }
            arguments.push(OptionDef { key, key_at, value, value_at });
            if !cursor.eat_token(&Token::Comma) {
                cursor.expect_token(&Token::RParen, help)?;
                break;
            }
        }
    }
    Ok(Hint { name: name.to_uppercase(), at, arguments })
}

/// Options of a table's hint, and where the hint stands.
pub(crate) type HintedOptions = (Vec<OptionDef>, Range<usize>);

/// The options of a table whose name ends at `end`, and where the hint stands.
pub(crate) fn table_options(
    script: &Script<'_>,
    end: usize,
) -> Result<Option<HintedOptions>, SqlDiagnostic> {
    let Some(at) = after(script, end) else { return Ok(None) };
    let mut options = Vec::new();
    for hint in read(script, &at)? {
        if hint.name != "OPTIONS" {
            let message = format!("hint {} does not stand behind a table", hint.name);
            let help = "write it behind SELECT; a table takes OPTIONS('key' = 'value')";
            return Err(error("E0528", hint.at, message, help));
        }
        options.extend(hint.arguments);
    }
    Ok(Some((options, at)))
}

/// `table` with options of a hint, which go before its own.
pub(crate) fn with_options(table: &CreateTable, options: &[OptionDef]) -> CreateTable {
    let mut table = table.clone();
    for option in options {
        table.options.retain(|o| o.key != option.key);
        table.options.push(option.clone());
    }
    table
}

/// A table with OPTIONS behind its name gets a name of its own in the query, and keeps the
/// one it had as its alias.
pub(crate) fn on_table(
    name: &mut ObjectName,
    alias: Option<&mut Option<TableAlias>>,
    notes: &mut Notes,
    script: &Script<'_>,
) {
    let Some(ident) = name.0.last().and_then(ObjectNamePart::as_ident).cloned() else { return };
    // A subquery may be looked at twice.
    if ident.span == Span::empty() || notes.hinted.iter().any(|h| h.name == ident.value) {
        return;
    }
    let (options, at) = match table_options(script, script.range(ident.span).end) {
        Ok(Some(found)) => found,
        Ok(None) => return,
        Err(diagnostic) => {
            notes.failed.get_or_insert(diagnostic);
            return;
        }
    };
    let own = format!("{}$options{}", ident.value, notes.hinted.len() + 1);
    let base = ident.value.clone();
    notes.used_hints.push(at);
    notes.hinted.push(HintedTable { name: own.clone(), base, options });
    let own = Ident { value: own, quote_style: Some('`'), span: ident.span };
    *name = ObjectName(vec![ObjectNamePart::Identifier(own)]);
    if let Some(alias) = alias
        && alias.is_none()
    {
        *alias = Some(TableAlias { explicit: true, name: ident, columns: Vec::new(), at: None });
    }
}

/// Hints behind SELECT.
pub(crate) fn on_select(select: &mut Select, notes: &mut Notes, script: &Script<'_>) {
    let place = select.select_token.0.span;
    if place == Span::empty() {
        return;
    }
    let Some(at) = after(script, script.range(place).end) else { return };
    notes.used_hints.push(at.clone());
    let hints = match read(script, &at) {
        Ok(hints) => hints,
        Err(diagnostic) => {
            notes.failed.get_or_insert(diagnostic);
            return;
        }
    };
    for hint in hints {
        let done = match hint.name.as_str() {
            STATE_TTL => state_ttl(select, &hint),
            name if JOIN_HINTS.contains(&name) => {
                let message = format!("hint {name} changes nothing: joins are run in one way here");
                notes.warnings.push(error("W0503", hint.at.clone(), message, ""));
                Ok(())
            }
            name => {
                let message = format!("unknown hint {name}, which changes nothing");
                let help = "hints: OPTIONS behind a table, STATE_TTL behind SELECT";
                notes.warnings.push(error("W0503", hint.at.clone(), message, help));
                Ok(())
            }
        };
        if let Err(diagnostic) = done {
            notes.failed.get_or_insert(diagnostic);
        }
    }
}

/// `STATE_TTL('relation' = '1d', ...)`: the relations become table functions with the time.
fn state_ttl(select: &mut Select, hint: &Hint) -> Result<(), SqlDiagnostic> {
    for argument in &hint.arguments {
        let ms = duration(&argument.value).and_then(|d| milliseconds(&d));
        let Some(ms) = ms else {
            let message = format!("'{}' is no duration", argument.value);
            let help = "for example STATE_TTL('orders' = '1 d')";
            return Err(error("E0528", argument.value_at.clone(), message, help));
        };
        let mut names = Vec::new();
        let factors = select.from.iter_mut().flat_map(|t| {
            std::iter::once(&mut t.relation).chain(t.joins.iter_mut().map(|j| &mut j.relation))
        });
        let mut found = false;
        for factor in factors {
            let Some(name) = relation_name(factor) else { continue };
            if name.value == argument.key {
                found = true;
                give_ttl(factor, name, ms);
                break;
            }
            names.push(name.value);
        }
        if !found {
            let message = format!("STATE_TTL names `{}`, which is not in FROM", argument.key);
            let help = format!("relations of this SELECT: {}", names.join(", "));
            return Err(error("E0528", argument.key_at.clone(), message, help));
        }
    }
    Ok(())
}

fn give_ttl(factor: &mut TableFactor, name: Ident, ms: i64) {
    if !matches!(factor, TableFactor::Table { version: None, .. } | TableFactor::Derived { .. }) {
        return;
    }
    let place = name.span;
    let Some(inner) = select_all(factor.clone()) else { return };
    let inner = Expr::Subquery(Box::new(query_of(SetExpr::Select(Box::new(inner)))));
    let ttl = Expr::value(Value::Number(ms.to_string(), false));
    let expr = function(STATE_TTL, vec![inner, ttl], place);
    let alias = TableAlias { explicit: true, name, columns: Vec::new(), at: None };
    *factor = TableFactor::TableFunction { expr, alias: Some(alias) };
}
