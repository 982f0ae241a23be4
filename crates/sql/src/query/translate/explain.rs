//! The operators of a statement for people: `EXPLAIN`.

use datafusion_expr::LogicalPlan;
use model::operator_spec::OperatorSpec;
use model::row_kind;

use super::{Translator, cost};

/// One line per operator, from sink to sources, with what the details ask for.
pub(crate) fn lines(
    translator: &Translator<'_>,
    details: &[String],
    plan: &LogicalPlan,
) -> Vec<String> {
    let mut out = vec!["== Logical plan ==".to_owned()];
    out.extend(plan.display_indent().to_string().lines().map(str::to_owned));
    out.push(String::new());
    out.push("== Operators ==".to_owned());
    let sinks = translator.ops.iter().enumerate();
    for (index, _) in sinks.filter(|(_, o)| matches!(o.spec, OperatorSpec::Sink { .. })) {
        tree(translator, details, index, 0, &mut out);
    }
    if !translator.warnings.is_empty() {
        out.push(String::new());
        out.push("== Warnings ==".to_owned());
        out.extend(translator.warnings.iter().map(|w| w.message.clone()));
    }
    out
}

fn tree(
    translator: &Translator<'_>,
    details: &[String],
    index: usize,
    depth: usize,
    out: &mut Vec<String>,
) {
    let op = &translator.ops[index];
    let asks = |word: &str| details.iter().any(|d| d == word);
    let mut line = format!("{}{} {}", "  ".repeat(depth), op.spec.kind(), op.name);
    line.push_str(&format!("  parallelism={}", op.parallelism));
    if op.spec.is_stateful() {
        line.push_str("  [state]");
    }
    if asks("CHANGELOG_MODE") {
        let changelog = row_kind::is_changelog(&op.output);
        line.push_str(if changelog {
            "  changelogMode=[I,UB,UA,D]"
        } else {
            "  changelogMode=[I]"
        });
    }
    if asks("ESTIMATED_COST") {
        line.push_str(&cost::estimate(translator, index));
    }
    out.push(line);
    for input in op.ports.iter().flatten() {
        tree(translator, details, input.op, depth + 1, out);
    }
}
