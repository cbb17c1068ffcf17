//! A short month of the simulation. People who change the gate run a long one: `omomi simulate month --help`.

use std::process::Command;

/// Runs the simulation and returns what it printed. Warnings of single days are on standard error.
fn simulated(arguments: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_omomi")).args(["simulate", "month"]).args(arguments).output().unwrap();
    let [text, error] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(output.status.success(), "{error}");
    text
}

#[test]
fn healthy_days_pass_and_what_is_served_stays_near_the_truth() {
    let text = simulated(&["--seeds", "1", "--days", "3", "--rows", "40000", "--unchanging"]);
    let row = text.lines().last().unwrap();
    let numbers: Vec<f64> = row.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [_seed, held_back, days, excess_percent, ..] = numbers[..] else { panic!("{text}") };
    assert_eq!(days, 3.0);
    assert!(held_back <= 1.0 && excess_percent > 0.0 && excess_percent < 6.0, "{text}");
}

#[test]
fn accidents_of_labels_and_pipelines_are_noticed_by_name() {
    let days = ["--seeds", "1", "--days", "3", "--rows", "20000", "--accidents"];
    let text = simulated(&[&days[..], &["--only", "labels"]].concat());
    assert!(text.contains("all labels 1") && text.contains("seed 1: 0 of 5 accidents published"), "{text}");
    let text = simulated(&[&days[..], &["--only", "pipeline"]].concat());
    assert!(text.contains("gate: changed: expected a file that differs from its baseline"), "{text}");
}

#[test]
fn an_accident_on_every_day_is_counted_and_its_figures_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let figures = folder.path().join("figures.jsonl");
    let options =
        ["--seeds", "1", "--days", "7", "--rows", "5000", "--on-every-day", "--only", "half of the negatives"];
    let text = simulated(&[&options[..], &["--figures", figures.to_str().unwrap()]].concat());
    // The first five days have too few days before them.
    assert!(text.contains("half of the negatives lost") && text.contains("2 of 2"), "{text}");
    let lines = std::fs::read_to_string(&figures).unwrap();
    assert_eq!(lines.lines().count(), 7 + 2);
    assert!(lines.lines().last().unwrap().contains(r#""accident":null"#), "{lines}");
}
