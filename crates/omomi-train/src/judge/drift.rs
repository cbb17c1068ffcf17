//! Compares rows that were served with the rows that a model learned, by what one weight file sees in both: the engine
//! of the [history](super::history), with the learned rows as the only day before.

use std::collections::BTreeMap;

use super::history::{Bands, Day, Jump};
use crate::evaluate::{EvaluatedRows, ModelEvaluation};

/// How served rows differ from learned ones.
#[derive(Debug, Clone)]
pub struct Drift {
    /// What the file sees in the learned rows.
    pub learned: Day,
    /// What the file sees in the served rows.
    pub served: Day,
    /// The figures that differ by more than they do from one day to another, worst first.
    pub jumps: Vec<Jump>,
}

/// Compares the evaluations of one weight file on learned and on served rows. The number of rows does not count: logs
/// of different lengths are compared. `factor` widens all bands.
#[must_use]
pub fn drift(
    learned: (&EvaluatedRows, &ModelEvaluation),
    served: (&EvaluatedRows, &ModelEvaluation),
    factor: f64,
) -> Drift {
    let day = |(rows, model): (&EvaluatedRows, &ModelEvaluation), before: &[Day]| {
        let mut day = Day::of(rows, model, before);
        day.figures.remove("rows");
        day
    };
    let learned = day(learned, &[]);
    let served = day(served, std::slice::from_ref(&learned));
    let bands = Bands { factor, by_figure: &BTreeMap::new() };
    let mut jumps = served.jumps(std::slice::from_ref(&learned), bands);
    // More rows have more different values.
    jumps.retain(|jump| !jump.figure.starts_with("distinct of "));
    Drift { learned, served, jumps }
}
