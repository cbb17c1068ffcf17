//! The page: one self-contained HTML file.

use askama::Template;

use super::metrics::{Card, FieldRow, MetricRow};
use super::panels::{Absent, Figure};
use super::verdict::Verdict;

/// The values for `page.html`. Everything except the plots and the style sheet is escaped.
#[derive(Template)]
#[template(path = "page.html", config = "src/judge/report/askama.toml")]
pub(super) struct Page<'a> {
    /// Name of the serving logic.
    pub logic_id: &'a str,
    /// Name of the evaluated file.
    pub name: &'a str,
    /// Names and values of the facts at the top.
    pub facts: Vec<(&'static str, String)>,
    /// The verdict of the gate.
    pub verdict: Verdict,
    /// The most important metrics.
    pub cards: Vec<Card>,
    /// Names of the evaluated files.
    pub files: Vec<String>,
    /// Whether there is a baseline.
    pub has_baseline: bool,
    /// How the intervals of the differences were computed.
    pub differences: String,
    /// The metrics of all files.
    pub metrics: Vec<MetricRow>,
    /// How fields were filled, one row per field.
    pub fields: Vec<FieldRow>,
    /// The plots.
    pub figures: Vec<Figure>,
    /// The plots that could not be drawn.
    pub absent: Vec<Absent>,
    /// Version of the library that wrote the report.
    pub tool_version: &'static str,
}

impl Page<'_> {
    /// Returns the style sheet.
    #[expect(clippy::unused_self, reason = "templates call methods of the page")]
    fn style(&self) -> &'static str {
        include_str!("page.css")
    }
}
