//! MATCH_RECOGNIZE as a node of DataFusion's plan. Planned by `relations`, translated by
//! `translate::match_recognize`.
//!
//! The node puts out the partition's columns and one column per value that the measures are
//! made of; the measures themselves are a projection above it. A condition keeps its
//! expression beside the values that it reads, since those are no columns of the input.

pub(crate) mod forms;
mod navigation;
mod plan;

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Field, Fields};
use datafusion_common::{DFSchema, DFSchemaRef, Result, plan_err};
use datafusion_expr::expr::Sort;
use datafusion_expr::logical_plan::{LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion_expr::{Expr, ExprSchemable};
use model::operator_spec::{AfterMatchSkip, PatternVariable};

pub(crate) use plan::relation;

/// How a value is taken from the rows of a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Taken {
    First(u32),
    Last(u32),
    /// The value is an aggregate call.
    Aggregate,
    /// The event time of the last row of all.
    RowTime,
}

/// A value of the rows of a match.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Value {
    pub(crate) variable: Option<String>,
    pub(crate) taken: Taken,
    /// Over the columns of the input.
    pub(crate) expr: Expr,
    /// A good name for it.
    pub(crate) wanted: String,
}

/// The condition of a variable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Condition {
    pub(crate) values: Vec<Value>,
    /// Over [`column_name`]s of the values.
    pub(crate) predicate: Expr,
}

/// What stands for value `index` in expressions over values.
pub(crate) fn column_name(index: usize) -> String {
    format!("$value{index}")
}

/// Matches of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MatchRecognizeNode {
    pub(crate) input: LogicalPlan,
    pub(crate) keys: Vec<Expr>,
    pub(crate) order: Vec<Sort>,
    /// Without conditions.
    pub(crate) pattern: Vec<PatternVariable>,
    /// Per variable of the pattern.
    pub(crate) conditions: Vec<Option<Condition>>,
    pub(crate) skip: AfterMatchSkip,
    pub(crate) within_ms: Option<i64>,
    pub(crate) values: Vec<Value>,
    pub(crate) schema: DFSchemaRef,
}

impl std::hash::Hash for MatchRecognizeNode {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (&self.input, &self.keys, &self.values, &self.conditions, self.within_ms).hash(state);
    }
}

impl PartialOrd for MatchRecognizeNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

/// Columns of `values`, of the types that they have over `input`.
fn value_schema(values: &[Value], input: &DFSchema) -> Result<DFSchema> {
    let mut fields = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        let data_type = value.expr.get_type(input)?;
        fields.push(Field::new(column_name(index), data_type, true));
    }
    DFSchema::from_unqualified_fields(Fields::from(fields), Default::default())
}

/// The keys, by their own names, then the values.
fn node_schema(keys: &[Expr], values: &[Value], input: &DFSchema) -> Result<DFSchemaRef> {
    let mut fields = Vec::with_capacity(keys.len() + values.len());
    for key in keys {
        let (_, field) = key.to_field(input)?;
        fields.push((None, field));
    }
    let values = value_schema(values, input)?;
    fields.extend(values.fields().iter().map(|f| (None, Arc::clone(f))));
    Ok(Arc::new(DFSchema::new_with_metadata(fields, Default::default())?))
}

impl MatchRecognizeNode {
    fn conditions_values(&self) -> impl Iterator<Item = &Value> {
        self.conditions.iter().flatten().flat_map(|c| &c.values)
    }
}

impl UserDefinedLogicalNodeCore for MatchRecognizeNode {
    fn name(&self) -> &str {
        "MatchRecognize"
    }
    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }
    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }
    fn expressions(&self) -> Vec<Expr> {
        let mut all = self.keys.clone();
        all.extend(self.order.iter().map(|sort| sort.expr.clone()));
        all.extend(self.conditions_values().chain(&self.values).map(|v| v.expr.clone()));
        all
    }
    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.pattern.iter().map(|v| v.name.as_str()).collect();
        write!(f, "MatchRecognize: {}", names.join(" "))
    }
    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let mut node = self.clone();
        let mut exprs = exprs.into_iter();
        let Some(input) = inputs.into_iter().next() else {
            return plan_err!("MATCH_RECOGNIZE needs an input");
        };
        let conditions = node.conditions.iter_mut().flatten().flat_map(|c| &mut c.values);
        let places = node
            .keys
            .iter_mut()
            .chain(node.order.iter_mut().map(|sort| &mut sort.expr))
            .chain(conditions.chain(&mut node.values).map(|value| &mut value.expr));
        for place in places {
            let Some(expr) = exprs.next() else {
                return plan_err!("MATCH_RECOGNIZE lacks an expression");
            };
            *place = expr;
        }
        node.schema = node_schema(&node.keys, &node.values, input.schema())?;
        node.input = input;
        Ok(node)
    }
}

#[cfg(test)]
mod tests;
