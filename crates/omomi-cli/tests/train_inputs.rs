//! Inputs of training that once went wrong without a word: pipes that hid what was learned already, start states whose
//! times got lost, outputs that replaced logs, and notations that depended on the format.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output, Stdio};

const CONTRACT: &str = r#"
name = "inputs"
label = "clicked"
[[field]]
name = "site"
side = "context"
type = "text"
meaning = "the site"
"#;

/// Runs `omomi` in `folder`, with this file as standard input. The arguments are separated by spaces.
fn omomi(folder: &Path, arguments: &str, input: Option<&str>) -> Output {
    let input = input.map_or_else(Stdio::null, |name| File::open(folder.join(name)).unwrap().into());
    let mut command = Command::new(env!("CARGO_BIN_EXE_omomi"));
    command.current_dir(folder).args(arguments.split_whitespace()).stdin(input).output().unwrap()
}

#[track_caller]
fn succeed(folder: &Path, arguments: &str, input: Option<&str>) -> String {
    let output = omomi(folder, arguments, input);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "omomi {arguments}\n{error}");
    error
}

#[track_caller]
fn fail(folder: &Path, arguments: &str, input: Option<&str>, expected: &str) {
    let output = omomi(folder, arguments, input);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "omomi {arguments}\n{error}");
    assert!(error.contains(expected), "omomi {arguments}\n{error}");
}

/// Makes a folder with a contract and two CSV logs of `row_count` rows, the second a day after the first.
fn folder(row_count: u32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("c.toml"), CONTRACT).unwrap();
    for (name, day) in [("a.csv", 5), ("b.csv", 6)] {
        let mut log = "time,site,clicked\n".to_owned();
        for row in 0..row_count {
            let (minute, second) = (row / 60 % 60, row % 60);
            let (site, clicked) = (row % 7, u32::from(row % 5 == 0));
            log += &format!("2026-01-0{day}T10:{minute:02}:{second:02}Z,s{site},{clicked}\n");
        }
        fs::write(folder.path().join(name), log).unwrap();
    }
    folder
}

const TRAIN: &str = "train --contract c.toml --quiet --state";

#[test]
fn a_pipe_is_recognized_as_the_log_that_it_is_and_left_without_a_search() {
    let folder = folder(600);
    let folder = folder.path();
    let said = succeed(folder, "train --contract c.toml --state p.parquet --logs -", Some("a.csv"));
    assert!(said.contains("search: left out, because the logs can be read only once"), "{said}");
    let learned = "was learned already";
    fail(folder, &format!("{TRAIN} q.parquet --start p.parquet --logs a.csv"), None, learned);
    fail(folder, &format!("{TRAIN} q.parquet --start p.parquet --logs -"), Some("a.csv"), learned);
    assert!(!folder.join("q.parquet").exists());
    succeed(folder, &format!("{TRAIN} q.parquet --start p.parquet --logs -"), Some("b.csv"));

    fail(folder, "recalibrate p.parquet --logs - --out r.parquet", Some("a.csv"), "was trained on");
    let held_out = "among the held-out logs and among the logs to learn from";
    fail(folder, &format!("{TRAIN} r.parquet --no-search --logs a.csv --held-out -"), Some("a.csv"), held_out);
    fail(folder, &format!("{TRAIN} r.parquet --no-search --logs - a.csv"), Some("a.csv"), "is a copy of");
    assert!(!folder.join("r.parquet").exists());
    fail(folder, "tune --contract c.toml --logs a.csv --held-out a.csv", None, held_out);
}

#[test]
fn a_start_state_keeps_its_times_and_does_not_end_in_the_future() {
    let folder = folder(600);
    let folder = folder.path();
    let train = |state: &str, rest: &str| format!("{TRAIN} {state} --no-search {rest}");
    succeed(folder, &train("a.parquet", "--time-column time --logs a.csv"), None);
    fail(folder, &train("b.parquet", "--start a.parquet --logs b.csv"), None, "this run has no time column");
    succeed(folder, &train("b.parquet", "--start a.parquet --time-column time --logs b.csv"), None);

    let future = fs::read_to_string(folder.join("a.csv")).unwrap().replace("2026-01", "2099-01");
    fs::write(folder.join("future.csv"), future).unwrap();
    succeed(folder, &train("f.parquet", "--time-column time --any-time --logs future.csv"), None);
    let start = "--start f.parquet --time-column time --logs a.csv";
    fail(folder, &train("g.parquet", start), None, "ends in the future");
    succeed(folder, &train("g.parquet", &format!("{start} --any-time")), None);
}

#[test]
fn what_a_start_state_did_otherwise_is_said() {
    let folder = folder(600);
    let folder = folder.path();
    let train = "train --contract c.toml --no-search --state";
    succeed(folder, &format!("{train} a.parquet --last-iterates --logs a.csv"), None);
    let said = omomi(folder, &format!("{train} b.parquet --start a.parquet --logs b.csv"), None);
    let said = String::from_utf8_lossy(&said.stderr).into_owned() + &String::from_utf8_lossy(&said.stdout);
    assert!(said.contains("--last-iterates goes on as before"), "{said}");
}

#[test]
fn no_output_replaces_a_log() {
    let folder = folder(600);
    let folder = folder.path();
    let log = fs::read(folder.join("a.csv")).unwrap();
    succeed(folder, &format!("{TRAIN} s.parquet --no-search --logs a.csv"), None);
    fail(folder, &format!("{TRAIN} a.csv --no-search --force --logs a.csv"), None, "is one of the logs");
    let pack = "pack --contract c.toml --state s.parquet --held-out b.csv --logic-id i --generation 1 --out m.omomi";
    succeed(folder, &format!("{pack} --quiet"), None);
    fail(folder, "predict m.omomi --logs a.csv --out a.csv --force", None, "is one of the logs");
    fail(folder, "predict m.omomi --logs ./a.csv --out a.csv --force", None, "is one of the logs");
    assert_eq!(fs::read(folder.join("a.csv")).unwrap(), log);
}

/// Returns how many clicks and which categories a run has learned.
fn learned(folder: &Path, reading: &str, log: &str) -> (u64, Vec<String>) {
    let contract = CONTRACT.replace("label = \"clicked\"", &format!("label = \"clicked\"\n{reading}"));
    fs::write(folder.join("own.toml"), contract).unwrap();
    succeed(
        folder,
        &format!("train --contract own.toml --no-search --quiet --force --state own.parquet --logs {log}"),
        None,
    );
    let mut state = omomi_train::learn::state::StateReader::open(folder.join("own.parquet")).unwrap();
    let (mut clicks, mut categories) = (0, Vec::new());
    while let Some(batch) = state.next_batch().unwrap() {
        for row in batch.rows() {
            if row.is_bias() {
                clicks = row.clicks;
            } else if !row.is_default() {
                categories.push(row.category.to_owned());
            }
        }
    }
    categories.sort();
    (clicks, categories)
}

#[test]
fn labels_of_the_contract_come_first_in_text_and_in_numbers() {
    let folder = folder(10);
    let folder = folder.path();
    fs::write(folder.join("l.csv"), "site,clicked\nx,1\ny,1\nz,1\nw,2\n").unwrap();
    let lines = ["x", "y", "z"].map(|site| format!("{{\"site\":\"{site}\",\"clicked\":1}}\n")).concat();
    fs::write(folder.join("l.jsonl"), lines + "{\"site\":\"w\",\"clicked\":2}\n").unwrap();
    for log in ["l.csv", "l.jsonl"] {
        let reading = "[reading]\nclicked = [\"2\"]\nnot_clicked = [\"1\"]";
        assert_eq!(learned(folder, reading, log).0, 1, "{log}");
    }
}

#[test]
fn a_record_that_is_no_object_is_a_bad_row() {
    let folder = folder(10);
    let folder = folder.path();
    let contract = CONTRACT.replace("name = \"site\"", "name = \"site\"\ncolumn = \"page.site\"");
    fs::write(folder.join("nested.toml"), contract).unwrap();
    let good = "{\"page\":{\"site\":\"x\"},\"clicked\":1}\n{\"page\":null,\"clicked\":0}\n{\"clicked\":0}\n";
    let train = "train --contract nested.toml --no-search --quiet --force --state n.parquet --logs n.jsonl";
    fs::write(folder.join("n.jsonl"), good).unwrap();
    succeed(folder, train, None);
    for found in ["\"{}\"", "[{\"site\":\"x\"}]", "1", "true", "1.5"] {
        fs::write(folder.join("n.jsonl"), format!("{good}{{\"page\":{found},\"clicked\":0}}\n")).unwrap();
        fail(folder, train, None, "expected an object with this member");
    }
}
