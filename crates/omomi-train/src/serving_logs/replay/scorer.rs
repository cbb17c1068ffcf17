//! Scores logged rows with the library that serves.

use std::sync::Arc;

use omomi::contract::{Contract, FieldKind};
use omomi::request::{FieldSlot, Schema};
use omomi::score::{Contribution, WeightSource};
use omomi::serving_log::{LoggedModel, LoggedValue};
use omomi::{Capacity, Error, Model, Request, RequestLayout, Scorer};

use super::attribute::{Recomputed, Trace};
use crate::log::{number_in, value_of_key};

/// Room for the texts and lists of a row, in bytes: as many as a frame of the log has.
const TAIL_LEN_BYTES: usize = 1 << 20;

/// A weight file, ready to score.
pub(super) struct Replayer {
    scorer: Scorer,
    request: Request,
    schema: Schema,
    fingerprint: u64,
    /// Whether it is not the file that answered.
    pub(super) is_other_file: bool,
}

impl Replayer {
    pub(super) fn new(model: &Arc<Model>, is_other_file: bool) -> Result<Self, Error> {
        let schema = Schema::of_contract(model.contract());
        let layout = RequestLayout::new(&schema, Capacity { candidates: 1, tail_len_bytes: TAIL_LEN_BYTES })?;
        let scorer = Scorer::new(Arc::clone(model), &layout)?;
        let request = scorer.new_request();
        Ok(Self { scorer, request, schema, fingerprint: model.contract().fingerprint(), is_other_file })
    }

    pub(super) const fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Computes the answer for a logged row, and its features if `is_wanted` says so.
    pub(super) fn trace(
        &mut self,
        logged: &LoggedModel<'_>,
        values: &[Option<LoggedValue<'_>>],
        is_wanted: impl FnOnce(&Trace) -> bool,
    ) -> Trace {
        let mut trace = Trace { answer: None, bias: self.scorer.model().bias(), features: Vec::new(), problem: None };
        match self.score(logged, values) {
            Ok(answer) => trace.answer = Some(answer),
            Err(problem) => trace.problem = Some(problem),
        }
        if is_wanted(&trace) && trace.problem.is_none() {
            match self.scorer.explain(&mut self.request, 0) {
                Ok(explanation) => {
                    let contributions = explanation.contributions.into_iter();
                    // A field without a value has a weight only if the file has default weights.
                    trace.features = contributions.filter(is_counted).collect();
                }
                Err(error) => trace.problem = Some(error.to_string()),
            }
        }
        trace
    }

    fn score(&mut self, logged: &LoggedModel<'_>, values: &[Option<LoggedValue<'_>>]) -> Result<Recomputed, String> {
        self.request.clear();
        self.request.candidate(0).map_err(|error| error.to_string())?;
        let model = Arc::clone(self.scorer.model());
        for (field, value) in logged.fields.iter().zip(values) {
            let Some(value) = value else { continue };
            let Some(slot) = self.schema.slot(field.name) else {
                return Err(format!("the contract of the file has no field `{}`", field.name));
            };
            set_logged_value(&mut self.request, 0, model.contract(), (slot, field.name), value)?;
        }
        self.scorer.predict(&mut self.request, 1).map_err(|error| error.to_string())?;
        let answer = self.request.answer(0);
        if answer.status != omomi::request::CandidateStatus::Scored {
            return Err("the row is refused".to_owned());
        }
        Ok(Recomputed { logit: answer.logit, probability: answer.probability })
    }
}

/// Sets a field of a request as a log has it: in the context, or in the candidate at `index`.
///
/// # Errors
///
/// Returns why the value is none of the field.
pub(crate) fn set_logged_value(
    request: &mut Request,
    index: usize,
    contract: &Contract,
    (slot, name): (FieldSlot, &str),
    value: &LoggedValue<'_>,
) -> Result<(), String> {
    let Some(field) = contract.field(name) else { return Err(format!("no field `{name}`")) };
    let value_of = |key: u64| value_of_key(field.seed(), key);
    let mut row = if slot.side() == omomi::contract::Side::Context {
        request.context()
    } else {
        request.candidate(index).map_err(|error| error.to_string())?
    };
    let set = match (value, &field.kind) {
        (LoggedValue::Id(id), _) => row.set_id(slot, *id),
        (LoggedValue::Number(number), _) => row.set_number(slot, *number),
        (LoggedValue::Text(text), _) => row.set_text(slot, text),
        (LoggedValue::TextValue(value), _) => row.set_text_value(slot, *value),
        (LoggedValue::Ids(ids), _) => row.set_ids(slot, ids),
        (LoggedValue::Texts(texts), _) => row.set_texts(slot, texts),
        (LoggedValue::Key(key), FieldKind::Id) => row.set_id(slot, value_of(*key).cast_signed()),
        (LoggedValue::Key(key), FieldKind::Text) => row.set_text_value(slot, value_of(*key)),
        (LoggedValue::Key(key), FieldKind::Number { range, buckets, .. }) => {
            let Some(number) = number_in(buckets, *range, value_of(*key)) else {
                return Err(format!("the key of `{name}` is of no bucket"));
            };
            row.set_number(slot, number)
        }
        (LoggedValue::Keys(keys), FieldKind::Id) => {
            let ids: Vec<i64> = keys.iter().map(|key| value_of(*key).cast_signed()).collect();
            row.set_ids(slot, &ids)
        }
        (LoggedValue::Keys(keys), FieldKind::Text) => {
            let values: Vec<u64> = keys.iter().map(|key| value_of(*key)).collect();
            row.set_text_values(slot, &values)
        }
        (LoggedValue::TextValues(values), _) => row.set_text_values(slot, values),
        (LoggedValue::Keys(_), FieldKind::Number { .. }) => {
            return Err(format!("`{name}` has a list of numbers, which no contract allows"));
        }
    };
    set.map_err(|error| error.to_string())
}

/// Whether an explanation lists a feature wherever it is made: not what adds nothing because there is no value.
pub(super) fn is_counted(contribution: &Contribution) -> bool {
    contribution.source != WeightSource::Missing || contribution.weight != 0.0
}
