//! The registry as a whole.

use std::sync::Arc;

use model::arrow::datatypes::{DataType, Field, Schema};
use model::connector::{Role, SinkSpec, SourceSpec};
use serde_json::json;

use super::all;

#[test]
fn every_described_connector_can_be_made_or_says_why_not() {
    let connectors = all();
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
    for info in connectors.list() {
        assert_eq!(info.options["type"], "object", "{}", info.name);
        assert!(!info.summary.is_empty());
        let connector = info.name.to_owned();
        let options = json!({ "noSuchOption": 1 });
        let error = match info.role {
            Role::Source => connectors
                .source(&SourceSpec {
                    connector,
                    options,
                    declared_schema: Some(Arc::clone(&schema)),
                    projection: None,
                    pushdown: Default::default(),
                })
                .err(),
            Role::Sink => {
                connectors.sink(&SinkSpec { connector, options, schema: Arc::clone(&schema) }).err()
            }
        };
        let error = error.unwrap();
        assert_eq!(error.path, ["noSuchOption"], "{}", info.name);
        // Every option in the help is in the schema.
        let help = error.help.unwrap();
        let properties = info.options["properties"].as_object().unwrap();
        for property in properties.keys() {
            assert!(help.contains(property.as_str()), "{}: {property} not in {help}", info.name);
        }
    }
}

#[test]
fn an_unknown_connector_names_the_likely_one() {
    let spec = SourceSpec {
        connector: "filesytem".to_owned(),
        options: json!({}),
        declared_schema: None,
        projection: None,
        pushdown: Default::default(),
    };
    let error = all().source(&spec).err().unwrap();
    assert_eq!(error.message, "there is no source connector `filesytem`");
    assert!(error.help.unwrap().starts_with("did you mean `filesystem`?"));
}
