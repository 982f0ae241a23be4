//! Moves what is said about a plan from the statement to the word in it: operators know no
//! places, but what they say names a column, a function or a clause. Called by `mod`.

use std::ops::Range;

use planner::sql::SqlDiagnostic;

use super::errors::statement_start;
use super::script::Script;

/// About the sink, whose name is where they belong.
const OF_THE_SINK: &[&str] = &["E0306", "E0401", "E0402", "E0519", "E0523"];

/// `found`, which stands at `at` for want of a better place, within the query of `tokens`.
pub(crate) fn word(
    found: SqlDiagnostic,
    at: &Range<usize>,
    script: &Script<'_>,
    tokens: &Range<usize>,
) -> SqlDiagnostic {
    if found.span != *at || OF_THE_SINK.contains(&found.code) {
        return found;
    }
    let names = found.message.split('`').skip(1).step_by(2);
    let named = names.filter_map(|name| script.find(name.rsplit('.').next()?, tokens));
    let clauses = found.message.split(|c: char| !c.is_ascii_uppercase() && c != '_');
    let clauses = clauses.filter(|w| w.len() > 1).filter_map(|w| script.find(w, tokens));
    let span = named.chain(clauses).next();
    let span = span.unwrap_or_else(|| statement_start(script, tokens));
    SqlDiagnostic { span, ..found }
}
