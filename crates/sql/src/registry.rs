//! The scalar functions there are, and DataFusion's view of them (`ContextProvider`).
//! Called by `compile`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_common::config::ConfigOptions;
use datafusion_common::{Result, TableReference, plan_err};
use datafusion_expr::planner::{ContextProvider, ExprPlanner};
use datafusion_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF};

use crate::{builtin, collected, flink};

/// All functions by lower-case name and alias. Built once per engine.
#[derive(Debug)]
pub(crate) struct Functions {
    pub(crate) scalar: BTreeMap<String, Arc<ScalarUDF>>,
    pub(crate) higher_order: BTreeMap<String, Arc<HigherOrderUDF>>,
    pub(crate) planners: Vec<Arc<dyn ExprPlanner>>,
    pub(crate) options: Arc<ConfigOptions>,
}

impl Functions {
    pub(crate) fn new() -> Self {
        let mut scalar = BTreeMap::new();
        let all = datafusion_functions::all_default_functions()
            .into_iter()
            .chain(datafusion_functions_nested::all_default_nested_functions());
        for function in all {
            for alias in function.aliases() {
                scalar.insert(alias.to_lowercase(), function.clone());
            }
            scalar.insert(function.name().to_lowercase(), function);
        }
        // Last, because Flink's meaning of a name goes before DataFusion's.
        for function in flink::functions() {
            scalar.insert(function.name().to_owned(), function);
        }
        for function in builtin::functions().chain(collected::functions()) {
            scalar.insert(function.name().to_owned(), function);
        }
        let mut higher_order = BTreeMap::new();
        for function in datafusion_functions_nested::all_default_higher_order_functions() {
            for alias in function.aliases() {
                higher_order.insert(alias.to_lowercase(), function.clone());
            }
            higher_order.insert(function.name().to_lowercase(), function);
        }
        let planners: Vec<Arc<dyn ExprPlanner>> = vec![
            Arc::new(datafusion_functions::core::planner::CoreFunctionPlanner::default()),
            Arc::new(datafusion_functions_nested::planner::NestedFunctionPlanner),
            Arc::new(datafusion_functions_nested::planner::FieldAccessPlanner),
            Arc::new(datafusion_functions::datetime::planner::DatetimeFunctionPlanner),
            Arc::new(datafusion_functions::unicode::planner::UnicodeFunctionPlanner),
        ];
        let mut options = ConfigOptions::default();
        // There is no operator that waits for the one row of a subquery: they become joins.
        options.optimizer.enable_physical_uncorrelated_scalar_subquery = false;
        Self { scalar, higher_order, planners, options: Arc::new(options) }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<ScalarUDF>> {
        self.scalar.get(name)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.scalar.keys().chain(self.higher_order.keys()).cloned().collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// What DataFusion's planner asks while it plans one expression. Remembers the functions
/// that it asked for in vain, because its own error does not tell.
pub(crate) struct Provider<'a> {
    functions: &'a Functions,
    pub(crate) missing: RefCell<Vec<String>>,
}

impl<'a> Provider<'a> {
    pub(crate) fn new(functions: &'a Functions) -> Self {
        Self { functions, missing: RefCell::new(Vec::new()) }
    }
}

impl ContextProvider for Provider<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        plan_err!("there are no tables in an expression: `{name}`")
    }
    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.functions.planners
    }
    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        let name = name.to_lowercase();
        let found = self.functions.scalar.get(&name).cloned();
        if found.is_none() && !self.functions.higher_order.contains_key(&name) {
            self.missing.borrow_mut().push(name);
        }
        found
    }
    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.functions.higher_order.get(&name.to_lowercase()).cloned()
    }
    fn get_aggregate_meta(&self, _name: &str) -> Option<Arc<AggregateUDF>> {
        None
    }
    fn get_window_meta(&self, _name: &str) -> Option<Arc<WindowUDF>> {
        None
    }
    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }
    fn options(&self) -> &ConfigOptions {
        &self.functions.options
    }
    fn udf_names(&self) -> Vec<String> {
        self.functions.scalar.keys().cloned().collect()
    }
    fn higher_order_function_names(&self) -> Vec<String> {
        self.functions.higher_order.keys().cloned().collect()
    }
    fn udaf_names(&self) -> Vec<String> {
        Vec::new()
    }
    fn udwf_names(&self) -> Vec<String> {
        Vec::new()
    }
}
