//! Compares arms by the moments of their units: the delta method, and CUPED.
//!
//! A metric is a smooth function `f` of the mean sums per unit. Its variance is `g' S g / n`, where `g` is the gradient
//! at the means, `S` the covariance of the sums of a unit, and `n` the number of units (Deng, Knoblich and Lu,
//! "Applying the delta method in metric analytics", KDD 2018). So the rows of one unit need not be independent.
//!
//! CUPED (Deng, Xu, Kohavi and Walker, WSDM 2013) subtracts from each unit what its past predicts. With the
//! contribution `y = g' s` of a unit to the metric, and a covariate `x` from before the experiment, the value of an arm
//! becomes `f - theta (mean of x in the arm - mean of x in all arms)`, with `theta = cov(y, x) / var(x)` within arms.
//! The assignment cannot change `x`, so the expected difference stays, and its variance falls by the square of the
//! correlation.

use super::interval::{Estimate, Width};
use super::metric::Metric;
use super::moments::Moments;

/// Fewest clicks of an arm for an interval of a metric that needs clicks: below, the normal approximation means little.
pub(super) const MIN_CLICKS: f64 = 5.0;

/// A standard error below this share of the value is a rounding error: all units are alike.
const ROUNDING: f64 = 1e-7;

/// What is known of units from before the experiment. Its sums are behind those of the experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Past {
    Nothing,
    /// One number per unit, at this place.
    Number(usize),
    /// The sums of an earlier log, in the same order as those of the experiment. The first one is at this place.
    Sums(usize),
}

/// The value of a metric in one arm, with its variance.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Value {
    value: f64,
    variance: f64,
    unit_count: u64,
}

/// The difference of an arm from the control arm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Difference {
    pub(super) absolute: Estimate,
    pub(super) relative: Option<Estimate>,
    pub(super) p_value: Option<f64>,
    /// By which share the covariate made the variance of the absolute difference smaller.
    pub(super) variance_reduction: Option<f64>,
    /// The difference without the covariate.
    pub(super) unadjusted: Option<Estimate>,
}

/// Returns the value of a metric in an arm with its interval; `None` if it is not defined there.
pub(super) fn estimate(metric: &Metric, arm: &Moments, own_width: usize, width: &Width) -> Option<Estimate> {
    let (value, gradient) = gradient_at(metric, arm, own_width)?;
    Some(match value_of(metric, value, &gradient, arm) {
        Some(known) => Estimate::around(value, known.variance.sqrt() * width.standard_errors(known.unit_count)),
        None => Estimate::without_interval(value),
    })
}

/// Returns the difference of `treatment` from `control`; `None` if the metric is not defined in one of them. `all` has
/// the moments of every arm.
pub(super) fn difference(
    metric: &Metric,
    (control, treatment): (&Moments, &Moments),
    (own_width, past): (usize, Past),
    all: &[Moments],
    width: &Width,
) -> Option<Difference> {
    let [one, other] = [control, treatment].map(|arm| Some((arm, gradient_at(metric, arm, own_width)?)));
    let arms = [one?, other?];
    let plain = arms.each_ref().map(|(arm, (value, gradient))| value_of(metric, *value, gradient, arm));
    let plain_value = arms[1].1.0 - arms[0].1.0;
    let [Some(control_value), Some(treatment_value)] = plain else {
        return Some(Difference {
            absolute: Estimate::without_interval(plain_value),
            relative: (arms[0].1.0 != 0.0).then(|| Estimate::without_interval(plain_value / arms[0].1.0)),
            p_value: None,
            variance_reduction: None,
            unadjusted: None,
        });
    };
    let unadjusted = compared(control_value, treatment_value, width);
    let Some(adjusted) = adjusted(metric, &arms, (own_width, past), all) else { return Some(unadjusted) };
    let variance = |[one, other]: [Value; 2]| one.variance + other.variance;
    let (before, after) = (control_value.variance + treatment_value.variance, variance(adjusted));
    Some(Difference {
        variance_reduction: Some(1.0 - after / before),
        unadjusted: Some(unadjusted.absolute),
        ..compared(adjusted[0], adjusted[1], width)
    })
}

/// Compares two values of independent arms.
fn compared(control: Value, treatment: Value, width: &Width) -> Difference {
    let unit_count = control.unit_count + treatment.unit_count;
    let reach = width.standard_errors(unit_count);
    let difference = treatment.value - control.value;
    let error = (control.variance + treatment.variance).sqrt();
    let relative = (control.value != 0.0).then(|| {
        let ratio = treatment.value / control.value;
        let variance = (treatment.variance + ratio * ratio * control.variance) / control.value.powi(2);
        Estimate::around(ratio - 1.0, variance.sqrt() * reach)
    });
    Difference {
        absolute: Estimate::around(difference, error * reach),
        relative,
        p_value: (error > 0.0).then(|| width.p_value(difference / error, unit_count)),
        variance_reduction: None,
        unadjusted: None,
    }
}

/// The value and the gradient, with zeros for the sums from before the experiment.
fn gradient_at(metric: &Metric, arm: &Moments, own_width: usize) -> Option<(f64, Vec<f64>)> {
    let (value, mut gradient) = metric.at(&arm.means()[..own_width])?;
    gradient.resize(arm.means().len(), 0.0);
    Some((value, gradient))
}

/// Returns the value with its variance, if the units tell it.
fn value_of(metric: &Metric, value: f64, gradient: &[f64], arm: &Moments) -> Option<Value> {
    let has_clicks = !metric.needs_clicks() || arm.total(super::metric::CLICKS) + 1e-6 >= MIN_CLICKS;
    let rounding = (ROUNDING * value).powi(2);
    let variance = arm.variance_of_value(gradient).filter(|variance| *variance > rounding && has_clicks)?;
    Some(Value { value, variance, unit_count: arm.unit_count() })
}

/// Returns the values of both arms after CUPED; `None` without a past, or if it says nothing.
fn adjusted(
    metric: &Metric,
    arms: &[(&Moments, (f64, Vec<f64>)); 2],
    (own_width, past): (usize, Past),
    all: &[Moments],
) -> Option<[Value; 2]> {
    let total = all.iter().skip(1).fold(all.first()?.clone(), |sum, arm| sum.merged(arm));
    let mut past_gradient = vec![0.0; total.means().len()];
    match past {
        Past::Nothing => return None,
        Past::Number(place) => past_gradient[place] = 1.0,
        Past::Sums(place) => {
            let (_, gradient) = metric.at(&total.means()[place..place + own_width])?;
            past_gradient[place..place + own_width].copy_from_slice(&gradient);
        }
    }
    // One factor for all arms, from the variation within arms.
    let (mut both, mut own) = (0.0, 0.0);
    for arm in all {
        let Some((_, gradient)) = gradient_at(metric, arm, own_width) else { continue };
        let count = arm.unit_count() as f64;
        both += count * arm.covariance(&gradient, &past_gradient).unwrap_or(0.0);
        own += count * arm.covariance(&past_gradient, &past_gradient).unwrap_or(0.0);
    }
    if own <= 0.0 {
        return None;
    }
    let factor = both / own;
    let past_of = |arm: &Moments| past_gradient.iter().zip(arm.means()).map(|(one, other)| one * other).sum::<f64>();
    let values = arms.each_ref().map(|(arm, (value, gradient))| {
        let value = value - factor * (past_of(arm) - past_of(&total));
        let gradient: Vec<f64> = gradient.iter().zip(&past_gradient).map(|(own, past)| own - factor * past).collect();
        value_of(metric, value, &gradient, arm)
    });
    let [Some(one), Some(other)] = values else { return None };
    Some([one, other])
}
