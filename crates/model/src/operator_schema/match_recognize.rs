//! Output schema of MATCH_RECOGNIZE, and what a pattern must not be. Called like the rest of
//! `operator_schema`.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

use super::{check_order, column_index, key_indices, refuse_changelog, time_index, unique};
use crate::aggregate::output_field;
use crate::expression::Expressions;
use crate::operator_spec::{
    AfterMatchSkip, MatchCondition, MatchFunction, MatchRecognize, MatchValue,
};
use crate::{Error, Result};

/// Conditions of a row are kept as bits of a number.
pub const MAX_PATTERN_VARIABLES: usize = 64;

/// The keys, then one column per measure.
pub fn match_recognize_schema(
    spec: &MatchRecognize,
    input: &SchemaRef,
    expressions: &dyn Expressions,
) -> Result<SchemaRef> {
    refuse_changelog(input, "matchRecognize")?;
    if let Some(time) = &spec.time_column {
        time_index(input, time)?;
    }
    check_order(&spec.order_by, input, "matchRecognize")?;
    check_pattern(spec).map_err(Error::user)?;
    for variable in &spec.pattern {
        let Some(condition) = &variable.condition else { continue };
        let place = || format!("condition of `{}`", variable.name);
        let values = match_condition_schema(condition, input).map_err(|e| e.at(place()))?;
        let compiled = expressions.compile(&condition.predicate, &values)?;
        if *compiled.data_type() != DataType::Boolean {
            let found = compiled.data_type();
            return Err(Error::user(format!("it is {found}, not BOOLEAN")).at(place()));
        }
    }
    let keys = key_indices(input, &spec.keys)?;
    let mut fields: Vec<FieldRef> = keys.iter().map(|i| Arc::clone(&input.fields()[*i])).collect();
    for measure in &spec.measures {
        fields.push(Arc::new(value_field(measure, input)?));
    }
    unique(fields)
}

/// The columns that a condition's predicate reads.
pub fn match_condition_schema(condition: &MatchCondition, input: &Schema) -> Result<SchemaRef> {
    let mut fields = Vec::with_capacity(condition.values.len() + 1);
    for value in &condition.values {
        fields.push(value_field(value, input)?);
    }
    if fields.is_empty() {
        // A constant condition: a batch needs a column to have rows.
        fields.push(Field::new("$row", DataType::Boolean, true));
    }
    Ok(Arc::new(Schema::new(fields)))
}

fn value_field(value: &MatchValue, input: &Schema) -> Result<Field> {
    Ok(match &value.function {
        MatchFunction::First { column, .. } | MatchFunction::Last { column, .. } => {
            let field = input.field(column_index(input, column)?);
            field.clone().with_name(&value.name).with_nullable(true)
        }
        MatchFunction::Aggregate(call) => output_field(call, input)?.with_name(&value.name),
    })
}

/// What Flink refuses, too; answers what is wrong.
pub fn check_pattern(spec: &MatchRecognize) -> std::result::Result<(), String> {
    let pattern = &spec.pattern;
    let known = |name: &str| pattern.iter().any(|v| v.name == name);
    if pattern.len() > MAX_PATTERN_VARIABLES {
        return Err(format!("a pattern has at most {MAX_PATTERN_VARIABLES} variables"));
    }
    for (at, variable) in pattern.iter().enumerate() {
        let name = &variable.name;
        if pattern[..at].iter().any(|v| v.name == *name) {
            return Err(format!(
                "`{name}` stands in the pattern twice; give the second another name"
            ));
        }
        if variable.max.is_some_and(|max| max < variable.min || max == 0) {
            return Err(format!("the quantifier of `{name}` lets no row through"));
        }
        if variable.reluctant && (variable.min, variable.max) == (0, Some(1)) {
            return Err(format!("`{name}` is optional and reluctant, which cannot be matched"));
        }
        let optional = variable.min == 0 && matches!(variable.max, None | Some(1));
        if let Some(before) = at.checked_sub(1).map(|i| &pattern[i]).filter(|v| v.takes_all())
            && optional
        {
            return Err(format!(
                "`{name}` may be left out behind the greedy `{}`, which cannot be matched; make \
                 that one reluctant, or bound this one: {{0,9}}",
                before.name
            ));
        }
        let values = variable.condition.iter().flat_map(|c| &c.values);
        for named in values.filter_map(|v| v.variable.as_ref()) {
            if !known(named) {
                return Err(format!("the condition of `{name}` reads `{named}`, no variable"));
            }
        }
    }
    if pattern.iter().all(|v| v.min == 0) {
        return Err("the pattern may match no row at all; one variable must take a row".into());
    }
    if let Some(last) = pattern.last().filter(|v| v.takes_all()) {
        return Err(format!(
            "the pattern ends with the greedy `{}`, whose end no row would tell",
            last.name
        ));
    }
    for named in spec.measures.iter().filter_map(|m| m.variable.as_ref()) {
        if !known(named) {
            return Err(format!("a measure reads `{named}`, no variable of the pattern"));
        }
    }
    if let AfterMatchSkip::ToFirst { variable } | AfterMatchSkip::ToLast { variable } = &spec.skip
        && !known(variable)
    {
        return Err(format!("AFTER MATCH SKIP names `{variable}`, no variable of the pattern"));
    }
    if spec.within_ms.is_some_and(|ms| ms <= 0) {
        return Err("WITHIN must be longer than nothing".into());
    }
    Ok(())
}
