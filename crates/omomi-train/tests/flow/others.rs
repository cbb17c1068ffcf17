//! The corpus in two other interpreters: the parser of moto, and MiniStack. Both are programs in Python.
//!
//! `others.json` lists where they differ from what the flows must do, each with the reason. A difference that is not
//! listed fails the test, and so does one that no longer occurs. `OMOMI_BLESS=1` writes the list; reasons are added by
//! hand. The first run installs the interpreters into a folder of the build. Where that is not possible, the test says
//! so and passes.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use omomi_train::flow::Failure;
use omomi_train::flow::execution::Outcome;
use serde_json::{Value, json};

use crate::corpus::{all, folder, summary};

/// What is installed. Another version needs another folder.
const PACKAGES: [&str; 2] = ["moto[stepfunctions,ecs]==5.2.5", "ministack==1.5.33"];
const FOLDER: &str = "interpreters-moto-5.2.5-ministack-1.5.33";
const LIST: &str = "tests/flow/others.json";

/// Installs the interpreters, unless an earlier run did.
fn installed() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(FOLDER);
    let (python, complete) = (folder.join("bin/python3"), folder.join("complete"));
    let words = |error: std::io::Error| error.to_string();
    let lock = std::fs::File::create(folder.with_extension("lock")).map_err(words)?;
    lock.lock().map_err(words)?;
    if complete.exists() {
        return Ok(python);
    }
    let run = |program: &OsStr, arguments: &[&OsStr]| {
        let output = Command::new(program).args(arguments).output().map_err(words)?;
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().last().unwrap_or_default();
        if output.status.success() { Ok(()) } else { Err(format!("{}: {last}", program.display())) }
    };
    run("python3".as_ref(), &["-m".as_ref(), "venv".as_ref(), folder.as_ref()])?;
    let install = ["-m", "pip", "install", "--quiet", PACKAGES[0], PACKAGES[1]].map(OsStr::new);
    run(python.as_ref(), &install)?;
    std::fs::write(complete, "").map_err(words)?;
    Ok(python)
}

/// What an interpreter does with each flow.
fn answers(python: &Path, interpreter: &str) -> BTreeMap<String, Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/flow/others.py");
    let output = Command::new(python).arg(script).arg(interpreter).arg(folder()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let found = said.lines().find_map(|line| line.strip_prefix("ANSWERS "));
    let found = found.unwrap_or_else(|| panic!("{interpreter}: {}", String::from_utf8_lossy(&output.stderr)));
    let answers: BTreeMap<String, Value> = serde_json::from_str(found).unwrap();
    let of = |(name, answer): (String, Value)| {
        let case = all().into_iter().find(|case| case.name == name).unwrap();
        if answer["refused"].is_string() {
            return (name, answer);
        }
        let entered: Vec<String> = serde_json::from_value(answer["entered"].clone()).unwrap();
        let calls = serde_json::from_value(answer["calls"].clone()).unwrap();
        let outcome = match answer["error"].as_str() {
            Some(error) => Outcome::Failed(Failure { error: error.to_owned(), cause: String::new() }),
            None => Outcome::Succeeded(answer["output"].clone()),
        };
        (name, summary(&case.file["definition"], &outcome, &entered, &calls))
    };
    answers.into_iter().map(of).collect()
}

#[test]
fn other_interpreters_do_the_same_except_for_their_known_faults() {
    let python = match installed() {
        Ok(python) => python,
        Err(problem) => {
            eprintln!(
                "skipped: moto and MiniStack cannot be installed, which needs python3 with venv, and pip: {problem}"
            );
            return;
        }
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(LIST);
    let mut listed: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let is_blessed = std::env::var_os("OMOMI_BLESS").is_some();
    let mut differences = Vec::new();
    for interpreter in ["moto", "ministack"] {
        let (answers, mut faults) = (answers(&python, interpreter), serde_json::Map::new());
        assert_eq!(answers.len(), all().len());
        for case in all() {
            let (found, known) = (&answers[&case.name], &listed[interpreter][&case.name]);
            let is_equal = *found == case.file["expected"];
            if !is_equal {
                faults.insert(case.name.clone(), json!({ "reason": known["reason"], "found": found }));
            }
            if is_equal && !known.is_null() {
                differences.push(format!("{interpreter}, {}: the listed fault does not occur any more", case.name));
            } else if !is_equal && (known["found"] != *found || !known["reason"].is_string()) {
                let expected = &case.file["expected"];
                differences.push(format!("{interpreter}, {}: expected {expected}, found {found}", case.name));
            }
        }
        if is_blessed {
            listed[interpreter] = Value::Object(faults);
        }
    }
    if is_blessed {
        std::fs::write(path, serde_json::to_string_pretty(&listed).unwrap() + "\n").unwrap();
    }
    assert!(differences.is_empty() || is_blessed, "{}", differences.join("\n"));
}
