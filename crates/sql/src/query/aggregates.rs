//! Aggregates that are written as others: what COLLECT or ARRAY_AGG gathers, finished by a
//! function of `collected`. Called by `catalog` (the names) and DataFusion's planner.

use std::sync::Arc;

use datafusion_common::{Result, ScalarValue, plan_err};
use datafusion_expr::expr::{AggregateFunction, NullTreatment, ScalarFunction};
use datafusion_expr::planner::{ExprPlanner, PlannerResult, RawAggregateExpr};
use datafusion_expr::{Expr, ScalarUDF};

use super::functions::AGGREGATE_FUNCTIONS;
use crate::collected::{JSON_ARRAY_OF, JSON_MEMBER, JSON_OBJECT_OF, PERCENTILE_OF};
use crate::registry::Functions;

/// Names that this file writes as others.
pub(crate) const COMPOSED: [&str; 4] =
    ["approx_count_distinct", "percentile", "json_arrayagg", "json_objectagg"];

/// Writes aggregates as others.
#[derive(Debug)]
pub(crate) struct Composed {
    functions: Vec<Arc<ScalarUDF>>,
}

impl Composed {
    pub(crate) fn new(functions: &Functions) -> Self {
        let names = [PERCENTILE_OF, JSON_ARRAY_OF, JSON_MEMBER, JSON_OBJECT_OF];
        Self { functions: names.iter().filter_map(|n| functions.get(n).cloned()).collect() }
    }

    fn call(&self, name: &str, args: Vec<Expr>) -> Result<Expr> {
        match self.functions.iter().find(|f| f.name() == name) {
            Some(f) => Ok(Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(f), args))),
            None => plan_err!("there is no function {name}"),
        }
    }
}

fn aggregate(name: &str, arg: Expr, raw: &RawAggregateExpr, filter: Option<Expr>) -> Result<Expr> {
    let Some(function) = AGGREGATE_FUNCTIONS.get(name) else {
        return plan_err!("there is no aggregate {name}");
    };
    let distinct = raw.distinct || raw.func.name() == "approx_count_distinct";
    let both = match (raw.filter.as_deref().cloned(), filter) {
        (Some(a), Some(b)) => Some(a.and(b)),
        (a, b) => a.or(b),
    };
    let call = AggregateFunction::new_udf(
        Arc::clone(function),
        vec![arg],
        distinct,
        both.map(Box::new),
        Vec::new(),
        None,
    );
    Ok(Expr::AggregateFunction(call))
}

/// Whether the clause `NULL ON NULL`, which `forms` makes an argument, is there.
fn keeps_nulls(argument: Option<&Expr>, default: bool) -> bool {
    match argument {
        Some(Expr::Literal(ScalarValue::Boolean(Some(keeps)), _)) => *keeps,
        _ => default,
    }
}

impl ExprPlanner for Composed {
    fn plan_aggregate(&self, raw: RawAggregateExpr) -> Result<PlannerResult<RawAggregateExpr>> {
        let name = raw.func.name();
        let takes = |counts: &[usize], form: &str| match counts.contains(&raw.args.len()) {
            true => Ok(()),
            false => plan_err!("{} is written {form}", name.to_uppercase()),
        };
        let planned = match name {
            "approx_count_distinct" => {
                takes(&[1], "APPROX_COUNT_DISTINCT(value)")?;
                aggregate("count", raw.args[0].clone(), &raw, None)?
            }
            "percentile" => {
                takes(&[2], "PERCENTILE(value, share)")?;
                let share = &raw.args[1];
                if !matches!(share, Expr::Literal(..)) {
                    return plan_err!("the share of PERCENTILE must be a number from 0 to 1");
                }
                let all = aggregate("collect", raw.args[0].clone(), &raw, None)?;
                self.call(PERCENTILE_OF, vec![all, share.clone()])?
            }
            "json_arrayagg" => {
                takes(&[1, 2], "JSON_ARRAYAGG(value [NULL ON NULL])")?;
                let value = raw.args[0].clone();
                let keeps = keeps_nulls(raw.args.get(1), false);
                let filter = (!keeps).then(|| value.clone().is_not_null());
                self.call(JSON_ARRAY_OF, vec![aggregate("array_agg", value, &raw, filter)?])?
            }
            "json_objectagg" => {
                takes(&[2, 3], "JSON_OBJECTAGG(KEY key VALUE value [ABSENT ON NULL])")?;
                let (key, value) = (raw.args[0].clone(), raw.args[1].clone());
                let keeps = keeps_nulls(raw.args.get(2), true);
                let filter = (!keeps).then(|| value.clone().is_not_null());
                let member = self.call(JSON_MEMBER, vec![key, value])?;
                self.call(JSON_OBJECT_OF, vec![aggregate("collect", member, &raw, filter)?])?
            }
            // A NULL that does not count is as good as filtered out.
            "array_agg" if raw.null_treatment == Some(NullTreatment::IgnoreNulls) => {
                takes(&[1], "ARRAY_AGG(value)")?;
                let value = raw.args[0].clone();
                aggregate("array_agg", value.clone(), &raw, Some(value.is_not_null()))?
            }
            _ => return Ok(PlannerResult::Original(raw)),
        };
        Ok(PlannerResult::Planned(planned))
    }
}
