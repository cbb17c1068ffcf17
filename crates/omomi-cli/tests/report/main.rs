//! Tests the report with made-up inputs: the content of the page, and its layout in a browser.

mod browser;
mod inputs;
mod made_up;
mod page;

/// Returns the part of a page that belongs to one plot, from its heading to its table.
fn figure<'a>(page: &'a str, id: &str) -> &'a str {
    let start = page.find(&format!("<figure id=\"{id}\">")).unwrap_or_else(|| panic!("the page has no figure {id}"));
    let end = page[start..].find("</figure>").expect("a figure ends");
    &page[start..start + end]
}

/// The plots of a report with every input: their ids, and the number of marks per selector.
const MARKS: [(&str, &str, usize); 23] = [
    ("reliability", "circle.fill-model", made_up::BIN_COUNT),
    ("reliability", "circle.stroke-baseline", made_up::BIN_COUNT),
    ("entropy-by-hour", "circle.fill-model", made_up::HOUR_COUNT),
    ("entropy-by-hour", "circle.stroke-baseline", made_up::HOUR_COUNT),
    ("calibration-by-slice", "circle.fill-model", made_up::SITE_COUNT + 2),
    ("calibration-by-slice", "circle.stroke-baseline", made_up::SITE_COUNT + 2),
    ("served-calibration", "circle.fill-model", made_up::SERVED_HOUR_COUNT),
    // The other series by their encoding; the chosen series; and its chosen point.
    ("size-curve", "circle.fill-step-0", made_up::CURVE_POINT_COUNT * 2),
    ("size-curve", "circle.fill-step-1", made_up::CURVE_POINT_COUNT),
    ("size-curve", "circle.fill-step-2", made_up::CURVE_POINT_COUNT),
    ("size-curve", "circle.fill-model", made_up::CURVE_POINT_COUNT),
    ("size-curve", "circle.fill-chosen", 1),
    ("field-sizes", "rect.fill-baseline", made_up::FIELDS.len()),
    ("weight-changes", "circle.fill-model", 20),
    ("shard-spread", "rect.fill-model", made_up::FIELDS.len()),
    // One file is outside the usual range.
    ("file-sizes", "circle.fill-model", made_up::FILE_COUNT - 1),
    // Two metrics of two arms, each with the bar of its interval.
    ("experiment-arms", "circle.fill-model", 2),
    ("experiment-arms", "rect.fill-step-0", 2),
    // The line of an arm, between those of its interval.
    ("experiment-ctr", "polyline.stroke-model", 3),
    ("experiment-revenue", "polyline.stroke-step-0", 3),
    ("experiment-units", "polyline.stroke-baseline", 1),
    ("counterfactual", "circle.fill-baseline", 1),
    ("counterfactual", "circle.fill-model", 3),
];

/// Returns the ids of the plots.
const IDS: [&str; 14] = [
    "reliability",
    "entropy-by-hour",
    "calibration-by-slice",
    "served-calibration",
    "size-curve",
    "field-sizes",
    "weight-changes",
    "shard-spread",
    "file-sizes",
    "experiment-arms",
    "experiment-ctr",
    "experiment-revenue",
    "experiment-units",
    "counterfactual",
];
