//! The estimators, over units: pure functions of what was logged of each request.

use crate::read_out::interval::{Estimate, Validity, Width};
use crate::read_out::moments::Moments;
use crate::read_out::units::Units;

/// What is known of a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Chosen {
    /// The unit, as a hash.
    pub(super) unit: u64,
    /// What was earned.
    pub(super) reward: f64,
    /// Whether there was a click.
    pub(super) is_clicked: bool,
    /// The probability with which the server chose this candidate.
    pub(super) propensity: f64,
    /// The probability with which the judged policy would choose it.
    pub(super) target: f64,
    /// The expected reward of the candidate by the direct model.
    pub(super) direct: f64,
    /// The expected reward of the judged policy by the direct model: the sum over all candidates.
    pub(super) direct_of_policy: f64,
}

/// Places of the sums of a unit.
const REQUESTS: usize = 0;
const LOGGED: usize = 1;
const WEIGHTS: usize = 2;
const WEIGHTED: usize = 3;
const ROBUST: usize = 4;
const UNCLIPPED: usize = 5;
const WIDTH: usize = 6;

/// What the estimators give.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Estimates {
    pub(super) logged: Estimate,
    /// Each method with its estimate, and its difference from what was logged.
    pub(super) methods: Vec<(&'static str, Estimate, Estimate)>,
    pub(super) effective_sample_size: f64,
    pub(super) largest_weight: f64,
    /// The mean weight before clipping, which is 1 on average; how many standard errors it is away.
    pub(super) mean_weight: f64,
    pub(super) mean_weight_distance: f64,
    pub(super) clipped_count: u64,
    pub(super) clipped_weight_share: f64,
    /// Clicks on candidates that the policy would choose, too.
    pub(super) telling_clicks: u64,
}

/// Computes all estimates. `clip` is the largest weight.
pub(super) fn estimates(requests: &[Chosen], clip: Option<f64>, alpha: f64) -> Option<Estimates> {
    let mut units = Units::new(WIDTH);
    let (mut weights, mut squares, mut cut, mut all) = (0.0, 0.0, 0.0, 0.0);
    let (mut clipped_count, mut telling_clicks, mut largest_weight) = (0, 0, 0.0_f64);
    for request in requests {
        let full = request.target / request.propensity;
        let weight = clip.map_or(full, |clip| full.min(clip));
        clipped_count += u64::from(weight < full);
        cut += full - weight;
        all += full;
        weights += weight;
        squares += weight * weight;
        largest_weight = largest_weight.max(weight);
        telling_clicks += u64::from(weight > 0.0 && request.is_clicked);
        let sums = units.sums_of(request.unit, 0);
        let robust = request.direct_of_policy + weight * (request.reward - request.direct);
        let added = [1.0, request.reward, weight, weight * request.reward, robust, full];
        sums.iter_mut().zip(added).for_each(|(sum, added)| *sum += added);
    }
    let moments = units.moments(1, |_, arm| Some(arm), None).swap_remove(0);
    let width = Width::new(Validity::Once { horizon_units: 1 }, alpha);
    let ratio = |numerator: usize, denominator: usize| ratio(&moments, numerator, denominator, &width);
    let logged = ratio(LOGGED, REQUESTS)?;
    let mut methods = Vec::new();
    for (name, numerator, denominator) in
        [("ips", WEIGHTED, REQUESTS), ("snips", WEIGHTED, WEIGHTS), ("doubly_robust", ROBUST, REQUESTS)]
    {
        // Without any weight, a self-normalized estimate is not defined.
        let Some((estimate, gradient)) = ratio(numerator, denominator) else { continue };
        let gap: Vec<f64> = gradient.iter().zip(&logged.1).map(|(one, other)| one - other).collect();
        let difference = with_interval(estimate.value - logged.0.value, &gap, &moments, &width);
        methods.push((name, estimate, difference));
    }
    let mean = ratio(UNCLIPPED, REQUESTS)?;
    let error = moments.variance_of_value(&mean.1).unwrap_or(0.0).sqrt();
    Some(Estimates {
        logged: logged.0,
        methods,
        effective_sample_size: if squares > 0.0 { weights * weights / squares } else { 0.0 },
        largest_weight,
        mean_weight: mean.0.value,
        mean_weight_distance: if error > 0.0 { (mean.0.value - 1.0) / error } else { 0.0 },
        clipped_count,
        clipped_weight_share: if all > 0.0 { cut / all } else { 0.0 },
        telling_clicks,
    })
}

/// Returns a ratio of sums with its interval, and its gradient.
fn ratio(moments: &Moments, numerator: usize, denominator: usize, width: &Width) -> Option<(Estimate, Vec<f64>)> {
    let (above, below) = (moments.means()[numerator], moments.means()[denominator]);
    if below <= 0.0 {
        return None;
    }
    let mut gradient = vec![0.0; WIDTH];
    gradient[numerator] += 1.0 / below;
    gradient[denominator] -= above / below / below;
    Some((with_interval(above / below, &gradient, moments, width), gradient))
}

fn with_interval(value: f64, gradient: &[f64], moments: &Moments, width: &Width) -> Estimate {
    match moments.variance_of_value(gradient).filter(|variance| *variance > 0.0) {
        Some(variance) => Estimate::around(value, variance.sqrt() * width.standard_errors(moments.unit_count())),
        None => Estimate::without_interval(value),
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    use super::*;

    const CANDIDATES: usize = 5;

    /// Click probabilities of the candidates of a request, and what two models make of them.
    struct World {
        truth: [f64; CANDIDATES],
        logged: [f64; CANDIDATES],
        judged: [f64; CANDIDATES],
    }

    impl World {
        fn draw(random: &mut Pcg64Mcg) -> Self {
            let truth = std::array::from_fn(|_| random.random_range(0.02..0.4));
            let mut seen = |noise: f64| truth.map(|truth: f64| truth * random.random_range(1.0 - noise..1.0 + noise));
            let logged = seen(0.8);
            Self { truth, logged, judged: seen(0.3) }
        }
    }

    fn best(values: &[f64]) -> usize {
        (0..values.len()).max_by(|&one, &other| values[one].total_cmp(&values[other])).unwrap()
    }

    /// Serves requests with 20 % exploration, and returns what was logged, and what the judged file would have earned.
    fn served(seed: u64, request_count: u64) -> (Vec<Chosen>, f64) {
        const EXPLORED: f64 = 0.2;
        let mut random = Pcg64Mcg::seed_from_u64(seed);
        let (mut requests, mut truth) = (Vec::new(), 0.0);
        for number in 0..request_count {
            let world = World::draw(&mut random);
            let (greedy, wanted) = (best(&world.logged), best(&world.judged));
            let is_explored = random.random_range(0.0..1.0) < EXPLORED;
            let chosen = if is_explored { random.random_range(0..CANDIDATES) } else { greedy };
            let own = if chosen == greedy { 1.0 - EXPLORED } else { 0.0 };
            let is_clicked = random.random_range(0.0..1.0) < world.truth[chosen];
            truth += world.truth[wanted] / request_count as f64;
            requests.push(Chosen {
                // Two requests of each unit.
                unit: number / 2,
                reward: f64::from(u8::from(is_clicked)),
                is_clicked,
                propensity: own + EXPLORED / CANDIDATES as f64,
                target: f64::from(u8::from(chosen == wanted)),
                direct: world.logged[chosen],
                direct_of_policy: world.logged[wanted],
            });
        }
        (requests, truth)
    }

    #[test]
    fn estimates_cover_what_the_file_would_have_earned() {
        const SEEDS: u64 = 1_000;
        let mut covered = [0_u64; 3];
        let mut widths = [0.0; 3];
        let mut outside = 0;
        for seed in 0..SEEDS {
            let (requests, truth) = served(seed, 4_000);
            let found = estimates(&requests, None, 0.05).unwrap();
            for (index, (_, estimate, _)) in found.methods.iter().enumerate() {
                covered[index] += u64::from(!estimate.excludes(truth));
                widths[index] += (estimate.high.unwrap() - estimate.low.unwrap()) / SEEDS as f64;
            }
            outside += u64::from(found.mean_weight_distance.abs() > 4.0);
        }
        // The truth here is that of the very requests, whose variation the intervals cover, too.
        assert!(covered.iter().all(|covered| (930..=985).contains(covered)), "{covered:?}");
        assert!(widths[2] < widths[0], "the direct model makes the interval narrower: {widths:?}");
        assert!(outside <= 3, "sound propensities raise no alarm: {outside}");
    }

    #[test]
    fn wrong_propensities_show_in_the_mean_weight_and_clipping_is_counted() {
        let (mut requests, _) = served(7, 4_000);
        requests.iter_mut().for_each(|request| request.propensity = (request.propensity * 1.5).min(1.0));
        assert!(estimates(&requests, None, 0.05).unwrap().mean_weight_distance < -4.0);
        let (requests, _) = served(7, 4_000);
        let (free, clipped) =
            (estimates(&requests, None, 0.05).unwrap(), estimates(&requests, Some(5.0), 0.05).unwrap());
        assert_eq!((free.clipped_count, free.clipped_weight_share), (0, 0.0));
        assert!(free.largest_weight > 20.0 && clipped.largest_weight <= 5.0);
        assert!(clipped.clipped_count > 0 && clipped.clipped_weight_share > 0.1);
        assert!(clipped.effective_sample_size > free.effective_sample_size);
        assert!((clipped.mean_weight - free.mean_weight).abs() < 1e-12, "judged before clipping");
    }

    #[test]
    fn no_request_gives_no_estimate_and_no_match_no_self_normalized_one() {
        assert_eq!(estimates(&[], None, 0.05), None);
        let (mut requests, _) = served(1, 50);
        requests.iter_mut().for_each(|request| request.target = 0.0);
        let found = estimates(&requests, None, 0.05).unwrap();
        let names: Vec<_> = found.methods.iter().map(|(name, ..)| *name).collect();
        assert_eq!((names, found.effective_sample_size), (vec!["ips", "doubly_robust"], 0.0));
    }
}
