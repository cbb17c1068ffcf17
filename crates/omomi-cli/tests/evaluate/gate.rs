//! Tests the gate: a bad weight file is held back by the right checks; a good one is blessed and published.

use std::fs;

use omomi::weight_file::layout::SectionKind;
use serde_json::{Value, json};

use crate::sealing::{assemble, sections_of};
use crate::world::World;

const LOGS: &str = "--logs logs/part-002.parquet";

/// Returns the names of the checks that hold a file back, with their subjects.
fn reasons(world: &World, arguments: &str) -> Vec<(String, Option<String>)> {
    let output = world.omomi(&format!("gate {arguments} --json"));
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&said["passed"], &said["blessing"]), (&json!(false), &Value::Null));
    let checks = said["checks"].as_array().unwrap();
    assert_eq!(said["answer"], "held_back");
    let failed = checks.iter().filter(|check| check["answer"] == "held_back");
    let reason = |check: &Value| {
        for key in ["owner", "action", "expected", "found"] {
            assert!(!check[key].as_str().unwrap().is_empty(), "{key} of {check}");
        }
        (check["name"].as_str().unwrap().to_owned(), check["subject"].as_str().map(str::to_owned))
    };
    failed.map(reason).collect()
}

fn names(reasons: &[(String, Option<String>)]) -> Vec<&str> {
    let mut names: Vec<&str> = reasons.iter().map(|(name, _)| name.as_str()).collect();
    names.dedup();
    names
}

#[test]
fn a_good_file_is_blessed_and_published_and_nothing_else_is() {
    let world = World::new();
    let error = world.fail(1, "publish 000002.omomi --to store");
    assert!(error.contains("the file has no blessing: expected 000002.blessing.json"), "{error}");

    let said = world.succeed(&format!("gate 000002.omomi --baseline before.omomi {LOGS}"));
    assert!(said.contains("Passed. The blessing: 000002.blessing.json"), "{said}");
    let blessing = fs::read(world.path("000002.blessing.json")).unwrap();
    let parsed: Value = serde_json::from_slice(&blessing).unwrap();
    let digest = omomi::store::Digest::of(&fs::read(world.path("000002.omomi")).unwrap()).to_string();
    assert_eq!((&parsed["digest"], &parsed["generation"]), (&json!(digest), &json!(2)));
    assert_eq!(parsed["first"], false);
    assert!(parsed["training_window_us"][1].as_i64().unwrap() > parsed["training_window_us"][0].as_i64().unwrap());
    for key in ["settings_digest", "baseline_digest"] {
        assert_eq!(parsed[key].as_str().unwrap().len(), 64, "{key}");
    }
    world.succeed(&format!("gate 000002.omomi --baseline before.omomi {LOGS}"));
    assert!(fs::read(world.path("000002.blessing.json")).unwrap() == blessing, "the same input, another blessing");

    // The blessing names what the file was compared with. The store does not serve it yet.
    let error = world.fail(1, "publish 000002.omomi --to store");
    assert!(error.contains("the blessing is stale") && error.contains("serves now (nothing)"), "{error}");
    world.succeed("publish before.omomi --to store --unblessed");
    let said = world.succeed("publish 000002.omomi --to store");
    assert!(said.contains("Published generation 2"), "{said}");
    // The blessing is invalid for another store.
    fs::copy(world.path("000002.blessing.json"), world.path("before.blessing.json")).unwrap();
    let error = world.fail(1, "publish before.omomi --to other");
    assert!(error.contains("the blessing is stale"), "{error}");
    world.succeed("publish before.omomi --to other --unblessed");
}

#[test]
fn a_file_with_doubled_weights_is_held_back_by_every_metric_that_they_spoil() {
    let world = World::new();
    world.pack_changed(
        "doubled",
        |metadata| metadata.weight_rule = metadata.weight_rule.recalibrated(2.0, 0.0),
        |_| true,
    );
    let reasons = reasons(&world, &format!("doubled.omomi --baseline before.omomi {LOGS}"));
    for name in ["calibration", "slice_calibration", "normalized_entropy", "shift"] {
        assert!(names(&reasons).contains(&name), "{name} is not in {reasons:?}");
    }
    assert!(reasons.iter().any(|(_, subject)| subject.as_deref() == Some("format = native")), "{reasons:?}");

    let said = world.omomi(&format!("gate doubled.omomi --baseline before.omomi {LOGS}"));
    let (text, error) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(text.contains("who must act: ml") && text.contains("recalibrate the model"), "{text}");
    assert!(error.contains("doubled.omomi is held back for "), "{error}");
    let error = world.fail(1, "publish doubled.omomi --to store");
    assert!(error.contains("the file has no blessing"), "{error}");
}

#[test]
fn a_file_that_lost_a_field_is_held_back_with_the_name_of_the_field() {
    let world = World::new();
    world.pack_changed("lost", |_| (), |row| row.field != "advertiser_id");
    let arguments = format!("lost.omomi --baseline 000002.omomi {LOGS}");
    let reasons = reasons(&world, &arguments);
    assert!(names(&reasons).contains(&"unseen"), "{reasons:?}");
    let said = String::from_utf8(world.omomi(&format!("gate {arguments}")).stdout).unwrap();
    assert!(said.contains("; most in `advertiser_id`, 100.00 % from "), "{said}");
    assert!(names(&reasons).contains(&"normalized_entropy"), "{reasons:?}");
}

#[test]
fn damage_and_weights_that_are_not_finite_are_held_back_with_their_owners() {
    let world = World::new();
    let bytes = fs::read(world.path("000002.omomi")).unwrap();
    let mut sections = sections_of(&bytes);
    let weights = sections.iter_mut().find(|section| section.kind == SectionKind::Weights.number()).unwrap();
    // Some slot of the first lines has a weight. In a line of f32, weights are in the second half.
    let slot = (32..).step_by(4).find(|at| at % 64 >= 32 && weights.content[*at..at + 4] != [0; 4]).unwrap();
    weights.content[slot..slot + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(world.path("nan.omomi"), assemble(&sections)).unwrap();
    let mut damaged = bytes.clone();
    damaged[5_000] ^= 1;
    fs::write(world.path("damaged.omomi"), damaged).unwrap();
    for (file, name, owner) in [("nan.omomi", "malformed", "ml"), ("damaged.omomi", "damaged", "infra")] {
        let reasons = reasons(&world, &format!("{file} --baseline before.omomi {LOGS}"));
        assert_eq!(names(&reasons), [name], "{file}");
        let said = world.omomi(&format!("gate {file} --baseline before.omomi {LOGS}"));
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(said.contains(&format!("who must act: {owner}")), "{said}");
    }
}

#[test]
fn only_the_first_file_of_a_logic_may_be_declared_first() {
    let world = World::new();
    assert_eq!(names(&reasons(&world, &format!("000002.omomi {LOGS}"))), ["baseline"]);
    assert_eq!(names(&reasons(&world, &format!("000002.omomi {LOGS} --first --baseline before.omomi"))), ["first"]);
    let error = world.fail(1, &format!("gate 000002.omomi {LOGS} --first --store absent"));
    assert!(error.contains("the store absent does not exist"), "{error}");
    fs::create_dir(world.path("empty")).unwrap();
    world.succeed(&format!("gate 000002.omomi {LOGS} --first --store empty"));
    world.succeed("publish before.omomi --to store --unblessed");
    let error = world.fail(1, "publish 000002.omomi --to store");
    assert!(error.contains("the blessing is stale"), "{error}");
    assert_eq!(names(&reasons(&world, &format!("000002.omomi {LOGS} --first --store store"))), ["first"]);
    // The store is lost, but for its files.
    fs::remove_file(world.path("store/current")).unwrap();
    assert_eq!(names(&reasons(&world, &format!("000002.omomi {LOGS} --first --store store"))), ["first"]);
    world.succeed(&format!("gate 000002.omomi {LOGS} --without-baseline lost_in_a_fire --store store"));
    let blessing = fs::read_to_string(world.path("000002.blessing.json")).unwrap();
    assert!(blessing.contains("lost_in_a_fire"), "{blessing}");
    world.succeed("publish 000002.omomi --to store");
    world.succeed(&format!("gate 000002.omomi {LOGS} --first"));
    assert!(world.path("000002.blessing.json").exists());
    // The file is held back now, so it loses its blessing.
    reasons(&world, &format!("000002.omomi {LOGS}"));
    assert!(!world.path("000002.blessing.json").exists());
}

#[test]
fn the_baseline_is_what_the_store_serves_and_a_stuck_pipeline_is_held_back() {
    let world = World::new();
    world.succeed("publish before.omomi --to store --unblessed");
    world.succeed(&format!("gate 000002.omomi {LOGS} --store store"));
    let blessing: Value = serde_json::from_slice(&fs::read(world.path("000002.blessing.json")).unwrap()).unwrap();
    let before = omomi::store::Digest::of(&fs::read(world.path("before.omomi")).unwrap()).to_string();
    assert_eq!(blessing["baseline_digest"], json!(before));
    world.succeed("publish 000002.omomi --to store");

    assert_eq!(names(&reasons(&world, &format!("000002.omomi {LOGS} --store store"))), ["changed"]);
    world.pack_changed("again", |_| (), |_| true);
    assert_eq!(names(&reasons(&world, &format!("again.omomi {LOGS} --store store"))), ["changed"]);
    let baseline = format!("again.omomi {LOGS} --baseline before.omomi --store store");
    assert_eq!(names(&reasons(&world, &baseline)), ["baseline"]);
    // What is served is the pinned generation, once there is one.
    world.succeed("pin 1 store");
    assert!(names(&reasons(&world, &format!("before.omomi {LOGS} --store store"))).contains(&"changed"));
    world.succeed(&format!("gate again.omomi {LOGS} --store store"));
}

#[test]
fn rows_that_a_step_has_learned_do_not_bless() {
    let world = World::new();
    let learned = "gate 000002.omomi --baseline before.omomi --logs logs/part-001.parquet logs/part-002.parquet --json";
    let output = world.omomi(learned);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = said["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == "unlearned_rows").unwrap();
    assert_eq!(check["found"], "20000 of 40000 rows: logs/part-001.parquet by train");
    // A copy is recognized, and so are the rows of recalibration and of pruning.
    fs::copy(world.path("logs/part-001.parquet"), world.path("logs/copy.parquet")).unwrap();
    world.succeed("recalibrate before.parquet --logs logs/copy.parquet --out fitted.parquet --quiet");
    world.succeed(
        "prune fitted.parquet --min-impressions 2 --held-out logs/part-002.parquet --out pruned.parquet --quiet",
    );
    world.pack("logs/contract.toml", "pruned.parquet", 3, "000003.omomi");
    let said = world.succeed_json("evaluate 000003.omomi --logs logs/*.parquet --json -");
    let seen: Vec<_> = said["models"][0]["seen"].as_array().unwrap().iter().map(|seen| seen.to_string()).collect();
    let expected = [
        r#"{"log":"logs/copy.parquet","rows":20000,"steps":["recalibrate"]}"#,
        r#"{"log":"logs/part-000.parquet","rows":20000,"steps":["train"]}"#,
        r#"{"log":"logs/part-001.parquet","rows":20000,"steps":["recalibrate"]}"#,
        r#"{"log":"logs/part-002.parquet","rows":20000,"steps":["prune","pack"]}"#,
    ];
    assert_eq!(seen, expected);
    assert!(
        world.succeed("evaluate 000003.omomi --logs logs/part-002.parquet").contains("by prune and pack; its figures")
    );
}

#[test]
fn too_few_clicks_are_no_verdict() {
    let world = World::new();
    world.succeed("generate-log --rows 1500 --seed 5 --click-rate 0.2 --out few");
    let arguments = "000002.omomi --baseline before.omomi --logs few/*.parquet";
    let error = world.fail(4, &format!("gate {arguments}"));
    assert!(error.contains("cannot tell whether 000002.omomi may be published: about "), "{error}");
    let output = world.omomi(&format!("gate {arguments} --json"));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&said["answer"], &said["passed"]), (&json!("cannot_tell"), &json!(false)));
    assert!(said["more_clicks"].as_u64().unwrap() > 100, "{said}");
    assert!(!world.path("000002.blessing.json").exists());
}

#[test]
fn the_settings_and_the_store_set_the_limits() {
    let world = World::new();
    let arguments = format!("000002.omomi --baseline before.omomi {LOGS}");
    fs::create_dir_all(world.path("store/generations")).unwrap();
    let text = "size_ratio = [1.3, 3.0]\nmax_weight = 0.1\nmin_clicks = 1_000_000\n";
    fs::write(world.path("gate.toml"), text).unwrap();
    let output = world.omomi(&format!("gate {arguments}"));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("gate.toml in the current directory is not read"), "{error}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("Settings: the built-in settings"));
    assert_eq!(names(&reasons(&world, &format!("{arguments} --gate gate.toml"))), ["largest_weight", "size"]);
    world.succeed("publish before.omomi --to store --unblessed");
    fs::rename(world.path("gate.toml"), world.path("store/gate.toml")).unwrap();
    assert_eq!(names(&reasons(&world, &format!("{arguments} --store store"))), ["largest_weight", "size"]);
    let said = String::from_utf8(world.omomi(&format!("gate {arguments} --store store")).stdout).unwrap();
    assert!(said.contains("Settings: store/gate.toml"), "{said}");
    fs::remove_file(world.path("store/gate.toml")).unwrap();
    fs::write(world.path("rows.toml"), "training_rows_ratio = [1.2, 1.9]\n").unwrap();
    assert_eq!(names(&reasons(&world, &format!("{arguments} --gate rows.toml"))), ["training_rows"]);
    fs::write(world.path("wrong.toml"), "max_weight = 1\nmax_shft = 0.1\n").unwrap();
    let error = world.fail(1, &format!("gate {arguments} --gate wrong.toml"));
    assert!(error.contains("wrong.toml has 1 fault") && error.contains("line 2: max_shft: not known"), "{error}");
    let error = world.fail(1, &format!("gate {arguments} --gate absent.toml"));
    assert!(error.contains("absent.toml does not exist"), "{error}");

    world.succeed(&format!("gate {arguments} --store store"));
    fs::write(world.path("store/limits.toml"), "max_bytes = 1000\n").unwrap();
    assert_eq!(names(&reasons(&world, &format!("{arguments} --store store"))), ["store_size"]);
}

#[test]
fn an_existing_evaluation_gives_the_same_blessing_and_only_for_its_own_file() {
    let world = World::new();
    world.succeed(&format!("evaluate 000002.omomi --baseline before.omomi {LOGS} --by-fields --json eval.json"));
    world.succeed(&format!("gate 000002.omomi --baseline before.omomi {LOGS}"));
    let of_logs = fs::read(world.path("000002.blessing.json")).unwrap();
    world.succeed("gate 000002.omomi --evaluation eval.json");
    assert!(fs::read(world.path("000002.blessing.json")).unwrap() == of_logs, "another blessing");
    let error = world.fail(1, "gate before.omomi --evaluation eval.json");
    assert!(error.contains("the evaluation eval.json does not contain before.omomi: expected the digest"), "{error}");
    let error = world.fail(1, "gate absent.omomi --evaluation eval.json");
    assert!(error.contains("absent.omomi"), "{error}");
    fs::write(world.path("not.json"), "{}").unwrap();
    let error = world.fail(1, "gate 000002.omomi --evaluation not.json");
    assert!(error.contains("not.json is not an evaluation"), "{error}");
}

#[test]
fn a_typing_error_is_not_a_verdict() {
    let folder = World::empty();
    for misuse in ["gate", "gate 000002.omomi", "gate 000002.omomi --evaluation a --logs b", "gate x --frist --logs y"]
    {
        folder.fail(2, misuse);
    }
    folder.fail(2, "evaluate 000002.omomi");
    assert!(folder.succeed("gate --help").contains("3: the file is held back"));
}
