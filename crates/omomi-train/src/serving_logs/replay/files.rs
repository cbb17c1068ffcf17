//! The weight files of a replay: those of a store, or named ones.

use std::path::{Path, PathBuf};

use omomi::LoadMode;
use omomi::error::Owner;
use omomi::serving_log::LoggedModel;
use omomi::store::{Digest, Store};

use super::scorer::Replayer;
use crate::bucket::{digest_of, load_model};
use crate::serving_logs::error::ServingLogError;
use crate::serving_logs::json::hex;

/// Where the weight files of a replay are.
#[derive(Debug, Clone)]
pub enum ReplayFiles {
    /// The generations of a store.
    Store(PathBuf),
    /// Weight files, each with its generation and its digest.
    Files(Vec<(PathBuf, u64, Digest)>),
}

/// Who must act, and what is wrong with a file.
type FileFault = (Owner, String);

impl ReplayFiles {
    /// Reads which generations named files have.
    ///
    /// # Errors
    ///
    /// Returns [`ServingLogError`] if a file is not a weight file, or cannot be read.
    pub fn of_files(paths: &[PathBuf]) -> Result<Self, ServingLogError> {
        let files = paths.iter().map(|path| {
            let failed = |source| ServingLogError::File { action: "read the file", path: path.clone(), source };
            let model = load_model(path, LoadMode::Map);
            let model = model.map_err(|source| ServingLogError::WeightFile { path: path.clone(), source })?;
            Ok((path.clone(), model.generation(), digest_of(path).map_err(failed)?))
        });
        Ok(Self::Files(files.collect::<Result<_, ServingLogError>>()?))
    }

    /// Opens the file of a logged model. If there is another one of that generation, opens that, and says so.
    pub(super) fn open(&self, logged: &LoggedModel<'_>) -> Result<(Replayer, Option<FileFault>), FileFault> {
        let generation = logged.generation;
        let (path, digest) = match self {
            Self::Store(dir) => {
                let path = Store::new(dir).generation_path(generation);
                let digest = Digest::of_file(&path).map_err(|error| {
                    let message = format!(
                        "{}: the file of generation {generation} cannot be read: {error}; keep the generations that \
                         the log names, or pass their files",
                        path.display()
                    );
                    (Owner::Ml, message)
                })?;
                (path, digest)
            }
            Self::Files(files) => {
                let of_it = || files.iter().filter(|(_, found, _)| *found == generation);
                let exact = of_it().find(|(.., digest)| digest.as_bytes()[..8] == logged.digest);
                let Some((path, _, digest)) = exact.or_else(|| of_it().next()) else {
                    let message = format!("expected a file of generation {generation}, found none; pass it");
                    return Err((Owner::Ml, message));
                };
                (path.clone(), *digest)
            }
        };
        let is_other_file = digest.as_bytes()[..8] != logged.digest;
        let replayer = open(&path, is_other_file).map_err(|error| {
            (Owner::Ml, format!("{}: the file of generation {generation} cannot be used: {error}", path.display()))
        })?;
        let fault = is_other_file.then(|| {
            let mut message = format!(
                "{}: expected the file of generation {generation} with a digest that begins with {}, found {}; restore \
                 the file that was served",
                path.display(),
                hex(&logged.digest),
                hex(&digest.as_bytes()[..8])
            );
            if replayer.fingerprint() != logged.contract_fingerprint {
                message.push_str("; its contract is another one, too: compare units, ranges and buckets");
            }
            (Owner::Ml, message)
        });
        Ok((replayer, fault))
    }
}

fn open(path: &Path, is_other_file: bool) -> Result<Replayer, omomi::Error> {
    Replayer::new(&load_model(path, LoadMode::Map)?, is_other_file)
}
