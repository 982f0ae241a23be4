//! `spec.sqlFile`: the statements of a job in a file beside the job file. It is planned where
//! it stands, so that mistakes point into it; what is submitted is one text that holds the
//! statements, because a job manager cannot read the files of its clients.
//! Called by `lib::plan` and by `streamctl submit`.

use std::ops::Range;

use model::job_graph::{JobFileFormat, JobGraph};

use crate::diagnostic::{Diagnostics, Report};
use crate::document::{self, Document};
use crate::fields::Spanned;
use crate::script::{self, Envelope, Script};
use crate::{Context, yaml};

/// Where `sqlFile: path` stands, and the path.
pub(crate) struct SqlFile {
    /// From the key's first byte to the path's last.
    pub(crate) entry: Range<usize>,
    pub(crate) path: Spanned<String>,
}

/// The graph of a job whose statements are in a file. `None`: something is wrong, and has
/// been reported.
pub(crate) fn plan(
    file: &SqlFile,
    document: &Document<'_>,
    report: &Report<'_>,
    ctx: &Context<'_>,
) -> Option<JobGraph> {
    let text = read(file, report, ctx.files)?;
    let own = Report::new(&text);
    if let Some((sql, locate)) = script::substituted(&text, &own, ctx.env) {
        let source = Script { sql: &sql, locate: &*locate, format: JobFileFormat::Sql };
        let planned = script::plan(&source, Envelope::of_document(document), &own, ctx).0;
        if planned.is_none() && own.errors() == 0 {
            own.add("E0503", &(0..1), "the file starts no job");
        }
    }
    let errors = own.errors();
    report.absorb(&file.path.value, own.take());
    if errors > 0 {
        return None;
    }
    // The text that a job manager gets, so that both have one graph, and places in it.
    let whole = embedded(report.source.text, &file.entry, &text);
    let second = Report::new(&whole);
    let graph = crate::plan_into(&second, &whole, ctx);
    if let Some(found) = second.take().into_iter().find(|d| d.is_error()) {
        report.add(found.code, &file.path.span, found.message);
        return None;
    }
    graph
}

fn read(
    file: &SqlFile,
    report: &Report<'_>,
    files: &dyn Fn(&str) -> Result<String, String>,
) -> Option<String> {
    match files(&file.path.value) {
        Ok(text) => Some(text),
        Err(why) => {
            let message = format!("cannot read `{}`: {why}", file.path.value);
            let help =
                "the path is relative to the job file; the statements themselves go under `sql`";
            report.add_help("E0110", &file.path.span, message, help);
            None
        }
    }
}

/// `text` with the statements of its `sqlFile` in their place; itself without one, or when
/// it cannot be read as a job file, which planning it will tell.
///
/// # Errors
/// The file that it names cannot be read.
pub fn self_contained(
    file_name: &str,
    text: &str,
    files: &dyn Fn(&str) -> Result<String, String>,
) -> Result<String, Diagnostics> {
    let ignored = Report::new(text);
    let any = |_: &str| Some(String::new());
    let Some(root) = yaml::parse(text, &ignored, &any) else { return Ok(text.to_owned()) };
    let Some(file) = document::read(&root, &ignored).and_then(|d| d.sql_file) else {
        return Ok(text.to_owned());
    };
    let report = Report::new(text);
    match read(&file, &report, files) {
        Some(sql) => Ok(embedded(text, &file.entry, &sql)),
        None => Err(Diagnostics { file: file_name.to_owned(), items: report.take() }),
    }
}

/// The job file with `sql: ...` instead of `sqlFile: path`. A block where it can be one, so
/// that people can read it; else a quoted text, which can stand anywhere.
fn embedded(yaml: &str, entry: &Range<usize>, sql: &str) -> String {
    let line = yaml[..entry.start].rfind('\n').map_or(0, |at| at + 1);
    let before = &yaml[line..entry.start];
    let after = yaml[entry.end..].lines().next().unwrap_or_default();
    let printable = |c: char| c == '\n' || c == '\r' || c == '\t' || !c.is_control();
    let block = before.chars().all(|c| c == ' ')
        && after.trim().is_empty()
        && !sql.trim().is_empty()
        && sql.chars().all(printable);
    let value = match block {
        true => {
            let mut value = "|2".to_owned();
            for text in sql.trim_end().lines() {
                value.push('\n');
                if !text.trim().is_empty() {
                    value.push_str(before);
                    value.push_str("  ");
                    value.push_str(text.trim_end());
                }
            }
            value
        }
        false => serde_json::Value::from(sql).to_string(),
    };
    format!("{}sql: {value}{}", &yaml[..entry.start], &yaml[entry.end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(path: &str) -> Result<String, String> {
        match path {
            "q.sql" => Ok("-- the query\n\n  INSERT INTO t\nSELECT 'a: ''b''' -- c\n".to_owned()),
            _ => Err("no such file".to_owned()),
        }
    }

    /// The self-contained job file, and the statements in it.
    fn statements(text: &str) -> (String, String) {
        let whole = self_contained("job.yaml", text, &files).unwrap();
        let report = Report::new(&whole);
        let root = yaml::parse(&whole, &report, &|_| None).unwrap();
        let document = document::read(&root, &report).unwrap();
        assert_eq!(report.take(), []);
        let sql = document.sql.unwrap().scalar().unwrap().text.clone();
        (whole, sql)
    }

    const HEAD: &str = "apiVersion: weir.dev/v1\nkind: StreamJob\nmetadata: {name: a}\n";

    #[test]
    fn a_block_keeps_lines_and_columns() {
        let text = format!("{HEAD}spec:\n  sqlFile: q.sql\n  parallelism: 2\n");
        let (whole, sql) = statements(&text);
        assert_eq!(sql, files("q.sql").unwrap());
        assert!(whole.contains("  sql: |2\n    -- the query\n\n      INSERT INTO t\n"), "{whole}");
        assert!(whole.ends_with("-- c\n  parallelism: 2\n"), "{whole}");
    }

    #[test]
    fn between_braces_and_before_a_comment_it_is_quoted() {
        for spec in ["{sqlFile: q.sql, parallelism: 2}\n", "\n  sqlFile: 'q.sql' # why\n"] {
            let (_, sql) = statements(&format!("{HEAD}spec: {spec}"));
            assert_eq!(sql, files("q.sql").unwrap(), "{spec}");
        }
    }

    #[test]
    fn what_has_no_file_stays() {
        for text in ["", "a: [", "SELECT 1", "spec: {sql: x}"] {
            assert_eq!(self_contained("job.yaml", text, &files).unwrap(), text);
        }
        let text = format!("{HEAD}spec: {{sqlFile: other.sql}}\n");
        let failed = self_contained("job.yaml", &text, &files).unwrap_err();
        assert_eq!((failed.items[0].code, failed.items[0].line), ("E0110", 4));
    }
}
