//! `omomi preflight`, through the library of this build and over JNI.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::tools::Project;

const CONTRACT: &str = include_str!("../../../omomi-train/src/operate/contract_of_tests.toml");

/// A project with a small weight file.
fn with_file() -> Project {
    let project = Project::new();
    project.write("small.toml", CONTRACT);
    project.write("weights.toml", "bias = -1.5\n");
    project.succeed("fixture --contract small.toml --weights weights.toml --logic-id a --generation 7 --out 7.omomi");
    project
}

/// The shared library that this build made, if it did. To build it here would replace what other tests link.
fn library() -> Option<PathBuf> {
    let library = Path::new(env!("CARGO_BIN_EXE_omomi")).parent()?.join("deps/libomomi.so");
    library.exists().then_some(library)
}

#[test]
fn a_file_is_loaded_by_this_program_and_limits_hold_it_back() {
    let project = with_file();
    let said: serde_json::Value = serde_json::from_str(&project.succeed("preflight 7.omomi --json")).unwrap();
    assert_eq!(said["passed"], true);
    assert_eq!(said["loaded"][0]["generation"], 7);
    assert!(said["loaded"][0]["peak_memory_bytes"].as_u64().unwrap() > 1_000_000);
    let (_, said) = project.exit("preflight 7.omomi --max-memory 1MB", 3);
    assert!(said.contains("expected at most 1.0 MB of memory"), "{said}");
    let (_, said) = project.exit("preflight 7.omomi --library none.so", 1);
    assert!(said.contains("none.so cannot be loaded"), "{said}");
    // A library that is none of ours.
    let (_, said) = project.exit("preflight 7.omomi --library /lib/x86_64-linux-gnu/libm.so.6", 1);
    assert!(said.contains("has no function omomi_abi_version") || said.contains("cannot be loaded"), "{said}");
}

#[test]
fn damage_is_found_through_every_library() {
    let project = with_file();
    let mut bytes = std::fs::read(project.path("7.omomi")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(project.path("damaged.omomi"), bytes).unwrap();
    project.exit("preflight damaged.omomi", 1);
    let Some(library) = library() else { return };
    let library = library.display();
    let said = project.succeed(&format!("preflight 7.omomi --library {library}"));
    assert!(said.contains("libomomi.so"), "{said}");
    let (_, said) = project.exit(&format!("preflight damaged.omomi --library {library}"), 1);
    assert!(said.contains("the file was not loaded"), "{said}");
}

/// Compiles the Java API. Its classes are used in place of the jar.
fn classes(project: &Project) -> Option<PathBuf> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../jvm-bindings/core/src/main/java/io/omomi");
    let files = sources.read_dir().ok()?.map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|it| it == "java"));
    // Annotations that only compilers read.
    let annotations = ["NullMarked", "Nullable"].map(|name| {
        let path = project.path(&format!("{name}.java"));
        let target = if name == "Nullable" { "@Target(ElementType.TYPE_USE) " } else { "" };
        let code = format!(
            "package org.jspecify.annotations; import java.lang.annotation.*; {target}public @interface {name} {{}}"
        );
        std::fs::write(&path, code).unwrap();
        path
    });
    let classes = project.path("classes");
    let status = Command::new("javac").arg("-d").arg(&classes).args(files).args(annotations).status();
    match status {
        Ok(status) => {
            assert!(status.success());
            Some(classes)
        }
        Err(error) => {
            eprintln!("skipped: there is no javac: {error}");
            None
        }
    }
}

#[test]
fn a_file_is_loaded_over_jni() {
    let project = with_file();
    let (Some(library), Some(classes)) = (library(), classes(&project)) else { return };
    let jar = format!("--jar {} --jni-library {}", classes.display(), library.display());
    let said: serde_json::Value =
        serde_json::from_str(&project.succeed(&format!("preflight 7.omomi --json {jar}"))).unwrap();
    assert_eq!(said["loaded"][0]["generation"], 7);
    std::fs::write(project.path("cut.omomi"), &std::fs::read(project.path("7.omomi")).unwrap()[..100]).unwrap();
    let (_, said) = project.exit(&format!("preflight cut.omomi {jar}"), 1);
    assert!(said.contains("OmomiException"), "{said}");
}
