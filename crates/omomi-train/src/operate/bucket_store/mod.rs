//! A store in a bucket: it has the objects that a store in a folder has files for.
//!
//! A change works on a copy: [`BucketStore::change`] brings what the change needs into a folder of this machine, lets
//! the change work on that store by its own rules, and then writes what is new back. The steps of writing back are in
//! an order in which a reader of the bucket sees the old state or the new one:
//!
//! 1. New weight files, each under a name that no object has.
//! 2. The days of `history/`.
//! 3. `pardons`, `control`, `current`: each replaces exactly the version that was brought.
//!
//! If another writer was first, nothing that servers see has changed. The change then starts again from what is there
//! now, and its own rules say whether it still makes sense. A process that dies before step 3 leaves at most a weight
//! file that nothing names; publishing the same bytes again completes the publication.
//!
//! The folder is a cache. It is locked while it is in use; its weight files are kept, so that the next publication does
//! not bring them again.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use omomi::error::Owner;
use omomi::new_file::NewFile;
use omomi::store::{ControlText, Current, MAX_TEXT_LEN, Named, Store};

use super::publish::gc::decide::{Decision, Facts, GcOptions, decide};
use super::publish::limits::USUAL_COUNT;
use crate::bucket::{Bucket, BucketError, Pace, Version, Written};

/// Objects of a store that are short texts. What follows from a text is written after what it names.
const TEXTS: [&str; 5] = ["limits.toml", "gate.toml", "pardons", "control", "current"];
/// The texts that commands change.
const CHANGED_TEXTS: [&str; 3] = ["pardons", "control", "current"];
/// Longest day of a history, in bytes.
const MAX_DAY_LEN: u64 = 64 << 20;
/// Longest settings in bytes.
const MAX_SETTINGS_LEN: u64 = 1 << 20;
/// How often a change starts again because another writer was first.
const MAX_ATTEMPTS: u32 = 16;

/// A store in a bucket, and the folder of this machine in which it is worked on.
#[derive(Debug)]
pub struct BucketStore {
    bucket: Bucket,
    store: Store,
    lock: File,
}

/// What a change needs of a store in addition to its texts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    /// The weight file that is served.
    pub served_file: bool,
    /// The last weight files, with whose sizes a publication compares.
    pub last_files: bool,
    /// The weight file of one generation.
    pub file_of: Option<u64>,
    /// The days of the history.
    pub history: bool,
}

/// Why a store in a bucket was not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BucketStoreError {
    /// The bucket did not do what it was asked.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// Another process of this machine works on the store.
    #[error("{folder} is locked: another command of this machine works on {address}")]
    Busy {
        /// The folder of the copy.
        folder: PathBuf,
        /// The store.
        address: String,
    },
    /// Other writers were first each time.
    #[error("{address} was changed by others {MAX_ATTEMPTS} times in a row, so the change was not made")]
    Contended {
        /// The store.
        address: String,
    },
    /// The folder of the copy cannot be used.
    #[error("cannot {action} {path}: {source}")]
    File {
        /// What was tried.
        action: &'static str,
        /// The path.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

impl BucketStoreError {
    /// The stable name of the error in snake case.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Bucket(error) => error.name(),
            Self::Busy { .. } => "busy",
            Self::Contended { .. } => "contended",
            Self::File { .. } => "file",
        }
    }

    /// Who must act.
    #[must_use]
    pub const fn owner(&self) -> Owner {
        match self {
            Self::Bucket(error) => error.owner(),
            Self::Busy { .. } | Self::Contended { .. } => Owner::Ml,
            Self::File { .. } => Owner::Infra,
        }
    }

    /// What they must do.
    #[must_use]
    pub const fn action(&self) -> &'static str {
        match self {
            Self::Bucket(error) => error.action(),
            Self::Busy { .. } => "wait for the other command to end",
            Self::Contended { .. } => "find out who else writes to the store, then try again",
            Self::File { .. } => {
                "check the disk and the permissions of the cache, or set OMOMI_CACHE to another folder"
            }
        }
    }
}

/// What is in the bucket, as it was brought.
struct Brought {
    texts: BTreeMap<&'static str, Option<(Bytes, Version)>>,
    generations: Vec<(u64, u64)>,
    days: BTreeMap<String, Bytes>,
}

fn failed(action: &'static str, path: &Path) -> impl Fn(io::Error) -> BucketStoreError {
    let path = path.to_owned();
    move |source| BucketStoreError::File { action, path: path.clone(), source }
}

impl Drop for BucketStore {
    fn drop(&mut self) {
        // Closing the file is not enough while a process that another thread is starting has it open.
        let _ = self.lock.unlock();
    }
}

impl BucketStore {
    /// Prepares work on the store in `bucket`, with a copy in `folder`, which is created and locked.
    ///
    /// # Errors
    ///
    /// Returns [`BucketStoreError::Busy`] while another process works on the copy.
    pub fn open(bucket: Bucket, folder: impl Into<PathBuf>) -> Result<Self, BucketStoreError> {
        let folder = folder.into();
        fs::create_dir_all(folder.join("generations")).map_err(failed("create", &folder))?;
        let path = folder.join(".lock");
        let lock = File::options().create(true).append(true).open(&path).map_err(failed("open", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                return Err(BucketStoreError::Busy { folder, address: bucket.address().to_string() });
            }
            Err(fs::TryLockError::Error(error)) => return Err(failed("lock", &path)(error)),
        }
        Ok(Self { bucket, store: Store::new(folder), lock })
    }

    /// The copy. It has what the last [`change`](Self::change) or [`bring`](Self::bring) needed.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Brings the store into the copy, for reading.
    ///
    /// # Errors
    ///
    /// Returns an error of the bucket or of the folder.
    pub fn bring(&self, needs: Needs) -> Result<(), BucketStoreError> {
        self.pull(needs).map(|_| ())
    }

    /// Lets `change` work on the copy, and writes back what it changed. If another writer was first, `change` works
    /// again on what is there then.
    ///
    /// # Errors
    ///
    /// Returns the error of `change`, after which the bucket is as it was, or one of the bucket.
    pub fn change<T, E>(&self, needs: Needs, mut change: impl FnMut(&Store) -> Result<T, E>) -> Result<T, E>
    where
        E: From<BucketStoreError>,
    {
        self.bucket.check_conditions().map_err(BucketStoreError::from)?;
        for _ in 0..MAX_ATTEMPTS {
            let brought = self.pull(needs)?;
            let outcome = change(&self.store)?;
            if self.push(&brought)? == Written::Done {
                return Ok(outcome);
            }
        }
        Err(BucketStoreError::Contended { address: self.bucket.address().to_string() }.into())
    }

    /// Makes the copy what the bucket is.
    fn pull(&self, needs: Needs) -> Result<Brought, BucketStoreError> {
        let mut texts = BTreeMap::new();
        for name in TEXTS {
            let max_len = if name.ends_with(".toml") { MAX_SETTINGS_LEN } else { MAX_TEXT_LEN };
            let text = self.bucket.read(name, max_len)?;
            self.put_text(name, text.as_ref().map(|(bytes, _)| &**bytes))?;
            texts.insert(name, text);
        }
        let generations = self.generations()?;
        self.remove_others(&generations)?;
        for (generation, len_bytes) in wanted(&self.store, &generations, needs) {
            self.pull_file(generation, len_bytes)?;
        }
        let mut days = BTreeMap::new();
        if needs.history {
            let folder = self.store.dir().join("history");
            fs::create_dir_all(&folder).map_err(failed("create", &folder))?;
            for listed in self.bucket.list("history")? {
                let Some((bytes, _)) = self.bucket.read(&listed.name, MAX_DAY_LEN)? else { continue };
                self.put_text(&listed.name, Some(&bytes))?;
                days.insert(listed.name, bytes);
            }
        }
        Ok(Brought { texts, generations, days })
    }

    /// The generations that have a weight file, in ascending order, with the lengths of the files.
    fn generations(&self) -> Result<Vec<(u64, u64)>, BucketStoreError> {
        let listed = self.bucket.list("generations")?;
        let of = |name: &str| {
            let stem = name.strip_prefix("generations/")?.strip_suffix(".omomi")?;
            let generation = stem.parse().ok()?;
            (self.store.generation_path(generation).file_name()?.to_str()? == name.rsplit('/').next()?)
                .then_some(generation)
        };
        let mut generations: Vec<(u64, u64)> =
            listed.iter().filter_map(|listed| Some((of(&listed.name)?, listed.len_bytes))).collect();
        generations.sort_unstable();
        Ok(generations)
    }

    fn put_text(&self, name: &str, bytes: Option<&[u8]>) -> Result<(), BucketStoreError> {
        let path = self.store.dir().join(name);
        let Some(bytes) = bytes else {
            return match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", &path)(error)),
                _ => Ok(()),
            };
        };
        if fs::read(&path).is_ok_and(|present| present == bytes) {
            return Ok(());
        }
        let written = NewFile::create(&path, true).and_then(|new_file| {
            new_file.file().write_all(bytes)?;
            new_file.commit()
        });
        written.map_err(failed("write", &path))
    }

    /// Removes weight files of the copy that the bucket does not have, such as that of a publication that lost a race.
    fn remove_others(&self, generations: &[(u64, u64)]) -> Result<(), BucketStoreError> {
        let folder = self.store.generations_path();
        for generation in self.store.generations().map_err(|error| failed("list", &folder)(io::Error::other(error)))? {
            let path = self.store.generation_path(generation);
            let len_bytes = path.metadata().map_err(failed("look at", &path))?.len();
            if !generations.contains(&(generation, len_bytes)) {
                fs::remove_file(&path).map_err(failed("remove", &path))?;
            }
        }
        Ok(())
    }

    fn pull_file(&self, generation: u64, len_bytes: u64) -> Result<(), BucketStoreError> {
        let path = self.store.generation_path(generation);
        if path.is_file() {
            return Ok(());
        }
        let name = object_of(generation, &self.store);
        let missing = || BucketError::Missing { address: self.bucket.address().join(&name).to_string() };
        let version = self.bucket.look_at(&name)?.ok_or_else(missing)?;
        if version.len_bytes != len_bytes {
            return Err(BucketError::Replaced { address: self.bucket.address().join(&name).to_string() }.into());
        }
        let mut reader = self.bucket.reader(&name, &version, 0, Pace::default())?;
        let written = NewFile::create(&path, false).and_then(|new_file| {
            io::copy(&mut reader, &mut new_file.file())?;
            new_file.make_read_only()?;
            new_file.commit()
        });
        written.map_err(failed("copy an object to", &path))
    }

    /// Writes back what differs from what was brought.
    fn push(&self, brought: &Brought) -> Result<Written, BucketStoreError> {
        let folder = self.store.generations_path();
        let present = self.store.generations().map_err(|error| failed("list", &folder)(io::Error::other(error)))?;
        let is_new = |generation: &u64| !brought.generations.iter().any(|(known, _)| known == generation);
        let mut created = Vec::new();
        for generation in present.into_iter().filter(is_new) {
            let name = object_of(generation, &self.store);
            if self.bucket.create_from(&name, &self.store.generation_path(generation))? == Written::OtherWasFirst {
                return Ok(Written::OtherWasFirst);
            }
            created.push(name);
        }
        self.push_history(&brought.days)?;
        for name in CHANGED_TEXTS {
            let path = self.store.dir().join(name);
            let now = match fs::read(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                now => Bytes::from(now.map_err(failed("read", &path))?),
            };
            let written = match brought.texts.get(name).and_then(Option::as_ref) {
                Some((before, _)) if *before == now => continue,
                Some((_, version)) => self.bucket.replace(name, now, version)?,
                None => self.bucket.create(name, now)?,
            };
            if written == Written::OtherWasFirst {
                // Nothing names what was created, unless the one who was first published the same.
                let named = self.bucket.read("current", MAX_TEXT_LEN)?;
                let named = named.and_then(|(bytes, _)| str::from_utf8(&bytes).ok()?.parse::<Current>().ok());
                let is_named = |name: &String| named.is_some_and(|it| object_of(it.generation, &self.store) == *name);
                for name in created.iter().filter(|name| !is_named(name)) {
                    self.bucket.remove(name)?;
                }
                return Ok(Written::OtherWasFirst);
            }
        }
        Ok(Written::Done)
    }

    fn push_history(&self, brought: &BTreeMap<String, Bytes>) -> Result<(), BucketStoreError> {
        let folder = self.store.dir().join("history");
        let Ok(entries) = folder.read_dir() else { return Ok(()) };
        for entry in entries {
            let path = entry.map_err(failed("list", &folder))?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let name = format!("history/{name}");
            if !name.ends_with(".json") {
                continue;
            }
            let now = fs::read(&path).map_err(failed("read", &path))?;
            if brought.get(&name).is_none_or(|before| *before != now) {
                self.bucket.overwrite(&name, now.into())?;
            }
        }
        Ok(())
    }

    /// Removes the weight files that nobody needs any more, by the rule of [`gc`](super::publish::gc); only says so if
    /// `is_dry_run`. Servers do not report to a bucket, so what a fetched store still serves is not known here: keep
    /// as many generations as any server may be behind.
    ///
    /// # Errors
    ///
    /// Returns an error of the bucket or of the folder.
    pub fn collect(
        &self,
        options: GcOptions,
        is_dry_run: bool,
    ) -> Result<(Decision, BTreeMap<u64, u64>), BucketStoreError> {
        let brought = self.pull(Needs::default())?;
        let text = |error: omomi::Error| error.full_message();
        let current = self.store.read_current().transpose();
        let control = self.store.read_control().transpose();
        let facts = Facts {
            files: brought.generations.iter().map(|(generation, _)| *generation).collect(),
            current: current.map(|current| current.map(|current| current.generation).map_err(text)),
            ordered: control.and_then(|control| match control {
                Ok(ControlText { target, .. }) => target?.named().map(|named| Ok(named.generation)),
                Err(error) => Some(Err(text(error))),
            }),
            states: Vec::new(),
        };
        let decision = decide(&facts, options);
        for (generation, _) in decision.generations.iter().filter(|(_, verdict)| verdict.is_removed && !is_dry_run) {
            self.bucket.remove(&object_of(*generation, &self.store))?;
        }
        Ok((decision, brought.generations.into_iter().collect()))
    }
}

/// The name of the object of a generation's weight file.
pub(super) fn object_of(generation: u64, store: &Store) -> String {
    let path = store.generation_path(generation);
    format!("generations/{}", path.file_name().unwrap_or_default().to_string_lossy())
}

/// The generations whose files are needed, with their lengths.
fn wanted(store: &Store, generations: &[(u64, u64)], needs: Needs) -> Vec<(u64, u64)> {
    let served = || {
        let ordered = store.read_control().ok().flatten().and_then(|text| text.target?.named());
        let current = || store.read_current().ok().flatten().map(Named::from);
        ordered.or_else(current).map(|named| named.generation)
    };
    let served = if needs.served_file { served() } else { None };
    let last = if needs.last_files { USUAL_COUNT } else { 0 };
    let first_of_last = generations.len().saturating_sub(last);
    let is_wanted = |(index, (generation, _)): &(usize, &(u64, u64))| {
        *index >= first_of_last || served == Some(*generation) || needs.file_of == Some(*generation)
    };
    generations.iter().enumerate().filter(is_wanted).map(|(_, listed)| *listed).collect()
}
