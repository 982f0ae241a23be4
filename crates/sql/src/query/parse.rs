//! Tokens of a query to sqlparser's tree, with Flink's habits applied to the tree: names of
//! nested fields, and group windows as window functions over the table. Called by `mod`.

use std::ops::{ControlFlow, Range};

use datafusion_sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments,
    GroupByExpr, Ident, ObjectName, ObjectNamePart, Query, Select, SelectItem, SetExpr, TableAlias,
    TableFactor, visit_expressions_mut,
};
use datafusion_sql::sqlparser::parser::{Parser, ParserError};
use datafusion_sql::sqlparser::tokenizer::{Location, Span, Token};
use planner::sql::SqlDiagnostic;

use super::dialect::DIALECT;
use super::forms;
use super::hints::{self, HintedTable};
use super::match_recognize;
use super::natural::{self, ColumnsOf};
use super::order;
use super::script::{Script, error};
use super::sets;
use super::using;
use crate::parse_budget::{self, NESTING_LIMIT};
use crate::spelling::{self, Form};
use crate::text::lower_first;

/// Most tokens of one statement; trees are walked recursively.
const MAX_TOKENS: usize = 20_000;
/// Marks a session window whose keys are those of the GROUP BY.
pub(crate) const BY_GROUP: &str = "BY_GROUP";

pub(crate) fn query(
    script: &Script<'_>,
    tokens: &Range<usize>,
    columns_of: ColumnsOf<'_>,
) -> Result<(Query, Notes), SqlDiagnostic> {
    if tokens.len() > MAX_TOKENS {
        let message = format!("the statement has more than {MAX_TOKENS} words and symbols");
        return Err(error("E0501", script.span_of(tokens), message, "split it with views"));
    }
    let inside = script.tokens[tokens.clone()].iter().map(|t| &t.token.token);
    parse_budget::check_depth(inside).map_err(|e| of_parser(&e, script, tokens))?;
    let rewritten = forms::rewrite(&script.tokens[tokens.clone()]);
    let rewritten = spelling::rewrite(&rewritten, Form::Query);
    let rewritten = match_recognize::forms::rewrite(rewritten);
    parse_budget::allow(rewritten.len());
    let mut parser = Parser::new(&DIALECT)
        .with_recursion_limit(NESTING_LIMIT)
        .with_tokens_with_locations(rewritten);
    let mut query = *parser.parse_query().map_err(|e| of_parser(&e, script, tokens))?;
    let next = parser.peek_token();
    if next.token != Token::EOF {
        let message = format!("unexpected `{}` after the query", next.token);
        let help = "an operator, a comma or a semicolon may be missing";
        return Err(error("E0502", script.range(next.span), message, help));
    }
    let _: ControlFlow<()> = visit_expressions_mut(&mut query, |node| {
        spelling::rewrite_node(node);
        ControlFlow::Continue(())
    });
    natural::name_columns(&mut query, columns_of);
    let mut notes = Notes::default();
    rewrite_query(&mut query, &mut notes, script);
    spelling::fetch_as_limit(&mut query);
    match notes.failed {
        Some(diagnostic) => Err(diagnostic),
        None => Ok((query, notes)),
    }
}

fn of_parser(failed: &ParserError, script: &Script<'_>, tokens: &Range<usize>) -> SqlDiagnostic {
    let end = script.span_of(&(tokens.end.saturating_sub(1)..tokens.end));
    let raw = match failed {
        ParserError::TokenizerError(m) | ParserError::ParserError(m) => m.as_str(),
        ParserError::RecursionLimitExceeded => {
            let at = script.span_of(tokens);
            return error("E0502", at, "the query is nested too deeply", "split it with views");
        }
    };
    let (message, place) = match raw.rsplit_once(" at Line: ") {
        Some((message, place)) => (message, parse_place(place)),
        None => (raw, None),
    };
    let message = match message.strip_prefix("Expected: ").and_then(|m| m.split_once(", found: ")) {
        Some((expected, "EOF")) => format!("expected {expected}, but the statement ends"),
        Some((expected, found)) => format!("expected {expected}, found `{found}`"),
        None => lower_first(message),
    };
    let at = place.map(|l| script.offset(l)).and_then(|at| {
        script.tokens[tokens.clone()].iter().find(|t| t.at.contains(&at)).map(|t| t.at.clone())
    });
    let at = at.unwrap_or(end);
    let reserved = script.tokens[tokens.clone()]
        .iter()
        .find(|t| t.at == at)
        .is_some_and(|t| !t.keyword().is_empty());
    let help = if reserved {
        "a name that is a keyword of SQL goes in back-ticks: `name`"
    } else {
        "check the SQL here and just before"
    };
    error("E0502", at, message, help)
}

fn parse_place(place: &str) -> Option<Location> {
    let (line, column) = place.split_once(", Column: ")?;
    Some(Location { line: line.trim().parse().ok()?, column: column.trim().parse().ok()? })
}

/// What was found beside the tree.
#[derive(Default)]
pub(crate) struct Notes {
    /// The first mistake.
    pub(crate) failed: Option<SqlDiagnostic>,
    pub(crate) warnings: Vec<SqlDiagnostic>,
    /// Tables with options of a hint.
    pub(crate) hinted: Vec<HintedTable>,
    /// Where hints stand that were understood.
    pub(crate) used_hints: Vec<Range<usize>>,
}

fn rewrite_query(query: &mut Query, notes: &mut Notes, script: &Script<'_>) {
    for cte in query.with.iter_mut().flat_map(|w| w.cte_tables.iter_mut()) {
        rewrite_query(&mut cte.query, notes, script);
    }
    rewrite_set(&mut query.body, notes, script);
    order::rewrite_query(query);
}

fn rewrite_set(set: &mut SetExpr, notes: &mut Notes, script: &Script<'_>) {
    match set {
        SetExpr::Select(select) => rewrite_select(select, notes, script),
        SetExpr::Query(query) => rewrite_query(query, notes, script),
        SetExpr::SetOperation { left, right, .. } => {
            rewrite_set(left, notes, script);
            rewrite_set(right, notes, script);
            sets::rewrite_operation(set);
        }
        _ => {}
    }
}

fn rewrite_select(select: &mut Select, notes: &mut Notes, script: &Script<'_>) {
    if select.top.is_some() {
        let at = script.find("TOP", &(0..script.tokens.len())).unwrap_or(0..1);
        let help = "write ORDER BY ... LIMIT at the end of the query";
        notes.failed.get_or_insert_with(|| error("E0502", at, "TOP is not understood", help));
    }
    for table in &mut select.from {
        rewrite_factor(&mut table.relation, notes, script);
        for join in &mut table.joins {
            rewrite_factor(&mut join.relation, notes, script);
        }
    }
    hints::on_select(select, notes, script);
    let mut subqueries = |e: &mut Expr| -> ControlFlow<()> {
        if let Expr::Subquery(q)
        | Expr::Exists { subquery: q, .. }
        | Expr::InSubquery { subquery: q, .. } = e
        {
            rewrite_query(q, notes, script);
        }
        ControlFlow::Continue(())
    };
    for condition in [&mut select.selection, &mut select.having].into_iter().flatten() {
        let _ = visit_expressions_mut(condition, &mut subqueries);
    }
    for item in &mut select.projection {
        let _ = visit_expressions_mut(item, &mut subqueries);
    }
    order::rewrite_windows(select);
    using::say_sides(select);
    name_items(select);
    let rewritten =
        group_window(select, script).and_then(|()| sets::write_out_groups(select, script));
    if let Err(diagnostic) = rewritten {
        notes.failed.get_or_insert(diagnostic);
    }
}

fn rewrite_factor(factor: &mut TableFactor, notes: &mut Notes, script: &Script<'_>) {
    match factor {
        TableFactor::Derived { subquery, .. } => rewrite_query(subquery, notes, script),
        TableFactor::NestedJoin { table_with_joins, .. } => {
            rewrite_factor(&mut table_with_joins.relation, notes, script);
            for join in &mut table_with_joins.joins {
                rewrite_factor(&mut join.relation, notes, script);
            }
        }
        TableFactor::MatchRecognize { table, .. } => rewrite_factor(table, notes, script),
        TableFactor::Table { args: Some(args), .. } => {
            for arg in &mut args.args {
                if let FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Subquery(query))) = arg {
                    rewrite_query(query, notes, script);
                }
            }
        }
        TableFactor::Table { name, alias, .. } => hints::on_table(name, Some(alias), notes, script),
        TableFactor::TableFunction { expr, .. } => {
            let _: ControlFlow<()> = visit_expressions_mut(expr, |e| {
                match e {
                    Expr::Subquery(q) => rewrite_query(q, notes, script),
                    // The table that a window function takes.
                    Expr::Identifier(ident) => {
                        let mut name = ObjectName(vec![ObjectNamePart::Identifier(ident.clone())]);
                        hints::on_table(&mut name, None, notes, script);
                        if let Some(found) = name.0.last().and_then(ObjectNamePart::as_ident) {
                            *ident = found.clone();
                        }
                    }
                    _ => {}
                }
                ControlFlow::Continue(())
            });
        }
        _ => {}
    }
}

/// Names by which columns of this SELECT may be qualified.
fn relations(select: &Select) -> Vec<String> {
    let factors = select
        .from
        .iter()
        .flat_map(|t| std::iter::once(&t.relation).chain(t.joins.iter().map(|j| &j.relation)));
    factors.filter_map(|f| relation_name(f).map(|name| name.value)).collect()
}

/// The name that a relation has within its SELECT.
pub(crate) fn relation_name(factor: &TableFactor) -> Option<Ident> {
    let (name, alias) = match factor {
        TableFactor::Table { name, alias, .. } => {
            (name.0.last().and_then(ObjectNamePart::as_ident), alias)
        }
        TableFactor::Derived { alias, .. }
        | TableFactor::TableFunction { alias, .. }
        | TableFactor::UNNEST { alias, .. }
        | TableFactor::MatchRecognize { alias, .. }
        | TableFactor::NestedJoin { alias, .. } => (None, alias),
        _ => return None,
    };
    alias.as_ref().map(|a| &a.name).or(name).cloned()
}

fn last_part(name: &ObjectName) -> Option<String> {
    name.0.last().and_then(ObjectNamePart::as_ident).map(|i| i.value.clone())
}

/// `person.id` of a row column is named `id`, and unnamed expressions get Flink's names:
/// DataFusion's own leave out casts and parentheses, and so would clash.
fn name_items(select: &mut Select) {
    let relations = relations(select);
    let mut seen: Vec<String> = Vec::new();
    for (index, item) in select.projection.iter_mut().enumerate() {
        let SelectItem::UnnamedExpr(expr) = item else { continue };
        let text = expr.to_string();
        let before = seen.iter().filter(|earlier| **earlier == text).count();
        let alias = match &*expr {
            Expr::CompoundIdentifier(parts) => {
                let nested = parts.len() > 2 || !relations.contains(&parts[0].value);
                // A view over one relation has the plain name, too.
                let renamed = |n: &Ident| again(n, before);
                (nested || before > 0).then(|| parts.last().map(renamed)).flatten()
            }
            Expr::Identifier(name) => (before > 0).then(|| again(name, before)),
            _ => Some(Ident::new(format!("EXPR${index}"))),
        };
        seen.push(text);
        if let Some(alias) = alias {
            let alias = Ident { quote_style: Some('`'), ..alias };
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
        }
    }
}

/// Flink's names of a column that is selected again: `id`, `id0`, `id1`.
fn again(name: &Ident, before: usize) -> Ident {
    match before.checked_sub(1) {
        Some(number) => Ident::new(format!("{}{number}", name.value)),
        None => name.clone(),
    }
}

const GROUP_WINDOWS: &[&str] = &["TUMBLE", "HOP", "SESSION"];

fn call_of<'e>(expr: &'e Expr, names: &[&str]) -> Option<(&'e Function, Vec<&'e Expr>)> {
    let Expr::Function(call) = expr else { return None };
    let name = last_part(&call.name)?.to_uppercase();
    if !names.contains(&name.as_str()) {
        return None;
    }
    let FunctionArguments::List(list) = &call.args else { return None };
    let args = list.args.iter().filter_map(|a| match a {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => Some(e),
        _ => None,
    });
    Some((call, args.collect()))
}

/// `FROM t GROUP BY TUMBLE(ts, i), k` becomes
/// `FROM TABLE(TUMBLE(t, DESCRIPTOR(ts), i)) AS t GROUP BY window_start, window_end, k`.
fn group_window(select: &mut Select, script: &Script<'_>) -> Result<(), SqlDiagnostic> {
    let GroupByExpr::Expressions(groups, _) = &select.group_by else { return Ok(()) };
    let Some(at) = groups.iter().position(|g| call_of(g, GROUP_WINDOWS).is_some()) else {
        return Ok(());
    };
    let Some((call, args)) = call_of(&groups[at], GROUP_WINDOWS) else { return Ok(()) };
    let place =
        call.name.0.first().and_then(ObjectNamePart::as_ident).map_or(Span::empty(), |i| i.span);
    let span = script.range(place);
    let kind = last_part(&call.name).unwrap_or_default().to_uppercase();
    let time = match args.first() {
        Some(Expr::Identifier(ident)) => ident.clone(),
        Some(Expr::CompoundIdentifier(parts)) if !parts.is_empty() => {
            parts[parts.len() - 1].clone()
        }
        _ => {
            let message = format!("{kind} in GROUP BY needs a time column as its first argument");
            let help = format!("for example {kind}(ts, INTERVAL '1' MINUTE)");
            return Err(error("E0506", span, message, help));
        }
    };
    let [from] = select.from.as_mut_slice() else {
        return Err(one_relation(&kind, span));
    };
    if !from.joins.is_empty() {
        return Err(one_relation(&kind, span));
    }
    let (relation, alias) = match &mut from.relation {
        TableFactor::Table { name, alias, args: None, version: None, .. } => {
            let idents: Vec<Ident> = name.0.iter().filter_map(|p| p.as_ident().cloned()).collect();
            let alias = alias.clone().or_else(|| idents.last().map(|i| table_alias(i.clone())));
            (Expr::CompoundIdentifier(idents), alias)
        }
        TableFactor::Derived { subquery, alias, .. } => {
            (Expr::Subquery(subquery.clone()), alias.clone())
        }
        _ => return Err(one_relation(&kind, span)),
    };
    let descriptor = function("DESCRIPTOR", vec![Expr::Identifier(time)], place);
    let mut arguments = vec![relation, descriptor];
    arguments.extend(args.iter().skip(1).map(|e| (*e).clone()));
    if kind == "SESSION" {
        arguments.push(function(BY_GROUP, Vec::new(), place));
    }
    let expr = function(&kind, arguments, place);
    from.relation = TableFactor::TableFunction { expr, alias };
    let column = |name: &str| Expr::Identifier(Ident::with_span(place, name));
    if let GroupByExpr::Expressions(groups, _) = &mut select.group_by {
        groups
            .splice(at..=at, [column("window_start"), column("window_end"), column("window_time")]);
    }
    let replace = |e: &mut Expr| window_property(e, place);
    for item in &mut select.projection {
        let _ = visit_expressions_mut(item, replace);
    }
    if let Some(having) = &mut select.having {
        let _ = visit_expressions_mut(having, replace);
    }
    Ok(())
}

/// `TUMBLE_START(ts, i)` and the like become the column that they stand for.
fn window_property(e: &mut Expr, place: Span) -> ControlFlow<()> {
    let name = match &*e {
        Expr::Function(call) => last_part(&call.name).unwrap_or_default().to_uppercase(),
        _ => return ControlFlow::<()>::Continue(()),
    };
    if let Some((window, part)) = name.split_once('_')
        && GROUP_WINDOWS.contains(&window)
    {
        let name = match part {
            "START" => "window_start",
            "END" => "window_end",
            "ROWTIME" | "PROCTIME" => "window_time",
            _ => return ControlFlow::Continue(()),
        };
        *e = Expr::Identifier(Ident::with_span(place, name));
    }
    ControlFlow::Continue(())
}

fn one_relation(kind: &str, span: Range<usize>) -> SqlDiagnostic {
    let message = format!("{kind} in GROUP BY needs exactly one table in FROM");
    error("E0506", span, message, "put the join into a view or a subquery")
}

fn table_alias(name: Ident) -> TableAlias {
    TableAlias { explicit: true, name, columns: Vec::new(), at: None }
}

pub(crate) fn function(name: &str, args: Vec<Expr>, place: Span) -> Expr {
    let args = args.into_iter().map(|e| FunctionArg::Unnamed(FunctionArgExpr::Expr(e))).collect();
    Expr::Function(Function {
        name: ObjectName(vec![ObjectNamePart::Identifier(Ident::with_span(place, name))]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args,
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}
