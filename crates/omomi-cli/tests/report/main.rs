//! The report, from made-up inputs: what the page says, and how it looks in a browser.

mod browser;
mod inputs;
mod made_up;
mod page;

/// The part of a page that belongs to one plot: from its heading to its table.
fn figure<'a>(page: &'a str, id: &str) -> &'a str {
    let start = page.find(&format!("<figure id=\"{id}\">")).unwrap_or_else(|| panic!("the page has no figure {id}"));
    let end = page[start..].find("</figure>").expect("a figure ends");
    &page[start..start + end]
}

/// The plots of a report that was given everything: their ids, and what of their marks there is and how many.
const MARKS: [(&str, &str, usize); 15] = [
    ("reliability", "circle.fill-model", made_up::BIN_COUNT),
    ("reliability", "circle.stroke-baseline", made_up::BIN_COUNT),
    ("entropy-by-hour", "circle.fill-model", made_up::HOUR_COUNT),
    ("entropy-by-hour", "circle.stroke-baseline", made_up::HOUR_COUNT),
    ("calibration-by-slice", "circle.fill-model", made_up::SITE_COUNT + 2),
    ("calibration-by-slice", "circle.stroke-baseline", made_up::SITE_COUNT + 2),
    // Other ways by their encoding; the chosen one; and the point of it that was chosen.
    ("size-curve", "circle.fill-step-0", made_up::CURVE_POINT_COUNT * 2),
    ("size-curve", "circle.fill-step-1", made_up::CURVE_POINT_COUNT),
    ("size-curve", "circle.fill-step-2", made_up::CURVE_POINT_COUNT),
    ("size-curve", "circle.fill-model", made_up::CURVE_POINT_COUNT),
    ("size-curve", "circle.fill-chosen", 1),
    ("field-sizes", "rect.fill-baseline", made_up::FIELDS.len()),
    ("weight-changes", "circle.fill-model", 20),
    ("shard-spread", "rect.fill-model", made_up::FIELDS.len()),
    // One of them is out of the band.
    ("file-sizes", "circle.fill-model", made_up::FILE_COUNT - 1),
];

/// Ids of the plots.
const IDS: [&str; 8] = [
    "reliability",
    "entropy-by-hour",
    "calibration-by-slice",
    "size-curve",
    "field-sizes",
    "weight-changes",
    "shard-spread",
    "file-sizes",
];
