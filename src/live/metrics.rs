//! A snapshot of all numbers that a live model has of itself.

use std::sync::Arc;
use std::time::SystemTime;

use super::counters::{CounterSums, RequestCounts};
use super::latency::Latency;
use super::ledger::{CodeCounts, FieldNames, LastLoad, MAX_FIELDS, SampledField, SwapCounts};
use super::report::ServingState;
use super::{LiveModel, Shared, seconds_of};
use crate::store::Control;
use crate::weight_file::map::LoadMode;

/// The numbers of a live model at one moment: of fixed size, and taken without an allocation, also while requests are scored and
/// generations are loaded.
///
/// What is called a count of what happened never goes down as long as the live model is open. Numbers that different threads keep are
/// looked at one after the other, so that a request that is scored meanwhile may be in one of them and not yet in another.
#[derive(Debug, Clone)]
pub struct LiveMetrics {
    /// What became of requests.
    pub requests: RequestCounts,
    /// How long those took that were scored.
    pub latency: Latency,
    /// Whether requests get answers.
    pub state: ServingState,
    /// What people decided, as it was understood last.
    pub control: Control,
    /// As [`Health::is_live`](super::Health::is_live).
    pub is_live: bool,
    /// As [`Health::is_ready`](super::Health::is_ready).
    pub is_ready: bool,
    /// The generation that answers, or would if scoring were not switched off.
    pub served: Option<ServedMetrics>,
    /// How attempts to serve a generation ended.
    pub swaps: SwapCounts,
    /// How long the last attempt took.
    pub last_load: Option<LastLoad>,
    /// What is not as it should be at present, by code.
    pub reasons: CodeCounts,
    /// Contents that are not tried again.
    pub quarantined_count: u64,
    /// Generations that are no longer served and still in memory.
    pub retired_count: u64,
    /// Bytes of all models in memory.
    pub mapped_bytes: u64,
    /// Of these, the bytes that lie in memory now, where the system says.
    pub resident_bytes: Option<u64>,
    /// Requests whose categories were counted by field.
    pub sampled_requests: u64,
    /// When the background thread last looked at the store, in seconds since 1970.
    pub last_pass_unix_seconds: u64,
    /// When this was taken, in seconds since 1970.
    pub taken_unix_seconds: u64,
    pub(super) fields: [SampledField; MAX_FIELDS],
    pub(super) field_names: Arc<FieldNames>,
    pub(super) store_name: Arc<str>,
    pub(super) logic_id: Option<Arc<str>>,
}

/// The generation that answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServedMetrics {
    /// Its number.
    pub generation: u64,
    /// Length of its file.
    pub file_len_bytes: u64,
    /// Number of its weights.
    pub weight_count: u64,
    /// How its bytes are in memory.
    pub load_mode: LoadMode,
    /// Whether it is still on trial.
    pub is_on_trial: bool,
    /// Since when it answers, in seconds since 1970.
    pub since_unix_seconds: u64,
    /// The end of the data that it was trained on, in seconds since 1970; nothing where its provenance does not say.
    pub training_end_unix_seconds: Option<i64>,
}

impl LiveMetrics {
    /// Name of the serving logic of the last generation that was served; nothing before the first.
    #[must_use]
    pub fn logic_id(&self) -> Option<&str> {
        self.logic_id.as_deref()
    }

    /// Name of the store's directory.
    #[must_use]
    pub fn store_name(&self) -> &str {
        &self.store_name
    }

    /// The fields that the server declared, those of the context first, with what was counted on sampled requests.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &SampledField)> {
        self.field_names.iter().zip(&self.fields)
    }

    /// How long ago the data ends that the served generation was trained on, in seconds; nothing where that is not known.
    #[must_use]
    pub fn training_age_seconds(&self) -> Option<u64> {
        let end = self.served?.training_end_unix_seconds?;
        u64::try_from(self.taken_unix_seconds.cast_signed().saturating_sub(end)).ok()
    }
}

impl Shared {
    /// Sums over all live scorers, those that are gone included.
    fn counter_sums(&self) -> CounterSums {
        let seats = self.seats();
        let mut sums = seats.departed.clone();
        for seat in &seats.all {
            sums.add(&seat.counters);
        }
        sums
    }

    pub(super) fn request_counts(&self) -> RequestCounts {
        self.counter_sums().requests
    }
}

impl LiveModel {
    /// The numbers of this moment. Allocates nothing, and no request waits for it; it may itself wait a moment for the background
    /// thread, so it is for a thread of its own.
    #[must_use]
    pub fn metrics(&self) -> LiveMetrics {
        let shared = &*self.shared;
        let sums = shared.counter_sums();
        let logic_id = shared.seats().logic_ids.last().map(|(_, logic_id)| Arc::clone(logic_id));
        let is_live = self.is_live();
        let (swaps, last_load, sampled_requests, fields) = {
            let ledger = shared.ledger();
            (ledger.swaps, ledger.last_load, ledger.sampled_requests, ledger.fields)
        };
        let status = shared.status();
        let mut reasons = CodeCounts::default();
        for reason in &status.reasons {
            reasons.add(reason.code.index());
        }
        LiveMetrics {
            requests: sums.requests,
            latency: Latency::of(&sums.latency_counts, sums.latency_sum_ns),
            state: status.state,
            control: status.control,
            is_live,
            is_ready: self.is_ready(status.state),
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
