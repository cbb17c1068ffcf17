//! The answers that all contestants must agree on.

use std::sync::Arc;

use omomi::{CandidateStatus, Model, Request, Scorer};

use crate::support::requests::{Traffic, Values};

/// The answers of the kernel, which equal those of the plain twin bit for bit.
#[derive(PartialEq)]
pub struct Answers {
    logits: Vec<Vec<f64>>,
    probabilities: Vec<Vec<f32>>,
}

impl Answers {
    pub fn of(traffic: &Traffic, model: &Arc<Model>) -> Self {
        let scorer = Scorer::new(Arc::clone(model), &traffic.layout()).expect("a scorer");
        Self::by(traffic, &scorer, 0, |request, index| traffic.fill(request, index))
    }

    /// Returns the answers of one of the scorer's models to the requests that `fill` fills.
    pub fn by(traffic: &Traffic, scorer: &Scorer, model: usize, fill: impl Fn(&mut Request, usize)) -> Self {
        let count = traffic.shape.candidate_count;
        let mut request = scorer.new_request();
        let mut answers = Self { logits: Vec::new(), probabilities: Vec::new() };
        for index in 0..traffic.requests.len() {
            fill(&mut request, index);
            scorer.predict_plain(&mut request, count).expect("good requests");
            let plain: Vec<_> = request.answers_of(model, count).collect();
            assert!(plain.iter().all(|answer| answer.status == CandidateStatus::Scored));
            scorer.predict(&mut request, count).expect("good requests");
            assert!(request.answers_of(model, count).eq(plain.iter().copied()), "the kernel answers as its plain twin");
            answers.logits.push(plain.iter().map(|answer| answer.logit).collect());
            answers.probabilities.push(plain.iter().map(|answer| answer.probability).collect());
        }
        answers
    }

    /// Checks the answers of a server on the heap. It sums in a different order and uses the platform's `exp`, so the
    /// last bits may differ.
    pub fn assert_by(&self, traffic: &Traffic, score: impl Fn(&Values, &mut [f32])) {
        let mut found = vec![0.0; traffic.shape.candidate_count];
        for (values, expected) in traffic.requests.iter().zip(&self.probabilities) {
            score(values, &mut found);
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() <= 1e-6 * expected, "expected {expected}, found {found}");
            }
        }
    }

    /// Returns a checksum that depends on every bit of every logit, by the formula of the client in C.
    pub fn folded_logits(&self) -> u64 {
        let fold = |folded: u64, logit: &f64| folded.wrapping_mul(31).wrapping_add(logit.to_bits());
        self.logits.iter().flatten().fold(0, fold)
    }
}
