//! Reads JSON that anyone may have written, in memory and time that are known beforehand. A parser of general trees
//! takes 30 times the length of the text and more, so a file of a few megabytes could take gigabytes.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde_core::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::printable::quoted;

/// What a text may contain.
#[derive(Debug, Clone, Copy)]
pub struct JsonLimits<'a> {
    /// Most levels of lists and objects inside each other.
    pub max_depth: usize,
    /// Most values: each list, object, text, number, true, false and null counts once.
    pub max_values: usize,
    /// Most objects. In a tree, an object takes 20 times the memory of another value.
    pub max_objects: usize,
    /// Longest text or key, in bytes.
    pub max_text_len_bytes: usize,
    /// The keys that may occur, at any level. Reading stops at another one. `None`: any key.
    pub known_keys: Option<&'a [&'a str]>,
    /// Most items of the list of a key, and their name. A list that no entry names is only limited by `max_values`.
    pub max_items: &'a [(&'a str, usize, &'a str)],
}

/// Why a text was not read.
#[derive(Debug)]
pub enum JsonProblem {
    /// It is not JSON.
    NotJson(serde_json::Error),
    /// It exceeds a limit. Says what was expected and found.
    Limit(String),
}

impl fmt::Display for JsonProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson(error) => formatter.write_str(&quoted(&error.to_string())),
            Self::Limit(problem) => formatter.write_str(problem),
        }
    }
}

/// Reads a text into a tree. Takes memory in proportion to [`JsonLimits::max_values`] and to the lengths of the texts.
///
/// # Errors
///
/// Returns the first problem.
pub fn read(bytes: &[u8], limits: &JsonLimits<'_>) -> Result<Value, JsonProblem> {
    run(bytes, limits, true)
}

/// Checks that a text is JSON of one object within the limits. Keeps nothing of it.
///
/// # Errors
///
/// Returns the first problem.
pub fn check(bytes: &[u8], limits: &JsonLimits<'_>) -> Result<(), JsonProblem> {
    run(bytes, limits, false).map(drop)
}

fn run(bytes: &[u8], limits: &JsonLimits<'_>, keep: bool) -> Result<Value, JsonProblem> {
    let (value_count, object_count) = (Cell::new(0), Cell::new(0));
    let context = Context { limits, keep, value_count, object_count, problem: RefCell::new(None) };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let outcome = Seed { context: &context, depth: 0, key: "" }.deserialize(&mut deserializer);
    let outcome = outcome.and_then(|value| deserializer.end().map(|()| value));
    outcome.map_err(|error| match context.problem.take() {
        Some(problem) => JsonProblem::Limit(problem),
        None => JsonProblem::NotJson(error),
    })
}

struct Context<'a> {
    limits: &'a JsonLimits<'a>,
    keep: bool,
    value_count: Cell<usize>,
    object_count: Cell<usize>,
    problem: RefCell<Option<String>>,
}

impl Context<'_> {
    fn stop<E: serde_core::de::Error>(&self, problem: String) -> E {
        *self.problem.borrow_mut() = Some(problem);
        E::custom("stopped at a limit")
    }

    fn count<E: serde_core::de::Error>(&self) -> Result<(), E> {
        let (found, max) = (self.value_count.get() + 1, self.limits.max_values);
        self.value_count.set(found);
        if found > max { Err(self.stop(format!("expected at most {max} values, found more"))) } else { Ok(()) }
    }

    fn check_text<E: serde_core::de::Error>(&self, text: &str) -> Result<(), E> {
        let (found, max) = (text.len(), self.limits.max_text_len_bytes);
        if found > max {
            return Err(self.stop(format!("expected texts of at most {max} bytes, found one of {found}")));
        }
        Ok(())
    }
}

/// Reads one value, which belongs to `key`.
struct Seed<'a, 'k> {
    context: &'a Context<'a>,
    depth: usize,
    key: &'k str,
}

impl Seed<'_, '_> {
    fn deeper<E: serde_core::de::Error>(&self) -> Result<usize, E> {
        let max = self.context.limits.max_depth;
        if self.depth == max {
            let problem = format!("expected at most {max} levels of lists and objects inside each other, found more");
            return Err(self.context.stop(problem));
        }
        Ok(self.depth + 1)
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.context.count()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_, '_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: serde_core::de::Error>(self, text: &str) -> Result<Value, E> {
        self.context.check_text(text)?;
        Ok(if self.context.keep { Value::from(text) } else { Value::Null })
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let max = self.context.limits.max_items.iter().find(|(key, ..)| *key == self.key);
        let mut list = Vec::new();
        let mut count = 0;
        while let Some(item) = items.next_element_seed(Seed { context: self.context, depth, key: "" })? {
            count += 1;
            if let Some(&(_, max, name)) = max
                && count > max
            {
                return Err(self.context.stop(format!("expected at most {max} {name}, found more")));
            }
            if self.context.keep {
                list.push(item);
            }
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let (found, max) = (self.context.object_count.get() + 1, self.context.limits.max_objects);
        self.context.object_count.set(found);
        if found > max {
            return Err(self.context.stop(format!("expected at most {max} objects, found more")));
        }
        let mut object = Map::new();
        while let Some(key) = members.next_key_seed(KeySeed(self.context))? {
            let value = members.next_value_seed(Seed { context: self.context, depth, key: &key })?;
            if self.context.keep {
                object.insert(key, value);
            }
        }
        Ok(Value::Object(object))
    }
}

struct KeySeed<'a>(&'a Context<'a>);

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = String;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E: serde_core::de::Error>(self, key: &str) -> Result<String, E> {
        if let Some(known) = self.0.limits.known_keys
            && !known.contains(&key)
        {
            return Err(self.0.stop(format!("unknown key `{}`; known: {}", quoted(key), known.join(", "))));
        }
        self.0.check_text(key)?;
        Ok(key.to_owned())
    }
}

/// Calls `take` with each member of an object, in the order of the text. Keeps nothing. Returns whether `bytes` are an
/// object. What `take` does not read is not checked: [`check`] the whole text first.
///
/// # Errors
///
/// Returns the first error of `take`.
pub fn each_member<'a, E>(
    bytes: &'a [u8],
    take: &mut dyn FnMut(&str, &'a RawValue) -> Result<(), E>,
) -> Result<bool, E> {
    let mut error = None;
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let outcome = deserializer.deserialize_map(EachMember { take, error: &mut error });
    error.map_or(Ok(outcome.is_ok()), Err)
}

/// Calls `take` with each item of a list, in the order of the text. Keeps nothing. Returns whether `bytes` are a list.
/// What `take` does not read is not checked: [`check`] the whole text first.
///
/// # Errors
///
/// Returns the first error of `take`.
pub fn each_item<'a, E>(bytes: &'a [u8], take: &mut dyn FnMut(&'a RawValue) -> Result<(), E>) -> Result<bool, E> {
    let mut error = None;
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let outcome = deserializer.deserialize_seq(EachItem { take, error: &mut error });
    error.map_or(Ok(outcome.is_ok()), Err)
}

struct EachMember<'a, 't, E> {
    take: &'t mut dyn FnMut(&str, &'a RawValue) -> Result<(), E>,
    error: &'t mut Option<E>,
}

impl<'a, E> Visitor<'a> for EachMember<'a, '_, E> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(key) = members.next_key::<String>()? {
            let value = members.next_value::<&'a RawValue>()?;
            if let Err(error) = (self.take)(&key, value) {
                *self.error = Some(error);
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

struct EachItem<'a, 't, E> {
    take: &'t mut dyn FnMut(&'a RawValue) -> Result<(), E>,
    error: &'t mut Option<E>,
}

impl<'a, E> Visitor<'a> for EachItem<'a, '_, E> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element::<&'a RawValue>()? {
            if let Err(error) = (self.take)(item) {
                *self.error = Some(error);
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: JsonLimits<'_> = JsonLimits {
        max_depth: 3,
        max_values: 20,
        max_objects: 4,
        max_text_len_bytes: 8,
        known_keys: None,
        max_items: &[("few", 2, "items of few")],
    };

    fn problem(text: &str, limits: &JsonLimits<'_>) -> String {
        check(text.as_bytes(), limits).unwrap_err().to_string()
    }

    #[test]
    fn what_is_read_is_what_a_parser_of_trees_reads() {
        for text in [r#"{"a":[1,-2,0.5,"x",true,null],"b":{"c":{}}}"#, r#"{"a":1,"a":18446744073709551615}"#, "[]"] {
            let expected: Value = serde_json::from_str(text).unwrap();
            assert_eq!(read(text.as_bytes(), &LIMITS).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn each_limit_ends_the_reading() {
        assert!(problem("[[[[]]]]", &LIMITS).contains("at most 3 levels"));
        assert!(problem(&format!("[{}0]", "0,".repeat(30)), &LIMITS).contains("at most 20 values"));
        assert!(problem("[{},{},{},{},{}]", &LIMITS).contains("at most 4 objects"));
        assert!(problem(r#"["123456789"]"#, &LIMITS).contains("at most 8 bytes, found one of 9"));
        assert!(problem(r#"{"123456789":0}"#, &LIMITS).contains("at most 8 bytes"));
        assert!(problem(r#"{"few":[0,0,0]}"#, &LIMITS).contains("at most 2 items of few"));
        let known = JsonLimits { known_keys: Some(&["a"]), ..LIMITS };
        assert!(check(br#"{"a":0}"#, &known).is_ok());
        assert_eq!(problem("{\"b\u{202e}\":0}", &known), r"unknown key `b\u{202e}`; known: a");
    }

    #[test]
    fn texts_and_numbers_are_checked_even_if_nothing_is_kept() {
        for text in [r#"["\ud800"]"#, "[1e400]", "[01]", "[]]", "[1", "", "[\"\n\"]"] {
            assert!(matches!(check(text.as_bytes(), &LIMITS), Err(JsonProblem::NotJson(_))), "{text}");
        }
        assert!(matches!(check(b"[\"\xff\"]", &LIMITS), Err(JsonProblem::NotJson(_))));
    }

    #[test]
    fn members_and_items_come_in_order_until_an_error() {
        let mut seen = Vec::new();
        let text = br#"{"b":[1, 2],"\u0061":{}}"#;
        let is_object = each_member::<()>(text, &mut |key, value| {
            seen.push(format!("{key}={}", value.get()));
            Ok(())
        });
        assert_eq!((is_object, seen), (Ok(true), vec!["b=[1, 2]".to_owned(), "a={}".to_owned()]));
        assert_eq!(each_item::<()>(text, &mut |_| Ok(())), Ok(false));
        assert_eq!(each_item(b"[1,2,3]", &mut |item| if item.get() == "2" { Err("two") } else { Ok(()) }), Err("two"));
    }
}
