//! Tests the layout of the page in headless Chromium. It is found by the variable `CHROMIUM` or under its usual names;
//! without Chromium, the test is skipped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use omomi_train::judge::report::render;
use serde::Deserialize;

use crate::{IDS, MARKS, made_up};

const USUAL_NAMES: [&str; 5] =
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "headless_shell"];
/// Widths of a desktop and a phone, in pixels.
const WIDTHS: [u32; 2] = [1_200, 390];
/// Smaller letters, in pixels, are not readable.
const MIN_LETTERS_PIXELS: f64 = 9.0;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MeasuredPage {
    width: f64,
    content_width: f64,
    is_dark: bool,
    figures: Vec<MeasuredFigure>,
}

#[derive(Debug, Deserialize)]
struct MeasuredFigure {
    id: String,
    width: f64,
    height: f64,
    /// Number of marks per selector, such as `circle.fill-model`.
    marks: BTreeMap<String, usize>,
    /// Selectors of marks that are hard to see: with a contrast below 3.
    faint: Vec<String>,
    /// Texts that cross an edge of the plot.
    cut: Vec<String>,
    /// Height of the smallest letters in pixels.
    letters: f64,
}

fn chromium() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("CHROMIUM") {
        return Some(path.into());
    }
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    let candidates = USUAL_NAMES.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    candidates.into_iter().find(|path| path.is_file())
}

/// Measures the page in the browser at each width.
fn measure(chromium: &Path, page: &str, is_dark: bool) -> Vec<MeasuredPage> {
    let folder = tempfile::tempdir().unwrap();
    let escaped = page.replace('&', "&amp;").replace('"', "&quot;");
    let frames = WIDTHS
        .map(|width| format!("<iframe style=\"width:{width}px;height:900px;border:0\" srcdoc=\"{escaped}\"></iframe>"));
    let script = include_str!("measure.js");
    let outer = format!("<!doctype html><meta charset=utf-8><body>{}<script>{script}</script></body>", frames.concat());
    let path = folder.path().join("measured.html");
    std::fs::write(&path, outer).unwrap();
    let output = Command::new(chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1400,1000"])
        .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
        // In the browser's settings, 0 is dark and 1 is light.
        .arg(format!("--blink-settings=preferredColorScheme={}", u8::from(!is_dark)))
        .arg("--dump-dom")
        .arg(format!("file://{}", path.display()))
        .output()
        .unwrap();
    let dom = String::from_utf8_lossy(&output.stdout);
    let measured = dom.split_once("<pre id=\"measured\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    let Some((measured, _)) = measured else {
        panic!("Chromium measured nothing: {}\n{dom:.2000}", String::from_utf8_lossy(&output.stderr));
    };
    let measured = measured.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    serde_json::from_str(&measured).unwrap()
}

#[test]
fn a_page_that_does_not_fit_is_detected() {
    let Some(chromium) = chromium() else { return };
    let folder = tempfile::tempdir().unwrap();
    let page = render(&made_up::inputs(folder.path())).unwrap();
    let spoiled = page
        .replace("svg { display: block; width: 100%;", "svg { display: block; width: 470px;")
        .replace("--model: #0063b1;", "--model: #e0e8f0;")
        .replacen("text-anchor=\"middle\"", "text-anchor=\"middle\" dx=\"-3000\"", 1);
    let [desktop, telephone] = measure(&chromium, &spoiled, false).try_into().unwrap();
    assert!(desktop.content_width <= desktop.width && telephone.content_width > telephone.width);
    assert_eq!(desktop.figures[0].cut.len(), 1, "{:?}", desktop.figures[0]);
    assert!(desktop.figures[0].faint.contains(&"circle.fill-model".to_owned()), "{:?}", desktop.figures[0]);
}

#[test]
fn every_plot_is_drawn_and_fits_on_desktop_and_phone_in_both_themes() {
    let Some(chromium) = chromium() else {
        eprintln!("skipped: Chromium not found; install it, or set the variable CHROMIUM");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let page = render(&made_up::inputs(folder.path())).unwrap();
    for is_dark in [false, true] {
        let pages = measure(&chromium, &page, is_dark);
        assert_eq!(pages.iter().map(|page| page.width).collect::<Vec<_>>(), WIDTHS.map(f64::from));
        for page in &pages {
            check(page, is_dark);
        }
    }
}

fn check(page: &MeasuredPage, is_dark: bool) {
    let at = format!("at {} pixels, {}", page.width, if is_dark { "dark" } else { "light" });
    assert_eq!(page.is_dark, is_dark, "{at}");
    assert!(page.content_width <= page.width, "the page is {} pixels wide {at}", page.content_width);
    assert_eq!(page.figures.iter().map(|figure| figure.id.as_str()).collect::<Vec<_>>(), IDS, "{at}");
    for figure in &page.figures {
        let id = &figure.id;
        assert!(figure.width > 250.0 && figure.height > 150.0, "{id}: {} by {} {at}", figure.width, figure.height);
        assert!(figure.cut.is_empty(), "{id} cuts off {:?} {at}", figure.cut);
        assert!(figure.letters >= MIN_LETTERS_PIXELS, "{id}: letters of {} pixels {at}", figure.letters);
        assert!(figure.faint.is_empty(), "{id}: hard to see are {:?} {at}", figure.faint);
    }
    for (id, selector, count) in MARKS {
        let figure = page.figures.iter().find(|figure| figure.id == id).unwrap();
        assert_eq!(figure.marks.get(selector), Some(&count), "{selector} of {id} {at}");
    }
}
