use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use serde_json::Value;

use crate::learn::state::test_rows::OwnedRow;
use crate::learn::state::{BIAS_FIELD, BIAS_KEY, MISSING_FIELD, Start, UNSEEN_FIELD, default_key};
use crate::learn::{Settings, WeightRule};
use omomi::contract::Contract;
use omomi::store::Digest;

use super::*;
use crate::learn::provenance_path;

const CONTRACT: &str = r#"{"name":"tiny","label":"clicked","field":[
    {"name":"a","side":"context","type":"text","meaning":"m"},
    {"name":"b","side":"candidate","type":"id","meaning":"m"}],"cross":[{"fields":["a","b"]}]}"#;

const SETTINGS: Settings = Settings { alpha: 0.2, beta: 1.0, l1: 0.5, l2: 0.25 };

fn metadata() -> Metadata {
    Metadata {
        contract: Contract::from_json(CONTRACT.as_bytes()).unwrap(),
        settings: SETTINGS,
        weight_rule: WeightRule::of(&SETTINGS),
        pruned: false,
        without_evidence: false,
        negative_rate: 1.0,
        shards: 1,
        window_us: None,
        rows: 1_000,
        effective_rows: 1_000,
        importance_column: None,
        log_dialect: None,
        clicks: 100,
        passes: 1,
        start: None,
        lineage: Vec::new(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        provenance: Map::new(),
    }
}

/// A feature of the tests: field, category, key, z, d, impressions.
type Feature = (&'static str, String, u64, f64, f64, u64);

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a state. Its bias has seen all rows, and a tenth of them were clicked.
    fn write(&self, name: &str, metadata: &Metadata, bias: (f64, f64), features: &[Feature]) -> PathBuf {
        let path = self.path(name);
        let mut writer = StateWriter::create(&path, metadata, false).unwrap();
        let bias_weight = SETTINGS.bias_weight(bias.0, bias.1);
        writer.push(&row(BIAS_FIELD, "", BIAS_KEY, bias, metadata.rows, bias_weight)).unwrap();
        for (field, category, key, z, d, impressions) in features {
            let weight =
                if field.starts_with('(') { SETTINGS.default_weight(*z, *d) } else { SETTINGS.feature_weight(*z, *d) };
            writer.push(&row(field, category, *key, (*z, *d), *impressions, weight)).unwrap();
        }
        writer.finish_with(&metadata.provenance).unwrap();
        path
    }

    fn options(&self, states: &[PathBuf]) -> AverageOptions {
        AverageOptions {
            states: states.to_vec(),
            start: None,
            rule: Rule::Curvature,
            allow_uneven: false,
            state: self.path("merged.parquet"),
            replace: true,
            search: None,
            arguments: vec!["average".to_owned()],
        }
    }

    fn refusal(&self, options: &AverageOptions) -> String {
        let error = average(options, &mut |_| ()).unwrap_err().to_string();
        assert!(!options.state.exists() && !provenance_path(&options.state).exists(), "{error}");
        error.replace(self.0.path().to_str().unwrap(), "FOLDER")
    }
}

fn row<'a>(
    field: &'a str,
    category: &'a str,
    key: u64,
    (z, d): (f64, f64),
    impressions: u64,
    weight: f64,
) -> StateRow<'a> {
    let last_seen_us = Some(impressions.cast_signed());
    StateRow { field, category, key, z, d, impressions, clicks: impressions / 10, last_seen_us, weight }
}

/// Returns features with `count` keys below `4 count`, so that shards with other seeds share some of them.
fn random_features(count: u64, seed: u64) -> Vec<Feature> {
    let mut rng = Pcg64::seed_from_u64(seed);
    let mut features = BTreeMap::new();
    while (features.len() as u64) < count {
        let key = rng.random_range(1..4 * count);
        let (field, category) = if key % 3 == 0 { ("a", format!("text {key}")) } else { ("b", key.to_string()) };
        let (z, d) = (rng.random_range(-4.0..4.0), rng.random_range(5.0..30.0));
        features.insert(key, (field, category, key, z, d, rng.random_range(1..500)));
    }
    features.into_values().collect()
}

/// Writes states of different lengths, some with more than one batch.
fn random_states(folder: &Folder) -> Vec<PathBuf> {
    let counts = [40_000, 20_000, 30_000, 10];
    let states = counts.into_iter().zip(0..).map(|(count, seed)| {
        let metadata = Metadata { rows: 1_000 + seed, ..metadata() };
        let bias = (100.0 + seed as f64 / 3.0, 50.0 + seed as f64 / 7.0);
        folder.write(&format!("{seed}.parquet"), &metadata, bias, &random_features(count, seed))
    });
    states.collect()
}

#[test]
fn the_average_is_that_of_the_plain_twin() {
    let folder = Folder::new();
    let states = random_states(&folder);
    let rows: Vec<Vec<OwnedRow>> = states.iter().map(|state| OwnedRow::all(state)).collect();
    for rule in Rule::ALL {
        let report = average(&AverageOptions { rule, ..folder.options(&states) }, &mut |_| ()).unwrap();
        let mut expected: BTreeMap<u64, Vec<&OwnedRow>> = BTreeMap::new();
        rows.iter().flatten().for_each(|row| expected.entry(row.key).or_default().push(row));
        let merged = OwnedRow::all(&folder.path("merged.parquet"));
        assert_eq!(merged.len(), expected.len());
        assert_eq!(report.feature_count(), expected.len() as u64 - 1);
        for (row, (key, parts)) in merged.iter().zip(expected) {
            assert_eq!((row.key, &row.name), (key, &parts[0].name));
            let sum = |number: fn(&OwnedRow) -> f64| parts.iter().map(|part| number(part)).sum::<f64>();
            let impressions = parts.iter().map(|part| part.impressions).sum::<u64>();
            assert_eq!((row.impressions, row.clicks), (impressions, parts.iter().map(|part| part.clicks).sum()));
            assert_eq!(row.last_seen_us, parts.iter().filter_map(|part| part.last_seen_us).max());
            // What a shard has before it sees anything: beta / alpha.
            let (l1, l2, nothing) = if key == BIAS_KEY { (0.0, 0.0, 0.0) } else { (SETTINGS.l1, SETTINGS.l2, 5.0) };
            let (z, d) = (sum(|part| part.z), sum(|part| part.d) - nothing * (parts.len() as f64 - 1.0));
            let weight = match rule {
                Rule::Curvature if z.abs() <= l1 => 0.0,
                Rule::Curvature => -(z - z.signum() * l1) / (d + l2),
                Rule::Plain => sum(|part| part.weight) / 4.0,
                Rule::Seen => sum(|part| part.weight) / parts.len() as f64,
                Rule::Count => sum(|part| part.weight * part.impressions as f64) / impressions as f64,
            };
            assert!((row.d - d).abs() < 1e-9 && (row.weight - weight).abs() < 1e-12, "{rule}: {row:?}, {weight}");
            if rule == Rule::Curvature {
                assert!((row.z - z).abs() < 1e-9, "{row:?}");
            }
            // A reader of the state computes the same weight by its rule.
            let by_rule = match key {
                BIAS_KEY => report.metadata.weight_rule.bias_weight(row.z, row.d),
                _ => report.metadata.weight_rule.feature_weight(row.z, row.d),
            };
            assert_eq!(by_rule.to_bits(), row.weight.to_bits());
        }
    }
}

/// The weight of unseen categories is averaged like that of a feature, but without the threshold, and is not counted
/// among the features of a field.
#[test]
fn what_stands_for_unseen_categories_is_averaged_without_the_threshold() {
    let folder = Folder::new();
    let keys = [default_key(UNSEEN_FIELD, "a"), default_key(MISSING_FIELD, "b")];
    let state = |name: &str, z: f64| {
        let defaults = [(UNSEEN_FIELD, "a"), (MISSING_FIELD, "b")];
        let mut features: Vec<Feature> = vec![("b", "7".to_owned(), 7, z, 8.0, 10)];
        for ((field, category), key) in defaults.into_iter().zip(keys) {
            features.push((field, category.to_owned(), key, z, 8.0, 10));
        }
        features.sort_by_key(|feature| feature.2);
        folder.write(name, &metadata(), (100.0, 50.0), &features)
    };
    let report = average(&folder.options(&[state("1.parquet", 0.125), state("2.parquet", 0.25)]), &mut |_| ()).unwrap();
    assert_eq!((report.feature_count(), report.nonzero_count()), (1, 0));
    for row in OwnedRow::all(&folder.path("merged.parquet")) {
        let expected = match row.key {
            BIAS_KEY => continue,
            // Its evidence is below l1.
            7 => 0.0,
            _ => -0.375 / (8.0 + 8.0 - 5.0 + SETTINGS.l2),
        };
        assert_eq!((row.z, row.weight), (0.375, expected), "{row:?}");
    }
}

#[test]
fn the_order_of_the_states_does_not_matter() {
    let folder = Folder::new();
    let states = random_states(&folder);
    let outcome = |order: [usize; 4], rule| {
        let states: Vec<PathBuf> = order.iter().map(|&index| states[index].clone()).collect();
        average(&AverageOptions { rule, ..folder.options(&states) }, &mut |_| ()).unwrap();
        let merged = folder.path("merged.parquet");
        let mut provenance: Value = serde_json::from_slice(&fs::read(provenance_path(&merged)).unwrap()).unwrap();
        provenance.as_object_mut().unwrap().remove("seconds");
        (fs::read(merged).unwrap(), provenance)
    };
    for rule in Rule::ALL {
        let first = outcome([0, 1, 2, 3], rule);
        for order in [[3, 2, 1, 0], [1, 0, 3, 2], [2, 3, 0, 1]] {
            assert!(outcome(order, rule) == first, "{rule}: the order {order:?} matters");
        }
    }
}

#[test]
fn a_common_start_state_counts_once() {
    let folder = Folder::new();
    let text = |text: &str| text.to_owned();
    let before = Metadata { rows: 4_000, clicks: 400, window_us: Some((0, 50)), ..metadata() };
    let known = [("a", text("x"), 5, -2.0, 40.0, 900), ("b", text("7"), 9, 1.0, 20.0, 30)];
    let start = folder.write("start.parquet", &before, (-80.0, 200.0), &known);
    let digest = Digest::of_file(&start).unwrap();

    // An eighth is left, but no curvature falls below that of an unseen feature, which is 5.
    let after = |rows: u64, window_us| {
        let start = Some(Start { digest, decay: 0.125, shares: 2 });
        Metadata { rows: 4_000 + rows, clicks: 400 + rows / 10, window_us, start, ..metadata() }
    };
    let one = [("a", text("x"), 5, -1.25, 5.0 + 3.0, 1_000), ("b", text("7"), 9, 0.125, 5.0, 30)];
    let other = [
        ("a", text("x"), 5, 0.75, 5.0 + 2.0, 950),
        ("b", text("7"), 9, 0.125, 5.0, 30),
        ("b", text("8"), 11, -3.0, 6.0, 4),
    ];
    let states = [
        folder.write("one.parquet", &after(1_000, Some((0, 70))), (-8.0, 16.0), &one),
        folder.write("other.parquet", &after(700, Some((0, 90))), (-7.0, 17.0), &other),
    ];
    let options = AverageOptions { start: Some(start.clone()), ..folder.options(&states) };
    let report = average(&options, &mut |_| ()).unwrap();
    let rows = OwnedRow::all(&folder.path("merged.parquet"));
    let numbers: Vec<_> = rows.iter().map(|row| (row.key, row.z, row.d, row.impressions)).collect();
    let expected = [
        // After decay, the bias has z = -10 and d = 25, of which each shard took -6 and 15.
        (0, -10.0 - 2.0 - 1.0, 25.0 + 1.0 + 2.0, 5_700),
        (5, -0.25 - 1.0 + 1.0, 5.0 + 3.0 + 2.0, 1_050),
        (9, 0.125, 5.0, 30),
        (11, -3.0, 6.0, 4),
    ];
    assert_eq!(numbers, expected);
    let said = &report.metadata;
    assert_eq!((said.rows, said.clicks, said.window_us), (5_700, 570, Some((0, 90))));
    assert_eq!(said.start, Some(Start { digest, decay: 0.125, shares: 2 }));
    assert_eq!(report.shards.iter().map(|shard| shard.rows).sum::<u64>(), 1_700);
    // Only one shard saw the new feature, and none saw feature 9.
    assert_eq!(report.fields[2].seen_by, [1, 0]);

    fs::remove_file(folder.path("merged.parquet")).unwrap();
    fs::remove_file(folder.path("merged.provenance.json")).unwrap();
    let digest_text = format!("one of 2 shares of the state with the digest {digest} and decay 0.125");
    assert_eq!(
        folder.refusal(&folder.options(&states)),
        format!(
            "FOLDER/one.parquet was trained from {digest_text}, expected scratch; name the start state, so that it \
             counts once"
        )
    );
    let wrong = AverageOptions { start: Some(states[0].clone()), ..options.clone() };
    let wrong_digest = Digest::of_file(&states[0]).unwrap();
    assert_eq!(
        folder.refusal(&wrong),
        format!(
            "FOLDER/one.parquet was trained from {digest_text}, expected one of 2 shares of the state with the digest \
             {wrong_digest} and decay 0.125; name the start state that it was trained from"
        )
    );
    let fresh = folder.write("fresh.parquet", &metadata(), (-12.0, 26.0), &[]);
    let mixed = AverageOptions { states: [&states[..], std::slice::from_ref(&fresh)].concat(), ..options.clone() };
    assert_eq!(
        folder.refusal(&mixed),
        format!(
            "FOLDER/fresh.parquet was trained from scratch, expected {digest_text}; train all shards from the same \
             start state, with the same age if it decays"
        )
    );
    let second = folder.write("second.parquet", &Metadata { rows: 1_001, ..metadata() }, (-9.0, 26.0), &[]);
    let needless = AverageOptions { states: vec![fresh, second], ..options.clone() };
    assert_eq!(
        folder.refusal(&needless),
        "FOLDER/fresh.parquet was trained from scratch, expected the named start state; leave the start state out, or \
         train from it"
    );
    let less = [("a", text("x"), 5, -1.25, 8.0, 899)];
    let less = folder.write("less.parquet", &after(800, None), (-12.0, 26.0), &less);
    let third = folder.write("third.parquet", &after(900, None), (-9.0, 18.0), &[]);
    let three = AverageOptions { states: [&states[..], &[third]].concat(), ..options.clone() };
    assert_eq!(
        folder.refusal(&three),
        "3 states continued from FOLDER/start.parquet, expected each to take at most 1 of 3 shares of it, found 1 of \
         2; a correction that all of them make would count too often; train each with --start-shares 3"
    );
    let half = folder.write("half.parquet", &Metadata { shards: 2, ..after(900, None) }, (-9.0, 18.0), &[]);
    let averaged = AverageOptions { states: vec![states[0].clone(), half], ..options.clone() };
    assert_eq!(
        folder.refusal(&averaged),
        "FOLDER/half.parquet is an average and contains its whole start state; average the states that it was made \
         from together with the others"
    );
    let less = AverageOptions { states: vec![states[1].clone(), less], ..options };
    assert_eq!(
        folder.refusal(&less),
        "FOLDER/less.parquet has 899 impressions and 89 clicks of `a` \"x\", expected at least 900 and 90, as in its \
         start state; train it again"
    );
}

#[test]
fn states_that_do_not_belong_together_are_rejected_by_name() {
    let folder = Folder::new();
    let write = |name: &str, metadata: &Metadata| folder.write(name, metadata, (1.0, 20.0), &[]);
    let first = write("first.parquet", &Metadata { rows: 1_001, ..metadata() });
    let refusal = |other: &Path| folder.refusal(&folder.options(&[first.clone(), other.to_owned()]));

    let expected = "expected at least 2 training states to average, found 1";
    assert_eq!(folder.refusal(&folder.options(std::slice::from_ref(&first))), expected);
    let copy = folder.path("copy.parquet");
    fs::copy(&first, &copy).unwrap();
    let expected = "FOLDER/first.parquet and FOLDER/copy.parquet are the same training state; name it once";
    assert_eq!(refusal(&copy), expected);

    let text = CONTRACT.replace("tiny", "other");
    let contract = Contract::from_json(text.as_bytes()).unwrap();
    let settings = |change: fn(&mut Settings)| {
        let mut settings = SETTINGS;
        change(&mut settings);
        Metadata { settings, weight_rule: WeightRule::of(&settings), ..metadata() }
    };
    let cases = [
        (
            Metadata { contract, ..metadata() },
            "contract is that with name = \"other\", expected that with name = \"tiny\"",
        ),
        (settings(|settings| settings.alpha = 0.3), "alpha is 0.3, expected 0.2"),
        (settings(|settings| settings.beta = 2.0), "beta is 2.0, expected 1.0"),
        (settings(|settings| settings.l1 = 1.5), "l1 is 1.5, expected 0.5"),
        (settings(|settings| settings.l2 = 0.0), "l2 is 0.0, expected 0.25"),
        (Metadata { negative_rate: 0.1, ..metadata() }, "negative_rate is 0.1, expected 1.0"),
    ];
    for (index, (metadata, difference)) in cases.into_iter().enumerate() {
        let expected = format!(
            "FOLDER/{index}.parquet cannot be averaged with FOLDER/first.parquet: its {difference}; train all with \
             the same contract and settings"
        );
        assert_eq!(refusal(&write(&format!("{index}.parquet"), &metadata)), expected);
    }

    let rule = WeightRule::of(&SETTINGS);
    let changed = [
        (WeightRule { l1: 3.0, ..rule }, "weight rule's l1 is 3.0, expected 0.5"),
        (WeightRule { min_magnitude: 0.1, ..rule }, "minimum magnitude is 0.1, expected 0.0"),
        (rule.recalibrated(1.5, 0.0), "scale is 1.5, expected 1.0"),
        (rule.recalibrated(1.0, 0.25), "shift is 0.25, expected 0.0"),
    ];
    for (index, (weight_rule, difference)) in changed.into_iter().enumerate() {
        let expected = format!(
            "FOLDER/changed{index}.parquet cannot be averaged: its {difference} as after training; average first, then \
             prune and recalibrate"
        );
        let metadata = Metadata { weight_rule, ..metadata() };
        assert_eq!(refusal(&write(&format!("changed{index}.parquet"), &metadata)), expected);
    }
    assert_eq!(
        refusal(&write("pruned.parquet", &Metadata { pruned: true, ..metadata() })),
        "FOLDER/pruned.parquet cannot be averaged: it was pruned, so part of what was learned is missing; average \
         first, then prune"
    );
}

#[test]
fn uneven_states_are_rejected_unless_allowed() {
    let folder = Folder::new();
    let write = |name: &str, rows| folder.write(name, &Metadata { rows, ..metadata() }, (1.0, 20.0), &[]);
    let even = [write("a.parquet", 1_000), write("b.parquet", 1_400), write("c.parquet", 2_000)];
    let with = |other: PathBuf| folder.options(&[&even[..], &[other]].concat());
    // The median of 700, 1,000, 1,400 and 2,000 is 1,200.
    average(&with(write("small.parquet", 700)), &mut |_| ()).unwrap();
    fs::remove_file(folder.path("merged.parquet")).unwrap();
    fs::remove_file(folder.path("merged.provenance.json")).unwrap();
    let cases = [
        (
            "tiny.parquet",
            599,
            "FOLDER/tiny.parquet has 599 rows, expected half to twice the median of 1200; find out why its data set \
             is so small, or allow uneven states",
        ),
        (
            "huge.parquet",
            3_401,
            "FOLDER/huge.parquet has 3401 rows, expected half to twice the median of 1700; find out why its data set \
             is so large, or allow uneven states",
        ),
    ];
    for (name, rows, expected) in cases {
        let options = with(write(name, rows));
        assert_eq!(folder.refusal(&options), expected);
        average(&AverageOptions { allow_uneven: true, ..options }, &mut |_| ()).unwrap();
        fs::remove_file(folder.path("merged.parquet")).unwrap();
        fs::remove_file(folder.path("merged.provenance.json")).unwrap();
    }
}

#[test]
fn of_two_names_for_one_key_the_one_that_sorts_first_is_kept() {
    let folder = Folder::new();
    let state = |name: &str, field, category: &str| {
        let metadata = Metadata { rows: 1_000 + category.len() as u64, ..metadata() };
        folder.write(name, &metadata, (1.0, 20.0), &[(field, category.to_owned(), 5, -1.0, 8.0, 10)])
    };
    let states = [state("1.parquet", "b", "12"), state("2.parquet", "a", "zebra"), state("3.parquet", "a", "ape")];
    let report = average(&folder.options(&states), &mut |_| ()).unwrap();
    assert_eq!(report.name_collision_count, 1);
    let rows = OwnedRow::all(&folder.path("merged.parquet"));
    assert_eq!((rows[1].name.as_str(), rows[1].z, rows[1].impressions), ("a=ape", -3.0, 30));
}

#[test]
fn the_provenance_lists_the_shards_and_how_well_they_agree() {
    let folder = Folder::new();
    let mut states = random_states(&folder);
    let own = json!({ "bad_rows": 2, "metrics": {}, "sampling": {} });
    let metadata = Metadata { rows: 1_001, provenance: own.as_object().unwrap().clone(), ..metadata() };
    states[1] = folder.write("with-provenance.parquet", &metadata, (1.0, 20.0), &random_features(20_000, 1));
    // What is beside a state is for people.
    fs::write(provenance_path(&states[0]), r#"{"bad_rows":7}"#).unwrap();
    let mut events = Vec::new();
    let report = average(&folder.options(&states), &mut |event| events.push(format!("{event:?}"))).unwrap();
    assert_eq!(events.last().unwrap(), "Merged { row_count: 90014, of: 90014 }");
    let provenance: Value = serde_json::from_slice(&fs::read(folder.path("merged.provenance.json")).unwrap()).unwrap();
    assert_eq!((&provenance["rule"], &provenance["rows"]), (&"curvature".into(), &4_006.into()));
    let shards = provenance["shards"].as_array().unwrap();
    assert_eq!(shards.len(), 4);
    for (shard, expected) in shards.iter().zip(&report.shards) {
        assert_eq!(shard["digest"], Digest::of_file(&expected.path).unwrap().to_string());
        let summary = if expected.path == states[1] { json!({ "bad_rows": 2, "metrics": {} }) } else { json!({}) };
        assert_eq!(shard["provenance"], summary);
    }
    let own = crate::learn::read_provenance(&folder.path("merged.parquet")).unwrap();
    assert_eq!((&own["spread"], own["shards"][1].get("path")), (&provenance["spread"], None));
    let spread = &provenance["spread"];
    assert_eq!((&spread[0]["field"], &spread[0]["seen_by"]), (&"(bias)".into(), &serde_json::json!([0, 0, 0, 1])));
    let seen =
        |field: usize| spread[field]["seen_by"].as_array().unwrap().iter().filter_map(Value::as_u64).sum::<u64>();
    assert_eq!(seen(1) + seen(2), report.feature_count());
    assert!(spread[1]["standard_deviation"].as_f64().unwrap() > 0.0);
    assert_eq!((&spread[3]["field"], &spread[3]["standard_deviation"]), (&"a*b".into(), &Value::Null));
}

#[test]
fn the_provenance_keeps_what_all_states_agree_on() {
    let folder = Folder::new();
    let states = |names: [&str; 2], iterates: [&str; 2], seeds: [u64; 2]| -> Vec<PathBuf> {
        let state = |number: usize| {
            let provenance = json!({
                "settings": { "iterates": iterates[number] },
                "sampling": { "negative_rate": 1.0, "seed": seeds[number] },
                "search": { "rows": 7 },
                "hold_out": null,
            });
            let Value::Object(provenance) = provenance else { unreachable!("it is written as an object") };
            let metadata = Metadata { provenance, rows: 1_000 + number as u64, ..metadata() };
            folder.write(names[number], &metadata, (100.0, 50.0), &random_features(5, 1))
        };
        [0, 1].map(state).into()
    };
    let merged = |states: Vec<PathBuf>| average(&folder.options(&states), &mut |_| ()).unwrap().metadata.provenance;
    let same = merged(states(["1.parquet", "2.parquet"], ["averaged", "averaged"], [9, 9]));
    assert_eq!((&same["settings"]["iterates"], &same["sampling"]["seed"]), (&json!("averaged"), &json!(9)));
    assert_eq!((&same["search"]["rows"], &same["hold_out"]), (&json!(7), &Value::Null));
    let other = merged(states(["3.parquet", "4.parquet"], ["averaged", "last"], [9, 8]));
    assert_eq!((&other["settings"]["iterates"], &other["sampling"]["seed"]), (&Value::Null, &Value::Null));
    assert_eq!(other["search"]["rows"], 7);
}
