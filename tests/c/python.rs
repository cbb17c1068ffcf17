//! Runs Python programs that use the library without a C program: through ctypes, and through cffi.

use std::path::Path;
use std::process::Command;

use crate::compiler::{Dialect, Linkage, compile_client, include_folder, run};
use crate::library::shared_library;

const WEIGHT_FILE: &str = "examples/generated-ctr.omomi";

/// A script of `tests/c/python`, unless Python or one of these modules is missing.
fn script(name: &str, modules: &[&str]) -> Option<Command> {
    for module in modules {
        let found = Command::new("python3").args(["-c", &format!("import {module}")]).output();
        if !found.is_ok_and(|output| output.status.success()) {
            eprintln!("SKIPPED: there is no python3 with the module {module} on the path to run {name} with");
            return None;
        }
    }
    let mut command = Command::new("python3");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/python").join(name));
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUTF8", "1");
    Some(command)
}

/// Returns what the example in C prints.
fn said_by_c(folder: &Path) -> String {
    let program = folder.join("score_one_file");
    compile_client(Dialect::C99, "../../examples/score_one_file.c", Linkage::Shared, &program);
    run(Command::new(program).arg(WEIGHT_FILE))
}

#[test]
fn a_ctypes_program_gets_the_answers_of_the_c_program() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut ctypes) = script("with_ctypes.py", &["ctypes"]) else { return };
    assert_eq!(run(ctypes.arg(shared_library()).arg(WEIGHT_FILE)), said_by_c(folder.path()));
}

#[test]
fn a_cffi_program_gets_the_answers_of_the_c_program() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut cffi) = script("with_cffi.py", &["cffi", "setuptools"]) else { return };
    cffi.arg(include_folder()).arg(shared_library()).arg(WEIGHT_FILE).arg(folder.path());
    assert_eq!(run(&mut cffi), said_by_c(folder.path()));
}
