//! Which environment variables of the job manager a job may read with `${env:NAME}`: those
//! that its operator named. Who may submit a job must not read the job manager's credentials.
//! Used by the dispatcher (planning) and the observer (webhooks).

use std::collections::BTreeMap;

/// Names that jobs may read; none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobEnvironment {
    names: Vec<String>,
}

impl JobEnvironment {
    /// `names` as they are spelt; other variables do not exist for jobs.
    pub fn of(names: impl IntoIterator<Item = String>) -> Self {
        Self { names: names.into_iter().collect() }
    }

    /// The value of `name`, if jobs may read it and it is set.
    pub fn value(&self, name: &str) -> Option<String> {
        self.names.iter().any(|n| n == name).then(|| std::env::var(name).ok()).flatten()
    }

    /// As [`Self::value`], but what the client sent along comes first.
    pub fn value_or_sent(&self, sent: &BTreeMap<String, String>, name: &str) -> Option<String> {
        sent.get(name).cloned().or_else(|| self.value(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_variables_exist_and_sent_ones_come_first() {
        let closed = JobEnvironment::default();
        assert!(std::env::var("PATH").is_ok());
        assert_eq!(closed.value("PATH"), None);
        let open = JobEnvironment::of(["PATH".to_owned()]);
        assert_eq!(open.value("PATH"), std::env::var("PATH").ok());
        assert_eq!(open.value("HOME"), None);
        let sent = BTreeMap::from([("PATH".to_owned(), "mine".to_owned())]);
        assert_eq!(open.value_or_sent(&sent, "PATH").as_deref(), Some("mine"));
        assert_eq!(closed.value_or_sent(&sent, "PATH").as_deref(), Some("mine"));
        assert_eq!(closed.value_or_sent(&sent, "HOME"), None);
    }
}
