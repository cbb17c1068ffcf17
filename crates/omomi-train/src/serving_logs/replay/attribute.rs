//! Which part of an answer differs first: pure functions of what was logged and what was computed.

use omomi::error::Owner;
use omomi::score::{Contribution, WeightSource};
use omomi::serving_log::{LoggedDetail, LoggedFeature, LoggedModel};

use super::DifferingPart;
use crate::serving_logs::json::group_name;

/// An answer. Two are equal if all of their bits are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recomputed {
    pub(super) logit: f64,
    pub(super) probability: f32,
}

impl PartialEq for Recomputed {
    fn eq(&self, other: &Self) -> bool {
        self.logit.to_bits() == other.logit.to_bits() && self.probability.to_bits() == other.probability.to_bits()
    }
}

/// How an answer was computed again.
#[derive(Debug, Clone)]
pub(super) struct Trace {
    /// Nothing if the row cannot be scored.
    pub(super) answer: Option<Recomputed>,
    pub(super) bias: f64,
    /// In the order in which they are added.
    pub(super) features: Vec<Contribution>,
    /// Why the row cannot be scored.
    pub(super) problem: Option<String>,
}

type Attribution = (DifferingPart, Owner, String);

/// Compares with the details of the request.
pub(super) fn attribute(
    logged: Recomputed,
    trace: &Trace,
    model: &LoggedModel<'_>,
    detail: &LoggedDetail<'_>,
    candidate: usize,
    is_other_file: bool,
) -> Attribution {
    if trace.problem.is_some() {
        return attribute_without_details(logged, trace, is_other_file);
    }
    let own = detail.candidates.get(candidate).map_or(&[][..], |candidate| &candidate.features);
    let is_counted = |feature: &&LoggedFeature| feature.source != WeightSource::Missing || feature.weight != 0.0;
    let served: Vec<&LoggedFeature> = detail.context.iter().chain(own).filter(is_counted).collect();
    let name = |feature: &LoggedFeature| group_name(model, feature.group);
    // Who changed the features: the file with its contract, or the server with its row.
    let owner = if is_other_file { Owner::Ml } else { Owner::Delivery };
    let remedy = if is_other_file {
        "the file has another contract: restore the file that was served, or correct units and buckets"
    } else {
        "the logged row is not the one that was scored: record before the request is changed"
    };
    for place in 0..served.len().max(trace.features.len()) {
        let (one, two) = (served.get(place), trace.features.get(place));
        let is_same = one.zip(two).is_some_and(|(one, two)| name(one) == two.field && one.key == two.key);
        if !is_same {
            let one = one.map_or_else(|| "none".to_owned(), |one| format!("`{}` with key {:016x}", name(one), one.key));
            let two = two.map_or_else(|| "none".to_owned(), |two| format!("`{}` with key {:016x}", two.field, two.key));
            let message = format!("feature {place}: served {one}, computed {two}; {remedy}");
            return (DifferingPart::Feature, owner, message);
        }
    }
    let other = "the file is not the one that answered: restore it";
    for (one, two) in served.iter().zip(&trace.features) {
        if one.weight.to_bits() != two.weight.to_bits() {
            let message = format!(
                "the weight of `{}` with key {:016x}: served {}, computed {}; {other}",
                two.field, two.key, one.weight, two.weight
            );
            return (DifferingPart::Weight, Owner::Ml, message);
        }
    }
    if detail.bias.to_bits() != trace.bias.to_bits() {
        let message = format!("the bias: served {}, computed {}; {other}", detail.bias, trace.bias);
        return (DifferingPart::Bias, Owner::Ml, message);
    }
    attribute_answer(logged, trace, is_other_file)
}

/// Compares without details, of which only a share of requests has any.
pub(super) fn attribute_without_details(logged: Recomputed, trace: &Trace, is_other_file: bool) -> Attribution {
    if let Some(problem) = &trace.problem {
        let owner = if is_other_file { Owner::Ml } else { Owner::Delivery };
        return (DifferingPart::Feature, owner, format!("the row cannot be scored: {problem}"));
    }
    let (part, owner, message) = attribute_answer(logged, trace, is_other_file);
    (part, owner, format!("{message} (the request has no details)"))
}

fn attribute_answer(logged: Recomputed, trace: &Trace, is_other_file: bool) -> Attribution {
    let computed = trace.answer.unwrap_or(Recomputed { logit: f64::NAN, probability: f32::NAN });
    if computed.logit.to_bits() == logged.logit.to_bits() {
        let message = format!(
            "the probability of the logit {}: served {}, computed {}; the calibrator of the file is not the one that \
             answered: restore the file",
            logged.logit, logged.probability, computed.probability
        );
        return (DifferingPart::Calibration, Owner::Ml, message);
    }
    let answers = format!("the logit: served {}, computed {}", logged.logit, computed.logit);
    if is_other_file {
        let message = format!("{answers}; the file is not the one that answered: restore it");
        return (DifferingPart::File, Owner::Ml, message);
    }
    // The file is the one that answered, so the row is not the one that was scored.
    let message = format!(
        "{answers}; the file is the one that answered, so the logged row is not the one that was scored: record before \
         the request is changed"
    );
    (DifferingPart::Feature, Owner::Delivery, message)
}

#[cfg(test)]
mod tests {
    use omomi::request::CandidateStatus;
    use omomi::serving_log::LoggedCandidate;

    use super::*;

    fn model() -> LoggedModel<'static> {
        use omomi::contract::{LogPolicy, Side};
        use omomi::serving_log::{LoggedField, LoggedKind};
        let field =
            |name, side| LoggedField { name, side, kind: LoggedKind::Id, many: false, policy: LogPolicy::Plain };
        LoggedModel {
            generation: 7,
            digest: [0; 8],
            contract_fingerprint: 1,
            logic_id: "a",
            fields: vec![field("site", Side::Context), field("ad", Side::Candidate)],
            crosses: vec![vec![0, 1]],
        }
    }

    /// A request, and how it was computed again: equal.
    fn equal() -> (Recomputed, Trace, LoggedDetail<'static>) {
        let feature = |group, key, weight| LoggedFeature { group, key, weight, source: WeightSource::Found };
        let logged = Recomputed { logit: -1.0, probability: 0.25 };
        let computed = |field: &str, key, weight| Contribution {
            field: field.to_owned(),
            key,
            weight,
            source: WeightSource::Found,
        };
        let trace = Trace {
            answer: Some(logged),
            bias: -2.0,
            features: vec![computed("site", 1, 0.5), computed("ad", 2, 0.25), computed("site*ad", 3, 0.25)],
            problem: None,
        };
        let own = vec![feature(1, 2, 0.25), feature(2, 3, 0.25)];
        let candidate =
            LoggedCandidate { logit: -1.0, probability: 0.25, status: CandidateStatus::Scored, features: own };
        let detail = LoggedDetail {
            request_id: "r",
            bias: -2.0,
            context: vec![feature(0, 1, 0.5)],
            candidates: vec![candidate],
        };
        (logged, trace, detail)
    }

    #[test]
    fn each_planted_fault_is_attributed_to_the_part_that_has_it() {
        use DifferingPart::{Bias, Calibration, Feature, File, Weight};
        let plant = |fault: &dyn Fn(&mut Trace), is_other_file| {
            let (logged, mut trace, detail) = equal();
            fault(&mut trace);
            let (part, owner, message) = attribute(logged, &trace, &model(), &detail, 0, is_other_file);
            (part, owner, message)
        };
        let (part, owner, message) = plant(&|trace| trace.features[2].weight = 0.5, true);
        assert_eq!((part, owner), (Weight, Owner::Ml));
        assert!(message.contains("`site*ad`") && message.contains("served 0.25, computed 0.5"), "{message}");
        let (part, owner, message) = plant(&|trace| trace.features[1].key = 9, false);
        assert_eq!((part, owner), (Feature, Owner::Delivery));
        assert!(message.contains("feature 1: served `ad`"), "{message}");
        let (part, owner, _) = plant(&|trace| trace.features[0].key = 9, true);
        assert_eq!((part, owner), (Feature, Owner::Ml), "another contract has other buckets");
        assert_eq!(plant(&|trace| drop(trace.features.pop()), false).0, Feature);
        assert_eq!(plant(&|trace| trace.bias = -2.5, true).0, Bias);
        let other = |logit, probability| Some(Recomputed { logit, probability });
        assert_eq!(plant(&|trace| trace.answer = other(-1.0, 0.5), true).0, Calibration);
        let (part, owner, _) = plant(&|trace| trace.answer = other(-1.5, 0.2), true);
        assert_eq!((part, owner), (File, Owner::Ml));
        let (part, owner, _) = plant(&|trace| trace.answer = other(-1.5, 0.2), false);
        assert_eq!((part, owner), (Feature, Owner::Delivery));
        let (part, _, message) = plant(&|trace| trace.problem = Some("no field".to_owned()), true);
        assert_eq!(part, Feature);
        assert!(message.contains("no field"), "{message}");
    }

    #[test]
    fn zeros_of_two_signs_are_two_answers() {
        let answer = |logit| Recomputed { logit, probability: 0.5 };
        assert!(answer(0.0) == answer(0.0) && answer(0.0) != answer(-0.0));
        assert!(answer(f64::NAN) == answer(f64::NAN));
    }
}
