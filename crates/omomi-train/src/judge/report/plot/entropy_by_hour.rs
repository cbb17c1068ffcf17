//! Normalized entropy of each hour, of two models.

use super::PlotError;
use super::axis::Axis;
use super::canvas::{Ink, Plane};
use super::frame::Frame;
use crate::readable::with_decimals_of;

/// One hour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::judge::report) struct HourPoint {
    /// When it begins, in microseconds since 1970-01-01 UTC.
    pub time_us: i64,
    /// Normalized entropy of its rows.
    pub normalized_entropy: f64,
}

const HOUR_US: i64 = 3_600_000_000;
/// From more hours on, the lines stand without their points.
const MAX_MARKED_HOURS: usize = 72;

/// The plot of the model's hours, and of the baseline's where there is one.
pub(in crate::judge::report) fn entropy_by_hour(
    title: &str,
    model: &[HourPoint],
    baseline: &[HourPoint],
) -> Result<String, PlotError> {
    let both = || model.iter().chain(baseline);
    let x = Axis::times(both().map(|hour| hour.time_us));
    let y = Axis::linear(both().map(|hour| hour.normalized_entropy), false, with_decimals_of);
    let frame = Frame { title, x: (&x, "hour (UTC)"), y: (&y, "normalized entropy"), height: 300 };
    frame.draw(
        |_| Ok(()),
        |plane| {
            draw_hours(plane, &x, &y, baseline, Ink::Baseline)?;
            draw_hours(plane, &x, &y, model, Ink::Model)
        },
    )
}

/// Points joined by a line that is broken where hours are missing.
fn draw_hours(plane: &Plane<'_>, x: &Axis, y: &Axis, hours: &[HourPoint], ink: Ink) -> Result<(), PlotError> {
    let place = |hour: &HourPoint| (x.place(hour.time_us as f64), y.place(hour.normalized_entropy));
    for run in hours.chunk_by(|one, next| next.time_us.saturating_sub(one.time_us) <= HOUR_US) {
        plane.line(&run.iter().map(place).collect::<Vec<_>>(), ink, 2.0)?;
    }
    if hours.len() > MAX_MARKED_HOURS {
        return Ok(());
    }
    for hour in hours {
        if ink == Ink::Baseline { plane.ring(place(hour), 2.4, ink)? } else { plane.dot(place(hour), 2.6, ink)? }
    }
    Ok(())
}
