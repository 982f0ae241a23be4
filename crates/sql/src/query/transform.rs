//! One query over streams that are there already: `type: sql` of a job file. The streams are
//! the query's tables; the result stays a stream. Called by `mod`.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::operator_spec::OperatorSpec;
use planner::logical::{Op, plain};
use planner::sql::{SqlDiagnostic, SqlInput, SqlPlan, SqlQuery, SqlRequest};

use super::Session;
use super::catalog::{Catalog, InputSource};
use super::script::{Script, error};
use super::statement::{self, Statement};
use super::translate::Translator;
use crate::registry::Functions;

pub(crate) fn plan(
    functions: &Functions,
    text: &str,
    inputs: &[SqlInput],
    request: &SqlRequest<'_>,
) -> Result<SqlQuery, Vec<SqlDiagnostic>> {
    let script = Script::new(text).map_err(|e| vec![e])?;
    let mut errors = Vec::new();
    let mut statements = statement::read(&script, &mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    statements.retain(|s| !matches!(s, Statement::Nothing));
    let [Statement::Query(tokens)] = statements.as_slice() else {
        let at = script.tokens.first().map_or(0..text.len().min(1), |t| t.at.clone());
        let names: Vec<&str> = inputs.iter().map(|i| i.name.as_str()).collect();
        let help = format!("write SELECT ... FROM {}", names.join(", "));
        return Err(vec![error("E0530", at, "a transform is exactly one query", help)]);
    };
    let mut translator = Translator::new(request, &script);
    translator.ops = inputs.iter().map(stand_in).collect();
    let mut session = Session {
        functions,
        script: &script,
        request: *request,
        catalog: Catalog { inputs: tables(inputs), ..Catalog::default() },
        translator,
        plan: SqlPlan::default(),
        used_hints: Vec::new(),
    };
    let planned = session.planned(tokens).map_err(|e| vec![e])?;
    session.translator.begin("", script.span_of(tokens));
    let (_, time) = session.translator.result(&planned).map_err(|e| vec![e])?;
    let Translator { ops, mut warnings, .. } = session.translator;
    warnings.extend(session.plan.warnings);
    Ok(SqlQuery { ops, time, warnings })
}

fn tables(inputs: &[SqlInput]) -> BTreeMap<String, Arc<InputSource>> {
    let table = |(index, input): (usize, &SqlInput)| {
        let source = InputSource { index, schema: plain(&input.schema), time: input.time.clone() };
        (input.name.clone(), Arc::new(source))
    };
    inputs.iter().enumerate().map(table).collect()
}

/// What stands for an input among the operators: something with its rows.
fn stand_in(input: &SqlInput) -> Op {
    Op {
        uid: format!("${}", input.name),
        name: format!("${}", input.name),
        spec: OperatorSpec::Union,
        ports: Vec::new(),
        output: input.schema.clone(),
        side: None,
        parallelism: input.parallelism,
        required: Vec::new(),
        node: 0,
    }
}
