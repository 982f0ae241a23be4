//! Breaches begin once and end once.

use proptest::prelude::*;

use super::*;

fn core(config: &SloConfig) -> SloCore {
    SloCore::new(config)
}

fn fresh(ms: i64) -> Facts {
    Facts { freshness_ms: Some(ms), ..Facts::default() }
}

#[test]
fn a_breach_fires_once_and_clears_once() {
    let mut slo = core(&SloConfig { freshness_ms: Some(10_000), ..Default::default() });
    assert!(slo.on_tick(0, &fresh(10_000)).is_empty(), "at the limit is within it");
    let fired = slo.on_tick(1_000, &fresh(43_000));
    let notice = Notice {
        slo: SloKind::Freshness,
        limit: "10s".into(),
        value: "43s".into(),
        since_ms: 1_000,
    };
    assert_eq!(fired, [SloAction::Fire(notice)]);
    assert!(slo.on_tick(2_000, &fresh(90_000)).is_empty());
    assert!(slo.on_tick(3_000, &fresh(1)).is_empty(), "it may flutter");
    assert!(slo.on_tick(4_000, &fresh(90_000)).is_empty(), "it did");
    assert!(slo.on_tick(5_000, &fresh(1)).is_empty());
    let cleared = slo.on_tick(10_000, &fresh(1));
    assert!(matches!(&cleared[..], [SloAction::Clear(n)] if n.since_ms == 1_000), "{cleared:?}");
    assert!(slo.on_tick(20_000, &fresh(1)).is_empty());
}

#[test]
fn what_is_not_known_changes_nothing() {
    let mut slo = core(&SloConfig { silence_ms: Some(1_000), ..Default::default() });
    let silent = Facts { silence_ms: Some(5_000), ..Facts::default() };
    assert_eq!(slo.on_tick(0, &silent).len(), 1);
    assert!(slo.on_tick(60_000, &Facts::default()).is_empty(), "it restarts: still broken");
    let status = &slo.statuses(|_| WebhookState::None)[0];
    assert_eq!((status.breached, status.since_ms, &status.value), (true, Some(0), &None));
    let ended = Facts { ended_well: true, ..Facts::default() };
    assert!(matches!(&slo.on_tick(70_000, &ended)[..], [SloAction::Clear(_)]));
    assert!(slo.on_tick(71_000, &ended).is_empty());
}

#[test]
fn rates_count_within_their_time() {
    let rate = SloRate { count: 3, per_ms: 3_600_000 };
    let mut slo = core(&SloConfig { restart_rate: Some(rate), ..Default::default() });
    let restarts = |n| Facts { restarts: n, ..Facts::default() };
    assert!(slo.on_tick(0, &restarts(3)).is_empty());
    let fired = slo.on_tick(60_000, &restarts(4));
    assert!(matches!(&fired[..], [SloAction::Fire(n)] if n.value == "4/1h" && n.limit == "3/1h"));
    assert!(slo.on_tick(3_590_000, &restarts(4)).is_empty());
    slo.on_tick(3_700_000, &restarts(4));
    assert_eq!(slo.on_tick(3_800_000, &restarts(4)).len(), 1, "the old ones are forgotten");
}

#[test]
fn times_read_as_people_write_them() {
    for (ms, exact, shown) in [
        (500, "500ms", "500ms"),
        (43_000, "43s", "43s"),
        (90_000, "90s", "1m 30s"),
        (3_600_000, "1h", "1h"),
        (93_600_000, "26h", "1d 2h"),
    ] {
        assert_eq!((exact_ms(ms).as_str(), show_ms(ms).as_str()), (exact, shown));
    }
}

#[test]
fn a_window_keeps_few_entries() {
    let mut window = RateWindow::new(86_400_000);
    for second in 0..200_000 {
        window.add(second * 1000, 1);
    }
    assert!(window.buckets.len() < 300, "{}", window.buckets.len());
    let within = window.within(200_000_000);
    assert!((86_000..=86_800).contains(&within), "{within}");
}

proptest! {
    #[test]
    fn fire_and_clear_take_turns(
        looks in prop::collection::vec((prop::option::of(0_i64..20_000), 1_i64..4_000, any::<bool>()), 1..200)
    ) {
        let mut slo = core(&SloConfig { freshness_ms: Some(10_000), ..Default::default() });
        let (mut now_ms, mut broken, mut last_bad) = (0, false, None);
        for (freshness_ms, pause, _) in looks {
            now_ms += pause;
            let actions = slo.on_tick(now_ms, &Facts { freshness_ms, ..Facts::default() });
            let bad = freshness_ms.map(|ms| ms > 10_000);
            if bad == Some(true) {
                last_bad = Some(now_ms);
            }
            for action in actions {
                match action {
                    SloAction::Fire(_) => {
                        prop_assert!(!broken && bad == Some(true));
                        broken = true;
                    }
                    SloAction::Clear(_) => {
                        prop_assert!(broken && bad == Some(false));
                        prop_assert!(now_ms - last_bad.unwrap() >= CLEAR_AFTER_MS);
                        broken = false;
                    }
                }
            }
            prop_assert_eq!(slo.breached().len(), usize::from(broken));
            if bad == Some(true) {
                prop_assert!(broken, "a breach is told at once");
            }
        }
    }
}
