//! `ALTER TABLE` and `ALTER VIEW ... RENAME`: changes of what the script has created so far.
//! Called by `statement` (reading) and `mod` (applying).

use std::ops::Range;

use datafusion_sql::sqlparser::tokenizer::Token;
use planner::diagnostic::did_you_mean;
use planner::sql::SqlDiagnostic;

use super::catalog::Catalog;
use super::create_table::{self, CreateTable, OptionDef};
use super::script::{Cursor, error};

/// `ALTER TABLE name ...`.
pub(crate) struct Alter {
    name: String,
    at: Range<usize>,
    if_exists: bool,
    change: Change,
}

enum Change {
    Rename(String, Range<usize>),
    Set(Vec<OptionDef>),
    Reset(Vec<(String, Range<usize>)>),
    /// Columns, a watermark, a primary key.
    Add(Box<CreateTable>),
    /// The same; what is there by the name is replaced.
    Modify(Box<CreateTable>),
    DropColumns(Vec<(String, Range<usize>)>),
    DropWatermark,
    DropPrimaryKey,
}

const HELP: &str = "ALTER TABLE takes RENAME TO, SET (..), RESET (..), ADD, MODIFY and DROP";

/// Reads from behind `ALTER`.
pub(crate) fn read(cursor: &mut Cursor<'_, '_>) -> Result<Alter, SqlDiagnostic> {
    let view = cursor.eat(&["VIEW"]);
    if !view && !cursor.eat(&["TABLE"]) {
        return Err(cursor.unexpected("TABLE or VIEW", "ALTER TABLE name ..."));
    }
    let if_exists = cursor.eat(&["IF", "EXISTS"]);
    let (name, at) = cursor.object_name("the name of a table")?;
    let change = if cursor.eat(&["RENAME", "TO"]) {
        let (to, at) = cursor.object_name("the new name")?;
        Change::Rename(to, at)
    } else if view {
        return Err(cursor.unexpected("`RENAME TO`", "drop the view and create it anew"));
    } else if cursor.eat(&["SET"]) {
        let mut table = CreateTable::named(&name, &at);
        create_table::options(cursor, &mut table)?;
        Change::Set(table.options)
    } else if cursor.eat(&["RESET"]) {
        Change::Reset(keys(cursor)?)
    } else if cursor.eat(&["ADD"]) {
        Change::Add(Box::new(elements(cursor, &name, &at)?))
    } else if cursor.eat(&["MODIFY"]) {
        Change::Modify(Box::new(elements(cursor, &name, &at)?))
    } else if cursor.eat(&["DROP", "WATERMARK"]) {
        Change::DropWatermark
    } else if cursor.eat(&["DROP", "PRIMARY", "KEY"]) {
        Change::DropPrimaryKey
    } else if cursor.eat(&["DROP"]) {
        match cursor.peek().is_some_and(|t| t.is(&Token::LParen)) {
            true => Change::DropColumns(create_table::names(cursor)?),
            false => Change::DropColumns(vec![cursor.name("the name of a column")?]),
        }
    } else {
        return Err(cursor.unexpected("a change", HELP));
    };
    if !cursor.done() {
        return Err(cursor.unexpected("the end of the statement", HELP));
    }
    Ok(Alter { name, at, if_exists, change })
}

fn keys(cursor: &mut Cursor<'_, '_>) -> Result<Vec<(String, Range<usize>)>, SqlDiagnostic> {
    let help = "ALTER TABLE t RESET ('key', ...)";
    cursor.expect_token(&Token::LParen, help)?;
    let mut found = vec![cursor.string("the key of an option")?];
    while cursor.eat_token(&Token::Comma) {
        found.push(cursor.string("the key of an option")?);
    }
    cursor.expect_token(&Token::RParen, help)?;
    Ok(found)
}

/// One definition, or several in parentheses, as in CREATE TABLE.
fn elements(
    cursor: &mut Cursor<'_, '_>,
    name: &str,
    at: &Range<usize>,
) -> Result<CreateTable, SqlDiagnostic> {
    let mut table = CreateTable::named(name, at);
    if cursor.eat_token(&Token::LParen) {
        create_table::elements(cursor, &mut table)?;
    } else {
        create_table::element(cursor, &mut table)?;
    }
    Ok(table)
}

impl Alter {
    /// Changes what `catalog` holds.
    pub(crate) fn apply(self, catalog: &mut Catalog) -> Result<(), SqlDiagnostic> {
        let Alter { name, at, if_exists, change } = self;
        if let Change::Rename(to, to_at) = &change {
            return rename(catalog, (&name, at, if_exists), (to, to_at));
        }
        let Some(table) = catalog.tables.get_mut(&name) else {
            return if if_exists { Ok(()) } else { Err(unknown(catalog, &name, at)) };
        };
        match change {
            Change::Rename(..) => {}
            Change::Set(options) => {
                for option in options {
                    table.options.retain(|o| o.key != option.key);
                    table.options.push(option);
                }
            }
            Change::Reset(keys) => {
                table.options.retain(|o| !keys.iter().any(|(key, _)| *key == o.key));
            }
            Change::Add(added) => add(table, *added, false)?,
            Change::Modify(added) => add(table, *added, true)?,
            Change::DropColumns(columns) => {
                for (column, at) in columns {
                    let before = table.columns.len();
                    table.columns.retain(|c| c.name != column);
                    if table.columns.len() == before {
                        return Err(no_column(table, &column, at));
                    }
                }
            }
            Change::DropWatermark => table.watermark = None,
            Change::DropPrimaryKey => table.primary_key.clear(),
        }
        Ok(())
    }
}

fn rename(
    catalog: &mut Catalog,
    (name, at, if_exists): (&str, Range<usize>, bool),
    (to, to_at): (&str, &Range<usize>),
) -> Result<(), SqlDiagnostic> {
    if catalog.tables.contains_key(to) || catalog.views.contains_key(to) {
        let message = format!("`{to}` exists already");
        return Err(error("E0517", to_at.clone(), message, "choose another name"));
    }
    if let Some(mut table) = catalog.tables.remove(name) {
        to.clone_into(&mut table.name);
        catalog.tables.insert(to.to_owned(), table);
    } else if let Some(view) = catalog.views.remove(name) {
        catalog.views.insert(to.to_owned(), view);
    } else if !if_exists {
        return Err(unknown(catalog, name, at));
    }
    Ok(())
}

fn unknown(catalog: &Catalog, name: &str, at: Range<usize>) -> SqlDiagnostic {
    let known = catalog.names();
    let help = format!("tables and views: {}", known.join(", "));
    let mut found = error("E0511", at, format!("unknown table `{name}`"), help);
    found.label = did_you_mean(name, known.iter().map(String::as_str));
    found
}

fn no_column(table: &CreateTable, name: &str, at: Range<usize>) -> SqlDiagnostic {
    let known: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
    let help = format!("columns: {}", known.join(", "));
    let mut found = error("E0303", at, format!("unknown column `{name}`"), help);
    found.label = did_you_mean(name, known);
    found
}

fn add(table: &mut CreateTable, added: CreateTable, replace: bool) -> Result<(), SqlDiagnostic> {
    for column in added.columns {
        match (table.columns.iter_mut().find(|c| c.name == column.name), replace) {
            (Some(own), true) => *own = column,
            (None, false) => table.columns.push(column),
            (Some(_), false) => {
                let message = format!("two columns are named `{}`", column.name);
                return Err(error("E0504", column.at, message, "write MODIFY to change it"));
            }
            (None, true) => return Err(no_column(table, &column.name.clone(), column.at)),
        }
    }
    if let Some(watermark) = added.watermark {
        if table.watermark.is_some() && !replace {
            let message = format!("table `{}` has a watermark already", table.name);
            let help = "write MODIFY WATERMARK FOR ...";
            return Err(error("E0504", watermark.column_at, message, help));
        }
        table.watermark = Some(watermark);
    }
    if !added.primary_key.is_empty() {
        if !table.primary_key.is_empty() && !replace {
            let message = format!("table `{}` has a primary key already", table.name);
            let at = added.primary_key[0].1.clone();
            return Err(error("E0504", at, message, "write MODIFY PRIMARY KEY (...) NOT ENFORCED"));
        }
        table.primary_key = added.primary_key;
    }
    Ok(())
}
