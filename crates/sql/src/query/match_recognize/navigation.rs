//! Takes an expression of DEFINE or MEASURES apart: what it reads of a match (`A.price`,
//! `LAST(A.price, 1)`, `SUM(price)`) is replaced by columns that stand for it. Called by `plan`.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion_common::{DataFusionError, Diagnostic, Result, Span as PlanSpan};
use datafusion_sql::sqlparser::ast::{
    DuplicateTreatment, Expr as Ast, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    Ident, ObjectName, ObjectNamePart, Spanned, Value as Literal, VisitMut, VisitorMut,
};
use datafusion_sql::sqlparser::tokenizer::Span;

use super::forms::{FINAL, RUNNING};
use super::{Taken, column_name};
use crate::query::functions::{AGGREGATE_FUNCTIONS, PROCTIME};

/// A value as it was written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Draft {
    pub(super) variable: Option<String>,
    pub(super) taken: Taken,
    /// Over columns of the input, without variables.
    pub(super) expr: Ast,
}

/// Where an expression stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clause {
    Define,
    Measures,
}

/// Reads expressions of one clause; equal values are taken once.
pub(super) struct Navigation<'a> {
    pub(super) clause: Clause,
    pub(super) variables: &'a [Ident],
    /// Columns of the input.
    pub(super) columns: &'a BTreeSet<String>,
    /// First column of ORDER BY.
    pub(super) time: &'a Ast,
    pub(super) drafts: Vec<Draft>,
    failed: Option<DataFusionError>,
}

/// An error with its place.
pub(super) fn refuse(message: impl Into<String>, span: Span) -> DataFusionError {
    let message = message.into();
    let span = PlanSpan::try_from_sqlparser_span(span);
    DataFusionError::Plan(message.clone()).with_diagnostic(Diagnostic::new_error(message, span))
}

impl<'a> Navigation<'a> {
    pub(super) fn new(
        clause: Clause,
        variables: &'a [Ident],
        columns: &'a BTreeSet<String>,
        time: &'a Ast,
    ) -> Self {
        Self { clause, variables, columns, time, drafts: Vec::new(), failed: None }
    }

    /// `expr` over columns that stand for values.
    pub(super) fn read(&mut self, mut expr: Ast) -> Result<Ast> {
        let _ = expr.visit(self);
        match self.failed.take() {
            Some(failed) => Err(failed),
            None => Ok(expr),
        }
    }

    fn column(&mut self, draft: Draft, span: Span) -> Ast {
        let index = self.drafts.iter().position(|d| *d == draft).unwrap_or_else(|| {
            self.drafts.push(draft);
            self.drafts.len() - 1
        });
        Ast::Identifier(Ident::with_quote_and_span('`', span, column_name(index)))
    }

    /// What stands for `expr`; `None`: its parts are looked at.
    fn replacement(&mut self, expr: &Ast) -> Result<Option<Ast>> {
        let span = expr.span();
        let call = match expr {
            Ast::Identifier(_) | Ast::CompoundIdentifier(_) => {
                return self.value(expr.clone(), Taken::Last(0), span).map(Some);
            }
            Ast::Subquery(_) | Ast::Exists { .. } | Ast::InSubquery { .. } => {
                let message = "a subquery cannot stand in MATCH_RECOGNIZE; join its result before";
                return Err(refuse(message, span));
            }
            Ast::Function(call) => call,
            _ => return Ok(None),
        };
        let Some(name) = function_name(call) else { return Ok(None) };
        let upper = name.value.to_uppercase();
        match upper.as_str() {
            "FIRST" | "LAST" => self.navigate(call, &upper, name.span).map(Some),
            "MATCH_ROWTIME" => {
                let draft =
                    Draft { variable: None, taken: Taken::RowTime, expr: self.time.clone() };
                Ok(Some(self.column(draft, name.span)))
            }
            "MATCH_PROCTIME" => {
                let mut call = call.clone();
                let proctime = Ident::with_span(name.span, PROCTIME);
                call.name = ObjectName(vec![ObjectNamePart::Identifier(proctime)]);
                Ok(Some(Ast::Function(call)))
            }
            "PREV" | "NEXT" => Err(refuse(
                format!(
                    "{upper} is a physical offset, which Flink does not have; LAST(A.x, 1) is the \
                     row before among those of a variable"
                ),
                name.span,
            )),
            "CLASSIFIER" | "MATCH_NUMBER" => Err(refuse(
                format!("{upper}() is not there, as in Flink; there is one row per match"),
                name.span,
            )),
            FINAL | RUNNING => self.semantics(call, &upper, name.span).map(Some),
            _ if AGGREGATE_FUNCTIONS.contains_key(&*upper.to_lowercase()) => {
                self.aggregate(call, &upper, name.span).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// FINAL and RUNNING, each where it is the only choice.
    fn semantics(&mut self, call: &Function, marker: &str, span: Span) -> Result<Ast> {
        let fits = match self.clause {
            Clause::Define => marker == RUNNING,
            Clause::Measures => marker == FINAL,
        };
        let [Some(inner)] = arguments(call)[..] else {
            return Err(refuse("expected one call here", span));
        };
        if !fits {
            let (word, clause) = match self.clause {
                Clause::Define => ("RUNNING", "DEFINE"),
                Clause::Measures => ("FINAL", "MEASURES"),
            };
            return Err(refuse(
                format!("{clause} takes {word} values only; leave the word out"),
                span,
            ));
        }
        match self.replacement(inner)? {
            Some(value) => Ok(value),
            None => Err(refuse("FINAL and RUNNING take FIRST, LAST or an aggregate", span)),
        }
    }

    fn navigate(&mut self, call: &Function, name: &str, span: Span) -> Result<Ast> {
        let args = arguments(call);
        let offset = match args.get(1) {
            None => Some(0),
            Some(Some(Ast::Value(value))) => match &value.value {
                Literal::Number(number, _) => number.to_string().parse::<u32>().ok(),
                _ => None,
            },
            Some(_) => None,
        };
        let (Some(Some(inner)), Some(offset), true) = (args.first(), offset, args.len() <= 2)
        else {
            let message =
                format!("{name} takes a value and, if any, a whole number: {name}(A.x, 1)");
            return Err(refuse(message, span));
        };
        let taken = if name == "FIRST" { Taken::First(offset) } else { Taken::Last(offset) };
        self.value((*inner).clone(), taken, span)
    }

    fn aggregate(&mut self, call: &Function, name: &str, span: Span) -> Result<Ast> {
        let mut call = call.clone();
        let mut of_all_columns = None;
        if let FunctionArguments::List(list) = &mut call.args {
            if list.duplicate_treatment == Some(DuplicateTreatment::Distinct) {
                let message =
                    format!("{name}(DISTINCT ..) cannot stand in MATCH_RECOGNIZE, as in Flink");
                return Err(refuse(message, span));
            }
            // COUNT(A.*) counts the rows of A.
            if let [FunctionArg::Unnamed(arg @ FunctionArgExpr::QualifiedWildcard(_))] =
                list.args.as_mut_slice()
                && let FunctionArgExpr::QualifiedWildcard(variable) = &*arg
            {
                of_all_columns = Some(variable.to_string());
                *arg = FunctionArgExpr::Wildcard;
            }
        }
        if call.filter.is_some() || call.over.is_some() {
            let message = format!("{name} in MATCH_RECOGNIZE takes neither FILTER nor OVER");
            return Err(refuse(message, span));
        }
        if let Some(variable) = of_all_columns {
            if !self.is_variable(&variable) {
                return Err(self.unknown_variable(&variable, span));
            }
            let expr = Ast::Function(call);
            let draft = Draft { variable: Some(variable), taken: Taken::Aggregate, expr };
            return Ok(self.column(draft, span));
        }
        self.value(Ast::Function(call), Taken::Aggregate, span)
    }

    /// A value of the rows of the variable that `expr` names.
    fn value(&mut self, mut expr: Ast, taken: Taken, span: Span) -> Result<Ast> {
        // The aggregate itself may be one.
        let depth = u32::from(taken != Taken::Aggregate);
        let mut inner = Inner { outer: self, variables: BTreeSet::new(), failed: None, depth };
        let _ = expr.visit(&mut inner);
        let Inner { variables, failed, .. } = inner;
        if let Some(failed) = failed {
            return Err(failed);
        }
        if variables.len() > 1 {
            let shown: Vec<&str> =
                variables.iter().map(|v| v.as_deref().unwrap_or("all rows")).collect();
            let message = format!(
                "one value must come from the rows of one variable, but this reads {}",
                shown.join(" and ")
            );
            return Err(refuse(message, span));
        }
        let variable = variables.into_iter().next().flatten();
        Ok(self.column(Draft { variable, taken, expr }, span))
    }

    fn is_variable(&self, name: &str) -> bool {
        self.variables.iter().any(|v| v.value == name)
    }

    fn unknown_variable(&self, name: &str, span: Span) -> DataFusionError {
        let known: Vec<&str> = self.variables.iter().map(|v| v.value.as_str()).collect();
        let message =
            format!("unknown pattern variable `{name}`; the pattern has {}", known.join(", "));
        refuse(message, span)
    }
}

impl VisitorMut for Navigation<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Ast) -> ControlFlow<()> {
        match self.replacement(expr) {
            Ok(Some(column)) => *expr = column,
            Ok(None) => {}
            Err(failed) => {
                self.failed = Some(failed);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }
}

/// Takes the variable off the columns within one value.
struct Inner<'n, 'a> {
    outer: &'n Navigation<'a>,
    /// `None`: a column without a variable.
    variables: BTreeSet<Option<String>>,
    failed: Option<DataFusionError>,
    depth: u32,
}

impl VisitorMut for Inner<'_, '_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Ast) -> ControlFlow<()> {
        self.depth += 1;
        match expr {
            Ast::Identifier(_) => {
                self.variables.insert(None);
            }
            Ast::CompoundIdentifier(parts) => {
                let first = parts[0].clone();
                if self.outer.is_variable(&first.value) {
                    self.variables.insert(Some(first.value));
                    parts.remove(0);
                    if let [one] = parts.as_slice() {
                        *expr = Ast::Identifier(one.clone());
                    }
                } else if self.outer.columns.contains(&first.value) {
                    self.variables.insert(None);
                } else {
                    self.failed = Some(self.outer.unknown_variable(&first.value, first.span));
                    return ControlFlow::Break(());
                }
            }
            Ast::Function(call) if self.depth > 1 => {
                let name = function_name(call).map(|n| n.value.to_uppercase()).unwrap_or_default();
                let nests = ["FIRST", "LAST", "PREV", "NEXT"].contains(&name.as_str())
                    || AGGREGATE_FUNCTIONS.contains_key(&*name.to_lowercase());
                if nests {
                    let message = format!("{name} cannot stand within FIRST, LAST or an aggregate");
                    self.failed = Some(refuse(message, expr.span()));
                    return ControlFlow::Break(());
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn function_name(call: &Function) -> Option<&Ident> {
    match call.name.0.as_slice() {
        [one] => one.as_ident(),
        _ => None,
    }
}

/// The arguments; `None` for one that is no expression.
fn arguments(call: &Function) -> Vec<Option<&Ast>> {
    let FunctionArguments::List(list) = &call.args else { return Vec::new() };
    fn expr(arg: &FunctionArg) -> Option<&Ast> {
        match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
            _ => None,
        }
    }
    list.args.iter().map(expr).collect()
}
