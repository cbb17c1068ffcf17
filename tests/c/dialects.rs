//! The header compiles in every dialect, with every compiler of this machine, with nearly all their warnings as errors;
//! and so does a program that calls each inline function.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::compiler::{include_folder, run};
use crate::header::inline_functions;

const C: [&[&str]; 4] = [&["c99"], &["c11"], &["c17", "c18"], &["c23", "c2x"]];
const CPP: [&[&str]; 5] = [&["c++11"], &["c++14"], &["c++17"], &["c++20", "c++2a"], &["c++23", "c++2b"]];

const WARNINGS: [&str; 18] = [
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Wconversion",
    "-Wsign-conversion",
    "-Wshadow",
    "-Wcast-qual",
    "-Wcast-align",
    "-Wundef",
    "-Wformat=2",
    "-Wdouble-promotion",
    "-Wredundant-decls",
    "-Wwrite-strings",
    "-Wfloat-equal",
    "-Wmissing-declarations",
    "-Wstrict-overflow=2",
    "-Wvla",
    "-Wswitch-enum",
];
const C_WARNINGS: [&str; 6] = [
    "-Wstrict-prototypes",
    "-Wmissing-prototypes",
    "-Wold-style-definition",
    "-Wbad-function-cast",
    "-Wc++-compat",
    "-Wdeclaration-after-statement",
];
const CPP_WARNINGS: [&str; 2] = ["-Wold-style-cast", "-Wzero-as-null-pointer-constant"];
const GCC_WARNINGS: [&str; 3] = ["-Wlogical-op", "-Wduplicated-cond", "-Wtrampolines"];

/// What `-Weverything` finds and no caller needs to hear.
const CLANG_WARNINGS: [&str; 9] = [
    "-Weverything",
    // Structs of a C ABI have holes.
    "-Wno-padded",
    // C has no arrays that know their length.
    "-Wno-unsafe-buffer-usage",
    // Older standards than those that are promised: `//` and `long long` are in C99 and C++11.
    "-Wno-c++98-compat",
    "-Wno-c++98-compat-pedantic",
    "-Wno-long-long",
    // The comments are for people.
    "-Wno-documentation",
    "-Wno-documentation-unknown-command",
    // A name of a later clang is not an error in an older one.
    "-Wno-unknown-warning-option",
];

fn is_there(compiler: &str) -> bool {
    let is_there = Command::new(compiler).arg("--version").output().is_ok_and(|output| output.status.success());
    if !is_there {
        eprintln!("SKIPPED: there is no {compiler} on the path to compile the header with");
    }
    is_there
}

/// Returns the option for a standard, by the first of its names that the compiler knows.
fn standard(compiler: &str, names: &[&str]) -> Option<String> {
    let is_known = |option: &String| {
        let language = if names[0].contains('+') { "c++" } else { "c" };
        let mut command = Command::new(compiler);
        command.args([option.as_str(), "-fsyntax-only", "-x", language, "/dev/null"]);
        command.output().is_ok_and(|output| output.status.success())
    };
    let known = names.iter().map(|name| format!("-std={name}")).find(is_known);
    if known.is_none() {
        eprintln!("SKIPPED: {compiler} does not know {}", names[0]);
    }
    known
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/every_inline_function.c")
}

/// A compiler with all its warnings as errors.
fn strict(compiler: &str, language: &str, standard: &str) -> Command {
    let mut command = Command::new(compiler);
    command.args([standard, "-Werror"]).args(WARNINGS);
    match language {
        "c" => command.args(C_WARNINGS),
        _ => command.args(CPP_WARNINGS),
    };
    if compiler.starts_with("clang") {
        command.args(CLANG_WARNINGS)
    } else {
        command.args(GCC_WARNINGS)
    };
    command.arg("-I").arg(include_folder()).args(["-x", language]).arg(source());
    command
}

fn assert_compiles_everywhere(compilers: [(&str, &str); 2], standards: &[&[&str]]) {
    for (compiler, language) in compilers {
        if !is_there(compiler) {
            continue;
        }
        let known: Vec<String> = standards.iter().filter_map(|names| standard(compiler, names)).collect();
        assert!(known.len() >= 2, "{compiler} knows only {known:?}");
        for standard in &known {
            run(strict(compiler, language, standard).arg("-fsyntax-only"));
        }
        // Some warnings need the optimizer.
        let mut command = strict(compiler, language, &known[1]);
        run(command.args(["-O2", "-c", "-o", "/dev/null"]));
    }
}

#[test]
fn c_compilers_have_no_warning_for_the_header() {
    assert_compiles_everywhere([("gcc", "c"), ("clang", "c")], &C);
}

#[test]
fn cpp_compilers_have_no_warning_for_the_header() {
    assert_compiles_everywhere([("g++", "c++"), ("clang++", "c++")], &CPP);
}

#[test]
fn the_program_calls_every_inline_function() {
    let program = std::fs::read_to_string(source()).unwrap();
    for name in inline_functions() {
        let is_called = program.contains(&format!("{name}("));
        // The macro for literals calls it.
        assert!(is_called || name == "omomi_text_of", "{name}");
    }
}
