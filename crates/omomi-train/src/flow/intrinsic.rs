//! Intrinsic functions of Amazon States Language, such as `States.Format('shard {}', $.index)`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256, Sha384, Sha512};

use super::path::Path;
use super::payload::{Failure, Scope};

/// Most values that `States.ArrayRange` makes.
const MAX_RANGE_LEN: usize = 1_000;
/// How deep calls may be nested.
const MAX_DEPTH: usize = 10;

/// A call that was read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    text: String,
    function: Function,
    arguments: Vec<Argument>,
}

#[derive(Debug, Clone, PartialEq)]
enum Argument {
    Literal(Value),
    Path(Path),
    Call(Box<Call>),
}

macro_rules! functions {
    ($($name:ident: $least:literal to $most:literal,)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(clippy::upper_case_acronyms, reason = "as the language spells it")]
        enum Function { $($name,)* }

        impl Function {
            fn of(name: &str) -> Option<Self> {
                match name { $(stringify!($name) => Some(Self::$name),)* _ => None }
            }

            /// The least and the largest number of arguments.
            const fn argument_counts(self) -> (usize, usize) {
                match self { $(Self::$name => ($least, $most),)* }
            }
        }
    };
}

functions! {
    Format: 1 to 100,
    StringToJson: 1 to 1,
    JsonToString: 1 to 1,
    Array: 0 to 1000,
    ArrayPartition: 2 to 2,
    ArrayContains: 2 to 2,
    ArrayRange: 3 to 3,
    ArrayGetItem: 2 to 2,
    ArrayLength: 1 to 1,
    ArrayUnique: 1 to 1,
    Base64Encode: 1 to 1,
    Base64Decode: 1 to 1,
    Hash: 2 to 2,
    JsonMerge: 3 to 3,
    MathAdd: 2 to 2,
    StringSplit: 2 to 2,
    UUID: 0 to 0,
}

impl Call {
    /// Reads a call.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader { rest: text };
        let call = reader.call(1).map_err(|problem| format!("intrinsic {text:?}: {problem}"))?;
        if !reader.rest.trim().is_empty() {
            return Err(format!("intrinsic {text:?}: expected its end, found {:?}", reader.rest));
        }
        Ok(call)
    }

    /// The paths among the arguments.
    pub(super) fn paths(&self) -> Vec<&Path> {
        let mut paths = Vec::new();
        for argument in &self.arguments {
            match argument {
                Argument::Path(path) => paths.push(path),
                Argument::Call(call) => paths.extend(call.paths()),
                Argument::Literal(_) => {}
            }
        }
        paths
    }

    /// Computes the value.
    pub(super) fn value(&self, scope: &Scope<'_>) -> Result<Value, Failure> {
        let mut values = Vec::with_capacity(self.arguments.len());
        for argument in &self.arguments {
            values.push(match argument {
                Argument::Literal(value) => value.clone(),
                Argument::Path(path) => scope.value_of(path)?,
                Argument::Call(call) => call.value(scope)?,
            });
        }
        self.function.value(&values, scope).map_err(|problem| {
            Failure::new("States.IntrinsicFailure", format!("the intrinsic {} failed: {problem}", self.text))
        })
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn call(&mut self, depth: usize) -> Result<Call, String> {
        if depth > MAX_DEPTH {
            return Err(format!("calls are nested deeper than {MAX_DEPTH}"));
        }
        let begin = self.rest.trim_start();
        let name_end = begin.find('(').ok_or("expected ( after the name of a function")?;
        let name = begin[..name_end].trim();
        let known = name.strip_prefix("States.").and_then(Function::of);
        let function = known.ok_or_else(|| format!("{name} is not supported"))?;
        self.rest = &begin[name_end + 1..];
        let mut arguments = Vec::new();
        if !self.take(')') {
            loop {
                arguments.push(self.argument(depth)?);
                if self.take(')') {
                    break;
                }
                if !self.take(',') {
                    return Err(format!("expected , or ) at {:?}", self.rest));
                }
            }
        }
        let (least, most) = function.argument_counts();
        if arguments.len() < least || arguments.len() > most {
            let expected = if least == most { least.to_string() } else { format!("{least} to {most}") };
            return Err(format!("{name} expects {expected} arguments, found {}", arguments.len()));
        }
        if let (Function::Hash, Some(Argument::Literal(algorithm))) = (function, arguments.get(1)) {
            known_algorithm(algorithm)?;
        }
        let text = begin[..begin.len() - self.rest.len()].to_owned();
        Ok(Call { text, function, arguments })
    }

    fn argument(&mut self, depth: usize) -> Result<Argument, String> {
        self.rest = self.rest.trim_start();
        if self.rest.starts_with("States.") {
            return Ok(Argument::Call(Box::new(self.call(depth + 1)?)));
        }
        if self.rest.starts_with('$') {
            return Path::parse(self.until_separator().trim_end()).map(Argument::Path);
        }
        if let Some(text) = self.rest.strip_prefix('\'') {
            return self.quoted(text).map(|text| Argument::Literal(Value::String(text)));
        }
        let word = self.until_separator().trim_end();
        let literal = serde_json::from_str::<Value>(word).ok().filter(|value| !value.is_string());
        let expected = || format!("expected a path, a text in single quotes, a number or a call, found {word:?}");
        literal.map(Argument::Literal).ok_or_else(expected)
    }

    /// Takes what is before the next `,` or `)` that is in no bracket.
    fn until_separator(&mut self) -> &'a str {
        let (mut depth, mut end) = (0_usize, self.rest.len());
        for (at, letter) in self.rest.char_indices() {
            match letter {
                '[' => depth += 1,
                ']' => depth = depth.saturating_sub(1),
                ',' | ')' if depth == 0 => {
                    end = at;
                    break;
                }
                _ => {}
            }
        }
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn quoted(&mut self, after_quote: &'a str) -> Result<String, String> {
        let (mut text, mut letters) = (String::new(), after_quote.char_indices());
        while let Some((at, letter)) = letters.next() {
            match letter {
                '\'' => {
                    self.rest = &after_quote[at + 1..];
                    return Ok(text);
                }
                '\\' => {
                    let (_, escaped) = letters.next().ok_or("a text ends with \\")?;
                    // Braces keep their escape for `States.Format`.
                    if matches!(escaped, '{' | '}') {
                        text.push('\\');
                    }
                    text.push(escaped);
                }
                _ => text.push(letter),
            }
        }
        Err("a text in single quotes is not closed".to_owned())
    }

    fn take(&mut self, letter: char) -> bool {
        let rest = self.rest.trim_start().strip_prefix(letter);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }
}

impl Function {
    fn value(self, arguments: &[Value], scope: &Scope<'_>) -> Result<Value, String> {
        let argument = |index: usize| arguments.get(index).unwrap_or(&Value::Null);
        let text = |index: usize| argument(index).as_str().ok_or_else(|| expected("a text", argument(index)));
        let array = |index: usize| argument(index).as_array().ok_or_else(|| expected("an array", argument(index)));
        let integer = |index: usize| whole(argument(index));
        Ok(match self {
            Self::Format => Value::String(format(text(0)?, &arguments[1..])?),
            Self::StringToJson => {
                serde_json::from_str(text(0)?).map_err(|error| format!("the text is not JSON: {error}"))?
            }
            Self::JsonToString => Value::String(argument(0).to_string()),
            Self::Array => Value::Array(arguments.to_vec()),
            Self::ArrayPartition => {
                let len = usize::try_from(integer(1)?).ok().filter(|len| *len > 0);
                let len = len.ok_or_else(|| expected("a length above 0", argument(1)))?;
                array(0)?.chunks(len).map(|chunk| Value::Array(chunk.to_vec())).collect()
            }
            Self::ArrayContains => Value::Bool(array(0)?.iter().any(|value| is_equal(value, argument(1)))),
            Self::ArrayRange => Value::Array(range(integer(0)?, integer(1)?, integer(2)?)?),
            Self::ArrayGetItem => {
                let (array, index) = (array(0)?, integer(1)?);
                let found = usize::try_from(index).ok().and_then(|index| array.get(index));
                found.cloned().ok_or_else(|| format!("expected an index below {}, found {index}", array.len()))?
            }
            Self::ArrayLength => json!(array(0)?.len()),
            Self::ArrayUnique => {
                let mut unique: Vec<Value> = Vec::new();
                for value in array(0)? {
                    if !unique.iter().any(|other| is_equal(other, value)) {
                        unique.push(value.clone());
                    }
                }
                Value::Array(unique)
            }
            Self::Base64Encode => Value::String(STANDARD.encode(text(0)?)),
            Self::Base64Decode => {
                let bytes = STANDARD.decode(text(0)?).map_err(|error| format!("the text is not Base64: {error}"))?;
                Value::String(String::from_utf8(bytes).map_err(|_| "the decoded bytes are not UTF-8")?)
            }
            Self::Hash => {
                let data = argument(0).as_str().map_or_else(|| argument(0).to_string(), str::to_owned);
                Value::String(known_algorithm(argument(1))?(data.as_bytes()))
            }
            Self::JsonMerge => {
                if argument(2) != &Value::Bool(false) {
                    return Err("the third argument must be false: objects are merged at the top level only".to_owned());
                }
                let (Value::Object(first), Value::Object(second)) = (argument(0), argument(1)) else {
                    return Err("expected two objects".to_owned());
                };
                let mut merged = first.clone();
                merged.extend(second.clone());
                Value::Object(merged)
            }
            Self::MathAdd => {
                json!(integer(0)?.checked_add(integer(1)?).ok_or("the sum is larger than 64 bits")?)
            }
            Self::StringSplit => {
                let (whole, separators) = (text(0)?, text(1)?);
                let parts = whole.split(|letter| separators.contains(letter)).filter(|part| !part.is_empty());
                parts.map(Value::from).collect()
            }
            Self::UUID => Value::String(scope.uuid()),
        })
    }
}

fn expected(what: &str, found: &Value) -> String {
    format!("expected {what}, found {found}")
}

/// A whole number; other numbers are rounded.
fn whole(value: &Value) -> Result<i64, String> {
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    let rounded = |number: f64| (number.abs() < 9e15).then(|| number.round() as i64);
    let found = value.as_i64().or_else(|| value.as_f64().and_then(rounded));
    found.ok_or_else(|| expected("a number", value))
}

/// Whether two values are equal, where 1 and 1.0 are.
fn is_equal(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        #[expect(clippy::float_cmp, reason = "values as written")]
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

fn range(first: i64, last: i64, step: i64) -> Result<Vec<Value>, String> {
    if step == 0 {
        return Err("the step must not be 0".to_owned());
    }
    let mut values = Vec::new();
    let mut next = Some(first);
    while let Some(value) = next.filter(|value| if step > 0 { *value <= last } else { *value >= last }) {
        if values.len() == MAX_RANGE_LEN {
            return Err(format!("the range has more than {MAX_RANGE_LEN} values"));
        }
        values.push(Value::from(value));
        next = value.checked_add(step);
    }
    Ok(values)
}

fn known_algorithm(name: &Value) -> Result<fn(&[u8]) -> String, String> {
    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
    match name.as_str() {
        Some("SHA-256") => Ok(|data| hex(&Sha256::digest(data))),
        Some("SHA-384") => Ok(|data| hex(&Sha384::digest(data))),
        Some("SHA-512") => Ok(|data| hex(&Sha512::digest(data))),
        _ => Err(format!("expected SHA-256, SHA-384 or SHA-512, found {name}")),
    }
}

/// Replaces each `{}` of a template by the next value.
fn format(template: &str, values: &[Value]) -> Result<String, String> {
    let (mut text, mut rest, mut values) = (String::new(), template, values.iter());
    while let Some(at) = rest.find(['{', '\\']) {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("{}") {
            match values.next().ok_or("the template has more {} than values")? {
                Value::String(value) => text.push_str(value),
                value => text.push_str(&value.to_string()),
            }
            rest = after;
        } else {
            // An escaped brace is a brace.
            let skipped = usize::from(rest.starts_with("\\{") || rest.starts_with("\\}"));
            let mut letters = rest[skipped..].chars();
            text.extend(letters.next());
            rest = letters.as_str();
        }
    }
    text.push_str(rest);
    if values.next().is_some() {
        return Err("the template has less {} than values".to_owned());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(call: &str) -> Result<Value, Failure> {
        let input = json!({"index": 3, "texts": ["a", "b", "a"], "cause": "{\"ExitCode\":3}"});
        let scope = Scope { input: &input, context: &Value::Null, seed: "run 7" };
        Call::parse(call).unwrap().value(&scope)
    }

    #[test]
    fn each_function_gives_the_value_of_its_definition() {
        for (call, expected) in [
            (r"States.Format('shard \{{}\} of {}', $.index, 'x\'y')", json!("shard {3} of x'y")),
            ("States.StringToJson($.cause)", json!({"ExitCode": 3})),
            ("States.JsonToString($.texts)", json!(r#"["a","b","a"]"#)),
            ("States.Array($.index, 'a', true, null, 1.5)", json!([3, "a", true, null, 1.5])),
            ("States.ArrayPartition(States.Array(1, 2, 3), 2)", json!([[1, 2], [3]])),
            ("States.ArrayContains($.texts, 'b')", json!(true)),
            ("States.ArrayRange(1, 9, 3)", json!([1, 4, 7])),
            ("States.ArrayRange(3, 1, -1)", json!([3, 2, 1])),
            ("States.ArrayGetItem($.texts, 1)", json!("b")),
            ("States.ArrayLength($.texts)", json!(3)),
            ("States.ArrayUnique($.texts)", json!(["a", "b"])),
            ("States.Base64Encode('omomi')", json!("b21vbWk=")),
            ("States.Base64Decode('b21vbWk=')", json!("omomi")),
            ("States.JsonMerge($$, $$, false)", Value::Null),
            ("States.MathAdd($.index, -1)", json!(2)),
            ("States.StringSplit('a,b;;c', ',;')", json!(["a", "b", "c"])),
            (
                "States.Hash('abc', 'SHA-256')",
                json!("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            ),
        ] {
            if expected.is_null() {
                assert_eq!(value(call).unwrap_err().error, "States.IntrinsicFailure");
            } else {
                assert_eq!(value(call).unwrap(), expected, "{call}");
            }
        }
    }

    #[test]
    fn a_call_with_wrong_values_fails_by_name() {
        for call in [
            "States.Format('{} {}', 1)",
            "States.Format('{}', 1, 2)",
            "States.StringToJson('{')",
            "States.ArrayGetItem($.texts, 3)",
            "States.ArrayRange(1, 2000, 1)",
            "States.ArrayRange(1, 2, 0)",
            "States.ArrayPartition($.texts, 0)",
            "States.MathAdd(9223372036854775807, 1)",
        ] {
            assert_eq!(value(call).unwrap_err().error, "States.IntrinsicFailure", "{call}");
        }
    }

    #[test]
    fn a_call_that_is_not_supported_is_refused_when_it_is_read() {
        for (call, word) in [
            ("States.MathRandom(1, 2)", "States.MathRandom is not supported"),
            ("States.Hash('a', 'MD5')", "SHA-256"),
            ("States.ArrayLength()", "expects 1 arguments"),
            ("States.Format('a", "not closed"),
            ("States.Array(1) 2", "expected its end"),
        ] {
            let problem = Call::parse(call).unwrap_err();
            assert!(problem.contains(word), "{call}: {problem}");
        }
        assert!(Call::parse(&("States.Array(".repeat(11) + &")".repeat(11))).unwrap_err().contains("deeper"));
    }

    #[test]
    fn a_uuid_is_that_of_its_run_and_state() {
        let uuid = value("States.UUID()").unwrap();
        assert_eq!(uuid, value("States.UUID()").unwrap());
        assert_eq!(uuid.as_str().unwrap().len(), 36);
        assert_eq!(uuid.as_str().unwrap().as_bytes()[14], b'4');
    }
}
