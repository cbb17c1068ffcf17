//! Checks whether memory grows with the number of rows: trains on a log once, and on ten copies of it under other
//! names.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Trains on `copies` of `log` in a process. Returns its peak memory in bytes, and the number of features.
pub fn peak(contract: &Path, log: &Path, folder: &Path, copies: u32, extra: &[&str]) -> (u64, u64) {
    let logs = folder.join(format!("copies-{copies}"));
    fs::create_dir_all(&logs).expect("room");
    for copy in 0..copies {
        let name = logs.join(format!("{copy:03}.parquet"));
        if !name.exists() {
            fs::hard_link(log, name).expect("a file system with links");
        }
    }
    let state = folder.join("memory.parquet");
    let output = Command::new(env!("CARGO_BIN_EXE_omomi"))
        .args(["train", "--quiet", "--force", "--contract"])
        .arg(contract)
        .arg("--logs")
        .arg(logs.join("*.parquet"))
        .arg("--state")
        .arg(&state)
        .args(extra)
        .output()
        .expect("the program that was built with this bench");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let provenance = fs::read(folder.join("memory.provenance.json")).expect("a provenance");
    let provenance: Value = serde_json::from_slice(&provenance).expect("JSON");
    let number = |name: &str| provenance[name].as_u64().unwrap_or_else(|| panic!("{name}: {}", provenance[name]));
    (number("peak_memory_bytes"), number("features"))
}
