//! Tests pruning on a generated log, from training to the weight file: what is dropped, what stays, what it costs, and
//! which requests are rejected.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use omomi_train::log::generate::{self, LogSpec, WriteOptions};
use omomi_train::log::{CsvDialect, ReadOptions};
use omomi_train::pack::{PackOptions, PackReport, chosen_encoding, pack};
use omomi_train::prune::{Bill, ByField, LiveList, Measures, PruneError, PruneOptions, PruneReport, bill_path, prune};

use omomi::store::{Digest, Store};
use omomi::weight_file::table::Encoding;
use omomi_train::learn::state::{StateReader, UNSEEN_FIELD, split_categories};
use omomi_train::learn::{Settings, TrainOptions, provenance_path, train};
use omomi_train::operate::publish::{BlessingPolicy, PublishOptions, Verifier, publish};

/// A generated log of five parts and a state trained on the first four without l1, so that every category has a weight.
struct Trained {
    folder: tempfile::TempDir,
}

impl Trained {
    /// Trains once for all tests. No test changes the result.
    fn once() -> &'static Self {
        static TRAINED: OnceLock<Trained> = OnceLock::new();
        TRAINED.get_or_init(|| Self::new(generate::CONTRACT))
    }

    fn new(contract: &str) -> Self {
        let trained = Self { folder: tempfile::tempdir().unwrap() };
        let spec = LogSpec { rows: 250_000, seed: 5, click_rate: 0.1 };
        generate::write(&spec, &trained.logs(), WriteOptions::default(), &mut |_| ()).unwrap();
        let mut options =
            TrainOptions::new(trained.logs()[..4].iter().map(|path| path.display().to_string()), trained.state());
        options.read = ReadOptions::default().with(|it| it.time_column = Some("timestamp".to_owned()));
        options.settings = Settings { l1: 0.0, ..Settings::default() };
        train(&omomi_train::toml::parse_contract(contract).unwrap(), &options, &mut |_| ()).unwrap();
        trained
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn logs(&self) -> Vec<PathBuf> {
        (0..5).map(|part| self.path(&format!("part-{part}.parquet"))).collect()
    }

    fn state(&self) -> PathBuf {
        self.path("state.parquet")
    }

    fn held_out(&self) -> String {
        self.logs()[4].display().to_string()
    }

    /// Options that take `measures` and write to `folder`.
    fn options(&self, folder: &Path, measures: Measures) -> PruneOptions {
        let held_out = vec![self.held_out()];
        PruneOptions::new(self.state(), folder.join("pruned.parquet")).with(|it| {
            it.measures = measures;
            it.held_out = held_out;
        })
    }

    fn prune(&self, folder: &Path, measures: Measures) -> PruneReport {
        prune(&self.options(folder, measures), &mut |_| ()).unwrap()
    }

    fn refusal(&self, folder: &Path, measures: Measures) -> PruneError {
        let refusal = prune(&self.options(folder, measures), &mut |_| ()).unwrap_err();
        assert_eq!(fs::read_dir(folder).unwrap().filter(|entry| is_result(entry.as_ref().unwrap())).count(), 0);
        refusal
    }

    fn pack(&self, state: &Path, out: &Path) -> PackReport {
        let mut options = PackOptions::new(state, [self.held_out()], "generated-v1", 1);
        options.encoding = chosen_encoding(state).unwrap().unwrap_or_default();
        let contract = StateReader::open(state).unwrap().metadata().contract.clone();
        pack(&contract, &options, out, &mut |_| ()).unwrap()
    }
}

fn is_result(entry: &fs::DirEntry) -> bool {
    entry.file_name().to_str().is_some_and(|name| name.contains("pruned"))
}

/// The row of a feature in a state.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    impressions: u64,
    last_seen_us: Option<i64>,
    weight: f64,
}

/// The features of a state, by field and category.
fn rows(state: &Path) -> BTreeMap<(String, String), Row> {
    let mut reader = StateReader::open(state).unwrap();
    let mut rows = BTreeMap::new();
    while let Some(batch) = reader.next_batch().unwrap() {
        for row in batch.rows().filter(|row| !row.is_bias() && !row.is_default()) {
            let place = (row.field.to_owned(), row.category.to_owned());
            let (impressions, last_seen_us, weight) = (row.impressions, row.last_seen_us, row.weight);
            rows.insert(place, Row { impressions, last_seen_us, weight });
        }
    }
    rows
}

/// Returns the weight of each field for unseen categories, from a state.
fn unseen_weights(state: &Path) -> BTreeMap<String, f64> {
    let mut reader = StateReader::open(state).unwrap();
    let mut weights = BTreeMap::new();
    while let Some(batch) = reader.next_batch().unwrap() {
        let rows = batch.rows().filter(|row| row.field == UNSEEN_FIELD);
        weights.extend(rows.map(|row| (row.category.to_owned(), row.weight)));
    }
    weights
}

fn by_field<T: Copy>(others: Option<T>, named: &[(&str, T)]) -> ByField<T> {
    ByField { others, named: named.iter().map(|&(field, setting)| (field.to_owned(), setting)).collect() }
}

#[test]
fn a_budget_is_met_within_two_percent_and_never_exceeded() {
    let trained = Trained::once();
    let cases = [
        (500_000, vec![Encoding::F32]),
        (450_000, vec![Encoding::F16]),
        (410_000, vec![Encoding::I8]),
        // All weights as f16 take less than 560,000 bytes.
        (520_000, Vec::new()),
    ];
    for (max_bytes, encodings) in cases {
        let folder = tempfile::tempdir().unwrap();
        let measures = Measures { max_bytes: Some(max_bytes), encodings: encodings.clone(), ..Measures::default() };
        let bill = trained.prune(folder.path(), measures).bill;
        let packed = trained.pack(&folder.path().join("pruned.parquet"), &folder.path().join("1.omomi"));
        let len = packed.model.header().total_len_bytes;
        println!("{max_bytes} bytes, {encodings:?}: {len} bytes, {} planned", bill.total.after.bytes);
        assert!(len <= max_bytes && len as f64 >= 0.98 * max_bytes as f64, "{len} of {max_bytes} bytes");
        let encoding = packed.model.table().encoding();
        assert_eq!(encoding.name(), bill.encoding);
        assert!(encodings.is_empty() || encodings == [encoding]);
        assert_eq!(packed.model.weight_count(), bill.total.after.weights);
        assert!(bill.total.after.bytes.abs_diff(len) < 8_192, "planned {} bytes, found {len}", bill.total.after.bytes);
        let budget = bill.budget.unwrap();
        let chosen = budget.chosen_point().unwrap();
        assert!(chosen.bytes <= max_bytes);
        let rivals = budget.curve.iter().filter(|point| point.bytes.abs_diff(chosen.bytes) < chosen.bytes / 50);
        assert!(rivals.clone().all(|rival| rival.quality.log_loss >= chosen.quality.log_loss));
        assert!(rivals.count() >= 3, "evidence, l1 and magnitude were tried");
        // Packing measures the same log loss after rounding as pruning.
        if let Some(rounded) = packed.rounded {
            let seen = bill.served.unwrap().log_loss;
            assert!((rounded.after.log_loss / seen - 1.0).abs() < 1e-5, "{} and {seen}", rounded.after.log_loss);
        }
    }
}

#[test]
fn dropping_nineteen_of_twenty_categories_costs_about_a_third_of_a_percent_of_log_loss() {
    let trained = Trained::once();
    let folder = tempfile::tempdir().unwrap();
    let bill = trained.prune(folder.path(), Measures { max_bytes: Some(42_000), ..Measures::default() }).bill;
    let [before, after] = [bill.total.before, bill.total.after].map(|amounts| amounts.categories);
    let growth = bill.total.held_out.unwrap().loss_growth();
    println!("{before} categories, {after} left, log loss {:+.3} %", growth * 100.0);
    assert!(after * 20 <= before && growth <= 0.0035);
    let fields: u64 = bill.total.fields.iter().map(|field| field.after.categories).sum();
    assert_eq!((rows(&folder.path().join("pruned.parquet")).len() as u64, fields), (after, after));
    let text = fs::read_to_string(bill_path(folder.path().join("pruned.parquet"))).unwrap();
    assert_eq!(serde_json::from_str::<Bill>(&text).unwrap(), bill);
}

#[test]
fn too_small_budgets_are_rejected_and_ample_budgets_drop_nothing() {
    let trained = Trained::once();
    let folder = tempfile::tempdir().unwrap();
    let refusal = trained.refusal(folder.path(), Measures { max_bytes: Some(20_000), ..Measures::default() });
    let words = "a weight file cannot have at most 20000 bytes: even without weights it has ";
    assert!(refusal.to_string().starts_with(words), "{refusal}");
    let bill = trained.prune(folder.path(), Measures { max_bytes: Some(50_000_000), ..Measures::default() }).bill;
    assert_eq!(bill.total.before.weights, bill.total.after.weights);
    assert_eq!(bill.encoding, "f32");
}

#[test]
fn categories_with_few_impressions_are_dropped_by_the_limit_of_each_field() {
    let trained = Trained::once();
    let folder = tempfile::tempdir().unwrap();
    let min_impressions = by_field(Some(10), &[("creative_id", 5), ("slot*format", 0)]);
    let report = trained.prune(folder.path(), Measures { min_impressions, ..Measures::default() });
    let min = |field: &str| match field {
        "creative_id" => 5,
        "slot*format" => 0,
        _ => 10,
    };
    let mut expected = rows(&trained.state());
    expected.retain(|(field, _), row| row.impressions >= min(field) && row.weight != 0.0);
    assert_eq!(rows(&folder.path().join("pruned.parquet")), expected);
    assert_eq!(report.bill.total.after.categories, expected.len() as u64);
    let names: Vec<&str> = report.bill.measures.iter().map(|bill| bill.measure.as_str()).collect();
    assert_eq!(names, ["min_impressions", "zero"]);
    assert_eq!(report.bill.measures[0].setting, "10, creative_id: 5, slot*format: 0");
    let provenance: serde_json::Value =
        serde_json::from_slice(&fs::read(provenance_path(folder.path().join("pruned.parquet"))).unwrap()).unwrap();
    assert_eq!(provenance["pruned"]["measures"][0]["measure"], "min_impressions");
    // Of two runs at once, the bill of one may be left beside the state of the other.
    let bill = fs::read(bill_path(folder.path().join("pruned.parquet"))).unwrap();
    assert_eq!(provenance["pruned"]["bill_digest"], Digest::of(&bill).to_string());
    assert!(provenance["training_window"]["last_us"].is_i64());

    let unknown = Measures { min_impressions: by_field(None, &[("creative", 5)]), ..Measures::default() };
    let refusal = trained.refusal(tempfile::tempdir().unwrap().path(), unknown);
    assert!(refusal.to_string().starts_with("the contract has no field or cross `creative`; it has user_id, "));
}

#[test]
fn categories_last_seen_too_long_ago_are_dropped_with_their_crosses() {
    let trained = Trained::once();
    let folder = tempfile::tempdir().unwrap();
    let window_us = StateReader::open(trained.state()).unwrap().metadata().window_us.unwrap();
    let days = |days: i64| Duration::from_secs(u64::try_from(days).unwrap() * 86_400);
    let day_count = (window_us.1 - window_us.0) / 86_400_000_000;
    let (long, short) = (days(day_count / 2), days(day_count / 8).max(Duration::from_secs(3_600)));
    let last_seen = by_field(Some(long), &[("category", short)]);
    let mut options = trained.options(folder.path(), Measures { last_seen, ..Measures::default() });
    options.allow = true;
    prune(&options, &mut |_| ()).unwrap();
    let since = |time: Duration| window_us.1 - i64::try_from(time.as_micros()).unwrap();
    let before = rows(&trained.state());
    let is_seen =
        |field: &str, row: &Row| row.last_seen_us.unwrap() >= since(if field == "category" { short } else { long });
    let dead: BTreeSet<&String> = before
        .iter()
        .filter(|((field, _), row)| field == "category" && !is_seen(field, row))
        .map(|((_, category), _)| category)
        .collect();
    let mut expected = before.clone();
    expected.retain(|(field, category), row| {
        let is_dead = field == "segment*category" && dead.contains(&split_categories(category).unwrap()[1]);
        is_seen(field, row) && !is_dead && row.weight != 0.0
    });
    assert!(expected.len() < before.len());
    assert_eq!(rows(&folder.path().join("pruned.parquet")), expected);
}

/// Users come and go, so a state of 20 days keeps 7 days of 20. The guard refused that from the day on when more than
/// half of the users were old.
#[test]
fn last_seen_works_in_an_old_state_as_in_a_young_one_and_most_of_a_young_one_is_still_guarded() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let contract = "name = \"users\"\nlabel = \"clicked\"\n[[field]]\nname = \"user\"\nside = \"context\"\ntype = \"id\"\n\
                    meaning = \"who\"\n";
    let contract = omomi_train::toml::parse_contract(contract).unwrap();
    let prune_after = |days: u32, users_of: &dyn Fn(u32, u32) -> u32| {
        let mut text = "clicked,user,time\n".to_owned();
        for day in 0..days {
            for row in 0..200 {
                let (clicked, user) = (u32::from(row % 5 == 0), users_of(day, row));
                text.push_str(&format!("{clicked},{user},2026-01-{:02}T00:{:02}:00Z\n", day + 1, row % 60));
            }
        }
        fs::write(path("log.csv"), text).unwrap();
        let state = path(&format!("{days}.parquet"));
        let mut options = TrainOptions::new([path("log.csv").display().to_string()], &state);
        options.read = ReadOptions::default().with(|it| it.time_column = Some("time".to_owned()));
        options.settings = Settings { l1: 0.0, ..Settings::default() };
        options.replace = true;
        train(&contract, &options, &mut |_| ()).unwrap();
        let last_seen = by_field(None, &[("user", Duration::from_secs(7 * 86_400))]);
        let measures = Measures { last_seen, ..Measures::default() };
        let mut options = PruneOptions::new(&state, path("pruned.parquet"));
        options.measures = measures;
        options.replace = true;
        prune(&options, &mut |_| ()).map(|_| ()).map_err(|error| error.to_string())
    };
    let new_each_day = |day: u32, row: u32| day * 1_000 + row;
    for days in [5, 10, 20, 28] {
        assert_eq!(prune_after(days, &new_each_day), Ok(()), "{days} days");
    }
    // Nearly all users were seen on the first day only: something is wrong with the times.
    let only_first = |day: u32, row: u32| if day == 0 { row } else { 0 };
    let refusal = prune_after(10, &only_first).unwrap_err();
    assert!(refusal.contains("--last-seen would drop 199 of the 200 categories of `user`"), "{refusal}");
}

#[test]
fn categories_missing_from_a_live_list_are_dropped_with_their_crosses() {
    let trained = Trained::once();
    let folder = tempfile::tempdir().unwrap();
    let before = rows(&trained.state());
    let categories: Vec<&String> =
        before.keys().filter(|(field, _)| field == "category").map(|(_, text)| text).collect();
    let (dead, live) = categories.split_at(categories.len() / 4);
    let path = folder.path().join("live.csv");
    let list = |live: &[&String]| {
        let lines: Vec<String> = live.iter().map(|category| format!("on,\"{category}\"\n")).collect();
        fs::write(&path, format!("state,category\n{}", lines.concat())).unwrap();
        Measures {
            live: Some(LiveList { path: path.clone(), field: "category".to_owned(), csv: CsvDialect::default() }),
            ..Measures::default()
        }
    };
    let bill = trained.prune(folder.path(), list(live)).bill;
    let mut expected = before.clone();
    expected.retain(|(field, category), row| {
        let is_dead = |text: &String| dead.contains(&text);
        row.weight != 0.0
            && !(field == "category" && is_dead(category))
            && !(field == "segment*category" && is_dead(&split_categories(category).unwrap()[1]))
    });
    assert_eq!(rows(&folder.path().join("pruned.parquet")), expected);
    let dropped =
        bill.measures[0].change.fields.iter().filter(|field| field.after.categories < field.before.categories);
    let dropped: Vec<(&str, bool)> = dropped.map(|field| (field.field.as_str(), field.held_out.is_some())).collect();
    assert_eq!(dropped, [("category", true), ("segment*category", true)]);

    // A list that would drop more than half of the categories is most likely truncated.
    let folder = tempfile::tempdir().unwrap();
    let refusal = trained.refusal(folder.path(), list(&live[..3])).to_string();
    let count = categories.len();
    let words = format!("would drop {} of the {count} categories of `category` that have impressions", count - 3);
    assert!(refusal.contains(&words) && refusal.contains("the owner of the list must act"), "{refusal}");
    let stranger = "no such category".to_owned();
    let refusal = trained.refusal(folder.path(), list(&[&stranger])).to_string();
    assert!(refusal.starts_with("none of the 1 entries of the live list"), "{refusal}");
    let mut insisting = trained.options(folder.path(), list(&live[..3]));
    insisting.allow = true;
    let bill = prune(&insisting, &mut |_| ()).unwrap().bill;
    assert_eq!(bill.total.fields.iter().find(|field| field.field == "category").unwrap().after.categories, 3);
}

/// A state of a log whose titles are in both Unicode forms, trained with or without `normalize`, and its live list in
/// the decomposed form: pruned with this share that may be dropped.
fn prune_titles(normalize: &str, max_dropped_share: f64) -> Result<(Vec<String>, Vec<String>), PruneError> {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let contract = format!(
        "name = \"titles\"\nlabel = \"clicked\"\n[[field]]\nname = \"title\"\nside = \"candidate\"\ntype = \"text\"\n\
         meaning = \"the title\"\n{normalize}\n"
    );
    let titles = ["\u{30ac}", "\u{30ab}\u{3099}", "caf\u{e9}", "plain", "old"];
    let rows = (0..50).map(|row| format!("{},{}\n", titles[row % titles.len()], u8::from(row % 3 == 0)));
    fs::write(path("log.csv"), format!("title,clicked\n{}", rows.collect::<String>())).unwrap();
    let mut options = TrainOptions::new([path("log.csv").display().to_string()], path("state.parquet"));
    options.settings = Settings { l1: 0.0, ..Settings::default() };
    train(&omomi_train::toml::parse_contract(&contract).unwrap(), &options, &mut |_| ()).unwrap();
    fs::write(path("live.csv"), "title\n\u{30ab}\u{3099}\ncafe\u{301}\nplain\n").unwrap();
    let list = LiveList { path: path("live.csv"), field: "title".to_owned(), csv: CsvDialect::default() };
    let measures = Measures { live: Some(list), ..Measures::default() };
    let mut options = PruneOptions::new(path("state.parquet"), path("pruned.parquet"));
    options.measures = measures;
    options.max_dropped_share = max_dropped_share;
    let report = prune(&options, &mut |_| ())?;
    let kept = rows_of(&path("pruned.parquet"));
    Ok((kept, report.bill.warnings))
}

fn rows_of(state: &Path) -> Vec<String> {
    let rows = rows(state);
    rows.keys().filter(|(field, _)| field == "title").map(|(_, category)| category.clone()).collect()
}

/// The trainer normalized logs and not live lists, so that a list in the other Unicode form dropped what is live.
#[test]
fn a_live_list_is_normalized_like_the_log_and_otherwise_another_unicode_form_is_told() {
    let (kept, warnings) = prune_titles("normalize = \"nfc\"", 0.5).unwrap();
    assert_eq!(kept, ["caf\u{e9}", "plain", "\u{30ac}"]);
    assert!(!warnings.iter().any(|warning| warning.contains("Unicode")), "{warnings:?}");

    let (kept, warnings) = prune_titles("", 0.7).unwrap();
    assert_eq!(kept, ["plain", "\u{30ab}\u{3099}"]);
    let expected = "2 categories of `title` are dropped, such as";
    assert!(warnings.iter().any(|warning| warning.starts_with(expected) && warning.contains("nfc")), "{warnings:?}");

    // More than half of the categories would go.
    let refusal = prune_titles("", 0.5).unwrap_err().to_string();
    let expected = "2 categories of `title` have the same text as an entry, but in another Unicode form, such as `";
    assert!(refusal.contains(expected) && refusal.contains("the owner of the list must act"), "{refusal}");
}

#[test]
fn bias_is_fitted_again_after_a_cut_by_magnitude() {
    let trained = Trained::once();
    let folder = tempfile::tempdir().unwrap();
    let measures = Measures { min_magnitude: Some(0.15), l1: Some(0.25), ..Measures::default() };
    let bill = trained.prune(folder.path(), measures.clone()).bill;
    // A magnitude is the distance from what a server adds for a dropped category, which the rule does not know.
    assert_eq!((bill.rule_after.l1, bill.rule_after.min_magnitude), (0.25, 0.0));
    let left = rows(&folder.path().join("pruned.parquet"));
    let unseen = unseen_weights(&folder.path().join("pruned.parquet"));
    assert!(unseen.values().any(|weight| weight.abs() > 0.01), "{unseen:?}");
    let of = |field: &str| unseen.get(field).copied().unwrap_or(0.0);
    assert!(left.iter().all(|((field, _), row)| (row.weight - of(field)).abs() >= 0.15));
    assert!(left.iter().any(|(_, row)| row.weight.abs() < 0.15), "near 0, but far from unseen categories");
    let quality = bill.total.held_out.unwrap();
    assert!((quality.after.calibration_ratio.unwrap() - 1.0).abs() < 1e-6);
    assert!((bill.rule_after.shift - bill.rule_before.shift).abs() > 1e-4, "{:?}", bill.rule_after);
    // The fitted bias is packed.
    let packed = trained.pack(&folder.path().join("pruned.parquet"), &folder.path().join("1.omomi"));
    let mut reader = StateReader::open(folder.path().join("pruned.parquet")).unwrap();
    let bias = reader.next_batch().unwrap().unwrap().row(0).weight;
    assert_eq!(packed.model.bias(), bias);

    let mut without = trained.options(folder.path(), measures);
    without.held_out = Vec::new();
    without.replace = true;
    let refusal = prune(&without, &mut |_| ()).unwrap_err().to_string();
    assert!(refusal.starts_with("--min-magnitude needs held-out rows"), "{refusal}");
    let lower = Measures { l1: Some(-1.0), ..Measures::default() };
    let refusal = trained.refusal(tempfile::tempdir().unwrap().path(), lower).to_string();
    assert_eq!(refusal, "l1 must be at least 0.0, the value in the training state, found -1.0");
}

#[test]
fn contract_limits_the_categories_of_a_field_and_says_whether_more_are_dropped_or_an_error() {
    let limit = |over: &str| {
        let from = "name = \"creative_id\"";
        assert!(generate::CONTRACT.contains(from));
        generate::CONTRACT.replacen(from, &format!("{from}\nmax_categories = 1_000\nover_max = \"{over}\""), 1)
    };
    let trained = Trained::new(&limit("drop"));
    let folder = tempfile::tempdir().unwrap();
    trained.prune(folder.path(), Measures::default());
    let of_field = |state: &Path| {
        let mut rows = rows(state);
        rows.retain(|(field, _), _| field == "creative_id");
        rows
    };
    let (before, after) = (of_field(&trained.state()), of_field(&folder.path().join("pruned.parquet")));
    let min = after.values().map(|row| row.impressions).min().unwrap();
    assert_eq!(after.len(), 1_000);
    assert!(before.iter().all(|(place, row)| row.impressions <= min || after.contains_key(place)));

    let trained = Trained::new(&limit("error"));
    let refusal = trained.refusal(tempfile::tempdir().unwrap().path(), Measures::default()).to_string();
    let words = format!("`creative_id` has {} categories with a weight, but the contract allows 1000", before.len());
    assert!(refusal.starts_with(&words), "{refusal}");
}

#[test]
fn size_that_the_store_would_reject_is_found_before_packing() {
    let trained = Trained::once();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path().join("store"));
    let file = folder.path().join("000001.omomi");
    trained.pack(&trained.state(), &file);
    let verifier = Verifier { program: env!("CARGO_BIN_EXE_omomi").into(), ..Verifier::this_program().unwrap() };
    publish(
        &store,
        &PublishOptions::new(file, verifier).with(|it| it.blessing = Some(BlessingPolicy::Off)),
        &mut |_| (),
    )
    .unwrap();
    let check = |measures: Measures, allow: bool| {
        let mut options = trained.options(folder.path(), measures);
        options.store = Some(store.dir().to_owned());
        options.allow = allow;
        options.replace = true;
        prune(&options, &mut |_| ())
    };
    let small = || Measures { max_bytes: Some(200_000), ..Measures::default() };
    let refusal = check(small(), false).unwrap_err().to_string();
    assert!(refusal.contains("the file's size is unusual: expected 0.5 to 2 times the median"), "{refusal}");
    let warnings = check(small(), true).unwrap().bill.warnings;
    assert!(warnings[0].starts_with("the store would reject the weight file: "), "{warnings:?}");
    // The size of the file is usual, but the size of one field is not.
    let few = Measures { min_impressions: by_field(None, &[("creative_id", 20)]), ..Measures::default() };
    let refusal = check(few, false).unwrap_err().to_string();
    assert!(refusal.contains("the number of weights of `creative_id` is unusual"), "{refusal}");
    fs::write(store.dir().join("limits.toml"), "fail_size_ratio = [0.01, 2.0]\n[max_features]\nsite_id = 10\n")
        .unwrap();
    let refusal = check(small(), false).unwrap_err().to_string();
    assert!(refusal.contains("field `site_id` has too many features: expected at most 10"), "{refusal}");
}

#[test]
fn command_line_prunes_shows_the_bill_and_says_how_to_pack() {
    let trained = Trained::once();
    let folder = tempfile::tempdir().unwrap();
    let omomi = |arguments: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_omomi"));
        command.current_dir(folder.path()).args(arguments.split_whitespace()).output().unwrap()
    };
    let (state, held_out) = (trained.state().display().to_string(), trained.held_out());
    let arguments = format!(
        "prune {state} --out small.parquet --held-out {held_out} --min-impressions user_id=3 --max-bytes 300kB"
    );
    let output = omomi(&arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    for part in ["min_impressions", "chosen for 300.0 kB", "segment*category", "mass removed", "small.bill.json"] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(text.contains("omomi pack --state small.parquet --encoding "), "{text}");
    let again = omomi(&arguments);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("small.parquet exists already"));
    assert_eq!(omomi("prune state.parquet --out small.parquet --max-bytes 1MB").status.code(), Some(2));
    assert_eq!(omomi("prune state.parquet --out small.parquet --last-seen soon").status.code(), Some(2));
}
