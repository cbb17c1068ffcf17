//! What a weight file would choose in requests whose details are logged.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use omomi::contract::{Contract, FieldKind, LogPolicy};
use omomi::request::{CandidateStatus, Schema};
use omomi::score::WeightSource;
use omomi::serving_log::{LoggedDetail, LoggedFeature, LoggedKind, LoggedModel, LoggedValue};
use omomi::{Capacity, LoadMode, Model, Request, RequestLayout, Scorer};

use crate::bucket::load_model;
use crate::read_out::ReadOutError;
use crate::serving_logs::set_logged_value;

/// Room for the lists of a request, in bytes.
const TAIL_LEN_BYTES: usize = 8 << 20;

/// Which candidate a weight file would choose: the policy that is judged.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum TargetPolicy {
    /// The candidate with the highest logit; of equal ones, the first.
    Greedy,
    /// Each candidate with a probability in proportion to `exp(logit / temperature)`.
    Softmax {
        /// The temperature, on the scale of logits.
        temperature: f64,
    },
}

impl TargetPolicy {
    /// Returns the probability of each candidate; 0 for those without a logit, which no policy may choose.
    pub(super) fn probabilities(self, logits: &[f64]) -> Vec<f64> {
        let best = logits.iter().copied().filter(|logit| !logit.is_nan()).fold(f64::NEG_INFINITY, f64::max);
        if best == f64::NEG_INFINITY {
            return vec![0.0; logits.len()];
        }
        match self {
            Self::Greedy => {
                let chosen = logits.iter().position(|logit| *logit >= best);
                (0..logits.len()).map(|index| f64::from(u8::from(Some(index) == chosen))).collect()
            }
            Self::Softmax { temperature } => {
                let share = |logit: &f64| if logit.is_nan() { 0.0 } else { ((logit - best) / temperature).exp() };
                let shares: Vec<f64> = logits.iter().map(share).collect();
                let all: f64 = shares.iter().sum();
                shares.into_iter().map(|share| share / all).collect()
            }
        }
    }
}

/// A weight file that scores the requests of a log again.
pub(super) struct Chooser {
    path: PathBuf,
    model: Arc<Model>,
    schema: Schema,
    scorer: Scorer,
    request: Request,
    capacity: usize,
    /// The contracts of the log that were checked.
    checked: Vec<u64>,
}

impl Chooser {
    pub(super) fn open(path: &Path) -> Result<Self, ReadOutError> {
        let failed = |source| ReadOutError::WeightFile { path: path.to_owned(), source };
        let model = load_model(path, LoadMode::Map).map_err(failed)?;
        let schema = Schema::of_contract(model.contract());
        let (scorer, request) = scorer_of(&model, &schema, 64).map_err(failed)?;
        Ok(Self { path: path.to_owned(), model, schema, scorer, request, capacity: 64, checked: Vec::new() })
    }

    pub(super) const fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Returns the logit of each candidate of a logged request; NaN for those that were not scored, then or now.
    pub(super) fn logits(
        &mut self,
        logged: &LoggedModel<'_>,
        detail: &LoggedDetail<'_>,
    ) -> Result<Vec<f64>, ReadOutError> {
        if !self.checked.contains(&logged.contract_fingerprint) {
            self.check(logged)?;
            self.checked.push(logged.contract_fingerprint);
        }
        let count = detail.candidates.len();
        if count > self.capacity {
            self.capacity = count.next_power_of_two();
            let made = scorer_of(&self.model, &self.schema, self.capacity);
            (self.scorer, self.request) =
                made.map_err(|source| ReadOutError::WeightFile { path: self.path.clone(), source })?;
        }
        self.request.clear();
        let mut set = || -> Result<(), String> {
            set_features(&mut self.request, &self.schema, (self.model.contract(), logged), &detail.context, 0)?;
            for (index, candidate) in detail.candidates.iter().enumerate() {
                self.request.candidate(index).map_err(|error| error.to_string())?;
                let of = (self.model.contract(), logged);
                set_features(&mut self.request, &self.schema, of, &candidate.features, index)?;
            }
            self.scorer.predict_filled(&mut self.request).map(drop).map_err(|error| error.to_string())
        };
        set().map_err(|message| self.unknown(format!("request `{}`: {message}", detail.request_id)))?;
        let logit = |index: usize| {
            let answer = self.request.answer(index);
            let was_scored = detail.candidates[index].status == CandidateStatus::Scored;
            if was_scored && answer.status == CandidateStatus::Scored { answer.logit } else { f64::NAN }
        };
        Ok((0..count).map(logit).collect())
    }

    fn unknown(&self, message: String) -> ReadOutError {
        ReadOutError::UnknownChoice { path: self.path.clone(), message }
    }

    /// Checks that the log has every field of the file, in the same form.
    fn check(&self, logged: &LoggedModel<'_>) -> Result<(), ReadOutError> {
        let contract = self.model.contract();
        let logged_field = |name: &str| logged.fields.iter().find(|known| known.name == name);
        if let Some(field) = contract.fields().iter().find(|field| logged_field(&field.name).is_none()) {
            return Err(self.unknown(format!(
                "its contract has the field `{}`, which the logged requests do not have: what it would choose cannot \
                 be known; log requests under a contract that has the field",
                field.name
            )));
        }
        for field in contract.fields() {
            let Some(known) = logged_field(&field.name) else { continue };
            if known.policy == LogPolicy::Never {
                return Err(self.unknown(format!(
                    "its field `{}` is never logged, so what it would choose cannot be known; let the contract log it \
                     hashed, or train a file without it",
                    field.name
                )));
            }
            let kind = match field.kind {
                FieldKind::Id => LoggedKind::Id,
                FieldKind::Text => LoggedKind::Text,
                FieldKind::Number { .. } => LoggedKind::Number,
            };
            if kind != known.kind || field.many != known.many {
                return Err(self.unknown(format!("its field `{}` has another type in the log", field.name)));
            }
            // The log has the buckets of numbers only, which mean something under its own contract.
            if kind == LoggedKind::Number && contract.fingerprint() != logged.contract_fingerprint {
                return Err(self.unknown(format!(
                    "its contract {:016x} is not that of the log, {:016x}, and the log has only the buckets of the \
                     number `{}`: judge a file of the same contract",
                    contract.fingerprint(),
                    logged.contract_fingerprint,
                    field.name
                )));
            }
        }
        Ok(())
    }
}

fn scorer_of(model: &Arc<Model>, schema: &Schema, candidates: usize) -> Result<(Scorer, Request), omomi::Error> {
    let layout = RequestLayout::new(schema, Capacity { candidates, tail_len_bytes: TAIL_LEN_BYTES })?;
    let scorer = Scorer::new(Arc::clone(model), &layout)?;
    let request = scorer.new_request();
    Ok((scorer, request))
}

/// Sets the fields of the context, or of one candidate, from the features that were logged. Crosses follow from their
/// members.
fn set_features(
    request: &mut Request,
    schema: &Schema,
    (contract, logged): (&Contract, &LoggedModel<'_>),
    features: &[LoggedFeature],
    index: usize,
) -> Result<(), String> {
    for group in features.chunk_by(|one, next| one.group == next.group) {
        let Some(field) = group.first().and_then(|first| logged.fields.get(usize::from(first.group))) else {
            continue;
        };
        let Some(slot) = schema.slot(field.name) else { continue };
        let keys: Vec<u64> =
            group.iter().filter(|feature| feature.source != WeightSource::Missing).map(|feature| feature.key).collect();
        let value = match (&keys[..], field.many) {
            ([], _) => continue,
            ([key], false) => LoggedValue::Key(*key),
            _ => LoggedValue::Keys(keys),
        };
        set_logged_value(request, index, contract, (slot, field.name), &value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_chooses_among_scored_candidates_only() {
        let logits = [-1.0, f64::NAN, 0.5, 0.5];
        assert_eq!(TargetPolicy::Greedy.probabilities(&logits), [0.0, 0.0, 1.0, 0.0]);
        let soft = TargetPolicy::Softmax { temperature: 0.5 }.probabilities(&logits);
        assert_eq!(soft[1], 0.0);
        assert!((soft[0] / soft[2] - (-3.0_f64).exp()).abs() < 1e-12 && (soft.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        for policy in [TargetPolicy::Greedy, TargetPolicy::Softmax { temperature: 1.0 }] {
            assert_eq!(policy.probabilities(&[f64::NAN]), [0.0]);
            assert_eq!(policy.probabilities(&[]), Vec::<f64>::new());
        }
    }
}
