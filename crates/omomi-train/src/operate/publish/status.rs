//! The status of a store: what was published, the orders in force, and the last report of each serving process.

use std::path::Path;

use serde_json::{Value, json};

use omomi::error::Error;
use omomi::printable::quoted;
use omomi::store::{Control, Current, Digest, Store};
use omomi::weight_file::WeightFile;
use omomi::weight_file::map::{FileBytes, LoadMode};

use super::PublishError;
use super::servers::{Life, ServerStatus, servers_of};

/// The status of a store.
#[derive(Debug)]
pub struct Status {
    /// The newest generations, in ascending order.
    pub generations: Vec<GenerationStatus>,
    /// Number of older generations that are not listed.
    pub older_count: usize,
    /// The last publication.
    pub current: Result<Option<Current>, Error>,
    /// The orders in `control`; `None` if the file is absent. Servers then obey what they heard last.
    pub control: Result<Option<Control>, Error>,
    /// Whether the published file is gone, although `current` names it.
    pub is_current_gone: bool,
    /// The serving processes, sorted by name.
    pub servers: Vec<ServerStatus>,
    /// Number of states that came from another store with a copy of it.
    pub foreign_count: usize,
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
        let (servers, foreign_count) = servers_of(store)?;
        let control = store.read_control().map(|text| text.map(|text| text.over(Control::default())));
        Ok(Self {
            is_current_gone: published.is_some_and(|published| !all.contains(&published.generation)),
            generations: all[older_count..].iter().map(status_of).collect(),
            older_count,
            control,
            servers,
            foreign_count,
            current,
        })
    }

    /// Returns everything that somebody should look into, one line each; nothing if all is well.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        match &self.current {
            Ok(Some(current)) if self.is_current_gone => {
                problems.push(format!("the file of generation {}, which is published, is gone", current.generation));
            }
            Ok(_) => {}
            Err(error) => problems.push(error.full_message()),
        }
        match &self.control {
            Ok(None) if matches!(self.current, Ok(Some(_))) => {
                problems.push("`control` is absent: servers obey what they heard last; run omomi follow".to_owned());
            }
            Ok(_) => {}
            Err(error) => problems.push(error.full_message()),
        }
        for generation in &self.generations {
            if let Err(error) = &generation.file {
                problems.push(format!("generation {}: {}", generation.generation, error.full_message()));
            }
        }
        for server in &self.servers {
            let name = &server.name;
            if server.is_stale() {
                problems.push(format!("{name} {}", if server.life == Life::Died { "died" } else { "is stuck" }));
            }
            if let Some(pid) = server.second_pid {
                problems.push(format!("{name}: a second process of this name runs, with pid {pid}"));
            }
            match &server.report {
                Err(problem) => problems.push(format!("{name}: {problem}")),
                Ok(report) if server.life != Life::Ended => {
                    let reasons = report["reasons"].as_array().into_iter().flatten();
                    let text = |reason: &Value| Some(format!("{name}: {}", reason["text"].as_str()?));
                    problems.extend(reasons.filter_map(text));
                }
                Ok(_) => {}
            }
        }
        problems
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
            Ok(control) => json!(control.map(|control| control.to_string())),
            Err(error) => problem(error),
        };
        json!({
            "current": current,
            "control": control,
            "generations": self.generations.iter().map(GenerationStatus::to_json).collect::<Vec<_>>(),
            "older_generations": self.older_count,
            "is_current_gone": self.is_current_gone,
            "foreign_states": self.foreign_count,
            "problems": self.problems(),
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
