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

/// Nonsense that looks like numbers, or that texts are cut at.
fn scratch(text: &str, numbers: &mut Numbers) -> String {
    let odd = ['\'', '(', '9', 'e', '.', '-', '\u{fffd}', '😀', '\\', '\n', '%', '\u{0}', '{', '$'];
    let mut all: Vec<char> = text.chars().collect();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(all.len() + 1);
        match numbers.below(4) {
            0 if at < all.len() => drop(all.remove(at)),
            1 if at < all.len() => all[at] = odd[numbers.below(odd.len())],
            2 => all.splice(at..at, "99999999999999999999".chars()).for_each(drop),
            _ => all.insert(at, odd[numbers.below(odd.len())]),
        }
    }
    all.into_iter().collect()
}

fn number(name: &str, or: u64) -> u64 {
    std::env::var(name).map_or(or, |text| text.parse().unwrap())
}

/// What every mutated text starts from: the corpora, and a query for each scalar function.
fn seeds() -> Vec<String> {
    let good = include_str!("../../../testdata/shapes.sql");
    let doubts = include_str!("../../../testdata/doubts.sql");
    let patterns = include_str!("../../../testdata/match_recognize.sql");
    let corpora = BAD.iter().chain([&good, &doubts, &patterns]).flat_map(|text| paragraphs(text));
    let calls = examples().map(|e| format!("INSERT INTO out SELECT auction, {e} FROM bid"));
    corpora.map(str::to_owned).chain(calls).collect()
}

fn examples() -> impl Iterator<Item = &'static str> {
    crate::reference::GROUPS.iter().flat_map(|(_, group)| group.iter()).filter_map(|(_, here)| {
        match here {
            crate::reference::Here::Is(example) => Some(*example),
            _ => None,
        }
    })
}

/// No text makes the planner panic or hang. `WEIR_SQL_MUTATIONS` is how many texts (default
/// 2000), `WEIR_SQL_SEED` which.
#[test]
fn mutated_statements_make_no_panic() {
    let (seed, count) = (number("WEIR_SQL_SEED", 20_260_105), number("WEIR_SQL_MUTATIONS", 2_000));
    let all = seeds();
    let mut numbers = Numbers(seed.max(1));
    let mut taken = 0;
    for round in 0..count {
        let statement = &all[numbers.below(all.len())];
        let other = &all[numbers.below(all.len())];
        let text = match round % 4 {
            0 => scratch(statement, &mut numbers),
            _ => mutate(statement, other, &mut numbers),
        };
        let explain = if round % 7 == 0 { "EXPLAIN ESTIMATED_COST " } else { "" };
        let text = format!("{TABLES}{explain}{text}");
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

/// The same of expressions, as job files have them: compiled, and evaluated over a row.
#[test]
fn mutated_expressions_make_no_panic() {
    use arrow::array::{Int64Array, RecordBatch, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};

    let (seed, count) = (number("WEIR_SQL_SEED", 7), number("WEIR_SQL_MUTATIONS", 4_000));
    let all: Vec<&str> = examples().collect();
    let fields = vec![
        Field::new("auction", DataType::Int64, true),
        Field::new("channel", DataType::Utf8, true),
    ];
    let schema = std::sync::Arc::new(Schema::new(fields));
    let numbers_of = Int64Array::from(vec![Some(-1), None, Some(i64::MAX)]);
    let texts = StringArray::from(vec![Some("é%"), Some("2026-01-01"), None]);
    let columns: Vec<arrow::array::ArrayRef> =
        vec![std::sync::Arc::new(numbers_of), std::sync::Arc::new(texts)];
    let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
    let expressions = crate::expressions();
    let mut numbers = Numbers(seed.max(1));
    let mut taken = 0;
    for round in 0..count {
        let (one, other) = (all[numbers.below(all.len())], all[numbers.below(all.len())]);
        let mut text = match round % 2 {
            0 => scratch(one, &mut numbers),
            _ => mutate(one, other, &mut numbers),
        };
        if numbers.below(3) == 0 {
            let column = ["auction", "channel"][numbers.below(2)];
            text = text.replacen(|c: char| c.is_ascii_digit(), column, 1);
        }
        match expressions.compile(&text, &schema) {
            // A value that cannot be computed is an error, too.
            Ok(compiled) => {
                taken += u64::from(compiled.evaluate(&batch).is_ok());
            }
            Err(said) => {
                let whole = said.span.as_ref().is_none_or(|at| text.get(at.clone()).is_some());
                assert!(whole, "seed {seed} round {round}: {:?} is not in {text}", said.span);
            }
        }
    }
    assert!((1..count).contains(&taken), "{taken}");
}

#[test]
fn deep_nesting_is_refused_or_planned() {
    for (open, inner, close) in [
        ("(", "1", ")"),
        ("ABS(", "1", ")"),
        ("CASE WHEN TRUE THEN ", "1", " END"),
        ("ARRAY[", "1", "]"),
        ("NOT ", "TRUE", ""),
        ("- ", "1", ""),
        ("(SELECT ", "1", ")"),
        // A mistake at the bottom is not looked for in every way there is.
        ("ARRAY[", "1 1", "]"),
        ("CAST(", "1 1", " AS INT)"),
        ("COALESCE(1, ", "1 1", ")"),
        ("(1, ", ")", ")"),
        ("1 + ", "1", ""),
    ] {
        // A chain is a good query; naming its columns takes the planner long.
        let deepest = if open == "1 + " { 200 } else { 3_000 };
        for depth in [50, deepest] {
            let expr = format!("{}{inner}{}", open.repeat(depth), close.repeat(depth));
            let text = format!("{TABLES}INSERT INTO out SELECT auction, {expr} FROM bid");
            if let Err(said) = plan(&text) {
                assert!(!said[0].message.contains("panicked"), "{open}: {}", said[0].message);
            }
            let schema = arrow::datatypes::Schema::empty();
            // Refused or compiled, but soon.
            drop(crate::expressions().compile(&expr, &std::sync::Arc::new(schema)));
        }
    }
}
