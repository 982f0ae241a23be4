//! Joins: of windows, over an interval of time, with a version of a table, or of everything.

use datafusion_common::DFSchema;
use datafusion_common::{JoinType as PlanJoin, NullEquality, ScalarValue};
use datafusion_expr::logical_plan::Join as PlanJoinNode;
use datafusion_expr::utils::conjunction;
use datafusion_expr::{
    BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, binary_expr, lit, when,
};
use model::operator_spec::{
    IntervalJoin, Join, JoinType, NamedExpression, OperatorSpec, WINDOW_END, WINDOW_START,
    WindowJoin,
};
use planner::logical::plain;
use planner::names::quote;

use super::rows::{below_names, parts};
use super::{Column, Result, Stream, Time, Translator};
use crate::query::expr_text::cast;
use crate::query::relations::{AsOf, milliseconds};

/// Both sides of a join, with equal-typed columns for its keys.
pub(super) struct Sides {
    pub(super) left: Stream,
    pub(super) right: Stream,
    pub(super) left_keys: Vec<String>,
    pub(super) right_keys: Vec<String>,
    pub(super) prefix: String,
}

/// `lower <= right.time - left.time <= upper`.
struct Bounds {
    left_time: String,
    right_time: String,
    lower: Option<i64>,
    upper: Option<i64>,
    rest: Vec<Expr>,
}

impl Translator<'_> {
    pub(super) fn join(&mut self, node: &PlanJoinNode) -> Result<Stream> {
        let join_type = match node.join_type {
            PlanJoin::Inner => JoinType::Inner,
            PlanJoin::Left => JoinType::Left,
            PlanJoin::Right => JoinType::Right,
            PlanJoin::Full => JoinType::Full,
            PlanJoin::LeftSemi => JoinType::Semi,
            PlanJoin::LeftAnti => JoinType::Anti,
            other => {
                let message = format!("{other} join cannot be run on a stream");
                let help = "write EXISTS or IN as a condition of its own, joined by AND";
                return Err(self.failed("E0522", message, help));
            }
        };
        let (unknown, safe);
        let mut node = node;
        if node.null_equality == NullEquality::NullEqualsNull && !node.on.is_empty() {
            safe = nulls_meet(node);
            node = &safe;
        }
        if node.null_aware {
            let nullable = node.on.iter().any(|(l, r)| {
                let null = |e: &Expr, s: &DFSchema| e.nullable(s).unwrap_or(true);
                null(l, node.left.schema()) || null(r, node.right.schema())
            });
            if nullable {
                unknown = unknown_meets(node);
                node = &unknown;
            }
        }
        if let LogicalPlan::Extension(e) = below_names(&node.right)
            && let Some(as_of) = e.node.as_any().downcast_ref::<AsOf>()
        {
            return self.versioned(node, join_type, as_of);
        }
        let left = self.plan(&node.left)?;
        let left = self.assign_windows(left)?;
        let right = self.plan(&node.right)?;
        let right = self.assign_windows(right)?;
        let window = self.window_keys(node, &left, &right);
        let sides = self.sides(node, (left, right), window.as_deref().unwrap_or_default())?;
        if window.is_some() && self.can_window_join(&sides, join_type, node.filter.is_some()) {
            return self.window_join(node, join_type, sides);
        }
        if let Some(bounds) = self.interval(node, join_type, &sides) {
            return self.interval_join(node, join_type, sides, bounds);
        }
        // The windows' bounds are plain keys then.
        let sides = match window {
            Some(_) => self.sides(node, (sides.left, sides.right), &[])?,
            None => sides,
        };
        self.regular(node, join_type, sides)
    }

    /// Which of the equalities are of both sides' windows, if these are compared whole.
    fn window_keys(
        &self,
        node: &PlanJoinNode,
        left: &Stream,
        right: &Stream,
    ) -> Option<Vec<usize>> {
        let (l, r) = (left.attached.as_ref()?, right.attached.as_ref()?);
        if l.tvf != r.tvf || [l, r].iter().any(|a| a.start != WINDOW_START || a.end != WINDOW_END) {
            return None;
        }
        let mut found = Vec::new();
        let mut names = Vec::new();
        for (index, (a, b)) in node.on.iter().enumerate() {
            let a = self.column(a, node.left.schema(), left).map(|c| c.name.as_str());
            let b = self.column(b, node.right.schema(), right).map(|c| c.name.as_str());
            if a == b && [Some(WINDOW_START), Some(WINDOW_END)].contains(&a) {
                found.push(index);
                names.extend(a);
            }
        }
        let whole = names.contains(&WINDOW_START) && names.contains(&WINDOW_END);
        let enough = match l.tvf {
            crate::query::relations::Tvf::Cumulate { .. }
            | crate::query::relations::Tvf::Session { .. } => whole,
            _ => !names.is_empty(),
        };
        enough.then_some(found)
    }

    /// Keys of both sides as columns of one type; `skip` are equalities that are no keys.
    pub(super) fn sides(
        &mut self,
        node: &PlanJoinNode,
        (left, right): (Stream, Stream),
        skip: &[usize],
    ) -> Result<Sides> {
        let on: Vec<&(Expr, Expr)> =
            node.on.iter().enumerate().filter(|(i, _)| !skip.contains(i)).map(|(_, p)| p).collect();
        let exprs = |side: usize| -> Vec<(&Expr, &str)> {
            on.iter().map(|p| (if side == 0 { &p.0 } else { &p.1 }, "key")).collect()
        };
        let (left, mut left_keys) = self.computed(left, &exprs(0), node.left.schema())?;
        let (right, mut right_keys) = self.computed(right, &exprs(1), node.right.schema())?;
        let (mut left, mut right) = (left, right);
        for index in 0..left_keys.len() {
            let types =
                (self.type_of(&left, &left_keys[index]), self.type_of(&right, &right_keys[index]));
            let (Some(l), Some(r)) = types else { continue };
            if l == r {
                continue;
            }
            // The planner has made them comparable; what is left are layouts of texts.
            let (stream, key, target) = if l == arrow::datatypes::DataType::Utf8 {
                (&mut right, &mut right_keys[index], l)
            } else {
                (&mut left, &mut left_keys[index], r)
            };
            let name = Self::fresh(&self.ops[stream.op].output, &[], &format!("{key}_key"));
            let expr = cast("CAST", &quote(key), &target);
            let computed = NamedExpression { name: name.clone(), expr };
            *stream = self.with_columns(stream, vec![computed], "columns")?;
            *key = name;
        }
        let prefix = self.prefix(&left, &right);
        Ok(Sides { left, right, left_keys, right_keys, prefix })
    }

    /// A prefix that keeps the right columns apart from the left ones.
    fn prefix(&self, left: &Stream, right: &Stream) -> String {
        let (l, r) = (plain(self.schema(left)), plain(self.schema(right)));
        let clear = |prefix: &String| {
            r.fields().iter().filter(|f| l.index_of(f.name()).is_ok()).all(|f| {
                let name = format!("{prefix}{}", f.name());
                l.index_of(&name).is_err() && r.index_of(&name).is_err()
            })
        };
        let first = "right_".to_owned();
        if clear(&first) {
            return first;
        }
        (2..).map(|i| format!("right{i}_")).find(clear).unwrap_or(first)
    }

    /// The right column's name in the joined row.
    fn right_name(&self, sides: &Sides, name: &str) -> String {
        match self.schema(&sides.left).index_of(name) {
            Ok(_) => format!("{}{name}", sides.prefix),
            Err(_) => name.to_owned(),
        }
    }

    /// Columns of the joined row, left then right, by how time goes on.
    pub(super) fn joined(
        &self,
        sides: &Sides,
        join_type: JoinType,
        keep_time: bool,
    ) -> Vec<Column> {
        let time = |c: &Column, kept: bool| match c.time {
            Time::Row if keep_time && kept => Time::Row,
            Time::Processing => Time::Processing,
            _ => Time::No,
        };
        let left_kept = !matches!(join_type, JoinType::Right | JoinType::Full);
        let right_kept = !matches!(join_type, JoinType::Left | JoinType::Full);
        let mut columns: Vec<Column> = Vec::new();
        for c in &sides.left.columns {
            columns.push(Column { time: time(c, left_kept), ..c.clone() });
        }
        if !matches!(join_type, JoinType::Semi | JoinType::Anti) {
            for c in &sides.right.columns {
                let name = self.right_name(sides, &c.name);
                columns.push(Column { name, time: time(c, right_kept), pending: false });
            }
        }
        columns
    }

    /// A condition over both sides as text over the joined row.
    pub(super) fn pair_text(
        &self,
        node: &PlanJoinNode,
        sides: &Sides,
        predicate: &Expr,
    ) -> Result<String> {
        let (left, right) = (node.left.schema(), node.right.schema());
        self.text_by(predicate, &|c| {
            if let Ok(index) = left.index_of_column(c) {
                return Some(quote(&sides.left.columns[index].name));
            }
            let index = right.index_of_column(c).ok()?;
            Some(quote(&self.right_name(sides, &sides.right.columns[index].name)))
        })
    }

    fn can_window_join(&self, sides: &Sides, join_type: JoinType, condition: bool) -> bool {
        let inserts = !self.is_changelog(&sides.left) && !self.is_changelog(&sides.right);
        // A condition decides about partners; over the result it can only be an inner join's.
        inserts && (!condition || join_type == JoinType::Inner)
    }

    fn window_join(
        &mut self,
        node: &PlanJoinNode,
        join_type: JoinType,
        sides: Sides,
    ) -> Result<Stream> {
        let attached = sides.left.attached.clone();
        // Windows that are equal have equal ends: rows of one window meet, windows spread.
        let (mut left_keys, mut right_keys) = (sides.left_keys.clone(), sides.right_keys.clone());
        if left_keys.is_empty() {
            left_keys.push(WINDOW_END.to_owned());
            right_keys.push(WINDOW_END.to_owned());
        }
        let spec = WindowJoin {
            left_keys,
            right_keys,
            left_time: WINDOW_END.to_owned(),
            right_time: WINDOW_END.to_owned(),
            window: None,
            join_type,
            right_prefix: sides.prefix.clone(),
        };
        let ports = vec![vec![sides.left.op], vec![sides.right.op]];
        let op = self.add(OperatorSpec::WindowJoin(spec), "windowJoin", ports)?;
        let columns = self.joined(&sides, join_type, true);
        let stream = Stream { op, columns, window: None, attached, unique: None };
        self.residual(node, &sides, stream, node.filter.as_ref())
    }

    /// Keeps joined rows for which the rest of the condition is true.
    fn residual(
        &mut self,
        node: &PlanJoinNode,
        sides: &Sides,
        stream: Stream,
        rest: Option<&Expr>,
    ) -> Result<Stream> {
        let Some(rest) = rest else { return Ok(stream) };
        let predicate = self.pair_text(node, sides, rest)?;
        let op = self.add(OperatorSpec::Filter { predicate }, "filter", vec![vec![stream.op]])?;
        Ok(Stream { op, ..stream })
    }

    /// Bounds of the distance between the sides' time attributes, both ways.
    fn interval(&self, node: &PlanJoinNode, join_type: JoinType, sides: &Sides) -> Option<Bounds> {
        if self.is_changelog(&sides.left) || self.is_changelog(&sides.right) {
            return None;
        }
        let mut bounds: Option<Bounds> = None;
        let mut rest = Vec::new();
        let predicate = node.filter.as_ref()?;
        for part in parts(predicate).into_iter().flat_map(between) {
            let Some(found) = self.time_bound(node, sides, &part) else {
                rest.push(part);
                continue;
            };
            let (left_time, right_time, lower, upper) = found;
            let all = bounds.get_or_insert(Bounds {
                left_time: left_time.clone(),
                right_time: right_time.clone(),
                lower: None,
                upper: None,
                rest: Vec::new(),
            });
            if all.left_time != left_time || all.right_time != right_time {
                rest.push(part);
                continue;
            }
            all.lower = [all.lower, lower].into_iter().flatten().max();
            all.upper = [all.upper, upper].into_iter().flatten().min();
        }
        let mut bounds = bounds?;
        let whole = bounds.lower.zip(bounds.upper).is_some_and(|(l, u)| l <= u);
        let filtered = rest.is_empty() || join_type == JoinType::Inner;
        let typed = matches!(
            join_type,
            JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full
        );
        bounds.rest = rest;
        (whole && filtered && typed && !sides.left_keys.is_empty()).then_some(bounds)
    }

    /// `right.time - left.time` at least or at most so many milliseconds.
    fn time_bound(
        &self,
        node: &PlanJoinNode,
        sides: &Sides,
        part: &Expr,
    ) -> Option<(String, String, Option<i64>, Option<i64>)> {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = part else { return None };
        let a = self.shifted_time(node, sides, left)?;
        let b = self.shifted_time(node, sides, right)?;
        if a.side == b.side {
            return None;
        }
        // Brought to: left.time + x  op  right.time + y.
        let (l, r, op) = match a.side {
            Side::Left => (a, b, *op),
            Side::Right => (b, a, op.swap()?),
        };
        let distance = l.shift - r.shift;
        let (lower, upper) = match op {
            Operator::LtEq => (Some(distance), None),
            Operator::Lt => (Some(distance + 1), None),
            Operator::GtEq => (None, Some(distance)),
            Operator::Gt => (None, Some(distance - 1)),
            Operator::Eq => (Some(distance), Some(distance)),
            _ => return None,
        };
        Some((l.name, r.name, lower, upper))
    }

    fn shifted_time(&self, node: &PlanJoinNode, sides: &Sides, expr: &Expr) -> Option<Shifted> {
        match expr {
            Expr::Column(c) => {
                let (side, column) = match node.left.schema().index_of_column(c) {
                    Ok(i) => (Side::Left, &sides.left.columns[i]),
                    Err(_) => {
                        let i = node.right.schema().index_of_column(c).ok()?;
                        (Side::Right, &sides.right.columns[i])
                    }
                };
                let is_row = column.time == Time::Row;
                is_row.then(|| Shifted { side, name: column.name.clone(), shift: 0 })
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                let sign = match op {
                    Operator::Plus => 1,
                    Operator::Minus => -1,
                    _ => return None,
                };
                let (time, interval) = match milliseconds(right) {
                    Some(ms) => (left, ms),
                    None if sign == 1 => (right, milliseconds(left)?),
                    None => return None,
                };
                let found = self.shifted_time(node, sides, time)?;
                Some(Shifted { shift: found.shift + sign * interval, ..found })
            }
            Expr::Cast(c)
                if matches!(c.field.data_type(), arrow::datatypes::DataType::Timestamp(_, _)) =>
            {
                self.shifted_time(node, sides, &c.expr)
            }
            _ => None,
        }
    }

    fn interval_join(
        &mut self,
        node: &PlanJoinNode,
        join_type: JoinType,
        sides: Sides,
        bounds: Bounds,
    ) -> Result<Stream> {
        let spec = IntervalJoin {
            left_keys: sides.left_keys.clone(),
            right_keys: sides.right_keys.clone(),
            left_time: bounds.left_time,
            right_time: bounds.right_time,
            lower_ms: bounds.lower.unwrap_or(0),
            upper_ms: bounds.upper.unwrap_or(0),
            join_type,
            right_prefix: sides.prefix.clone(),
        };
        let ports = vec![vec![sides.left.op], vec![sides.right.op]];
        let op = self.add(OperatorSpec::IntervalJoin(spec), "intervalJoin", ports)?;
        let columns = self.joined(&sides, join_type, true);
        let stream = Stream { op, columns, window: None, attached: None, unique: None };
        self.residual(node, &sides, stream, conjunction(bounds.rest).as_ref())
    }

    fn regular(
        &mut self,
        node: &PlanJoinNode,
        join_type: JoinType,
        sides: Sides,
    ) -> Result<Stream> {
        let predicate = match &node.filter {
            Some(filter) => Some(self.pair_text(node, &sides, filter)?),
            None => None,
        };
        let (left_ttl_ms, right_ttl_ms) = (self.ttl_of(&node.left), self.ttl_of(&node.right));
        if left_ttl_ms.is_none() || right_ttl_ms.is_none() {
            self.warn_unbounded("JOIN", "every row of both sides");
        }
        let unique = |stream: &Stream| stream.unique.clone().unwrap_or_default();
        let spec = Join {
            left_keys: sides.left_keys.clone(),
            right_keys: sides.right_keys.clone(),
            join_type,
            predicate,
            right_prefix: sides.prefix.clone(),
            left_unique: unique(&sides.left),
            right_unique: unique(&sides.right),
            left_ttl_ms,
            right_ttl_ms,
        };
        let ports = vec![vec![sides.left.op], vec![sides.right.op]];
        let op = self.add(OperatorSpec::Join(spec), "join", ports)?;
        let columns = self.joined(&sides, join_type, false);
        let semi = matches!(join_type, JoinType::Semi | JoinType::Anti);
        let unique = match (&sides.left.unique, &sides.right.unique) {
            (left, _) if semi => left.clone(),
            (Some(left), Some(right)) if join_type == JoinType::Inner => {
                let right = right.iter().map(|n| self.right_name(&sides, n));
                Some(left.iter().cloned().chain(right).collect())
            }
            _ => None,
        };
        Ok(Stream { op, columns, window: None, attached: None, unique })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// A side's time attribute plus so many milliseconds.
struct Shifted {
    side: Side,
    name: String,
    shift: i64,
}

/// `x BETWEEN a AND b` as its two parts.
fn between(expr: Expr) -> Vec<Expr> {
    match expr {
        Expr::Between(b) if !b.negated => {
            let lower = Expr::BinaryExpr(BinaryExpr::new(b.expr.clone(), Operator::GtEq, b.low));
            let upper = Expr::BinaryExpr(BinaryExpr::new(b.expr, Operator::LtEq, b.high));
            vec![lower, upper]
        }
        other => vec![other],
    }
}

/// `IS NOT DISTINCT FROM` as equalities: whether both are NULL, and a value in NULL's place.
fn nulls_meet(node: &PlanJoinNode) -> PlanJoinNode {
    let filled = |expr: &Expr, schema: &DFSchema| {
        let value = ScalarValue::new_default(&expr.get_type(schema).ok()?).ok()?;
        when(expr.clone().is_null(), lit(value)).otherwise(expr.clone()).ok()
    };
    let mut on = Vec::new();
    let mut rest = Vec::new();
    for (left, right) in &node.on {
        let values = filled(left, node.left.schema()).zip(filled(right, node.right.schema()));
        match values {
            Some(values) => {
                on.extend([values, (left.clone().is_null(), right.clone().is_null())]);
            }
            None => {
                rest.push(binary_expr(left.clone(), Operator::IsNotDistinctFrom, right.clone()))
            }
        }
    }
    let filter = conjunction(rest.into_iter().chain(node.filter.clone()));
    let null_equality = NullEquality::NullEqualsNothing;
    PlanJoinNode { on, filter, null_equality, ..node.clone() }
}

/// `NOT IN` as SQL means it: a NULL on either side may be equal, so the rows meet.
fn unknown_meets(node: &PlanJoinNode) -> PlanJoinNode {
    let equal = node.on.iter().map(|(left, right)| {
        let (l, r) = (left.clone(), right.clone());
        l.clone().eq(r.clone()).or(l.is_null()).or(r.is_null())
    });
    let filter = conjunction(equal.chain(node.filter.clone()));
    PlanJoinNode { on: Vec::new(), filter, null_aware: false, ..node.clone() }
}
