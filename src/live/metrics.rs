//! Metrics: a snapshot of all numbers of a live model.

use std::sync::Arc;
use std::time::SystemTime;

use super::counters::{CounterSums, TrafficCounts};
use super::field_names::{FieldNames, MAX_FIELDS};
use super::latency::Latency;
use super::ledger::{CodeCounts, LastLoad, Ledger, SampledField, SwapCounts};
use super::status::{LiveStatus, ServingState};
use super::{LiveModel, Shared, seconds_of};
use crate::store::Control;
use crate::weight_file::map::LoadMode;

/// Metrics of a live model at one moment. The struct has a fixed size and is filled without an allocation, even while
/// requests are scored and generations are loaded.
///
/// Counts never decrease as long as the live model is open. Values that different threads keep are read one after the
/// other, so a request that is scored meanwhile may be in one count and not yet in another.
#[derive(Debug, Clone)]
pub struct LiveMetrics {
    /// Outcomes of requests.
    pub requests: TrafficCounts,
    /// Requests that [`LiveScorer::predict_fallback`](super::LiveScorer::predict_fallback) answered; `None` without a
    /// [fallback file](super::LiveOptions::fallback_file). They are not in the counts above.
    pub fallbacks: Option<u64>,
    /// Latency of the scored requests.
    pub latency: Latency,
    /// Whether requests get answers.
    pub state: ServingState,
    /// The orders in force: the last ones that this process, or the one before it, heard.
    pub control: Control,
    /// Whether the background thread works: see [`Health::is_live`](super::Health::is_live).
    pub is_live: bool,
    /// Whether requests may be sent here: see [`Health::is_ready`](super::Health::is_ready).
    pub is_ready: bool,
    /// The generation that answers, or that would answer if scoring were not switched off.
    pub served: Option<ServedMetrics>,
    /// Outcomes of attempts to serve a generation.
    pub swaps: SwapCounts,
    /// Stage times of the last attempt to serve a generation.
    pub last_load: Option<LastLoad>,
    /// Current problems, by code.
    pub reasons: CodeCounts,
    /// Contents that are not tried again.
    pub quarantined_count: u64,
    /// Generations that are no longer served but still in memory.
    pub retired_count: u64,
    /// Total size in bytes of all models in memory.
    pub mapped_bytes: u64,
    /// Resident bytes of all models, if the operating system reports them.
    pub resident_bytes: Option<u64>,
    /// Requests whose categories were counted by field.
    pub sampled_requests: u64,
    /// When the background thread last looked at the store, in seconds since 1970.
    pub last_pass_unix_seconds: u64,
    /// When this snapshot was taken, in seconds since 1970.
    pub taken_unix_seconds: u64,
    pub(super) fields: [SampledField; MAX_FIELDS],
    pub(super) field_names: Arc<FieldNames>,
    pub(super) store_name: Arc<str>,
    pub(super) logic_id: Option<Arc<str>>,
}

/// The generation that answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServedMetrics {
    /// The generation number.
    pub generation: u64,
    /// Length of its weight file in bytes.
    pub file_len_bytes: u64,
    /// Number of weights, the bias excluded.
    pub weight_count: u64,
    /// How its bytes are in memory.
    pub load_mode: LoadMode,
    /// Whether it is still on trial.
    pub is_on_trial: bool,
    /// When it began to answer, in seconds since 1970.
    pub since_unix_seconds: u64,
    /// End of its training data, in seconds since 1970; `None` if its provenance does not say.
    pub training_end_unix_seconds: Option<i64>,
}

impl LiveMetrics {
    /// Returns the logic id of the last served generation, or `None` before the first.
    #[must_use]
    pub fn logic_id(&self) -> Option<&str> {
        self.logic_id.as_deref()
    }

    /// Returns the name of the store's directory.
    #[must_use]
    pub fn store_name(&self) -> &str {
        &self.store_name
    }

    /// Iterates over the declared fields, context fields first, with their counts in sampled requests.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &SampledField)> {
        self.field_names.iter().zip(&self.fields)
    }

    /// Returns how many seconds ago the training data of the served generation ended, or `None` if that is not known.
    #[must_use]
    pub fn training_age_seconds(&self) -> Option<u64> {
        let end = self.served?.training_end_unix_seconds?;
        u64::try_from(self.taken_unix_seconds.cast_signed().saturating_sub(end)).ok()
    }
}

impl Shared {
    /// Sums over all live scorers, including closed ones.
    fn counter_sums(&self) -> CounterSums {
        let Some(seats) = self.lock(&self.seats) else { return CounterSums::default() };
        let mut sums = seats.closed_scorers.clone();
        for seat in &seats.all {
            sums.add(&seat.counters);
        }
        sums
    }

    pub(super) fn request_counts(&self) -> TrafficCounts {
        self.counter_sums().requests
    }
}

impl LiveModel {
    /// Takes a snapshot. Allocates nothing and never makes a request wait. May wait briefly for the background thread,
    /// so call it from a thread that serves no request. A fork of the process that opened the live model is neither
    /// live nor ready.
    #[must_use]
    pub fn metrics(&self) -> LiveMetrics {
        let shared = &*self.shared;
        let forked = self.check_process().err();
        let sums = shared.counter_sums();
        let logic_id = shared.lock(&shared.seats).and_then(|seats| Some(Arc::clone(&seats.recent.last()?.logic_id)));
        let is_live = forked.is_none() && self.is_live();
        let (swaps, last_load, sampled_requests, fields) = {
            let (ledger, empty) = (shared.lock(&shared.ledger), Ledger::default());
            let ledger = ledger.as_deref().unwrap_or(&empty);
            (ledger.swaps, ledger.last_load, ledger.sampled_requests, ledger.fields)
        };
        let (status, empty) = (shared.lock(&shared.status), LiveStatus::before_the_first_look());
        let status = status.as_deref().unwrap_or(&empty);
        let mut reasons = CodeCounts::default();
        if let Some(error) = &forked {
            reasons.add(error.code().index());
        }
        for reason in &status.reasons {
            reasons.add(reason.code.index());
        }
        LiveMetrics {
            requests: sums.requests,
            fallbacks: shared.fallback.as_ref().map(|_| sums.fallbacks),
            latency: Latency::of(&sums.latency_counts, sums.latency_sum_ns),
            state: status.state,
            control: status.control,
            is_live,
            is_ready: forked.is_none() && self.is_ready(status.state),
            served: status.served.as_ref().map(|served| ServedMetrics {
                generation: served.generation,
                file_len_bytes: served.file_len_bytes,
                weight_count: served.weight_count,
                load_mode: served.load_mode,
                is_on_trial: served.is_on_trial,
                since_unix_seconds: served.since_unix_seconds,
                training_end_unix_seconds: served.training_end_unix_seconds,
            }),
            swaps,
            last_load,
            reasons,
            quarantined_count: status.quarantined.len() as u64,
            retired_count: status.retired_count as u64,
            mapped_bytes: status.mapped_bytes,
            resident_bytes: status.resident_bytes,
            sampled_requests,
            last_pass_unix_seconds: status.heartbeat_unix_seconds,
            taken_unix_seconds: seconds_of(SystemTime::now()),
            fields,
            field_names: Arc::clone(&shared.field_names),
            store_name: Arc::clone(&shared.store_name),
            logic_id,
        }
    }
}
