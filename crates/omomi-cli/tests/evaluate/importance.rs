//! Tests that every step counts rows by their importance, or refuses to guess.

use std::fmt::Write as _;
use std::fs;

use omomi_train::evaluate::{Evaluation, ModelEvaluation, SliceMetrics};

use crate::world::World;

const CONTRACT: &str = r#"
name = "shop"
label = "clicked"

[[field]]
name = "site"
type = "id"
side = "context"
meaning = "the site"

[[field]]
name = "creative"
type = "text"
side = "candidate"
meaning = "the creative"
"#;
const READ: &str = "--time-column time --user user --by site";

struct Row {
    clicked: bool,
    importance: u32,
    cells: String,
}

/// Rows with a CTR of about 5 %, which depends on the site and the creative.
fn rows(count: u64, seed: u64) -> Vec<Row> {
    let mut state = seed;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let row = |number: u64| {
        let (site, creative) = ((random() * 10.0).floor(), (random() * 12.0).floor());
        let logit: f64 = -3.5 + 0.15 * site + if creative < 3.0 { 0.7 } else { -0.2 };
        let clicked = random() < 1.0 / (1.0 + (-logit).exp());
        let time = 1_574_553_600 + number / 10;
        Row { clicked, importance: 1, cells: format!("{time},u{},{site},c{creative}", number / 7) }
    };
    (0..count).map(row).collect()
}

/// Keeps one in ten of the rows without a click, each with importance 10.
fn thinned(rows: &[Row]) -> Vec<Row> {
    let kept = rows.iter().enumerate().filter(|(number, row)| row.clicked || number % 10 == 3);
    let thin = |(_, row): (usize, &Row)| Row {
        clicked: row.clicked,
        importance: if row.clicked { 1 } else { 10 },
        cells: row.cells.clone(),
    };
    kept.map(thin).collect()
}

fn write(world: &World, name: &str, rows: &[Row]) {
    let mut csv = "clicked,stands_for,time,user,site,creative\n".to_owned();
    for Row { clicked, importance, cells } in rows {
        writeln!(csv, "{},{importance},{cells}", u8::from(*clicked)).unwrap();
    }
    fs::write(world.path(name), csv).unwrap();
}

/// A log of which one in ten rows without a click is left, in four parts, and the whole of the parts that are held out.
fn world() -> World {
    let world = World::empty();
    fs::write(world.path("contract.toml"), CONTRACT).unwrap();
    write(&world, "learned.csv", &thinned(&rows(60_000, 1)));
    for (name, seed) in [("fitted", 2), ("held_out", 3)] {
        let rows = rows(60_000, seed);
        write(&world, &format!("{name}_all.csv"), &rows);
        write(&world, &format!("{name}.csv"), &thinned(&rows));
    }
    world.succeed(
        "train --contract contract.toml --logs learned.csv --importance-column stands_for --state state.parquet --quiet",
    );
    world
}

fn pack(world: &World, state: &str, generation: u64) {
    world.succeed(&format!(
        "pack --contract contract.toml --state {state}.parquet --held-out fitted.csv --importance-column stands_for \
         --logic-id shop --generation {generation} --out {state}.omomi --quiet"
    ));
}

fn evaluated(world: &World, file: &str, rest: &str) -> Evaluation {
    world.succeed(&format!("evaluate {file} {READ} --json eval.json --force {rest}"));
    Evaluation::read(world.path("eval.json")).unwrap()
}

#[track_caller]
fn near(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "expected {expected}, found {found}");
}

#[test]
fn each_step_after_a_training_with_importance_asks_for_it_and_says_what_to_pass() {
    let world = world();
    pack(&world, "state", 1);
    let steps = [
        "recalibrate state.parquet --logs fitted.csv --out recalibrated.parquet",
        "prune state.parquet --out pruned.parquet --held-out fitted.csv --min-magnitude 0.001",
        "pack --contract contract.toml --state state.parquet --held-out fitted.csv --logic-id shop --generation 2 \
         --out again.omomi",
        "train --contract contract.toml --logs fitted.csv --start state.parquet --state next.parquet",
        "evaluate state.omomi --logs held_out.csv",
        "gate state.omomi --logs held_out.csv --first",
    ];
    for step in steps {
        let error = world.fail(1, step);
        for word in ["--importance-column stands_for", "--unweighted"] {
            assert!(error.contains(word), "omomi {step}\n{error}");
        }
    }
    for step in steps.iter().filter(|step| !step.starts_with("gate")) {
        world.succeed(&format!("{step} --importance-column stands_for --quiet"));
    }
    world.fail(2, "evaluate state.omomi --logs held_out.csv --unweighted --importance-column stands_for");
    world.fail(2, "train --contract contract.toml --logs fitted.csv --weight-column stands_for --state old.parquet");
    // What goes on from a weighted state is weighted, even if its own rows are not.
    world.succeed(
        "train --contract contract.toml --logs fitted_all.csv --start state.parquet --unweighted --state on.parquet \
         --quiet",
    );
    let error = world.fail(1, "recalibrate on.parquet --logs held_out_all.csv --out again.parquet");
    assert!(error.contains("stands_for"), "{error}");
    // States with and without are not averaged.
    world.succeed("train --contract contract.toml --logs fitted_all.csv --state once.parquet --quiet");
    let error = world.fail(1, "average state.parquet once.parquet --allow-uneven --out average.parquet");
    assert!(error.contains("importance_column is none, expected stands_for"), "{error}");
}

/// A log with a tenth of its rows without a click got a shift of +2.8, and the gate passed the result.
#[test]
fn recalibrating_and_pruning_on_thinned_rows_give_about_what_all_rows_give() {
    let world = world();
    let shift_of = |state: &str, logs: &str, out: &str| {
        world.succeed(&format!("recalibrate {state}.parquet --logs {logs} --out {out}.parquet --force --quiet"));
        let text = fs::read(world.path(&format!("{out}.provenance.json"))).unwrap();
        let provenance: serde_json::Value = serde_json::from_slice(&text).unwrap();
        provenance["recalibrations"][0]["shift"].as_f64().unwrap()
    };
    let whole = shift_of("state", "fitted_all.csv --unweighted", "whole");
    let thin = shift_of("state", "fitted.csv --importance-column stands_for", "thin");
    near(thin, whole, 0.15);
    let wrong = shift_of("state", "fitted.csv --unweighted", "wrong");
    near(wrong - whole, 10.0_f64.ln(), 0.3);
    world.succeed(
        "prune state.parquet --out pruned.parquet --held-out fitted.csv --importance-column stands_for \
         --min-magnitude 0.01 --quiet",
    );
    for (generation, state) in ["thin", "pruned"].into_iter().enumerate() {
        pack(&world, state, generation as u64 + 1);
        let all = evaluated(&world, &format!("{state}.omomi"), "--logs held_out_all.csv --unweighted");
        let ratio = all.models[0].overall.calibration.unwrap().ratio;
        near(ratio, 1.0, 0.08);
    }
}

#[test]
fn figures_of_thinned_rows_are_about_those_of_all_rows_and_their_intervals_are_no_narrower() {
    let world = world();
    pack(&world, "state", 1);
    let all = evaluated(&world, "state.omomi", "--logs held_out_all.csv --unweighted");
    let thin = evaluated(&world, "state.omomi", "--logs held_out.csv --importance-column stands_for");
    assert_eq!(thin.rows.importance_column.as_deref(), Some("stands_for"));
    assert_eq!(thin.models[0].file.importance_column.as_deref(), Some("stands_for"));
    assert!(thin.rows.impressions < all.rows.impressions / 5, "rows of the log are rows");
    let [all, thin] = [&all.models[0].overall, &thin.models[0].overall];
    assert_eq!(thin.clicks, all.clicks);
    near(thin.impressions as f64 / all.impressions as f64, 1.0, 0.02);
    near(thin.log_loss, all.log_loss, 0.01 * all.log_loss);
    near(thin.normalized_entropy.unwrap(), all.normalized_entropy.unwrap(), 0.01);
    near(thin.auc.unwrap(), all.auc.unwrap(), 0.02);
    near(thin.pr_auc.unwrap(), all.pr_auc.unwrap(), 0.02);
    let [all_ratio, thin_ratio] = [all, thin].map(|overall| overall.calibration.unwrap());
    near(thin_ratio.ratio, all_ratio.ratio, 0.03);
    // Of one row in ten the predictions are less certain, so that the clicks tell less.
    let width = |it: omomi_train::evaluate::Calibration| (it.high / it.low).ln();
    assert!((1.0..1.5).contains(&(width(thin_ratio) / width(all_ratio))), "{all_ratio:?} {thin_ratio:?}");
    assert!(thin.telling_clicks() <= thin.clicks && thin.telling_clicks() > thin.clicks / 2, "{thin:?}");
    assert_eq!(all.telling_clicks(), all.clicks);
    let [low, high] = thin.normalized_entropy_interval.unwrap();
    let [all_low, all_high] = all.normalized_entropy_interval.unwrap();
    assert!((0.9..4.0).contains(&((high - low) / (all_high - all_low))), "{low} {high} {all_low} {all_high}");
    let gate =
        world.omomi("gate state.omomi --logs held_out.csv --importance-column stands_for --first --json --quiet");
    let gate: serde_json::Value = serde_json::from_slice(&gate.stdout).unwrap();
    let clicks = gate["checks"].as_array().unwrap().iter().find(|check| check["name"] == "clicks").unwrap();
    assert!(clicks["found"].as_str().unwrap().starts_with(&thin.telling_clicks().to_string()), "{clicks}");
}

/// A row of importance 3 counts as three rows.
#[test]
fn whole_importances_give_the_figures_of_repeated_rows() {
    let world = world();
    pack(&world, "state", 1);
    let mut once = rows(9_000, 4);
    once.iter_mut().enumerate().for_each(|(number, row)| row.importance = [1, 3, 2][number % 3]);
    write(&world, "once.csv", &once);
    let repeated = once.iter().flat_map(|row| {
        let again = || Row { clicked: row.clicked, importance: 1, cells: row.cells.clone() };
        (0..row.importance).map(move |_| again())
    });
    write(&world, "repeated.csv", &repeated.collect::<Vec<_>>());
    let [once, repeated] = ["once.csv --importance-column stands_for", "repeated.csv --unweighted"]
        .map(|logs| evaluated(&world, "state.omomi", &format!("--logs {logs}")));
    let [one, other]: [&ModelEvaluation; 2] = [&once.models[0], &repeated.models[0]];
    let slices = |model: &ModelEvaluation| -> Vec<SliceMetrics> {
        let by = model.by.iter().flat_map(|by| by.slices.iter().map(|slice| slice.metrics));
        by.chain(model.hours.iter().map(|hour| hour.metrics)).collect()
    };
    assert!(slices(one).len() >= 11);
    for (one, other) in slices(one).iter().zip(&slices(other)) {
        assert_eq!((one.impressions, one.clicks), (other.impressions, other.clicks));
        near(one.log_loss, other.log_loss, 1e-9);
        near(one.mean_probability, other.mean_probability, 1e-9);
        assert!(one.effective_clicks.unwrap() < one.clicks as f64, "three rows in one tell less than three");
    }
    for (one, other) in one.reliability.iter().zip(&other.reliability) {
        assert_eq!((one.impressions, one.clicks), (other.impressions, other.clicks));
        near(one.observed_ctr, other.observed_ctr, 1e-12);
        assert!(one.observed_ctr_high - one.observed_ctr_low > other.observed_ctr_high - other.observed_ctr_low);
    }
    let [one, other] = [&one.overall, &other.overall];
    assert_eq!((one.impressions, one.clicks), (other.impressions, other.clicks));
    for (one, other) in [
        (one.log_loss, other.log_loss),
        (one.mean_probability, other.mean_probability),
        (one.expected_calibration_error, other.expected_calibration_error),
        (one.normalized_entropy.unwrap(), other.normalized_entropy.unwrap()),
        (one.auc.unwrap(), other.auc.unwrap()),
        (one.pr_auc.unwrap(), other.pr_auc.unwrap()),
        (one.calibration.unwrap().ratio, other.calibration.unwrap().ratio),
        (one.user_auc.unwrap().by_impressions, other.user_auc.unwrap().by_impressions),
        (one.user_auc.unwrap().by_clicks, other.user_auc.unwrap().by_clicks),
    ] {
        near(one, other, 1e-9);
    }
}

#[test]
fn profile_shows_the_click_rate_by_importance_and_that_of_the_rows() {
    let world = world();
    pack(&world, "state", 1);
    world.succeed("publish state.omomi --to store --unblessed");
    let profile = |rest: &str| -> serde_json::Value {
        serde_json::from_str(&world.succeed(&format!("profile --store store --time-column time --json {rest}")))
            .unwrap()
    };
    let thin = profile("--logs held_out.csv --importance-column stands_for");
    let whole = rows(60_000, 3);
    let rate = |rows: &[Row]| rows.iter().filter(|row| row.clicked).count() as f64 / rows.len() as f64;
    let ctr = thin["figures"]["ctr"].as_f64().unwrap();
    near(ctr, rate(&whole), 0.05 * rate(&whole));
    near(thin["unweighted_ctr"].as_f64().unwrap(), rate(&thinned(&whole)), 1e-9);
    let said =
        world.succeed("profile --store store --time-column time --logs held_out.csv --importance-column stands_for");
    assert!(
        said.contains(&format!("CTR {ctr:.4} by importance ({:.4} of the rows)", rate(&thinned(&whole)))),
        "{said}"
    );
    assert!(profile("--logs held_out_all.csv --unweighted --accept all-rows")["unweighted_ctr"].is_null());
}
