//! A bound on what sqlparser may try. It reads `ARRAY[..]`, `CAST(..)` and their like as two
//! different things one after the other, so that a mistake inside of thirty of them would be
//! looked for in 2^30 ways. Dialects ask here before every expression that they begin.
//! Called by `compile`, `text`, and `query`'s `parse` and `dialect`.

use std::any::TypeId;
use std::cell::Cell;

use datafusion_sql::sqlparser::ast::Expr;
use datafusion_sql::sqlparser::dialect::{Dialect, GenericDialect};
use datafusion_sql::sqlparser::parser::{Parser, ParserError};
use datafusion_sql::sqlparser::tokenizer::Token;

/// Expressions that may be begun in any text.
const LEAST: usize = 10_000;
/// And as many more for each token of a long one.
const PER_TOKEN: usize = 8;
/// How deep parentheses, calls and subqueries may nest.
pub(crate) const NESTING_LIMIT: usize = 100;

thread_local! {
    static LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Before a text of so many tokens is parsed on this thread.
pub(crate) fn allow(tokens: usize) {
    LEFT.set(LEAST.saturating_add(PER_TOKEN.saturating_mul(tokens)));
}

/// Refuses brackets that nest too deeply, before anything walks them.
pub(crate) fn check_depth<'t>(tokens: impl Iterator<Item = &'t Token>) -> Result<(), ParserError> {
    let mut depth = 0_usize;
    for token in tokens {
        match token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > NESTING_LIMIT {
            return Err(ParserError::RecursionLimitExceeded);
        }
    }
    Ok(())
}

/// What a dialect answers before an expression begins: an error when there were too many.
pub(crate) fn begin() -> Option<Result<Expr, ParserError>> {
    let left = LEFT.get();
    LEFT.set(left.saturating_sub(1));
    (left == 0).then_some(Err(ParserError::RecursionLimitExceeded))
}

/// The dialect of expressions of a job file: the generic one, with this bound.
#[derive(Debug)]
pub(crate) struct ExpressionDialect;

macro_rules! switched_on {
    ($($switch:ident)*) => {
        $(fn $switch(&self) -> bool {
            true
        })*
    };
}

impl Dialect for ExpressionDialect {
    fn dialect(&self) -> TypeId {
        TypeId::of::<GenericDialect>()
    }
    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        GenericDialect {}.is_delimited_identifier_start(ch)
    }
    fn is_identifier_start(&self, ch: char) -> bool {
        GenericDialect {}.is_identifier_start(ch)
    }
    fn is_identifier_part(&self, ch: char) -> bool {
        GenericDialect {}.is_identifier_part(ch)
    }
    fn parse_prefix(&self, _parser: &mut Parser<'_>) -> Option<Result<Expr, ParserError>> {
        begin()
    }
    // Those of the generic dialect that an expression can have to do with.
    switched_on! {
        supports_unicode_string_literal
        supports_window_function_null_treatment_arg
        supports_dictionary_syntax
        support_map_literal_syntax
        allow_extract_custom
        allow_extract_single_quotes
        supports_extract_comma_syntax
        supports_try_convert
        supports_bitwise_shift_operators
        supports_named_fn_args_with_assignment_operator
        supports_struct_literal
        supports_nested_comments
        supports_multiline_comment_hints
        supports_string_escape_constant
        supports_array_typedef_with_brackets
        supports_match_against
        supports_filter_during_aggregation
        supports_data_type_signed_suffix
        supports_interval_options
        supports_quote_delimited_string
        supports_comma_separated_trim
        supports_xml_expressions
    }
}
