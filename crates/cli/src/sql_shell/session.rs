//! What the statements of a session have left behind, as the script that would do it again.
//! Every statement is planned behind that script, so a session means what a file of the
//! same statements means. Called by `mod`.

use std::collections::BTreeMap;

/// Definitions and settings of one session.
#[derive(Clone, Debug, Default)]
pub struct Session {
    /// In the order they were made; each ends without its semicolon.
    definitions: Vec<Definition>,
    settings: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
struct Definition {
    /// Of the object; empty for what has none.
    name: String,
    text: String,
}

impl Session {
    /// Keeps a CREATE, or forgets what a DROP names.
    pub fn define(&mut self, name: &str, text: &str) {
        let drops = text.trim_start().get(..4).is_some_and(|w| w.eq_ignore_ascii_case("drop"));
        if drops {
            self.definitions.retain(|d| d.name != name);
        } else {
            let (name, text) = (name.to_owned(), text.trim().to_owned());
            self.definitions.push(Definition { name, text });
        }
    }

    /// The statement that made `name`.
    pub fn definition(&self, name: &str) -> Option<&str> {
        self.definitions.iter().rev().find(|d| d.name == name).map(|d| d.text.as_str())
    }

    /// Names of what was created, in the order they were.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.definitions.iter().map(|d| d.name.as_str()).filter(|n| !n.is_empty())
    }

    pub fn set(&mut self, key: &str, value: &str) {
        self.settings.insert(key.to_owned(), value.to_owned());
    }

    /// Forgets one setting, or all.
    pub fn reset(&mut self, key: Option<&str>) {
        match key {
            Some(key) => drop(self.settings.remove(key)),
            None => self.settings.clear(),
        }
    }

    pub fn settings(&self) -> impl Iterator<Item = (&str, &str)> {
        self.settings.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    pub fn setting(&self, key: &str) -> Option<&str> {
        self.settings.get(key).map(String::as_str)
    }

    /// The script; ends with a line end unless it is empty.
    pub fn script(&self) -> String {
        let mut out = String::new();
        for (key, value) in &self.settings {
            out.push_str(&format!("{};\n", set_statement(key, value)));
        }
        for definition in &self.definitions {
            out.push_str(&definition.text);
            // On a line of its own: the text may end with a comment.
            out.push_str("\n;\n");
        }
        out
    }
}

/// `SET 'key' = 'value'`.
pub fn set_statement(key: &str, value: &str) -> String {
    format!("SET '{}' = '{}'", key.replace('\'', "''"), value.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_a_script() {
        let mut session = Session::default();
        session.set("pipeline.name", "it's");
        session.define("t", " CREATE TABLE t (a INT) -- rows");
        session.define("v", "CREATE VIEW v AS SELECT a FROM t");
        let expected = "SET 'pipeline.name' = 'it''s';\nCREATE TABLE t (a INT) -- rows\n;\n\
                        CREATE VIEW v AS SELECT a FROM t\n;\n";
        assert_eq!(session.script(), expected);
        session.define("v", "drop view v");
        session.reset(None);
        assert_eq!(session.script(), "CREATE TABLE t (a INT) -- rows\n;\n");
        assert_eq!(session.definition("v"), None);
    }
}
