//! Regular expressions that need no automaton: literals, classes and choices around a literal
//! that every match contains, such as `(&|^)id=([^&]*)`. They are tried only where the literal
//! stands. Called by `pattern`, whose regular expressions say the same, slower.

use std::cell::Cell;

use memchr::memmem::Finder;
use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, Hir, HirKind, Look};

/// How many bytes a match may have before its literal.
const BEFORE: usize = 16;
/// Each choice multiplies the ways to try.
const CHOICES: usize = 3;

/// One part of a pattern; they follow each other.
enum Step {
    Literal(Box<[u8]>),
    Start,
    End,
    /// One character.
    One(Set),
    /// As many as there are. What may follow is not in the set, so giving some back never helps.
    Many {
        set: Set,
        least: usize,
    },
    /// The first that lets the rest match. Of literals, characters, starts and ends.
    Choice(Vec<Vec<Step>>),
    /// A group starts or ends here.
    Place(usize),
}

/// A set of characters.
struct Set {
    class: ClassUnicode,
    of_byte: Box<[Member; 256]>,
}

/// What a byte says about the character that it starts, or is a part of.
#[derive(Clone, Copy, PartialEq)]
enum Member {
    Yes,
    No,
    /// The whole character has to be looked at.
    Ask,
}

/// What was found in a text.
#[derive(Debug, PartialEq)]
pub(super) enum Outcome {
    Match,
    None,
    /// The text makes this way of searching slow: take the regular expression.
    GaveUp,
}

pub(super) struct Scan {
    steps: Vec<Step>,
    literal: Finder<'static>,
    /// Least and most bytes of a match before its literal.
    before: (usize, usize),
    /// Numbers that a match fills: where each group starts and ends, the whole first.
    pub(super) places: usize,
}

impl Scan {
    /// `None` when this pattern has parts that only an automaton follows. `groups` counts the
    /// whole match, too.
    pub(super) fn new(pattern: &str, groups: usize) -> Option<Self> {
        let mut steps = Vec::new();
        flatten(&regex_syntax::parse(pattern).ok()?, &mut steps)?;
        let choices = steps.iter().filter(|step| matches!(step, Step::Choice(_))).count();
        let places = steps.iter().filter(|step| matches!(step, Step::Place(_))).count();
        let certain = steps.iter().enumerate().all(|(i, step)| match step {
            Step::Many { set, .. } => set.ends_before(&steps[i + 1..]),
            _ => true,
        });
        if choices > CHOICES || places + 2 != 2 * groups || !certain {
            return None;
        }
        let (literal, before) = rarest(&steps)?;
        let literal = Finder::new(literal).into_owned();
        Some(Self { literal, before, places: 2 * groups, steps })
    }

    /// The first match in `text`; its groups go into `places`, all of which are set by a match.
    pub(super) fn find(&self, text: &str, places: &mut [usize]) -> Outcome {
        let allowance = Cell::new(4 * text.len() + 256);
        let mut from = 0;
        for at in self.occurrences(text.as_bytes()) {
            let Some(last) = at.checked_sub(self.before.0) else { continue };
            for start in from.max(at.saturating_sub(self.before.1))..=last {
                if !text.is_char_boundary(start) {
                    continue;
                }
                if let Some(end) = self.walk(0, text, start, places, &allowance) {
                    (places[0], places[1]) = (start, end);
                    return Outcome::Match;
                }
                if allowance.get() == 0 {
                    return Outcome::GaveUp;
                }
            }
            from = from.max(last + 1);
        }
        Outcome::None
    }

    /// Where the literal stands, also where it overlaps itself.
    fn occurrences<'t>(&self, text: &'t [u8]) -> impl Iterator<Item = usize> + use<'_, 't> {
        let mut next = 0;
        std::iter::from_fn(move || {
            let at = next + self.literal.find(text.get(next..)?)?;
            next = at + 1;
            Some(at)
        })
    }

    /// Where the match that starts at `at` with step `index` ends.
    fn walk(
        &self,
        index: usize,
        text: &str,
        mut at: usize,
        places: &mut [usize],
        allowance: &Cell<usize>,
    ) -> Option<usize> {
        for (i, step) in self.steps.iter().enumerate().skip(index) {
            match step {
                Step::Place(place) => places[*place] = at,
                Step::Many { set, least } => {
                    let end = set.run(text, at);
                    allowance.set(allowance.get().saturating_sub(end - at));
                    if end - at < *least {
                        return None;
                    }
                    at = end;
                }
                Step::Choice(ways) => {
                    return ways.iter().find_map(|way| {
                        let next = way.iter().try_fold(at, |at, step| step.take(text, at))?;
                        self.walk(i + 1, text, next, places, allowance)
                    });
                }
                step => at = step.take(text, at)?,
            }
        }
        Some(at)
    }
}

impl Step {
    /// Where this step ends when it starts at `at`.
    fn take(&self, text: &str, at: usize) -> Option<usize> {
        match self {
            Self::Literal(literal) => {
                text.as_bytes()[at..].starts_with(literal).then_some(at + literal.len())
            }
            Self::Start => (at == 0).then_some(at),
            Self::End => (at == text.len()).then_some(at),
            Self::One(set) => {
                let found = text[at..].chars().next()?;
                set.has(found).then_some(at + found.len_utf8())
            }
            Self::Many { .. } | Self::Choice(_) | Self::Place(_) => None,
        }
    }

    /// Least and most bytes; `None` when there is no most.
    fn width(&self) -> Option<(usize, usize)> {
        Some(match self {
            Self::Literal(literal) => (literal.len(), literal.len()),
            Self::Start | Self::End | Self::Place(_) => (0, 0),
            Self::One(_) => (1, 4),
            Self::Many { .. } => return None,
            Self::Choice(ways) => {
                let mut widths = ways.iter().map(|way| width(way));
                let first = widths.next()??;
                widths.try_fold(first, |(least, most), next| {
                    next.map(|(l, m)| (least.min(l), most.max(m)))
                })?
            }
        })
    }
}

fn width(steps: &[Step]) -> Option<(usize, usize)> {
    steps
        .iter()
        .try_fold((0, 0), |(least, most), step| step.width().map(|(l, m)| (least + l, most + m)))
}

/// The longest literal that all matches have soon after their start, and how soon.
fn rarest(steps: &[Step]) -> Option<(&[u8], (usize, usize))> {
    let mut best: Option<(&[u8], (usize, usize))> = None;
    for (i, step) in steps.iter().enumerate() {
        let Some(before) = width(&steps[..i]).filter(|(_, most)| *most <= BEFORE) else { break };
        if let Step::Literal(literal) = step
            && best.is_none_or(|(longest, _)| longest.len() < literal.len())
        {
            best = Some((literal, before));
        }
    }
    best
}

/// The steps of `hir`; `None` when it has a part that is none.
fn flatten(hir: &Hir, steps: &mut Vec<Step>) -> Option<()> {
    match hir.kind() {
        HirKind::Empty => {}
        HirKind::Literal(literal) => steps.push(Step::Literal(literal.0.clone())),
        HirKind::Class(Class::Unicode(class)) => steps.push(Step::One(Set::new(class.clone()))),
        HirKind::Look(Look::Start) => steps.push(Step::Start),
        HirKind::Look(Look::End) => steps.push(Step::End),
        HirKind::Repetition(repetition) => {
            match (repetition.min, repetition.max, repetition.greedy) {
                (least @ (0 | 1), None, true) => {
                    let set = Set::new(class_of(&repetition.sub)?);
                    steps.push(Step::Many { set, least: least as usize });
                }
                (0, Some(1), greedy) => {
                    let mut ways = vec![way(&repetition.sub)?, Vec::new()];
                    if !greedy {
                        ways.reverse();
                    }
                    steps.push(Step::Choice(ways));
                }
                _ => return None,
            }
        }
        HirKind::Capture(capture) => {
            let place = 2 * usize::try_from(capture.index).ok()?;
            steps.push(Step::Place(place));
            flatten(&capture.sub, steps)?;
            steps.push(Step::Place(place + 1));
        }
        HirKind::Concat(parts) => parts.iter().try_for_each(|part| flatten(part, steps))?,
        HirKind::Alternation(ways) => {
            steps.push(Step::Choice(ways.iter().map(way).collect::<Option<_>>()?));
        }
        HirKind::Class(Class::Bytes(_)) | HirKind::Look(_) => return None,
    }
    Some(())
}

/// One way of a choice: groups in it would have to be forgotten when another is taken.
fn way(hir: &Hir) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    flatten(hir, &mut steps)?;
    let nested = |step: &Step| matches!(step, Step::Many { .. } | Step::Choice(_) | Step::Place(_));
    (!steps.iter().any(nested)).then_some(steps)
}

/// The class that `hir` is, or its only character.
fn class_of(hir: &Hir) -> Option<ClassUnicode> {
    match hir.kind() {
        HirKind::Class(Class::Unicode(class)) => Some(class.clone()),
        HirKind::Literal(literal) => {
            let mut letters = std::str::from_utf8(&literal.0).ok()?.chars();
            let (only, None) = (letters.next()?, letters.next()) else { return None };
            Some(ClassUnicode::new([ClassUnicodeRange::new(only, only)]))
        }
        _ => None,
    }
}

impl Set {
    fn new(class: ClassUnicode) -> Self {
        let ranges = class.ranges();
        let all_others =
            ranges.last().is_some_and(|r| r.start() <= '\u{80}' && r.end() == char::MAX);
        let no_others = ranges.last().is_none_or(|r| r.end() < '\u{80}');
        let others = match (all_others, no_others) {
            (true, _) => Member::Yes,
            (_, true) => Member::No,
            _ => Member::Ask,
        };
        let mut of_byte = Box::new([others; 256]);
        for (byte, member) in (0..0x80_u8).zip(of_byte.iter_mut()) {
            let letter = char::from(byte);
            let found = ranges.iter().any(|r| r.start() <= letter && letter <= r.end());
            *member = if found { Member::Yes } else { Member::No };
        }
        Self { class, of_byte }
    }

    fn has(&self, letter: char) -> bool {
        match u8::try_from(letter) {
            Ok(byte) if byte < 0x80 => self.of_byte[usize::from(byte)] == Member::Yes,
            _ => {
                let ranges = self.class.ranges();
                let after = ranges.partition_point(|range| range.start() <= letter);
                after > 0 && letter <= ranges[after - 1].end()
            }
        }
    }

    /// Where the characters of the set that stand at `at` end.
    fn run(&self, text: &str, mut at: usize) -> usize {
        let bytes = text.as_bytes();
        while let Some(byte) = bytes.get(at) {
            match self.of_byte[usize::from(*byte)] {
                Member::Yes => at += 1,
                Member::No => break,
                Member::Ask => match text[at..].chars().next() {
                    Some(letter) if self.has(letter) => at += letter.len_utf8(),
                    _ => break,
                },
            }
        }
        at
    }

    fn is_disjoint(&self, other: &Self) -> bool {
        let mut both = self.class.clone();
        both.intersect(&other.class);
        both.ranges().is_empty()
    }

    /// Whether nothing of this set can be the start of what follows.
    fn ends_before(&self, rest: &[Step]) -> bool {
        for step in rest {
            match step {
                Step::Place(_) => {}
                Step::End => return true,
                Step::Start | Step::Choice(_) => return false,
                Step::One(set) => return self.is_disjoint(set),
                Step::Many { set, least } => {
                    if !self.is_disjoint(set) {
                        return false;
                    }
                    if *least > 0 {
                        return true;
                    }
                }
                Step::Literal(literal) => {
                    let first = std::str::from_utf8(literal).ok().and_then(|l| l.chars().next());
                    return first.is_some_and(|first| !self.has(first));
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::Regex;

    use super::{Outcome, Scan};

    /// The groups of the first match; `None` also where the scan gives up.
    fn scanned(scan: &Scan, text: &str) -> Option<Vec<String>> {
        let mut places = vec![0; scan.places];
        let found = scan.find(text, &mut places) == Outcome::Match;
        found.then(|| places.chunks(2).map(|p| text[p[0]..p[1]].to_owned()).collect())
    }

    #[test]
    fn patterns_around_a_literal_are_scanned_and_others_are_not() {
        let is_scanned = |pattern: &str| {
            Scan::new(pattern, Regex::new(pattern).unwrap().captures_len()).is_some()
        };
        for pattern in [
            "(&|^)channel_id=([^&]*)",
            "id",
            "https?://([^/]+)/",
            "^user-([0-9]+)$",
            "é=(\\w*)",
            "[?&]q=([^&#]*)",
            "(a)(b)",
        ] {
            assert!(is_scanned(pattern), "{pattern}");
        }
        for pattern in [
            "a.*b",
            "(a|b=)?x",
            "(?:ab)*c",
            "a(.*?)b",
            r"\ba",
            "[ab]*",
            "(?:a|(b))c",
            "a{2,3}",
            "(?m)^a",
            "x*a",
            "=[^&]*(&|$)",
        ] {
            assert!(!is_scanned(pattern), "{pattern}");
        }
    }

    #[test]
    fn literals_that_overlap_themselves_are_all_looked_at() {
        let scan = Scan::new("aa$", 1).unwrap();
        assert_eq!(scanned(&scan, "aaa"), Some(vec!["aa".to_owned()]));
        let scan = Scan::new("(=)a=a(&)", 3).unwrap();
        assert_eq!(
            scanned(&scan, "=a=a=a&").map(|groups| groups[0].clone()).as_deref(),
            Some("=a=a&")
        );
    }

    #[test]
    fn a_text_that_would_be_read_over_and_over_is_left_to_the_regular_expression() {
        let scan = Scan::new("a=([^&]*)&", 2).unwrap();
        let text = "a=".repeat(10_000);
        assert_eq!(scan.find(&text, &mut [0; 4]), Outcome::GaveUp);
        assert_eq!(scan.find("a=a=1&", &mut [0; 4]), Outcome::Match);
    }

    fn part() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "a",
            "aa",
            "a=a",
            "=",
            "b=",
            "é",
            "(&|^)",
            "(?:&|^)",
            "(?:a|é|)",
            "(?:ab|a)",
            "([^&]*)",
            "([^&]+)",
            "[^a=]*",
            "(a*)",
            "[b&]",
            r"(\w+)",
            r"\d*",
            ".",
            ".*",
            "(b?)",
            "b??",
            "$",
            "^",
            "(&?=)",
            "((a)=)",
        ])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]
        #[test]
        fn a_scan_finds_what_the_regular_expression_finds(
            parts in prop::collection::vec(part(), 1..6),
            texts in prop::collection::vec("[ab&=é1]{0,12}|(a=?){0,6}&?", 1..12),
        ) {
            let pattern = parts.concat();
            let regex = Regex::new(&pattern).unwrap();
            if let Some(scan) = Scan::new(&pattern, regex.captures_len()) {
                for text in &texts {
                    let expected = regex.captures(text).map(|found| {
                        found.iter().map(|g| g.unwrap().as_str().to_owned()).collect::<Vec<_>>()
                    });
                    prop_assert_eq!(scanned(&scan, text), expected, "{} in {}", pattern, text);
                }
            }
        }
    }
}
