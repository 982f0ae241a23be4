//! ORDER BY and FETCH as the operators take them: NULL is the smallest value, as in Flink, and
//! any other wish is a column of its own before. Called by `parse`.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion_sql::sqlparser::ast::{
    CaseWhen, Expr, LimitClause, OrderByExpr, OrderByKind, OrderByOptions, Query, Select, Value,
    WindowType, visit_expressions_mut,
};

/// `FETCH FIRST n ROWS ONLY` is `LIMIT n`.
pub(crate) fn rewrite_query(query: &mut Query) {
    if let Some(order_by) = &mut query.order_by
        && let OrderByKind::Expressions(exprs) = &mut order_by.kind
    {
        place_nulls(exprs);
    }
    let plain = query.fetch.as_ref().is_some_and(|f| !f.with_ties && !f.percent);
    if !plain {
        return;
    }
    let offset = match &query.limit_clause {
        None => None,
        Some(LimitClause::LimitOffset { limit: None, offset, .. }) => offset.clone(),
        Some(_) => return,
    };
    let rows = query.fetch.take().and_then(|f| f.quantity);
    let rows = rows.unwrap_or_else(|| number("1"));
    query.limit_clause =
        Some(LimitClause::LimitOffset { limit: Some(rows), offset, limit_by: Vec::new() });
}

/// The same in OVER clauses of a SELECT list.
pub(crate) fn rewrite_windows(select: &mut Select) {
    for item in &mut select.projection {
        let _: ControlFlow<()> = visit_expressions_mut(item, |e| {
            if let Expr::Function(call) = e
                && let Some(WindowType::WindowSpec(spec)) = &mut call.over
            {
                place_nulls(&mut spec.order_by);
            }
            ControlFlow::Continue(())
        });
    }
}

fn number(digits: &str) -> Expr {
    Expr::value(Value::Number(digits.to_owned(), false))
}

/// Puts `x IS NULL` before an `x` whose NULLs are to stand elsewhere than where they do.
fn place_nulls(exprs: &mut Vec<OrderByExpr>) {
    let mut placed = Vec::with_capacity(exprs.len());
    for mut by in exprs.drain(..) {
        let ascending = by.options.asc.unwrap_or(true);
        if let Some(first) = by.options.nulls_first.take()
            && first != ascending
        {
            let rank = |nulls: bool| number(if nulls == first { "0" } else { "1" });
            let case = Expr::Case {
                case_token: AttachedToken::empty(),
                end_token: AttachedToken::empty(),
                operand: None,
                conditions: vec![CaseWhen {
                    condition: Expr::IsNull(Box::new(by.expr.clone())),
                    result: rank(true),
                }],
                else_result: Some(Box::new(rank(false))),
            };
            let options = OrderByOptions { asc: Some(true), nulls_first: None };
            placed.push(OrderByExpr { expr: case, options, with_fill: None });
        }
        placed.push(by);
    }
    *exprs = placed;
}
