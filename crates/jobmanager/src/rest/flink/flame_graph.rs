//! Flame graphs of vertices in the facade. The first question has the task managers sampled
//! that run the vertex, and is answered with `waiting`, as by Flink; later ones get the graph.
//! A task manager is sampled at most once a minute, however many ask.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::extract::{Path, State};
use model::inspection::{CpuProfile, ProfiledTask};
use model::{JobId, TaskManagerId, VertexId};
use serde_json::{Value, json};

use super::request::{self, Pairs, value};
use super::{Answer, Facade, FlinkError, Shared};

/// How long samples are taken, seconds.
const SECONDS: u32 = 5;
/// How old a graph becomes before new samples are taken for whoever asks.
const REFRESH_MS: i64 = 60_000;
/// What nobody asked for in so long is forgotten.
const FORGET_MS: i64 = 600_000;
/// Frames that are shown below one another; deeper ones are of no use and make JSON deep.
const MAX_DEPTH: usize = 100;

/// Flink's answers without a graph.
const TERMINATED: i64 = -1;
const WAITING: i64 = -3;

/// The newest samples of each task manager. Pure.
#[derive(Default)]
struct Samples {
    of: BTreeMap<TaskManagerId, Sampled>,
}

#[derive(Default)]
struct Sampled {
    is_under_way: bool,
    /// When sampling last began.
    begun_ms: i64,
    asked_ms: i64,
    /// When it ended, and what it found.
    found: Option<(i64, Arc<CpuProfile>)>,
}

impl Samples {
    /// True: sample it now, and say [`Self::ended`].
    fn ask(&mut self, now_ms: i64, id: &TaskManagerId) -> bool {
        self.of.retain(|_, s| s.is_under_way || now_ms - s.asked_ms < FORGET_MS);
        let sampled = self
            .of
            .entry(id.clone())
            .or_insert_with(|| Sampled { begun_ms: i64::MIN, ..Sampled::default() });
        sampled.asked_ms = now_ms;
        let due = !sampled.is_under_way && now_ms.saturating_sub(sampled.begun_ms) >= REFRESH_MS;
        if due {
            (sampled.is_under_way, sampled.begun_ms) = (true, now_ms);
        }
        due
    }

    /// `None`: it failed, and is tried again when somebody asks.
    fn ended(&mut self, now_ms: i64, id: &TaskManagerId, profile: Option<CpuProfile>) {
        let Some(sampled) = self.of.get_mut(id) else { return };
        sampled.is_under_way = false;
        match profile {
            Some(profile) => sampled.found = Some((now_ms, Arc::new(profile))),
            None => sampled.begun_ms = i64::MIN,
        }
    }

    fn found(&self, id: &TaskManagerId) -> Option<(i64, Arc<CpuProfile>)> {
        self.of.get(id)?.found.clone()
    }
}

/// What the facade remembers between questions.
#[derive(Default)]
pub(super) struct FlameGraphs(Mutex<Samples>);

impl FlameGraphs {
    fn lock(&self) -> MutexGuard<'_, Samples> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whose samples are wanted.
struct Wanted {
    job: JobId,
    vertex: VertexId,
    subtask: Option<u32>,
}

impl Wanted {
    fn has(&self, task: &ProfiledTask) -> bool {
        let one = self.subtask.is_none_or(|subtask| subtask == task.subtask.0);
        task.job == self.job && task.vertex == self.vertex && one
    }
}

/// Calls, by name, with how many samples are in or below them.
#[derive(Default)]
struct Node {
    count: u64,
    children: BTreeMap<String, Node>,
}

impl Node {
    fn add(&mut self, frames: &[String], count: u64) {
        let mut node = self;
        node.count += count;
        for frame in frames.iter().take(MAX_DEPTH) {
            node = node.children.entry(frame.clone()).or_default();
            node.count += count;
        }
    }

    fn shown(&self, name: &str) -> Value {
        let children: Vec<Value> = self.children.iter().map(|(n, c)| c.shown(n)).collect();
        json!({ "name": name, "value": self.count, "children": children })
    }
}

fn graph(profiles: &[Arc<CpuProfile>], wanted: &Wanted) -> Value {
    let mut root = Node::default();
    for stack in profiles.iter().flat_map(|p| &p.stacks) {
        if stack.task.as_ref().is_some_and(|task| wanted.has(task)) {
            // The first frame is the vertex's name, which is the root's.
            root.add(stack.frames.get(1..).unwrap_or_default(), stack.count);
        }
    }
    root.shown("root")
}

/// Samples are of running code only: of what waits there are none, so `off_cpu` is empty, and
/// `full` is what `on_cpu` is.
fn on_cpu(pairs: &Pairs) -> Result<bool, FlinkError> {
    match value(pairs, "type").map(str::to_ascii_lowercase).as_deref() {
        None | Some("full" | "on_cpu") => Ok(true),
        Some("off_cpu") => Ok(false),
        Some(other) => Err(FlinkError::bad_parameter("query", "type", other)),
    }
}

pub async fn of_vertex(
    State(facade): Shared,
    Path((job, vertex)): Path<(String, String)>,
    pairs: Pairs,
) -> Answer {
    let job = request::job(&facade, &job).await?;
    let vertex = request::vertex(&job, &vertex)?;
    let subtask = match value(&pairs, "subtaskindex") {
        None => None,
        Some(text) => Some(request::subtask(vertex, text)?.subtask.0),
    };
    let on_cpu = on_cpu(&pairs)?;
    let running = vertex.subtasks.iter().filter(|s| !s.state.is_terminal());
    let managers: BTreeSet<&TaskManagerId> =
        running.clone().filter_map(|s| s.task_manager.as_ref()).collect();
    if running.count() == 0 {
        return Ok(Json(json!({ "endTimestamp": TERMINATED })));
    }
    let mut found = Vec::new();
    for id in managers {
        found.extend(sampled(&facade, id));
    }
    let Some(end_ms) = found.iter().map(|(end_ms, _)| *end_ms).max() else {
        return Ok(Json(json!({ "endTimestamp": WAITING })));
    };
    let profiles: Vec<_> = found.into_iter().filter(|_| on_cpu).map(|(_, p)| p).collect();
    let wanted = Wanted { job: job.details.id, vertex: vertex.id, subtask };
    Ok(Json(json!({ "endTimestamp": end_ms, "data": graph(&profiles, &wanted) })))
}

/// The newest samples of a task manager; begins to take new ones when they are old.
fn sampled(facade: &Arc<Facade>, id: &TaskManagerId) -> Option<(i64, Arc<CpuProfile>)> {
    let manager = super::task_managers::find(facade, &id.0).ok()?;
    let mut samples = facade.flame_graphs.lock();
    if samples.ask(facade.now_ms(), id) {
        let (facade, id) = (facade.clone(), id.clone());
        tokio::spawn(async move {
            let addr = manager.info.rpc_addr;
            let profile = facade.dispatcher.context().gateway.profile(&addr, SECONDS).await;
            if let Err(error) = &profile {
                tracing::info!(task_manager = %id, %error, "no flame graph");
            }
            facade.flame_graphs.lock().ended(facade.now_ms(), &id, profile.ok());
        });
    }
    samples.found(id)
}

#[cfg(test)]
mod tests {
    use model::SubtaskIndex;
    use model::inspection::FoldedStack;

    use super::*;

    #[test]
    fn a_task_manager_is_sampled_once_a_minute_while_somebody_asks() {
        let (mut samples, id) = (Samples::default(), TaskManagerId("tm".into()));
        assert!(samples.ask(0, &id), "the first question");
        assert!(!samples.ask(REFRESH_MS * 2, &id), "still under way");
        samples.ended(5_000, &id, None);
        assert!(samples.found(&id).is_none());
        assert!(samples.ask(5_001, &id), "it failed");
        samples.ended(10_000, &id, Some(CpuProfile::default()));
        assert_eq!(samples.found(&id).unwrap().0, 10_000);
        assert!(!samples.ask(5_000 + REFRESH_MS, &id), "young enough");
        assert!(samples.ask(5_001 + REFRESH_MS, &id));
        samples.ended(80_000, &id, Some(CpuProfile::default()));
        samples.ask(80_000 + FORGET_MS * 2, &TaskManagerId("other".into()));
        assert!(samples.found(&id).is_none(), "nobody asked for long");
    }

    #[test]
    fn a_graph_has_the_samples_of_its_vertex_only() {
        let stack = |vertex, subtask, frames: &[&str], count| FoldedStack {
            frames: frames.iter().map(|f| (*f).to_owned()).collect(),
            count,
            task: Some(ProfiledTask {
                job: JobId(1),
                vertex: VertexId(vertex),
                subtask: SubtaskIndex(subtask),
            }),
        };
        let mut stacks = vec![
            stack(7, 0, &["map", "run", "read"], 3),
            stack(7, 1, &["map", "run", "write"], 2),
            stack(8, 0, &["sink", "run"], 9),
        ];
        stacks.push(FoldedStack { frames: vec!["core-0".into()], count: 50, task: None });
        let profile = Arc::new(CpuProfile { stacks, ..CpuProfile::default() });
        let of = |subtask| {
            graph(
                std::slice::from_ref(&profile),
                &Wanted { job: JobId(1), vertex: VertexId(7), subtask },
            )
        };
        let leaf = |name: &str, n: u64| json!({ "name": name, "value": n, "children": [] });
        let run = json!({ "name": "run", "value": 5,
            "children": [leaf("read", 3), leaf("write", 2)] });
        assert_eq!(of(None), json!({ "name": "root", "value": 5, "children": [run] }));
        assert_eq!(of(Some(1))["value"], 2);
        assert_eq!(of(Some(2)), leaf("root", 0));
    }
}
