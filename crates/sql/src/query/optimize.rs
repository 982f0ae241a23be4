//! DataFusion's analysis and those of its rewrites that keep their meaning on streams:
//! types, subqueries as joins, conditions near the tables. Rules that count on finite or
//! ordered input, or on evaluating functions early, are left out. Called by `mod`.

use std::sync::Arc;

use datafusion_common::Result;
use datafusion_common::config::ConfigOptions;
use datafusion_expr::LogicalPlan;
use datafusion_optimizer::analyzer::Analyzer;
use datafusion_optimizer::decorrelate_lateral_join::DecorrelateLateralJoin;
use datafusion_optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion_optimizer::eliminate_cross_join::EliminateCrossJoin;
use datafusion_optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion_optimizer::push_down_filter::PushDownFilter;
use datafusion_optimizer::scalar_subquery_to_join::ScalarSubqueryToJoin;
use datafusion_optimizer::{Optimizer, OptimizerContext, OptimizerRule};

use super::relations::attach_unnests;
use super::{integers, lateral, marks, subqueries};

pub(crate) fn optimize(plan: LogicalPlan, options: &Arc<ConfigOptions>) -> Result<LogicalPlan> {
    let plan = lateral::rank_limits(attach_unnests(plan)?)?;
    let plan = integers::narrow(subqueries::spell_out(plan)?)?;
    let plan = Analyzer::new().execute_and_check(plan, options, |_, _| {})?;
    let rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> = vec![
        Arc::new(DecorrelatePredicateSubquery::new()),
        Arc::new(ScalarSubqueryToJoin::new()),
        Arc::new(DecorrelateLateralJoin::new()),
        Arc::new(ExtractEquijoinPredicate::new()),
        Arc::new(EliminateCrossJoin::new()),
        Arc::new(PushDownFilter::new()),
        Arc::new(ExtractEquijoinPredicate::new()),
    ];
    let context = OptimizerContext::new_with_config_options(Arc::clone(options));
    marks::spell_out(Optimizer::with_rules(rules).optimize(plan, &context, |_, _| {})?)
}
