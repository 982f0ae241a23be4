//! `CREATE TABLE` as Flink writes it: physical, computed and metadata columns, watermark,
//! primary key, options. Called by `statement`.

use std::ops::Range;

use arrow::datatypes::DataType;
use datafusion_sql::sqlparser::tokenizer::Token;
use planner::sql::SqlDiagnostic;
use planner::sql_type;

use super::like::{self, Like};
use super::script::{Cursor, error};

/// A table as declared.
#[derive(Clone, Debug)]
pub(crate) struct CreateTable {
    pub(crate) name: String,
    pub(crate) at: Range<usize>,
    pub(crate) if_not_exists: bool,
    pub(crate) columns: Vec<ColumnDef>,
    pub(crate) watermark: Option<WatermarkDef>,
    pub(crate) primary_key: Vec<(String, Range<usize>)>,
    pub(crate) partitioned_by: Vec<(String, Range<usize>)>,
    pub(crate) options: Vec<OptionDef>,
    pub(crate) like: Option<Like>,
    /// Tokens of the query of `CREATE TABLE ... AS SELECT`.
    pub(crate) query: Option<Range<usize>>,
}

#[derive(Clone, Debug)]
pub(crate) struct ColumnDef {
    pub(crate) name: String,
    pub(crate) at: Range<usize>,
    pub(crate) kind: ColumnKind,
}

#[derive(Clone, Debug)]
pub(crate) enum ColumnKind {
    Physical {
        data_type: DataType,
        nullable: bool,
    },
    /// `name AS expression`.
    Computed {
        expr: String,
        at: Range<usize>,
    },
    /// `name type METADATA [FROM 'key'] [VIRTUAL]`.
    Metadata {
        data_type: DataType,
        key: String,
        is_virtual: bool,
    },
}

/// `WATERMARK FOR column AS expression`.
#[derive(Clone, Debug)]
pub(crate) struct WatermarkDef {
    pub(crate) column: String,
    pub(crate) column_at: Range<usize>,
    pub(crate) expr: String,
    pub(crate) at: Range<usize>,
}

/// `'key' = 'value'`.
#[derive(Clone, Debug)]
pub(crate) struct OptionDef {
    pub(crate) key: String,
    pub(crate) key_at: Range<usize>,
    pub(crate) value: String,
    pub(crate) value_at: Range<usize>,
}

const WITH_HELP: &str = "options are written WITH ('connector' = '...', 'key' = 'value')";

/// Reads from behind `CREATE TABLE`.
pub(crate) fn read(cursor: &mut Cursor<'_, '_>) -> Result<CreateTable, SqlDiagnostic> {
    let if_not_exists = cursor.eat(&["IF", "NOT", "EXISTS"]);
    let (name, at) = cursor.object_name("the name of the table")?;
    let mut table = CreateTable { if_not_exists, ..CreateTable::named(&name, &at) };
    if cursor.eat_token(&Token::LParen) {
        elements(cursor, &mut table)?;
    }
    tail(cursor, &mut table)?;
    if !cursor.done() {
        return Err(cursor.unexpected("the end of the statement", WITH_HELP));
    }
    Ok(table)
}

impl CreateTable {
    /// A table of nothing but its name.
    pub(crate) fn named(name: &str, at: &Range<usize>) -> Self {
        Self {
            name: name.to_owned(),
            at: at.clone(),
            if_not_exists: false,
            columns: Vec::new(),
            watermark: None,
            primary_key: Vec::new(),
            partitioned_by: Vec::new(),
            options: Vec::new(),
            like: None,
            query: None,
        }
    }
}

/// Definitions up to the closing parenthesis.
pub(crate) fn elements(
    cursor: &mut Cursor<'_, '_>,
    table: &mut CreateTable,
) -> Result<(), SqlDiagnostic> {
    while !cursor.eat_token(&Token::RParen) {
        element(cursor, table)?;
        if !cursor.eat_token(&Token::Comma) {
            return cursor.expect_token(&Token::RParen, "columns are separated by commas");
        }
    }
    Ok(())
}

pub(crate) fn element(
    cursor: &mut Cursor<'_, '_>,
    table: &mut CreateTable,
) -> Result<(), SqlDiagnostic> {
    if cursor.looks_at(&["WATERMARK", "FOR"]) {
        let at = cursor.here();
        cursor.at += 2;
        let (column, column_at) = cursor.name("the name of a column")?;
        cursor.expect(&["AS"], "WATERMARK FOR ts AS ts - INTERVAL '5' SECOND")?;
        let at_expr = cursor.until(|_| false);
        if table.watermark.is_some() {
            let help = "remove one of them";
            return Err(error(
                "E0504",
                at,
                "a table has one watermark, but this is a second",
                help,
            ));
        }
        let expr = cursor.script.code(at_expr.clone());
        table.watermark = Some(WatermarkDef { column, column_at, expr, at: at_expr });
        return Ok(());
    }
    if cursor.eat(&["CONSTRAINT"]) {
        cursor.name("the name of the constraint")?;
        if !cursor.looks_at(&["PRIMARY", "KEY"]) {
            return Err(cursor.unexpected(
                "`PRIMARY KEY`",
                "the only constraint is PRIMARY KEY (...) NOT ENFORCED",
            ));
        }
    }
    if cursor.eat(&["PRIMARY", "KEY"]) {
        table.primary_key = names(cursor)?;
        return not_enforced(cursor);
    }
    if cursor.looks_at(&["UNIQUE"]) {
        let help = "write PRIMARY KEY (...) NOT ENFORCED, or remove it";
        return Err(error("E0504", cursor.here(), "UNIQUE is not a constraint here", help));
    }
    column(cursor, table)
}

fn not_enforced(cursor: &mut Cursor<'_, '_>) -> Result<(), SqlDiagnostic> {
    let help = "a stream cannot check keys: write PRIMARY KEY (...) NOT ENFORCED";
    cursor.expect(&["NOT", "ENFORCED"], help)
}

fn column(cursor: &mut Cursor<'_, '_>, table: &mut CreateTable) -> Result<(), SqlDiagnostic> {
    let (name, at) = cursor.name("the name of a column")?;
    if table.columns.iter().any(|c| c.name == name) {
        let message = format!("two columns are named `{name}`");
        return Err(error("E0504", at, message, "name one of them otherwise"));
    }
    let script = cursor.script;
    if cursor.eat(&["AS"]) {
        let expr_at = cursor.until(|c| c.looks_at(&["COMMENT"]));
        let expr = script.code(expr_at.clone());
        comment(cursor)?;
        let kind = ColumnKind::Computed { expr, at: expr_at };
        table.columns.push(ColumnDef { name, at, kind });
        return Ok(());
    }
    let type_at = cursor.until(|c| {
        ["METADATA", "PRIMARY", "COMMENT", "CONSTRAINT"].iter().any(|w| c.looks_at(&[w]))
    });
    if type_at.is_empty() {
        return Err(
            cursor.unexpected(&format!("the type of column `{name}`"), "for example BIGINT")
        );
    }
    let text = script.code(type_at.clone());
    let (data_type, nullable) = sql_type::parse(&text).map_err(|e| SqlDiagnostic {
        code: "E0505",
        message: e.message,
        span: type_at.start + e.at.start..type_at.start + e.at.end,
        label: e.label,
        help: e.help,
    })?;
    let mut kind = ColumnKind::Physical { data_type: data_type.clone(), nullable };
    if cursor.eat(&["METADATA"]) {
        let mut key = name.clone();
        if cursor.eat(&["FROM"]) {
            key = cursor.string("the key of the metadata")?.0;
        }
        let is_virtual = cursor.eat(&["VIRTUAL"]);
        kind = ColumnKind::Metadata { data_type, key, is_virtual };
    }
    if cursor.eat(&["PRIMARY", "KEY"]) {
        not_enforced(cursor)?;
        table.primary_key.push((name.clone(), at.clone()));
    }
    comment(cursor)?;
    table.columns.push(ColumnDef { name, at, kind });
    Ok(())
}

fn comment(cursor: &mut Cursor<'_, '_>) -> Result<(), SqlDiagnostic> {
    if cursor.eat(&["COMMENT"]) {
        cursor.string("the comment")?;
    }
    Ok(())
}

pub(crate) fn names(
    cursor: &mut Cursor<'_, '_>,
) -> Result<Vec<(String, Range<usize>)>, SqlDiagnostic> {
    cursor.expect_token(&Token::LParen, "names stand in parentheses")?;
    let mut found = vec![cursor.name("the name of a column")?];
    while cursor.eat_token(&Token::Comma) {
        found.push(cursor.name("the name of a column")?);
    }
    cursor.expect_token(&Token::RParen, "names are separated by commas")?;
    Ok(found)
}

fn tail(cursor: &mut Cursor<'_, '_>, table: &mut CreateTable) -> Result<(), SqlDiagnostic> {
    while !cursor.done() {
        if cursor.eat(&["COMMENT"]) {
            cursor.string("the comment")?;
        } else if cursor.eat(&["PARTITIONED", "BY"]) {
            table.partitioned_by = names(cursor)?;
        } else if cursor.eat(&["WITH"]) {
            options(cursor, table)?;
        } else if cursor.eat(&["LIKE"]) {
            table.like = Some(like::read(cursor)?);
        } else if cursor.eat(&["AS"]) {
            if cursor.done() {
                return Err(cursor.unexpected("a query", "CREATE TABLE ... AS SELECT ..."));
            }
            table.query = Some(cursor.at..cursor.end);
            cursor.at = cursor.end;
        } else {
            return Err(cursor.unexpected("`WITH`", WITH_HELP));
        }
    }
    Ok(())
}

pub(crate) fn options(
    cursor: &mut Cursor<'_, '_>,
    table: &mut CreateTable,
) -> Result<(), SqlDiagnostic> {
    cursor.expect_token(&Token::LParen, WITH_HELP)?;
    while !cursor.eat_token(&Token::RParen) {
        let (key, key_at) = cursor.string("the key of an option")?;
        cursor.expect_token(&Token::Eq, WITH_HELP)?;
        let (value, value_at) = cursor.string("the value of the option")?;
        if table.options.iter().any(|o| o.key == key) {
            let message = format!("option '{key}' is given twice");
            return Err(error("E0504", key_at, message, "remove one of them"));
        }
        table.options.push(OptionDef { key, key_at, value, value_at });
        if !cursor.eat_token(&Token::Comma) {
            cursor.expect_token(&Token::RParen, "options are separated by commas")?;
            break;
        }
    }
    Ok(())
}
