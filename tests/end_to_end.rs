//! The way from logs to scores on the command line, as a user walks it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use omomi::weight_file::layout::SectionKind;
use omomi::{LoadMode, Model};

fn omomi(folder: &Path, arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_omomi"))
        .current_dir(folder)
        .args(arguments.split_whitespace())
        .output()
        .expect("the binary was built with this test")
}

fn succeed(folder: &Path, arguments: &str) -> String {
    let output = omomi(folder, arguments);
    assert!(output.status.success(), "omomi {arguments}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn fail(folder: &Path, arguments: &str) -> String {
    let output = omomi(folder, arguments);
    assert_eq!(output.status.code(), Some(1), "omomi {arguments}");
    String::from_utf8(output.stderr).unwrap()
}

const PACK: &str =
    "pack --contract logs/contract.toml --state state.parquet --held-out logs/part-002.parquet --logic-id feed-v1";

/// A folder with a generated log of three parts, and a state trained on the first two.
fn trained() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    succeed(folder.path(), "generate-log --rows 30000 --seed 3 --click-rate 0.1 --out logs --files 3");
    let account = succeed(
        folder.path(),
        "train --contract logs/contract.toml --logs logs/part-000.parquet logs/part-001.parquet \
         --held-out logs/part-002.parquet --time-column timestamp --state state.parquet --quiet",
    );
    assert!(account.contains("normalized entropy"), "{account}");
    folder
}

#[test]
fn logs_become_a_weight_file_that_verifies_and_explains_itself() {
    let folder = trained();
    let folder = folder.path();
    let packed = succeed(folder, &format!("{PACK} --generation 1 --out 000001.omomi"));
    assert!(packed.contains("Verified and read-only: 000001.omomi"), "{packed}");
    let verified = succeed(folder, "verify 000001.omomi");
    assert!(verified.contains("all bits equal"), "{verified}");
    let inspected = succeed(folder, "inspect 000001.omomi --state state.parquet --largest 3");
    for part in ["feed-v1", "golden requests", "segment*category", "training_window", "largest weights", "impressions"]
    {
        assert!(inspected.contains(part), "{part} is not in\n{inspected}");
    }
    let model = Model::load(&folder.join("000001.omomi"), LoadMode::Copy).unwrap();
    assert_eq!((model.logic_id(), model.generation()), ("feed-v1", 1));
    let golden = model.golden_requests().unwrap();
    assert!(golden.len() >= 32);
    for field in model.contract().fields() {
        let has = |row: &omomi::value::Row| row.contains_key(&field.name);
        let rows = || golden.iter().flat_map(|golden| golden.rows.candidates.iter().chain([&golden.rows.context]));
        assert!(rows().any(has), "no golden request has a value of {}", field.name);
    }
    assert!(fs::metadata(folder.join("000001.omomi")).unwrap().permissions().readonly());
}

#[test]
fn the_same_state_packs_to_the_same_bytes_and_a_name_is_never_used_twice() {
    let folder = trained();
    let folder = folder.path();
    succeed(folder, &format!("{PACK} --generation 1 --out 000001.omomi"));
    succeed(folder, &format!("{PACK} --generation 1 --out again.omomi"));
    let bytes = fs::read(folder.join("000001.omomi")).unwrap();
    assert!(bytes == fs::read(folder.join("again.omomi")).unwrap(), "the bytes differ");
    let error = fail(folder, &format!("{PACK} --generation 2 --out 000001.omomi"));
    assert!(error.contains("000001.omomi exists already; a weight file's name is never used twice"), "{error}");
    assert!(bytes == fs::read(folder.join("000001.omomi")).unwrap());
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.starts_with('.')).count(), 0, "temporary files were left behind");
}

#[test]
fn smaller_encodings_say_what_rounding_costs_and_it_is_next_to_nothing() {
    let folder = trained();
    let folder = folder.path();
    succeed(folder, &format!("{PACK} --generation 1 --out f32.omomi"));
    let weights_len = |name: &str| {
        let model = Model::load(&folder.join(name), LoadMode::Copy).unwrap();
        (model.file().section(SectionKind::Weights).len() as f64, model.weight_count())
    };
    let (f32_len, f32_count) = weights_len("f32.omomi");
    for (encoding, most_change, most_share) in [("f16", 1e-4, 5.4 / 8.4), ("i8", 5e-4, 4.4 / 8.4)] {
        let name = format!("{encoding}.omomi");
        let packed = succeed(folder, &format!("{PACK} --generation 1 --encoding {encoding} --out {name}"));
        for words in ["largest rounding error", "mean rounding error", "change of log loss"] {
            assert!(packed.contains(words), "{packed}");
        }
        let model = Model::load(&folder.join(&name), LoadMode::Copy).unwrap();
        let said = &model.provenance()["encoding"];
        println!("{encoding}: {said:#}");
        assert_eq!(said["name"], encoding);
        let change = said["log_loss_change"].as_f64().unwrap();
        assert!(change.abs() < most_change, "{said}");
        assert_eq!(said["held_out_rows"], 10_000);
        let (len, count) = weights_len(&name);
        assert_eq!(count + said["rounded_to_zero"].as_u64().unwrap(), f32_count);
        assert!(len / f32_len < most_share * 1.01, "{len} of {f32_len} bytes");
        let inspected = succeed(folder, &format!("inspect {name}"));
        let line = inspected.lines().map(str::trim).find(|line| line.starts_with("encoding")).unwrap();
        assert!(line.contains(encoding), "{line}");
        assert!(succeed(folder, &format!("verify {name}")).contains(&format!("weights in {encoding}")));
        // The same state gives the same bytes here too.
        succeed(folder, &format!("{PACK} --generation 1 --encoding {encoding} --out again-{name}"));
        assert!(fs::read(folder.join(&name)).unwrap() == fs::read(folder.join(format!("again-{name}"))).unwrap());
    }
    let error = omomi(folder, &format!("{PACK} --generation 1 --encoding f8 --out f8.omomi"));
    assert_eq!(error.status.code(), Some(2));
}

#[test]
fn what_is_wrong_is_said_with_who_must_act() {
    let folder = trained();
    let folder = folder.path();
    succeed(folder, &format!("{PACK} --generation 1 --out 000001.omomi"));
    let mut bytes = fs::read(folder.join("000001.omomi")).unwrap();
    bytes.truncate(5_000);
    fs::write(folder.join("half.omomi"), &bytes).unwrap();
    for command in ["verify", "inspect"] {
        let error = fail(folder, &format!("{command} half.omomi"));
        assert!(
            error.contains("the weight file is truncated: expected") && error.contains("who must act: infra"),
            "{error}"
        );
    }
    fs::write(
        folder.join("other.toml"),
        fs::read_to_string(folder.join("logs/contract.toml")).unwrap().replacen("name = \"", "name = \"x", 1),
    )
    .unwrap();
    let error = fail(
        folder,
        &PACK
            .replace("logs/contract.toml", "other.toml")
            .replace("--logic-id", "--generation 2 --out 2.omomi --logic-id"),
    );
    assert!(error.contains("the training state was made under the contract"), "{error}");
    let error = fail(
        folder,
        &PACK.replace("part-002", "part-999").replace("--logic-id", "--generation 2 --out 2.omomi --logic-id"),
    );
    assert!(error.contains("part-999"), "{error}");
    assert!(!folder.join("2.omomi").exists());
}
