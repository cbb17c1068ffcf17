//! Values that states make: templates, whose keys that end in `.$` are computed, and what fails in them.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::intrinsic::Call;
use super::path::Path;

/// Why a state, a branch or an execution failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The name of the error, such as `States.TaskFailed`.
    pub error: String,
    /// What happened, for people; that of a task is JSON.
    pub cause: String,
}

impl Failure {
    pub(super) fn new(error: impl Into<String>, cause: impl Into<String>) -> Self {
        Self { error: error.into(), cause: cause.into() }
    }
}

/// What paths are looked up in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) input: &'a Value,
    pub(super) context: &'a Value,
    /// Tells this evaluation from all others. UUIDs are made from it, so that a resumed run gives the same ones.
    pub(super) seed: &'a str,
}

impl Scope<'_> {
    /// Returns what a path names.
    pub(super) fn value_of(&self, path: &Path) -> Result<Value, Failure> {
        path.find(self).ok_or_else(|| {
            let place = if path.is_of_context() { "context" } else { "input" };
            Failure::new("States.Runtime", format!("the path {} does not exist in the {place}", path.text()))
        })
    }

    /// A UUID of version 4 for this evaluation.
    pub(super) fn uuid(&self) -> String {
        let digest = Sha256::digest(self.seed.as_bytes());
        let mut hex: Vec<char> =
            digest.iter().take(16).flat_map(|byte| format!("{byte:02x}").chars().collect::<Vec<_>>()).collect();
        hex[12] = '4';
        hex[16] = match hex[16].to_digit(16).unwrap_or(0) % 4 {
            0 => '8',
            1 => '9',
            2 => 'a',
            _ => 'b',
        };
        let part = |from: usize, to: usize| hex[from..to].iter().collect::<String>();
        [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
    }
}

/// A JSON value with computed parts.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Template {
    Literal(Value),
    Path(Path),
    Call(Call),
    Object(Vec<(String, Self)>),
    Array(Vec<Self>),
}

impl Template {
    /// Reads a template. `faults` gets each problem with the field that has it.
    pub(super) fn parse(value: &Value, faults: &mut Vec<(String, String)>) -> Self {
        Self::parse_at(value, "", faults)
    }

    fn parse_at(value: &Value, at: &str, faults: &mut Vec<(String, String)>) -> Self {
        match value {
            Value::Object(object) => {
                let mut fields = Vec::with_capacity(object.len());
                for (key, value) in object {
                    let place = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                    let Some(name) = key.strip_suffix(".$") else {
                        fields.push((key.clone(), Self::parse_at(value, &place, faults)));
                        continue;
                    };
                    if object.contains_key(name) {
                        faults.push((place, format!("expected either {name:?} or {key:?}, found both")));
                        continue;
                    }
                    match Self::parse_computed(value) {
                        Ok(template) => fields.push((name.to_owned(), template)),
                        Err(problem) => faults.push((place, problem)),
                    }
                }
                Self::Object(fields)
            }
            Value::Array(array) => {
                let element = |(index, value)| Self::parse_at(value, &format!("{at}[{index}]"), faults);
                Self::Array(array.iter().enumerate().map(element).collect())
            }
            value => Self::Literal(value.clone()),
        }
    }

    fn parse_computed(value: &Value) -> Result<Self, String> {
        match value.as_str() {
            Some(text) if text.starts_with('$') => Path::parse(text).map(Self::Path),
            Some(text) if text.starts_with("States.") => Call::parse(text).map(Self::Call),
            _ => Err(format!("expected a path or a call of States., found {value}")),
        }
    }

    /// All paths in the template.
    pub(super) fn paths(&self) -> Vec<&Path> {
        match self {
            Self::Literal(_) => Vec::new(),
            Self::Path(path) => vec![path],
            Self::Call(call) => call.paths(),
            Self::Object(fields) => fields.iter().flat_map(|(_, template)| template.paths()).collect(),
            Self::Array(elements) => elements.iter().flat_map(Self::paths).collect(),
        }
    }

    /// Computes the value.
    pub(super) fn value(&self, scope: &Scope<'_>) -> Result<Value, Failure> {
        self.value_at(scope, "")
    }

    /// `at` is the place in the template: two calls of `States.UUID` give two values.
    fn value_at(&self, scope: &Scope<'_>, at: &str) -> Result<Value, Failure> {
        Ok(match self {
            Self::Literal(value) => value.clone(),
            Self::Path(path) => scope.value_of(path)?,
            Self::Call(call) => call.value(&Scope { seed: &format!("{} {at}", scope.seed), ..*scope })?,
            Self::Object(fields) => {
                let mut object = Map::new();
                for (name, template) in fields {
                    object.insert(name.clone(), template.value_at(scope, &format!("{at}.{name}"))?);
                }
                Value::Object(object)
            }
            Self::Array(elements) => {
                let mut array = Vec::with_capacity(elements.len());
                for (index, template) in elements.iter().enumerate() {
                    array.push(template.value_at(scope, &format!("{at}[{index}]"))?);
                }
                Value::Array(array)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_with_a_dollar_are_computed_at_every_depth() {
        let mut faults = Vec::new();
        let template = json!({"a": 1, "b.$": "$.x", "c": [{"d.$": "States.MathAdd($.x, 1)"}], "e": {"f": "$.x"}});
        let template = Template::parse(&template, &mut faults);
        assert_eq!(faults, []);
        let scope = Scope { input: &json!({"x": 4}), context: &Value::Null, seed: "" };
        assert_eq!(template.value(&scope).unwrap(), json!({"a": 1, "b": 4, "c": [{"d": 5}], "e": {"f": "$.x"}}));
        let scope = Scope { input: &json!({}), ..scope };
        assert_eq!(template.value(&scope).unwrap_err().error, "States.Runtime");
    }

    #[test]
    fn faults_of_a_template_have_their_places() {
        let mut faults = Vec::new();
        Template::parse(&json!({"a": [{"b.$": 3}], "c": 1, "c.$": "$"}), &mut faults);
        let places: Vec<_> = faults.iter().map(|(place, _)| place.as_str()).collect();
        assert_eq!(places, ["a[0].b.$", "c.$"]);
    }

    #[test]
    fn two_uuids_of_one_state_differ() {
        let template = Template::parse(&json!({"a.$": "States.UUID()", "b.$": "States.UUID()"}), &mut Vec::new());
        let value = template.value(&Scope { input: &Value::Null, context: &Value::Null, seed: "1" }).unwrap();
        assert_ne!(value["a"], value["b"]);
    }
}
