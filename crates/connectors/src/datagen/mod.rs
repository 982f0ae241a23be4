//! x
use std::sync::Arc;
pub fn info()->model::connector::ConnectorInfo{unreachable!()}
pub fn source(_:&model::connector::SourceSpec)->Result<Arc<dyn model::source::Source>,model::connector::OptionError>{unreachable!()}
