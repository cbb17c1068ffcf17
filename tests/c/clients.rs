//! Runs C and C++ programs with the library of this build.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::compiler::{Dialect, Linkage, compile_client, run};
use crate::fixture::{Fixture, trained};

/// Compiles a client of `tests/c` into the fixture's folder.
fn client(fixture: &Fixture, dialect: Dialect, source: &str, linkage: Linkage) -> PathBuf {
    let program = fixture.path(&format!("{dialect:?}-{linkage:?}-{}", source.replace('.', "-")));
    compile_client(dialect, source, linkage, &program);
    program
}

#[test]
fn c_clients_get_the_bits_that_rust_gets() {
    let fixture = Fixture::new();
    assert_requests_are_answered(&fixture, Dialect::C99, "golden.c", Linkage::Shared, 6);
    assert_requests_are_answered(&fixture, Dialect::C11, "golden.c", Linkage::Static, 6);
}

#[test]
fn a_cpp_client_gets_the_bits_that_rust_gets() {
    assert_requests_are_answered(&Fixture::new(), Dialect::Cpp17, "golden.cpp", Linkage::Shared, 3);
}

fn assert_requests_are_answered(fixture: &Fixture, dialect: Dialect, source: &str, linkage: Linkage, count: usize) {
    let program = client(fixture, dialect, source, linkage);
    let said = run(Command::new(program).arg(fixture.path("small.omomi")).arg(fixture.path("requests.txt")));
    assert_eq!(said, format!("{count} requests\n"));
}

#[test]
fn a_c_client_gives_the_golden_answers_of_a_trained_and_packed_file() {
    let fixture = Fixture::new();
    let request_count = trained(fixture.folder());
    assert!(request_count >= 32);
    let program = client(&fixture, Dialect::C99, "golden.c", Linkage::Shared);
    let said = run(Command::new(program).arg(fixture.path("trained.omomi")).arg(fixture.path("trained.txt")));
    // Each request twice: by mapping and by copy.
    assert_eq!(said, format!("{} requests\n", 2 * request_count));
}

#[test]
fn a_c_client_survives_every_careless_call() {
    let fixture = Fixture::new();
    for source in ["careless_calls.c", "live_careless_calls.c"] {
        let program = client(&fixture, Dialect::C99, source, Linkage::Shared);
        let said = run(Command::new(program).arg(fixture.folder()));
        assert!(said.contains("every careless call was survived"), "{said}");
    }
}

#[test]
fn a_c_client_scores_prepared_candidates_for_several_models_within_a_time_limit() {
    let fixture = Fixture::new();
    let program = client(&fixture, Dialect::C99, "candidate_sets.c", Linkage::Shared);
    let said = run(Command::new(program).arg(fixture.folder()));
    assert_eq!(said, "every call on a candidate set was answered\n");
}

#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn a_predict_from_c_allocates_nothing() {
    let fixture = Fixture::new();
    let program = client(&fixture, Dialect::C11, "no_allocation.c", Linkage::Shared);
    assert_eq!(run(Command::new(program).arg(fixture.folder())), "0 allocations\n");
}

#[test]
#[cfg(target_os = "linux")]
fn opening_needs_little_stack_and_missing_memory_is_a_status() {
    let fixture = Fixture::new();
    let program = client(&fixture, Dialect::C99, "memory.c", Linkage::Shared);
    let said = run(Command::new(program).arg(fixture.folder()));
    assert_eq!(said, "little stack, and a status for missing memory\n");
}

#[test]
fn feature_keys_from_c_are_those_of_the_vector_file() {
    let fixture = Fixture::new();
    let program = client(&fixture, Dialect::C99, "feature_keys.c", Linkage::Shared);
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/feature_keys.tsv");
    let said = run(Command::new(program).arg(vectors));
    let count: u32 = said.trim_end().strip_suffix(" vectors").and_then(|count| count.parse().ok()).unwrap();
    assert!(count > 100, "only {count} vectors were read");
}

#[test]
fn the_example_ranks_three_creatives_and_reports_what_is_wrong_with_another_file() {
    let fixture = Fixture::new();
    let program = client(&fixture, Dialect::C99, "example.c", Linkage::Shared);
    let said = run(Command::new(&program).arg(fixture.path("small.omomi")));
    assert_eq!(said.matches(": probability 0.").count(), 3, "{said}");
    let output = Command::new(&program).arg(fixture.path("text.omomi")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.starts_with("not a weight file") && said.ends_with("(for infra)\n"), "{said}");
}

#[test]
fn valgrind_finds_no_bad_access_and_no_leak() {
    if Command::new("valgrind").arg("--version").output().is_err() {
        eprintln!("skipped: no valgrind");
        return;
    }
    let fixture = Fixture::new();
    for source in ["careless_calls.c", "live_careless_calls.c", "candidate_sets.c"] {
        let program = client(&fixture, Dialect::C99, source, Linkage::Shared);
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--quiet", "--error-exitcode=9", "--leak-check=full", "--errors-for-leak-kinds=definite"]);
        run(valgrind.arg(program).arg(fixture.folder()));
    }
}
