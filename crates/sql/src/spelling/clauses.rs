//! Spellings of Flink's that sqlparser reads otherwise, or DataFusion does not plan, in others
//! that both do: what binds how tightly around `IS DISTINCT FROM`, bounds in any order, doubles
//! with an exponent, casts to TIME and BYTES, `FETCH FIRST`. Called by `spelling`.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType, ExactNumberInfo, Expr, LimitClause, Query, Value, VisitMut,
    VisitorMut,
};
use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// sqlparser lets `IS [NOT] DISTINCT FROM` take all that follows, also behind an AND. Signs
/// that bind like `=` stand for it until [`node`] sees the tree.
pub(super) fn distinct_as_signs(tokens: &[TokenWithSpan]) -> Vec<TokenWithSpan> {
    let keyword = |at: usize| match tokens.get(at).map(|t| &t.token) {
        Some(Token::Word(word)) => word.keyword,
        _ => Keyword::NoKeyword,
    };
    let mut out = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let not = usize::from(keyword(at + 1) == Keyword::NOT);
        let (distinct, from) = (keyword(at + 1 + not), keyword(at + 2 + not));
        if (keyword(at), distinct, from) == (Keyword::IS, Keyword::DISTINCT, Keyword::FROM) {
            let sign = [Token::ExclamationMarkDoubleTilde, Token::Spaceship][not].clone();
            out.push(TokenWithSpan { token: sign, span: token.span });
            at += 3 + not;
        } else {
            out.push(token.clone());
            at += 1;
        }
    }
    out
}

/// Stands before the lower bound of `BETWEEN SYMMETRIC`; no text has such a placeholder.
const SYMMETRIC: &str = "SYMMETRIC";

/// The mark that [`node`] finds at the lower bound: an operator that binds less than what bounds
/// are made of, so that the whole bound is its right side.
pub(super) fn symmetric(place: &TokenWithSpan) -> [TokenWithSpan; 2] {
    [Token::Placeholder(SYMMETRIC.to_owned()), Token::Pipe]
        .map(|token| TokenWithSpan { token, span: place.span })
}

/// The lower bound behind the mark of [`symmetric`].
fn marked(low: &Expr) -> Option<&Expr> {
    let Expr::BinaryOp { left, op: BinaryOperator::BitwiseOr, right } = low else { return None };
    let Expr::Value(mark) = left.as_ref() else { return None };
    (mark.value == Value::Placeholder(SYMMETRIC.to_owned())).then_some(right)
}

/// `BETWEEN` with its bounds in this and in the other order.
fn in_either_order(expr: &Expr, low: &Expr, high: &Expr, negated: bool) -> Expr {
    let between = |low: &Expr, high: &Expr| {
        Box::new(Expr::Between {
            expr: Box::new(expr.clone()),
            negated: false,
            low: Box::new(low.clone()),
            high: Box::new(high.clone()),
        })
    };
    let either = Expr::Nested(Box::new(Expr::BinaryOp {
        left: between(low, high),
        op: BinaryOperator::Or,
        right: between(high, low),
    }));
    super::negated(negated, either)
}

/// `CAST(x AS TIME(p))`: arrow's own keeps what lies behind the digits that are asked for.
fn cast_to_time(kind: &CastKind, expr: &Expr, precision: Option<u64>) -> Option<Expr> {
    let name = match kind {
        CastKind::Cast | CastKind::DoubleColon => "cast_to_time",
        CastKind::TryCast | CastKind::SafeCast => "try_cast_to_time",
    };
    let precision = precision.filter(|p| *p <= 9).or(precision.is_none().then_some(0))?;
    let precision = Expr::Value(Value::Number(precision.to_string(), false).into());
    Some(super::function(name, vec![expr.clone(), precision]))
}

/// What a mark of [`distinct_as_signs`] or [`symmetric`] stands for, a number with an exponent,
/// a cast to TIME or BYTES.
pub(super) fn node(expr: &Expr) -> Option<Expr> {
    match expr {
        Expr::Value(value) => {
            let Value::Number(text, _) = &value.value else { return None };
            text.contains(['e', 'E']).then(|| Expr::Cast {
                kind: CastKind::Cast,
                expr: Box::new(Expr::Value(
                    Value::SingleQuotedString(text.clone()).with_span(value.span),
                )),
                data_type: DataType::Double(ExactNumberInfo::None),
                array: false,
                format: None,
            })
        }
        Expr::Between { expr, negated, low, high } => {
            marked(low).map(|low| in_either_order(expr, low, high, *negated))
        }
        Expr::Cast { kind, expr, data_type: DataType::Time(precision, _), .. } => {
            cast_to_time(kind, expr, *precision)
        }
        Expr::Cast { kind, expr, data_type: DataType::Bytes(None), array, format } => {
            Some(Expr::Cast {
                kind: kind.clone(),
                expr: expr.clone(),
                data_type: DataType::Bytea,
                array: *array,
                format: format.clone(),
            })
        }
        Expr::BinaryOp { left, op: BinaryOperator::PGNotLikeMatch, right } => {
            Some(Expr::IsDistinctFrom(left.clone(), right.clone()))
        }
        Expr::BinaryOp { left, op: BinaryOperator::Spaceship, right } => {
            Some(Expr::IsNotDistinctFrom(left.clone(), right.clone()))
        }
        _ => None,
    }
}

/// `FETCH FIRST n ROWS ONLY` as `LIMIT n`, in subqueries, too.
pub(crate) fn fetch_as_limit(query: &mut Query) {
    let _ = query.visit(&mut FetchAsLimit);
}

struct FetchAsLimit;

impl VisitorMut for FetchAsLimit {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if query.fetch.as_ref().is_none_or(|f| f.percent || f.with_ties) {
            return ControlFlow::Continue(());
        }
        let quantity = query.fetch.take().and_then(|f| f.quantity);
        let one = Expr::Value(Value::Number("1".to_owned(), false).into());
        let offset = match query.limit_clause.take() {
            Some(LimitClause::LimitOffset { offset, .. }) => offset,
            _ => None,
        };
        let limit = Some(quantity.unwrap_or(one));
        query.limit_clause = Some(LimitClause::LimitOffset { limit, offset, limit_by: Vec::new() });
        ControlFlow::Continue(())
    }
}
