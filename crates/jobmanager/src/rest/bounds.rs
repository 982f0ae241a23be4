//! Bounds of whole numbers in queries, as the OpenAPI document states them. Used by every
//! handler that takes one.

use model::Error;

use crate::rest::ApiError;

/// What JSON carries exactly.
pub const GREATEST: i64 = (1 << 53) - 1;

/// Holds `value`, if there is one, to at least `least` and at most [`GREATEST`].
///
/// # Errors
/// 400: it is not.
pub fn check(name: &str, value: Option<u64>, least: u64) -> Result<(), ApiError> {
    match value {
        Some(value) if value < least || value > GREATEST.unsigned_abs() => {
            let text = format!("`{name}` is {value}; it must be from {least} to {GREATEST}");
            Err(Error::user(text).into())
        }
        _ => Ok(()),
    }
}
