//! `omomi pages` writes the manual and the completions that a release contains.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

fn omomi() -> Command {
    Command::new(env!("CARGO_BIN_EXE_omomi"))
}

/// Names of the commands that `omomi --help` shows, without `help`.
fn shown_commands() -> BTreeSet<String> {
    let help = String::from_utf8(omomi().arg("--help").output().unwrap().stdout).unwrap();
    let commands = help.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    let names = commands.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").map(str::to_owned).collect()
}

fn write_pages(folder: &Path) {
    let output = omomi().arg("pages").arg(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_shown_command_has_a_page_and_hidden_ones_have_none() {
    let folder = tempfile::tempdir().unwrap();
    write_pages(folder.path());
    let shown = shown_commands();
    assert!(shown.contains("train") && shown.contains("publish"), "{shown:?}");
    let page = |name: &str| folder.path().join(format!("man1/omomi-{name}.1"));
    for name in &shown {
        assert!(page(name).is_file(), "{name}");
    }
    for hidden in ["pages", "simulate", "drill-server"] {
        assert!(!page(hidden).exists(), "{hidden}");
    }
    let train = fs::read_to_string(page("train")).unwrap();
    assert!(train.contains("\\-\\-contract"), "the page of train does not explain --contract");
}

#[test]
fn completions_offer_the_commands_and_flags_of_this_version() {
    let folder = tempfile::tempdir().unwrap();
    write_pages(folder.path());
    let script = folder.path().join("omomi.bash");
    // What bash offers after `omomi publ` and after `omomi verify --js`.
    let ask = r#"source "$1"; for words in "omomi publ" "omomi verify --js"; do
        COMP_WORDS=($words); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        _omomi omomi "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"; echo "${COMPREPLY[@]}"
    done"#;
    let output = Command::new("bash").args(["-c", ask, "bash"]).arg(script).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "publish\n--json\n", "{output:?}");
    for name in ["_omomi", "omomi.fish"] {
        assert!(fs::read_to_string(folder.path().join(name)).unwrap().contains("publish"), "{name}");
    }
}

#[test]
fn pages_that_cannot_be_written_are_an_error_that_names_the_folder() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let output = omomi().arg("pages").arg(file.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains(&file.path().display().to_string()), "{message}");
}
