//! `omomi ab` over logs that no read-out can be made of, or only a part of it: each has a clear result.

use std::fs;

use crate::read_out::{json_of, metric};
use crate::users::Users;
use crate::world::omomi;

const EVEN: &str = "--unit user --shares control=5000,b=5000";

/// Writes logs, runs `omomi ab` over them, which must end with `code`, and returns what it said.
fn said(logs: &[(&str, String)], words: &str, code: i32) -> String {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in logs {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let names: Vec<&str> = logs.iter().map(|(name, _)| *name).collect();
    let output = omomi(folder.path(), &format!("ab --logs {} {words}", names.join(" ")));
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert_eq!(output.status.code(), Some(code), "{words}: {said}");
    said
}

/// Removes a column of a CSV.
fn without(csv: &str, column: &str) -> String {
    let place = csv.lines().next().unwrap().split(',').position(|name| name == column).unwrap();
    let cut = |line: &str| {
        let cells = line.split(',').enumerate().filter(|(index, _)| *index != place);
        cells.map(|(_, cell)| cell).collect::<Vec<_>>().join(",")
    };
    csv.lines().map(cut).collect::<Vec<_>>().join("\n") + "\n"
}

/// Replaces every cell of a column.
fn filled(csv: &str, column: &str, value: &str) -> String {
    let place = csv.lines().next().unwrap().split(',').position(|name| name == column).unwrap();
    let set = |(number, line): (usize, &str)| {
        let cells = line.split(',').enumerate();
        let cells = cells.map(|(index, cell)| if number > 0 && index == place { value } else { cell });
        cells.collect::<Vec<_>>().join(",")
    };
    csv.lines().enumerate().map(set).collect::<Vec<_>>().join("\n") + "\n"
}

#[test]
fn a_wrong_sample_ratio_blocks_every_figure_and_names_causes() {
    let csv = Users::two(4_000, 1.0).csv();
    // One arm loses every fifth user.
    let is_kept = |line: &&str| !(line.contains(",b,") && line.split(',').nth(5).unwrap().ends_with(['3', '7']));
    let lost = csv.lines().filter(is_kept).collect::<Vec<_>>().join("\n") + "\n";
    let said = said(&[("joined.csv", lost.clone())], EVEN, 3);
    assert!(said.contains("the sample ratio is wrong: expected control 50.00 %, b 50.00 %"), "{said}");
    assert!(said.contains("possible cause: the log of one arm lost records") && said.contains("delivery"), "{said}");
    assert!(!said.contains("calibration_ratio") && !said.contains("intervals"), "{said}");
    // Blocked, there is nothing to peek at in the JSON either.
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("joined.csv"), lost).unwrap();
    let output = omomi(folder.path(), &format!("ab --logs joined.csv {EVEN} --json -"));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), found["metrics"].as_array().unwrap().len()), (Some(3), 0));
    assert!(found["looks"].as_array().unwrap().iter().all(|look| look["metrics"].as_array().unwrap().is_empty()));
}

#[test]
fn unknown_shares_cannot_be_told() {
    let csv = Users::two(500, 1.0).csv();
    let said = said(&[("joined.csv", csv)], "--unit user", 4);
    assert!(said.contains("the planned shares of the arms are not known") && said.contains("--shares"), "{said}");
}

#[test]
fn arms_and_experiments_must_be_told_apart() {
    let csv = Users::two(400, 1.0).csv();
    let only =
        |arm: &str| csv.lines().filter(|line| !line.contains(&format!(",{arm},"))).collect::<Vec<_>>().join("\n");
    let log = |text: String| vec![("joined.csv", text)];
    let one = said(&log(only("b")), EVEN, 1);
    assert!(one.contains("expected two arms or more, found only `control`"), "{one}");
    let unnamed = said(&log(csv.replace(",control,", ",a,")), "--unit user --shares a=1,b=1", 1);
    assert!(unnamed.contains("Expected one of a, b, and none was named; name it with --control"), "{unnamed}");
    let wrong = said(&log(csv.clone()), &format!("{EVEN} --control c"), 1);
    assert!(wrong.contains("not `c`"), "{wrong}");
    let other = said(&log(csv.clone()), "--unit user --shares control=1,c=1", 1);
    assert!(other.contains("the planned shares name c, control, the logs have b, control"), "{other}");
    let second = Users::two(400, 1.0).with(|it| (it.experiment, it.seed) = ("colors", 5)).csv();
    let both = vec![("joined.csv", csv), ("second.csv", second)];
    let mixed = said(&both, EVEN, 1);
    assert!(mixed.contains("expected the rows of one experiment, found colors, ranker; name one"), "{mixed}");
    let named = said(&both, &format!("{EVEN} --experiment colors"), 0);
    assert!(named.contains("Experiment colors") && named.contains("rows of another experiment"), "{named}");
    let none = said(&both, &format!("{EVEN} --experiment shapes"), 1);
    assert!(none.contains("is of the experiment `shapes`"), "{none}");
}

#[test]
fn units_that_change_their_arm_are_counted_and_many_of_them_block() {
    let csv = Users::two(4_000, 1.0).csv();
    // Some users appear in the other arm, too, with other prediction ids.
    let moved = |every: usize| {
        let second = csv.lines().skip(1).filter(|line| line.split(',').nth(1).unwrap().ends_with("00000000"));
        let rows = second.step_by(every).map(|line| {
            let arm =
                if line.contains(",b,") { line.replace(",b,", ",control,") } else { line.replace(",control,", ",b,") };
            arm.replacen(",00000001", ",00000009", 1)
        });
        csv.lines().next().unwrap().to_owned() + "\n" + &rows.collect::<Vec<_>>().join("\n") + "\n"
    };
    let few = said(&[("joined.csv", csv.clone()), ("moved.csv", moved(200))], EVEN, 0);
    assert!(few.contains("20 units were in several arms, and count in none"), "{few}");
    assert!(few.contains("the rows are not in the order of time"), "{few}");
    let many = said(&[("joined.csv", csv.clone()), ("moved.csv", moved(20))], EVEN, 3);
    assert!(many.contains("expected each unit in one arm, found 200 units (5.0 %) in several"), "{many}");
}

#[test]
fn an_arm_that_appears_midway_is_named_as_the_cause() {
    let early = Users::two(2_000, 1.0).with(|it| it.arms = vec![("control", 10_000, 1.0)]).csv();
    let late = Users::two(2_000, 1.0).with(|it| (it.seed, it.first_hour) = (4, 48)).csv();
    let late = late.replace(",u", ",v").replacen(",vser", ",user", 1);
    let both = [("a.csv", early), ("b.csv", late)];
    let whole = said(&both, EVEN, 3);
    assert!(
        whole.contains("arm `b` appears 48.0 hours after the first row: read from then on with --since"),
        "{whole}"
    );
    let since = said(&both, &format!("{EVEN} --since 2026-10-03T00:00:00Z"), 0);
    assert!(since.contains("rows outside of the time range"), "{since}");
}

#[test]
fn rows_that_come_twice_are_refused_and_late_rows_replace_theirs() {
    let csv = Users::two(600, 1.0).csv();
    let twice = said(&[("a.csv", csv.clone()), ("b.csv", csv.clone() + "\n")], EVEN, 1);
    assert!(twice.contains("have the prediction id of another row") && twice.contains("--previous"), "{twice}");
    // A click that came late: the row is written again, by a later join.
    let line = csv.lines().skip(1).find(|line| line.contains(",true,,") || line.contains(",false,,")).unwrap();
    let late = line.replacen(",,", ",900,", 1).replace(",false", ",true");
    let late = format!("{}\n{}\n", csv.lines().next().unwrap(), late.trim_end_matches(",false").to_owned());
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.csv"), &csv).unwrap();
    fs::write(folder.path().join("b.csv"), late).unwrap();
    let clicks = |words: &str| {
        let found = json_of(folder.path(), &format!("--logs {words} {EVEN}"));
        let of = |index: usize| {
            let rows = metric(&found, "ctr")["arms"][index]["value"].as_f64().unwrap();
            rows * metric(&found, "impressions_per_unit")["arms"][index]["value"].as_f64().unwrap()
                * found["arms"][index]["units"].as_f64().unwrap()
        };
        (of(0) + of(1), found["left_out"]["replaced by a late row"].as_u64())
    };
    let (before, _) = clicks("a.csv");
    let (after, replaced) = clicks("a.csv b.csv");
    assert!((after - before - 1.0).abs() < 1e-6, "{before} {after}");
    assert_eq!(replaced, Some(1));
}

#[test]
fn a_missing_column_names_what_writes_it_and_optional_ones_take_their_metric_with_them() {
    let csv = Users::two(800, 1.0).csv();
    for column in ["arm", "experiment", "timestamp", "prediction_id", "click_delay_ms", "user"] {
        let said = said(&[("joined.csv", without(&csv, column))], EVEN, 1);
        assert!(said.contains(&format!("no column `{column}`, which `omomi log join`")), "{column}: {said}");
    }
    for (column, expected) in [
        ("probability", "the logs have no column `probability`"),
        ("won", "no row was won"),
        ("click_price_micros", "no row has a value in `click_price_micros`"),
    ] {
        let said = said(&[("joined.csv", without(&csv, column))], EVEN, 0);
        assert!(said.contains(expected) && said.contains("ctr"), "{column}: {said}");
    }
}

#[test]
fn what_has_no_spread_has_no_interval_and_says_why() {
    let csv = Users::two(800, 1.0).csv();
    let no_clicks = said(&[("joined.csv", filled(&csv, "click_delay_ms", ""))], EVEN, 0);
    assert!(no_clicks.contains("arms with fewer than 5 clicks: control, b"), "{no_clicks}");
    assert!(no_clicks.contains("0.000000 (no interval)"), "{no_clicks}");
    let nan = said(&[("joined.csv", filled(&csv, "dwell", "NaN"))], &format!("{EVEN} --metric dwell"), 0);
    assert!(nan.contains("no row has a finite number in `dwell`"), "{nan}");
    let alike = said(&[("joined.csv", filled(&csv, "dwell", "3"))], &format!("{EVEN} --metric dwell"), 0);
    assert!(alike.contains("arms whose units are all alike: control, b"), "{alike}");
    // A single unit in one arm, as planned.
    let few = Users::two(60, 1.0).csv();
    let mut is_first = true;
    let single = few.lines().filter(|line| !line.contains(",b,") || std::mem::take(&mut is_first));
    let single = single.collect::<Vec<_>>().join("\n") + "\n";
    let single = said(&[("joined.csv", single)], "--unit user --shares control=30,b=1", 0);
    assert!(single.contains("impressions_per_unit: no interval: arms with fewer than 2 units: b"), "{single}");
}

#[test]
fn values_that_cannot_be_meant_name_their_row() {
    let csv = Users::two(50, 1.0).csv();
    for (column, value, expected) in [
        ("timestamp", "yesterday", "row 1: column `timestamp`: expected a time"),
        ("probability", "12", "row 1: column `probability`: expected a probability in (0, 1), found `12`"),
        ("click_price_micros", "cheap", "column `click_price_micros`: expected an integer of millionths"),
    ] {
        let said = said(&[("joined.csv", filled(&csv, column, value))], EVEN, 1);
        assert!(said.contains(expected), "{column}: {said}");
    }
    let label = said(&[("joined.csv", csv.clone())], &format!("{EVEN} --label dwell"), 1);
    assert!(label.contains("expected a label of 0 or 1"), "{label}");
    let euros = csv.replacen(",2500000,JPY", ",2500000,EUR", 1);
    let currencies = said(&[("joined.csv", euros)], EVEN, 1);
    assert!(currencies.contains("expected prices in one currency, found EUR and JPY"), "{currencies}");
}

#[test]
fn answers_of_shadows_never_count() {
    let csv = Users::two(400, 1.0).csv();
    let served = csv.replacen("\n", ",shadow\n", 1).replace("false\n", "false,false\n");
    let shadows = Users::two(400, 9.0).with(|it| it.seed = 3).csv();
    let shadows = shadows.replacen("\n", ",shadow\n", 1).replace("false\n", "false,true\n");
    let found = |logs: &[(&str, &str)]| {
        let folder = tempfile::tempdir().unwrap();
        logs.iter().for_each(|(name, text)| fs::write(folder.path().join(name), text).unwrap());
        let names: Vec<&str> = logs.iter().map(|(name, _)| *name).collect();
        json_of(folder.path(), &format!("--logs {} {EVEN}", names.join(" ")))
    };
    let (alone, both) = (found(&[("a.csv", &served)]), found(&[("a.csv", &served), ("b.csv", &shadows)]));
    assert_eq!((&alone["metrics"], &alone["arms"]), (&both["metrics"], &both["arms"]));
    assert_eq!(both["left_out"]["of a shadow"], 1_000);
}
