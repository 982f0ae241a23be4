use proptest::prelude::*;

use super::*;

fn w(ms: i64) -> Watermark {
    Watermark(ms)
}

#[test]
fn is_the_least_of_the_active_channels_and_never_falls() {
    let mut combiner = WatermarkCombiner::new(2);
    assert_eq!(combiner.on_watermark(0, w(10)), None);
    assert_eq!(combiner.on_watermark(1, w(5)), Some(Combined::Watermark(w(5))));
    assert_eq!(combiner.on_watermark(1, w(4)), None);
    assert_eq!(combiner.on_idle(1), Some(Combined::Watermark(w(10))));
    assert_eq!(combiner.on_idle(0), Some(Combined::Idle));
    assert_eq!(combiner.on_idle(0), None);
    // Channel 1 comes back behind what was told already: the watermark stands.
    assert_eq!(combiner.on_rows(1), Some(Combined::Watermark(w(10))));
    assert_eq!(combiner.on_watermark(1, w(7)), None);
    assert_eq!(combiner.on_watermark(1, w(12)), Some(Combined::Watermark(w(12))));
}

#[test]
fn an_ended_channel_holds_nothing_back() {
    let mut combiner = WatermarkCombiner::new(2);
    assert_eq!(combiner.on_watermark(0, w(3)), None);
    assert_eq!(combiner.on_end(1), Some(Combined::Watermark(w(3))));
    assert_eq!(combiner.on_end(0), None);
    assert_eq!(combiner.current(), w(3));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Watermark(i64),
    Rows,
    Idle,
    End,
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0_i64..40).prop_map(Step::Watermark),
        2 => Just(Step::Rows),
        2 => Just(Step::Idle),
        1 => Just(Step::End),
    ]
}

/// What the channel's history comes to: its watermark, and whether it counts.
fn replay(history: &[Step]) -> (i64, Status) {
    let greatest = history.iter().filter_map(|s| match s {
        Step::Watermark(ms) => Some(*ms),
        _ => None,
    });
    let status = match history.last() {
        Some(Step::Idle) => Status::Idle,
        Some(Step::End) => Status::Ended,
        _ => Status::Active,
    };
    (greatest.max().unwrap_or(i64::MIN), status)
}

proptest! {
    #[test]
    fn agrees_with_a_replay_of_the_whole_history(
        channels in 1_usize..5,
        script in prop::collection::vec((0_usize..4, steps()), 0..60),
    ) {
        let mut combiner = WatermarkCombiner::new(channels);
        let mut histories: Vec<Vec<Step>> = vec![Vec::new(); channels];
        let mut greatest = i64::MIN;
        let mut told_idle = false;
        let mut told = i64::MIN;
        for (channel, step) in script {
            let channel = channel % channels;
            if matches!(histories[channel].last(), Some(Step::End)) {
                continue;
            }
            histories[channel].push(step);
            let combined = match step {
                Step::Watermark(ms) => combiner.on_watermark(channel, w(ms)),
                Step::Rows => combiner.on_rows(channel),
                Step::Idle => combiner.on_idle(channel),
                Step::End => combiner.on_end(channel),
            };
            let states: Vec<_> = histories.iter().map(|h| replay(h)).collect();
            let active = states.iter().filter(|s| s.1 == Status::Active).map(|s| s.0).min();
            greatest = greatest.max(active.unwrap_or(i64::MIN));
            prop_assert_eq!(combiner.current(), w(greatest));
            let all_idle = active.is_none() && states.iter().any(|s| s.1 == Status::Idle);
            match combined {
                Some(Combined::Watermark(now)) => {
                    prop_assert!(now.0 > told || (told_idle && now.0 == told));
                    told = now.0;
                    told_idle = false;
                }
                Some(Combined::Idle) => {
                    prop_assert!(all_idle && !told_idle);
                    told_idle = true;
                }
                None => {
                    prop_assert_eq!(told, greatest);
                    prop_assert!(!all_idle || told_idle);
                    // Back from idleness, with nothing to tell yet.
                    told_idle &= all_idle || active.is_none();
                }
            }
        }
    }
}
