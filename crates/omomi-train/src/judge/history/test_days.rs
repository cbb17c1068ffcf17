//! Days for the tests of this folder.

use std::collections::BTreeMap;

use super::day::Day;
use super::jump::Bands;

pub(super) fn day(calibration: f64, unseen: f64, number: i64) -> Day {
    let figures = [("calibration", calibration), ("unseen of user", unseen), ("missing of user", 0.1)];
    Day {
        format_version: Day::FORMAT_VERSION,
        window_us: Some([number, number + 1]),
        log_digests: vec![Some(number.to_string())],
        served_digest: String::new(),
        importance_column: None,
        clicks: 10_000,
        entropy_deviation: Some(0.002),
        slope_deviation: Some(0.02),
        figures: figures.map(|(name, value)| (name.to_owned(), value)).into(),
        distributions: BTreeMap::new(),
        jumped: false,
        accepted: None,
        accepted_figures: None,
    }
}

static NONE: BTreeMap<String, f64> = BTreeMap::new();

pub(super) fn bands(factor: f64) -> Bands<'static> {
    Bands { factor, by_figure: &NONE }
}

pub(super) fn names(day: &Day, before: &[Day]) -> Vec<String> {
    day.jumps(before, bands(1.0)).into_iter().map(|jump| jump.figure).collect()
}
