//! `omomi contract generate` makes declarations that compile and bind. The committed ones are what it makes: those of
//! `awkward.toml`, whose names and meanings mean something else in each language, and those of the examples.
//!
//! `OMOMI_BLESS=1 cargo test --test declarations` writes them again. Java and Scala compile theirs in `tests/jvm`.

mod awkward;
#[path = "../c/compiler.rs"]
#[expect(dead_code, reason = "shared with the C tests, which use the rest")]
mod compiler;
#[path = "../c/library.rs"]
mod library;
#[path = "../jvm/weight_files.rs"]
#[expect(dead_code, reason = "shared with the JVM tests, which use the rest")]
mod weight_files;

use std::path::PathBuf;
use std::process::Command;

use omomi::contract::Contract;
use omomi::{Capacity, LoadMode, Model, RequestLayout, Schema, Scorer};
use omomi_train::agreement::{Language, Naming, declaration};
use omomi_train::toml::parse_contract;

use compiler::{Dialect, Linkage, compile_client, compile_object, run};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn awkward() -> Contract {
    parse_contract(include_str!("awkward.toml")).unwrap()
}

/// The contract of the weight file in `examples`, and of what `omomi demo` makes.
fn example() -> Contract {
    parse_contract(include_str!("../../examples/generated-ctr.toml")).unwrap()
}

/// A weight file for the awkward contract, in a folder that is removed when it is dropped.
fn awkward_file() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("awkward.omomi");
    weight_files::write(&awkward(), &path);
    (folder, path)
}

#[test]
fn the_committed_declarations_are_what_the_command_makes() {
    let java = "jvm-bindings/core/src/test/java/io/omomi/declared/Awkward.java";
    let scala = "jvm-bindings/scala/src/test/scala/io/omomi/scaladsl/declared/Awkward.scala";
    let mut stale = Vec::new();
    let java_example = "jvm-bindings/core/src/test/java/io/omomi/example/GeneratedCtr.java";
    let scala_example = "jvm-bindings/examples/src/main/scala/io/omomi/examples/GeneratedCtr.scala";
    let scala_server = "jvm-bindings/ad-server/src/main/scala/io/omomi/adserver/GeneratedCtr.scala";
    for (contract, language, name, package, path) in [
        (example(), Language::Rust, None, None, "examples/fields/generated_ctr.rs"),
        (example(), Language::C, None, None, "examples/generated_ctr.h"),
        (example(), Language::Java, None, Some("io.omomi.example"), java_example),
        (example(), Language::Scala, None, Some("io.omomi.examples"), scala_example),
        (example(), Language::Scala, None, Some("io.omomi.adserver"), scala_server),
        (awkward(), Language::Rust, Some("Awkward"), None, "tests/declarations/awkward.rs"),
        (awkward(), Language::C, Some("Awkward"), None, "tests/declarations/awkward.h"),
        (awkward(), Language::Java, Some("Awkward"), Some("io.omomi.declared"), java),
        (awkward(), Language::Scala, Some("Awkward"), Some("io.omomi.scaladsl.declared"), scala),
    ] {
        let naming = Naming { name: name.map(str::to_owned), package: package.map(str::to_owned) };
        let made = declaration(&contract, language, &naming).unwrap();
        let path = root().join(path);
        if std::env::var_os("OMOMI_BLESS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, made).unwrap();
        } else if std::fs::read_to_string(&path).unwrap_or_default() != made {
            stale.push(path);
        }
    }
    assert!(stale.is_empty(), "these are not what the generator makes: {stale:?}; run with OMOMI_BLESS=1");
}

#[test]
fn a_declaration_in_rust_compiles_and_declares_every_field_of_the_contract() {
    let (schema, fields) = awkward::Awkward::declare().unwrap();
    assert_eq!(schema, Schema::of_contract(&awkward()));
    assert_eq!(Some(fields.null), schema.slot("NULL"));
    assert_eq!(Some(fields.site_id_2), schema.slot("siteId"));
    let (_folder, path) = awkward_file();
    let layout = RequestLayout::new(&schema, Capacity { candidates: 1, tail_len_bytes: 64 }).unwrap();
    Scorer::new(Model::load(&path, LoadMode::Map).unwrap(), &layout).unwrap();
}

#[test]
fn a_declaration_in_c_compiles_in_each_dialect_and_binds() {
    let (folder, path) = awkward_file();
    let source = root().join("tests/c/declaration.c");
    for dialect in Dialect::ALL {
        // One text for C and C++.
        let copy = folder.path().join(format!("declaration-{dialect:?}.{}", dialect.extension()));
        let text = std::fs::read_to_string(&source).unwrap();
        let header = root().join("tests/declarations/awkward.h");
        std::fs::write(&copy, text.replace("../declarations/awkward.h", header.to_str().unwrap())).unwrap();
        compile_object(dialect, &copy, &folder.path().join("declaration.o"));
    }
    let program = folder.path().join("declaration");
    compile_client(Dialect::C99, "declaration.c", Linkage::Shared, &program);
    assert_eq!(run(Command::new(program).arg(path)), "12 fields bind\n");
}

/// The first programs of the pages open this file, or the one that `omomi demo` makes.
#[test]
fn the_weight_file_in_the_examples_is_verified_and_has_the_contract_of_the_demo() {
    assert_eq!(include_str!("../../examples/generated-ctr.toml"), omomi_train::log::generate::CONTRACT);
    let model = Model::load(root().join("examples/generated-ctr.omomi"), LoadMode::Map).unwrap();
    assert!(model.check_golden().unwrap().request_count > 0);
    assert_eq!(*model.contract(), example());
    assert!(model.weight_count() > 1_000, "{} weights", model.weight_count());
    // It is in the history of the repository for ever.
    assert!(model.header().total_len_bytes < 100_000, "{} bytes", model.header().total_len_bytes);
}
