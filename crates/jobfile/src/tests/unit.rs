use proptest::prelude::*;

use super::{plan, testdata};

#[test]
fn diagnostics_are_json_too() {
    let diagnostics = plan("apiVersion: weir.dev/v1\nkind: Job\n").unwrap_err();
    let json = diagnostics.to_json();
    assert_eq!(json["file"], "job.yaml");
    let kind = json["diagnostics"].as_array().unwrap().iter().find(|d| d["line"] == 2).unwrap();
    assert_eq!((kind["code"].as_str(), kind["column"].as_u64()), (Some("E0107"), Some(7)));
    assert_eq!(kind["length"], 3);
}

#[test]
fn huge_deep_and_aliased_files_are_refused_quickly() {
    let deep = format!("a: {}", "[".repeat(100_000));
    assert!(plan(&deep).is_err());
    let deep = (0..5000).map(|n| format!("{}a:\n", " ".repeat(n))).collect::<String>();
    assert_eq!(plan(&deep).unwrap_err().items[0].code, "E0102");
    let large = "a: b\n".repeat(1 << 18);
    assert_eq!(plan(&large).unwrap_err().items[0].code, "E0102");
    let bomb = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n";
    assert_eq!(plan(bomb).unwrap_err().items[0].code, "E0102");
}

#[test]
fn many_nodes_in_a_row_are_fine() {
    let mut text = String::from(
        "apiVersion: weir.dev/v1\nkind: StreamJob\nmetadata: { name: long }\nspec:\n  sources:\n    n0: { connector: numbers }\n  transforms:\n",
    );
    for n in 1..300 {
        text.push_str(&format!(
            "    n{n}: {{ type: filter, inputs: [n{}], where: v > {n} }}\n",
            n - 1
        ));
    }
    text.push_str("  sinks:\n    out: { connector: print, inputs: [n299] }\n");
    let graph = plan(&text).map_err(|d| d.to_string()).unwrap().graph;
    assert_eq!((graph.vertices.len(), graph.operators().count()), (1, 301));
}

fn good() -> String {
    std::fs::read_to_string(testdata("plans/flights.yaml")).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Any damage to a good file gives a plan or diagnostics within the file.
    #[test]
    fn damaged_files_never_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8, any::<prop::sample::Index>()), 1..8)
    ) {
        const SYMBOLS: &[char] = &[
            ' ', '\n', '\t', ':', '-', '[', ']', '{', '}', '"', '\'', '*', '&', '!', '#', '|', '>', '%',
            '@', '`', ',', '$', '\\', '0', 'a', 'é', '\u{feff}', '\0',
        ];
        let mut text: Vec<char> = good().chars().collect();
        for (at, kind, symbol) in edits {
            let at = at.index(text.len());
            match kind {
                0 => { text.remove(at); }
                1 => text[at] = SYMBOLS[symbol.index(SYMBOLS.len())],
                2 => text.insert(at, SYMBOLS[symbol.index(SYMBOLS.len())]),
                _ => {
                    let end = (at + symbol.index(40)).min(text.len() - 1);
                    text.drain(at..end);
                }
            }
        }
        let text: String = text.into_iter().collect();
        if let Err(diagnostics) = plan(&text) {
            prop_assert!(!diagnostics.items.is_empty());
            let lines: Vec<&str> = text.split('\n').collect();
            for item in &diagnostics.items {
                prop_assert!(item.line >= 1 && item.line <= lines.len(), "{item:?}");
                let width = lines[item.line - 1].chars().count();
                prop_assert!(item.column >= 1 && item.column <= width + 1, "{item:?}");
                prop_assert!(item.length >= 1);
            }
            prop_assert!(!diagnostics.to_string().is_empty());
        }
    }

    #[test]
    fn any_text_never_panics(text in "[ \\n\\ta-c:{}\\[\\],'\"|>*&!#?-]{0,60}") {
        let _ = plan(&text);
    }
}
