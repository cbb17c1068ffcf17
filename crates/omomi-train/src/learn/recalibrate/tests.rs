use std::fs;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use serde_json::Value;

use crate::learn::state::test_rows::OwnedRow;
use crate::learn::{Sampling, Settings, TrainOptions, train};
use omomi::contract::Contract;
use omomi::math::sigmoid;

use super::*;

const CONTRACT: &str = r#"{"name":"tiny","label":"clicked","field":[
    {"name":"media","side":"context","type":"id","meaning":"m"}]}"#;

struct Folder(tempfile::TempDir);

impl Folder {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn pattern(&self, name: &str) -> Vec<String> {
        vec![self.path(name).to_str().unwrap().to_owned()]
    }

    /// Writes a log of 10 media whose logits are -3.0, -2.7 and so on, plus `shift`.
    fn write_log(&self, name: &str, seed: u64, shift: f64) {
        let mut rng = Pcg64::seed_from_u64(seed);
        let mut text = "clicked,media\n".to_owned();
        for _ in 0..20_000 {
            let media: u8 = rng.random_range(0..10);
            let clicked = rng.random_bool(sigmoid(f64::from(media) * 0.3 - 3.0 + shift));
            text.push_str(&format!("{},{media}\n", u8::from(clicked)));
        }
        fs::write(self.path(name), text).unwrap();
    }

    /// Trains a state on day1.csv, and writes late.csv, which has more clicks.
    fn with_state() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write_log("day1.csv", 1, 0.0);
        folder.write_log("late.csv", 2, 0.5);
        let options = TrainOptions {
            logs: folder.pattern("day1.csv"),
            held_out: Vec::new(),
            read: ReadOptions::default(),
            settings: Settings::default(),
            start: None,
            sampling: Sampling::default(),
            search: None,
            last_iterates: false,
            cache: None,
            passes: 1,
            state: folder.path("state.parquet"),
            replace: false,
            again: false,
            arguments: Vec::new(),
        };
        train(&Contract::from_json(CONTRACT.as_bytes()).unwrap(), &options, &mut |_| ()).unwrap();
        folder
    }

    fn options(&self, state: &str, out: &str) -> RecalibrateOptions {
        RecalibrateOptions {
            state: self.path(state),
            logs: self.pattern("late.csv"),
            read: ReadOptions::default(),
            out: self.path(out),
            replace: false,
            arguments: vec!["recalibrate".to_owned()],
        }
    }

    fn refusal(&self, options: &RecalibrateOptions) -> String {
        let error = recalibrate(options, &mut |_| ()).unwrap_err().to_string();
        error.replace(self.0.path().to_str().unwrap(), "FOLDER")
    }
}

#[test]
fn a_recalibrated_state_predicts_the_observed_ctr_of_the_held_out_rows() {
    let folder = Folder::with_state();
    let report = recalibrate(&folder.options("state.parquet", "new.parquet"), &mut |_| ()).unwrap();
    assert!(report.before.calibration_ratio.unwrap() < 0.8, "{:?}", report.before);
    assert!((report.after.calibration_ratio.unwrap() - 1.0).abs() < 1e-7, "{:?}", report.after);
    assert!(report.after.log_loss < report.before.log_loss);

    // A reader of the new state makes the same predictions.
    let model = StateModel::read(folder.path("new.parquet")).unwrap();
    assert_eq!(model.metadata().weight_rule, report.weight_rule);
    let contract = &model.metadata().contract;
    let mut reader = LogReader::open(contract, &folder.pattern("late.csv"), ReadOptions::default()).unwrap();
    let mut evaluator = Evaluator::exact();
    while let Some(batch) = reader.next_batch().unwrap() {
        model.predict(&batch, |logit, clicked| evaluator.add_logit(logit, clicked));
    }
    assert!((evaluator.metrics().log_loss - report.after.log_loss).abs() < 1e-12);

    let (old, new) = (OwnedRow::all(&folder.path("state.parquet")), OwnedRow::all(&folder.path("new.parquet")));
    assert_eq!(old.len(), new.len());
    for (old, new) in old.iter().zip(&new) {
        let shift = if old.key == 0 { report.scaling.shift } else { 0.0 };
        assert!((new.weight - (old.weight * report.scaling.scale + shift)).abs() < 1e-12);
        assert_eq!(OwnedRow { weight: old.weight, ..new.clone() }, *old);
    }

    // A second recalibration changes nothing, and the provenance keeps the first.
    let again = recalibrate(&folder.options("new.parquet", "again.parquet"), &mut |_| ()).unwrap();
    assert!((again.scaling.scale - 1.0).abs() < 1e-6 && again.scaling.shift.abs() < 1e-6, "{:?}", again.scaling);
    let provenance: Value = serde_json::from_slice(&fs::read(folder.path("again.provenance.json")).unwrap()).unwrap();
    assert_eq!(provenance["rows"], 20_000);
    let recalibrations = provenance["recalibrations"].as_array().unwrap();
    assert_eq!(recalibrations.len(), 2);
    assert_eq!(recalibrations[0]["scale"], report.scaling.scale);
    assert_eq!(provenance["recalibration_logs"][0]["rows"], 20_000);
    assert_eq!(recalibrations[0]["before"]["log_loss"], report.before.log_loss);
    assert!(provenance["state"]["path"].as_str().unwrap().ends_with("again.parquet"));
}

#[test]
fn invalid_recalibrations_are_rejected_and_nothing_is_written() {
    let folder = Folder::with_state();
    let options = folder.options("state.parquet", "new.parquet");
    let learned = RecalibrateOptions { logs: folder.pattern("./day1.csv"), ..options.clone() };
    assert_eq!(
        folder.refusal(&learned),
        "FOLDER/./day1.csv is among the logs that FOLDER/state.parquet was trained on; recalibrate on rows that it \
         has not learned"
    );
    // A copy under another name is the same log. The copy of the provenance beside the state is for people only.
    fs::copy(folder.path("day1.csv"), folder.path("copy.csv")).unwrap();
    let copy = RecalibrateOptions { logs: folder.pattern("copy.csv"), ..options.clone() };
    for beside in [None, Some("{}"), Some("not JSON")] {
        let path = folder.path("state.provenance.json");
        beside.map_or_else(|| fs::remove_file(&path), |text| fs::write(&path, text)).unwrap();
        assert!(folder.refusal(&copy).starts_with("FOLDER/copy.csv is among the logs"), "{beside:?}");
    }

    fs::write(folder.path("late.csv"), "clicked,media\n0,1\n0,2\n").unwrap();
    let expected = "expected held-out rows with and without a click, found 0 clicks in 2 rows; take more rows";
    assert_eq!(folder.refusal(&options), expected);
    assert!(!folder.path("new.parquet").exists() && !folder.path("new.provenance.json").exists());

    fs::write(folder.path("new.parquet"), "precious").unwrap();
    let expected = "FOLDER/new.parquet exists already; choose another name, or ask to replace it";
    assert_eq!(folder.refusal(&options), expected);
}
