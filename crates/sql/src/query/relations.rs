//! Relations that DataFusion does not know: window table functions and versions of tables.
//! They become extension nodes of its plan, which `translate` turns into operators.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion_common::{
    Column, DFSchema, DFSchemaRef, DataFusionError, Diagnostic, Result, ScalarValue,
    Span as PlanSpan, plan_err,
};
use datafusion_expr::logical_plan::{LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion_expr::{Expr, Extension};
use datafusion_sql::sqlparser::ast::{
    Expr as Ast, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName,
    ObjectNamePart, TableAlias, TableFactor, TableVersion,
};
use model::operator_spec::{WINDOW_END, WINDOW_START};

use super::forms::PARTITION_BY;
use super::hints::STATE_TTL;
use super::match_recognize;
use super::match_recognize::forms::SUBQUERY;
use super::parse::BY_GROUP;
use super::sets::SET_OPERATIONS;

mod set_operation;
mod state_ttl;
mod unnest;

pub(crate) use set_operation::SetRelation;
pub(crate) use state_ttl::{StateTtl, hinted_ttl};
pub(crate) use unnest::{UnnestRelation, attach_unnests};

/// The column with the window's last moment, a time attribute.
pub(crate) const WINDOW_TIME: &str = "window_time";

/// Which windows, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Tvf {
    Tumble { size: i64, offset: i64 },
    Hop { slide: i64, size: i64, offset: i64 },
    Cumulate { step: i64, size: i64, offset: i64 },
    Session { gap: i64 },
}

/// Rows with the windows that they fall into.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct WindowTvf {
    pub(crate) input: LogicalPlan,
    pub(crate) time: Expr,
    pub(crate) tvf: Tvf,
    /// Keys of sessions.
    pub(crate) partition: Vec<Expr>,
    /// The keys of sessions are those of the GROUP BY above.
    pub(crate) by_group: bool,
    pub(crate) schema: DFSchemaRef,
}

impl PartialOrd for WindowTvf {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

fn windowed_schema(input: &LogicalPlan) -> Result<DFSchemaRef> {
    let stamp = DataType::Timestamp(TimeUnit::Millisecond, None);
    let mut fields: Vec<_> =
        input.schema().iter().map(|(q, f)| (q.cloned(), Arc::clone(f))).collect();
    for name in [WINDOW_START, WINDOW_END, WINDOW_TIME] {
        fields.push((None, Arc::new(Field::new(name, stamp.clone(), false))));
    }
    Ok(Arc::new(DFSchema::new_with_metadata(fields, Default::default())?))
}

impl UserDefinedLogicalNodeCore for WindowTvf {
    fn name(&self) -> &str {
        "WindowTvf"
    }
    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }
    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }
    fn expressions(&self) -> Vec<Expr> {
        std::iter::once(self.time.clone()).chain(self.partition.iter().cloned()).collect()
    }
    /// A condition on the window's bounds cannot go below it; and below a session's none.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        match self.tvf {
            Tvf::Session { .. } => self.schema.fields().iter().map(|f| f.name().clone()).collect(),
            _ => [WINDOW_START, WINDOW_END, WINDOW_TIME].map(str::to_owned).into(),
        }
    }
    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WindowTvf: {:?} on {}", self.tvf, self.time)
    }
    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let (mut exprs, mut inputs) = (exprs.into_iter(), inputs.into_iter());
        let (Some(time), Some(input)) = (exprs.next(), inputs.next()) else {
            return plan_err!("a window needs a time column and an input");
        };
        let schema = windowed_schema(&input)?;
        let partition = exprs.collect();
        Ok(Self { input, time, partition, schema, ..self.clone() })
    }
}

/// A table as it was at a time: the right side of a temporal or lookup join.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AsOf {
    pub(crate) input: LogicalPlan,
    /// The column of the left side with the time, as written.
    pub(crate) time: Vec<String>,
}

impl PartialOrd for AsOf {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for AsOf {
    fn name(&self) -> &str {
        "AsOf"
    }
    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }
    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }
    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }
    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AsOf: {}", self.time.join("."))
    }
    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        match inputs.into_iter().next() {
            Some(input) => Ok(Self { input, time: self.time.clone() }),
            None => plan_err!("a version of a table needs the table"),
        }
    }
}

/// Plans the relations of this file.
#[derive(Debug)]
pub(crate) struct Relations;

impl RelationPlanner for Relations {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        match relation {
            TableFactor::TableFunction { expr: Ast::Function(call), alias } => {
                let FunctionArguments::List(list) = call.args else {
                    return plan_err!("a table function needs arguments");
                };
                let ident = last_part(&call.name);
                let kind = ident.map(|i| i.value.as_str()).unwrap_or_default();
                if SET_OPERATIONS.contains(&kind) {
                    return set_operation::plan(kind, ident, list.args, alias, context);
                }
                if kind == STATE_TTL {
                    return state_ttl::plan(list.args, alias, context);
                }
                window(&call.name, list.args, alias, context)
            }
            TableFactor::UNNEST { alias, array_exprs, with_ordinality, .. } => {
                unnest::plan(array_exprs, with_ordinality, alias, context)
            }
            TableFactor::MatchRecognize { .. } => match_recognize::relation(relation, context),
            TableFactor::Table { name, args: Some(args), alias, .. } if is_subquery(&name) => {
                let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(query))) =
                    args.args.into_iter().next()
                else {
                    return plan_err!("a subquery is empty");
                };
                let plan = context.plan(table_of(query, last_part(&name))?)?;
                Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
            }
            TableFactor::Table { name, args: Some(args), alias, .. } if is_window(&name) => {
                window(&name, args.args, alias, context)
            }
            TableFactor::Table {
                name,
                alias,
                args,
                with_hints,
                version: Some(TableVersion::ForSystemTimeAsOf(time)),
                with_ordinality,
                partitions,
                json_path,
                sample,
                index_hints,
            } => {
                let time = time_of_version(time)?;
                let table = TableFactor::Table {
                    name,
                    alias: None,
                    args,
                    with_hints,
                    version: None,
                    with_ordinality,
                    partitions,
                    json_path,
                    sample,
                    index_hints,
                };
                let input = context.plan(table)?;
                let node =
                    LogicalPlan::Extension(Extension { node: Arc::new(AsOf { input, time }) });
                Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(node, alias))))
            }
            other => Ok(RelationPlanning::Original(Box::new(other))),
        }
    }
}

/// The column of `FOR SYSTEM_TIME AS OF`, in parts.
fn time_of_version(time: Ast) -> Result<Vec<String>> {
    match time {
        Ast::Identifier(ident) => Ok(vec![ident.value]),
        Ast::CompoundIdentifier(parts) => Ok(parts.into_iter().map(|p| p.value).collect()),
        other => {
            plan_err!("FOR SYSTEM_TIME AS OF needs a time column of the left table, not `{other}`")
        }
    }
}

fn last_part(name: &ObjectName) -> Option<&Ident> {
    name.0.last().and_then(ObjectNamePart::as_ident)
}

fn is_window(name: &ObjectName) -> bool {
    let name = last_part(name).map(|i| i.value.to_uppercase()).unwrap_or_default();
    ["TUMBLE", "HOP", "CUMULATE", "SESSION"].contains(&name.as_str())
}

fn is_subquery(name: &ObjectName) -> bool {
    last_part(name).is_some_and(|i| i.value == SUBQUERY)
}

/// An error with its place.
pub(crate) fn failed(message: String, ident: Option<&Ident>) -> DataFusionError {
    let span = ident.and_then(|i| PlanSpan::try_from_sqlparser_span(i.span));
    DataFusionError::Plan(message.clone()).with_diagnostic(Diagnostic::new_error(message, span))
}

/// What a window function was called with.
struct WindowArguments {
    /// By position; see [`parameters`].
    found: Vec<Option<Ast>>,
    partition_by: Vec<Ast>,
    by_group: bool,
}

/// The parameters of a window function.
fn parameters(kind: &str, ident: Option<&Ident>) -> Result<&'static [&'static str]> {
    Ok(match kind {
        "TUMBLE" => &["DATA", "TIMECOL", "SIZE", "OFFSET"],
        "HOP" => &["DATA", "TIMECOL", "SLIDE", "SIZE", "OFFSET"],
        "CUMULATE" => &["DATA", "TIMECOL", "STEP", "SIZE", "OFFSET"],
        "SESSION" => &["DATA", "TIMECOL", "GAP"],
        other => {
            let message = format!(
                "unknown table function `{other}`: there are TUMBLE, HOP, CUMULATE and SESSION"
            );
            return Err(failed(message, ident));
        }
    })
}

fn window_arguments(
    args: Vec<FunctionArg>,
    kind: &str,
    names: &[&str],
    ident: Option<&Ident>,
) -> Result<WindowArguments> {
    let found = vec![None; names.len()];
    let mut arguments = WindowArguments { found, partition_by: Vec::new(), by_group: false };
    let mut next = 0;
    for arg in args {
        let (slot, expr) = match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => {
                if let Some(keys) = call_args(&expr, PARTITION_BY) {
                    arguments.partition_by = keys;
                    continue;
                }
                if call_args(&expr, BY_GROUP).is_some() {
                    arguments.by_group = true;
                    continue;
                }
                next += 1;
                (Some(next - 1), expr)
            }
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(expr), .. } => {
                let upper = name.value.to_uppercase();
                (names.iter().position(|n| *n == upper), expr)
            }
            other => return Err(failed(format!("{kind} does not take `{other}`"), ident)),
        };
        match slot.and_then(|s| arguments.found.get_mut(s)) {
            Some(place) => *place = Some(expr),
            None => {
                let message = format!("{kind} takes {}", names.join(", "));
                return Err(failed(message, ident));
            }
        }
    }
    Ok(arguments)
}

/// The window of `kind` with its lengths, in milliseconds and in the order of [`parameters`].
fn tvf(
    kind: &str,
    names: &[&str],
    lengths: [Option<i64>; 3],
    ident: Option<&Ident>,
) -> Result<Tvf> {
    let missing = || failed(format!("{kind} needs {}", names.join(", ")), ident);
    let [first, second, third] = lengths;
    let first = first.ok_or_else(missing)?;
    let tvf = match kind {
        "TUMBLE" => Tvf::Tumble { size: first, offset: second.unwrap_or(0) },
        "SESSION" => Tvf::Session { gap: first },
        kind => {
            let size = second.ok_or_else(missing)?;
            let offset = third.unwrap_or(0);
            if first <= 0 || size <= 0 || size % first != 0 {
                let word = names[2];
                let message = format!(
                    "SIZE of {kind} ({size} ms) must be a whole multiple of its {word} ({first} ms)"
                );
                return Err(failed(message, ident));
            }
            if kind == "HOP" {
                Tvf::Hop { slide: first, size, offset }
            } else {
                Tvf::Cumulate { step: first, size, offset }
            }
        }
    };
    if first <= 0 {
        return Err(failed(format!("{} of {kind} must be longer than nothing", names[2]), ident));
    }
    Ok(tvf)
}

/// The column of `input` that `ident` names.
fn column_of(input: &LogicalPlan, ident: &Ident) -> Result<Expr> {
    let matches = input.schema().qualified_fields_with_unqualified_name(&ident.value);
    if let Some(found) = matches.first() {
        return Ok(Expr::Column(Column::from(*found)));
    }
    let known: Vec<&str> = input.schema().fields().iter().map(|f| f.name().as_str()).collect();
    let message = format!("unknown column `{}`; columns: {}", ident.value, known.join(", "));
    Err(failed(message, Some(ident)))
}

fn window(
    name: &ObjectName,
    args: Vec<FunctionArg>,
    alias: Option<TableAlias>,
    context: &mut dyn RelationPlannerContext,
) -> Result<RelationPlanning> {
    let ident = last_part(name);
    let kind = ident.map(|i| i.value.to_uppercase()).unwrap_or_default();
    let names = parameters(&kind, ident)?;
    let WindowArguments { mut found, partition_by, by_group } =
        window_arguments(args, &kind, names, ident)?;
    let mut take = |index: usize| found[index].take();
    let missing = || failed(format!("{kind} needs {}", names.join(", ")), ident);
    let data = take(0).ok_or_else(missing)?;
    let time = take(1).ok_or_else(missing)?;
    let input = context.plan(table_of(data, ident)?)?;
    let time_ident = descriptor(&time).ok_or_else(|| {
        failed(format!("{kind} needs DESCRIPTOR(column) as its second argument"), ident)
    })?;
    let time = column_of(&input, time_ident)?;
    let mut length = |index: usize| -> Result<Option<i64>> {
        let Some(expr) = found.get_mut(index).and_then(Option::take) else { return Ok(None) };
        let shown = expr.to_string();
        let planned = context.sql_to_expr(expr, &DFSchema::empty())?;
        let name = names[index];
        milliseconds(&planned).map(Some).ok_or_else(|| {
            let message = format!(
                "{name} of {kind} is `{shown}`, but must be a constant interval of days or less, like INTERVAL '10' SECOND"
            );
            failed(message, ident)
        })
    };
    let lengths = [length(2)?, length(3)?, length(4)?];
    let tvf = tvf(&kind, names, lengths, ident)?;
    let partition = partition_by
        .iter()
        .map(|key| match key {
            Ast::Identifier(ident) => column_of(&input, ident),
            Ast::CompoundIdentifier(parts) if !parts.is_empty() => {
                column_of(&input, &parts[parts.len() - 1])
            }
            other => Err(failed(format!("PARTITION BY takes columns, not `{other}`"), ident)),
        })
        .collect::<Result<Vec<_>>>()?;
    let schema = windowed_schema(&input)?;
    let node = WindowTvf { input, time, tvf, partition, by_group, schema };
    let plan = LogicalPlan::Extension(Extension { node: Arc::new(node) });
    Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
}

fn call_args(expr: &Ast, name: &str) -> Option<Vec<Ast>> {
    let Ast::Function(call) = expr else { return None };
    if last_part(&call.name).is_none_or(|i| i.value != name) {
        return None;
    }
    let FunctionArguments::List(list) = &call.args else { return Some(Vec::new()) };
    let args = list.args.iter().filter_map(|a| match a {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => Some(e.clone()),
        _ => None,
    });
    Some(args.collect())
}

fn descriptor(expr: &Ast) -> Option<&Ident> {
    let Ast::Function(call) = expr else { return None };
    if last_part(&call.name).is_none_or(|i| !i.value.eq_ignore_ascii_case("descriptor")) {
        return None;
    }
    let FunctionArguments::List(list) = &call.args else { return None };
    match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(Ast::Identifier(ident)))] => Some(ident),
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(Ast::CompoundIdentifier(parts)))] => {
            parts.last()
        }
        _ => None,
    }
}

/// The table argument of a window function as a relation.
fn table_of(expr: Ast, ident: Option<&Ident>) -> Result<TableFactor> {
    let idents = match expr {
        Ast::Identifier(ident) => vec![ident],
        Ast::CompoundIdentifier(parts) => parts,
        Ast::Subquery(subquery) => {
            return Ok(TableFactor::Derived {
                lateral: false,
                subquery,
                alias: None,
                sample: None,
            });
        }
        other => {
            let message = format!("the first argument must be a table, not `{other}`");
            return Err(failed(message, ident));
        }
    };
    Ok(TableFactor::Table {
        name: ObjectName(idents.into_iter().map(ObjectNamePart::Identifier).collect()),
        alias: None,
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    })
}

/// A constant interval without months, in milliseconds.
pub(crate) fn milliseconds(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(v)), _) if v.months == 0 => {
            i64::from(v.days).checked_mul(86_400_000)?.checked_add(v.nanoseconds / 1_000_000)
        }
        Expr::Literal(ScalarValue::IntervalDayTime(Some(v)), _) => {
            i64::from(v.days).checked_mul(86_400_000)?.checked_add(i64::from(v.milliseconds))
        }
        Expr::Negative(inner) => milliseconds(inner)?.checked_neg(),
        Expr::Cast(cast) => milliseconds(&cast.expr),
        Expr::Alias(alias) => milliseconds(&alias.expr),
        _ => None,
    }
}
