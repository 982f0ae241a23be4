//! VALUES, and queries without FROM: one row of a bounded source, from which constant rows
//! are made; UNNEST.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion_common::DFSchema;
use datafusion_expr::ExprSchemable;
use datafusion_expr::logical_plan::Values;
use model::connector::SourceSpec;
use model::operator_spec::{Expand, NamedExpression, OperatorSpec, Unnest};

use super::{Column, Result, Stream, Translator};
use crate::query::expr_text::cast;
use crate::query::relations::UnnestRelation;

impl Translator<'_> {
    /// One row without columns of the plan's.
    pub(super) fn one_row(&mut self) -> Result<Stream> {
        let field = Field::new("row", DataType::Int64, false);
        let source = SourceSpec {
            connector: "datagen".to_owned(),
            options: serde_json::json!({
                "rows": 1,
                "splits": 1,
                "fields": { "row": { "kind": "sequence", "start": 1, "end": 1 } },
            }),
            declared_schema: Some(Arc::new(Schema::new(vec![field]))),
            projection: None,
            pushdown: Default::default(),
        };
        let spec = OperatorSpec::Source { source, dead_letter: false, alignment: None };
        let op = self.add(spec, "oneRow", Vec::new())?;
        Ok(Stream { op, columns: Vec::new(), window: None, attached: None, unique: None })
    }

    pub(super) fn values(&mut self, node: &Values) -> Result<Stream> {
        let input = self.one_row()?;
        let fields = node.schema.fields();
        let nothing = DFSchema::empty();
        let mut projections = Vec::with_capacity(node.values.len());
        for row in &node.values {
            let mut columns = Vec::with_capacity(row.len());
            for (value, field) in row.iter().zip(fields) {
                let text = self.text_by(value, &|_| None)?;
                let same = value.get_type(&nothing).is_ok_and(|t| t == *field.data_type());
                let expr = if same { text } else { cast("CAST", &text, field.data_type()) };
                columns.push(NamedExpression { name: field.name().clone(), expr });
            }
            projections.push(columns);
        }
        let columns = fields.iter().map(|f| Column::plain(f.name())).collect();
        let spec = OperatorSpec::Expand(Expand { projections });
        let op = self.add(spec, "values", vec![vec![input.op]])?;
        Ok(Stream { op, columns, ..input })
    }

    /// What ends at once, without reading anything: `LIMIT 0`.
    pub(super) fn no_rows(&mut self, schema: &DFSchema) -> Result<Stream> {
        let input = self.one_row()?;
        let filter = OperatorSpec::Filter { predicate: "FALSE".to_owned() };
        let none = self.add(filter, "none", vec![vec![input.op]])?;
        let (mut row, mut columns) = (Vec::new(), Vec::new());
        for (at, field) in schema.fields().iter().enumerate() {
            let name = format!("none{at}");
            columns.push(Column::plain(&name));
            row.push(NamedExpression { name, expr: cast("CAST", "NULL", field.data_type()) });
        }
        let spec = OperatorSpec::Expand(Expand { projections: vec![row] });
        let op = self.add(spec, "values", vec![vec![none]])?;
        Ok(Stream { op, columns, ..input })
    }

    pub(super) fn unnest(&mut self, node: &UnnestRelation) -> Result<Stream> {
        let input = self.plan(&node.input)?;
        let input = self.assign_windows(input)?;
        let collection = [(&node.collection, "collection")];
        let (input, found) = self.computed(input, &collection, node.input.schema())?;
        let width = node.input.schema().fields().len();
        let fields = &datafusion_expr::UserDefinedLogicalNodeCore::schema(node).fields()[width..];
        let mut names: Vec<String> = Vec::new();
        for field in fields {
            names.push(Self::fresh(self.schema(&input), &names, field.name()));
        }
        let mut columns = input.columns.clone();
        columns.extend(names.iter().map(|n| Column::plain(n)));
        let ordinality = if node.ordinality { names.pop() } else { None };
        let spec = Unnest {
            column: found.into_iter().next().unwrap_or_default(),
            names,
            outer: node.outer,
            ordinality,
            multiset: node.multiset,
        };
        let op = self.add(OperatorSpec::Unnest(spec), "unnest", vec![vec![input.op]])?;
        Ok(Stream { op, columns, unique: None, ..input })
    }
}
