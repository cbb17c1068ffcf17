//! The report, from made-up inputs: what it says without a browser, and how it looks in one.

mod made_up;

use std::path::PathBuf;

#[test]
fn draft() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("report-draft");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let inputs = made_up::inputs(&folder);
    omomi::report::write(&inputs, &folder.join("report.html")).unwrap();
    println!("{}", folder.display());
}
