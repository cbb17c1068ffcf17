//! Tests `omomi compare` as a user runs it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const CONTRACT: &str = r#"
name = "small"
label = "clicked"

[[field]]
name = "site"
side = "context"
type = "id"
meaning = "where the slot is"
"#;

const WEIGHTS: &str = "bias = -2.0\n[[weight]]\nof = { site = 3 }\nvalue = 0.5\n";

/// The probability of the logit.
fn sigmoid(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

/// Four rows whose logits differ by 0, -0.25, 1 and 0.125; one without an old prediction.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("contract.toml", CONTRACT);
    write("weights.toml", WEIGHTS);
    let olds = [-1.5, -1.25, -3.0, -2.125].map(sigmoid);
    let rows = format!(
        "id,clicked,site,p\na,1,3,{:?}\nb,0,3,{:?}\n\u{1b}c,0,4,{:?}\nd,1,,{:?}\ne,0,3,\n",
        olds[0], olds[1], olds[2], olds[3]
    );
    write("log.csv", &rows);
    write("unlabeled.jsonl", &format!("{{\"site\":3,\"p\":{}}}\n{{\"site\":4,\"p\":\"{}\"}}\n", olds[0], olds[2]));
    let made = omomi(
        folder.path(),
        "fixture --contract contract.toml --weights weights.toml --logic-id a --generation 7 --out 7.omomi",
    );
    assert!(made.status.success(), "{}", said(&made));
    folder
}

fn omomi(folder: &Path, words: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_omomi"));
    command.args(words.split(' ')).current_dir(folder).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(folder: &Path, words: &str) -> serde_json::Value {
    let output = omomi(folder, words);
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_largest_differences_come_first_and_both_are_measured_on_the_label() {
    let folder = folder();
    let found = json(folder.path(), "compare 7.omomi --logs log.csv --column p --show id --rows 3 --json");
    assert_eq!((&found["rows"], &found["without_old"], &found["extreme_old"]), (&4.into(), &1.into(), &0.into()));
    let near = |value: &serde_json::Value, expected: f64, within: f64| {
        assert!((value.as_f64().unwrap() - expected).abs() <= within, "{value}, {expected}");
    };
    let differences = &found["logit_difference"];
    near(&differences["max"], 1.0, 1e-9);
    near(&differences["mean"], 1.375 / 4.0, 1e-9);
    near(&differences["p50"], 0.125, 2e-4);
    near(&differences["p99"], 1.0, 1e-3);
    near(&found["mean_shift"], (1.0 - 0.25 + 0.125) / 4.0, 1e-9);
    let rows: Vec<_> = found["largest"].as_array().unwrap().iter().map(|row| row["row"].as_u64().unwrap()).collect();
    assert_eq!(rows, [3, 2, 4]);
    assert_eq!(found["largest"][1]["columns"]["id"], "b");
    assert_eq!(found["largest"][0]["request"]["context"]["site"], 4);
    assert_eq!((&found["largest"][0]["unseen_count"], &found["largest"][2]["missing_count"]), (&1.into(), &1.into()));
    let loss = |logits: [f64; 4]| {
        let losses = logits.map(sigmoid).into_iter().zip([true, false, false, true]);
        losses.map(|(p, clicked)| if clicked { -p.ln() } else { -(1.0 - p).ln() }).sum::<f64>() / 4.0
    };
    near(&found["old"]["log_loss"], loss([-1.5, -1.25, -3.0, -2.125]), 1e-9);
    near(&found["ours"]["log_loss"], loss([-1.5, -1.5, -2.0, -2.0]), 1e-6);
    // The text has all of it, and no control character of the log.
    let output = omomi(folder.path(), "compare 7.omomi --logs log.csv --column p --show id");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(text.contains("largest") && text.contains("log loss") && text.contains("+1.000000"), "{text}");
    assert!(!text.contains('\u{1b}') && said(&output).contains("1 rows without an old prediction"));
}

#[test]
fn logs_without_a_label_are_compared_and_differences_above_a_limit_fail() {
    let folder = folder();
    fs::write(folder.path().join("unlabeled.csv"), "site,p\n3,0.5\n4,0.25\n").unwrap();
    for logs in ["unlabeled.jsonl --unlabeled", "unlabeled.csv"] {
        let found = json(folder.path(), &format!("compare 7.omomi --logs {logs} --column p --json"));
        assert_eq!((&found["rows"], &found["old"], &found["ours"]), (&2.into(), &().into(), &().into()));
    }
    let output = omomi(folder.path(), "compare 7.omomi --logs log.csv --column p --max-difference 0.9");
    assert_eq!(output.status.code(), Some(3));
    assert!(said(&output).contains("expected logits that differ by at most 0.9"), "{}", said(&output));
    let output = omomi(folder.path(), "compare 7.omomi --logs log.csv --column p --max-difference 1.1");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}

#[test]
fn old_predictions_that_are_none_are_told_with_their_row() {
    let folder = folder();
    let compare = |rows: &str, flags: &str| {
        fs::write(folder.path().join("bad.csv"), format!("clicked,site,p\n1,3,0.5\n{rows}\n")).unwrap();
        let output = omomi(folder.path(), &format!("compare 7.omomi --logs bad.csv --column p{flags}"));
        (output.status.code(), said(&output))
    };
    for (cell, expected) in [
        ("1.5", "row 2 of the logs: expected a probability from 0 to 1 in the column `p`, found `1.5`"),
        ("-0.1", "found `-0.1`"),
        ("NaN", "found `NaN`"),
        ("12 %", "found `12 %`"),
    ] {
        let (code, problem) = compare(&format!("0,3,{cell}"), "");
        assert!(code == Some(1) && problem.contains(expected), "{problem}");
        assert!(problem.contains("who must act: delivery"), "{problem}");
    }
    assert!(compare("0,3,inf", " --logits").1.contains("expected a finite logit"));
    assert_eq!(compare("0,3,-7.5", " --logits").0, Some(0));
    // 0 and 1 have no logit, and old logic does answer so.
    let (code, problem) = compare("0,3,0\n1,3,1", "");
    assert!(code == Some(0) && problem.contains("2 old probabilities are 0 or 1"), "{problem}");
    let output = omomi(folder.path(), "compare 7.omomi --logs bad.csv --column q");
    assert!(said(&output).contains("the column `q` is missing"), "{}", said(&output));
    fs::write(folder.path().join("empty.csv"), "clicked,site,p\n1,3,\n").unwrap();
    let output = omomi(folder.path(), "compare 7.omomi --logs empty.csv --column p");
    assert!(said(&output).contains("no row of the logs has an old prediction"), "{}", said(&output));
}

/// A row of importance 9 represents eight that were left out. Differences of single rows stay as they are.
#[test]
fn rows_count_by_importance_in_means_and_metrics() {
    let folder = folder();
    let old = [-1.5, -3.0].map(sigmoid);
    let rows = format!("clicked,site,p,weight\n1,3,{:?},1\n0,4,{:?},9\n", old[0], old[1]);
    fs::write(folder.path().join("thinned.csv"), rows).unwrap();
    let repeated: String = (0..9).map(|_| format!("0,4,{:?}\n", old[1])).collect();
    fs::write(folder.path().join("whole.csv"), format!("clicked,site,p\n1,3,{:?}\n{repeated}", old[0])).unwrap();
    let compared = |words: &str| json(folder.path(), &format!("compare 7.omomi --column p --json --logs {words}"));
    let thinned = compared("thinned.csv --importance-column weight");
    let whole = compared("whole.csv");
    for key in ["old_mean_probability", "our_mean_probability"] {
        let [one, other] = [&thinned, &whole].map(|found| found[key].as_f64().unwrap());
        assert!((one - other).abs() < 1e-12, "{key}: {one}, {other}");
    }
    for key in ["log_loss", "calibration_ratio"] {
        for kind in ["old", "ours"] {
            let [one, other] = [&thinned, &whole].map(|found| found[kind][key].as_f64().unwrap());
            assert!((one - other).abs() < 1e-12, "{kind} {key}: {one}, {other}");
        }
    }
    assert_eq!((&thinned["rows"], &thinned["logit_difference"]["mean"]), (&2.into(), &0.5.into()));
}
