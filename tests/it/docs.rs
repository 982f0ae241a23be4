//! The documents against the thing itself: every `streamctl` command with its flags, every
//! metric, every value of the chart, every make target and every link that they name exists.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cluster::{repository, run};
use crate::helm::{chart, matrix, objects, tool};

fn markdown(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            markdown(&path, found);
        } else if path.extension().is_some_and(|e| e == "md") {
            found.push(path);
        }
    }
}

/// Name (from the repository's root) and text of each document.
fn documents() -> Vec<(String, String)> {
    let root = repository();
    let mut paths = vec![root.join("README.md"), root.join("CONTRIBUTING.md")];
    markdown(&root.join("docs"), &mut paths);
    markdown(&root.join("examples"), &mut paths);
    let read = |path: PathBuf| {
        let name = path.strip_prefix(&root).unwrap().display().to_string();
        (name, std::fs::read_to_string(&path).unwrap())
    };
    let found: Vec<_> = paths.into_iter().map(read).collect();
    assert!(found.len() > 30, "only {} documents", found.len());
    found
}

/// What a document shows as code: lines of its shell blocks, and spans in its text.
fn code(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut fence = None;
    let mut line_so_far = String::new();
    for line in text.lines() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            fence = if fence.is_some() { None } else { Some(language.trim().to_owned()) };
            continue;
        }
        match fence.as_deref() {
            None => {
                let spans = line.split('`').skip(1).step_by(2);
                found.extend(spans.map(str::to_owned));
            }
            Some("sh") => {
                let line = line.split(" #").next().unwrap_or_default().trim();
                match line.strip_suffix('\\') {
                    Some(part) => line_so_far.push_str(part),
                    None => found.push(std::mem::take(&mut line_so_far) + line),
                }
            }
            Some(_) => {}
        }
    }
    found
}

/// Words after `streamctl` in a line of code, up to where another command begins.
fn commands(line: &str) -> Vec<Vec<&str>> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let image_name = at > 0 && words[at - 1] == "-t";
        if *word == "streamctl" || (word.ends_with("/streamctl") && !image_name) {
            let rest = words[at + 1..].iter();
            found.push(rest.take_while(|w| !["|", ">", "&&", ";"].contains(w)).copied().collect());
        }
    }
    found
}

/// Answers of `--help`, each asked once.
#[derive(Default)]
struct Help(BTreeMap<Vec<String>, String>);

impl Help {
    fn of(&mut self, path: &[String]) -> String {
        let ask = || {
            let mut args: Vec<&str> = path.iter().map(String::as_str).collect();
            args.push("--help");
            let (code, out, err) = run(&args, &[]);
            assert_eq!(code, 0, "{path:?}: {err}");
            out
        };
        self.0.entry(path.to_vec()).or_insert_with(ask).clone()
    }

    /// Names below `Commands:`.
    fn below(&mut self, path: &[String]) -> BTreeSet<String> {
        let help = self.of(path);
        let lines = help.lines().skip_while(|l| *l != "Commands:").skip(1);
        let names = lines.take_while(|l| !l.is_empty()).filter_map(|l| l.split_whitespace().next());
        names.map(str::to_owned).collect()
    }

    /// What is wrong with the words after `streamctl`.
    fn mistake(&mut self, words: &[&str], path: Vec<String>) -> Option<String> {
        let below = self.below(&path);
        let (first, rest) = words.split_first()?;
        if !below.is_empty() && !first.starts_with('-') && *first != "..." {
            // `run|submit`: each of them.
            return first.split('|').find_map(|name| {
                if !below.contains(name) {
                    return Some(format!("there is no `{name}` in {path:?}"));
                }
                self.mistake(rest, [path.clone(), vec![name.to_owned()]].concat())
            });
        }
        let help = self.of(&path);
        let has = |flag: &str| {
            let mut words = help.split(|c: char| c.is_whitespace() || ",[]=".contains(c));
            words.any(|word| word == flag)
        };
        let flags = words.iter().filter(|w| w.starts_with('-') && w.len() > 1);
        let mut names = flags.map(|w| w.split('=').next().unwrap());
        names.find(|name| !has(name)).map(|name| format!("{path:?} has no flag {name}"))
    }
}

#[test]
fn every_command_in_the_documents_exists() {
    let mut help = Help::default();
    let (mut checked, mut wrong) = (0, Vec::new());
    for (name, text) in documents() {
        for line in code(&text) {
            for words in commands(&line) {
                checked += usize::from(!words.is_empty());
                if let Some(mistake) = help.mistake(&words, Vec::new()) {
                    wrong.push(format!("{name}: `{line}`: {mistake}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(checked > 60, "only {checked} commands");
}

/// What `helm install` tells, with every set of values.
#[test]
fn the_notes_of_the_chart_name_commands_that_exist() {
    let mut help = Help::default();
    for (name, values) in matrix() {
        let (chart, values) = (chart().display().to_string(), values.display().to_string());
        let args = ["install", "weir", &chart, "-n", "streams", "--dry-run=client", "-f", &values];
        let (ok, out, err) = tool("helm", &args, "");
        assert!(ok, "{name}: {err}");
        let notes = out.split_once("\nNOTES:\n").unwrap_or_else(|| panic!("{name}: {out}")).1;
        assert!(notes.contains("helm test weir"), "{name}: {notes}");
        let lines = notes.lines().flat_map(commands);
        let mistakes: Vec<_> = lines.filter_map(|w| help.mistake(&w, Vec::new())).collect();
        assert!(mistakes.is_empty(), "{name}: {mistakes:?}");
    }
}

#[test]
fn a_mistake_in_a_command_would_be_seen() {
    let mut help = Help::default();
    for wrong in
        ["streamctl frobnicate", "streamctl get things", "streamctl submit x.yaml --form URI"]
    {
        let words = &commands(wrong)[0];
        assert!(help.mistake(words, Vec::new()).is_some(), "{wrong}");
    }
    assert!(help.mistake(&["get", "jobs", "-o", "json"], Vec::new()).is_none());
}

#[test]
fn the_configuration_page_has_every_setting_of_every_role() {
    let page = repository().join("docs/operations/configuration.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut checked = 0;
    for role in [&["jobmanager"][..], &["taskmanager"], &["get", "jobs"]] {
        let args = [role, &["--help"]].concat();
        let (_, help, _) = run(&args, &[]);
        for line in help.lines().filter(|l| l.contains("[env: ")) {
            let flag = line.split_whitespace().find(|w| w.starts_with("--")).unwrap();
            let variable = line.split_once("[env: ").unwrap().1.split('=').next().unwrap();
            let row = format!("| `{flag}` | `{variable}` |");
            assert!(page.contains(&row), "docs/operations/configuration.md lacks {row}");
            checked += 1;
        }
    }
    assert!(checked > 25, "only {checked} settings");
}

/// Words of an expression or a sentence that look like metrics of ours.
fn metrics(text: &str) -> impl Iterator<Item = &str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(move |c: char| !is_word(c));
    words.filter(|w| w.starts_with("weir_") || w.starts_with("flink_"))
}

#[test]
fn every_metric_in_the_documents_exists() {
    // Held equal to the catalog by a test of the crate telemetry.
    let list = repository().join("docs/operations/metrics.md");
    let list = std::fs::read_to_string(list).unwrap();
    let rows = list.lines().filter_map(|l| l.strip_prefix("| `")?.split('`').next());
    let known: BTreeSet<&str> = rows.collect();
    assert!(known.len() > 60, "only {} metrics", known.len());
    let mut checked = 0;
    for (name, text) in documents() {
        // Designs are of their time.
        if name.starts_with("docs/design/") {
            continue;
        }
        for metric in metrics(&text) {
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|s| metric.strip_suffix(s));
            let family = metric.ends_with('_') && known.iter().any(|k| k.starts_with(metric));
            let there = known.contains(metric) || base.is_some_and(|b| known.contains(b));
            assert!(there || family, "{name}: there is no metric {metric}");
            checked += 1;
        }
    }
    assert!(checked > 60, "only {checked} metrics");
}

/// A value of the chart: `a.b.c`, whatever stands behind a `=`.
fn chart_value(span: &str, values: &Value) -> Option<Vec<String>> {
    let path = span.split('=').next().unwrap();
    let names: Vec<String> = path.split('.').map(str::to_owned).collect();
    let plain = path.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
    let known = values.get(&names[0]).is_some_and(Value::is_object);
    (plain && known && names.len() > 1 && names[1] != "md").then_some(names)
}

#[test]
fn every_value_of_the_chart_in_the_documents_exists() {
    let text = std::fs::read_to_string(chart().join("values.yaml")).unwrap();
    let values = &objects(&text)[0];
    let mut checked = 0;
    for (name, text) in documents() {
        if !name.starts_with("docs/operations/") {
            continue;
        }
        for line in code(&text) {
            let words = line.split_whitespace().collect::<Vec<_>>();
            let set = words.windows(2).filter(|w| w[0] == "--set").map(|w| w[1]);
            for names in set.chain([line.as_str()]).filter_map(|w| chart_value(w, values)) {
                let mut place = values;
                for part in &names {
                    // Below an open mapping anything may stand.
                    if place.as_object().is_some_and(serde_json::Map::is_empty) {
                        break;
                    }
                    place = &place[part];
                }
                assert!(!place.is_null() || names[1] == "pathStyle", "{name}: {line}");
                checked += 1;
            }
        }
    }
    assert!(checked > 15, "only {checked} values");
}

#[test]
fn every_make_target_in_the_documents_exists() {
    let makefile = std::fs::read_to_string(repository().join("Makefile")).unwrap();
    let mut checked = 0;
    for (name, text) in documents() {
        for line in code(&text).iter().filter(|l| l.starts_with("make ")) {
            let words = line.split_whitespace().skip(1);
            for target in words.filter(|w| !w.contains(['=', '/', '-'])) {
                let rule = format!("\n{target}:");
                assert!(makefile.contains(&rule), "{name}: `{line}`: no target {target}");
                checked += 1;
            }
        }
    }
    assert!(checked > 5, "only {checked} targets");
}

/// Anchors that a page's headings make.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter_map(|l| l.strip_prefix('#'));
    headings
        .map(|heading| {
            let title = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

#[test]
fn every_link_in_the_documents_leads_somewhere() {
    let mut checked = 0;
    for (name, text) in documents() {
        let folder = repository().join(&name).parent().unwrap().to_path_buf();
        for part in text.split("](").skip(1) {
            let target = part.split(')').next().unwrap();
            if target.contains("://") || target.contains(char::is_whitespace) {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if path.is_empty() { repository().join(&name) } else { folder.join(path) };
            assert!(file.exists(), "{name}: ({target}) leads nowhere");
            if !anchor.is_empty() {
                let there = anchors(&std::fs::read_to_string(&file).unwrap());
                assert!(there.contains(anchor), "{name}: ({target}): {there:?}");
            }
            checked += 1;
        }
    }
    assert!(checked > 50, "only {checked} links");
}

/// Places of the repository that a document names as code.
#[test]
fn every_path_in_the_documents_exists() {
    const ROOMS: [&str; 9] = [
        "crates/",
        "proto/",
        "tests/",
        "docs/",
        "deploy/",
        "scripts/",
        "examples/",
        "bench/",
        "webui/",
    ];
    let mut checked = 0;
    for (name, text) in documents() {
        for span in code(&text) {
            let plain = span.chars().all(|c| c.is_ascii_alphanumeric() || "/-_.".contains(c));
            if plain && ROOMS.iter().any(|room| span.starts_with(room)) {
                assert!(repository().join(&span).exists(), "{name}: there is no `{span}`");
                checked += 1;
            }
        }
    }
    assert!(checked > 100, "only {checked} paths");
}
