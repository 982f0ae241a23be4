//! Tables, views and functions of a script, and DataFusion's view of them.
//! Called by `mod` and `translate`.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion_common::config::ConfigOptions;
use datafusion_common::{Result, TableReference, plan_err};
use datafusion_expr::planner::{ContextProvider, ExprPlanner, RelationPlanner};
use datafusion_expr::{
    AggregateUDF, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, WindowUDF,
};
use model::connector::SourceSpec;
use planner::sql::{SqlDiagnostic, SqlRequest};

use super::aggregates::Composed;
use super::create_table::CreateTable;
use super::functions::{
    AGGREGATE_FUNCTIONS, CountRows, PROCTIME, PROCTIME_FUNCTION, RANK_FUNCTIONS,
};
use super::relations::Relations;
use super::scan;
use crate::registry::Functions;

/// A view: its query, planned.
pub(crate) struct View {
    pub(crate) plan: LogicalPlan,
}

/// What a script has created so far.
#[derive(Default)]
pub(crate) struct Catalog {
    pub(crate) tables: BTreeMap<String, CreateTable>,
    pub(crate) views: BTreeMap<String, View>,
    /// Streams that the query is given as tables.
    pub(crate) inputs: BTreeMap<String, Arc<InputSource>>,
    /// Functions declared by CREATE FUNCTION: lower-case name to the function of ours.
    pub(crate) functions: BTreeMap<String, &'static str>,
}

impl Catalog {
    pub(crate) fn names(&self) -> Vec<String> {
        let views = self.views.keys().chain(self.inputs.keys());
        self.tables.keys().chain(views).cloned().collect()
    }

    /// The columns of a table or view that a query sees; `None` where only its source knows.
    pub(crate) fn column_names(&self, name: &str) -> Option<Vec<String>> {
        if let Some(view) = self.views.get(name) {
            return Some(view.plan.schema().fields().iter().map(|f| f.name().clone()).collect());
        }
        if let Some(input) = self.inputs.get(name) {
            return Some(input.schema.fields().iter().map(|f| f.name().clone()).collect());
        }
        let columns = &self.tables.get(name)?.columns;
        let names = columns.iter().map(|column| column.name.clone());
        (!columns.is_empty()).then(|| names.collect())
    }
}

/// How a table is read: the source, then computed columns, then the watermark.
#[derive(Clone, Debug)]
pub(crate) struct ScanPlan {
    pub(crate) source: SourceSpec,
    /// What the source puts out.
    pub(crate) physical: SchemaRef,
    pub(crate) columns: Vec<ScanColumn>,
    /// Column and delay.
    pub(crate) watermark: Option<(String, i64)>,
    pub(crate) bounded: bool,
    /// How long rows that were read for lookups count as current; `None`: for ever.
    pub(crate) lookup_refresh_ms: Option<i64>,
    pub(crate) changelog: bool,
    /// The primary key of a changelog: no two of its live rows agree in it.
    pub(crate) unique: Option<Vec<String>>,
}

/// A column of a table as queries see it.
#[derive(Clone, Debug)]
pub(crate) struct ScanColumn {
    pub(crate) name: String,
    pub(crate) data_type: DataType,
    pub(crate) nullable: bool,
    pub(crate) origin: ColumnOrigin,
}

#[derive(Clone, Debug)]
pub(crate) enum ColumnOrigin {
    Physical,
    Computed(String),
    ProcessingTime,
}

/// A table in DataFusion's eyes.
pub(crate) struct ScanSource {
    pub(crate) name: String,
    pub(crate) schema: SchemaRef,
    pub(crate) plan: ScanPlan,
}

impl TableSource for ScanSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

/// A stream that is there already, in DataFusion's eyes.
pub(crate) struct InputSource {
    /// Among the inputs of the query.
    pub(crate) index: usize,
    /// Without the row kind.
    pub(crate) schema: SchemaRef,
    pub(crate) time: Option<String>,
}

impl TableSource for InputSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

struct ViewSource {
    plan: LogicalPlan,
    schema: SchemaRef,
}

impl TableSource for ViewSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        Some(Cow::Borrowed(&self.plan))
    }
}

/// What DataFusion's planner asks while it plans one query. Remembers what it asked for in
/// vain, because its own errors do not tell.
pub(crate) struct Provider<'a> {
    pub(crate) catalog: &'a Catalog,
    functions: &'a Functions,
    request: SqlRequest<'a>,
    expr_planners: Vec<Arc<dyn ExprPlanner>>,
    relation_planners: Vec<Arc<dyn RelationPlanner>>,
    /// Tables with options of a hint, by the names that they have in the query.
    pub(crate) hinted: BTreeMap<String, CreateTable>,
    pub(crate) failed: Cell<Option<SqlDiagnostic>>,
    pub(crate) missing: RefCell<Vec<String>>,
    pub(crate) missing_tables: RefCell<Vec<String>>,
}

impl<'a> Provider<'a> {
    pub(crate) fn new(
        catalog: &'a Catalog,
        functions: &'a Functions,
        request: SqlRequest<'a>,
    ) -> Self {
        let mut expr_planners: Vec<Arc<dyn ExprPlanner>> =
            vec![Arc::new(CountRows), Arc::new(Composed::new(functions))];
        expr_planners.extend(functions.planners.iter().cloned());
        Self {
            catalog,
            functions,
            request,
            expr_planners,
            relation_planners: vec![Arc::new(Relations)],
            hinted: BTreeMap::new(),
            failed: Cell::new(None),
            missing: RefCell::default(),
            missing_tables: RefCell::default(),
        }
    }

    pub(crate) fn function_names(&self) -> Vec<String> {
        let mut names = self.functions.names();
        names.extend(AGGREGATE_FUNCTIONS.keys().chain(RANK_FUNCTIONS.keys()).map(|n| (*n).into()));
        names
    }
}

impl ContextProvider for Provider<'_> {
    fn get_table_source(&self, reference: TableReference) -> Result<Arc<dyn TableSource>> {
        let name = reference.table();
        if let Some(view) = self.catalog.views.get(name) {
            let schema = Arc::new(view.plan.schema().as_arrow().clone());
            return Ok(Arc::new(ViewSource { plan: view.plan.clone(), schema }));
        }
        if let Some(table) = self.hinted.get(name).or_else(|| self.catalog.tables.get(name)) {
            return match scan::plan(table, &self.request) {
                Ok(plan) => Ok(Arc::new(scan::source(&table.name, plan))),
                Err(diagnostic) => {
                    self.failed.set(Some(diagnostic));
                    plan_err!("table `{name}` cannot be read")
                }
            };
        }
        if let Some(input) = self.catalog.inputs.get(name) {
            return Ok(Arc::clone(input) as Arc<dyn TableSource>);
        }
        self.missing_tables.borrow_mut().push(name.to_owned());
        plan_err!("table `{name}` not found")
    }
    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.expr_planners
    }
    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &self.relation_planners
    }
    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        let name = name.to_lowercase();
        if name == PROCTIME {
            return Some(Arc::clone(&PROCTIME_FUNCTION));
        }
        let builtin = self.catalog.functions.get(&name).copied().unwrap_or(&name);
        let found = self.functions.get(builtin).cloned();
        let known = AGGREGATE_FUNCTIONS.contains_key(&*name) || RANK_FUNCTIONS.contains_key(&*name);
        if found.is_none() && !known && self.get_higher_order_meta(&name).is_none() {
            self.missing.borrow_mut().push(name);
        }
        found
    }
    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.functions.higher_order.get(&name.to_lowercase()).cloned()
    }
    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        AGGREGATE_FUNCTIONS.get(&*name.to_lowercase()).cloned()
    }
    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        RANK_FUNCTIONS.get(&*name.to_lowercase()).cloned()
    }
    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }
    fn options(&self) -> &ConfigOptions {
        &self.functions.options
    }
    fn udf_names(&self) -> Vec<String> {
        self.functions.names()
    }
    fn higher_order_function_names(&self) -> Vec<String> {
        self.functions.higher_order.keys().cloned().collect()
    }
    fn udaf_names(&self) -> Vec<String> {
        AGGREGATE_FUNCTIONS.keys().map(|n| (*n).to_owned()).collect()
    }
    fn udwf_names(&self) -> Vec<String> {
        RANK_FUNCTIONS.keys().map(|n| (*n).to_owned()).collect()
    }
}
