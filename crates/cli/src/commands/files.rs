//! Commands that work offline, on files: `validate`, `plan`, `schema`, `checkpoint verify`.

use serde_json::json;

use crate::arguments::{FileArguments, Format, PlanArguments, PlanFormat};
use crate::composition::{self, JobFile, JobFilePlanner};
use crate::exit::{Exit, Failure};
use crate::output;

/// Plans a file, with its diagnostics as the failure.
pub fn planned(path: &std::path::Path) -> Result<(JobFile, jobfile::Planned), Failure> {
    let file = JobFile::read(path)?;
    match JobFilePlanner::new().plan_file(&file) {
        Ok(planned) => Ok((file, planned)),
        Err(diagnostics) => Err(Failure::rendered(Exit::Config, diagnostics.to_string())),
    }
}

/// Prints the doubts about a valid file.
pub fn warn(file: &str, planned: &jobfile::Planned) {
    if !planned.warnings.is_empty() {
        let items = planned.warnings.clone();
        eprintln!("{}", jobfile::Diagnostics { file: file.to_owned(), items });
    }
}

pub fn validate(arguments: &FileArguments) -> Result<Exit, Failure> {
    let file = JobFile::read(&arguments.job)?;
    let name = &file.name;
    match JobFilePlanner::new().plan_file(&file) {
        Ok(planned) => {
            warn(name, &planned);
            let graph = &planned.graph;
            let value = json!({
                "valid": true,
                "name": graph.name,
                "vertices": graph.vertices.len(),
                "slots": graph.slots_needed(),
                "warnings": planned.warnings.len(),
            });
            output::print(arguments.output, &value, |_| {
                format!(
                    "{name} is valid: job `{}`, {} vertices, {} slots, {} warnings",
                    graph.name,
                    graph.vertices.len(),
                    graph.slots_needed(),
                    planned.warnings.len()
                )
            });
            Ok(Exit::Ok)
        }
        Err(diagnostics) if arguments.output == Format::Table => {
            Err(Failure::rendered(Exit::Config, diagnostics.to_string()))
        }
        Err(diagnostics) => {
            let value = json!({"valid": false, "diagnostics": diagnostics.to_json()});
            output::print(arguments.output, &value, |_| String::new());
            Ok(Exit::Config)
        }
    }
}

pub fn plan(arguments: &PlanArguments) -> Result<Exit, Failure> {
    let (file, planned) = planned(&arguments.job)?;
    warn(&file.name, &planned);
    match arguments.output {
        PlanFormat::Text => output::say(jobfile::explain::text(&planned.graph).trim_end()),
        PlanFormat::Dot => output::say(jobfile::explain::dot(&planned.graph).trim_end()),
        PlanFormat::Json => {
            let value = jobfile::explain::json(&planned.graph);
            output::say(&serde_json::to_string_pretty(&value).unwrap_or_default());
        }
    }
    Ok(Exit::Ok)
}

pub fn schema() -> Result<Exit, Failure> {
    let schema = jobfile::json_schema(&*composition::connectors());
    output::say(&serde_json::to_string_pretty(&schema).unwrap_or_default());
    Ok(Exit::Ok)
}

pub async fn verify_checkpoint(uri: &str, format: Format) -> Result<Exit, Failure> {
    let report = checkpoint::CheckpointStorage::verify(uri).await?;
    let value = serde_json::to_value(&report)
        .map_err(|e| Failure::new(Exit::Failed, format!("cannot print the report: {e}")))?;
    let bad = report.objects.iter().filter(|o| o.problem.is_some()).count();
    output::print(format, &value, |_| {
        let rows = report
            .objects
            .iter()
            .map(|o| {
                let verdict = o.problem.clone().unwrap_or_else(|| "ok".to_owned());
                vec![o.path.clone(), o.expected_length.to_string(), verdict]
            })
            .collect();
        let mut summary = format!("{} objects, {bad} bad", report.objects.len());
        let (whole, written) = (report.manifest.state_bytes, report.manifest.written_bytes);
        // Checkpoints of older releases do not say.
        if written > 0 {
            summary += &format!("; {written} of {whole} bytes were written for this checkpoint");
        }
        format!("{}\n{summary}", output::table(&["object", "bytes", "verdict"], rows))
    });
    Ok(if bad == 0 { Exit::Ok } else { Exit::Failed })
}
