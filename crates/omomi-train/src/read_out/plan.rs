//! Plans an experiment: how many units it takes to find an effect.
//!
//! With a share `s` of the units in an arm, a standard deviation `sigma` of the contribution of a unit to the metric,
//! and an effect `delta`, two arms need
//! `N = (z(1 - alpha / 2) + z(power))^2 sigma^2 (1 / s_0 + 1 / s_1) / delta^2` units
//! together, divided by what part of all units the two arms are.

use serde::Serialize;

use super::error::ReadOutError;
use super::interval::{Validity, Width, normal_quantile};
use super::metric::Metric;
use super::run::{ReadOutOptions, units_before};

/// What is known of a metric before an experiment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Baseline {
    /// Value of the metric.
    pub value: f64,
    /// Standard deviation of the contribution of a unit to it: the standard error of the metric is this, divided by the
    /// square root of the number of units.
    pub unit_deviation: f64,
    /// Units from which this is known; none if it was given.
    pub units: Option<u64>,
}

impl Baseline {
    /// Returns the baseline of a CTR: `impressions_per_unit` impressions of a unit on average, whose clicks vary
    /// `design_effect` times as much as independent ones (1: the rows of a unit are independent).
    ///
    /// # Errors
    ///
    /// Returns [`ReadOutError::NoPlan`] if a figure is impossible.
    pub fn of_ctr(ctr: f64, impressions_per_unit: f64, design_effect: f64) -> Result<Self, ReadOutError> {
        let no_plan = |expected, found: f64| Err(ReadOutError::NoPlan { expected, found: found.to_string() });
        if !(ctr > 0.0 && ctr < 1.0) {
            return no_plan("a click-through rate in (0, 1), not a percentage", ctr);
        }
        if !(impressions_per_unit > 0.0 && impressions_per_unit.is_finite()) {
            return no_plan("impressions per unit above 0", impressions_per_unit);
        }
        if !(design_effect > 0.0 && design_effect.is_finite()) {
            return no_plan("a design effect above 0", design_effect);
        }
        let variance = ctr * (1.0 - ctr) / impressions_per_unit * design_effect;
        Ok(Self { value: ctr, unit_deviation: variance.sqrt(), units: None })
    }

    /// Measures the baseline in joined logs: those of `options`, of any arm or none.
    ///
    /// # Errors
    ///
    /// Returns [`ReadOutError`] if the logs cannot be read, or the metric is not defined in them.
    pub fn of_logs(options: &ReadOutOptions, metric: &Metric) -> Result<Self, ReadOutError> {
        let moments = units_before(options)?;
        let found = metric.at(moments.means());
        let deviation = found.as_ref().and_then(|(_, gradient)| moments.covariance(gradient, gradient));
        match (found, deviation.filter(|variance| *variance > 0.0)) {
            (Some((value, _)), Some(variance)) if value > 0.0 => {
                Ok(Self { value, unit_deviation: variance.sqrt(), units: Some(moments.unit_count()) })
            }
            _ => Err(ReadOutError::NoPlan {
                expected: "logs in which the metric is above 0 and differs between units",
                found: format!("{} units without it", moments.unit_count()),
            }),
        }
    }
}

/// What a plan is made for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanOptions {
    /// The smallest effect to find, as a share of the baseline: 0.02 is 2 %.
    pub effect: f64,
    /// The probability of finding it.
    pub power: f64,
    /// The probability of finding an effect where there is none.
    pub alpha: f64,
    /// The arms with their shares, in any unit; the control arm first.
    pub shares: Vec<(String, u64)>,
}

/// How many units an experiment takes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// The baseline.
    pub baseline: Baseline,
    /// The options.
    pub options: PlanOptions,
    /// Units of all arms together: the horizon of a fixed-horizon read-out.
    pub units: u64,
    /// Units of each arm, in the order of the shares.
    pub units_by_arm: Vec<(String, u64)>,
    /// How much wider always-valid intervals are at that moment, if they are narrowest there.
    pub always_valid_factor: f64,
}

/// Plans an experiment.
///
/// # Errors
///
/// Returns [`ReadOutError::NoPlan`] if a figure is impossible.
pub fn plan(baseline: Baseline, options: PlanOptions) -> Result<Plan, ReadOutError> {
    let no_plan = |expected, found: String| Err(ReadOutError::NoPlan { expected, found });
    if !(options.effect.is_finite() && options.effect != 0.0) {
        return no_plan("a relative effect other than 0, such as 0.02 for 2 %", options.effect.to_string());
    }
    for probability in [options.power, options.alpha] {
        if !(probability > 0.0 && probability < 1.0) {
            return no_plan("power and alpha in (0, 1)", probability.to_string());
        }
    }
    let all = options.shares.iter().map(|(_, share)| *share as f64).sum::<f64>();
    let shares: Vec<f64> = options.shares.iter().map(|(_, share)| *share as f64 / all).collect();
    if shares.len() < 2 || shares.contains(&0.0) {
        return no_plan("two arms or more, each with a share above 0", format!("{:?}", options.shares));
    }
    let quantiles = normal_quantile(1.0 - options.alpha / 2.0) + normal_quantile(options.power);
    let per_effect = quantiles * baseline.unit_deviation / (options.effect * baseline.value);
    let smallest = shares[1..].iter().copied().fold(f64::INFINITY, f64::min);
    let units = (per_effect.powi(2) * (1.0 / shares[0] + 1.0 / smallest)).ceil();
    if units.is_nan() || units >= 1e15 {
        return no_plan("figures for which some number of units is enough", format!("{units:e} units"));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 1e15")]
    let whole = |units: f64| units.ceil() as u64;
    let width = Width::new(Validity::Always { narrowest_at_units: whole(units) }, options.alpha);
    let factor = width.standard_errors(whole(units)) / normal_quantile(1.0 - options.alpha / 2.0);
    let by_arm = options.shares.iter().zip(&shares).map(|((arm, _), share)| (arm.clone(), whole(units * share)));
    Ok(Plan { baseline, units: whole(units), units_by_arm: by_arm.collect(), always_valid_factor: factor, options })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(shares: [u64; 2]) -> PlanOptions {
        let [control, other] = shares;
        PlanOptions {
            effect: 0.1,
            power: 0.8,
            alpha: 0.05,
            shares: vec![("control".to_owned(), control), ("b".to_owned(), other)],
        }
    }

    #[test]
    fn the_textbook_number_of_units_comes_out() {
        // One row per unit, p = 0.1, 10 % relative effect: 2 (1.959964 + 0.841621)^2 0.09 / 0.01^2 = 14,127.98 per arm.
        let plan_of = |shares| plan(Baseline::of_ctr(0.1, 1.0, 1.0).unwrap(), options(shares)).unwrap();
        assert_eq!(plan_of([1, 1]).units_by_arm[0].1, 14_128);
        assert_eq!(plan_of([1, 1]).units, 28_256);
        // 9 : 1 needs (1 / 0.9 + 1 / 0.1) / 4 times as many.
        assert_eq!(plan_of([9, 1]).units, 78_489);
        assert!((plan_of([1, 1]).always_valid_factor - 1.5487).abs() < 1e-3);
    }

    #[test]
    fn impossible_figures_are_refused() {
        for (ctr, impressions, effect) in [(2.0, 1.0, 1.0), (0.1, 0.0, 1.0), (0.1, 1.0, f64::NAN), (f64::NAN, 1.0, 1.0)]
        {
            assert!(Baseline::of_ctr(ctr, impressions, effect).is_err());
        }
        let baseline = Baseline::of_ctr(0.1, 1.0, 1.0).unwrap();
        for change in [
            (|it: &mut PlanOptions| it.effect = 0.0) as fn(&mut PlanOptions),
            |it| it.power = 1.0,
            |it| it.alpha = 0.0,
            |it| it.effect = 1e-12,
            |it| it.shares.truncate(1),
            |it| it.shares[1].1 = 0,
        ] {
            let mut changed = options([1, 1]);
            change(&mut changed);
            assert!(plan(baseline, changed.clone()).is_err(), "{changed:?}");
        }
    }
}
