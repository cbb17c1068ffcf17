//! Paths into JSON values, as Amazon States Language writes them: `$.logs[0].name`, `$$.Execution.Name`, `$.items[*]`.
//!
//! Names, indices and `[*]` are known. Filters, slices, unions and `..` are refused, so that each path has one meaning
//! in all interpreters.

use serde_json::{Map, Value};

use super::payload::Scope;

/// A path that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    text: String,
    is_of_context: bool,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Name(String),
    Index(usize),
    Every,
}

impl Path {
    /// Reads a path.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix('$') else {
            return Err(format!("expected a path that begins with $, found {text:?}"));
        };
        let (is_of_context, mut rest) = rest.strip_prefix('$').map_or((false, rest), |rest| (true, rest));
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = first_step(rest).map_err(|problem| format!("path {text:?}: {problem}"))?;
            steps.push(step);
            rest = after;
        }
        Ok(Self { text: text.to_owned(), is_of_context, steps })
    }

    /// Reads a path that names one place: no `[*]`.
    pub(super) fn parse_reference(text: &str) -> Result<Self, String> {
        let path = Self::parse(text)?;
        if path.steps.contains(&Step::Every) {
            return Err(format!("path {text:?}: expected names and indices only, because this field needs one value"));
        }
        Ok(path)
    }

    /// Reads a path that a state may write to.
    pub(super) fn parse_place(text: &str) -> Result<Self, String> {
        let path = Self::parse_reference(text)?;
        if path.is_of_context {
            return Err(format!("path {text:?}: the context cannot be written; name a place in the input"));
        }
        Ok(path)
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether the path reads the context object.
    pub(super) const fn is_of_context(&self) -> bool {
        self.is_of_context
    }

    /// Whether the path is in the context, at or below the place that `names` say.
    pub(super) fn is_in_context(&self, names: &[&str]) -> bool {
        let known = |(step, name): (&Step, &&str)| matches!(step, Step::Name(found) if found == name);
        self.is_of_context && self.steps.len() >= names.len() && self.steps.iter().zip(names).all(known)
    }

    /// Returns what the path names: an array if it has `[*]`; nothing if the place does not exist.
    pub(super) fn find(&self, scope: &Scope<'_>) -> Option<Value> {
        let root = if self.is_of_context { scope.context } else { scope.input };
        let mut found = vec![root];
        for step in &self.steps {
            found = found.into_iter().flat_map(|value| step.select(value)).collect();
        }
        if self.steps.contains(&Step::Every) {
            return Some(Value::Array(found.into_iter().cloned().collect()));
        }
        found.first().map(|value| (*value).clone())
    }

    /// Puts `new` at the place, and makes the objects on the way to it. Returns `false` if there is something else on
    /// the way, or an array that is too short.
    pub(super) fn put(&self, into: &mut Value, new: Value) -> bool {
        let mut place = into;
        for step in &self.steps {
            place = match step {
                Step::Name(name) => {
                    if place.is_null() {
                        *place = Value::Object(Map::new());
                    }
                    let Value::Object(object) = place else { return false };
                    object.entry(name.clone()).or_insert(Value::Null)
                }
                Step::Index(index) => {
                    let Some(place) = place.as_array_mut().and_then(|array| array.get_mut(*index)) else {
                        return false;
                    };
                    place
                }
                Step::Every => return false,
            };
        }
        *place = new;
        true
    }
}

impl Step {
    fn select<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match (self, value) {
            (Self::Name(name), Value::Object(object)) => object.get(name).into_iter().collect(),
            (Self::Index(index), Value::Array(array)) => array.get(*index).into_iter().collect(),
            (Self::Every, Value::Array(array)) => array.iter().collect(),
            (Self::Every, Value::Object(object)) => object.values().collect(),
            _ => Vec::new(),
        }
    }
}

/// Splits the first step from a path without its root.
fn first_step(rest: &str) -> Result<(Step, &str), String> {
    if let Some(rest) = rest.strip_prefix('.') {
        if rest.starts_with('.') {
            return Err("the operator .. is not supported; write each name".to_owned());
        }
        if let Some(rest) = rest.strip_prefix('*') {
            return Ok((Step::Every, rest));
        }
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let name = &rest[..end];
        let is_plain = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '-';
        if name.is_empty() || !name.chars().all(is_plain) {
            return Err(format!("expected a name of letters, digits, _ and - after the dot, found {name:?}"));
        }
        return Ok((Step::Name(name.to_owned()), &rest[end..]));
    }
    let Some(inner) = rest.strip_prefix('[') else {
        return Err(format!("expected . or [ at {rest:?}"));
    };
    if let Some(quote) = inner.chars().next().filter(|first| matches!(first, '\'' | '"')) {
        let inner = &inner[1..];
        let end = inner.find(quote).ok_or("a quote is not closed")?;
        let after = inner[end + 1..].strip_prefix(']').ok_or("expected ] after the quoted name")?;
        return Ok((Step::Name(inner[..end].to_owned()), after));
    }
    let end = inner.find(']').ok_or("a bracket is not closed")?;
    let (word, after) = (&inner[..end], &inner[end + 1..]);
    if word == "*" {
        return Ok((Step::Every, after));
    }
    if word.starts_with('?') || word.starts_with('(') {
        return Err("filters are not supported; choose with a Choice state".to_owned());
    }
    let index = word.parse();
    let index = index.map_err(|_| format!("expected an index from 0, a quoted name or *, found {word:?}"))?;
    Ok((Step::Index(index), after))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn find(path: &str) -> Option<Value> {
        let (input, context) = (json!({"a": {"b": [1, {"c d": 2}]}}), json!({"Map": {"Item": {"Index": 3}}}));
        Path::parse(path).unwrap().find(&Scope { input: &input, context: &context, seed: "" })
    }

    #[test]
    fn a_path_finds_one_value_and_with_a_star_many() {
        assert_eq!(find("$.a.b[0]"), Some(json!(1)));
        assert_eq!(find("$['a'].b[1]['c d']"), Some(json!(2)));
        assert_eq!(find("$.a.b[*]"), Some(json!([1, {"c d": 2}])));
        assert_eq!(find("$.a.x[*]"), Some(json!([])));
        assert_eq!(find("$$.Map.Item.Index"), Some(json!(3)));
        assert_eq!(find("$.a.x"), None);
    }

    #[test]
    fn what_is_not_supported_is_named() {
        for (path, word) in [("$..a", ".."), ("$.a[?(@.b)]", "filters"), ("$.a[0:2]", "0:2"), ("a", "begins with $")] {
            assert!(Path::parse(path).unwrap_err().contains(word), "{path}");
        }
        assert!(Path::parse_reference("$.a[*]").is_err());
        assert!(Path::parse_place("$$.Map").is_err());
    }

    #[test]
    fn objects_on_the_way_to_a_place_are_made_but_nothing_is_replaced() {
        let put = |path: &str, mut into: Value| Path::parse(path).unwrap().put(&mut into, json!(7)).then_some(into);
        assert_eq!(put("$.a.b", json!({"c": 1})), Some(json!({"a": {"b": 7}, "c": 1})));
        assert_eq!(put("$.a[1]", json!({"a": [0, 1]})), Some(json!({"a": [0, 7]})));
        assert_eq!(put("$", json!({"a": 1})), Some(json!(7)));
        assert_eq!(put("$.a.b", json!({"a": 1})), None);
        assert_eq!(put("$.a[2]", json!({"a": [0, 1]})), None);
    }
}
