//! Scripts of SQL statements in Flink's dialect, planned to the same graph of operators that
//! job files become. `docs/design/0004-sql.md` says how and why.
//!
//! Stages: `script` (tokens with places) -> `statement`, `create_table` (statements) ->
//! `parse` (queries, through `forms`) -> DataFusion's SqlToRel with `catalog`, `relations`,
//! `functions` -> `optimize` -> `translate` (operators). Implements
//! [`planner::sql::SqlPlanner`].

mod aggregates;
mod alter;
mod catalog;
mod create_table;
mod datagen;
mod dialect;
mod errors;
mod expr_text;
mod forms;
mod functions;
mod hints;
mod integers;
mod lateral;
mod like;
mod lookup_options;
mod marks;
mod match_recognize;
mod natural;
mod nearer;
mod optimize;
mod options;
mod order;
mod parse;
mod relations;
mod scan;
mod script;
mod sets;
mod statement;
mod subqueries;
mod transform;
mod translate;
mod using;

use std::ops::Range;

use datafusion_common::DataFusionError;
use datafusion_expr::LogicalPlan;
use datafusion_sql::parser::Statement as PlanStatement;
use datafusion_sql::planner::{ParserOptions, SqlToRel};
use datafusion_sql::sqlparser::ast::Statement as AstStatement;
use planner::diagnostic::closest;
use planner::sql::{
    SqlAnswer, SqlDiagnostic, SqlInput, SqlPlan, SqlPlanner, SqlQuery, SqlRequest, SqlSetting,
};

use crate::cast_rules;
use crate::registry::Functions;
use catalog::{Catalog, Provider, View};
use create_table::{ColumnDef, ColumnKind};
use script::{Script, error};
use statement::{Insert, Statement};
use translate::Translator;

pub(crate) use statement::looks_like_sql;

#[cfg(test)]
mod tests;

/// Trees are walked recursively, on a thread of its own with this much stack.
const STACK_BYTES: usize = 256 << 20;
/// Classes of functions written for Flink that have a counterpart here.
const KNOWN_CLASSES: &[(&str, &str)] = &[("com.github.nexmark.flink.udf.CountChar", "count_char")];

pub(crate) struct Planner {
    functions: Functions,
}

impl Planner {
    pub(crate) fn new() -> Self {
        Self { functions: Functions::new() }
    }
}

/// Runs `work` where its recursion fits.
fn with_stack<T: Send>(
    work: impl FnOnce() -> Result<T, Vec<SqlDiagnostic>> + Send,
) -> Result<T, Vec<SqlDiagnostic>> {
    let broken = |what: String| vec![error("E0501", 0..1, what, "")];
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().stack_size(STACK_BYTES);
        match builder.spawn_scoped(scope, work) {
            Ok(thread) => thread
                .join()
                .unwrap_or_else(|_| Err(broken("the planner panicked on this script".into()))),
            Err(failed) => Err(broken(format!("the script could not be planned: {failed}"))),
        }
    })
}

impl SqlPlanner for Planner {
    fn plan(&self, text: &str, request: &SqlRequest<'_>) -> Result<SqlPlan, Vec<SqlDiagnostic>> {
        with_stack(|| self.plan_script(text, request))
    }

    fn query(
        &self,
        text: &str,
        inputs: &[SqlInput],
        request: &SqlRequest<'_>,
    ) -> Result<SqlQuery, Vec<SqlDiagnostic>> {
        with_stack(|| transform::plan(&self.functions, text, inputs, request))
    }

    fn settings(&self, text: &str) -> Vec<SqlSetting> {
        let Ok(script) = Script::new(text) else { return Vec::new() };
        let found = statement::read(&script, &mut Vec::new());
        let of = |s| match s {
            Statement::Set { key, value, at } => Some(SqlSetting { key, value, span: at }),
            _ => None,
        };
        found.into_iter().filter_map(of).collect()
    }
}

impl Planner {
    fn plan_script(
        &self,
        text: &str,
        request: &SqlRequest<'_>,
    ) -> Result<SqlPlan, Vec<SqlDiagnostic>> {
        let script = Script::new(text).map_err(|e| vec![e])?;
        let mut errors = Vec::new();
        let statements = statement::read(&script, &mut errors);
        let mut session = Session {
            functions: &self.functions,
            script: &script,
            request: *request,
            catalog: Catalog::default(),
            translator: Translator::new(request, &script),
            plan: SqlPlan::default(),
            used_hints: Vec::new(),
        };
        for statement in &statements {
            if let Statement::Set { key, value, .. } = statement {
                session.translator.set(key, value);
            }
        }
        for statement in statements {
            if let Err(diagnostic) = session.statement(statement) {
                errors.push(diagnostic);
            }
        }
        if session.translator.ops.is_empty() && session.plan.answers.is_empty() && errors.is_empty()
        {
            let at = script.tokens.last().map_or(0..1, |t| t.at.clone());
            let help = "write INSERT INTO sink SELECT ... FROM source";
            errors.push(error("E0503", at, "the script starts no job", help));
        }
        for hint in script.hints.iter().filter(|h| !session.used_hints.contains(h)) {
            let message = "this hint stands where none belongs, so it changes nothing";
            let help = "OPTIONS stands right behind a table's name, STATE_TTL right behind SELECT";
            session.plan.warnings.push(error("W0503", hint.clone(), message, help));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let Session { translator, mut plan, .. } = session;
        plan.ops = translator.ops;
        plan.places = translator.places;
        plan.warnings.extend(translator.warnings);
        Ok(plan)
    }
}

/// What the statements before have left behind.
struct Session<'a> {
    functions: &'a Functions,
    script: &'a Script<'a>,
    request: SqlRequest<'a>,
    catalog: Catalog,
    translator: Translator<'a>,
    plan: SqlPlan,
    /// Where hints stand that were understood.
    used_hints: Vec<Range<usize>>,
}

impl Session<'_> {
    fn statement(&mut self, statement: Statement) -> Result<(), SqlDiagnostic> {
        match statement {
            Statement::Nothing => Ok(()),
            Statement::Set { key, value, at } => {
                self.plan.settings.push(SqlSetting { key, value, span: at });
                Ok(())
            }
            Statement::CreateTable(table) => self.create_table(*table),
            Statement::CreateView { name, at, columns, query } => {
                self.free_name(&name, &at)?;
                let plan = self.analysed(&query)?;
                let plan = renamed(plan, &columns, &at)?;
                self.catalog.views.insert(name, View { plan });
                Ok(())
            }
            Statement::CreateFunction { name, at } => self.create_function(&name, at),
            Statement::Drop { name, at, if_exists } => {
                let dropped = self.catalog.tables.remove(&name).is_some()
                    || self.catalog.views.remove(&name).is_some()
                    || self.catalog.functions.remove(&name.to_lowercase()).is_some();
                match dropped || if_exists {
                    true => Ok(()),
                    false => Err(self.unknown_table(&name, at)),
                }
            }
            Statement::Alter(alter) => alter.apply(&mut self.catalog),
            Statement::Insert(insert) => self.insert(&insert),
            Statement::Query(tokens) => self.query(&tokens),
            Statement::Explain { details, inner } => self.explain(&details, *inner),
            Statement::ShowTables { views } => {
                let names: Vec<&String> = match views {
                    true => self.catalog.views.keys().collect(),
                    false => self.catalog.tables.keys().chain(self.catalog.views.keys()).collect(),
                };
                let rows = names.into_iter().map(|n| vec![n.clone()]).collect();
                let columns = vec![if views { "view name" } else { "table name" }.to_owned()];
                self.plan.answers.push(SqlAnswer { columns, rows });
                Ok(())
            }
            Statement::Describe { name, at } => self.describe(&name, at),
        }
    }

    fn unknown_table(&self, name: &str, at: Range<usize>) -> SqlDiagnostic {
        let known = self.catalog.names();
        let help = format!("tables and views: {}", known.join(", "));
        let mut found = error("E0511", at, format!("unknown table `{name}`"), help);
        found.label =
            closest(name, known.iter().map(String::as_str)).map(|c| format!("did you mean `{c}`?"));
        if known.is_empty() {
            found.help = Some("create it before with CREATE TABLE".to_owned());
        }
        found
    }

    fn free_name(&self, name: &str, at: &Range<usize>) -> Result<(), SqlDiagnostic> {
        if self.catalog.tables.contains_key(name) || self.catalog.views.contains_key(name) {
            let message = format!("`{name}` exists already");
            return Err(error(
                "E0517",
                at.clone(),
                message,
                "choose another name, or drop it before",
            ));
        }
        Ok(())
    }

    fn create_table(&mut self, mut table: create_table::CreateTable) -> Result<(), SqlDiagnostic> {
        if table.if_not_exists && self.catalog.tables.contains_key(&table.name) {
            return Ok(());
        }
        self.free_name(&table.name, &table.at)?;
        if let Some(like) = table.like.take() {
            let Some(other) = self.catalog.tables.get(&like.name) else {
                return Err(self.unknown_table(&like.name, like.at));
            };
            like.apply(&mut table, other)?;
        }
        if let Some(tokens) = table.query.take() {
            let plan = self.analysed(&tokens)?;
            for field in plan.schema().fields() {
                let kind = ColumnKind::Physical {
                    data_type: field.data_type().clone(),
                    nullable: field.is_nullable(),
                };
                table.columns.push(ColumnDef {
                    name: field.name().clone(),
                    at: table.at.clone(),
                    kind,
                });
            }
            let insert = Insert {
                table: table.name.clone(),
                at: table.at.clone(),
                columns: Vec::new(),
                partition: Vec::new(),
                query: tokens,
            };
            known_columns(&table)?;
            self.catalog.tables.insert(table.name.clone(), table);
            return self.insert(&insert);
        }
        if table.columns.is_empty() {
            let message = format!("table `{}` has no columns", table.name);
            return Err(error(
                "E0504",
                table.at,
                message,
                "write CREATE TABLE name (column TYPE, ...)",
            ));
        }
        known_columns(&table)?;
        self.catalog.tables.insert(table.name.clone(), table);
        Ok(())
    }

    fn create_function(&mut self, name: &str, at: Range<usize>) -> Result<(), SqlDiagnostic> {
        let after = self.script.tokens.iter().filter(|t| t.at.start > at.end);
        let class = after.take(3).find_map(|t| match &t.token.token {
            datafusion_sql::sqlparser::tokenizer::Token::SingleQuotedString(s) => Some(s.clone()),
            _ => None,
        });
        let known = class.as_deref().and_then(|c| KNOWN_CLASSES.iter().find(|(k, _)| *k == c));
        match known {
            Some((_, builtin)) => {
                self.catalog.functions.insert(name.to_lowercase(), builtin);
                Ok(())
            }
            None => {
                let message = format!("function `{name}` is code for Flink, which cannot run here");
                let help = "use a function there is: docs/sql lists them";
                Err(error("E0507", at, message, help))
            }
        }
    }

    /// The plan of a query as SqlToRel makes it.
    fn analysed(&mut self, tokens: &Range<usize>) -> Result<LogicalPlan, SqlDiagnostic> {
        let columns_of = |name: &str| self.catalog.column_names(name);
        let (query, notes) = parse::query(self.script, tokens, &columns_of)?;
        self.used_hints.extend(notes.used_hints);
        for doubt in notes.warnings {
            if !self.plan.warnings.contains(&doubt) {
                self.plan.warnings.push(doubt);
            }
        }
        let mut provider = Provider::new(&self.catalog, self.functions, self.request);
        for hinted in notes.hinted {
            let Some(table) = self.catalog.tables.get(&hinted.base) else {
                let message = format!("`{}` is no table, so it takes no options", hinted.base);
                let at = hinted.options.first().map_or(0..1, |o| o.key_at.clone());
                return Err(error("E0528", at, message, "options belong to tables, not to views"));
            };
            provider.hinted.insert(hinted.name, hints::with_options(table, &hinted.options));
        }
        let options = ParserOptions::default()
            .with_enable_ident_normalization(false)
            .with_map_string_types_to_utf8view(false)
            .with_support_varchar_with_length(true)
            .with_parse_float_as_decimal(true)
            .with_collect_spans(true);
        let planner = SqlToRel::new_with_options(&provider, options);
        let statement = AstStatement::Query(Box::new(query));
        planner
            .statement_to_plan(PlanStatement::Statement(Box::new(statement)))
            .and_then(|plan| cast_rules::of_plan(&plan).map(|()| plan))
            .map_err(|e| errors::of_planner(&e, self.script, tokens, &provider))
    }

    /// The plan of a query, ready to be translated.
    fn planned(&mut self, tokens: &Range<usize>) -> Result<LogicalPlan, SqlDiagnostic> {
        let plan = self.analysed(tokens)?;
        let provider = Provider::new(&self.catalog, self.functions, self.request);
        let failed = |e: DataFusionError| errors::of_planner(&e, self.script, tokens, &provider);
        optimize::optimize(plan, &self.functions.options).map_err(failed)
    }

    fn insert(&mut self, insert: &Insert) -> Result<(), SqlDiagnostic> {
        if self.catalog.views.contains_key(&insert.table) {
            let message = format!("`{}` is a view, which cannot be written to", insert.table);
            return Err(error("E0518", insert.at.clone(), message, "insert into a table"));
        }
        let Some(table) = self.catalog.tables.get(&insert.table) else {
            return Err(self.unknown_table(&insert.table, insert.at.clone()));
        };
        let table = match hints::table_options(self.script, insert.at.end)? {
            Some((options, at)) => {
                self.used_hints.push(at);
                hints::with_options(table, &options)
            }
            None => table.clone(),
        };
        let plan = self.planned(&insert.query)?;
        let doubts = self.translator.warnings.len();
        let planned = self.translator.insert(&table, insert, &plan);
        self.nearer(planned, doubts, &insert.at, &insert.query)
    }

    /// What the translator said of one statement, at the words that it is about. `doubts` are
    /// of statements before.
    fn nearer(
        &mut self,
        planned: Result<(), SqlDiagnostic>,
        doubts: usize,
        at: &Range<usize>,
        tokens: &Range<usize>,
    ) -> Result<(), SqlDiagnostic> {
        for doubt in &mut self.translator.warnings[doubts..] {
            *doubt = nearer::word(doubt.clone(), at, self.script, tokens);
        }
        planned.map_err(|e| nearer::word(e, at, self.script, tokens))
    }

    fn query(&mut self, tokens: &Range<usize>) -> Result<(), SqlDiagnostic> {
        let Some(sink) = self.request.preview else {
            let at = errors::statement_start(self.script, tokens);
            let message = "the rows of this query go nowhere";
            return Err(error("E0503", at, message, "write INSERT INTO table before it"));
        };
        let plan = self.planned(tokens)?;
        let doubts = self.translator.warnings.len();
        let planned = self.translator.preview(sink, tokens, &plan);
        let whole = self.script.span_of(tokens);
        self.nearer(planned, doubts, &whole, tokens)
    }

    /// The operators of one statement, as text.
    fn explain(&mut self, details: &[String], inner: Statement) -> Result<(), SqlDiagnostic> {
        let tokens = match &inner {
            Statement::Insert(insert) => insert.query.clone(),
            Statement::Query(tokens) => tokens.clone(),
            _ => return Ok(()),
        };
        let plan = self.planned(&tokens)?;
        let mut translator = Translator::new(&self.request, self.script);
        match &inner {
            Statement::Insert(insert) => {
                let Some(table) = self.catalog.tables.get(&insert.table) else {
                    return Err(self.unknown_table(&insert.table, insert.at.clone()));
                };
                translator.insert(table, insert, &plan)?;
            }
            _ => translator.preview("blackhole", &tokens, &plan)?,
        }
        let rows = translate::explain::lines(&translator, details, &plan);
        let rows = rows.into_iter().map(|line| vec![line]).collect();
        self.plan.answers.push(SqlAnswer { columns: vec!["plan".to_owned()], rows });
        Ok(())
    }

    fn describe(&mut self, name: &str, at: Range<usize>) -> Result<(), SqlDiagnostic> {
        let row = |name: &str, t: &arrow::datatypes::DataType, nullable: bool, extra: &str| {
            vec![
                name.to_owned(),
                planner::sql_type::show(t),
                if nullable { "TRUE" } else { "FALSE" }.to_owned(),
                extra.to_owned(),
            ]
        };
        let rows = if let Some(view) = self.catalog.views.get(name) {
            let fields = view.plan.schema().fields().iter();
            fields.map(|f| row(f.name(), f.data_type(), f.is_nullable(), "")).collect()
        } else if let Some(table) = self.catalog.tables.get(name) {
            let mut rows = Vec::new();
            for column in &table.columns {
                let watermark = table.watermark.as_ref().filter(|w| w.column == column.name);
                let extra = watermark.map(|w| format!("watermark {}", w.expr)).unwrap_or_default();
                match &column.kind {
                    ColumnKind::Physical { data_type, nullable } => {
                        rows.push(row(&column.name, data_type, *nullable, &extra));
                    }
                    ColumnKind::Metadata { data_type, key, .. } => {
                        rows.push(row(
                            &column.name,
                            data_type,
                            true,
                            &format!("metadata from {key}"),
                        ));
                    }
                    ColumnKind::Computed { expr, .. } => rows.push(vec![
                        column.name.clone(),
                        String::new(),
                        String::new(),
                        format!("AS {expr} {extra}").trim_end().to_owned(),
                    ]),
                }
            }
            rows
        } else {
            return Err(self.unknown_table(name, at));
        };
        let columns = ["name", "type", "null", "extras"].map(str::to_owned).to_vec();
        self.plan.answers.push(SqlAnswer { columns, rows });
        Ok(())
    }
}

/// Refuses a primary key and partitions of columns that there are not.
fn known_columns(table: &create_table::CreateTable) -> Result<(), SqlDiagnostic> {
    for (key, at) in table.primary_key.iter().chain(&table.partitioned_by) {
        if !table.columns.iter().any(|c| c.name == *key) {
            let known: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
            let message = format!("unknown column `{key}`");
            let help = format!("columns: {}", known.join(", "));
            let mut found = error("E0303", at.clone(), message, help);
            found.label = closest(key, known).map(|c| format!("did you mean `{c}`?"));
            return Err(found);
        }
    }
    Ok(())
}

/// A view's plan with the names that its column list gives.
fn renamed(
    plan: LogicalPlan,
    columns: &[String],
    at: &Range<usize>,
) -> Result<LogicalPlan, SqlDiagnostic> {
    if columns.is_empty() {
        return Ok(plan);
    }
    let fields = plan.schema().fields().len();
    if fields != columns.len() {
        let message =
            format!("the view names {} columns, but its query has {fields}", columns.len());
        return Err(error("E0514", at.clone(), message, "name every column, or none"));
    }
    let exprs: Vec<_> = plan
        .schema()
        .columns()
        .into_iter()
        .zip(columns)
        .map(|(column, name)| datafusion_expr::Expr::Column(column).alias(name))
        .collect();
    datafusion_expr::LogicalPlanBuilder::from(plan)
        .project(exprs)
        .and_then(datafusion_expr::LogicalPlanBuilder::build)
        .map_err(|e| error("E0513", at.clone(), e.to_string(), ""))
}
