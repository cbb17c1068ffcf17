//! The rules of Choice states.

use std::cmp::Ordering;

use chrono::{DateTime, FixedOffset};
use serde_json::{Map, Value};

use super::path::Path;
use super::payload::{Failure, Scope};

/// A rule, without its `Next`.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Rule {
    And(Vec<Self>),
    Or(Vec<Self>),
    Not(Box<Self>),
    Test { variable: Path, test: Test },
}

/// What is asked of a variable.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Test {
    /// Whether the place exists.
    Present(bool),
    /// Whether the value is of a kind.
    Is(Kind, bool),
    /// Whether a text matches a pattern with `*`.
    Matches(String),
    /// Whether the value compares so with another of the kind.
    Compare(Kind, Comparison, Operand),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    String,
    Numeric,
    Boolean,
    Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equals,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    Value(Value),
    Path(Path),
}

impl Rule {
    /// Reads a rule. `is_top` rules may have `Next`.
    pub(super) fn parse(rule: &Value, at: &str, is_top: bool, faults: &mut Vec<(String, String)>) -> Option<Self> {
        let Value::Object(fields) = rule else {
            faults.push((at.to_owned(), "expected an object".to_owned()));
            return None;
        };
        let mut tests: Vec<&String> = fields.keys().collect();
        tests.retain(|key| !(matches!(key.as_str(), "Variable" | "Comment") || is_top && *key == "Next"));
        let [operator] = tests[..] else {
            let found = tests.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
            faults.push((at.to_owned(), format!("expected one operator, found {}: {found}", tests.len())));
            return None;
        };
        let many = |faults: &mut Vec<(String, String)>| {
            let rules = fields[operator].as_array().filter(|rules| !rules.is_empty());
            if rules.is_none() {
                faults.push((format!("{at}.{operator}"), "expected a list of rules".to_owned()));
            }
            let rule = |(index, rule)| Self::parse(rule, &format!("{at}.{operator}[{index}]"), false, faults);
            rules.into_iter().flatten().enumerate().filter_map(rule).collect::<Vec<_>>()
        };
        match operator.as_str() {
            "And" => Some(Self::And(many(faults))),
            "Or" => Some(Self::Or(many(faults))),
            "Not" => {
                let inner = Self::parse(&fields[operator], &format!("{at}.Not"), false, faults)?;
                Some(Self::Not(Box::new(inner)))
            }
            _ => match test(fields, operator) {
                Ok((variable, test)) => Some(Self::Test { variable, test }),
                Err(problem) => {
                    faults.push((format!("{at}.{operator}"), problem));
                    None
                }
            },
        }
    }

    /// All paths in the rule.
    pub(super) fn paths(&self) -> Vec<&Path> {
        match self {
            Self::And(rules) | Self::Or(rules) => rules.iter().flat_map(Self::paths).collect(),
            Self::Not(rule) => rule.paths(),
            Self::Test { variable, test: Test::Compare(_, _, Operand::Path(path)) } => vec![variable, path],
            Self::Test { variable, .. } => vec![variable],
        }
    }

    /// Whether the rule holds.
    pub(super) fn holds(&self, scope: &Scope<'_>) -> Result<bool, Failure> {
        match self {
            Self::And(rules) => {
                for rule in rules {
                    if !rule.holds(scope)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Or(rules) => {
                for rule in rules {
                    if rule.holds(scope)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::Not(rule) => Ok(!rule.holds(scope)?),
            Self::Test { variable, test: Test::Present(expected) } => Ok(variable.find(scope).is_some() == *expected),
            Self::Test { variable, test } => test.holds(&scope.value_of(variable)?, scope),
        }
    }
}

impl Test {
    fn holds(&self, value: &Value, scope: &Scope<'_>) -> Result<bool, Failure> {
        Ok(match self {
            // Decided by the rule, without the value.
            Self::Present(expected) => *expected,
            Self::Is(kind, expected) => kind.is_of(value) == *expected,
            Self::Matches(pattern) => value.as_str().is_some_and(|text| matches(pattern, text)),
            Self::Compare(kind, comparison, operand) => {
                let other = match operand {
                    Operand::Value(value) => value.clone(),
                    Operand::Path(path) => scope.value_of(path)?,
                };
                kind.compare(value, &other).is_some_and(|order| comparison.holds(order))
            }
        })
    }
}

impl Kind {
    fn is_of(self, value: &Value) -> bool {
        match self {
            Self::Null => value.is_null(),
            Self::String => value.is_string(),
            Self::Numeric => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::Timestamp => timestamp(value).is_some(),
        }
    }

    /// The order of two values of this kind; nothing if one is of another kind.
    fn compare(self, one: &Value, other: &Value) -> Option<Ordering> {
        match self {
            Self::Null => None,
            Self::String => Some(one.as_str()?.cmp(other.as_str()?)),
            Self::Numeric => match (one.as_i64(), other.as_i64()) {
                (Some(one), Some(other)) => Some(one.cmp(&other)),
                _ => one.as_f64()?.partial_cmp(&other.as_f64()?),
            },
            Self::Boolean => Some(one.as_bool()?.cmp(&other.as_bool()?)),
            Self::Timestamp => Some(timestamp(one)?.cmp(&timestamp(other)?)),
        }
    }
}

impl Comparison {
    const fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equals => order.is_eq(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

/// A time as RFC 3339 writes it, with `T` and a zone.
pub(super) fn timestamp(value: &Value) -> Option<DateTime<FixedOffset>> {
    let text = value.as_str().filter(|text| text.contains('T'))?;
    DateTime::parse_from_rfc3339(text).ok()
}

/// Reads the operator of a test and its operand.
fn test(fields: &Map<String, Value>, operator: &str) -> Result<(Path, Test), String> {
    let variable = fields.get("Variable").and_then(Value::as_str).ok_or("expected a field Variable with a path")?;
    let variable = Path::parse_reference(variable)?;
    let operand = &fields[operator];
    let flag = || operand.as_bool().ok_or_else(|| format!("expected true or false, found {operand}"));
    let is = |kind| Ok::<_, String>(Test::Is(kind, flag()?));
    let test = match operator {
        "IsPresent" => Test::Present(flag()?),
        "IsNull" => is(Kind::Null)?,
        "IsString" => is(Kind::String)?,
        "IsNumeric" => is(Kind::Numeric)?,
        "IsBoolean" => is(Kind::Boolean)?,
        "IsTimestamp" => is(Kind::Timestamp)?,
        "StringMatches" => {
            let pattern = operand.as_str().ok_or_else(|| format!("expected a pattern, found {operand}"))?;
            Test::Matches(pattern.to_owned())
        }
        _ => {
            let (name, is_path) = operator.strip_suffix("Path").map_or((operator, false), |name| (name, true));
            let (kind, comparison) = comparison(name).ok_or("this operator is not supported")?;
            let operand = if is_path {
                let text = operand.as_str().ok_or_else(|| format!("expected a path, found {operand}"))?;
                Operand::Path(Path::parse_reference(text)?)
            } else if kind.is_of(operand) {
                Operand::Value(operand.clone())
            } else {
                let what = match kind {
                    Kind::String => "a text",
                    Kind::Numeric => "a number",
                    Kind::Boolean => "true or false",
                    _ => "a time such as 2026-01-31T12:00:00Z",
                };
                return Err(format!("expected {what}, found {operand}"));
            };
            Test::Compare(kind, comparison, operand)
        }
    };
    Ok((variable, test))
}

fn comparison(name: &str) -> Option<(Kind, Comparison)> {
    let of = [("String", Kind::String), ("Numeric", Kind::Numeric), ("Boolean", Kind::Boolean)];
    let of = of.into_iter().chain([("Timestamp", Kind::Timestamp)]);
    let (kind, rest) = of.into_iter().find_map(|(prefix, kind)| Some((kind, name.strip_prefix(prefix)?)))?;
    let comparison = match rest {
        "Equals" => Comparison::Equals,
        "LessThan" => Comparison::Less,
        "LessThanEquals" => Comparison::LessOrEqual,
        "GreaterThan" => Comparison::Greater,
        "GreaterThanEquals" => Comparison::GreaterOrEqual,
        _ => return None,
    };
    (kind != Kind::Boolean || comparison == Comparison::Equals).then_some((kind, comparison))
}

/// Whether a text matches a pattern, in which `*` is any text, and `\*` a star.
fn matches(pattern: &str, text: &str) -> bool {
    let mut tokens: Vec<Option<char>> = Vec::new();
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        tokens.push(match letter {
            '*' => None,
            '\\' => Some(letters.next().unwrap_or('\\')),
            letter => Some(letter),
        });
    }
    // Which prefixes of the text the tokens so far match.
    let text: Vec<char> = text.chars().collect();
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    for token in tokens {
        match token {
            None => {
                let first = reached.iter().position(|reached| *reached).unwrap_or(reached.len());
                reached.iter_mut().skip(first).for_each(|reached| *reached = true);
            }
            Some(letter) => {
                for at in (0..text.len()).rev() {
                    reached[at + 1] = reached[at] && text[at] == letter;
                }
                reached[0] = false;
            }
        }
    }
    reached[text.len()]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn holds(rule: Value) -> Result<bool, Failure> {
        let mut faults = Vec::new();
        let rule = Rule::parse(&rule, "", true, &mut faults);
        assert_eq!(faults, []);
        let input =
            json!({"code": 3, "half": 0.5, "name": "a*b", "time": "2026-01-31T12:00:00Z", "flag": true, "no": null});
        rule.unwrap().holds(&Scope { input: &input, context: &Value::Null, seed: "" })
    }

    #[test]
    fn each_operator_compares_values_of_its_kind() {
        for (rule, expected) in [
            (json!({"Variable": "$.code", "NumericEquals": 3.0}), true),
            (json!({"Variable": "$.code", "NumericLessThan": 3}), false),
            (json!({"Variable": "$.code", "NumericGreaterThanEqualsPath": "$.half"}), true),
            (json!({"Variable": "$.name", "NumericEquals": 3}), false),
            (json!({"Variable": "$.name", "StringMatches": "a\\*b"}), true),
            (json!({"Variable": "$.name", "StringMatches": "*b*"}), true),
            (json!({"Variable": "$.name", "StringMatches": "b*"}), false),
            (json!({"Variable": "$.name", "StringLessThan": "b"}), true),
            (json!({"Variable": "$.time", "TimestampEquals": "2026-01-31T21:00:00+09:00"}), true),
            (json!({"Variable": "$.time", "IsTimestamp": true}), true),
            (json!({"Variable": "$.name", "IsTimestamp": false}), true),
            (json!({"Variable": "$.no", "IsNull": true}), true),
            (json!({"Variable": "$.absent", "IsPresent": false}), true),
            (json!({"Variable": "$.flag", "BooleanEquals": true}), true),
            (json!({"Not": {"Variable": "$.flag", "BooleanEquals": true}}), false),
            (
                json!({"And": [{"Variable": "$.absent", "IsPresent": true}, {"Variable": "$.absent", "IsNull": true}]}),
                false,
            ),
            (json!({"Or": [{"Variable": "$.code", "NumericEquals": 4}, {"Variable": "$.no", "IsNull": true}]}), true),
        ] {
            assert_eq!(holds(rule.clone()), Ok(expected), "{rule}");
        }
    }

    #[test]
    fn a_variable_that_does_not_exist_is_an_error() {
        let found = holds(json!({"Variable": "$.absent", "NumericEquals": 3}));
        assert_eq!(found.unwrap_err().error, "States.Runtime");
    }

    #[test]
    fn rules_with_faults_are_refused() {
        for (rule, word) in [
            (json!({"Variable": "$.a", "NumericEquals": "3"}), "expected a number"),
            (json!({"Variable": "$.a", "BooleanLessThan": true}), "not supported"),
            (json!({"Variable": "$.a", "IsNull": true, "IsPresent": true}), "one operator"),
            (json!({"NumericEquals": 3}), "Variable"),
            (json!({"And": []}), "list of rules"),
            (json!({"Not": {"Variable": "$.a", "IsNull": true, "Next": "b"}}), "one operator"),
        ] {
            let mut faults = Vec::new();
            Rule::parse(&rule, "Choices[0]", true, &mut faults);
            assert_eq!(faults.len(), 1, "{rule}: {faults:?}");
            assert!(faults[0].1.contains(word), "{rule}: {faults:?}");
        }
    }
}
