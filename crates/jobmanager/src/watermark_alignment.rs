//! Watermark alignment across processes: what the readers of a group last said of their
//! watermarks, and what each process is told of the others. Pure. Owned by `job_master`;
//! within a process readers see each other directly (`runtime`).

use std::collections::BTreeMap;

use model::job_graph::JobGraph;
use model::operator_spec::OperatorSpec;
use model::{Attempt, TaskManagerId, VertexId};

use crate::execution_graph::{ExecutionGraph, TaskKey};

/// One reader's report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// ms since the epoch; `None`: it does not count at present.
    pub watermark: Option<i64>,
}

/// What a reader is told of its group in other processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// `None`: nobody there counts. A reader there that has not spoken yet counts as one
    /// that has read nothing.
    pub least: Option<i64>,
    /// The group has no reader there in this attempt.
    pub alone: bool,
}

/// A reader of a group.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    pub task: TaskKey,
    pub task_manager: &'a TaskManagerId,
    /// It has finished.
    pub ended: bool,
}

/// The reports of one job's present attempt.
#[derive(Debug)]
pub struct WatermarkAlignment {
    /// By source vertex.
    groups: BTreeMap<VertexId, String>,
    attempt: Option<Attempt>,
    reports: BTreeMap<TaskKey, Report>,
}

impl WatermarkAlignment {
    pub fn new(graph: &JobGraph) -> Self {
        let groups = graph.vertices.iter().filter_map(|vertex| {
            match vertex.operators.first().map(|o| &o.spec) {
                Some(OperatorSpec::Source { alignment: Some(alignment), .. }) => {
                    Some((vertex.id, alignment.group.clone()))
                }
                _ => None,
            }
        });
        Self { groups: groups.collect(), attempt: None, reports: BTreeMap::new() }
    }

    /// Takes the report of `task`, which runs on `task_manager`, and answers it. Reports of
    /// an earlier attempt are forgotten with the first of a new one.
    pub fn on_report(
        &mut self,
        graph: &ExecutionGraph,
        (task, task_manager): (TaskKey, &TaskManagerId),
        report: Report,
    ) -> Elsewhere {
        if self.attempt != Some(graph.attempt()) {
            self.attempt = Some(graph.attempt());
            self.reports.clear();
        }
        self.reports.insert(task, report);
        let Some(group) = self.groups.get(&task.vertex) else {
            return Elsewhere { least: None, alone: true };
        };
        let in_group = |key: &TaskKey| self.groups.get(&key.vertex) == Some(group);
        let members =
            graph.tasks().filter(|(key, _, _)| in_group(key)).filter_map(|(key, _, e)| {
                let task_manager = &e.slot.as_ref()?.task_manager;
                Some(Member { task: key, task_manager, ended: e.state.is_terminal() })
            });
        elsewhere(members, &self.reports, task_manager)
    }
}

/// The least of the members that are not on `here`.
pub fn elsewhere<'a>(
    members: impl Iterator<Item = Member<'a>>,
    reports: &BTreeMap<TaskKey, Report>,
    here: &TaskManagerId,
) -> Elsewhere {
    let mut answer = Elsewhere { least: None, alone: true };
    for member in members.filter(|m| m.task_manager != here) {
        answer.alone = false;
        let watermark = match reports.get(&member.task) {
            _ if member.ended => None,
            Some(report) => report.watermark,
            None => Some(i64::MIN),
        };
        if let Some(watermark) = watermark {
            answer.least = Some(answer.least.map_or(watermark, |least| least.min(watermark)));
        }
    }
    answer
}

#[cfg(test)]
mod tests;
