//! Tests that the metrics of an evaluation are equal to those of rows that are scored one by one.

use std::fs;
use std::sync::Arc;

use omomi::contract::Side;
use omomi::request::RequestRows;
use omomi::{Instructions, LoadMode, Model, Request, Scorer};
use omomi_train::evaluate::{By, EvaluateOptions, Evaluation, GroupsOf, SliceMetrics, entropy, evaluate_files};
use omomi_train::log::{LogReader, ReadOptions, RowBatch};

use crate::world::World;

/// One row of the held-out log, scored in its own request.
struct Scored {
    probability: f64,
    clicked: bool,
    device: Option<String>,
    user: Option<String>,
    hour: i64,
}

/// Makes a request from each row of the held-out log, and calls `visit` before the request is scored.
fn each_request(
    world: &World,
    model: &Arc<Model>,
    options: ReadOptions,
    mut visit: impl FnMut(&RowBatch, usize, &Scorer, &mut Request),
) {
    let contract = model.contract();
    let log = world.path("logs/part-002.parquet");
    let mut reader = LogReader::open(contract, &[log.to_str().unwrap()], options).unwrap();
    while let Some(batch) = reader.next_batch().unwrap() {
        for index in 0..batch.row_count() {
            let rows = RequestRows {
                context: batch.row(contract, Side::Context, index),
                candidates: vec![batch.row(contract, Side::Candidate, index)],
            };
            let (scorer, mut request) = model.scorer_for(&rows, Instructions::detect()).unwrap();
            request.fill(&rows).unwrap();
            visit(&batch, index, &scorer, &mut request);
        }
    }
}

fn score_one_by_one(world: &World, file: &str) -> Vec<Scored> {
    let model = Model::load(world.path(file), LoadMode::Copy).unwrap();
    let options = ReadOptions::default().with(|it| {
        it.time_column = Some("timestamp".to_owned());
        it.extra_columns = vec!["device".to_owned(), "user_id".to_owned()];
    });
    let mut scored = Vec::new();
    each_request(world, &model, options, |batch, index, scorer, request| {
        scorer.predict_plain(request, 1).unwrap();
        scored.push(Scored {
            probability: f64::from(request.answer(0).probability),
            clicked: batch.clicked[index],
            device: batch.extra[0].text(index).map(str::to_owned),
            user: batch.extra[1].text(index).map(str::to_owned),
            hour: batch.time_us.as_ref().unwrap()[index].div_euclid(3_600_000_000),
        });
    });
    scored
}

fn log_loss(row: &Scored) -> f64 {
    -if row.clicked { row.probability.ln() } else { (1.0 - row.probability).ln() }
}

fn near(found: f64, expected: f64, tolerance: f64, what: &str) {
    assert!((found - expected).abs() <= tolerance, "{what}: expected {expected}, found {found}");
}

/// Computes the AUC from the sum of ranks, with mean ranks for ties.
fn auc_by_ranks(rows: &[&Scored]) -> Option<f64> {
    let mut sorted: Vec<&&Scored> = rows.iter().collect();
    sorted.sort_by(|one, other| one.probability.total_cmp(&other.probability));
    let (mut rank_sum, mut start) = (0.0, 0);
    for tied in sorted.chunk_by(|one, other| one.probability.to_bits() == other.probability.to_bits()) {
        let mean_rank = start as f64 + (tied.len() as f64 + 1.0) / 2.0;
        rank_sum += mean_rank * tied.iter().filter(|row| row.clicked).count() as f64;
        start += tied.len();
    }
    let clicks = rows.iter().filter(|row| row.clicked).count() as f64;
    let others = rows.len() as f64 - clicks;
    (clicks > 0.0 && others > 0.0).then(|| (rank_sum - clicks * (clicks + 1.0) / 2.0) / (clicks * others))
}

fn assert_metrics(found: &SliceMetrics, rows: &[&Scored], what: &str) {
    let clicks = rows.iter().filter(|row| row.clicked).count();
    assert_eq!((found.impressions, found.clicks), (rows.len() as u64, clicks as u64), "{what}");
    let loss = rows.iter().map(|row| log_loss(row)).sum::<f64>() / rows.len() as f64;
    near(found.log_loss, loss, 1e-9, what);
    let sum: f64 = rows.iter().map(|row| row.probability).sum();
    near(found.mean_probability, sum / rows.len() as f64, 1e-9, what);
    match found.calibration {
        Some(calibration) => near(calibration.ratio, sum / clicks as f64, 1e-9, what),
        None => assert_eq!(clicks, 0, "{what}"),
    }
    let ctr = clicks as f64 / rows.len() as f64;
    if let Some(normalized) = found.normalized_entropy {
        near(normalized, loss / entropy(ctr), 1e-9, what);
    }
}

fn evaluate(world: &World, more: &str) -> Evaluation {
    world.succeed(&format!("evaluate 000002.omomi --logs logs/part-002.parquet --json eval.json --force {more}"));
    Evaluation::read(world.path("eval.json")).unwrap()
}

#[test]
fn metrics_are_equal_to_those_of_rows_scored_one_by_one() {
    let world = World::new();
    let evaluation =
        evaluate(&world, "--baseline before.omomi --by device --by site_id --user user_id --time-column timestamp");
    let baseline = evaluation.baseline.as_ref().unwrap();
    for (found, file) in [(&evaluation.models[0], "000002.omomi"), (baseline, "before.omomi")] {
        let scored = score_one_by_one(&world, file);
        let all: Vec<&Scored> = scored.iter().collect();
        let overall = &found.overall;
        let as_slice = SliceMetrics {
            impressions: overall.impressions,
            clicks: overall.clicks,
            mean_probability: overall.mean_probability,
            log_loss: overall.log_loss,
            normalized_entropy: overall.normalized_entropy,
            calibration: overall.calibration,
            effective_clicks: overall.effective_clicks,
        };
        assert_metrics(&as_slice, &all, file);
        near(overall.auc.unwrap(), auc_by_ranks(&all).unwrap(), 1e-5, "AUC");

        assert_eq!(found.by[0].column, "device");
        for slice in &found.by[0].slices {
            let rows: Vec<&Scored> = scored.iter().filter(|row| row.device == slice.value).collect();
            assert_metrics(&slice.metrics, &rows, slice.value.as_deref().unwrap_or("none"));
        }
        for by in &found.by {
            assert_eq!(by.slices.iter().map(|slice| slice.metrics.impressions).sum::<u64>(), 20_000, "{}", by.column);
            assert!(by.slices.windows(2).all(|pair| pair[0].metrics.clicks >= pair[1].metrics.clicks));
        }
        for hour in &found.hours {
            let rows: Vec<&Scored> = scored.iter().filter(|row| row.hour * 3_600_000_000 == hour.start_us).collect();
            assert_metrics(&hour.metrics, &rows, "hour");
        }
        assert_eq!(found.hours.iter().map(|hour| hour.metrics.impressions).sum::<u64>(), 20_000);

        let mut users: Vec<&str> = scored.iter().filter_map(|row| row.user.as_deref()).collect();
        users.sort_unstable();
        users.dedup();
        let (mut sum, mut impressions) = (0.0, 0);
        for user in users {
            let rows: Vec<&Scored> = scored.iter().filter(|row| row.user.as_deref() == Some(user)).collect();
            if let Some(auc) = auc_by_ranks(&rows) {
                sum += auc * rows.len() as f64;
                impressions += rows.len() as u64;
            }
        }
        let user_auc = overall.user_auc.unwrap();
        assert_eq!(user_auc.impressions, impressions);
        near(user_auc.by_impressions, sum / impressions as f64, 1e-9, "AUC within users");

        assert_eq!(found.reliability.len(), 20);
        assert!(
            found.reliability.iter().all(|bin| (990..=1_010).contains(&bin.impressions)),
            "{:?}",
            found.reliability
        );
        let error: f64 = found
            .reliability
            .iter()
            .map(|bin| (bin.observed_ctr - bin.mean_probability).abs() * bin.impressions as f64 / 20_000.0)
            .sum();
        near(overall.expected_calibration_error, error, 1e-12, "calibration error");
    }

    let comparison = evaluation.models[0].comparison.as_ref().unwrap();
    let difference = comparison.log_loss_difference.unwrap();
    near(difference.value, evaluation.models[0].overall.log_loss - baseline.overall.log_loss, 1e-9, "difference");
    assert!(difference.low < difference.value && difference.value < difference.high, "{difference:?}");
    assert!(difference.high < 0.0, "twice as many rows are better beyond doubt: {difference:?}");
    assert_eq!(comparison.bootstrap.groups_of, GroupsOf::Users);
    assert!(baseline.comparison.is_none());
    assert_eq!(evaluation.rows.impressions, 20_000);
    let [first, last] = evaluation.rows.window_us.unwrap();
    assert!(first < last);
}

#[test]
fn field_rates_and_facts_match_the_file() {
    let world = World::new();
    let evaluation = evaluate(&world, "");
    let model = Model::load(world.path("000002.omomi"), LoadMode::Map).unwrap();
    let facts = &evaluation.models[0].file;
    assert_eq!(facts.weight_count, model.weight_count());
    assert_eq!(facts.fields.iter().map(|field| field.weight_count).sum::<u64>(), model.weight_count());
    assert_eq!(facts.len_bytes, fs::metadata(world.path("000002.omomi")).unwrap().len());
    assert_eq!((facts.logic_id.as_str(), facts.generation, facts.training_rows), ("feed-v1", 2, Some(40_000)));

    // The unseen categories that the server counts per request add up to those of the fields.
    let (mut unseen, mut missing, mut largest) = (0, 0, 0.0_f32);
    each_request(&world, &model, ReadOptions::default(), |_, _, scorer, request| {
        scorer.predict(request, 1).unwrap();
        unseen += u64::from(request.counts().unseen_count);
        missing += u64::from(request.counts().missing_count);
        let contributions = scorer.explain(request, 0).unwrap().contributions;
        largest = contributions.iter().fold(largest, |max, it| max.max(it.weight.abs()));
    });
    let fields = &evaluation.models[0].fields;
    assert_eq!(fields.iter().map(|field| field.unseen).sum::<u64>(), unseen);
    assert_eq!(fields.iter().map(|field| field.missing).sum::<u64>(), missing);
    let categories: u64 = fields.iter().map(|field| field.categories).sum();
    near(evaluation.models[0].overall.unseen_rate, unseen as f64 / categories as f64, 1e-12, "unseen");
    assert!(facts.largest_weight >= f64::from(largest) && facts.largest_weight < 10.0, "{}", facts.largest_weight);

    for encoding in ["f16", "i8"] {
        world.succeed(&format!(
            "pack --contract logs/contract.toml --state state.parquet --held-out logs/part-002.parquet --logic-id feed-v1 \
             --generation 2 --out {encoding}.omomi --encoding {encoding} --quiet"
        ));
        let mut options = EvaluateOptions::new(
            [world.path(&format!("{encoding}.omomi"))],
            [world.path("logs/part-002.parquet").to_str().unwrap().to_owned()],
        );
        options.by = By::Fields;
        let small = evaluate_files(&options, &mut |_| ()).unwrap();
        near(small.models[0].file.largest_weight / facts.largest_weight, 1.0, 1e-3, encoding);
        assert!(small.models[0].by.iter().any(|by| by.column == "creative_id"));
    }
}

#[test]
fn a_file_does_not_differ_from_itself_and_equal_input_gives_equal_text() {
    let world = World::new();
    let evaluation = evaluate(&world, "--baseline 000002.omomi");
    let comparison = evaluation.models[0].comparison.as_ref().unwrap();
    assert_eq!(comparison.population_stability_index.to_bits(), 0.0_f64.to_bits());
    let change = comparison.normalized_entropy_change.unwrap();
    assert_eq!([change.value, change.low, change.high], [0.0; 3]);
    let text = fs::read_to_string(world.path("eval.json")).unwrap();
    assert_eq!(evaluate(&world, "--baseline 000002.omomi"), evaluation);
    assert_eq!(fs::read_to_string(world.path("eval.json")).unwrap(), text);
    assert_eq!(evaluation.to_json(), text, "what was read is what was written, to the last bit");

    let error = world.fail(1, "evaluate 000002.omomi --logs logs/part-002.parquet --json eval.json");
    assert!(error.contains("cannot write the evaluation eval.json"), "{error}");
    let error = world.fail(1, "evaluate 000002.omomi --logs logs/part-002.parquet --by sight");
    assert!(error.contains("the column `sight` is missing"), "{error}");
    fs::write(world.path("other.json"), "{\"format_version\": 99}").unwrap();
    let error = Evaluation::read(world.path("other.json")).unwrap_err().to_string();
    assert!(error.contains("expected an evaluation of format version 2, found 99"), "{error}");
}

#[test]
fn files_of_two_contracts_are_scored_on_the_same_rows() {
    let world = World::new();
    let contract = fs::read_to_string(world.path("logs/contract.toml")).unwrap();
    let blocks = contract.split("\n[[").filter(|block| !block.contains("name = \"landing\""));
    fs::write(world.path("less.toml"), blocks.collect::<Vec<_>>().join("\n[[")).unwrap();
    world.train("less.toml", "logs/part-000.parquet", "less.parquet");
    world.pack("less.toml", "less.parquet", 1, "less.omomi");

    let against_less = evaluate(&world, "--baseline less.omomi");
    let alone = evaluate(&world, "");
    assert_eq!(against_less.models[0].overall, alone.models[0].overall);
    let less = against_less.baseline.unwrap();
    let [with, without] =
        [&against_less.models[0], &less].map(|model| model.fields.iter().any(|field| field.field == "landing"));
    assert!(with && !without);
    assert_ne!(less.file.contract_fingerprint, alone.models[0].file.contract_fingerprint);
    world.succeed("evaluate less.omomi --logs logs/part-002.parquet --json less.json");
    assert_eq!(Evaluation::read(world.path("less.json")).unwrap().models[0].overall, less.overall);
}

#[test]
fn the_state_tells_unseen_categories_that_training_has_seen_from_new_ones() {
    let world = World::new();
    let counts = |logs: &str| {
        let report = world.succeed_json(&format!(
            "evaluate 000002.omomi --baseline before.omomi --logs {logs} --state state.parquet --json - --quiet"
        ));
        assert!(report["baseline"]["fields"][0].get("seen_without_weight").is_none(), "{report}");
        let fields = report["models"][0]["fields"].as_array().unwrap().clone();
        let count = |field: &serde_json::Value, name: &str| field[name].as_u64().unwrap();
        fields.iter().map(|it| [count(it, "unseen"), count(it, "seen_without_weight")]).collect::<Vec<_>>()
    };

    let learned = counts("logs/part-000.parquet");
    assert!(learned.iter().any(|[unseen, _]| *unseen > 0), "l1 makes some weights 0: {learned:?}");
    assert!(learned.iter().all(|[unseen, seen]| unseen == seen), "nothing is new in a learned log: {learned:?}");
    let others = counts("logs/part-002.parquet");
    assert!(others.iter().any(|[unseen, seen]| 0 < *seen && seen < unseen), "some are new: {others:?}");

    let plain = world.succeed_json("evaluate 000002.omomi --logs logs/part-002.parquet --json - --quiet");
    assert!(plain["models"][0]["fields"][0].get("seen_without_weight").is_none(), "{plain}");
    let table = world.succeed("evaluate 000002.omomi --logs logs/part-002.parquet --state state.parquet --quiet");
    assert!(table.contains("seen, no weight"), "{table}");
}
