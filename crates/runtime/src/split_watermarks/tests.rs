use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn w(ms: i64) -> Watermark {
    Watermark(ms)
}

#[test]
fn the_slowest_split_holds_the_watermark_until_it_ends() {
    let mut splits = SplitWatermarks::new(0);
    splits.add("a".into(), 0);
    splits.add("b".into(), 0);
    splits.rows(Some("a"), w(10), 0);
    assert_eq!(splits.combined(), Some(Watermark::MIN));
    splits.rows(Some("b"), w(7), 0);
    splits.rows(Some("a"), w(30), 0);
    assert_eq!(splits.combined(), Some(w(7)));
    splits.finish("b");
    assert_eq!(splits.combined(), Some(w(30)));
    splits.finish("a");
    assert_eq!(splits.combined(), None);
    // A new one starts from nothing; what was passed on does not fall (its user sees to it).
    splits.add("c".into(), 0);
    splits.rows(Some("c"), w(12), 0);
    assert_eq!(splits.combined(), Some(w(12)));
}

#[test]
fn a_reader_that_names_no_split_has_one_watermark() {
    let mut splits = SplitWatermarks::new(0);
    splits.add("a".into(), 0);
    splits.add("b".into(), 0);
    splits.rows(None, w(10), 0);
    splits.rows(None, w(4), 0);
    assert_eq!(splits.combined(), Some(w(10)));
}

#[test]
fn a_silent_split_holds_nothing_back_after_its_timeout() {
    let mut splits = SplitWatermarks::new(0);
    splits.add("a".into(), 0);
    splits.add("b".into(), 0);
    splits.rows(Some("a"), w(10), 5);
    assert_eq!(splits.next_idle_ms(100), Some(100));
    assert!(!splits.expire(100, 100));
    assert_eq!(splits.combined(), Some(w(10)));
    assert_eq!(splits.next_idle_ms(100), Some(105));
    // Held back for a while: that was no silence.
    splits.resume(104);
    assert!(!splits.expire(105, 100));
    assert!(splits.expire(204, 100));
    assert_eq!(splits.combined(), None);
    splits.rows(Some("b"), w(3), 300);
    assert_eq!(splits.combined(), Some(w(3)));
}

#[derive(Clone, Debug)]
enum Step {
    Add(u8),
    Finish(u8),
    Rows(u8, i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_u8..4).prop_map(Step::Add),
        (0_u8..4).prop_map(Step::Finish),
        (0_u8..4, -50_i64..50).prop_map(|(s, t)| Step::Rows(s, t)),
    ]
}

proptest! {
    /// Against the definition: the least, over the splits open now, of the greatest seen.
    #[test]
    fn equals_the_least_of_the_open_splits(steps in prop::collection::vec(step(), 0..60)) {
        let mut splits = SplitWatermarks::new(0);
        let mut open: BTreeMap<u8, i64> = BTreeMap::new();
        let mut named = false;
        for step in steps {
            match step {
                Step::Add(s) => {
                    splits.add(s.to_string(), 0);
                    open.entry(s).or_insert(i64::MIN);
                }
                Step::Finish(s) => {
                    splits.finish(&s.to_string());
                    open.remove(&s);
                }
                Step::Rows(s, t) => {
                    splits.rows(Some(&s.to_string()), w(t), 0);
                    named = true;
                    if let Some(greatest) = open.get_mut(&s) {
                        *greatest = t.max(*greatest);
                    }
                }
            }
            if named {
                prop_assert_eq!(splits.combined(), open.values().min().map(|ms| w(*ms)));
            }
        }
    }
}

#[test]
fn people_see_the_splits_that_are_furthest_behind() {
    let mut splits = SplitWatermarks::new(5);
    assert_eq!(splits.shown(), []);
    for n in 0..(MAX_SPLITS as i64 + 8) {
        splits.add(format!("s{n}"), 10);
    }
    for n in 1..(MAX_SPLITS as i64 + 8) {
        splits.rows(Some(&format!("s{n}")), w(1_000 - n), 20 + n);
    }
    let shown = splits.shown();
    assert_eq!(shown.len(), MAX_SPLITS);
    assert_eq!((shown[0].id.as_str(), shown[0].watermark), ("s0", None));
    assert_eq!(shown[0].last_record_at_ms, 10);
    let last = MAX_SPLITS as i64 + 7;
    assert_eq!((shown[1].id.clone(), shown[1].watermark), (format!("s{last}"), Some(1_000 - last)));
    assert!(shown.is_sorted_by_key(|s| s.watermark));
}
