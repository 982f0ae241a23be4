//! From text to a physical expression, and its evaluation over batches.
//! Reached through `model::expression::Expressions`.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchema, DataFusionError};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::simplify::SimplifyContext;
use datafusion_expr::{ColumnarValue, Expr, ExprSchemable, Volatility};
use datafusion_optimizer::simplify_expressions::ExprSimplifier;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Column;
use datafusion_physical_expr::planner::create_physical_expr;
use datafusion_sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion_sql::sqlparser::ast::visit_expressions_mut;
use datafusion_sql::sqlparser::parser::Parser;
use datafusion_sql::sqlparser::tokenizer::Token;
use model::expression::{Expression, ExpressionError, Expressions};
use model::{Error, ErrorKind};

use crate::parse_budget;
use crate::registry::{Functions, Provider};
use crate::spelling::{self, Form};
use crate::text::{DIALECT, Text};
use crate::{builtin, cast_rules, diagnose, flink, reads};

/// Compilation runs on a thread of its own with a large stack, because the parser and
/// DataFusion walk trees recursively. It happens once per operator, never per batch.
const COMPILE_STACK_BYTES: usize = 64 << 20;
/// How deep parentheses and calls may nest.
const NESTING_LIMIT: usize = 64;

/// Functions whose value depends on when or where they are called: a replay after a
/// failure would not give the same rows again.
const NOT_REPEATABLE: &[&str] = &[
    "now",
    "current_timestamp",
    "current_date",
    "current_time",
    "today",
    "localtimestamp",
    "localtime",
];

pub(crate) struct SqlExpressions {
    functions: Functions,
}

/// An expression that has been parsed, resolved and typed, but not simplified.
struct Typed {
    expr: Expr,
    schema: Arc<DFSchema>,
}

impl SqlExpressions {
    pub(crate) fn new() -> Self {
        Self { functions: Functions::new() }
    }

    fn typed(&self, text: &mut Text<'_>, schema: &SchemaRef) -> Result<Typed, ExpressionError> {
        text.refuse_queries()?;
        text.resolve_case(schema);
        parse_budget::check_depth(text.tokens.iter().map(|t| &t.token))
            .map_err(|e| diagnose::of_parser(&e, text, schema))?;
        parse_budget::allow(text.tokens.len());
        let mut parser = Parser::new(&DIALECT)
            .with_recursion_limit(NESTING_LIMIT)
            .with_tokens_with_locations(spelling::rewrite(&text.tokens, Form::Expression));
        let mut ast = parser.parse_expr().map_err(|e| diagnose::of_parser(&e, text, schema))?;
        let next = parser.peek_token();
        if next.token != Token::EOF {
            return Err(ExpressionError {
                message: format!("unexpected `{}` after the expression", next.token),
                span: Some(text.range(&next)),
                help: Some("an operator or a comma may be missing, or a quote".into()),
            });
        }
        let _: ControlFlow<()> = visit_expressions_mut(&mut ast, |node| {
            spelling::rewrite_node(node);
            ControlFlow::Continue(())
        });
        let planned = |e: DataFusionError| diagnose::of_planner(&e, text, schema);
        let df_schema = DFSchema::try_from(schema.clone()).map(Arc::new).map_err(planned)?;
        let provider = Provider::new(&self.functions);
        let options = ParserOptions::default()
            .with_enable_ident_normalization(false)
            .with_map_string_types_to_utf8view(false)
            .with_support_varchar_with_length(true)
            .with_collect_spans(true);
        let planner = SqlToRel::new_with_options(&provider, options);
        let expr =
            planner.sql_to_expr(ast, &df_schema, &mut PlannerContext::new()).map_err(|e| {
                match provider.missing.borrow().first() {
                    Some(name) => diagnose::unknown_function(name, text, &self.functions),
                    None => planned(e),
                }
            })?;
        refuse_not_repeatable(&expr, text)?;
        cast_rules::of_expression(&expr, &df_schema).map_err(planned)?;
        let expr = flink::rewrite(expr, &self.functions).map_err(planned)?;
        let expr = self.simplifier(&df_schema).coerce(expr, &df_schema).map_err(planned)?;
        let expr = flink::casts(expr, &df_schema, &self.functions).map_err(planned)?;
        Ok(Typed { expr, schema: df_schema })
    }

    fn simplifier(&self, schema: &Arc<DFSchema>) -> ExprSimplifier {
        let context = SimplifyContext::builder()
            .with_schema(schema.clone())
            .with_config_options(self.functions.options.clone())
            .build();
        ExprSimplifier::new(context)
    }

    fn compiled(
        &self,
        text: &mut Text<'_>,
        schema: &SchemaRef,
    ) -> Result<Compiled, ExpressionError> {
        let Typed { expr, schema: df_schema } = self.typed(text, schema)?;
        let planned = |e: DataFusionError| diagnose::of_planner(&e, text, schema);
        let expr = in_sql_types(expr, &df_schema, text).map_err(|e| match e {
            Refused::Planner(e) => planned(*e),
            Refused::Type(e) => e,
        })?;
        let expr = self.simplifier(&df_schema).simplify(expr).map_err(planned)?;
        let props = ExecutionProps::new();
        let physical =
            create_physical_expr(&expr, &df_schema, &props, &PhysicalPlanningContext::default())
                .map_err(planned)?;
        let data_type = physical.data_type(schema).map_err(planned)?;
        let nullable = physical.nullable(schema).map_err(planned)?;
        let column = physical.downcast_ref::<Column>().map(Column::index);
        Ok(Compiled { physical, column, data_type, nullable, text: text.source.to_owned() })
    }

    fn column_names(
        &self,
        text: &mut Text<'_>,
        schema: &SchemaRef,
    ) -> Result<Vec<String>, ExpressionError> {
        let typed = self.typed(text, schema)?;
        let used = typed.expr.column_refs();
        let names = schema.fields().iter().map(|f| f.name());
        Ok(names.filter(|n| used.iter().any(|c| &c.name == *n)).cloned().collect())
    }
}

/// Runs `work` where its recursion fits.
fn with_stack<T: Send>(
    work: impl FnOnce() -> Result<T, ExpressionError> + Send,
) -> Result<T, ExpressionError> {
    let failed = |what: &str| ExpressionError {
        message: format!("the expression could not be compiled: {what}"),
        span: None,
        help: None,
    };
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().stack_size(COMPILE_STACK_BYTES);
        match builder.spawn_scoped(scope, work) {
            Ok(thread) => thread.join().unwrap_or_else(|_| Err(failed("the compiler panicked"))),
            Err(error) => Err(failed(&error.to_string())),
        }
    })
}

impl Expressions for SqlExpressions {
    fn compile(
        &self,
        text: &str,
        schema: &SchemaRef,
    ) -> Result<Box<dyn Expression>, ExpressionError> {
        let mut text = Text::new(text)?;
        let compiled = with_stack(|| self.compiled(&mut text, schema))?;
        Ok(Box::new(compiled))
    }

    fn columns(&self, text: &str, schema: &SchemaRef) -> Result<Vec<String>, ExpressionError> {
        let mut text = Text::new(text)?;
        with_stack(|| self.column_names(&mut text, schema))
    }

    fn fields(
        &self,
        text: &str,
        schema: &SchemaRef,
    ) -> Result<Vec<(String, Option<String>)>, ExpressionError> {
        let mut text = Text::new(text)?;
        with_stack(|| Ok(reads::fields(&self.typed(&mut text, schema)?.expr)))
    }

    fn required_values(
        &self,
        text: &str,
        schema: &SchemaRef,
    ) -> Result<Vec<(String, i64)>, ExpressionError> {
        let mut text = Text::new(text)?;
        with_stack(|| Ok(reads::required_values(&self.typed(&mut text, schema)?.expr, schema)))
    }
}

fn refuse_not_repeatable(expr: &Expr, text: &Text<'_>) -> Result<(), ExpressionError> {
    let mut refused = None;
    let walked = expr.apply(|node| {
        if let Expr::ScalarFunction(call) = node {
            let volatile = call.func.signature().volatility == Volatility::Volatile
                && !builtin::is_volatile(call.func.name());
            if volatile || NOT_REPEATABLE.contains(&call.func.name()) {
                let mut names = vec![call.func.name().to_owned()];
                names.extend(call.func.aliases().iter().cloned());
                refused = Some(names);
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    match (walked, refused) {
        (Ok(_), None) => Ok(()),
        (_, names) => {
            let names = names.unwrap_or_default();
            let place = |call| names.iter().find_map(|name| text.find(name, call));
            let span = place(true).or_else(|| place(false));
            let name = match &span {
                Some(range) => text.source[range.clone()].to_lowercase(),
                None => names.first().cloned().unwrap_or_default(),
            };
            Err(ExpressionError {
                message: format!(
                    "`{name}` gives another value each time, so results could not be repeated \
                     after a failure"
                ),
                span,
                help: Some("use a column of the data, such as the event time".into()),
            })
        }
    }
}

enum Refused {
    Planner(Box<DataFusionError>),
    Type(ExpressionError),
}

/// Results come in the types that columns can be declared with: one string type, no views,
/// no unsigned integers. A plain column stays as it is.
fn in_sql_types(expr: Expr, schema: &Arc<DFSchema>, text: &Text<'_>) -> Result<Expr, Refused> {
    if matches!(expr, Expr::Column(_)) {
        return Ok(expr);
    }
    let planner = |e: DataFusionError| Refused::Planner(Box::new(e));
    let found = expr.get_type(schema).map_err(planner)?;
    let wanted = match &found {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary | DataType::FixedSizeBinary(_) => {
            DataType::Binary
        }
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Float16 => DataType::Float32,
        DataType::Dictionary(_, values) => values.as_ref().clone(),
        DataType::Null => {
            return Err(Refused::Type(ExpressionError {
                message: "the expression is always NULL and has no type".into(),
                span: Some(0..text.source.len()),
                help: Some("give it a type: CAST(NULL AS STRING)".into()),
            }));
        }
        _ => return Ok(expr),
    };
    expr.cast_to(&wanted, schema).map_err(planner)
}

/// An expression ready to run.
struct Compiled {
    physical: Arc<dyn PhysicalExpr>,
    /// Set when the whole expression is a column: nothing is evaluated.
    column: Option<usize>,
    data_type: DataType,
    nullable: bool,
    text: String,
}

impl Expression for Compiled {
    fn data_type(&self) -> &DataType {
        &self.data_type
    }
    fn nullable(&self) -> bool {
        self.nullable
    }
    fn evaluate(&self, batch: &RecordBatch) -> model::Result<ArrayRef> {
        if let Some(index) = self.column {
            return batch.columns().get(index).cloned().ok_or_else(|| {
                Error::internal(format!("`{}` has no column {index} in its batch", self.text))
            });
        }
        let value = self.physical.evaluate(batch).map_err(|e| self.failed(&e))?;
        let array = match value {
            ColumnarValue::Array(array) => array,
            ColumnarValue::Scalar(scalar) => {
                scalar.to_array_of_size(batch.num_rows()).map_err(|e| self.failed(&e))?
            }
        };
        if array.len() == batch.num_rows() {
            Ok(array)
        } else {
            Err(Error::internal(format!(
                "`{}` gave {} values for {} rows",
                self.text,
                array.len(),
                batch.num_rows()
            )))
        }
    }
}

impl Compiled {
    fn failed(&self, error: &DataFusionError) -> Error {
        let root = error.find_root();
        let kind = match root {
            DataFusionError::ArrowError(_, _) | DataFusionError::Execution(_) => ErrorKind::User,
            _ => ErrorKind::Internal,
        };
        let message = root.message();
        let message = message.lines().next().unwrap_or_default();
        let message = message.strip_prefix("Cast error: ").unwrap_or(message);
        Error::new(kind, format!("expression `{}`: {message}", self.text))
    }
}
