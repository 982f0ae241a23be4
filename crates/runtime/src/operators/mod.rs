//! The operators, and the one place that turns an [`OperatorSpec`] into one of them.
//! Called by `chain`.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use model::expression::Expressions;
use model::job_graph::OperatorNode;
use model::operator_spec::OperatorSpec;
use model::{Error, Result};

use crate::operator::Operator;

pub(crate) mod accumulator;
#[cfg(test)]
mod aggregate_oracle;
pub mod as_changelog;
pub mod changelog_normalize;
pub mod deduplicate;
mod derived_table;
pub mod drop_update_before;
mod encoded_rows;
pub mod expand;
pub mod filter;
mod hash_join;
mod interval_buckets;
pub mod interval_join;
pub mod join;
mod join_keys;
mod key_columns;
pub mod keyed_aggregate;
mod keyed_rows;
pub mod lookup_join;
pub mod match_recognize;
pub mod over_aggregate;
pub mod project;
mod ranked_rows;
mod ranking;
mod row_groups;
#[cfg(test)]
pub mod script;
mod session;
pub mod set_operation;
pub mod sink_materialize;
mod slot_marks;
pub mod sort;
pub mod temporal_join;
mod time_column;
pub mod top_n;
mod ttl;
pub mod union;
pub mod unnest;
mod waiting_rows;
pub mod watermark;
pub mod window_aggregate;
pub mod window_assign;
pub mod window_join;
mod window_time;

/// Builds the operator of one node of a chain. Errors name the node; they are User errors
/// when the spec does not fit its inputs, and Internal when the plan is not possible.
pub fn build(node: &OperatorNode, expressions: &Arc<dyn Expressions>) -> Result<Box<dyn Operator>> {
    build_operator(node, expressions.as_ref()).map_err(|error| error.at(format!("`{}`", node.name)))
}

fn build_operator(node: &OperatorNode, expressions: &dyn Expressions) -> Result<Box<dyn Operator>> {
    let input = |port| input(node, port);
    Ok(match &node.spec {
        OperatorSpec::Filter { predicate } => {
            Box::new(filter::Filter::new(predicate, input(0)?, expressions)?)
        }
        OperatorSpec::Project { columns } => {
            Box::new(project::Project::new(columns, input(0)?, &node.output, expressions)?)
        }
        OperatorSpec::Watermark { column, delay_ms, idle_timeout_ms } => Box::new(
            watermark::WatermarkGenerator::new(column, *delay_ms, *idle_timeout_ms, input(0)?)?,
        ),
        OperatorSpec::Union => Box::new(union::Union::new(node.output.clone())),
        OperatorSpec::WindowAggregate(spec) => window_aggregate::window_aggregate(spec, input(0)?)?,
        OperatorSpec::KeyedAggregate(spec) => keyed_aggregate::keyed_aggregate(spec, input(0)?)?,
        OperatorSpec::WindowJoin(spec) => {
            Box::new(window_join::WindowJoinOperator::new(spec, input(0)?, input(1)?)?)
        }
        OperatorSpec::IntervalJoin(spec) => {
            Box::new(interval_join::IntervalJoinOperator::new(spec, input(0)?, input(1)?)?)
        }
        OperatorSpec::Join(spec) => {
            Box::new(join::JoinOperator::new(spec, input(0)?, input(1)?, expressions)?)
        }
        OperatorSpec::Deduplicate(spec) => {
            Box::new(deduplicate::DeduplicateOperator::new(spec, input(0)?)?)
        }
        OperatorSpec::TopN(spec) => Box::new(top_n::TopNOperator::new(spec, input(0)?)?),
        OperatorSpec::WindowAssign(spec) => {
            Box::new(window_assign::WindowAssignOperator::new(spec, input(0)?)?)
        }
        OperatorSpec::Expand(spec) => {
            Box::new(expand::ExpandOperator::new(spec, input(0)?, expressions)?)
        }
        OperatorSpec::Unnest(spec) => Box::new(unnest::UnnestOperator::new(spec, input(0)?)?),
        OperatorSpec::Sort(spec) => Box::new(sort::SortOperator::new(spec, input(0)?)?),
        OperatorSpec::SetOperation(spec) => {
            Box::new(set_operation::SetOperationOperator::new(spec, input(0)?, input(1)?)?)
        }
        OperatorSpec::SinkMaterialize(spec) => {
            Box::new(sink_materialize::SinkMaterializeOperator::new(spec, input(0)?)?)
        }
        OperatorSpec::ChangelogNormalize(spec) => {
            Box::new(changelog_normalize::ChangelogNormalizeOperator::new(spec, input(0)?)?)
        }
        OperatorSpec::AsChangelog => Box::new(as_changelog::AsChangelog::new(&node.output)),
        OperatorSpec::DropUpdateBefore => Box::new(drop_update_before::DropUpdateBefore),
        OperatorSpec::TemporalJoin(spec) => {
            let (left, right) = (input(0)?, input(1)?);
            Box::new(temporal_join::TemporalJoinOperator::new(spec, left, right, expressions)?)
        }
        OperatorSpec::OverAggregate(spec) if !spec.order_by.is_empty() => {
            Box::new(over_aggregate::updating::UpdatingOverOperator::new(spec, input(0)?)?)
        }
        OperatorSpec::OverAggregate(spec) => {
            Box::new(over_aggregate::OverAggregateOperator::new(spec, input(0)?)?)
        }
        OperatorSpec::LookupJoin(spec) => {
            Box::new(lookup_join::LookupJoinOperator::new(spec, input(0)?, expressions)?)
        }
        OperatorSpec::MatchRecognize(spec) => {
            Box::new(match_recognize::MatchRecognizeOperator::new(spec, input(0)?, expressions)?)
        }
        OperatorSpec::Source { .. } | OperatorSpec::Sink { .. } => {
            return Err(Error::internal(format!(
                "a {} runs at the end of a chain, not as an operator in it",
                node.spec.kind()
            )));
        }
    })
}

fn input(node: &OperatorNode, port: usize) -> Result<&SchemaRef> {
    node.inputs.get(port).ok_or_else(|| {
        Error::internal(format!("a {} was planned without input {port}", node.spec.kind()))
    })
}
