//! How a declared table is read or written: its connector with Flink's options in ours, its
//! computed columns, its watermark. Called by `catalog` and `translate`.

use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion_common::DFSchema;
use model::connector::{OptionError, Role, SourceSpec};
use model::expression::ExpressionError;
use planner::diagnostic::closest;
use planner::sql::{SqlDiagnostic, SqlRequest};

use super::catalog::{ColumnOrigin, ScanColumn, ScanPlan, ScanSource};
use super::create_table::{ColumnDef, ColumnKind, CreateTable, OptionDef, WatermarkDef};
use super::lookup_options;
use super::options::{self, Native};
use super::script::error;
use crate::text::Text;

/// The connector's name and options in our form.
pub(crate) fn native(
    table: &CreateTable,
    role: Role,
    request: &SqlRequest<'_>,
) -> Result<Native, SqlDiagnostic> {
    let Some(connector) = connector_of(table) else {
        let message = format!("table `{}` has no connector", table.name);
        let help = "add WITH ('connector' = '...')";
        return Err(error("E0401", table.at.clone(), message, help));
    };
    let all = request.connectors.list();
    if !all.iter().any(|c| c.role == role && c.name == connector.value) {
        let word = if role == Role::Source { "source" } else { "sink" };
        let known: Vec<&str> = all.iter().filter(|c| c.role == role).map(|c| c.name).collect();
        let exists = all.iter().any(|c| c.name == connector.value);
        let message = match exists {
            true => format!("connector '{}' cannot be a {word}", connector.value),
            false => format!("unknown connector '{}'", connector.value),
        };
        let help = format!("connectors for a {word}: {}", known.join(", "));
        let mut found = error("E0401", connector.value_at.clone(), message, help);
        found.label = closest(&connector.value, known.iter().copied())
            .filter(|_| !exists)
            .map(|c| format!("did you mean '{c}'?"));
        return Err(found);
    }
    options::native(table, connector, role)
}

fn connector_of(table: &CreateTable) -> Option<&OptionDef> {
    table.options.iter().find(|o| o.key == "connector" || o.key == "connector.type")
}

/// A connector's complaint, at the option that it is about.
pub(crate) fn option_error(
    failed: &OptionError,
    table: &CreateTable,
    native: &Native,
) -> SqlDiagnostic {
    if let [option, name] = failed.path.as_slice()
        && option == "metadata"
        && let Some(column) = table.columns.iter().find(|c| c.name == *name)
    {
        let help = failed.help.clone().unwrap_or_default();
        return error("E0515", column.at.clone(), failed.message.clone(), help);
    }
    let path = failed.path.join(".");
    // `format` is written as `format.type`.
    let is_of = |p: &str| p == path || p.strip_suffix(".type") == Some(&path);
    let option = native.origin.iter().find(|(p, _)| is_of(p)).map(|(_, i)| &table.options[*i]);
    let at = match option {
        Some(option) if failed.at_key => option.key_at.clone(),
        Some(option) => option.value_at.clone(),
        None => table.at.clone(),
    };
    let message = match option {
        Some(option) => failed.message.replace(&format!("`{path}`"), &format!("'{}'", option.key)),
        None => failed.message.clone(),
    };
    error("E0402", at, message, failed.help.clone().unwrap_or_default())
}

/// The columns that come from outside.
fn physical_schema(table: &CreateTable) -> SchemaRef {
    let fields = table.columns.iter().filter_map(|c| match &c.kind {
        ColumnKind::Metadata { data_type, .. } => {
            Some(Field::new(&c.name, data_type.clone(), true))
        }
        ColumnKind::Physical { data_type, nullable } => {
            let keyed = table.primary_key.iter().any(|(k, _)| *k == c.name);
            Some(Field::new(&c.name, data_type.clone(), *nullable && !keyed))
        }
        _ => None,
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// How `table` is read.
pub(crate) fn plan(
    table: &CreateTable,
    request: &SqlRequest<'_>,
) -> Result<ScanPlan, SqlDiagnostic> {
    let native = native(table, Role::Source, request)?;
    let own = options::brings_schema(&native.connector);
    let declared = physical_schema(table);
    let source = SourceSpec {
        connector: native.connector.clone(),
        options: native.options.clone(),
        declared_schema: (!own).then(|| declared.clone()),
        projection: None,
        pushdown: Default::default(),
    };
    let built = request.connectors.source(&source).map_err(|e| option_error(&e, table, &native))?;
    let physical = built.schema();
    let columns =
        table.columns.iter().map(|column| scan_column(column, &native, &physical, request));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let watermark = match &table.watermark {
        Some(def) => Some(watermark(def, &columns)?),
        None => None,
    };
    let bounded = built.is_bounded();
    let changelog = model::row_kind::is_changelog(&physical);
    let lookup_refresh_ms = lookup_options::refresh_ms(table)?;
    let key: Vec<String> = table.primary_key.iter().map(|(name, _)| name.clone()).collect();
    let unique = (changelog && !key.is_empty()).then_some(key);
    Ok(ScanPlan {
        source,
        physical,
        columns,
        watermark,
        bounded,
        lookup_refresh_ms,
        changelog,
        unique,
    })
}

/// How the column is made, and whether the table's `physical` columns let it.
fn scan_column(
    column: &ColumnDef,
    native: &Native,
    physical: &SchemaRef,
    request: &SqlRequest<'_>,
) -> Result<ScanColumn, SqlDiagnostic> {
    let (data_type, nullable, origin) = match &column.kind {
        ColumnKind::Metadata { .. } if native.connector != "filesystem" => {
            let message = format!(
                "column `{}` is metadata, which connector '{}' does not have",
                column.name, native.connector
            );
            return Err(error("E0515", column.at.clone(), message, "remove the column"));
        }
        ColumnKind::Physical { data_type, .. } | ColumnKind::Metadata { data_type, .. } => {
            let Ok(field) = physical.field_with_name(&column.name) else {
                let known: Vec<&str> =
                    physical.fields().iter().map(|f| f.name().as_str()).collect();
                let message =
                    format!("connector '{}' has no column `{}`", native.connector, column.name);
                let help = format!("its columns: {}", known.join(", "));
                return Err(error("E0515", column.at.clone(), message, help));
            };
            if options::brings_schema(&native.connector)
                && !options::same_type(field.data_type(), data_type)
            {
                let message = format!(
                    "column `{}` is {}, but is declared as {}",
                    column.name,
                    planner::sql_type::show(field.data_type()),
                    planner::sql_type::show(data_type)
                );
                return Err(error("E0515", column.at.clone(), message, "declare it as it is"));
            }
            (field.data_type().clone(), field.is_nullable(), ColumnOrigin::Physical)
        }
        ColumnKind::Computed { expr, .. } if is_proctime(expr) => {
            let stamp = arrow::datatypes::TimeUnit::Millisecond;
            let data_type = arrow::datatypes::DataType::Timestamp(stamp, None);
            (data_type, false, ColumnOrigin::ProcessingTime)
        }
        // The generator has the event time as a column of its own, so that its rows need
        // not be made for it.
        ColumnKind::Computed { expr, .. }
            if native.connector == "nexmark"
                && column.name == "dateTime"
                && options::is_nexmark_time(expr)
                && physical.index_of(&column.name).is_ok() =>
        {
            let field = physical
                .field_with_name(&column.name)
                .map_err(|e| error("E0515", column.at.clone(), e.to_string(), ""))?;
            (field.data_type().clone(), field.is_nullable(), ColumnOrigin::Physical)
        }
        ColumnKind::Computed { expr, at } => {
            let compiled =
                request.expressions.compile(expr, physical).map_err(|e| expression_error(e, at))?;
            let data_type = compiled.data_type().clone();
            (data_type, compiled.nullable(), ColumnOrigin::Computed(expr.clone()))
        }
    };
    Ok(ScanColumn { name: column.name.clone(), data_type, nullable, origin })
}

pub(crate) fn source(name: &str, plan: ScanPlan) -> ScanSource {
    let fields: Vec<Field> =
        plan.columns.iter().map(|c| Field::new(&c.name, c.data_type.clone(), c.nullable)).collect();
    ScanSource { name: name.to_owned(), schema: Arc::new(Schema::new(fields)), plan }
}

fn is_proctime(expr: &str) -> bool {
    let text: String = expr.chars().filter(|c| !c.is_whitespace()).collect();
    text.eq_ignore_ascii_case("proctime()")
}

/// An error of the expression engine, moved to where the expression stands.
pub(crate) fn expression_error(failed: ExpressionError, at: &Range<usize>) -> SqlDiagnostic {
    let span = match failed.span {
        Some(span) => at.start + span.start..(at.start + span.end).min(at.end.max(at.start + 1)),
        None => at.clone(),
    };
    let code = if failed.message.starts_with("unknown column") { "E0303" } else { "E0301" };
    error(code, span, failed.message, failed.help.unwrap_or_default())
}

/// `column`, or `column - INTERVAL '...' UNIT`, as column and delay.
fn watermark(def: &WatermarkDef, columns: &[ScanColumn]) -> Result<(String, i64), SqlDiagnostic> {
    let Some(column) = columns.iter().find(|c| c.name == def.column) else {
        let known: Vec<&str> = columns.iter().map(|c| c.name.as_str()).collect();
        let message = format!("unknown column `{}`", def.column);
        let help = format!("columns: {}", known.join(", "));
        let mut found = error("E0303", def.column_at.clone(), message, help);
        found.label = closest(&def.column, known).map(|c| format!("did you mean `{c}`?"));
        return Err(found);
    };
    if !model::operator_schema::can_be_time(&column.data_type) {
        let message = format!(
            "column `{}` is {}, but event time is TIMESTAMP or TIMESTAMP_LTZ",
            column.name,
            planner::sql_type::show(&column.data_type)
        );
        let help = "compute one: ts AS TO_TIMESTAMP_LTZ(column, 3)";
        return Err(error("E0516", def.column_at.clone(), message, help));
    }
    if column.data_type == arrow::datatypes::DataType::Int64 {
        let message = format!("column `{}` is BIGINT, but event time is a TIMESTAMP", column.name);
        let help = "compute one: ts AS TO_TIMESTAMP_LTZ(column, 3), and use it here";
        return Err(error("E0516", def.column_at.clone(), message, help));
    }
    let refuse = || {
        let help = format!("write {0} or {0} - INTERVAL '5' SECOND", def.column);
        error("E0516", def.at.clone(), "a watermark is its column, minus a constant interval", help)
    };
    let text = Text::new(&def.expr).map_err(|e| expression_error(e, &def.at))?;
    let words: Vec<String> = text.tokens.iter().map(|t| t.token.to_string()).collect();
    let name = words.first().map(|w| planner::names::unquote(w)).unwrap_or_default();
    if name != def.column {
        return Err(refuse());
    }
    match words.get(1).map(String::as_str) {
        None => Ok((def.column.clone(), 0)),
        Some("-") => {
            let interval =
                text.source[text.range(&text.tokens[2.min(text.tokens.len() - 1)]).start..].trim();
            let delay = interval_ms(interval).ok_or_else(refuse)?;
            Ok((def.column.clone(), delay))
        }
        _ => Err(refuse()),
    }
}

/// The milliseconds of a constant interval as text.
fn interval_ms(text: &str) -> Option<i64> {
    use datafusion_sql::planner::{PlannerContext, SqlToRel};
    use datafusion_sql::sqlparser::parser::Parser;
    let functions = crate::registry::Functions::new();
    let provider = crate::registry::Provider::new(&functions);
    crate::parse_budget::allow(text.len());
    let mut parser = Parser::new(&super::dialect::DIALECT).try_with_sql(text).ok()?;
    let ast = parser.parse_expr().ok()?;
    let planner = SqlToRel::new(&provider);
    let expr = planner.sql_to_expr(ast, &DFSchema::empty(), &mut PlannerContext::new()).ok()?;
    super::relations::milliseconds(&expr).filter(|ms| *ms >= 0)
}
