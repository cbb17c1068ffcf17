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
