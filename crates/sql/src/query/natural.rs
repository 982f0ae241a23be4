//! `NATURAL JOIN` of tables and views as `JOIN .. USING (..)` of the columns that both sides
//! have, so that `using` says which side each of them is from. Called by `parse`.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    Ident, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, Query, Select, SetExpr,
    TableFactor, TableWithJoins, VisitMut, VisitorMut,
};

/// Gives the columns of a table or view.
pub(crate) type ColumnsOf<'a> = &'a dyn Fn(&str) -> Option<Vec<String>>;

/// Names the common columns of every natural join in `query` whose sides are tables or views;
/// others stay as they are.
pub(crate) fn name_columns(query: &mut Query, columns_of: ColumnsOf<'_>) {
    let _ = query.visit(&mut Naturals { columns_of, local: Vec::new() });
}

struct Naturals<'a> {
    columns_of: ColumnsOf<'a>,
    /// Names that WITH gives: they come before those of tables.
    local: Vec<String>,
}

impl VisitorMut for Naturals<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let named = query.with.iter().flat_map(|with| &with.cte_tables);
        self.local.extend(named.map(|table| table.alias.name.value.clone()));
        self.body(&mut query.body);
        ControlFlow::Continue(())
    }
}

impl Naturals<'_> {
    fn body(&self, body: &mut SetExpr) {
        match body {
            SetExpr::Select(select) => self.select(select),
            SetExpr::SetOperation { left, right, .. } => {
                self.body(left);
                self.body(right);
            }
            _ => {}
        }
    }

    fn select(&self, select: &mut Select) {
        for from in &mut select.from {
            // What it cannot tell it leaves alone, and all that is joined to that.
            let _ = self.joins(from);
        }
    }

    fn joins(&self, from: &mut TableWithJoins) -> Option<()> {
        let mut left = self.columns(&from.relation)?;
        for join in &mut from.joins {
            let right = self.columns(&join.relation)?;
            let constraint = constraint(&mut join.join_operator)?;
            if matches!(constraint, JoinConstraint::Natural) {
                let common: Vec<_> = left.iter().filter(|c| right.contains(c)).cloned().collect();
                let once = |c: &String| left.iter().filter(|l| *l == c).count() == 1;
                if common.is_empty() || !common.iter().all(once) {
                    return None;
                }
                *constraint = JoinConstraint::Using(common.into_iter().map(name).collect());
            }
            let merged: &[ObjectName] = match constraint {
                JoinConstraint::Using(names) => names,
                _ => &[],
            };
            let is_merged = |c: &String| merged.iter().any(|m| is_named(m, c));
            left.extend(right.into_iter().filter(|c| !is_merged(c)));
        }
        Some(())
    }

    fn columns(&self, factor: &TableFactor) -> Option<Vec<String>> {
        let TableFactor::Table { name, args: None, .. } = factor else { return None };
        let [ObjectNamePart::Identifier(name)] = name.0.as_slice() else { return None };
        if self.local.contains(&name.value) {
            return None;
        }
        (self.columns_of)(&name.value)
    }
}

fn is_named(name: &ObjectName, column: &str) -> bool {
    name.0.last().and_then(ObjectNamePart::as_ident).is_some_and(|ident| ident.value == column)
}

fn name(column: String) -> ObjectName {
    ObjectName(vec![ObjectNamePart::Identifier(Ident::with_quote('`', column))])
}

fn constraint(operator: &mut JoinOperator) -> Option<&mut JoinConstraint> {
    use JoinOperator as J;
    match operator {
        J::Join(c)
        | J::Inner(c)
        | J::Left(c)
        | J::LeftOuter(c)
        | J::Right(c)
        | J::RightOuter(c)
        | J::FullOuter(c) => Some(c),
        _ => None,
    }
}
