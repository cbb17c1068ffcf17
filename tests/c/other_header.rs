//! A client that was compiled with the header of another release, whose structs are shorter or longer.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::compiler::{Dialect, Linkage, compile_client_with, include_folder, run};
use crate::fixture::Fixture;

/// The structs that may grow, and the first member that the older header lacks.
const GROWING: [(&str, Option<&str>); 9] = [
    ("OmomiError", None),
    ("OmomiOpenOptions", None),
    ("OmomiModelInfo", Some("weight_count")),
    ("OmomiField", Some("unit")),
    ("OmomiLayoutOptions", Some("model_count")),
    ("OmomiExplanation", Some("bias")),
    ("OmomiLiveOptions", Some("contract_fingerprints")),
    ("OmomiLiveStatus", Some("mapped_bytes")),
    ("OmomiLiveMetrics", Some("latency_sum_ns")),
];

/// Returns the end of the members of a struct, and their start.
fn members(header: &str, name: &str) -> (usize, usize) {
    let end = header.find(&format!("}} {name};\n")).unwrap();
    (header[..end].rfind("typedef struct {\n").unwrap(), end)
}

fn older_header() -> String {
    let mut header = std::fs::read_to_string(include_folder().join("omomi.h")).unwrap();
    let capacity = "#define OMOMI_MESSAGE_CAPACITY_BYTES 1024";
    assert!(header.contains(capacity));
    header = header.replace(capacity, "#define OMOMI_MESSAGE_CAPACITY_BYTES 200");
    let sets = "  field.unit = unit;\n  field.range_min = range_min;\n  field.range_max = range_max;\n";
    assert!(header.contains(sets));
    header = header.replace(sets, "  (void)unit, (void)range_min, (void)range_max;\n");
    for (name, first_later) in GROWING {
        let Some(first_later) = first_later else { continue };
        let (start, end) = members(&header, name);
        let is_member = |line: &str| {
            !line.trim_start().starts_with("///")
                && line
                    .split(|character: char| !character.is_alphanumeric() && character != '_')
                    .any(|it| it == first_later)
        };
        let kept: String = header[start..end].split_inclusive('\n').take_while(|line| !is_member(line)).collect();
        assert!(start + kept.len() < end, "{name} has no {first_later}");
        header.replace_range(start..end, &kept);
    }
    header
}

fn newer_header() -> String {
    let mut header = std::fs::read_to_string(include_folder().join("omomi.h")).unwrap();
    for (name, _) in GROWING {
        let (_, end) = members(&header, name);
        header.insert_str(end, "  uint64_t later;\n");
    }
    header
}

/// Compiles the client with a header, and runs it.
fn said(header: &str, arguments: &[&str]) -> String {
    let fixture = Fixture::new();
    let include: PathBuf = fixture.path("include");
    std::fs::create_dir(&include).unwrap();
    std::fs::write(include.join("omomi.h"), header).unwrap();
    let program = fixture.path("other-header");
    let include = format!("-I{}", include.display());
    let arguments: Vec<&str> =
        [include.as_str(), "-Wno-missing-field-initializers"].into_iter().chain(arguments.iter().copied()).collect();
    compile_client_with(Dialect::C99, "other_header.c", Linkage::Shared, Path::new(&program), &arguments);
    run(Command::new(program).arg(fixture.path("small.omomi")).arg(fixture.path("store")))
}

#[test]
fn a_client_of_an_older_header_with_shorter_structs_is_answered() {
    assert_eq!(said(&older_header(), &[]), "error of 216 bytes, options of 80 bytes\n");
}

#[test]
fn a_client_of_a_newer_header_is_answered_unless_it_sets_what_the_library_does_not_know() {
    assert_eq!(said(&newer_header(), &["-DNEWER"]), "error of 1048 bytes, options of 160 bytes\n");
}
