//! Checks before anything is timed: whether the answers are right, and how many features of the requests have a weight.

use std::collections::HashSet;
use std::sync::Arc;

use super::rotation::Rotation;
use super::{LatencyError, Setup};
use omomi::contract::{Contract, Side};
use omomi::score::{Model, Request};

/// Number of requests whose answers are compared with those of the plain twin.
const COMPARED_REQUESTS: usize = 16;
/// Number of candidates after which no more requests are scored to count unseen categories.
const COUNTED_CANDIDATES: usize = 1 << 20;

/// How many features of a rotation the weight file covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Coverage {
    /// Requests that were scored to count: all of them, or as many as reach a million candidates.
    pub request_count: u64,
    /// Categories in these requests: those of each context once, and those of each candidate.
    pub category_count: u64,
    /// Categories without a weight.
    pub unseen_count: u64,
    /// Fields without a value: those of each context once, and those of each candidate.
    pub missing_count: u64,
    /// Requests whose answers were compared with the plain twin's. Crosses are counted only in these.
    pub compared_count: u64,
    /// Crossed categories of candidates with the context or with each other.
    pub cross_count: u64,
    /// Crossed categories without a weight.
    pub unseen_cross_count: u64,
}

#[expect(clippy::cast_precision_loss, reason = "shares for people")]
impl Coverage {
    /// The share of categories without a weight, 0 to 1; `None` if there are no categories.
    #[must_use]
    pub fn unseen_share(&self) -> Option<f64> {
        (self.category_count > 0).then(|| self.unseen_count as f64 / self.category_count as f64)
    }

    /// The share of crossed categories without a weight, 0 to 1; `None` if there are none.
    #[must_use]
    pub fn unseen_cross_share(&self) -> Option<f64> {
        (self.cross_count > 0).then(|| self.unseen_cross_count as f64 / self.cross_count as f64)
    }
}

impl Rotation {
    /// Fills and scores each request once, with `candidates` candidates, as rows or prepared. Compares the answers of
    /// the first requests with those of the plain twin for the same rows, bit for bit, and counts unseen categories.
    ///
    /// # Errors
    ///
    /// Returns [`LatencyError::AnswersDiffer`] if an answer differs from the plain twin's, and [`LatencyError::Score`]
    /// if a request cannot be filled or scored.
    pub fn check(&self, model: &Arc<Model>, candidates: usize, prepared: bool) -> Result<Coverage, LatencyError> {
        let setup = Setup::new(self, candidates, prepared)?;
        let scorer = setup.scorer(model)?;
        let plain = Setup::new(self, candidates, false)?.scorer(model)?;
        let (mut request, mut twin) = (scorer.new_request(), plain.new_request());
        let mut coverage = Coverage::default();
        let crosses = candidate_crosses(model.contract());
        let request_count = self.spec().requests.min(COUNTED_CANDIDATES.div_ceil(candidates));
        for index in 0..request_count {
            setup.fill(index, &mut request)?;
            scorer.predict(&mut request, candidates)?;
            let counts = request.counts();
            coverage.request_count += 1;
            coverage.category_count += self.category_count(index, candidates) - u64::from(counts.invalid_number_count);
            coverage.unseen_count += u64::from(counts.unseen_count);
            coverage.missing_count += u64::from(counts.missing_count);
            if index >= COMPARED_REQUESTS {
                continue;
            }
            self.fill(index, candidates, &mut twin)?;
            plain.predict_plain(&mut twin, candidates)?;
            compare(index, candidates, &request, &twin)?;
            coverage.compared_count += 1;
            for candidate in 0..candidates {
                let explanation = plain.explain(&mut twin, candidate)?;
                for contribution in explanation.contributions.iter().filter(|one| crosses.contains(&one.field)) {
                    coverage.cross_count += 1;
                    coverage.unseen_cross_count += u64::from(contribution.weight.is_none());
                }
            }
        }
        Ok(coverage)
    }
}

/// Names of the crosses that differ between the candidates of a request.
fn candidate_crosses(contract: &Contract) -> HashSet<String> {
    let crosses = contract.crosses().iter();
    let crosses = crosses.filter(|cross| contract.cross_side(cross) != Some(Side::Context));
    crosses.map(|cross| contract.cross_name(cross)).collect()
}

pub(super) fn compare(index: usize, candidates: usize, kernel: &Request, plain: &Request) -> Result<(), LatencyError> {
    for (candidate, (kernel, plain)) in kernel.answers(candidates).zip(plain.answers(candidates)).enumerate() {
        let same = kernel.logit.to_bits() == plain.logit.to_bits()
            && kernel.probability.to_bits() == plain.probability.to_bits()
            && kernel.status == plain.status;
        if !same {
            let (kernel, plain) = (kernel.logit, plain.logit);
            return Err(LatencyError::AnswersDiffer { request: index, candidate, kernel, plain });
        }
    }
    Ok(())
}
