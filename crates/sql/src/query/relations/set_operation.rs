//! INTERSECT and EXCEPT as nodes of the plan, with both sides of one type. DataFusion would
//! make joins of them, which count duplicates wrongly on a changelog.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::Field;
use datafusion_common::{DFSchema, DFSchemaRef, Result, plan_err};
use datafusion_expr::expr::Cast;
use datafusion_expr::logical_plan::{LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion_expr::planner::{PlannedRelation, RelationPlannerContext, RelationPlanning};
use datafusion_expr::type_coercion::binary::type_union_coercion;
use datafusion_expr::{Expr, Extension, LogicalPlanBuilder};
use datafusion_sql::sqlparser::ast::{
    Expr as Ast, FunctionArg, FunctionArgExpr, Ident, TableAlias, TableFactor,
};

use super::failed;

/// Rows of the left that are (or are not) on the right.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SetRelation {
    pub(crate) left: LogicalPlan,
    pub(crate) right: LogicalPlan,
    pub(crate) except: bool,
    /// Keeps duplicates.
    pub(crate) all: bool,
    pub(crate) schema: DFSchemaRef,
}

impl PartialOrd for SetRelation {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for SetRelation {
    fn name(&self) -> &str {
        "SetOperation"
    }
    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.left, &self.right]
    }
    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }
    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }
    /// The sides name their columns otherwise than the result does.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.schema.fields().iter().map(|f| f.name().clone()).collect()
    }
    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.except { "EXCEPT" } else { "INTERSECT" };
        write!(f, "SetOperation: {word}{}", if self.all { " ALL" } else { "" })
    }
    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let mut inputs = inputs.into_iter();
        match (inputs.next(), inputs.next()) {
            (Some(left), Some(right)) => Ok(Self { left, right, ..self.clone() }),
            _ => plan_err!("a set operation needs two inputs"),
        }
    }
}

/// `kind` is one of `sets::SET_OPERATIONS`.
pub(super) fn plan(
    kind: &str,
    ident: Option<&Ident>,
    args: Vec<FunctionArg>,
    alias: Option<TableAlias>,
    context: &mut dyn RelationPlannerContext,
) -> Result<RelationPlanning> {
    let mut sides = Vec::new();
    for arg in args {
        let FunctionArg::Unnamed(FunctionArgExpr::Expr(Ast::Subquery(subquery))) = arg else {
            return plan_err!("{kind} takes two queries");
        };
        let side = TableFactor::Derived { lateral: false, subquery, alias: None, sample: None };
        sides.push(context.plan(side)?);
    }
    let word = kind.replace('_', " ");
    let Ok([left, right]) = <[LogicalPlan; 2]>::try_from(sides) else {
        return plan_err!("{word} takes two queries");
    };
    let counts = (left.schema().fields().len(), right.schema().fields().len());
    if counts.0 != counts.1 {
        let message = format!(
            "{word} takes queries with as many columns, but they have {} and {}",
            counts.0, counts.1
        );
        return Err(failed(message, ident));
    }
    let mut fields: Vec<Field> = Vec::new();
    for (l, r) in left.schema().fields().iter().zip(right.schema().fields()) {
        let Some(data_type) = type_union_coercion(l.data_type(), r.data_type()) else {
            let message = format!(
                "{word}: column `{}` is {} on one side and {} on the other",
                l.name(),
                planner::sql_type::show(l.data_type()),
                planner::sql_type::show(r.data_type())
            );
            return Err(failed(message, ident));
        };
        let taken = |name: &str| fields.iter().any(|f| f.name() == name);
        let free = (1..).map(|i| format!("{}_{i}", l.name())).find(|n| !taken(n));
        let name = match taken(l.name()) {
            true => free.unwrap_or_default(),
            false => l.name().clone(),
        };
        fields.push(Field::new(name, data_type, l.is_nullable() || r.is_nullable()));
    }
    let (left, right) = (converted(left, &fields)?, converted(right, &fields)?);
    let fields = fields.into_iter().map(|f| (None, Arc::new(f))).collect();
    let schema = Arc::new(DFSchema::new_with_metadata(fields, Default::default())?);
    let (except, all) = (kind.starts_with("EXCEPT"), kind.ends_with("ALL"));
    let node = Arc::new(SetRelation { left, right, except, all, schema });
    let plan = LogicalPlan::Extension(Extension { node });
    Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
}

/// `side` with the types of `fields`.
fn converted(side: LogicalPlan, fields: &[Field]) -> Result<LogicalPlan> {
    let own = side.schema();
    if own.fields().iter().zip(fields).all(|(a, b)| a.data_type() == b.data_type()) {
        return Ok(side);
    }
    let exprs: Vec<Expr> = own
        .columns()
        .into_iter()
        .zip(fields)
        .map(|(column, field)| {
            let cast = Cast::new(Box::new(Expr::Column(column)), field.data_type().clone());
            Expr::Cast(cast).alias(field.name())
        })
        .collect();
    LogicalPlanBuilder::from(side).project(exprs)?.build()
}
