//! Checks that the library exports exactly the names in `exported_symbols.txt`: those of `include/omomi.h` and the
//! native methods of the JVM bindings.

use std::path::Path;
use std::process::Command;

use crate::compiler::run;
use crate::header::inline_functions;
use crate::library::shared_library;

/// Reads the names of the list. Lines that begin with `#` are comments.
fn listed() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/exported_symbols.txt");
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
#[cfg(target_os = "linux")]
fn the_library_exports_exactly_the_listed_names() {
    let output = run(Command::new("nm").args(["-D", "--defined-only"]).arg(shared_library()));
    let mut exported: Vec<_> = output.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
    exported.sort_unstable();
    let mut listed = listed();
    listed.sort_unstable();
    let missing: Vec<_> = listed.iter().filter(|name| !exported.contains(&name.as_str())).collect();
    let extra: Vec<_> = exported.iter().filter(|name| !listed.iter().any(|listed| listed == *name)).collect();
    assert!(
        missing.is_empty() && extra.is_empty(),
        "listed in tests/c/exported_symbols.txt but not exported: {missing:#?}; exported but not listed: {extra:#?}"
    );
}

#[test]
fn the_header_declares_every_listed_c_function() {
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/omomi.h");
    let header = std::fs::read_to_string(header).unwrap();
    for name in listed().iter().filter(|name| name.starts_with("omomi_")) {
        assert!(header.contains(&format!("{name}(")), "{name}");
    }
}

/// For callers that load the library and compile no C.
#[test]
fn every_inline_function_has_an_exported_twin() {
    let listed = listed();
    let missing: Vec<String> =
        inline_functions().into_iter().filter(|name| !listed.iter().any(|listed| listed == name)).collect();
    assert!(
        missing.is_empty(),
        "write twins in src/capi/twins, compare them in tests/c/twins.c, and list {missing:#?}"
    );
    let twins = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/twins.c")).unwrap();
    for name in inline_functions() {
        assert!(twins.contains(&format!("FIND({name})")), "tests/c/twins.c does not compare {name}");
    }
}
