//! The status of a store: what was published, the orders in force, and the last report of each serving process.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use omomi::error::Error;
use omomi::printable::quoted;
use omomi::short_text::{self, TextError};
use omomi::store::{Control, Current, Digest, Store};
use omomi::weight_file::WeightFile;
use omomi::weight_file::map::{FileBytes, LoadMode};

use super::{PublishError, failed};

/// Age in seconds after which a report means that its process is dead or stuck.
pub const STALE_AFTER_SECONDS: u64 = 30;

/// Maximum length of a process's report, in bytes.
const MAX_REPORT_LEN: u64 = 4 << 20;

/// The status of a store.
#[derive(Debug)]
pub struct Status {
    /// The newest generations, in ascending order.
    pub generations: Vec<GenerationStatus>,
    /// Number of older generations that are not listed.
    pub older_count: usize,
    /// The last publication.
    pub current: Result<Option<Current>, Error>,
    /// The order in force.
    pub control: Result<Control, Error>,
    /// The serving processes, sorted by name.
    pub servers: Vec<ServerStatus>,
}

/// A published weight file, verified in full.
#[derive(Debug)]
pub struct GenerationStatus {
    /// Number of the generation.
    pub generation: u64,
    /// The content of the file, or why it cannot be read.
    pub file: Result<FileStatus, Error>,
    /// Whether the file has its name but never became current, because its publisher died.
    pub is_unfinished: bool,
}

/// Facts about a weight file.
#[derive(Debug, Clone, PartialEq)]
pub struct FileStatus {
    /// Digest of its bytes.
    pub digest: Digest,
    /// Length in bytes.
    pub len_bytes: u64,
    /// Number of weights.
    pub weight_count: u64,
    /// Name of the serving logic.
    pub logic_id: String,
    /// When its training data ends, as written in its provenance.
    pub training_end: Option<String>,
}

/// The last report of a serving process.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerStatus {
    /// Name of its folder in `state`.
    pub name: String,
    /// The report, or why there is none.
    pub report: Result<Value, String>,
    /// Age of the report; `None` if the report has no time.
    pub heartbeat_age_seconds: Option<u64>,
}

impl ServerStatus {
    /// Returns whether the process is dead or stuck, as far as a report can show.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.heartbeat_age_seconds.is_none_or(|age| age > STALE_AFTER_SECONDS)
    }
}

impl Status {
    /// Reads the status of a store: verifies the newest `generation_count` weight files in full, and reads every
    /// report.
    ///
    /// # Errors
    ///
    /// Returns [`PublishError::NotAStore`] if `store` is not a store, and [`Error::File`] if a folder cannot be listed.
    /// Problems with single files are part of the status.
    pub fn read(store: &Store, generation_count: usize) -> Result<Self, PublishError> {
        super::control::check_store(store)?;
        let all = store.generations()?;
        let older_count = all.len().saturating_sub(generation_count);
        let current = store.read_current();
        let published = current.as_ref().ok().copied().flatten();
        let status_of = |&generation: &u64| GenerationStatus {
            generation,
            file: file_status(&store.generation_path(generation), published.filter(|it| it.generation == generation)),
            is_unfinished: current.is_ok() && published.is_none_or(|current| current.generation < generation),
        };
        Ok(Self {
            generations: all[older_count..].iter().map(status_of).collect(),
            older_count,
            control: store.read_control(),
            servers: servers(&store.state_path())?,
            current,
        })
    }

    /// Returns the status as a JSON object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let current = match &self.current {
            Ok(current) => json!(current.map(|Current { generation, digest }| {
                json!({ "generation": generation, "digest": digest.to_string() })
            })),
            Err(error) => problem(error),
        };
        let control = match &self.control {
            Ok(control) => Value::from(control.to_string()),
            Err(error) => problem(error),
        };
        json!({
            "current": current,
            "control": control,
            "generations": self.generations.iter().map(GenerationStatus::to_json).collect::<Vec<_>>(),
            "older_generations": self.older_count,
            "servers": self.servers.iter().map(ServerStatus::to_json).collect::<Vec<_>>(),
        })
    }
}

impl GenerationStatus {
    fn to_json(&self) -> Value {
        let mut object = match &self.file {
            Err(error) => problem(error),
            Ok(file) => json!({
                "digest": file.digest.to_string(),
                "len_bytes": file.len_bytes,
                "weight_count": file.weight_count,
                "logic_id": file.logic_id,
                "training_end": file.training_end,
            }),
        };
        object["generation"] = self.generation.into();
        object["is_unfinished"] = self.is_unfinished.into();
        object
    }
}

impl ServerStatus {
    fn to_json(&self) -> Value {
        let (report, problem) = match &self.report {
            Ok(report) => (Some(report), None),
            Err(problem) => (None, Some(problem)),
        };
        json!({
            "name": self.name,
            "report": report,
            "problem": problem,
            "heartbeat_age_seconds": self.heartbeat_age_seconds,
            "is_stale": self.is_stale(),
        })
    }
}

fn problem(error: &Error) -> Value {
    let code = error.code();
    json!({ "problem": {
        "code": code.name(), "owner": code.owner().word(), "message": error.full_message(), "action": code.action(),
    } })
}

fn file_status(path: &Path, published: Option<Current>) -> Result<FileStatus, Error> {
    let file = WeightFile::open(FileBytes::load(path, LoadMode::Map)?)?;
    let content = file.verify()?;
    let digest = Digest::of(file.bytes());
    if let Some(Current { digest: expected, .. }) = published
        && digest != expected
    {
        return Err(Error::DigestMismatch { path: path.to_owned(), expected, found: digest });
    }
    let provenance = file.provenance()?;
    let window = &provenance["training"]["training_window"];
    Ok(FileStatus {
        digest,
        len_bytes: file.header().total_len_bytes,
        weight_count: content.weight_count,
        logic_id: content.logic_id,
        training_end: window["last"].as_str().map(quoted),
    })
}

/// Returns the status of each process's folder, sorted by name.
fn servers(state: &Path) -> Result<Vec<ServerStatus>, PublishError> {
    let entries = match state.read_dir() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed("list", state))?,
    };
    let mut servers = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed("list", state))?;
        if entry.path().is_dir() {
            servers.push(server_status(entry.file_name().to_string_lossy().into_owned(), &entry.path()));
        }
    }
    servers.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(servers)
}

fn server_status(name: String, folder: &Path) -> ServerStatus {
    let report = match short_text::read(&folder.join("report.json"), MAX_REPORT_LEN) {
        Ok(Some(text)) => {
            serde_json::from_str::<Value>(&text).map_err(|error| format!("its report is not JSON: {error}"))
        }
        Ok(None) => Err("it has no report".to_owned()),
        Err(TextError::Io { action, source }) => Err(format!("cannot {action} its report: {source}")),
        Err(TextError::Unexpected { expected, found }) => {
            Err(format!("its report: expected {expected}, found {found}"))
        }
    };
    let heartbeat = report.as_ref().ok().and_then(|report| report["heartbeat_unix_seconds"].as_u64());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    ServerStatus { name, report, heartbeat_age_seconds: heartbeat.map(|heartbeat| now.saturating_sub(heartbeat)) }
}
