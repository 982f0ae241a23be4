//! `UNNEST(collection)` in FROM: a node over nothing with references to the row outside,
//! which [`attach_unnests`] puts on top of that row's relation. Called by `relations` and
//! `optimize`.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{
    Column, DFSchema, DFSchemaRef, JoinType, Result, ScalarValue, TableReference, plan_err,
};
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::logical_plan::{Join, LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion_expr::planner::{PlannedRelation, RelationPlannerContext, RelationPlanning};
use datafusion_expr::{Expr, ExprSchemable, Extension, LogicalPlanBuilder, lit};
use datafusion_sql::sqlparser::ast::{Expr as Ast, Ident, Spanned, TableAlias};

use super::failed;

/// The columns of `input`, then those of each element of `collection`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct UnnestRelation {
    pub(crate) input: LogicalPlan,
    pub(crate) collection: Expr,
    /// A MULTISET, whose elements come as often as their counts say.
    pub(crate) multiset: bool,
    /// Adds the element's position.
    pub(crate) ordinality: bool,
    /// Keeps rows without elements.
    pub(crate) outer: bool,
    /// Qualifier of the element's columns.
    name: TableReference,
    elements: Vec<FieldRef>,
    schema: DFSchemaRef,
}

impl PartialOrd for UnnestRelation {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for UnnestRelation {
    fn name(&self) -> &str {
        "Unnest"
    }
    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }
    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }
    fn expressions(&self) -> Vec<Expr> {
        vec![self.collection.clone()]
    }
    /// A condition on elements cannot go below; names may be on both sides.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.elements.iter().map(|f| f.name().clone()).collect()
    }
    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unnest: {}", self.collection)
    }
    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        match (exprs.into_iter().next(), inputs.into_iter().next()) {
            (Some(collection), Some(input)) => {
                let schema = joined(&input, &self.name, &self.elements, self.outer)?;
                Ok(Self { input, collection, schema, ..self.clone() })
            }
            _ => plan_err!("UNNEST needs a collection and an input"),
        }
    }
}

fn joined(
    input: &LogicalPlan,
    name: &TableReference,
    elements: &[FieldRef],
    outer: bool,
) -> Result<DFSchemaRef> {
    let mut fields: Vec<_> =
        input.schema().iter().map(|(q, f)| (q.cloned(), Arc::clone(f))).collect();
    for element in elements {
        let nullable = element.is_nullable() || outer;
        let field = element.as_ref().clone().with_nullable(nullable);
        fields.push((Some(name.clone()), Arc::new(field)));
    }
    Ok(Arc::new(DFSchema::new_with_metadata(fields, Default::default())?))
}

/// The columns that elements of a collection have, and whether it is a multiset.
fn elements_of(data_type: &DataType) -> Option<(Vec<FieldRef>, bool)> {
    let named = |names: &[&str], fields: &[FieldRef]| -> Vec<FieldRef> {
        let pairs = names.iter().zip(fields);
        pairs.map(|(n, f)| Arc::new(f.as_ref().clone().with_name(*n))).collect()
    };
    Some(match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            match item.data_type() {
                DataType::Struct(fields) => {
                    let own = |f: &FieldRef| {
                        let nullable = f.is_nullable() || item.is_nullable();
                        Arc::new(f.as_ref().clone().with_nullable(nullable))
                    };
                    (fields.iter().map(own).collect(), false)
                }
                _ => (named(&["f0"], std::slice::from_ref(item)), false),
            }
        }
        DataType::Map(entries, _) => {
            let DataType::Struct(fields) = entries.data_type() else { return None };
            let DataType::Map(multiset, _) =
                model::aggregate::multiset_type(fields.first()?.data_type())
            else {
                return None;
            };
            match multiset == *entries {
                true => (named(&["f0"], fields), true),
                false => (named(&["f0", "f1"], fields), false),
            }
        }
        _ => return None,
    })
}

/// `UNNEST(collection) [WITH ORDINALITY]`.
pub(super) fn plan(
    collections: Vec<Ast>,
    ordinality: bool,
    alias: Option<TableAlias>,
    context: &mut dyn RelationPlannerContext,
) -> Result<RelationPlanning> {
    let Ok([collection]) = <[Ast; 1]>::try_from(collections) else {
        return plan_err!("UNNEST takes one collection; write CROSS JOIN UNNEST for each");
    };
    let span = collection.span();
    let shown = collection.to_string();
    let ident = Ident::with_span(span, shown.clone());
    let collection = value(collection, context)?;
    if let Some(column) = collection.column_refs().into_iter().next() {
        let message = format!("unknown column `{}` in UNNEST", column.name);
        return Err(failed(message, Some(&ident)));
    }
    let data_type = collection.get_type(&DFSchema::empty())?;
    let Some((mut elements, multiset)) = elements_of(&data_type) else {
        let message = format!(
            "UNNEST takes an ARRAY, a MAP or a MULTISET, but `{shown}` is {}",
            planner::sql_type::show(&data_type)
        );
        return Err(failed(message, Some(&ident)));
    };
    if ordinality {
        elements.push(Arc::new(Field::new("ORDINALITY", DataType::Int32, false)));
    }
    // Only this place has the name, so that no column of another relation is taken for ours.
    let name = TableReference::bare(format!("$unnest{}_{}", span.start.line, span.start.column));
    let input = LogicalPlanBuilder::empty(true).build()?;
    let schema = joined(&input, &name, &elements, false)?;
    let outer = false;
    let node =
        UnnestRelation { input, collection, multiset, ordinality, outer, name, elements, schema };
    let plan = LogicalPlan::Extension(Extension { node: Arc::new(node) });
    Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
}

/// A value of the row outside. The planner does not look into rows of that row.
fn value(expr: Ast, context: &mut dyn RelationPlannerContext) -> Result<Expr> {
    let nothing = DFSchema::empty();
    let Ast::CompoundIdentifier(parts) = &expr else {
        let planned = context.sql_expr_to_logical_expr(expr, &nothing)?;
        // Inside of ARRAY[..] the planner forgets the row outside.
        let found = planned.transform(|e| match e {
            Expr::Column(column) => {
                let parts = column.relation.iter().map(|r| r.table()).chain([column.name()]);
                let mut parts: Vec<Ident> = parts.map(|p| Ident::with_quote('`', p)).collect();
                let named = match parts.len() {
                    1 => Ast::Identifier(parts.remove(0)),
                    _ => Ast::CompoundIdentifier(parts),
                };
                match context.sql_expr_to_logical_expr(named, &nothing)? {
                    found @ Expr::OuterReferenceColumn(..) => Ok(Transformed::yes(found)),
                    _ => Ok(Transformed::no(Expr::Column(column))),
                }
            }
            other => Ok(Transformed::no(other)),
        });
        return found.map(|t| t.data);
    };
    let get = context.context_provider().get_function_meta("get_field");
    for kept in (1..=parts.len()).rev() {
        let first = match kept {
            1 => Ast::Identifier(parts[0].clone()),
            _ => Ast::CompoundIdentifier(parts[..kept].to_vec()),
        };
        let Ok(found @ Expr::OuterReferenceColumn(..)) =
            context.sql_expr_to_logical_expr(first, &nothing)
        else {
            continue;
        };
        let Some(get) = &get else { return Ok(found) };
        return Ok(parts[kept..].iter().fold(found, |row, field| {
            let args = vec![row, lit(ScalarValue::Utf8(Some(field.value.clone())))];
            Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(get), args))
        }));
    }
    context.sql_expr_to_logical_expr(expr, &nothing)
}

/// Puts every UNNEST on the right of a join on top of the left.
pub(crate) fn attach_unnests(plan: LogicalPlan) -> Result<LogicalPlan> {
    let attached = plan.transform_down_with_subqueries(|plan| match plan {
        LogicalPlan::Join(join) => attach_to_join(join),
        other => Ok(Transformed::no(other)),
    });
    attached.map(|t| t.data)
}

fn attach_to_join(join: Join) -> Result<Transformed<LogicalPlan>> {
    if !ends_in_unnest(&join.right) {
        return Ok(Transformed::no(LogicalPlan::Join(join)));
    }
    let outer = match join.join_type {
        JoinType::Inner => false,
        JoinType::Left => true,
        other => return plan_err!("{other} JOIN UNNEST is not understood: use CROSS or LEFT JOIN"),
    };
    let always = |e: &Expr| matches!(e, Expr::Literal(ScalarValue::Boolean(Some(true)), _));
    let mut conditions: Vec<Expr> = join.filter.into_iter().filter(|e| !always(e)).collect();
    conditions.extend(join.on.into_iter().map(|(l, r)| l.eq(r)));
    if outer && !conditions.is_empty() {
        return plan_err!("LEFT JOIN UNNEST takes only ON TRUE, as in Flink");
    }
    let left = Arc::unwrap_or_clone(join.left);
    let mut plan = LogicalPlanBuilder::from(on_top(&join.right, left, outer)?);
    for condition in conditions {
        plan = plan.filter(condition)?;
    }
    Ok(Transformed::yes(plan.build()?))
}

fn ends_in_unnest(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => ends_in_unnest(&alias.input),
        LogicalPlan::Subquery(subquery) => ends_in_unnest(&subquery.subquery),
        LogicalPlan::Projection(projection) => ends_in_unnest(&projection.input),
        LogicalPlan::Extension(e) => {
            let node = e.node.as_any().downcast_ref::<UnnestRelation>();
            node.is_some_and(|n| matches!(n.input, LogicalPlan::EmptyRelation(_)))
        }
        _ => false,
    }
}

/// `plan`, which [`ends_in_unnest`], with the columns of `left` in front.
fn on_top(plan: &LogicalPlan, left: LogicalPlan, outer: bool) -> Result<LogicalPlan> {
    let width = left.schema().fields().len();
    match plan {
        LogicalPlan::Subquery(subquery) => on_top(&subquery.subquery, left, outer),
        LogicalPlan::SubqueryAlias(alias) => {
            let inner = on_top(&alias.input, left, outer)?;
            let columns = inner.schema().columns();
            let exprs = columns.into_iter().enumerate().map(|(at, column)| {
                let name = column.name.clone();
                match at < width {
                    true => Expr::Column(column),
                    false => Expr::Column(column).alias_qualified(Some(alias.alias.clone()), name),
                }
            });
            LogicalPlanBuilder::from(inner.clone()).project(exprs.collect::<Vec<_>>())?.build()
        }
        LogicalPlan::Projection(projection) => {
            let inner = on_top(&projection.input, left, outer)?;
            let kept = inner.schema().columns().into_iter().take(width).map(Expr::Column);
            // The left may have columns of these names; the alias above names them for good.
            let own = TableReference::bare("$unnest");
            let named = projection.expr.iter().zip(projection.schema.fields()).map(|(e, field)| {
                e.clone().unalias().alias_qualified(Some(own.clone()), field.name())
            });
            let exprs: Vec<Expr> = kept.chain(named).collect();
            LogicalPlanBuilder::from(inner).project(exprs)?.build()
        }
        LogicalPlan::Extension(e) => match e.node.as_any().downcast_ref::<UnnestRelation>() {
            Some(node) => {
                let collection = node.collection.clone().transform(|e| match e {
                    Expr::OuterReferenceColumn(_, column) => {
                        Ok(Transformed::yes(Expr::Column(own_column(column, &left))))
                    }
                    other => Ok(Transformed::no(other)),
                });
                let schema = joined(&left, &node.name, &node.elements, outer)?;
                let collection = collection?.data;
                let node =
                    UnnestRelation { input: left, collection, outer, schema, ..node.clone() };
                Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
            }
            None => plan_err!("UNNEST was not found where it was"),
        },
        _ => plan_err!("UNNEST was not found where it was"),
    }
}

/// A reference from outside as the column of `left`, of which it may lack the qualifier.
fn own_column(column: Column, left: &LogicalPlan) -> Column {
    match left.schema().index_of_column(&column) {
        Ok(index) => Column::from(left.schema().qualified_field(index)),
        Err(_) => column,
    }
}
