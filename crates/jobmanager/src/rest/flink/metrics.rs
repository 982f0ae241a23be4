//! `.../metrics` of the facade: without `get` the names there are, with it values, and over
//! several things (jobs, task managers, subtasks) aggregated as `agg` says.

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Map, Value, json};

use super::metric_names::{self as names, Metrics};
use super::request::{self, Pairs, list};
use super::{Answer, FlinkError, Shared, figures, task_managers as managers};

/// Flink's aggregations, in the order in which they are answered.
const AGGREGATIONS: [&str; 5] = ["min", "max", "avg", "sum", "skew"];

pub async fn job_manager(State(facade): Shared, pairs: Pairs) -> Json<Value> {
    let cluster = &facade.dispatcher.context().cluster;
    let running = facade.dispatcher.running_jobs().len();
    let managers = cluster.task_managers().len();
    // The epoch is when it started.
    let started_ms = i64::try_from(facade.dispatcher.context().leader_epoch.0).unwrap_or(0);
    let lived_ms = facade.now_ms() - started_ms;
    let metrics = names::of_job_manager(running, cluster.slots(), managers, lived_ms);
    Json(values(&metrics, &pairs))
}

pub async fn job(State(facade): Shared, Path(id): Path<String>, pairs: Pairs) -> Answer {
    let job = request::job(&facade, &id).await?;
    Ok(Json(values(&names::of_job(&job, facade.now_ms()), &pairs)))
}

pub async fn jobs(State(facade): Shared, pairs: Pairs) -> Answer {
    let wanted = list(&pairs, "jobs").unwrap_or_default();
    let wanted =
        wanted.into_iter().map(|id| request::job_id(id, "query")).collect::<Result<Vec<_>, _>>()?;
    let now_ms = facade.now_ms();
    let jobs = facade.dispatcher.snapshots().await;
    let jobs = jobs.iter().filter(|j| wanted.is_empty() || wanted.contains(&j.details.id));
    let metrics: Vec<Metrics> = jobs.map(|j| names::of_job(j, now_ms)).collect();
    aggregated(&metrics, &pairs).map(Json)
}

pub async fn task_manager(State(facade): Shared, Path(id): Path<String>, pairs: Pairs) -> Answer {
    let manager = managers::find(&facade, &id)?;
    Ok(Json(values(&names::of_task_manager(&manager, facade.now_ms()), &pairs)))
}

pub async fn task_managers(State(facade): Shared, pairs: Pairs) -> Answer {
    let wanted = list(&pairs, "taskmanagers").unwrap_or_default();
    let now_ms = facade.now_ms();
    let all = facade.dispatcher.context().cluster.task_managers();
    let chosen = all.iter().filter(|t| wanted.is_empty() || wanted.contains(&t.info.id.0.as_str()));
    let metrics: Vec<Metrics> = chosen.map(|t| names::of_task_manager(t, now_ms)).collect();
    aggregated(&metrics, &pairs).map(Json)
}

/// Every subtask's, its index before the name.
pub async fn vertex(
    State(facade): Shared,
    Path((job, vertex)): Path<(String, String)>,
    pairs: Pairs,
) -> Answer {
    let job = request::job(&facade, &job).await?;
    let vertex = request::vertex(&job, &vertex)?;
    let mut all = Metrics::new();
    for task in &vertex.subtasks {
        let of_task = names::of_subtask(&job, vertex, task);
        all.extend(of_task.into_iter().map(|(n, v)| (format!("{}.{n}", task.subtask), v)));
    }
    Ok(Json(values(&all, &pairs)))
}

pub async fn subtask(
    State(facade): Shared,
    Path((job, vertex, subtask)): Path<(String, String, String)>,
    pairs: Pairs,
) -> Answer {
    let job = request::job(&facade, &job).await?;
    let vertex = request::vertex(&job, &vertex)?;
    let task = request::subtask(vertex, &subtask)?;
    Ok(Json(values(&names::of_subtask(&job, vertex, task), &pairs)))
}

pub async fn subtasks(
    State(facade): Shared,
    Path((job, vertex)): Path<(String, String)>,
    pairs: Pairs,
) -> Answer {
    let job = request::job(&facade, &job).await?;
    let vertex = request::vertex(&job, &vertex)?;
    let wanted = request::ranges(&list(&pairs, "subtasks").unwrap_or_default())?;
    let chosen = vertex
        .subtasks
        .iter()
        .filter(|s| wanted.is_empty() || wanted.iter().any(|range| range.contains(&s.subtask.0)));
    let metrics: Vec<Metrics> = chosen.map(|s| names::of_subtask(&job, vertex, s)).collect();
    aggregated(&metrics, &pairs).map(Json)
}

/// Names, or the values of those that `get` names and that there are.
fn values(metrics: &Metrics, pairs: &Pairs) -> Value {
    match list(pairs, "get") {
        None => metrics.keys().map(|name| json!({ "id": name })).collect(),
        Some(wanted) => wanted
            .into_iter()
            .filter_map(|name| Some(json!({ "id": name, "value": metrics.get(name)? })))
            .collect(),
    }
}

/// Names, or each named metric over all the things that have it as a number.
///
/// # Errors
/// 400: an aggregation that there is not.
fn aggregated(all: &[Metrics], pairs: &Pairs) -> Result<Value, FlinkError> {
    let mut chosen = Vec::new();
    for mode in list(pairs, "agg").unwrap_or_default() {
        let lower = mode.to_ascii_lowercase();
        let known = AGGREGATIONS.into_iter().find(|a| *a == lower);
        chosen.push(known.ok_or_else(|| FlinkError::bad_parameter("query", "agg", mode))?);
    }
    if chosen.is_empty() {
        chosen.extend(AGGREGATIONS);
    }
    let Some(wanted) = list(pairs, "get") else {
        let mut known: Vec<&String> = all.iter().flat_map(Metrics::keys).collect();
        known.sort_unstable();
        known.dedup();
        return Ok(known.into_iter().map(|name| json!({ "id": name })).collect());
    };
    let mut answer = Vec::new();
    for name in wanted {
        let numbers = all.iter().filter_map(|m| m.get(name)?.parse::<f64>().ok());
        let numbers: Vec<f64> = numbers.collect();
        if numbers.is_empty() {
            continue;
        }
        let mut entry = Map::from_iter([("id".to_owned(), Value::from(name))]);
        for mode in &chosen {
            entry.insert((*mode).to_owned(), figures::float(aggregate(mode, &numbers)));
        }
        answer.push(Value::Object(entry));
    }
    Ok(answer.into())
}

/// `numbers` is not empty.
fn aggregate(mode: &str, numbers: &[f64]) -> f64 {
    let sum: f64 = numbers.iter().sum();
    let average = sum / numbers.len() as f64;
    match mode {
        "min" => numbers.iter().copied().fold(f64::INFINITY, f64::min),
        "max" => numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        "avg" => average,
        "sum" => sum,
        _ => skew(numbers, average),
    }
}

/// Flink's data skew: the mean deviation from the mean in percent of the mean, at most 100.
fn skew(numbers: &[f64], average: f64) -> f64 {
    if average == 0.0 {
        return 0.0;
    }
    let deviation: f64 = numbers.iter().map(|n| (n - average).abs()).sum();
    (deviation / numbers.len() as f64 / average * 100.0).min(100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(of: &[(&str, &str)]) -> Pairs {
        let pairs = of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        axum::extract::Query(pairs.collect())
    }

    #[test]
    fn over_several_things_each_asked_aggregation_is_answered() {
        let of = |value: &str| Metrics::from([("n".to_owned(), value.to_owned())]);
        let all = [of("1"), of("3"), Metrics::new()];
        let asked = aggregated(&all, &pairs(&[("get", "n,absent"), ("agg", "MIN,avg")])).unwrap();
        assert_eq!(asked, json!([{ "id": "n", "min": 1.0, "avg": 2.0 }]));
        let every = aggregated(&all, &pairs(&[("get", "n")])).unwrap();
        assert_eq!((&every[0]["sum"], &every[0]["skew"]), (&json!(4.0), &json!(50.0)));
        let unknown = aggregated(&all, &pairs(&[("get", "n"), ("agg", "median")]));
        assert_eq!(unknown.unwrap_err().status.as_u16(), 400);
        assert_eq!(aggregated(&all, &pairs(&[])).unwrap(), json!([{ "id": "n" }]));
    }

    #[test]
    fn values_are_those_that_are_asked_for_and_there() {
        let metrics = Metrics::from([("a".to_owned(), "1".to_owned())]);
        assert_eq!(values(&metrics, &pairs(&[])), json!([{ "id": "a" }]));
        let asked = values(&metrics, &pairs(&[("get", "a,b")]));
        assert_eq!(asked, json!([{ "id": "a", "value": "1" }]));
        assert_eq!(values(&metrics, &pairs(&[("get", "")])), json!([]));
    }
}
