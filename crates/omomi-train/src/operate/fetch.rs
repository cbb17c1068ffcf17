//! Brings a store from a bucket to the disk of a server: `omomi fetch`.
//!
//! One pass takes these steps. The process may die during any of them without harm, and the next pass goes on:
//!
//! 1. Read `control` of the bucket and write it, if people changed it there since the last pass. Orders that people
//!    gave on the server itself stay until then. An absent text is no order. This is done again every few seconds until
//!    the pass ends, so that an order to switch off does not wait for anything.
//! 2. Read and write `pardons` likewise, and read `current`.
//! 3. Copy the weight files that `current` and `control` name into `incoming/`, from where the last pass stopped, and
//!    check their digests.
//! 4. Verify each with its golden requests in a fresh process, make it read-only, and give it its name.
//! 5. Replace `current`.
//!
//! Servers see a generation only after step 5, and then its file is there, whole and verified.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use omomi::error::{Error, Owner};
use omomi::new_file::sync_folder_of;
use omomi::store::{ControlText, Current, Digest, Digester, MAX_TEXT_LEN, Named, Pardons, Scoring, Store};
use omomi::weight_file::WeightFile;
use omomi::weight_file::map::{FileBytes, LoadMode};
use omomi::weight_file::signature::{SignaturePolicy, TrustedKeys, verify_signature};
use serde::{Deserialize, Serialize};

use super::bucket_store::object_of;
use super::publish::control::replace_text;
use super::publish::store_writer::{StoreWriter, lock_control, write_text};
use super::publish::{MODE_OF_WEIGHT_FILE, PublishError, Verifier};
use crate::bucket::{Bucket, BucketError, Pace, Version};

/// How often `control` is read while a pass copies or verifies.
const ORDERS_EVERY: Duration = Duration::from_secs(3);
/// After this time, an object that was refused once is copied again: a fault of the network may have been the reason.
/// The time doubles with each refusal.
const FIRST_WAIT_SECONDS: u64 = 60;
/// Longest time after which a refused object is copied again.
const MAX_WAIT_SECONDS: u64 = 3_600;
/// How many refused objects are remembered.
const MAX_REFUSED_COUNT: usize = 8;

/// What is fetched, and how.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FetchOptions {
    /// Verifies the copies.
    pub verifier: Verifier,
    /// How fast weight files are copied.
    pub pace: Pace,
    /// Whether files need a signature, and the keys that are trusted.
    pub signature: Option<(SignaturePolicy, TrustedKeys)>,
    /// How often `control` is read while files are copied or verified.
    pub orders_every: Duration,
}

impl FetchOptions {
    /// Returns options without a limit of the pace.
    #[must_use]
    pub fn new(verifier: Verifier) -> Self {
        Self { verifier, pace: Pace::default(), signature: None, orders_every: ORDERS_EVERY }
    }

    /// Returns these options, changed by `change`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// What a pass brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fetched {
    /// The new content of `current`, if it changed.
    pub current: Option<Current>,
    /// The new orders, if they changed.
    pub control: Option<String>,
    /// Whether there are new pardons.
    pub pardons: bool,
    /// Weight files that were brought, with their lengths.
    pub files: Vec<(u64, u64)>,
    /// Bytes that were copied in this pass.
    pub copied_bytes: u64,
    /// Whether nothing is published in the bucket yet.
    pub is_unpublished: bool,
}

/// Why a pass stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The bucket did not do what it was asked.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// The store on the disk cannot be changed, or a weight file is bad.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// A text of the bucket is malformed.
    #[error("{address} is malformed: expected {expected}, found {found}")]
    Malformed {
        /// The object.
        address: String,
        /// What was expected.
        expected: String,
        /// Its text.
        found: String,
    },
    /// The bytes of a weight file are not those that were published.
    #[error("{address} has other bytes than were published: expected the digest {expected}, found {found}")]
    OtherBytes {
        /// The object.
        address: String,
        /// The digest in `current` or `control`.
        expected: Digest,
        /// The digest of what was copied.
        found: Digest,
    },
    /// The bucket names an older generation than the store, or other bytes under the same number.
    #[error(
        "{address} names generation {found}, but the store already has generation {present}: expected the same or a \
         newer one"
    )]
    GoesBack {
        /// The object `current`.
        address: String,
        /// The generation of the bucket.
        found: u64,
        /// The generation of the store.
        present: u64,
    },
    /// A weight file of the store has other bytes than were published.
    #[error("{path} has other bytes than were published: expected the digest {expected}, found {found}")]
    OtherFile {
        /// The file.
        path: PathBuf,
        /// The digest in `current` or `control` of the bucket.
        expected: Digest,
        /// Its digest.
        found: Digest,
    },
    /// The present version of an object was refused by an earlier pass.
    #[error(
        "{problem}; the bucket still has this object, which is copied again after {wait_seconds} s at the earliest"
    )]
    RefusedBefore {
        /// The stable name of the error of that pass.
        code: String,
        /// Who must act.
        owner: Owner,
        /// What was wrong.
        problem: String,
        /// Seconds until it is copied again.
        wait_seconds: u64,
    },
    /// The bucket does not say what is published, although the store was fetched from it.
    #[error("{address} does not exist: expected it to name generation {present}, which the store has, or a newer one")]
    CurrentMissing {
        /// The object `current`.
        address: String,
        /// The generation of the store.
        present: u64,
    },
    /// What the last pass wrote down cannot be read.
    #[error("{path} is malformed: expected what the last omomi fetch wrote, found {problem}")]
    Memory {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Another process writes to the store.
    #[error("{dir} is in use: another omomi fetch, or an omomi publish, works on it")]
    Busy {
        /// The store.
        dir: PathBuf,
    },
    /// The store was fetched from another bucket.
    #[error("{dir} was fetched from {expected}: expected that address, found {found}")]
    OtherBucket {
        /// The store.
        dir: PathBuf,
        /// Where it came from.
        expected: String,
        /// The address now.
        found: String,
    },
}

impl FetchError {
    /// The stable name of the error in snake case.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Bucket(error) => error.name(),
            Self::Publish(error) => error.name(),
            Self::Malformed { .. } => "store_malformed",
            Self::OtherBytes { .. } => "digest_mismatch",
            Self::GoesBack { .. } => "goes_back",
            Self::OtherBucket { .. } => "other_bucket",
            Self::OtherFile { .. } => "digest_mismatch",
            Self::RefusedBefore { code, .. } => code,
            Self::CurrentMissing { .. } => "current_missing",
            Self::Memory { .. } => "memory_malformed",
            Self::Busy { .. } => "busy",
        }
    }

    /// Who must act.
    #[must_use]
    pub fn owner(&self) -> Owner {
        match self {
            Self::Bucket(error) => error.owner(),
            Self::Publish(error) => error.owner(),
            Self::RefusedBefore { owner, .. } => *owner,
            Self::Malformed { .. } | Self::OtherBytes { .. } | Self::GoesBack { .. } | Self::CurrentMissing { .. } => {
                Owner::Ml
            }
            Self::OtherBucket { .. } | Self::OtherFile { .. } | Self::Memory { .. } | Self::Busy { .. } => Owner::Infra,
        }
    }

    /// What they must do.
    #[must_use]
    pub fn action(&self) -> &str {
        match self {
            Self::Bucket(error) => error.action(),
            Self::Publish(error) => error.action(),
            Self::Malformed { .. } => "publish again, or give the order again",
            Self::OtherBytes { .. } | Self::RefusedBefore { .. } => {
                "publish a new generation; never write to the bucket by hand"
            }
            Self::GoesBack { .. } => "if the bucket was made again, fetch it into a new directory",
            Self::OtherBucket { .. } => "fetch into another directory",
            Self::OtherFile { .. } => "move the file away; the next pass brings it again",
            Self::CurrentMissing { .. } => "find out who removed it, and publish again; servers go on meanwhile",
            Self::Memory { .. } => "delete it",
            Self::Busy { .. } => "run one omomi fetch for each directory",
        }
    }
}

/// What the last pass wrote down: where the store comes from, and the orders that the bucket had.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Memory {
    from: String,
    control: Option<String>,
    pardons: Option<String>,
    /// Weight files whose digests were checked since the orders changed, as generation and digest.
    #[serde(default)]
    checked: Vec<String>,
    /// Objects that were refused.
    #[serde(default)]
    refused: Vec<Refused>,
}

/// An object that was copied whole, and refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Refused {
    name: String,
    version: String,
    digest: Option<String>,
    code: String,
    owner: String,
    problem: String,
    count: u32,
    unix_seconds: u64,
}

/// How many seconds are left until an object is copied again that was refused so often, so long ago.
fn wait_seconds(count: u32, seconds_ago: u64) -> u64 {
    let factor = 1_u64.checked_shl(count.saturating_sub(1)).unwrap_or(u64::MAX);
    FIRST_WAIT_SECONDS.saturating_mul(factor).min(MAX_WAIT_SECONDS).saturating_sub(seconds_ago)
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Whether a text of the bucket is written over that of the store: if there is one, and it is not the one that was
/// seen last. What people wrote on the server itself meanwhile stays in force.
#[must_use]
fn is_new_order(in_bucket: Option<&str>, seen_last: Option<&str>) -> bool {
    in_bucket.is_some() && in_bucket != seen_last
}

/// What is written when the bucket has new orders, with those of the store. As long as none of the bucket were seen,
/// scoring that is off in the store stays off: people may have switched it off there.
fn orders_to_write(in_bucket: ControlText, in_store: Option<ControlText>, is_first: bool) -> ControlText {
    let is_off = in_store.is_some_and(|text| text.scoring == Some(Scoring::Off));
    if is_first && is_off { ControlText { scoring: Some(Scoring::Off), ..in_bucket } } else { in_bucket }
}

/// The text that switches scoring off, with the other order of `orders`.
fn off_text(orders: ControlText) -> String {
    orders.target.map_or_else(|| "off\n".to_owned(), |target| format!("{} {target}\n", Scoring::Off))
}

/// Whether `current` may become what the bucket says.
fn check_direction(address: &str, found: Current, present: Option<Current>) -> Result<(), FetchError> {
    match present {
        Some(present) if found.generation < present.generation => Err(FetchError::GoesBack {
            address: address.to_owned(),
            found: found.generation,
            present: present.generation,
        }),
        Some(present) if found.generation == present.generation && found.digest != present.digest => {
            Err(FetchError::OtherBytes { address: address.to_owned(), expected: present.digest, found: found.digest })
        }
        _ => Ok(()),
    }
}

/// A step of a pass, for those who watch it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchStep {
    /// Reads the texts of the bucket.
    Read,
    /// Writes the orders.
    Orders,
    /// Copies a part of a weight file.
    Copy,
    /// Computes the digest of what was copied.
    Digest,
    /// Verifies a weight file.
    Verify,
    /// Gives a weight file its name.
    TakeName,
    /// Replaces `current`.
    ReplaceCurrent,
}

/// Brings what is new from `bucket` to `store`, which is created if it does not exist. Calls `watch` before each step.
///
/// # Errors
///
/// Returns [`FetchError`]. What the pass completed stays; servers go on with what they serve.
pub fn fetch(
    bucket: &Bucket,
    store: &Store,
    options: &FetchOptions,
    watch: &mut dyn FnMut(FetchStep),
) -> Result<Fetched, FetchError> {
    let writer = StoreWriter::lock(store).map_err(|error| match error {
        PublishError::Busy { dir } => FetchError::Busy { dir },
        error => error.into(),
    })?;
    let fetched = run(bucket, store, options, watch);
    if fetched.is_err() {
        writer.remove_new_folders();
    }
    fetched
}

fn run(
    bucket: &Bucket,
    store: &Store,
    options: &FetchOptions,
    watch: &mut dyn FnMut(FetchStep),
) -> Result<Fetched, FetchError> {
    watch(FetchStep::Read);
    let orders = Orders::begin(bucket, store).inspect_err(|error| {
        // What is wrong with our notes is not in the way of an order to switch off.
        if matches!(error, FetchError::Memory { .. }) {
            Orders { bucket, store, state: Mutex::default() }.switch_off();
        }
    })?;
    watch(FetchStep::Orders);
    let ordered = orders.look()?;
    let (end, ended) = channel::<()>();
    std::thread::scope(|scope| {
        let orders = &orders;
        scope.spawn(move || {
            // Failures are those of the pass, or the next pass has them too.
            while ended.recv_timeout(options.orders_every) == Err(RecvTimeoutError::Timeout) {
                let _ = orders.look();
            }
        });
        // Dropped when the pass ends, even by a panic.
        let _end = end;
        Pass { orders, options, watch, fetched: Fetched::default() }.run(ordered)
    })
    .map(|fetched| Fetched { control: orders.state().written, ..fetched })
}

/// The orders of the bucket, which are written to the store at any time of a pass.
struct Orders<'a> {
    bucket: &'a Bucket,
    store: &'a Store,
    state: Mutex<OrdersState>,
}

#[derive(Clone, Default)]
struct OrdersState {
    memory: Memory,
    /// The orders that this pass wrote.
    written: Option<String>,
}

struct Pass<'a> {
    orders: &'a Orders<'a>,
    options: &'a FetchOptions,
    watch: &'a mut dyn FnMut(FetchStep),
    fetched: Fetched,
}

fn file_error(action: &'static str, path: &Path) -> impl Fn(io::Error) -> FetchError {
    let path = path.to_owned();
    move |source| PublishError::from(Error::File { action, path: path.clone(), source }).into()
}

fn replace(path: &Path, text: &str) -> Result<(), FetchError> {
    write_text(path, text)?.take_name().map_err(file_error("replace", path))?;
    sync_folder_of(path).map_err(file_error("sync the folder of", path))
}

impl<'a> Orders<'a> {
    fn begin(bucket: &'a Bucket, store: &'a Store) -> Result<Self, FetchError> {
        let state = OrdersState { memory: read_memory(bucket, store)?, written: None };
        Ok(Self { bucket, store, state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, OrdersState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> OrdersState {
        self.lock().clone()
    }

    /// Changes what is remembered, on the disk too.
    fn remember(&self, change: impl FnOnce(&mut Memory)) -> Result<(), FetchError> {
        let mut state = self.lock();
        change(&mut state.memory);
        self.write_memory(&state.memory)
    }

    /// Also succeeds on a full disk, where an order was written that must not be taken for a new one later.
    fn write_memory(&self, memory: &Memory) -> Result<(), FetchError> {
        let text = serde_json::to_string_pretty(memory).unwrap_or_default() + "\n";
        Ok(replace_text(&memory_path(self.store), &text, &mut |_| ())?)
    }

    /// Reads the orders of the bucket, and writes those that are new.
    fn look(&self) -> Result<Option<ControlText>, FetchError> {
        let text = self.read_text("control")?;
        let orders = text.as_deref().map(|text| self.parse::<ControlText>("control", text)).transpose()?;
        let mut state = self.lock();
        let is_first = state.memory.control.is_none();
        if let (Some(text), Some(orders)) = (&text, orders)
            && is_new_order(Some(text), state.memory.control.as_deref())
        {
            let in_store = self.store.read_control().ok().flatten();
            let to_write = orders_to_write(orders, in_store, is_first);
            let text_to_write = if to_write == orders { text.clone() } else { off_text(to_write) };
            self.write_order(&self.store.control_path(), &text_to_write)?;
            state.written = Some(text_to_write.trim().to_owned());
            state.memory.control = Some(text.clone());
            // What they name is checked again.
            state.memory.checked.clear();
            self.write_memory(&state.memory)?;
        } else if !memory_path(self.store).is_file() {
            self.write_memory(&state.memory)?;
        }
        Ok(orders)
    }

    /// Switches the store off if the bucket says so, and remembers nothing.
    fn switch_off(&self) {
        let is_off = |text: ControlText| text.scoring == Some(Scoring::Off);
        let Ok(Some(text)) = self.read_text("control") else { return };
        let in_bucket = self.parse::<ControlText>("control", &text);
        let in_store = self.store.read_control().ok().flatten();
        if in_bucket.is_ok_and(is_off) && !in_store.is_some_and(is_off) {
            let _ = self.write_order(&self.store.control_path(), &text);
        }
    }

    fn write_order(&self, path: &Path, text: &str) -> Result<(), FetchError> {
        let _lock = lock_control(self.store)?;
        replace_text(path, text, &mut |_| ())?;
        sync_folder_of(path).map_err(file_error("sync the folder of", path))
    }

    fn address(&self, name: &str) -> String {
        self.bucket.address().join(name).to_string()
    }

    fn read_text(&self, name: &str) -> Result<Option<String>, FetchError> {
        let Some((bytes, _)) = self.bucket.read(name, MAX_TEXT_LEN)? else { return Ok(None) };
        String::from_utf8(bytes.into()).map(Some).map_err(|_| FetchError::Malformed {
            address: self.address(name),
            expected: "a text in UTF-8".to_owned(),
            found: "other bytes".to_owned(),
        })
    }

    fn parse<T: std::str::FromStr<Err = omomi::store::UnexpectedText>>(
        &self,
        name: &str,
        text: &str,
    ) -> Result<T, FetchError> {
        text.parse().map_err(|error: omomi::store::UnexpectedText| FetchError::Malformed {
            address: self.address(name),
            expected: error.expected.to_owned(),
            found: error.found,
        })
    }
}

fn memory_path(store: &Store) -> PathBuf {
    store.dir().join("fetched.json")
}

fn read_memory(bucket: &Bucket, store: &Store) -> Result<Memory, FetchError> {
    let from = bucket.address().to_string();
    let path = memory_path(store);
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Memory { from, ..Memory::default() }),
        bytes => bytes.map_err(file_error("read", &path))?,
    };
    let memory: Memory =
        serde_json::from_slice(&bytes).map_err(|error| FetchError::Memory { path, problem: error.to_string() })?;
    if memory.from != from {
        let dir = store.dir().to_owned();
        return Err(FetchError::OtherBucket { dir, expected: memory.from, found: from });
    }
    Ok(memory)
}

/// The name of the part of a generation's file. Parts of other bytes under one number must not be joined.
fn part_name(named: Named) -> String {
    let of = named.digest.map_or_else(|| "any".to_owned(), |digest| digest.to_string()[..16].to_owned());
    format!("{:06}-{of}.part", named.generation)
}

fn checked_text(named: Named) -> Option<String> {
    Some(format!("{} {}", named.generation, named.digest?))
}

impl Pass<'_> {
    fn run(mut self, orders: Option<ControlText>) -> Result<Fetched, FetchError> {
        let pardons = self.take_pardons();
        let current = self.read_current();
        let ordered = orders.and_then(|orders| orders.target?.named());
        if let Ok(current) = &current {
            // The space of other parts may be needed. Nothing names their generations any more.
            self.remove_parts(&ordered.into_iter().chain(current.map(Named::from)).map(part_name).collect::<Vec<_>>());
        }
        // None of these must wait for what is wrong with the others.
        let ordered = ordered.map_or(Ok(()), |ordered| self.bring(ordered, false));
        let followed = current.and_then(|current| self.follow(current));
        pardons.and(ordered).and(followed)?;
        let _ = fs::remove_dir_all(self.incoming());
        Ok(self.fetched)
    }

    fn take_pardons(&mut self) -> Result<(), FetchError> {
        let Some(text) = self.orders.read_text("pardons")? else { return Ok(()) };
        self.orders.parse::<Pardons>("pardons", &text)?;
        if is_new_order(Some(&text), self.orders.state().memory.pardons.as_deref()) {
            self.orders.write_order(&self.orders.store.pardons_path(), &text)?;
            self.orders.remember(|memory| memory.pardons = Some(text))?;
            self.fetched.pardons = true;
        }
        Ok(())
    }

    fn read_current(&self) -> Result<Option<Current>, FetchError> {
        let text = self.orders.read_text("current")?;
        text.as_deref().map(|text| self.orders.parse("current", text)).transpose()
    }

    /// Lets `current` of the store be that of the bucket.
    fn follow(&mut self, named: Option<Current>) -> Result<(), FetchError> {
        let present = self.orders.store.read_current().map_err(PublishError::from).unwrap_or_default();
        let address = self.orders.address("current");
        let Some(named) = named else {
            let Some(Current { generation: present, .. }) = present else {
                self.fetched.is_unpublished = true;
                return Ok(());
            };
            return Err(FetchError::CurrentMissing { address, present });
        };
        check_direction(&address, named, present)?;
        self.bring(named.into(), present != Some(named))?;
        if present != Some(named) {
            (self.watch)(FetchStep::ReplaceCurrent);
            replace(&self.orders.store.current_path(), &format!("{named}"))?;
            self.fetched.current = Some(named);
        }
        Ok(())
    }

    fn incoming(&self) -> PathBuf {
        self.orders.store.dir().join("incoming")
    }

    /// Removes all parts but those of these names. What cannot be removed does no harm.
    fn remove_parts(&self, kept: &[String]) {
        for entry in self.incoming().read_dir().into_iter().flatten().flatten() {
            if !kept.iter().any(|kept| entry.file_name() == **kept) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Makes sure that a generation has its weight file. The digest of one that is there is checked once after each
    /// change of the orders, and always if `is_new`.
    fn bring(&mut self, named: Named, is_new: bool) -> Result<(), FetchError> {
        let path = self.orders.store.generation_path(named.generation);
        if path.exists() {
            return self.check_present(named, &path, is_new);
        }
        let name = object_of(named.generation, self.orders.store);
        let missing = || BucketError::Missing { address: self.orders.address(&name) };
        let version = self.orders.bucket.look_at(&name)?.ok_or_else(missing)?;
        self.check_refused(&name, &version, named)?;
        let incoming = self.incoming();
        fs::create_dir_all(&incoming).map_err(file_error("create", &incoming))?;
        let part = incoming.join(part_name(named));
        let (found, is_whole) = self.copy(&name, &version, &part)?;
        if let Some(expected) = named.digest.filter(|expected| *expected != found) {
            // The next pass must not go on from these bytes.
            let _ = fs::remove_file(&part);
            let error = FetchError::OtherBytes { address: self.orders.address(&name), expected, found };
            // Only what was copied in one piece tells that the object is wrong, and not an earlier part.
            return Err(if is_whole { self.refuse(&name, &version, named, error) } else { error });
        }
        (self.watch)(FetchStep::Verify);
        let verified = self.check_signature(&part).and_then(|()| Ok(self.options.verifier.verify(&part)?));
        if let Err(error) = verified {
            if matches!(&error, FetchError::Publish(PublishError::NotVerified { .. } | PublishError::Serving(_))) {
                let _ = fs::remove_file(&part);
                return Err(self.refuse(&name, &version, named, error));
            }
            return Err(error);
        }
        let mode = Permissions::from_mode(MODE_OF_WEIGHT_FILE);
        fs::set_permissions(&part, mode).map_err(file_error("make read-only", &part))?;
        (self.watch)(FetchStep::TakeName);
        // A link never replaces a file; servers that open it see one name only after the other is gone.
        fs::rename(&part, &path).map_err(file_error("name", &path))?;
        sync_folder_of(&path).map_err(file_error("sync the folder of", &path))?;
        self.fetched.files.push((named.generation, version.len_bytes));
        self.remember_checked(named, &name)
    }

    /// Checks the digest of a weight file that is already there.
    fn check_present(&mut self, named: Named, path: &Path, is_new: bool) -> Result<(), FetchError> {
        let (Some(expected), Some(text)) = (named.digest, checked_text(named)) else { return Ok(()) };
        if !is_new && self.orders.state().memory.checked.contains(&text) {
            return Ok(());
        }
        (self.watch)(FetchStep::Digest);
        let found = Digest::of_file(path).map_err(file_error("read", path))?;
        if found != expected {
            return Err(FetchError::OtherFile { path: path.to_owned(), expected, found });
        }
        self.remember_checked(named, &object_of(named.generation, self.orders.store))
    }

    fn remember_checked(&self, named: Named, name: &str) -> Result<(), FetchError> {
        self.orders.remember(|memory| {
            memory.refused.retain(|refused| refused.name != name);
            let Some(text) = checked_text(named) else { return };
            // At most two generations are named at one time.
            memory.checked.retain(|other| *other != text);
            memory.checked.push(text);
            let excess = memory.checked.len().saturating_sub(2);
            memory.checked.drain(..excess);
        })
    }

    /// Returns the error of an earlier pass about this version of an object, until it is time to copy it again.
    fn check_refused(&self, name: &str, version: &Version, named: Named) -> Result<(), FetchError> {
        let memory = self.orders.state().memory;
        let Some(refused) = memory.refused.iter().find(|refused| refused.is(name, version, named)) else {
            return Ok(());
        };
        let seconds_ago = unix_seconds().checked_sub(refused.unix_seconds).unwrap_or(u64::MAX);
        match wait_seconds(refused.count, seconds_ago) {
            0 => Ok(()),
            wait_seconds => Err(FetchError::RefusedBefore {
                code: refused.code.clone(),
                owner: Owner::from_word(&refused.owner).unwrap_or(Owner::Ml),
                problem: refused.problem.clone(),
                wait_seconds,
            }),
        }
    }

    /// Remembers that this version of an object was refused, and returns the error.
    fn refuse(&self, name: &str, version: &Version, named: Named, error: FetchError) -> FetchError {
        let Some(identity) = version.identity() else { return error };
        let remembered = self.orders.remember(|memory| {
            let before = memory.refused.iter().find(|refused| refused.is(name, version, named));
            let count = before.map_or(0, |before| before.count).saturating_add(1);
            memory.refused.retain(|refused| !refused.is(name, version, named));
            memory.refused.push(Refused {
                name: name.to_owned(),
                version: identity,
                digest: named.digest.map(|digest| digest.to_string()),
                code: error.name().to_owned(),
                owner: error.owner().word().to_owned(),
                problem: error.to_string(),
                count,
                unix_seconds: unix_seconds(),
            });
            let excess = memory.refused.len().saturating_sub(MAX_REFUSED_COUNT);
            memory.refused.drain(..excess);
        });
        // The object is then only copied again sooner.
        drop(remembered);
        error
    }

    fn check_signature(&self, path: &Path) -> Result<(), FetchError> {
        let Some((policy, keys)) = &self.options.signature else { return Ok(()) };
        let bytes = FileBytes::load(path, LoadMode::Map).map_err(PublishError::from)?;
        let file = WeightFile::open(bytes).map_err(PublishError::from)?;
        verify_signature(&file, keys, *policy).map(|_| ()).map_err(|error| PublishError::from(error).into())
    }

    /// Copies an object to `part`, from where an earlier pass stopped. Returns the digest of the whole, and whether
    /// all of it was copied now.
    fn copy(&mut self, name: &str, version: &Version, part: &Path) -> Result<(Digest, bool), FetchError> {
        let failed = |action| file_error(action, part);
        let mut file =
            File::options().create(true).truncate(false).read(true).write(true).open(part).map_err(failed("open"))?;
        let mut start = file.metadata().map_err(failed("look at"))?.len();
        if start > version.len_bytes {
            file.set_len(0).map_err(failed("shorten"))?;
            start = 0;
        }
        file.seek(SeekFrom::End(0)).map_err(failed("write"))?;
        let mut reader = self.orders.bucket.reader(name, version, start, self.options.pace)?;
        let mut piece = vec![0; 1 << 20];
        loop {
            (self.watch)(FetchStep::Copy);
            let len = reader.read(&mut piece).map_err(|error| BucketError::of(error, self.orders.address(name)))?;
            if len == 0 {
                break;
            }
            file.write_all(&piece[..len]).map_err(failed("write"))?;
            self.fetched.copied_bytes += len as u64;
        }
        file.sync_all().map_err(failed("sync"))?;
        (self.watch)(FetchStep::Digest);
        file.rewind().map_err(failed("read"))?;
        let mut digester = Digester::new();
        loop {
            match file.read(&mut piece).map_err(failed("read"))? {
                0 => return Ok((digester.finish(), start == 0)),
                len => digester.update(&piece[..len]),
            }
        }
    }
}

impl Refused {
    /// Whether this is about a version of an object, with the digest that it should have.
    fn is(&self, name: &str, version: &Version, named: Named) -> bool {
        self.name == name
            && version.identity().is_some_and(|identity| identity == self.version)
            && named.digest.map(|digest| digest.to_string()) == self.digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_of_the_bucket_counts_once_and_absence_is_no_order() {
        let cases = [
            (None, None, false),
            (None, Some("on follow"), false),
            (Some("off follow"), None, true),
            (Some("off follow"), Some("on follow"), true),
            (Some("off follow"), Some("off follow"), false),
        ];
        for (in_bucket, seen_last, expected) in cases {
            assert_eq!(is_new_order(in_bucket, seen_last), expected, "{in_bucket:?} after {seen_last:?}");
        }
    }

    #[test]
    fn off_on_either_side_wins_until_orders_of_the_bucket_were_seen() {
        let text = |text: &str| text.parse::<ControlText>().unwrap();
        for (in_bucket, in_store, is_first, expected) in [
            ("on follow", None, true, "on follow"),
            ("on follow", Some("off follow"), true, "off follow"),
            ("on follow", Some("off"), true, "off follow"),
            ("off follow", Some("on follow"), true, "off follow"),
            ("on follow", Some("off follow"), false, "on follow"),
            ("off follow", Some("on follow"), false, "off follow"),
        ] {
            let written = orders_to_write(text(in_bucket), in_store.map(text), is_first);
            assert_eq!(written, text(expected), "{in_bucket} over {in_store:?}, first: {is_first}");
        }
    }

    #[test]
    fn a_refused_object_is_copied_again_more_and_more_seldom() {
        let waits = [(1, 0, 60), (1, 59, 1), (1, 60, 0), (2, 60, 60), (6, 0, 1_920), (7, 0, 3_600), (200, 0, 3_600)];
        for (count, seconds_ago, expected) in waits {
            assert_eq!(wait_seconds(count, seconds_ago), expected, "{count} times, {seconds_ago} s ago");
        }
    }

    #[test]
    fn generations_only_go_forward_and_one_number_has_one_content() {
        let current = |generation, bytes: &[u8]| Current { generation, digest: Digest::of(bytes) };
        let check =
            |found, present| check_direction("s3://ads/current", found, present).map_err(|it| it.name().to_owned());
        assert_eq!(check(current(7, b"a"), None), Ok(()));
        assert_eq!(check(current(8, b"b"), Some(current(7, b"a"))), Ok(()));
        assert_eq!(check(current(7, b"a"), Some(current(7, b"a"))), Ok(()));
        assert_eq!(check(current(7, b"b"), Some(current(7, b"a"))), Err("digest_mismatch".to_owned()));
        assert_eq!(check(current(6, b"a"), Some(current(7, b"a"))), Err("goes_back".to_owned()));
    }
}
