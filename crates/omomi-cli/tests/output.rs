//! What commands print, and what they do if it cannot be written.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const CONTRACT: &str = r#"name = "output"
label = "clicked"

[[field]]
name = "site"
side = "context"
type = "text"
meaning = "where the ad is shown"

[[field]]
name = "creative_id"
side = "candidate"
type = "id"
meaning = "what is shown"
"#;

/// A category that sets the title of a terminal, colors its text, moves the cursor, reverses the order of letters, and
/// begins a line of its own.
const HOSTILE: &str = "\u{1b}]0;x\u{7}\u{1b}[31mred\u{9b}1A\u{202e}gpj\r\nweights 0\u{7f}";

/// A folder with a contract, a log, and what the commands make of them.
struct World(tempfile::TempDir);

impl World {
    fn new(site: &str) -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        world.write("contract.toml", CONTRACT);
        let number = "\n[[field]]\nname = \"price\"\nside = \"context\"\ntype = \"number\"\nunit = \"JPY\"\n\
                      range = [0, 1000]\nbuckets = { quantiles = 4 }\nmeaning = \"lowest bid\"\n";
        world.write("draft.toml", &format!("{CONTRACT}{number}"));
        let row = |index: u32| {
            let (clicked, creative, price) = (u32::from(index.is_multiple_of(3)), index % 5, index * 7 % 100);
            serde_json::json!({ "site": site, "creative_id": creative, "clicked": clicked, "price": price }).to_string()
        };
        world.write("log.jsonl", &(0..60).map(|index| row(index) + "\n").collect::<String>());
        world.write("other.jsonl", &(60..95).map(|index| row(index) + "\n").collect::<String>());
        world.run_well(&[
            "train",
            "--contract",
            "contract.toml",
            "--logs",
            "other.jsonl",
            "--l1",
            "0",
            "--state",
            "other.parquet",
        ]);
        world.run_well(&[
            "train",
            "--contract",
            "contract.toml",
            "--logs",
            "log.jsonl",
            "--l1",
            "0",
            "--state",
            "state.parquet",
        ]);
        world.run_well(&[
            "pack",
            "--contract",
            "contract.toml",
            "--state",
            "state.parquet",
            "--held-out",
            "log.jsonl",
            "--logic-id",
            "logic-v1",
            "--generation",
            "1",
            "--out",
            "1.omomi",
        ]);
        world.run_well(&["publish", "1.omomi", "--to", "store", "--unblessed"]);
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_omomi"));
        command.current_dir(self.0.path()).args(words);
        command
    }

    fn run_well(&self, words: &[&str]) -> Output {
        let output = self.command(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }
}

/// Commands that print something, each with the arguments that make it succeed.
const COMMANDS: [&[&str]; 23] = [
    &["--help"],
    &["--version"],
    &["train", "--help"],
    &["contract", "check", "contract.toml"],
    &["contract", "quantiles", "draft.toml", "--logs", "log.jsonl"],
    &["train", "--contract", "contract.toml", "--logs", "log.jsonl", "--state", "more.parquet", "--force"],
    &[
        "pack",
        "--contract",
        "contract.toml",
        "--state",
        "state.parquet",
        "--held-out",
        "log.jsonl",
        "--logic-id",
        "x",
        "--generation",
        "2",
        "--out",
        "2.omomi",
    ],
    &["prune", "state.parquet", "--out", "pruned.parquet", "--min-impressions", "1"],
    &["average", "state.parquet", "other.parquet", "--out", "average.parquet"],
    &["inspect", "1.omomi", "--state", "state.parquet"],
    &["verify", "1.omomi"],
    &["verify", "1.omomi", "--json"],
    &["explain", "1.omomi", "--logs", "log.jsonl", "--row", "1"],
    &["explain", "1.omomi", "--logs", "log.jsonl", "--row", "1", "--json"],
    &["evaluate", "1.omomi", "--logs", "log.jsonl", "--by", "site"],
    &["evaluate", "1.omomi", "--logs", "log.jsonl", "--json", "-"],
    &["keygen", "--out", "key"],
    &["status", "store"],
    &["status", "store", "--json"],
    &["freeze", "store"],
    &["pin", "1", "store"],
    &["on", "store"],
    &["generate-log", "--rows", "1000", "--out", "generated"],
];

#[test]
fn a_command_whose_output_cannot_be_written_fails_and_says_so() {
    if !Path::new("/dev/full").exists() {
        eprintln!("skipped: there is no /dev/full");
        return;
    }
    let world = World::new("news");
    for words in COMMANDS {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = world.command(words).stdout(full).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{words:?}: {errors}");
        assert!(errors.contains("standard output cannot be written: No space left on device"), "{words:?}: {errors}");
    }
    // The command did its work all the same.
    assert!(world.path("2.omomi").exists());
}

/// Like `omomi inspect FILE | head -1`: people do not want to read about it, but a script may ask.
#[test]
fn a_command_whose_reader_is_gone_fails_without_a_message() {
    let world = World::new("news");
    for words in COMMANDS {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = world.command(words).stdout(writer).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(141), "{words:?}: {errors}");
        assert!(!errors.contains("error") && !errors.contains("panicked"), "{words:?}: {errors}");
    }
}

/// Like `omomi inspect FILE >&-`: Rust opens `/dev/null` in its place, and the command exited with 0.
#[cfg(any(target_os = "linux", target_os = "macos"))]
#[test]
fn a_command_whose_output_is_closed_fails_and_says_so() {
    let world = World::new("news");
    for words in COMMANDS {
        let mut shell = Command::new("sh");
        shell
            .current_dir(world.0.path())
            .args(["-c", "exec \"$@\" >&-", "sh", env!("CARGO_BIN_EXE_omomi")])
            .args(words);
        let output = shell.output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{words:?}: {errors}");
        assert!(errors.contains("standard output cannot be written: it is closed"), "{words:?}: {errors}");
    }
    // The command did its work all the same.
    assert!(world.path("2.omomi").exists());
    // Output that nobody wants is not closed.
    for null in
        [File::options().write(true).open("/dev/null"), File::options().read(true).write(true).open("/dev/null")]
    {
        let output = world.command(&["inspect", "1.omomi"]).stdout(null.unwrap()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_gate_whose_verdict_cannot_be_written_does_not_pass_and_misuse_keeps_its_code() {
    if !Path::new("/dev/full").exists() {
        eprintln!("skipped: there is no /dev/full");
        return;
    }
    let world = World::new("news");
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let run = |words: &[&str]| world.command(words).stdout(full()).output().unwrap().status.code();
    let verdict = run(&["gate", "1.omomi", "--logs", "log.jsonl", "--first"]);
    assert!(matches!(verdict, Some(1 | 3 | 4)), "{verdict:?}");
    assert_eq!(run(&["gate", "--no-such-flag"]), Some(2));
    assert_eq!(run(&["inspect", "--no-such-flag"]), Some(2));
    assert_eq!(run(&["inspect", "absent.omomi"]), Some(1));
}

/// An error that cannot be printed once panicked, with the exit code 101.
#[test]
fn a_command_that_cannot_write_its_error_still_exits_with_its_code() {
    if !Path::new("/dev/full").exists() {
        eprintln!("skipped: there is no /dev/full");
        return;
    }
    let world = World::new("news");
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let run = |words: &[&str]| world.command(words).stderr(full()).output().unwrap().status.code();
    assert_eq!(run(&["inspect", "absent.omomi"]), Some(1));
    assert_eq!(run(&["inspect", "1.omomi"]), Some(0));
    assert_eq!(run(&["inspect", "--no-such-flag"]), Some(2));
}

#[test]
fn no_control_character_of_a_log_or_a_weight_file_reaches_the_terminal() {
    let world = World::new(HOSTILE);
    let escaped = "\\u001b]0;x\\u0007\\u001b[31mred\\u009b1A\\u202egpj\\r\\nweights 0\\u007f";
    for (words, has_category) in [
        (&["explain", "1.omomi", "--logs", "log.jsonl", "--row", "1"][..], true),
        (&["inspect", "1.omomi", "--state", "state.parquet"], true),
        (&["evaluate", "1.omomi", "--logs", "log.jsonl", "--by", "site"], true),
        (&["evaluate", "1.omomi", "--logs", "log.jsonl", "--by-fields"], true),
        (&["verify", "1.omomi"], false),
        (&["status", "store"], false),
    ] {
        let text = String::from_utf8(world.run_well(words).stdout).unwrap();
        let found: Vec<char> = text.chars().filter(|&char| acts_on_a_terminal(char)).collect();
        assert!(found.is_empty(), "{words:?}: {found:?}\n{text}");
        assert_eq!(text.contains(escaped), has_category, "{words:?}\n{text}");
        assert!(!text.lines().any(|line| line.starts_with("weights 0")), "{words:?}\n{text}");
    }
}

#[test]
fn json_escapes_control_characters_and_keeps_its_meaning() {
    let world = World::new(HOSTILE);
    for words in [
        &["explain", "1.omomi", "--logs", "log.jsonl", "--row", "1", "--json"][..],
        &["evaluate", "1.omomi", "--logs", "log.jsonl", "--by", "site", "--json", "-"],
    ] {
        let text = String::from_utf8(world.run_well(words).stdout).unwrap();
        assert!(!text.chars().any(acts_on_a_terminal), "{words:?}\n{text}");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(has_text(&value, HOSTILE), "{words:?}\n{text}");
    }
}

/// A logic id is in labels of metrics, in log rows and in reports, so a file cannot have one that acts on them.
#[test]
fn a_logic_id_with_control_characters_is_refused() {
    let world = World::new("news");
    let logic_id = format!("logic {HOSTILE}");
    let output = world
        .command(&["pack", "--contract", "contract.toml", "--state", "state.parquet", "--held-out", "log.jsonl"])
        .args(["--logic-id", &logic_id, "--generation", "2", "--out", "2.omomi"])
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("expected a logic id of at most 128 bytes of printable text"), "{errors}");
    assert!(!errors.chars().any(acts_on_a_terminal) && !world.path("2.omomi").exists(), "{errors:?}");
}

/// An error quotes paths and texts of files, too.
#[test]
fn no_control_character_reaches_the_terminal_in_an_error() {
    let world = World::new("news");
    for words in [
        &["inspect", "absent\u{1b}[31m.omomi"][..],
        &["explain", "1.omomi", "--request", "\u{9b}31m.json"],
        &["contract", "check", "bad\u{7}.toml"],
    ] {
        world.write("bad\u{7}.toml", "name = 3\n");
        let output = world.command(words).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{words:?}: {errors}");
        assert!(!errors.chars().any(acts_on_a_terminal) && errors.contains("\\u00"), "{words:?}: {errors:?}");
    }
}

fn acts_on_a_terminal(char: char) -> bool {
    (char.is_control() && char != '\n') || ('\u{202a}'..='\u{202e}').contains(&char)
}

/// Whether a string anywhere in `value` contains `text`.
fn has_text(value: &serde_json::Value, text: &str) -> bool {
    match value {
        serde_json::Value::String(string) => string.contains(text),
        serde_json::Value::Array(values) => values.iter().any(|value| has_text(value, text)),
        serde_json::Value::Object(members) => members.values().any(|value| has_text(value, text)),
        _ => false,
    }
}

/// `--decay -0.9` was an unknown flag `-0`.
#[test]
fn a_negative_value_is_reported_with_its_flag() {
    let omomi = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_omomi")).args(arguments).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("contract.toml"), CONTRACT).unwrap();
    let train =
        ["train", "--contract", &path("contract.toml"), "--logs", &path("log.csv"), "--state", &path("out.parquet")];
    let said = omomi(&[&train[..], &["--alpha", "-0.5"]].concat());
    assert!(said.contains("alpha must be a number above 0, found -0.5"), "{said}");
    let said = omomi(&[&train[..], &["--passes", "-3"]].concat());
    assert!(said.contains("invalid value '-3' for '--passes <PASSES>'"), "{said}");
}
