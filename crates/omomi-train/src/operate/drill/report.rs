//! What a rehearsal has shown.

use std::time::Duration;

use serde_json::{Value, json};

/// All incidents, one after the other.
#[derive(Debug, Clone)]
pub struct DrillReport {
    /// The incidents.
    pub incidents: Vec<IncidentReport>,
    /// Requests that were scored during all of them.
    pub request_count: u64,
    /// How often the server looked at its store.
    pub poll_interval: Duration,
}

/// An incident.
#[derive(Debug, Clone)]
pub struct IncidentReport {
    /// What happened.
    pub name: &'static str,
    /// What a server ought to do.
    pub expected: String,
    /// What it did.
    pub seen: String,
    /// From the moment it happened until the server did, and said, what it ought to; nothing where it did not.
    pub took: Option<Duration>,
    /// Requests that got no answer meanwhile, or a wrong one.
    pub failed_count: u64,
    /// Whether requests may fail: scoring was switched off.
    pub may_fail: bool,
}

impl DrillReport {
    /// Whether every incident went as expected.
    #[must_use]
    pub fn is_as_expected(&self) -> bool {
        self.incidents.iter().all(IncidentReport::is_as_expected)
    }

    /// The same as a JSON object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "is_as_expected": self.is_as_expected(),
            "poll_interval_seconds": self.poll_interval.as_secs_f64(),
            "request_count": self.request_count,
            "incidents": self.incidents.iter().map(IncidentReport::to_json).collect::<Vec<_>>(),
        })
    }
}

impl IncidentReport {
    /// Whether it went as expected, and no request failed that may not.
    #[must_use]
    pub const fn is_as_expected(&self) -> bool {
        self.took.is_some() && (self.may_fail || self.failed_count == 0)
    }

    fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "expected": self.expected,
            "seen": self.seen,
            "seconds": self.took.map(|took| took.as_secs_f64()),
            "failed_count": self.failed_count,
            "is_as_expected": self.is_as_expected(),
        })
    }
}
