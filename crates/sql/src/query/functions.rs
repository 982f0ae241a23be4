//! Functions that only mean something in a query over streams: aggregates, ranks, and the
//! functions of time attributes. They carry Flink's types through DataFusion's planner and
//! are replaced by operators; none is ever evaluated. Called by `catalog`.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion_common::{Result, ScalarValue, internal_err, plan_err};
use datafusion_expr::expr::AggregateFunction as AggregateExpr;
use datafusion_expr::function::{AccumulatorArgs, PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion_expr::planner::{ExprPlanner, PlannerResult, RawAggregateExpr, RawWindowExpr};
use datafusion_expr::utils::COUNT_STAR_EXPANSION;
use datafusion_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, Expr, PartitionEvaluator,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, WindowUDF, WindowUDFImpl,
};
use model::aggregate;
use model::operator_spec::{AggregateCall, AggregateFunction};

use super::aggregates::COMPOSED;

/// Names of aggregates, Flink's and their synonyms.
pub(crate) const AGGREGATES: &[(&str, AggregateFunction)] = &[
    ("count", AggregateFunction::Count),
    ("sum", AggregateFunction::Sum),
    ("min", AggregateFunction::Min),
    ("max", AggregateFunction::Max),
    ("avg", AggregateFunction::Avg),
    ("first_value", AggregateFunction::First),
    ("last_value", AggregateFunction::Last),
    ("stddev_pop", AggregateFunction::StddevPop),
    ("stddev_samp", AggregateFunction::StddevSamp),
    ("stddev", AggregateFunction::StddevSamp),
    ("var_pop", AggregateFunction::VarPop),
    ("var_samp", AggregateFunction::VarSamp),
    ("variance", AggregateFunction::VarSamp),
    ("listagg", AggregateFunction::ListAgg),
    ("collect", AggregateFunction::Collect),
    ("array_agg", AggregateFunction::ArrayAgg),
    ("single_value", AggregateFunction::SingleValue),
];

/// The name of `GROUPING` and `GROUPING_ID`, which no operator computes.
pub(crate) const GROUPING_ID: &str = "grouping_id";

/// The function of an aggregate that [`aggregates`] made.
pub(crate) fn aggregate_of(name: &str) -> Option<AggregateFunction> {
    AGGREGATES.iter().find(|(n, _)| *n == name).map(|(_, f)| *f)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Aggregate {
    name: &'static str,
    signature: Signature,
}

impl AggregateUDFImpl for Aggregate {
    fn name(&self) -> &str {
        self.name
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        if self.name == GROUPING_ID {
            return Ok(DataType::Int64);
        }
        let Some(function) = aggregate_of(self.name) else {
            return internal_err!("no aggregate `{}`", self.name);
        };
        let call = AggregateCall {
            function,
            column: Some(String::new()),
            keep_type: true,
            ..AggregateCall::default()
        };
        match aggregate::call_type(&call, arguments.first()) {
            Ok(data_type) => Ok(data_type),
            Err(_) => {
                let shown: Vec<String> = arguments.iter().map(planner::sql_type::show).collect();
                plan_err!("{} does not take {}", self.name.to_uppercase(), shown.join(", "))
            }
        }
    }
    fn is_nullable(&self) -> bool {
        !["count", GROUPING_ID].contains(&self.name)
    }
    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        match self.name {
            "count" => Ok(ScalarValue::Int64(Some(0))),
            _ => ScalarValue::try_from(data_type),
        }
    }
    fn accumulator(&self, _arguments: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        internal_err!("`{}` was not planned", self.name)
    }
}

/// Aggregates by name.
pub(crate) static AGGREGATE_FUNCTIONS: LazyLock<BTreeMap<&'static str, Arc<AggregateUDF>>> =
    LazyLock::new(|| {
        let named = |name: &'static str| {
            let signature = Signature::variadic_any(Volatility::Immutable);
            Arc::new(AggregateUDF::new_from_impl(Aggregate { name, signature }))
        };
        let made = AGGREGATES.iter().map(|(name, _)| (*name, named(name)));
        // DataFusion's own GROUPING counts the bits of a column that there is not.
        let grouping = ["grouping", GROUPING_ID].map(|name| (name, named(GROUPING_ID)));
        let composed = COMPOSED.map(|name| (name, named(name)));
        made.chain(grouping).chain(composed).collect()
    });

/// `COUNT(*)` and `COUNT()` count rows.
#[derive(Debug)]
pub(crate) struct CountRows;

impl ExprPlanner for CountRows {
    #[expect(deprecated, reason = "the planner still makes wildcards of `*`")]
    fn plan_aggregate(&self, mut raw: RawAggregateExpr) -> Result<PlannerResult<RawAggregateExpr>> {
        let star = raw.args.is_empty() || matches!(raw.args[..], [Expr::Wildcard { .. }]);
        if raw.func.name() == "count" && star {
            raw.args = vec![Expr::Literal(COUNT_STAR_EXPANSION, None)];
            let RawAggregateExpr { func, args, distinct, filter, order_by, null_treatment } = raw;
            let call =
                AggregateExpr::new_udf(func, args, distinct, filter, order_by, null_treatment);
            return Ok(PlannerResult::Planned(Expr::AggregateFunction(call)));
        }
        Ok(PlannerResult::Original(raw))
    }

    #[expect(deprecated, reason = "the planner still makes wildcards of `*`")]
    fn plan_window(&self, mut raw: RawWindowExpr) -> Result<PlannerResult<RawWindowExpr>> {
        let star = raw.args.is_empty() || matches!(raw.args[..], [Expr::Wildcard { .. }]);
        if raw.func_def.name() == "count" && star {
            raw.args = vec![Expr::Literal(COUNT_STAR_EXPANSION, None)];
        }
        Ok(PlannerResult::Original(raw))
    }
}

/// First and last value as well, which DataFusion's planner never takes for aggregates here.
pub(crate) const RANKS: &[&str] = &[
    "row_number",
    "rank",
    "dense_rank",
    "percent_rank",
    "cume_dist",
    "ntile",
    "lag",
    "lead",
    "first_value",
    "last_value",
];

#[derive(Debug, PartialEq, Eq, Hash)]
struct Rank {
    name: &'static str,
    signature: Signature,
}

impl WindowUDFImpl for Rank {
    fn name(&self) -> &str {
        self.name
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn partition_evaluator(
        &self,
        _arguments: PartitionEvaluatorArgs<'_>,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        internal_err!("`{}` was not planned", self.name)
    }
    fn field(&self, arguments: WindowUDFFieldArgs<'_>) -> Result<FieldRef> {
        let field = match (self.name, arguments.input_fields().first()) {
            ("lag" | "lead" | "first_value" | "last_value", Some(value)) => {
                Field::new(arguments.name(), value.data_type().clone(), true)
            }
            ("lag" | "lead" | "first_value" | "last_value", None) => {
                return plan_err!("{} needs a column", self.name.to_uppercase());
            }
            ("percent_rank" | "cume_dist", _) => {
                Field::new(arguments.name(), DataType::Float64, false)
            }
            _ => Field::new(arguments.name(), DataType::Int64, false),
        };
        Ok(Arc::new(field))
    }
}

/// Window functions by name.
pub(crate) static RANK_FUNCTIONS: LazyLock<BTreeMap<&'static str, Arc<WindowUDF>>> =
    LazyLock::new(|| {
        let made = RANKS.iter().map(|name| {
            let any = Signature::variadic_any(Volatility::Immutable);
            let signature = match *name {
                "lag" | "lead" | "ntile" | "first_value" | "last_value" => any,
                _ => Signature::nullary(Volatility::Immutable),
            };
            (*name, Arc::new(WindowUDF::new_from_impl(Rank { name, signature })))
        });
        made.collect()
    });

/// The name of `PROCTIME()`.
pub(crate) const PROCTIME: &str = "proctime";

#[derive(Debug, PartialEq, Eq, Hash)]
struct TimeAttribute {
    signature: Signature,
}

impl ScalarUDFImpl for TimeAttribute {
    fn name(&self) -> &str {
        PROCTIME
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Timestamp(TimeUnit::Millisecond, None))
    }
    fn invoke_with_args(&self, _arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("PROCTIME() was not planned")
    }
}

/// `PROCTIME()`: a column of processing time.
pub(crate) static PROCTIME_FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let signature = Signature::nullary(Volatility::Volatile);
    Arc::new(ScalarUDF::new_from_impl(TimeAttribute { signature }))
});
