//! Tests that wrong inputs are rejected, and that existing files stay.

use std::fs;
use std::path::Path;
use std::process::Command;

use omomi::store::Digest;
use omomi_train::evaluate::Evaluation;
use omomi_train::judge::report::{ReportError, ReportInputs, render, write};

use crate::made_up;

/// Returns the error message for these inputs.
#[track_caller]
fn refusal(inputs: &ReportInputs) -> String {
    render(inputs).expect_err("the inputs were accepted").to_string()
}

/// Returns inputs with only a changed evaluation.
fn changed(folder: &Path, change: impl FnOnce(&mut Evaluation)) -> ReportInputs {
    let mut evaluation = made_up::evaluation(true);
    change(&mut evaluation);
    let path = folder.join("changed.json");
    fs::write(&path, serde_json::to_string(&evaluation).unwrap()).unwrap();
    ReportInputs::of(path)
}

#[test]
fn files_of_another_model_are_rejected_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let all = made_up::inputs(folder.path());
    let none = changed(folder.path(), |evaluation| {
        evaluation.models[0].file.contract_fingerprint = "0000000000000001".to_owned();
    });
    for (name, inputs) in [
        ("pruned.bill.json", ReportInputs { bill: all.bill, ..none.clone() }),
        ("merged.provenance.json", ReportInputs { provenance: all.provenance, ..none.clone() }),
        ("model.parquet", ReportInputs { state: all.state, baseline_state: all.baseline_state, ..none.clone() }),
    ] {
        let message = refusal(&inputs);
        assert!(message.contains(name) && message.contains("under 0000000000000001"), "{message}");
    }
    assert!(render(&none).is_ok());
    let other = changed(folder.path(), |evaluation| evaluation.models[0].file.digest = "00".repeat(32));
    let message = refusal(&ReportInputs { blessing: all.blessing, ..other });
    assert!(message.contains("000042.blessing.json blesses another weight file"), "{message}");
}

#[test]
fn the_bill_of_another_run_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = ReportInputs { state: None, baseline_state: None, ..made_up::inputs(folder.path()) };
    let path = inputs.provenance.clone().unwrap();
    let with_digest = |digest: &str| {
        let mut provenance: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        provenance["pruned"] = serde_json::json!({ "bill_digest": digest });
        fs::write(&path, provenance.to_string()).unwrap();
    };
    let own = Digest::of(&fs::read(inputs.bill.as_ref().unwrap()).unwrap()).to_string();
    with_digest(&own);
    assert!(render(&inputs).is_ok());
    with_digest(&"00".repeat(32));
    let message = refusal(&inputs);
    let words = format!("expected the digest {}, found {own}; another run of omomi prune replaced", "00".repeat(32));
    assert!(message.contains("pruned.bill.json is not the bill of ") && message.contains(&words), "{message}");
}

#[test]
fn a_file_that_is_not_an_evaluation_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changed.json");
    assert!(refusal(&ReportInputs::of(&path)).contains("cannot read"));
    fs::write(&path, "{}").unwrap();
    let message = refusal(&ReportInputs::of(&path));
    assert!(message.contains("changed.json is not an evaluation"), "{message}");
    let other = folder.path().join("other.json");
    fs::write(&other, "{}").unwrap();
    let message = refusal(&ReportInputs { bill: Some(other), ..changed(folder.path(), |_| ()) });
    assert!(
        message.contains("other.json is not the bill of a pruning; expected what `omomi prune` writes"),
        "{message}"
    );
    let inputs = changed(folder.path(), |evaluation| evaluation.format_version = 99);
    assert!(refusal(&inputs).contains("format version 2, found 99"));
    let inputs = changed(folder.path(), |evaluation| evaluation.models.clear());
    assert!(refusal(&inputs).contains("evaluates no weight file"));
}

#[test]
fn a_page_is_replaced_only_on_demand() {
    let folder = tempfile::tempdir().unwrap();
    let mut inputs = made_up::inputs(folder.path());
    let out = folder.path().join("report.html");
    fs::write(&out, "mine").unwrap();
    assert!(matches!(write(&inputs, &out), Err(ReportError::Exists { .. })));
    assert_eq!(fs::read_to_string(&out).unwrap(), "mine");
    inputs.replace = true;
    write(&inputs, &out).unwrap();
    assert_eq!(fs::read_to_string(&out).unwrap(), render(&inputs).unwrap());
}

#[test]
fn the_provenance_is_read_from_the_state_and_not_from_what_is_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut inputs = made_up::inputs(folder.path());
    let has_spread = |inputs: &ReportInputs| render(inputs).unwrap().contains("id=\"shard-spread\"");
    let provenance = inputs.provenance.take();
    fs::write(folder.path().join("model.provenance.json"), "{}").unwrap();
    assert!(has_spread(&inputs));
    let state = inputs.state.take();
    assert!(!has_spread(&inputs));
    assert!(has_spread(&ReportInputs { provenance, state, ..inputs }));
}

#[test]
fn the_command_writes_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = made_up::inputs(folder.path());
    let out = folder.path().join("report.html");
    let flags = [
        ("--evaluation", Some(&inputs.evaluation)),
        ("--bill", inputs.bill.as_ref()),
        ("--state", inputs.state.as_ref()),
        ("--baseline-state", inputs.baseline_state.as_ref()),
        ("--provenance", inputs.provenance.as_ref()),
        ("--blessing", inputs.blessing.as_ref()),
        ("--store", inputs.store.as_ref()),
        ("--served", inputs.served.as_ref()),
        ("--ab", inputs.ab.as_ref()),
        ("--counterfactual", inputs.counterfactual.as_ref()),
        ("--out", Some(&out)),
    ];
    let run = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_omomi"));
        command.arg("report");
        for (flag, path) in flags {
            command.arg(flag).arg(path.unwrap());
        }
        command.output().unwrap()
    };
    let output = run();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("report.html"));
    assert_eq!(fs::read_to_string(&out).unwrap(), render(&inputs).unwrap());
    let again = run();
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("exists already"));
}
