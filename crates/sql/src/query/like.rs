//! `CREATE TABLE t (...) LIKE other (...)`: what is taken from the other table. Called by
//! `create_table` (reading) and `mod` (merging).

use std::ops::Range;

use datafusion_sql::sqlparser::tokenizer::Token;
use planner::sql::SqlDiagnostic;

use super::create_table::{ColumnKind, CreateTable};
use super::script::{Cursor, error};

/// The LIKE clause.
#[derive(Clone, Debug)]
pub(crate) struct Like {
    pub(crate) name: String,
    pub(crate) at: Range<usize>,
    choices: Vec<(Feature, Merge)>,
}

/// A part of a table's definition. Physical columns are always taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Feature {
    All,
    Constraints,
    Distribution,
    Generated,
    Metadata,
    Options,
    Partitions,
    Watermarks,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Merge {
    /// Both, and it is an error when both define the same.
    Including,
    /// Only what the new table defines itself.
    Excluding,
    /// Both; the new table's own goes before.
    Overwriting,
}

const FEATURES: &[(&str, Feature)] = &[
    ("ALL", Feature::All),
    ("CONSTRAINTS", Feature::Constraints),
    ("DISTRIBUTION", Feature::Distribution),
    ("GENERATED", Feature::Generated),
    ("METADATA", Feature::Metadata),
    ("OPTIONS", Feature::Options),
    ("PARTITIONS", Feature::Partitions),
    ("WATERMARKS", Feature::Watermarks),
];
const MERGES: &[(&str, Merge)] = &[
    ("INCLUDING", Merge::Including),
    ("EXCLUDING", Merge::Excluding),
    ("OVERWRITING", Merge::Overwriting),
];
const HELP: &str = "for example LIKE other (EXCLUDING OPTIONS OVERWRITING WATERMARKS)";

/// Reads from behind `LIKE`.
pub(crate) fn read(cursor: &mut Cursor<'_, '_>) -> Result<Like, SqlDiagnostic> {
    let (name, at) = cursor.object_name("the name of a table")?;
    let mut choices: Vec<(Feature, Merge)> = Vec::new();
    if cursor.eat_token(&Token::LParen) {
        while !cursor.eat_token(&Token::RParen) {
            let Some((_, merge)) = MERGES.iter().find(|(word, _)| cursor.eat(&[word])) else {
                return Err(cursor.unexpected("INCLUDING, EXCLUDING or OVERWRITING", HELP));
            };
            let here = cursor.here();
            let Some((word, feature)) = FEATURES.iter().find(|(word, _)| cursor.eat(&[word]))
            else {
                let words: Vec<&str> = FEATURES.iter().map(|(word, _)| *word).collect();
                return Err(cursor.unexpected(&format!("one of {}", words.join(", ")), HELP));
            };
            let overwritable = matches!(
                feature,
                Feature::Generated | Feature::Metadata | Feature::Options | Feature::Watermarks
            );
            if *merge == Merge::Overwriting && !overwritable {
                let message = format!("{word} of another table cannot be overwritten");
                let help = format!("write EXCLUDING {word}, and define them anew");
                return Err(error("E0504", here, message, help));
            }
            if choices.iter().any(|(f, _)| f == feature) {
                let message = format!("{word} is chosen twice");
                return Err(error("E0504", here, message, "remove one of them"));
            }
            choices.push((*feature, *merge));
        }
    }
    Ok(Like { name, at, choices })
}

impl Like {
    fn merge_of(&self, feature: Feature) -> Merge {
        let chosen = |f: Feature| self.choices.iter().find(|(c, _)| *c == f).map(|(_, m)| *m);
        let default = match feature {
            Feature::Options => Merge::Overwriting,
            _ => Merge::Including,
        };
        chosen(feature).or_else(|| chosen(Feature::All)).unwrap_or(default)
    }

    fn takes(&self, feature: Feature) -> bool {
        self.merge_of(feature) != Merge::Excluding
    }

    /// Whether both may define the same thing.
    fn overwrites(&self, feature: Feature) -> bool {
        self.merge_of(feature) == Merge::Overwriting
    }

    fn both(&self, what: &str, table: &CreateTable, help: &str) -> SqlDiagnostic {
        let message = format!("`{}` and `{}` both define {what}", table.name, self.name);
        error("E0504", self.at.clone(), message, help)
    }

    /// Adds to `table` what it takes from `other`.
    pub(crate) fn apply(
        &self,
        table: &mut CreateTable,
        other: &CreateTable,
    ) -> Result<(), SqlDiagnostic> {
        self.columns(table, other)?;
        if let Some(watermark) = &other.watermark
            && self.takes(Feature::Watermarks)
        {
            match &table.watermark {
                None => table.watermark = Some(watermark.clone()),
                Some(_) if self.overwrites(Feature::Watermarks) => {}
                Some(_) => {
                    let help = "write LIKE ... (OVERWRITING WATERMARKS)";
                    return Err(self.both("a watermark", table, help));
                }
            }
        }
        if !other.primary_key.is_empty() && self.takes(Feature::Constraints) {
            if !table.primary_key.is_empty() {
                let help = "write LIKE ... (EXCLUDING CONSTRAINTS)";
                return Err(self.both("a primary key", table, help));
            }
            table.primary_key.clone_from(&other.primary_key);
        }
        if !other.partitioned_by.is_empty() && self.takes(Feature::Partitions) {
            if !table.partitioned_by.is_empty() {
                return Err(self.both(
                    "partitions",
                    table,
                    "write LIKE ... (EXCLUDING PARTITIONS)",
                ));
            }
            table.partitioned_by.clone_from(&other.partitioned_by);
        }
        for option in other.options.iter().filter(|_| self.takes(Feature::Options)) {
            let own = table.options.iter().any(|o| o.key == option.key);
            if own && !self.overwrites(Feature::Options) {
                let help = "write LIKE ... (OVERWRITING OPTIONS), which is also the default";
                return Err(self.both(&format!("option '{}'", option.key), table, help));
            }
            if !own {
                table.options.push(option.clone());
            }
        }
        Ok(())
    }

    /// The other table's columns, then the own ones.
    fn columns(&self, table: &mut CreateTable, other: &CreateTable) -> Result<(), SqlDiagnostic> {
        let feature = |kind: &ColumnKind| match kind {
            ColumnKind::Physical { .. } => None,
            ColumnKind::Computed { .. } => Some(Feature::Generated),
            ColumnKind::Metadata { .. } => Some(Feature::Metadata),
        };
        let taken = other.columns.iter().filter(|c| feature(&c.kind).is_none_or(|f| self.takes(f)));
        let mut columns: Vec<_> = taken.cloned().collect();
        for own in std::mem::take(&mut table.columns) {
            let Some(at) = columns.iter().position(|c| c.name == own.name) else {
                columns.push(own);
                continue;
            };
            let same = feature(&own.kind).filter(|f| feature(&columns[at].kind) == Some(*f));
            if !same.is_some_and(|f| self.overwrites(f)) {
                let message =
                    format!("column `{}` is there already, from table `{}`", own.name, self.name);
                let help = "physical columns cannot be replaced; others can, with OVERWRITING GENERATED or METADATA";
                return Err(error("E0504", own.at, message, help));
            }
            columns[at] = own;
        }
        table.columns = columns;
        Ok(())
    }
}
