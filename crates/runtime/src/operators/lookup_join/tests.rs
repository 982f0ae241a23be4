//! The lookup join by script, over tables of a few rows.

use arrow::array::{Int64Array, StringArray};
use model::connector::SourceSpec;

use super::*;
use crate::operators::script::{TestExpressions, check, schema};

fn rows(names: &[(Option<&str>, i64)]) -> RecordBatch {
    let keys: StringArray = names.iter().map(|(key, _)| *key).collect();
    let values = Int64Array::from_iter_values(names.iter().map(|(_, value)| *value));
    RecordBatch::try_new(schema("k STRING, w BIGINT"), vec![Arc::new(keys), Arc::new(values)])
        .unwrap()
}

fn spec(join_type: JoinType, predicate: Option<&str>) -> LookupJoin {
    LookupJoin {
        left_keys: vec!["k".into()],
        table_keys: vec!["k".into()],
        table: SourceSpec {
            connector: "test".to_owned(),
            options: serde_json::Value::Null,
            declared_schema: None,
            projection: None,
            pushdown: Default::default(),
        },
        table_schema: schema("k STRING, w BIGINT"),
        join_type,
        predicate: predicate.map(str::to_owned),
        right_prefix: "r_".into(),
        refresh_ms: None,
    }
}

fn run(join_type: JoinType, predicate: Option<&str>, left: &str, script: &str) {
    let spec = spec(join_type, predicate);
    let inputs = [schema(left)];
    let make = || -> Result<Box<dyn Operator>> {
        let mut operator = LookupJoinOperator::new(&spec, &inputs[0], &TestExpressions)?;
        let table = vec![rows(&[(Some("a"), 1), (Some("b"), 2)]), rows(&[(Some("a"), 3)])];
        operator.look_up_in(LookupTable::holding(table));
        Ok(Box::new(operator))
    };
    check(make, &inputs, script);
}

#[test]
fn rows_meet_all_rows_of_their_key() {
    let script = "
        > b 10
        > c 11
        > a 12
        < b 10 b 2
        < a 12 a 3
        < a 12 a 1";
    run(JoinType::Inner, None, "k STRING, v BIGINT", script);
}

#[test]
fn a_left_join_keeps_rows_alone_and_the_order_of_changes() {
    let script = "
        > +I c 10
        > -U null 1
        > +U b 1
        > -D a 3
        > +I c 11
        < +I c 10 null null
        < -U null 1 null null
        < +U b 1 b 2
        < -D a 3 a 3
        < -D a 3 a 1
        < +I c 11 null null";
    run(JoinType::Left, None, "k STRING, v BIGINT, $row_kind", script);
}

#[test]
fn the_condition_decides_about_partners() {
    let script = "
        > a 1
        > b 2
        < a 1 a 3
        < b 2 null null";
    run(JoinType::Left, Some("w > 2"), "k STRING, v BIGINT", script);
    let script = "
        > a 1
        > b 2
        < a 1 a 3";
    run(JoinType::Inner, Some("w > 2"), "k STRING, v BIGINT", script);
}

#[test]
fn a_table_that_was_read_again_counts_from_the_next_batch() {
    let script = "
        > c 1
        > batch
        > c 2
        > a 2
        < c 2 c 5";
    let left = schema("k STRING, v BIGINT");
    let spec = spec(JoinType::Inner, None);
    let make = || -> Result<Box<dyn Operator>> {
        struct Refreshed(LookupJoinOperator, usize);
        impl Operator for Refreshed {
            fn process(
                &mut self,
                port: usize,
                batch: RecordBatch,
                ctx: &mut OperatorContext,
                out: &mut Output,
            ) -> Result<()> {
                if self.1 == 1 {
                    let table = vec![rows(&[(None, 4), (Some("c"), 5)])];
                    self.0.look_up_in(LookupTable::holding(table));
                }
                self.1 += 1;
                self.0.process(port, batch, ctx, out)
            }
        }
        let mut operator = LookupJoinOperator::new(&spec, &left, &TestExpressions)?;
        operator.look_up_in(LookupTable::holding(vec![rows(&[(Some("a"), 1)])]));
        Ok(Box::new(Refreshed(operator, 0)))
    };
    check(make, &[Arc::clone(&left)], script);
}
