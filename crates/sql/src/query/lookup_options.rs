//! Flink's options of a table that rows are looked up in. Here such a table is read whole, and
//! again every so often; a partial cache is one that may be as old as it says. Called by
//! `scan`; `options` lists the keys.

use planner::sql::SqlDiagnostic;

use super::create_table::{CreateTable, OptionDef};
use super::options::duration;
use super::script::error;
use super::translate::milliseconds;

/// `NONE`, `PARTIAL` or `FULL`.
pub(crate) const CACHE: &str = "lookup.cache";
pub(crate) const RELOAD: &str = "lookup.full-cache.periodic-reload.interval";
pub(crate) const STRATEGY: &str = "lookup.full-cache.reload-strategy";
pub(crate) const SCHEDULE: &str = "lookup.full-cache.periodic-reload.schedule-mode";
pub(crate) const EXPIRE_AFTER_WRITE: &str = "lookup.partial-cache.expire-after-write";
pub(crate) const EXPIRE_AFTER_ACCESS: &str = "lookup.partial-cache.expire-after-access";
pub(crate) const MAX_ROWS: &str = "lookup.partial-cache.max-rows";
pub(crate) const CACHE_MISSING: &str = "lookup.partial-cache.cache-missing-key";
pub(crate) const MAX_RETRIES: &str = "lookup.max-retries";

/// How often the table is read again; `None`: once. Refuses options that do not fit.
pub(crate) fn refresh_ms(table: &CreateTable) -> Result<Option<i64>, SqlDiagnostic> {
    let option = |key: &str| table.options.iter().find(|o| o.key == key);
    // `NONE` is Flink's default, and so means as much as nothing said.
    let cache = option(CACHE).map(|o| (o, o.value.trim().to_uppercase()));
    let cache = cache.filter(|(_, kind)| kind != "NONE");
    let partial = match &cache {
        None => option(EXPIRE_AFTER_WRITE).is_some() || option(MAX_ROWS).is_some(),
        Some((_, kind)) if kind == "FULL" => false,
        Some((_, kind)) if kind == "PARTIAL" => true,
        Some((at, _)) => return Err(refused(at, "'NONE', 'PARTIAL' or 'FULL'")),
    };
    for found in table.options.iter().filter(|o| o.key.starts_with("lookup.")) {
        let other = if partial { "lookup.full-cache." } else { "lookup.partial-cache." };
        if let Some((_, kind)) = cache.as_ref().filter(|_| found.key.starts_with(other)) {
            let message = format!("'{}' means nothing with 'lookup.cache' = '{kind}'", found.key);
            return Err(error("E0402", found.key_at.clone(), message, "remove one of them"));
        }
        check(found)?;
    }
    match option(if partial { EXPIRE_AFTER_WRITE } else { RELOAD }) {
        Some(every) => time(every).map(Some),
        None => Ok(None),
    }
}

fn check(option: &OptionDef) -> Result<(), SqlDiagnostic> {
    let value = option.value.trim();
    let one_of = |words: &[&str]| words.iter().any(|w| value.eq_ignore_ascii_case(w));
    match option.key.as_str() {
        RELOAD | EXPIRE_AFTER_WRITE | EXPIRE_AFTER_ACCESS => time(option).map(drop),
        MAX_ROWS | MAX_RETRIES if value.parse::<u64>().is_err() => {
            Err(refused(option, "a whole number"))
        }
        CACHE_MISSING if !one_of(&["true", "false"]) => Err(refused(option, "'true' or 'false'")),
        SCHEDULE if !one_of(&["FIXED_DELAY", "FIXED_RATE"]) => {
            Err(refused(option, "'FIXED_DELAY' or 'FIXED_RATE'"))
        }
        STRATEGY if !one_of(&["PERIODIC"]) => Err(refused(option, "'PERIODIC'")),
        _ => Ok(()),
    }
}

fn time(option: &OptionDef) -> Result<i64, SqlDiagnostic> {
    let ms = duration(&option.value).and_then(|d| milliseconds(&d));
    ms.filter(|ms| *ms > 0).ok_or_else(|| refused(option, "a duration, like '10 min'"))
}

fn refused(option: &OptionDef, wanted: &str) -> SqlDiagnostic {
    let message = format!("'{}' is '{}', but must be {wanted}", option.key, option.value);
    error("E0402", option.value_at.clone(), message, "")
}
