//! Columns that `JOIN .. USING (..)` makes one of: by their plain name they are the left side's,
//! in a RIGHT JOIN the right side's, in a FULL JOIN whichever is there, and they stand first in
//! `*`. DataFusion refuses them in conditions and takes them from any side. Called by `parse`.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    ExceptSelectItem, Expr, Ident, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, Query,
    Select, SelectItem, SelectItemQualifiedWildcardKind, TableWithJoins, VisitMut, VisitorMut,
    WildcardAdditionalOptions,
};
use datafusion_sql::sqlparser::tokenizer::Span;

use super::parse::{function, relation_name};

/// Says of every common column in `select` which side it is from.
pub(crate) fn say_sides(select: &mut Select) {
    let [from] = select.from.as_slice() else { return };
    let Some(common) = Common::of(from) else { return };
    if common.columns.is_empty() {
        return;
    }
    let items = std::mem::take(&mut select.projection);
    select.projection = items.into_iter().flat_map(|item| common.item(item)).collect();
    let mut sides = Sides { common: &common, depth: 0 };
    let _ = select.projection.visit(&mut sides);
    let _ = select.selection.visit(&mut sides);
    let _ = select.group_by.visit(&mut sides);
    let _ = select.having.visit(&mut sides);
    let _ = select.named_window.visit(&mut sides);
}

/// One relation of the FROM, and which of its columns `*` shows as common ones.
struct Relation {
    name: Ident,
    without: Vec<Ident>,
}

struct Common {
    /// In the order in which they were named, with what each stands for.
    columns: Vec<(Ident, Expr)>,
    relations: Vec<Relation>,
    /// Whether it is known which relation each common column is from.
    complete: bool,
}

impl Common {
    /// `None`: a relation has no name, or its place cannot be told.
    fn of(from: &TableWithJoins) -> Option<Self> {
        let first = Relation { name: relation_name(&from.relation)?, without: Vec::new() };
        let mut common = Self { columns: Vec::new(), relations: vec![first], complete: true };
        for join in &from.joins {
            use JoinOperator as J;
            let (side, constraint) = match &join.join_operator {
                J::Join(c) | J::Inner(c) => (Side::Both, c),
                J::Left(c) | J::LeftOuter(c) => (Side::Left, c),
                J::Right(c) | J::RightOuter(c) => (Side::Right, c),
                J::FullOuter(c) => (Side::Either, c),
                J::CrossJoin(c) => (Side::Both, c),
                _ => return None,
            };
            let name = relation_name(&join.relation)?;
            common.relations.push(Relation { name, without: Vec::new() });
            if let JoinConstraint::Using(names) = constraint {
                for name in names {
                    let [ObjectNamePart::Identifier(column)] = name.0.as_slice() else {
                        return None;
                    };
                    common.add(side, column)?;
                }
            }
        }
        Some(common)
    }

    /// The last relation is joined by `column`.
    fn add(&mut self, side: Side, column: &Ident) -> Option<()> {
        let last = self.relations.len() - 1;
        self.relations[last].without.push(column.clone());
        let right = of_relation(&self.relations[last].name, column);
        let before = self.columns.iter().position(|(name, _)| name.value == column.value);
        let left = match before {
            Some(at) => Some(self.columns[at].1.clone()),
            None if last == 1 => {
                self.relations[0].without.push(column.clone());
                Some(of_relation(&self.relations[0].name, column))
            }
            // Of several relations: only the tables' columns would tell.
            None => {
                self.complete = false;
                None
            }
        };
        let merged = match side {
            Side::Both => left.unwrap_or(right),
            Side::Left => left?,
            Side::Right => right,
            Side::Either => function("COALESCE", vec![left?, right], Span::empty()),
        };
        match before {
            Some(at) => self.columns[at].1 = merged,
            None => self.columns.push((column.clone(), merged)),
        }
        Some(())
    }

    fn find(&self, name: &Ident) -> Option<&Expr> {
        self.columns.iter().find(|(column, _)| column.value == name.value).map(|(_, e)| e)
    }

    /// What an item of the SELECT is, with its name.
    fn item(&self, item: SelectItem) -> Vec<SelectItem> {
        match item {
            SelectItem::UnnamedExpr(Expr::Identifier(name)) => match self.find(&name) {
                Some(found) => vec![named(found, name)],
                None => vec![SelectItem::UnnamedExpr(Expr::Identifier(name))],
            },
            SelectItem::Wildcard(options) if self.complete && is_plain(&options) => {
                let common = self.columns.iter().map(|(name, e)| named(e, name.clone()));
                common.chain(self.relations.iter().map(rest)).collect()
            }
            item => vec![item],
        }
    }
}

/// Whose column is never NULL where the other side's is not.
#[derive(Clone, Copy)]
enum Side {
    Both,
    Left,
    Right,
    Either,
}

fn of_relation(relation: &Ident, column: &Ident) -> Expr {
    Expr::CompoundIdentifier(vec![Ident { span: column.span, ..relation.clone() }, column.clone()])
}

/// A column of a relation has its name; anything else is given one.
fn named(found: &Expr, name: Ident) -> SelectItem {
    match found {
        Expr::CompoundIdentifier(parts) => {
            let mut parts = parts.clone();
            for part in &mut parts {
                part.span = name.span;
            }
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts))
        }
        found => {
            let alias = Ident { quote_style: Some('`'), ..name };
            SelectItem::ExprWithAlias { expr: found.clone(), alias }
        }
    }
}

fn is_plain(options: &WildcardAdditionalOptions) -> bool {
    options.opt_ilike.is_none()
        && options.opt_exclude.is_none()
        && options.opt_except.is_none()
        && options.opt_replace.is_none()
        && options.opt_rename.is_none()
}

/// All of a relation but its common columns.
fn rest(relation: &Relation) -> SelectItem {
    let name = ObjectName(vec![ObjectNamePart::Identifier(relation.name.clone())]);
    let except = relation.without.split_first().map(|(first, others)| ExceptSelectItem {
        first_element: first.clone(),
        additional_elements: others.to_vec(),
    });
    SelectItem::QualifiedWildcard(
        SelectItemQualifiedWildcardKind::ObjectName(name),
        WildcardAdditionalOptions { opt_except: except, ..WildcardAdditionalOptions::default() },
    )
}

/// Replaces plain names outside of subqueries, whose own tables come first.
struct Sides<'c> {
    common: &'c Common,
    depth: usize,
}

impl VisitorMut for Sides<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.depth == 0
            && let Expr::Identifier(name) = expr
            && let Some(found) = self.common.find(name)
        {
            *expr = found.clone();
        }
        ControlFlow::Continue(())
    }
}
