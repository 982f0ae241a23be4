//! A query from its submission to its last row. Called by `mod`.

use std::io::Write;
use std::time::Duration;

use model::job_graph::JobGraph;
use model::operator_spec::OperatorSpec;
use serde_json::{Value, json};

use super::rows::{Column, Row, View};
use super::target::cancel;
use crate::client::Client;
use crate::exit::{Exit, Failure};

/// Between looks at whether there is something to draw.
const TICK: Duration = Duration::from_millis(50);

/// How a query ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All rows were shown.
    Finished,
    /// The user had enough; the job is canceled.
    Interrupted,
}

/// Columns of what a query's graph puts out.
pub fn columns(graph: &JobGraph) -> Vec<Column> {
    let sinks = graph.vertices.iter().filter_map(|v| match v.operators.last().map(|o| &o.spec) {
        Some(OperatorSpec::Sink { sink }) => Some(&sink.schema),
        _ => None,
    });
    let fields = sinks.take(1).flat_map(|schema| planner::logical::plain(schema).fields().to_vec());
    let column = |field: model::arrow::datatypes::FieldRef| Column {
        name: field.name().clone(),
        data_type: jobfile::show_type(field.data_type()),
    };
    fields.map(column).collect()
}

/// Shows every row of job `id` until its end, or until `stop` is there.
///
/// # Errors
/// The job failed, or the connection did.
pub async fn show<W: Write>(
    client: &Client,
    id: &str,
    view: &mut View<W>,
    stop: impl Future<Output = ()>,
) -> Result<Outcome, Failure> {
    let (sender, mut events) = tokio::sync::mpsc::channel::<(bool, Value)>(16);
    let path = format!("/jobs/{id}/results");
    let body = json!({});
    // The reader waits for the view, the stream for the reader, the query for the stream.
    let reading = async {
        let mut receive = client.stream(&path, &body).await?;
        while let Some((name, data)) = receive.next().await? {
            let sent = match name.as_str() {
                "rows" => sender.send((false, data)).await,
                "end" => sender.send((true, data)).await,
                _ => Ok(()),
            };
            if sent.is_err() {
                break;
            }
        }
        drop(sender);
        Ok::<(), Failure>(())
    };
    let shown = &mut *view;
    // Owns its end of the queue, so that reading stops when showing fails.
    let showing = async move {
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! { biased;
                event = events.recv() => match event {
                    Some((false, rows)) => each(&rows, shown)?,
                    Some((true, end)) => return Ok(Some(end)),
                    None => return Ok(None),
                },
                _ = tick.tick() => shown.refresh()?,
            }
        }
    };
    let both = async {
        let (read, shown): (_, std::io::Result<Option<Value>>) = tokio::join!(reading, showing);
        match shown {
            Ok(end) => read.map(|()| Some(end)),
            // Nobody reads any more (`| head`): no mistake, and nothing left to show.
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(None),
            Err(e) => Err(broken(&e)),
        }
    };
    let end = tokio::select! { biased;
        () = stop => {
            cancel(client, id).await;
            view.finish().map_err(|e| broken(&e))?;
            return Ok(Outcome::Interrupted);
        }
        end = both => end?,
    };
    let Some(end) = end else {
        cancel(client, id).await;
        return Ok(Outcome::Interrupted);
    };
    view.finish().map_err(|e| broken(&e))?;
    let end = end.unwrap_or(Value::Null);
    match (end["status"].as_str(), end["failure"].as_str()) {
        (Some("FINISHED"), None) => Ok(Outcome::Finished),
        (_, Some(failure)) => Err(Failure::new(Exit::Failed, failure)),
        (Some("CANCELED"), None) => Err(Failure::new(Exit::Failed, "the query was canceled")),
        _ => Err(Failure::new(Exit::Failed, "the results broke off before their end")),
    }
}

fn each<W: Write>(rows: &Value, view: &mut View<W>) -> std::io::Result<()> {
    for row in rows.as_array().into_iter().flatten() {
        let mut cells = row.as_array().into_iter().flatten().map(|c| c.as_str().map(str::to_owned));
        let op = cells.next().flatten().unwrap_or_default();
        view.change(&op, cells.collect::<Row>())?;
    }
    Ok(())
}

fn broken(error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("cannot write the rows: {error}"))
}
