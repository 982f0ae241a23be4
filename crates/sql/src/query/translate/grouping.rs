//! GROUPING SETS: every row once per set, with NULL in the columns that are not of the set
//! and the set's number, and an ordinary aggregate over that.

use std::collections::BTreeSet;

use datafusion_expr::Expr;
use datafusion_expr::expr::AggregateFunction as AggregateExpr;
use model::operator_spec::{AggregateCall, Expand, NamedExpression, OperatorSpec};
use planner::names::quote;

use super::aggregate::Group;
use super::{Column, Result, Stream, Time, Translator};
use crate::query::expr_text::cast;
use crate::query::functions::GROUPING_ID;

/// The sets, and all their expressions once each.
pub(super) struct GroupingSets<'e> {
    pub(super) sets: &'e [Vec<Expr>],
    pub(super) groups: Vec<&'e Expr>,
}

impl GroupingSets<'_> {
    fn contains(&self, set: usize, group: &Expr) -> bool {
        self.sets[set].contains(group)
    }

    /// Whether a group is in every set, as if there were none.
    pub(super) fn always(&self, group: &Expr) -> bool {
        (0..self.sets.len()).all(|set| self.contains(set, group))
    }
}

/// The call of `GROUPING` or `GROUPING_ID` that `expr` is.
pub(super) fn grouping_call(expr: &Expr) -> Option<&AggregateExpr> {
    match expr {
        Expr::Alias(alias) => grouping_call(&alias.expr),
        Expr::AggregateFunction(call) if call.func.name() == GROUPING_ID => Some(call),
        _ => None,
    }
}

impl Translator<'_> {
    /// The rows of `input` once per set. Key columns get copies, of which those that are not of
    /// the row's set are NULL; the last group is the set's number.
    pub(super) fn expand(
        &mut self,
        input: Stream,
        sets: &GroupingSets<'_>,
        keys: Vec<Group>,
        calls: &[AggregateCall],
    ) -> Result<(Stream, Vec<Group>)> {
        let kept = self.kept_by_expand(&input, &keys, calls);
        let schema = self.schema(&input).clone();
        let mut taken: Vec<String> = kept.iter().cloned().collect();
        let mut copies: Vec<(usize, String, String)> = Vec::new();
        let mut groups = Vec::with_capacity(keys.len() + 1);
        for (at, key) in keys.into_iter().enumerate() {
            let Group::Key(name) = key else {
                groups.push(key);
                continue;
            };
            let copy = match taken.contains(&name) {
                true => Self::fresh(&schema, &taken, &name),
                false => name.clone(),
            };
            taken.push(copy.clone());
            groups.push(Group::Key(copy.clone()));
            copies.push((at, name, copy));
        }
        let number = Self::fresh(&schema, &taken, "grouping_set");
        let mut projections = Vec::with_capacity(sets.sets.len());
        for set in 0..sets.sets.len() {
            let plain = |name: &String| NamedExpression { name: name.clone(), expr: quote(name) };
            let mut columns: Vec<NamedExpression> = kept.iter().map(plain).collect();
            for (at, name, copy) in &copies {
                let expr = match (sets.contains(set, sets.groups[*at]), self.type_of(&input, name))
                {
                    (false, Some(data_type)) => cast("CAST", "NULL", &data_type),
                    _ => quote(name),
                };
                columns.push(NamedExpression { name: copy.clone(), expr });
            }
            columns.push(NamedExpression { name: number.clone(), expr: set.to_string() });
            projections.push(columns);
        }
        let spec = OperatorSpec::Expand(Expand { projections });
        let op = self.add(spec, "groupingSets", vec![vec![input.op]])?;
        groups.push(Group::Key(number));
        let columns = input.columns.into_iter().filter(|c| kept.contains(&c.name)).collect();
        Ok((Stream { op, columns, unique: None, ..input }, groups))
    }

    /// Columns that the aggregate above reads beside its keys.
    fn kept_by_expand(
        &self,
        input: &Stream,
        keys: &[Group],
        calls: &[AggregateCall],
    ) -> BTreeSet<String> {
        let mut kept = BTreeSet::new();
        for call in calls {
            kept.extend(call.column.iter().chain(&call.more_columns).chain(&call.filter).cloned());
        }
        let row_time = input.columns.iter().find(|c| c.time == Time::Row && !c.pending);
        kept.extend(row_time.map(|c| c.name.clone()));
        if let Some(pending) = &input.window {
            kept.extend(pending.time.iter().cloned());
        }
        if let Some(attached) = &input.attached
            && keys.iter().any(|k| !matches!(k, Group::Key(_)))
        {
            kept.extend([attached.start.clone(), attached.end.clone()]);
        }
        kept
    }

    /// Which of its arguments are not grouped by, as bits: the last argument is the lowest.
    pub(super) fn grouping_text(
        &self,
        call: &AggregateExpr,
        groups: &[&Expr],
        sets: Option<&GroupingSets<'_>>,
        number: &str,
    ) -> Result<String> {
        for argument in &call.params.args {
            if !groups.contains(&argument) {
                let message = format!("`{argument}` in GROUPING is not in GROUP BY");
                return Err(self.failed("E0513", message, "name an expression of GROUP BY"));
            }
        }
        if call.params.args.is_empty() || call.params.args.len() > 63 {
            return Err(self.failed("E0513", "GROUPING takes from 1 to 63 groups", ""));
        }
        let Some(sets) = sets else { return Ok("0".to_owned()) };
        let bits = |set: usize| {
            let bit = |e: &Expr| i64::from(!sets.contains(set, e));
            call.params.args.iter().fold(0_i64, |all, e| all << 1 | bit(e))
        };
        let whens: Vec<String> =
            (0..sets.sets.len()).map(|set| format!("WHEN {set} THEN {}", bits(set))).collect();
        Ok(format!("CASE {} {} ELSE 0 END", quote(number), whens.join(" ")))
    }

    /// `stream` of an aggregate, whose columns are the groups and then the calls, as the plan
    /// has them: groups, the set's number, then calls and GROUPING in the order of the query.
    pub(super) fn with_groupings(
        &mut self,
        stream: Stream,
        aggregates: &[Expr],
        groups: &[&Expr],
        sets: Option<&GroupingSets<'_>>,
    ) -> Result<Stream> {
        let numbers = usize::from(sets.is_some());
        let head = groups.len() + numbers;
        let number = match sets {
            Some(_) => stream.columns[head - 1].name.clone(),
            None => String::new(),
        };
        let mut calls = stream.columns[head..].iter().cloned();
        let mut columns = stream.columns[..head].to_vec();
        let mut computed: Vec<NamedExpression> = Vec::new();
        for expr in aggregates {
            let Some(call) = grouping_call(expr) else {
                columns.extend(calls.next());
                continue;
            };
            let taken: Vec<String> = computed.iter().map(|c| c.name.clone()).collect();
            let name = Self::fresh(self.schema(&stream), &taken, "grouping");
            let expr = self.grouping_text(call, groups, sets, &number)?;
            computed.push(NamedExpression { name: name.clone(), expr });
            columns.push(Column::plain(&name));
        }
        let stream = self.with_columns(&stream, computed, "grouping")?;
        Ok(Stream { columns, ..stream })
    }
}
