//! Window joins and interval joins.

use model::operator_schema;
use model::operator_spec::{
    IntervalJoin, OperatorSpec, WINDOW_END, WINDOW_START, Window, WindowJoin,
};

use super::{Scope, Stream, Typing};
use crate::fields::Spanned;
use crate::nodes::JoinDef;
use crate::sql_type;

impl Typing<'_> {
    pub(super) fn window_join(
        &mut self,
        scope: &Scope<'_>,
        def: &JoinDef,
        window: Option<&Spanned<Window>>,
    ) -> Option<Stream> {
        let (left_keys, right_keys) = self.join_keys(scope, def, "a windowJoin")?;
        let (left_time, right_time) = match window {
            Some(_) => self.join_times(scope, def)?,
            None => {
                for port in 0..2 {
                    self.require_watermark(scope, port)?;
                    self.windowed(scope, port)?;
                }
                (WINDOW_END.to_owned(), WINDOW_END.to_owned())
            }
        };
        let spec = WindowJoin {
            left_keys,
            right_keys,
            left_time,
            right_time,
            window: window.map(|w| w.value),
            join_type: def.join_type,
            right_prefix: def.right_prefix.clone(),
        };
        let op = self.add(scope, "", OperatorSpec::WindowJoin(spec))?;
        let stream = self.stream(scope, op);
        // Rows come when the window closes: their own times are in the past by then.
        Some(Stream { time: None, ..stream })
    }

    pub(super) fn interval_join(
        &mut self,
        scope: &Scope<'_>,
        def: &JoinDef,
        (lower_ms, upper_ms): (i64, i64),
    ) -> Option<Stream> {
        let (left_keys, right_keys) = self.join_keys(scope, def, "an intervalJoin")?;
        let (left_time, right_time) = self.join_times(scope, def)?;
        let spec = IntervalJoin {
            left_keys,
            right_keys,
            left_time: left_time.clone(),
            right_time,
            lower_ms,
            upper_ms,
            join_type: def.join_type,
            right_prefix: def.right_prefix.clone(),
        };
        let op = self.add(scope, "", OperatorSpec::IntervalJoin(spec))?;
        let stream = self.stream(scope, op);
        Some(Stream { time: Some(left_time), ..stream })
    }

    fn join_times(&self, scope: &Scope<'_>, def: &JoinDef) -> Option<(String, String)> {
        let left = self.event_time(scope, 0, def.left_time.as_ref());
        let right = self.event_time(scope, 1, def.right_time.as_ref());
        Some((left?, right?))
    }

    fn windowed(&self, scope: &Scope<'_>, port: usize) -> Option<()> {
        let schema = &scope.inputs[port].schema;
        if [WINDOW_START, WINDOW_END].iter().all(|c| operator_schema::time_index(schema, c).is_ok())
        {
            return Some(());
        }
        let input = scope.def.inputs.get(port);
        let at = input.map_or(&scope.def.name.span, |n| &n.span);
        let name = input.map_or("its input", |n| &n.value);
        let message = format!(
            "`{}` has no `window`, and `{name}` has no `window_start` and `window_end`",
            scope.def.name.value
        );
        let help = "write `window: { type: tumbling, size: 1h }`, or join the outputs of two `window` transforms";
        self.report.add_help("E0305", at, message, help);
        None
    }

    /// Both sides' keys: there, hashable, insert-only, and of equal types pair by pair.
    fn join_keys(
        &self,
        scope: &Scope<'_>,
        def: &JoinDef,
        what: &str,
    ) -> Option<(Vec<String>, Vec<String>)> {
        for port in 0..2 {
            self.refuse_changelog(scope, port, what)?;
        }
        let schemas = [&scope.inputs[0].schema, &scope.inputs[1].schema];
        let left = self.key_columns(&def.left, schemas[0]);
        let right = self.key_columns(&def.right, schemas[1]);
        let (left, right) = (left?, right?);
        for (index, (l, r)) in left.iter().zip(&right).enumerate() {
            let types = [(schemas[0], l), (schemas[1], r)]
                .map(|(s, name)| s.field_with_name(name).map(|f| f.data_type().clone()));
            let [Ok(l_type), Ok(r_type)] = types else { return None };
            if l_type != r_type {
                let at = &def.right[index].span;
                let message = format!(
                    "`{l}` is {}, but `{r}` of the right input is {}",
                    sql_type::show(&l_type),
                    sql_type::show(&r_type)
                );
                let help = "cast one of them in a `project` transform before the join";
                self.report.add_help("E0307", at, message, help);
                return None;
            }
        }
        Some((left, right))
    }
}
