//! From a manifest back to tasks.

use model::config::{CheckpointConfig, RestartStrategy, StateConfig};
use model::deployment::StateLocation;
use model::job_graph::{JOB_GRAPH_VERSION, JobGraph};
use model::key_group::{KeyGroupRange, range_of};
use model::{CheckpointId, VertexId};

use super::{JOB, handle, manifest};
use crate::{check_compatible, committables, restore_task, source_splits};

fn texts(groups: KeyGroupRange) -> Vec<String> {
    let uids = ["counts".to_owned(), "unknown".to_owned()];
    let restore = restore_task(&manifest(1, "t"), &uids, groups).unwrap();
    assert_eq!(restore.checkpoint, CheckpointId(1));
    assert!(!restore.operators.contains_key("unknown"));
    let handles = restore.operators.get("counts").into_iter().flatten();
    let text = |location: &StateLocation| match location {
        StateLocation::Inline { bytes } => String::from_utf8(bytes.to_vec()).unwrap(),
        StateLocation::Object { path } => path.clone(),
    };
    handles.map(|h| text(&h.location)).collect()
}

#[test]
fn state_follows_its_key_groups() {
    assert_eq!(texts(range_of(0, 128, 1)), ["left", "right"]);
    assert_eq!(texts(range_of(0, 128, 2)), ["left"]);
    assert_eq!(texts(range_of(1, 128, 2)), ["right"]);
    assert_eq!(texts(range_of(1, 128, 3)), ["left", "right"]);
}

#[test]
fn a_chain_keeps_its_order() {
    let mut manifest = manifest(9, "t");
    let counts = manifest.vertices.get_mut(&VertexId(2)).unwrap();
    // Neither in the order of their names nor of their checkpoints.
    let chain =
        |subtask: u32| [7, 10, 8].map(|id| format!("{JOB}/shared/{id}-2-{subtask}-1.state"));
    for (subtask, groups) in [(0, (0, 64)), (1, (64, 128))] {
        let objects =
            chain(subtask).map(|path| handle(StateLocation::Object { path }, b"", groups));
        let snapshot = &mut counts.subtasks[subtask as usize];
        snapshot.operators.insert("counts".to_owned(), objects.to_vec());
    }
    let restored = |groups| {
        let restore = restore_task(&manifest, &["counts".to_owned()], groups).unwrap();
        let paths = restore.operators["counts"].iter().map(|h| match &h.location {
            StateLocation::Object { path } => path.clone(),
            StateLocation::Inline { .. } => panic!("inline"),
        });
        paths.collect::<Vec<_>>()
    };
    assert_eq!(restored(range_of(1, 128, 2)), chain(1));
    assert_eq!(restored(KeyGroupRange::all(128)), [chain(0), chain(1)].concat());
}

#[test]
fn splits_and_committables_belong_to_their_operators() {
    let manifest = manifest(1, "t");
    let ids: Vec<_> = source_splits(&manifest, "flights").into_iter().map(|s| s.id).collect();
    assert_eq!(ids, ["a.csv:0"]);
    assert!(source_splits(&manifest, "counts").is_empty());
    assert_eq!(committables(&manifest), [("out".to_owned(), vec!["part-0".into()])]);
}

#[test]
fn unknown_formats_are_refused() {
    let mut manifest = manifest(1, "t");
    for vertex in manifest.vertices.values_mut() {
        for handle in vertex.subtasks.iter_mut().flat_map(|s| s.operators.values_mut()).flatten() {
            handle.format = 99;
        }
    }
    let error = restore_task(&manifest, &["counts".to_owned()], KeyGroupRange::all(128));
    assert!(error.unwrap_err().message().contains("format 99"));
}

#[test]
fn a_job_that_lacks_an_operator_is_refused_unless_asked() {
    let mut graph = JobGraph {
        version: JOB_GRAPH_VERSION,
        name: "other".to_owned(),
        max_parallelism: 128,
        vertices: Vec::new(),
        edges: Vec::new(),
        checkpoint: CheckpointConfig::default(),
        restart: RestartStrategy::default(),
        state: StateConfig::default(),
        job_file: String::new(),
        origin: Default::default(),
        slo: Default::default(),
    };
    let error = check_compatible(&manifest(1, "t"), &graph, false).unwrap_err();
    assert!(error.message().contains("`counts`, `flights`"), "{error}");
    check_compatible(&manifest(1, "t"), &graph, true).unwrap();
    graph.max_parallelism = 64;
    let error = check_compatible(&manifest(1, "t"), &graph, true).unwrap_err();
    assert!(error.message().contains("set maxParallelism: 128"), "{error}");
}
