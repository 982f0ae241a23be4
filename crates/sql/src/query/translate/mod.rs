//! DataFusion's logical plan to the graph of operators. Columns keep the name that they have
//! in their source for as long as possible: a projection of plain columns makes no operator,
//! it only changes which of a stream's columns the plan's columns stand for. Called by
//! `query`.

mod aggregate;
mod cost;
pub(crate) mod explain;
mod grouping;
mod join;
mod match_recognize;
mod over;
mod rank;
mod rows;
mod set;
mod sink;
mod sorted;
mod values;
mod versioned;

use std::collections::BTreeSet;
use std::ops::Range;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion_common::DFSchema;
use datafusion_expr::logical_plan::Distinct;
use datafusion_expr::{Expr, LogicalPlan};
use model::operator_spec::{NamedExpression, OperatorSpec};
use model::row_kind;
use planner::logical::{Input, Op, keys_of, output_schema, plain};
use planner::names::quote;
use planner::sql::{SqlDiagnostic, SqlRequest};

use super::expr_text::{self, NoText};
use super::match_recognize::MatchRecognizeNode;
use super::options::duration;
use super::relations::{AsOf, SetRelation, StateTtl, Tvf, UnnestRelation, WindowTvf, hinted_ttl};
use super::script::{Script, error};

type Result<T> = std::result::Result<T, SqlDiagnostic>;

/// What a column says about time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Time {
    No,
    /// Event time with watermarks.
    Row,
    /// Processing time: there is no such column in the rows.
    Processing,
}

/// What stands behind one column of a plan.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    /// In the operator's output.
    name: String,
    time: Time,
    /// A bound of a window that no operator has assigned yet.
    pending: bool,
}

impl Column {
    fn plain(name: &str) -> Self {
        Self { name: name.to_owned(), time: Time::No, pending: false }
    }
}

/// A window function whose rows are not made: an aggregate above does without them.
#[derive(Clone, Debug)]
struct Pending {
    tvf: Tvf,
    /// `None`: processing time.
    time: Option<String>,
    keys: Vec<String>,
    by_group: bool,
}

/// The columns with the window that each row belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Attached {
    start: String,
    end: String,
    tvf: Tvf,
}

/// What a plan's node puts out.
#[derive(Clone, Debug)]
struct Stream {
    op: usize,
    /// One per column of the plan's schema.
    columns: Vec<Column>,
    window: Option<Pending>,
    attached: Option<Attached>,
    /// Columns of which no two live rows agree in all, when known.
    unique: Option<Vec<String>>,
}

/// Builds the graph of one script.
pub(crate) struct Translator<'a> {
    pub(crate) ops: Vec<Op>,
    pub(crate) places: Vec<Range<usize>>,
    pub(crate) warnings: Vec<SqlDiagnostic>,
    request: SqlRequest<'a>,
    script: &'a Script<'a>,
    /// The innermost named relation, after which operators are called.
    scope: String,
    /// Index into `places` of the statement being translated.
    place: usize,
    ttl_ms: Option<i64>,
    parallelism: u32,
}

impl<'a> Translator<'a> {
    pub(crate) fn new(request: &SqlRequest<'a>, script: &'a Script<'a>) -> Self {
        Self {
            ops: Vec::new(),
            places: Vec::new(),
            warnings: Vec::new(),
            request: *request,
            script,
            scope: String::new(),
            place: 0,
            ttl_ms: None,
            parallelism: request.parallelism,
        }
    }

    /// Settings that change the graph.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        match key {
            "table.exec.state.ttl" => {
                self.ttl_ms = duration(value).and_then(|d| milliseconds(&d)).filter(|ms| *ms > 0);
            }
            "parallelism.default" | "table.exec.resource.default-parallelism" => {
                if let Ok(n) = value.trim().parse::<u32>() {
                    self.parallelism = n.max(1);
                }
            }
            _ => {}
        }
    }

    fn failed(
        &self,
        code: &'static str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> SqlDiagnostic {
        let at = self.places.get(self.place).cloned().unwrap_or(0..1);
        error(code, at, message, help)
    }

    pub(crate) fn begin(&mut self, scope: &str, at: Range<usize>) {
        self.scope = scope.to_owned();
        self.places.push(at);
        self.place = self.places.len() - 1;
    }

    fn schema(&self, stream: &Stream) -> &SchemaRef {
        &self.ops[stream.op].output
    }

    fn is_changelog(&self, stream: &Stream) -> bool {
        row_kind::is_changelog(self.schema(stream))
    }

    fn type_of(&self, stream: &Stream, name: &str) -> Option<DataType> {
        self.schema(stream).field_with_name(name).ok().map(|f| f.data_type().clone())
    }

    /// Adds an operator, or finds the one that does exactly this already.
    fn add(&mut self, spec: OperatorSpec, word: &str, ports: Vec<Vec<usize>>) -> Result<usize> {
        let input = |op: &usize| Input { op: *op, side: false, keys: None };
        let ports: Vec<Vec<Input>> = ports.iter().map(|p| p.iter().map(input).collect()).collect();
        let sink = matches!(spec, OperatorSpec::Sink { .. });
        if let Some(same) =
            self.ops.iter().position(|o| !sink && o.spec == spec && o.ports == ports)
        {
            return Ok(same);
        }
        let mut inputs: Vec<SchemaRef> = Vec::new();
        for port in &ports {
            let mut schema: Option<SchemaRef> = None;
            for one in port {
                let next = &self.ops[one.op].output;
                schema = Some(match schema {
                    None => next.clone(),
                    Some(first) => planner::logical::merge(&first, next)
                        .map_err(|e| self.failed("E0520", e, ""))?,
                });
            }
            inputs.extend(schema);
        }
        let output = match &spec {
            OperatorSpec::Source { source, .. } => {
                let built = self.request.connectors.source(source);
                built
                    .map_err(|e| self.failed("E0402", e.message, e.help.unwrap_or_default()))?
                    .schema()
            }
            spec => output_schema(spec, &inputs, self.request.expressions)
                .map_err(|e| self.failed("E0520", e.chain(), ""))?,
        };
        let parallelism = match keys_of(&spec) {
            Some(keys) if keys.iter().any(|k| k.is_empty()) => 1,
            Some(_) => self.parallelism,
            None => match ports.first().and_then(|p| p.first()) {
                Some(first) => self.ops[first.op].parallelism,
                None => self.parallelism,
            },
        };
        let name = self.free_uid(word);
        self.ops.push(Op {
            uid: name.clone(),
            name,
            spec,
            ports,
            output,
            side: None,
            parallelism,
            required: Vec::new(),
            node: self.place,
        });
        Ok(self.ops.len() - 1)
    }

    /// A name of an operator that depends on its own relation only, so that edits elsewhere
    /// do not move it.
    fn free_uid(&self, word: &str) -> String {
        let base = match (self.scope.as_str(), word) {
            (scope, "") => scope.to_owned(),
            ("", word) => word.to_owned(),
            (scope, word) => format!("{scope}.{word}"),
        };
        let taken: BTreeSet<&str> = self.ops.iter().map(|o| o.uid.as_str()).collect();
        if !taken.contains(base.as_str()) {
            return base;
        }
        let mut number = 2;
        while taken.contains(format!("{base}-{number}").as_str()) {
            number += 1;
        }
        format!("{base}-{number}")
    }

    /// A name that `schema` does not have.
    fn fresh(schema: &SchemaRef, taken: &[String], wanted: &str) -> String {
        let clean = wanted.trim_start_matches('$');
        let simple = !clean.is_empty()
            && clean.len() <= 40
            && clean.chars().all(|c| c.is_alphanumeric() || c == '_');
        let base = if simple { clean.to_owned() } else { "expr".to_owned() };
        let free = |n: &String| schema.index_of(n).is_err() && !taken.contains(n);
        let reserved = ["window_start", "window_end", "window_time"].contains(&base.as_str());
        if free(&base) && !reserved {
            return base;
        }
        (1..).map(|i| format!("{base}_{i}")).find(free).unwrap_or(base)
    }

    /// Operators of `plan`, inputs first.
    fn plan(&mut self, plan: &LogicalPlan) -> Result<Stream> {
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::SubqueryAlias(alias) => {
                let name = alias.alias.table().to_owned();
                let outer = std::mem::replace(&mut self.scope, name);
                let stream = self.plan(&alias.input);
                self.scope = outer;
                stream
            }
            LogicalPlan::Projection(p) => {
                let input = self.plan(&p.input)?;
                self.project(input, &p.expr, p.input.schema(), &p.schema)
            }
            LogicalPlan::Filter(f) => self.filter(f),
            LogicalPlan::Aggregate(a) => self.aggregate(a),
            LogicalPlan::Window(w) => self.over(w),
            LogicalPlan::Join(j) => self.join(j),
            LogicalPlan::Union(u) => self.union(u),
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let stream = self.plan(input)?;
                self.distinct(stream)
            }
            LogicalPlan::Sort(s) => self.sort(s),
            LogicalPlan::Limit(l) => self.limit(l),
            LogicalPlan::Extension(e) => {
                if let Some(node) = e.node.as_any().downcast_ref::<WindowTvf>() {
                    return self.window_tvf(node);
                }
                if let Some(node) = e.node.as_any().downcast_ref::<MatchRecognizeNode>() {
                    return self.match_recognize(node);
                }
                if let Some(node) = e.node.as_any().downcast_ref::<SetRelation>() {
                    return self.set_relation(node);
                }
                if let Some(node) = e.node.as_any().downcast_ref::<StateTtl>() {
                    return self.plan(&node.input);
                }
                if let Some(node) = e.node.as_any().downcast_ref::<UnnestRelation>() {
                    return self.unnest(node);
                }
                if let Some(node) = e.node.as_any().downcast_ref::<AsOf>() {
                    let help = "join it: a JOIN b FOR SYSTEM_TIME AS OF a.ts ON a.k = b.k";
                    let message = format!(
                        "FOR SYSTEM_TIME AS OF {} stands outside a join",
                        node.time.join(".")
                    );
                    return Err(self.failed("E0521", message, help));
                }
                Err(self.failed("E0522", "this relation cannot be run on a stream", ""))
            }
            LogicalPlan::Values(values) => self.values(values),
            LogicalPlan::EmptyRelation(_) => self.one_row(),
            other => {
                let display = other.display().to_string();
                let what = display.split([':', ' ']).next().unwrap_or("this").to_uppercase();
                let message = format!("{what} cannot be run on a stream");
                Err(self.failed("E0522", message, "docs/sql lists what can"))
            }
        }
    }

    /// The column of `stream` that `expr` is, if it is nothing but a column.
    fn column<'s>(&self, expr: &Expr, schema: &DFSchema, stream: &'s Stream) -> Option<&'s Column> {
        match expr {
            Expr::Alias(alias) => self.column(&alias.expr, schema, stream),
            Expr::Column(c) => schema.index_of_column(c).ok().map(|i| &stream.columns[i]),
            _ => None,
        }
    }

    /// Whether `expr` reads a window's bound that is not there yet.
    fn reads_pending(&self, expr: &Expr, schema: &DFSchema, stream: &Stream) -> bool {
        expr.column_refs()
            .iter()
            .any(|c| schema.index_of_column(c).is_ok_and(|i| stream.columns[i].pending))
    }

    /// The text of `expr` over the columns of `stream`.
    fn text(&self, expr: &Expr, schema: &DFSchema, stream: &Stream) -> Result<String> {
        self.text_by(expr, &|c| {
            let column = &stream.columns[schema.index_of_column(c).ok()?];
            let there = !column.pending && column.time != Time::Processing;
            there.then(|| quote(&column.name))
        })
    }

    fn text_by(
        &self,
        expr: &Expr,
        resolve: &dyn Fn(&datafusion_common::Column) -> Option<String>,
    ) -> Result<String> {
        expr_text::text(expr, resolve).map_err(|failed| match failed {
            NoText::Column(column) => {
                let message =
                    format!("`{}` is processing time, of which rows have no value", column.name);
                let help = "use it in a window, in ORDER BY of OVER, or FOR SYSTEM_TIME AS OF";
                self.failed("E0523", message, help)
            }
            NoText::NotScalar(shown) => {
                let message = format!("`{shown}` cannot be computed row by row");
                self.failed("E0522", message, "put it into a view or a subquery of its own")
            }
        })
    }

    /// All columns of `stream`'s operator, and computed ones behind them.
    fn with_columns(
        &mut self,
        stream: &Stream,
        computed: Vec<NamedExpression>,
        word: &str,
    ) -> Result<Stream> {
        if computed.is_empty() {
            return Ok(stream.clone());
        }
        let fields = plain(self.schema(stream));
        let mut columns: Vec<NamedExpression> = fields
            .fields()
            .iter()
            .map(|f| NamedExpression { name: f.name().clone(), expr: quote(f.name()) })
            .collect();
        columns.extend(computed);
        let op = self.add(OperatorSpec::Project { columns }, word, vec![vec![stream.op]])?;
        Ok(Stream { op, ..stream.clone() })
    }

    /// Names of columns of a list of expressions, computing those that are no columns.
    fn computed(
        &mut self,
        stream: Stream,
        exprs: &[(&Expr, &str)],
        schema: &DFSchema,
    ) -> Result<(Stream, Vec<String>)> {
        let mut stream = stream;
        if exprs.iter().any(|(e, _)| self.reads_pending(e, schema, &stream)) {
            stream = self.assign_windows(stream)?;
        }
        let mut names = Vec::with_capacity(exprs.len());
        let mut computed: Vec<NamedExpression> = Vec::new();
        for (expr, wanted) in exprs {
            if let Some(column) = self.column(expr, schema, &stream)
                && column.time != Time::Processing
            {
                names.push(column.name.clone());
                continue;
            }
            let text = self.text(expr, schema, &stream)?;
            if let Some(same) = computed.iter().find(|c| c.expr == text) {
                names.push(same.name.clone());
                continue;
            }
            let taken: Vec<String> = computed.iter().map(|c| c.name.clone()).collect();
            let name = Self::fresh(self.schema(&stream), &taken, wanted);
            computed.push(NamedExpression { name: name.clone(), expr: text });
            names.push(name);
        }
        let stream = self.with_columns(&stream, computed, "columns")?;
        Ok((stream, names))
    }

    /// How long the state of rows of `plan` is kept: by a hint, else by the setting.
    fn ttl_of(&self, plan: &LogicalPlan) -> Option<i64> {
        match hinted_ttl(plan) {
            Some(ms) => Some(ms).filter(|ms| *ms > 0),
            None => self.ttl_ms,
        }
    }

    /// The doubt that goes with state that nothing bounds.
    fn warn_unbounded(&mut self, what: &str, growth: &str) {
        if self.ttl_ms.is_some() {
            return;
        }
        let message = format!("state of {what} is never dropped: it grows with {growth}");
        let help = "bound it with a window, or with SET 'table.exec.state.ttl' = '1 d'";
        let doubt = self.failed("W0501", message, help);
        if !self.warnings.contains(&doubt) {
            self.warnings.push(doubt);
        }
    }
}

/// `10s` in milliseconds.
pub(crate) fn milliseconds(text: &str) -> Option<i64> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let number: i64 = text[..split].parse().ok()?;
    let unit = match &text[split..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(unit)
}
