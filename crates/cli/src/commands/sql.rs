//! `streamctl sql`: statements from the command line or a file; answers are printed, and a
//! job that they start runs on an embedded cluster until it ends.

use std::path::PathBuf;

use clap::{Args, FromArgMatches};

use super::run;
use crate::arguments::{RunArguments, SqlArguments};
use crate::composition::{JobFilePlanner, read_job_file};
use crate::exit::{Exit, Failure};
use crate::output::table;
use crate::settings::Settings;

/// Runs every statement. Rows of a SELECT outside an INSERT are printed as they change.
pub async fn sql(arguments: SqlArguments, settings: &Settings) -> Result<Exit, Failure> {
    let (name, text) = match (&arguments.execute, &arguments.file) {
        (Some(text), _) => ("<command line>".to_owned(), text.clone()),
        (None, Some(path)) => read_job_file(path)?,
        (None, None) => read_job_file(&PathBuf::from("-"))?,
    };
    let text =
        format!("{}\n;SET 'weir.preview' = 'print';\n", text.trim_end().trim_end_matches(';'));
    let scripted = JobFilePlanner::new()
        .plan_script(&name, &text)
        .map_err(|d| Failure::rendered(Exit::Config, d.to_string()))?;
    for answer in &scripted.answers {
        let columns: Vec<&str> = answer.columns.iter().map(String::as_str).collect();
        match columns.as_slice() {
            // A plan is text, not a table.
            ["plan"] => answer.rows.iter().flatten().for_each(|line| println!("{line}")),
            _ => println!("{}", table(&columns, answer.rows.clone())),
        }
    }
    if !scripted.warnings.is_empty() {
        let items = scripted.warnings;
        eprintln!("{}", jobfile::Diagnostics { file: name, items });
    }
    if scripted.graph.is_none() {
        return Ok(Exit::Ok);
    }
    run_text(&text, settings).await
}

async fn run_text(text: &str, settings: &Settings) -> Result<Exit, Failure> {
    let failed =
        |e: std::io::Error| Failure::new(Exit::Failed, format!("cannot keep the script: {e}"));
    let path = std::env::temp_dir().join(format!("weir-sql-{}.sql", std::process::id()));
    std::fs::write(&path, text).map_err(failed)?;
    let command = RunArguments::augment_args(clap::Command::new("run"));
    let words = ["run".into(), "--quiet".into(), path.clone().into_os_string()];
    let arguments = command
        .try_get_matches_from::<_, std::ffi::OsString>(words)
        .and_then(|m| RunArguments::from_arg_matches(&m))
        .map_err(|e| Failure::new(Exit::Usage, e.to_string()))?;
    let done = run::run(arguments, settings).await;
    std::fs::remove_file(&path).map_err(failed)?;
    done
}
