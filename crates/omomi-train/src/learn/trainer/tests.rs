use std::collections::HashMap;
use std::path::PathBuf;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use crate::learn::StateModel;
use crate::learn::sampling::Sampler;
use crate::learn::state::{MISSING_FIELD, StateReader};
use crate::log::{Categories, FieldColumn};
use omomi::feature;
use omomi::math;

use super::*;

const CONTRACT: &str = r#"{"name":"tiny","label":"clicked","field":[
    {"name":"media_id","side":"context","type":"id","meaning":"m"},
    {"name":"interest","side":"context","type":"text","many":true,"meaning":"m"},
    {"name":"price","side":"context","type":"number","unit":"JPY","range":[0,100],"buckets":[10,50],"meaning":"m"},
    {"name":"creative_id","side":"candidate","type":"id","meaning":"m"}],
    "cross":[{"fields":["media_id","creative_id"]},{"fields":["creative_id","interest","price"]}]}"#;

pub(super) const SETTINGS: Settings = Settings { alpha: 0.2, beta: 0.7, l1: 0.3, l2: 0.9 };

/// A log row of the tests.
#[derive(Clone)]
pub(super) struct Row {
    clicked: bool,
    media_id: Option<i64>,
    interests: Vec<&'static str>,
    price: Option<f64>,
    creative_id: Option<i64>,
}

pub(super) fn contract() -> Contract {
    Contract::from_json(CONTRACT.as_bytes()).unwrap()
}

pub(super) fn random_rows(count: usize, seed: u64) -> Vec<Row> {
    let mut rng = Pcg64::seed_from_u64(seed);
    let texts = ["sport", "旅行", "a*b", "a\\", "", "music"];
    let row = |rng: &mut Pcg64| Row {
        clicked: rng.random_bool(0.2),
        media_id: rng.random_bool(0.9).then(|| rng.random_range(-3..20)),
        interests: (0..rng.random_range(0..4)).map(|_| texts[rng.random_range(0..texts.len())]).collect(),
        price: rng.random_bool(0.8).then(|| rng.random_range(0.0..100.0)),
        creative_id: rng.random_bool(0.95).then(|| rng.random_range(0..50)),
    };
    (0..count).map(|_| row(&mut rng)).collect()
}

/// Returns the batch that a log reader would give for `rows`. Row `i` has the time `first_time_us + i`.
pub(super) fn batch(rows: &[Row], first_time_us: Option<i64>) -> RowBatch {
    let ids = |of_row: fn(&Row) -> Option<i64>| {
        let mut column = FieldColumn { offsets: vec![0], ..FieldColumn::default() };
        for row in rows {
            column.values.extend(of_row(row).map(feature::id_value));
            column.offsets.push(u32::try_from(column.values.len()).unwrap());
        }
        column
    };
    let mut interest = FieldColumn { offsets: vec![0], ..FieldColumn::default() };
    let mut price = interest.clone();
    let (mut text_offsets, mut bytes, mut numbers) = (vec![0], String::new(), Vec::new());
    let contract = contract();
    for row in rows {
        for text in &row.interests {
            interest.values.push(feature::text_value(text.as_bytes()));
            bytes.push_str(text);
            text_offsets.push(u32::try_from(bytes.len()).unwrap());
        }
        interest.offsets.push(u32::try_from(interest.values.len()).unwrap());
        if let (Some(number), omomi::contract::FieldKind::Number { range, buckets, .. }) =
            (row.price, &contract.fields()[2].kind)
        {
            price.values.push(buckets.index(*range, number).unwrap());
            numbers.push(number);
        }
        price.offsets.push(u32::try_from(price.values.len()).unwrap());
    }
    interest.categories = Categories::Texts { offsets: text_offsets, bytes, places: None };
    price.categories = Categories::Numbers(numbers);
    RowBatch {
        clicked: rows.iter().map(|row| row.clicked).collect(),
        time_us: first_time_us.map(|first| (first..).take(rows.len()).collect()),
        columns: vec![ids(|row| row.media_id), interest, price, ids(|row| row.creative_id)],
        ..RowBatch::default()
    }
}

/// Returns the features of a row as "field=category", in contract order.
fn named_features(row: &Row) -> Vec<String> {
    let escape = |text: &str| text.replace('\\', "\\\\").replace('*', "\\*");
    let media = row.media_id.map(|id| id.to_string());
    let creative = row.creative_id.map(|id| id.to_string());
    let price = row.price.map(|price| match price {
        ..10.0 => "[0.0, 10.0)",
        ..50.0 => "[10.0, 50.0)",
        _ => "[50.0, 100.0]",
    });
    let mut names = Vec::new();
    names.extend(media.iter().map(|media| format!("media_id={media}")));
    names.extend(row.interests.iter().map(|interest| format!("interest={interest}")));
    names.extend(price.iter().map(|price| format!("price={price}")));
    names.extend(creative.iter().map(|creative| format!("creative_id={creative}")));
    if let (Some(media), Some(creative)) = (&media, &creative) {
        names.push(format!("media_id*creative_id={media}*{creative}"));
    }
    if let (Some(creative), Some(price)) = (&creative, &price) {
        for interest in &row.interests {
            names.push(format!("creative_id*interest*price={creative}*{}*{price}", escape(interest)));
        }
    }
    names
}

/// Returns the default features of the missing values of a row, in contract order.
fn named_missing(row: &Row) -> Vec<String> {
    let fields = [
        ("media_id", row.media_id.is_none()),
        ("interest", row.interests.is_empty()),
        ("price", row.price.is_none()),
        ("creative_id", row.creative_id.is_none()),
    ];
    fields.into_iter().filter(|(_, is_missing)| *is_missing).map(|(field, _)| format!("(missing)={field}")).collect()
}

/// FTRL-Proximal as plain as possible, with texts as features.
struct PlainTwin {
    bias: (f64, f64),
    features: HashMap<String, (f64, f64, f64, f64)>,
}

impl PlainTwin {
    fn weight(z: f64, n: f64, l1: f64, l2: f64) -> f64 {
        let sign = if z < 0.0 { -1.0 } else { 1.0 };
        let d = (SETTINGS.beta + n.sqrt()) / SETTINGS.alpha;
        if z.abs() <= l1 { 0.0 } else { -(z - sign * l1) / (d + l2) }
    }

    fn step((z, n): (f64, f64), weight: f64, gradient: f64, importance: f64) -> (f64, f64) {
        let next_n = n + importance * gradient * gradient;
        let sigma = (next_n.sqrt() - n.sqrt()) / SETTINGS.alpha;
        (z + (importance * gradient - sigma * weight), next_n)
    }

    fn starting_from(first_batch: &[Row], unclicked_importance: f64) -> Self {
        let clicks = first_batch.iter().filter(|row| row.clicked).count() as f64;
        let others = unclicked_importance * (first_batch.len() as f64 - clicks);
        let logit = ((clicks + 1.0) / (others + 1.0)).ln();
        Self { bias: (-logit * (SETTINGS.beta / SETTINGS.alpha), 0.0), features: HashMap::new() }
    }

    /// Returns the logit of the prediction.
    fn learn(&mut self, row: &Row, count: bool, importance: f64) -> f64 {
        let mut names = named_features(row);
        let mut unseen = Vec::new();
        let bias = Self::weight(self.bias.0, self.bias.1, 0.0, 0.0);
        let mut weights = Vec::new();
        for name in &names {
            let &mut (z, n, ..) = self.features.entry(name.clone()).or_default();
            weights.push(Self::weight(z, n, SETTINGS.l1, SETTINGS.l2));
            let field = name.split('=').next().unwrap();
            // Only the first sight of a category is what a server meets as unseen.
            if n == 0.0 && !field.contains('*') {
                unseen.push(format!("(unseen)={field}"));
            }
        }
        let mut unseen_weights = Vec::new();
        for name in &unseen {
            let &mut (z, n, ..) = self.features.entry(name.clone()).or_default();
            unseen_weights.push(Self::weight(z, n, 0.0, SETTINGS.l2));
        }
        for name in named_missing(row) {
            let &mut (z, n, ..) = self.features.entry(name.clone()).or_default();
            weights.push(Self::weight(z, n, 0.0, SETTINGS.l2));
            names.push(name);
        }
        let logit = weights.iter().fold(bias, |sum, weight| sum + weight);
        let logit = unseen_weights.iter().fold(logit, |sum, weight| sum + weight);
        let gradient = math::sigmoid(logit) - if row.clicked { 1.0 } else { 0.0 };
        self.bias = Self::step(self.bias, bias, gradient, importance);
        for (name, weight) in names.into_iter().zip(weights).chain(unseen.into_iter().zip(unseen_weights)) {
            let (z, n, impressions, clicks) = self.features.get_mut(&name).unwrap();
            (*z, *n) = Self::step((*z, *n), weight, gradient, importance);
            *impressions += if count { importance } else { 0.0 };
            *clicks += if count && row.clicked { importance } else { 0.0 };
        }
        logit
    }
}

pub(super) fn written(trainer: &Trainer, name: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    trainer.write_state(&path, false).unwrap();
    (folder, path)
}

#[test]
fn the_state_is_that_of_the_plain_twin_to_the_bit() {
    let rows = random_rows(3_000, 1);
    let mut trainer = Trainer::new(&contract(), SETTINGS).unwrap();
    let mut twin = PlainTwin::starting_from(&rows[..1_100], 1.0);
    let mut evaluator = Evaluator::bounded();
    for pass in 1..=2 {
        // Batches whose length is not a multiple of a chunk.
        for rows in rows.chunks(1_100) {
            trainer.learn(&batch(rows, None)).unwrap();
        }
        for row in &rows {
            let logit = twin.learn(row, pass == 1, 1.0);
            if pass == 1 {
                evaluator.add_logit(logit, row.clicked);
            }
        }
        if pass == 1 {
            trainer.begin_next_pass();
        }
    }
    assert_eq!(trainer.progressive_metrics(), evaluator.metrics());

    let (_folder, path) = written(&trainer, "state.parquet");
    let mut reader = StateReader::open(&path).unwrap();
    assert_eq!(reader.feature_count(), twin.features.len() as u64);
    assert_eq!((reader.metadata().rows, reader.metadata().passes), (3_000, 2));
    while let Some(batch) = reader.next_batch().unwrap() {
        for row in batch.rows() {
            let (z, n, impressions, clicks) = if row.is_bias() {
                let clicks = rows.iter().filter(|row| row.clicked).count();
                (twin.bias.0, twin.bias.1, 3_000.0, clicks as f64)
            } else {
                twin.features.remove(&format!("{}={}", row.field, row.category)).unwrap()
            };
            let l1 = if row.is_bias() || row.is_default() { 0.0 } else { SETTINGS.l1 };
            let l2 = if row.is_bias() { 0.0 } else { SETTINGS.l2 };
            let expected = [z, (SETTINGS.beta + n.sqrt()) / SETTINGS.alpha, PlainTwin::weight(z, n, l1, l2)];
            assert_eq!([row.z, row.d, row.weight].map(f64::to_bits), expected.map(f64::to_bits), "{row:?}");
            let counts = (row.impressions as f64, row.clicks as f64, row.last_seen_us);
            assert_eq!(counts, (impressions, clicks, None), "{row:?}");
        }
    }
    assert!(twin.features.is_empty());
}

#[test]
fn a_row_that_sampling_keeps_counts_for_those_left_out() {
    let rows = random_rows(2_000, 8);
    let mut trainer = Trainer::with_sampling(&contract(), SETTINGS, Sampling { negative_rate: 0.25, seed: 1 }).unwrap();
    for rows in rows.chunks(1_100) {
        trainer.learn(&batch(rows, None)).unwrap();
    }
    let mut sampler = Sampler::new(Sampling { negative_rate: 0.25, seed: 1 });
    let kept = sampler.thin_out(&batch(&rows, Some(0))).unwrap().time_us.unwrap();
    let kept: Vec<usize> = kept.into_iter().map(|row| usize::try_from(row).unwrap()).collect();
    let first_count = kept.iter().filter(|&&row| row < 1_100).count();
    let kept: Vec<Row> = kept.iter().map(|&row| rows[row].clone()).collect();
    assert!(kept.len() < 1_000, "{} of 2,000 rows", kept.len());
    let mut twin = PlainTwin::starting_from(&kept[..first_count], 4.0);
    for row in &kept {
        twin.learn(row, true, if row.clicked { 1.0 } else { 4.0 });
    }

    let (_folder, path) = written(&trainer, "state.parquet");
    let mut reader = StateReader::open(&path).unwrap();
    assert_eq!(reader.metadata().negative_rate, 0.25);
    let clicks = kept.iter().filter(|row| row.clicked).count();
    assert_eq!(
        (reader.metadata().rows, reader.metadata().clicks),
        ((4 * kept.len() - 3 * clicks) as u64, clicks as u64)
    );
    assert_eq!(trainer.progressive_metrics().impressions, reader.metadata().rows);
    while let Some(batch) = reader.next_batch().unwrap() {
        for row in batch.rows().filter(|row| !row.is_bias()) {
            let (z, n, impressions, clicks) = twin.features.remove(&format!("{}={}", row.field, row.category)).unwrap();
            let expected = [z, (SETTINGS.beta + n.sqrt()) / SETTINGS.alpha];
            assert_eq!([row.z, row.d].map(f64::to_bits), expected.map(f64::to_bits), "{row:?}");
            assert_eq!((row.impressions as f64, row.clicks as f64), (impressions, clicks), "{row:?}");
        }
    }
    assert!(twin.features.is_empty());
}

#[test]
fn keys_are_those_of_the_feature_module() {
    let row =
        Row { clicked: true, media_id: Some(-7), interests: vec!["旅行"], price: Some(10.0), creative_id: Some(3) };
    let mut trainer = Trainer::new(&contract(), SETTINGS).unwrap();
    trainer.learn(&batch(&[row], None)).unwrap();
    let (_folder, path) = written(&trainer, "state.parquet");
    let batch = StateReader::open(&path).unwrap().next_batch().unwrap().unwrap();
    let found: HashMap<String, u64> =
        batch.rows().map(|row| (format!("{}={}", row.field, row.category), row.key)).collect();

    let key = |field, value| feature::feature_key(feature::field_seed(field), value);
    let media = key("media_id", feature::id_value(-7));
    let interest = key("interest", feature::text_value("旅行".as_bytes()));
    let (price, creative) = (key("price", 1), key("creative_id", 3));
    let cross = |name, members: &[u64]| members.iter().copied().fold(feature::field_seed(name), feature::cross_step);
    let expected = [
        ("(bias)=", 0),
        ("media_id=-7", media),
        ("interest=旅行", interest),
        ("price=[10.0, 50.0)", price),
        ("creative_id=3", creative),
        ("media_id*creative_id=-7*3", cross("media_id*creative_id", &[media, creative])),
        (
            "creative_id*interest*price=3*旅行*[10.0, 50.0)",
            cross("creative_id*interest*price", &[creative, interest, price]),
        ),
        ("(unseen)=media_id", key("(unseen)", feature::text_value(b"media_id"))),
        ("(unseen)=interest", key("(unseen)", feature::text_value(b"interest"))),
        ("(unseen)=price", key("(unseen)", feature::text_value(b"price"))),
        ("(unseen)=creative_id", key("(unseen)", feature::text_value(b"creative_id"))),
    ];
    assert_eq!(found, expected.map(|(name, key)| (name.to_owned(), key)).into());
}

#[test]
fn the_same_rows_give_the_same_bytes_however_they_are_batched_after_the_first_batch() {
    let rows = random_rows(2_000, 2);
    let state = |batch_row_count: usize| {
        let mut trainer = Trainer::new(&contract(), SETTINGS).unwrap();
        let mut learn = |rows: &[Row], first_row: usize| {
            trainer.learn(&batch(rows, Some(i64::try_from(first_row).unwrap()))).unwrap();
        };
        learn(&rows[..300], 0);
        for (index, rows) in rows[300..].chunks(batch_row_count).enumerate() {
            learn(rows, 300 + index * batch_row_count);
        }
        let (_folder, path) = written(&trainer, "state.parquet");
        std::fs::read(path).unwrap()
    };
    let once = state(2_000);
    assert!(once == state(2_000), "two runs differ");
    assert!(once == state(7), "the size of batches shows in the state");
}

#[test]
fn the_bias_starts_at_the_observed_ctr_and_stays_finite() {
    for (clicks, rows, expected) in [(0, 0, 1.0_f64), (0, 8, 1.0 / 9.0), (8, 8, 9.0), (1, 8, 2.0 / 8.0)] {
        let clicked: Vec<bool> = (0..rows).map(|row| row < clicks).collect();
        let bias = first_bias(&SETTINGS, LabelSums::of(&clicked, &vec![1.0; rows]));
        let weight = SETTINGS.bias_weight(bias.z, SETTINGS.curvature(bias.n));
        assert!((weight - expected.ln()).abs() < 1e-12, "{clicks} of {rows}: {weight}");
    }
}

#[test]
fn last_seen_is_the_latest_time_and_the_window_spans_all() {
    let row = |media_id| Row { clicked: false, media_id, interests: Vec::new(), price: None, creative_id: None };
    let mut trainer = Trainer::new(&contract(), SETTINGS).unwrap();
    assert_eq!(trainer.window_us(), None);
    trainer.learn(&batch(&[row(Some(1)), row(Some(2)), row(None)], Some(500))).unwrap();
    trainer.learn(&batch(&[row(Some(1))], Some(100))).unwrap();
    assert_eq!(trainer.window_us(), Some((100, 502)));
    let (_folder, path) = written(&trainer, "state.parquet");
    let batch = StateReader::open(&path).unwrap().next_batch().unwrap().unwrap();
    for row in batch.rows().filter(|row| row.field != UNSEEN_FIELD) {
        let expected = match row.category {
            "1" => 500,
            "2" => 501,
            _ => 502,
        };
        assert_eq!(row.last_seen_us, Some(expected), "{row:?}");
    }
}

#[test]
fn a_planted_log_is_learned() {
    // Each media and each creative has an effect of its own, so the best possible log loss is known.
    let effect = |id: i64, size: f64| ((id * 7_919 % 13) as f64 / 6.0 - 1.0) * size;
    let mut rng = Pcg64::seed_from_u64(3);
    let (mut bayes, mut rows) = (Evaluator::exact(), Vec::new());
    for row in 0..200_000 {
        let (media, creative) = (rng.random_range(0..20), rng.random_range(0..50));
        let logit = -2.0 + effect(media, 0.8) + effect(creative, 1.2);
        let clicked = rng.random_bool(math::sigmoid(logit));
        if row >= 160_000 {
            bayes.add_logit(logit, clicked);
        }
        let (media_id, creative_id) = (Some(media), Some(creative));
        rows.push(Row { clicked, media_id, interests: Vec::new(), price: None, creative_id });
    }
    let mut trainer = Trainer::new(&contract(), Settings::default()).unwrap();
    trainer.learn(&batch(&rows[..160_000], None)).unwrap();
    let mut held_out = Evaluator::exact();
    trainer.predict(&batch(&rows[160_000..], None), |logit, clicked| held_out.add_logit(logit, clicked));
    let (bayes, held_out) = (bayes.metrics(), held_out.metrics());
    let lost = (held_out.log_loss - bayes.log_loss) / (bayes.constant_log_loss() - bayes.log_loss);
    assert!(lost < 0.1, "{:.1} % of what can be learned was not learned", lost * 100.0);
    assert!((held_out.calibration_ratio.unwrap() - 1.0).abs() < 0.05, "{held_out:?}");
}

#[test]
fn predicting_changes_nothing_and_adds_what_stands_for_unseen_categories_and_missing_values() {
    let rows = random_rows(500, 4);
    let mut trainer = Trainer::new(&contract(), SETTINGS).unwrap();
    trainer.learn(&batch(&rows, None)).unwrap();
    let unseen = Row {
        clicked: false,
        media_id: Some(1_000),
        interests: vec!["never before"],
        price: None,
        creative_id: Some(1_000),
    };
    let mut logits = Vec::new();
    for _ in 0..2 {
        trainer.predict(&batch(std::slice::from_ref(&unseen), None), |logit, _| logits.push(logit));
    }
    // Of fields only: an unseen cross adds nothing.
    let [media, interest, _, creative] = [0, 1, 2, 3].map(|field| trainer.weight(trainer.unseen_numbers[field]));
    let price = default_key(MISSING_FIELD, "price");
    let price = trainer.weight(trainer.indexer.table.index().find(price).unwrap());
    let expected = [media, interest, creative, price].iter().fold(trainer.bias_weight(), |sum, weight| sum + weight);
    assert_eq!(logits, [expected; 2]);
    assert!([media, interest, creative, price].iter().all(|&weight| weight != 0.0));
}

/// `unseen = "zero"` gives the model from before there were such weights: the one that a plain twin without them has.
#[test]
fn a_field_whose_unseen_categories_add_nothing_has_no_weights_for_them() {
    let zero = CONTRACT.replace(r#""type""#, r#""unseen":"zero","type""#);
    let zero = Contract::from_json(zero.as_bytes()).unwrap();
    assert_ne!(zero.fingerprint(), contract().fingerprint());
    let mut trainer = Trainer::new(&zero, SETTINGS).unwrap();
    trainer.learn(&batch(&random_rows(500, 4), None)).unwrap();
    let (_folder, path) = written(&trainer, "state.parquet");
    let batch = StateReader::open(&path).unwrap().next_batch().unwrap().unwrap();
    assert!(batch.rows().all(|row| !row.is_default()));
    assert_eq!(batch.row_count(), trainer.feature_count() + 1);
    assert!(StateModel::read(&path).unwrap().defaults().is_empty());
}

/// Users whom training meets for the first time click less than those who come back. A new user of the held-out rows is
/// like the former, and a model without a weight for unseen categories takes them for the average user.
#[test]
fn new_categories_that_click_less_than_the_others_are_predicted_as_such() {
    let mut rng = Pcg64::seed_from_u64(12);
    let (mut rows, mut users) = (Vec::new(), Vec::new());
    let mut is_new = Vec::new();
    for _ in 0..40_000 {
        let new = users.is_empty() || rng.random_bool(0.4);
        let user = if new { i64::try_from(rows.len()).unwrap() } else { users[rng.random_range(0..users.len())] };
        users.push(user);
        let clicked = rng.random_bool(if new { 0.05 } else { 0.25 });
        rows.push(Row { clicked, media_id: Some(user), interests: Vec::new(), price: None, creative_id: None });
        is_new.push(new);
    }
    let calibration = |contract: &str| {
        let contract = Contract::from_json(contract.as_bytes()).unwrap();
        let mut trainer = Trainer::new(&contract, Settings { l1: 0.0, ..Settings::default() }).unwrap();
        trainer.learn(&batch(&rows[..30_000], None)).unwrap();
        let mut of_new = Evaluator::exact();
        let mut place = 30_000;
        trainer.predict(&batch(&rows[30_000..], None), |logit, clicked| {
            if is_new[place] {
                of_new.add_logit(logit, clicked);
            }
            place += 1;
        });
        of_new.metrics().calibration_ratio.unwrap()
    };
    let learned = calibration(CONTRACT);
    let zero = calibration(&CONTRACT.replace(r#""type""#, r#""unseen":"zero","type""#));
    assert!((learned - 1.0).abs() < 0.5 && zero > 3.0, "{learned} instead of {zero}");
}

#[test]
fn a_state_predicts_what_its_trainer_predicts() {
    let rows = random_rows(3_000, 5);
    let mut trainer = Trainer::new(&contract(), SETTINGS).unwrap();
    trainer.learn(&batch(&rows, None)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.parquet");
    trainer.write_state(&path, false).unwrap();

    // Rows with another seed have categories, and especially crosses, that were never seen.
    let others = batch(&random_rows(1_000, 6), None);
    let mut expected = Vec::new();
    trainer.predict(&others, |logit, clicked| expected.push((logit, clicked)));
    let mut model = StateModel::read(&path).unwrap();
    let mut index = 0;
    model.predict(&others, |logit, clicked| {
        // The state holds each curvature exactly as it was computed, so only the order of the sums could differ.
        assert_eq!((logit.to_bits(), clicked), (expected[index].0.to_bits(), expected[index].1));
        index += 1;
    });
    assert_eq!(index, expected.len());

    model.follow(WeightRule::of(&SETTINGS).recalibrated(0.5, 2.0));
    let mut index = 0;
    model.predict(&others, |logit, _| {
        assert!((logit - (0.5 * expected[index].0 + 2.0)).abs() < 1e-12);
        index += 1;
    });
}
