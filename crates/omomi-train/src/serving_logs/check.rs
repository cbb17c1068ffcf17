//! Checks a log against the contract and against what every log must have.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use omomi::contract::{Contract, LogPolicy};
use omomi::error::Owner;
use omomi::serving_log::{
    Block, EventKind, LoggedEvent, LoggedFeature, LoggedKind, LoggedModel, LoggedPrediction, LoggedValue, PredictionId,
    Record, RecordBody, RowState, Source,
};

use super::error::ServingLogError;
use super::losses::Losses;
use super::segments::Segments;
use crate::log::is_in_the_future;
use crate::readable::grouped;

/// 2000-01-01, before which training refuses a row.
const EARLIEST_UNIX_MS: i64 = 946_684_800_000;

/// What a check found.
#[derive(Debug, Clone)]
pub struct CheckReport {
    /// Predictions that were read.
    pub prediction_count: u64,
    /// Detail records that were read.
    pub detail_count: u64,
    /// Events that were read, by [kind](EventKind).
    pub event_counts: BTreeMap<&'static str, u64>,
    /// Records of each logic id and generation.
    pub models: BTreeMap<(String, u64), u64>,
    /// What was lost.
    pub losses: Losses,
    /// Everything that is wrong, most frequent first within each owner.
    pub faults: Vec<LogFault>,
}

/// One kind of thing that is wrong with a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFault {
    /// Who must act.
    pub owner: Owner,
    /// How many records have it.
    pub count: u64,
    /// What was expected and found, and what to do.
    pub message: String,
    /// The first record that has it: a prediction id or a request id. Empty if the fault belongs to no record.
    pub first: String,
}

/// Reads a log and returns everything that is wrong with it: other contracts, mandatory values that are missing,
/// policies that are not obeyed, and losses.
///
/// # Errors
///
/// Returns [`ServingLogError`] if a file cannot be read. Faults of the log are in the report.
pub fn check(segments: &Segments, contract: &Contract) -> Result<CheckReport, ServingLogError> {
    let mut checker = Checker { contract, fingerprint: contract.fingerprint(), ..Checker::new(contract) };
    let losses = segments.read(&mut |_, block, record| {
        checker.check(block, record);
        ControlFlow::Continue(())
    })?;
    Ok(checker.finish(losses))
}

/// Returns what a contract makes impossible with its own serving log, and who must act: a model that needs a field
/// which is never logged can neither learn that field from the log, nor be replayed.
#[must_use]
pub fn unlogged_fields(contract: &Contract) -> Vec<(Owner, String)> {
    let fields = contract.fields().iter().enumerate().filter(|(_, field)| field.log == LogPolicy::Never);
    fields
        .map(|(index, field)| {
            let crosses = contract.crosses().iter().filter(|cross| cross.members.contains(&index));
            let crosses: Vec<String> = crosses.map(|cross| format!("`{}`", contract.cross_name(cross))).collect();
            let also = match crosses.as_slice() {
                [] => String::new(),
                crosses => format!(", nor the crosses with it: {}", crosses.join(", ")),
            };
            let message = format!(
                "`{}` is never logged: a model cannot learn it from served logs{also}, and no prediction can be \
                 replayed; log it `hashed` if the model needs it, or train from logs that have it",
                field.name
            );
            (Owner::Ml, message)
        })
        .collect()
}

struct Checker<'c> {
    contract: &'c Contract,
    fingerprint: u64,
    prediction_count: u64,
    detail_count: u64,
    event_counts: BTreeMap<&'static str, u64>,
    models: BTreeMap<(String, u64), u64>,
    /// Owner and message to count and first record.
    faults: BTreeMap<(u8, String), (u64, String)>,
}

const OWNERS: [Owner; 3] = [Owner::Ml, Owner::Delivery, Owner::Infra];

impl<'c> Checker<'c> {
    const fn new(contract: &'c Contract) -> Self {
        Self {
            contract,
            fingerprint: 0,
            prediction_count: 0,
            detail_count: 0,
            event_counts: BTreeMap::new(),
            models: BTreeMap::new(),
            faults: BTreeMap::new(),
        }
    }

    fn fault(&mut self, owner: Owner, message: String, first: &dyn std::fmt::Display) {
        let place = OWNERS.iter().position(|one| *one == owner).unwrap_or(0);
        #[expect(clippy::cast_possible_truncation, reason = "one of three")]
        let (count, _) = self.faults.entry((place as u8, message)).or_insert_with(|| (0, first.to_string()));
        *count += 1;
    }

    fn check(&mut self, block: &Block<'_>, record: &Record<'_>) {
        let model = record.head.model.map(|model| &block.models[model]);
        if let Some(model) = model {
            *self.models.entry((model.logic_id.to_owned(), model.generation)).or_default() += 1;
        }
        match &record.body {
            // What a shadow said is checked like a prediction, but is none.
            RecordBody::Shadow(prediction) => {
                self.check_time(record.head.at_unix_ms, &prediction.id);
                self.check_prediction(prediction, model);
            }
            RecordBody::Prediction(prediction) => {
                self.prediction_count += 1;
                self.check_time(record.head.at_unix_ms, &prediction.id);
                self.check_prediction(prediction, model);
            }
            RecordBody::Detail(detail) => {
                self.detail_count += 1;
                let Some(model) = model else { return };
                self.check_contract(model, &detail.request_id);
                let of_candidates = detail.candidates.iter().flat_map(|candidate| &candidate.features);
                for feature in detail.context.iter().chain(of_candidates) {
                    self.check_feature(model, feature, detail.request_id);
                }
            }
            RecordBody::Event(event) => {
                *self.event_counts.entry(event.kind.word()).or_default() += 1;
                self.check_time(record.head.at_unix_ms, &event.prediction_id);
                self.check_event(event);
            }
            RecordBody::Unknown(kind) => self.fault(
                Owner::Ml,
                format!("expected a known kind of record, found {kind}; update the reader"),
                &record.head.sequence,
            ),
        }
    }

    fn check_time(&mut self, unix_ms: i64, id: &PredictionId) {
        if unix_ms < EARLIEST_UNIX_MS || unix_ms.checked_mul(1_000).is_none_or(is_in_the_future) {
            let message = "expected a time from 2000 to now, in Unix milliseconds, found another; correct the clock, \
                           or the unit of the time that the server passes";
            self.fault(Owner::Delivery, message.to_owned(), id);
        }
    }

    fn check_contract(&mut self, model: &LoggedModel<'_>, first: &dyn std::fmt::Display) {
        if model.contract_fingerprint == self.fingerprint {
            return;
        }
        let message = format!(
            "expected the contract {:016x}, found {:016x} in generation {} of `{}`{}; pass the contract of the model \
             that was served",
            self.fingerprint,
            model.contract_fingerprint,
            model.generation,
            model.logic_id,
            field_difference(self.contract, model).map_or_else(String::new, |difference| format!(": {difference}")),
        );
        self.fault(Owner::Ml, message, first);
    }

    fn check_prediction(&mut self, prediction: &LoggedPrediction<'_>, model: Option<&LoggedModel<'_>>) {
        let id = prediction.id;
        let expected = PredictionId::of(prediction.request_id, prediction.impression, prediction.candidate);
        if expected.ok() != Some(id) {
            let message = "the prediction id does not follow from request id, impression and candidate; events of \
                           other systems will not join; report the defect";
            self.fault(Owner::Ml, message.to_owned(), &id);
        }
        let is_probability = prediction.probability > 0.0 && prediction.probability < 1.0;
        let is_of_model = prediction.source == Source::Model;
        if !is_probability {
            let message = if is_of_model {
                "the model's probability is not in (0, 1); report the defect".to_owned()
            } else {
                format!(
                    "expected the probability that the server used instead of the model's (source `{}`), found none; \
                     pass it as the server's own probability",
                    prediction.source.word()
                )
            };
            self.fault(if is_of_model { Owner::Ml } else { Owner::Delivery }, message, &id);
        }
        if is_of_model && prediction.logit.is_nan() {
            self.fault(Owner::Ml, "the model's logit is missing; report the defect".to_owned(), &id);
        }
        match model {
            None if is_of_model => {
                self.fault(Owner::Ml, "expected a logic id, found no model; report the defect".to_owned(), &id);
            }
            None => {}
            Some(model) => {
                if model.logic_id.is_empty() {
                    let message = "expected a logic id, found none; pack the model with one".to_owned();
                    self.fault(Owner::Ml, message, &id);
                }
                self.check_contract(model, &id);
            }
        }
        match &prediction.row {
            RowState::Here(values) => {
                for (field, value) in model.iter().flat_map(|model| &model.fields).zip(values) {
                    // A field that the contract does not have is a fault of the contract, which was counted.
                    let policy = self.contract.field(field.name).map_or(field.policy, |field| field.log);
                    let Some(value) = value else { continue };
                    if let Some(message) = value_fault(field.name, policy, field.kind, value) {
                        self.fault(Owner::Delivery, message, &id);
                    }
                }
            }
            // A server that did not need the model may not have filled the request.
            RowState::Unknown | RowState::Unreadable if !is_of_model => {}
            RowState::Unknown => {
                self.fault(Owner::Ml, "the row is missing: no contract; report the defect".to_owned(), &id);
            }
            RowState::Changed => {
                let message = "the row is missing: the prepared candidate was changed between the answer and the \
                               record; record before the candidate is changed";
                self.fault(Owner::Delivery, message.to_owned(), &id);
            }
            RowState::Unreadable => {
                let message = "the row is missing: it cannot be read; correct how the server fills requests";
                self.fault(Owner::Delivery, message.to_owned(), &id);
            }
        }
    }

    fn check_feature(&mut self, model: &LoggedModel<'_>, feature: &LoggedFeature, request_id: &str) {
        let group = usize::from(feature.group);
        let never = |field: usize| {
            let name = model.fields[field].name;
            let is_never = self.contract.field(name).is_some_and(|field| field.log == LogPolicy::Never);
            is_never.then_some(name)
        };
        let leaked = match group.checked_sub(model.fields.len()) {
            None => never(group),
            Some(cross) => {
                let members = model.crosses.get(cross).map_or(&[][..], Vec::as_slice);
                members.iter().find_map(|member| never(usize::from(*member)))
            }
        };
        if let Some(name) = leaked {
            let message = format!(
                "`{name}` must never be logged, but is in details; delete the segments, and serve a model whose \
                 contract says so"
            );
            self.fault(Owner::Delivery, message, &request_id);
        }
    }

    fn check_event(&mut self, event: &LoggedEvent) {
        if event.kind == EventKind::Win && event.money.is_none() {
            let message = "expected a price with each win, found none; pass the price, its currency and its basis";
            self.fault(Owner::Delivery, message.to_owned(), &event.prediction_id);
        }
    }

    fn finish(mut self, losses: Losses) -> CheckReport {
        if self.prediction_count == 0 {
            let message = "expected predictions, found none; record what the server bids with or shows".to_owned();
            self.fault(Owner::Delivery, message, &"");
        }
        let of_records = self.faults.into_iter().map(|((owner, message), (count, first))| LogFault {
            owner: OWNERS[usize::from(owner)],
            count,
            message: if first.is_empty() { message } else { format!("{}: {message}", records(count)) },
            first,
        });
        let lost = losses.lines().into_iter();
        let lost = lost.map(|(owner, message)| LogFault { owner, count: 1, message, first: String::new() });
        let mut faults: Vec<LogFault> = of_records.chain(lost).collect();
        faults.sort_by_key(|fault| {
            (OWNERS.iter().position(|owner| *owner == fault.owner), std::cmp::Reverse(fault.count))
        });
        CheckReport {
            prediction_count: self.prediction_count,
            detail_count: self.detail_count,
            event_counts: self.event_counts,
            models: self.models,
            losses,
            faults,
        }
    }
}

fn records(count: u64) -> String {
    if count == 1 { "1 record".to_owned() } else { format!("{} records", grouped(count)) }
}

/// Says how a value does not obey the policy of its field, or has another type.
fn value_fault(name: &str, policy: LogPolicy, kind: LoggedKind, value: &LoggedValue<'_>) -> Option<String> {
    let is_key = matches!(value, LoggedValue::Key(_) | LoggedValue::Keys(_));
    let is_of_kind = match value {
        LoggedValue::Id(_) | LoggedValue::Ids(_) => kind == LoggedKind::Id,
        LoggedValue::Number(_) => kind == LoggedKind::Number,
        LoggedValue::Text(_) | LoggedValue::TextValue(_) | LoggedValue::Texts(_) | LoggedValue::TextValues(_) => {
            kind == LoggedKind::Text
        }
        LoggedValue::Key(_) | LoggedValue::Keys(_) => true,
    };
    let serve = "serve a model whose contract says so";
    match policy {
        LogPolicy::Never => Some(format!("`{name}` must never be logged, but is; delete the segments, and {serve}")),
        LogPolicy::Hashed if !is_key => {
            Some(format!("`{name}` must be logged hashed, but is plain; delete the segments, and {serve}"))
        }
        LogPolicy::Plain if is_key => Some(format!("`{name}` must be logged plain, but is hashed; {serve}")),
        _ if !is_of_kind => Some(format!("`{name}` has a value of another type; report the defect")),
        _ => None,
    }
}

/// Returns the first field in which the contract of a logged model differs, if one does.
pub(super) fn field_difference(contract: &Contract, model: &LoggedModel<'_>) -> Option<String> {
    for field in contract.fields() {
        let Some(logged) = model.fields.iter().find(|logged| logged.name == field.name) else {
            return Some(format!("it has no field `{}`", field.name));
        };
        let kind = kind_word(logged.kind);
        if kind != field.kind.word() || logged.many != field.many || logged.side != field.side {
            return Some(format!("`{}` has another type or side", field.name));
        }
        if logged.policy != field.log {
            let (expected, found) = (field.log.word(), logged.policy.word());
            return Some(format!("`{}` is logged {found}, not {expected}", field.name));
        }
    }
    let more = model.fields.iter().find(|logged| contract.field(logged.name).is_none());
    more.map(|logged| format!("it has the field `{}`", logged.name))
}

pub(super) const fn kind_word(kind: LoggedKind) -> &'static str {
    match kind {
        LoggedKind::Id => "id",
        LoggedKind::Text => "text",
        LoggedKind::Number => "number",
    }
}
