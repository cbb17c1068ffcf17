//! How logs are read, as JSON: states and weight files keep it beside the canonical contract.

use serde_json::{Map, Value, json};

use super::reading::{FieldReading, NumberFormat, Reading};
use super::validate::validate;
use super::{Contract, ContractFaults, Fault};

impl Contract {
    /// Returns how logs are read, as JSON: the keys of `[reading]`, plus a table `field` with the keys of each field by
    /// name. `None` if the contract says nothing about it.
    #[must_use]
    pub fn reading_json(&self) -> Option<String> {
        let Reading { label_column, clicked, not_clicked, time_unit, missing, number_format, lists, fields } =
            &self.reading;
        let mut object = Map::new();
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                object.insert(key.to_owned(), value);
            }
        };
        put("label_column", label_column.as_ref().map(|column| json!(column)));
        put("clicked", (!clicked.is_empty()).then(|| json!(clicked)));
        put("not_clicked", (!not_clicked.is_empty()).then(|| json!(not_clicked)));
        put("time_unit", time_unit.map(|unit| json!(unit.word())));
        put("missing", missing.as_ref().map(|texts| json!(texts)));
        put("number_format", (*number_format != NumberFormat::Plain).then(|| json!(number_format.word())));
        put("lists", lists.map(|form| json!(form.word())));
        let by_field: Map<String, Value> = self
            .fields
            .iter()
            .zip(fields)
            .filter(|(_, reading)| **reading != FieldReading::default())
            .map(|(field, reading)| (field.name.clone(), Value::Object(reading.to_json())))
            .collect();
        put("field", (!by_field.is_empty()).then_some(Value::Object(by_field)));
        (!object.is_empty()).then(|| Value::Object(object).to_string())
    }

    /// Returns this contract with its logs read as `reading` says, in the form of
    /// [`reading_json`](Self::reading_json). Keys of fields that the contract does not have are ignored.
    ///
    /// # Errors
    ///
    /// Returns all faults of `reading` together.
    pub fn with_reading_json(&self, reading: &str) -> Result<Self, ContractFaults> {
        let fault = |error: serde_json::Error| {
            let message = format!("expected a JSON object: {error}");
            ContractFaults(vec![Fault { line: None, place: "reading".to_owned(), message }])
        };
        let mut object: Map<String, Value> = serde_json::from_str(reading).map_err(fault)?;
        let mut root: Value = serde_json::from_str(&self.canonical_json()).map_err(fault)?;
        let by_field = object.remove("field");
        for field in root["field"].as_array_mut().into_iter().flatten() {
            let keys = field["name"].as_str().and_then(|name| by_field.as_ref()?.get(name)?.as_object());
            if let (Some(keys), Some(field)) = (keys.cloned(), field.as_object_mut()) {
                for key in ["column", "normalize", "missing", "may_be_empty"] {
                    field.extend(keys.get(key).map(|value| (key.to_owned(), value.clone())));
                }
            }
        }
        root["reading"] = Value::Object(object);
        validate(&root, &|_| None).map_err(ContractFaults)
    }
}

impl FieldReading {
    fn to_json(&self) -> Map<String, Value> {
        let Self { column, nfc, missing, may_be_empty } = self;
        let mut object = Map::new();
        object.extend(column.as_ref().map(|column| ("column".to_owned(), json!(column))));
        object.extend(nfc.then(|| ("normalize".to_owned(), json!("nfc"))));
        object.extend(missing.as_ref().map(|texts| ("missing".to_owned(), json!(texts))));
        object.extend(may_be_empty.then(|| ("may_be_empty".to_owned(), json!(true))));
        object
    }
}
