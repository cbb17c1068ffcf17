use super::*;
use crate::evaluate::{
    Bootstrap, ColumnSlices, Comparison, Difference, FieldRates, FileFacts, GroupsOf, Overall, SliceMetrics,
};

fn ratio(ratio: f64) -> Option<Calibration> {
    Some(Calibration { ratio, low: ratio * 0.9, high: ratio * 1.1 })
}

fn slice(value: &str, clicks: u64, calibration: Option<Calibration>) -> Slice {
    let metrics = SliceMetrics {
        impressions: clicks * 10,
        clicks,
        mean_probability: 0.1,
        log_loss: 0.3,
        normalized_entropy: Some(0.9),
        calibration,
    };
    Slice { value: Some(value.to_owned()), metrics }
}

fn field(name: &str, unseen_rate: f64) -> FieldRates {
    FieldRates {
        field: name.to_owned(),
        categories: 1_000,
        unseen: 0,
        unseen_rate,
        missing: 0,
        missing_rate: 0.0,
        invalid_numbers: 0,
    }
}

/// A weight file that is exactly at every limit, or just within it.
fn at_the_limits() -> ModelEvaluation {
    let change = Difference { value: 0.001, low: 0.0, high: 0.002 };
    ModelEvaluation {
        file: FileFacts {
            path: "000042.omomi".to_owned(),
            len_bytes: 2_000,
            digest: String::new(),
            generation: 42,
            logic_id: "feed-v1".to_owned(),
            contract: "feed".to_owned(),
            contract_fingerprint: String::new(),
            encoding: "f32".to_owned(),
            bias: -2.0,
            weight_count: 100,
            largest_weight: 10.0,
            fields: Vec::new(),
            training_rows: Some(500),
            training_window_us: None,
        },
        overall: Overall {
            impressions: 1_000,
            clicks: 100,
            not_probability_count: 0,
            mean_probability: 0.1,
            log_loss: 0.3,
            normalized_entropy: Some(0.9),
            auc: Some(0.7),
            pr_auc: Some(0.3),
            user_auc: None,
            calibration: ratio(1.05),
            expected_calibration_error: 0.0,
            unseen_rate: 0.119_999,
        },
        reliability: Vec::new(),
        by: vec![ColumnSlices {
            column: "device".to_owned(),
            slices: vec![slice("pc", 1_600, ratio(0.85)), slice("tv", 1_599, ratio(3.0))],
            other: None,
        }],
        hours: Vec::new(),
        fields: vec![field("device", 0.5), field("new", 1.0)],
        comparison: Some(Comparison {
            population_stability_index: 0.099,
            log_loss_difference: None,
            normalized_entropy_difference: None,
            normalized_entropy_change: Some(change),
            bootstrap: Bootstrap { groups_of: GroupsOf::ConsecutiveRows, groups: 100, resamples: 1_000, seed: 1 },
        }),
    }
}

fn baseline() -> ModelEvaluation {
    let mut baseline = at_the_limits();
    baseline.file.len_bytes = 1_000;
    baseline.file.training_rows = Some(1_000);
    baseline.overall.unseen_rate = 0.1;
    baseline.fields = vec![field("device", 0.25), field("old", 0.0)];
    baseline.comparison = None;
    baseline
}

fn judged(model: &ModelEvaluation, baseline: Option<&ModelEvaluation>, first: bool) -> Vec<Check> {
    judge(Candidate { model, baseline, first }, &GateSettings::default())
}

fn held_back(checks: &[Check]) -> Vec<&str> {
    checks.iter().filter(|check| !check.passed).map(|check| check.name.as_str()).collect()
}

#[test]
fn a_file_at_every_limit_passes() {
    let checks = judged(&at_the_limits(), Some(&baseline()), false);
    assert_eq!(held_back(&checks), [""; 0], "{checks:#?}");
    let names: Vec<&str> = checks.iter().map(|check| check.name.as_str()).collect();
    let expected = [
        "baseline",
        "clicks",
        "probabilities",
        "calibration",
        "slice_calibration",
        "largest_weight",
        "normalized_entropy",
        "shift",
        "unseen",
        "size",
        "training_rows",
    ];
    assert_eq!(names, expected);
}

/// A change to a file that is at every limit.
type Change = fn(&mut ModelEvaluation);

#[test]
fn a_value_beyond_its_limit_fails_only_its_own_check() {
    let beyond: [(&str, Change); 19] = [
        ("clicks", |model| model.overall.clicks = 99),
        ("probabilities", |model| model.overall.not_probability_count = 1),
        ("calibration", |model| model.overall.calibration = ratio(1.050_1)),
        ("calibration", |model| model.overall.calibration = ratio(0.949_9)),
        ("calibration", |model| model.overall.calibration = None),
        ("slice_calibration", |model| model.by[0].slices[0].metrics.calibration = ratio(0.849_9)),
        ("slice_calibration", |model| model.by[0].slices[0].metrics.calibration = ratio(1.150_1)),
        ("slice_calibration", |model| model.by[0].slices[1].metrics.clicks = 1_600),
        ("largest_weight", |model| model.file.largest_weight = 10.000_1),
        ("largest_weight", |model| model.file.largest_weight = f64::NAN),
        ("normalized_entropy", |model| {
            let change = &mut model.comparison.as_mut().unwrap().normalized_entropy_change;
            change.as_mut().unwrap().value = 0.001_01;
        }),
        ("normalized_entropy", |model| model.comparison.as_mut().unwrap().normalized_entropy_change = None),
        ("shift", |model| model.comparison.as_mut().unwrap().population_stability_index = 0.1),
        ("unseen", |model| model.overall.unseen_rate = 0.120_001),
        ("size", |model| model.file.len_bytes = 2_001),
        ("size", |model| model.file.len_bytes = 499),
        ("training_rows", |model| model.file.training_rows = Some(499)),
        ("training_rows", |model| model.file.training_rows = Some(2_001)),
        ("baseline", |model| model.file.logic_id = "feed-v2".to_owned()),
    ];
    for (index, (name, change)) in beyond.into_iter().enumerate() {
        let mut model = at_the_limits();
        change(&mut model);
        let checks = judged(&model, Some(&baseline()), false);
        assert_eq!(held_back(&checks), [name], "case {index}: {checks:#?}");
        let reason = checks.iter().find(|check| !check.passed).unwrap();
        assert!(!reason.expected.is_empty() && !reason.found.is_empty() && !reason.action.is_empty(), "{reason:?}");
    }
    let mut model = at_the_limits();
    model.comparison = None;
    assert_eq!(held_back(&judged(&model, Some(&baseline()), false)), ["normalized_entropy", "shift"]);
}

#[test]
fn every_slice_beyond_its_limit_is_a_separate_reason_and_the_field_that_lost_most_is_named() {
    let mut model = at_the_limits();
    model.by[0].slices =
        vec![slice("pc", 2_000, ratio(2.0)), slice("tv", 1_600, None), slice("pad", 1_700, ratio(1.0))];
    model.overall.unseen_rate = 0.3;
    model.fields = vec![field("device", 0.9), field("old", 0.021)];
    let checks = judged(&model, Some(&baseline()), false);
    let subjects: Vec<_> = checks.iter().filter(|check| !check.passed).map(|check| check.subject.as_deref()).collect();
    assert_eq!(subjects, [Some("device = pc"), Some("device = tv"), None]);
    let unseen = checks.iter().find(|check| check.name == "unseen").unwrap();
    assert_eq!(unseen.found, "30.00 %, from 10.00 %; most in `device`, 90.00 % from 25.00 %");
}

#[test]
fn missing_training_rows_are_not_judged() {
    let mut model = at_the_limits();
    model.file.training_rows = None;
    let checks = judged(&model, Some(&baseline()), false);
    assert!(held_back(&checks).is_empty() && checks.iter().all(|check| check.name != "training_rows"));
}

#[test]
fn the_first_file_of_a_logic_has_no_baseline_of_its_logic() {
    let (model, baseline) = (at_the_limits(), baseline());
    assert_eq!(held_back(&judged(&model, None, false)), ["baseline"]);
    assert_eq!(held_back(&judged(&model, None, true)), [""; 0]);
    assert_eq!(held_back(&judged(&model, Some(&baseline), true)), ["first"]);
    let mut other = baseline;
    other.file.logic_id = "feed-v0".to_owned();
    let checks = judged(&model, Some(&other), true);
    assert_eq!(held_back(&checks), [""; 0]);
    assert!(checks.iter().any(|check| check.name == "shift"), "it is still compared with the other logic");
}

#[test]
fn a_check_is_read_back_from_its_json() {
    let checks = judged(&at_the_limits(), None, false);
    let json = serde_json::to_string(&checks).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Check>>(&json).unwrap(), checks);
    assert!(serde_json::from_str::<Vec<Check>>(&json.replace("\"ml\"", "\"nobody\"")).is_err());
}
