//! The outcome of a drill.

use std::time::Duration;

use serde_json::{Value, json};

/// The outcome of all incidents, in order.
#[derive(Debug, Clone)]
pub struct DrillReport {
    /// One report per incident.
    pub incidents: Vec<IncidentReport>,
    /// Number of requests that were scored during all incidents.
    pub request_count: u64,
    /// How often the server polled its store.
    pub poll_interval: Duration,
}

/// The outcome of one incident.
#[derive(Debug, Clone)]
pub struct IncidentReport {
    /// Name of the incident.
    pub name: &'static str,
    /// What the server should do.
    pub expected: String,
    /// What the server did.
    pub seen: String,
    /// Time from the incident until the server did and reported what was expected; `None` if it did not.
    pub took: Option<Duration>,
    /// Number of requests in the meantime that got no answer or a wrong one.
    pub failed_count: u64,
    /// Whether requests may fail, because scoring is switched off.
    pub may_fail: bool,
}

impl DrillReport {
    /// Whether every incident went as expected.
    #[must_use]
    pub fn is_as_expected(&self) -> bool {
        self.incidents.iter().all(IncidentReport::is_as_expected)
    }

    /// Returns the report as a JSON object.
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
    /// Whether the incident went as expected, without failed requests unless they were allowed.
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
