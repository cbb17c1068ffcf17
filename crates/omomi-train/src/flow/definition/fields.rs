//! Reads the fields of an object, and notes faults with their places.

use serde_json::{Map, Value};

use super::{Fault, Filter, Number};
use crate::flow::path::Path;
use crate::flow::payload::Template;

/// The fields of one object.
pub(super) struct Fields<'a> {
    object: &'a Map<String, Value>,
    place: String,
}

impl<'a> Fields<'a> {
    /// Returns nothing, and notes a fault, if the value is not an object.
    pub(super) fn of(value: &'a Value, place: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        let object = value.as_object();
        if object.is_none() {
            let place = if place.is_empty() { "the file" } else { place };
            faults.push(Fault {
                place: place.to_owned(),
                problem: format!("expected an object, found {}", short(value)),
            });
        }
        Some(Self { object: object?, place: place.to_owned() })
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'a String> {
        self.object.keys()
    }

    pub(super) fn fault(&self, field: &str, problem: impl Into<String>, faults: &mut Vec<Fault>) {
        let place = match (self.place.as_str(), field) {
            (place, "") => place.to_owned(),
            ("", field) => field.to_owned(),
            (place, field) => format!("{place}.{field}"),
        };
        faults.push(Fault { place, problem: problem.into() });
    }

    /// Notes each field that is not among `known`.
    pub(super) fn only(&self, known: &[&[&str]], what: &str, faults: &mut Vec<Fault>) {
        for name in self.names().filter(|name| !known.iter().any(|known| known.contains(&name.as_str()))) {
            let instead = match name.as_str() {
                "Arguments" | "Assign" | "Output" | "Condition" | "Items" => "; write the flow with JSONPath",
                "QueryLanguage" => "; the language is JSONPath",
                "HeartbeatSeconds" | "HeartbeatSecondsPath" => "; a container sends no heartbeats: use TimeoutSeconds",
                "Iterator" => "; it is called ItemProcessor now",
                "ItemReader"
                | "ItemBatcher"
                | "ResultWriter"
                | "Label"
                | "ToleratedFailureCount"
                | "ToleratedFailurePercentage"
                | "ToleratedFailureCountPath"
                | "ToleratedFailurePercentagePath" => "; it belongs to distributed maps: use an inline Map",
                "Parameters" if what == "Map" => "; it is called ItemSelector now",
                _ => "",
            };
            self.fault(name, format!("{what} does not support this field{instead}"), faults);
        }
    }

    pub(super) fn text(&self, name: &str, faults: &mut Vec<Fault>) -> Option<String> {
        let value = self.get(name)?;
        let text = value.as_str().map(str::to_owned);
        if text.is_none() {
            self.fault(name, format!("expected a text, found {}", short(value)), faults);
        }
        text
    }

    pub(super) fn whole(&self, name: &str, (least, most): (u64, u64), faults: &mut Vec<Fault>) -> Option<u64> {
        let value = self.get(name)?;
        let number = value.as_u64().filter(|number| (least..=most).contains(number));
        if number.is_none() {
            let problem = format!("expected a whole number from {least} to {most}, found {}", short(value));
            self.fault(name, problem, faults);
        }
        number
    }

    /// A path of any form, `null`, or the root if the field is absent.
    pub(super) fn filter(&self, name: &str, faults: &mut Vec<Fault>) -> Filter {
        self.filter_by(name, Path::parse, faults)
    }

    /// The place that a state writes to, `null`, or the root if the field is absent.
    pub(super) fn place_of_result(&self, name: &str, faults: &mut Vec<Fault>) -> Filter {
        self.filter_by(name, Path::parse_place, faults)
    }

    fn filter_by(&self, name: &str, parse: fn(&str) -> Result<Path, String>, faults: &mut Vec<Fault>) -> Filter {
        if self.get(name) == Some(&Value::Null) {
            return Filter::Null;
        }
        Filter::Path(self.parsed(name, parse, faults).unwrap_or_else(root))
    }

    /// A path to one value.
    pub(super) fn reference(&self, name: &str, faults: &mut Vec<Fault>) -> Option<Path> {
        self.parsed(name, Path::parse_reference, faults)
    }

    fn parsed<T>(&self, name: &str, parse: fn(&str) -> Result<T, String>, faults: &mut Vec<Fault>) -> Option<T> {
        let text = self.text(name, faults)?;
        parse(&text).map_err(|problem| self.fault(name, problem, faults)).ok()
    }

    /// A number, written as such or as the path of one.
    pub(super) fn number(&self, name: &str, range: (u64, u64), faults: &mut Vec<Fault>) -> Option<Number> {
        let path_name = format!("{name}Path");
        if self.get(name).is_some() && self.get(&path_name).is_some() {
            self.fault(name, format!("expected either {name} or {path_name}, found both"), faults);
        }
        let fixed = self.whole(name, range, faults).map(Number::Fixed);
        fixed.or_else(|| self.reference(&path_name, faults).map(Number::Path))
    }

    pub(super) fn template(&self, name: &str, faults: &mut Vec<Fault>) -> Option<Template> {
        let value = self.get(name)?;
        if !value.is_object() {
            self.fault(name, format!("expected an object, found {}", short(value)), faults);
        }
        let mut found = Vec::new();
        let template = Template::parse(value, &mut found);
        for (place, problem) in found {
            self.fault(&format!("{name}.{place}"), problem, faults);
        }
        Some(template)
    }

    /// The elements of a list; none, and a fault, if it is not one.
    pub(super) fn list(&self, name: &str, faults: &mut Vec<Fault>) -> &'a [Value] {
        match self.get(name) {
            None => &[],
            Some(Value::Array(list)) => list,
            Some(value) => {
                self.fault(name, format!("expected a list, found {}", short(value)), faults);
                &[]
            }
        }
    }
}

/// The path of a whole value.
pub(super) fn root() -> Path {
    // The root is a path.
    Path::parse("$").unwrap_or_else(|_| unreachable!())
}

/// The first letters of a value, for messages.
pub(super) fn short(value: &Value) -> String {
    const LEN: usize = 60;
    let text = value.to_string();
    if text.chars().count() <= LEN { text } else { text.chars().take(LEN).chain(['…']).collect() }
}
