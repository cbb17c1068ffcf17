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
//! now, and its own rules say whether it still makes sense. A process that dies or loses before step 3 leaves at most a
//! weight file that nothing names. It is never removed here: the answer to its publication may only be late. To
//! complete it, publish that file again. `omomi gc` removes the files that no server needs.
//!
//! The folder is a cache. It is locked while it is in use; its weight files are kept, so that the next publication does
//! not bring them again. Beside each is the version of the object that it has the bytes of; without it, or if the
//! object has another version now, the file is brought again.
//!
//! [`BucketStore::order`] changes `control` alone. It needs nothing but to read and write that object, so that nothing
//! else can be in the way of an order to switch off.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use omomi::error::Owner;
use omomi::new_file::NewFile;
use omomi::store::{ControlText, Current, MAX_TEXT_LEN, Named, Store};

use super::publish::gc::decide::{Decision, Facts, GcOptions, decide};
use super::publish::limits::{Limits, USUAL_COUNT};
use crate::bucket::{Bucket, BucketError, Pace, Version, Written, file_bytes};

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
    /// There is no store at an address to which an order is given.
    #[error("{address} is no store: expected `current`, `control` or a weight file in `generations/`, found none")]
    NoStore {
        /// The address.
        address: String,
    },
    /// Other writers were first each time.
    #[error("{address} was changed by others {MAX_ATTEMPTS} times in a row, so the change was not made")]
    Contended {
        /// The store.
        address: String,
    },
    /// Something of the copy was removed while a command worked on it.
    #[error("{path} is gone: expected it to stay while a command works on {address}")]
    CopyGone {
        /// What is gone.
        path: PathBuf,
        /// The store.
        address: String,
    },
    /// A key in `limits.toml` is named by a path in the store.
    #[error(
        "{address} names the key `{found}`: expected the absolute path of a file on this machine, because keys are not \
         brought from a bucket"
    )]
    KeyInStore {
        /// The object `limits.toml`.
        address: String,
        /// The path.
        found: String,
    },
    /// The folder of the copy cannot be used.
    #[error("cannot {action} {path}")]
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
            Self::NoStore { .. } => "no_store",
            Self::Contended { .. } => "contended",
            Self::CopyGone { .. } => "copy_gone",
            Self::KeyInStore { .. } => "key_in_store",
            Self::File { .. } => "file",
        }
    }

    /// Who must act.
    #[must_use]
    pub const fn owner(&self) -> Owner {
        match self {
            Self::Bucket(error) => error.owner(),
            Self::NoStore { .. } | Self::Busy { .. } | Self::Contended { .. } | Self::KeyInStore { .. } => Owner::Ml,
            Self::CopyGone { .. } | Self::File { .. } => Owner::Infra,
        }
    }

    /// What they must do.
    #[must_use]
    pub const fn action(&self) -> &'static str {
        match self {
            Self::Bucket(error) => error.action(),
            Self::NoStore { .. } => "correct the address, or create the store: publish to it first",
            Self::Busy { .. } => "wait for the other command to end",
            Self::Contended { .. } => "find out who else writes to the store, then try again",
            Self::CopyGone { .. } => "remove the cache only while no command runs; then give the command again",
            Self::KeyInStore { .. } => "put the key on each machine that publishes, and name it by an absolute path",
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
    /// The days of the history, if the change needs them.
    days: Option<BTreeMap<String, (Bytes, Version)>>,
}

/// What a change made of the copy, read at one time: what happens to the copy afterwards does not matter.
struct Made {
    files: Vec<(u64, Bytes)>,
    days: Vec<(String, Bytes)>,
    texts: Vec<(&'static str, Option<Bytes>)>,
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
        self.pull(needs, &BTreeSet::new()).map(|_| ())
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
        let mut known = BTreeSet::new();
        for _ in 0..MAX_ATTEMPTS {
            let brought = self.pull(needs, &known)?;
            let outcome = change(&self.store)?;
            if self.push(&brought, &mut known)? {
                return Ok(outcome);
            }
        }
        Err(BucketStoreError::Contended { address: self.bucket.address().to_string() }.into())
    }

    /// Lets `change` change `control`, and nothing else. Reads and writes only that object, and `current` if
    /// `reads_current`. Conditions are not checked first: a service that ignores them obeys the later of two orders
    /// that are given at one time, and an order to switch off must be possible without more permissions.
    ///
    /// # Errors
    ///
    /// Fails like [`change`](Self::change).
    pub fn order<T, E>(&self, reads_current: bool, mut change: impl FnMut(&Store) -> Result<T, E>) -> Result<T, E>
    where
        E: From<BucketStoreError>,
    {
        for _ in 0..MAX_ATTEMPTS {
            let before = self.pull_text("control")?;
            if reads_current {
                self.pull_text("current")?;
            }
            let outcome = change(&self.store)?;
            let now = self.read_copy("control")?;
            if before.is_none() {
                self.check_is_store()?;
            }
            if self.push_text("control", before.as_ref(), now)? {
                return Ok(outcome);
            }
        }
        Err(BucketStoreError::Contended { address: self.bucket.address().to_string() }.into())
    }

    /// Checks that something was published here, so that an order at a wrong address is not taken for given.
    fn check_is_store(&self) -> Result<(), BucketStoreError> {
        if self.bucket.look_at("current")?.is_some() || !self.generations()?.is_empty() {
            return Ok(());
        }
        Err(BucketStoreError::NoStore { address: self.bucket.address().to_string() })
    }

    /// Checks that publishers find the keys that `limits.toml` names: its paths are relative to a store, and a bucket
    /// has no keys.
    ///
    /// # Errors
    ///
    /// Returns [`BucketStoreError::KeyInStore`] for a path that is not absolute.
    pub fn check_keys(&self) -> Result<(), BucketStoreError> {
        // What is wrong with the text itself is an error of the publication.
        let keys = Limits::of_store(&self.store).map(|limits| limits.keys).unwrap_or_default();
        match keys.iter().find_map(|key| key.strip_prefix(self.store.dir()).ok()) {
            None => Ok(()),
            Some(found) => Err(BucketStoreError::KeyInStore {
                address: self.bucket.address().join("limits.toml").to_string(),
                found: found.display().to_string(),
            }),
        }
    }

    /// Makes the copy what the bucket is. `known` are generations that have a weight file, whatever listings say.
    fn pull(&self, needs: Needs, known: &BTreeSet<u64>) -> Result<Brought, BucketStoreError> {
        let mut texts = BTreeMap::new();
        for name in TEXTS {
            texts.insert(name, self.pull_text(name)?);
        }
        let listed = self.generations()?;
        let wanted = wanted(&self.store, &listed, needs, known);
        let mut generations: BTreeMap<u64, u64> = listed.into_iter().collect();
        let folder = self.store.generations_path();
        let present = self.store.generations().map_err(|error| failed("list", &folder)(io::Error::other(error)))?;
        for generation in present.into_iter().chain(wanted.iter().copied()).collect::<BTreeSet<u64>>() {
            match self.pull_file(generation, wanted.contains(&generation))? {
                Some(len_bytes) => generations.insert(generation, len_bytes),
                None => generations.remove(&generation),
            };
        }
        let days = if needs.history { Some(self.pull_history()?) } else { None };
        Ok(Brought { texts, generations: generations.into_iter().collect(), days })
    }

    fn pull_text(&self, name: &str) -> Result<Option<(Bytes, Version)>, BucketStoreError> {
        let max_len = if name.ends_with(".toml") { MAX_SETTINGS_LEN } else { MAX_TEXT_LEN };
        let text = self.bucket.read(name, max_len)?;
        self.put_text(name, text.as_ref().map(|(bytes, _)| &**bytes))?;
        Ok(text)
    }

    fn pull_history(&self) -> Result<BTreeMap<String, (Bytes, Version)>, BucketStoreError> {
        let folder = self.store.dir().join("history");
        fs::create_dir_all(&folder).map_err(failed("create", &folder))?;
        let mut days = BTreeMap::new();
        for listed in self.bucket.list("history")? {
            let Some((bytes, version)) = self.bucket.read(&listed.name, MAX_DAY_LEN)? else { continue };
            self.put_text(&listed.name, Some(&bytes))?;
            days.insert(listed.name, (bytes, version));
        }
        // A day that an earlier change left in the copy is no day of the bucket.
        for name in self.days_of_copy()?.iter().filter(|name| !days.contains_key(*name)) {
            self.put_text(name, None)?;
        }
        Ok(days)
    }

    /// The names of the days in the copy.
    fn days_of_copy(&self) -> Result<Vec<String>, BucketStoreError> {
        let folder = self.store.dir().join("history");
        let mut names = Vec::new();
        let entries = match folder.read_dir() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(names),
            entries => entries.map_err(failed("list", &folder))?,
        };
        for entry in entries {
            let name = entry.map_err(failed("list", &folder))?.file_name();
            if let Some(name) = name.to_str().filter(|name| name.ends_with(".json")) {
                names.push(format!("history/{name}"));
            }
        }
        Ok(names)
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

    /// Makes the copy's weight file of a generation that of the bucket: keeps it if it has the bytes of the present
    /// version; otherwise removes it, and brings it again if it is wanted. Returns its length, or nothing if the bucket
    /// has no such file.
    fn pull_file(&self, generation: u64, is_wanted: bool) -> Result<Option<u64>, BucketStoreError> {
        let (path, recorded) = (self.store.generation_path(generation), self.version_path(generation));
        let name = object_of(generation, &self.store);
        let version = self.bucket.look_at(&name)?;
        let text = version.as_ref().and_then(version_text);
        if text.is_some() && fs::read_to_string(&recorded).ok() == text {
            let len = path.metadata().map(|metadata| metadata.len()).ok();
            if len.is_some() && len == version.as_ref().map(|version| version.len_bytes) {
                return Ok(len);
            }
        }
        for path in [&recorded, &path] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("remove", path)(error)),
                _ => {}
            }
        }
        let Some(version) = version else { return Ok(None) };
        if is_wanted {
            let mut reader = self.bucket.reader(&name, &version, 0, Pace::default())?;
            let written = NewFile::create(&path, false).and_then(|new_file| {
                io::copy(&mut reader, &mut new_file.file())?;
                new_file.make_read_only()?;
                new_file.commit()
            });
            written.map_err(|error| match error.get_ref() {
                Some(inner) if inner.is::<BucketError>() => {
                    BucketError::of(error, self.bucket.address().join(&name).to_string()).into()
                }
                _ => failed("copy an object to", &path)(error),
            })?;
            self.record(generation, &version)?;
        }
        Ok(Some(version.len_bytes))
    }

    /// Where the version is written down that a weight file of the copy has the bytes of.
    fn version_path(&self, generation: u64) -> PathBuf {
        self.store.generations_path().join(format!(".{generation:06}.version"))
    }

    fn record(&self, generation: u64, version: &Version) -> Result<(), BucketStoreError> {
        let Some(text) = version_text(version) else { return Ok(()) };
        let path = self.version_path(generation);
        fs::write(&path, text).map_err(failed("write", &path))
    }

    /// Reads a text of the copy.
    fn read_copy(&self, name: &str) -> Result<Option<Bytes>, BucketStoreError> {
        let path = self.store.dir().join(name);
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => Ok(Some(read.map_err(failed("read", &path))?.into())),
        }
    }

    /// Reads what a change made of the copy.
    fn made(&self, brought: &Brought) -> Result<Made, BucketStoreError> {
        let gone = |path: PathBuf| BucketStoreError::CopyGone { path, address: self.bucket.address().to_string() };
        let folder = self.store.generations_path();
        let present = self.store.generations().map_err(|error| failed("list", &folder)(io::Error::other(error)))?;
        let is_new = |generation: &u64| !brought.generations.iter().any(|(known, _)| known == generation);
        let mut files = Vec::new();
        for generation in present.into_iter().filter(is_new) {
            files.push((generation, file_bytes(&self.store.generation_path(generation))?));
        }
        let mut days = Vec::new();
        if let Some(before) = &brought.days {
            for name in self.days_of_copy()? {
                let Some(now) = self.read_copy(&name)? else { continue };
                if before.get(&name).is_none_or(|(before, _)| *before != now) {
                    days.push((name, now));
                }
            }
        }
        let mut texts = Vec::new();
        for name in CHANGED_TEXTS {
            texts.push((name, self.read_copy(name)?));
        }
        // Who removes the cache while a command runs must not make it believe that there is nothing to write.
        let lock_path = self.store.dir().join(".lock");
        let id = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        if lock_path.metadata().map(id).ok() != self.lock.metadata().map(id).ok() {
            return Err(gone(self.store.dir().to_owned()));
        }
        for (name, now) in &texts {
            if now.is_none() && brought.texts.get(name).is_some_and(Option::is_some) {
                return Err(gone(self.store.dir().join(name)));
            }
        }
        let text = |bytes: Option<&Bytes>| bytes.and_then(|bytes| str::from_utf8(bytes).ok()?.parse::<Current>().ok());
        let before = brought.texts.get("current").and_then(Option::as_ref).map(|(bytes, _)| bytes);
        let now = texts.iter().find(|(name, _)| *name == "current").and_then(|(_, now)| now.as_ref());
        let new: Vec<u64> = files.iter().map(|(generation, _)| *generation).collect();
        let known: Vec<u64> = brought.generations.iter().map(|(generation, _)| *generation).collect();
        if let Some(missing) = missing_part(text(before), text(now), &new, &known) {
            return Err(gone(match missing {
                Part::Current => self.store.current_path(),
                Part::File(generation) => self.store.generation_path(generation),
            }));
        }
        Ok(Made { files, days, texts })
    }

    /// Writes back what differs from what was brought. Returns whether nobody else was first; adds to `known` the
    /// generations whose names were taken.
    fn push(&self, brought: &Brought, known: &mut BTreeSet<u64>) -> Result<bool, BucketStoreError> {
        let made = self.made(brought)?;
        for (generation, bytes) in made.files {
            match self.bucket.create(&object_of(generation, &self.store), bytes)? {
                // Without the record, the file is only brought again.
                Written::Done(version) => drop(self.record(generation, &version)),
                Written::OtherWasFirst => {
                    known.insert(generation);
                    return Ok(false);
                }
            }
            known.insert(generation);
        }
        let days = brought.days.as_ref();
        for (name, now) in made.days {
            if !self.push_text(&name, days.and_then(|days| days.get(&name)), Some(now))? {
                return Ok(false);
            }
        }
        for (name, now) in made.texts {
            if !self.push_text(name, brought.texts.get(name).and_then(Option::as_ref), now)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes a text of the copy back, if it changed. Returns whether nobody else was first.
    fn push_text(
        &self,
        name: &str,
        before: Option<&(Bytes, Version)>,
        now: Option<Bytes>,
    ) -> Result<bool, BucketStoreError> {
        let written = match (before, now) {
            (None, None) => return Ok(true),
            (Some((before, _)), Some(now)) if *before == now => return Ok(true),
            (Some((_, version)), Some(now)) => self.bucket.replace(name, now, version)?,
            (None, Some(now)) => self.bucket.create(name, now)?,
            (Some(_), None) => {
                let (path, address) = (self.store.dir().join(name), self.bucket.address().to_string());
                return Err(BucketStoreError::CopyGone { path, address });
            }
        };
        Ok(written.is_done())
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
        let mut files: BTreeMap<u64, u64> = self.generations()?.into_iter().collect();
        let lens_bytes = files.clone();
        let mut decision = decide(&self.facts(&files)?, options);
        if is_dry_run {
            return Ok((decision, lens_bytes));
        }
        let removed = decision.generations.iter().filter(|(_, verdict)| verdict.is_removed);
        for generation in removed.map(|(generation, _)| *generation).collect::<Vec<u64>>() {
            // Somebody may have ordered this generation since.
            let now = decide(&self.facts(&files)?, options);
            match now.generations.get(&generation) {
                Some(verdict) if verdict.is_removed => {
                    self.bucket.remove(&object_of(generation, &self.store))?;
                    files.remove(&generation);
                }
                verdict => {
                    decision.unknown = now.unknown.clone();
                    decision.generations.extend(verdict.map(|verdict| (generation, verdict.clone())));
                }
            }
        }
        Ok((decision, lens_bytes))
    }

    /// What the bucket says now that `gc` needs to know.
    fn facts(&self, files: &BTreeMap<u64, u64>) -> Result<Facts, BucketStoreError> {
        for name in ["control", "current"] {
            self.pull_text(name)?;
        }
        let text = |error: omomi::Error| error.full_message();
        let current = self.store.read_current().transpose();
        let control = self.store.read_control().transpose();
        Ok(Facts {
            files: files.keys().copied().collect(),
            current: current.map(|current| current.map(|current| current.generation).map_err(text)),
            ordered: control.and_then(|control| match control {
                Ok(ControlText { target, .. }) => target?.named().map(|named| Ok(named.generation)),
                Err(error) => Some(Err(text(error))),
            }),
            states: Vec::new(),
        })
    }
}

/// What is written down beside a weight file of the copy; nothing if the service does not tell versions apart.
fn version_text(version: &Version) -> Option<String> {
    Some(format!("{} {}\n", version.len_bytes, version.identity()?))
}

/// A part of a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Current,
    File(u64),
}

/// Which part of a publication is missing from a copy, with `current` before and now, the new weight files, and those
/// that the bucket has: `current` names each new file, and what it newly names has a file.
fn missing_part(before: Option<Current>, now: Option<Current>, new: &[u64], known: &[u64]) -> Option<Part> {
    if new.iter().any(|&generation| now.is_none_or(|now| now.generation != generation)) {
        return Some(Part::Current);
    }
    let named = now.filter(|_| before != now)?.generation;
    if new.contains(&named) || known.contains(&named) { None } else { Some(Part::File(named)) }
}

/// The name of the object of a generation's weight file.
pub(super) fn object_of(generation: u64, store: &Store) -> String {
    let path = store.generation_path(generation);
    format!("generations/{}", path.file_name().unwrap_or_default().to_string_lossy())
}

/// The generations whose files are needed. Those that are named are, even if a listing does not have them.
fn wanted(store: &Store, listed: &[(u64, u64)], needs: Needs, known: &BTreeSet<u64>) -> BTreeSet<u64> {
    let served = || {
        let ordered = store.read_control().ok().flatten().and_then(|text| text.target?.named());
        let current = || store.read_current().ok().flatten().map(Named::from);
        ordered.or_else(current).map(|named| named.generation)
    };
    let served = if needs.served_file { served() } else { None };
    let last = if needs.last_files { USUAL_COUNT } else { 0 };
    let all: BTreeSet<u64> = listed.iter().map(|(generation, _)| *generation).chain(known.iter().copied()).collect();
    let last = all.iter().rev().take(last).copied();
    last.chain(served).chain(needs.file_of).chain(known.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use omomi::store::Digest;

    use super::*;

    #[test]
    fn a_publication_of_which_a_part_is_missing_is_found() {
        let current = |generation| Some(Current { generation, digest: Digest::of(b"a") });
        for (before, now, new, known, expected) in [
            (current(1), current(1), &[][..], &[1][..], None),
            (None, None, &[], &[], None),
            (current(1), current(2), &[2], &[1], None),
            (None, current(2), &[2], &[], None),
            // A publisher died before it replaced `current`, and is completed.
            (current(1), current(2), &[], &[1, 2], None),
            (None, None, &[2], &[], Some(Part::Current)),
            (current(1), current(1), &[2], &[1], Some(Part::Current)),
            (current(1), current(2), &[], &[1], Some(Part::File(2))),
            // What is gone from the bucket is not the fault of the copy.
            (current(1), current(1), &[], &[], None),
        ] {
            assert_eq!(missing_part(before, now, new, known), expected, "{before:?} {now:?} {new:?} {known:?}");
        }
    }
}
