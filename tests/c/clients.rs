//! Runs C and C++ programs with the library of this build.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::compiler::{Dialect, Linkage, compile_client, run};
use crate::fixture::{Fixture, trained};
use crate::library::shared_library;

/// Compiles a client of `tests/c` into the fixture's folder.
fn client(fixture: &Fixture, dialect: Dialect, source: &str, linkage: Linkage) -> PathBuf {
    let program = fixture.path(&format!("{dialect:?}-{linkage:?}-{}", source.replace(['.', '/'], "-")));
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
    assert!(request_count >= 10);
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

/// Every careless call is survived, ids and samples are those of the vector file, and what was recorded is read back.
#[test]
fn a_c_client_records_what_it_served() {
    let fixture = Fixture::new();
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/serving_log.tsv");
    for (dialect, linkage) in [(Dialect::C99, Linkage::Shared), (Dialect::C11, Linkage::Static)] {
        let program = client(&fixture, dialect, "serving_log.c", linkage);
        let said = run(Command::new(program).arg(fixture.folder()).arg(&vectors));
        let folder = fixture.path("served");
        assert_eq!(said, recorded_in(&folder));
        std::fs::remove_dir_all(folder).unwrap();
    }
}

/// Returns what the client says that it recorded, from the segments in `folder`.
fn recorded_in(folder: &Path) -> String {
    use omomi::serving_log::{Account, Basis, RecordBody, RowState};
    let (mut said, mut details, mut events) = (Vec::new(), 0, 0);
    let mut account = Account::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let read = account.read(&bytes, &mut |_, _, record| match &record.body {
            RecordBody::Prediction(found) => {
                let (logit, at) = (found.logit.to_bits(), record.head.at_unix_ms);
                said.push(format!("{} {} {logit:016x}\n", found.request_id, found.candidate));
                assert!(matches!(&found.row, RowState::Here(row) if row.iter().all(Option::is_some)), "{found:?}");
                assert_eq!((found.impression, found.experiment, found.arm), ("imp", "bids", "b"));
                assert_eq!((found.bucket, found.position), (Some(3), Some(found.candidate)));
                assert_eq!((at, found.latency_ns, found.propensity), (1_700_000_000_000, 12_345, Some(0.5)));
                let bid = found.bid.unwrap();
                assert_eq!((bid.micros, bid.currency.code()), (1_500_000, "JPY"));
                assert_eq!(bid.basis, Basis::ThousandImpressions);
            }
            RecordBody::Detail(_) => details += 1,
            RecordBody::Event(_) => events += 1,
            other => panic!("{other:?}"),
        });
        assert!(read.unwrap().1.is_some());
    }
    assert_eq!((details, events), (2, 4));
    assert!(account.rings().all(|ring| ring.unexplained == 0 && ring.is_closed));
    said.sort();
    said.concat()
}

#[test]
fn the_short_way_for_tools_works() {
    let fixture = Fixture::new();
    let program = client(&fixture, Dialect::C99, "short_way.c", Linkage::Shared);
    let said = run(Command::new(program).arg(fixture.path("small.omomi")).arg(fixture.path("store")));
    assert_eq!(said, "the short way\n");
}

/// For callers without a C compiler.
#[test]
#[cfg(target_os = "linux")]
fn the_twins_of_the_inline_functions_write_the_same_bytes() {
    let fixture = Fixture::new();
    let program = client(&fixture, Dialect::C11, "twins.c", Linkage::Shared);
    let said = run(Command::new(program).arg(shared_library()).arg(fixture.folder()));
    assert_eq!(said, "the twins are equal\n");
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

/// Each of these calls once ended the process.
#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn opening_without_memory_is_a_status() {
    let fixture = Fixture::new();
    let program = client(&fixture, Dialect::C11, "out_of_memory.c", Linkage::Shared);
    for len_bytes in ["16384", "4096"] {
        let said = run(Command::new(&program).arg(fixture.folder()).arg(len_bytes));
        assert_eq!(said, "missing memory is a status\n");
    }
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
    let program = client(&fixture, Dialect::C99, "../../examples/score_one_file.c", Linkage::Shared);
    let said = run(Command::new(&program).arg("examples/generated-ctr.omomi"));
    assert_eq!(said.matches(": probability 0.").count(), 3, "{said}");
    let output = Command::new(&program).arg(fixture.path("text.omomi")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.starts_with("not a weight file") && said.ends_with("(for infra)\n"), "{said}");
}

/// The test kit for C: a test knows the answers of a file that it made from a list of weights.
#[test]
fn the_example_gives_the_answers_of_a_listed_fixture() {
    let fixture = Fixture::new();
    let contract = omomi_train::toml::parse_contract(include_str!("../../examples/generated-ctr.toml")).unwrap();
    let weights = "bias = -2.0\n[[weight]]\nof = { site_id = 7 }\nvalue = 0.5\n\
                   [[weight]]\nof = { creative_id = 2519 }\nvalue = 1.5\n";
    omomi_train::pack::write_fixture(&contract, weights, 1, "fixture", fixture.path("listed.omomi")).unwrap();
    let program = client(&fixture, Dialect::C99, "../../examples/score_one_file.c", Linkage::Static);
    let said = run(Command::new(program).arg(fixture.path("listed.omomi")));
    // The sigmoid of -1.5 and of 0.
    let expected = "creative 1624: probability 0.1824\ncreative 2519: probability 0.5000\n\
                    creative 4001: probability 0.1824\n";
    assert_eq!(said, expected);
}

/// The lines of the first shell block of a page that has a line with `mark`.
fn shell_lines(page: &str, mark: &str) -> Vec<String> {
    let blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let block = blocks.into_iter().find(|block| block.contains(mark)).unwrap();
    block.lines().map(str::to_owned).collect()
}

#[test]
#[cfg(target_os = "linux")]
fn the_link_lines_of_the_pages_make_programs_that_run() {
    use std::os::unix::fs::symlink;

    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let here = |name: &str| folder.path().join(name);
    for name in ["include", "examples"] {
        symlink(root.join(name), here(name)).unwrap();
    }
    // The pages name the library of a release, which `.ci/run` tests; other runs test that of this build.
    std::fs::create_dir(here("target")).unwrap();
    symlink(shared_library().parent().unwrap(), here("target/dist")).unwrap();
    let mut lines = shell_lines(include_str!("../../docs/serving.md"), "score_one_file.c");
    std::fs::copy(root.join("examples/score_one_file.c"), here("program.c")).unwrap();
    std::fs::copy(root.join("examples/generated_ctr.h"), here("generated_ctr.h")).unwrap();
    lines.extend(shell_lines(include_str!("../../README.md"), "program.c"));
    lines.push("./a.out examples/generated-ctr.omomi".to_owned());
    lines.retain(|line| !line.starts_with("cargo "));
    assert_eq!(lines.len(), 6, "{lines:#?}");
    for line in lines {
        let mut shell = Command::new("sh");
        let said = run(shell.args(["-euc", &line]).current_dir(folder.path()).env_remove("LD_LIBRARY_PATH"));
        if line.starts_with("./") {
            assert_eq!(said.matches(": probability 0.").count(), 3, "{line}\n{said}");
        }
    }
}

#[test]
fn valgrind_finds_no_bad_access_and_no_leak() {
    if Command::new("valgrind").arg("--version").output().is_err() {
        eprintln!("skipped: no valgrind");
        return;
    }
    let fixture = Fixture::new();
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/serving_log.tsv");
    for source in ["careless_calls.c", "live_careless_calls.c", "candidate_sets.c", "serving_log.c"] {
        let program = client(&fixture, Dialect::C99, source, Linkage::Shared);
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--quiet", "--error-exitcode=9", "--leak-check=full", "--errors-for-leak-kinds=definite"]);
        run(valgrind.arg(program).arg(fixture.folder()).args((source == "serving_log.c").then_some(&vectors)));
    }
}
