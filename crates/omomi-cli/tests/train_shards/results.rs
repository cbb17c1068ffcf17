//! Results of a training in shards besides the merged state: metrics, recalibration and a common start state.

use omomi_train::learn::StartOptions;
use omomi_train::learn::average::Rule;
use omomi_train::learn::recalibrate::Correction;
use omomi_train::learn::shards::{ShardEvent, TrainShardsOptions};
use omomi_train::learn::state::StateReader;

use crate::fixture::{FILE_COUNT, Fixture};

/// Options with the last file held out and the second last for recalibration.
fn options(fixture: &Fixture) -> TrainShardsOptions {
    let mut options = fixture.options();
    let held_out = options.train.logs.split_off(FILE_COUNT - 1);
    let recalibrate_on = options.train.logs.split_off(FILE_COUNT - 2);
    options.train.held_out = held_out;
    options.with(|it| it.recalibrate_on = recalibrate_on)
}

#[test]
fn the_merged_state_is_recalibrated_and_evaluated_on_separate_rows() {
    let fixture = Fixture::new();
    let options = options(&fixture);
    let (outcome, seen) = fixture.train(&options);
    let account = outcome.unwrap();
    let recalibration = account.recalibration.unwrap();
    let ratio = recalibration.after.calibration_ratio.unwrap();
    // A correction within its own error is left out.
    match recalibration.correction {
        Correction::Nothing => assert_eq!((recalibration.scaling.scale, recalibration.scaling.shift), (1.0, 0.0)),
        Correction::Shift | Correction::Both => assert!((ratio - 1.0).abs() < 1e-6, "{ratio}"),
    }
    assert!(account.held_out.unwrap().normalized_entropy.unwrap() < 1.0);
    let rule = |path| StateReader::open(path).unwrap().metadata().weight_rule;
    assert_eq!(rule(&options.train.state), recalibration.weight_rule);
    assert_eq!(rule(&fixture.path("work/round-01/merged.parquet")).scale, 1.0);
    // What all shards agree on.
    let provenance = StateReader::open(&options.train.state).unwrap().metadata().provenance.clone();
    assert_eq!(provenance["settings"]["iterates"], "averaged");
    assert_eq!(provenance["sampling"]["seed"], options.train.sampling.seed);
    assert!(seen.events.iter().any(|progress| matches!(progress.event, ShardEvent::Recalibrated { .. })));
}

#[test]
fn rows_for_learning_recalibration_and_evaluation_must_not_overlap() {
    let fixture = Fixture::new();
    let good = options(&fixture);
    let mut learned = good.clone();
    learned.recalibrate_on = vec![good.train.logs[0].clone()];
    let mut recalibrated = good.clone();
    recalibrated.train.held_out = good.recalibrate_on.clone();
    for (options, path) in [(&learned, &good.train.logs[0]), (&recalibrated, &good.recalibrate_on[0])] {
        let error = fixture.train(options).0.unwrap_err().to_string();
        assert!(error.starts_with(&format!("{path} is among the held-out logs and")), "{error}");
    }
    assert!(!good.work_dir.exists());
}

#[test]
fn shards_continue_from_a_common_start_which_counts_once() {
    let fixture = Fixture::new();
    let mut first = fixture.options();
    let later = first.train.logs.split_off(2);
    fixture.merged(&first);
    let start = fixture.path("start.parquet");
    std::fs::rename(&first.train.state, &start).unwrap();
    let before = StateReader::open(&start).unwrap().metadata().clone();

    let mut second = fixture.options();
    second.train.logs = later;
    // Half is kept per day, and every shard must use the same age.
    second.train.start = Some(StartOptions::new(&start).with(|it| it.decay_per_day = 0.5));
    let (_, seen) = fixture.merged(&second);
    assert_eq!(seen.stale.len(), 3, "the states of the first training are not part of this one");
    let after = StateReader::open(&second.train.state).unwrap().metadata().clone();
    assert_eq!((after.rows, before.rows < after.rows), (12_000, true));
    let said = after.start.unwrap();
    assert_eq!((said.digest, said.shares), (omomi::store::Digest::of_file(&start).unwrap(), 3));
    // From the last row of the start to the last row of the logs.
    let days = (after.window_us.unwrap().1 - before.window_us.unwrap().1) as f64 / 86_400e6;
    assert!((said.decay - 0.5_f64.powf(days)).abs() < 1e-9, "{} after {days} days", said.decay);
    // The start counts once, and as far as decay leaves it.
    let left = (before.rows as f64 * said.decay).round();
    assert!((after.effective_rows as f64 - left - (after.rows - before.rows) as f64).abs() < 1.5, "{after:?}");
    assert!(after.lineage.len() > before.lineage.len());
}

#[test]
fn finished_weights_can_be_averaged_but_not_in_several_rounds() {
    let fixture = Fixture::new();
    let mut options = fixture.options();
    options.rule = Rule::Plain;
    let error = fixture.train(&options.clone().with(|it| it.round_count = 2)).0.unwrap_err().to_string();
    assert!(error.starts_with("expected the rule `curvature` for several rounds, found `plain`"), "{error}");
    assert!(!options.work_dir.exists());
    fixture.merged(&options);
}
