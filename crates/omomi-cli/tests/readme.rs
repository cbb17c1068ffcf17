//! What the README and `docs/` show is what is built and tested: their programs are files of the repository, word for
//! word, and their commands, flags and links exist.
//!
//! `OMOMI_BLESS=1 cargo test -p omomi-cli --test readme` copies the programs into the pages again.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const README: &str = "README.md";
const SERVING: &str = "docs/serving.md";
const TRAINING: &str = "docs/training.md";

/// The pages at the top, and those of `docs/`.
fn pages() -> Vec<String> {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().file_name());
    let docs = docs.map(|name| format!("docs/{}", name.to_str().unwrap())).filter(|path| path.ends_with(".md"));
    [README, "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"].map(str::to_owned).into_iter().chain(docs).collect()
}

const EXAMPLES: &str = "jvm-bindings/examples/src/main/scala/io/omomi/examples";

const FIRST_PROGRAM: &str = "jvm-bindings/core/src/test/java/io/omomi/example/FirstProgram.java";

/// Two levels above this package.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The text of the first block in `language` that contains `mark`.
fn block<'a>(page: &'a str, language: &str, mark: &str) -> &'a str {
    let open = format!("```{language}\n");
    let blocks = page.split(&open).skip(1).filter_map(|rest| rest.split("```").next());
    blocks.into_iter().find(|block| block.contains(mark)).unwrap_or_else(|| panic!("no {language} block has `{mark}`"))
}

/// Asserts that a page shows `source`, or makes it do so where `OMOMI_BLESS` is set.
fn assert_shows(path: &str, language: &str, mark: &str, source: &str, source_path: &str) {
    let page = read(path);
    let shown = block(&page, language, mark);
    if shown == source {
        return;
    }
    if std::env::var_os("OMOMI_BLESS").is_some() {
        return fs::write(root().join(path), page.replacen(shown, source, 1)).unwrap();
    }
    panic!("{path} shows another program than {source_path}; copy it with OMOMI_BLESS=1");
}

#[test]
fn every_program_in_the_pages_is_a_file_that_is_compiled() {
    for (page, language, mark, path, first_line) in [
        (README, "scala", "object LiveServer", format!("{EXAMPLES}/LiveServer.scala"), "import java"),
        (SERVING, "scala", "object QuickStart", format!("{EXAMPLES}/QuickStart.scala"), "import java"),
        (SERVING, "scala", "object ServeLive", format!("{EXAMPLES}/ServeLive.scala"), "import java"),
        (SERVING, "java", "class FirstProgram", FIRST_PROGRAM.to_owned(), "import io"),
        (SERVING, "rust", "fn main", "examples/score_one_file.rs".to_owned(), "/// Made by"),
        (SERVING, "c", "int main", "examples/score_one_file.c".to_owned(), "#include"),
    ] {
        let file = read(&path);
        let start = file.find(first_line).unwrap_or_else(|| panic!("{path} has no `{first_line}`"));
        assert_shows(page, language, mark, &file[start..], &path);
    }
}

#[test]
fn the_live_program_in_rust_is_an_example_of_the_documentation() {
    let live = read("src/live/LIVE.md");
    let example = live.split("```no_run\n").nth(1).unwrap().split("```").next().unwrap();
    let visible: String = example.split_inclusive('\n').filter(|line| !line.starts_with("# ")).collect();
    assert_shows(SERVING, "rust", "LiveModel::open", &visible, "the example in src/live/LIVE.md");
}

#[test]
fn the_contract_in_the_pages_is_valid() {
    let page = read(TRAINING);
    if let Err(faults) = omomi_train::toml::parse_contract(block(&page, "toml", "feed-ctr")) {
        panic!("{faults}");
    }
}

/// The commands in the shell blocks of a page that begin with `omomi`, each on one line, without comments.
fn commands(page: &str) -> Vec<String> {
    let blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let joined: Vec<String> = blocks.map(|block| block.replace("\\\n", " ")).collect();
    let lines = joined.iter().flat_map(|block| block.lines()).filter(|line| line.starts_with("omomi "));
    lines.map(|line| line.split(" #").next().unwrap_or(line).to_owned()).collect()
}

#[test]
fn every_command_and_flag_in_the_pages_exists() {
    let mut seen = BTreeSet::new();
    for path in pages() {
        for command in commands(&read(&path)) {
            let words: Vec<&str> = command.split_whitespace().skip(1).collect();
            // These have commands of their own.
            let has_commands = ["contract", "experiment", "flow", "log", "simulate"].contains(&words[0]);
            let name_len = if has_commands && !words[1].starts_with("--") { 2 } else { 1 };
            let output =
                Command::new(env!("CARGO_BIN_EXE_omomi")).args(&words[..name_len]).arg("--help").output().unwrap();
            assert!(output.status.success(), "{path}: {command}: {}", String::from_utf8_lossy(&output.stderr));
            let help = String::from_utf8_lossy(&output.stdout);
            let known: BTreeSet<&str> =
                help.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '-')).collect();
            for flag in words.iter().filter(|word| word.starts_with("--")) {
                assert!(known.contains(flag), "{path}: {command}: there is no {flag}");
            }
            seen.insert(words[0].to_owned());
        }
    }
    assert!(seen.contains("publish") && seen.contains("train"), "{seen:?}");
}

#[test]
fn the_two_commands_of_the_readme_are_steps_of_the_ci_run() {
    let (readme, ci) = (read(README), read(".ci/run"));
    for command in ["cargo run --release -- demo", "cargo test"] {
        assert!(readme.contains(command) && ci.contains(command), "{command}");
    }
}

#[test]
fn every_link_in_the_pages_leads_to_a_file() {
    for path in pages() {
        let page = read(&path);
        let folder = root().join(&path).parent().unwrap().to_owned();
        let links = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.starts_with("https://") && !link.starts_with('#')) {
            let file = link.split('#').next().unwrap_or(link);
            assert!(folder.join(file).exists(), "{path}: nothing is at {link}");
        }
    }
}

#[test]
fn the_readme_has_at_most_150_lines() {
    assert!(read(README).lines().count() <= 150, "move details to docs/");
}
