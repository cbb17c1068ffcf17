//! Tests the path from logs to scores on the command line, as a user takes it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use omomi::weight_file::layout::SectionKind;
use omomi::{LoadMode, Model};
use serde_json::Value;

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

/// Makes a folder with a generated log of three parts, and a state trained on the first two.
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
fn logs_become_a_weight_file_that_verify_accepts_and_inspect_explains() {
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
    let model = Model::load(folder.join("000001.omomi"), LoadMode::Copy).unwrap();
    assert_eq!((model.logic_id(), model.generation()), ("feed-v1", 1));
    let golden = model.golden_requests().unwrap();
    assert!(golden.iter().map(|golden| golden.rows.candidates.len()).sum::<usize>() >= 24);
    for field in model.contract().fields() {
        let has = |row: &omomi::request::Row| row.contains_key(&field.name);
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
    assert!(error.contains("000001.omomi already exists; weight file names are never reused"), "{error}");
    assert!(bytes == fs::read(folder.join("000001.omomi")).unwrap());
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.starts_with('.')).count(), 0, "temporary files were left behind");
}

#[test]
fn smaller_encodings_report_the_cost_of_rounding_and_it_is_tiny() {
    let folder = trained();
    let folder = folder.path();
    succeed(folder, &format!("{PACK} --generation 1 --out f32.omomi"));
    let weights_len = |name: &str| {
        let model = Model::load(folder.join(name), LoadMode::Copy).unwrap();
        (model.file().section(SectionKind::Weights).len() as f64, model.weight_count())
    };
    let (f32_len, f32_count) = weights_len("f32.omomi");
    for (encoding, max_change, max_share) in [("f16", 1e-4, 5.4 / 8.4), ("i8", 5e-4, 4.4 / 8.4)] {
        let name = format!("{encoding}.omomi");
        let packed = succeed(folder, &format!("{PACK} --generation 1 --encoding {encoding} --out {name}"));
        for words in ["largest rounding error", "mean rounding error", "change of log loss"] {
            assert!(packed.contains(words), "{packed}");
        }
        let model = Model::load(folder.join(&name), LoadMode::Copy).unwrap();
        let said = &model.provenance()["encoding"];
        println!("{encoding}: {said:#}");
        assert_eq!(said["name"], encoding);
        let change = said["log_loss_change"].as_f64().unwrap();
        assert!(change.abs() < max_change, "{said}");
        assert_eq!(said["held_out_rows"], 10_000);
        let (len, count) = weights_len(&name);
        assert_eq!(count + said["rounded_to_zero"].as_u64().unwrap(), f32_count);
        assert!(len / f32_len < max_share * 1.01, "{len} of {f32_len} bytes");
        let inspected = succeed(folder, &format!("inspect {name}"));
        let line = inspected.lines().map(str::trim).find(|line| line.starts_with("encoding")).unwrap();
        assert!(line.contains(encoding), "{line}");
        assert!(succeed(folder, &format!("verify {name}")).contains(&format!("weights in {encoding}")));
        // The same state gives the same bytes in every encoding.
        succeed(folder, &format!("{PACK} --generation 1 --encoding {encoding} --out again-{name}"));
        assert!(fs::read(folder.join(&name)).unwrap() == fs::read(folder.join(format!("again-{name}"))).unwrap());
    }
    let error = omomi(folder, &format!("{PACK} --generation 1 --encoding f8 --out f8.omomi"));
    assert_eq!(error.status.code(), Some(2));
}

#[test]
fn data_sets_trained_separately_are_averaged_in_two_rounds_recalibrated_and_packed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    succeed(folder, "generate-log --rows 30000 --seed 3 --click-rate 0.1 --out logs --files 6");
    let train = "train --contract logs/contract.toml --time-column timestamp --alpha 0.07 --quiet";
    for part in [0, 1] {
        succeed(folder, &format!("{train} --logs logs/part-00{part}.parquet --state {part}.parquet"));
    }
    let averaged = succeed(folder, "average 0.parquet 1.parquet --out first.parquet");
    assert!(averaged.contains("10,000") && averaged.contains("seen by one"), "{averaged}");
    for part in [2, 3] {
        let start = "--start first.parquet --start-shares 2 --decay 0.97 --age-days 1";
        let account =
            succeed(folder, &format!("{train} {start} --logs logs/part-00{part}.parquet --state {part}.parquet"));
        assert!(account.contains("first.parquet (10,000 rows, of which 0.9700 is left"), "{account}");
    }
    let error = fail(folder, "average 2.parquet 3.parquet --out second.parquet");
    assert!(error.contains("name the start state, so that it counts once"), "{error}");
    let averaged = succeed(folder, "average 3.parquet 2.parquet --start first.parquet --out second.parquet");
    assert!(averaged.contains("20,000"), "{averaged}");

    let recalibrate = "recalibrate second.parquet --logs logs/part-004.parquet --out state.parquet";
    let recalibrated = succeed(folder, recalibrate);
    assert!(recalibrated.contains("calibration ratio"), "{recalibrated}");
    assert!(fail(folder, recalibrate).contains("state.parquet exists already"));
    let error = fail(folder, "average state.parquet 0.parquet --out none.parquet");
    assert!(error.contains("state.parquet cannot be averaged: its scale is"), "{error}");
    succeed(folder, &format!("{} --generation 1 --out 1.omomi", PACK.replace("part-002", "part-005")));
    let inspected = succeed(folder, "inspect 1.omomi");
    for part in ["\"recalibrations\"", "\"shards\"", "\"spread\""] {
        assert!(inspected.contains(part), "{part} is not in\n{inspected}");
    }
}

#[test]
fn errors_say_what_is_wrong_and_who_must_act() {
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
    assert!(error.contains("the training state was made with another contract"), "{error}");
    let error = fail(
        folder,
        &PACK.replace("part-002", "part-999").replace("--logic-id", "--generation 2 --out 2.omomi --logic-id"),
    );
    assert!(error.contains("part-999"), "{error}");
    assert!(!folder.join("2.omomi").exists());
}

#[test]
fn bench_measures_every_combination_and_reports_it_as_text_and_json() {
    let folder = trained();
    let folder = folder.path();
    succeed(folder, &format!("{PACK} --generation 1 --out 000001.omomi"));
    const BENCH: &str = "bench 000001.omomi --seconds 0.05 --warm-up-seconds 0 --requests 40 --quiet";
    let text = succeed(folder, &format!("{BENCH} --threads 1,2 --candidates 3,20 --json figures.json"));
    for part in
        ["feed-v1, generation 1", "40 different requests, invented", "equal in all bits", "back to back", "p99.9"]
    {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let figures: Value = serde_json::from_str(&fs::read_to_string(folder.join("figures.json")).unwrap()).unwrap();
    let runs = figures["runs"].as_array().unwrap();
    let order: Vec<_> = runs.iter().map(|run| (run["candidates"].as_u64(), run["threads"].as_u64())).collect();
    assert_eq!(
        order,
        [(3, 1), (3, 2), (20, 1), (20, 2)].map(|(candidates, threads)| (Some(candidates), Some(threads)))
    );
    for run in runs {
        let count = run["requests"].as_u64().unwrap();
        assert!(count > 0 && run["wait_us"].is_null() && run["rate_per_second"].is_null(), "{run}");
        for part in ["latency_us", "request_us", "fill_us", "predict_us", "read_us"] {
            assert_eq!(run[part]["count"].as_u64(), Some(count), "{part} of {run}");
            for quantile in ["p50", "p90", "p99", "p99_9", "max", "mean"] {
                assert!(run[part][quantile].is_number(), "{quantile} of {part}");
            }
        }
        assert!((0.0..1.0).contains(&run["unseen_share"].as_f64().unwrap()), "{run}");
    }

    let prepared = succeed(folder, &format!("{BENCH} --candidates 3 --prepared"));
    for part in ["rows", "prepared", "candidates for the model took"] {
        assert!(prepared.contains(part), "{part} is not in\n{prepared}");
    }

    let at_rate = format!("{BENCH} --logs logs/part-002.parquet --candidates 5 --rate 200,400 --mode copy --json -");
    let figures: Value = serde_json::from_str(&succeed(folder, &at_rate)).unwrap();
    assert_eq!(figures["requests"]["source"], "log");
    assert_eq!(figures["weight_file"]["mode"], "copy");
    for (run, due_count) in figures["runs"].as_array().unwrap().iter().zip([10, 20]) {
        let counts = [&run["requests"], &run["unserved_requests"]].map(|count| count.as_u64().unwrap());
        assert_eq!(counts[0] + counts[1], due_count, "{run}");
        assert_eq!(run["latency_us"]["count"], due_count);
        assert_eq!(run["wait_us"]["count"], due_count);
    }

    let error = fail(folder, &format!("{BENCH} --json figures.json"));
    assert!(error.contains("figures.json exists already"), "{error}");
    for misuse in ["--threads 0", "--candidates 65537", "--rate 0", "--seconds 0", "--mode huge"] {
        let output = omomi(folder, &format!("bench 000001.omomi {misuse}"));
        assert_eq!(output.status.code(), Some(2), "{misuse}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("expected"), "{misuse}");
    }
}
