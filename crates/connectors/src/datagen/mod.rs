//! The datagen source: rows made from the row number and a seed alone, so that any reader
//! makes the same row again. Known only to the registry in `lib.rs`.

mod generator;
mod options;
mod reader;
mod splits;

use std::sync::Arc;

use model::Result;
use model::arrow::datatypes::SchemaRef;
use model::connector::{ConnectorInfo, OptionError, SourceSpec};
use model::source::{ReaderContext, Source, SourceReader, SplitEnumerator};

use self::options::DatagenOptions;
use self::reader::DatagenReader;
use self::splits::DatagenEnumerator;

/// Describes the source.
pub fn info() -> ConnectorInfo {
    options::info()
}

/// Checks the options. No I/O.
pub fn source(spec: &SourceSpec) -> Result<Arc<dyn Source>, OptionError> {
    let declared = crate::options::declared_schema(spec)?;
    let projected = crate::options::project(&declared, spec.projection.as_deref())?;
    let options = DatagenOptions::parse(&spec.options, &declared, &projected)?;
    Ok(Arc::new(DatagenSource { options, projected }))
}

struct DatagenSource {
    options: DatagenOptions,
    projected: SchemaRef,
}

impl Source for DatagenSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.projected)
    }

    fn is_bounded(&self) -> bool {
        self.options.rows.is_some()
    }

    fn max_rows(&self) -> Option<u64> {
        self.options.rows
    }

    fn enumerator(
        &self,
        parallelism: u32,
        restored: Option<&[u8]>,
    ) -> Result<Box<dyn SplitEnumerator>> {
        let count = self.options.splits.unwrap_or(parallelism.max(1));
        Ok(Box::new(DatagenEnumerator::new(count, parallelism, restored)?))
    }

    fn reader(&self, context: ReaderContext) -> Result<Box<dyn SourceReader>> {
        let schema = Arc::clone(&self.projected);
        Ok(Box::new(DatagenReader::new(self.options.clone(), schema, context.clock)))
    }
}

#[cfg(test)]
mod tests;
