//! The page: one HTML file that needs nothing else.

use askama::Template;

use super::metrics::{Card, FieldRow, MetricRow};
use super::panels::{Absent, Figure};
use super::verdict::Verdict;

/// What `page.html` is filled with. Everything but the plots and the style sheet is escaped.
#[derive(Template)]
#[template(path = "page.html", config = "src/judge/report/askama.toml")]
pub(super) struct Page<'a> {
    /// Name of the serving logic.
    pub logic_id: &'a str,
    /// Which file the report is about.
    pub name: &'a str,
    /// Names and values of what opens the report.
    pub facts: Vec<(&'static str, String)>,
    /// What the gate says of the file.
    pub verdict: Verdict,
    /// Figures that people ask for first.
    pub cards: Vec<Card>,
    /// Names of the files that were evaluated.
    pub files: Vec<String>,
    /// Whether there is a baseline.
    pub has_baseline: bool,
    /// How differences were found.
    pub differences: String,
    /// Figures of all files.
    pub metrics: Vec<MetricRow>,
    /// How fields were filled.
    pub fields: Vec<FieldRow>,
    /// The plots.
    pub figures: Vec<Figure>,
    /// The plots that are not there.
    pub absent: Vec<Absent>,
    /// Version of the library that made the report.
    pub tool_version: &'static str,
}

impl Page<'_> {
    /// The style sheet.
    #[expect(clippy::unused_self, reason = "templates call methods of the page")]
    fn style(&self) -> &'static str {
        include_str!("page.css")
    }
}
