//! `omomi ab` over sound logs.

use std::fs;
use std::path::Path;

use omomi::serving_log::{EventKind, PredictionId, Served};
use serde_json::Value;

use crate::users::Users;
use crate::world::{PATIENCE, World, at, omomi};
use crate::{assert_same, reference};

/// Runs `omomi ab`, and returns the JSON.
pub fn json_of(folder: &Path, words: &str) -> Value {
    let output = omomi(folder, &format!("ab {words} --json -"));
    assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

pub fn metric<'a>(found: &'a Value, name: &str) -> &'a Value {
    found["metrics"].as_array().unwrap().iter().find(|metric| metric["metric"] == name).unwrap()
}

#[test]
fn figures_are_those_of_the_definitions_in_python() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("joined.csv"), Users::two(6_000, 1.3).csv()).unwrap();
    let words = "--logs joined.csv --unit user --shares control=5000,b=5000 --metric dwell --narrowest-at 5000";
    let found = json_of(folder.path(), words);
    let Some(expected) = reference(folder.path(), "ab joined.csv user control 5000") else { return };
    for (index, arm) in ["control", "b"].into_iter().enumerate() {
        assert_eq!(
            (&found["arms"][index]["arm"], &found["arms"][index]["units"]),
            (&arm.into(), &expected[arm]["units"])
        );
        let (ctr, expected) = (&metric(&found, "ctr")["arms"][index]["value"], &expected[arm]["ctr"]);
        assert!((ctr.as_f64().unwrap() - expected.as_f64().unwrap()).abs() < 1e-12);
    }
    let difference = &metric(&found, "ctr")["differences"][0];
    assert_same("absolute", &difference["absolute"], &expected["b"]["absolute"]);
    assert_same("relative", &difference["relative"], &expected["b"]["relative"]);
    // The truth: 30 % more clicks, at a fixed price; probabilities are right; `dwell` is the same in both arms.
    assert!(difference["relative"]["low"].as_f64().unwrap() > 0.1, "{difference}");
    let revenue = metric(&found, "revenue_per_1000_impressions");
    let ratio =
        revenue["arms"][1]["value"].as_f64().unwrap() / metric(&found, "ctr")["arms"][1]["value"].as_f64().unwrap();
    assert!((ratio - 2_500.0).abs() < 1e-6, "{ratio}");
    for (name, truth) in [("calibration_ratio", 1.0), ("dwell", 5.0), ("win_rate", 0.4), ("impressions_per_unit", 2.5)]
    {
        let value = metric(&found, name)["arms"][0]["value"].as_f64().unwrap();
        assert!((value / truth - 1.0).abs() < 0.1, "{name}: {value}");
    }
    assert!(metric(&found, "normalized_log_loss")["arms"][0]["value"].as_f64().unwrap() < 1.0);
    // Two days, in looks of an hour each, and the last one has everything.
    let looks = found["looks"].as_array().unwrap();
    assert_eq!(looks.len(), 48);
    assert_eq!(looks[47]["metrics"][0]["differences"][0], difference["absolute"]);
    assert!(looks.windows(2).all(|pair| pair[0]["units"][0].as_u64() <= pair[1]["units"][0].as_u64()));
}

#[test]
fn intervals_that_hold_once_wait_for_their_horizon_and_are_narrower() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("joined.csv"), Users::two(3_000, 1.3).csv()).unwrap();
    let words = "--logs joined.csv --unit user --shares control=1,b=1";
    let early = omomi(folder.path(), &format!("ab {words} --horizon 4000"));
    assert_eq!(early.status.code(), Some(4));
    let (said, error) = (String::from_utf8_lossy(&early.stdout), String::from_utf8_lossy(&early.stderr));
    assert!(error.contains("expected 4,000 units, found 3,000 (75 %)"), "{error}");
    assert!(!said.contains("ctr") && said.contains("as planned"), "{said}");
    let once = json_of(folder.path(), &format!("{words} --horizon 3000"));
    assert!(once["looks"].as_array().unwrap().iter().all(|look| look["metrics"].as_array().unwrap().is_empty()));
    let always = json_of(folder.path(), words);
    let width = |found: &Value| {
        let interval = &metric(found, "ctr")["differences"][0]["absolute"];
        interval["high"].as_f64().unwrap() - interval["low"].as_f64().unwrap()
    };
    assert!(width(&once) < 0.7 * width(&always));
}

#[test]
fn a_past_makes_intervals_narrower_and_slices_are_corrected() {
    let folder = tempfile::tempdir().unwrap();
    let before = Users::two(4_000, 1.0).with(|it| it.seed = 2);
    let during = Users::two(4_000, 1.0).with(|it| it.first_hour = 72);
    fs::write(folder.path().join("before.csv"), before.csv()).unwrap();
    fs::write(folder.path().join("joined.csv"), during.csv()).unwrap();
    let words = "--logs joined.csv --unit user --shares control=5000,b=5000 --by site";
    let found = json_of(folder.path(), &format!("{words} --covariate-logs before.csv"));
    let difference = &metric(&found, "ctr")["differences"][0];
    let reduction = difference["variance_reduction"].as_f64().unwrap();
    assert!(reduction > 0.02 && reduction < 0.5, "{difference}");
    assert_eq!(difference["unadjusted"], metric(&json_of(folder.path(), words), "ctr")["differences"][0]["absolute"]);
    let slices = &found["slices"];
    assert_eq!((&slices["metric"], &slices["comparisons"]), (&"ctr".into(), &3.into()));
    let p_values = slices["slices"].as_array().unwrap().iter().map(|slice| slice["p_value"].as_f64().unwrap());
    assert!(p_values.clone().count() == 3 && p_values.clone().all(|p_value| p_value > 0.05), "{slices}");
    let said = String::from_utf8(omomi(folder.path(), &format!("ab {words}")).stdout).unwrap();
    assert!(said.contains("ctr by slice, 3 comparisons") && said.contains("site = 0"), "{said}");
}

#[test]
fn a_plan_says_how_many_units_it_takes_from_figures_or_from_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let words = "ab --plan --unit user --effect 0.1 --baseline-rate 0.1 --impressions-per-unit 1";
    let said = String::from_utf8(omomi(folder.path(), words).stdout).unwrap();
    assert!(said.contains("28,256") && said.contains("--horizon 28256"), "{said}");
    fs::write(folder.path().join("before.csv"), Users::two(4_000, 1.0).csv()).unwrap();
    let found = json_of(folder.path(), "--plan --unit user --effect 0.1 --logs before.csv --shares control=9,b=1");
    let plan = &found["plan"];
    assert_eq!(plan["baseline"]["units"], 4_000);
    // Rows of a user resemble each other, so it takes more than with independent rows.
    let ctr = plan["baseline"]["value"].as_f64().unwrap();
    let deviation = plan["baseline"]["unit_deviation"].as_f64().unwrap();
    assert!(deviation.powi(2) > 1.05 * ctr * (1.0 - ctr) / 2.5, "{plan}");
    assert_eq!(plan["units_by_arm"][0][0], "control");
    for (words, expected) in [("--effect 0", "other than 0"), ("--effect 0.1 --power 1", "in (0, 1)")] {
        let refused = omomi(folder.path(), &format!("ab --plan --unit user --logs before.csv {words}"));
        assert_eq!(refused.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&refused.stderr).contains(expected));
    }
}

#[test]
fn a_log_that_servers_wrote_is_joined_and_read_out() {
    let world = World::new(&[]);
    let mut server = world.serve(|_| {});
    for number in 0..1_200_i64 {
        server.predict(number);
        let is_treated = crate::users::uniform(number.cast_unsigned(), 3) < 0.5;
        let request_id = format!("request-{number}");
        let served = Served::of(&request_id).with(|it| {
            it.at_unix_ms = Some(at(number));
            it.experiment = "ranker";
            it.arm = if is_treated { "b" } else { "control" };
            it.bucket = Some(u32::from(is_treated));
        });
        server.ring.record(&mut server.request, 0, &served).unwrap();
        if number % 5 == 0 {
            let prediction_id = PredictionId::of(&request_id, "", 0).unwrap();
            let kind = EventKind::Click;
            let event =
                omomi::serving_log::Event { prediction_id, kind, at_unix_ms: Some(at(number) + 9), money: None };
            server.ring.event(&event).unwrap();
        }
        if number % 200 == 199 {
            assert!(server.log.flush(PATIENCE));
        }
    }
    server.close();
    let join = "log join served --contract contract.toml --window 1h --until 2026-10-02T00:00:00Z --out joined.parquet";
    world.done(join);
    // Two buckets with 600 units each: their number is that of the shares.
    let said = world.done("ab --logs joined.parquet --unit request_id --json ab.json");
    assert!(said.contains("Experiment ranker: 1,200 rows, 1,200 units (request_id)"), "{said}");
    assert!(said.contains("planned shares from the buckets") && said.contains("ctr"), "{said}");
    assert!(said.contains("no row has a value in `click_price_micros`") && said.contains("no row was won"), "{said}");
    let found: Value = serde_json::from_slice(&fs::read(world.path("ab.json")).unwrap()).unwrap();
    let ctr = metric(&found, "ctr")["arms"].as_array().unwrap();
    assert!(ctr.iter().all(|arm| (arm["value"].as_f64().unwrap() - 0.2).abs() < 0.04), "{ctr:?}");

    world.done("evaluate 7.omomi --logs joined.parquet --json evaluation.json --quiet");
    world.done("report --evaluation evaluation.json --ab ab.json --out report.html");
    let page = fs::read_to_string(world.path("report.html")).unwrap();
    assert!(page.contains("id=\"experiment-arms\"") && page.contains("id=\"experiment-units\""));
    let other = fs::read_to_string(world.path("ab.json")).unwrap().replacen("\"version\": 1", "\"version\": 2", 1);
    fs::write(world.path("other.json"), other).unwrap();
    let said = world.failed("report --evaluation evaluation.json --ab other.json --out other.html");
    assert!(said.contains("has the format version 2, expected 1"), "{said}");
}
