//! The panel of what was served: the sum of probabilities divided by the clicks, hour by hour. At 1, they are right.

use super::{Absent, Figure, Key, Panel, Table, or_dash};
use crate::judge::report::ReportError;
use crate::judge::report::plot::{Axis, Frame, Ink, PlotError};
use crate::judge::report::subject::Subject;
use crate::readable::{grouped, with_decimals_of};
use crate::serving_logs::{ServedCalibration, ServedHour};

const HOUR_US: i64 = 3_600_000_000;
/// More points than this are drawn as a line only.
const MAX_MARKED_HOURS: usize = 72;
/// Limits of the axis, so that an hour with few clicks does not squeeze all others.
const SHOWN: [f64; 2] = [0.25, 4.0];

/// Returns the panel of the calibration of served predictions.
pub(in crate::judge::report) fn served_calibration(
    subject: &Subject<'_>,
    served: Option<&ServedCalibration>,
) -> Result<Panel, ReportError> {
    let title = "Calibration of what was served";
    let logic_id = &subject.model.file.logic_id;
    let is_own = |hour: &&ServedHour| hour.logic_id.as_deref() == Some(logic_id);
    let points: Vec<(i64, f64)> = served
        .iter()
        .flat_map(|served| served.hours.iter().filter(is_own))
        .filter_map(|hour| Some((hour.start_us, hour.ratio()?)))
        .collect();
    let Some(served) = served.filter(|_| !points.is_empty()) else {
        return Ok(Panel::Absent(Absent { title, how: "omomi log calibration, with clicks of this logic id" }));
    };
    let rows = served.hours.iter().map(|hour| {
        [
            hour.hour(),
            hour.logic_id.clone().unwrap_or_else(|| "(the server itself)".to_owned()),
            grouped(hour.predictions),
            format!("{:.2}", hour.probability_sum),
            grouped(hour.clicks),
            or_dash(hour.ratio(), |ratio| format!("{ratio:.3}")),
        ]
    });
    let of = if served.of_impressions { "those that were shown" } else { "all of them, shown or not" };
    Ok(Panel::Figure(Figure {
        id: "served-calibration",
        title,
        caption: format!(
            "The sum of the probabilities that servers answered, divided by the clicks, by hour. Above 1, they were too \
             high. Predictions that count: {of}. The table has the other logic ids, too."
        ),
        legend: vec![Key::new("model", logic_id.clone())],
        svg: draw(title, &points)?,
        table: Table::new(["hour", "logic id", "predictions", "sum of probabilities", "clicks", "ratio"], rows),
    }))
}

fn draw(title: &str, points: &[(i64, f64)]) -> Result<String, PlotError> {
    let shown = |ratio: f64| ratio.clamp(SHOWN[0], SHOWN[1]);
    let x = Axis::times(points.iter().map(|(start_us, _)| *start_us));
    let y = Axis::linear(points.iter().map(|(_, ratio)| shown(*ratio)).chain([1.0]), false, with_decimals_of);
    let frame = Frame { title, x: (&x, "hour (UTC)"), y: (&y, "probabilities over clicks"), height: 300 };
    frame.draw(
        |_| Ok(()),
        |plane| {
            let one = y.place(1.0);
            plane.line(&[(plane.x.start, one), (plane.x.end, one)], Ink::Reference, 1.5)?;
            let place = |(start_us, ratio): &(i64, f64)| (x.place(*start_us as f64), y.place(shown(*ratio)));
            for run in points.chunk_by(|one, next| next.0.saturating_sub(one.0) <= HOUR_US) {
                plane.line(&run.iter().map(place).collect::<Vec<_>>(), Ink::Model, 2.0)?;
            }
            if points.len() <= MAX_MARKED_HOURS {
                points.iter().try_for_each(|point| plane.dot(place(point), 2.6, Ink::Model))?;
            }
            Ok(())
        },
    )
}
