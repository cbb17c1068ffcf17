//! A jump, and how far people widened the bands.

use std::collections::BTreeMap;

use serde::Serialize;

use omomi::error::Owner;

/// A figure of a day that is unlike the days before.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Jump {
    /// Name of the figure.
    pub figure: String,
    /// The band that was expected.
    pub expected: [f64; 2],
    /// The figure.
    pub found: f64,
    /// Distance from the middle of the band, in halves of the band: above 1.
    pub distance: f64,
    /// Who must act.
    #[serde(serialize_with = "write_owner")]
    pub owner: Owner,
    /// What they must do.
    pub action: &'static str,
}

impl Jump {
    /// Returns the figure of a day that jumped: that of a jump over two days is the one of its days.
    #[must_use]
    pub fn figure_of_day(&self) -> &str {
        match &*self.figure {
            ROWS_OF_TWO_DAYS => "rows",
            SLOPE_OF_TWO_DAYS => "slope",
            figure => figure,
        }
    }
}

/// Name of a fall of the rows over two days.
pub(super) const ROWS_OF_TWO_DAYS: &str = "rows of two days";
/// Name of a fall of the slope over two days.
pub(super) const SLOPE_OF_TWO_DAYS: &str = "slope of two days";

fn write_owner<S: serde::Serializer>(owner: &Owner, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(owner.word())
}

/// How far the bands of figures are widened: by a factor for all, and by factors that people have set for some.
#[derive(Debug, Clone, Copy)]
pub struct Bands<'a> {
    /// Factor of all bands.
    pub factor: f64,
    /// Further factors by the name of a figure, or of a kind of figures such as `distance`.
    pub by_figure: &'a BTreeMap<String, f64>,
}

impl Bands<'_> {
    pub(super) fn factor_of(&self, figure: &str) -> f64 {
        let kind = figure.split(" of ").next().unwrap_or_default();
        let own = self.by_figure.get(figure).or_else(|| self.by_figure.get(kind));
        self.factor * own.copied().unwrap_or(1.0)
    }
}

pub(super) const CHANGED_LABELS: &str =
    "compare clicks and impressions with their source: rows or clicks may be lost, doubled or made by machines";
