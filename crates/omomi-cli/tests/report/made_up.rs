//! Made-up inputs of a report: every kind, with names that look like markup.

use std::fs;
use std::path::{Path, PathBuf};

use omomi::contract::Contract;
use omomi::feature::text_value;
use omomi_train::evaluate::{
    Bootstrap, Calibration, ColumnSlices, Comparison, Difference, EvaluatedRows, Evaluation, FieldRates, FieldWeights,
    FileFacts, GroupsOf, HourSlice, ModelEvaluation, Overall, ReliabilityBin, Slice, SliceMetrics,
};
use omomi_train::judge::gate::{Candidate, Declared, GateSettings, Judgment, judge};
use omomi_train::judge::report::ReportInputs;
use omomi_train::learn::state::{BIAS_FIELD, Metadata, StateRow, StateWriter};
use omomi_train::learn::{Settings, WeightRule};
use omomi_train::operate::publish::Blessing;
use omomi_train::prune::{Amounts, Bill, BudgetBill, Change, CurvePoint, Quality, RuleBill};
use serde_json::{Value, json};

/// A category that must never become markup, nor act on a terminal or on the text around it.
pub const HOSTILE: &str = "<script>alert('&\"')</script>\u{1b}]0;x\u{7}\r\u{9b}31m\u{202e}";
/// Numbers of bins, hours, slices per column, curve points per way of pruning, and published files.
pub const BIN_COUNT: usize = 20;
pub const HOUR_COUNT: usize = 48;
pub const SERVED_HOUR_COUNT: usize = 30;
pub const SITE_COUNT: usize = 12;
pub const LOOK_COUNT: usize = 10;
pub const CURVE_POINT_COUNT: usize = 9;
pub const FILE_COUNT: usize = 14;
/// Fields of the weight files.
pub const FIELDS: [(&str, u64); 6] = [
    ("user_id", 1_904_211),
    ("site_id*creative_id", 811_402),
    ("creative_id", 204_553),
    ("interest", 1_204),
    ("region", 47),
    ("hour", 24),
];

const MIDNIGHT_US: i64 = 1_795_564_800_000_000;
const HOUR_US: i64 = 3_600_000_000;
use omomi_train::log::generate::CONTRACT;

/// Writes every input of a report to `folder`.
pub fn inputs(folder: &Path) -> ReportInputs {
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let evaluation = write("evaluation.json", serde_json::to_string(&evaluation(true)).unwrap());
    let bill = write("pruned.bill.json", serde_json::to_string(&bill()).unwrap());
    let provenance = write("merged.provenance.json", provenance().to_string());
    let blessing = write("000042.blessing.json", serde_json::to_string(&blessing()).unwrap());
    let served = write("served.json", served().to_string());
    let ab = write("ab.json", experiment().to_string());
    let counterfactual = write("counterfactual.json", counterfactual().to_string());
    ReportInputs {
        ab: Some(ab),
        counterfactual: Some(counterfactual),
        served: Some(served),
        blessing: Some(blessing),
        provenance: Some(provenance),
        bill: Some(bill),
        state: Some(state(&folder.join("model.parquet"), 1.0)),
        baseline_state: Some(state(&folder.join("baseline.parquet"), 0.0)),
        store: Some(store(&folder.join("store"))),
        ..ReportInputs::of(evaluation)
    }
}

/// What was served in some hours. One of them has no click, and another logic was served, too.
fn served() -> Value {
    let hour = |logic_id: &str, hour: usize| {
        let clicks = if hour == SERVED_HOUR_COUNT { 0 } else { 90 + hour };
        json!({
            "logic_id": logic_id, "start_us": 1_790_812_800_000_000_i64 + hour as i64 * 3_600_000_000,
            "predictions": 1_000, "clicks": clicks, "probability_sum": 100.0,
        })
    };
    let own = (0..=SERVED_HOUR_COUNT).map(|index| hour("feed-ctr", index));
    json!({ "version": 1, "of_impressions": true, "hours": own.chain([hour("other", 0)]).collect::<Vec<_>>() })
}

/// A read-out of three arms, with a name that looks like markup, and a look each day.
pub fn experiment() -> Value {
    let estimate = |value: f64, reach: f64| json!({ "value": value, "low": value - reach, "high": value + reach });
    let arm = |name: &str, units: u64| {
        json!({ "arm": name, "units": units, "rows": units * 3, "planned_share": 1.0 / 3.0,
                "window_us": [MIDNIGHT_US, MIDNIGHT_US + 240 * HOUR_US] })
    };
    let difference = |name: &str, value: f64| {
        json!({ "arm": name, "absolute": estimate(value / 50.0, 0.001), "relative": estimate(value, 0.04),
                "p_value": 0.2, "variance_reduction": null, "unadjusted": null })
    };
    let metric = |name: &str| {
        let arms = [0.0200, 0.0203, 0.0198].map(|value| estimate(value, 0.0004));
        json!({ "metric": name, "arms": arms, "note": null,
                "differences": [difference("b", 0.015), difference(HOSTILE, -0.01)] })
    };
    let look = |index: usize| {
        let reach = 0.2 / (index as f64 + 1.0).sqrt();
        let relative = [0.015 + 0.02 * noise(index), -0.01 - 0.02 * noise(index + 50)].map(|it| estimate(it, reach));
        let metric = json!({ "arms": [null, null, null], "differences": [null, null], "relative": relative });
        let units = [100, 101, 99].map(|percent| percent * 30 * (index + 1));
        json!({ "until_us": MIDNIGHT_US + (index as i64 + 1) * 24 * HOUR_US, "units": units,
                "sample_ratio_p_value": 0.4, "metrics": [metric, metric] })
    };
    json!({
        "version": 1, "experiment": HOSTILE, "unit": "user_id", "control": "control",
        "validity": { "always": { "narrowest_at_units": 100_000 } }, "alpha": 0.05,
        "window_us": [MIDNIGHT_US, MIDNIGHT_US + 240 * HOUR_US], "row_count": 270_000, "left_out": {},
        "of_impressions": true, "revenue": "click-price", "currency": "JPY",
        "arms": [arm("control", 30_000), arm("b", 30_300), arm(HOSTILE, 29_700)],
        "units_in_several_arms": 0, "shares_from": "given",
        "sample_ratio": { "chi_square": 1.8, "p_value": 0.4 }, "blocked": [], "notes": [],
        "metrics": [metric("ctr"), metric("revenue_per_1000_impressions")], "slices": null,
        "looks": (0..LOOK_COUNT).map(look).collect::<Vec<_>>(), "bytes_per_unit": 120,
    })
}

/// What another file would have earned.
pub fn counterfactual() -> Value {
    let estimate = |value: f64, reach: f64| json!({ "value": value, "low": value - reach, "high": value + reach });
    let method = |name: &str, value: f64, reach: f64| {
        let difference = estimate(value - 0.05, reach);
        json!({ "method": name, "value": estimate(value, reach), "difference": difference })
    };
    json!({
        "version": 1, "policy": "the candidate with the highest logit", "reward": "click", "currency": null,
        "weights": { "path": HOSTILE, "logic_id": HOSTILE, "generation": 8, "digest": "00" },
        "unit": "request_id", "alpha": 0.05, "detailed_requests": 9_000, "requests": 8_000, "left_out": {},
        "mean_candidates": 40.0, "agreement": 0.6, "clip": null, "clipped_requests": 0, "clipped_weight_share": 0.0,
        "largest_weight": 400.0, "mean_weight": 1.01, "effective_sample_size": 900.0, "logged": estimate(0.05, 0.004),
        "methods": [method("ips", 0.056, 0.012), method("snips", 0.055, 0.011), method("doubly_robust", 0.054, 0.006)],
        "blocked": [], "notes": [], "needs": [],
    })
}

fn contract() -> Contract {
    omomi_train::toml::parse_contract(CONTRACT).unwrap()
}

fn fingerprint() -> String {
    format!("{:016x}", contract().fingerprint())
}

/// Returns a pseudo-random number from 0 to 1.
fn noise(seed: usize) -> f64 {
    let mixed = (seed as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 11) as f64 / (1_u64 << 53) as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of made-up files are small")]
fn rounded(number: f64) -> u64 {
    number.round() as u64
}

/// Returns an evaluation with slices, hours and, on request, a baseline.
pub fn evaluation(with_baseline: bool) -> Evaluation {
    Evaluation {
        format_version: Evaluation::FORMAT_VERSION,
        tool_version: "1.2.3".to_owned(),
        rows: EvaluatedRows {
            logs: vec!["logs/part-004.parquet".to_owned()],
            log_digests: Vec::new(),
            impressions: 1_000_000,
            clicks: 98_212,
            adjacent_clicks: 9_645,
            bad_rows: 3,
            user_column: None,
            time_column: Some("time".to_owned()),
            window_us: Some([MIDNIGHT_US, MIDNIGHT_US + 48 * HOUR_US - 1]),
            importance_column: None,
            hold_out: None,
        },
        models: vec![model(42, 0.0, with_baseline)],
        baseline: with_baseline.then(|| model(41, 1.0, false)),
    }
}

fn model(generation: u64, worse: f64, is_compared: bool) -> ModelEvaluation {
    let entropy = 0.8712 + 0.0074 * worse;
    ModelEvaluation {
        file: file(generation, worse),
        overall: Overall {
            impressions: 1_000_000,
            clicks: 98_212,
            effective_clicks: None,
            not_probability_count: 0,
            mean_probability: 0.0979,
            log_loss: 0.321 * entropy,
            normalized_entropy: Some(entropy),
            normalized_entropy_interval: Some([entropy - 0.004, entropy + 0.004]),
            auc: Some(0.7421 - 0.006 * worse),
            pr_auc: Some(0.2511 - 0.005 * worse),
            user_auc: None,
            calibration: calibration(98_212, 1.004 - 0.04 * worse),
            expected_calibration_error: 0.0011 + 0.003 * worse,
            unseen_rate: 0.021 + 0.004 * worse,
        },
        reliability: (0..BIN_COUNT).map(|bin| reliability_bin(bin, worse)).collect(),
        by: vec![
            ColumnSlices {
                column: "site_id".to_owned(),
                slices: (0..SITE_COUNT).map(|site| slice((site * 37 + 11).to_string(), site, worse)).collect(),
                other: None,
            },
            ColumnSlices {
                column: "device".to_owned(),
                slices: [HOSTILE, "tablet"]
                    .into_iter()
                    .zip(20..)
                    .map(|(name, seed)| slice(name.to_owned(), seed, worse))
                    .collect(),
                other: None,
            },
        ],
        hours: (0..HOUR_COUNT).map(|hour| hour_slice(hour, entropy)).collect(),
        fields: FIELDS.map(|(field, _)| field_rates(field, worse)).into(),
        seen: Vec::new(),
        comparison: is_compared.then(|| Comparison {
            population_stability_index: 0.0123,
            log_loss_difference: Some(Difference { value: -0.00238, low: -0.0027, high: -0.0021 }),
            normalized_entropy_difference: Some(Difference { value: -0.0074, low: -0.0083, high: -0.0066 }),
            normalized_entropy_change: Some(Difference { value: -0.00842, low: -0.00944, high: -0.00751 }),
            bootstrap: Bootstrap { groups_of: GroupsOf::ConsecutiveRows, groups: 1_000, resamples: 1_000, seed: 1 },
        }),
    }
}

fn file(generation: u64, worse: f64) -> FileFacts {
    let grown = |count: u64| rounded(count as f64 * (1.0 + 0.3 * worse));
    let fields = FIELDS.map(|(field, count)| FieldWeights {
        field: field.to_owned(),
        weight_count: grown(count),
        len_bytes: grown(count) * 17 / 2,
    });
    let len_bytes = fields.iter().map(|field| field.len_bytes).sum::<u64>() + 70_000;
    FileFacts {
        path: format!("weights/{generation:06}.omomi"),
        len_bytes,
        digest: format!("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f2001{generation:03}"),
        generation,
        logic_id: "feed-ctr".to_owned(),
        contract: contract().name().to_owned(),
        contract_fingerprint: fingerprint(),
        encoding: "f32".to_owned(),
        bias: -2.4,
        weight_count: fields.iter().map(|field| field.weight_count).sum(),
        largest_weight: 3.21,
        fields: fields.into(),
        training_rows: Some(40_000_000),
        training_window_us: Some([MIDNIGHT_US - 14 * 24 * HOUR_US, MIDNIGHT_US - 1]),
        importance_column: None,
    }
}

pub fn calibration(clicks: u64, ratio: f64) -> Option<Calibration> {
    let factor = (1.96 / (clicks as f64).sqrt()).exp();
    Some(Calibration { ratio, low: ratio / factor, high: ratio * factor })
}

fn reliability_bin(bin: usize, worse: f64) -> ReliabilityBin {
    let predicted = 0.009 * 1.21_f64.powi(i32::try_from(bin).unwrap());
    let observed = predicted * (1.0 + worse * (0.22 - 0.02 * bin as f64) + 0.08 * (noise(bin) - 0.5));
    let half = 1.96 * (observed * (1.0 - observed) / 20_000.0).sqrt();
    ReliabilityBin {
        impressions: 50_000,
        clicks: rounded(observed * 50_000.0),
        mean_probability: predicted,
        observed_ctr: observed,
        observed_ctr_low: observed - half,
        observed_ctr_high: observed + half,
    }
}

fn slice(value: String, seed: usize, worse: f64) -> Slice {
    let clicks = 24_000 / (seed as u64 % 20 + 1);
    let ratio = 1.0 + (noise(seed) - 0.5) * (0.08 + 0.12 * worse) + if seed == 3 { 0.25 * (1.0 - worse) } else { 0.0 };
    let metrics = SliceMetrics {
        impressions: clicks * 10,
        clicks,
        effective_clicks: None,
        mean_probability: 0.1 * ratio,
        log_loss: 0.28,
        normalized_entropy: Some(0.87 + 0.02 * noise(seed + 7)),
        calibration: calibration(clicks, ratio),
    };
    Slice { value: Some(value), metrics }
}

fn hour_slice(hour: usize, entropy: f64) -> HourSlice {
    let daily = (hour as f64 / 24.0 * std::f64::consts::TAU).sin();
    HourSlice {
        start_us: MIDNIGHT_US + hour as i64 * HOUR_US,
        metrics: SliceMetrics {
            impressions: 20_000,
            clicks: 2_000,
            effective_clicks: None,
            mean_probability: 0.1,
            log_loss: 0.28,
            normalized_entropy: Some(entropy + 0.009 * daily + 0.006 * (noise(hour) - 0.5)),
            calibration: calibration(2_000, 1.0),
        },
    }
}

fn field_rates(field: &str, worse: f64) -> FieldRates {
    let unseen = rounded(31_000.0 * (1.0 + 0.2 * worse));
    FieldRates {
        field: field.to_owned(),
        categories: 1_000_000,
        unseen,
        unseen_rate: unseen as f64 / 1e6,
        missing: 12_000,
        missing_rate: 0.012,
        seen_without_weight: None,
        invalid_numbers: 0,
        distinct: 0,
        distribution: Vec::new(),
    }
}

fn bill() -> Bill {
    let rule = RuleBill::from(WeightRule::of(&Settings::default()));
    let amounts = |weights: u64| Amounts { categories: 9_000_000, weights, bytes: weights * 17 / 2, mass: 1e6 };
    let change = Change {
        before: amounts(9_000_000),
        after: amounts(2_900_000),
        mass_removed: 1e4,
        held_out: None,
        fields: Vec::new(),
    };
    let ways = [
        ("evidence", "f32", 8.4),
        ("evidence", "f16", 5.4),
        ("l1", "f32", 8.4),
        ("l1", "f16", 5.4),
        ("magnitude", "i8", 4.4),
    ];
    let curve: Vec<CurvePoint> = ways
        .into_iter()
        .zip(0..)
        .flat_map(|((cut, encoding, bytes), way)| {
            (0..CURVE_POINT_COUNT).map(move |point| {
                let weights = 150_000.0 * 1.6_f64.powi(i32::try_from(point).unwrap());
                let entropy = 0.8705 + 900.0 * (1.0 + 0.3 * f64::from(way % 3)) / (weights + 90_000.0);
                CurvePoint {
                    cut: cut.to_owned(),
                    threshold: 40.0 / (point + 1) as f64,
                    encoding: encoding.to_owned(),
                    weights: rounded(weights),
                    bytes: rounded(weights * bytes),
                    shift: 0.01,
                    quality: Quality {
                        log_loss: entropy * 0.32,
                        normalized_entropy: Some(entropy),
                        calibration_ratio: Some(1.0),
                    },
                }
            })
        })
        .collect();
    Bill {
        tool_version: "1.2.3".to_owned(),
        contract: contract().name().to_owned(),
        fingerprint: fingerprint(),
        encoding: "f16".to_owned(),
        rule_before: rule,
        rule_after: rule,
        held_out_rows: 500_000,
        total: change,
        measures: Vec::new(),
        unfitted: None,
        bias_fitted: None,
        served: None,
        budget: Some(BudgetBill { max_bytes: 14_000_000, curve, chosen: CURVE_POINT_COUNT + 6 }),
        warnings: Vec::new(),
    }
}

/// Returns the blessing of the evaluated file by a gate that accepts every slice.
fn blessing() -> Blessing<Judgment> {
    let evaluation = evaluation(true);
    let model = &evaluation.models[0];
    let settings = GateSettings::default().with(|it| it.slice_calibration_ratio = [0.7, 1.25]);
    let baseline = evaluation.baseline.as_ref();
    let candidate = Candidate { model, baseline, declared: &Declared::Replacement, store: None };
    let checks = judge(candidate, &settings);
    Blessing::new(model.file.digest.clone(), Judgment::new(&evaluation, candidate, &settings, "gate.toml", &checks))
}

/// Writes a state whose weights differ from those of `moved = 0` in proportion to `moved`.
fn state(path: &Path, moved: f64) -> PathBuf {
    let metadata = Metadata {
        contract: contract(),
        settings: Settings::default(),
        weight_rule: WeightRule::of(&Settings::default()),
        pruned: false,
        without_evidence: false,
        negative_rate: 1.0,
        shards: 1,
        window_us: None,
        rows: 1_000_000,
        effective_rows: 1_000_000,
        importance_column: None,
        log_dialect: None,
        clicks: 98_212,
        passes: 1,
        start: None,
        lineage: Vec::new(),
        tool_version: "1.2.3".to_owned(),
        provenance: provenance().as_object().unwrap().clone(),
    };
    let bias = StateRow {
        field: BIAS_FIELD,
        category: "",
        key: 0,
        z: 1.0,
        d: 1.0,
        impressions: 1_000_000,
        clicks: 98_212,
        last_seen_us: None,
        weight: -2.4,
    };
    let mut rows: Vec<(u64, String, f64, u64)> = (0..300)
        .map(|index| {
            let name = if index == 7 { HOSTILE.to_owned() } else { format!("kind-{index}") };
            let weight = noise(index) * 2.0 - 1.0
                + moved * (noise(index + 1_000) - 0.5) * if index % 50 == 7 { 3.0 } else { 0.8 };
            // Every tenth feature has no weight in one of the two states.
            let weight = if index % 10 == 3 && moved == 0.0 { 0.0 } else { weight };
            (text_value(name.as_bytes()), name, weight, 40 + index as u64 * 911)
        })
        .collect();
    rows.sort_by_key(|row| row.0);
    let mut writer = StateWriter::create(path, &metadata, false).unwrap();
    writer.push(&bias).unwrap();
    for (key, category, weight, impressions) in &rows {
        let row = StateRow {
            field: "device",
            category,
            key: *key,
            impressions: *impressions,
            weight: *weight,
            clicks: 0,
            ..bias
        };
        writer.push(&row).unwrap();
    }
    writer.finish().unwrap();
    path.to_owned()
}

/// Returns the provenance that `omomi average` writes for 8 shards.
fn provenance() -> Value {
    let spread = FIELDS.iter().zip(0..).map(|((field, features), index)| {
        let seen_by = [features / 2, 0, 0, 0, 0, 0, 0, features / 2];
        let [deviation, magnitude] = [noise(index) * 0.1, 0.1 + noise(index + 50) * 0.2];
        json!({
            "field": field, "features": features, "nonzero": features, "seen_by": seen_by,
            "standard_deviation": deviation, "magnitude": magnitude,
        })
    });
    json!({ "contract": { "fingerprint": fingerprint() }, "spread": spread.collect::<Vec<_>>() })
}

/// Creates a store with files of several sizes. The report reads only the lengths of the files.
fn store(dir: &Path) -> PathBuf {
    let generations = dir.join("generations");
    fs::create_dir_all(&generations).unwrap();
    for generation in (29_u64..).take(FILE_COUNT) {
        let grown = 1.0 + 0.02 * generation as f64 + if generation == 36 { 0.7 } else { 0.0 };
        let file = fs::File::create(generations.join(format!("{generation:06}.omomi"))).unwrap();
        file.set_len(rounded(1.6e7 * grown)).unwrap();
    }
    let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    fs::write(dir.join("current"), format!("000042 {digest}\n")).unwrap();
    dir.to_owned()
}
