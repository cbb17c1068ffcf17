//! Tests `omomi contract check` as a user runs it.

use std::fs;
use std::process::{Command, Output};

const GOOD: &str = r#"name = "feed-ctr"
label = "clicked"

[[field]]
name = "interest"
side = "context"
type = "text"
many = true
log = "hashed"
meaning = "interest categories of the user"

[[field]]
name = "floor_price"
side = "context"
type = "number"
unit = "JPY per 1,000 impressions"
range = [0.0, 100000]
buckets = [10.5, 50, 1e2]
meaning = "lowest bid the media accepts"

[[field]]
name = "creative_id"
side = "candidate"
type = "id"
meaning = "広告の番号"

[[cross]]
fields = ["interest", "creative_id"]
"#;

fn check(file: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_omomi")).args(["contract", "check", file]).output().unwrap()
}

fn check_text(text: &str) -> (Output, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("contract.toml");
    fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (check(&path), path)
}

#[test]
fn a_field_that_is_never_logged_is_named_with_its_crosses_and_who_must_act() {
    let (good, _) = check_text(GOOD);
    assert_eq!(String::from_utf8_lossy(&good.stderr), "", "a key can be learned from");
    let (never, _) = check_text(&GOOD.replace("log = \"hashed\"", "log = \"never\""));
    assert!(never.status.success(), "the contract is valid");
    let said = String::from_utf8(never.stderr).unwrap();
    let expected = "`interest` is never logged: a model cannot learn it from served logs, nor the crosses with it: \
                    `interest*creative_id`, and no prediction can be replayed";
    assert!(said.contains(expected) && said.contains("who must act: ml"), "{said}");
}

#[test]
fn category_limits_are_printed_with_what_happens_above_them() {
    let limited =
        GOOD.replace("many = true", "many = true\nmax_categories = 1_000\nover_max = \"drop\"\nunseen = \"zero\"");
    let limited = limited.replace("\"creative_id\"]", "\"creative_id\"]\nmax_categories = 20_000_000");
    let (output, _) = check_text(&limited);
    let text = String::from_utf8(output.stdout).unwrap();
    for part in [
        "at most 1,000 categories: omomi prune drops the others",
        "at most 20,000,000 categories: omomi prune fails if there are more",
        "unseen categories and missing values add 0",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn a_good_contract_is_printed_with_its_fingerprint() {
    let (output, _) = check_text(GOOD);
    assert!(output.status.success());
    assert!(output.stderr.is_empty());
    let text = String::from_utf8(output.stdout).unwrap();
    let fingerprint = omomi_train::toml::parse_contract(GOOD).unwrap().fingerprint();
    for part in [
        "contract     feed-ctr\n",
        "label        clicked\n",
        "fields       3: 2 context, 1 candidate\n",
        "crosses      1\n",
        &format!("fingerprint  {fingerprint:016x}\n"),
        "text, many",
        "hashed",
        "JPY per 1,000 impressions; 0 to 100000; edges 10.5 50 100",
        "広告の番号",
        "interest x creative_id",
        "context x candidate",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn all_faults_are_printed_with_file_and_line() {
    let text = GOOD.replace("unit = \"JPY per 1,000 impressions\"\n", "").replace("\"candidate\"", "\"creative\"");
    let (output, path) = check_text(&text);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let expected = format!(
        "{path}:12: field 2 (floor_price): `unit` is missing\n\
         {path}:22: field 3 (creative_id): `side` must be one of context, candidate, found `creative`\n\
         error: {path} has 2 faults\n  who must act: ml\n"
    );
    assert_eq!(String::from_utf8(output.stderr).unwrap(), expected);
}

#[test]
fn a_missing_file_is_one_error() {
    let output = check("absent/contract.toml");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.starts_with("error: absent/contract.toml: cannot be read: "), "{text}");
    assert!(text.ends_with("\n  who must act: ml\n") && text.lines().count() == 2, "{text}");
}

#[test]
fn a_command_without_its_file_argument_is_misuse() {
    let output = Command::new(env!("CARGO_BIN_EXE_omomi")).args(["contract", "check"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
