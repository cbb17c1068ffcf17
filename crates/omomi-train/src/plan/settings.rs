//! The settings of a daily training, as people write them: `flow.toml` and `prune.toml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Value;

use super::PlanError;
use super::day::Day;
use crate::log::HoldOutRule;
use crate::settings::{NoSettings, read_text};

/// Flags of a command by their names, such as `max_bytes = "200MB"` for `--max-bytes 200MB`.
pub type Flags = BTreeMap<String, Value>;

/// What `flow.toml` says.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowSettings {
    /// Name of the serving logic, which is in the file and in each log row.
    pub logic_id: String,
    /// Where the logs are, and how they are read.
    pub logs: LogSettings,
    /// Flags of `omomi train`.
    #[serde(default)]
    pub train: Flags,
    /// Flags of `omomi train` that apply only when the model continues, such as `decay`.
    #[serde(default, rename = "continue")]
    pub continued: Flags,
    /// When the model is trained from nothing.
    #[serde(default)]
    pub rebuild: RebuildSettings,
    /// Flags of `omomi preflight`.
    #[serde(default)]
    pub preflight: Flags,
}

/// Where the logs are, and how they are read.
#[derive(Debug, Clone, Deserialize)]
pub struct LogSettings {
    /// Pattern of the logs of a day, below the folder of the logs.
    pub days: String,
    /// Column with the time of the impression.
    pub time_column: Option<String>,
    /// Rows of the learned logs that are left out, for recalibration and pruning.
    #[serde(default = "every_20")]
    pub held_out_rows: String,
    /// Days that no model learns.
    #[serde(default)]
    pub skip_days: Vec<Day>,
    /// Flags of every command that reads logs, such as `csv_delimiter`.
    #[serde(flatten)]
    pub flags: Flags,
}

fn every_20() -> String {
    "every 20".to_owned()
}

/// When the model is trained from nothing.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RebuildSettings {
    /// Age of the model in days.
    pub after_days: u32,
    /// Number of days that it then learns.
    pub days: u32,
}

impl Default for RebuildSettings {
    fn default() -> Self {
        Self { after_days: 21, days: 14 }
    }
}

/// Flags that the plan sets itself, so that they are no settings.
const SET_BY_PLAN: &[&str] = &[
    "contract",
    "logs",
    "state",
    "start",
    "shards",
    "shard",
    "held_out",
    "held_out_rows",
    "time_column",
    "out",
    "force",
    "json",
    "store",
    "generation",
    "start_shares",
    "round",
    "rounds",
    "quiet",
    "work_dir",
];

impl FlowSettings {
    /// Reads `flow.toml`.
    ///
    /// # Errors
    ///
    /// Returns [`PlanError::Settings`] with what is wrong, or that of a file that cannot be read.
    pub fn read(path: &Path) -> Result<Self, PlanError> {
        let settings: Self = read_toml(path)?;
        let wrong = |message: String| PlanError::Settings { path: path.to_owned(), message };
        Day::of_time_us(0).by_pattern(&settings.logs.days).map_err(|problem| wrong(format!("days: {problem}")))?;
        if !settings.logs.days.contains('%') {
            let found = &settings.logs.days;
            return Err(wrong(format!(
                "days: expected a pattern with a date, such as \"%Y-%m-%d/*.parquet\", found {found:?}"
            )));
        }
        let rule: Result<HoldOutRule, _> = settings.logs.held_out_rows.parse();
        rule.map_err(|problem| wrong(format!("held_out_rows: {problem}")))?;
        if settings.rebuild.after_days == 0 || settings.rebuild.days == 0 {
            return Err(wrong("rebuild: expected numbers of days from 1".to_owned()));
        }
        for flags in [&settings.logs.flags, &settings.train, &settings.continued, &settings.preflight] {
            words(flags).map_err(&wrong)?;
        }
        Ok(settings)
    }
}

impl FlowSettings {
    /// The flags of a command that reads logs.
    ///
    /// # Errors
    ///
    /// Returns [`PlanError::Settings`] if a setting is no flag.
    pub fn log_words(&self) -> Result<Vec<String>, PlanError> {
        words(&self.logs.flags).map_err(|message| PlanError::Settings { path: "flow.toml".into(), message })
    }
}

/// Reads `prune.toml`: the flags of `omomi prune`.
///
/// # Errors
///
/// Returns [`PlanError::Settings`] with what is wrong, or that of a file that cannot be read.
pub fn read_flags(path: &Path) -> Result<Flags, PlanError> {
    let flags = read_toml(path)?;
    words(&flags).map_err(|message| PlanError::Settings { path: path.to_owned(), message })?;
    Ok(flags)
}

fn read_toml<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, PlanError> {
    let text = match read_text(path) {
        Ok(Some(text)) => text,
        Ok(None) => return Err(PlanError::NoSettings { path: path.to_owned() }),
        Err(NoSettings::Unreadable(error)) => return Err(PlanError::Serving(error)),
        Err(NoSettings::Faults(faults)) => {
            return Err(PlanError::Settings { path: PathBuf::new(), message: faults.to_string() });
        }
    };
    toml::from_str(&text).map_err(|error| PlanError::Settings { path: path.to_owned(), message: error.to_string() })
}

/// Returns the flags as words of a command line.
pub(super) fn words(flags: &Flags) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    for (name, value) in flags {
        if SET_BY_PLAN.contains(&name.as_str()) {
            return Err(format!("{name}: expected a flag that is a setting; the flow sets this one itself"));
        }
        let flag = format!("--{}", name.replace('_', "-"));
        let values = if let Value::Array(values) = value { values.as_slice() } else { std::slice::from_ref(value) };
        for value in values {
            match value {
                Value::Boolean(true) => words.push(flag.clone()),
                Value::Boolean(false) => {}
                Value::String(text) => words.push(format!("{flag}={text}")),
                Value::Integer(number) => words.push(format!("{flag}={number}")),
                Value::Float(number) => words.push(format!("{flag}={number}")),
                _ => return Err(format!("{name}: expected a text, a number, true, or an array of them")),
            }
        }
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<FlowSettings, PlanError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flow.toml");
        std::fs::write(&path, text).unwrap();
        FlowSettings::read(&path)
    }

    #[test]
    fn settings_become_flags_of_the_commands() {
        let flags: Flags =
            toml::from_str("max_bytes = \"2MB\"\nlast_seen = [\"a=7 days\", \"30 days\"]\nallow = true\nl1 = 1.5")
                .unwrap();
        let expected = ["--allow", "--l1=1.5", "--last-seen=a=7 days", "--last-seen=30 days", "--max-bytes=2MB"];
        assert_eq!(words(&flags).unwrap(), expected);
    }

    #[test]
    fn settings_that_are_wrong_are_named() {
        let good = "logic_id = \"a\"\n[logs]\ndays = \"%Y-%m-%d/*\"\n";
        let settings = read(good).unwrap();
        assert_eq!((settings.rebuild.after_days, settings.logs.held_out_rows.as_str()), (21, "every 20"));
        for (text, expected) in [
            ("", "missing field `logic_id`".to_owned()),
            ("logic_id = \"a\"\n[logs]\ndays = \"day/*\"\n", "expected a pattern with a date".to_owned()),
            (&format!("{good}held_out_rows = \"some\"\n"), "found `some`".to_owned()),
            (&format!("{good}skip_days = [\"yesterday\"]\n"), "expected a day such as 2026-01-05".to_owned()),
            (&format!("{good}[train]\nstate = \"a\"\n"), "the flow sets this one itself".to_owned()),
            (&format!("{good}[rebuild]\nafter = 3\n"), "unknown field `after`".to_owned()),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(&expected), "{error}");
        }
    }
}
