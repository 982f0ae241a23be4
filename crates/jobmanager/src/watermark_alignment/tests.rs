use model::SubtaskIndex;
use proptest::prelude::*;

use super::*;

fn task(subtask: u32) -> TaskKey {
    TaskKey { vertex: VertexId(1), subtask: SubtaskIndex(subtask) }
}

fn manager(n: u32) -> TaskManagerId {
    TaskManagerId(format!("tm-{n}"))
}

fn reports(list: &[(u32, Option<i64>)]) -> BTreeMap<TaskKey, Report> {
    list.iter().map(|(s, watermark)| (task(*s), Report { watermark: *watermark })).collect()
}

#[test]
fn only_other_processes_count() {
    let managers = [manager(0), manager(1)];
    let member =
        |s: u32, tm: usize, ended| Member { task: task(s), task_manager: &managers[tm], ended };
    let told = |members: &[Member<'_>], list: &[(u32, Option<i64>)]| {
        elsewhere(members.iter().copied(), &reports(list), &managers[0])
    };
    let members = [member(0, 0, false), member(1, 1, false), member(2, 1, false)];
    let all = [(0, Some(1)), (1, Some(20)), (2, Some(30))];
    assert_eq!(told(&members, &all), Elsewhere { least: Some(20), alone: false });
    // One that has said nothing has read nothing; an idle one does not count.
    let some = [(0, Some(1)), (1, Some(20))];
    assert_eq!(told(&members, &some).least, Some(i64::MIN));
    let idle = [(0, Some(1)), (1, None), (2, Some(30))];
    assert_eq!(told(&members, &idle).least, Some(30));
    // One that has finished does not count, whatever it said last.
    let ended = [member(0, 0, false), member(1, 1, true), member(2, 1, true)];
    assert_eq!(told(&ended, &some), Elsewhere { least: None, alone: false });
    assert_eq!(told(&members[..1], &all), Elsewhere { least: None, alone: true });
}

proptest! {
    /// Processes that hear of each other late, in any order, never all wait at once: the
    /// slowest reader of all is never told of a slower one.
    #[test]
    fn the_slowest_is_never_told_to_wait(
        watermarks in prop::collection::vec((0_i64..100, 0_u32..3), 1..8),
        stale in prop::collection::vec(0_i64..50, 8),
    ) {
        let managers: Vec<_> = (0..3).map(manager).collect();
        let members: Vec<_> = watermarks
            .iter()
            .enumerate()
            .map(|(s, (_, tm))| Member {
                task: task(s as u32),
                task_manager: &managers[*tm as usize],
                ended: false,
            })
            .collect();
        let now = watermarks.iter().enumerate().map(|(s, (w, _))| (s as u32, Some(*w)));
        let now: Vec<(u32, Option<i64>)> = now.collect();
        let (slowest, (least, tm)) =
            watermarks.iter().enumerate().min_by_key(|(_, (w, _))| *w).unwrap();
        let told = elsewhere(members.iter().copied(), &reports(&now), &managers[*tm as usize]);
        prop_assert!(told.least.is_none_or(|l| l >= *least), "{slowest} waits");
        // Old reports are lower, since watermarks rise: they hold back more, never less.
        let old: Vec<_> = now.iter().map(|(s, w)| (*s, w.map(|w| w - stale[*s as usize]))).collect();
        for here in &managers {
            let fresh = elsewhere(members.iter().copied(), &reports(&now), here);
            let late = elsewhere(members.iter().copied(), &reports(&old), here);
            prop_assert_eq!(fresh.alone, late.alone);
            prop_assert!(late.least <= fresh.least);
        }
    }
}
