//! Tests `omomi ab` and `omomi counterfactual` as a user runs them: over logs that the library wrote, over made-up
//! logs, and against the definitions in Python.

mod bad_input;
mod choices;
mod file;
mod read_out;
mod users;
#[path = "../log/world.rs"]
#[allow(dead_code, reason = "shared with the tests of the log, which use more of it")]
mod world;

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Runs the reference in Python, and returns what it printed. Without Python, prints a message and returns nothing.
fn reference(folder: &Path, words: &str) -> Option<Value> {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference");
    let output = Command::new("python3")
        .arg(reference.join("read_out.py"))
        .args(words.split(' '))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(folder)
        .output();
    let Ok(output) = output else {
        eprintln!("SKIPPED: there is no python3 on the path to run the reference with");
        return None;
    };
    assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// Asserts that an estimate is the mean and the reach that the reference computed.
fn assert_same(what: &str, estimate: &Value, reference: &Value) {
    let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("{what}: {value}"));
    let (value, low) = (number(&estimate["value"]), number(&estimate["low"]));
    for (found, expected) in [(value, number(&reference[0])), (value - low, number(&reference[1]))] {
        assert!((found - expected).abs() <= 1e-9 * expected.abs().max(1e-3), "{what}: {found}, not {expected}");
    }
}
