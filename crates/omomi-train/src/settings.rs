//! Reads settings from TOML files that people write. Every key is optional. An unknown key is a fault. All faults are
//! reported together, each with its line.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::bucket::{Address, Place, bucket_of, place_of};
use crate::toml::{Lines, to_json};
use omomi::contract::Fault;
use omomi::contract::validate::kind_of;
use omomi::error::Error;
use omomi::short_text::{self, TextError};

/// Most bytes of a settings file: enough for a limit for every field that a contract can have.
const MAX_TEXT_LEN: u64 = 64 << 10;

/// All faults of a settings file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsFaults {
    /// The file.
    pub path: PathBuf,
    /// The faults, in the order of the file.
    pub faults: Vec<Fault>,
}

impl fmt::Display for SettingsFaults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.faults.len();
        write!(formatter, "{} has {count} fault{}", self.path.display(), if count == 1 { "" } else { "s" })?;
        self.faults.iter().try_for_each(|fault| write!(formatter, "\n  {fault}"))
    }
}

impl std::error::Error for SettingsFaults {}

/// Why the text of a settings file cannot be read.
#[derive(Debug)]
pub(crate) enum NoSettings {
    /// The operating system could not read the file.
    Unreadable(Error),
    /// The file is too large or is not text.
    Faults(SettingsFaults),
}

/// Reads the text of the settings file at `path`. Returns `None` if there is no file.
pub(crate) fn read_text(path: &Path) -> Result<Option<String>, NoSettings> {
    let text = match place_of(path) {
        Ok(Place::Disk(path)) => short_text::read(&path, MAX_TEXT_LEN),
        Ok(Place::Bucket(address)) => text_of_object(&address),
        Err(source) => Err(TextError::Io { action: "read", source }),
    };
    text.map_err(|error| match error {
        TextError::Io { action, source } => {
            NoSettings::Unreadable(Error::File { action, path: path.to_owned(), source })
        }
        TextError::Unexpected { expected, found } => {
            let message = format!("expected {expected}, found {found}");
            let fault = Fault { line: None, place: "settings".to_owned(), message };
            NoSettings::Faults(SettingsFaults { path: path.to_owned(), faults: vec![fault] })
        }
    })
}

/// Reads a short text that is an object. Returns `None` if there is none.
fn text_of_object(address: &Address) -> Result<Option<String>, TextError> {
    let failed = |source| TextError::Io { action: "read", source };
    let bucket = bucket_of(address).map_err(failed)?;
    let read = bucket.read("", MAX_TEXT_LEN).map_err(|error| failed(std::io::Error::other(error)))?;
    let Some((bytes, _)) = read else { return Ok(None) };
    let not_text = || TextError::Unexpected { expected: "UTF-8".to_owned(), found: "other bytes" };
    String::from_utf8(bytes.into()).map(Some).map_err(|_| not_text())
}

/// Calls `set` for each top-level key of the text, with the path of the key, the key and its value. `what` names the
/// settings in faults that are not about one key.
///
/// # Errors
///
/// Returns all faults, in the order of the text.
pub(crate) fn each_key(
    text: &str,
    what: &str,
    set: &mut dyn FnMut(&KeyPath<'_>, &str, &Value) -> Result<(), Fault>,
) -> Result<(), Vec<Fault>> {
    let (value, lines) = to_json(text, what)?;
    let mut faults = Vec::new();
    for (key, value) in value.as_object().into_iter().flatten() {
        let key_path = KeyPath { lines: &lines, path: vec![key.clone()] };
        faults.extend(set(&key_path, key, value).err());
    }
    faults.sort_by_key(|fault| fault.line);
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// The path of a key in a settings file, such as `max_features.site_id`, and the lines of the file. It checks the type
/// of values and makes faults that name the key and its line.
pub(crate) struct KeyPath<'a> {
    lines: &'a Lines,
    path: Vec<String>,
}

impl KeyPath<'_> {
    /// Returns the path of a key in the table at this path.
    pub(crate) fn key(&self, key: &str) -> Self {
        Self { path: self.path.iter().cloned().chain([key.to_owned()]).collect(), ..*self }
    }

    pub(crate) fn unknown(&self) -> Fault {
        self.fault("not known; see the documentation for the list of keys".to_owned())
    }

    fn fault(&self, message: String) -> Fault {
        Fault { line: self.lines.get(&self.path).copied(), place: self.path.join("."), message }
    }

    pub(crate) fn unexpected(&self, expected: &str, value: &Value) -> Fault {
        let found = match value {
            Value::String(text) => format!("{text:?}"),
            Value::Number(number) => number.to_string(),
            other => kind_of(other).to_owned(),
        };
        self.fault(format!("expected {expected}, found {found}"))
    }

    pub(crate) fn whole_number(&self, value: &Value) -> Result<u64, Fault> {
        value.as_u64().ok_or_else(|| self.unexpected("a whole number of at least 0", value))
    }

    pub(crate) fn number(&self, value: &Value) -> Result<f64, Fault> {
        let number = value.as_f64().filter(|number| *number >= 0.0);
        number.ok_or_else(|| self.unexpected("a number of at least 0", value))
    }

    pub(crate) fn ratios(&self, value: &Value) -> Result<[f64; 2], Fault> {
        let list = value.as_array().map(|list| list.iter().map(Value::as_f64).collect::<Vec<_>>());
        match list.as_deref() {
            Some(&[Some(min), Some(max)]) if 0.0 <= min && min <= max => Ok([min, max]),
            _ => Err(self.unexpected("two numbers, the smaller first, such as [0.5, 2.0]", value)),
        }
    }

    pub(crate) fn duration(&self, value: &Value) -> Result<Duration, Fault> {
        let parse = |text: &str| {
            let (count, unit) = text.split_once(' ')?;
            let seconds = match unit.strip_suffix('s').unwrap_or(unit) {
                "day" => 86_400,
                "hour" => 3_600,
                "minute" => 60,
                _ => return None,
            };
            count.parse::<u64>().ok()?.checked_mul(seconds).map(Duration::from_secs)
        };
        let duration = value.as_str().and_then(parse);
        duration.ok_or_else(|| self.unexpected("a number of days, hours or minutes, such as \"14 days\"", value))
    }

    pub(crate) fn paths(&self, value: &Value) -> Result<Vec<PathBuf>, Fault> {
        let paths = value.as_array().and_then(|list| list.iter().map(|path| Some(path.as_str()?.into())).collect());
        paths.ok_or_else(|| self.unexpected("a list of paths", value))
    }
}
