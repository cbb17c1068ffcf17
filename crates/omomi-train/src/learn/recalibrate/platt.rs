//! Fits Platt scaling: the scale and the shift of the logit that minimize the log loss of rows.
//!
//! The fit is Newton's method in two variables. The log loss is convex in them, so it has one minimum, or none if there
//! are too few rows or the classes can be separated. Sums run in the order of the rows, so the same rows give the same
//! bits.

use crate::evaluate::log_loss;
use omomi::math::sigmoid;

/// Steps after which the fit gives up. If there is a minimum, a dozen is enough.
const MAX_STEPS: u32 = 100;
/// Maximum number of times that a step is halved if it increases the loss.
const MAX_HALVINGS: u32 = 30;
/// The fit ends with a step that is shorter than this in both scale and shift. It leaves an error of about its square.
const SHORT: f64 = 1e-6;
/// Largest factor by which one step changes the scale. Far from the minimum, a whole step can leave the range of
/// credible scales although the minimum is inside it.
const MAX_FACTOR: f64 = 2.0;
/// Range of scales in which the fit searches. It leaves this range only if there is no minimum inside.
const SEARCHED_SCALES: [f64; 2] = [0.001, 1_000.0];
/// Range of scales that a fit may end in. Outside it, rows and model do not belong together, or the classes can be
/// separated, so that the best scale is infinite, and its error says nothing. Inside it, a scale that chance explains
/// is not applied, and any other has to be [plausible](PLAUSIBLE_SCALES).
const SCALES: [f64; 2] = [0.1, 10.0];
/// Range of plausible scales. Averages of shards and pruned models need 0.8 to 1.3. Beyond this range, rows and model
/// do not belong together, or there are too few rows, and the probabilities of all other rows would be wrong.
const PLAUSIBLE_SCALES: [f64; 2] = [0.4, 2.5];
/// Range of scales, and largest correction of the mean logit, that pass without a warning. The latter is a calibration
/// ratio of about 2.
const USUAL_SCALES: [f64; 2] = [0.7, 1.4];
const USUAL_CORRECTION: f64 = 0.7;
/// Twice the gain in log loss over all rows up to which chance explains a second parameter, and both parameters: the
/// 95 % quantiles of chi-squared with 1 and 2 degrees of freedom (Wilks 1938, likelihood ratios).
const CHANCE_GAINS: [f64; 2] = [3.84, 5.99];

/// A linear map of the logit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlattScaling {
    /// Factor of the logit.
    pub scale: f64,
    /// Added to the logit after scaling.
    pub shift: f64,
    /// Standard error of `scale`: how much it would vary with other rows of the same kind.
    pub scale_error: f64,
    /// Standard error of `shift`.
    pub shift_error: f64,
}

/// How much of the fitted scale and shift is beyond their own error, and thus applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Correction {
    /// Nothing: chance explains the difference from scale 1 and shift 0.
    Nothing,
    /// A shift only: chance explains the scale.
    Shift,
    /// Scale and shift.
    Both,
}

impl Correction {
    /// Returns the word for this correction, as in the provenance.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Shift => "shift",
            Self::Both => "scale and shift",
        }
    }
}

/// Why no credible scale and shift can be fitted.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlattFault {
    /// Every row was clicked, or no row was.
    #[error("expected held-out rows with and without a click, found {clicks} clicks in {rows} rows; take more rows")]
    OneSided {
        /// Number of clicked rows.
        clicks: u64,
        /// Number of all rows.
        rows: u64,
    },
    /// All rows have the same prediction.
    #[error(
        "expected held-out rows with different predictions, found the logit {logit} for every row; check that the \
         state and the rows belong together"
    )]
    Constant {
        /// The logit of every row.
        logit: f64,
    },
    /// The best scale can be fitted, but no sound model needs it.
    #[error(
        "expected a scale from 0.4 to 2.5 for the logit, found {scale:.3} (shift {shift:+.3}), which is implausible: \
         check that the state and the held-out rows belong together, that both count rows alike (importance, \
         sampling), and that there are enough rows"
    )]
    Implausible {
        /// The fitted scale.
        scale: f64,
        /// The fitted shift.
        shift: f64,
    },
    /// The best scale is not credible.
    #[error(
        "expected a scale from 0.4 to 2.5 for the logit, found none near it (the search ended at {scale:.3}): check that \
         the state and the held-out rows belong together, that their labels are right, and that there are enough rows"
    )]
    Scale {
        /// The scale that the fit reached.
        scale: f64,
    },
}

/// Rows with their predictions.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) logits: &'a [f64],
    pub(crate) clicked: &'a [bool],
    /// How much each row counts; `None` if each counts once.
    pub(crate) importance: Option<&'a [f64]>,
}

impl Rows<'_> {
    /// The logit, the label and the importance of each row.
    pub(super) fn iter(&self) -> impl Iterator<Item = (f64, bool, f64)> + '_ {
        let importance = |row: usize| self.importance.map_or(1.0, |importance| importance[row]);
        let rows = self.logits.iter().zip(self.clicked).enumerate();
        rows.map(move |(row, (&logit, &clicked))| (logit, clicked, importance(row)))
    }

    /// The log loss of all rows, each counted by its importance, if their logits are corrected.
    fn loss(&self, scale: f64, shift: f64) -> f64 {
        self.iter().map(|(logit, clicked, importance)| importance * log_loss(scale * logit + shift, clicked)).sum()
    }
}

/// Fits scale and shift to rows.
pub(super) fn fit(rows_to_fit: Rows<'_>) -> Result<PlattScaling, PlattFault> {
    let Rows { logits, clicked, .. } = rows_to_fit;
    let (clicks, rows) = (clicked.iter().filter(|&&clicked| clicked).count() as u64, clicked.len() as u64);
    if clicks == 0 || clicks == rows {
        return Err(PlattFault::OneSided { clicks, rows });
    }
    if logits.iter().all(|&logit| logit == logits[0]) {
        return Err(PlattFault::Constant { logit: logits[0] });
    }
    let loss = |scale: f64, shift: f64| rows_to_fit.loss(scale, shift);
    // False if the loss is NaN.
    let is_no_worse = |next_loss: f64, min_loss: f64| next_loss <= min_loss;
    let (mut scale, mut shift) = (1.0, 0.0);
    let mut min_loss = loss(scale, shift);
    for _ in 0..MAX_STEPS {
        let slope = Slope::at(scale, shift, rows_to_fit);
        let Some((mut scale_step, mut shift_step)) = slope.newton_step() else {
            return Err(PlattFault::Scale { scale });
        };
        // A shorter step in the same direction also lowers the loss.
        let bounds = [scale / MAX_FACTOR - scale, scale * MAX_FACTOR - scale];
        let damping = scale_step.clamp(bounds[0], bounds[1]) / scale_step;
        if damping < 1.0 {
            (scale_step, shift_step) = (scale_step * damping, shift_step * damping);
        }
        // The loss cannot tell whether so short a step lowers it, because sums are rounded.
        let is_last = scale_step.abs() < SHORT && shift_step.abs() < SHORT;
        let mut halvings = 0;
        let mut next_loss = loss(scale + scale_step, shift + shift_step);
        // Far from the minimum, a whole step may overshoot.
        while !is_last && !is_no_worse(next_loss, min_loss) && halvings < MAX_HALVINGS {
            (scale_step, shift_step, halvings) = (scale_step / 2.0, shift_step / 2.0, halvings + 1);
            next_loss = loss(scale + scale_step, shift + shift_step);
        }
        if is_last || is_no_worse(next_loss, min_loss) {
            (scale, shift, min_loss) = (scale + scale_step, shift + shift_step, next_loss);
        }
        if !(SEARCHED_SCALES[0]..=SEARCHED_SCALES[1]).contains(&scale) {
            return Err(PlattFault::Scale { scale });
        }
        if is_last || halvings == MAX_HALVINGS {
            if !(SCALES[0]..=SCALES[1]).contains(&scale) {
                return Err(PlattFault::Scale { scale });
            }
            let [scale_error, shift_error] = Slope::at(scale, shift, rows_to_fit).errors();
            return Ok(PlattScaling { scale, shift, scale_error, shift_error });
        }
    }
    Err(PlattFault::Scale { scale })
}

/// Returns what of the scaling that was fitted to `rows` to apply, and how much that is. A row of importance 10 is not
/// ten rows, so gains of rows with an importance are divided by how much wider it makes the error of a shift.
///
/// # Errors
///
/// Returns [`PlattFault::Implausible`] if the scale is beyond its error and outside the plausible range.
pub(super) fn applied(scaling: PlattScaling, rows: Rows<'_>) -> Result<(Correction, PlattScaling), PlattFault> {
    let shift = fit_shift(rows);
    let widened = Slope::at(1.0, shift, rows).widening();
    let loss = |scale: f64, shift: f64| rows.loss(scale, shift) / widened;
    let (as_is, shifted, both) = (loss(1.0, 0.0), loss(1.0, shift), loss(scaling.scale, scaling.shift));
    if 2.0 * (shifted - both) > CHANCE_GAINS[0] && 2.0 * (as_is - both) > CHANCE_GAINS[1] {
        let PlattScaling { scale, shift, .. } = scaling;
        if !(PLAUSIBLE_SCALES[0]..=PLAUSIBLE_SCALES[1]).contains(&scale) {
            return Err(PlattFault::Implausible { scale, shift });
        }
        return Ok((Correction::Both, scaling));
    }
    if 2.0 * (as_is - shifted) > CHANCE_GAINS[0] {
        return Ok((Correction::Shift, PlattScaling { scale: 1.0, shift, ..scaling }));
    }
    Ok((Correction::Nothing, PlattScaling { scale: 1.0, shift: 0.0, ..scaling }))
}

/// Whether chance does not explain what a shift, fitted alone to these rows, gains: see [`applied`].
pub(crate) fn is_beyond_error(shift: f64, rows: Rows<'_>) -> bool {
    let widened = Slope::at(1.0, shift, rows).widening();
    2.0 * (rows.loss(1.0, 0.0) - rows.loss(1.0, shift)) / widened > CHANCE_GAINS[0]
}

/// Says what is unusual about a scale and a shift that are applied.
pub(super) fn warning(scaling: &PlattScaling, rows: Rows<'_>) -> Option<String> {
    let PlattScaling { scale, shift, .. } = *scaling;
    let (sum, weight) = rows
        .iter()
        .fold((0.0, 0.0), |(sum, weight), (logit, _, importance)| (sum + importance * logit, weight + importance));
    let mean = sum / weight;
    let correction = (scale - 1.0) * mean + shift;
    let is_usual = (USUAL_SCALES[0]..=USUAL_SCALES[1]).contains(&scale) && correction.abs() <= USUAL_CORRECTION;
    (!is_usual).then(|| {
        format!(
            "the correction is unusually large (scale {scale:.3}, mean logit {correction:+.3}): expected scales from \
             0.7 to 1.4 and less than 0.7; check that the state and the held-out rows count rows alike (importance, \
             sampling) and are of the same kind"
        )
    })
}

/// Fits a shift alone: Newton's method in one variable, in which the loss is convex.
fn fit_shift(rows: Rows<'_>) -> f64 {
    let mut shift = 0.0;
    for _ in 0..MAX_STEPS {
        let slope = Slope::at(1.0, shift, rows);
        let step = (slope.shift / slope.shift_shift).clamp(-1.0, 1.0);
        shift -= step;
        if step.abs() < SHORT {
            break;
        }
    }
    shift
}

/// First and second derivatives of the log loss with respect to scale and shift.
struct Slope {
    scale: f64,
    shift: f64,
    scale_scale: f64,
    scale_shift: f64,
    shift_shift: f64,
    /// Sums of the products of each row's own first derivatives (scale twice, scale and shift, shift twice), if rows
    /// have an importance.
    products: Option<[f64; 3]>,
}

impl Slope {
    fn at(scale: f64, shift: f64, rows: Rows<'_>) -> Self {
        let products = rows.importance.map(|_| [0.0; 3]);
        let mut slope = Self { scale: 0.0, shift: 0.0, scale_scale: 0.0, scale_shift: 0.0, shift_shift: 0.0, products };
        for (logit, clicked, importance) in rows.iter() {
            let probability = sigmoid(scale * logit + shift);
            let gradient = importance * (probability - f64::from(u8::from(clicked)));
            let curvature = importance * probability * (1.0 - probability);
            if let Some(products) = &mut slope.products {
                let square = gradient * gradient;
                products[0] += square * logit * logit;
                products[1] += square * logit;
                products[2] += square;
            }
            slope.scale += gradient * logit;
            slope.shift += gradient;
            slope.scale_scale += curvature * logit * logit;
            slope.scale_shift += curvature * logit;
            slope.shift_shift += curvature;
        }
        slope
    }

    /// Returns by how much importance widens the variance of a shift, against rows that count once each.
    fn widening(&self) -> f64 {
        self.products.map_or(1.0, |[.., shift_shift]| shift_shift / self.shift_shift)
    }

    fn determinant(&self) -> f64 {
        self.scale_scale * self.shift_shift - self.scale_shift * self.scale_shift
    }

    /// Returns the step to the minimum of the local quadratic approximation, or `None` if it has no minimum.
    fn newton_step(&self) -> Option<(f64, f64)> {
        let determinant = self.determinant();
        let scale = (self.scale_shift * self.shift - self.shift_shift * self.scale) / determinant;
        let shift = (self.scale_shift * self.scale - self.scale_scale * self.shift) / determinant;
        (determinant > 0.0 && scale.is_finite() && shift.is_finite()).then_some((scale, shift))
    }

    /// Returns the standard errors of scale and shift. Their covariance is the inverse of the second derivatives if
    /// each row counts once. A row of importance 10 is not ten rows, so with an importance the inverse is multiplied by
    /// the products of the first derivatives, and again by the inverse (the "sandwich").
    fn errors(&self) -> [f64; 2] {
        let determinant = self.determinant();
        let Some([scale_scale, scale_shift, shift_shift]) = self.products else {
            return [self.shift_shift, self.scale_scale].map(|variance| (variance / determinant).sqrt());
        };
        // The rows of the inverse, times the determinant.
        let inverse = [[self.shift_shift, -self.scale_shift], [-self.scale_shift, self.scale_scale]];
        inverse.map(|[one, other]| {
            let variance = one * one * scale_scale + 2.0 * one * other * scale_shift + other * other * shift_shift;
            variance.max(0.0).sqrt() / determinant
        })
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;

    fn all<'a>(logits: &'a [f64], clicked: &'a [bool]) -> Rows<'a> {
        Rows { logits, clicked, importance: None }
    }

    fn fit_once(logits: &[f64], clicked: &[bool]) -> Result<PlattScaling, PlattFault> {
        fit(all(logits, clicked))
    }

    /// Returns rows whose true logit is `scale` times the predicted one plus `shift`.
    fn rows(count: usize, scale: f64, shift: f64) -> (Vec<f64>, Vec<bool>) {
        let mut rng = Pcg64::seed_from_u64(1);
        let row = |_| {
            let logit = rng.random_range(-5.0..1.0);
            (logit, rng.random_bool(sigmoid(scale * logit + shift)))
        };
        (0..count).map(row).unzip()
    }

    #[test]
    fn known_scales_and_shifts_are_found_within_their_errors() {
        // From the last three, a whole Newton step at the start leads to a scale below 0.1.
        let known = [(1.0, 0.0), (0.5, 0.7), (1.3, -0.4), (4.0, 6.0), (0.2, -3.0), (1.0, 2.8), (1.0, 6.0), (0.3, 2.8)];
        for (scale, shift) in known {
            let (logits, clicked) = rows(200_000, scale, shift);
            let found = fit_once(&logits, &clicked).unwrap();
            assert!((found.scale - scale).abs() < 4.0 * found.scale_error, "{found:?}");
            assert!((found.shift - shift).abs() < 4.0 * found.shift_error, "{found:?}");
            assert!(found.scale_error < 0.1 && found.shift_error < 0.1, "{found:?}");
            // At the minimum the mean prediction is the observed CTR.
            let sum: f64 = logits.iter().map(|logit| sigmoid(found.scale * logit + found.shift)).sum();
            let clicks = clicked.iter().filter(|&&clicked| clicked).count() as f64;
            assert!((sum / clicks - 1.0).abs() < 1e-9, "{}", sum / clicks);
            assert_eq!(fit_once(&logits, &clicked), Ok(found));
        }
    }

    #[test]
    fn a_correction_within_its_own_error_is_left_out() {
        let of = |count: usize, scale: f64, shift: f64| {
            let (logits, clicked) = rows(count, scale, shift);
            let (correction, scaling) = applied(fit_once(&logits, &clicked).unwrap(), all(&logits, &clicked)).unwrap();
            (correction, scaling.scale, scaling.shift)
        };
        assert_eq!(of(20_000, 1.0, 0.0), (Correction::Nothing, 1.0, 0.0));
        assert_eq!(of(200, 1.05, 0.1).0, Correction::Nothing);
        let (correction, scale, shift) = of(20_000, 1.0, 0.3);
        assert!(correction == Correction::Shift && scale == 1.0 && (shift - 0.3).abs() < 0.1, "{shift}");
        let (correction, scale, _) = of(20_000, 0.8, 0.0);
        assert!(correction == Correction::Both && (scale - 0.8).abs() < 0.1, "{scale}");
    }

    #[test]
    fn an_implausible_scale_is_refused_and_an_unusual_one_is_warned_of() {
        let of = |scale: f64, shift: f64| {
            let (logits, clicked) = rows(20_000, scale, shift);
            let applied = applied(fit_once(&logits, &clicked).unwrap(), all(&logits, &clicked));
            applied.map(|(_, scaling)| warning(&scaling, all(&logits, &clicked)).is_some())
        };
        assert!(matches!(of(3.6, 6.0), Err(PlattFault::Implausible { .. })));
        assert!(matches!(of(0.2, -1.0), Err(PlattFault::Implausible { .. })));
        assert_eq!(
            [of(1.0, 2.8), of(1.8, 1.0), of(0.9, -0.1), of(1.0, 0.0)],
            [Ok(true), Ok(true), Ok(false), Ok(false)]
        );
    }

    #[test]
    fn a_step_outside_the_range_on_the_way_is_no_fault() {
        // The first step from scale 1 and shift 0 overshoots to a scale of 0.007.
        let (logits, clicked) = rows(20_000, 0.2, -1.0);
        let found = fit_once(&logits, &clicked).unwrap();
        assert!((found.scale - 0.2).abs() < 4.0 * found.scale_error, "{found:?}");
    }

    #[test]
    fn rows_that_do_not_determine_the_scale_are_rejected() {
        assert_eq!(fit_once(&[1.0, 2.0], &[false, false]), Err(PlattFault::OneSided { clicks: 0, rows: 2 }));
        assert_eq!(fit_once(&[1.0, 2.0], &[true, true]), Err(PlattFault::OneSided { clicks: 2, rows: 2 }));
        assert_eq!(fit_once(&[], &[]), Err(PlattFault::OneSided { clicks: 0, rows: 0 }));
        assert_eq!(fit_once(&[2.0, 2.0], &[true, false]), Err(PlattFault::Constant { logit: 2.0 }));
        // Separable classes need an infinite scale, reversed ones a negative scale.
        let scale = |logits: &[f64], clicked: &[bool]| match fit_once(logits, clicked) {
            Err(PlattFault::Scale { scale }) => scale,
            other => panic!("{other:?}"),
        };
        assert!(scale(&[-1.0, -2.0, 1.0, 2.0], &[false, false, true, true]) > SCALES[1]);
        let (logits, clicked) = rows(10_000, 1.0, 0.0);
        let reversed: Vec<f64> = logits.iter().map(|logit| -logit).collect();
        assert!(scale(&reversed, &clicked) < SCALES[0]);
    }

    /// Of the rows without a click, one in ten is left with importance 10.
    #[test]
    fn thinned_rows_with_their_importance_give_the_scale_and_shift_of_all_rows() {
        let (logits, clicked) = rows(200_000, 0.8, 0.3);
        let all = fit_once(&logits, &clicked).unwrap();
        // Importance 1 is as none; the errors are estimated in another way.
        let ones = vec![1.0; logits.len()];
        let once = fit(Rows { logits: &logits, clicked: &clicked, importance: Some(&ones) }).unwrap();
        assert!((once.scale - all.scale).abs() < 1e-9 && (once.shift - all.shift).abs() < 1e-9, "{once:?} {all:?}");
        assert!((once.scale_error / all.scale_error - 1.0).abs() < 0.05, "{once:?} {all:?}");
        let kept: Vec<usize> = (0..logits.len()).filter(|&row| clicked[row] || row % 10 == 3).collect();
        let logits: Vec<f64> = kept.iter().map(|&row| logits[row]).collect();
        let clicked: Vec<bool> = kept.iter().map(|&row| clicked[row]).collect();
        let importance: Vec<f64> = clicked.iter().map(|&clicked| if clicked { 1.0 } else { 10.0 }).collect();
        let thinned = fit(Rows { logits: &logits, clicked: &clicked, importance: Some(&importance) }).unwrap();
        assert!((thinned.scale - all.scale).abs() < 3.0 * thinned.scale_error, "{thinned:?} {all:?}");
        assert!((thinned.shift - all.shift).abs() < 3.0 * thinned.shift_error, "{thinned:?} {all:?}");
        // Fewer rows say less, but more than a tenth of them would.
        assert!((1.0..2.5).contains(&(thinned.shift_error / all.shift_error)), "{thinned:?} {all:?}");
    }
}
