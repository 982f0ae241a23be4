//! `memory://name/prefix`: one store per name, shared by the whole process and kept until it
//! ends. For tests: what one embedded process writes, another reads. Called by `lib.rs`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use model::{Error, Result};
use object_store::memory::InMemory;
use object_store::path::Path;

use crate::Opened;

static STORES: Mutex<BTreeMap<String, Arc<InMemory>>> = Mutex::new(BTreeMap::new());

/// `rest` is what follows `memory://`.
pub(crate) fn open(rest: &str) -> Result<Opened> {
    let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = Path::parse(prefix)
        .map_err(|e| Error::user(format!("`memory://{rest}` is not a storage URI")).caused_by(e))?;
    let mut stores = STORES.lock().unwrap_or_else(PoisonError::into_inner);
    let store = Arc::clone(stores.entry(name.to_owned()).or_default());
    let uri = format!("memory://{name}/{prefix}").trim_end_matches('/').to_owned();
    Ok(Opened { store, prefix, local_root: None, uri })
}
