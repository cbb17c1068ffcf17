//! Tests of the JVM bindings with the library of this build. Maven compiles `jvm-bindings` and runs the Java and Scala
//! tests with `-Xcheck:jni`, on Maven's JDK and on JDK 25 if there is one.
//!
//! `OMOMI_JVM_CHAOS_SECONDS=60 cargo test --test jvm` runs the chaos test of live models that long, instead of a few
//! seconds. `OMOMI_JVM_TESTS=ScorerTest,TextTest cargo test --test jvm` runs only these classes, on Maven's JDK alone.

mod api;
mod constants;
#[path = "../c/library.rs"]
mod library;
mod packaging;
mod weight_files;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Messages of `-Xcheck:jni` when native code breaks a rule.
const JNI_COMPLAINTS: [&str; 3] = ["WARNING in native method", "FATAL ERROR in native method", "WARNING: JNI"];

#[test]
fn java_and_scala_give_the_same_bits_and_survive_every_careless_call() {
    if Command::new("mvn").arg("--version").output().is_err() {
        eprintln!(
            "skipped: there is no `mvn`; install Maven and a JDK of version 17 or newer to test the JVM bindings"
        );
        return;
    }
    let _build = BUILD.lock().unwrap_or_else(PoisonError::into_inner);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let project = root.join("jvm-bindings");
    let folder = tempfile::tempdir().unwrap();
    let (weight_file, demo_file) = (folder.path().join("000042.omomi"), folder.path().join("000043.omomi"));
    let contract = omomi_train::toml::parse_contract(include_str!("contract.toml")).unwrap();
    weight_files::write(&contract, &weight_file);
    let generations = folder.path().join("generations");
    weight_files::write_generations(&contract, GENERATION_COUNT, &generations);
    weight_files::write(&omomi_train::toml::parse_contract(omomi_train::log::generate::CONTRACT).unwrap(), &demo_file);

    let awkward_file = folder.path().join("000044.omomi");
    let awkward = omomi_train::toml::parse_contract(include_str!("../declarations/awkward.toml")).unwrap();
    weight_files::write(&awkward, &awkward_file);

    let mut maven = Command::new("mvn");
    maven.args(["--batch-mode", "--no-transfer-progress", "--file"]).arg(project.join("pom.xml"));
    if let Some(library) = rounding_library(folder.path()) {
        maven.arg(format!("-Domomi.test.rounding.library={}", library.display()));
    }
    for (property, path) in [
        ("omomi.native.library", library::shared_library()),
        ("omomi.test.weight.file", weight_file),
        ("omomi.test.demo.file", demo_file),
        ("omomi.test.awkward.file", awkward_file),
        ("omomi.test.example.file", root.join("examples/generated-ctr.omomi")),
        ("omomi.test.generations", generations),
        ("omomi.test.feature.keys", root.join("tests/feature_keys.tsv")),
        ("omomi.test.experiment.vectors", root.join("tests/experiment.tsv")),
        ("omomi.test.log.vectors", root.join("tests/serving_log.tsv")),
        ("omomi.test.log.reader", root.join("tests/reference/serving_log.py")),
    ] {
        maven.arg(format!("-D{property}={}", path.display()));
    }
    if let Some(seconds) = std::env::var_os("OMOMI_JVM_CHAOS_SECONDS") {
        maven.arg(format!("-Domomi.test.chaos.seconds={}", seconds.display()));
    }
    let chosen = std::env::var("OMOMI_JVM_TESTS").ok();
    if let Some(classes) = &chosen {
        maven.args([&format!("-Dtest={classes}"), "-Dsurefire.failIfNoSpecifiedTests=false"]);
    }
    let second_jdk = second_jdk().filter(|_| chosen.is_none());
    match &second_jdk {
        Some(home) => drop(maven.arg(format!("-Domomi.second.jdk={}", home.display()))),
        None => eprintln!("not tested on JDK 25: set JAVA25_HOME to one"),
    }
    for module in MODULES {
        for reports in [REPORTS, SECOND_REPORTS] {
            // Old reports would count as reports of this run.
            let _ = std::fs::remove_dir_all(project.join(module).join("target").join(reports));
        }
    }
    let output = maven.arg("verify").output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}");

    if chosen.is_some() {
        let counts = text.lines().filter(|line| line.contains("Tests run: ")).collect::<Vec<_>>();
        assert!(!counts.is_empty(), "no such test class");
        eprintln!("{}", counts.join("\n"));
        return;
    }
    let mut said = text;
    for module in MODULES {
        let target = project.join(module).join("target");
        assert!(count_tests(&target.join(REPORTS), &mut said) > 0, "no test ran in {module}");
        if second_jdk.is_some() {
            assert!(count_tests(&target.join(SECOND_REPORTS), &mut said) > 0, "no test ran in {module} on JDK 25");
        }
    }
    let complaints: Vec<&str> =
        said.lines().filter(|line| JNI_COMPLAINTS.iter().any(|complaint| line.contains(complaint))).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

/// Compiles the library that changes the floating-point mode. Nothing without a C compiler.
fn rounding_library(folder: &Path) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/jvm/rounding.c");
    let library = folder.join("librounding.so");
    let mut compiler = Command::new("cc");
    compiler.args(["-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", "-frounding-math", "-shared", "-fPIC"]);
    let Ok(output) = compiler.arg(source).arg("-o").arg(&library).arg("-lm").output() else {
        eprintln!("other floating-point modes are not tested: there is no `cc`");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(library)
}

/// A test that changes the folders of the build, or reads them, holds this.
static BUILD: Mutex<()> = Mutex::new(());

/// Without the library, Maven once ran 75 tests into errors, or made jars without it and said `BUILD SUCCESS`.
#[test]
fn maven_says_in_its_first_error_that_the_library_is_missing_or_is_the_wrong_one() {
    if Command::new("mvn").arg("--version").output().is_err() {
        eprintln!("skipped: there is no `mvn`");
        return;
    }
    let _build = BUILD.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("libomomi.so");
    std::fs::write(&text, "not a library").unwrap();
    let native = |path: &Path| format!("-Domomi.native.library={}", path.display());
    let (absent, foreign) = (native(Path::new("/absent/libomomi.so")), native(Path::new("/bin/true")));
    let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join("jvm-bindings/pom.xml");
    for (arguments, expected) in [
        (vec![], "this build needs the native library: make it with `cargo build --profile dist -p omomi --lib`"),
        (vec!["--projects", "core"], "this build needs the native library"),
        (vec![absent.as_str()], "there is no file /absent/libomomi.so"),
        (vec!["--projects", "core", native(&text).leak()], "cannot load /"),
        (vec!["--projects", "core", foreign.as_str()], "cannot load /bin/true"),
    ] {
        let mut maven = Command::new("mvn");
        maven.args(["--batch-mode", "--quiet", "-Dmaven.test.skip=true", "--file"]).arg(&pom).args(&arguments);
        let output = maven.arg("package").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!output.status.success(), "{arguments:?}");
        let first = said.lines().find(|line| line.contains("[ERROR] Failed")).unwrap();
        assert!(first.contains(expected), "{arguments:?}\n{first}");
    }

    // The Java core alone, as a server in Java needs it: nothing of Scala is built or downloaded.
    let jar = pom.with_file_name(concat!("core/target/omomi-", env!("CARGO_PKG_VERSION"), ".jar"));
    let _ = std::fs::remove_file(&jar);
    let mut maven = Command::new("mvn");
    maven.args(["--batch-mode", "-Dmaven.test.skip=true", "--projects", "core", "--also-make", "--file"]).arg(&pom);
    let output = maven.arg(native(&library::shared_library())).arg("package").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && !said.to_lowercase().contains("scala"), "{said}");
    assert!(said.contains("the native library loads on "), "{said}");
    let packed = std::fs::read(&jar).unwrap();
    let library = shared_library_name();
    assert!(packed.windows(library.len()).any(|window| window == library.as_bytes()), "the jar has no {library}");
    api::check(&pom.with_file_name("core/target/classes"));
}

fn shared_library_name() -> String {
    library::shared_library().file_name().unwrap().to_string_lossy().into_owned()
}

#[test]
fn the_readme_shows_the_programs_that_the_tests_run() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("jvm-bindings");
    let readme = std::fs::read_to_string(project.join("README.md")).unwrap();
    for program in [
        "examples/src/main/scala/io/omomi/examples/RankCreatives.scala",
        "examples/src/main/scala/io/omomi/examples/ServeLive.scala",
        "examples/src/main/scala/io/omomi/examples/ServeExperiment.scala",
        "core/src/test/java/io/omomi/example/FirstProgram.java",
    ] {
        let source = std::fs::read_to_string(project.join(program)).unwrap();
        assert!(readme.contains(&source), "README.md shows another {program}: copy the file into it");
    }
}

/// Number of generations that the tests of live models publish.
const GENERATION_COUNT: u64 = 48;

const MODULES: [&str; 8] =
    ["core", "micrometer", "scala-2.12", "scala-2.13", "scala-3", "examples", "ad-server", "ad-server/scala-3"];
const REPORTS: &str = "surefire-reports";
const SECOND_REPORTS: &str = "surefire-reports-second-jdk";

/// Returns the home of a JDK 25: the one that `JAVA25_HOME` names, or one in the usual folder on Linux.
fn second_jdk() -> Option<PathBuf> {
    if let Some(home) = std::env::var_os("JAVA25_HOME") {
        return Some(PathBuf::from(home));
    }
    let mut homes = std::fs::read_dir("/usr/lib/jvm").ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    homes.find(|home| {
        std::fs::read_to_string(home.join("release")).is_ok_and(|release| release.contains("JAVA_VERSION=\"25"))
    })
}

/// Returns the number of tests in a folder of reports, and adds other output of the JVMs to `said`.
fn count_tests(reports: &Path, said: &mut String) -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir(reports).into_iter().flatten() {
        let path = entry.unwrap().path();
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        if path.extension().is_some_and(|extension| extension == "xml") {
            count += text.matches("<testcase ").count();
        }
        said.push_str(&text);
        said.push('\n');
    }
    count
}
