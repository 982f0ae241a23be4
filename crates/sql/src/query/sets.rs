//! Forms of the tree that DataFusion would plan otherwise than a stream needs them: grouping
//! sets are written out, INTERSECT and EXCEPT become table functions. Called by `parse`.

use std::ops::Range;

use datafusion_sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, ObjectNamePart,
    Query, Select, SetExpr, SetOperator, SetQuantifier, Spanned, TableFactor,
};
use datafusion_sql::sqlparser::parser::Parser;
use planner::sql::SqlDiagnostic;

use super::dialect::DIALECT;
use super::parse::function;
use super::script::{Script, error};

/// Names of the table functions that INTERSECT and EXCEPT become.
pub(crate) const SET_OPERATIONS: [&str; 4] = ["INTERSECT", "INTERSECT_ALL", "EXCEPT", "EXCEPT_ALL"];
/// Most sets of groups that one GROUP BY may stand for.
const MAX_SETS: usize = 1024;

/// `SELECT * FROM relation`.
pub(crate) fn select_all(relation: TableFactor) -> Option<Select> {
    crate::parse_budget::allow(1);
    let mut parser = Parser::new(&DIALECT).try_with_sql("SELECT * FROM t").ok()?;
    let SetExpr::Select(mut select) = *parser.parse_query().ok()?.body else { return None };
    select.from.first_mut()?.relation = relation;
    Some(*select)
}

/// A query that is only its body.
pub(crate) fn query_of(body: SetExpr) -> Query {
    Query {
        with: None,
        body: Box::new(body),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    }
}

/// `a INTERSECT b` becomes `SELECT * FROM TABLE(INTERSECT((a), (b)))`.
pub(crate) fn rewrite_operation(set: &mut SetExpr) {
    let SetExpr::SetOperation { op, set_quantifier, left, right } = set else { return };
    let all = *set_quantifier == SetQuantifier::All;
    let name = match (op, all) {
        (SetOperator::Intersect, false) => SET_OPERATIONS[0],
        (SetOperator::Intersect, true) => SET_OPERATIONS[1],
        (SetOperator::Except, false) => SET_OPERATIONS[2],
        (SetOperator::Except, true) => SET_OPERATIONS[3],
        _ => return,
    };
    let place = right.span();
    let sides = [left, right].map(|side| Expr::Subquery(Box::new(query_of(*side.clone()))));
    let expr = function(name, sides.to_vec(), place);
    if let Some(select) = select_all(TableFactor::TableFunction { expr, alias: None }) {
        *set = SetExpr::Select(Box::new(select));
    }
}

/// Sets of groups, each a list of expressions.
type Sets = Vec<Vec<Expr>>;

/// Writes CUBE, ROLLUP and lists of GROUPING SETS as one GROUPING SETS.
pub(crate) fn write_out_groups(
    select: &mut Select,
    script: &Script<'_>,
) -> Result<(), SqlDiagnostic> {
    let GroupByExpr::Expressions(groups, _) = &mut select.group_by else { return Ok(()) };
    let is_sets = |e: &Expr| matches!(e, Expr::GroupingSets(_) | Expr::Cube(_) | Expr::Rollup(_));
    let Some(first) = groups.iter().find(|g| is_sets(g)) else { return Ok(()) };
    let span = first.span();
    let mut all: Sets = vec![Vec::new()];
    for group in groups.iter() {
        let sets = sets_of(group);
        if all.len().saturating_mul(sets.len()) > MAX_SETS {
            return Err(too_many(script.range(span)));
        }
        let both = |a: &Vec<Expr>, b: &Vec<Expr>| {
            let mut joined = a.clone();
            joined.extend(b.iter().filter(|e| !a.contains(e)).cloned());
            joined
        };
        all = all.iter().flat_map(|a| sets.iter().map(move |b| both(a, b))).collect();
    }
    *groups = vec![Expr::GroupingSets(all)];
    Ok(())
}

fn too_many(at: Range<usize>) -> SqlDiagnostic {
    let message = format!("GROUP BY stands for more than {MAX_SETS} sets of groups");
    error("E0506", at, message, "list the sets that are needed in GROUPING SETS")
}

/// The sets that one element of GROUP BY, or of GROUPING SETS, stands for.
fn sets_of(group: &Expr) -> Sets {
    match group {
        Expr::GroupingSets(sets) => sets
            .iter()
            .flat_map(|set| match set.as_slice() {
                // Sets within sets are parsed as calls.
                [Expr::Function(call)] => match nested(call) {
                    Some(inner) => sets_of(&inner),
                    None => vec![set.clone()],
                },
                [inner @ (Expr::GroupingSets(_) | Expr::Cube(_) | Expr::Rollup(_))] => {
                    sets_of(inner)
                }
                _ => vec![set.clone()],
            })
            .collect(),
        Expr::Cube(parts) => {
            // The whole set first; more than MAX_SETS are refused by the caller.
            let count = 1_usize << parts.len().min(MAX_SETS.ilog2() as usize + 1);
            let has = |set: usize, at: usize| set & (1 << (parts.len() - 1 - at)) != 0;
            let one = |set: usize| {
                let kept = (0..parts.len()).filter(|at| has(set, *at));
                kept.flat_map(|at| parts[at].iter().cloned()).collect()
            };
            (0..count).rev().map(one).collect()
        }
        Expr::Rollup(parts) => (0..=parts.len())
            .rev()
            .map(|n| parts[..n].iter().flatten().cloned().collect())
            .collect(),
        Expr::Tuple(parts) => vec![parts.clone()],
        other => vec![vec![other.clone()]],
    }
}

/// `CUBE(..)` and `ROLLUP(..)` that look like calls.
fn nested(call: &Function) -> Option<Expr> {
    let name = call.name.0.last().and_then(ObjectNamePart::as_ident)?.value.to_uppercase();
    let FunctionArguments::List(list) = &call.args else { return None };
    let parts = list.args.iter().map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Tuple(parts))) => Some(parts.clone()),
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Nested(e))) => Some(vec![(**e).clone()]),
        FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => Some(vec![e.clone()]),
        _ => None,
    });
    let parts: Option<Sets> = parts.collect();
    match name.as_str() {
        "CUBE" => parts.map(Expr::Cube),
        "ROLLUP" => parts.map(Expr::Rollup),
        _ => None,
    }
}
