//! Every source and sink: filesystem, datagen, nexmark, print, blackhole, results. Only the binary
//! names this crate; the rest of the system sees `model::connector::Connectors`.

pub mod blackhole;
#[cfg(test)]
mod contract;
pub mod datagen;
pub mod filesystem;
pub mod nexmark;
mod options;
pub mod print;
pub mod results;

use std::sync::Arc;

use model::connector::{ConnectorInfo, Connectors, OptionError, SinkSpec, SourceSpec};
use model::sink::Sink;
use model::source::Source;

type MakeSource = fn(&SourceSpec) -> Result<Arc<dyn Source>, OptionError>;
type MakeSink = fn(&SinkSpec) -> Result<Arc<dyn Sink>, OptionError>;

/// The registry. Adding a connector is adding a line here.
const SOURCES: [(&str, MakeSource); 3] = [
    ("filesystem", filesystem::source),
    ("datagen", datagen::source),
    ("nexmark", nexmark::source),
];
const SINKS: [(&str, MakeSink); 4] = [
    ("filesystem", filesystem::sink),
    ("print", print::sink),
    ("blackhole", blackhole::sink),
    ("results", results::sink),
];

/// Every connector there is.
pub fn all() -> Arc<dyn Connectors> {
    Arc::new(Registry)
}

struct Registry;

impl Connectors for Registry {
    fn list(&self) -> Vec<ConnectorInfo> {
        vec![
            filesystem::source_info(),
            datagen::info(),
            nexmark::info(),
            filesystem::sink_info(),
            print::info(),
            blackhole::info(),
            results::info(),
        ]
    }

    fn source(&self, spec: &SourceSpec) -> Result<Arc<dyn Source>, OptionError> {
        let make = find("source", &spec.connector, &SOURCES)?;
        make(spec)
    }

    fn sink(&self, spec: &SinkSpec) -> Result<Arc<dyn Sink>, OptionError> {
        let make = find("sink", &spec.connector, &SINKS)?;
        make(spec)
    }
}

fn find<T: Copy>(role: &str, name: &str, table: &[(&str, T)]) -> Result<T, OptionError> {
    table.iter().find(|(known, _)| *known == name).map(|(_, make)| *make).ok_or_else(|| {
        let names: Vec<_> = table.iter().map(|(known, _)| *known).collect();
        let mut help = model::nearest::closest(name, names.iter().copied())
            .map_or_else(String::new, |n| format!("did you mean `{n}`? "));
        help.push_str(&format!("{role}s: {}", names.join(", ")));
        OptionError {
            path: vec!["connector".to_owned()],
            at_key: false,
            message: format!("there is no {role} connector `{name}`"),
            help: Some(help),
        }
    })
}

#[cfg(test)]
mod tests;
