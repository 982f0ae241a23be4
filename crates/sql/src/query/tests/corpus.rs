//! More of the corpus: clauses misused, doubtful statements, and mutations of all of it.

use super::{TABLES, golden, paragraphs, plan, shape};

const BAD: [&str; 2] =
    [include_str!("../../../testdata/bad.sql"), include_str!("../../../testdata/bad_clauses.sql")];

#[test]
fn misused_clauses_are_explained_where_they_stand() {
    let mut found = String::new();
    for statement in paragraphs(BAD[1]) {
        let said = shape(&format!("{TABLES}{statement}"));
        assert!(said.starts_with("E0"), "`{statement}` was taken:\n{said}");
        assert!(!said.contains("panicked"), "{statement}: {said}");
        found.push_str(&format!("{statement}\n{said}\n"));
    }
    golden("bad_clauses.txt", &found);
}

#[test]
fn the_corpus_has_150_bad_statements() {
    let count: usize = BAD.iter().map(|text| paragraphs(text).len()).sum();
    assert!(count >= 150, "{count}");
}

#[test]
fn state_that_grows_is_doubted_with_its_reason() {
    let mut found = String::new();
    for statement in paragraphs(include_str!("../../../testdata/doubts.sql")) {
        let text = format!("{TABLES}{statement}");
        let planned = plan(&text).unwrap_or_else(|e| panic!("{statement}: {e:?}"));
        found.push_str(&format!("{statement}\n"));
        for doubt in &planned.warnings {
            let at = text.get(doubt.span.clone()).unwrap_or("?");
            let help = doubt.help.as_deref().map(|h| format!(" | {h}")).unwrap_or_default();
            found.push_str(&format!("{} `{at}`: {}{help}\n", doubt.code, doubt.message));
        }
        found.push('\n');
    }
    golden("doubts.txt", &found);
}

/// A generator of numbers that needs no crate: xorshift.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end.max(1) as u64).unwrap()
    }
}

/// Words and signs, each with the blanks before it.
fn tokens(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let blanks = rest.len() - rest.trim_start().len();
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let body = &rest[blanks..];
        let first = body.chars().next().map_or(0, char::len_utf8);
        let length = body.find(|c| !word(c)).unwrap_or(body.len()).max(first);
        found.push(&rest[..blanks + length]);
        rest = &rest[blanks + length..];
    }
    found
}

/// What a slip of the hand, or of an editor, makes of a statement.
fn mutate(statement: &str, other: &str, numbers: &mut Numbers) -> String {
    let mut words: Vec<String> = tokens(statement).into_iter().map(str::to_owned).collect();
    let others = tokens(other);
    let odd = ["(", ")", "'", "`", "\"", ",", ";", ".", "*", "/*", "--", "''", "=>", "é", "\u{0}"];
    for _ in 0..=numbers.below(3) {
        if words.is_empty() {
            break;
        }
        let at = numbers.below(words.len());
        let to = numbers.below(words.len());
        match numbers.below(8) {
            0 => drop(words.remove(at)),
            1 => words.insert(at, words[to].clone()),
            2 => words.swap(at, to),
            3 => words.truncate(at),
            4 => words[at] = odd[numbers.below(odd.len())].to_owned(),
            5 => words.insert(at, format!(" {}", odd[numbers.below(odd.len())])),
            6 => words[at] = others[numbers.below(others.len())].to_owned(),
            _ => {
                let (from, end) = (numbers.below(others.len()), numbers.below(12));
                let piece = others[from..].iter().take(end).copied().collect::<String>();
                words.insert(at, piece);
            }
        }
    }
    words.concat()
}

/// No text makes the planner panic or hang. `WEIR_SQL_MUTATIONS` is how many texts (default
/// 600), `WEIR_SQL_SEED` which.
#[test]
fn mutated_statements_make_no_panic() {
    let number = |name: &str, or: u64| match std::env::var(name) {
        Ok(text) => text.parse().unwrap(),
        Err(_) => or,
    };
    let (seed, count) = (number("WEIR_SQL_SEED", 20_260_105), number("WEIR_SQL_MUTATIONS", 600));
    let good = include_str!("../../../testdata/shapes.sql");
    let doubts = include_str!("../../../testdata/doubts.sql");
    let all: Vec<&str> =
        BAD.iter().chain([&good, &doubts]).flat_map(|text| paragraphs(text)).collect();
    let mut numbers = Numbers(seed.max(1));
    let mut taken = 0;
    for round in 0..count {
        let statement = all[numbers.below(all.len())];
        let other = all[numbers.below(all.len())];
        let text = format!("{TABLES}{}", mutate(statement, other, &mut numbers));
        match plan(&text) {
            Ok(_) => taken += 1,
            Err(said) => {
                assert!(!said.is_empty(), "no diagnostic for {text}");
                for d in &said {
                    let whole = text.get(d.span.clone()).is_some();
                    assert!(whole, "seed {seed} round {round}: {:?} is not in {text}", d.span);
                    let panicked = d.message.contains("panicked");
                    assert!(!panicked, "seed {seed} round {round}: {}\n{text}", d.message);
                }
            }
        }
    }
    assert!(taken < count, "every mutated text was a good one");
}
