//! Tests the content of the page, independent of a browser.

use std::collections::BTreeSet;

use omomi_train::judge::report::{ReportInputs, render};

use crate::made_up::{self, HOSTILE};
use crate::{IDS, MARKS, figure};

fn full_page() -> String {
    let folder = tempfile::tempdir().unwrap();
    render(&made_up::inputs(folder.path())).unwrap()
}

/// Renders the page of an evaluation without other inputs.
fn page_of(evaluation: &omomi_train::evaluate::Evaluation) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("evaluation.json");
    std::fs::write(&path, serde_json::to_string(evaluation).unwrap()).unwrap();
    render(&ReportInputs::of(path)).unwrap()
}

/// Counts the elements of a plot that match a selector such as `circle.fill-model`.
fn mark_count(figure: &str, selector: &str) -> usize {
    let (element, class) = selector.split_once('.').unwrap();
    let class = format!("class=\"{class}\"");
    figure.split('<').filter(|tag| tag.starts_with(&format!("{element} ")) && tag.contains(&class)).count()
}

#[test]
fn every_plot_has_a_mark_for_every_point() {
    let page = full_page();
    for (id, selector, count) in MARKS {
        assert_eq!(mark_count(figure(&page, id), selector), count, "{selector} of {id}");
    }
    assert_eq!(page.matches("<figure ").count(), IDS.len());
    assert!(!page.contains("id=\"absent\""), "nothing is absent from a report that was given everything");
}

#[test]
fn every_plot_has_a_name_a_caption_and_a_table_of_its_values() {
    let page = full_page();
    for id in IDS {
        let figure = figure(&page, id);
        let name = figure.split_once("role=\"img\" aria-label=\"").and_then(|(_, rest)| rest.split_once('"'));
        let name = name.unwrap_or_else(|| panic!("{id} has no name")).0;
        assert!(figure.contains(&format!("<figcaption><h2>{name}</h2><p>")), "{id}: {name}");
        assert!(figure.contains(&format!("<title>{name}</title>")), "{id}: {name}");
        assert!(figure.matches("<tr>").count() > 2, "{id} has no table");
        assert!(figure.matches("<text").count() > 4, "{id} has no ticks");
    }
}

#[test]
fn the_metrics_of_the_evaluation_are_in_the_page() {
    let page = full_page();
    for text in ["feed-ctr", "generation 42", "baseline: generation 41", "1,000,000 rows with 98,212 clicks"] {
        assert!(page.contains(text), "{text}");
    }
    // Log loss, normalized entropy with its difference, AUC, calibration ratio, and the size of the file.
    for text in ["0.279655", "0.871200", "-0.00740 (-0.00830 to -0.00660)", "0.742100", "1.0040 (", "24.9 MB"] {
        assert!(page.contains(text), "{text}");
    }
    assert!(page.contains("class=\"beside better\">0.84\u{a0}% better than the baseline (0.75 to 0.94\u{a0}%)"));
}

#[test]
fn a_slice_outside_its_limits_is_reported() {
    let page = page_of(&made_up::evaluation(true));
    let figure = figure(&page, "calibration-by-slice");
    let verdict = "14 slices have enough clicks to say something: 1 is surely outside 0.85 to 1.15, by intervals";
    assert!(figure.contains(verdict), "{}", &figure[..800]);
    assert!(figure.contains("site_id = 122"));
    // A blessing has the settings of its gate.
    let page = full_page();
    assert!(page.contains("<p class=\"verdict better\">It passed the gate: all "));
    assert!(page.contains("to say something: none is surely outside 0.7 to 1.25, by intervals"));
}

#[test]
fn of_many_slices_the_worst_are_drawn_and_all_are_listed() {
    let mut evaluation = made_up::evaluation(false);
    let by = &mut evaluation.models[0].by;
    let (usual, outside) = (by[0].slices[0].clone(), by[0].slices[3].clone());
    by[0].slices = (0..60).map(|_| usual.clone()).collect();
    by[0].slices[59] = outside;
    let page = page_of(&evaluation);
    let figure = figure(&page, "calibration-by-slice");
    assert_eq!(mark_count(figure, "circle.fill-model"), 24);
    let (plot, table) = figure.split_once("</svg>").unwrap();
    assert!(plot.contains("site_id = 122"), "{plot}");
    assert!(plot.contains("38 further slices are not drawn."));
    assert_eq!(table.matches("site_id = ").count(), 60);
}

#[test]
fn the_verdict_that_the_gate_would_give_is_shown_with_every_reason() {
    let mut evaluation = made_up::evaluation(true);
    // Further off than slices of its column usually are.
    let metrics = &mut evaluation.models[0].by[0].slices[3].metrics;
    metrics.mean_probability = 0.17;
    metrics.calibration = made_up::calibration(metrics.clicks, 1.7);
    let page = page_of(&evaluation);
    // The slice outside its limits.
    assert!(
        page.contains("<p class=\"verdict worse\">The gate would hold it back, for slice calibration."),
        "{page:.9000}"
    );
    let (_, gate) = page.split_once("id=\"gate\"").unwrap();
    let reason = gate.split_once("<li>").unwrap().1.split_once("</li>").unwrap().0;
    assert!(reason.starts_with("<strong class=\"worse\">slice calibration of site_id"), "{reason}");
    assert!(reason.contains("122") && reason.contains("0.85 to 1.15") && reason.contains(" For ml: "), "{reason}");
    let mut good = evaluation;
    good.models[0].by.clear();
    assert!(page_of(&good).contains("<p class=\"verdict better\">It would pass the gate: all "));
    good.baseline = None;
    good.models[0].comparison = None;
    assert!(page_of(&good).contains("It would pass the gate as the first file of its logic: all "));
}

#[test]
fn changed_weights_are_named_with_their_impressions() {
    let page = full_page();
    let figure = figure(&page, "weight-changes");
    assert!(figure.contains("300 of 301 weights changed: 30 are new, 0 are gone."), "{}", &figure[..800]);
    assert!(figure.contains("device = kind-207") && figure.contains("188,617 impressions"));
}

#[test]
fn data_never_becomes_markup() {
    let page = full_page();
    assert!(!page.contains("<script"), "a category became a script");
    assert!(!page.contains(HOSTILE));
    // In text, in a plot, and in a table.
    assert!(page.contains("&#60;script&#62;"));
    // A long name is cut in the plot.
    assert!(figure(&page, "calibration-by-slice").contains("&lt;script&gt;"));
    assert_eq!(page.find(|character| character != '\n' && omomi::printable::is_control(character)), None);
    assert!(page.contains("\\u{1b}]0;x\\u{7}") && page.contains("\\u{9b}31m\\u{202e}"));
    let mut evaluation = made_up::evaluation(true);
    let file = &mut evaluation.models[0].file;
    for text in [&mut file.logic_id, &mut file.contract, &mut file.path, &mut file.digest, &mut file.encoding] {
        HOSTILE.clone_into(text);
    }
    let page = page_of(&evaluation);
    assert!(!page.contains("<script"));
    assert!(page.matches("&#60;script&#62;").count() > 6);
    assert_eq!(page.find(|character| character != '\n' && omomi::printable::is_control(character)), None);
}

#[test]
fn the_page_is_self_contained() {
    let page = full_page();
    for text in ["http:", "https:", " src=", " href=", "url(", "@import", "<link", "<script", "<iframe", "<img"] {
        assert!(!page.contains(text), "{text}");
    }
}

#[test]
fn the_style_sheet_has_a_rule_for_every_mark_and_a_color_in_both_themes() {
    let page = full_page();
    let (style, body) = page.split_once("</style>").unwrap();
    let classes: BTreeSet<&str> = body
        .split("class=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .filter(|class| class.starts_with("fill-") || class.starts_with("stroke-"))
        .collect();
    assert!(classes.len() > 10, "{classes:?}");
    for class in classes {
        assert!(style.contains(&format!(".{class} {{")), "no rule for {class}");
    }
    // No mark kept its placeholder color.
    assert!(!body.contains("=\"#"), "a mark has a fixed color");
    let (light, dark) = style.split_once("prefers-color-scheme: dark").unwrap();
    for name in style.split("var(--").skip(1).filter_map(|rest| rest.split(')').next()).filter(|name| *name != "key") {
        let definition = format!("--{name}: ");
        assert!(light.contains(&definition) && dark.contains(&definition), "{name}");
    }
}

#[test]
fn equal_input_gives_equal_pages() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = made_up::inputs(folder.path());
    assert_eq!(render(&inputs).unwrap(), render(&inputs).unwrap());
}

#[test]
fn without_a_baseline_the_page_is_about_one_file() {
    let page = page_of(&made_up::evaluation(false));
    assert!(!page.contains("stroke-baseline\"") && !page.contains("difference (interval"));
    assert_eq!(mark_count(figure(&page, "reliability"), "circle.fill-model"), made_up::BIN_COUNT);
    assert!(page.contains("1 for a constant"));
}

#[test]
fn missing_plots_are_listed_with_what_they_need() {
    let mut evaluation = made_up::evaluation(true);
    evaluation.models[0].hours.clear();
    evaluation.models[0].by.clear();
    let page = page_of(&evaluation);
    assert_eq!(page.matches("<figure ").count(), 2);
    let (_, absent) = page.split_once("id=\"absent\"").unwrap();
    for flag in [
        "--time-column",
        "--by",
        "--bill",
        "--state",
        "--baseline-state",
        "--provenance",
        "--store",
        "log calibration",
        "--ab",
        "--counterfactual",
    ] {
        assert!(absent.contains(flag), "{flag}");
    }
    assert_eq!(absent.matches("<li>").count(), 9);
}

#[test]
fn a_page_without_rows_and_with_odd_values_is_rendered() {
    let mut evaluation = made_up::evaluation(false);
    let model = &mut evaluation.models[0];
    model.overall.normalized_entropy = None;
    model.overall.auc = None;
    model.overall.calibration = None;
    model.reliability.truncate(1);
    model.reliability[0].observed_ctr = 0.0;
    model.reliability[0].observed_ctr_low = 0.0;
    model.hours.truncate(1);
    model.by[0].slices.truncate(1);
    model.by[0].slices[0].value = None;
    model.file.fields.truncate(1);
    model.file.fields[0].len_bytes = 0;
    let page = page_of(&evaluation);
    assert!(page.contains("site_id: none"));
    assert!(!page.contains("NaN") && !page.contains("inf"));
    let empty = omomi_train::evaluate::Evaluation { models: vec![bare(&evaluation.models[0])], ..evaluation };
    assert_eq!(page_of(&empty).matches("<figure ").count(), 0);
}

/// Returns an evaluation of a file without weights on logs without rows.
fn bare(model: &omomi_train::evaluate::ModelEvaluation) -> omomi_train::evaluate::ModelEvaluation {
    let mut model = model.clone();
    model.reliability.clear();
    model.hours.clear();
    model.by.clear();
    model.fields.clear();
    model.file.fields.clear();
    model
}
