//! What a deployment says of its neighbours.

use super::*;
use crate::fixtures;
use model::LeaderEpoch;

fn plan<'a>(graph: &'a JobGraph, slots: &'a [Slot]) -> Plan<'a> {
    Plan {
        leader_epoch: LeaderEpoch(7),
        job: JobId(1),
        job_name: "job",
        attempt: Attempt(3),
        graph,
        slots,
        checkpoint_storage: "memory://test",
    }
}

#[test]
fn consumers_come_first_and_channels_go_all_to_all() {
    let mut graph = fixtures::graph(2);
    graph.vertices[1].parallelism = 3;
    let slots = [fixtures::slot("a", 1), fixtures::slot("b", 2), fixtures::slot("a", 3)];
    let waves = deployments(&plan(&graph, &slots), &|_, _, _| Ok(None)).unwrap();
    let sizes: Vec<_> = waves.iter().map(|w| (w[0].1.vertex.name.clone(), w.len())).collect();
    assert_eq!(sizes, [("out".to_owned(), 3), ("numbers".to_owned(), 2)]);
    let (slot, source) = &waves[1][1];
    assert_eq!((slot.task_manager.0.as_str(), source.allocation.0), ("b", 2));
    assert_eq!(source.attempt.attempt, Attempt(3));
    let consumers: Vec<_> =
        source.outputs[0].consumers.iter().map(|c| (c.subtask.0, c.data_addr.as_str())).collect();
    assert_eq!(consumers, [(0, "a:2"), (1, "b:2"), (2, "a:2")]);
    assert_eq!(waves[0][2].1.inputs[0].producers, [SubtaskIndex(0), SubtaskIndex(1)]);
    let groups: Vec<_> = waves[0].iter().map(|(_, d)| d.key_groups.groups()).collect();
    assert_eq!((groups[0].start, groups[2].end), (0, 128));
    assert!(groups.windows(2).all(|w| w[0].end == w[1].start));
}

#[test]
fn forward_joins_equal_subtasks() {
    let mut graph = fixtures::graph(2);
    graph.edges[0].partitioning = Partitioning::Forward;
    let slots = [fixtures::slot("a", 1), fixtures::slot("b", 2)];
    let waves = deployments(&plan(&graph, &slots), &|_, _, _| Ok(None)).unwrap();
    assert_eq!(waves[0][1].1.inputs[0].producers, [SubtaskIndex(1)]);
    let consumers = &waves[1][0].1.outputs[0].consumers;
    assert_eq!((consumers.len(), consumers[0].subtask), (1, SubtaskIndex(0)));
}

#[test]
fn too_few_slots_are_an_error() {
    let graph = fixtures::graph(2);
    let slots = [fixtures::slot("a", 1)];
    assert!(deployments(&plan(&graph, &slots), &|_, _, _| Ok(None)).is_err());
}
