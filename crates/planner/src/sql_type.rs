//! Flink SQL's type names to Arrow types and back.
//! Called by `nodes` for `schema:` and by `explain` and messages for showing.

use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};

use crate::diagnostic::did_you_mean;

/// Every name that a type may start with.
pub const NAMES: &[&str] = &[
    "STRING",
    "VARCHAR",
    "CHAR",
    "BOOLEAN",
    "TINYINT",
    "SMALLINT",
    "INT",
    "INTEGER",
    "BIGINT",
    "FLOAT",
    "DOUBLE",
    "DECIMAL",
    "NUMERIC",
    "DATE",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMP_LTZ",
    "BYTES",
    "VARBINARY",
    "BINARY",
    "ARRAY",
    "ROW",
    "MAP",
    "MULTISET",
];

/// What is wrong with a type, at bytes of its text.
#[derive(Debug)]
pub struct TypeError {
    pub at: Range<usize>,
    pub message: String,
    pub label: Option<String>,
    pub help: Option<String>,
}

/// The type and whether NULL is allowed (unless `NOT NULL` follows).
pub fn parse(text: &str) -> Result<(DataType, bool), TypeError> {
    let mut parser = TypeParser { text, at: 0, depth: 0 };
    let parsed = parser.nullable_type()?;
    parser.skip_space();
    if parser.at < text.len() {
        return Err(parser.error(parser.at..text.len(), "does not belong to the type".into()));
    }
    Ok(parsed)
}

struct TypeParser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> TypeParser<'a> {
    fn error(&self, at: Range<usize>, message: String) -> TypeError {
        let shown = self.text.get(at.clone()).unwrap_or_default();
        let message = if shown.is_empty() { message } else { format!("`{shown}` {message}") };
        TypeError { at, message, label: None, help: None }
    }

    fn skip_space(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn eat(&mut self, symbol: char) -> bool {
        self.skip_space();
        let found = self.text[self.at..].starts_with(symbol);
        if found {
            self.at += symbol.len_utf8();
        }
        found
    }

    fn expect(&mut self, symbol: char) -> Result<(), TypeError> {
        if self.eat(symbol) {
            return Ok(());
        }
        let mut error = self.error(self.at..self.at, format!("the type lacks `{symbol}`"));
        error.help = Some(
            "between `{` and `}` a type that contains a comma must be quoted: \"DECIMAL(10, 2)\""
                .into(),
        );
        Err(error)
    }

    fn word(&mut self) -> Option<(&'a str, Range<usize>)> {
        self.skip_space();
        let rest = &self.text[self.at..];
        let quoted = rest.strip_prefix('`').and_then(|r| r.split_once('`')).map(|(w, _)| w);
        if let Some(word) = quoted {
            let range = self.at..self.at + word.len() + 2;
            self.at = range.end;
            return Some((word, range));
        }
        let length =
            rest.len() - rest.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_').len();
        let range = self.at..self.at + length;
        self.at = range.end;
        (length > 0).then(|| (&rest[..length], range))
    }

    fn keywords(&mut self, words: &[&str]) -> bool {
        let saved = self.at;
        for wanted in words {
            match self.word() {
                Some((word, _)) if word.eq_ignore_ascii_case(wanted) => {}
                _ => {
                    self.at = saved;
                    return false;
                }
            }
        }
        true
    }

    fn nullable_type(&mut self) -> Result<(DataType, bool), TypeError> {
        self.depth += 1;
        if self.depth > 16 {
            return Err(self.error(self.at..self.at, "the type nests too deeply".into()));
        }
        let data_type = self.data_type()?;
        self.depth -= 1;
        if self.keywords(&["NOT", "NULL"]) {
            return Ok((data_type, false));
        }
        self.keywords(&["NULL"]);
        Ok((data_type, true))
    }

    fn data_type(&mut self) -> Result<DataType, TypeError> {
        let Some((word, range)) = self.word() else {
            let message =
                if self.text.trim().is_empty() { "the type is missing" } else { "is not a type" };
            return Err(self.error(self.at..self.text.len(), message.into()));
        };
        let upper = word.to_uppercase();
        Ok(match upper.as_str() {
            "STRING" => DataType::Utf8,
            "VARCHAR" | "CHAR" => {
                self.arguments(1, &[i64::from(i32::MAX)])?;
                DataType::Utf8
            }
            "BOOLEAN" | "BOOL" => DataType::Boolean,
            "TINYINT" => DataType::Int8,
            "SMALLINT" => DataType::Int16,
            "INT" | "INTEGER" => DataType::Int32,
            "BIGINT" => DataType::Int64,
            "FLOAT" | "REAL" => DataType::Float32,
            "DOUBLE" => {
                self.keywords(&["PRECISION"]);
                DataType::Float64
            }
            "DECIMAL" | "DEC" | "NUMERIC" => self.decimal(&range)?,
            "DATE" => DataType::Date32,
            "TIME" => {
                self.arguments(1, &[9])?;
                DataType::Time32(TimeUnit::Millisecond)
            }
            "TIMESTAMP" => self.timestamp(None)?,
            "TIMESTAMP_LTZ" => self.timestamp(Some("UTC"))?,
            "BYTES" => DataType::Binary,
            "VARBINARY" | "BINARY" => {
                self.arguments(1, &[i64::from(i32::MAX)])?;
                DataType::Binary
            }
            "ARRAY" => {
                self.expect('<')?;
                let (item, nullable) = self.nullable_type()?;
                self.expect('>')?;
                DataType::List(Arc::new(Field::new("item", item, nullable)))
            }
            "MAP" => self.map()?,
            "MULTISET" => {
                self.expect('<')?;
                let (item, _) = self.nullable_type()?;
                self.expect('>')?;
                model::aggregate::multiset_type(&item)
            }
            "ROW" => self.row()?,
            _ => {
                let mut error = self.error(range, "is not a type".into());
                error.label = did_you_mean(&upper, NAMES.iter().copied());
                error.help = Some(format!("the types are: {}", NAMES.join(", ")));
                return Err(error);
            }
        })
    }

    /// Up to `most` whole numbers in parentheses, each at most `limits[i]`.
    fn arguments(&mut self, most: usize, limits: &[i64]) -> Result<Vec<i64>, TypeError> {
        let mut found = Vec::new();
        if !self.eat('(') {
            return Ok(found);
        }
        loop {
            let start = self.at;
            let Some((word, range)) = self.word() else {
                return Err(self.error(start..self.text.len(), "is not a number".into()));
            };
            let limit = limits.get(found.len()).copied().unwrap_or(i64::MAX);
            match word.parse::<i64>() {
                Ok(number) if number <= limit && found.len() < most => found.push(number),
                Ok(_) if found.len() >= most => {
                    return Err(self.error(range, "is one argument too many".into()));
                }
                Ok(_) => return Err(self.error(range, format!("is more than {limit}"))),
                Err(_) => return Err(self.error(range, "is not a whole number".into())),
            }
            if !self.eat(',') {
                self.expect(')')?;
                return Ok(found);
            }
        }
    }

    fn decimal(&mut self, range: &Range<usize>) -> Result<DataType, TypeError> {
        let arguments = self.arguments(2, &[38, 38])?;
        let precision = arguments.first().copied().unwrap_or(10);
        let scale = arguments.get(1).copied().unwrap_or(0);
        if precision < 1 || scale > precision {
            let message = format!(
                "needs 1 <= precision <= 38 and scale <= precision, not ({precision}, {scale})"
            );
            return Err(self.error(range.clone(), message));
        }
        Ok(DataType::Decimal128(precision as u8, scale as i8))
    }

    fn timestamp(&mut self, zone: Option<&str>) -> Result<DataType, TypeError> {
        let precision = self.arguments(1, &[9])?.first().copied().unwrap_or(6);
        let mut zone = zone.map(Arc::from);
        if self.keywords(&["WITH", "LOCAL", "TIME", "ZONE"]) {
            zone = Some(Arc::from("UTC"));
        } else {
            self.keywords(&["WITHOUT", "TIME", "ZONE"]);
        }
        let unit = match precision {
            0..=3 => TimeUnit::Millisecond,
            4..=6 => TimeUnit::Microsecond,
            _ => TimeUnit::Nanosecond,
        };
        Ok(DataType::Timestamp(unit, zone))
    }

    fn map(&mut self) -> Result<DataType, TypeError> {
        self.expect('<')?;
        let (key, _) = self.nullable_type()?;
        self.expect(',')?;
        let (value, nullable) = self.nullable_type()?;
        self.expect('>')?;
        let entries =
            Fields::from(vec![Field::new("key", key, false), Field::new("value", value, nullable)]);
        let entries = Field::new("entries", DataType::Struct(entries), false);
        Ok(DataType::Map(Arc::new(entries), false))
    }

    fn row(&mut self) -> Result<DataType, TypeError> {
        let close = if self.eat('(') {
            ')'
        } else {
            self.expect('<')?;
            '>'
        };
        let mut fields = Vec::new();
        loop {
            let start = self.at;
            let Some((name, _)) = self.word() else {
                return Err(self.error(start..self.text.len(), "is not a field name".into()));
            };
            let (data_type, nullable) = self.nullable_type()?;
            fields.push(Field::new(name, data_type, nullable));
            if !self.eat(',') {
                self.expect(close)?;
                return Ok(DataType::Struct(Fields::from(fields)));
            }
        }
    }
}

/// The SQL name of a type; Arrow's own where SQL has none.
pub fn show(data_type: &DataType) -> String {
    use DataType as D;
    let precision = |unit: &TimeUnit| match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    };
    match data_type {
        D::Utf8 | D::LargeUtf8 | D::Utf8View => "STRING".into(),
        D::Boolean => "BOOLEAN".into(),
        D::Int8 => "TINYINT".into(),
        D::Int16 => "SMALLINT".into(),
        D::Int32 => "INT".into(),
        D::Int64 => "BIGINT".into(),
        D::Float32 => "FLOAT".into(),
        D::Float64 => "DOUBLE".into(),
        D::Decimal128(p, s) => format!("DECIMAL({p}, {s})"),
        D::Date32 => "DATE".into(),
        D::Time32(_) | D::Time64(_) => "TIME".into(),
        D::Timestamp(unit, None) => format!("TIMESTAMP({})", precision(unit)),
        D::Timestamp(unit, Some(_)) => format!("TIMESTAMP_LTZ({})", precision(unit)),
        D::Binary | D::LargeBinary | D::BinaryView => "BYTES".into(),
        D::List(item) | D::LargeList(item) => format!("ARRAY<{}>", show(item.data_type())),
        D::Struct(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|f| format!("{} {}", f.name(), show(f.data_type()))).collect();
            format!("ROW<{}>", fields.join(", "))
        }
        D::Map(entries, _) => match entries.data_type() {
            D::Struct(fields)
                if fields.len() == 2
                    && *data_type == model::aggregate::multiset_type(fields[0].data_type()) =>
            {
                format!("MULTISET<{}>", show(fields[0].data_type()))
            }
            D::Struct(fields) if fields.len() == 2 => {
                format!("MAP<{}, {}>", show(fields[0].data_type()), show(fields[1].data_type()))
            }
            other => other.to_string(),
        },
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_and_shown() {
        for (text, shown) in [
            ("string", "STRING"),
            ("VARCHAR(10)", "STRING"),
            ("INT", "INT"),
            ("decimal(10,2)", "DECIMAL(10, 2)"),
            ("DECIMAL", "DECIMAL(10, 0)"),
            ("TIMESTAMP", "TIMESTAMP(6)"),
            ("TIMESTAMP(3)", "TIMESTAMP(3)"),
            ("TIMESTAMP(9) WITHOUT TIME ZONE", "TIMESTAMP(9)"),
            ("TIMESTAMP_LTZ(3)", "TIMESTAMP_LTZ(3)"),
            (
                "ARRAY<ROW<a INT, `b c` MAP<STRING, BIGINT>>>",
                "ARRAY<ROW<a INT, b c MAP<STRING, BIGINT>>>",
            ),
            ("MULTISET<VARCHAR(10)>", "MULTISET<STRING>"),
            ("ARRAY<MULTISET<INT> NOT NULL>", "ARRAY<MULTISET<INT>>"),
            ("MAP<INT, INT NOT NULL>", "MAP<INT, INT>"),
            ("DOUBLE PRECISION", "DOUBLE"),
        ] {
            let (data_type, nullable) = parse(text).unwrap();
            assert_eq!((show(&data_type).as_str(), nullable), (shown, true));
        }
        assert!(!parse("BIGINT NOT NULL").unwrap().1);
    }

    #[test]
    fn mistakes_have_places() {
        for (text, place) in [
            ("STRIN", "STRIN"),
            ("INT x", "x"),
            ("DECIMAL(40)", "40"),
            ("DECIMAL(5, 6)", "DECIMAL"),
            ("ARRAY<INTT>", "INTT"),
            ("VARCHAR(a)", "a"),
            ("TIMESTAMP(3, 4)", "4"),
            ("ARRAY<INT", ""),
            ("", ""),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(&text[error.at], place, "{text}");
        }
        assert!(parse(&"ARRAY<".repeat(1000)).is_err());
    }
}
