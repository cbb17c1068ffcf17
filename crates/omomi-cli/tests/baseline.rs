//! Tests `omomi baseline` as a user runs it: smoothed click rates as a weight file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use omomi_train::learn::state::StateReader;

const CONTRACT: &str = r#"
name = "small"
label = "clicked"

[[field]]
name = "site"
side = "context"
type = "id"
meaning = "where the slot is"

[[field]]
name = "price"
side = "context"
type = "number"
unit = "JPY"
range = [0.0, 100.0]
buckets = [10.0, 50.0]
meaning = "lowest bid"

[[field]]
name = "ad"
side = "candidate"
type = "text"
meaning = "what is shown"

[[field]]
name = "tags"
side = "context"
type = "text"
many = true
meaning = "interests"

[[cross]]
fields = ["site", "ad"]
"#;

fn omomi(folder: &Path, words: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_omomi"));
    command.args(words.split(' ')).current_dir(folder).output().unwrap()
}

fn run(folder: &Path, words: &str) -> String {
    let output = omomi(folder, words);
    assert!(output.status.success(), "{words}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A row without its label: site, price and ad.
type Row = (&'static str, &'static str, &'static str);

/// Impressions and clicks of each row of the log.
const ROWS: [(Row, u32, u32); 7] = [
    (("3", "5", "x"), 100, 3),
    (("3", "20", "旅行"), 40, 20),
    (("4", "99", "x*y"), 7, 0),
    (("4", "20", "x"), 1, 1),
    (("-5", "5", r"a\b"), 300, 12),
    (("", "20", "x"), 10, 1),
    (("3", "", ""), 5, 0),
];

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("contract.toml"), CONTRACT).unwrap();
    let mut log = "clicked,site,price,ad,tags\n".to_owned();
    for ((site, price, ad), impressions, clicks) in ROWS {
        for number in 0..impressions {
            writeln!(log, "{},{site},{price},{ad},t", u8::from(number < clicks)).unwrap();
        }
    }
    fs::write(folder.path().join("log.csv"), log).unwrap();
    folder
}

/// The probability of each row, and of one that no log has.
fn predictions(folder: &Path, state: &str) -> Vec<f64> {
    let _ = fs::remove_file(folder.join("1.omomi"));
    run(folder, &format!("pack --contract contract.toml --state {state} --logic-id b --generation 1 --out 1.omomi"));
    let mut log = "site,price,ad,tags\n".to_owned();
    for ((site, price, ad), ..) in ROWS {
        writeln!(log, "{site},{price},{ad},t").unwrap();
    }
    writeln!(log, "77,1000,never,t").unwrap();
    fs::write(folder.join("ask.csv"), log).unwrap();
    let output = run(folder, "predict 1.omomi --logs ask.csv --out -");
    output.lines().skip(1).map(|line| line.split(',').next().unwrap().parse().unwrap()).collect()
}

/// The key of a row is what it is counted by; `None` if a value is missing.
fn assert_rates(folder: &Path, state: &str, prior: [f64; 2], key: impl Fn(Row) -> Option<String>) {
    let mut counts: BTreeMap<String, [f64; 2]> = BTreeMap::new();
    for (row, impressions, clicks) in ROWS {
        if let Some(key) = key(row) {
            let [all_clicks, all] = counts.entry(key).or_default();
            (*all_clicks, *all) = (*all_clicks + f64::from(clicks), *all + f64::from(impressions));
        }
    }
    let found = predictions(folder, state);
    let mean = prior[0] / prior[1];
    for ((row, ..), found) in ROWS.iter().zip(&found) {
        let expected = key(*row).map_or(mean, |key| {
            let [clicks, impressions] = counts[&key];
            (clicks + prior[0]) / (impressions + prior[1])
        });
        // A weight is an f32, and so is the probability.
        assert!((found / expected - 1.0).abs() < 4e-7, "{row:?}: {found}, {expected}");
    }
    assert!((found[ROWS.len()] / mean - 1.0).abs() < 4e-7, "an unseen category has the rate of the prior");
}

#[test]
fn each_probability_is_the_smoothed_click_rate() {
    let folder = folder();
    let folder = folder.path();
    let make = "baseline --contract contract.toml --logs log.csv --prior-clicks 2 --prior-impressions 40 --force";
    run(folder, &format!("{make} --by site --out site.parquet"));
    assert_rates(folder, "site.parquet", [2.0, 40.0], |(site, ..)| (!site.is_empty()).then(|| site.to_owned()));
    run(folder, &format!("{make} --by ad --out ad.parquet"));
    assert_rates(folder, "ad.parquet", [2.0, 40.0], |(_, _, ad)| (!ad.is_empty()).then(|| ad.to_owned()));
    run(folder, &format!("{make} --by price --out price.parquet"));
    assert_rates(folder, "price.parquet", [2.0, 40.0], |(_, price, _)| (!price.is_empty()).then(|| price.to_owned()));
    let both = |(site, _, ad): Row| (!site.is_empty() && !ad.is_empty()).then(|| format!("{site}/{ad}"));
    for by in ["--by site --by ad", "--by ad --by site"] {
        run(folder, &format!("{make} {by} --out both.parquet"));
        assert_rates(folder, "both.parquet", [2.0, 40.0], both);
    }
    // The prior is 2 of 40, which is also the rate of a category with 2 of 40: its weight of 0 is left out.
    let output = run(folder, "inspect 1.omomi");
    assert!(output.contains("site*ad") && output.contains("baseline"), "{output}");
}

#[test]
fn a_fitted_prior_is_told_and_training_can_go_on() {
    let folder = folder();
    let folder = folder.path();
    let output = run(folder, "baseline --contract contract.toml --logs log.csv --by site --out state.parquet");
    assert!(output.contains("prior, fitted") && output.contains("463"), "{output}");
    let metadata = StateReader::open(folder.join("state.parquet")).unwrap().metadata().clone();
    assert_eq!((metadata.rows, metadata.clicks, metadata.without_evidence), (463, 37, false));
    let prior = &metadata.provenance["baseline"]["prior"];
    let prior = ["clicks", "impressions"].map(|key| prior[key].as_f64().unwrap());
    assert!(prior[0] > 0.0 && prior[1] > prior[0]);
    assert_rates(folder, "state.parquet", prior, |(site, ..)| (!site.is_empty()).then(|| site.to_owned()));

    // It has learned from the log, and the steps that follow know it.
    let problem = said(&omomi(
        folder,
        "train --contract contract.toml --logs log.csv --state next.parquet --start state.parquet --no-search",
    ));
    assert!(problem.contains("was learned already"), "{problem}");
    run(
        folder,
        "train --contract contract.toml --logs log.csv --state next.parquet --start state.parquet --no-search --again",
    );
}

#[test]
fn what_cannot_be_a_baseline_is_refused() {
    let folder = folder();
    let folder = folder.path();
    fs::write(folder.join("never.csv"), "clicked,site,price,ad,tags\n0,3,1,x,t\n").unwrap();
    fs::write(folder.join("none.csv"), "clicked,site,price,ad,tags\n").unwrap();
    for (logs, flags, expected, owner) in [
        ("log.csv", "--by page", "the contract `small` has no field `page`", "ml"),
        ("log.csv", "--by tags", "the field `tags` may have several categories in a row", "ml"),
        ("log.csv", "--by site --by price", "has no cross of `site` and `price`: add it to the contract", "ml"),
        ("log.csv", "--by site --by site", "expected two different fields, found `site` twice", "ml"),
        ("log.csv", "--by site --by ad --by price", "expected one field or two, found 3", "ml"),
        ("log.csv", "--by site --prior-clicks 0 --prior-impressions 5", "expected a prior of clicks above 0", "ml"),
        ("log.csv", "--by site --prior-clicks 6 --prior-impressions 5", "expected a prior of clicks above 0", "ml"),
        ("never.csv", "--by site", "a prior cannot be fitted: 0 of 1 impressions were clicked", "ml"),
        ("none.csv", "--by site", "the logs have no rows", "delivery"),
    ] {
        let output =
            omomi(folder, &format!("baseline --contract contract.toml --logs {logs} --out state.parquet {flags}"));
        let problem = said(&output);
        assert_eq!(output.status.code(), Some(1), "{flags}: {problem}");
        assert!(
            problem.contains(expected) && problem.contains(&format!("who must act: {owner}")),
            "{flags}: {problem}"
        );
        assert!(!folder.join("state.parquet").exists());
    }
    // With a given prior, a log without clicks says enough.
    run(
        folder,
        "baseline --contract contract.toml --logs never.csv --by site --prior-clicks 1 --prior-impressions 9 --out \
         a.parquet",
    );
}
