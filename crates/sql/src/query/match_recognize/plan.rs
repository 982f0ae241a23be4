//! sqlparser's tree of MATCH_RECOGNIZE to the node of the plan. Called by `relations`.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_common::{Column, DFSchema, DataFusionError, Result};
use datafusion_expr::expr::Sort;
use datafusion_expr::planner::{PlannedRelation, RelationPlannerContext, RelationPlanning};
use datafusion_expr::{Expr, ExprSchemable, Extension, LogicalPlan, LogicalPlanBuilder};
use datafusion_sql::sqlparser::ast::{
    AfterMatchSkip as AstSkip, Expr as Ast, Ident, MatchRecognizePattern, MatchRecognizeSymbol,
    Measure, OrderByExpr, RepetitionQuantifier, RowsPerMatch, Spanned, SymbolDefinition,
    TableAlias, TableFactor,
};
use datafusion_sql::sqlparser::tokenizer::Span;
use model::operator_schema::check_pattern;
use model::operator_spec::{AfterMatchSkip, MatchRecognize, PatternVariable};

use super::forms::{SUBSET, WITHIN};
use super::navigation::{Clause, Draft, Navigation, refuse};
use super::{Condition, MatchRecognizeNode, Value, node_schema, value_schema};
use crate::query::relations::milliseconds;

/// The clauses, as sqlparser has them.
struct Clauses {
    partition_by: Vec<Ast>,
    order_by: Vec<OrderByExpr>,
    measures: Vec<Measure>,
    pattern: MatchRecognizePattern,
    symbols: Vec<SymbolDefinition>,
    skip: Option<AstSkip>,
}

/// Plans `TableFactor::MatchRecognize`; anything else comes back as it is.
pub(crate) fn relation(
    factor: TableFactor,
    context: &mut dyn RelationPlannerContext,
) -> Result<RelationPlanning> {
    let TableFactor::MatchRecognize {
        table,
        partition_by,
        order_by,
        measures,
        rows_per_match,
        after_match_skip: skip,
        pattern,
        symbols,
        alias,
    } = factor
    else {
        return Ok(RelationPlanning::Original(Box::new(factor)));
    };
    if let Some(RowsPerMatch::AllRows(_)) = rows_per_match {
        let message = "ALL ROWS PER MATCH is not there, as in Flink; write ONE ROW PER MATCH";
        return Err(DataFusionError::Plan(message.to_owned()));
    }
    let input = context.plan(*table)?;
    let clauses = Clauses { partition_by, order_by, measures, pattern, symbols, skip };
    planned(clauses, input, alias, context)
}

fn planned(
    clauses: Clauses,
    input: LogicalPlan,
    alias: Option<TableAlias>,
    context: &mut dyn RelationPlannerContext,
) -> Result<RelationPlanning> {
    let schema = Arc::clone(input.schema());
    let Clauses { partition_by, order_by, measures, pattern, symbols, skip } = clauses;
    let mut found = Vec::new();
    variables(&pattern, &mut found)?;
    let (names, pattern): (Vec<Ident>, Vec<PatternVariable>) = found.into_iter().unzip();
    let (within_ms, symbols) = within(symbols, context)?;
    let spec = MatchRecognize {
        pattern: pattern.clone(),
        skip: skip_of(skip),
        within_ms,
        ..MatchRecognize::default()
    };
    check_pattern(&spec).map_err(|message| {
        let named = message.split('`').nth(1).unwrap_or_default();
        let at = names.iter().find(|n| n.value == named).or(names.first());
        refuse(message.clone(), at.map_or(Span::empty(), |ident| ident.span))
    })?;
    let keys = partition(&partition_by, &schema)?;
    let Some(time) = order_by.first().map(|o| o.expr.clone()) else {
        let message = "MATCH_RECOGNIZE needs ORDER BY a time attribute, ascending";
        return Err(DataFusionError::Plan(message.to_owned()));
    };
    let mut order = Vec::new();
    for by in order_by {
        let asc = by.options.asc.unwrap_or(true);
        order.push(Sort::new(context.sql_to_expr(by.expr, &schema)?, asc, asc));
    }
    let columns: BTreeSet<String> = schema.fields().iter().map(|f| f.name().clone()).collect();
    let navigation = |clause| Navigation::new(clause, &names, &columns, &time);
    let conditions = conditions(symbols, &names, &schema, context, &navigation)?;
    let mut read = navigation(Clause::Measures);
    let mut wanted = Vec::new();
    for Measure { expr, alias } in measures {
        wanted.push((read.read(expr)?, alias));
    }
    let values = values(std::mem::take(&mut read.drafts), &wanted, &schema, context)?;
    let node_schema = node_schema(&keys, &values, &schema)?;
    let node = MatchRecognizeNode {
        input,
        keys,
        order,
        pattern,
        conditions,
        skip: spec.skip,
        within_ms,
        values,
        schema: node_schema,
    };
    let plan = with_measures(node, wanted, context)?;
    Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
}

/// The keys and the measures above the node.
fn with_measures(
    node: MatchRecognizeNode,
    measures: Vec<(Ast, Ident)>,
    context: &mut dyn RelationPlannerContext,
) -> Result<LogicalPlan> {
    let schema = Arc::clone(&node.schema);
    let mut names: Vec<String> = Vec::new();
    let mut exprs: Vec<Expr> = Vec::new();
    for field in &schema.fields()[..node.keys.len()] {
        names.push(field.name().clone());
        exprs.push(Expr::Column(Column::from_name(field.name())));
    }
    for (measure, alias) in measures {
        if names.contains(&alias.value) {
            let message = format!("two columns of MATCH_RECOGNIZE are named `{}`", alias.value);
            return Err(refuse(message, alias.span));
        }
        exprs.push(context.sql_to_expr(measure, &schema)?.alias(&alias.value));
        names.push(alias.value);
    }
    if exprs.is_empty() {
        let message = "MATCH_RECOGNIZE has no columns; write MEASURES or PARTITION BY";
        return Err(DataFusionError::Plan(message.to_owned()));
    }
    let plan = LogicalPlan::Extension(Extension { node: Arc::new(node) });
    LogicalPlanBuilder::from(plan).project(exprs)?.build()
}

fn partition(by: &[Ast], schema: &DFSchema) -> Result<Vec<Expr>> {
    let column = |key: &Ast| -> Result<Expr> {
        let ident = match key {
            Ast::Identifier(ident) => Some(ident),
            Ast::CompoundIdentifier(parts) => parts.last(),
            _ => None,
        };
        let Some(ident) = ident else {
            let message = format!("PARTITION BY takes columns, not `{key}`");
            return Err(refuse(message, key.span()));
        };
        let found = schema.qualified_fields_with_unqualified_name(&ident.value);
        let Some(found) = found.first() else {
            let known: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
            let message =
                format!("unknown column `{}`; columns: {}", ident.value, known.join(", "));
            return Err(refuse(message, ident.span));
        };
        Ok(Expr::Column(Column::from(*found)))
    };
    by.iter().map(column).collect()
}

/// Takes what stands for WITHIN out of the definitions, and refuses what stands for SUBSET.
fn within(
    symbols: Vec<SymbolDefinition>,
    context: &mut dyn RelationPlannerContext,
) -> Result<(Option<i64>, Vec<SymbolDefinition>)> {
    let mut bound = None;
    let mut rest = Vec::with_capacity(symbols.len());
    for symbol in symbols {
        match symbol.symbol.value.as_str() {
            WITHIN => {
                let (shown, span) = (symbol.definition.to_string(), symbol.symbol.span);
                let planned = context.sql_to_expr(symbol.definition, &DFSchema::empty())?;
                let length = milliseconds(&planned).filter(|ms| *ms > 0);
                bound = Some(length.ok_or_else(|| {
                    let message = format!(
                        "WITHIN is `{shown}`, but must be a constant interval of days or less, \
                         like INTERVAL '10' SECOND"
                    );
                    refuse(message, span)
                })?);
            }
            SUBSET => {
                let message = "SUBSET is not there; name the variables one by one";
                return Err(refuse(message, symbol.symbol.span));
            }
            _ => rest.push(symbol),
        }
    }
    Ok((bound, rest))
}

fn skip_of(skip: Option<AstSkip>) -> AfterMatchSkip {
    match skip {
        Some(AstSkip::PastLastRow) => AfterMatchSkip::PastLastRow,
        // Flink's parser takes this when nothing is said, not what the standard says.
        Some(AstSkip::ToNextRow) | None => AfterMatchSkip::ToNextRow,
        Some(AstSkip::ToFirst(ident)) => AfterMatchSkip::ToFirst { variable: ident.value },
        Some(AstSkip::ToLast(ident)) => AfterMatchSkip::ToLast { variable: ident.value },
    }
}

/// The variables of a pattern in order, with their quantifiers.
fn variables(
    pattern: &MatchRecognizePattern,
    found: &mut Vec<(Ident, PatternVariable)>,
) -> Result<()> {
    use MatchRecognizePattern as P;
    let none = |what: &str, instead: &str| {
        let message = format!("PATTERN takes no {what}, as in Flink; {instead}");
        Err(DataFusionError::Plan(message))
    };
    match pattern {
        P::Symbol(symbol) => found.push(variable(symbol, (1, Some(1)), false)?),
        P::Concat(parts) => {
            for part in parts {
                variables(part, found)?;
            }
        }
        P::Group(inner) => variables(inner, found)?,
        P::Repetition(inner, quantifier) => {
            let (inner, quantifier, reluctant) = match (&**inner, quantifier) {
                (P::Repetition(one, bounds), RepetitionQuantifier::AtMostOne) => {
                    (&**one, bounds, true)
                }
                (one, bounds) => (one, bounds, false),
            };
            match inner {
                P::Symbol(symbol) => found.push(variable(symbol, bounds(quantifier), reluctant)?),
                P::Group(_) => {
                    return none("quantifier on a group", "give each variable its own");
                }
                P::Repetition(..) => return none("quantifier on a quantifier", "leave one out"),
                other => return variables(other, found),
            }
        }
        P::Alternation(_) => {
            return none("`|`", "write one variable whose condition is either (.. OR ..)");
        }
        P::Permute(_) => {
            return none("PERMUTE", "write a query for each order, and UNION ALL them");
        }
        P::Exclude(_) => {
            return none("`{- -}`", "every row of a match counts for ONE ROW PER MATCH");
        }
    }
    Ok(())
}

fn bounds(quantifier: &RepetitionQuantifier) -> (u32, Option<u32>) {
    use RepetitionQuantifier as Q;
    match *quantifier {
        Q::ZeroOrMore => (0, None),
        Q::OneOrMore => (1, None),
        Q::AtMostOne => (0, Some(1)),
        Q::Exactly(n) => (n, Some(n)),
        Q::AtLeast(n) => (n, None),
        Q::AtMost(n) => (0, Some(n)),
        Q::Range(n, m) => (n, Some(m)),
    }
}

fn variable(
    symbol: &MatchRecognizeSymbol,
    (min, max): (u32, Option<u32>),
    reluctant: bool,
) -> Result<(Ident, PatternVariable)> {
    let MatchRecognizeSymbol::Named(ident) = symbol else {
        let message = format!("PATTERN takes no `{symbol}`: a stream has no such place");
        return Err(DataFusionError::Plan(message));
    };
    let name = ident.value.clone();
    Ok((ident.clone(), PatternVariable { name, min, max, reluctant, condition: None }))
}

/// Per variable, its condition.
fn conditions<'n>(
    symbols: Vec<SymbolDefinition>,
    names: &[Ident],
    schema: &DFSchema,
    context: &mut dyn RelationPlannerContext,
    navigation: &dyn Fn(Clause) -> Navigation<'n>,
) -> Result<Vec<Option<Condition>>> {
    let mut conditions: Vec<Option<Condition>> = vec![None; names.len()];
    for SymbolDefinition { symbol, definition } in symbols {
        let Some(at) = names.iter().position(|n| n.value == symbol.value) else {
            let known: Vec<&str> = names.iter().map(|n| n.value.as_str()).collect();
            let message = format!(
                "DEFINE names `{}`, which the pattern does not have; it has {}",
                symbol.value,
                known.join(", ")
            );
            return Err(refuse(message, symbol.span));
        };
        if conditions[at].is_some() {
            let message = format!("`{}` is defined twice", symbol.value);
            return Err(refuse(message, symbol.span));
        }
        let mut read = navigation(Clause::Define);
        let definition = read.read(definition)?;
        let values = values(std::mem::take(&mut read.drafts), &[], schema, context)?;
        let columns = value_schema(&values, schema)?;
        let predicate = context.sql_to_expr(definition, &columns)?;
        let data_type = predicate.get_type(&columns)?;
        if data_type != DataType::Boolean && data_type != DataType::Null {
            let shown = planner::sql_type::show(&data_type);
            let message = format!("the condition of `{}` is {shown}, not BOOLEAN", symbol.value);
            return Err(refuse(message, symbol.span));
        }
        conditions[at] = Some(Condition { values, predicate });
    }
    Ok(conditions)
}

/// Drafts with their expressions planned. A measure that is nothing but a value names it.
fn values(
    drafts: Vec<Draft>,
    measures: &[(Ast, Ident)],
    schema: &DFSchema,
    context: &mut dyn RelationPlannerContext,
) -> Result<Vec<Value>> {
    let mut values = Vec::with_capacity(drafts.len());
    for (index, draft) in drafts.into_iter().enumerate() {
        let own = super::column_name(index);
        let named = measures.iter().find_map(|(expr, alias)| match expr {
            Ast::Identifier(ident) if ident.value == own => Some(alias.value.clone()),
            _ => None,
        });
        values.push(Value {
            variable: draft.variable,
            taken: draft.taken,
            expr: context.sql_to_expr(draft.expr, schema)?,
            wanted: named.unwrap_or_else(|| format!("value_{index}")),
        });
    }
    Ok(values)
}
