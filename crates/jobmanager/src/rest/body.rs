//! Bodies of requests are JSON objects: derived decoding alone would also take a list of the
//! fields' values. Used by every handler that takes a body.

use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// A `T` that was written as an object.
#[derive(Debug)]
pub struct Object<T>(pub T);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = Map::<String, Value>::deserialize(deserializer)?;
        serde_json::from_value(Value::Object(map)).map(Self).map_err(D::Error::custom)
    }
}
