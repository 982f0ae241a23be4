//! Spellings of Flink's that sqlparser reads otherwise, or DataFusion does not plan, in others
//! that both do: what binds how tightly around `IS DISTINCT FROM`, doubles with an exponent,
//! `FETCH FIRST`. Called by `spelling`.

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

/// What a sign of [`distinct_as_signs`] stands for, or a number with an exponent.
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
