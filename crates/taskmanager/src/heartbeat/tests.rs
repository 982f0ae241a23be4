//! What the liveness core decides, in its own time.

use super::*;

const REGISTERED: Event = Event::Registered { interval_ms: 1_000, timeout_ms: 5_000 };

#[test]
fn registration_backs_off_and_never_gives_up() {
    let mut liveness = Liveness::new();
    let mut now = 0;
    let mut pauses = Vec::new();
    for _ in 0..8 {
        assert_eq!(liveness.step(now), Step::Register);
        liveness.on_event(now, Event::RegistrationFailed);
        let Step::Sleep { until_ms } = liveness.step(now) else { panic!("no pause") };
        pauses.push(until_ms - now);
        now = until_ms;
    }
    assert_eq!(pauses, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
}

#[test]
fn answers_keep_it_alive() {
    let mut liveness = Liveness::new();
    liveness.on_event(0, REGISTERED);
    for beat in 1..100 {
        let now = beat * 1_000;
        assert_eq!(liveness.step(now - 1), Step::Sleep { until_ms: now });
        let Step::Heartbeat { deadline_ms } = liveness.step(now) else { panic!("no heartbeat") };
        assert_eq!(deadline_ms, now - 1_000 + 5_000);
        liveness.on_event(now, Event::Answered);
    }
}

#[test]
fn silence_ends_the_session_at_the_timeout_and_not_before() {
    let mut liveness = Liveness::new();
    liveness.on_event(0, REGISTERED);
    let mut now = 0;
    loop {
        match liveness.step(now) {
            Step::Sleep { until_ms } => now = until_ms,
            Step::Heartbeat { .. } => liveness.on_event(now, Event::Unanswered),
            Step::Abandon => break,
            Step::Register => panic!("registered anew with tasks still running"),
        }
    }
    assert_eq!(now, 5_000);
    assert_eq!(liveness.step(now), Step::Register);
}

#[test]
fn being_forgotten_ends_the_session_at_once() {
    let mut liveness = Liveness::new();
    liveness.on_event(0, REGISTERED);
    liveness.on_event(1_000, Event::Forgotten);
    assert_eq!(liveness.step(1_000), Step::Abandon);
    assert_eq!(liveness.step(1_000), Step::Register);
    liveness.on_event(1_001, REGISTERED);
    assert_eq!(liveness.step(1_002), Step::Sleep { until_ms: 2_001 });
}
