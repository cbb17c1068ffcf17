//! Tests `omomi fixture` as a user runs it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use omomi::{Capacity, LoadMode, Model, RequestLayout, Schema, Scorer};
use omomi_train::log::generate::CONTRACT;

const WEIGHTS: &str = r#"
bias = -2.0

[[weight]]
of = { site_id = 3 }
value = 0.5

[[weight]]
of = { interest = "旅行" }
value = 0.25

[[weight]]
of = { category = "旅行", segment = "旅行好き" }
value = 1.0

[[weight]]
of = { creative_age = 24.0 }
value = -0.125
"#;

fn fixture(folder: &Path, weights: &str) -> Output {
    fs::write(folder.join("contract.toml"), CONTRACT).unwrap();
    fs::write(folder.join("weights.toml"), weights).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_omomi"));
    command.args(["fixture", "--contract", "contract.toml", "--weights", "weights.toml", "--logic-id", "試験"]);
    command.args(["--generation", "7", "--out", "fixture.omomi"]).current_dir(folder).output().unwrap()
}

#[test]
fn the_answers_of_a_fixture_are_sums_of_the_listed_weights() {
    let folder = tempfile::tempdir().unwrap();
    let output = fixture(folder.path(), WEIGHTS);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let model = Model::load(folder.path().join("fixture.omomi"), LoadMode::Copy).unwrap();
    assert_eq!((model.generation(), model.logic_id(), model.weight_count()), (7, "試験", 4));
    let schema = Schema::of_contract(model.contract());
    let layout = RequestLayout::new(&schema, Capacity { candidates: 3, tail_len_bytes: 256 }).unwrap();
    let scorer = Scorer::new(model, &layout).unwrap();
    let mut request = scorer.new_request();
    let slot = |name: &str| schema.slot(name).unwrap();
    request.context().set_id(slot("site_id"), 3).unwrap();
    request.context().set_text(slot("segment"), "旅行好き").unwrap();
    request.context().set_texts(slot("interest"), &["旅行", "unseen"]).unwrap();
    request.candidate(0).unwrap().set_text(slot("category"), "旅行").unwrap();
    // In the bucket of 24 hours, which ends before 48.
    request.candidate(1).unwrap().set_number(slot("creative_age"), 47.0).unwrap();
    request.candidate(2).unwrap().set_number(slot("creative_age"), 48.0).unwrap();
    scorer.predict(&mut request, 3).unwrap();
    let logits: Vec<f64> = request.answers(3).map(|answer| answer.logit).collect();
    assert_eq!(logits, [-2.0 + 0.5 + 0.25 + 1.0, -2.0 + 0.5 + 0.25 - 0.125, -2.0 + 0.5 + 0.25]);
}

#[test]
fn unseen_categories_and_missing_values_add_what_the_list_says() {
    let folder = tempfile::tempdir().unwrap();
    let list = "bias = -2.0\n[unseen]\nsite_id = -0.5\nregion = 0.25\n[missing]\nregion = 0.125\nhour = 1.0\n";
    assert!(fixture(folder.path(), list).status.success());
    let model = Model::load(folder.path().join("fixture.omomi"), LoadMode::Map).unwrap();
    let of = |name: &str| {
        let field = model.contract().fields().iter().position(|field| field.name == name).unwrap();
        let weights = model.default_weights()[field];
        (weights.unseen, weights.missing)
    };
    assert_eq!(of("site_id"), (-0.5, 0.0));
    assert_eq!(of("region"), (0.25, 0.125));
    assert_eq!(of("hour"), (0.0, 1.0));
}

#[test]
fn every_fault_of_a_list_is_named_with_its_line_and_no_file_is_made() {
    let folder = tempfile::tempdir().unwrap();
    for (weights, expected) in [
        ("bias = \"x\"", "line 1: bias: expected a number"),
        ("weights = 3", "line 1: weights: expected `bias` and tables `[[weight]]`"),
        ("[[weight]]\nvalue = 1.0", "weight.0: expected `of ="),
        ("[[weight]]\nof = { site = 1 }\nvalue = 1.0", "the contract has no field `site`"),
        ("[[weight]]\nof = { site_id = \"3\" }\nvalue = 1.0", "`site_id`: expected a whole number, found \"3\""),
        ("[[weight]]\nof = { region = 3 }\nvalue = 1.0", "`region`: expected a text, found 3"),
        ("[[weight]]\nof = { creative_age = -1.0 }\nvalue = 1.0", "`creative_age`: expected 0 to 2400, found -1.0"),
        ("[[weight]]\nof = { site_id = 1, hour = 2 }\nvalue = 1.0", "the contract has no cross of hour, site_id"),
        ("[[weight]]\nof = {}\nvalue = 1.0", "the contract has no cross of "),
        ("[[weight]]\nof = { hour = 2 }\nvalue = 1.0\nweight = 2", "`weight` is not known"),
        (
            "[[weight]]\nof = { hour = 2 }\nvalue = 1\n[[weight]]\nof = { hour = 2 }\nvalue = 2",
            "weight.1: it is listed twice",
        ),
        ("[[weight]]\nof = { hour = 2 }\nvalue = 1e9", ""),
        ("[unseen]\nsite = 1.0", "unseen.site: the contract has no field `site`"),
        ("[missing]\nhour = \"x\"", "missing.hour: expected a number, found \"x\""),
        ("[unseen]\nhour = 1e9", "the default weights of the field `hour` are 1000000000 and 0"),
        ("bias = ", "not TOML"),
    ] {
        let output = fixture(folder.path(), weights);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{weights}\n{said}");
        assert!(said.contains(expected), "{weights}\n{said}");
        assert!(!folder.path().join("fixture.omomi").exists(), "{weights}");
    }
    let two = "bias = \"x\"\n[[weight]]\nof = { site = 1 }\nvalue = 1.0";
    let said = String::from_utf8(fixture(folder.path(), two).stderr).unwrap();
    assert!(said.contains("2 faults\n  line 1: bias") && said.contains("weight.0: the contract"), "{said}");
    assert!(fixture(folder.path(), "").status.success());
    assert_eq!(fixture(folder.path(), "").status.code(), Some(1), "an existing file is not replaced");
}
