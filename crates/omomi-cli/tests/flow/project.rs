//! A project folder with logs, a contract and a flow.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};

const CONTRACT: &str = r#"
name = "flow"
label = "clicked"
[[field]]
name = "site"
side = "context"
type = "text"
meaning = "the site"
"#;

pub(crate) struct Project {
    folder: tempfile::TempDir,
}

/// A task that runs a command line. Words that begin with `$` or `States.` are computed.
pub(crate) fn task(words: &[&str]) -> Value {
    let word = |word: &&str| match *word {
        word if word.starts_with('$') || word.starts_with("States.") => word.to_owned(),
        word => format!("'{}'", word.replace('\\', "\\\\").replace('\'', "\\'")),
    };
    let words: Vec<String> = words.iter().map(word).collect();
    json!({
        "Type": "Task",
        "Resource": "arn:aws:states:::ecs:runTask.sync",
        "Parameters": {
            "Cluster": "ads", "TaskDefinition": "omomi",
            "Overrides": {"ContainerOverrides": [
                {"Name": "omomi", "Command.$": format!("States.Array({})", words.join(", "))}
            ]},
        },
        "ResultPath": null,
    })
}

/// The state with another field.
pub(crate) fn with(mut state: Value, name: &str, value: Value) -> Value {
    state[name] = value;
    state
}

/// States in a row, by name.
pub(crate) fn row(states: &[(&str, Value)]) -> Value {
    let mut all = serde_json::Map::new();
    for (index, (name, state)) in states.iter().enumerate() {
        let mut state = state.clone();
        let ends = matches!(state["Type"].as_str(), Some("Choice" | "Succeed" | "Fail"));
        if !ends && state["Next"].is_null() {
            match states.get(index + 1) {
                Some((next, _)) => state["Next"] = json!(next),
                None => state["End"] = json!(true),
            }
        }
        all.insert((*name).to_owned(), state);
    }
    json!({"StartAt": states[0].0, "States": all})
}

impl Project {
    pub(crate) fn new(flow: &Value, input: &Value) -> Self {
        let project = Self { folder: tempfile::tempdir().unwrap() };
        project.write("flow.asl.json", &flow.to_string());
        project.write("input.json", &input.to_string());
        project.write("contract.toml", CONTRACT);
        for (name, day) in [("a", 5), ("b", 6)] {
            let row = |row: u32| {
                let (minute, second, site) = (row / 60 % 60, row % 60, row % 7);
                format!("2026-01-0{day}T10:{minute:02}:{second:02}Z,s{site},{}\n", u32::from(row % 5 == 0))
            };
            let rows: String = (0..3_000).map(row).collect();
            project.write(&format!("{name}.csv"), &format!("time,site,clicked\n{rows}"));
        }
        project
    }

    /// Shards, average, pack and verify, with real commands.
    pub(crate) fn trains() -> Self {
        let train = [
            "omomi",
            "train",
            "--contract",
            "contract.toml",
            "--logs",
            "States.Format('{}.csv', $)",
            "--state",
            "States.Format('{}.state', $)",
            "--alpha",
            "0.05",
            "--passes",
            "1",
            "--force",
        ];
        let shards = json!({
            "Type": "Map", "ItemsPath": "$.logs", "MaxConcurrency": 2, "ResultPath": null,
            "ItemProcessor": row(&[("Train", task(&train))]),
        });
        let flow = row(&[
            ("Shards", shards),
            ("Average", task(&["omomi", "average", "a.state", "b.state", "--out", "all.state", "--force"])),
            // The command does not replace a file, and a task may run again.
            (
                "Pack",
                task(&[
                    "sh",
                    "-c",
                    "rm -f model.omomi; exec \"$@\"",
                    "sh",
                    env!("CARGO_BIN_EXE_omomi"),
                    "pack",
                    "--contract",
                    "contract.toml",
                    "--state",
                    "all.state",
                    "--held-out",
                    "b.csv",
                    "--logic-id",
                    "flow",
                    "--generation",
                    "1",
                    "--out",
                    "model.omomi",
                ]),
            ),
            ("Verify", task(&["omomi", "verify", "model.omomi"])),
        ]);
        Self::new(&flow, &json!({"logs": ["a", "b"]}))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_omomi"));
        command.args(arguments.split_whitespace()).current_dir(self.folder.path());
        command
    }

    pub(crate) fn run(&self, arguments: &str) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs the flow, and returns its account.
    #[track_caller]
    pub(crate) fn flow(&self, exit_code: i32) -> Value {
        let output = self.run("flow run --json");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(exit_code), "{said}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
    }

    /// The history of the last run.
    pub(crate) fn history(&self) -> Vec<Value> {
        // The folder appears when the first run begins.
        let entries = std::fs::read_dir(self.path("runs")).into_iter().flatten();
        let paths = entries.map(|entry| entry.unwrap().path().join("history.jsonl"));
        let mut runs: Vec<PathBuf> = paths.filter(|path| path.exists()).collect();
        runs.sort();
        let Some(last) = runs.last() else { return Vec::new() };
        let text = std::fs::read_to_string(last).unwrap();
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        complete.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
