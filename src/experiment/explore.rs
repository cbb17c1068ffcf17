//! Which candidate a server takes, and with which probability: a pure function of the policy, the request id and the
//! utilities of the candidates.

use super::buckets::{BUCKET_COUNT, Purpose, bucket_of, draw, unit_interval_of};
use crate::error::Error;
use crate::feature::text_value;

/// How requests explore. The others take the best candidate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exploration {
    /// How many of 10,000 requests explore, from 1 to 10,000.
    pub share: u32,
    /// What they do.
    pub method: Method,
}

/// What an exploring request does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Method {
    /// Takes a candidate at random with the probability `epsilon`, each with the same probability, and otherwise the
    /// best.
    EpsilonUniform {
        /// In (0, 1].
        epsilon: f64,
    },
    /// Takes each candidate with a probability in proportion to `exp(utility / temperature)`.
    Softmax {
        /// In the unit of the utility, above 0.
        temperature: f64,
    },
}

/// The candidate that a policy has chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// Its index.
    pub candidate: usize,
    /// The probability with which the whole policy chooses this candidate for such a request, whether by exploration or
    /// as the best. `None` if the policy never explores: a server that always takes the best has no propensities.
    pub propensity: Option<f64>,
    /// Whether the request is one of those that explore.
    pub is_exploring: bool,
}

/// Chooses one of the candidates with the given utilities. A candidate whose utility is NaN is not eligible; the best
/// is the one with the highest utility, and of several the first. Returns nothing if none is eligible. Does not
/// allocate.
///
/// The request id decides, so the choice can be computed again, with these steps (see
/// [`draw`](super::draw), where the value is that of the request id):
///
/// 1. The request explores if the bucket of the draw [`Purpose::Explore`] is below the share.
/// 2. *Epsilon-uniform*: if the number in [0, 1) of the draw [`Purpose::Random`] is below epsilon, the candidate is the
///    one at place `floor(u n)` of the `n` eligible ones, where `u` is the number of the draw [`Purpose::Pick`].
///    Otherwise it is the best. With `s` for the share divided by 10,000, the propensity is `s epsilon / n`, and of the
///    best `1 - s epsilon` more.
/// 3. *Softmax*: the weight of a candidate is `exp((utility - max) / temperature)`. The candidate is the first whose
///    weight, added to those before it, is above `u` times their sum. The propensity is `s` times its part of the sum,
///    and of the best `1 - s` more.
///
/// # Errors
///
/// Returns [`Error::RecordInvalid`] for a utility that is infinite.
pub fn choose(
    policy: Option<&Exploration>,
    salt: u64,
    request_id: &str,
    utilities: &[f64],
) -> Result<Option<Choice>, Error> {
    let mut best: Option<(usize, f64)> = None;
    let mut eligible_count = 0_u64;
    for (candidate, &utility) in utilities.iter().enumerate().filter(|(_, utility)| !utility.is_nan()) {
        if utility.is_infinite() {
            return Err(Error::RecordInvalid {
                what: "finite utilities, and NaN for a candidate that is not eligible",
            });
        }
        eligible_count += 1;
        if best.is_none_or(|(_, max)| utility > max) {
            best = Some((candidate, utility));
        }
    }
    let Some((best, max)) = best else { return Ok(None) };
    let Some(Exploration { share, method }) = policy else {
        return Ok(Some(Choice { candidate: best, propensity: None, is_exploring: false }));
    };
    let value = text_value(request_id.as_bytes());
    let number = |purpose| unit_interval_of(draw(salt, purpose, value));
    let is_exploring = bucket_of(draw(salt, Purpose::Explore, value)) < *share;
    let share = f64::from(*share) / f64::from(BUCKET_COUNT);
    let mut eligible = utilities.iter().enumerate().filter(|(_, utility)| !utility.is_nan());
    let (candidate, explored, greedy) = match *method {
        Method::EpsilonUniform { epsilon } => {
            let count = eligible_count as f64;
            let candidate = if is_exploring && number(Purpose::Random) < epsilon {
                // Below the count, because the number is below 1; a rounding up to the count would be no candidate.
                let place = (number(Purpose::Pick) * count).min(count - 1.0);
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to the count")]
                let place = place as usize;
                eligible.nth(place).map_or(best, |(candidate, _)| candidate)
            } else {
                best
            };
            (candidate, share * epsilon / count, 1.0 - share * epsilon)
        }
        Method::Softmax { temperature } => {
            let weight = |utility: f64| ((utility - max) / temperature).exp();
            let sum: f64 = eligible.clone().map(|(_, utility)| weight(*utility)).sum();
            let candidate = if is_exploring {
                let wanted = number(Purpose::Pick) * sum;
                let mut reached = 0.0;
                let found = eligible.find(|(_, utility)| {
                    reached += weight(**utility);
                    reached > wanted
                });
                // Rounding may keep the sum from being reached.
                found.map_or(best, |(candidate, _)| candidate)
            } else {
                best
            };
            (candidate, share * weight(utilities[candidate]) / sum, 1.0 - share)
        }
    };
    let propensity = explored + if candidate == best { greedy } else { 0.0 };
    Ok(Some(Choice { candidate, propensity: Some(propensity.min(1.0)), is_exploring }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policies() -> impl Strategy<Value = Exploration> {
        let methods = prop_oneof![
            (0.01..=1.0).prop_map(|epsilon| Method::EpsilonUniform { epsilon }),
            (0.001..10.0).prop_map(|temperature| Method::Softmax { temperature }),
        ];
        (1..=BUCKET_COUNT, methods).prop_map(|(share, method)| Exploration { share, method })
    }

    /// Utilities of candidates, some of which are not eligible and some of which are equal.
    fn utilities() -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec(prop_oneof![Just(f64::NAN), Just(1.0), 0.0..2.0], 1..12)
    }

    fn choice(policy: &Exploration, request: u64, utilities: &[f64]) -> Option<Choice> {
        choose(Some(policy), 7, &format!("request-{request}"), utilities).unwrap()
    }

    proptest! {
        #[test]
        fn the_choice_is_eligible_and_its_propensity_a_probability(
            policy in policies(),
            utilities in utilities(),
            request in 0..1_000_000_u64,
        ) {
            let found = choice(&policy, request, &utilities);
            prop_assert_eq!(found.is_some(), utilities.iter().any(|utility| !utility.is_nan()));
            if let Some(found) = found {
                prop_assert!(!utilities[found.candidate].is_nan());
                let propensity = found.propensity.unwrap();
                prop_assert!(propensity > 0.0 && propensity <= 1.0, "{}", propensity);
            }
        }
    }

    /// Over many requests, each candidate is chosen as often as its propensity says, and the propensities of all
    /// candidates sum to 1.
    #[test]
    fn candidates_are_chosen_as_often_as_their_propensities_say() {
        let utilities = [0.5, f64::NAN, 1.0, 1.0, -2.0];
        for method in [Method::EpsilonUniform { epsilon: 0.4 }, Method::Softmax { temperature: 0.7 }] {
            for share in [500, 5_000, BUCKET_COUNT] {
                let policy = Exploration { share, method };
                let requests = 40_000;
                let mut counts = [0.0; 5];
                let mut propensities = [0.0; 5];
                for request in 0..requests {
                    let found = choice(&policy, request, &utilities).unwrap();
                    counts[found.candidate] += 1.0 / requests as f64;
                    propensities[found.candidate] = found.propensity.unwrap();
                }
                let sum: f64 = propensities.iter().sum();
                assert!((sum - 1.0).abs() < 1e-12, "{policy:?}: {propensities:?}");
                for (count, propensity) in counts.iter().zip(propensities) {
                    let deviation = (propensity * (1.0 - propensity) / requests as f64).sqrt();
                    assert!((count - propensity).abs() <= 4.5 * deviation, "{policy:?}: {counts:?} {propensities:?}");
                }
            }
        }
    }

    #[test]
    fn a_server_that_always_takes_the_best_has_no_propensity() {
        let found = choose(None, 7, "r", &[0.1, 0.3, 0.3]).unwrap().unwrap();
        assert_eq!(found, Choice { candidate: 1, propensity: None, is_exploring: false });
        assert_eq!(choose(None, 7, "r", &[f64::NAN]).unwrap(), None);
        assert!(choose(None, 7, "r", &[0.1, f64::INFINITY]).is_err());
    }
}
