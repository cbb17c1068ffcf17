//! Checks that what the README shows is what is built and tested.
//!
//! Its programs must be files of the repository, word for word, and its commands must exist.

use std::fs;

fn read(path: &str) -> String {
    fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// Returns the text of the README's code block in `language` that contains `mark`.
fn block(readme: &str, language: &str, mark: &str) -> String {
    let open = format!("```{language}\n");
    let blocks = readme.split(&open).skip(1).filter_map(|rest| rest.split("```").next());
    blocks.into_iter().find(|block| block.contains(mark)).unwrap_or_else(|| panic!("no {language} block")).to_owned()
}

#[test]
fn programs_in_the_readme_are_files_that_are_compiled() {
    let readme = read("README.md");
    for (language, mark, path) in [
        ("scala", "object QuickStart", "jvm-bindings/examples/src/main/scala/io/omomi/examples/QuickStart.scala"),
        ("scala", "object ServeLive", "jvm-bindings/examples/src/main/scala/io/omomi/examples/ServeLive.scala"),
        ("c", "int main", "tests/c/example.c"),
    ] {
        let (shown, compiled) = (block(&readme, language, mark), read(path));
        assert!(compiled.ends_with(&shown), "{path} does not end with what the README shows:\n{shown}");
    }
}

#[test]
fn the_rust_program_in_the_readme_is_an_example_in_the_documentation() {
    let (shown, page) = (block(&read("README.md"), "rust", "LiveModel::open"), read("src/live/LIVE.md"));
    let example = page.split("```no_run\n").nth(1).unwrap().split("```").next().unwrap();
    let visible: Vec<&str> = example.lines().filter(|line| !line.starts_with("# ")).collect();
    assert_eq!(shown.lines().collect::<Vec<_>>(), visible);
}

#[test]
fn the_contract_in_the_readme_lacks_only_the_other_field_of_its_cross() {
    let contract = block(&read("README.md"), "toml", "feed-ctr");
    let faults = omomi::contract::Contract::from_toml(&contract).unwrap_err();
    assert_eq!(faults.0.len(), 1, "{faults}");
    assert!(faults.to_string().contains("the contract has no field `media_id` to cross"), "{faults}");
}

#[test]
fn every_word_after_omomi_in_a_shell_block_of_the_readme_is_a_command() {
    let readme = read("README.md");
    let blocks = readme.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines = blocks.flat_map(str::lines).filter_map(|line| line.strip_prefix("omomi "));
    let words: std::collections::BTreeSet<&str> = lines.filter_map(|line| line.split(' ').next()).collect();
    assert!(words.contains("publish") && words.contains("train"), "{words:?}");
    for word in words {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_omomi")).args([word, "--help"]).output().unwrap();
        assert!(output.status.success(), "omomi {word}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn commands_in_the_readme_exist() {
    let readme = read("README.md");
    let ci = read(".ci/run");
    for command in ["cargo run --release -- demo", "cargo test"] {
        assert!(readme.contains(command) && ci.contains(command), "{command}");
    }
}
