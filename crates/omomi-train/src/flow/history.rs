//! Events of a run, in the form of the execution history of Step Functions.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// From 1, in order.
    pub id: u64,
    /// The event that this one follows; 0 for the first ones.
    pub previous_event_id: u64,
    /// Unix time in milliseconds.
    pub time_unix_ms: i64,
    /// The type, such as `TaskStateEntered`.
    pub kind: String,
    /// The details; `null` if the type has none.
    pub details: Value,
}

impl Event {
    /// The event as Step Functions prints it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut event = json!({
            "timestamp": time_text(self.time_unix_ms),
            "type": self.kind,
            "id": self.id,
            "previousEventId": self.previous_event_id,
        });
        if !self.details.is_null() {
            event[details_key(&self.kind)] = self.details.clone();
        }
        event
    }

    /// Reads an event that this module or `aws stepfunctions get-execution-history` printed.
    ///
    /// # Errors
    ///
    /// Says which field is missing.
    pub fn from_json(event: &Value) -> Result<Self, String> {
        let kind = event["type"].as_str().ok_or_else(|| format!("an event has no type: {event}"))?;
        let id = event["id"].as_u64().ok_or_else(|| format!("an event has no id: {event}"))?;
        let time_unix_ms = unix_ms(&event["timestamp"]).ok_or_else(|| format!("event {id} has no time"))?;
        let details = event.get(details_key(kind)).cloned().unwrap_or_default();
        let previous_event_id = event["previousEventId"].as_u64().unwrap_or(0);
        Ok(Self { id, previous_event_id, time_unix_ms, kind: kind.to_owned(), details })
    }

    /// A text of the details.
    #[must_use]
    pub fn detail(&self, name: &str) -> Option<&str> {
        self.details[name].as_str()
    }

    /// Reads a history: one event per line, or the output of `aws stepfunctions get-execution-history`.
    ///
    /// # Errors
    ///
    /// Says what is not an event, and where.
    pub fn read_all(text: &str) -> Result<Vec<Self>, String> {
        if let Ok(whole) = serde_json::from_str::<Map<String, Value>>(text)
            && let Some(events) = whole.get("events").and_then(Value::as_array)
        {
            let mut events = events.iter().map(Self::from_json).collect::<Result<Vec<_>, _>>()?;
            // `--reverse-order` prints the last one first.
            events.sort_by_key(|event| event.id);
            return Ok(events);
        }
        let event = |(index, line): (usize, &str)| {
            let event = serde_json::from_str(line).map_err(|error| format!("line {}: {error}", index + 1))?;
            Self::from_json(&event).map_err(|problem| format!("line {}: {problem}", index + 1))
        };
        text.lines().enumerate().map(event).collect()
    }
}

/// The name of the field with the details of a type.
fn details_key(kind: &str) -> String {
    if kind.ends_with("StateEntered") {
        return "stateEnteredEventDetails".to_owned();
    }
    if kind.ends_with("StateExited") {
        return "stateExitedEventDetails".to_owned();
    }
    let mut letters = kind.chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase());
    first.into_iter().chain(letters).chain("EventDetails".chars()).collect()
}

/// A time as RFC 3339 writes it, in UTC, with milliseconds.
#[must_use]
pub fn time_text(unix_ms: i64) -> String {
    let time: Option<DateTime<Utc>> = DateTime::from_timestamp_millis(unix_ms);
    time.map_or_else(|| unix_ms.to_string(), |time| time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// A time as the versions of the AWS command print it: text, or seconds.
fn unix_ms(time: &Value) -> Option<i64> {
    if let Some(text) = time.as_str() {
        return DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_millis());
    }
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    let ms = |seconds: f64| (seconds.abs() < 1e12).then(|| (seconds * 1e3).round() as i64);
    time.as_f64().and_then(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_as_it_was_written() {
        let event = Event {
            id: 2,
            previous_event_id: 1,
            time_unix_ms: 1_790_000_000_123,
            kind: "TaskStateEntered".to_owned(),
            details: json!({"name": "a", "input": "{}"}),
        };
        let text = event.to_json().to_string();
        assert!(text.contains("stateEnteredEventDetails"), "{text}");
        assert_eq!(Event::read_all(&text).unwrap(), [event]);
    }

    #[test]
    fn a_history_of_the_aws_command_is_read_in_any_order() {
        let text = r#"{"events": [
            {"timestamp": 1790000001.5, "type": "ExecutionSucceeded", "id": 2, "previousEventId": 1,
             "executionSucceededEventDetails": {"output": "{}"}},
            {"timestamp": "2026-09-21T23:13:20.000000+09:00", "type": "ExecutionStarted", "id": 1, "previousEventId": 0,
             "executionStartedEventDetails": {"input": "{}"}}]}"#;
        let events = Event::read_all(text).unwrap();
        assert_eq!(events[0].detail("input"), Some("{}"));
        assert_eq!(events[1].time_unix_ms - events[0].time_unix_ms, 1_500);
    }
}
