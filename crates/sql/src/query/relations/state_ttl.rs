//! `/*+ STATE_TTL('relation' = '1d') */` as a node around the relation, where the operator
//! above finds it. `hints` makes the table function that is planned here.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use datafusion_common::{DFSchemaRef, Result, plan_err};
use datafusion_expr::logical_plan::{LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion_expr::planner::{PlannedRelation, RelationPlannerContext, RelationPlanning};
use datafusion_expr::{Expr, Extension};
use datafusion_sql::sqlparser::ast::{
    Expr as Ast, FunctionArg, FunctionArgExpr, TableAlias, TableFactor,
};

/// A relation whose rows the next join or aggregate forgets after a time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StateTtl {
    pub(crate) input: LogicalPlan,
    /// 0: never.
    pub(crate) ttl_ms: i64,
}

impl PartialOrd for StateTtl {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for StateTtl {
    fn name(&self) -> &str {
        "StateTtl"
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
        write!(f, "StateTtl: {} ms", self.ttl_ms)
    }
    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        match inputs.into_iter().next() {
            Some(input) => Ok(Self { input, ttl_ms: self.ttl_ms }),
            None => plan_err!("a time to live needs a relation"),
        }
    }
}

/// The time to live that a hint gives to the rows of `plan`.
pub(crate) fn hinted_ttl(plan: &LogicalPlan) -> Option<i64> {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => hinted_ttl(&alias.input),
        LogicalPlan::Projection(projection) => hinted_ttl(&projection.input),
        LogicalPlan::Filter(filter) => hinted_ttl(&filter.input),
        LogicalPlan::Extension(e) => {
            e.node.as_any().downcast_ref::<StateTtl>().map(|node| node.ttl_ms)
        }
        _ => None,
    }
}

/// `STATE_TTL((query), milliseconds)`.
pub(super) fn plan(
    args: Vec<FunctionArg>,
    alias: Option<TableAlias>,
    context: &mut dyn RelationPlannerContext,
) -> Result<RelationPlanning> {
    let mut exprs = args.into_iter().filter_map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    });
    let (Some(Ast::Subquery(subquery)), Some(ttl)) = (exprs.next(), exprs.next()) else {
        return plan_err!("STATE_TTL takes a relation and a time");
    };
    let Ok(ttl_ms) = ttl.to_string().parse() else {
        return plan_err!("STATE_TTL takes milliseconds");
    };
    let relation = TableFactor::Derived { lateral: false, subquery, alias: None, sample: None };
    let node = StateTtl { input: context.plan(relation)?, ttl_ms };
    let plan = LogicalPlan::Extension(Extension { node: Arc::new(node) });
    Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
}
